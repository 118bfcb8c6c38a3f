//! What never changes once it is written, kept in memory by the one who writes: templates, queues, actors.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text};
use sha2::{Digest, Sha256};
use tasker_engine::{Actor, Json, StoreError, Template, canonical_json};
use tasker_types::Namespace;

use super::connection::Connection;
use super::rows::{Work, number};
use super::statement::{Bind, Statement, execute};
use super::unit::Trouble;
use crate::work::{Graph, Graphs, Kind, Place, Queue};

/// How many actors are kept in memory.
const ACTORS: usize = 1_000;

/// What was read or written before.
#[derive(Debug, Default)]
pub(super) struct Cache {
    graphs: Arc<Graphs>,
    /// Templates of recent creations, so that equal ones are not written out to be compared.
    recent: Vec<Arc<Graph>>,
    /// Templates of the transaction to come.
    prepared: Vec<Arc<Graph>>,
    queues: BTreeMap<i64, Queue>,
    actors: BTreeMap<Actor, i64>,
    /// Statements that the connection has prepared, of those that a transaction ends with.
    pub(super) written: BTreeSet<&'static str>,
    /// Namespaces that are known to have been served.
    pub(super) noted: BTreeSet<Namespace>,
}

impl Cache {
    /// Returns a cache that knows the templates that others read, and tells them of its own.
    pub(super) fn sharing(graphs: &Arc<Graphs>) -> Self {
        Self {
            graphs: Arc::clone(graphs),
            ..Self::default()
        }
    }

    /// Returns a cache that knows these actors, and these templates for the transaction to come.
    pub(super) fn of(actors: &[(Actor, i64)], graphs: &[Arc<Graph>]) -> Self {
        Self {
            prepared: graphs.to_vec(),
            actors: actors.iter().cloned().collect(),
            ..Self::default()
        }
    }

    /// Returns the key of an actor, who is added if there was none of that name, in a transaction of its own.
    pub(super) async fn actor(&mut self, connection: &Connection<'_>, actor: &Actor) -> QueryResult<i64> {
        const SELECT: &str = "SELECT id FROM actors WHERE name = $1";
        const INSERT: &str = "INSERT INTO actors (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
        if let Some(id) = self.actors.get(actor) {
            return Ok(*id);
        }
        let name = actor.to_string();
        loop {
            let rows = Statement::<(BigInt,)>::new(SELECT, vec![Bind::Text(&name)])
                .load::<(i64,)>(connection)
                .await?;
            if let Some((id,)) = rows.into_iter().next() {
                self.actors.insert(actor.clone(), id);
                return Ok(id);
            }
            execute(connection, INSERT, vec![Bind::Text(&name)]).await?;
        }
    }

    /// Returns the key of an actor that was looked up before the transaction began.
    pub(super) fn known(&self, actor: &Actor) -> Result<i64, Trouble> {
        let unknown = || StoreError::Rejected {
            what: "the actor",
            value: actor.to_string(),
            must: "looked up before it acts",
        };
        Ok(*self.actors.get(actor).ok_or_else(unknown)?)
    }

    /// Makes room for those who act next.
    pub(super) fn make_room(&mut self) {
        if self.actors.len() >= ACTORS {
            self.actors.clear();
        }
    }

    /// Returns a template as tasks keep it.
    pub(super) async fn graph(&mut self, connection: &Connection<'_>, id: i64) -> QueryResult<Arc<Graph>> {
        if let Some(graph) = self.graphs.get(id) {
            return Ok(graph);
        }
        let graph = Arc::new(read_graph(connection, id).await?);
        self.graphs.keep(&graph);
        Ok(graph)
    }

    /// Returns a template as tasks keep it, written in a transaction of its own if there was none like it.
    pub(super) async fn graph_of(
        &mut self,
        connection: &Connection<'_>,
        template: &Arc<Template>,
    ) -> QueryResult<Arc<Graph>> {
        if let Some(graph) = self
            .recent
            .iter()
            .find(|graph| Arc::ptr_eq(&graph.template, template))
        {
            return Ok(Arc::clone(graph));
        }
        let body = canonical_json(&template.to_value());
        let digest = hex(&Sha256::digest(body.as_bytes()));
        let id = match find_graph(connection, &digest).await? {
            Some(id) => id,
            None => write_graph(connection, template, &body, &digest).await?,
        };
        let graph = Arc::new(Graph {
            id,
            template: Arc::clone(template),
            queues: queues_of(connection, id).await?,
        });
        self.graphs.keep(&graph);
        if self.recent.len() >= 16 {
            self.recent.remove(0);
        }
        self.recent.push(Arc::clone(&graph));
        Ok(graph)
    }

    /// Looks up, or writes, the templates of a transaction to come.
    pub(super) async fn prepare(
        &mut self,
        connection: &Connection<'_>,
        templates: &[&Arc<Template>],
    ) -> QueryResult<()> {
        self.prepared.clear();
        for template in templates {
            if !self
                .prepared
                .iter()
                .any(|graph| Arc::ptr_eq(&graph.template, template))
            {
                let graph = self.graph_of(connection, template).await?;
                self.prepared.push(graph);
            }
        }
        Ok(())
    }

    /// Returns a template that was prepared, as tasks keep it.
    pub(super) fn prepared(&self, template: &Arc<Template>) -> Result<Arc<Graph>, Trouble> {
        let found = self
            .prepared
            .iter()
            .find(|graph| Arc::ptr_eq(&graph.template, template));
        let unknown = || StoreError::Rejected {
            what: "the template",
            value: template.name().to_string(),
            must: "written before its tasks",
        };
        Ok(Arc::clone(found.ok_or_else(unknown)?))
    }

    /// Returns the queues that are known.
    pub(super) fn queues(&self) -> &BTreeMap<i64, Queue> {
        &self.queues
    }

    /// Returns the key of the last queue that is known.
    pub(super) fn last_queue(&self) -> i64 {
        self.queues.last_key_value().map_or(0, |(id, _)| *id)
    }

    /// Learns of queues that others added.
    pub(super) fn learn(&mut self, rows: Vec<(i64, String, String)>) {
        for (id, namespace, handler) in rows {
            if let (Ok(namespace), Ok(handler)) = (namespace.parse(), handler.parse()) {
                self.queues.insert(id, Queue { namespace, handler });
            }
        }
    }
}

async fn find_graph(connection: &Connection<'_>, digest: &str) -> QueryResult<Option<i64>> {
    const FIND: &str = "SELECT id FROM graphs WHERE digest = $1";
    let rows = Statement::<(BigInt,)>::new(FIND, vec![Bind::Text(digest)])
        .load::<(i64,)>(connection)
        .await?;
    Ok(rows.into_iter().next().map(|row| row.0))
}

/// Writes a template. Those who write one take turns, so that queues are committed in the order of their keys.
async fn write_graph(
    connection: &Connection<'_>,
    template: &Template,
    body: &str,
    digest: &str,
) -> QueryResult<i64> {
    connection
        .batch_execute("BEGIN; LOCK TABLE graphs IN SHARE ROW EXCLUSIVE MODE")
        .await?;
    let id = match find_graph(connection, digest).await? {
        Some(id) => id,
        None => insert_graph(connection, template, body, digest).await?,
    };
    connection.batch_execute("COMMIT").await?;
    Ok(id)
}

async fn insert_graph(
    connection: &Connection<'_>,
    template: &Template,
    body: &str,
    digest: &str,
) -> QueryResult<i64> {
    const GRAPH: &str = "INSERT INTO graphs (namespace, name, version, digest, body) VALUES ($1, $2, $3, $4, $5) RETURNING id";
    const QUEUES: &str = "INSERT INTO queues (namespace, handler) \
         SELECT $1, h.handler FROM unnest($2) AS h (handler) \
         WHERE NOT EXISTS (SELECT FROM queues AS q WHERE q.namespace = $1 AND q.handler = h.handler)";
    const STEPS: &str = "INSERT INTO graph_steps (graph, step, name, queue, parents, retryable, retry_limit) \
         SELECT $1, k.ord - 1, k.name, q.id, k.parents, k.retryable, k.retry_limit \
         FROM unnest($3, $4, $5, $6, $7) WITH ORDINALITY AS k (name, handler, parents, retryable, retry_limit, ord) \
         JOIN queues AS q ON q.namespace = $2 AND q.handler = k.handler";
    const EDGES: &str = "INSERT INTO graph_edges (graph, from_step, to_step) \
         SELECT $1, k.from_step, k.to_step FROM unnest($2, $3) AS k (from_step, to_step)";
    let namespace = template.namespace().to_string();
    let (name, version) = (template.name().to_string(), template.version().to_string());
    let binds = vec![
        Bind::Text(&namespace),
        Bind::Text(&name),
        Bind::Text(&version),
        Bind::Text(digest),
        Bind::Text(body),
    ];
    let row: (i64,) = Statement::<(BigInt,)>::new(GRAPH, binds)
        .get_result(connection)
        .await?;
    let steps = template.steps();
    let handlers: Vec<String> = steps.iter().map(|step| step.handler().to_string()).collect();
    let mut distinct: Vec<&str> = handlers.iter().map(String::as_str).collect();
    distinct.sort_unstable();
    distinct.dedup();
    execute(
        connection,
        QUEUES,
        vec![Bind::Text(&namespace), Bind::Texts(distinct)],
    )
    .await?;
    let count = |parents: usize| i32::try_from(parents).unwrap_or(i32::MAX);
    let names: Vec<String> = steps.iter().map(|step| step.name().to_string()).collect();
    let binds = vec![
        Bind::Int(row.0),
        Bind::Text(&namespace),
        Bind::Texts(names.iter().map(String::as_str).collect()),
        Bind::Texts(handlers.iter().map(String::as_str).collect()),
        Bind::Smalls(steps.iter().map(|step| count(step.depends_on().len())).collect()),
        Bind::Bools(steps.iter().map(tasker_engine::StepTemplate::retryable).collect()),
        Bind::Ints(steps.iter().map(|step| i64::from(step.retry_limit())).collect()),
    ];
    execute(connection, STEPS, binds).await?;
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for (step, of) in steps.iter().enumerate() {
        for parent in of.depends_on() {
            from.push(number(parent.0));
            to.push(count(step));
        }
    }
    execute(
        connection,
        EDGES,
        vec![Bind::Int(row.0), Bind::Smalls(from), Bind::Smalls(to)],
    )
    .await?;
    Ok(row.0)
}

/// Reads a template back.
pub(super) async fn read_graph(connection: &Connection<'_>, id: i64) -> QueryResult<Graph> {
    const SQL: &str = "SELECT body FROM graphs WHERE id = $1";
    let row: (String,) = Statement::<(Text,)>::new(SQL, vec![Bind::Int(id)])
        .get_result(connection)
        .await?;
    let template = serde_json::from_str::<Template>(&row.0)
        .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))?;
    Ok(Graph {
        id,
        template: Arc::new(template),
        queues: queues_of(connection, id).await?,
    })
}

async fn queues_of(connection: &Connection<'_>, id: i64) -> QueryResult<Vec<i64>> {
    const SQL: &str = "SELECT queue FROM graph_steps WHERE graph = $1 ORDER BY step";
    let rows = Statement::<(BigInt,)>::new(SQL, vec![Bind::Int(id)])
        .load::<(i64,)>(connection)
        .await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How many bytes of that are kept in memory.
const CONTEXTS: usize = 16 << 20;

/// What never changes of tasks whose steps were handed out, shared by those who write.
#[derive(Debug, Default)]
pub(super) struct Contexts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    bytes: usize,
    contexts: BTreeMap<i64, Json>,
    graphs: BTreeMap<i64, Arc<Graph>>,
}

impl Known {
    /// Makes room when there is too much.
    fn add(&mut self, bytes: usize) {
        if self.bytes > CONTEXTS {
            *self = Self::default();
        }
        self.bytes += bytes;
    }
}

impl Contexts {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the templates of tasks, those that are known.
    pub(super) fn graphs(&self, tasks: &BTreeSet<i64>) -> BTreeMap<i64, Arc<Graph>> {
        let known = self.known();
        let graph = |key: &i64| Some((*key, Arc::clone(known.graphs.get(key)?)));
        tasks.iter().filter_map(graph).collect()
    }

    /// Keeps the templates of tasks.
    pub(super) fn keep_graphs<'g>(&self, graphs: impl Iterator<Item = (i64, &'g Arc<Graph>)>) {
        let mut known = self.known();
        for (key, graph) in graphs {
            if !known.graphs.contains_key(&key) {
                known.add(size_of::<(i64, Arc<Graph>)>());
                known.graphs.insert(key, Arc::clone(graph));
            }
        }
    }

    /// Tells whether a place is that of a context that is known.
    pub(super) fn has(&self, place: Place) -> bool {
        self.get(place).is_some()
    }

    /// Returns the context at a place, if it is one and known.
    pub(super) fn get(&self, (key, kind): Place) -> Option<Json> {
        let known = self.known();
        known
            .contexts
            .get(&key.0)
            .filter(|_| kind == Kind::Context)
            .cloned()
    }

    /// Keeps the contexts among what was read.
    pub(super) fn learn(&self, read: &BTreeMap<Place, Json>) {
        self.keep(read.iter());
    }

    /// Keeps the contexts of tasks that were created.
    pub(super) fn learn_created(&self, work: &Work) {
        if !work.created.is_empty() {
            let written = work.payloads.iter();
            self.keep(written.filter_map(|(place, body)| Some((place, body.as_ref()?))));
        }
    }

    fn keep<'p>(&self, payloads: impl Iterator<Item = (&'p Place, &'p Json)>) {
        let mut known = self.known();
        for ((key, kind), context) in payloads {
            if *kind != Kind::Context {
                continue;
            }
            known.add(context.as_str().len() + size_of::<(i64, Json)>());
            known.contexts.insert(key.0, context.clone());
        }
    }
}
