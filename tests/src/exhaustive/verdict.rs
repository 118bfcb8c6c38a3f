//! What must be true of an answer, and of what it leaves.

use tasker_engine::{Claim, Lease, Receipt, Store, StoreError, TurnReply, verify_task};
use tasker_types::{Position, StepNo, StepState};

use super::node::{Node, result};
use super::state::State;
use super::world::{World, answer};

/// Checks what a worker was told of its outcome, and returns it.
pub(super) fn check_receipt(
    before: &State,
    lease: &Lease,
    reply: &TurnReply,
    problems: &mut Vec<String>,
) -> Option<Receipt> {
    let expected = if before.holds(lease) {
        Receipt::Recorded
    } else {
        Receipt::LeaseLost
    };
    if reply.receipts != [expected] {
        problems.push(format!(
            "step {}: the answer to an outcome was {:?} instead of {expected:?}",
            lease.step, reply.receipts
        ));
    }
    reply.receipts.first().copied()
}

/// Checks what a worker was handed, and that it was handed something if there was something.
pub(super) fn check_claims(
    node: &Node,
    world: &World,
    after: &State,
    claims: &[Claim],
    want: u32,
    problems: &mut Vec<String>,
) {
    let limit = want as usize;
    if claims.len() > limit || (claims.len() < limit && after.anything_ready()) {
        problems.push(format!(
            "{limit} steps were wanted, {} were handed out, and then {:?} were ready",
            claims.len(),
            after.ready()
        ));
    }
    for claim in claims {
        let step = claim.lease.step;
        if !after.holds(&claim.lease) || claim.attempt != after.row(step).attempts {
            problems.push(format!(
                "step {step}: what was handed out is not what the store holds"
            ));
        }
        let all = node
            .workers
            .iter()
            .flat_map(|worker| &worker.claims)
            .chain(&node.lost);
        if all
            .into_iter()
            .any(|other| after.holds(other) && other.step == step)
        {
            problems.push(format!(
                "step {step}: it was handed out while another claim was held"
            ));
        }
        let number = step.0 as usize;
        let given: Vec<_> = claim
            .parents
            .iter()
            .map(|(parent, given)| (parent.0 as usize, given.clone()))
            .collect();
        let expected: Vec<_> = world
            .parents(number)
            .map(|parent| (parent, acknowledged(node, parent)))
            .collect();
        if given.len() != expected.len() || !expected.iter().all(|parent| given.contains(parent)) {
            problems.push(format!(
                "step {step}: it was given other results than its parents had"
            ));
        }
    }
}

/// Returns the result of a step that its worker was told was recorded.
fn acknowledged(node: &Node, step: usize) -> Option<tasker_engine::Json> {
    let run = node.results[step]?;
    let step = StepNo(u32::try_from(step).ok()?);
    let lease = Lease {
        task: tasker_types::TaskId::from_bytes([0; 16]),
        task_key: 0,
        step,
        run,
        token: tasker_types::LeaseToken(0),
    };
    Some(result(&lease))
}

/// Checks what the store holds now, and how it came to it.
pub(super) fn check_state(
    node: &Node,
    world: &World,
    state: &State,
    problems: &mut Vec<String>,
) -> Result<(), StoreError> {
    let history = answer(node.store.history(world.task, Position(0), u32::MAX))?;
    let violations = verify_task(&state.snapshot, &history, &state.results);
    problems.extend(violations.iter().map(ToString::to_string));
    let acknowledged = (0..world.steps).filter_map(|step| {
        let number = StepNo(u32::try_from(step).unwrap_or(u32::MAX));
        acknowledged(node, step).map(|result| (number, result))
    });
    if !acknowledged.eq(state.results.iter().cloned()) {
        problems.push("the results are not those that were acknowledged".to_owned());
    }
    let done = state
        .snapshot
        .steps
        .iter()
        .filter(|row| row.state == StepState::Complete);
    let told = node.results.iter().flatten();
    if done.count() != told.count() {
        problems.push("the steps that are complete are not those whose results were acknowledged".to_owned());
    }
    Ok(())
}
