//! What the one who writes keeps in memory: what never changes once it is written (templates, queues, actors), and what
//! is so as long as nobody else writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text};
use sha2::{Digest, Sha256};
use tasker_engine::{Actor, Template, canonical_json};
use tasker_types::Timestamp;

use super::connection::Connection;
use super::kept::Kept;
use super::rows::json;
use super::statement::{Bind, Statement};
use crate::work::{Graph, Queue};

/// How many templates are kept in memory.
const GRAPHS: usize = 1_000;

/// What was read or written before. It is forgotten when a transaction is undone.
#[derive(Debug, Default)]
pub(super) struct Cache {
    graphs: BTreeMap<i64, Arc<Graph>>,
    /// Templates of recent creations, so that equal ones are not written out to be compared.
    recent: Vec<Arc<Graph>>,
    queues: BTreeMap<i64, Queue>,
    queue_keys: BTreeMap<(String, String), i64>,
    actors: BTreeMap<Actor, i64>,
    /// What SQLite said last of changes by others.
    version: Option<i64>,
    pub(super) kept: Kept,
    pub(super) line: Line,
    /// Whether `queues` has every queue.
    all_queues: bool,
    next_task: Option<i64>,
    next_lease: Option<i64>,
    last_position: Option<i64>,
}

/// What is known of the queue's table.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The latest time at which it was looked at. A clock that goes back makes nothing known.
    latest: Timestamp,
    /// Queues in which nothing stands that is not parked.
    pub(super) empty: BTreeSet<i64>,
    /// When the first step is due that waits for its time, or earlier; `None` while that is not known.
    pub(super) ahead: Option<Ahead>,
    /// The namespaces that had a part in the last hand-out, as JSON.
    pub(super) served: String,
}

/// When the first step is due that waits for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// None waits.
    Nothing,
    /// Not before this.
    From(Timestamp),
}

impl Line {
    /// Begins to look at the table.
    pub(super) fn at(&mut self, now: Timestamp) -> &mut Self {
        if now < self.latest {
            *self = Self::default();
        }
        self.latest = now;
        self
    }

    /// Notes a step that was put into the table.
    pub(super) fn added(&mut self, queue: i64, due: Option<Timestamp>) {
        match due {
            None => {
                self.empty.remove(&queue);
            }
            Some(due) => {
                self.ahead = match self.ahead {
                    None => None,
                    Some(Ahead::From(first)) if first <= due => Some(Ahead::From(first)),
                    Some(_) => Some(Ahead::From(due)),
                };
            }
        }
    }
}

impl Cache {
    /// Forgets what may have changed if somebody else has written to the file; to be asked within the transaction.
    pub(super) fn meet(&mut self, connection: &mut Connection) -> QueryResult<()> {
        const SQL: &str = "PRAGMA data_version";
        let row: (i64,) = Statement::<(BigInt,)>::new(SQL, &[]).get_result(connection)?;
        if self.version.replace(row.0) != Some(row.0) && !tasker_types::bug(68) {
            self.kept.clear();
            self.line = Line::default();
            self.all_queues = false;
            self.next_task = None;
            self.next_lease = None;
            self.last_position = None;
        }
        self.kept.trim();
        Ok(())
    }

    /// Returns the key for the next new task, for the caller to count on.
    pub(super) fn next_task(&mut self, connection: &mut Connection) -> QueryResult<&mut i64> {
        const SQL: &str = "SELECT coalesce(max(key), 0) + 1 FROM tasks";
        let next = match self.next_task {
            Some(next) => next,
            None => {
                Statement::<(BigInt,)>::new(SQL, &[])
                    .get_result::<(i64,)>(connection)?
                    .0
            }
        };
        Ok(self.next_task.insert(next))
    }

    /// Takes so many positions in the history, and returns the last. None is ever taken twice, not even those of entries
    /// that are gone.
    pub(super) fn take_positions(&mut self, connection: &mut Connection, count: i64) -> QueryResult<i64> {
        const SQL: &str = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'history'";
        let last = match self.last_position {
            Some(last) => last,
            None => {
                Statement::<(BigInt,)>::new(SQL, &[])
                    .get_result::<(i64,)>(connection)?
                    .0
            }
        };
        Ok(*self.last_position.insert(last + count))
    }

    /// Returns the key for a new lease.
    pub(super) fn next_lease(&mut self, connection: &mut Connection) -> QueryResult<i64> {
        const SQL: &str = "SELECT coalesce(max(id), 0) + 1 FROM leases";
        let next = match self.next_lease {
            Some(next) => next,
            None => {
                Statement::<(BigInt,)>::new(SQL, &[])
                    .get_result::<(i64,)>(connection)?
                    .0
            }
        };
        self.next_lease = Some(next + 1);
        Ok(next)
    }

    /// Returns the key of an actor, who is added if there was none of that name.
    pub(super) fn actor(&mut self, connection: &mut Connection, actor: &Actor) -> QueryResult<i64> {
        const INSERT: &str = "INSERT INTO actors (name) VALUES (?1) ON CONFLICT (name) DO NOTHING";
        const SELECT: &str = "SELECT id FROM actors WHERE name = ?1";
        if let Some(id) = self.actors.get(actor) {
            return Ok(*id);
        }
        let name = actor.to_string();
        Statement::<()>::new(INSERT, &[Bind::Text(&name)]).execute(connection)?;
        let row: (i64,) = Statement::<(BigInt,)>::new(SELECT, &[Bind::Text(&name)]).get_result(connection)?;
        self.actors.insert(actor.clone(), row.0);
        Ok(row.0)
    }

    /// Returns a template as tasks keep it.
    pub(super) fn graph(&mut self, connection: &mut Connection, id: i64) -> QueryResult<Arc<Graph>> {
        if let Some(graph) = self.graphs.get(&id) {
            return Ok(Arc::clone(graph));
        }
        let graph = Arc::new(read_graph(connection, id)?);
        self.keep(&graph);
        Ok(graph)
    }

    fn keep(&mut self, graph: &Arc<Graph>) {
        if self.graphs.len() >= GRAPHS {
            self.graphs.clear();
        }
        self.graphs.insert(graph.id, Arc::clone(graph));
    }

    /// Returns a template as tasks keep it, written if there was none like it.
    pub(super) fn graph_of(
        &mut self,
        connection: &mut Connection,
        template: &Arc<Template>,
    ) -> QueryResult<Arc<Graph>> {
        const FIND: &str = "SELECT id FROM graphs WHERE digest = ?1";
        if let Some(graph) = self
            .recent
            .iter()
            .find(|graph| Arc::ptr_eq(&graph.template, template))
        {
            return Ok(Arc::clone(graph));
        }
        let body = canonical_json(&template.to_value());
        let digest = hex(&Sha256::digest(body.as_bytes()));
        let known = Statement::<(BigInt,)>::new(FIND, &[Bind::Text(&digest)]).load::<(i64,)>(connection)?;
        let id = match known.first() {
            Some(row) => row.0,
            None => self.write_graph(connection, template, &body, &digest)?,
        };
        let queues = queues_of(connection, id)?;
        let graph = Arc::new(Graph {
            id,
            template: Arc::clone(template),
            queues,
        });
        self.keep(&graph);
        if self.recent.len() >= 16 {
            self.recent.remove(0);
        }
        self.recent.push(Arc::clone(&graph));
        Ok(graph)
    }

    fn write_graph(
        &mut self,
        connection: &mut Connection,
        template: &Template,
        body: &str,
        digest: &str,
    ) -> QueryResult<i64> {
        const GRAPH: &str = "INSERT INTO graphs (namespace, name, version, digest, body) \
             VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id";
        const STEPS: &str = "INSERT INTO graph_steps (graph, step, name, queue, parents, retryable, retry_limit) \
             SELECT ?1, k.key, k.value->>0, k.value->>1, k.value->>2, k.value->>3, k.value->>4 \
             FROM jsonb_each(?2) AS k";
        const EDGES: &str = "INSERT INTO graph_edges (graph, from_step, to_step) \
             SELECT ?1, k.value->>0, k.value->>1 FROM jsonb_each(?2) AS k";
        let namespace = template.namespace().to_string();
        let (name, version) = (template.name().to_string(), template.version().to_string());
        let binds = [
            Bind::Text(&namespace),
            Bind::Text(&name),
            Bind::Text(&version),
            Bind::Text(digest),
            Bind::Text(body),
        ];
        let row: (i64,) = Statement::<(BigInt,)>::new(GRAPH, &binds).get_result(connection)?;
        let mut steps = Vec::with_capacity(template.steps().len());
        let mut edges = Vec::new();
        for (number, step) in template.steps().iter().enumerate() {
            let queue = self.queue(connection, &namespace, &step.handler().to_string())?;
            let parents = step.depends_on();
            let retryable = u8::from(step.retryable());
            steps.push((step.name(), queue, parents.len(), retryable, step.retry_limit()));
            edges.extend(parents.iter().map(|parent| (parent.0, number)));
        }
        Statement::<()>::new(STEPS, &[Bind::Int(row.0), Bind::Text(&json(&steps))]).execute(connection)?;
        Statement::<()>::new(EDGES, &[Bind::Int(row.0), Bind::Text(&json(&edges))]).execute(connection)?;
        Ok(row.0)
    }

    fn queue(&mut self, connection: &mut Connection, namespace: &str, handler: &str) -> QueryResult<i64> {
        const INSERT: &str = "INSERT INTO queues (namespace, handler) VALUES (?1, ?2) ON CONFLICT (namespace, handler) DO NOTHING";
        const SELECT: &str = "SELECT id FROM queues WHERE namespace = ?1 AND handler = ?2";
        let name = (namespace.to_owned(), handler.to_owned());
        if let Some(id) = self.queue_keys.get(&name) {
            return Ok(*id);
        }
        let binds = [Bind::Text(namespace), Bind::Text(handler)];
        Statement::<()>::new(INSERT, &binds).execute(connection)?;
        let row: (i64,) = Statement::<(BigInt,)>::new(SELECT, &binds).get_result(connection)?;
        self.queue_keys.insert(name, row.0);
        self.all_queues = false;
        Ok(row.0)
    }

    /// Returns every queue, those among them that other processes added.
    pub(super) fn queues(&mut self, connection: &mut Connection) -> QueryResult<&BTreeMap<i64, Queue>> {
        const SQL: &str = "SELECT id, namespace, handler FROM queues WHERE id > ?1";
        if self.all_queues {
            return Ok(&self.queues);
        }
        let last = self.queues.last_key_value().map_or(0, |(id, _)| *id);
        let rows = Statement::<(BigInt, Text, Text)>::new(SQL, &[Bind::Int(last)])
            .load::<(i64, String, String)>(connection)?;
        for (id, namespace, handler) in rows {
            if let (Ok(namespace), Ok(handler)) = (namespace.parse(), handler.parse()) {
                self.queues.insert(id, Queue { namespace, handler });
            }
        }
        self.all_queues = true;
        Ok(&self.queues)
    }
}

/// Reads a template back.
pub(super) fn read_graph(connection: &mut Connection, id: i64) -> QueryResult<Graph> {
    const SQL: &str = "SELECT body FROM graphs WHERE id = ?1";
    let row: (String,) = Statement::<(Text,)>::new(SQL, &[Bind::Int(id)]).get_result(connection)?;
    let template = serde_json::from_str::<Template>(&row.0)
        .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))?;
    Ok(Graph {
        id,
        template: Arc::new(template),
        queues: queues_of(connection, id)?,
    })
}

fn queues_of(connection: &mut Connection, id: i64) -> QueryResult<Vec<i64>> {
    const SQL: &str = "SELECT queue FROM graph_steps WHERE graph = ?1 ORDER BY step";
    let rows = Statement::<(BigInt,)>::new(SQL, &[Bind::Int(id)]).load::<(i64,)>(connection)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
