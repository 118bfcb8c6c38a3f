//! A request in a transaction: its rows, and how they come from the database and go back.
//!
//! Whoever changes anything of a task but claims a queued step holds the lock of the task's row, and locks of several tasks
//! are taken in the order of their keys. A claim locks places in the queue, and passes over those that are locked. So
//! nobody waits for another who waits for him.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
use futures_util::future::{try_join, try_join_all, try_join3, try_join5};
use tasker_engine::{Actor, Clock, NewTask, Scope, StoreError, Template, Want};
use tasker_types::{Namespace, StepNo, TaskId, TaskState, Timestamp};

use super::cache::{Cache, Contexts};
use super::claim::{self, Asked, Look, Moment, Reach, dead_places, see};
use super::connection::{Company, Connection};
use super::create::{Room, TASKS, room};
use super::front::{Front, Spot};
use super::rows::{
    self, Age, LOCKED_TASKS, STEPS, STEPS_OF_TASKS, TaskTuple, keys, load_steps, overtakes, read_tasks,
    task_row,
};
use super::rows::{ReadStep, Work};
use super::statement::{Bind, Statement, execute, execute_in};
use super::together::together;
use crate::pool::Counted;
use crate::work::{Counts, Graph, Queue, StepKey, accepted};

/// The work of a statement that is under way.
pub(super) type Sent<'c> = Pin<Box<dyn Future<Output = QueryResult<()>> + Send + 'c>>;

/// How often is looked whether a process of the server is gone.
const LOOKS: u32 = 1_000;

/// A connection that writes, and what belongs to it.
pub(super) struct Session {
    pub(super) connection: Connection<'static>,
    pub(super) cache: Cache,
    /// Contexts that are known to all who write.
    pub(super) contexts: Arc<Contexts>,
    /// Where the queues begin, so far as those who write know.
    pub(super) front: Arc<Front>,
    /// What is added to the numbers of transactions in positions.
    pub(super) offset: i64,
    /// A name that no other connection has.
    pub(super) nonce: String,
    /// The server's process at the other end.
    pub(super) backend: i64,
    /// The clock of a test; the server's counts otherwise.
    pub(super) clock: Option<Arc<dyn Clock>>,
    /// Counted among those that are open.
    pub(super) _open: Counted,
}

/// What a request is known to look at before it begins.
#[derive(Debug, Default)]
pub(super) struct Ahead<'r> {
    /// Steps that are reported, whose tasks are locked.
    pub(super) reported: BTreeSet<StepKey>,
    /// Those of them that succeeded.
    pub(super) done: BTreeSet<StepKey>,
    /// What is to be handed out.
    pub(super) wants: Vec<&'r Want>,
    /// Tasks that are created.
    pub(super) created: Vec<&'r NewTask>,
}

impl Ahead<'_> {
    /// Returns where the first who wants something looks, and how many places of the queue he takes with all who look there,
    /// beyond the steps that are likely to become ready here.
    fn look(
        &self,
        graphs: &BTreeMap<i64, Arc<Graph>>,
        queues: &BTreeMap<i64, Queue>,
    ) -> Option<(Reach, u32)> {
        let ready = u32::try_from(self.ready(graphs)).unwrap_or(u32::MAX);
        let looks = |want: &&&Want| want.limit > 0 && (want.top_up || want.limit <= ready);
        let wants = || {
            let wants = self.wants.iter().filter(looks);
            wants.filter(|want| want.scope == Scope::All)
        };
        let reach = |want: &Want| Reach {
            accepted: accepted(want, queues),
            task: None,
        };
        let first = reach(wants().next()?);
        if first.accepted.is_empty() {
            return None;
        }
        let together = wants()
            .skip(1)
            .filter(|want| reach(want) == first)
            .map(|want| want.limit);
        let wanted = wants().take(1).map(|want| want.limit).chain(together);
        let wanted = wanted.fold(0, u32::saturating_add);
        Some((first, wanted.saturating_sub(ready).max(1)))
    }

    /// Returns how many steps are likely to become ready: all parents of them succeed here, or they have none.
    fn ready(&self, graphs: &BTreeMap<i64, Arc<Graph>>) -> usize {
        let mut ready = BTreeSet::new();
        for (task, step) in &self.done {
            // The key of another database may be that of a task here, which has no such step.
            let graph = graphs.get(task).filter(|graph| graph.has(*step));
            let Some(Graph { template, .. }) = graph.map(Arc::as_ref) else {
                continue;
            };
            for child in template.children(StepNo(*step)) {
                let parents = template.steps()[child.0 as usize].depends_on();
                if parents
                    .iter()
                    .all(|parent| self.done.contains(&(*task, parent.0)))
                {
                    ready.insert((*task, child.0));
                }
            }
        }
        let created = self.created.iter().flat_map(|task| task.template.steps());
        ready.len() + created.filter(|step| step.depends_on().is_empty()).count()
    }
}

/// A transaction under way.
pub(super) struct Unit<'s> {
    pub(super) connection: &'s Connection<'s>,
    pub(super) cache: &'s mut Cache,
    pub(super) contexts: &'s Contexts,
    pub(super) front: &'s Front,
    pub(super) offset: i64,
    /// The key of the actor that is the store itself.
    pub(super) system: i64,
    pub(super) work: Work,
    /// The steps that were read of which a configuration of their own replaces the template's.
    pub(super) configured: BTreeSet<StepKey>,
    /// Work was there that others held.
    pub(super) passed_over: bool,
    /// How many of the steps of tasks are done, of tasks that were counted when the transaction began.
    pub(super) counted: BTreeMap<i64, Counts>,
    /// All queues are known that there were when the transaction began.
    pub(super) knows_queues: bool,
    /// The places of the queue that were taken, for this turn and those that follow.
    pub(super) look: Option<Look>,
    /// Places whose time has come, which are claimable once this is committed.
    pub(super) unparked: Vec<(i64, Spot)>,
    /// What was looked up for tasks that are to be created.
    pub(super) room: Option<Room>,
    /// Namespaces whose part in a hand-out this transaction notes.
    pub(super) noted: BTreeSet<Namespace>,
    /// New tasks of which the steps are written.
    pub(super) steps_written: BTreeSet<i64>,
    /// What is read is known to have been written before.
    pub(super) is_ordered: bool,
}

/// Each row of a task in the queue is found by its step's key, also by a plan from the time when the table was empty.
pub(super) const LOCK_PLACES: &str = "\
WITH s AS MATERIALIZED ( \
    SELECT s.queue, k.task, s.step, least(-(t.priority::int), 32767) AS rank FROM unnest($1) AS k (task) \
    CROSS JOIN LATERAL (SELECT t.priority FROM tasks AS t WHERE t.key = k.task LIMIT 1) AS t \
    CROSS JOIN LATERAL (SELECT s.queue, s.step FROM steps AS s WHERE s.task = k.task OFFSET 0) AS s \
    ORDER BY k.task, s.step), \
locked AS MATERIALIZED ( \
    SELECT o.task FROM s CROSS JOIN (VALUES (false), (true)) AS p (parked) CROSS JOIN LATERAL ( \
        SELECT r.task FROM ready_steps AS r WHERE r.queue = s.queue AND r.parked = p.parked AND r.rank = s.rank \
            AND r.task = s.task AND r.step = s.step LIMIT 1 FOR UPDATE) AS o) \
SELECT count(*) FROM locked";

impl Session {
    /// Begins a transaction, with the time at which it does, and reads what it is known to look at, in one trip.
    pub(super) async fn begin(
        &mut self,
        actors: &[Actor],
        templates: &[&Arc<Template>],
        ahead: &Ahead<'_>,
    ) -> Result<Unit<'_>, Trouble> {
        // They are looked up, and added, in transactions of their own: what is undone must not be remembered.
        self.cache.make_room();
        let system = self.cache.actor(&self.connection, &Actor::System).await?;
        for actor in actors {
            self.cache.actor(&self.connection, actor).await?;
        }
        self.cache.prepare(&self.connection, templates).await?;
        let tasks: BTreeSet<i64> = ahead.reported.iter().map(|key| key.0).collect();
        let graphs = self.graphs_of(&tasks).await?;
        let looked_at = LookedAt::of(&ahead.reported, &graphs);
        let last = self.cache.last_queue();
        let look = ahead.look(&graphs, self.cache.queues());
        let clock = self.clock.as_ref().map(|clock| clock.now());
        let reported = async {
            if ahead.reported.is_empty() {
                return Ok((Vec::new(), Vec::new(), BTreeMap::new()));
            }
            // The others are carried out when the locks are held.
            try_join3(
                read_tasks(&self.connection, LOCKED_TASKS, tasks.into_iter().collect()),
                load_steps(&self.connection, STEPS, keys(&looked_at.steps)),
                async {
                    match looked_at.ending.is_empty() {
                        true => Ok(BTreeMap::new()),
                        false => count(&self.connection, COUNTS_AHEAD, looked_at.ending()).await,
                    }
                },
            )
            .await
        };
        let moment = async {
            if look.is_none() && !ahead.wants.iter().any(|want| want.top_up) {
                return Ok(Moment::at(self.now().await?));
            }
            let reach = look.as_ref().map(|(reach, _)| reach.ask(clock));
            let asked = Asked {
                last_queue: last,
                ..reach.unwrap_or_default()
            };
            asked.answer(&self.connection).await
        };
        let seen = async {
            let Some((reach, wanted)) = &look else {
                return Ok(None);
            };
            let seen = see(&self.connection, reach, clock, *wanted, self.front.start());
            if self.front.wants_count() {
                let (seen, dead) = try_join(seen, dead_places(&self.connection)).await?;
                self.front.count(dead);
                return Ok(Some(seen));
            }
            seen.await.map(Some)
        };
        let room = async {
            match ahead.created.len() {
                1..=TASKS => room(&self.connection, &ahead.created).await.map(Some),
                _ => Ok(None),
            }
        };
        let begun = self.connection.batch_execute("BEGIN");
        let ((), moment, (tasks, steps, counted), seen, room) =
            try_join5(begun, moment, reported, seen, room).await?;
        let now = clock.unwrap_or(moment.now);
        self.cache.learn(moment.queues);
        let keys = (self.offset, system);
        let mut unit = Unit::new(
            &self.connection,
            &mut self.cache,
            &self.contexts,
            &self.front,
            keys,
            Work::new(now),
        );
        unit.counted = counted;
        unit.knows_queues = !ahead.wants.is_empty();
        unit.room = room;
        unit.add_tasks(tasks).await?;
        // The key of another database may be that of a step here, which is not the one that is meant.
        let known = &unit.work.tasks;
        let steps = steps
            .into_iter()
            .filter(|((task, _), ..)| known.contains_key(task));
        let steps = steps.collect();
        unit.add_steps(steps)?;
        if let (Some((reach, wanted)), Some(seen)) = (look, seen) {
            unit.look = Some(unit.take_in(&reach, wanted, seen, moment.next_due).await?);
        }
        Ok(unit)
    }

    /// Returns the templates of tasks, those that are there.
    async fn graphs_of(&mut self, tasks: &BTreeSet<i64>) -> QueryResult<BTreeMap<i64, Arc<Graph>>> {
        const SQL: &str = "SELECT t.key, t.graph FROM tasks AS t WHERE t.key = ANY($1)";
        let mut graphs = self.contexts.graphs(tasks);
        let unknown: Vec<i64> = tasks
            .iter()
            .copied()
            .filter(|key| !graphs.contains_key(key))
            .collect();
        if unknown.is_empty() {
            return Ok(graphs);
        }
        // They were handed out by another process, or so long ago that it is forgotten.
        let rows = Statement::<(BigInt, BigInt)>::new(SQL, vec![Bind::Ints(unknown)])
            .load::<(i64, i64)>(&self.connection)
            .await?;
        for (key, id) in rows {
            graphs.insert(key, self.cache.graph(&self.connection, id).await?);
        }
        self.contexts
            .keep_graphs(graphs.iter().map(|(key, graph)| (*key, graph)));
        Ok(graphs)
    }

    /// Returns the time: the server's, unless there is a clock of a test.
    pub(super) async fn now(&self) -> QueryResult<Timestamp> {
        const NOW: &str = "SELECT (extract(epoch FROM now()) * 1000000)::bigint";
        if let Some(clock) = &self.clock {
            return Ok(clock.now());
        }
        let (now,) = Statement::<(BigInt,)>::new(NOW, Vec::new())
            .get_result::<(i64,)>(&self.connection)
            .await?;
        Ok(Timestamp::from_micros(now))
    }

    /// Prepares the statements that a turn begins with, which share a trip later on: while one is prepared the other would
    /// come first.
    pub(super) async fn warm(&self) -> QueryResult<()> {
        let connection = &self.connection;
        let none = BTreeSet::new();
        self.now().await?;
        read_tasks(connection, LOCKED_TASKS, Vec::new()).await?;
        load_steps(connection, STEPS, keys(&none)).await?;
        count(connection, COUNTS_AHEAD, LookedAt::default().ending()).await?;
        claim::warm(connection).await
    }

    /// Ends the server's process of a connection that was lost, and waits until it is gone: what it was about to commit is
    /// then committed or undone, and no longer in the way of those who look.
    pub(super) async fn settle(&self, backend: i64) -> QueryResult<()> {
        const END: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE pid = $1 AND usename = current_user AND application_name = current_setting('application_name')";
        for _ in 0..LOOKS {
            let (left,) = Statement::<(BigInt,)>::new(END, vec![Bind::Int(backend)])
                .get_result::<(i64,)>(&self.connection)
                .await?;
            if left == 0 {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Err(diesel::result::Error::DatabaseError(
            diesel::result::DatabaseErrorKind::ClosedConnection,
            Box::new("a commit whose answer was lost does not end".to_owned()),
        ))
    }

    /// Undoes whatever is under way.
    pub(super) async fn rollback(&mut self) -> QueryResult<()> {
        self.connection.batch_execute("ROLLBACK").await
    }
}

impl<'s> Unit<'s> {
    /// Returns one in which nothing was read yet.
    pub(super) fn new(
        connection: &'s Connection<'s>,
        cache: &'s mut Cache,
        contexts: &'s Contexts,
        front: &'s Front,
        (offset, system): (i64, i64),
        work: Work,
    ) -> Self {
        Self {
            connection,
            cache,
            contexts,
            front,
            offset,
            system,
            work,
            configured: BTreeSet::new(),
            passed_over: false,
            counted: BTreeMap::new(),
            knows_queues: false,
            look: None,
            unparked: Vec::new(),
            room: None,
            noted: BTreeSet::new(),
            steps_written: BTreeSet::new(),
            is_ordered: false,
        }
    }
}

impl Unit<'_> {
    /// Fails when one of the rows that were read was written by a transaction that began after this one: entries of the
    /// history stand in the order of transactions, and what follows from another's must stand after it.
    fn in_order(&self, ages: impl IntoIterator<Item = Age>) -> Result<(), Trouble> {
        if !self.is_ordered && ages.into_iter().any(overtakes) {
            return Err(Trouble::Overtaken);
        }
        Ok(())
    }

    /// Takes up tasks that were read.
    pub(super) async fn add_tasks(&mut self, read: Vec<TaskTuple>) -> Result<(), Trouble> {
        self.in_order(read.iter().map(|row| row.13))?;
        for row in read {
            let (key, row, _) = task_row(self.connection, self.cache, row).await?;
            self.work.add_task(key, row);
        }
        Ok(())
    }

    /// Takes up steps that were read.
    pub(super) fn add_steps(&mut self, read: Vec<ReadStep>) -> Result<(), Trouble> {
        self.in_order(read.iter().map(|row| row.3))?;
        for (key, row, configured, _) in read {
            self.work.add_step(key, row);
            if configured {
                self.configured.insert(key);
            }
        }
        Ok(())
    }

    /// Locks and loads tasks that are not loaded yet.
    pub(super) async fn lock_tasks(&mut self, keys: impl IntoIterator<Item = i64>) -> Result<(), Trouble> {
        let missing = self.missing(keys);
        if missing.is_empty() {
            return Ok(());
        }
        let read = read_tasks(self.connection, LOCKED_TASKS, missing).await?;
        self.add_tasks(read).await
    }

    /// Locks and loads those of the tasks that nobody else has locked.
    pub(super) async fn lock_free_tasks(
        &mut self,
        keys: impl IntoIterator<Item = i64>,
    ) -> Result<(), Trouble> {
        let missing = self.missing(keys);
        if missing.is_empty() {
            return Ok(());
        }
        let read = read_tasks(self.connection, rows::FREE_TASKS, missing).await?;
        self.add_tasks(read).await
    }

    fn missing(&self, keys: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let missing: BTreeSet<i64> = keys
            .into_iter()
            .filter(|key| !self.work.tasks.contains_key(key))
            .collect();
        missing.into_iter().collect()
    }

    /// Loads steps that are not loaded yet.
    pub(super) async fn load_steps(
        &mut self,
        wanted: impl IntoIterator<Item = StepKey>,
    ) -> Result<(), Trouble> {
        let missing: BTreeSet<StepKey> = wanted
            .into_iter()
            .filter(|key| !self.work.steps.contains_key(key))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let read = load_steps(self.connection, STEPS, keys(&missing)).await?;
        self.add_steps(read)
    }

    /// Loads all steps of tasks.
    pub(super) async fn load_all_steps(&mut self, tasks: Vec<i64>) -> Result<(), Trouble> {
        if tasks.is_empty() {
            return Ok(());
        }
        let read = load_steps(self.connection, STEPS_OF_TASKS, vec![Bind::Ints(tasks)]).await?;
        self.add_steps(read)
    }

    /// Keeps claims away from the queued steps of tasks that are locked, and waits for those that are under way.
    pub(super) async fn lock_places(&mut self, tasks: Vec<i64>) -> Result<(), Trouble> {
        Statement::<(BigInt,)>::new(LOCK_PLACES, vec![Bind::Ints(tasks)])
            .get_result::<(i64,)>(self.connection)
            .await?;
        Ok(())
    }

    /// Ends the tasks that were touched and can no longer progress. What this unit changed counts, though it is not
    /// written yet.
    pub(super) async fn finalize_touched(&mut self) -> Result<Vec<(TaskId, TaskState)>, Trouble> {
        let idle = self.work.idle();
        if idle.is_empty() {
            return Ok(Vec::new());
        }
        let mut counts = BTreeMap::new();
        let mut unknown = Vec::new();
        for key in &idle {
            match self.counted.get(key) {
                Some(known) => {
                    counts.insert(*key, *known);
                }
                None => unknown.push(*key),
            }
        }
        if !unknown.is_empty() {
            counts.extend(count(self.connection, COUNTS, vec![Bind::Ints(unknown)]).await?);
        }
        let unfinished = self.work.unfinished(&mut counts);
        self.load_all_steps(unfinished).await?;
        Ok(self.work.finalize(&idle, &counts, self.system)?)
    }

    /// Writes everything that changed, and commits, in one trip once the connection has prepared the statements. Tells whether this leaves work in the queue that is due, or
    /// must wake listeners anyhow.
    pub(super) async fn commit(mut self) -> QueryResult<bool> {
        self.work.count_live();
        let connection = self.connection;
        let (changes, added) = self.changes(0);
        let changes = together(changes);
        let texts: Vec<&'static str> = changes.iter().map(|(sql, _)| *sql).collect();
        if texts.iter().all(|sql| self.cache.written.contains(sql)) {
            let mut sent: Vec<Sent<'_>> = Vec::new();
            for (sql, binds) in changes {
                sent.push(Box::pin(async move {
                    execute_in(Company::Together, connection, sql, binds)
                        .await
                        .map(|_| ())
                }));
            }
            sent.push(Box::pin(async move { connection.batch_execute("COMMIT").await }));
            try_join_all(sent).await?;
        } else {
            // While a statement is prepared the commit would come first, and the statement stand for itself.
            for (sql, binds) in changes {
                execute(connection, sql, binds).await?;
            }
            connection.batch_execute("COMMIT").await?;
        }
        self.cache.written.extend(texts);
        self.cache.noted.append(&mut self.noted);
        self.contexts.learn_created(&self.work);
        let places = added.iter().map(|place| (place.queue, place.spot));
        self.front.added(places.chain(self.unparked.iter().copied()));
        Ok(self.work.woken || added.iter().any(|place| place.is_due(self.work.now)))
    }
}

/// Counts the steps of tasks by one of these texts.
async fn count(
    connection: &Connection<'_>,
    sql: &'static str,
    binds: Vec<Bind<'_>>,
) -> QueryResult<BTreeMap<i64, Counts>> {
    let rows = Statement::<(BigInt, BigInt, BigInt)>::new(sql, binds)
        .load::<(i64, i64, i64)>(connection)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(task, steps, done)| (task, Counts { steps, done }))
        .collect())
}

pub(super) const COUNTS: &str = "\
SELECT s.task, count(*), count(*) FILTER (WHERE s.state IN ('complete', 'resolved_manually')) \
FROM steps AS s WHERE s.task = ANY($1) GROUP BY s.task";

/// As [`COUNTS`], of those tasks of which nothing goes on but so many steps that are reported.
pub(super) const COUNTS_AHEAD: &str = "\
SELECT k.task, c.steps, c.done FROM unnest($1, $2) AS k (task, reported) CROSS JOIN LATERAL ( \
    SELECT FROM tasks AS t WHERE t.key = k.task AND (t.live_steps <= k.reported) IS TRUE LIMIT 1) AS t CROSS JOIN LATERAL ( \
    SELECT count(*) AS steps, count(*) FILTER (WHERE s.state IN ('complete', 'resolved_manually')) AS done \
    FROM steps AS s WHERE s.task = k.task) AS c";

/// What a turn looks at, as the templates tell.
#[derive(Debug, Default)]
struct LookedAt {
    /// The steps that are reported, and their children.
    steps: BTreeSet<StepKey>,
    /// The tasks that may end with them, since one that is reported has no children, and how many of each are reported.
    ending: BTreeMap<i64, i64>,
}

impl LookedAt {
    fn of(reported: &BTreeSet<StepKey>, graphs: &BTreeMap<i64, Arc<Graph>>) -> Self {
        let mut looked_at = Self {
            steps: reported.clone(),
            ending: BTreeMap::new(),
        };
        let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
        for (task, step) in reported {
            *counts.entry(*task).or_default() += 1;
            // The key of another database may be that of a task here, which has no such step.
            let graph = graphs.get(task).filter(|graph| graph.has(*step));
            let Some(graph) = graph else { continue };
            let children = graph.template.children(StepNo(*step));
            let mut has_children = false;
            for child in children {
                has_children = true;
                looked_at.steps.insert((*task, child.0));
            }
            if !has_children {
                looked_at.ending.insert(*task, 0);
            }
        }
        for (task, count) in &mut looked_at.ending {
            *count = counts.get(task).copied().unwrap_or_default();
        }
        looked_at
    }

    /// Returns the binds of the tasks that may end.
    fn ending<'a>(&self) -> Vec<Bind<'a>> {
        vec![
            Bind::Ints(self.ending.keys().copied().collect()),
            Bind::Ints(self.ending.values().copied().collect()),
        ]
    }
}

/// Why a request was given up: the database failed, the request was refused, or it has to be done again.
#[derive(Debug)]
pub(super) enum Trouble {
    Database(diesel::result::Error),
    Refused(StoreError),
    /// Another transaction that began later came first; a new one will come after it.
    Overtaken,
}

impl From<diesel::result::Error> for Trouble {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}
