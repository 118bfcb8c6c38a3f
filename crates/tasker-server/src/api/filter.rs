//! What lists and requests about many tasks are filtered by.
//!
//! Each text has the form that its schema says, and is refused where the schema refuses it.

use serde::Deserialize;
use serde_json::Value;
use tasker::{ContextMatch, Period, TaskFilter};
use tasker_types::{Namespace, TaskState, TemplateName, Timestamp, Version};
use utoipa::ToSchema;

use super::forms::{
    AnnotationText, ContextText, ID, LABEL, LabelText, MATCH, NameText, PARTY, PartyText, VersionText,
};
use super::views;

fn plain(text: String, most: usize) -> Result<String, String> {
    let length = text.chars().count();
    if (1..=most).contains(&length) && !text.contains(char::is_control) {
        return Ok(text);
    }
    Err(format!(
        "{text:?} has {length} characters, but it must have 1 to {most}, none of them a control character"
    ))
}

fn short(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if length <= MATCH {
        return Ok(());
    }
    Err(format!(
        "a text of {length} characters was given, but it may have {MATCH}"
    ))
}

/// A label.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Label(pub(crate) String);

impl TryFrom<String> for Label {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        plain(text, LABEL).map(Self)
    }
}

/// Who asked for something, or which system.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Party(pub(crate) String);

impl TryFrom<String> for Party {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        plain(text, PARTY).map(Self)
    }
}

/// The beginning of an id.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Beginning(pub(crate) String);

impl TryFrom<String> for Beginning {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        if (1..=ID).contains(&text.len()) && text.bytes().all(digits) {
            return Ok(Self(text));
        }
        Err(format!("{text:?} is not the beginning of an id such as `0198c2`"))
    }
}

/// A note that tasks must have.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Annotation(String, Option<Value>);

impl TryFrom<String> for Annotation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        short(&text)?;
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text.as_str(), None),
        };
        let name = plain(name.to_owned(), LABEL)?;
        let value = value.map(|text| {
            let mut value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
            value.sort_all_objects();
            value
        });
        Ok(Self(name, value))
    }
}

/// Something that contexts must have.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Context(ContextMatch);

impl TryFrom<String> for Context {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        short(&text)?;
        let parsed: Result<ContextMatch, _> = text.parse();
        parsed.map(Self).map_err(|error| error.to_string())
    }
}

/// Which tasks are wanted: those that satisfy everything that is said.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Selection {
    /// Only tasks in one of these states.
    #[serde(default)]
    #[schema(value_type = Vec<views::State>)]
    pub(crate) state: Vec<TaskState>,
    /// Only tasks of this namespace.
    #[serde(default)]
    #[schema(value_type = Option<NameText>)]
    pub(crate) namespace: Option<Namespace>,
    /// Only tasks of handlers of this name.
    #[serde(default)]
    #[schema(value_type = Option<NameText>)]
    pub(crate) name: Option<TemplateName>,
    /// Only tasks of this version.
    #[serde(default)]
    #[schema(value_type = Option<VersionText>)]
    pub(crate) version: Option<Version>,
    /// Only tasks that this one asked for.
    #[serde(default)]
    #[schema(value_type = Option<PartyText>)]
    pub(crate) initiator: Option<Party>,
    /// Only tasks whose request came from this system.
    #[serde(default)]
    #[schema(value_type = Option<PartyText>)]
    pub(crate) source_system: Option<Party>,
    /// Only tasks that have all these labels.
    #[serde(default)]
    #[schema(value_type = Vec<LabelText>)]
    pub(crate) tags: Vec<Label>,
    /// Only tasks that have all these notes.
    #[serde(default)]
    #[schema(value_type = Vec<AnnotationText>)]
    pub(crate) annotations: Vec<Annotation>,
    /// Only tasks whose contexts have all of this.
    #[serde(default)]
    #[schema(value_type = Vec<ContextText>)]
    pub(crate) context: Vec<Context>,
    /// Only tasks that were created at this time or later.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) created_after: Option<Timestamp>,
    /// Only tasks that were created before this time.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) created_before: Option<Timestamp>,
    /// Only tasks that last changed at this time or later.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) updated_after: Option<Timestamp>,
    /// Only tasks that last changed before this time.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) updated_before: Option<Timestamp>,
}

impl From<Selection> for TaskFilter {
    fn from(wanted: Selection) -> Self {
        Self {
            states: wanted.state,
            namespace: wanted.namespace,
            name: wanted.name,
            version: wanted.version,
            initiator: wanted.initiator.map(|name| name.0),
            source_system: wanted.source_system.map(|name| name.0),
            tags: wanted.tags.into_iter().map(|tag| tag.0).collect(),
            annotations: wanted
                .annotations
                .into_iter()
                .map(|note| (note.0, note.1))
                .collect(),
            context: wanted.context.into_iter().map(|wanted| wanted.0).collect(),
            created: Period {
                after: wanted.created_after,
                before: wanted.created_before,
            },
            updated: Period {
                after: wanted.updated_after,
                before: wanted.updated_before,
            },
            id_prefix: None,
            within: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forms::{ANNOTATION, BEGINNING, PLAIN};
    use super::*;

    #[track_caller]
    fn agrees<T: TryFrom<String>>(pattern: &str, most: usize, text: &str, expected: bool) {
        let schema =
            serde_json::json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": pattern });
        let schema = jsonschema::validator_for(&schema).unwrap();
        assert_eq!(
            schema.is_valid(&Value::from(text)),
            expected,
            "the schema about {text:?}"
        );
        assert_eq!(
            T::try_from(text.to_owned()).is_ok(),
            expected,
            "the program about {text:?}"
        );
    }

    /// The schema and the program refuse the same.
    #[test]
    fn the_schemas_say_what_is_refused() {
        for (text, fits) in [
            ("vip", true),
            ("äöü eu", true),
            ("", false),
            ("a\nb", false),
            ("a\u{85}", false),
        ] {
            agrees::<Label>(PLAIN, LABEL, text, fits);
            agrees::<Party>(PLAIN, PARTY, text, fits);
        }
        for (text, fits) in [
            ("0", true),
            ("0198c2-", true),
            ("019A", false),
            ("", false),
            ("0198c2\n", false),
        ] {
            agrees::<Beginning>(BEGINNING, ID, text, fits);
        }
        agrees::<Beginning>(BEGINNING, ID, &"0".repeat(36), true);
        agrees::<Beginning>(BEGINNING, ID, &"0".repeat(37), false);
        agrees::<Label>(PLAIN, LABEL, &"ü".repeat(128), true);
        agrees::<Label>(PLAIN, LABEL, &"ü".repeat(129), false);
        agrees::<Party>(PLAIN, PARTY, &"ü".repeat(255), true);
        agrees::<Party>(PLAIN, PARTY, &"ü".repeat(256), false);
        for (text, fits) in [
            ("ticket", true),
            ("ticket=", true),
            ("ticket=4711", true),
            ("ticket=a=\n", true),
            ("=4711", false),
            ("", false),
            ("tick\net", false),
        ] {
            agrees::<Annotation>(ANNOTATION, MATCH, text, fits);
        }
        agrees::<Annotation>(ANNOTATION, MATCH, &"n".repeat(129), false);
        agrees::<Annotation>(ANNOTATION, MATCH, &format!("n={}", "v".repeat(1_022)), true);
        agrees::<Annotation>(ANNOTATION, MATCH, &format!("n={}", "v".repeat(1_023)), false);
        for (text, fits) in [
            ("a", true),
            ("a.0.b=", true),
            ("a=b.c=d\n", true),
            ("", false),
            ("a..b", false),
            ("=1", false),
            (".", false),
        ] {
            agrees::<Context>(ContextMatch::PATTERN, MATCH, text, fits);
        }
        agrees::<Context>(ContextMatch::PATTERN, MATCH, &"k".repeat(1_025), false);
    }

    #[test]
    fn a_value_of_a_note_is_json_or_a_text() {
        let read = |text: &str| Annotation::try_from(text.to_owned()).unwrap();
        assert_eq!(read("ticket").1, None);
        assert_eq!(read("ticket=7").1, Some(7.into()));
        assert_eq!(read("ticket=\"7\"").1, Some("7".into()));
        assert_eq!(read("ticket=seven up").1, Some("seven up".into()));
    }
}
