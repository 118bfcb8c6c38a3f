//! New tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tasker_engine::{Created, NewTask, Origin};
use tasker_types::{Namespace, TaskId, TaskState};

use crate::list::labels;

use super::{Brought, Entry, Graph, Kind, Lease, NewRow, TaskRow, Tracked, Work};

/// What is taken already, in the database or by an earlier task of the same request.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) ids: BTreeSet<TaskId>,
    pub(crate) identities: BTreeMap<String, TaskId>,
    pub(crate) keys: BTreeMap<(Namespace, String), (TaskId, String)>,
}

impl<L: Lease> Work<L> {
    /// Takes up a new task whose names are not taken. Its steps are the store's to write.
    pub(crate) fn create(
        &mut self,
        key: i64,
        task: NewTask,
        graph: Arc<Graph>,
        actor: i64,
        check_in: Duration,
    ) {
        let said = task.origin != Origin::default();
        let identity = identity(&task).map(str::to_owned);
        let row = TaskRow {
            id: task.id,
            graph,
            state: TaskState::Pending,
            failure: None,
            priority: task.priority,
            live_steps: 0,
            brought: Brought::of(&task.origin),
            updated_at: self.now,
            started_at: None,
            finished_at: None,
            deadline_at: task.deadline_at,
            next_check_at: Some(self.now.plus(check_in)),
        };
        let new = NewRow {
            identity,
            idempotency: task.idempotency,
            labels: labels(&task.origin),
            origin: said.then(|| serde_json::to_string(&task.origin).unwrap_or_default()),
            parent: task.parent,
            start_at: task.start_at,
        };
        self.tasks.insert(
            key,
            Tracked {
                before: None,
                now: row,
            },
        );
        self.created.insert(key, new);
        self.put((key, 0), Kind::Context, Some(task.context));
        self.touched.insert(key);
        self.entries.push(Entry::new(key, None, "created", actor));
    }

    #[cfg(feature = "postgres")]
    /// Returns when the first steps of a new task are due, if that is yet to come.
    pub(crate) fn start_of(&self, key: i64) -> Option<tasker_types::Timestamp> {
        self.created[&key].start_at.filter(|start| *start > self.now)
    }
}

/// Returns the identity of a task if it is more than its id.
pub(crate) fn identity(task: &NewTask) -> Option<&str> {
    (task.identity != task.id.to_string()).then_some(&*task.identity)
}

/// Returns the namespace and the idempotency key of a task that has one.
pub(crate) fn key(task: &NewTask) -> Option<(Namespace, String)> {
    let idempotency = task.idempotency.as_ref()?;
    Some((task.template.namespace().clone(), idempotency.key.clone()))
}

impl Taken {
    /// Tells what becomes of a task that cannot be created; takes its names if it can.
    pub(crate) fn judge(&mut self, task: &NewTask) -> Option<Created> {
        if self.ids.contains(&task.id) {
            return Some(Created::New(task.id));
        }
        if let Some((other, digest)) = key(task).and_then(|key| self.keys.get(&key)) {
            let same = task
                .idempotency
                .as_ref()
                .is_some_and(|idempotency| idempotency.digest == *digest);
            return Some(if same {
                Created::Repeated(*other)
            } else {
                Created::KeyReused(*other)
            });
        }
        if let Some(other) = self.identities.get(&task.identity) {
            return Some(Created::Duplicate(*other));
        }
        self.ids.insert(task.id);
        self.identities.insert(task.identity.clone(), task.id);
        if let (Some(key), Some(idempotency)) = (key(task), &task.idempotency) {
            self.keys.insert(key, (task.id, idempotency.digest.clone()));
        }
        None
    }
}
