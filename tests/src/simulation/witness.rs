//! A store that remembers what another one promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tasker_engine::{
    Claim, Create, CreateReply, End, Intervened, Intervention, Json, Lease, LeaseStatus, Receipt, Renewal,
    Scope, Snapshot, Store, StoreError, Sweep, Swept, TaskPage, TaskQuery, Transition, Turn, TurnReply,
};
use tasker_types::{LeaseToken, Position, RunNo, StepNo, TaskContext, TaskId, Timestamp};
use tokio::sync::watch;

use super::audit::Audit;
use super::processes::Processes;

/// How many calls a run may make; more is a loop that would never end.
const CALLS: u64 = 1_000_000;

/// Passes every call on, and remembers which results were acknowledged and who was handed what.
#[derive(Debug)]
pub(super) struct Witness {
    inner: Arc<Processes>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    audit: Audit,
    calls: u64,
    created: BTreeSet<TaskId>,
    acknowledged: BTreeMap<(TaskId, StepNo), Json>,
    handed_out: BTreeMap<(TaskId, StepNo, RunNo), LeaseToken>,
    problems: Vec<String>,
}

impl Witness {
    pub(super) fn new(inner: Arc<Processes>) -> Self {
        Self {
            inner,
            seen: Mutex::default(),
        }
    }

    /// Returns the results whose record was acknowledged, and what was wrong so far.
    pub(super) fn testimony(&self) -> (BTreeMap<(TaskId, StepNo), Json>, Vec<String>) {
        let seen = self.seen();
        let problems = seen.problems.iter().chain(&seen.audit.problems);
        (seen.acknowledged.clone(), problems.cloned().collect())
    }

    /// Notes that all processes were restarted.
    pub(super) fn restarted(&self) {
        self.seen().audit.restarted();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call; refuses it when there were too many.
    fn count(&self) -> Result<(), StoreError> {
        let mut seen = self.seen();
        seen.calls += 1;
        if seen.calls == CALLS {
            seen.problems.push(format!("the store was called {CALLS} times"));
        }
        if seen.calls < CALLS {
            Ok(())
        } else {
            Err(StoreError::Closed)
        }
    }

    /// Checks that listeners were told when a call left steps that may be claimed; only those of `steps` count.
    async fn told(
        &self,
        hints: &watch::Receiver<u64>,
        task: TaskId,
        steps: impl Fn(&Snapshot, StepNo) -> bool,
    ) -> Result<(), StoreError> {
        if hints.has_changed().unwrap_or(true) {
            return Ok(());
        }
        let Some(snapshot) = self.inner.snapshot(task).await? else {
            return Ok(());
        };
        let waiting = snapshot.steps.iter().find(|row| {
            let due = row.next_retry_at.is_none_or(|due| due <= snapshot.taken_at);
            row.queued && due && steps(&snapshot, row.step)
        });
        if let Some(row) = waiting {
            let step = row.step;
            self.seen().problems.push(format!(
                "task `{task}`, step {step}: it may be claimed, but nobody was told"
            ));
        }
        Ok(())
    }

    /// Checks that a sweep of everything left no active task that is past its deadline.
    async fn deadlines(&self, now: Timestamp) -> Result<(), StoreError> {
        let passed: Vec<TaskId> = {
            let deadlines = &mut self.seen().audit.deadlines;
            let passed = deadlines.extract_if(.., |_, deadline| *deadline <= now);
            passed.map(|(task, _)| task).collect()
        };
        for task in passed {
            let Some(snapshot) = self.inner.snapshot(task).await? else {
                continue;
            };
            let kept = snapshot.task.deadline_at.is_some_and(|deadline| deadline <= now);
            if snapshot.task.state.is_active() && kept {
                self.seen()
                    .problems
                    .push(format!("task `{task}`: a sweep left it past its deadline"));
            }
        }
        Ok(())
    }

    fn saw(&self, turn: &Turn, reply: &TurnReply) {
        let now = self.inner.time_of(turn.worker);
        let mut seen = self.seen();
        if turn.outcomes.len() != reply.receipts.len() {
            let (sent, received) = (turn.outcomes.len(), reply.receipts.len());
            seen.problems
                .push(format!("{sent} outcomes were answered with {received} receipts"));
        }
        for (outcome, receipt) in turn.outcomes.iter().zip(&reply.receipts) {
            seen.audit.answered(outcome, *receipt, now);
            let End::Succeed { result } = &outcome.end else {
                continue;
            };
            if *receipt != Receipt::Recorded {
                continue;
            }
            let Lease { task, step, .. } = outcome.lease;
            let first = seen
                .acknowledged
                .entry((task, step))
                .or_insert_with(|| result.clone())
                .clone();
            if first != *result {
                seen.problems.push(format!(
                    "task `{task}`, step {step}: both {} and {} were acknowledged as its result",
                    first.as_str(),
                    result.as_str()
                ));
            }
        }
        seen.hand_out(&reply.claims);
        seen.audit.handed_out(&turn.want, &reply.claims, now, !turn.again);
    }
}

impl Seen {
    fn hand_out(&mut self, claims: &[Claim]) {
        for Lease {
            task,
            step,
            run,
            token,
            ..
        } in claims.iter().map(|claim| claim.lease)
        {
            let first = *self.handed_out.entry((task, step, run)).or_insert(token);
            if first != token {
                self.problems.push(format!(
                    "task `{task}`, step {step}: run {run} was handed out twice"
                ));
            }
        }
    }
}

#[async_trait]
impl Store for Witness {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        self.count()?;
        let hints = self.inner.wake();
        let now = self.inner.time_of(request.worker);
        let (want, new) = (request.want.clone(), request.tasks.clone());
        let reply = self.inner.create(request).await?;
        let mut fresh = Vec::new();
        {
            let mut seen = self.seen();
            seen.hand_out(&reply.claims);
            for task in new {
                if seen.created.insert(task.id) {
                    // A start that has come by the clock of the store's process is none.
                    if let Some(start) = task.start_at.filter(|start| *start > now) {
                        seen.audit.starts_at(&task, start);
                    }
                    fresh.push(task.id);
                    let deadline = task.deadline_at.map(|deadline| (task.id, deadline));
                    seen.audit.deadlines.extend(deadline);
                }
            }
            if let Some(want) = &want {
                seen.audit.handed_out(want, &reply.claims, now, false);
            }
        }
        for task in fresh {
            self.told(&hints, task, |_, _| true).await?;
        }
        Ok(reply)
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        self.count()?;
        let hints = self.inner.wake();
        let reply = self.inner.turn(turn.clone()).await?;
        self.saw(&turn, &reply);
        for (outcome, receipt) in turn.outcomes.iter().zip(&reply.receipts) {
            let Lease { task, step, .. } = outcome.lease;
            if *receipt == Receipt::Recorded && !turn.again && matches!(outcome.end, End::Succeed { .. }) {
                self.told(&hints, task, |snapshot, child| {
                    snapshot.task.template.step(child).depends_on().contains(&step)
                })
                .await?;
            }
        }
        Ok(reply)
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        self.count()?;
        let (leases, extension) = (renewal.leases.clone(), renewal.lease);
        let now = self.inner.time_of(renewal.worker);
        let statuses = self.inner.renew(renewal).await?;
        self.seen().audit.renewed(&leases, &statuses, extension, now);
        Ok(statuses)
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.count()?;
        let (limit, everything) = (sweep.limit as usize, sweep.scope == Scope::All);
        let now = self.inner.time_of_sweep(&sweep);
        let swept = self.inner.sweep(sweep).await?;
        for (task, step) in &swept.expired {
            let snapshot = self.inner.snapshot(*task).await?;
            self.seen().audit.expired((*task, *step), snapshot.as_ref(), now);
        }
        if everything && swept.expired.len() < limit {
            self.seen().audit.swept(now);
            self.deadlines(now).await?;
        }
        Ok(swept)
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        self.count()?;
        self.inner.examine(task).await
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        self.inner.check_in(task, delay).await
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        let hints = self.inner.wake();
        let before = self.inner.snapshot(intervention.task).await?;
        let done = self.inner.intervene(intervention.clone()).await?;
        self.seen().audit.intervened(&intervention, &done);
        // What might be claimed before has had its hint.
        let waited = |step: StepNo| {
            let row = before
                .as_ref()
                .and_then(|before| before.steps.get(step.0 as usize));
            row.is_some_and(|row| row.queued)
        };
        let changed: Vec<StepNo> = done.steps.iter().map(|(step, _)| *step).collect();
        let changed: Vec<StepNo> = changed.into_iter().filter(|step| !waited(*step)).collect();
        self.told(&hints, intervention.task, |_, step| changed.contains(&step))
            .await?;
        Ok(done)
    }

    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError> {
        self.inner.snapshot(task).await
    }

    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError> {
        self.inner.results(task).await
    }

    async fn history(
        &self,
        task: TaskId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        self.inner.history(task, after, limit).await
    }

    async fn events(&self, after: Position, limit: u32) -> Result<Vec<Transition>, StoreError> {
        self.inner.events(after, limit).await
    }

    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        self.inner.list(query).await
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.inner.cursor_secret(fresh).await
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.inner.wake()
    }
}
