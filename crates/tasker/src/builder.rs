//! What a Tasker is to be made of.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tasker_config::Config;
use tasker_engine::{Actor, Clock, Enqueuing, Entropy, Flow, Identity, StepHandler, Store, Version};
use tasker_registry::{EventDefinition, Registry};

use crate::compose;
use crate::error::BuildError;
use crate::tasker::Tasker;

/// Puts a [`Tasker`] together. Everything but the store has a default.
#[must_use = "a builder does nothing until `build` is called"]
pub struct TaskerBuilder {
    pub(crate) config: Config,
    pub(crate) keep: Keep,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) entropy: Option<Arc<dyn Entropy>>,
    pub(crate) identity: Option<Arc<dyn Identity>>,
    pub(crate) enqueuing: Option<Arc<dyn Enqueuing>>,
    pub(crate) actor: Actor,
    pub(crate) environment: Option<BTreeMap<String, String>>,
    pub(crate) registry: Arc<Registry<dyn StepHandler>>,
    pub(crate) handlers: Vec<Registration>,
    pub(crate) events: Vec<EventDefinition>,
}

/// Where tasks are to be kept.
#[derive(Debug, Default)]
pub(crate) enum Keep {
    /// Where the configuration says.
    #[default]
    Configured,
    /// In memory: they end with the program.
    Memory,
    /// In this SQLite file.
    Sqlite(PathBuf),
    /// In the PostgreSQL database of this URL.
    Postgres(Secret),
    /// Wherever this store keeps them.
    Store(Arc<dyn Store>),
}

/// A text that is not shown.
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A handler to register.
pub(crate) struct Registration {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) handler: Arc<dyn StepHandler>,
}

/// Returns an empty registry of step handlers, which registers their custom events with them.
pub fn handler_registry() -> Registry<dyn StepHandler> {
    Registry::builder()
        .events(|handler: &(dyn StepHandler + 'static)| handler.events())
        .build()
}

impl Default for TaskerBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            keep: Keep::default(),
            clock: None,
            entropy: None,
            identity: None,
            enqueuing: None,
            actor: Actor::User("program".to_owned()),
            environment: None,
            registry: Arc::new(handler_registry()),
            handlers: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl std::fmt::Debug for TaskerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskerBuilder")
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

impl TaskerBuilder {
    /// Takes this configuration instead of the defaults.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Keeps tasks in a directory, in the SQLite file `tasker.db`. The directory is made if it is not there.
    pub fn data_directory(self, directory: impl Into<PathBuf>) -> Self {
        let path = directory.into().join(compose::DATABASE_FILE);
        self.sqlite(path)
    }

    /// Keeps tasks in a SQLite file. It is made if it is not there.
    pub fn sqlite(mut self, path: impl Into<PathBuf>) -> Self {
        self.keep = Keep::Sqlite(path.into());
        self
    }

    /// Keeps tasks in a PostgreSQL database, named by a URL such as `postgres://ann:secret@host/tasks`. Call
    /// [`connect`](Self::connect) then, instead of [`build`](Self::build).
    pub fn postgres(mut self, url: impl Into<String>) -> Self {
        self.keep = Keep::Postgres(Secret(url.into()));
        self
    }

    /// Keeps tasks in memory. They end with the program.
    pub fn memory(mut self) -> Self {
        self.keep = Keep::Memory;
        self
    }

    /// Keeps tasks in a store that the program brings along.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.keep = Keep::Store(store);
        self
    }

    /// Takes the time from this clock instead of the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Takes ids, tokens and jitter from here instead of from the system.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Gives tasks their identity in this way, whatever `engine.identity_strategy` says; by default each is its own.
    pub fn identity(mut self, strategy: impl Identity + 'static) -> Self {
        self.identity = Some(Arc::new(strategy));
        self
    }

    /// Has tasks that are not done looked at again in this way, whatever `engine.enqueuing_strategy` says; by default a
    /// worker's sweep does it.
    pub fn enqueuing(mut self, strategy: impl Enqueuing + 'static) -> Self {
        self.enqueuing = Some(Arc::new(strategy));
        self
    }

    /// Names who is recorded as the one who creates tasks and intervenes; `user:program` without.
    pub fn actor(mut self, actor: Actor) -> Self {
        self.actor = actor;
        self
    }

    /// Lets the configuration of steps read these variables, as `{{ env.NAME }}`.
    ///
    /// Without, it can read those of the process that `engine.template_environment` names.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment = Some(variables.into_iter().collect());
        self
    }

    /// Registers a handler in the namespace `default_system` as version 0.1.0.
    ///
    /// What is wrong with it is reported by [`build`](Self::build).
    pub fn handler(mut self, name: impl Into<String>, handler: Arc<dyn StepHandler>) -> Self {
        self.handlers.push(Registration {
            namespace: None,
            name: name.into(),
            version: None,
            handler,
        });
        self
    }

    /// Registers a version of a handler in a namespace.
    ///
    /// What is wrong with it is reported by [`build`](Self::build).
    pub fn handler_in(
        mut self,
        namespace: impl Into<String>,
        name: impl Into<String>,
        version: impl ToString,
        handler: Arc<dyn StepHandler>,
    ) -> Self {
        self.handlers.push(Registration {
            namespace: Some(namespace.into()),
            name: name.into(),
            version: Some(version.to_string()),
            handler,
        });
        self
    }

    /// Registers the functions that run the steps of a workflow, in the namespace of its template.
    ///
    /// What is wrong with one, such as a name that another workflow has taken, is reported by [`build`](Self::build).
    pub fn flow(mut self, flow: &Flow) -> Self {
        for (name, handler) in flow.handlers() {
            self = self.handler_in(flow.namespace(), name, Version::new(0, 1, 0), handler);
        }
        self
    }

    /// Declares a custom event that the program itself publishes. Handlers and templates declare their own.
    ///
    /// What is wrong with it is reported by [`build`](Self::build).
    pub fn event(mut self, event: impl Into<EventDefinition>) -> Self {
        self.events.push(event.into());
        self
    }

    /// Looks handlers up in this registry, which may change while the Tasker works. Handlers of the builder are added
    /// to it.
    ///
    /// [`handler_registry`] returns an empty one, which asks handlers for their custom events.
    pub fn registry(mut self, registry: Arc<Registry<dyn StepHandler>>) -> Self {
        self.registry = registry;
        self
    }

    /// Opens the store, registers the handlers and returns the Tasker.
    ///
    /// A SQLite file is opened, made and migrated in the calling thread.
    ///
    /// # Errors
    ///
    /// [`BuildError`] says what is missing or does not work.
    pub fn build(self) -> Result<Tasker, BuildError> {
        compose::build(self)
    }

    /// Connects to the store, wherever it is, registers the handlers and returns the Tasker.
    ///
    /// A PostgreSQL database is brought up to date if need be, and belongs to the runtime on which this runs. For every other
    /// store this does what [`build`](Self::build) does.
    ///
    /// # Errors
    ///
    /// [`BuildError`] says what is missing or does not work.
    pub async fn connect(self) -> Result<Tasker, BuildError> {
        compose::connect(self).await
    }
}
