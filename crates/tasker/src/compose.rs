//! The composition root: the one file that knows every crate.
//!
//! It takes the settings apart for those who need them, and gives the parts to one another: the store its clock, the
//! handlers their registry, the workers all of it.

use std::path::Path;
use std::sync::Arc;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use std::time::Duration;

use tasker_config::{Config, Environment};
use tasker_engine::{
    CheckIn, Clock, Enqueuing, Handlers, HashIdentity, Identity, Immediate, MemoryStore, Store, StoreError,
    Telling, TokenStore, UniqueIdentity,
};
use tasker_registry::{BatchError, EventDefinition};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use tasker_store::SlowStatements;
#[cfg(feature = "postgres")]
use tasker_store::{PostgresOptions, PostgresStore};
#[cfg(feature = "sqlite")]
use tasker_store::{SqliteOptions, SqliteStore};
use tasker_types::{EnqueuingStrategy, Execution, ExecutionValues, IdentityStrategy};

use crate::builder::{Keep, Registration, TaskerBuilder};
use crate::builtin;
use crate::cache::Answers;
use crate::error::BuildError;
use crate::events::files::{self, EventFile};
use crate::events::{Hub, Watched};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::flight::Flight;
use crate::location::Location;
use crate::metrics::Metrics;
#[cfg(feature = "otlp")]
use crate::observe::Spans;
use crate::observe::{Known, Narrator, Observed, Observers};
use crate::resolve::{BuiltIns, Resolver};
use crate::system::{SystemClock, SystemEntropy};
use crate::tasker::{Kept, Parts, Tasker};

/// The name of the database's file within a data directory.
pub(crate) const DATABASE_FILE: &str = "tasker.db";

pub(crate) fn build(builder: TaskerBuilder) -> Result<Tasker, BuildError> {
    let clock = clock(&builder);
    let opened = open(&builder.keep, &builder.config, &clock)?;
    assemble(builder, clock, opened)
}

/// A store, and where API tokens are noted.
type Opened = (Kept, Option<Arc<dyn TokenStore>>);

pub(crate) async fn connect(builder: TaskerBuilder) -> Result<Tasker, BuildError> {
    let clock = clock(&builder);
    let url = match &builder.keep {
        Keep::Postgres(url) => Some(url.0.clone()),
        Keep::Configured => {
            match Location::configured(builder.config.database()).map(|(_, url)| Location::of(url)) {
                Some(Ok(Location::Postgres(url))) => Some(url),
                _ => None,
            }
        }
        _ => None,
    };
    let opened = match url {
        Some(url) => postgres(&url, &builder.config).await?,
        None => open(&builder.keep, &builder.config, &clock)?,
    };
    assemble(builder, clock, opened)
}

fn clock(builder: &TaskerBuilder) -> Arc<dyn Clock> {
    let own = builder.clock.as_ref().map(Arc::clone);
    own.unwrap_or_else(|| Arc::new(SystemClock))
}

fn assemble(
    builder: TaskerBuilder,
    clock: Arc<dyn Clock>,
    (kept, tokens): Opened,
) -> Result<Tasker, BuildError> {
    let TaskerBuilder {
        config,
        entropy,
        identity,
        enqueuing,
        actor,
        environment,
        registry,
        handlers,
        events,
        ..
    } = builder;
    let files = files::read(&config.engine().custom_events_directories)?;
    register(&registry, handlers, events, files)?;
    let variables = environment.unwrap_or_else(|| Environment::of_process().template_variables(&config));
    let built_ins = Arc::new(BuiltIns::new(builtin::handlers(
        config.limits(),
        variables,
        &clock,
        config.telemetry(),
    )));
    let resolver = Resolver::new(Arc::clone(&registry), Arc::clone(&built_ins));
    let hub = Arc::new(Hub::new(Arc::clone(&clock), Arc::clone(config.telemetry())));
    let observers = observers(&config, &clock, kept.port())?;
    let (metrics, narrator) = (observers.metrics.clone(), Arc::clone(&observers.narrator));
    let observed: Arc<dyn Store> = if config.telemetry().enabled {
        Arc::new(Observed::new(Arc::clone(kept.port()), observers))
    } else {
        Arc::clone(kept.port())
    };
    let store = Arc::new(Watched::new(observed, Arc::clone(&hub)));
    let configured: Arc<dyn Identity> = match config.engine().identity_strategy {
        IdentityStrategy::Unique => Arc::new(UniqueIdentity),
        IdentityStrategy::Hash => Arc::new(HashIdentity),
    };
    let waits: Arc<dyn Enqueuing> = match config.engine().enqueuing_strategy {
        EnqueuingStrategy::CheckIn => Arc::new(CheckIn),
        EnqueuingStrategy::Immediate => Arc::new(Immediate::default()),
    };
    Ok(Tasker::new(Parts {
        analyses: Answers::new(Arc::clone(config.cache()), Arc::clone(&clock), |analysis| {
            1 + u32::try_from(analysis.len() / 1_000).unwrap_or(u32::MAX - 1)
        }),
        durations: Answers::new(Arc::clone(config.cache()), Arc::clone(&clock), |lasted| {
            lasted.as_ref().map_or(1, |lasted| lasted.weight())
        }),
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        counts: Arc::new(Flight::new(
            Arc::clone(&clock),
            Duration::from_secs_f64(config.health().cache_duration_seconds),
        )),
        execution: execution(&config),
        config,
        kept,
        tokens,
        store,
        metrics,
        narrator,
        hub,
        clock,
        entropy: entropy.unwrap_or_else(|| Arc::new(SystemEntropy)),
        identity: identity.unwrap_or(configured),
        enqueuing: enqueuing.unwrap_or(waits),
        actor,
        handlers: Handlers::new(resolver),
        registry,
        built_ins,
    }))
}

/// Makes who looks at the work, as far as the configuration wants it looked at.
fn observers(
    config: &Config,
    clock: &Arc<dyn Clock>,
    store: &Arc<dyn Store>,
) -> Result<Observers, BuildError> {
    let telemetry = config.telemetry();
    let telling = Telling::new(telemetry).map_err(BuildError::FilteredEvents)?;
    let (known, telling) = (Arc::<Known>::default(), Arc::new(telling));
    #[cfg(feature = "otlp")]
    let spans = Spans::configured(telemetry, &telling, &known, store).map_err(BuildError::Traces)?;
    #[cfg(not(feature = "otlp"))]
    if let (Some(endpoint), _) = (&telemetry.otlp_endpoint, store) {
        return Err(BuildError::Traces(format!(
            "this program was built without the feature `otlp` of the crate `tasker`, and cannot reach `{endpoint}`"
        )));
    }
    let counting = telemetry.enabled && telemetry.metrics_enabled;
    Ok(Observers {
        clock: Arc::clone(clock),
        backoff: Arc::clone(config.backoff()),
        metrics: counting.then(|| Arc::new(Metrics::new(Arc::clone(clock), Arc::clone(&known)))),
        narrator: Arc::new(Narrator {
            telling,
            clock: Arc::clone(clock),
            known: Arc::clone(&known),
            #[cfg(feature = "otlp")]
            spans,
        }),
        known,
    })
}

fn register(
    registry: &tasker_registry::Registry<dyn tasker_engine::StepHandler>,
    handlers: Vec<Registration>,
    events: Vec<EventDefinition>,
    files: Vec<EventFile>,
) -> Result<(), BatchError> {
    registry.batch(|batch| {
        for EventFile { path, events } in files {
            batch.declare(format!("the file `{}`", path.display()), events);
        }
        if !events.is_empty() {
            batch.declare("the program", events);
        }
        for Registration {
            namespace,
            name,
            version,
            handler,
        } in handlers
        {
            match (namespace, version) {
                (Some(namespace), Some(version)) => batch.register_in(namespace, name, version, handler),
                _ => batch.register(name, handler),
            }
        }
    })
}

/// Fills in what depends on the machine.
fn execution(config: &Config) -> Arc<Execution> {
    let configured = config.execution();
    if configured.max_concurrent_steps.is_some() {
        return Arc::clone(configured);
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let steps = u32::try_from(cores * 2).unwrap_or(u32::MAX);
    let values = ExecutionValues {
        max_concurrent_steps: Some(steps),
        ..ExecutionValues::clone(configured)
    };
    // The rest has passed its checks already, so this cannot fail on a machine of less than 50 000 cores.
    Execution::try_from(values).map_or_else(|_| Arc::clone(configured), Arc::new)
}

fn open(keep: &Keep, config: &Config, clock: &Arc<dyn Clock>) -> Result<Opened, BuildError> {
    match keep {
        Keep::Memory => {
            let store = Arc::new(MemoryStore::new(Arc::clone(clock)));
            let tokens: Arc<dyn TokenStore> = Arc::<MemoryStore>::clone(&store);
            Ok((Kept::Elsewhere(store), Some(tokens)))
        }
        Keep::Store(store) => Ok((Kept::Elsewhere(Arc::clone(store)), None)),
        Keep::Sqlite(path) => Ok(sqlite(path, config, clock)?),
        Keep::Postgres(_) => Err(BuildError::NeedsConnection),
        Keep::Configured => {
            let (_, url) = Location::configured(config.database()).ok_or(BuildError::NoStore)?;
            match Location::of(url)? {
                Location::Sqlite(path) => Ok(sqlite(&path, config, clock)?),
                Location::Postgres(_) => Err(BuildError::NeedsConnection),
            }
        }
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn slow_statements(config: &Config) -> Arc<SlowStatements> {
    let threshold = Duration::from_secs_f64(config.telemetry().slow_query_threshold_seconds);
    Arc::new(SlowStatements::new(threshold))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str, config: &Config) -> Result<Opened, StoreError> {
    let slow = slow_statements(config);
    let options = PostgresOptions::new(url)
        .settings(config.database())
        .execution(config.execution())
        .slow_statements(Arc::clone(&slow));
    let store = PostgresStore::open(options).await?;
    let tokens: Arc<dyn TokenStore> = Arc::new(store.clone());
    let kept = Kept::Postgres {
        port: Arc::new(store.clone()),
        store,
        slow,
    };
    Ok((kept, Some(tokens)))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(url: &str, _: &Config) -> Result<Opened, StoreError> {
    Err(StoreError::Unusable {
        store: crate::location::without_secrets(url),
        problem: "this program was built without PostgreSQL".to_owned(),
        advice: "build it with the feature `postgres` of the crate `tasker`",
    })
}

#[cfg(feature = "sqlite")]
fn sqlite(path: &Path, config: &Config, clock: &Arc<dyn Clock>) -> Result<Opened, StoreError> {
    if let Some(directory) = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
    {
        std::fs::create_dir_all(directory).map_err(|error| StoreError::Unusable {
            store: path.display().to_string(),
            problem: format!("the directory `{}` cannot be made: {error}", directory.display()),
            advice: "name a directory that can be written, with `--data-dir` or `database.url`",
        })?;
    }
    let slow = slow_statements(config);
    let options = SqliteOptions::new(path, Arc::clone(clock))
        .settings(config.database())
        .slow_statements(Arc::clone(&slow));
    let store = Arc::new(SqliteStore::open(options)?);
    let tokens: Arc<dyn TokenStore> = Arc::<SqliteStore>::clone(&store);
    let kept = Kept::Sqlite {
        port: Arc::<SqliteStore>::clone(&store),
        store,
        slow,
    };
    Ok((kept, Some(tokens)))
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(path: &Path, _: &Config, _: &Arc<dyn Clock>) -> Result<Opened, StoreError> {
    Err(StoreError::Unusable {
        store: path.display().to_string(),
        problem: "this program was built without SQLite".to_owned(),
        advice: "build it with the feature `sqlite` of the crate `tasker`",
    })
}
