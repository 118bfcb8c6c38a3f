//! How a file stands: its schema, and how much is in it.

use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
use tasker_engine::Totals;
use tasker_types::Timestamp;

use super::connection::Connection;
use super::migrate::SCHEMA_VERSION;
use super::statement::{Bind, Statement};
use crate::status::Schema;
use crate::totals::{Queue, QueueSql, Steps, StepsSql, Tasks, TasksSql, totals as counted};

const TASKS: &str = "\
SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'in_progress'), \
    count(*) FILTER (WHERE state = 'complete'), count(*) FILTER (WHERE state = 'error'), \
    count(*) FILTER (WHERE state = 'cancelled'), count(*) FILTER (WHERE state = 'resolved_manually') FROM tasks";

const STEPS: &str = "\
SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'in_progress'), \
    count(*) FILTER (WHERE state = 'complete'), count(*) FILTER (WHERE state = 'error'), \
    count(*) FILTER (WHERE state = 'cancelled'), count(*) FILTER (WHERE state = 'resolved_manually'), \
    count(*) FILTER (WHERE state = 'error' AND attempts < retry_limit AND permanent = 0 AND \
        (retryable = 1 OR attempts = 0)), \
    count(*) FILTER (WHERE state = 'error' AND attempts < retry_limit AND permanent = 0 AND \
        (retryable = 1 OR attempts = 0) AND next_retry_at > ?1), \
    count(*) FILTER (WHERE state = 'error' AND attempts >= retry_limit), \
    count(*) FILTER (WHERE state = 'error' AND attempts < retry_limit AND \
        (permanent = 1 OR (retryable = 0 AND attempts > 0))) FROM steps";

const QUEUE: &str = "\
SELECT count(*) FILTER (WHERE due_at IS NULL OR due_at <= ?1), count(*) FILTER (WHERE due_at > ?1) FROM ready_steps";

/// Counts tasks, steps and the queue: one pass over each.
pub(super) fn totals(connection: &mut Connection, now: Timestamp) -> QueryResult<Totals> {
    let tasks = Statement::<TasksSql>::new(TASKS, &[]).get_result::<Tasks>(connection)?;
    let binds = [Bind::Int(now.as_micros())];
    let steps = Statement::<StepsSql>::new(STEPS, &binds).get_result::<Steps>(connection)?;
    let queue = Statement::<QueueSql>::new(QUEUE, &binds).get_result::<Queue>(connection)?;
    Ok(counted(tasks, steps, queue))
}

/// Returns the version of the schema.
pub(super) fn schema(connection: &mut Connection) -> QueryResult<Schema> {
    const TABLE: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'tasker_schema'";
    const SCHEMA: &str = "SELECT version, oldest_program FROM tasker_schema WHERE id = 1";
    let (there,) = Statement::<(BigInt,)>::new(TABLE, &[]).get_result::<(i64,)>(connection)?;
    let row = match there {
        0 => None,
        _ => Statement::<(BigInt, BigInt)>::new(SCHEMA, &[])
            .load::<(i64, i64)>(connection)?
            .pop(),
    };
    Ok(Schema::of(row, SCHEMA_VERSION))
}

#[cfg(test)]
mod tests {
    use super::super::file::{Mode, SqliteFile};
    use super::*;

    #[test]
    fn a_schema_that_this_program_does_not_know_is_not_usable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasker.db");
        super::super::migrate::up(&path).unwrap();
        let mut connection = SqliteFile::new(&path).open(Mode::Write).unwrap();
        let now = schema(&mut connection).unwrap();
        assert!(now.is_usable() && now.version == SCHEMA_VERSION, "{now:?}");
        for (version, oldest, usable) in [(9, 1, true), (9, 9, false), (0, 1, false)] {
            let sql = format!("UPDATE tasker_schema SET version = {version}, oldest_program = {oldest}");
            connection.batch_execute(&sql).unwrap();
            assert_eq!(schema(&mut connection).unwrap().is_usable(), usable, "{sql}");
        }
        connection.batch_execute("DROP TABLE tasker_schema").unwrap();
        assert_eq!(schema(&mut connection).unwrap().version, 0);
    }
}
