//! A store in memory: the rules in their plainest form.
//!
//! It is for tests, for simulations and for programs that need not survive, and it is the oracle that other stores are
//! compared with. Every method locks the whole state, works on it and unlocks it, so each is atomic; what might fail is
//! checked before anything changes.

mod claiming;
mod creating;
mod intervening;
mod listing;
mod queue;
mod state;
mod tokens;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tasker_types::{Position, StepNo, TaskContext, TaskId};
use tokio::sync::watch;

use crate::claim::{Claim, Outcome, Receipt};
use crate::clock::Clock;
use crate::json::Json;
use crate::list::{TaskPage, TaskQuery};
use crate::record::{Actor, Change, Snapshot, Transition};
use crate::store::{
    Create, CreateReply, Intervened, Intervention, LeaseStatus, Renewal, Store, StoreError, Sweep, Swept,
    Turn, TurnReply,
};
use crate::token::{TokenDigest, TokenId, TokenRecord};
use state::State;

/// How long after a task was named by a sweep another sweep may name it.
const CHECK_AGAIN: Duration = Duration::from_secs(10);

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    tokens: Mutex<BTreeMap<TokenId, (TokenRecord, TokenDigest)>>,
    wake: watch::Sender<u64>,
}

impl MemoryStore {
    /// Returns an empty store that reads this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
            tokens: Mutex::default(),
            wake: watch::Sender::new(0),
        }
    }

    /// Returns a store of its own that holds the same at this moment and reads the same clock, for those who try out what
    /// may come of it. Nobody listens to it yet.
    ///
    /// # Complexity
    ///
    /// Linear in everything that the store holds, the history included.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            clock: Arc::clone(&self.clock),
            state: Mutex::new(self.state().clone()),
            tokens: Mutex::new(self.token_map().clone()),
            wake: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = self.clock.now();
        state
    }

    /// Tells listeners that there may be work.
    fn hint(&self, state: &mut State) {
        if std::mem::take(&mut state.woken) {
            self.wake.send_modify(|count| *count += 1);
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        let mut state = self.state();
        let mut reply = CreateReply::default();
        for task in request.tasks {
            let created = state.create(task, &request.actor, request.check_in);
            reply.tasks.push(created);
        }
        reply.finished = state.finalize_touched();
        if let Some(want) = &request.want {
            reply.claims = state.claims_under(request.worker, want.token);
            if reply.claims.is_empty() {
                reply.claims = state.claim(request.worker, want);
            }
        }
        state.wake_for_queued();
        self.hint(&mut state);
        Ok(reply)
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        let mut state = self.state();
        let mut reply = TurnReply::default();
        let actor = Actor::Worker(turn.worker);
        for outcome in turn.outcomes {
            let receipt = state.record(&actor, outcome, turn.check_in, &mut reply.created);
            reply.receipts.push(receipt);
        }
        reply.finished = state.finalize_touched();
        if turn.again {
            reply.claims = state.claims_under(turn.worker, turn.want.token);
        }
        if reply.claims.is_empty() {
            reply.claims = state.claim(turn.worker, &turn.want);
        }
        reply.next_due_in = state.next_due_in(&turn.want);
        state.wake_for_queued();
        self.hint(&mut state);
        Ok(reply)
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        let mut state = self.state();
        for (lease, progress) in renewal.progress {
            state.note_progress(&lease, progress);
        }
        self.hint(&mut state);
        Ok(renewal
            .leases
            .iter()
            .map(|lease| state.renew(lease, renewal.lease))
            .collect())
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        let mut state = self.state();
        let mut swept = Swept {
            expired: state.expire(&sweep),
            ..Swept::default()
        };
        state.fail_overdue(&sweep, &mut swept.finished);
        swept.finished.extend(state.finalize_touched());
        swept.due = state.due_checks(&sweep, CHECK_AGAIN);
        swept.next_deadline_in = state.next_deadline_in(sweep.scope);
        state.wake_for_queued();
        self.hint(&mut state);
        Ok(swept)
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        let mut state = self.state();
        let Some(key) = state.key_of(task) else {
            return Ok(None);
        };
        let context = state.active_context(key);
        state.touch(key);
        state.finalize_touched();
        Ok(context)
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        let mut state = self.state();
        let at = state.now.plus(delay);
        if let Some(key) = state.key_of(task)
            && state.task(key).record.state.is_active()
        {
            state.task_mut(key).record.next_check_at = Some(at);
            state.sync_task(key);
        }
        Ok(())
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        let mut state = self.state();
        let done = state.intervene(intervention);
        state.wake_for_queued();
        self.hint(&mut state);
        done
    }

    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError> {
        let state = self.state();
        Ok(state.key_of(task).map(|key| state.snapshot(key)))
    }

    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError> {
        let state = self.state();
        let Some(key) = state.key_of(task) else {
            return Ok(Vec::new());
        };
        let steps = state.task(key).steps.iter();
        Ok(steps
            .filter_map(|step| step.result.clone().map(|result| (step.record.step, result)))
            .collect())
    }

    async fn history(
        &self,
        task: TaskId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        let state = self.state();
        let Some(key) = state.key_of(task) else {
            return Ok(Vec::new());
        };
        let entries = &state.task(key).entries;
        let first = entries.partition_point(|entry| state.history[*entry].position <= after);
        Ok(entries[first..]
            .iter()
            .take(limit as usize)
            .map(|entry| state.history[*entry].clone())
            .collect())
    }

    async fn events(&self, after: Position, limit: u32) -> Result<Vec<Transition>, StoreError> {
        let state = self.state();
        let first = state.history.partition_point(|entry| entry.position <= after);
        Ok(state.history[first..]
            .iter()
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn position(&self) -> Result<Position, StoreError> {
        Ok(self.state().position())
    }

    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        Ok(self.state().list(&query))
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        Ok(*self.state().cursor_secret.get_or_insert(fresh))
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }
}
