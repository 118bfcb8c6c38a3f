//! Files that were damaged: the checker names what is wrong, and what would mend it.

use std::sync::Arc;

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::sqlite::SqliteConnection;
use tasker_engine::{Store, verify_all};
use tasker_store::{SqliteOptions, SqliteStore};
use tasker_testkit::{Harness, ManualClock, shapes, succeed};

/// Damages a task of four steps (`a` is complete, `b` in progress, `c` queued, `d` waits for both), and checks that the
/// violation is named, with what would mend it.
///
/// The task's key is 1, so those of its steps are 16777216 to 16777219.
async fn damaged(sql: &str, says: &str, mend: &str) {
    let clock = ManualClock::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasker.db");
    let store = SqliteStore::open(SqliteOptions::new(&path, Arc::new(clock.clone())).inline()).unwrap();
    let h = Harness::new(Arc::new(store.clone()), clock);
    let template = shapes::graph("halfway", &[("a", ""), ("b", "a"), ("c", "a"), ("d", "b c")]);
    let task = h.create(template).await;
    let first = h.claim_one().await;
    h.end(succeed(&first)).await;
    assert_eq!(h.claim(1).await.len(), 1);
    h.verify().await;
    let mut raw = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    raw.batch_execute(sql).unwrap();
    let report = verify_all(&store as &dyn Store).await.unwrap();
    let told = report.violations.iter().zip(report.proposals());
    let told: Vec<String> = told
        .map(|(violation, proposal)| format!("{violation} -> {proposal}"))
        .collect();
    let expected = |line: &String| line.contains(says) && line.ends_with(mend);
    assert!(told.iter().any(expected), "{sql}: {told:#?}");
    assert!(
        told.iter()
            .all(|line| line.starts_with(&format!("task `{task}`")))
    );
}

macro_rules! damage {
    ($($name:ident: $sql:expr => $says:literal, $mend:literal;)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                damaged($sql, $says, $mend).await;
            }
        )+
    };
}

damage! {
    a_step_that_the_queue_lost: "DELETE FROM ready_steps"
        => "step 2: it is ready or waits for its time, but the queue does not have it", "would put the step into the queue";
    a_step_at_another_rank: "UPDATE ready_steps SET rank = 7"
        => "step 2: it is ready or waits for its time, but the queue does not have it", "would put the step into the queue";
    a_step_that_the_queue_holds_back: "UPDATE ready_steps SET parked = 1, due_at = 9999999999999999"
        => "step 2: it is ready or waits for its time, but the queue does not have it", "would put the step into the queue";
    a_step_that_the_queue_has_too_early:
        "INSERT INTO ready_steps SELECT queue, parked, rank, task, 3, due_at, gate FROM ready_steps"
        => "step 3: the queue has it, but it cannot be claimed", "would take the step out of the queue";
    a_wrong_count_of_live_steps: "UPDATE tasks SET live_steps = 5"
        => "the count of live steps is 5, but it should be 2", "would set the count of live steps to 2";
    a_wrong_count_of_parents: "UPDATE steps SET unmet_parents = 1 WHERE key = 16777219"
        => "step 3: the count of unmet parents is 1, but it should be 2", "would set the count of unmet parents to 2";
    a_step_whose_lease_is_not_named: "UPDATE steps SET lease = NULL WHERE state = 'in_progress'"
        => "step 1: it is in progress without a lease", "would end the attempt as one whose lease is over";
    a_lease_that_is_gone: "DELETE FROM leases"
        => "step 1: it is in progress without a lease", "would end the attempt as one whose lease is over";
    a_lease_of_a_complete_step: "UPDATE steps SET lease = (SELECT id FROM leases) WHERE key = 16777216"
        => "step 0: it has a lease, but is `complete`", "would take away the lease";
    attempts_beyond_the_history: "UPDATE steps SET attempts = 2 WHERE key = 16777217"
        => "step 1: the number of attempts is 2, but it should be 1", "would set the number of attempts to 1";
    runs_beyond_the_history: "UPDATE steps SET run = 9 WHERE key = 16777216"
        => "step 0: the number of runs is 9, but it should be 1", "would set the number of runs to 1";
    a_limit_that_nobody_set: "UPDATE steps SET retry_limit = 9 WHERE key = 16777218"
        => "step 2: the retry limit is 9, but it should be 3", "would set the retry limit to 3";
    a_failure_that_nobody_had: "UPDATE steps SET permanent = 1 WHERE key = 16777218"
        => "step 2: the row and the history differ", "as the history says";
    a_state_that_the_history_does_not_end_in: "UPDATE steps SET state = 'pending' WHERE key = 16777216"
        => "step 0: the history ends in `complete`, but the row is `pending`", "would set the state to `complete`, in which the history ends";
    a_result_that_is_gone: "DELETE FROM payloads WHERE key = 16777216 * 8 + 1"
        => "step 0: it is complete without a result", "what is known elsewhere";
    a_result_before_its_time: "INSERT INTO payloads (key, body) VALUES (16777219 * 8 + 1, '1')"
        => "step 3: it has a result, but is `pending`", "what is known elsewhere";
    a_task_that_ended_before_its_steps: "UPDATE tasks SET state = 'cancelled'"
        => "step 3: it is `pending` although the task is over", "would cancel the step";
    a_complete_task_with_steps_to_do: "UPDATE tasks SET state = 'complete'"
        => "step 3: it is `pending` although the task is complete", "what is known elsewhere";
    a_reason_for_no_error: "UPDATE tasks SET failure = 'steps_cancelled'"
        => "says why it is in error, but is `in_progress`", "would take away the reason";
    an_error_without_a_reason: "UPDATE tasks SET state = 'error'"
        => "is in error and does not say why", "what is known elsewhere";
    an_error_in_which_a_step_could_run: "UPDATE tasks SET state = 'error', failure = 'steps_cancelled'"
        => "the task is in error for its steps, but this one could run", "would let the task go on";
    a_task_that_hangs: "UPDATE steps SET state = 'cancelled', lease = NULL WHERE key > 16777216"
        => "nothing will ever happen to it", "would have the finalizer decide about the task";
    an_event_that_did_not_happen: "UPDATE history SET entries = replace(entries, '\"succeed\"', '\"release\"')"
        => "event `release` does not lead from `in_progress` to `complete` here", "what is known elsewhere";
    a_history_of_which_a_part_is_not_listed:
        "DELETE FROM task_history WHERE position = (SELECT max(position) FROM task_history)"
        => "but the history of all tasks has", "would note anew where the history of the task is";
}
