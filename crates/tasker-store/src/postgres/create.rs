//! Creating tasks.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text, Uuid as SqlUuid};
use serde_json::json;
use tasker_engine::{Create, CreateReply, Created, Json, NewTask, StepEvent, StoreError};
use tasker_types::{Namespace, TaskId, Timestamp};
use uuid::Uuid;

use super::rows::{StepRow, task_id, uuid};
use super::statement::{Bind, Statement, execute};
use super::unit::{Trouble, Unit};
use crate::work::{Note, StepKey, Taken, identity, key};

/// How many tasks one request may create: a position has room for half a million entries of one transaction.
const TASKS: usize = 100_000;

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
    bypassed: Vec<StepKey>,
    actor: i64,
    check_in: Duration,
}

impl Unit<'_> {
    /// Creates tasks with their steps and their first history, queues what is ready, and hands first steps out.
    pub(super) async fn create(&mut self, request: Create) -> Result<CreateReply, Trouble> {
        let mut reply = CreateReply::default();
        let actor = self.cache.known(&request.actor)?;
        let tasks: Vec<&NewTask> = request.tasks.iter().collect();
        let mut creation = self.begin_creation(&tasks, actor, request.check_in).await?;
        let known = !creation.taken.ids.is_empty();
        for task in request.tasks {
            reply.tasks.push(self.create_task(&mut creation, task)?);
        }
        self.end_creation(&creation).await?;
        reply.finished = self.finalize_touched().await?;
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

    /// Looks up which names of new tasks are taken, and reserves their keys.
    pub(super) async fn begin_creation(
        &mut self,
        tasks: &[&NewTask],
        actor: i64,
        check_in: Duration,
    ) -> Result<Creation, Trouble> {
        if tasks.len() > TASKS {
            return Err(StoreError::Rejected {
                what: "the number of tasks in one request",
                value: tasks.len().to_string(),
                must: "at most 100000",
            }
            .into());
        }
        Ok(Creation {
            taken: self.taken(tasks).await?,
            spare: self.next_keys(tasks.len()).await?.into_iter(),
            keys: Vec::new(),
            bypassed: Vec::new(),
            actor,
            check_in,
        })
    }

    /// Creates a task unless its names are taken. Its steps come with the end of the creation.
    pub(super) fn create_task(&mut self, creation: &mut Creation, task: NewTask) -> Result<Created, Trouble> {
        if let Some(refused) = creation.taken.judge(&task) {
            return Ok(refused);
        }
        let graph = self.cache.prepared(&task.template)?;
        let id = task.id;
        if let Some(key) = creation.spare.next() {
            creation
                .bypassed
                .extend(task.bypass.iter().map(|step| (key, step.0)));
            creation.keys.push(key);
            self.work
                .create(key, task, graph, creation.actor, creation.check_in);
        }
        Ok(Created::New(id))
    }

    /// Writes the steps of all new tasks, and resolves those that are bypassed.
    pub(super) async fn end_creation(&mut self, creation: &Creation) -> Result<(), Trouble> {
        self.write_steps(&creation.keys).await?;
        self.bypass(&creation.bypassed, creation.actor).await?;
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

    async fn next_keys(&mut self, count: usize) -> QueryResult<Vec<i64>> {
        const SQL: &str = "SELECT nextval('tasks_key_seq') FROM generate_series(1, $1)";
        if count == 0 {
            return Ok(Vec::new());
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = Statement::<(BigInt,)>::new(SQL, vec![Bind::Int(count)])
            .load::<(i64,)>(self.connection)
            .await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    async fn taken(&mut self, tasks: &[&NewTask]) -> QueryResult<Taken> {
        const IDS: &str = "SELECT t.id, t.identity FROM tasks AS t WHERE t.id = ANY($1)";
        const IDENTITIES: &str = "SELECT t.id, t.identity FROM tasks AS t WHERE t.identity = ANY($1)";
        const KEYS: &str = "SELECT t.id, t.request_digest, t.namespace, t.idempotency_key \
             FROM unnest($1, $2) AS k (namespace, key) \
             JOIN tasks AS t ON t.namespace = k.namespace AND t.idempotency_key = k.key";
        type Named = (Uuid, Option<String>);
        let mut taken = Taken::default();
        // What this transaction creates is not written yet.
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
        let own: BTreeSet<TaskId> = tasks.iter().map(|task| task.id).collect();
        // An identity may also be the id of a task, whose identity the table leaves out.
        let named = tasks
            .iter()
            .filter_map(|task| identity(task))
            .filter_map(|identity| identity.parse::<TaskId>().ok());
        let ids = own.iter().copied().chain(named).map(uuid).collect();
        let rows = Statement::<(SqlUuid, Nullable<Text>)>::new(IDS, vec![Bind::Ids(ids)])
            .load::<Named>(self.connection)
            .await?;
        for (id, _) in rows {
            let id = task_id(id);
            if own.contains(&id) {
                taken.ids.insert(id);
            }
            taken.identities.insert(id.to_string(), id);
        }
        let identities: Vec<&str> = tasks.iter().map(|task| &*task.identity).collect();
        if !identities.is_empty() {
            let rows = Statement::<(SqlUuid, Nullable<Text>)>::new(IDENTITIES, vec![Bind::Texts(identities)])
                .load::<Named>(self.connection)
                .await?;
            taken.identities.extend(
                rows.into_iter()
                    .filter_map(|(id, identity)| Some((identity?, task_id(id)))),
            );
        }
        let keys: Vec<(Namespace, String)> = tasks.iter().filter_map(|task| key(task)).collect();
        if !keys.is_empty() {
            let binds = vec![
                Bind::Texts(keys.iter().map(|(namespace, _)| namespace.as_str()).collect()),
                Bind::Texts(keys.iter().map(|(_, key)| key.as_str()).collect()),
            ];
            let rows = Statement::<(SqlUuid, Nullable<Text>, Text, Text)>::new(KEYS, binds)
                .load::<(Uuid, Option<String>, String, String)>(self.connection)
                .await?;
            for (id, digest, namespace, key) in rows {
                if let Ok(namespace) = namespace.parse() {
                    taken
                        .keys
                        .insert((namespace, key), (task_id(id), digest.unwrap_or_default()));
                }
            }
        }
        Ok(taken)
    }

    /// Writes the steps of all new tasks, and takes up those that wait for nothing.
    async fn write_steps(&mut self, created: &[i64]) -> QueryResult<()> {
        const SQL: &str = "INSERT INTO steps (task, step, state, attempts, run, retry_limit, retryable, permanent, \
                unmet_parents, queue, next_retry_at) \
             SELECT k.task, g.step, 'pending', 0, 0, g.retry_limit, g.retryable, false, g.parents, g.queue, \
                CASE WHEN g.parents = 0 THEN k.start_at END \
             FROM unnest($1, $2, $3) AS k (task, graph, start_at) JOIN graph_steps AS g ON g.graph = k.graph \
             ORDER BY k.task, g.step";
        if created.is_empty() {
            return Ok(());
        }
        let (mut keys, mut graphs, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        let mut roots = Vec::new();
        for key in created {
            let new = &self.work.created[key];
            let start_at = new.start_at.filter(|start| *start > self.work.now);
            let graph = &self.work.tasks[key].now.graph;
            keys.push(*key);
            graphs.push(graph.id);
            starts.push(start_at.map(Timestamp::as_micros));
            for (number, step) in graph.template.steps().iter().enumerate() {
                if step.depends_on().is_empty() {
                    let row = StepRow::new(step, start_at);
                    roots.push(((*key, u32::try_from(number).unwrap_or(u32::MAX)), row));
                }
            }
        }
        let binds = vec![Bind::Ints(keys), Bind::Ints(graphs), Bind::MaybeInts(starts)];
        execute(self.connection, SQL, binds).await?;
        for (key, row) in roots {
            self.work.add_step(key, row);
        }
        Ok(())
    }

    async fn bypass(&mut self, steps: &[StepKey], actor: i64) -> Result<(), Trouble> {
        self.load_steps(steps.iter().copied()).await?;
        self.load_steps(self.work.children(steps)).await?;
        for step in steps {
            let metadata = Some(Json::from(&json!({ "bypassed": true })));
            let note = Note {
                metadata,
                ..Note::default()
            };
            // A fresh step is pending, and a pending step can be resolved.
            if self.work.apply(*step, StepEvent::Resolve, actor, note).is_ok() {
                let children = self.work.children(&[*step]);
                self.work.tell(&children);
            }
        }
        Ok(())
    }
}
