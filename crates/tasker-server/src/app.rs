//! What the routes work with.

use std::sync::Arc;

use tasker::Tasker;
use tasker_types::Server;
use tokio::sync::Semaphore;

use crate::cursor::Cursors;
use crate::guard::{Guard, Open};
use crate::rate::{Addresses, Rate};
use crate::templates::Templates;

/// What the routes work with: a Tasker, templates that tasks can be created of, and who may do what. Copies are the same.
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    tasker: Tasker,
    templates: Templates,
    settings: Arc<Server>,
    guard: Arc<dyn Guard>,
    cursors: Cursors,
    /// The right of so many clients to follow events.
    streams: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    callers: Arc<Rate<String>>,
}

/// Puts an [`App`] together. Everything has a default.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct AppBuilder {
    tasker: Tasker,
    templates: Templates,
    settings: Arc<Server>,
    guard: Arc<dyn Guard>,
}

impl App {
    /// Begins with a Tasker, no templates, the settings of its configuration, and everyone permitted everything.
    pub fn builder(tasker: Tasker) -> AppBuilder {
        AppBuilder {
            settings: Arc::clone(tasker.config().server()),
            templates: Templates::default(),
            guard: Arc::new(Open),
            tasker,
        }
    }

    /// Returns the Tasker.
    pub fn tasker(&self) -> &Tasker {
        &self.0.tasker
    }

    /// Returns the templates that tasks can be created of.
    pub fn templates(&self) -> &Templates {
        &self.0.templates
    }

    /// Returns how the service is reached.
    pub fn settings(&self) -> &Arc<Server> {
        &self.0.settings
    }

    /// Returns what finds out who makes a request.
    pub fn guard(&self) -> &Arc<dyn Guard> {
        &self.0.guard
    }

    /// Returns what signs the places in lists that clients bring back.
    pub(crate) fn cursors(&self) -> &Cursors {
        &self.0.cursors
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.0.streams
    }

    /// Returns what addresses may ask.
    pub(crate) fn addresses(&self) -> &Arc<Addresses> {
        &self.0.addresses
    }

    /// Returns what callers may ask.
    pub(crate) fn callers(&self) -> &Arc<Rate<String>> {
        &self.0.callers
    }
}

impl AppBuilder {
    /// Lets tasks be created of these templates.
    pub fn templates(mut self, templates: Templates) -> Self {
        self.templates = templates;
        self
    }

    /// Takes these settings instead of those of the Tasker's configuration.
    pub fn settings(mut self, settings: Server) -> Self {
        self.settings = Arc::new(settings);
        self
    }

    /// Asks this guard who makes a request and how far they may.
    pub fn guard(mut self, guard: Arc<dyn Guard>) -> Self {
        self.guard = guard;
        self
    }

    /// Returns the app.
    #[must_use]
    pub fn build(self) -> App {
        let Self {
            tasker,
            templates,
            settings,
            guard,
        } = self;
        App(Arc::new(Parts {
            cursors: Cursors::new(settings.cursor_secret.as_deref()),
            streams: Arc::new(Semaphore::new(settings.event_streams as usize)),
            addresses: Arc::new(Addresses::new(&settings.address_rate)),
            callers: Arc::new(Rate::new(&settings.caller_rate, "caller_rate")),
            tasker,
            templates,
            settings,
            guard,
        }))
    }
}
