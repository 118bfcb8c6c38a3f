//! What never changes once it is written, kept in memory by the one who writes: templates, queues, actors.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use diesel::query_dsl::RunQueryDsl;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use sha2::{Digest, Sha256};
use tasker_engine::{Actor, Template, canonical_json};

use super::rows::{Graph, Queue, json};
use super::statement::{Bind, Statement};

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
}

impl Cache {
    /// Returns the key of an actor, who is added if there was none of that name.
    pub(super) fn actor(&mut self, connection: &mut SqliteConnection, actor: &Actor) -> QueryResult<i64> {
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
    pub(super) fn graph(&mut self, connection: &mut SqliteConnection, id: i64) -> QueryResult<Arc<Graph>> {
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
        connection: &mut SqliteConnection,
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
        connection: &mut SqliteConnection,
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

    fn queue(
        &mut self,
        connection: &mut SqliteConnection,
        namespace: &str,
        handler: &str,
    ) -> QueryResult<i64> {
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
        Ok(row.0)
    }

    /// Returns every queue, those among them that other processes added.
    pub(super) fn queues(&mut self, connection: &mut SqliteConnection) -> QueryResult<&BTreeMap<i64, Queue>> {
        const SQL: &str = "SELECT id, namespace, handler FROM queues WHERE id > ?1";
        let last = self.queues.last_key_value().map_or(0, |(id, _)| *id);
        let rows = Statement::<(BigInt, Text, Text)>::new(SQL, &[Bind::Int(last)])
            .load::<(i64, String, String)>(connection)?;
        for (id, namespace, handler) in rows {
            if let (Ok(namespace), Ok(handler)) = (namespace.parse(), handler.parse()) {
                self.queues.insert(id, Queue { namespace, handler });
            }
        }
        Ok(&self.queues)
    }
}

/// Reads a template back.
pub(super) fn read_graph(connection: &mut SqliteConnection, id: i64) -> QueryResult<Graph> {
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

fn queues_of(connection: &mut SqliteConnection, id: i64) -> QueryResult<Vec<i64>> {
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
