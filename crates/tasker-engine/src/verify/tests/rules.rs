//! The checker bites: every rule is broken once by hand, and the checker says so.

use super::*;

/// Asserts that a change to a task that holds makes the checker find a fault of a kind at a step.
macro_rules! bites {
    ($($name:ident: $told:ident, $step:expr, $fault:pat, $change:expr;)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                let mut told = $told().await;
                assert_eq!(told.violations(), []);
                let change: fn(&mut Told) = $change;
                change(&mut told);
                let found = told.violations();
                let bitten = found.iter().any(|violation| {
                    violation.step == $step && matches!(violation.fault, $fault)
                });
                assert!(bitten, "{found:#?}");
            }
        )+
    };
}

fn edit(entry: &mut Transition, edit: impl FnOnce(&mut StepState, &mut StepState, &mut RunNo, &mut u32)) {
    let Change::Step {
        from,
        to,
        run,
        attempt,
        ..
    } = &mut entry.change
    else {
        panic!("{entry:?}")
    };
    edit(from, to, run, attempt);
}

bites! {
    an_entry_of_another_task: complete, None, Fault::ForeignEntry, |told| {
        told.history[2].task = TaskId::new(Timestamp::from_micros(0), 99);
    };
    positions_out_of_order: complete, None, Fault::PositionsDoNotAscend, |told| told.history.swap(3, 4);
    a_history_without_its_beginning: complete, None, Fault::NotCreatedFirst, |told| {
        told.history.remove(0);
    };
    no_history_at_all: complete, None, Fault::NotCreatedFirst, |told| told.history.clear();
    a_second_creation: complete, None, Fault::CreatedTwice, |told| {
        told.repeat(0);
    };
    an_entry_about_no_step: complete, Some(StepNo(9)), Fault::UnknownStep, |told| {
        told.repeat(0).change = Change::Setting { step: Some(StepNo(9)) };
    };
    a_row_too_few: complete, None, Fault::StepsDiffer { template: 4, rows: 3 }, |told| {
        told.snapshot.steps.pop();
    };
    a_step_that_leaves_its_table: complete, Some(A), Fault::IllegalStep { event: StepEvent::Succeed, .. }, |told| {
        let end = told.index(A, StepEvent::Succeed, 0);
        edit(&mut told.history[end], |_, to, _, _| *to = StepState::Cancelled);
    };
    a_task_that_leaves_its_table: complete, None, Fault::IllegalTask { event: TaskEvent::Complete, .. }, |told| {
        let end = told.task_index(TaskEvent::Complete);
        let Change::Task { to, .. } = &mut told.history[end].change else { panic!() };
        *to = TaskState::Cancelled;
    };
    a_gap_between_two_transitions_of_a_step: complete, Some(B), Fault::BrokenChain { .. }, |told| {
        let end = told.index(B, StepEvent::Fail, 0);
        told.history.remove(end);
    };
    a_gap_between_two_transitions_of_the_task: complete, None, Fault::BrokenChain { was: "pending", .. }, |told| {
        let start = told.task_index(TaskEvent::Start);
        told.history.remove(start);
    };
    a_run_that_is_not_the_next: complete, Some(B), Fault::RunDiffers { .. }, |told| {
        let start = told.index(B, StepEvent::Start, 1);
        edit(&mut told.history[start], |_, _, run, _| *run = RunNo(7));
    };
    an_attempt_that_was_not_counted: complete, Some(B), Fault::AttemptDiffers { expected: 2, found: 1 }, |told| {
        let start = told.index(B, StepEvent::Start, 1);
        edit(&mut told.history[start], |_, _, _, attempt| *attempt = 1);
    };
    an_attempt_over_the_limit: complete, Some(B), Fault::TooManyAttempts { attempt: 2, limit: 1 }, |told| {
        let entry = told.repeat(0);
        entry.change = Change::Setting { step: Some(B) };
        entry.metadata = Some(Json::parse(r#"{"retry_limit": 1}"#).unwrap());
        told.shift(told.history.len() - 1, 1);
    };
    a_second_attempt_of_a_step_without_retry: halfway, Some(C), Fault::TooManyAttempts { limit: 1, .. }, |told| {
        let start = told.index(C, StepEvent::Start, 0);
        edit(told.repeat(start), |from, _, _, _| *from = StepState::Error);
    };
    a_start_after_a_permanent_failure: in_error, Some(B), Fault::StartedAfterPermanentFailure, |told| {
        let start = told.index(B, StepEvent::Start, 0);
        edit(told.repeat(start), |from, _, _, _| *from = StepState::Error);
    };
    a_start_in_a_task_that_is_over: cancelled, Some(D), Fault::StartedOutsideTask { .. }, |told| {
        let start = told.index(B, StepEvent::Start, 0);
        let Change::Step { step, .. } = &mut told.repeat(start).change else { panic!() };
        *step = D;
    };
    a_child_before_its_parent: complete, Some(D), Fault::StartedBeforeParent { parent: B, .. }, |told| {
        let start = told.index(D, StepEvent::Start, 0);
        let parent = told.index(B, StepEvent::Succeed, 0);
        told.shift(start, parent);
    };
    two_leases_at_once: halfway, Some(B), Fault::LeasesOverlap { run: RunNo(1) }, |told| {
        let start = told.index(B, StepEvent::Start, 0);
        edit(told.repeat(start), |_, _, run, attempt| (*run, *attempt) = (RunNo(2), 2));
    };
    an_end_without_a_start: complete, Some(A), Fault::EndedWithoutStart { run: RunNo(1) }, |told| {
        let start = told.index(A, StepEvent::Start, 0);
        told.history.remove(start);
    };
    an_end_of_another_run: complete, Some(B), Fault::EndedWithoutStart { run: RunNo(9) }, |told| {
        let end = told.index(B, StepEvent::Succeed, 0);
        edit(&mut told.history[end], |_, _, run, _| *run = RunNo(9));
    };
    an_interrupt_that_ends_a_step_with_attempts_left: interrupted, Some(B),
        Fault::IllegalStep { event: StepEvent::Interrupt, .. }, |told| {
        let end = told.index(B, StepEvent::Interrupt, 0);
        edit(&mut told.history[end], |_, to, _, _| *to = StepState::Error);
    };
    an_interrupt_of_the_last_attempt_that_gives_another: interrupted, Some(C),
        Fault::IllegalStep { event: StepEvent::Interrupt, .. }, |told| {
        let end = told.index(C, StepEvent::Interrupt, 0);
        edit(&mut told.history[end], |_, to, _, _| *to = StepState::Pending);
    };
    an_interrupt_of_the_one_attempt_that_gives_another: interrupted_for_good, Some(B),
        Fault::IllegalStep { event: StepEvent::Interrupt, .. }, |told| {
        let end = told.index(B, StepEvent::Interrupt, 0);
        edit(&mut told.history[end], |_, to, _, _| *to = StepState::Pending);
    };
    an_attempt_given_back_that_stays: released, Some(B), Fault::AttemptDiffers { expected: 0, found: 1 }, |told| {
        let end = told.index(B, StepEvent::Release, 0);
        edit(&mut told.history[end], |_, _, _, attempt| *attempt = 1);
    };
    an_attempt_that_stays_after_a_reset: reset, Some(B), Fault::AttemptDiffers { expected: 0, found: 1 }, |told| {
        let end = told.index(B, StepEvent::Reset, 0);
        edit(&mut told.history[end], |_, _, _, attempt| *attempt = 1);
    };
    an_end_recorded_twice: complete, Some(D), Fault::RecordedTwice { run: RunNo(1) }, |told| {
        let end = told.index(D, StepEvent::Succeed, 0);
        told.repeat(end);
    };
    a_late_outcome_noted_twice: cancelled, Some(B), Fault::RecordedTwice { run: RunNo(1) }, |told| {
        told.repeat(told.history.len() - 1);
    };
    a_late_outcome_of_a_step_that_was_not_cancelled: complete, Some(B), Fault::LateWithoutCancel { .. }, |told| {
        told.repeat(0).change = Change::LateOutcome { step: B, run: RunNo(2) };
    };
    a_late_outcome_of_another_run: cancelled, Some(B), Fault::LateWithoutCancel { run: RunNo(2) }, |told| {
        told.repeat(0).change = Change::LateOutcome { step: B, run: RunNo(2) };
    };
    a_task_completed_before_its_steps: complete, None, Fault::CompletedTooEarly { .. }, |told| {
        let end = told.task_index(TaskEvent::Complete);
        told.shift(end, end - 1);
    };
    a_row_in_another_state_than_its_history: halfway, Some(C), Fault::StateDiffers { history: "error", .. }, |told| {
        told.snapshot.steps[2].state = StepState::Pending;
    };
    a_task_in_another_state_than_its_history: halfway, None, Fault::StateDiffers { row: "pending", .. }, |told| {
        told.snapshot.task.state = TaskState::Pending;
    };
    attempts_that_the_history_does_not_have: halfway, Some(C), Fault::NumberDiffers { row: 2, .. }, |told| {
        told.snapshot.steps[2].attempts = 2;
    };
    runs_that_the_history_does_not_have: halfway, Some(C), Fault::NumberDiffers { row: 4, .. }, |told| {
        told.snapshot.steps[2].run = RunNo(4);
    };
    a_limit_that_nobody_set: halfway, Some(D), Fault::NumberDiffers { expected: 3, row: 8, .. }, |told| {
        told.snapshot.steps[3].retry_limit = 8;
    };
    a_failure_that_became_permanent: halfway, Some(C), Fault::PermanenceDiffers, |told| {
        told.snapshot.steps[2].permanent = true;
    };
    a_counter_of_parents_gone_wrong: halfway, Some(D), Fault::NumberDiffers { expected: 2, row: 1, .. }, |told| {
        told.snapshot.steps[3].unmet_parents = 1;
    };
    a_counter_of_live_steps_gone_wrong: halfway, None, Fault::NumberDiffers { expected: 1, row: 0, .. }, |told| {
        told.snapshot.task.live_steps = 0;
    };
    a_step_in_progress_without_a_lease: halfway, Some(B), Fault::LeaseMissing, |told| {
        told.snapshot.steps[1].lease = None;
    };
    a_lease_of_a_step_that_is_done: halfway, Some(A), Fault::LeaseLeft { state: StepState::Complete }, |told| {
        let until = Timestamp::from_micros(0);
        told.snapshot.steps[0].lease = Some(HeldLease { worker: worker(), token: LeaseToken(1), until });
    };
    a_ready_step_that_is_not_queued: fresh, Some(A), Fault::NotQueued, |told| {
        told.snapshot.steps[0].queued = false;
    };
    a_blocked_step_that_is_queued: fresh, Some(D), Fault::QueuedWrongly { .. }, |told| {
        told.snapshot.steps[3].queued = true;
    };
    a_queued_step_of_a_task_in_error: in_error, Some(B), Fault::QueuedWrongly { .. }, |told| {
        told.snapshot.steps[1].queued = true;
    };
    a_complete_step_without_a_result: complete, Some(C), Fault::ResultMissing, |told| {
        told.results.remove(2);
    };
    a_result_of_a_step_that_is_not_done: halfway, Some(B), Fault::ResultUnexpected { .. }, |told| {
        told.results.push((B, Json::null()));
    };
    a_result_that_came_twice: complete, Some(A), Fault::ResultTwice, |told| {
        told.results.push((A, Json::null()));
    };
    a_result_of_no_step: complete, Some(StepNo(4)), Fault::UnknownStep, |told| {
        told.results.push((StepNo(4), Json::null()));
    };
    an_unfinished_step_of_a_cancelled_task: cancelled, Some(D), Fault::UnfinishedInFinalTask { .. }, |told| {
        told.snapshot.steps[3].state = StepState::Pending;
    };
    a_cancelled_step_of_a_complete_task: complete, Some(D), Fault::UndoneInCompleteTask { .. }, |told| {
        told.snapshot.steps[3].state = StepState::Cancelled;
    };
    a_task_in_error_without_a_reason: in_error, None, Fault::ReasonMissing, |told| {
        told.snapshot.task.failure = None;
    };
    a_reason_for_an_error_that_is_not: complete, None, Fault::ReasonLeft { .. }, |told| {
        told.snapshot.task.failure = Some(FailureReason::StepsCancelled);
    };
    a_task_that_hangs: in_error, None, Fault::CannotProgress { .. }, |told| {
        told.snapshot.task.state = TaskState::InProgress;
    };
    a_task_in_error_that_could_go_on: in_error, Some(B), Fault::CouldProgress, |told| {
        told.snapshot.steps[1].permanent = false;
    };
}
