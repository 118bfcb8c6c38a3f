//! What there is to configure, for the reference page and for help.

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
    /// What it means.
    pub doc: &'static str,
    /// What its values are: a number, a list of strings, …
    pub expected: String,
    /// What its values must satisfy besides; empty when every value of its type will do.
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
                doc: key.doc.trim(),
                expected: section.expected(&name),
                constraint: key.constraint,
                default: default(section.name, &name),
                variable: section.variable(&name),
                name,
            })
            .collect(),
    });
    sections.collect()
}
