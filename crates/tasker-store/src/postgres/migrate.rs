//! Bringing a database's schema to the version of this program, and back.

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::SimpleAsyncConnection as _;
use tasker_engine::StoreError;

pub use crate::status::Status;

use super::PostgresOptions;
use super::connect::Target;
use super::connection::{Company, Connection};
use super::error::classify;
use super::statement::{Bind, Statement, execute};

/// The version of the schema that this program was written for.
pub(super) const SCHEMA_VERSION: u32 = 1;

/// A change of the schema.
struct Migration {
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

macro_rules! migration {
    ($name:literal) => {
        Migration {
            name: $name,
            up: include_str!(concat!("../../../../migrations/postgres/", $name, "/up.sql")),
            down: include_str!(concat!("../../../../migrations/postgres/", $name, "/down.sql")),
        }
    };
}

/// All migrations, in order.
const MIGRATIONS: &[Migration] = &[migration!("2026-11-25-000001_create_tasks")];

/// How a probe is told of the statements of a migration.
const MIGRATION: &str = "migration";

const REMEMBER: &str = "INSERT INTO __diesel_schema_migrations (version) VALUES ($1)";
const FORGET: &str = "DELETE FROM __diesel_schema_migrations WHERE version = $1";

/// Applies what is pending, and returns the names of what was applied. Those who do it at once take turns.
///
/// # Errors
///
/// When the server cannot be reached, refuses, or the schema belongs to a newer program.
pub async fn up(options: &PostgresOptions) -> Result<Vec<String>, StoreError> {
    let target = options.target()?;
    ensure(&target, target.connect().await?).await
}

/// Takes back the last `steps` migrations with all that they hold, and returns their names.
///
/// # Errors
///
/// As [`up`].
pub async fn down(options: &PostgresOptions, steps: u32) -> Result<Vec<String>, StoreError> {
    let target = options.target()?;
    let connection = target.connect().await?;
    exclusively(&target, &connection, async |connection| {
        check(&target, connection).await?;
        let mut names = Vec::new();
        let applied = applied(connection)
            .await
            .map_err(|error| classify(target.shown(), error))?;
        for migration in MIGRATIONS[..applied].iter().rev().take(steps as usize) {
            run(connection, migration.down, FORGET, migration)
                .await
                .map_err(|error| classify(target.shown(), error))?;
            names.push(migration.name.to_owned());
        }
        Ok(names)
    })
    .await
}

/// Returns how the schema stands; nothing is changed.
///
/// # Errors
///
/// When the server cannot be reached, or the schema belongs to a newer program.
pub async fn status(options: &PostgresOptions) -> Result<Status, StoreError> {
    let target = options.target()?;
    let connection = target.connect().await?;
    let versions = check(&target, &connection).await?;
    let applied = match versions {
        Some(_) => applied(&connection)
            .await
            .map_err(|error| classify(target.shown(), error))?,
        None => 0,
    };
    let (version, oldest_program) = versions.unwrap_or((0, 0));
    let names = |migrations: &[Migration]| migrations.iter().map(|m| m.name.to_owned()).collect();
    Ok(Status {
        version,
        latest: SCHEMA_VERSION,
        oldest_program,
        pending: names(&MIGRATIONS[applied..]),
        applied: names(&MIGRATIONS[..applied]),
    })
}

/// Brings the schema up to date by a connection, and returns the names of what was applied.
pub(super) async fn ensure(
    target: &Target,
    connection: Connection<'static>,
) -> Result<Vec<String>, StoreError> {
    let version = check(target, &connection).await?;
    if version.is_some_and(|(version, _)| version >= SCHEMA_VERSION) {
        return Ok(Vec::new());
    }
    exclusively(target, &connection, async |connection| {
        check(target, connection).await?;
        let database = |error| classify(target.shown(), error);
        if let Some(schema) = target.schema() {
            let make = format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", schema.replace('"', "\"\""));
            connection.batch_execute(&make).await.map_err(database)?;
        }
        let done = applied(connection).await.map_err(database)?;
        let mut names = Vec::new();
        for migration in &MIGRATIONS[done..] {
            run(connection, migration.up, REMEMBER, migration)
                .await
                .map_err(database)?;
            names.push(migration.name.to_owned());
        }
        Ok(names)
    })
    .await
}

/// Works in one transaction that keeps every other one who migrates out.
async fn exclusively<T>(
    target: &Target,
    connection: &Connection<'_>,
    work: impl AsyncFnOnce(&Connection<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('tasker schema ' || $1, 0))";
    let database = |error| classify(target.shown(), error);
    // A change of a large table takes its time.
    connection
        .batch_execute("BEGIN; SET LOCAL statement_timeout = 0")
        .await
        .map_err(database)?;
    let name = target.schema().unwrap_or_default();
    execute(connection, LOCK, vec![Bind::Text(name)])
        .await
        .map_err(database)?;
    match work(connection).await {
        Ok(value) => {
            connection.batch_execute("COMMIT").await.map_err(database)?;
            Ok(value)
        }
        Err(error) => {
            // What the work says matters more than that it could not be undone by hand; closing undoes it.
            let _ = connection.batch_execute("ROLLBACK").await;
            Err(error)
        }
    }
}

/// Checks that the schema may be used by this program; returns its version and the oldest program's, or `None` where there
/// is none.
async fn check(target: &Target, connection: &Connection<'_>) -> Result<Option<(u32, u32)>, StoreError> {
    const TABLE: &str = "SELECT to_regclass('tasker_schema') IS NOT NULL";
    const SCHEMA: &str = "SELECT version::bigint, oldest_program::bigint FROM tasker_schema WHERE id = 1";
    let database = |error| classify(target.shown(), error);
    let (there,) = Statement::<(Bool,)>::new(TABLE, Vec::new())
        .get_result::<(bool,)>(connection)
        .await
        .map_err(database)?;
    if !there {
        return Ok(None);
    }
    let (version, oldest) = Statement::<(BigInt, BigInt)>::new(SCHEMA, Vec::new())
        .get_result::<(i64, i64)>(connection)
        .await
        .map_err(database)?;
    let [version, oldest] = [version, oldest].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    if oldest > SCHEMA_VERSION {
        return Err(StoreError::Unusable {
            store: target.shown().to_owned(),
            problem: format!(
                "its schema has version {version} and needs a program that knows version {oldest}, \
                 but this one knows {SCHEMA_VERSION}"
            ),
            advice: "use a newer `tasker`",
        });
    }
    Ok(Some((version, oldest)))
}

/// Returns how many migrations were applied. They are kept in the table that diesel's own tool uses.
async fn applied(connection: &Connection<'_>) -> QueryResult<usize> {
    const TABLE: &str = "CREATE TABLE IF NOT EXISTS __diesel_schema_migrations \
         (version varchar(50) PRIMARY KEY NOT NULL, run_on timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)";
    const APPLIED: &str = "SELECT version::text FROM __diesel_schema_migrations";
    connection.batch_execute(TABLE).await?;
    let rows = Statement::<(Text,)>::new(APPLIED, Vec::new())
        .load::<(String,)>(connection)
        .await?;
    let known = |migration: &&Migration| rows.iter().any(|(version,)| *version == number(migration.name));
    Ok(MIGRATIONS.iter().take_while(known).count())
}

/// Returns the number by which diesel knows a migration.
fn number(name: &str) -> String {
    name.split('_').next().unwrap_or_default().replace('-', "")
}

async fn run(
    connection: &Connection<'_>,
    sql: &str,
    note: &'static str,
    migration: &Migration,
) -> QueryResult<()> {
    let mut inner = connection.inner();
    let work = inner.batch_execute(sql);
    connection.carry_out(MIGRATION, Company::Alone, work).await?;
    execute(connection, note, vec![Bind::Text(&number(migration.name))]).await?;
    Ok(())
}
