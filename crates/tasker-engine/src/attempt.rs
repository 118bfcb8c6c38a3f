//! One attempt while it runs: what was claimed, and what its handler asks for beside its result.

use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tasker_types::{Limits, TaskId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::claim::{Claim, Lease};
use crate::failure::Failure;
use crate::handler::StepError;
use crate::request::{Identity, TaskRequest};
use crate::store::NewTask;

/// What requests of handlers for tasks are checked with.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) limits: Arc<Limits>,
    pub(crate) identity: Arc<dyn Identity>,
}

/// An attempt at a step, shared between the worker and the handler.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) claim: Claim,
    pub(crate) stop: CancellationToken,
    requests: Arc<Requests>,
    /// Tasks to create with the result; `None` when the attempt has ended.
    tasks: Mutex<Option<Vec<NewTask>>>,
}

impl Attempt {
    pub(crate) fn new(claim: Claim, stop: CancellationToken, requests: Arc<Requests>) -> Self {
        Self {
            claim,
            stop,
            requests,
            tasks: Mutex::new(Some(Vec::new())),
        }
    }

    /// Checks a request for a task, and keeps the task until the attempt ends.
    pub(crate) fn create_task(&self, request: TaskRequest) -> Result<TaskId, StepError> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tasks) = &mut *tasks else {
            let message = "the step has ended, and a task is created with its result or not at all";
            return Err(StepError::permanent(Failure::REQUEST_REJECTED, message));
        };
        let id = child_id(&self.claim.lease, tasks.len());
        let Requests { limits, identity } = &*self.requests;
        let task = request
            .created_by(&self.claim)
            .prepare(id, limits, &**identity)
            .map_err(|error| StepError::permanent(Failure::REQUEST_REJECTED, error.to_string()))?;
        tasks.push(task);
        Ok(id)
    }

    /// Ends the attempt, and returns the tasks that were asked for.
    pub(crate) fn end(&self) -> Vec<NewTask> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.take().unwrap_or_default()
    }
}

/// Returns the id of the n-th task that a step asks for. It is the same in every attempt, so that a handler may tell
/// others of it before it is created; its time is that of the parent's id.
fn child_id(lease: &Lease, number: usize) -> TaskId {
    let parent = lease.task.as_bytes();
    let mut digest = Sha256::new();
    digest.update(parent);
    digest.update(lease.step.0.to_be_bytes());
    digest.update((number as u64).to_be_bytes());
    let mut random = [0; 16];
    random.copy_from_slice(&digest.finalize()[..16]);
    let millis = parent[..6]
        .iter()
        .fold(0, |millis, byte| millis << 8 | i64::from(*byte));
    TaskId::new(
        Timestamp::from_micros(millis.saturating_mul(1_000)),
        u128::from_be_bytes(random),
    )
}
