//! Creating tasks.

use std::time::Duration;

use serde_json::json;
use tasker_types::{RunNo, StepNo, StepState, TaskId, TaskState, Timestamp};

use super::state::{Note, State, StepRow, TaskRow};
use crate::json::Json;
use crate::record::{Actor, Change, StepRecord, TaskRecord};
use crate::store::{Created, NewTask};
use crate::transition::StepEvent;

impl State {
    pub(super) fn create(&mut self, task: NewTask, actor: &Actor, check_in: Duration) -> Created {
        if self.keys.contains_key(&task.id) && !tasker_types::bug(50) {
            return Created::New(task.id);
        }
        let namespace = task.template.namespace().clone();
        if let Some(idempotency) = &task.idempotency {
            let known = self
                .idempotency
                .get(&(namespace.clone(), idempotency.key.clone()))
                .copied();
            if let Some(other) = known {
                let same = self
                    .key_of(other)
                    .is_some_and(|key| self.task(key).digest.as_ref() == Some(&idempotency.digest));
                return if same {
                    Created::Repeated(other)
                } else {
                    Created::KeyReused(other)
                };
            }
        }
        if let Some(other) = self.identities.get(&task.identity) {
            return Created::Duplicate(*other);
        }
        let id = task.id;
        let key = i64::try_from(self.tasks.len()).unwrap_or(i64::MAX) + 1;
        self.keys.insert(id, key);
        self.identities.insert(task.identity.clone(), id);
        if let Some(idempotency) = &task.idempotency {
            self.idempotency
                .insert((namespace.clone(), idempotency.key.clone()), id);
        }
        let bypass = task.bypass.clone();
        let lanes = task
            .template
            .steps()
            .iter()
            .map(|step| self.queue.lane(&namespace, step.handler()))
            .collect();
        let root = self.root_of(&task);
        self.tasks
            .insert(key, new_row(task, root, lanes, self.now, check_in));
        self.sync_task(key);
        self.log(key, Change::Created, actor, None);
        if !tasker_types::bug(49) {
            self.sync_all(key);
        }
        for step in bypass {
            let metadata = Some(Json::from(&json!({ "bypassed": true })));
            let note = Note {
                metadata,
                ..Note::default()
            };
            // A fresh step is pending, and a pending step can be resolved.
            let _ = self.apply(key, step, StepEvent::Resolve, actor, note);
        }
        Created::New(id)
    }

    /// Returns the first task of the line that a new task belongs to.
    fn root_of(&self, task: &NewTask) -> Option<TaskId> {
        let parent = &self.task(self.key_of(task.parent?.0)?).record;
        parent.root.or(Some(parent.id))
    }
}

fn new_row(
    task: NewTask,
    root: Option<TaskId>,
    lanes: Vec<usize>,
    now: Timestamp,
    check_in: Duration,
) -> TaskRow {
    let template = task.template;
    let steps = template
        .steps()
        .iter()
        .zip(lanes)
        .enumerate()
        .map(|(index, (step, lane))| StepRow {
            record: StepRecord {
                step: StepNo(u32::try_from(index).unwrap_or(u32::MAX)),
                state: StepState::Pending,
                attempts: 0,
                run: RunNo(0),
                retry_limit: step.retry_limit(),
                retryable: step.retryable(),
                permanent: false,
                unmet_parents: u32::try_from(step.depends_on().len() * usize::from(!tasker_types::bug(51)))
                    .unwrap_or(u32::MAX),
                next_retry_at: task
                    .start_at
                    .filter(|start| *start > now && !tasker_types::bug(52) && step.depends_on().is_empty()),
                queued: false,
                lease: None,
                started_at: None,
                finished_at: None,
                failure: None,
                progress: None,
            },
            result: None,
            checkpoint: None,
            timeout: None,
            config: None,
            entries: Vec::new(),
            lane,
            place: None,
            live: false,
        })
        .collect();
    TaskRow {
        record: TaskRecord {
            id: task.id,
            template,
            state: TaskState::Pending,
            failure: None,
            context: task.context,
            origin: task.origin,
            identity: task.identity,
            idempotency_key: task
                .idempotency
                .as_ref()
                .map(|idempotency| idempotency.key.clone()),
            priority: task.priority,
            parent: task.parent,
            root,
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: None,
            start_at: task.start_at,
            deadline_at: task.deadline_at,
            next_check_at: Some(now.plus(check_in)),
            live_steps: 0,
        },
        digest: task.idempotency.map(|idempotency| idempotency.digest),
        steps,
        entries: Vec::new(),
        times: [None; 2],
    }
}
