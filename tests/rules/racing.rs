//! Plays two acts in both orders and at once.

use std::sync::{Arc, Barrier};

use tasker_engine::{Claim, Demand, NewTask, Outcome, Scope, StoreError, Template};
use tasker_testkit::{Harness, ManualClock};
use tasker_types::{StepNo, TaskId};
use tests::StoreKind;

/// How often both acts are played at the same moment.
const ROUNDS: usize = 40;

/// Something that a worker or an operator does to a task.
pub(crate) enum Act {
    /// A worker reports outcomes.
    Report(Vec<Outcome>),
    /// A worker reports outcomes and claims what is ready of the task.
    Turn(Vec<Outcome>),
    /// An operator demands something.
    Demand(Demand),
    /// Leases and deadlines are looked at.
    Sweep,
    /// A task is created.
    Create(Box<NewTask>),
}

/// A task that is about to see two acts.
pub(crate) struct Scene {
    pub(crate) task: TaskId,
    pub(crate) left: Act,
    pub(crate) right: Act,
}

impl Act {
    /// Does it and says, shortly, what the store answered.
    async fn play(self, harness: &Harness, task: TaskId) -> String {
        match self {
            Self::Report(outcomes) => {
                let reply = harness.turn(outcomes, 0).await;
                let receipts: Vec<_> = reply
                    .receipts
                    .iter()
                    .map(|receipt| format!("{receipt:?}"))
                    .collect();
                receipts.join(" ")
            }
            Self::Turn(outcomes) => {
                let mut want = harness.want(10);
                want.scope = Scope::Task(task);
                let turn = tasker_engine::Turn::new(harness.another_worker(), outcomes, want);
                let claims = harness.store.turn(turn).await.unwrap().claims;
                let names: Vec<_> = claims
                    .iter()
                    .map(|claim| claim.template().name().to_string())
                    .collect();
                format!("claims [{}]", names.join(" "))
            }
            Self::Demand(demand) => match harness.intervene(task, demand).await {
                Ok(_) => "done".to_owned(),
                Err(StoreError::IllegalStep { source, .. }) => source.to_string(),
                Err(StoreError::IllegalTask { source, .. }) => source.to_string(),
                Err(StoreError::StepInProgress { .. }) => "the step is in progress".to_owned(),
                Err(error) => panic!("{error}"),
            },
            Self::Sweep => {
                harness.sweep().await;
                "swept".to_owned()
            }
            Self::Create(task) => {
                let name = |created| match created {
                    tasker_engine::Created::New(_) => "new",
                    tasker_engine::Created::Repeated(_) => "repeated",
                    tasker_engine::Created::KeyReused(_) => "key reused",
                    tasker_engine::Created::Duplicate(_) => "duplicate",
                };
                harness
                    .create_all(vec![*task])
                    .await
                    .tasks
                    .into_iter()
                    .map(name)
                    .collect()
            }
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

/// Plays a scene in both orders and at once, on every store.
///
/// `left_first` and `right_first` say how it ends: `what left was answered | what right was answered | the states`.
#[track_caller]
pub(crate) fn check(prepare: impl AsyncFn(&Harness) -> Scene, left_first: &str, right_first: &str) {
    for kind in StoreKind::ALL {
        let harness = harness(*kind);
        let ended = |left: String, right: String, task| {
            format!("{left} | {right} | {}", block_on(harness.look(task)))
        };
        let Scene { task, left, right } = block_on(prepare(&harness));
        let left = block_on(left.play(&harness, task));
        let right = block_on(right.play(&harness, task));
        assert_eq!(ended(left, right, task), left_first, "left first, on {kind}");

        let Scene { task, left, right } = block_on(prepare(&harness));
        let right = block_on(right.play(&harness, task));
        let left = block_on(left.play(&harness, task));
        assert_eq!(ended(left, right, task), right_first, "right first, on {kind}");

        for _ in 0..ROUNDS {
            let Scene { task, left, right } = block_on(prepare(&harness));
            let (left, right) = at_once(&harness, task, left, right);
            let end = ended(left, right, task);
            assert!(
                end == left_first || end == right_first,
                "at once, on {kind}: {end}"
            );
        }
        block_on(harness.verify());
    }
}

fn at_once(harness: &Harness, task: TaskId, left: Act, right: Act) -> (String, String) {
    let barrier = Barrier::new(2);
    let play = |act: Act| {
        barrier.wait();
        block_on(act.play(harness, task))
    };
    std::thread::scope(|scope| {
        let right = scope.spawn(|| play(right));
        let left = play(left);
        (left, right.join().unwrap())
    })
}

pub(crate) fn harness(kind: StoreKind) -> Arc<Harness> {
    let clock = ManualClock::new();
    let opened = kind.open_threaded(Arc::new(clock.clone()));
    let store = Arc::clone(&opened.store);
    Arc::new(Harness::new(store, clock).keeping(opened))
}

/// Creates a task of this template and claims what is ready of it.
pub(crate) async fn begin(harness: &Harness, template: Arc<Template>) -> (TaskId, Vec<Claim>) {
    let task = harness.create(template).await;
    let claims = claim(harness, task).await;
    (task, claims)
}

/// Claims what is ready of one task.
pub(crate) async fn claim(harness: &Harness, task: TaskId) -> Vec<Claim> {
    advance(harness, task, Vec::new()).await
}

/// Reports outcomes and claims what is ready of one task.
pub(crate) async fn advance(harness: &Harness, task: TaskId, outcomes: Vec<Outcome>) -> Vec<Claim> {
    let mut want = harness.want(100);
    want.scope = Scope::Task(task);
    let turn = tasker_engine::Turn::new(harness.worker(), outcomes, want);
    harness.store.turn(turn).await.unwrap().claims
}

pub(crate) const fn step(number: u32) -> StepNo {
    StepNo(number)
}
