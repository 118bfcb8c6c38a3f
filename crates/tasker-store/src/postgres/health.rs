//! How a database stands: its schema, how much is in it, and who is connected.

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool};
use tasker_engine::Totals;
use tasker_types::Timestamp;

use super::connection::Connection;
use super::migrate::SCHEMA_VERSION;
use super::statement::{Bind, Statement};
use crate::status::{Schema, ServerConnections};
use crate::totals::{Queue, QueueSql, Steps, StepsSql, Tasks, TasksSql, totals as counted};

const TASKS: &str = "\
SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'in_progress'), \
    count(*) FILTER (WHERE state = 'complete'), count(*) FILTER (WHERE state = 'error'), \
    count(*) FILTER (WHERE state = 'cancelled'), count(*) FILTER (WHERE state = 'resolved_manually') FROM tasks";

const STEPS: &str = "\
SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'in_progress'), \
    count(*) FILTER (WHERE state = 'complete'), count(*) FILTER (WHERE state = 'error'), \
    count(*) FILTER (WHERE state = 'cancelled'), count(*) FILTER (WHERE state = 'resolved_manually'), \
    count(*) FILTER (WHERE state = 'error' AND attempts < retry_limit AND NOT permanent AND \
        (retryable OR attempts = 0)), \
    count(*) FILTER (WHERE state = 'error' AND attempts < retry_limit AND NOT permanent AND \
        (retryable OR attempts = 0) AND \
        next_retry_at > coalesce($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)), \
    count(*) FILTER (WHERE state = 'error' AND attempts >= retry_limit), \
    count(*) FILTER (WHERE state = 'error' AND attempts < retry_limit AND \
        (permanent OR (NOT retryable AND attempts > 0))) FROM steps";

const QUEUE: &str = "\
WITH clock AS (SELECT coalesce($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now) \
SELECT count(*) FILTER (WHERE due_at IS NULL OR due_at <= now), count(*) FILTER (WHERE due_at > now) \
FROM ready_steps, clock";

/// Counts tasks, steps and the queue: one pass over each.
pub(super) async fn totals(connection: &Connection<'_>, now: Option<Timestamp>) -> QueryResult<Totals> {
    // Everything is read, so an index would only be a detour.
    connection.batch_execute("SET LOCAL enable_seqscan = on").await?;
    let tasks = Statement::<TasksSql>::new(TASKS, Vec::new())
        .get_result::<Tasks>(connection)
        .await?;
    let binds = vec![Bind::MaybeInt(now.map(Timestamp::as_micros))];
    let steps = Statement::<StepsSql>::new(STEPS, binds)
        .get_result::<Steps>(connection)
        .await?;
    let binds = vec![Bind::MaybeInt(now.map(Timestamp::as_micros))];
    let queue = Statement::<QueueSql>::new(QUEUE, binds)
        .get_result::<Queue>(connection)
        .await?;
    Ok(counted(tasks, steps, queue))
}

/// Returns how many connections the database has, whoever opened them, and how many the server permits.
pub(super) async fn connections(connection: &Connection<'_>) -> QueryResult<ServerConnections> {
    const SQL: &str = "\
SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()), \
    current_setting('max_connections')::bigint";
    server_connections(connection, SQL).await
}

/// Returns the connections of a server, as a statement counts them: how many there are, and how many there may be.
pub(super) async fn server_connections(
    connection: &Connection<'_>,
    sql: &'static str,
) -> QueryResult<ServerConnections> {
    let (open, max) = Statement::<(BigInt, BigInt)>::new(sql, Vec::new())
        .get_result::<(i64, i64)>(connection)
        .await?;
    let count = |number: i64| u32::try_from(number).unwrap_or_default();
    Ok(ServerConnections {
        open: count(open),
        max: count(max),
    })
}

/// Returns the version of the schema.
pub(super) async fn schema(connection: &Connection<'_>) -> QueryResult<Schema> {
    const TABLE: &str = "SELECT to_regclass('tasker_schema') IS NOT NULL";
    const SCHEMA: &str = "SELECT version::bigint, oldest_program::bigint FROM tasker_schema WHERE id = 1";
    let (there,) = Statement::<(Bool,)>::new(TABLE, Vec::new())
        .get_result::<(bool,)>(connection)
        .await?;
    let row = match there {
        false => None,
        true => Statement::<(BigInt, BigInt)>::new(SCHEMA, Vec::new())
            .load::<(i64, i64)>(connection)
            .await?
            .pop(),
    };
    Ok(Schema::of(row, SCHEMA_VERSION))
}
