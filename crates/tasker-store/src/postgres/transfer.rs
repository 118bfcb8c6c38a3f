//! PostgreSQL as the source and the target of a move.

use diesel::result::QueryResult;
use diesel::sql_types::{Bool, Text};
use tasker_engine::StoreError;
use tokio::sync::mpsc;

use super::PostgresOptions;
use super::connection::Connection;
use super::error::classify;
use super::statement::{Bind, Statement, execute};
use crate::transfer::{Chunk, MovedEntries, Parcel, Table, Transferred, refused};

/// Whoever writes waits until the end.
const HOLD: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL statement_timeout = 0; SET LOCAL \
     idle_in_transaction_session_timeout = 0; LOCK TABLE tasks, task_labels, steps, ready_steps, leases, queues, graphs, actors IN SHARE MODE";

const CLAIM: &str = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
     LOCK TABLE tasks, task_labels, steps, ready_steps, leases, queues, graphs, actors IN ACCESS EXCLUSIVE MODE";

const IS_EMPTY: &str = "SELECT NOT (EXISTS (SELECT FROM tasks) OR EXISTS (SELECT FROM graphs) OR EXISTS (SELECT FROM actors) \
     OR EXISTS (SELECT FROM history))";

/// How many rows are fetched at once, and of payloads, which may be large.
const FETCH: &str = "FETCH 500 FROM moving";
const FETCH_FEW: &str = "FETCH 20 FROM moving";

const COUNT_ON: &[&str] = &[
    "SELECT setval('tasks_key_seq', max(key)) FROM tasks HAVING max(key) IS NOT NULL",
    "SELECT setval(pg_get_serial_sequence('graphs', 'id'), max(id)) FROM graphs HAVING max(id) IS NOT NULL",
    "SELECT setval(pg_get_serial_sequence('queues', 'id'), max(id)) FROM queues HAVING max(id) IS NOT NULL",
    "SELECT setval(pg_get_serial_sequence('actors', 'id'), max(id)) FROM actors HAVING max(id) IS NOT NULL",
];

/// Returns the statement that makes lists of a table's rows.
fn select(table: Table) -> &'static str {
    match table {
        Table::Secrets => {
            "SELECT json_build_array(name, encode(value, 'hex'))::text FROM secrets ORDER BY name"
        }
        Table::Graphs => {
            "SELECT json_build_array(id, namespace, name, version, digest, body)::text FROM graphs ORDER BY id"
        }
        Table::Queues => {
            "SELECT json_build_array(id, namespace, handler, last_served)::text FROM queues ORDER BY id"
        }
        Table::GraphSteps => {
            "SELECT json_build_array(graph, step, name, queue, parents, retryable::int, retry_limit)::text \
             FROM graph_steps ORDER BY graph, step"
        }
        Table::GraphEdges => {
            "SELECT json_build_array(graph, from_step, to_step)::text FROM graph_edges ORDER BY graph, from_step, to_step"
        }
        Table::Actors => "SELECT json_build_array(id, name)::text FROM actors ORDER BY id",
        Table::Tasks => {
            "SELECT json_build_array(key, replace(id::text, '-', ''), graph, state, failure, priority, live_steps, identity, \
             namespace, idempotency_key, request_digest, origin, replace(parent_task::text, '-', ''), parent_step, \
             replace(root_task::text, '-', ''), created_at, started_at, finished_at, start_at, deadline_at, \
             next_check_at, updated_at)::text FROM tasks ORDER BY key"
        }
        Table::TaskLabels => {
            "SELECT json_build_array(kind, value, created_at, task)::text FROM task_labels \
             ORDER BY kind, value, created_at, task"
        }
        Table::Leases => {
            "SELECT json_build_array(token, lease_actor, lease_until, \
             json_agg(json_build_array(task, step) ORDER BY task, step))::text FROM steps \
             WHERE token IS NOT NULL GROUP BY token, lease_actor, lease_until ORDER BY token, lease_actor, lease_until"
        }
        Table::Steps => {
            "SELECT json_build_array(task, step, state, attempts, run, retry_limit, retryable::int, permanent::int, \
             unmet_parents, waits, kind, queue, next_retry_at, started_at, finished_at, timeout_us, token, lease_actor, \
             lease_until, configured::int)::text FROM steps ORDER BY task, step"
        }
        Table::ReadySteps => {
            "SELECT json_build_array(queue, parked::int, rank, task, step, due_at, gate)::text FROM ready_steps \
             ORDER BY queue, parked, rank, task, step"
        }
        Table::Payloads => {
            "SELECT json_build_array(task, step, strpos('trpcfg', kind::text) - 1, encoding, body)::text FROM payloads \
             ORDER BY task, step, kind"
        }
        Table::Entries => {
            "SELECT json_build_array(e.entry->0, e.entry->1, e.entry->2, e.entry->3, e.entry->4, h.at, e.entry->5, \
             e.entry->6, e.entry->7, e.entry->8, e.entry->9, nullif((e.entry->10)::text, 'null'))::text FROM history AS h \
             CROSS JOIN LATERAL json_array_elements(h.entries::json) WITH ORDINALITY AS e (entry, place) \
             WHERE json_typeof(e.entry) <> 'null' ORDER BY h.position, e.place"
        }
    }
}

/// Returns the statement that takes lists apart.
fn insert(table: Table) -> &'static str {
    match table {
        Table::Secrets => {
            "INSERT INTO secrets (name, value) SELECT v->>0, decode(v->>1, 'hex') FROM json_array_elements($1::json) AS v \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        }
        Table::Graphs => {
            "INSERT INTO graphs (id, namespace, name, version, digest, body) OVERRIDING SYSTEM VALUE \
             SELECT (v->>0)::bigint, v->>1, v->>2, v->>3, v->>4, v->>5 FROM json_array_elements($1::json) AS v"
        }
        Table::Queues => {
            "INSERT INTO queues (id, namespace, handler, last_served) OVERRIDING SYSTEM VALUE \
             SELECT (v->>0)::bigint, v->>1, v->>2, (v->>3)::bigint FROM json_array_elements($1::json) AS v"
        }
        Table::GraphSteps => {
            "INSERT INTO graph_steps (graph, step, name, queue, parents, retryable, retry_limit) \
             SELECT (v->>0)::bigint, (v->>1)::int, v->>2, (v->>3)::bigint, (v->>4)::int, (v->>5)::int <> 0, (v->>6)::bigint \
             FROM json_array_elements($1::json) AS v"
        }
        Table::GraphEdges => {
            "INSERT INTO graph_edges (graph, from_step, to_step) \
             SELECT (v->>0)::bigint, (v->>1)::int, (v->>2)::int FROM json_array_elements($1::json) AS v"
        }
        Table::Actors => {
            "INSERT INTO actors (id, name) OVERRIDING SYSTEM VALUE \
             SELECT (v->>0)::bigint, v->>1 FROM json_array_elements($1::json) AS v"
        }
        Table::Tasks => {
            "INSERT INTO tasks (key, id, graph, state, failure, priority, live_steps, identity, namespace, idempotency_key, \
             request_digest, origin, parent_task, parent_step, root_task, created_at, started_at, finished_at, \
             start_at, deadline_at, next_check_at, updated_at) \
             SELECT (v->>0)::bigint, (v->>1)::uuid, (v->>2)::bigint, v->>3, v->>4, (v->>5)::smallint, (v->>6)::int, v->>7, \
             v->>8, v->>9, v->>10, v->>11, (v->>12)::uuid, (v->>13)::int, (v->>14)::uuid, (v->>15)::bigint, \
             (v->>16)::bigint, (v->>17)::bigint, (v->>18)::bigint, (v->>19)::bigint, (v->>20)::bigint, (v->>21)::bigint \
             FROM json_array_elements($1::json) AS v"
        }
        Table::TaskLabels => {
            "INSERT INTO task_labels (kind, value, created_at, task) \
             SELECT v->>0, v->>1, (v->>2)::bigint, (v->>3)::bigint FROM json_array_elements($1::json) AS v"
        }
        Table::Leases => {
            "INSERT INTO leases AS l (token, actor, until, tasks, steps) \
             SELECT (v->>0)::bigint, (v->>1)::bigint, min((v->>2)::bigint), array_agg((k->>0)::bigint), array_agg((k->>1)::int) \
             FROM json_array_elements($1::json) AS v CROSS JOIN json_array_elements(v->3) AS k GROUP BY 1, 2 \
             ON CONFLICT (token, actor) DO UPDATE SET until = least(l.until, excluded.until), \
             tasks = l.tasks || excluded.tasks, steps = l.steps || excluded.steps"
        }
        Table::Steps => {
            "INSERT INTO steps (task, step, state, attempts, run, retry_limit, retryable, permanent, unmet_parents, waits, kind, \
             queue, next_retry_at, started_at, finished_at, timeout_us, token, lease_actor, lease_until, configured) \
             SELECT (v->>0)::bigint, (v->>1)::int, v->>2, (v->>3)::int, (v->>4)::int, (v->>5)::bigint, (v->>6)::int <> 0, \
             (v->>7)::int <> 0, (v->>8)::int, (v->>9)::int, v->>10, (v->>11)::bigint, (v->>12)::bigint, (v->>13)::bigint, \
             (v->>14)::bigint, (v->>15)::bigint, (v->>16)::bigint, (v->>17)::bigint, (v->>18)::bigint, (v->>19)::int <> 0 \
             FROM json_array_elements($1::json) AS v"
        }
        Table::ReadySteps => {
            "INSERT INTO ready_steps (queue, parked, rank, task, step, due_at, gate) \
             SELECT (v->>0)::bigint, (v->>1)::int <> 0, (v->>2)::smallint, (v->>3)::bigint, (v->>4)::int, (v->>5)::bigint, \
             v->>6 FROM json_array_elements($1::json) AS v"
        }
        Table::Payloads => {
            "INSERT INTO payloads (task, step, kind, encoding, body) \
             SELECT (v->>0)::bigint, (v->>1)::int, substr('trpcfg', (v->>2)::int + 1, 1)::\"char\", v->>3, v->>4 \
             FROM json_array_elements($1::json) AS v"
        }
        Table::Entries => {
            "WITH written AS (INSERT INTO history (position, at, entries) SELECT * FROM unnest($1, $2, $3)) \
             INSERT INTO task_history (task, position) SELECT * FROM unnest($4, $5)"
        }
    }
}

/// Reads everything in one transaction, which ends when the target has ended.
pub(crate) async fn read(options: &PostgresOptions, sender: mpsc::Sender<Parcel>) -> Result<(), StoreError> {
    let target = options.target()?;
    let connection = target.connect().await?;
    let failed = |error| classify(target.shown(), error);
    connection.batch_execute(HOLD).await.map_err(failed)?;
    for table in Table::ALL {
        let fetch = match table {
            Table::Payloads | Table::Graphs | Table::Leases => FETCH_FEW,
            _ => FETCH,
        };
        let open = format!("DECLARE moving NO SCROLL CURSOR FOR {}", select(table));
        connection.batch_execute(&open).await.map_err(failed)?;
        let mut chunk = Chunk::default();
        loop {
            let rows = Statement::<(Text,)>::new(fetch, Vec::new())
                .load::<(String,)>(&connection)
                .await
                .map_err(failed)?;
            let ended = rows.is_empty();
            for (row,) in rows {
                if chunk.add(&row) {
                    send(&sender, table, &mut chunk).await?;
                }
            }
            if ended {
                break;
            }
        }
        send(&sender, table, &mut chunk).await?;
        connection.batch_execute("CLOSE moving").await.map_err(failed)?;
    }
    sender.send(Parcel::End).await.map_err(|_| StoreError::Closed)?;
    sender.closed().await;
    // Nothing was changed, and when this fails the server ends the transaction by itself.
    let _ = connection.batch_execute("ROLLBACK").await;
    Ok(())
}

async fn send(sender: &mpsc::Sender<Parcel>, table: Table, chunk: &mut Chunk) -> Result<(), StoreError> {
    let Some(text) = chunk.take() else { return Ok(()) };
    sender
        .send(Parcel::Rows(table, text))
        .await
        .map_err(|_| StoreError::Closed)
}

/// Refuses a database that was used before.
pub(crate) async fn refuse_used(options: &PostgresOptions) -> Result<(), StoreError> {
    let target = options.target()?;
    refuse(&target.connect().await?, target.shown()).await
}

async fn refuse(connection: &Connection<'_>, shown: &str) -> Result<(), StoreError> {
    let (is_empty,) = Statement::<(Bool,)>::new(IS_EMPTY, Vec::new())
        .get_result::<(bool,)>(connection)
        .await
        .map_err(|error| classify(shown, error))?;
    match is_empty {
        true => Ok(()),
        false => Err(refused(shown.to_owned())),
    }
}

/// Writes everything in one transaction.
pub(crate) async fn write(
    options: &PostgresOptions,
    mut receiver: mpsc::Receiver<Parcel>,
) -> Result<Transferred, StoreError> {
    let target = options.target()?;
    let connection = target.connect().await?;
    let failed = |error| classify(target.shown(), error);
    connection.batch_execute(CLAIM).await.map_err(failed)?;
    refuse(&connection, target.shown()).await?;
    let mut sum = Transferred::default();
    while let Some(parcel) = receiver.recv().await {
        match parcel {
            Parcel::Rows(Table::Entries, rows) => {
                let entries = write_entries(&connection, &rows, sum.transitions);
                sum.count(Table::Entries, entries.await.map_err(failed)?);
            }
            Parcel::Rows(table, rows) => {
                let binds = vec![Bind::Text(&rows)];
                let written = execute(&connection, insert(table), binds).await.map_err(failed)?;
                sum.count(table, written);
            }
            Parcel::End => {
                end(&connection, sum).await.map_err(failed)?;
                connection.batch_execute("COMMIT").await.map_err(failed)?;
                return Ok(sum);
            }
        }
    }
    // The source failed; what was written is undone with the connection.
    Err(StoreError::Closed)
}

/// Writes entries, and returns how many there are.
async fn write_entries(connection: &Connection<'_>, rows: &str, before: u64) -> QueryResult<usize> {
    let moved = MovedEntries::read(rows)
        .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))?;
    let first = i64::try_from(before).unwrap_or(i64::MAX);
    let mut position = first;
    let (mut positions, mut times, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tasks, mut places) = (Vec::new(), Vec::new());
    for MovedEntries { at, row } in moved {
        position += row.count;
        positions.push(position);
        times.push(at);
        texts.push(row.entries);
        places.extend(row.tasks.iter().map(|_| position));
        tasks.extend(row.tasks);
    }
    let binds = vec![
        Bind::Ints(positions),
        Bind::Ints(times),
        Bind::OwnTexts(texts),
        Bind::Ints(tasks),
        Bind::Ints(places),
    ];
    execute(connection, insert(Table::Entries), binds).await?;
    Ok(usize::try_from(position - first).unwrap_or_default())
}

/// Has numbers go on after those that there are.
async fn end(connection: &Connection<'_>, sum: Transferred) -> QueryResult<()> {
    // The positions of what comes begin with the number of its transaction, and must be greater.
    const BEGIN_AFTER: &str = "UPDATE tasker_schema SET position_offset = greatest(position_offset, \
         ($1 >> 19) + 1 - pg_current_xact_id()::text::bigint)";
    for sql in COUNT_ON {
        execute(connection, sql, Vec::new()).await?;
    }
    let last = i64::try_from(sum.transitions).unwrap_or(i64::MAX);
    execute(connection, BEGIN_AFTER, vec![Bind::Int(last)]).await?;
    for table in [
        "tasks",
        "task_labels",
        "steps",
        "ready_steps",
        "payloads",
        "history",
        "task_history",
        "leases",
    ] {
        connection.batch_execute(&format!("ANALYZE {table}")).await?;
    }
    Ok(())
}
