//! The configuration: sections that passed every check, and where their values come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tasker_types::{
    Auth, Backoff, Cache, Database, Engine, Execution, GraphWeights, Health, Key, Limits, Section, Server,
    Telemetry,
};

use crate::literal::literal;
use crate::origin::Origin;

/// All settings: valid, frozen, cheap to copy.
///
/// The default has every value at its default. [`Loader`](crate::Loader) reads the layers above it.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub(crate) sections: Sections,
    pub(crate) provenance: Arc<Provenance>,
}

/// Where the values that are no defaults come from.
#[derive(Debug, Default)]
pub(crate) struct Provenance {
    pub(crate) file: Option<PathBuf>,
    pub(crate) profile: Option<String>,
    pub(crate) origins: BTreeMap<String, Origin>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Sections {
    pub(crate) auth: Arc<Auth>,
    pub(crate) backoff: Arc<Backoff>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) database: Arc<Database>,
    pub(crate) dependency_graph: Arc<GraphWeights>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) execution: Arc<Execution>,
    pub(crate) health: Arc<Health>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) server: Arc<Server>,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// The value of one key, and where it comes from.
#[derive(Clone, Debug)]
pub struct Entry {
    section: &'static str,
    key: String,
    value: serde_json::Value,
    origin: Origin,
}

impl Config {
    /// Returns who may use the service, and how they say who they are.
    pub fn auth(&self) -> &Arc<Auth> {
        &self.sections.auth
    }

    /// Returns how long failed steps wait.
    pub fn backoff(&self) -> &Arc<Backoff> {
        &self.sections.backoff
    }

    /// Returns how long what costs much to work out is kept.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.sections.cache
    }

    /// Returns where tasks are kept.
    pub fn database(&self) -> &Arc<Database> {
        &self.sections.database
    }

    /// Returns what weighs how much when a task is analysed.
    pub fn dependency_graph(&self) -> &Arc<GraphWeights> {
        &self.sections.dependency_graph
    }

    /// Returns what the engine as a whole works on.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.sections.engine
    }

    /// Returns how workers run steps.
    pub fn execution(&self) -> &Arc<Execution> {
        &self.sections.execution
    }

    /// Returns what the service says of its own health, and to whom.
    pub fn health(&self) -> &Arc<Health> {
        &self.sections.health
    }

    /// Returns how large things may be.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.sections.limits
    }

    /// Returns how the service is reached.
    pub fn server(&self) -> &Arc<Server> {
        &self.sections.server
    }

    /// Returns what the program says about itself.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.sections.telemetry
    }

    /// Returns the configuration file that was read.
    pub fn file(&self) -> Option<&Path> {
        self.provenance.file.as_deref()
    }

    /// Returns the profile that applies.
    pub fn profile(&self) -> Option<&str> {
        self.provenance.profile.as_deref()
    }

    /// Returns where the value of a key comes from, such as `execution.lease_seconds`.
    ///
    /// A key that does not exist has nobody who set it.
    pub fn origin(&self, key: &str) -> &Origin {
        self.provenance.origins.get(key).unwrap_or(&Origin::Default)
    }

    /// Returns every key with its value, section by section, in the order of the reference.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let Sections {
            auth,
            backoff,
            cache,
            database,
            dependency_graph,
            engine,
            execution,
            health,
            limits,
            server,
            telemetry,
        } = &self.sections;
        self.enter(&**auth, &mut entries);
        self.enter(&**backoff, &mut entries);
        self.enter(&**cache, &mut entries);
        self.enter(&**database, &mut entries);
        self.enter(&**dependency_graph, &mut entries);
        self.enter(&**engine, &mut entries);
        self.enter(&**execution, &mut entries);
        self.enter(&**health, &mut entries);
        self.enter(&**limits, &mut entries);
        self.enter(&**server, &mut entries);
        self.enter(&**telemetry, &mut entries);
        entries
    }

    fn enter<S: Section + Serialize>(&self, section: &S, entries: &mut Vec<Entry>) {
        // A number that JSON cannot hold does not pass the checks, so every section can be written.
        let written = serde_json::to_value(section).unwrap_or_default();
        self.enter_table(S::NAME, S::KEYS, "", &written, entries);
    }

    fn enter_table(
        &self,
        section: &'static str,
        keys: &'static [Key],
        prefix: &str,
        table: &serde_json::Value,
        entries: &mut Vec<Entry>,
    ) {
        for key in keys {
            let value = &table[key.name];
            let name = format!("{prefix}{}", key.name);
            if key.keys.is_empty() {
                let origin = self.origin(&format!("{section}.{name}")).clone();
                entries.push(Entry {
                    section,
                    key: name,
                    value: value.clone(),
                    origin,
                });
            } else {
                self.enter_table(section, key.keys, &format!("{name}."), value, entries);
            }
        }
    }
}

impl Entry {
    /// Returns the section.
    pub fn section(&self) -> &'static str {
        self.section
    }

    /// Returns the key within its section, with dots between tables.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the value; null is a value that is not set.
    pub fn value(&self) -> &serde_json::Value {
        &self.value
    }

    /// Returns the value as a configuration file spells it; a value that is not set has no spelling.
    pub fn literal(&self) -> Option<String> {
        (!self.value.is_null()).then(|| literal(&self.value))
    }

    /// Returns where the value comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}
