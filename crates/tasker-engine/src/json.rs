//! JSON that is carried, not looked at.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON text that is known to be valid, shared between those who hold it.
///
/// The engine and the stores pass contexts and results on without reading them; who needs a value parses it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// Returns the JSON text of a value.
    ///
    /// # Errors
    ///
    /// When the value cannot be written as JSON, for instance a map whose keys are not strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|text| Self(text.into()))
    }

    /// Checks that a text is JSON, and keeps it.
    ///
    /// # Errors
    ///
    /// Where and why it is not JSON.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&RawValue>(text).map(|raw| Self(raw.get().into()))
    }

    /// Returns JSON's `null`.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// Keeps a text that was JSON when it was stored.
    pub fn from_stored(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the text as a value of some type.
    ///
    /// # Errors
    ///
    /// When the JSON does not fit the type.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// Reads the text as a tree; JSON's `null` if a stored text was damaged.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// How many lists and objects may contain one another in a context or a result.
///
/// Readers of JSON stop at 128 levels; the rest is for what contexts and results are wrapped in when they are handed on.
pub(crate) const DEEPEST: usize = 100;

/// Tells whether a value has more levels of lists and objects than a limit.
pub(crate) fn is_deeper(value: &serde_json::Value, limit: usize) -> bool {
    let mut waiting = vec![(value, 1)];
    while let Some((value, depth)) = waiting.pop() {
        let parts: &mut dyn Iterator<Item = &serde_json::Value> = match value {
            serde_json::Value::Array(items) => &mut items.iter(),
            serde_json::Value::Object(fields) => &mut fields.values(),
            _ => continue,
        };
        if depth > limit {
            return true;
        }
        waiting.extend(parts.map(|part| (part, depth + 1)));
    }
    false
}

impl Json {
    /// Tells whether the text has more levels of lists and objects than a limit.
    pub(crate) fn is_deeper(&self, limit: usize) -> bool {
        let (mut depth, mut in_text, mut escaped) = (0, false, false);
        for byte in self.0.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                _ if in_text => {}
                b'[' | b'{' => {
                    depth += 1;
                    if depth > limit {
                        return true;
                    }
                }
                b']' | b'}' => depth -= 1,
                _ => {}
            }
        }
        false
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(&self.0) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => serializer.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.get().into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!("]}\\\"[{"), |inner, level| {
            if level % 2 == 0 {
                json!([inner])
            } else {
                json!({"[": inner})
            }
        })
    }

    proptest! {
        #[test]
        fn depth_counts_lists_and_objects(levels in 0usize..40, limit in 0usize..40) {
            let value = nested(levels);
            prop_assert_eq!(is_deeper(&value, limit), levels > limit);
            prop_assert_eq!(Json::from(&value).is_deeper(limit), levels > limit);
        }
    }

    #[test]
    fn json_passes_through_unchanged() {
        let text = r#"{"b": [1, 2.50], "a": null}"#;
        let json = Json::parse(text).unwrap();
        assert_eq!(json.as_str(), text);
        assert_eq!(serde_json::to_string(&[&json]).unwrap(), format!("[{text}]"));
        assert!(Json::parse("{").is_err());
    }
}
