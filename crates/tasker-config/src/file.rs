//! Reads a configuration file: TOML to nodes that know their lines.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use figment::value::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fault::{Fault, FaultKind};
use crate::node::{Content, Node};
use crate::origin::Origin;

/// How many bytes a configuration file may have.
const LIMIT: u64 = 1 << 20;

/// Reads a file.
pub(crate) fn read(path: &Path, origin: &Origin) -> Result<Node, Vec<Fault>> {
    let fault = |kind| {
        vec![Fault {
            kind,
            origin: origin.clone(),
        }]
    };
    let bytes = bytes(path).map_err(|error| {
        fault(FaultKind::Unreadable {
            source: Arc::new(error),
        })
    })?;
    if bytes.len() as u64 > LIMIT {
        return Err(fault(FaultKind::TooLarge { limit: LIMIT }));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = line_of(error.as_bytes(), valid);
        vec![Fault {
            kind: FaultKind::NotText,
            origin: origin.at(line),
        }]
    })?;
    parse(&text, origin)
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(text: &str, origin: &Origin) -> Result<Node, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::of(text);
    if errors.is_empty() {
        return Ok(node_of_table(table.get_ref(), origin.clone(), &lines));
    }
    let fault = |error: toml::de::Error| {
        let origin = error
            .span()
            .map_or_else(|| origin.clone(), |span| origin.at(lines.of_byte(span.start)));
        Fault {
            kind: FaultKind::Syntax {
                message: error.message().to_owned(),
            },
            origin,
        }
    };
    Err(errors.into_iter().map(fault).collect())
}

fn node_of_table(table: &DeTable<'_>, origin: Origin, lines: &Lines) -> Node {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let place = origin.at(lines.of_byte(key.span().start));
        (ToString::to_string(key.get_ref()), node(value, place, lines))
    };
    Node {
        content: Content::Table(table.iter().map(entry).collect()),
        origin: origin.clone(),
        text: None,
    }
}

fn node(value: &Spanned<DeValue<'_>>, origin: Origin, lines: &Lines) -> Node {
    let content = match value.get_ref() {
        DeValue::Table(table) => return node_of_table(table, origin, lines),
        DeValue::Datetime(moment) => Content::Moment(moment.to_string()),
        other => Content::Value(plain(other)),
    };
    Node {
        content,
        origin,
        text: None,
    }
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::from(number),
            // Too large to be any number here; shown as it is written.
            Err(_) => Value::from(number.to_string()),
        },
        DeValue::Float(number) => Value::from(number.as_str().parse::<f64>().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::from(*truth),
        DeValue::Datetime(moment) => Value::from(moment.to_string()),
        DeValue::Array(values) => values
            .iter()
            .map(|value| plain(value.get_ref()))
            .collect::<Vec<_>>()
            .into(),
        DeValue::Table(table) => {
            let entries = table
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref())));
            Value::from(entries.collect::<figment::value::Dict>())
        }
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect())
    }

    /// Returns the line of a byte, from 1.
    fn of_byte(&self, byte: usize) -> u64 {
        self.0.partition_point(|begin| *begin <= byte) as u64
    }
}

fn line_of(bytes: &[u8], byte: usize) -> u64 {
    let before = bytes.iter().take(byte);
    before.filter(|byte| **byte == b'\n').count() as u64 + 1
}
