//! A state: what the store holds, and what the workers believe.

use std::time::Duration;

use tasker_engine::{
    Claim, End, Failure, Json, Lease, LeaseStatus, MemoryStore, Outcome, Receipt, Renewal, Store, StoreError,
    Sweep, Turn, TurnReply,
};
use tasker_types::{LeaseToken, RunNo, Timestamp, WorkerId};

use super::action::{Action, Ending};
use super::state::State;
use super::verdict::{check_claims, check_receipt};
use super::world::{LEASE, WAIT, World, answer};

/// A worker: its incarnation, and what it believes to hold.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) claims: Vec<Lease>,
}

/// A state, and how it came about.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) store: MemoryStore,
    pub(super) now: Timestamp,
    pub(super) workers: [Worker; 2],
    /// Claims whose worker crashed, until their leases are ended.
    pub(super) lost: Vec<Lease>,
    /// How many leases were over.
    pub(super) lapses: u8,
    /// For each step the run whose result was acknowledged.
    pub(super) results: Vec<Option<RunNo>>,
    /// How many numbers were used for workers and tokens.
    pub(super) drawn: u64,
}

/// Returns the result that a run of a step has.
pub(super) fn result(lease: &Lease) -> Json {
    Json::from_stored(format!("[{},{}]", lease.step, lease.run))
}

/// Returns an outcome of a claim.
fn outcome(lease: Lease, ending: Ending) -> Outcome {
    let end = match ending {
        Ending::Succeed => End::Succeed {
            result: result(&lease),
        },
        Ending::FailRetryable => End::Fail {
            failure: Failure::retryable("flaky", "it may be tried again"),
            retry_in: WAIT,
        },
        Ending::FailPermanent => End::Fail {
            failure: Failure::permanent("broken", "trying again cannot help"),
            retry_in: WAIT,
        },
    };
    Outcome {
        lease,
        end,
        ran_for: None,
        progress: None,
        tasks: Vec::new(),
        events: Vec::new(),
    }
}

impl Node {
    /// Returns a copy that goes on by itself.
    pub(super) fn fork(&self, world: &World) -> Self {
        world.clock.set(self.now);
        Self {
            store: self.store.fork(),
            now: self.now,
            workers: self.workers.clone(),
            lost: self.lost.clone(),
            lapses: self.lapses,
            results: self.results.clone(),
            drawn: self.drawn,
        }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    fn token(&mut self) -> LeaseToken {
        LeaseToken(i64::try_from(self.draw()).unwrap_or(i64::MAX))
    }

    /// Returns everything that may happen next.
    pub(super) fn actions(&self, world: &World, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        let owed = state.lost_leases(&self.lost);
        let left = usize::from(world.bounds.lapses.saturating_sub(self.lapses)).saturating_sub(owed);
        for (worker, Worker { claims, .. }) in self.workers.iter().enumerate() {
            if state.anything_ready() {
                actions.push(Action::Claim { worker });
            }
            for (claim, lease) in claims.iter().enumerate() {
                for ending in Ending::ALL {
                    actions.extend([0, 1].map(|want| Action::Report {
                        worker,
                        claim,
                        ending,
                        want,
                    }));
                }
                if state.holds(lease) && left > 0 {
                    actions.push(Action::Lapse { worker, claim });
                }
            }
            let held = claims.iter().filter(|lease| state.holds(lease)).count();
            if !claims.is_empty() && held <= left {
                actions.push(Action::Crash { worker });
            }
        }
        let lost = self.lost.iter().enumerate();
        actions.extend(
            lost.filter(|(_, lease)| state.holds(lease))
                .map(|(lost, _)| Action::LapseLost { lost }),
        );
        if state.anything_over() {
            actions.push(Action::Sweep);
        }
        if state.anything_waits() {
            actions.push(Action::Tick);
        }
        actions
    }

    /// Does something, and notes what should not have come of it.
    ///
    /// # Errors
    ///
    /// When the store refuses, which a store in memory has no reason to.
    pub(super) fn apply(
        &mut self,
        world: &World,
        before: &State,
        action: Action,
        problems: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        world.clock.set(self.now);
        match action {
            Action::Claim { worker } => self.turn(world, before, worker, None, 1, problems),
            Action::Report {
                worker,
                claim,
                ending,
                want,
            } => {
                let lease = self.workers[worker].claims.remove(claim);
                let reported = Some((lease, ending));
                self.turn(world, before, worker, reported, want, problems)
            }
            Action::Crash { worker } => {
                let id = WorkerId::new(self.now, self.draw().into());
                let crashed = std::mem::replace(
                    &mut self.workers[worker],
                    Worker {
                        id,
                        claims: Vec::new(),
                    },
                );
                let current = crashed
                    .claims
                    .into_iter()
                    .filter(|lease| before.is_current(lease));
                self.lost.extend(current);
                Ok(())
            }
            Action::Lapse { worker, claim } => {
                let lease = self.workers[worker].claims[claim];
                self.lapse(world, worker, lease, problems)
            }
            Action::LapseLost { lost } => {
                let lease = self.lost[lost];
                self.lapse(world, 0, lease, problems)
            }
            Action::Sweep => {
                let sweep = Sweep::new(100, std::sync::Arc::clone(&world.backoff), 0);
                let swept = answer(self.store.sweep(sweep))?;
                let over = before.over();
                let expired: Vec<usize> = swept.expired.iter().map(|(_, step)| step.0 as usize).collect();
                if expired != over {
                    problems.push(format!(
                        "the leases of steps {over:?} were over, but {expired:?} were ended"
                    ));
                }
                self.lost.retain(|lease| !over.contains(&(lease.step.0 as usize)));
                Ok(())
            }
            Action::Tick => {
                self.now = self.now.plus(Duration::from_secs(1));
                Ok(())
            }
        }
    }

    /// Lets a lease be over: its last renewal was for no time at all, and a moment passes.
    fn lapse(
        &mut self,
        world: &World,
        worker: usize,
        lease: Lease,
        problems: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        let renewal = Renewal::new(self.workers[worker].id, vec![lease], Duration::ZERO);
        if answer(self.store.renew(renewal))? != [LeaseStatus::Held] {
            problems.push(format!(
                "step {}: a lease that is held was not renewed",
                lease.step
            ));
        }
        self.now = self.now.plus(Duration::from_micros(1));
        self.lapses += 1;
        world.clock.set(self.now);
        Ok(())
    }

    fn turn(
        &mut self,
        world: &World,
        before: &State,
        worker: usize,
        reported: Option<(Lease, Ending)>,
        want: u32,
        problems: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        let token = self.token();
        let id = self.workers[worker].id;
        let outcomes = reported.map(|(lease, ending)| outcome(lease, ending));
        let turn = Turn::new(id, outcomes.into_iter().collect(), world.want(want, token));
        let reply = answer(self.store.turn(turn.clone()))?;
        if let Some((lease, ending)) = reported {
            let receipt = check_receipt(before, &lease, &reply, problems);
            if receipt == Some(Receipt::Recorded) && ending == Ending::Succeed {
                self.results[lease.step.0 as usize] = Some(lease.run);
            }
        }
        let after = State::read(self, world)?;
        check_claims(self, world, &after, &reply.claims, want, problems);
        self.repeat(world, turn, &reply, &after, problems)?;
        let claims = reply.claims.iter().map(|claim| claim.lease);
        self.workers[worker].claims.extend(claims);
        self.workers[worker]
            .claims
            .sort_unstable_by_key(|lease| (lease.step, lease.run));
        Ok(())
    }

    /// Sends a turn again whose answer was lost: the answer is the same, and nothing changes.
    fn repeat(
        &self,
        world: &World,
        mut turn: Turn,
        reply: &TurnReply,
        after: &State,
        problems: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        let again = self.store.fork();
        turn.again = true;
        let repeated = answer(again.turn(turn))?;
        let leases = |claims: &[Claim]| claims.iter().map(|claim| claim.lease).collect::<Vec<_>>();
        if repeated.receipts != reply.receipts {
            problems.push(format!(
                "a turn that was sent again was answered {:?} instead of {:?}",
                repeated.receipts, reply.receipts
            ));
        }
        if !reply.claims.is_empty() && leases(&repeated.claims) != leases(&reply.claims) {
            problems.push("a turn that was sent again was handed other steps".to_owned());
        }
        if State::read_store(&again, world)? != *after {
            problems.push("a turn that was sent again changed something".to_owned());
        }
        Ok(())
    }

    /// Looks at the state in ways that change it, each on a copy of its own.
    ///
    /// # Errors
    ///
    /// When the store refuses, which a store in memory has no reason to.
    pub(super) fn probe(
        &self,
        world: &World,
        state: &State,
        problems: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        world.clock.set(self.now);
        let looked_at = self.store.fork();
        answer(looked_at.examine(world.task))?;
        if State::read_store(&looked_at, world)? != *state {
            problems.push("the safety net found something left to do".to_owned());
        }
        for Worker { id, claims } in &self.workers {
            let renewal = Renewal::new(*id, claims.clone(), LEASE);
            let answers = answer(looked_at.renew(renewal))?;
            for (lease, status) in claims.iter().zip(answers) {
                let expected = if state.holds(lease) {
                    LeaseStatus::Held
                } else {
                    LeaseStatus::Lost
                };
                if status != expected {
                    problems.push(format!(
                        "step {}: a lease is {expected:?}, but its worker was told {status:?}",
                        lease.step
                    ));
                }
            }
        }
        let all = self.store.fork();
        let want = world.want(u32::MAX, LeaseToken(0));
        let claims = answer(all.turn(Turn::new(self.workers[0].id, Vec::new(), want)))?.claims;
        let handed: Vec<usize> = claims.iter().map(|claim| claim.lease.step.0 as usize).collect();
        if handed != state.ready() {
            problems.push(format!(
                "steps {:?} are ready, but {handed:?} were handed out",
                state.ready()
            ));
        }
        Ok(())
    }
}
