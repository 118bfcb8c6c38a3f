//! What was read of tasks, put together for those who look at them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tasker_engine::{Actor, Json, StepRecord};
use tasker_types::{StepNo, WorkerId};

use super::{Graph, Kind, Lease, QueuePlace, StepKey, StepRow, TaskRow, in_queue};

/// Payloads by the task and what they are, then by step; a context stands with step 0.
pub(crate) type Payloads = BTreeMap<(i64, Kind), BTreeMap<u32, Json>>;

/// Where the queue has the steps of each task.
pub(crate) type Places = BTreeMap<i64, BTreeMap<u32, Vec<(i64, QueuePlace)>>>;

/// Takes the payloads of a kind that a task has.
pub(crate) fn of_kind(all: &mut Payloads, task: i64, kind: Kind) -> BTreeMap<u32, Json> {
    all.remove(&(task, kind)).unwrap_or_default()
}

/// Takes the payloads of a kind that a task has, by step.
pub(crate) fn by_step(all: &mut Payloads, task: i64, kind: Kind) -> Vec<(StepNo, Json)> {
    let own = of_kind(all, task, kind).into_iter();
    own.map(|(step, body)| (StepNo(step), body)).collect()
}

/// Returns the workers among actors, by their key.
pub(crate) fn workers(actors: Vec<(i64, String)>) -> BTreeMap<i64, WorkerId> {
    let worker = |(id, name): (i64, String)| match name.parse() {
        Ok(Actor::Worker(worker)) => Some((id, worker)),
        _ => None,
    };
    actors.into_iter().filter_map(worker).collect()
}

/// What was read of the steps of tasks.
#[derive(Debug)]
pub(crate) struct Looked<L> {
    steps: BTreeMap<i64, Vec<(u32, StepRow<L>)>>,
    pub(crate) payloads: Payloads,
    pub(crate) places: Places,
    pub(crate) workers: BTreeMap<i64, WorkerId>,
}

impl<L: Lease> Looked<L> {
    pub(crate) fn new(
        rows: impl IntoIterator<Item = (StepKey, StepRow<L>)>,
        payloads: Payloads,
        places: Places,
    ) -> Self {
        let mut steps: BTreeMap<i64, Vec<(u32, StepRow<L>)>> = BTreeMap::new();
        for ((task, step), row) in rows {
            steps.entry(task).or_default().push((step, row));
        }
        Self {
            steps,
            payloads,
            places,
            workers: BTreeMap::new(),
        }
    }

    /// Returns who hold leases, each as often as that is so.
    pub(crate) fn holders(&self) -> impl Iterator<Item = i64> {
        let rows = self.steps.values().flatten();
        rows.filter_map(|(_, row)| row.lease.map(|lease| lease.actor()))
    }

    /// Takes the steps of a task, in the order in which they were read.
    pub(crate) fn take(&mut self, key: i64, task: &TaskRow) -> Vec<StepRecord> {
        let failures = of_kind(&mut self.payloads, key, Kind::Failure);
        let progress = of_kind(&mut self.payloads, key, Kind::Progress);
        let places = self.places.remove(&key).unwrap_or_default();
        let (active, priority) = (task.state.is_active(), task.priority);
        let queues = &task.graph.queues;
        let rows = self.steps.remove(&key).unwrap_or_default().into_iter();
        rows.map(|(step, row)| {
            let worker = row
                .lease
                .and_then(|lease| self.workers.get(&lease.actor()).copied());
            let queue = queues.get(step as usize).copied();
            let found = places.get(&step).map_or(&[][..], Vec::as_slice);
            let queued = in_queue(queue.zip(row.place(active, priority)), found);
            let (failure, progress) = (failures.get(&step), progress.get(&step));
            row.record(StepNo(step), queued, worker, failure, progress)
        })
        .collect()
    }
}

/// How many templates those who look keep in memory.
const GRAPHS: usize = 1_000;

/// Templates that were read, shared by those who look at tasks. One that is written never changes, and stays.
#[derive(Debug, Default)]
pub(crate) struct Graphs(Mutex<BTreeMap<i64, Arc<Graph>>>);

impl Graphs {
    pub(crate) fn get(&self, id: i64) -> Option<Arc<Graph>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).cloned()
    }

    pub(crate) fn keep(&self, graph: &Arc<Graph>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= GRAPHS {
            known.clear();
        }
        known.insert(graph.id, Arc::clone(graph));
    }
}
