//! Puts the layers on one another.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::{Deserialize, Serialize};
use tasker_types::{Section, SettingFault, nearest};

use crate::config::{Config, Provenance, Sections};
use crate::environment::{Environment, PREFIX, RESERVED};
use crate::fault::{Fault, FaultKind, Faults};
use crate::file;
use crate::literal::literal;
use crate::node::Node;
use crate::origin::Origin;
use crate::reader::{FileLayers, Layer, read_file, read_root};
use crate::schema::{SECTIONS, Schema, nested};

/// The name of the configuration file that is looked for.
pub const FILE_NAME: &str = "tasker.toml";

/// How many names a key may have, the section among them; what is before them is no section then.
const PARTS: usize = 16;

/// Reads the layers of the configuration. Later ones win: defaults, file, profile, environment, command line, program.
///
/// A new loader has no layer but the defaults.
#[derive(Clone, Debug, Default)]
#[must_use = "a loader does nothing until it loads"]
pub struct Loader {
    file: Option<PathBuf>,
    search: Option<PathBuf>,
    profile: Option<String>,
    environment: Environment,
    arguments: Vec<(String, String)>,
    program: Vec<(String, Result<Value, String>)>,
}

impl Loader {
    /// Returns a loader with no layer but the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads this file, which must exist. It counts more than `TASKER_CONFIG`.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Reads `tasker.toml` of the current directory if it exists and no file is named.
    pub fn search(self) -> Self {
        self.search_in(PathBuf::new())
    }

    /// Reads `tasker.toml` of a directory if it exists and no file is named.
    pub fn search_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.search = Some(directory.into());
        self
    }

    /// Applies this profile of the file. It counts more than `TASKER_PROFILE`.
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// Reads `TASKER_CONFIG`, `TASKER_PROFILE` and every `TASKER_<SECTION>__<KEY>` of an environment.
    pub fn environment(mut self, environment: &Environment) -> Self {
        self.environment = environment.clone();
        self
    }

    /// Adds a value of the command line; the key is such as `execution.lease_seconds`.
    pub fn argument(mut self, key: impl Into<String>, text: impl Into<String>) -> Self {
        self.arguments.push((key.into(), text.into()));
        self
    }

    /// Adds a value of the program; the key is such as `execution.lease_seconds`.
    pub fn set(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        let value = Value::serialize(value).map_err(|error| error.to_string());
        self.program.push((key.into(), value));
        self
    }

    /// Reads and checks all layers.
    ///
    /// # Errors
    ///
    /// All faults of all layers.
    pub fn load(&self) -> Result<Config, Faults> {
        let mut faults = Vec::new();
        let (file, FileLayers { base, mut profiles }) = self.load_file(&mut faults);
        let profile = self.load_profile(&mut profiles, file.as_deref(), &mut faults);
        let (name, profile) = profile.unzip();
        let layers = [
            base,
            profile.unwrap_or_default(),
            self.load_environment(&mut faults),
            self.load_arguments(&mut faults),
            self.load_program(&mut faults),
        ];
        let merged = Merged::of(&layers);
        let sections = merged.sections(&mut faults);
        if !faults.is_empty() {
            faults.sort_by_key(|fault| (rank(&fault.origin), fault.line()));
            return Err(Faults(faults));
        }
        let provenance = Provenance {
            file,
            profile: name,
            origins: merged.origins,
        };
        Ok(Config {
            sections,
            provenance: Arc::new(provenance),
        })
    }

    fn load_file(&self, faults: &mut Vec<Fault>) -> (Option<PathBuf>, FileLayers) {
        let named = self.file.clone().or_else(|| self.environment.config_file());
        let found = || self.search.as_ref().map(|directory| directory.join(FILE_NAME));
        let (path, must_exist) = match named {
            Some(path) => (path, Presence::Required),
            None => match found() {
                Some(path) => (path, Presence::Optional),
                None => return (None, FileLayers::default()),
            },
        };
        match file::read(&path, &Origin::in_file(path.clone())) {
            Ok(root) => (Some(path), read_file(&root, faults)),
            Err(found) if must_exist == Presence::Optional && found.iter().any(is_absent) => {
                (None, FileLayers::default())
            }
            Err(found) => {
                faults.extend(found);
                (Some(path), FileLayers::default())
            }
        }
    }

    fn load_profile(
        &self,
        profiles: &mut BTreeMap<String, Layer>,
        file: Option<&Path>,
        faults: &mut Vec<Fault>,
    ) -> Option<(String, Layer)> {
        let (name, origin) = match &self.profile {
            Some(name) => (name.clone(), Origin::Program),
            None => (self.environment.profile()?, variable("TASKER_PROFILE")),
        };
        if let Some(layer) = profiles.remove(&name) {
            return Some((name, layer));
        }
        // A file that cannot be read says nothing about its profiles.
        let unreadable = |fault: &Fault| fault.file() == file && fault.kind.is_about_the_whole_file();
        if file.is_none() || !faults.iter().any(unreadable) {
            let known: Vec<String> = profiles.keys().cloned().collect();
            let kind = FaultKind::UnknownProfile {
                nearest: nearest(&name, known.iter().map(String::as_str)).map(str::to_owned),
                profile: name,
                known,
            };
            faults.push(Fault { kind, origin });
        }
        None
    }

    fn load_environment(&self, faults: &mut Vec<Fault>) -> Layer {
        let mut layer = Layer::default();
        for (name, value) in self.environment.ours() {
            let Some(name) = name.to_str() else {
                let name = name.to_string_lossy();
                let kind = FaultKind::UnknownVariable {
                    nearest: nearest_variable(&name),
                };
                faults.push(Fault {
                    kind,
                    origin: variable(&name),
                });
                continue;
            };
            if RESERVED.contains(&name) {
                continue;
            }
            let key = name.strip_prefix(PREFIX).unwrap_or(name);
            if !key.contains("__") || key.contains(|c: char| c.is_lowercase()) {
                let kind = FaultKind::UnknownVariable {
                    nearest: nearest_variable(name),
                };
                faults.push(Fault {
                    kind,
                    origin: variable(name),
                });
                continue;
            }
            read_variable(name, &key.to_ascii_lowercase(), value, &mut layer, faults);
        }
        layer
    }

    fn load_arguments(&self, faults: &mut Vec<Fault>) -> Layer {
        let mut layer = Layer::default();
        for (key, text) in &self.arguments {
            let node = Node::of_text(text, &Origin::CommandLine).within(key.rsplitn(PARTS, '.'));
            read_root(&node, &mut layer, faults);
        }
        layer
    }

    fn load_program(&self, faults: &mut Vec<Fault>) -> Layer {
        let mut layer = Layer::default();
        for (key, value) in &self.program {
            match value {
                Ok(value) => {
                    let node =
                        Node::of_value(value.clone(), &Origin::Program).within(key.rsplitn(PARTS, '.'));
                    read_root(&node, &mut layer, faults);
                }
                Err(reason) => {
                    let value = "what cannot be written".to_owned();
                    let kind = FaultKind::Rejected {
                        key: key.clone(),
                        value,
                        reason: reason.clone(),
                    };
                    faults.push(Fault {
                        kind,
                        origin: Origin::Program,
                    });
                }
            }
        }
        layer
    }
}

/// Whether a file must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

fn is_absent(fault: &Fault) -> bool {
    matches!(&fault.kind, FaultKind::Unreadable { source } if source.kind() == io::ErrorKind::NotFound)
}

fn read_variable(name: &str, key: &str, value: &OsStr, layer: &mut Layer, faults: &mut Vec<Fault>) {
    let origin = variable(name);
    match value.to_str() {
        Some(text) => read_root(
            &Node::of_text(text, &origin).within(key.rsplitn(PARTS, "__")),
            layer,
            faults,
        ),
        None => faults.push(Fault {
            kind: FaultKind::NotUnicode,
            origin,
        }),
    }
}

fn variable(name: &str) -> Origin {
    Origin::Environment {
        variable: name.to_owned(),
    }
}

fn nearest_variable(name: &str) -> Option<String> {
    let keys = SECTIONS.iter().flat_map(|section| {
        section
            .leaves()
            .into_iter()
            .map(|(key, _)| section.variable(&key))
            .collect::<Vec<_>>()
    });
    let known: Vec<String> = RESERVED
        .iter()
        .map(|name| (*name).to_owned())
        .chain(keys)
        .collect();
    // What all have in common makes none of them nearer.
    let own = |name: &'_ str| name.get(PREFIX.len()..).unwrap_or_default().to_owned();
    let parts: Vec<String> = known.iter().map(|name| own(name)).collect();
    if let Some(part) = nearest(&own(name), parts.iter().map(String::as_str)) {
        return Some(format!("{PREFIX}{part}"));
    }
    // A key without its section is meant if it is the only one of its name.
    let written = own(name).replace('_', "").to_ascii_uppercase();
    let is_key = |part: &&String| {
        part.rsplit("__")
            .next()
            .is_some_and(|key| key.replace('_', "") == written)
    };
    let mut keys = parts.iter().filter(is_key);
    match (keys.next(), keys.next()) {
        (Some(part), None) => Some(format!("{PREFIX}{part}")),
        _ => None,
    }
}

/// Returns which layer a place belongs to.
fn rank(origin: &Origin) -> u8 {
    match origin {
        Origin::Default => 0,
        // By line, the profiles of a file are not apart from its sections.
        Origin::File { .. } | Origin::Profile { .. } => 1,
        Origin::Environment { .. } => 2,
        Origin::CommandLine => 3,
        Origin::Program => 4,
    }
}

/// The layers, put on one another.
struct Merged {
    values: Value,
    origins: BTreeMap<String, Origin>,
    wrong: Vec<String>,
}

impl Merged {
    fn of(layers: &[Layer]) -> Self {
        let merge = |figment: Figment, (index, layer)| figment.merge(Numbered { index, layer });
        let figment = layers.iter().enumerate().fold(Figment::new(), merge);
        // Nothing here can fail: there is one profile, and every layer is a table.
        let values = figment
            .find_value("")
            .unwrap_or_else(|_| Value::from(Dict::new()));
        let mut origins = BTreeMap::new();
        for key in layers.iter().flat_map(|layer| layer.values.keys()) {
            let tag = values.find_ref(key).map(Value::tag);
            let layer = tag
                .and_then(|tag| layer_of(&figment, tag))
                .and_then(|index| layers.get(index));
            if let Some((_, origin)) = layer.and_then(|layer| layer.values.get(key)) {
                origins.insert(key.clone(), origin.clone());
            }
        }
        let wrong = layers
            .iter()
            .flat_map(|layer| layer.wrong.iter().cloned())
            .collect();
        Self {
            values,
            origins,
            wrong,
        }
    }

    fn sections(&self, faults: &mut Vec<Fault>) -> Sections {
        Sections {
            auth: self.section(faults),
            backoff: self.section(faults),
            cache: self.section(faults),
            database: self.section(faults),
            dependency_graph: self.section(faults),
            engine: self.section(faults),
            execution: self.section(faults),
            health: self.section(faults),
            limits: self.section(faults),
            server: self.section(faults),
            telemetry: self.section(faults),
        }
    }

    /// Checks a section as a whole.
    fn section<S: Section + Default>(&self, faults: &mut Vec<Fault>) -> Arc<S> {
        let empty = Value::from(Dict::new());
        let table = self.values.find_ref(S::NAME).unwrap_or(&empty);
        let values = match S::Values::deserialize(table) {
            Ok(values) => values,
            Err(error) => {
                // Every value fits by itself, so this is a section that a table of good values does not fit.
                let kind = FaultKind::Rejected {
                    key: S::NAME.to_owned(),
                    value: "a table".to_owned(),
                    reason: error.to_string(),
                };
                faults.push(Fault {
                    kind,
                    origin: Origin::Program,
                });
                return Arc::default();
            }
        };
        let written = serde_json::to_value(&values).unwrap_or_default();
        match S::check(values) {
            Ok(section) => Arc::new(section),
            Err(found) => {
                faults.extend(
                    found
                        .faults
                        .iter()
                        .filter_map(|fault| self.broken(S::NAME, fault, &written)),
                );
                Arc::default()
            }
        }
    }

    /// Describes a constraint that is broken, unless it is about a value that was refused already.
    fn broken(&self, section: &str, fault: &SettingFault, written: &serde_json::Value) -> Option<Fault> {
        let compared = Schema::find(section)?.compared(fault);
        let key = format!("{section}.{}", fault.key);
        let full = |other: &String| format!("{section}.{other}");
        let involved: Vec<String> = std::iter::once(key.clone())
            .chain(compared.iter().map(full))
            .collect();
        if self
            .wrong
            .iter()
            .any(|wrong| involved.iter().any(|key| is_within(wrong, key)))
        {
            return None;
        }
        let set = self
            .origins
            .iter()
            .filter(|(set, _)| involved.iter().any(|key| is_within(set, key)));
        let origin = set
            .map(|(_, origin)| origin)
            .max_by_key(|origin| (rank(origin), origin.line()));
        let value_of = |key: &str| key.split('.').fold(written, |value, part| &value[part]);
        let others = compared.iter().map(|other| {
            let origin = self.origins.get(&full(other)).cloned().unwrap_or(Origin::Default);
            (other.clone(), literal(value_of(other)), origin)
        });
        let value = match value_of(&fault.key) {
            serde_json::Value::Null | serde_json::Value::Object(_) => fault.value.clone(),
            value => literal(value),
        };
        let kind = FaultKind::Constraint {
            key,
            value,
            must: fault.must.clone(),
            others: others.collect(),
        };
        Some(Fault {
            kind,
            origin: origin.cloned().unwrap_or(Origin::Default),
        })
    }
}

/// Tells whether a key is another one or lies in its table.
fn is_within(key: &str, table: &str) -> bool {
    key.strip_prefix(table)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn layer_of(figment: &Figment, tag: Tag) -> Option<usize> {
    figment.get_metadata(tag)?.name.parse().ok()
}

/// A layer as figment takes it: named by its number, by which its values are found again.
struct Numbered<'a> {
    index: usize,
    layer: &'a Layer,
}

impl Provider for Numbered<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.index.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut dict = Dict::new();
        for (key, (value, _)) in &self.layer.values {
            insert(&mut dict, key, value.clone());
        }
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

fn insert(dict: &mut Dict, key: &str, value: Value) {
    let Some((table, rest)) = key.split_once('.') else {
        dict.insert(key.to_owned(), value);
        return;
    };
    match dict.get_mut(table) {
        Some(Value::Dict(_, inner)) => insert(inner, rest, value),
        _ => {
            dict.insert(table.to_owned(), nested(rest, value));
        }
    }
}
