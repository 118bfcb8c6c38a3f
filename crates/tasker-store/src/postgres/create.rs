//! Creating tasks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text, Uuid as SqlUuid};
use futures_util::future::{try_join, try_join3};
use serde_json::json;
use tasker_engine::{Create, CreateReply, Created, Json, NewTask, StepEvent, StoreError};
use tasker_types::{Namespace, TaskId};
use uuid::Uuid;

use super::connection::Connection;
use super::flush::created_steps;
use super::rows::{StepRow, task_id, uuid};
use super::statement::{Bind, Statement, execute};
use super::unit::{Trouble, Unit};
use crate::work::{Note, StepKey, Taken, identity, key};

/// How many tasks one request may create: a position has room for half a million entries of one transaction.
pub(super) const TASKS: usize = 100_000;

/// How many entries of the history one transaction has room for: a place within it has 19 bits.
pub(super) const ENTRIES: usize = (1 << 19) - 1;

/// Tasks that are being created.
#[derive(Debug)]
pub(super) struct Creation {
    taken: Taken,
    /// Keys for tasks to come.
    spare: std::vec::IntoIter<i64>,
    /// Keys of tasks that were created.
    keys: Vec<i64>,
    /// Steps that are bypassed, and by whom.
    bypassed: Vec<(StepKey, i64)>,
}

/// What is known of the names of new tasks, and keys for them.
#[derive(Debug)]
pub(super) struct Room {
    taken: Taken,
    keys: Vec<i64>,
}

/// Looks up which names of new tasks are taken, and reserves their keys, in one trip.
pub(super) async fn room(connection: &Connection<'_>, tasks: &[&NewTask]) -> QueryResult<Room> {
    let (taken, keys) = try_join(taken(connection, tasks), next_keys(connection, tasks.len())).await?;
    Ok(Room { taken, keys })
}

impl Unit<'_> {
    /// Creates tasks with their steps and their first history, queues what is ready, and hands first steps out.
    pub(super) async fn create(&mut self, request: &Create) -> Result<CreateReply, Trouble> {
        let (mut replies, known) = self.create_all(std::slice::from_ref(request)).await?;
        let mut reply = replies.pop().unwrap_or_default();
        if let Some(want) = &request.want {
            if known {
                reply.claims = self.claims_under(request.worker, want).await?;
            }
            if reply.claims.is_empty()
                && let Some(reach) = self.reach(want).await?
            {
                reply.claims = self.claim(request.worker, want, &reach).await?;
            }
        }
        Ok(reply)
    }

    /// Creates the tasks of several requests, and tells whether some were there already under their ids. Nothing is handed
    /// out.
    pub(super) async fn create_all(
        &mut self,
        requests: &[Create],
    ) -> Result<(Vec<CreateReply>, bool), Trouble> {
        let tasks: Vec<&NewTask> = requests.iter().flat_map(|request| &request.tasks).collect();
        let mut creation = self.begin_creation(&tasks).await?;
        let known = !creation.taken.ids.is_empty();
        let mut replies = Vec::with_capacity(requests.len());
        for request in requests {
            let actor = self.cache.known(&request.actor)?;
            let mut reply = CreateReply::default();
            for task in request.tasks.clone() {
                let created = self.create_task(&mut creation, task, actor, request.check_in)?;
                reply.tasks.push(created);
            }
            replies.push(reply);
        }
        self.end_creation(&creation).await?;
        for ended in self.finalize_touched().await? {
            let made = Created::New(ended.0);
            if let Some(reply) = replies.iter_mut().find(|reply| reply.tasks.contains(&made)) {
                reply.finished.push(ended);
            }
        }
        Ok((replies, known))
    }

    /// Looks up which names of new tasks are taken, and reserves their keys, unless that was done ahead.
    pub(super) async fn begin_creation(&mut self, tasks: &[&NewTask]) -> Result<Creation, Trouble> {
        if tasks.len() > TASKS {
            return Err(StoreError::Rejected {
                what: "the number of tasks in one request",
                value: tasks.len().to_string(),
                must: "at most 100000",
            }
            .into());
        }
        let Room { mut taken, keys } = match self.room.take() {
            Some(room) => room,
            None => room(self.connection, tasks).await?,
        };
        self.add_own_names(&mut taken);
        Ok(Creation {
            taken,
            spare: keys.into_iter(),
            keys: Vec::new(),
            bypassed: Vec::new(),
        })
    }

    /// Creates a task unless its names are taken. Its steps come with the end of the creation.
    pub(super) fn create_task(
        &mut self,
        creation: &mut Creation,
        task: NewTask,
        actor: i64,
        check_in: Duration,
    ) -> Result<Created, Trouble> {
        if let Some(refused) = creation.taken.judge(&task) {
            return Ok(refused);
        }
        let graph = self.cache.prepared(&task.template)?;
        let id = task.id;
        if let Some(key) = creation.spare.next() {
            let bypassed = task.bypass.iter().map(|step| ((key, step.0), actor));
            creation.bypassed.extend(bypassed);
            creation.keys.push(key);
            self.work.create(key, task, graph, actor, check_in);
        }
        Ok(Created::New(id))
    }

    /// Takes up the steps of all new tasks, which are written with the rest, and resolves those that are bypassed.
    pub(super) async fn end_creation(&mut self, creation: &Creation) -> Result<(), Trouble> {
        self.take_up_steps(&creation.keys);
        if !creation.bypassed.is_empty() {
            self.write_steps().await?;
            self.bypass(&creation.bypassed).await?;
        }
        if self.work.entries.len() > ENTRIES {
            return Err(StoreError::Rejected {
                what: "the number of history entries of one request",
                value: self.work.entries.len().to_string(),
                must: "at most 524287; create fewer tasks at once",
            }
            .into());
        }
        Ok(())
    }

    /// Adds the names of tasks that this transaction creates, which are not written yet.
    fn add_own_names(&self, taken: &mut Taken) {
        for (key, new) in &self.work.created {
            let row = &self.work.tasks[key].now;
            let named = new.identity.clone().unwrap_or_else(|| row.id.to_string());
            taken.identities.insert(named, row.id);
            if let Some(own) = &new.idempotency {
                let namespace = row.graph.template.namespace().clone();
                taken
                    .keys
                    .insert((namespace, own.key.clone()), (row.id, own.digest.clone()));
            }
        }
    }

    /// Takes up those steps of new tasks that wait for nothing; the others are written without a look at them.
    fn take_up_steps(&mut self, created: &[i64]) {
        for key in created {
            let due = self.work.start_of(*key);
            let graph = Arc::clone(&self.work.tasks[key].now.graph);
            for (number, step) in graph.template.steps().iter().enumerate() {
                if step.depends_on().is_empty() {
                    let number = u32::try_from(number).unwrap_or(u32::MAX);
                    self.work.add_step((*key, number), StepRow::new(step, due));
                }
            }
        }
    }

    /// Writes the steps of new tasks before all else.
    async fn write_steps(&mut self) -> QueryResult<()> {
        if let Some((sql, binds)) = created_steps(&self.work, &self.steps_written) {
            execute(self.connection, sql, binds).await?;
        }
        self.steps_written.extend(self.work.created.keys());
        Ok(())
    }

    async fn bypass(&mut self, steps: &[(StepKey, i64)]) -> Result<(), Trouble> {
        let bypassed: Vec<StepKey> = steps.iter().map(|(step, _)| *step).collect();
        self.load_steps(bypassed.iter().copied()).await?;
        self.load_steps(self.work.children(&bypassed)).await?;
        for (step, actor) in steps {
            let metadata = Some(Json::from(&json!({ "bypassed": true })));
            let note = Note {
                metadata,
                ..Note::default()
            };
            // A fresh step is pending, and a pending step can be resolved.
            if self.work.apply(*step, StepEvent::Resolve, *actor, note).is_ok() {
                let children = self.work.children(&[*step]);
                self.work.tell(&children);
            }
        }
        Ok(())
    }
}

async fn next_keys(connection: &Connection<'_>, count: usize) -> QueryResult<Vec<i64>> {
    const SQL: &str = "SELECT nextval('tasks_key_seq') FROM generate_series(1, $1)";
    if count == 0 {
        return Ok(Vec::new());
    }
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let rows = Statement::<(BigInt,)>::new(SQL, vec![Bind::Int(count)])
        .load::<(i64,)>(connection)
        .await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

async fn taken(connection: &Connection<'_>, tasks: &[&NewTask]) -> QueryResult<Taken> {
    const IDS: &str = "SELECT t.id, t.identity FROM tasks AS t WHERE t.id = ANY($1)";
    const IDENTITIES: &str = "SELECT t.id, t.identity FROM tasks AS t WHERE t.identity = ANY($1)";
    const KEYS: &str = "SELECT t.id, t.request_digest, t.namespace, t.idempotency_key \
         FROM unnest($1, $2) AS k (namespace, key) \
         JOIN tasks AS t ON t.namespace = k.namespace AND t.idempotency_key = k.key";
    type Named = (Uuid, Option<String>);
    let mut taken = Taken::default();
    let own: BTreeSet<TaskId> = tasks.iter().map(|task| task.id).collect();
    // An identity may also be the id of a task, whose identity the table leaves out.
    let named = tasks
        .iter()
        .filter_map(|task| identity(task))
        .filter_map(|identity| identity.parse::<TaskId>().ok());
    let ids: Vec<Uuid> = own.iter().copied().chain(named).map(uuid).collect();
    let identities: Vec<&str> = tasks.iter().map(|task| &*task.identity).collect();
    let keys: Vec<(Namespace, String)> = tasks.iter().filter_map(|task| key(task)).collect();
    let ids = async {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        Statement::<(SqlUuid, Nullable<Text>)>::new(IDS, vec![Bind::Ids(ids)])
            .load::<Named>(connection)
            .await
    };
    let identities = async {
        if identities.is_empty() {
            return Ok(Vec::new());
        }
        Statement::<(SqlUuid, Nullable<Text>)>::new(IDENTITIES, vec![Bind::Texts(identities)])
            .load::<Named>(connection)
            .await
    };
    let reused = async {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let binds = vec![
            Bind::Texts(keys.iter().map(|(namespace, _)| namespace.as_str()).collect()),
            Bind::Texts(keys.iter().map(|(_, key)| key.as_str()).collect()),
        ];
        Statement::<(SqlUuid, Nullable<Text>, Text, Text)>::new(KEYS, binds)
            .load::<(Uuid, Option<String>, String, String)>(connection)
            .await
    };
    let (ids, identities, reused) = try_join3(ids, identities, reused).await?;
    for (id, _) in ids {
        let id = task_id(id);
        if own.contains(&id) {
            taken.ids.insert(id);
        }
        taken.identities.insert(id.to_string(), id);
    }
    let identities = identities
        .into_iter()
        .filter_map(|(id, identity)| Some((identity?, task_id(id))));
    taken.identities.extend(identities);
    for (id, digest, namespace, key) in reused {
        if let Ok(namespace) = namespace.parse() {
            let of = (task_id(id), digest.unwrap_or_default());
            taken.keys.insert((namespace, key), of);
        }
    }
    Ok(taken)
}
