//! What is proposed for each fault.

use tasker_types::BlockingReason;

use super::*;

#[track_caller]
fn proposes(fault: Fault, text: &str) {
    let violation = Violation {
        task: task(),
        step: Some(A),
        positions: Vec::new(),
        fault,
    };
    let report = Report {
        violations: vec![violation],
        ..Report::default()
    };
    let proposals = report.proposals();
    assert_eq!(proposals.len(), 1);
    assert_eq!((proposals[0].task, proposals[0].step), (task(), Some(A)));
    assert_eq!(proposals[0].to_string(), text);
}

#[test]
fn rows_follow_the_history() {
    proposes(Fault::NotQueued, "would put the step into the queue");
    proposes(
        Fault::NumberDiffers {
            what: "attempts",
            expected: 2,
            row: 1,
        },
        "would set attempts to 2",
    );
    proposes(
        Fault::StateDiffers {
            history: "error",
            row: "pending",
        },
        "would set the state to `error`, in which the history ends",
    );
    proposes(
        Fault::PermanenceDiffers,
        "would set whether the last failure was permanent as the history says",
    );
    proposes(
        Fault::LeaseMissing,
        "would end the attempt as one whose lease is over",
    );
    let state = StepState::Pending;
    proposes(Fault::LeaseLeft { state }, "would take away the lease");
    proposes(Fault::UnfinishedInFinalTask { state }, "would cancel the step");
    let reason = BlockingReason::Finished;
    proposes(
        Fault::QueuedWrongly { reason },
        "would take the step out of the queue",
    );
    let state = TaskState::InProgress;
    proposes(Fault::ReasonLeft { state }, "would take away the reason");
    proposes(
        Fault::CannotProgress { state },
        "would have the finalizer decide about the task",
    );
    proposes(Fault::CouldProgress, "would let the task go on");
    proposes(
        Fault::OutboxDiffers {
            history: 2,
            outbox: 1,
        },
        "would note anew where the history of the task is",
    );
}

#[test]
fn what_is_lost_is_for_a_person() {
    proposes(
        Fault::TaskMissing,
        "would do nothing: a person must decide, with the history and what is known elsewhere",
    );
}
