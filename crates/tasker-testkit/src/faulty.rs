//! A store that fails now and then, as a database behind a network does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tasker_engine::{
    Create, CreateReply, Entropy, Intervened, Intervention, Json, LeaseStatus, Renewal, Snapshot, Store,
    StoreError, Sweep, Swept, TaskPage, TaskQuery, Transition, Turn, TurnReply,
};
use tasker_types::{Position, StepNo, TaskContext, TaskId};
use tokio::sync::watch;

/// How often a [`FaultyStore`] does what, in calls of a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The call fails before it reaches the store.
    pub refused: u16,
    /// The store does the work, and the answer is lost.
    pub unanswered: u16,
    /// The call reaches the store late.
    pub late: u16,
    /// The answer comes late.
    pub answered_late: u16,
    /// The call reaches the store twice.
    pub doubled: u16,
    /// An earlier turn reaches the store again, and nobody waits for the answer.
    pub stale: u16,
    /// A hint that there may be work does not reach its listener.
    pub unheard: u16,
    /// The longest delay of a late call or answer, in milliseconds.
    pub delay_ms: u16,
}

/// What can go wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It fails before it reaches the store.
    Refused,
    /// The store does the work, and the answer is lost.
    Unanswered,
    /// It reaches the store twice.
    Doubled,
}

impl Fault {
    /// Every fault.
    pub const ALL: &[Self] = &[Self::Refused, Self::Unanswered, Self::Doubled];
}

/// How often a [`FaultyStore`] did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Calls in all.
    pub calls: u64,
    /// Calls that failed before they reached the store.
    pub refused: u64,
    /// Calls whose answer was lost.
    pub unanswered: u64,
    /// Calls and answers that came late.
    pub delayed: u64,
    /// Calls and turns that reached the store again.
    pub repeated: u64,
    /// Hints that did not reach a listener.
    pub unheard: u64,
}

impl FaultCounts {
    /// Returns how many faults there were.
    pub fn faults(&self) -> u64 {
        self.refused + self.unanswered + self.delayed + self.repeated + self.unheard
    }
}

/// A store in front of another that refuses calls, loses answers, delays, and repeats, as the port permits.
///
/// Reading works always. Delays are those of tokio's clock, so that a test that pauses it does not wait. Every
/// listener has a channel of its own, and hints are passed on when a call returns, so that a run follows from the
/// source of randomness alone.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    entropy: Arc<dyn Entropy>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    faults: Faults,
    counts: FaultCounts,
    planned: BTreeMap<u64, Fault>,
    earlier: Option<Turn>,
    wake: watch::Receiver<u64>,
    listeners: Vec<watch::Sender<u64>>,
}

/// What is to happen to one call.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    refused: bool,
    unanswered: bool,
    doubled: bool,
    stale: bool,
    before: Duration,
    after: Duration,
}

impl FaultyStore {
    /// Returns a store in front of `inner` whose faults follow from `entropy`.
    pub fn new(inner: Arc<dyn Store>, entropy: Arc<dyn Entropy>, faults: Faults) -> Self {
        let wake = inner.wake();
        let state = State {
            faults,
            counts: FaultCounts::default(),
            planned: BTreeMap::new(),
            earlier: None,
            wake,
            listeners: Vec::new(),
        };
        Self {
            inner,
            entropy,
            state: Mutex::new(state),
        }
    }

    /// Changes how often what happens; the default stops all faults.
    pub fn set_faults(&self, faults: Faults) {
        let mut state = self.state();
        state.faults = faults;
        state.earlier.take_if(|_| faults.stale == 0);
    }

    /// Has one call fail in this way, beside what the rates say; calls are counted from 0.
    pub fn plan(&self, call: u64, fault: Fault) {
        self.state().planned.insert(call, fault);
    }

    /// Returns how often what happened so far.
    pub fn counts(&self) -> FaultCounts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn happens(&self, in_a_thousand: u16) -> bool {
        in_a_thousand > 0 && self.entropy.next_u64() % 1_000 < u64::from(in_a_thousand)
    }

    fn delay(&self, in_a_thousand: u16, longest_ms: u16) -> Duration {
        if self.happens(in_a_thousand) {
            Duration::from_millis(self.entropy.next_u64() % (u64::from(longest_ms) + 1))
        } else {
            Duration::ZERO
        }
    }

    fn fate(&self) -> Fate {
        let faults = self.state().faults;
        let planned = {
            let mut state = self.state();
            let call = state.counts.calls;
            state.counts.calls += 1;
            state.planned.remove(&call)
        };
        Fate {
            refused: self.happens(faults.refused) || planned == Some(Fault::Refused),
            unanswered: self.happens(faults.unanswered) || planned == Some(Fault::Unanswered),
            doubled: self.happens(faults.doubled) || planned == Some(Fault::Doubled),
            stale: self.happens(faults.stale),
            before: self.delay(faults.late, faults.delay_ms),
            after: self.delay(faults.answered_late, faults.delay_ms),
        }
    }

    /// Lets a call come to the store, or not.
    async fn before(&self, fate: Fate) -> Result<(), StoreError> {
        if !fate.before.is_zero() {
            self.state().counts.delayed += 1;
            tokio::time::sleep(fate.before).await;
        }
        if fate.refused {
            self.state().counts.refused += 1;
            return Err(unavailable("the call was refused"));
        }
        Ok(())
    }

    /// Lets an answer come back, or not.
    async fn after(&self, fate: Fate) -> Result<(), StoreError> {
        self.pass_hints_on();
        if !fate.after.is_zero() {
            self.state().counts.delayed += 1;
            tokio::time::sleep(fate.after).await;
        }
        if fate.unanswered {
            self.state().counts.unanswered += 1;
            return Err(unavailable("the answer was lost"));
        }
        Ok(())
    }

    fn repeats(&self) {
        self.state().counts.repeated += 1;
    }

    fn pass_hints_on(&self) {
        let unheard = self.state().faults.unheard;
        let mut state = self.state();
        if !state.wake.has_changed().unwrap_or(false) {
            return;
        }
        state.wake.mark_unchanged();
        state.listeners.retain(|listener| !listener.is_closed());
        let mut lost = 0;
        for listener in &state.listeners {
            if self.happens(unheard) {
                lost += 1;
            } else {
                listener.send_modify(|hints| *hints += 1);
            }
        }
        state.counts.unheard += lost;
    }
}

fn unavailable(what: &'static str) -> StoreError {
    StoreError::Unavailable {
        store: "faulty".to_owned(),
        source: what.into(),
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        let fate = self.fate();
        self.before(fate).await?;
        if fate.doubled {
            self.repeats();
            self.inner.create(request.clone()).await?;
        }
        let reply = self.inner.create(request).await;
        self.after(fate).await?;
        reply
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        let fate = self.fate();
        self.before(fate).await?;
        let earlier = {
            let mut state = self.state();
            let kept = (state.faults.stale > 0).then(|| turn.clone());
            std::mem::replace(&mut state.earlier, kept)
        };
        if let Some(mut earlier) = earlier.filter(|_| fate.stale) {
            earlier.again = true;
            self.repeats();
            self.inner.turn(earlier).await?;
        }
        let mut reply = self.inner.turn(turn.clone()).await;
        if fate.doubled {
            let mut turn = turn;
            turn.again = true;
            self.repeats();
            reply = self.inner.turn(turn).await;
        }
        self.after(fate).await?;
        reply
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        let fate = self.fate();
        self.before(fate).await?;
        if fate.doubled {
            self.repeats();
            self.inner.renew(renewal.clone()).await?;
        }
        let statuses = self.inner.renew(renewal).await;
        self.after(fate).await?;
        statuses
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        let fate = self.fate();
        self.before(fate).await?;
        if fate.doubled {
            self.repeats();
            self.inner.sweep(sweep.clone()).await?;
        }
        let swept = self.inner.sweep(sweep).await;
        self.after(fate).await?;
        swept
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        let fate = self.fate();
        self.before(fate).await?;
        let context = self.inner.examine(task).await;
        self.after(fate).await?;
        context
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        let fate = self.fate();
        self.before(fate).await?;
        let done = self.inner.check_in(task, delay).await;
        self.after(fate).await?;
        done
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        let fate = self.fate();
        self.before(fate).await?;
        let done = self.inner.intervene(intervention.clone()).await;
        if fate.doubled && done.is_ok() {
            self.repeats();
            // The second is often illegal by then; the operator hears of the first.
            let _ = self.inner.intervene(intervention).await;
        }
        self.after(fate).await?;
        done
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

    async fn position(&self) -> Result<Position, StoreError> {
        self.inner.position().await
    }

    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        self.inner.list(query).await
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.inner.cursor_secret(fresh).await
    }

    fn wake(&self) -> watch::Receiver<u64> {
        let (sender, receiver) = watch::channel(0);
        self.state().listeners.push(sender);
        receiver
    }
}

#[cfg(test)]
mod tests {
    use tasker_engine::{MemoryStore, SeededEntropy};

    use super::*;
    use crate::clock::ManualClock;
    use crate::harness::Harness;
    use crate::outcome::succeed;
    use crate::shapes;

    fn harness(faults: Faults) -> (Arc<FaultyStore>, Harness) {
        let clock = ManualClock::new();
        let inner = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
        let store = Arc::new(FaultyStore::new(inner, Arc::new(SeededEntropy::new(1)), faults));
        let harness = Harness::new(Arc::<FaultyStore>::clone(&store), clock);
        (store, harness)
    }

    #[tokio::test]
    async fn a_refused_call_leaves_the_store_alone() {
        let (store, harness) = harness(Faults::default());
        let task = harness.create(shapes::single()).await;
        store.set_faults(Faults {
            refused: 1_000,
            ..Faults::default()
        });
        let refused = store
            .turn(Turn::new(harness.worker(), Vec::new(), harness.want(1)))
            .await;
        assert!(refused.unwrap_err().is_transient());
        assert_eq!(harness.look(task).await, "pending: pending");
        assert_eq!(store.counts().refused, 1);
    }

    #[tokio::test]
    async fn an_unanswered_call_did_its_work() {
        let (store, harness) = harness(Faults::default());
        let task = harness.create(shapes::single()).await;
        store.set_faults(Faults {
            unanswered: 1_000,
            ..Faults::default()
        });
        let turn = Turn::new(harness.worker(), Vec::new(), harness.want(1));
        assert!(store.turn(turn).await.unwrap_err().is_transient());
        assert_eq!(harness.look(task).await, "in_progress: in_progress");
    }

    #[tokio::test]
    async fn a_doubled_turn_hands_out_once_and_records_once() {
        let (store, harness) = harness(Faults {
            doubled: 1_000,
            stale: 1_000,
            ..Faults::default()
        });
        let task = harness.create(shapes::linear(2)).await;
        let claim = harness.claim_one().await;
        let next = harness.turn(vec![succeed(&claim)], 1).await;
        assert_eq!(next.claims.len(), 1);
        assert_eq!(harness.look(task).await, "in_progress: complete in_progress");
        assert_eq!(store.counts().repeated, 4);
        harness.verify().await;
    }

    #[tokio::test]
    async fn a_planned_fault_befalls_its_call_alone() {
        let (store, harness) = harness(Faults::default());
        harness.create(shapes::linear(2)).await;
        store.plan(2, Fault::Refused);
        let turn = || Turn::new(harness.worker(), Vec::new(), harness.want(1));
        assert!(store.turn(turn()).await.is_ok());
        assert!(store.turn(turn()).await.is_err());
        assert!(store.turn(turn()).await.is_ok());
        assert_eq!(store.counts().faults(), 1);
    }

    #[tokio::test]
    async fn every_listener_hears_a_hint_unless_it_is_lost() {
        let (store, harness) = harness(Faults::default());
        let listeners = [store.wake(), store.wake()];
        harness.create(shapes::single()).await;
        assert!(listeners.iter().all(|listener| listener.has_changed().unwrap()));
    }
}
