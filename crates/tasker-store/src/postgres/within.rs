//! Creating tasks within a transaction of the caller's.
//!
//! What never changes, templates and actors, is written before and apart, so that a roll back does not take it from those
//! who know of it. Everything else is written by the caller's connection, in a savepoint: what fails leaves the caller's
//! transaction as it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use diesel::result::{DatabaseErrorKind, Error, QueryResult};
use diesel::sql_types::{BigInt, Text};
use diesel_async::AsyncPgConnection;
use tasker_engine::{Actor, Create, CreateReply, StoreError, Template};
use tasker_types::Timestamp;

use super::PostgresStore;
use super::cache::Cache;
use super::connection::Connection;
use super::create::ENTRIES;
use super::error::classify;
use super::rows::Work;
use super::statement::{Bind, Statement, execute};
use super::unit::{Trouble, Unit};
use super::wake::channel;
use super::writer::{Desk, Job};
use crate::work::Graph;

/// How often tasks are created anew of which another transaction took a name meanwhile.
const TRIES: u32 = 5;

/// What hints say that are sent with a commit: the name of no process, so that all of them listen.
const HINT: &str = "created";

/// What was written before a creation.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) system: i64,
    pub(super) actors: Vec<(Actor, i64)>,
    pub(super) graphs: Vec<Arc<Graph>>,
    /// The schema that the tables are in.
    pub(super) schema: String,
}

impl Unit<'_> {
    /// Returns what was looked up before this transaction.
    pub(super) async fn prepared(
        &mut self,
        actors: &[Actor],
        templates: &[Arc<Template>],
    ) -> Result<Prepared, Trouble> {
        const SCHEMA: &str = "SELECT current_schema()::text";
        let (schema,) = Statement::<(Text,)>::new(SCHEMA, Vec::new())
            .get_result::<(String,)>(self.connection)
            .await?;
        let known = |actor: &Actor| Ok((actor.clone(), self.cache.known(actor)?));
        Ok(Prepared {
            system: self.system,
            actors: actors.iter().map(known).collect::<Result<_, Trouble>>()?,
            graphs: templates
                .iter()
                .map(|template| self.cache.prepared(template))
                .collect::<Result<_, Trouble>>()?,
            schema,
        })
    }

    /// Writes what changed after what the transaction has written before, and tells whether there is work that is due.
    async fn append(&mut self) -> Result<bool, Trouble> {
        const BEFORE: &str = "SELECT coalesce(max(h.position & 524287), 0) FROM history AS h, \
             (SELECT pg_current_xact_id()::text::bigint + $1 AS number) AS own \
             WHERE h.position > own.number << 19 AND h.position < (own.number + 1) << 19";
        self.work.count_live();
        let (before,) = Statement::<(BigInt,)>::new(BEFORE, vec![Bind::Int(self.offset)])
            .get_result::<(i64,)>(self.connection)
            .await?;
        let entries = usize::try_from(before).unwrap_or(usize::MAX) + self.work.entries.len();
        if entries > ENTRIES {
            return Err(StoreError::Rejected {
                what: "the number of history entries of one transaction",
                value: entries.to_string(),
                must: "at most 524287; create fewer tasks in one transaction",
            }
            .into());
        }
        let (changes, added) = self.changes(before);
        // One after the other: of several at once the first error is not always the cause.
        for (sql, binds) in changes {
            execute(self.connection, sql, binds).await?;
        }
        Ok(added.iter().any(|place| place.is_due(self.work.now)))
    }
}

impl PostgresStore {
    /// Creates tasks within the caller's transaction: they are there when it commits, and never were if it is rolled back.
    ///
    /// The connection is one to the database of this store, by whatever pool, and has a transaction open. Workers are told
    /// when it commits. Until then its tasks are seen by nobody, and neither are the events of other transactions that began
    /// later: so commit soon. Conflicts of names are answers, as those of [`Store::create`](tasker_engine::Store::create);
    /// the names that another transaction has taken and not yet committed are waited for. It may be called several times
    /// in one transaction.
    ///
    /// # Errors
    ///
    /// What the database says, and what cannot be created. The transaction is then as it was before, and may go on, unless
    /// the connection is broken. [`StoreError::Unavailable`] when the whole transaction should be tried again.
    pub async fn create_in(
        &self,
        connection: &mut AsyncPgConnection,
        request: Create,
    ) -> Result<CreateReply, StoreError> {
        if request.want.is_some() {
            return Err(StoreError::Rejected {
                what: "what a creation within a transaction wants to be handed",
                value: "something".to_owned(),
                must: "nothing: no step may run before the transaction is committed",
            });
        }
        let mut templates: Vec<Arc<Template>> = Vec::new();
        for task in &request.tasks {
            if !templates.iter().any(|known| Arc::ptr_eq(known, &task.template)) {
                templates.push(Arc::clone(&task.template));
            }
        }
        let actors = vec![request.actor.clone()];
        let prepared = self
            .shared
            .writer
            .ask(|reply| Job::Prepare(actors, templates, reply))
            .await?;
        let connection = Connection::lent(connection, self.shared.desk.target.onlookers());
        let created = self.create_with(&connection, &request, &prepared).await;
        created.map_err(|trouble| self.named(trouble))
    }

    fn named(&self, trouble: Trouble) -> StoreError {
        match trouble {
            Trouble::Refused(error) => error,
            Trouble::Database(error) => classify(self.url(), error),
            Trouble::Overtaken => self.unavailable("another transaction came first"),
        }
    }

    fn unavailable(&self, problem: &'static str) -> StoreError {
        StoreError::Unavailable {
            store: self.url().to_owned(),
            source: problem.into(),
        }
    }

    async fn create_with(
        &self,
        connection: &Connection<'_>,
        request: &Create,
        prepared: &Prepared,
    ) -> Result<CreateReply, Trouble> {
        let mut tries = 0;
        connection
            .batch_execute("SAVEPOINT tasker_creation")
            .await
            .map_err(without_transaction)?;
        loop {
            tries += 1;
            let created = self.create_once(connection, request, prepared).await;
            match created {
                Ok(reply) => {
                    connection
                        .batch_execute("RELEASE SAVEPOINT tasker_creation")
                        .await?;
                    return Ok(reply);
                }
                Err(trouble) => {
                    connection
                        .batch_execute("ROLLBACK TO SAVEPOINT tasker_creation")
                        .await?;
                    if is_taken(&trouble) && tries < TRIES {
                        continue;
                    }
                    connection
                        .batch_execute("RELEASE SAVEPOINT tasker_creation")
                        .await?;
                    return Err(trouble);
                }
            }
        }
    }

    async fn create_once(
        &self,
        connection: &Connection<'_>,
        request: &Create,
        prepared: &Prepared,
    ) -> Result<CreateReply, Trouble> {
        const VISIBLE: &str = "SELECT count(*) FROM graphs AS g WHERE g.id = ANY($1)";
        const TELL: &str = "SELECT pg_notify($1, $2)";
        let before = enter(connection, &prepared.schema).await?;
        let ids: BTreeSet<i64> = prepared.graphs.iter().map(|graph| graph.id).collect();
        let (visible,) =
            Statement::<(BigInt,)>::new(VISIBLE, vec![Bind::Ints(ids.iter().copied().collect())])
                .get_result::<(i64,)>(connection)
                .await?;
        if usize::try_from(visible) != Ok(ids.len()) {
            let problem =
                "the transaction sees the database as it was before the template was written; begin it anew";
            return Err(self.unavailable(problem).into());
        }
        let now = match &self.shared.desk.clock {
            Some(clock) => clock.now(),
            None => now(connection).await?,
        };
        let mut cache = Cache::of(&prepared.actors, &prepared.graphs);
        let keys = (self.shared.offset, prepared.system);
        let Desk { contexts, front, .. } = &*self.shared.desk;
        let mut unit = Unit::new(connection, &mut cache, contexts, front, keys, Work::new(now));
        // Nothing is read but what this transaction has written.
        unit.is_ordered = true;
        let (mut replies, _) = unit.create_all(std::slice::from_ref(request)).await?;
        if unit.append().await? {
            let channel = channel(&self.shared.desk);
            execute(connection, TELL, vec![Bind::Text(&channel), Bind::Text(HINT)]).await?;
        }
        set_path(connection, &before).await?;
        Ok(replies.pop().unwrap_or_default())
    }
}

/// Has names mean the store's tables, and returns what they meant before.
async fn enter(connection: &Connection<'_>, schema: &str) -> QueryResult<String> {
    const BEFORE: &str = "SELECT current_setting('search_path')";
    let (before,) = Statement::<(Text,)>::new(BEFORE, Vec::new())
        .get_result::<(String,)>(connection)
        .await?;
    // The caller's temporary tables, which would come first, come last.
    let path = format!("\"{}\", pg_temp", schema.replace('"', "\"\""));
    set_path(connection, &path).await?;
    Ok(before)
}

async fn set_path(connection: &Connection<'_>, path: &str) -> QueryResult<()> {
    const SET: &str = "SELECT set_config('search_path', $1, true)";
    execute(connection, SET, vec![Bind::Text(path)]).await?;
    Ok(())
}

/// Returns the server's time.
pub(super) async fn now(connection: &Connection<'_>) -> QueryResult<Timestamp> {
    const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let (now,) = Statement::<(BigInt,)>::new(NOW, Vec::new())
        .get_result::<(i64,)>(connection)
        .await?;
    Ok(Timestamp::from_micros(now))
}

/// Tells whether another transaction took a name after it was looked up. The next look finds it taken.
fn is_taken(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::Database(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
    )
}

/// Says what to do about a connection that has no transaction.
fn without_transaction(error: Error) -> Trouble {
    match &error {
        Error::DatabaseError(_, information) if information.message().contains("transaction blocks") => {
            StoreError::Rejected {
                what: "the connection for a creation within a transaction",
                value: "outside of any".to_owned(),
                must: "in one: call `transaction` of diesel-async, or send `BEGIN`",
            }
            .into()
        }
        _ => error.into(),
    }
}
