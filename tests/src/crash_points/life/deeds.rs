//! What workers and operators ask of a store.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tasker_engine::{
    Actor, Claim, Create, Demand, Description, End, Entropy as _, Intervention, Json, Outcome, Progress,
    Receipt, Renewal, Scope, Sweep, TaskFilter, TaskQuery, Turn, Want,
};
use tasker_store::PruneMode;
use tasker_testkit::{Everything, Harness};
use tasker_types::{LeaseToken, Position, StepNo, TaskId, TaskState};

use super::super::ground::beginning;
use super::super::script::{Cast, Deed, idempotency, outcome};
use super::{LEASE, Life, Line};

impl Life {
    pub(super) async fn carry_out(&mut self, deed: Deed) -> anyhow::Result<()> {
        match deed {
            Deed::Open => {
                self.opened().await?;
            }
            Deed::Create => self.create(&Cast::AT_FIRST, 2).await?,
            Deed::CreateAgain => self.create_again().await?,
            Deed::Claim => self.turn(Vec::new(), 4, Scope::All).await?,
            Deed::Work => self.work(6, Scope::All).await?,
            Deed::WorkAgain => self.work_again().await?,
            Deed::WorkOnOne => self.work(2, Scope::Task(Cast::Diamond.id())).await?,
            Deed::Renew | Deed::RenewAll => self.renew().await?,
            Deed::Examine => {
                let task = Cast::Diamond.id();
                self.ask(async |open, _| open.store().examine(task).await)
                    .await?
                    .context("a task cannot be examined")?;
            }
            Deed::CheckIn => {
                let (task, wait) = (Cast::Diamond.id(), Duration::from_secs(5));
                self.ask(async |open, _| open.store().check_in(task, wait).await)
                    .await?
                    .context("a task cannot be looked at later")?;
            }
            Deed::Describe => {
                let words = Description::new()
                    .reason("it was asked for")
                    .tags(["shop", "late"]);
                self.demand(Cast::Changed, Demand::Describe(words)).await?;
            }
            Deed::Prioritize => self.demand(Cast::Changed, Demand::SetPriority(3)).await?,
            Deed::Configure => {
                let demand = Demand::SetConfig(StepNo(2), Json::from(&json!({ "speed": 3 })));
                self.demand(Cast::Changed, demand).await?;
            }
            Deed::Limit => {
                self.demand(Cast::Changed, Demand::SetRetryLimit(StepNo(2), 30))
                    .await?;
            }
            Deed::Time => {
                let limit = Some(Duration::from_secs(99));
                self.demand(Cast::Changed, Demand::SetTimeout(StepNo(2), limit))
                    .await?;
            }
            Deed::ResolveStep => {
                let result = Some(Json::from(&json!("by hand")));
                self.demand(Cast::Changed, Demand::ResolveStep(StepNo(0), result))
                    .await?;
            }
            Deed::CancelStep => {
                self.demand(Cast::Changed, Demand::CancelStep(StepNo(1))).await?;
            }
            Deed::ResetStep => {
                self.demand(Cast::Changed, Demand::ResetStep(StepNo(1))).await?;
            }
            Deed::WorkOn => {
                for _ in 0..3 {
                    self.work(10, Scope::All).await?;
                    self.pass(5);
                }
                let last = self.held.iter().map(outcome).collect();
                self.turn(last, 0, Scope::All).await?;
            }
            Deed::RetryTask => self.demand(Cast::Broken, Demand::RetryTask).await?,
            Deed::CancelTask => self.demand(Cast::Cancelled, Demand::CancelTask).await?,
            Deed::ResolveTask => self.demand(Cast::Resolved, Demand::ResolveTask).await?,
            Deed::Crowd => self.crowd().await?,
            Deed::CreateWithin => self.create_within().await?,
            Deed::ReportLater => {
                self.turn(Vec::new(), 1, Scope::All).await?;
                self.close().await;
                self.opened().await?;
                self.work(0, Scope::All).await?;
            }
            Deed::Lapse => {
                self.turn(Vec::new(), 3, Scope::All).await?;
                self.held.clear();
                self.pass(60);
                self.sweep(Scope::All).await?;
            }
            Deed::SweepOne => self.sweep(Scope::Task(Cast::Diamond.id())).await?,
            Deed::Look => self.look().await?,
            Deed::List => self.list().await?,
            Deed::Health => {
                self.ask(async |open, _| open.health().await)
                    .await?
                    .context("the store does not say how it is")?;
            }
            Deed::Tokens => self.tokens().await?,
            Deed::Reopen => {
                self.close().await;
                self.opened().await?;
            }
            Deed::Overdue => {
                self.pass(4_000);
                self.sweep(Scope::All).await?;
            }
            Deed::Finish => self.finish().await?,
            Deed::CountOld => self.prune(PruneMode::Count).await?,
            Deed::Prune => {
                self.note(Line::Pruned)?;
                self.prune(PruneMode::Remove).await?;
            }
            Deed::Doctor => self.doctor().await?,
            Deed::Status => self.status().await?,
            Deed::ServersTime => self.servers_time().await?,
            Deed::LookPast => self.look_past().await?,
            Deed::Move => self.move_all().await?,
            Deed::TakeBack => self.take_back().await?,
        }
        Ok(())
    }

    pub(super) fn want(&self, limit: u32, scope: Scope) -> Want {
        Want {
            limit,
            accepts: Arc::new(Everything),
            scope,
            top_up: true,
            lease: LEASE,
            token: LeaseToken((self.entropy.next_u64() >> 1).cast_signed()),
        }
    }

    pub(super) async fn create(&mut self, cast: &[Cast], limit: u32) -> anyhow::Result<()> {
        let tasks = cast.iter().map(|one| one.new_task()).collect();
        let create = Create::new(self.worker, Actor::User("ann".to_owned()), tasks)
            .wanting(self.want(limit, Scope::All));
        let reply = self
            .ask(async |open, _| open.store().create(create.clone()).await)
            .await?;
        match reply {
            Ok(reply) => {
                self.held.extend(reply.claims);
                for (one, created) in cast.iter().zip(reply.tasks) {
                    if created.task() == one.id() {
                        self.note(Line::Created { task: one.id() })?;
                    } else {
                        self.problem(format!("{one:?} was created as {created:?}"));
                    }
                }
            }
            Err(error) => self.problem(format!("a creation was refused: {error}")),
        }
        Ok(())
    }

    /// Creates what there is already, and what must not be created.
    pub(super) async fn create_again(&mut self) -> anyhow::Result<()> {
        let mut tasks: Vec<_> = Cast::AT_FIRST.iter().map(|one| one.new_task()).collect();
        let known = tasks.len();
        for said in ["said once", "said otherwise"] {
            let mut task = Cast::Keyed.new_task();
            task.id = TaskId::new(beginning(), self.entropy.next_u128());
            task.identity = task.id.to_string();
            task.idempotency = Some(idempotency(said));
            tasks.push(task);
        }
        let create = Create::new(self.worker, Actor::User("ann".to_owned()), tasks);
        let reply = self
            .ask(async |open, _| open.store().create(create.clone()).await)
            .await?;
        match reply {
            Ok(reply) => {
                for (number, created) in reply.tasks.iter().enumerate() {
                    let expected = Cast::AT_FIRST.get(number).copied().unwrap_or(Cast::Keyed);
                    if created.task() != expected.id() {
                        self.problem(format!("{expected:?} was created again as {created:?}"));
                    }
                }
                if reply.tasks.len() != known + 2 {
                    self.problem("a creation was not answered for each task");
                }
            }
            Err(error) => self.problem(format!("a creation was refused: {error}")),
        }
        Ok(())
    }

    /// Ends what is held as it ends, and takes what is next.
    pub(super) async fn work(&mut self, limit: u32, scope: Scope) -> anyhow::Result<()> {
        let outcomes = self.held.iter().map(outcome).collect();
        self.turn(outcomes, limit, scope).await
    }

    pub(super) async fn turn(
        &mut self,
        outcomes: Vec<Outcome>,
        limit: u32,
        scope: Scope,
    ) -> anyhow::Result<()> {
        let turn = Turn::new(self.worker, outcomes, self.want(limit, scope));
        self.send(turn).await
    }

    pub(super) async fn work_again(&mut self) -> anyhow::Result<()> {
        let Some(mut turn) = self.last.clone() else {
            return Ok(());
        };
        turn.again = true;
        self.send(turn).await
    }

    pub(super) async fn send(&mut self, turn: Turn) -> anyhow::Result<()> {
        let reply = self
            .ask(async |open, again| {
                let mut turn = turn.clone();
                turn.again |= again;
                open.store().turn(turn).await
            })
            .await?;
        match reply {
            Ok(reply) => {
                self.recorded(&turn.outcomes, &reply.receipts)?;
                let ended = |claim: &Claim| turn.outcomes.iter().any(|outcome| outcome.lease == claim.lease);
                self.held.retain(|claim| !ended(claim));
                for claim in reply.claims {
                    if !self.held.iter().any(|held| held.lease == claim.lease) {
                        self.held.push(claim);
                    }
                }
            }
            Err(error) => self.problem(format!("a turn was refused: {error}")),
        }
        self.last = Some(turn);
        Ok(())
    }

    /// Notes the results that were recorded.
    pub(super) fn recorded(&mut self, outcomes: &[Outcome], receipts: &[Receipt]) -> anyhow::Result<()> {
        for (outcome, receipt) in outcomes.iter().zip(receipts) {
            let lease = outcome.lease;
            if *receipt != Receipt::Recorded {
                if !self.is_unsure {
                    self.problem(format!("the outcome of {lease:?} was answered with {receipt:?}"));
                }
                continue;
            }
            if matches!(outcome.end, End::Succeed { .. }) {
                let before = self.acknowledged.results.get(&(lease.task, lease.step));
                if before.is_some_and(|run| *run != lease.run) {
                    self.problem(format!("the result of {lease:?} was recorded a second time"));
                }
                self.note(Line::Recorded {
                    task: lease.task,
                    step: lease.step,
                    run: lease.run,
                })?;
            }
        }
        Ok(())
    }

    pub(super) async fn renew(&mut self) -> anyhow::Result<()> {
        self.pass(1);
        let leases: Vec<_> = self.held.iter().map(|claim| claim.lease).collect();
        let mut renewal = Renewal::new(self.worker, leases.clone(), LEASE);
        let progress = Progress {
            done: 1,
            total: 2,
            note: Some("half of it".to_owned()),
        };
        renewal.progress = leases
            .first()
            .map(|lease| (*lease, progress))
            .into_iter()
            .collect();
        let told = self
            .ask(async |open, _| open.store().renew(renewal.clone()).await)
            .await?;
        match told {
            Ok(statuses) if statuses.len() == leases.len() => {}
            other => self.problem(format!("a renewal was answered with {other:?}")),
        }
        Ok(())
    }

    /// Has an operator look at a task and demand something of what they saw, who looks again when they are refused and
    /// cannot know why.
    pub(super) async fn demand(&mut self, of: Cast, demand: Demand) -> anyhow::Result<()> {
        let demand = Intervention::new(of.id(), demand, Actor::User("ann".to_owned()));
        let done = self
            .ask(async |open, _| {
                let seen = open.store().snapshot(demand.task).await?;
                let expected = seen.map_or(Position(0), |seen| seen.position);
                open.store().intervene(demand.clone().expecting(expected)).await
            })
            .await?;
        if let Err(error) = done
            && !self.is_unsure
        {
            self.problem(format!("{:?} of {of:?} was refused: {error}", demand.demands));
        }
        Ok(())
    }

    pub(super) async fn sweep(&mut self, scope: Scope) -> anyhow::Result<()> {
        let sweep = Sweep::new(100, Harness::backoff(), 1).within(scope);
        let swept = self
            .ask(async |open, _| open.store().sweep(sweep.clone()).await)
            .await?;
        if let Err(error) = swept {
            self.problem(format!("a sweep was refused: {error}"));
        }
        Ok(())
    }

    /// Works until nothing is left to do.
    pub(super) async fn finish(&mut self) -> anyhow::Result<()> {
        // What is held may be over, or have gone to others, by now.
        self.is_unsure |= !self.held.is_empty();
        for _ in 0..40 {
            self.sweep(Scope::All).await?;
            self.work(20, Scope::All).await?;
            if self.held.is_empty() && !self.is_anything_left().await? {
                break;
            }
            self.pass(5);
        }
        self.check().await?;
        self.transitions = self.transitions().await;
        Ok(())
    }

    pub(super) async fn is_anything_left(&mut self) -> anyhow::Result<bool> {
        let active = TaskFilter {
            states: TaskState::ALL
                .iter()
                .copied()
                .filter(|state| state.is_active())
                .collect(),
            ..TaskFilter::default()
        };
        let query = TaskQuery::new(active, 1);
        let left = self
            .ask(async |open, _| open.store().list(query.clone()).await)
            .await?;
        Ok(!left.context("tasks cannot be listed")?.tasks.is_empty())
    }

    pub(super) async fn transitions(&mut self) -> u64 {
        let Some(open) = self.open.clone() else { return 0 };
        self.probe.sleep(true);
        let entries = open.store().events(Position(0), u32::MAX).await;
        self.probe.sleep(false);
        entries.map_or(0, |entries| entries.len() as u64)
    }
}
