//! The operations and their dice.

use std::fmt::Debug;
use std::time::Duration;

use serde_json::{Value, json};
use tasker_engine::{
    Actor, Claim, Clock, Create, CreateReply, Demand, Idempotency, Intervention, Json, NewTask, Outcome,
    Renewal, Scope, StoreError, Sweep, Turn, TurnReply, Want,
};
use tasker_types::{Position, StepNo, TaskId, TaskState, WorkerId};

use super::{Appetite, Both, Play, TASKS};
use crate::canonical::canonical_claim;
use crate::harness::Harness;
use crate::outcome;
use crate::shapes;

fn seconds(seconds: usize) -> Duration {
    Duration::from_secs(seconds as u64)
}

/// Returns what a store answered, sorted where the order has no meaning.
fn answer<T: Debug>(reply: &Result<T, StoreError>) -> Value {
    match reply {
        Ok(reply) => json!(format!("{reply:?}")),
        Err(error) => json!({ "refused": error.to_string() }),
    }
}

fn sorted<T: Ord + Clone>(values: &[T]) -> Vec<T> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values
}

fn created(reply: &CreateReply) -> Value {
    json!({ "tasks": reply.tasks, "finished": sorted(&reply.finished) })
}

fn turned(reply: &TurnReply) -> Value {
    json!({
        "receipts": reply.receipts,
        "created": reply.created.iter().map(|(_, created)| created).collect::<Vec<_>>(),
        "claims": reply.claims.iter().map(canonical_claim).collect::<Vec<_>>(),
        "finished": sorted(&reply.finished),
        "next_due_in": reply.next_due_in.map(|wait| wait.as_secs_f64()),
    })
}

impl Play<'_> {
    /// Does one operation on both stores, compares the answers, and returns what it was.
    pub(super) async fn operate(&mut self) -> String {
        if self.tasks.is_empty() {
            return self.create().await;
        }
        match self.below(20) {
            0 | 1 if self.tasks.len() < TASKS => self.create().await,
            0..=9 => self.turn().await,
            10 => self.turn_again().await,
            11 => self.repeat_outcome().await,
            12 => self.pass_time(),
            13 | 14 => self.sweep().await,
            15 => self.renew().await,
            16 => self.look().await,
            _ => self.intervene().await,
        }
    }

    async fn create(&mut self) -> String {
        let count = 1 + self.below(2);
        let tasks: Vec<NewTask> = (0..count).map(|_| self.new_task()).collect();
        self.tasks.extend(tasks.iter().map(|task| task.id));
        let what = format!("create {count} tasks");
        let request = Create::new(self.workers[0], Actor::System, tasks);
        let [a, b] = self.pair;
        let first = a.store.create(request.clone()).await.unwrap();
        let second = b.store.create(request).await.unwrap();
        self.compare(&what, &created(&first), &created(&second));
        what
    }

    fn new_task(&self) -> NewTask {
        let [harness, _] = self.pair;
        let namespace = ["east", "west"][self.below(2)];
        let template = shapes::random_in(self.below(1 << 20) as u64, 1 + self.below(8), namespace);
        let steps = template.steps().len();
        let mut task = harness.new_task(template);
        task.bypass = (0..steps)
            .filter(|_| self.one_in(12))
            .map(|step| StepNo(step as u32))
            .collect();
        task.priority = [-1, 0, 0, 3][self.below(4)];
        let now = harness.clock.now();
        task.start_at = self.one_in(8).then(|| now.plus(seconds(self.below(6))));
        task.deadline_at = self.one_in(8).then(|| now.plus(seconds(5 + self.below(60))));
        if self.one_in(6) {
            task.identity = format!("identity {}", self.below(2));
        }
        if self.one_in(6) {
            let key = format!("key {}", self.below(2));
            task.idempotency = Some(Idempotency {
                key,
                digest: format!("digest {}", self.below(2)),
            });
        }
        task
    }

    fn want(&self) -> Want {
        let limit = match self.appetite {
            Appetite::All => [0, 1_000, 1_000, 1_000][self.below(4)],
            Appetite::Few => self.below(4) as u32,
        };
        let scope = if self.one_in(10) {
            Scope::Task(self.any_task())
        } else {
            Scope::All
        };
        Want {
            scope,
            lease: seconds(5 + self.below(40)),
            ..self.pair[0].want(limit)
        }
    }

    fn any_task(&self) -> TaskId {
        self.tasks[self.below(self.tasks.len())]
    }

    async fn turn(&mut self) -> String {
        let worker = self.workers[self.below(2)];
        let mut outcomes: Both<Vec<Outcome>> = Default::default();
        for (holder, claims) in std::mem::take(&mut self.held) {
            if holder == worker && !self.one_in(4) {
                let mut both = self.end(&claims);
                if self.one_in(8) && self.tasks.len() < TASKS {
                    let mut task = self.new_task();
                    task.parent = Some((claims[0].lease.task, claims[0].lease.step));
                    self.tasks.push(task.id);
                    for outcome in &mut both {
                        outcome.tasks.push(task.clone());
                    }
                }
                outcomes[0].push(both[0].clone());
                outcomes[1].push(both[1].clone());
                self.sent.push((worker, both));
            } else {
                self.held.push((holder, claims));
            }
        }
        let want = self.want();
        let what = format!("a turn with {} outcomes, limit {}", outcomes[0].len(), want.limit);
        let turns = outcomes.map(|outcomes| Turn::new(worker, outcomes, want.clone()));
        self.last_turn = Some(turns.clone());
        self.send(turns, &what).await;
        what
    }

    /// Ends a claim in one of all possible ways, the same for both stores.
    fn end(&self, claims: &Both<Claim>) -> Both<Outcome> {
        let roll = self.below(16);
        let wait = seconds(self.below(4));
        let checkpoint = json!({ "seen": self.below(100) });
        [&claims[0], &claims[1]].map(|claim| match roll {
            0..=8 => outcome::succeed(claim),
            9..=11 => outcome::fail(claim, wait),
            12 => outcome::fail_permanently(claim),
            13 => outcome::release(claim),
            14 => outcome::interrupt(claim),
            _ => outcome::suspend(claim, wait, &checkpoint),
        })
    }

    async fn send(&mut self, turns: Both<Turn>, what: &str) {
        let [a, b] = self.pair;
        let worker = turns[0].worker;
        let [first, second] = turns;
        let first = a.store.turn(first).await.unwrap();
        let second = b.store.turn(second).await.unwrap();
        self.compare(what, &turned(&first), &turned(&second));
        for claims in first.claims.into_iter().zip(second.claims) {
            let lease = claims.0.lease;
            let known = |held: &(WorkerId, Both<Claim>)| held.1[0].lease == lease;
            if !self.held.iter().any(known) {
                self.held.push((worker, claims.into()));
            }
        }
    }

    async fn turn_again(&mut self) -> String {
        let what = "the last turn again".to_owned();
        if let Some(turns) = self.last_turn.clone() {
            let turns = turns.map(|mut turn| {
                turn.again = true;
                turn
            });
            self.send(turns, &what).await;
        }
        what
    }

    async fn repeat_outcome(&mut self) -> String {
        let what = "an earlier outcome again".to_owned();
        if !self.sent.is_empty() {
            let (worker, outcomes) = self.sent[self.below(self.sent.len())].clone();
            let want = self.pair[0].want(0);
            let turns = outcomes.map(|outcome| Turn::new(worker, vec![outcome], want.clone()));
            self.send(turns, &what).await;
        }
        what
    }

    fn pass_time(&self) -> String {
        let by = seconds([0, 1, 2, 3, 10, 45][self.below(6)]);
        let back = self.one_in(12);
        for harness in self.pair {
            if back {
                harness.clock.turn_back(by);
            } else {
                harness.clock.advance(by);
            }
        }
        format!("time passes: {by:?}, back: {back}")
    }

    async fn sweep(&self) -> String {
        let limit = [1, 100][self.below(2)];
        let scope = if self.one_in(5) {
            Scope::Task(self.any_task())
        } else {
            Scope::All
        };
        let what = format!("a sweep of {limit}");
        let [first, second] = self.pair.map(|harness| {
            let sweep = Sweep::new(limit, Harness::backoff(), 1).within(scope);
            async move { harness.store.sweep(sweep).await.unwrap() }
        });
        let [first, second] = [first.await, second.await].map(|swept| {
            let (expired, due) = (sorted(&swept.expired), sorted(&swept.due));
            json!({ "expired": expired, "finished": sorted(&swept.finished), "due": due })
        });
        self.compare(&what, &first, &second);
        what
    }

    async fn renew(&self) -> String {
        let what = "a renewal".to_owned();
        let worker = self.workers[self.below(2)];
        let lease = seconds(5 + self.below(40));
        let mut answers = Vec::new();
        for (index, harness) in self.pair.into_iter().enumerate() {
            let held = self.held.iter().filter(|(holder, _)| *holder == worker);
            let leases = held.map(|(_, claims)| claims[index].lease).collect();
            answers.push(json!(
                harness
                    .store
                    .renew(Renewal::new(worker, leases, lease))
                    .await
                    .unwrap()
            ));
        }
        self.compare(&what, &answers[0], &answers[1]);
        what
    }

    async fn look(&self) -> String {
        let task = self.any_task();
        let what = format!("an examination of task {task}");
        let delay = seconds(self.below(20));
        let mut answers = Vec::new();
        for harness in self.pair {
            answers.push(json!(harness.store.examine(task).await.unwrap()));
            harness.store.check_in(task, delay).await.unwrap();
        }
        self.compare(&what, &answers[0], &answers[1]);
        what
    }

    async fn intervene(&self) -> String {
        let task = self.any_task();
        let Some(snapshot) = self.pair[0].store.snapshot(task).await.unwrap() else {
            return "nothing, for there is no such task".to_owned();
        };
        let step = StepNo(self.below(snapshot.steps.len()) as u32);
        let mut demands = vec![self.demand(step, snapshot.task.state)];
        while self.one_in(4) {
            let step = StepNo(self.below(snapshot.steps.len()) as u32);
            demands.push(self.demand(step, snapshot.task.state));
        }
        let mut what = format!("{demands:?} of task {task}");
        let reason = self.one_in(2).then(|| "because".to_owned());
        let request = Intervention::all(task, demands, Actor::User("ann".to_owned())).because(reason);
        let [a, b] = self.pair;
        let (mut first, mut second) = (request.clone(), request);
        if self.one_in(4) {
            // As it is now, or as it was before it was created.
            let is_late = self.one_in(3);
            what.push_str(if is_late { ", too late" } else { ", as it is" });
            for (harness, request) in [(a, &mut first), (b, &mut second)] {
                let seen = harness.snapshot(task).await.position;
                request.expected = Some(if is_late { Position(0) } else { seen });
            }
        }
        let first = a.store.intervene(first).await;
        let second = b.store.intervene(second).await;
        self.compare(&what, &answer(&first), &answer(&second));
        what
    }

    fn demand(&self, step: StepNo, state: TaskState) -> Demand {
        // What ends a task is rarer than what keeps it going; settings are of no use to a task that is over.
        let kinds = if state.is_final() { 16 } else { 22 };
        match self.below(kinds) {
            0 => Demand::CancelTask,
            1 => Demand::ResolveTask,
            2..=4 => Demand::RetryTask,
            5 => Demand::ResumeTask,
            6 | 7 => Demand::CancelStep(step),
            8..=11 => Demand::ResetStep(step),
            12..=14 => Demand::ResolveStep(step, None),
            15 => Demand::ResolveStep(step, Some(Json::from(&json!({ "by": "hand" })))),
            16..=18 => Demand::SetRetryLimit(step, self.below(5) as u32),
            19 => Demand::SetTimeout(step, self.one_in(2).then(|| seconds(9))),
            20 => Demand::SetConfig(step, Json::from(&json!({ "size": 3 }))),
            _ => Demand::SetPriority([-2, 0, 5][self.below(3)]),
        }
    }
}
