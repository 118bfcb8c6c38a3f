//! What there is to configure, for the reference page and for help.

use tasker_types::{Bounds, Key};

use crate::config::Config;
use crate::schema::SECTIONS;

/// A section.
#[derive(Clone, Debug)]
pub struct SectionReference {
    /// Its name in files and in the environment.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its keys.
    pub keys: Vec<KeyReference>,
}

/// A key.
#[derive(Clone, Debug)]
pub struct KeyReference {
    /// The key within its section, with dots between tables.
    pub name: String,
    /// What it means: first what its tables are about, if it lies in any.
    pub doc: String,
    /// What its values are, with their bounds: a number between 0 and 1, a list of strings, …
    pub expected: String,
    /// The bounds of its values.
    pub bounds: Bounds,
    /// What its values must satisfy besides, other values among it; mostly empty.
    pub constraint: &'static str,
    /// The default as a file spells it; none when the key is not set by default.
    pub default: Option<String>,
    /// The variable of the environment that sets it.
    pub variable: String,
}

/// Returns every section and key that there is.
pub fn reference() -> Vec<SectionReference> {
    let defaults = Config::default().entries();
    let default = |section: &str, key: &str| {
        defaults
            .iter()
            .find(|entry| entry.section() == section && entry.key() == key)?
            .literal()
    };
    let sections = SECTIONS.iter().map(|section| SectionReference {
        name: section.name,
        doc: section.doc.trim(),
        keys: section
            .leaves()
            .into_iter()
            .map(|(name, key)| KeyReference {
                doc: doc(section.keys, &name),
                expected: section.expected(&name),
                bounds: key.bounds,
                constraint: key.constraint,
                default: default(section.name, &name),
                variable: section.variable(&name),
                name,
            })
            .collect(),
    });
    sections.collect()
}

/// Returns what a key means, after what the tables around it are about.
fn doc(keys: &'static [Key], name: &str) -> String {
    let mut keys = keys;
    let mut doc = String::new();
    for part in name.split('.') {
        let Some(key) = keys.iter().find(|key| key.name == part) else {
            break;
        };
        doc.push_str(key.doc.trim());
        doc.push('\n');
        keys = key.keys;
    }
    doc.truncate(doc.trim_end().len());
    doc
}
