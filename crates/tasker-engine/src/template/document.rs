//! A YAML (or JSON) text as a tree whose nodes know their lines.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};
use tasker_types::Limits;

use super::faults::Findings;

/// How many lists and tables may contain one another, aliases written out.
///
/// It is well below the depth at which JSON, as which templates are stored, is no longer read.
pub(super) const DEEPEST: usize = 64;

/// How many nodes, and how many bytes of texts, aliases may add to what a file says itself.
const REPEATED_NODES: usize = 100_000;
const REPEATED_BYTES: usize = 4 << 20;

/// Enough for the deepest text in an unoptimized build, many times over.
const STACK: usize = 64 << 20;

/// A value and the line where it is written.
#[derive(Clone, Debug)]
pub(super) struct Marked<T> {
    pub(super) value: T,
    pub(super) line: Option<u64>,
}

impl<T> Marked<T> {
    /// Returns a value that is written nowhere.
    pub(super) fn plain(value: T) -> Self {
        Self { value, line: None }
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Marked<U> {
        Marked {
            value: change(self.value),
            line: self.line,
        }
    }
}

/// A node of the tree.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Scalar(Value),
    List(Vec<Marked<Node>>),
    Map(Vec<(Marked<String>, Marked<Node>)>),
}

impl Node {
    /// Returns what kind of value this is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Scalar(Value::Null) => "nothing",
            Self::Scalar(Value::Bool(_)) => "true or false",
            Self::Scalar(Value::Number(_)) => "a number",
            Self::Scalar(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a table",
        }
    }

    /// Tells whether nothing is written.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(Value::Null))
    }

    /// Returns the tree as a JSON value. Of a key that is there twice the last counts.
    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::List(items) => items.iter().map(|item| item.value.to_value()).collect(),
            Self::Map(fields) => {
                let fields = fields
                    .iter()
                    .map(|(key, value)| (key.value.clone(), value.value.to_value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// Returns the tree of a JSON value; its lines are not known.
    pub(super) fn from_value(value: Value) -> Self {
        match value {
            Value::Array(items) => Self::List(
                items
                    .into_iter()
                    .map(|item| Marked::plain(Self::from_value(item)))
                    .collect(),
            ),
            Value::Object(fields) => Self::Map(
                fields
                    .into_iter()
                    .map(|(key, value)| (Marked::plain(key), Marked::plain(Self::from_value(value))))
                    .collect(),
            ),
            scalar => Self::Scalar(scalar),
        }
    }

    /// Reports every key that is there twice in one table.
    pub(super) fn report_duplicate_keys(&self, findings: &mut Findings) {
        let mut waiting = vec![self];
        while let Some(node) = waiting.pop() {
            match node {
                Self::Scalar(_) => {}
                Self::List(items) => waiting.extend(items.iter().map(|item| &item.value)),
                Self::Map(fields) => {
                    let mut first = std::collections::BTreeMap::new();
                    for (key, value) in fields {
                        if let Some(line) = first.insert(&key.value, key.line) {
                            let before =
                                line.map_or(String::new(), |line| format!(" (first in line {line})"));
                            findings.fault(
                                key.line,
                                "duplicate_key",
                                format!("the key `{}` is there twice{before}; remove one", key.value),
                            );
                        }
                        waiting.push(&value.value);
                    }
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        Number::from_f64(value)
            .map(|number| Node::Scalar(Value::Number(number)))
            .ok_or_else(|| E::custom(format!("{value} is no number that JSON has")))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(Value::String(value.to_owned())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Node>>()? {
            list.push(marked(item));
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = fields.next_entry::<Spanned<String>, Spanned<Node>>()? {
            map.push((marked(key), marked(value)));
        }
        Ok(Node::Map(map))
    }
}

fn marked<T>(spanned: Spanned<T>) -> Marked<T> {
    let line = spanned.referenced.line();
    Marked {
        value: spanned.value,
        line: (line > 0).then_some(line),
    }
}

/// Reads a text. `None` when it cannot be read; the findings then say why.
///
/// It is read on a thread of its own: the reader recurses, and a caller's stack may be small.
pub(super) fn read(text: &str, limits: &Limits, findings: &mut Findings) -> Option<Node> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new()
            .name("template".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, || parse(text, limits, findings));
        match reader.map(|reader| reader.join()) {
            Ok(Ok(node)) => node,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // The caller's findings are free again: the thread never began.
            Err(_) => None,
        }
    })
}

fn parse(text: &str, limits: &Limits, findings: &mut Findings) -> Option<Node> {
    let aliases = limits.yaml_aliases as usize;
    let size = text.len().max(1_024);
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: aliases,
            max_anchors: aliases.max(1_000),
            max_documents: 1,
            max_depth: DEEPEST,
            // A text of so many bytes cannot have more events, nodes or comments than it has bytes; the rest is for
            // aliases, which count as if they were written out.
            max_events: size * 2 + REPEATED_NODES,
            max_nodes: size * 2 + REPEATED_NODES,
            max_total_scalar_bytes: size * 2 + REPEATED_BYTES,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
    };
    match serde_saphyr::from_str_with_options::<Node>(text, options) {
        Ok(node) => Some(node),
        Err(error) => {
            report(&error, limits, findings);
            None
        }
    }
}

fn report(error: &serde_saphyr::Error, limits: &Limits, findings: &mut Findings) {
    let line = error
        .location()
        .map(|location| location.line())
        .filter(|line| *line > 0);
    let message = error.without_snippet().to_string();
    if message.contains("liases") {
        let limit = limits.yaml_aliases;
        findings.fault(
            line,
            "too_many_aliases",
            format!("the file uses more than {limit} aliases (`*name`); write the values out, or raise `limits.yaml_aliases`"),
        );
    } else if message.contains("recursion limit exceeded") || message.contains("breached: Depth") {
        findings.fault(line, "too_deep", too_deep("the file"));
    } else if message.contains("recursive references") {
        let message = "an alias (`*name`) stands within the value that it names; write the value out";
        findings.fault(line, "alias_of_itself", message);
    } else if message.contains("budget breached: Documents") {
        let message = "the file has several documents (`---`); put each template in a file of its own";
        findings.fault(line, "several_documents", message);
    } else if message.contains("budget breached") || message.contains("alias replay") {
        let message =
            "the file's aliases (`*name`) repeat so much that it is too large; write less, or less often";
        findings.fault(line, "too_many_aliases", message);
    } else {
        findings.fault(line, "syntax", format!("this is no valid YAML: {message}"));
    }
}

/// Says that something is nested too deep.
pub(super) fn too_deep(what: &str) -> String {
    format!("{what} is nested more than {DEEPEST} levels deep; make it flatter")
}
