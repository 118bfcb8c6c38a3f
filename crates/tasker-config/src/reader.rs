//! Compares what is written with what there is.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::Value;
use tasker_types::{Key, nearest};

use crate::fault::{Fault, FaultKind};
use crate::literal::shown_of;
use crate::node::{Content, Node};
use crate::origin::Origin;
use crate::schema::{PATHS, Refusal, SECTIONS, Schema};

/// The name of the table that holds the profiles of a file.
const PROFILES: &str = "profiles";

/// The values of one layer, each right by itself.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) values: BTreeMap<String, (Value, Origin)>,
    /// Keys whose values in this layer are wrong by themselves.
    pub(crate) wrong: Vec<String>,
}

/// A file, taken apart.
#[derive(Debug, Default)]
pub(crate) struct FileLayers {
    pub(crate) base: Layer,
    pub(crate) profiles: BTreeMap<String, Layer>,
}

/// Takes a file apart into its sections and its profiles.
pub(crate) fn read_file(root: &Node, faults: &mut Vec<Fault>) -> FileLayers {
    let mut layers = FileLayers::default();
    let Content::Table(table) = &root.content else {
        return layers;
    };
    let mut sections = table.clone();
    if let Some(profiles) = sections.remove(PROFILES) {
        layers.profiles = read_profiles(&profiles, faults);
    }
    read_sections(&sections, &mut layers.base, faults, &[PROFILES]);
    layers
}

fn read_profiles(profiles: &Node, faults: &mut Vec<Fault>) -> BTreeMap<String, Layer> {
    let mut layers = BTreeMap::new();
    for (name, profile) in table(PROFILES, profiles, faults) {
        let mut layer = Layer::default();
        let sections = table(&format!("{PROFILES}.{name}"), profile, faults);
        let found = faults.len();
        read_sections(sections, &mut layer, faults, &[]);
        let within = |origin: &mut Origin| {
            if let Origin::File { path, line } = origin {
                *origin = Origin::Profile {
                    profile: name.as_str().into(),
                    path: path.clone(),
                    line: *line,
                };
            }
        };
        faults
            .iter_mut()
            .skip(found)
            .for_each(|fault| within(&mut fault.origin));
        layer.values.values_mut().for_each(|(_, origin)| within(origin));
        layers.insert(name.clone(), layer);
    }
    layers
}

/// Adds a node whose names begin with a section.
pub(crate) fn read_root(root: &Node, layer: &mut Layer, faults: &mut Vec<Fault>) {
    if let Content::Table(sections) = &root.content {
        read_sections(sections, layer, faults, &[]);
    }
}

fn read_sections(
    sections: &BTreeMap<String, Node>,
    layer: &mut Layer,
    faults: &mut Vec<Fault>,
    besides: &[&str],
) {
    for (name, node) in sections {
        if let Some(schema) = Schema::find(name) {
            let mut reader = Reader {
                schema,
                layer,
                faults,
            };
            reader.table(schema.keys, "", node);
        } else {
            let known: Vec<String> = SECTIONS
                .iter()
                .map(|section| section.name)
                .chain(besides.iter().copied())
                .map(Into::into)
                .collect();
            faults.push(Fault {
                kind: FaultKind::UnknownSection {
                    section: name.clone(),
                    nearest: nearest(name, known.iter().map(String::as_str)).map(str::to_owned),
                    known,
                },
                origin: node.origin.clone(),
            });
        }
    }
}

fn table<'n>(key: &str, node: &'n Node, faults: &mut Vec<Fault>) -> &'n BTreeMap<String, Node> {
    static EMPTY: BTreeMap<String, Node> = BTreeMap::new();
    if let Content::Table(table) = &node.content {
        return table;
    }
    let kind = FaultKind::WrongType {
        key: key.to_owned(),
        value: shown_of(key, &node.to_value()),
        expected: "a table".to_owned(),
    };
    faults.push(Fault {
        kind,
        origin: node.origin.clone(),
    });
    &EMPTY
}

/// Reads the tables of one section.
struct Reader<'a> {
    schema: &'static Schema,
    layer: &'a mut Layer,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    /// Reads a table; the prefix is that of its keys within the section.
    fn table(&mut self, keys: &'static [Key], prefix: &str, node: &Node) {
        let name = format!("{}.{prefix}", self.schema.name);
        for (name, node) in table(name.trim_end_matches('.'), node, self.faults) {
            let path = format!("{prefix}{name}");
            match keys.iter().find(|key| key.name == name) {
                Some(key) if key.keys.is_empty() => self.value(&path, node),
                Some(key) => self.table(key.keys, &format!("{path}."), node),
                None => self.unknown(keys, name, &path, node),
            }
        }
    }

    fn unknown(&mut self, keys: &'static [Key], name: &str, path: &str, node: &Node) {
        let nearest = nearest(name, keys.iter().map(|key| key.name)).map(str::to_owned);
        let kind = FaultKind::UnknownKey {
            key: self.full(path),
            value: shown_of(name, &node.to_value()),
            nearest: nearest.or_else(|| elsewhere(name)),
            known: keys.iter().map(|key| key.name.to_owned()).collect(),
        };
        self.faults.push(Fault {
            kind,
            origin: node.origin.clone(),
        });
    }

    fn value(&mut self, path: &str, node: &Node) {
        let key = self.full(path);
        match self.checked(path, node) {
            Ok(value) => {
                let value = relative_to_file(&key, value, &node.origin);
                self.layer.values.insert(key, (value, node.origin.clone()));
            }
            Err(kind) => {
                self.layer.wrong.push(key);
                self.faults.push(Fault {
                    kind,
                    origin: node.origin.clone(),
                });
            }
        }
    }

    /// Checks all of a value that can be checked without looking at others.
    fn checked(&self, path: &str, node: &Node) -> Result<Value, FaultKind> {
        let key = self.full(path);
        let read = node.to_value();
        let wrong_type = |value| FaultKind::WrongType {
            key: key.clone(),
            value,
            expected: self.schema.expected(path),
        };
        if let Content::Moment(moment) = &node.content {
            return Err(wrong_type(moment.clone()));
        }
        let (value, broken) = match self.schema.probe(path, read.clone()) {
            Ok(broken) => (read, broken),
            Err(refusal) => {
                // Where all is text, a text may look like a number.
                let text = node.text.as_deref().map(Value::from);
                let as_text = text.and_then(|text| Some((text.clone(), self.schema.probe(path, text).ok()?)));
                as_text.ok_or_else(|| match refusal {
                    Refusal::Content(reason) => FaultKind::Rejected {
                        key: key.clone(),
                        value: shown_of(&key, &read),
                        reason,
                    },
                    Refusal::Type(_) | Refusal::Variant(_) => wrong_type(shown_of(&key, &read)),
                })?
            }
        };
        let by_itself =
            |fault: &&tasker_types::SettingFault| fault.key == path && self.schema.compared(fault).is_empty();
        match broken.iter().find(by_itself) {
            None => Ok(value),
            Some(fault) => {
                let value = shown_of(&key, &value);
                Err(FaultKind::Constraint {
                    key,
                    value,
                    must: fault.must.clone(),
                    others: Vec::new(),
                })
            }
        }
    }

    fn full(&self, path: &str) -> String {
        format!("{}.{path}", self.schema.name)
    }
}

/// Returns the key of this name of another table, if there is only one, with its section.
fn elsewhere(name: &str) -> Option<String> {
    let keys = SECTIONS.iter().flat_map(|section| {
        let leaves = section.leaves().into_iter();
        leaves.map(|(key, _)| format!("{}.{key}", section.name))
    });
    let mut same = keys.filter(|key| key.rsplit('.').next() == Some(name));
    match (same.next(), same.next()) {
        (Some(key), None) => Some(key),
        _ => None,
    }
}

/// Makes the paths of a file independent of where the program runs.
fn relative_to_file(key: &str, value: Value, origin: &Origin) -> Value {
    match origin.file().and_then(|file| file.parent()) {
        Some(directory) if PATHS.contains(&key) => in_directory(directory, value),
        _ => value,
    }
}

/// Returns a path as it is seen from a directory, and each path of a list.
fn in_directory(directory: &Path, value: Value) -> Value {
    match value {
        Value::String(_, path) => Value::from(directory.join(path).to_string_lossy().into_owned()),
        Value::Array(_, paths) => {
            let paths = paths.into_iter().map(|path| in_directory(directory, path));
            Value::from(paths.collect::<Vec<_>>())
        }
        // A table of a list names its file.
        Value::Dict(tag, table) => {
            let entries = table.into_iter().map(|(name, value)| match name.as_str() {
                "file" => (name, in_directory(directory, value)),
                _ => (name, value),
            });
            Value::Dict(tag, entries.collect())
        }
        value => value,
    }
}
