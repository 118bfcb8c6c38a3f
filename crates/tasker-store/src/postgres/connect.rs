//! Connecting: what a URL asks for, with TLS unless it is declined or the server is on this machine.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use rustls::{ClientConfig, RootCertStore};
use tasker_engine::StoreError;
use tasker_types::Database;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::Connection;
use super::error::classify;
use crate::probe::Onlookers;

/// A database, and how to come by connections to it.
#[derive(Clone)]
pub(super) struct Target {
    config: Config,
    /// The URL as it may be shown.
    shown: String,
    schema: Option<String>,
    settings: String,
    onlookers: Onlookers,
    tls: Option<Arc<ClientConfig>>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.shown)
            .finish_non_exhaustive()
    }
}

/// Plans that fit every size: the tables may grow between two looks of the planner, and a plan that reads a whole table
/// then lasts for as long as the connection. Bitmaps lose the order of an index, so that all of a queue would be sorted
/// for its first places.
const SETTINGS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; \
     SET enable_mergejoin = off; SET jit = off; \
     SET plan_cache_mode = force_generic_plan; SET idle_in_transaction_session_timeout = '60s'; \
     SET client_min_messages = warning; SET default_transaction_isolation = 'read committed'";

/// Marks a session, tells that another has no such mark, and that this one still has it.
const MARK: &str = "SET tasker.session = 'marked'";
const UNMARKED: &str = "BEGIN; DO $$ BEGIN IF current_setting('tasker.session', true) = 'marked' \
     THEN RAISE EXCEPTION 'a session is shared'; END IF; END $$";
const MARKED: &str = "DO $$ BEGIN IF current_setting('tasker.session', true) IS DISTINCT FROM 'marked' \
     THEN RAISE EXCEPTION 'a session is shared'; END IF; END $$; RESET tasker.session";
const UNMARK: &str = "RESET tasker.session";

/// What a session says that is not as it should be.
const SHARED: &str = "a session is shared";

/// The longest time for which a statement waits for a lock.
const LOCK: Duration = Duration::from_secs(30);

/// Returns the statements that set how long statements may take.
fn timeouts(database: &Database) -> String {
    // A part of a millisecond is not none, which would be no limit at all.
    let millis = |seconds: f64| (seconds * 1_000.0).ceil();
    let statement = database.statement_timeout_seconds;
    let lock = match statement {
        0.0 => LOCK.as_secs_f64(),
        limited => LOCK.as_secs_f64().min(limited / 2.0),
    };
    let (statement, lock) = (millis(statement), millis(lock));
    format!("; SET statement_timeout = '{statement}ms'; SET lock_timeout = '{lock}ms'")
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// When it is none of PostgreSQL's, or no root certificates can be found for TLS.
    pub(super) fn new(
        url: &str,
        schema: Option<String>,
        database: &Database,
        onlookers: Onlookers,
    ) -> Result<Self, StoreError> {
        let shown = without_secrets(url);
        let mut config: Config =
            url.parse()
                .map_err(|error: tokio_postgres::Error| StoreError::Unusable {
                    store: shown.clone(),
                    problem: format!("the URL cannot be read: {error}"),
                    advice: "write it as `postgres://USER:PASSWORD@HOST:PORT/DATABASE`",
                })?;
        if config.get_application_name().is_none() {
            config.application_name("tasker");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        let remote = config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)));
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ if !remote => None,
            _ => Some(client_config(&shown)?),
        };
        let mut settings = SETTINGS.to_owned();
        settings.push_str(&timeouts(database));
        if let Some(schema) = &schema {
            settings.push_str(&format!(
                "; SET search_path = \"{}\"",
                schema.replace('"', "\"\"")
            ));
        }
        Ok(Self {
            config,
            shown,
            schema,
            settings,
            onlookers,
            tls,
        })
    }

    /// Returns the URL as it may be shown: without a password.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn onlookers(&self) -> Onlookers {
        self.onlookers.clone()
    }

    /// Returns the schema that the tables are in, if it is not the first of the user's search path.
    pub(super) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Opens two connections, and makes sure that each has a session of its own.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses, or something between hands its sessions out for a transaction at a
    /// time.
    pub(super) async fn connect_two(&self) -> Result<[Connection<'static>; 2], StoreError> {
        let (first, second) = (self.connect().await?, self.connect().await?);
        let parted = async {
            first.batch_execute(MARK).await?;
            // Where sessions are shared, this one is given the first one's, which is free, or the first one another
            // afterwards, since this one keeps what it was given.
            second.batch_execute(UNMARKED).await?;
            first.batch_execute(MARKED).await?;
            second.batch_execute("ROLLBACK").await
        };
        let Err(error) = parted.await else {
            return Ok([first, second]);
        };
        if !error.to_string().contains(SHARED) {
            return Err(classify(&self.shown, error));
        }
        for connection in [second, first] {
            // Whoever is given the session later is to find it as it was.
            let _ = connection.batch_execute("ROLLBACK").await;
            let _ = connection.batch_execute(UNMARK).await;
        }
        Err(StoreError::Unusable {
            store: self.shown.clone(),
            problem: "its connections share sessions: there is a pooler before it that hands them out for a transaction at a \
                      time"
                .to_owned(),
            advice: "name the server itself, or a pool in session mode (`pool_mode = session` in PgBouncer)",
        })
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses.
    pub(super) async fn connect(&self) -> Result<Connection<'static>, StoreError> {
        let unreachable = |source: tasker_engine::BoxError| StoreError::Unavailable {
            store: self.shown.clone(),
            source,
        };
        let connected = match &self.tls {
            Some(tls) => {
                let (client, connection) = self
                    .config
                    .connect(MakeRustlsConnect::new(ClientConfig::clone(tls)))
                    .await
                    .map_err(|error| unreachable(described(&error).into()))?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            None => {
                let (client, connection) = self
                    .config
                    .connect(NoTls)
                    .await
                    .map_err(|error| unreachable(described(&error).into()))?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        };
        let connected = connected.map_err(|error| unreachable(Box::new(error)))?;
        let connection = Connection::own(connected, self.onlookers.clone());
        connection
            .batch_execute(&self.settings)
            .await
            .map_err(|error| classify(&self.shown, error))?;
        Ok(connection)
    }
}

/// Returns what went wrong with its causes, which the driver leaves out.
fn described(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn client_config(shown: &str) -> Result<Arc<ClientConfig>, StoreError> {
    let unusable = |problem: String| StoreError::Unusable {
        store: shown.to_owned(),
        problem,
        advice: "install the system's root certificates, name others in SSL_CERT_FILE, or add `sslmode=disable` to the URL",
    };
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Returns a URL without user and password.
fn without_secrets(url: &str) -> String {
    match url
        .split_once("://")
        .map(|(scheme, rest)| (scheme, rest.rsplit_once('@')))
    {
        Some((scheme, Some((_, place)))) => format!("{scheme}://…@{place}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_types::DatabaseValues;

    #[test]
    fn statements_may_take_as_long_as_is_configured_and_locks_half_of_it() {
        for (seconds, statement, lock) in [
            (60.0, "60000ms", "30000ms"),
            (600.0, "600000ms", "30000ms"),
            (1.5, "1500ms", "750ms"),
            (0.0001, "1ms", "1ms"),
            (0.0, "0ms", "30000ms"),
        ] {
            let values = DatabaseValues {
                statement_timeout_seconds: seconds,
                ..DatabaseValues::default()
            };
            assert_eq!(
                timeouts(&values.try_into().unwrap()),
                format!("; SET statement_timeout = '{statement}'; SET lock_timeout = '{lock}'")
            );
        }
    }
}
