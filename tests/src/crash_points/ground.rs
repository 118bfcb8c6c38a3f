//! Where a store lives during one life.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use serde::{Deserialize, Serialize};
use tasker_engine::{Clock, Store, StoreError, TokenStore, Totals};
use tasker_store::{
    PostgresOptions, PostgresStore, Prune, PrunedBatch, SqliteFile, SqliteOptions, SqliteStore,
};
use tasker_testkit::ManualClock;
use tasker_types::{Database, DatabaseValues};

use super::saboteur::Saboteur;

/// The two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A file.
    Sqlite,
    /// A schema of a server.
    Postgres,
}

impl Place {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// Where a store lives, as another process can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// In a directory.
    Sqlite {
        /// The directory, which is there.
        directory: PathBuf,
    },
    /// In a schema.
    Postgres {
        /// The server's URL.
        url: String,
        /// A schema that is not there yet.
        schema: String,
        /// A directory for what is written beside.
        directory: PathBuf,
    },
}

/// A store that is open.
#[derive(Clone, Debug)]
pub(super) enum Open {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Ground {
    /// Returns which database it is.
    pub fn place(&self) -> Place {
        match self {
            Self::Sqlite { .. } => Place::Sqlite,
            Self::Postgres { .. } => Place::Postgres,
        }
    }

    /// Returns the file in which a life writes down what was acknowledged.
    pub(super) fn log(&self) -> PathBuf {
        let (Self::Sqlite { directory } | Self::Postgres { directory, .. }) = self;
        directory.join("log")
    }

    /// Returns the file in a directory, as it is opened.
    pub(super) fn file(directory: &Path) -> SqliteFile {
        SqliteFile::new(directory.join("tasker.db")).settings(&Self::settings())
    }

    /// Returns where everything is moved to.
    pub(super) fn moved(&self) -> std::io::Result<Self> {
        Ok(match self {
            Self::Sqlite { directory } => {
                let directory = directory.join("moved");
                std::fs::create_dir_all(&directory)?;
                Self::Sqlite { directory }
            }
            Self::Postgres {
                url,
                schema,
                directory,
            } => Self::Postgres {
                url: url.clone(),
                schema: format!("{schema}_moved"),
                directory: directory.clone(),
            },
        })
    }

    fn settings() -> Database {
        let values = DatabaseValues {
            writers: 1,
            readers: 1,
            ..DatabaseValues::default()
        };
        Database::try_from(values).unwrap_or_default()
    }

    pub(super) fn postgres(
        url: &str,
        schema: &str,
        clock: &ManualClock,
        probe: &Arc<Saboteur>,
    ) -> PostgresOptions {
        PostgresOptions::new(url)
            .schema(schema)
            .settings(&Self::settings())
            .clock(Arc::new(clock.clone()))
            .probe(Arc::<Saboteur>::clone(probe))
    }

    /// Opens the store.
    pub(super) async fn open(&self, clock: &ManualClock, probe: &Arc<Saboteur>) -> Result<Open, StoreError> {
        match self {
            Self::Sqlite { directory } => {
                let file = Self::file(directory).probe(Arc::<Saboteur>::clone(probe));
                let options = SqliteOptions::new(file, Arc::new(clock.clone()));
                let opened = tokio::task::spawn_blocking(move || SqliteStore::open(options)).await;
                Ok(Open::Sqlite(opened.map_err(|_| StoreError::Closed)??))
            }
            Self::Postgres { url, schema, .. } => {
                let options = Self::postgres(url, schema, clock, probe);
                Ok(Open::Postgres(PostgresStore::open(options).await?))
            }
        }
    }

    /// Removes what a life leaves behind on a server.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn clear(&self) -> anyhow::Result<()> {
        if let Self::Postgres { url, schema, .. } = self {
            let mut connection = AsyncPgConnection::establish(url).await?;
            let drop = format!(
                "SET client_min_messages = error; DROP SCHEMA IF EXISTS {schema} CASCADE; \
                 DROP SCHEMA IF EXISTS {schema}_moved CASCADE"
            );
            connection.batch_execute(&drop).await?;
        }
        Ok(())
    }
}

impl Open {
    pub(super) fn store(&self) -> &dyn Store {
        match self {
            Self::Sqlite(store) => store,
            Self::Postgres(store) => store,
        }
    }

    pub(super) fn tokens(&self) -> &dyn TokenStore {
        match self {
            Self::Sqlite(store) => store,
            Self::Postgres(store) => store,
        }
    }

    pub(super) async fn fewest_held(&self) -> Result<Option<u32>, StoreError> {
        match self {
            Self::Sqlite(store) => store.fewest_held().await,
            Self::Postgres(store) => store.fewest_held().await,
        }
    }

    /// Asks for what tells how the store is.
    pub(super) async fn health(&self) -> Result<Totals, StoreError> {
        match self {
            Self::Sqlite(store) => {
                store.schema().await?;
                store.totals().await
            }
            Self::Postgres(store) => {
                store.schema().await?;
                store.connections().await?;
                store.totals().await
            }
        }
    }

    pub(super) async fn prune(&self, prune: &Prune) -> Result<Option<PrunedBatch>, StoreError> {
        match self {
            Self::Sqlite(store) => store.prune(prune).await,
            Self::Postgres(store) => store.prune(prune).await,
        }
    }

    pub(super) async fn close(&self) {
        // What cannot be closed is left to those who open it next.
        let _ = match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        };
    }
}

/// The time at which every life begins.
pub(super) fn beginning() -> tasker_types::Timestamp {
    ManualClock::new().now()
}
