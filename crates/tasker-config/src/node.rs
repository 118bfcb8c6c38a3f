//! What is written, before anyone knows what it means.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use figment::value::{Dict, Value};

use crate::origin::Origin;

/// How many brackets a text may open and still be read as a list or a table, since each may nest.
const BRACKETS: usize = 64;

/// A value or a table, and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) origin: Origin,
    /// The text that it was read from, where its layer knows texts only.
    pub(crate) text: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Table(BTreeMap<String, Node>),
    Value(Value),
    /// A date or a time, which no key takes.
    Moment(String),
}

/// Reads a text by figment's rules.
fn parsed(text: &str) -> Value {
    let plain = in_ascii(text);
    match Value::from_str(&plain).unwrap_or_else(|never| match never {}) {
        // It is no value but text, which stays as it was.
        Value::String(_, same) if *same == *plain => Value::from(text),
        value => value,
    }
}

/// Writes what is not ASCII in quoted texts as escapes: figment takes the numbers of characters for those of bytes when it
/// replaces escapes.
fn in_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    // A quoted text begins where a value or a key does.
    let (mut begins, mut quoted, mut escaped) = (true, false, false);
    for letter in text.chars() {
        if quoted && !escaped && !letter.is_ascii() {
            plain.push_str(&format!("\\U{:08x}", u32::from(letter)));
        } else {
            plain.push(letter);
        }
        if quoted {
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else {
            quoted = begins && letter == '"';
            begins = matches!(letter, '[' | '{' | ',' | '=') || (begins && letter.is_ascii_whitespace());
        }
    }
    Cow::Owned(plain)
}

impl Node {
    /// Returns what was handed over as a value.
    pub(crate) fn of_value(value: Value, origin: &Origin) -> Self {
        let content = match value {
            Value::Dict(_, dict) => Content::Table(
                dict.into_iter()
                    .map(|(key, value)| (key, Self::of_value(value, origin)))
                    .collect(),
            ),
            value => Content::Value(value),
        };
        Self {
            content,
            origin: origin.clone(),
            text: None,
        }
    }

    /// Reads a text: `true`, numbers, `[lists]` and `{tables}` are what they look like, the rest is text.
    pub(crate) fn of_text(text: &str, origin: &Origin) -> Self {
        let brackets = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
        let value = if brackets > BRACKETS {
            Value::from(text)
        } else {
            parsed(text)
        };
        Self {
            text: Some(text.to_owned()),
            ..Self::of_value(value, origin)
        }
    }

    /// Returns tables around this node, one for each name, the innermost first.
    pub(crate) fn within<'a>(self, names: impl Iterator<Item = &'a str>) -> Self {
        names.fold(self, |node, name| {
            let origin = node.origin.clone();
            Self {
                content: Content::Table(BTreeMap::from([(name.to_owned(), node)])),
                origin,
                text: None,
            }
        })
    }

    /// Returns the value, tables as such.
    pub(crate) fn to_value(&self) -> Value {
        match &self.content {
            Content::Value(value) => value.clone(),
            Content::Moment(moment) => Value::from(moment.as_str()),
            Content::Table(table) => {
                let entries = table.iter().map(|(key, node)| (key.clone(), node.to_value()));
                Value::from(entries.collect::<Dict>())
            }
        }
    }
}
