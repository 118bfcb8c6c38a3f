//! Who is next, and what a worker is told of it.

use std::collections::BTreeMap;
#[cfg(feature = "postgres")]
use std::collections::BTreeSet;
#[cfg(feature = "postgres")]
use std::sync::Arc;
#[cfg(feature = "postgres")]
use std::time::Duration;

use tasker_engine::Want;
#[cfg(feature = "postgres")]
use tasker_engine::{Claim, ClaimedTask, Json, Lease};
use tasker_types::{Namespace, Version};
#[cfg(feature = "postgres")]
use tasker_types::{RunNo, StepNo};

use super::Queue;
#[cfg(feature = "postgres")]
use super::{Kind, Place, StepKey, Work};

/// A place in the queue, in the order of claims: rank (the priority, negated), age, step; and the queue it is in.
pub(crate) type Candidate = (i64, i64, u32, i64);

/// The queues that a worker takes steps from, with the version of the handler that would run them.
pub(crate) type Accepted = BTreeMap<i64, (Namespace, Version)>;

/// Returns the queues that a worker takes steps from.
pub(crate) fn accepted<'a>(want: &Want, queues: impl IntoIterator<Item = (&'a i64, &'a Queue)>) -> Accepted {
    let accepted = queues.into_iter().filter_map(|(id, queue)| {
        let version = want.accepts.version_for(&queue.namespace, &queue.handler)?;
        Some((*id, (queue.namespace.clone(), version)))
    });
    accepted.collect()
}

#[cfg(feature = "postgres")]
/// What is handed out, in the order of tasks and steps, and which namespaces had a part in it.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    pub(crate) chosen: Vec<Candidate>,
    pub(crate) namespaces: BTreeSet<Namespace>,
    /// The last that was chosen by its place in the order of claims.
    last: Option<Candidate>,
}

#[cfg(feature = "postgres")]
impl Choice {
    /// Chooses among candidates in the order of claims: the first of the namespace that was served longest ago, then by
    /// rank, age and step.
    pub(crate) fn of(
        mut due: Vec<Candidate>,
        limit: u32,
        accepted: &Accepted,
        served: &BTreeMap<Namespace, i64>,
    ) -> Self {
        due.sort_unstable();
        let mut firsts: BTreeMap<&Namespace, Candidate> = BTreeMap::new();
        for candidate in &due {
            firsts.entry(&accepted[&candidate.3].0).or_insert(*candidate);
        }
        let first = firsts
            .into_iter()
            .map(|(namespace, candidate)| (served.get(namespace).copied().unwrap_or(0), candidate))
            .min();
        let Some((_, first)) = first.filter(|_| limit > 0) else {
            return Self::default();
        };
        due.retain(|candidate| *candidate != first);
        due.truncate(limit as usize - 1);
        let last = due.last().copied().or(Some(first));
        due.push(first);
        due.sort_unstable_by_key(|(_, task, step, _)| (*task, *step));
        let namespaces = due
            .iter()
            .map(|candidate| accepted[&candidate.3].0.clone())
            .collect();
        Self {
            chosen: due,
            namespaces,
            last,
        }
    }

    /// Tells whether the choice could be another, or have more than fewer than `limit`, if more places of each queue than
    /// `wanted` had been `taken`: those that were left come after the last of their queue.
    pub(crate) fn misses(&self, taken: &[Candidate], wanted: u32, limit: u32) -> bool {
        let short = self.chosen.len() < limit as usize;
        let mut queues: BTreeMap<i64, (usize, &Candidate)> = BTreeMap::new();
        for candidate in taken {
            let queue = queues.entry(candidate.3).or_insert((0, candidate));
            *queue = (queue.0 + 1, queue.1.max(candidate));
        }
        queues
            .into_values()
            .any(|(count, last)| count >= wanted as usize && (short || Some(last) < self.last.as_ref()))
    }
}

#[cfg(feature = "postgres")]
impl<L: super::Lease> Work<L> {
    /// Returns the steps that became ready in this very work and could be handed out, in the order of claims. They have no
    /// place in the queue's table yet.
    pub(crate) fn fresh(&self, accepted: &Accepted, scope: Option<i64>) -> Vec<Candidate> {
        let mut fresh = Vec::new();
        for (key, row) in &self.steps {
            let task = &self.tasks[&key.0];
            let was = row
                .before
                .as_ref()
                .zip(task.before.as_ref())
                .is_some_and(|(row, task)| row.queued(task.state.is_active()));
            let queue = task.now.graph.queues[key.1 as usize];
            if !was
                && row.now.queued(task.now.state.is_active())
                && row.now.next_retry_at.is_none_or(|due| due <= self.now)
                && scope.is_none_or(|task| task == key.0)
                && accepted.contains_key(&queue)
            {
                let rank = i64::from(task.now.priority.saturating_neg());
                fresh.push((rank, key.0, key.1, queue));
            }
        }
        fresh.sort_unstable();
        fresh
    }

    /// Returns the payloads that the claims of steps in progress are built of, those that this work does not have.
    ///
    /// `configured` are the steps of which a configuration of their own is written.
    pub(crate) fn places_of(&self, keys: &[StepKey], configured: &BTreeSet<StepKey>) -> Vec<Place> {
        let mut places = BTreeSet::new();
        for key in keys {
            places.insert(((key.0, 0), Kind::Context));
            // A step that runs for the first time has left nothing behind.
            if self.step(*key).run > 1 {
                places.insert((*key, Kind::Checkpoint));
            }
            if configured.contains(key) {
                places.insert((*key, Kind::Config));
            }
            let parents = self.task(key.0).graph.template.step(StepNo(key.1)).depends_on();
            places.extend(parents.iter().map(|parent| ((key.0, parent.0), Kind::Result)));
        }
        places
            .into_iter()
            .filter(|place| !self.payloads.contains_key(place))
            .collect()
    }

    /// Builds the claims of steps in progress, each with the version of its handler, from the payloads that this work has
    /// and those that were read.
    pub(crate) fn claims_of(&self, keys: &[(StepKey, Version)], read: &BTreeMap<Place, Json>) -> Vec<Claim> {
        let payload = |key: StepKey, kind: Kind| match self.payloads.get(&(key, kind)) {
            Some(body) => body.clone(),
            None => read.get(&(key, kind)).cloned(),
        };
        let mut tasks: BTreeMap<i64, Arc<ClaimedTask>> = BTreeMap::new();
        let mut claims = Vec::with_capacity(keys.len());
        for ((key, step), version) in keys {
            let (task, row) = (self.task(*key), self.step((*key, *step)));
            let template = &task.graph.template;
            let claimed = tasks.entry(*key).or_insert_with(|| {
                Arc::new(ClaimedTask {
                    template: Arc::clone(template),
                    context: payload((*key, 0), Kind::Context).unwrap_or_else(Json::null),
                    correlation_id: task.brought.correlation_id.clone(),
                    trace_context: task.brought.trace_context,
                })
            });
            let own = |kind| payload((*key, *step), kind);
            let parents = template.step(StepNo(*step)).depends_on().iter();
            let Some(lease) = row.lease else { continue };
            claims.push(Claim {
                lease: Lease {
                    task: task.id,
                    task_key: *key,
                    step: StepNo(*step),
                    run: RunNo(row.run),
                    token: lease.token(),
                },
                task: Arc::clone(claimed),
                attempt: row.attempts,
                retry_limit: row.retry_limit,
                parents: parents
                    .map(|parent| (*parent, payload((*key, parent.0), Kind::Result)))
                    .collect(),
                checkpoint: own(Kind::Checkpoint),
                timeout: row
                    .timeout_us
                    .and_then(|us| u64::try_from(us).ok())
                    .map(Duration::from_micros),
                config: own(Kind::Config),
                handler_version: version.clone(),
                claimed_at: row.started_at.unwrap_or(self.now),
            });
        }
        claims
    }
}
