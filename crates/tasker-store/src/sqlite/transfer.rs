//! SQLite as the source and the target of a move.

use std::path::Path;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text};
use tasker_engine::StoreError;
use tokio::sync::mpsc;

use super::connection::Connection;
use super::error::{classify, classify_commit};
use super::file::{Mode, SqliteFile};
use super::rows::json;
use super::statement::{Bind, Statement};
use super::unit::Trouble;
use crate::transfer::{Chunk, MovedEntries, Parcel, Table, Transferred, refused};

/// Returns the statement that makes lists of a table's rows.
fn select(table: Table) -> &'static str {
    match table {
        Table::Secrets => "SELECT json_array(name, lower(hex(value))) FROM secrets ORDER BY name",
        Table::Graphs => {
            "SELECT json_array(id, namespace, name, version, digest, body) FROM graphs ORDER BY id"
        }
        Table::Queues => "SELECT json_array(id, namespace, handler, last_served) FROM queues ORDER BY id",
        Table::GraphSteps => {
            "SELECT json_array(graph, step, name, queue, parents, retryable, retry_limit) FROM graph_steps \
             ORDER BY graph, step"
        }
        Table::GraphEdges => {
            "SELECT json_array(graph, from_step, to_step) FROM graph_edges ORDER BY graph, from_step, to_step"
        }
        Table::Actors => "SELECT json_array(id, name) FROM actors ORDER BY id",
        Table::Tasks => {
            "SELECT json_array(key, lower(hex(id)), graph, state, failure, priority, live_steps, identity, namespace, \
             idempotency_key, request_digest, origin, lower(nullif(hex(parent_task), '')), parent_step, \
             lower(nullif(hex(root_task), '')), created_at, started_at, finished_at, start_at, deadline_at, \
             next_check_at, updated_at) FROM tasks ORDER BY key"
        }
        Table::TaskLabels => {
            "SELECT json_array(kind, value, created_at, task) FROM task_labels ORDER BY kind, value, created_at, task"
        }
        Table::Leases => {
            "SELECT json_array(l.token, l.actor, l.until, json_group_array(json_array(s.key >> 24, s.key & 16777215))) \
             FROM steps AS s CROSS JOIN leases AS l ON l.id = s.lease WHERE s.lease IS NOT NULL \
             GROUP BY l.token, l.actor, l.until"
        }
        Table::Steps => {
            "SELECT json_array(s.key >> 24, s.key & 16777215, s.state, s.attempts, s.run, s.retry_limit, s.retryable, \
             s.permanent, s.unmet_parents, s.waits, s.kind, s.queue, s.next_retry_at, s.started_at, s.finished_at, \
             s.timeout_us, l.token, l.actor, l.until, EXISTS (SELECT 1 FROM payloads AS p WHERE p.key = (s.key << 3) | 3)) \
             FROM steps AS s LEFT JOIN leases AS l ON l.id = s.lease ORDER BY s.key"
        }
        Table::ReadySteps => {
            "SELECT json_array(queue, parked, rank, task, step, due_at, gate) FROM ready_steps \
             ORDER BY queue, parked, rank, task, step"
        }
        Table::Payloads => {
            "SELECT json_array(key >> 27, CASE key & 7 WHEN 0 THEN -1 ELSE (key >> 3) & 16777215 END, key & 7, encoding, body) \
             FROM payloads ORDER BY key"
        }
        // The entries of a row come in their order; were they sorted, all of them would be in memory.
        Table::Entries => {
            "SELECT json_array(e.value->>0, e.value->>1, e.value->>2, e.value->>3, e.value->>4, h.at, e.value->>5, \
             e.value->>6, e.value->>7, e.value->>8, e.value->>9, nullif(e.value->10, 'null') || '') \
             FROM history AS h CROSS JOIN json_each(h.entries) AS e WHERE e.type <> 'null' ORDER BY h.position"
        }
    }
}

/// Returns the statement that takes lists apart. Entries of the history are not taken apart by the database.
fn insert(table: Table) -> &'static str {
    match table {
        Table::Secrets => {
            "INSERT OR REPLACE INTO secrets (name, value) SELECT value->>0, unhex(value->>1) FROM json_each(?1)"
        }
        Table::Graphs => {
            "INSERT INTO graphs (id, namespace, name, version, digest, body) \
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM json_each(?1)"
        }
        Table::Queues => {
            "INSERT INTO queues (id, namespace, handler, last_served) \
             SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?1)"
        }
        Table::GraphSteps => {
            "INSERT INTO graph_steps (graph, step, name, queue, parents, retryable, retry_limit) \
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 FROM json_each(?1)"
        }
        Table::GraphEdges => {
            "INSERT INTO graph_edges (graph, from_step, to_step) \
             SELECT value->>0, value->>1, value->>2 FROM json_each(?1)"
        }
        Table::Actors => "INSERT INTO actors (id, name) SELECT value->>0, value->>1 FROM json_each(?1)",
        Table::Tasks => {
            "INSERT INTO tasks (key, id, graph, state, failure, priority, live_steps, identity, namespace, idempotency_key, \
             request_digest, origin, parent_task, parent_step, root_task, created_at, started_at, finished_at, \
             start_at, deadline_at, next_check_at, updated_at) \
             SELECT value->>0, unhex(value->>1), value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, \
             value->>9, value->>10, value->>11, unhex(value->>12), value->>13, unhex(value->>14), value->>15, \
             value->>16, value->>17, value->>18, value->>19, value->>20, value->>21 FROM json_each(?1)"
        }
        Table::TaskLabels => {
            "INSERT INTO task_labels (kind, value, created_at, task) \
             SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?1)"
        }
        Table::Leases => {
            "INSERT INTO leases (token, actor, process, until, held, steps) \
             SELECT e.value->>0, e.value->>1, ?2, e.value->>2, json_array_length(e.value, '$[3]'), \
             (SELECT json_group_array(((k.value->>0) << 24) | (k.value->>1)) FROM json_each(e.value, '$[3]') AS k) \
             FROM json_each(?1) AS e"
        }
        Table::Steps => {
            "INSERT INTO steps (key, state, attempts, run, retry_limit, retryable, permanent, unmet_parents, waits, kind, queue, \
             next_retry_at, started_at, finished_at, timeout_us, lease) \
             SELECT ((value->>0) << 24) | (value->>1), value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
             value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, value->>15, \
             CASE WHEN value->>16 IS NOT NULL THEN (SELECT l.id FROM leases AS l \
                WHERE l.token = value->>16 AND l.actor = value->>17 AND l.until = value->>18) END FROM json_each(?1)"
        }
        Table::ReadySteps => {
            "INSERT INTO ready_steps (queue, parked, rank, task, step, due_at, gate) \
             SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 FROM json_each(?1)"
        }
        Table::Payloads => {
            "INSERT INTO payloads (key, encoding, body) \
             SELECT ((value->>0) << 27) | (max(value->>1, 0) << 3) | (value->>2), value->>3, value->>4 FROM json_each(?1)"
        }
        Table::Entries => "INSERT INTO history (position, at, entries) VALUES (?1, ?2, ?3)",
    }
}

/// Reads everything in one transaction, which keeps others from writing, and ends when the target has ended.
pub(crate) fn read(file: &SqliteFile, sender: &mpsc::Sender<Parcel>) -> Result<(), StoreError> {
    let path = file.path();
    let failed = |error| classify(path, error);
    let mut connection = file.open(Mode::Write)?;
    connection.batch_execute("BEGIN IMMEDIATE").map_err(failed)?;
    for table in Table::ALL {
        let mut chunk = Chunk::default();
        let read = Statement::<(Text,)>::new(select(table), &[]).each(&mut connection, |(row,): (String,)| {
            if chunk.add(&row) {
                send(sender, table, &mut chunk)?;
            }
            Ok(())
        });
        read.map_err(|trouble| match trouble {
            Trouble::Database(error) => failed(error),
            Trouble::Refused(error) => error,
        })?;
        send(sender, table, &mut chunk)?;
    }
    sender
        .blocking_send(Parcel::End)
        .map_err(|_| StoreError::Closed)?;
    tokio::runtime::Handle::current().block_on(sender.closed());
    // Nothing was changed.
    let _ = connection.batch_execute("ROLLBACK");
    Ok(())
}

fn send(sender: &mpsc::Sender<Parcel>, table: Table, chunk: &mut Chunk) -> Result<(), StoreError> {
    let Some(text) = chunk.take() else { return Ok(()) };
    sender
        .blocking_send(Parcel::Rows(table, text))
        .map_err(|_| StoreError::Closed)
}

fn number(connection: &mut Connection, sql: &'static str) -> QueryResult<i64> {
    let row: (i64,) = Statement::<(BigInt,)>::new(sql, &[]).get_result(connection)?;
    Ok(row.0)
}

/// Refuses a file that was used before.
pub(crate) fn refuse_used(file: &SqliteFile) -> Result<(), StoreError> {
    refuse(&mut file.open(Mode::Read)?, file.path())
}

fn refuse(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    const IS_EMPTY: &str = "SELECT NOT (EXISTS (SELECT 1 FROM tasks) OR EXISTS (SELECT 1 FROM graphs) \
         OR EXISTS (SELECT 1 FROM actors) OR EXISTS (SELECT 1 FROM history))";
    match number(connection, IS_EMPTY).map_err(|error| classify(path, error))? {
        0 => Err(refused(path.display().to_string())),
        _ => Ok(()),
    }
}

/// Writes everything in one transaction.
pub(crate) fn write(
    file: &SqliteFile,
    mut receiver: mpsc::Receiver<Parcel>,
) -> Result<Transferred, StoreError> {
    // Steps in progress are held by nobody who works on this file, which is known by a process that is not there.
    const NOBODY: &str = "INSERT INTO processes (pid) VALUES (0) RETURNING id";
    let path = file.path();
    let failed = |error| classify(path, error);
    let mut connection = file.open(Mode::Write)?;
    connection.batch_execute("BEGIN IMMEDIATE").map_err(failed)?;
    refuse(&mut connection, path)?;
    let nobody = number(&mut connection, NOBODY).map_err(failed)?;
    let mut sum = Transferred::default();
    while let Some(parcel) = receiver.blocking_recv() {
        match parcel {
            Parcel::Rows(Table::Entries, rows) => {
                let entries = write_entries(&mut connection, &rows, sum.transitions).map_err(failed)?;
                sum.count(Table::Entries, entries);
            }
            Parcel::Rows(table, rows) => {
                let mut binds = vec![Bind::Text(&rows)];
                if table == Table::Leases {
                    binds.push(Bind::Int(nobody));
                }
                let written = Statement::<()>::new(insert(table), &binds)
                    .execute(&mut connection)
                    .map_err(failed)?;
                sum.count(table, written);
            }
            Parcel::End => {
                connection
                    .batch_execute("COMMIT")
                    .map_err(|error| classify_commit(path, error))?;
                return Ok(sum);
            }
        }
    }
    // The source failed; what was written is undone with the connection.
    Err(StoreError::Closed)
}

/// Writes entries, and returns how many there are.
fn write_entries(connection: &mut Connection, rows: &str, before: u64) -> QueryResult<usize> {
    const PLACES: &str = "INSERT INTO task_history (task, position) SELECT value, ?2 FROM json_each(?1)";
    let moved = MovedEntries::read(rows)
        .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))?;
    let first = i64::try_from(before).unwrap_or(i64::MAX);
    let mut position = first;
    for MovedEntries { at, row } in moved {
        position += row.count;
        let binds = [Bind::Int(position), Bind::Int(at), Bind::Text(&row.entries)];
        Statement::<()>::new(insert(Table::Entries), &binds).execute(connection)?;
        Statement::<()>::new(PLACES, &[Bind::Text(&json(&row.tasks)), Bind::Int(position)])
            .execute(connection)?;
    }
    Ok(usize::try_from(position - first).unwrap_or_default())
}
