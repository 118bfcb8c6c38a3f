//! What is not as it should be with a server and a schema.

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use tasker_engine::StoreError;
use tasker_types::Database;

use super::PostgresOptions;
use super::connection::Connection;
use super::error::classify;
use super::migrate;
use super::statement::{Bind, Statement};
use crate::checkup::{Checkup, Finding, bytes};

/// How many bytes of log a replication slot may hold back.
const LOG_BYTES: u64 = 1 << 30;

/// Returns how many connections a process has beside those that write and read: two for hints, one that prunes.
fn beside(database: &Database) -> u32 {
    if database.notifications { 3 } else { 1 }
}

/// Looks at the server, the database and the schema, and changes nothing.
///
/// # Errors
///
/// When the server cannot be reached, or the schema belongs to a newer program.
pub async fn examine(options: &PostgresOptions, checkup: &Checkup) -> Result<Vec<Finding>, StoreError> {
    let status = migrate::status(options).await?;
    let target = options.target()?;
    let connection = target.connect().await?;
    let mut findings = Vec::new();
    if !status.pending.is_empty() {
        findings.push(Finding::problem(
            "missing_migrations",
            format!("the schema has not got {}", status.pending.join(", ")),
            "tasker migrate up",
        ));
    }
    let database = &options.database;
    let beside = beside(database);
    let needed = database.writers + database.readers + beside;
    let found = async {
        let mut found = server(&connection).await?;
        found.extend(pins(&connection, checkup).await?);
        found.extend(budget(&connection, needed, beside).await?);
        if !status.applied.is_empty() {
            found.extend(tables(&connection, checkup).await?);
        }
        Ok(found)
    };
    findings.extend(found.await.map_err(|error| classify(target.shown(), error))?);
    Ok(findings)
}

/// Settings of the server and what a wrong one means.
async fn server(connection: &Connection<'_>) -> QueryResult<Vec<Finding>> {
    const SETTINGS: &str = "SELECT name::text, setting::text FROM pg_settings WHERE setting = 'off' AND name IN \
         ('autovacuum', 'track_counts', 'fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name";
    const ENCODING: &str = "SELECT getdatabaseencoding()::text, current_setting('server_version_num')::bigint, \
         current_database()::text";
    const IDLE: &str = "SELECT count(*) FROM pg_settings \
         WHERE name = 'idle_in_transaction_session_timeout' AND reset_val = '0'";
    let mut findings = Vec::new();
    let off = Statement::<(Text, Text)>::new(SETTINGS, Vec::new())
        .load::<(String, String)>(connection)
        .await?;
    for (name, _) in off {
        let mend = format!("ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();");
        findings.push(match name.as_str() {
            "autovacuum" | "track_counts" => Finding::problem(
                "no_autovacuum",
                format!("`{name}` is off: dead rows stay, and the queue gets slower by the hour"),
                mend,
            ),
            "synchronous_commit" => Finding::warning(
                "not_durable",
                "`synchronous_commit` is off: a crash of the server may lose what was acknowledged last"
                    .to_owned(),
                mend,
            ),
            _ => Finding::problem(
                "not_durable",
                format!("`{name}` is off: a power failure may destroy the database"),
                mend,
            ),
        });
    }
    let (encoding, version, database) = Statement::<(Text, BigInt, Text)>::new(ENCODING, Vec::new())
        .get_result::<(String, i64, String)>(connection)
        .await?;
    if encoding != "UTF8" {
        findings.push(Finding::problem(
            "encoding",
            format!("the encoding of the database is {encoding}, which cannot hold every text"),
            "CREATE DATABASE tasker ENCODING 'UTF8' TEMPLATE template0;",
        ));
    }
    if version < 140_000 {
        findings.push(Finding::problem(
            "old_server",
            format!(
                "the server is PostgreSQL {}, and needs to be 14 or newer",
                version / 10_000
            ),
            "bring the server to a newer version with pg_upgrade",
        ));
    }
    let (idle,) = Statement::<(BigInt,)>::new(IDLE, Vec::new())
        .get_result::<(i64,)>(connection)
        .await?;
    if idle > 0 {
        findings.push(Finding::warning(
            "no_idle_timeout",
            "`idle_in_transaction_session_timeout` is 0: a program that forgets an open transaction keeps dead rows for \
             ever"
                .to_owned(),
            format!(
                "ALTER DATABASE {} SET idle_in_transaction_session_timeout = '5min';",
                identifier(&database)
            ),
        ));
    }
    Ok(findings)
}

/// What keeps dead rows from being removed.
async fn pins(connection: &Connection<'_>, checkup: &Checkup) -> QueryResult<Vec<Finding>> {
    const OPEN: &str = "SELECT pid::bigint, coalesce(usename, '')::text, coalesce(application_name, '')::text, \
         coalesce(state, '')::text, extract(epoch FROM clock_timestamp() - xact_start)::bigint \
         FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() \
         AND backend_type = 'client backend' AND xact_start <= clock_timestamp() - make_interval(secs => $1) \
         ORDER BY xact_start";
    const PREPARED: &str = "SELECT gid::text, owner::text, \
         extract(epoch FROM clock_timestamp() - prepared)::bigint FROM pg_prepared_xacts \
         WHERE database = current_database() AND prepared <= clock_timestamp() - make_interval(secs => $1) \
         ORDER BY prepared";
    const SLOTS: &str = "SELECT slot_name::text, active, xmin IS NOT NULL OR catalog_xmin IS NOT NULL, \
         CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint END \
         FROM pg_replication_slots ORDER BY slot_name";
    const STANDBYS: &str = "SELECT coalesce(application_name, '')::text, age(backend_xmin)::bigint \
         FROM pg_stat_replication WHERE backend_xmin IS NOT NULL AND age(backend_xmin) > 1000000 ORDER BY 1";
    const SIGHT: &str = "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), current_user::text";
    let seconds = i64::try_from(checkup.long_transaction.as_secs()).unwrap_or(i64::MAX);
    let mut findings = Vec::new();
    let (sees, role) = Statement::<(Bool, Text)>::new(SIGHT, Vec::new())
        .get_result::<(bool, String)>(connection)
        .await?;
    if !sees {
        findings.push(Finding::warning(
            "limited_view",
            format!("the role `{role}` cannot see the transactions of others, so none of them is among these findings"),
            format!("GRANT pg_read_all_stats TO {};", identifier(&role)),
        ));
    }
    let open = Statement::<(BigInt, Text, Text, Text, BigInt)>::new(OPEN, vec![Bind::Int(seconds)])
        .load::<(i64, String, String, String, i64)>(connection)
        .await?;
    for (pid, user, application, state, age) in open {
        findings.push(Finding::problem(
            "long_transaction",
            format!(
                "the process {pid} (`{application}` of `{user}`, {state}) has had a transaction open for {age} seconds: dead \
                 rows that are younger stay, and events after its beginning wait if it has written"
            ),
            format!("SELECT pg_terminate_backend({pid});"),
        ));
    }
    let prepared = Statement::<(Text, Text, BigInt)>::new(PREPARED, vec![Bind::Int(seconds)])
        .load::<(String, String, i64)>(connection)
        .await?;
    for (name, owner, age) in prepared {
        findings.push(Finding::problem(
            "prepared_transaction",
            format!(
                "the prepared transaction `{name}` of `{owner}` has been open for {age} seconds: dead rows that are younger \
                 stay, and events after its beginning wait"
            ),
            format!("ROLLBACK PREPARED {};", literal(&name)),
        ));
    }
    let slots = Statement::<(Text, Bool, Bool, Nullable<BigInt>)>::new(SLOTS, Vec::new())
        .load::<(String, bool, bool, Option<i64>)>(connection)
        .await?;
    for (name, is_active, pins, held) in slots {
        let held = u64::try_from(held.unwrap_or_default()).unwrap_or_default();
        if is_active || (!pins && held <= checkup.log_bytes.unwrap_or(LOG_BYTES)) {
            continue;
        }
        findings.push(Finding::problem(
            "replication_slot",
            format!(
                "nobody reads from the replication slot `{name}`, which holds {} of log back{}",
                bytes(held),
                if pins { ", and dead rows" } else { "" },
            ),
            format!("SELECT pg_drop_replication_slot({});", literal(&name)),
        ));
    }
    let standbys = Statement::<(Text, BigInt)>::new(STANDBYS, Vec::new())
        .load::<(String, i64)>(connection)
        .await?;
    for (name, age) in standbys {
        findings.push(Finding::warning(
            "standby_feedback",
            format!("a query on the standby `{name}` keeps the dead rows of the last {age} transactions"),
            "on the standby: ALTER SYSTEM SET hot_standby_feedback = off; SELECT pg_reload_conf();",
        ));
    }
    Ok(findings)
}

/// Whether another worker can connect.
async fn budget(connection: &Connection<'_>, needed: u32, beside: u32) -> QueryResult<Vec<Finding>> {
    const BUDGET: &str = "SELECT current_setting('max_connections')::bigint, \
         current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint - \
         (SELECT count(*) FROM pg_stat_activity WHERE coalesce(backend_type, 'client backend') = 'client backend' \
             AND usename IS NOT NULL AND pid <> pg_backend_pid()), \
         (SELECT nullif(rolconnlimit, -1)::bigint - (SELECT count(*) FROM pg_stat_activity AS a \
             WHERE a.usename = current_user AND a.pid <> pg_backend_pid()) \
             FROM pg_roles WHERE rolname = current_user AND NOT rolsuper), current_user::text";
    type Row = (i64, i64, Option<i64>, String);
    let (most, free, of_role, role) =
        Statement::<(BigInt, BigInt, Nullable<BigInt>, Text)>::new(BUDGET, Vec::new())
            .get_result::<Row>(connection)
            .await?;
    let mut findings = Vec::new();
    let needed = i64::from(needed);
    if free < needed {
        findings.push(Finding::problem(
            "connection_budget",
            format!(
                "a process takes up to {needed} connections (`database.writers`, `database.readers` and {beside}), and \
                 {} of {most} are free",
                free.max(0)
            ),
            format!(
                "ALTER SYSTEM SET max_connections = {}; -- takes effect when the server is restarted",
                most + (needed - free)
            ),
        ));
    }
    if let Some(left) = of_role.filter(|left| *left < needed) {
        findings.push(Finding::problem(
            "connection_budget",
            format!(
                "a process takes up to {needed} connections, and the role `{role}` may have {} more",
                left.max(0)
            ),
            format!("ALTER ROLE {} CONNECTION LIMIT -1;", identifier(&role)),
        ));
    }
    Ok(findings)
}

/// The settings that the migrations gave to tables, of which a copy may have lost some.
const OPTIONS: &[(&str, &[&str])] = &[
    ("queues", &["fillfactor=50"]),
    (
        "tasks",
        &[
            "fillfactor=70",
            "autovacuum_vacuum_scale_factor=0.05",
            "autovacuum_vacuum_insert_scale_factor=0.1",
        ],
    ),
    (
        "steps",
        &[
            "fillfactor=65",
            "autovacuum_vacuum_scale_factor=0.05",
            "autovacuum_vacuum_insert_scale_factor=0.1",
        ],
    ),
    (
        "ready_steps",
        &[
            "autovacuum_vacuum_scale_factor=0",
            "autovacuum_vacuum_threshold=1000",
            "autovacuum_vacuum_cost_delay=0",
        ],
    ),
    (
        "leases",
        &[
            "autovacuum_vacuum_scale_factor=0",
            "autovacuum_vacuum_threshold=1000",
            "autovacuum_vacuum_cost_delay=0",
        ],
    ),
    ("history", &["autovacuum_vacuum_insert_scale_factor=0.1"]),
    ("task_history", &["autovacuum_vacuum_insert_scale_factor=0.1"]),
];

/// Dead rows, lost settings and indexes that are of no use.
async fn tables(connection: &Connection<'_>, checkup: &Checkup) -> QueryResult<Vec<Finding>> {
    const DEAD: &str = "SELECT quote_ident(schemaname) || '.' || quote_ident(relname), n_live_tup::bigint, \
         n_dead_tup::bigint FROM pg_stat_user_tables WHERE schemaname = current_schema() \
         AND relname = ANY($1) AND n_dead_tup > $2 AND n_dead_tup * 5 > n_live_tup ORDER BY n_dead_tup DESC";
    const LOST: &str = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), k.option \
         FROM unnest($1, $2) WITH ORDINALITY AS k (name, option, ord) \
         JOIN pg_namespace AS n ON n.nspname = current_schema() \
         JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = k.name \
         WHERE NOT coalesce(c.reloptions, '{}') @> ARRAY[k.option] ORDER BY k.ord";
    const INVALID: &str = "SELECT quote_ident(n.nspname) || '.' || quote_ident(i.relname) FROM pg_index AS x \
         JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_namespace AS n ON n.oid = i.relnamespace \
         WHERE n.nspname = current_schema() AND NOT x.indisvalid ORDER BY 1";
    const TABLES: [&str; 10] = [
        "tasks",
        "steps",
        "ready_steps",
        "leases",
        "payloads",
        "history",
        "task_history",
        "queues",
        "graphs",
        "actors",
    ];
    let mut findings = Vec::new();
    let most = i64::try_from(checkup.dead_rows).unwrap_or(i64::MAX);
    let binds = vec![Bind::Texts(TABLES.to_vec()), Bind::Int(most)];
    let dead = Statement::<(Text, BigInt, BigInt)>::new(DEAD, binds)
        .load::<(String, i64, i64)>(connection)
        .await?;
    for (table, live, dead) in dead {
        findings.push(Finding::warning(
            "dead_rows",
            format!("`{table}` has {dead} dead rows beside {live} others"),
            format!("VACUUM (ANALYZE) {table};"),
        ));
    }
    let pairs: Vec<(&str, &str)> = OPTIONS
        .iter()
        .flat_map(|(table, options)| options.iter().map(move |option| (*table, *option)))
        .collect();
    let binds = vec![
        Bind::Texts(pairs.iter().map(|(table, _)| *table).collect()),
        Bind::Texts(pairs.iter().map(|(_, option)| *option).collect()),
    ];
    let lost = Statement::<(Text, Text)>::new(LOST, binds)
        .load::<(String, String)>(connection)
        .await?;
    for own in lost.chunk_by(|one, other| one.0 == other.0) {
        let table = &own[0].0;
        let options: Vec<&str> = own.iter().map(|(_, option)| option.as_str()).collect();
        let options = options.join(", ");
        findings.push(Finding::warning(
            "table_settings",
            format!("`{table}` has not got the settings {options}, without which it grows or slows down"),
            format!("ALTER TABLE {table} SET ({options});"),
        ));
    }
    let invalid = Statement::<(Text,)>::new(INVALID, Vec::new())
        .load::<(String,)>(connection)
        .await?;
    for (index,) in invalid {
        findings.push(Finding::problem(
            "invalid_index",
            format!("the index `{index}` is not valid, so it is not used"),
            format!("REINDEX INDEX CONCURRENTLY {index};"),
        ));
    }
    Ok(findings)
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings that are looked for are those of the migrations.
    #[test]
    fn every_setting_of_a_migration_is_looked_for() {
        let up = include_str!("../../../../migrations/postgres/2026-11-25-000001_create_tasks/up.sql");
        let mut found = Vec::new();
        let mut table = "";
        for line in up.lines() {
            if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
                table = rest.trim_end_matches(" (");
            }
            let Some(options) = line
                .strip_prefix(") WITH (")
                .and_then(|rest| rest.strip_suffix(");"))
            else {
                continue;
            };
            let options: Vec<String> = options
                .split(", ")
                .map(|option| option.replace(" = ", "="))
                .collect();
            found.push((table, options));
        }
        let known: Vec<(&str, Vec<String>)> = OPTIONS
            .iter()
            .map(|(table, options)| (*table, options.iter().map(ToString::to_string).collect()))
            .collect();
        assert_eq!(found, known);
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(identifier("odd \"name\""), "\"odd \"\"name\"\"\"");
        assert_eq!(literal("it's"), "'it''s'");
    }
}
