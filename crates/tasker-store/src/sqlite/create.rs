//! Creating tasks.

use std::time::Duration;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use serde_json::json;
use tasker_engine::{Create, CreateReply, Created, Json, NewTask, StepEvent};
use tasker_types::{Namespace, TaskId};

use super::flush::hex;
use super::rows::{StepRow, json as list_of, task_id};
use super::statement::{Bind, Statement};
use super::unit::{Trouble, Unit};
use crate::work::{Note, StepKey, Taken, Tracked, identity, key};

/// Tasks that are being created in one unit of work.
#[derive(Debug)]
pub(super) struct Creation {
    taken: Taken,
    bypassed: Vec<StepKey>,
    actor: i64,
    check_in: Duration,
}

impl Unit<'_> {
    /// Creates tasks with their steps and their first history, queues what is ready, and hands first steps out.
    pub(super) fn create(&mut self, request: Create) -> Result<CreateReply, Trouble> {
        let mut reply = CreateReply::default();
        let actor = self.actor(&request.actor)?;
        let tasks: Vec<&NewTask> = request.tasks.iter().collect();
        let mut creation = self.begin_creation(&tasks, actor, request.check_in)?;
        let known = !creation.taken.ids.is_empty();
        for task in request.tasks {
            reply.tasks.push(self.create_task(&mut creation, task)?);
        }
        self.end_creation(&creation)?;
        reply.finished = self.finalize_touched()?;
        if let Some(want) = &request.want {
            if known {
                reply.claims = self.claims_under(request.worker, want)?;
            }
            if reply.claims.is_empty()
                && let Some(reach) = self.reach(want)?
            {
                reply.claims = self.claim(request.worker, want, &reach)?;
            }
        }
        self.flush()?;
        Ok(reply)
    }

    /// Looks up which names of new tasks are taken.
    pub(super) fn begin_creation(
        &mut self,
        tasks: &[&NewTask],
        actor: i64,
        check_in: Duration,
    ) -> QueryResult<Creation> {
        Ok(Creation {
            taken: self.taken(tasks)?,
            bypassed: Vec::new(),
            actor,
            check_in,
        })
    }

    /// Creates a task unless its names are taken. Its steps come with the end of the creation.
    pub(super) fn create_task(&mut self, creation: &mut Creation, task: NewTask) -> QueryResult<Created> {
        if let Some(refused) = creation.taken.judge(&task) {
            return Ok(refused);
        }
        let next = self.cache.next_task(self.connection)?;
        let (id, key) = (task.id, std::mem::replace(next, *next + 1));
        creation
            .bypassed
            .extend(task.bypass.iter().map(|step| (key, step.0)));
        let graph = self.cache.graph_of(self.connection, &task.template)?;
        self.work
            .create(key, task, graph, creation.actor, creation.check_in);
        Ok(Created::New(id))
    }

    /// Writes the steps of all new tasks, and resolves those that are bypassed.
    pub(super) fn end_creation(&mut self, creation: &Creation) -> QueryResult<()> {
        self.write_steps()?;
        self.bypass(&creation.bypassed, creation.actor)
    }

    fn taken(&mut self, tasks: &[&NewTask]) -> QueryResult<Taken> {
        const IDS: &str =
            "SELECT t.id FROM json_each(?1) AS k CROSS JOIN tasks AS t ON t.id = unhex(k.value)";
        const IDENTITIES: &str = "SELECT t.id, t.identity FROM json_each(?1) AS k \
             CROSS JOIN tasks AS t ON t.identity = k.value";
        const KEYS: &str = "SELECT t.id, t.request_digest, k.key FROM jsonb_each(?1) AS k \
             CROSS JOIN tasks AS t ON t.namespace = k.value->>0 AND t.idempotency_key = k.value->>1";
        let mut taken = Taken::default();
        let ids = list_of(&tasks.iter().map(|task| hex(task.id)).collect::<Vec<_>>());
        let rows =
            Statement::<(Binary,)>::new(IDS, &[Bind::Text(&ids)]).load::<(Vec<u8>,)>(self.connection)?;
        taken.ids.extend(rows.iter().map(|row| task_id(&row.0)));
        let identities = list_of(&tasks.iter().map(|task| &task.identity).collect::<Vec<_>>());
        let rows =
            Statement::<(Binary, Text)>::new(IDENTITIES, &[Bind::Text(&identities)])
                .load::<(Vec<u8>, String)>(self.connection)?;
        taken
            .identities
            .extend(rows.into_iter().map(|(id, identity)| (identity, task_id(&id))));
        // An identity may also be the id of a task, whose identity the table leaves out.
        let named: Vec<TaskId> = tasks
            .iter()
            .filter_map(|task| identity(task))
            .filter_map(|identity| identity.parse().ok())
            .collect();
        for other in named {
            if super::rows::key_of(self.connection, other)?.is_some() {
                taken.identities.insert(other.to_string(), other);
            }
        }
        let keys: Vec<(Namespace, String)> = tasks.iter().filter_map(|task| key(task)).collect();
        if !keys.is_empty() {
            let list = list_of(&keys);
            let rows = Statement::<(Binary, Nullable<Text>, BigInt)>::new(KEYS, &[Bind::Text(&list)])
                .load::<(Vec<u8>, Option<String>, i64)>(self.connection)?;
            for (id, digest, index) in rows {
                if let Some(key) = usize::try_from(index).ok().and_then(|index| keys.get(index)) {
                    taken
                        .keys
                        .insert(key.clone(), (task_id(&id), digest.unwrap_or_default()));
                }
            }
        }
        Ok(taken)
    }

    /// Writes the steps of all new tasks, and takes up those that wait for nothing.
    fn write_steps(&mut self) -> QueryResult<()> {
        const SQL: &str = "INSERT INTO steps (key, state, attempts, run, retry_limit, retryable, permanent, \
                unmet_parents, queue, next_retry_at) \
             SELECT (k.value->>0) << 24 | g.step, 'pending', 0, 0, g.retry_limit, g.retryable, 0, g.parents, g.queue, \
                CASE WHEN g.parents = 0 THEN k.value->>2 END \
             FROM jsonb_each(?1) AS k CROSS JOIN graph_steps AS g ON g.graph = k.value->>1";
        if self.work.created.is_empty() {
            return Ok(());
        }
        let mut tasks = Vec::new();
        for (key, new) in &self.work.created {
            let start_at = new.start_at.filter(|start| *start > self.work.now);
            let graph = &self.work.tasks[key].now.graph;
            tasks.push((key, graph.id, start_at.map(tasker_types::Timestamp::as_micros)));
            for (number, step) in graph.template.steps().iter().enumerate() {
                if step.depends_on().is_empty() {
                    let place = (*key, u32::try_from(number).unwrap_or(u32::MAX));
                    self.work
                        .steps
                        .insert(place, Tracked::read(StepRow::new(step, start_at)));
                }
            }
        }
        let tasks = list_of(&tasks);
        Statement::<()>::new(SQL, &[Bind::Text(&tasks)]).execute(self.connection)?;
        Ok(())
    }

    fn bypass(&mut self, steps: &[StepKey], actor: i64) -> QueryResult<()> {
        self.load_steps(steps.iter().copied())?;
        for step in steps {
            let metadata = Some(Json::from(&json!({ "bypassed": true })));
            // A fresh step is pending, and a pending step can be resolved.
            let note = Note {
                metadata,
                ..Note::default()
            };
            if self.work.apply(*step, StepEvent::Resolve, actor, note).is_ok() {
                self.tell_children(&[*step])?;
            }
        }
        Ok(())
    }
}
