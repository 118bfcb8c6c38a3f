//! What every command that works on tasks has: the configuration, the log, the database.

use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tasker::config::{Config, Environment};
use tasker::{Actor, Location, Origin, Tasker, TaskerBuilder, TemplateFault};
use tasker_types::{Database, Limits, LogLevel, TaskId};

use crate::args::Common;
use crate::database;
use crate::exit::Problem;
use crate::logging;
use crate::output::Output;
use crate::remote::Remote;
use crate::settings;
use crate::view::View;
use crate::view::terminal::{Layout, Terminal};

/// How long what is left has to end when a command has its result.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// A command that is being carried out.
#[derive(Debug)]
pub(crate) struct Session {
    common: Common,
    config: Config,
    environment: Environment,
    terminal: Terminal,
    layout: Layout,
    user: String,
    remote: Option<Arc<Remote>>,
    /// The Tasker of the command, which is closed with it.
    opened: OnceLock<Tasker>,
}

impl Session {
    /// Reads the configuration and starts the log.
    pub(crate) fn start(common: Common) -> Result<Self, Problem> {
        let environment = Environment::of_process();
        let config = settings::load(&common, &environment, settings::File::Found)?;
        let terminal = Terminal::stderr(&environment, common.color);
        let layout = Layout::stdout(&environment, common.color);
        let telemetry = config.telemetry();
        let filter = match environment.log() {
            Some(filter) => filter.to_owned(),
            // A command that ends by itself speaks up only when something is wrong, unless it is asked to say more.
            None if config.origin("telemetry.log_level").is_default() => LogLevel::Warn.to_string(),
            None => telemetry.log_level.to_string(),
        };
        logging::start(&filter, telemetry, &terminal)?;
        let user = settings::user(&environment);
        let remote = match &common.server {
            Some(url) => Some(Arc::new(Remote::new(url, common.token_file.as_deref())?)),
            None => None,
        };
        Ok(Self {
            common,
            config,
            environment,
            terminal,
            layout,
            user,
            remote,
            opened: OnceLock::new(),
        })
    }

    /// Returns where tasks are kept.
    pub(crate) fn location(&self) -> Result<Location, Problem> {
        database::location(&self.common, &self.config, &self.environment)
    }

    /// Opens the database, and makes or migrates it if that is needed.
    pub(crate) async fn open(&self) -> Result<Tasker, Problem> {
        if let Some(remote) = &self.remote {
            return Ok(self.builder().store(Arc::<Remote>::clone(remote)).build()?);
        }
        let builder = match self.location()? {
            Location::Sqlite(file) => self.builder().sqlite(file),
            Location::Postgres(url) => self.builder().postgres(url),
        };
        let tasker = builder.connect().await?;
        // A command opens one; another would be closed when its last user is gone.
        let _ = self.opened.set(tasker.clone());
        Ok(tasker)
    }

    /// Returns the service that is asked instead of a database, if one is.
    pub(crate) fn remote(&self) -> Option<&Remote> {
        self.remote.as_deref()
    }

    /// Returns a Tasker for what needs no database.
    pub(crate) fn without_store(&self) -> Result<Tasker, Problem> {
        Ok(self.builder().memory().build()?)
    }

    fn builder(&self) -> TaskerBuilder {
        Tasker::builder()
            .config(self.config.clone())
            .environment(self.environment.template_variables(&self.config))
            .actor(self.actor())
    }

    /// Returns the task that is meant by an id or by its beginning.
    pub(crate) async fn find(&self, tasker: &Tasker, text: &str) -> Result<TaskId, Problem> {
        database::find(tasker, text).await
    }

    /// Returns the form of the result.
    pub(crate) fn output(&self) -> Output {
        Output::of(&self.common)
    }

    /// Returns how text on standard output is laid out.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns a view of what happens.
    pub(crate) fn view(&self) -> View {
        View::new(&self.terminal, &self.common)
    }

    /// Returns a view that shows nothing.
    pub(crate) fn no_view(&self) -> View {
        View::silent(&self.terminal)
    }

    /// Returns the environment as it was at the start.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Returns how large things may be.
    pub(crate) fn limits(&self) -> &Limits {
        self.config.limits()
    }

    /// Returns how the database is used.
    pub(crate) fn database(&self) -> &Database {
        self.config.database()
    }

    /// Returns who the command is recorded as.
    pub(crate) fn actor(&self) -> Actor {
        Actor::User(self.user.clone())
    }

    /// Returns what a request of this command says about itself.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            initiator: Some(self.user.clone()),
            source_system: Some("cli".to_owned()),
            ..Origin::default()
        }
    }

    /// Returns how long running steps have after the first signal.
    pub(crate) fn grace(&self) -> f64 {
        self.config.execution().shutdown_grace_seconds
    }

    /// Runs a future to its end, and its tasks on as many threads as there are cores.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Problem::refused("runtime", "threads cannot be started").caused_by(&error))?;
        let result = runtime.block_on(async {
            let result = future.await;
            let closed = match self.opened.get() {
                Some(tasker) => tasker.close().await,
                None => Ok(()),
            };
            result.and_then(|done| Ok(closed.map(|()| done)?))
        });
        // What still runs is dropped, and commands die with it. A blocking handler that does not return must not keep
        // the process alive.
        runtime.shutdown_timeout(LAST_MOMENT);
        result
    }

    /// Writes warnings to standard error.
    pub(crate) fn warn_all(&self, warnings: &[TemplateFault]) {
        for warning in warnings {
            self.warn(&warning.to_string());
        }
    }

    /// Writes a warning to standard error.
    pub(crate) fn warn(&self, warning: &str) {
        if !self.common.quiet {
            self.complain(&format!("warning: {warning}\n"));
        }
    }

    /// Writes to standard error what must be said.
    pub(crate) fn complain(&self, text: &str) {
        // There is nobody left to tell when this cannot be written.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}
