//! Counting what there is: what both databases answer with.

use diesel::sql_types::BigInt;
use tasker_engine::{QueueCounts, RetryCounts, StateCounts, Totals};

/// Tasks by state, in the order of [`StateCounts`].
pub(crate) type TasksSql = (BigInt, BigInt, BigInt, BigInt, BigInt, BigInt);
pub(crate) type Tasks = (i64, i64, i64, i64, i64, i64);
/// Steps by state, and then those in error in the order of [`RetryCounts`].
pub(crate) type StepsSql = (
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
);
pub(crate) type Steps = (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);

/// Queued steps, in the order of [`QueueCounts`].
pub(crate) type QueueSql = (BigInt, BigInt);
pub(crate) type Queue = (i64, i64);

/// Returns what was counted.
pub(crate) fn totals(tasks: Tasks, steps: Steps, queue: Queue) -> Totals {
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    let states = |(pending, in_progress, complete, error, cancelled, resolved_manually): Tasks| StateCounts {
        pending: count(pending),
        in_progress: count(in_progress),
        complete: count(complete),
        error: count(error),
        cancelled: count(cancelled),
        resolved_manually: count(resolved_manually),
    };
    let (a, b, c, d, e, f, retryable, in_backoff, exhausted, permanent) = steps;
    Totals {
        tasks: states(tasks),
        steps: states((a, b, c, d, e, f)),
        retries: RetryCounts {
            retryable: count(retryable),
            in_backoff: count(in_backoff),
            exhausted: count(exhausted),
            permanent: count(permanent),
        },
        queue: QueueCounts {
            due: count(queue.0),
            waiting: count(queue.1),
        },
    }
}
