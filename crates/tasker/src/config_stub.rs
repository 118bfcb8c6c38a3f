//! Stands in for the crate that is being written.

use std::sync::Arc;
use tasker_types::{Backoff, Database, Engine, Execution, Limits, Telemetry};

/// All settings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub(crate) backoff: Arc<Backoff>,
    database: Arc<Database>,
    engine: Arc<Engine>,
    execution: Arc<Execution>,
    limits: Arc<Limits>,
    telemetry: Arc<Telemetry>,
}

impl Config {
    /// Section.
    pub fn backoff(&self) -> &Arc<Backoff> {
        &self.backoff
    }
    /// Section.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }
    /// Section.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
    /// Section.
    pub fn execution(&self) -> &Arc<Execution> {
        &self.execution
    }
    /// Section.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }
    /// Section.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }
}
