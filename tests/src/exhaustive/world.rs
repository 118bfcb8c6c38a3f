//! A graph, and what is the same in all its states.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tasker_engine::{Actor, Create, Json, MemoryStore, NewTask, Scope, StepBuilder, Store, Template, Want};
use tasker_testkit::{Everything, ManualClock};
use tasker_types::{Backoff, BackoffValues, LeaseToken, Section as _, TaskId, WorkerId};

use super::Bounds;
use super::node::{Node, Worker};

/// How long a claim lasts: longer than all the time that passes by ticks.
pub(super) const LEASE: Duration = Duration::from_secs(86_400);
/// How long a step waits for its next attempt, in ticks of a second: so long that one that failed later is due later.
const WAIT_SECONDS: u64 = 2;
pub(super) const WAIT: Duration = Duration::from_secs(WAIT_SECONDS);

/// A graph, and what is the same in all its states.
#[derive(Debug)]
pub(super) struct World {
    pub(super) steps: usize,
    pub(super) edges: Vec<(usize, usize)>,
    pub(super) bounds: Bounds,
    pub(super) clock: ManualClock,
    pub(super) task: TaskId,
    pub(super) backoff: Arc<Backoff>,
    pub(super) accepts: Arc<Everything>,
}

/// Returns what a store in memory answers, which never has to wait.
#[expect(clippy::expect_used, reason = "a store in memory awaits nothing")]
pub(super) fn answer<T>(asked: impl Future<Output = T>) -> T {
    asked.now_or_never().expect("a store in memory awaits nothing")
}

impl World {
    #[expect(
        clippy::expect_used,
        reason = "a constant that is refused is a mistake in this file"
    )]
    pub(super) fn new(steps: usize, edges: &[(usize, usize)], bounds: Bounds) -> Self {
        let values = BackoffValues {
            default_backoff_seconds: vec![WAIT_SECONDS; bounds.attempts as usize],
            jitter_enabled: false,
            ..BackoffValues::default()
        };
        let clock = ManualClock::new();
        Self {
            steps,
            edges: edges.to_vec(),
            bounds,
            task: TaskId::new(tasker_engine::Clock::now(&clock), 0),
            clock,
            backoff: Arc::new(Backoff::check(values).expect("the waits are valid")),
            accepts: Arc::new(Everything),
        }
    }

    /// Returns the parents of a step.
    pub(super) fn parents(&self, step: usize) -> impl Iterator<Item = usize> + '_ {
        let into = self.edges.iter().filter(move |(_, to)| *to == step);
        into.map(|(from, _)| *from)
    }

    #[expect(clippy::expect_used, reason = "edges of an acyclic graph make a template")]
    fn template(&self) -> Arc<Template> {
        let name = |step: usize| format!("step_{step}");
        let mut template = Template::builder("world");
        for step in 0..self.steps {
            let builder = StepBuilder::new(name(step), "any").retry_limit(self.bounds.attempts);
            template = template.step(builder.depends_on(self.parents(step).map(name)));
        }
        template
            .build()
            .expect("edges of an acyclic graph make a template")
    }

    /// Returns the state in which the task was just created.
    #[expect(
        clippy::expect_used,
        reason = "a store in memory takes a task that was checked"
    )]
    pub(super) fn root(&self) -> Node {
        let now = tasker_engine::Clock::now(&self.clock);
        let store = MemoryStore::new(Arc::new(self.clock.clone()));
        let task = NewTask::new(self.task, self.template(), Json::null());
        let create = Create::new(WorkerId::new(now, 0), Actor::System, vec![task]);
        answer(store.create(create)).expect("a store in memory takes a task");
        let worker = |number| Worker {
            id: WorkerId::new(now, number),
            claims: Vec::new(),
        };
        Node {
            store,
            now,
            workers: [worker(1), worker(2)],
            lost: Vec::new(),
            lapses: 0,
            results: vec![None; self.steps],
            drawn: 2,
        }
    }

    pub(super) fn want(&self, limit: u32, token: LeaseToken) -> Want {
        Want {
            limit,
            accepts: Arc::<Everything>::clone(&self.accepts),
            scope: Scope::All,
            top_up: true,
            lease: LEASE,
            token,
        }
    }
}
