//! Ends of claims, in one word.

use std::time::Duration;

use serde_json::{Value, json};
use tasker_engine::{Claim, End, Failure, Json, NewTask, Outcome};

fn ended(claim: &Claim, end: End) -> Outcome {
    let ran_for = (end != End::Release).then_some(Duration::from_millis(5));
    Outcome {
        lease: claim.lease,
        end,
        ran_for,
        progress: None,
        tasks: Vec::new(),
        events: Vec::new(),
    }
}

/// The handler returned the name of the step.
pub fn succeed(claim: &Claim) -> Outcome {
    succeed_with(claim, &json!(claim.template().name()))
}

/// The handler returned this.
pub fn succeed_with(claim: &Claim, result: &Value) -> Outcome {
    ended(
        claim,
        End::Succeed {
            result: Json::from(result),
        },
    )
}

/// The handler returned the name of the step, and asked for tasks.
pub fn succeed_creating(claim: &Claim, tasks: Vec<NewTask>) -> Outcome {
    Outcome {
        tasks,
        events: Vec::new(),
        ..succeed(claim)
    }
}

/// The handler failed, with the code `flaky`; another attempt may follow after this time.
pub fn fail(claim: &Claim, retry_in: Duration) -> Outcome {
    let failure = Failure::retryable("flaky", "it failed, and may not fail again");
    ended(claim, End::Fail { failure, retry_in })
}

/// The handler failed, with the code `broken`, and trying again cannot help.
pub fn fail_permanently(claim: &Claim) -> Outcome {
    let failure = Failure::permanent("broken", "it failed, and will fail again");
    ended(
        claim,
        End::Fail {
            failure,
            retry_in: Duration::ZERO,
        },
    )
}

/// The worker stopped before the handler began.
pub fn release(claim: &Claim) -> Outcome {
    ended(claim, End::Release)
}

/// The worker stopped the handler.
pub fn interrupt(claim: &Claim) -> Outcome {
    ended(claim, End::Interrupt)
}

/// The handler waits in the store.
pub fn suspend(claim: &Claim, wake_in: Duration, checkpoint: &Value) -> Outcome {
    ended(
        claim,
        End::Suspend {
            wake_in,
            checkpoint: Json::from(checkpoint),
        },
    )
}
