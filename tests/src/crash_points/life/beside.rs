//! What is asked of a store beside the work: in crowds, in transactions of others, by those who look after it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use tasker_engine::{
    Actor, ApiToken, Claim, Clock as _, Create, Demand, Intervention, NewToken, Scope, SeededEntropy,
    Store as _, StoreError, TaskFilter, TaskQuery, TaskSort, Turn, verify_all,
};
use tasker_store::{
    Checkup, Endpoint, PostgresOptions, PostgresStore, Prune, PruneMode, migrate, postgres, transfer,
};
use tasker_testkit::ManualClock;
use tasker_types::{Position, TaskId, TaskState};

use super::super::ground::{Ground, Open, beginning};
use super::super::saboteur::Saboteur;
use super::super::script::Cast;
use super::{LEASE, Life, Line, TRIES, is_refusal};

impl Life {
    /// Asks for the secret of places in lists, notes a token, looks it up, uses it and revokes it.
    pub(super) async fn tokens(&mut self) -> anyhow::Result<()> {
        const ASKED: &str = "a token is refused";
        let mut secrets = Vec::new();
        for fresh in [[7; 32], [8; 32]] {
            let secret = self
                .ask(async |open, _| open.store().cursor_secret(fresh).await)
                .await?;
            secrets.push(secret.context("the secret of places in lists is refused")?);
        }
        if secrets[0] != secrets[1] {
            self.problem("the secret of places in lists is another each time");
        }
        let token = ApiToken::generate(&SeededEntropy::new(7));
        let (id, now) = (token.id(), self.clock.now());
        let new = NewToken::new(&token, "ci", now);
        self.ask(async |open, _| open.tokens().add_token(new.clone()).await)
            .await?
            .context(ASKED)?;
        self.ask(async |open, _| open.tokens().note_token_use(id, now).await)
            .await?
            .context(ASKED)?;
        self.ask(async |open, _| open.tokens().revoke_token(id, now).await)
            .await?
            .context(ASKED)?;
        let found = self
            .ask(async |open, _| open.tokens().find_token(id).await)
            .await?;
        let all = self.ask(async |open, _| open.tokens().tokens().await).await?;
        let (found, all) = (found.context(ASKED)?, all.context(ASKED)?);
        let is_whole = found.is_some_and(|(record, digest)| {
            digest.matches(&token.digest())
                && record.last_used_at.is_some()
                && record.revoked_at.is_some()
                && all == [record]
        });
        if !is_whole {
            self.problem("a token is not as it was left");
        }
        Ok(())
    }

    /// Asks for several things at once, so that they share a transaction; one of them is refused.
    pub(super) async fn crowd(&mut self) -> anyhow::Result<()> {
        let actor = || Actor::User("ann".to_owned());
        let nobody = TaskId::new(beginning(), u128::from(u64::MAX));
        let creates: Vec<Create> = Cast::CROWD
            .iter()
            .map(|one| Create::new(self.worker, actor(), vec![one.new_task()]))
            .collect();
        let turns: Vec<Turn> = (0..3)
            .map(|_| Turn::new(self.worker, Vec::new(), self.want(1, Scope::All)))
            .collect();
        let demand = Intervention::new(nobody, Demand::CancelTask, actor());
        for tries in 0..TRIES {
            let open = self.opened().await?;
            let again = self.is_unsure;
            let store = open.store();
            let mut all: Vec<BoxFuture<'_, Result<Vec<Claim>, StoreError>>> = Vec::new();
            for create in &creates {
                all.push(async { store.create(create.clone()).await.map(|_| Vec::new()) }.boxed());
            }
            for turn in &turns {
                let mut turn = turn.clone();
                turn.again = again;
                all.push(async { store.turn(turn).await.map(|reply| reply.claims) }.boxed());
            }
            let refused = async {
                match store.intervene(demand.clone()).await {
                    Err(StoreError::UnknownTask { .. }) => Ok(Vec::new()),
                    Err(error) => Err(error),
                    Ok(done) => Err(StoreError::Rejected {
                        what: "what was done to a task that is not there",
                        value: format!("{done:?}"),
                        must: "nothing",
                    }),
                }
            };
            all.insert(4, refused.boxed());
            // They are asked in this order, and only then the first of them begins.
            self.probe.shut_gate();
            let probe = Arc::clone(&self.probe);
            all.push(
                async move {
                    probe.open_gate();
                    Ok(Vec::new())
                }
                .boxed(),
            );
            let answers = join_all(all).await;
            let failed = answers.iter().find_map(|answer| answer.as_ref().err());
            let Some(error) = failed else {
                for one in Cast::CROWD {
                    self.note(Line::Created { task: one.id() })?;
                }
                self.held.extend(answers.into_iter().flatten().flatten());
                return Ok(());
            };
            if is_refusal(error) {
                self.problem(format!("one of a crowd was answered with: {error}"));
                return Ok(());
            }
            self.is_unsure = true;
            if tries > 0 {
                drop(open);
                self.close().await;
            }
        }
        self.gave_up = true;
        anyhow::bail!("a crowd is not answered any more")
    }

    /// Creates a task in a transaction of an application, which does all of it again when it fails.
    pub(super) async fn create_within(&mut self) -> anyhow::Result<()> {
        let Ground::Postgres { url, .. } = self.ground.clone() else {
            return Ok(());
        };
        let task = Cast::Within.new_task();
        let create = Create::new(self.worker, Actor::User("ann".to_owned()), vec![task]);
        self.create_too_early(&url, &create).await?;
        let done = self
            .ask(async |open, _| {
                let Open::Postgres(store) = open else {
                    return Err(StoreError::Closed);
                };
                let lost = |source: tasker_engine::BoxError| StoreError::Unavailable {
                    store: "the application's".to_owned(),
                    source,
                };
                let mut own = AsyncPgConnection::establish(&url)
                    .await
                    .map_err(|error| lost(error.into()))?;
                own.batch_execute("BEGIN")
                    .await
                    .map_err(|error| lost(error.into()))?;
                store.create_in(&mut own, create.clone()).await?;
                own.batch_execute("COMMIT")
                    .await
                    .map_err(|error| lost(error.into()))
            })
            .await?;
        match done {
            Ok(()) => self.note(Line::Created {
                task: Cast::Within.id(),
            })?,
            Err(error) => self.problem(format!("a creation was refused: {error}")),
        }
        Ok(())
    }

    /// Fails to create a task in a transaction that sees the database as it was before its template was written.
    pub(super) async fn create_too_early(&mut self, url: &str, create: &Create) -> anyhow::Result<()> {
        let Open::Postgres(store) = self.opened().await? else {
            return Ok(());
        };
        let mut own = AsyncPgConnection::establish(url).await?;
        own.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            .await?;
        let told = store.create_in(&mut own, create.clone()).await;
        if let Ok(reply) = told
            && !self.is_unsure
        {
            self.problem(format!(
                "a creation came too early and was answered with {reply:?}"
            ));
        }
        Ok(())
    }

    pub(super) async fn look(&mut self) -> anyhow::Result<()> {
        for one in [Cast::Diamond, Cast::Sleeper, Cast::Child] {
            let task = one.id();
            self.ask(async |open, _| {
                let store = open.store();
                store.snapshot(task).await?;
                store.results(task).await?;
                store.readings(&[task]).await?;
                store.history(task, Position(0), 500).await
            })
            .await?
            .context("a task cannot be read")?;
        }
        self.ask(async |open, _| {
            open.store().events(Position(0), 5).await?;
            open.store().position().await
        })
        .await?
        .context("the history cannot be read")?;
        Ok(())
    }

    pub(super) async fn list(&mut self) -> anyhow::Result<()> {
        let narrow = TaskFilter {
            states: TaskState::ALL.to_vec(),
            name: "diamond".parse().ok(),
            tags: vec!["shop".to_owned()],
            initiator: Some("ann".to_owned()),
            context: "order=7".parse().into_iter().collect(),
            ..TaskFilter::default()
        };
        let all = TaskQuery::new(TaskFilter::default(), 100);
        let mut counted = TaskQuery::new(narrow, 3);
        counted.count = true;
        let states = TaskFilter {
            states: vec![TaskState::Complete, TaskState::Error],
            ..TaskFilter::default()
        };
        let mut in_states = TaskQuery::new(states, 3);
        in_states.count = true;
        let tag = TaskFilter {
            tags: vec!["shop".to_owned()],
            ..TaskFilter::default()
        };
        let mut by_change = TaskQuery::new(tag, 3);
        by_change.sort = TaskSort::Updated;
        for query in [all, counted, in_states, by_change] {
            self.ask(async |open, _| open.store().list(query.clone()).await)
                .await?
                .context("tasks cannot be listed")?;
        }
        self.ask(async |open, _| open.fewest_held().await)
            .await?
            .context("leases cannot be counted")?;
        Ok(())
    }

    pub(super) async fn prune(&mut self, mode: PruneMode) -> anyhow::Result<()> {
        // All but the last tasks have ended for so long.
        let prune = Prune::new(Duration::from_secs(1), mode);
        self.pass(10);
        self.ask(async |open, _| open.prune(&prune).await)
            .await?
            .context("old tasks cannot be removed")?;
        Ok(())
    }

    pub(super) async fn doctor(&mut self) -> anyhow::Result<()> {
        let (ground, clock, probe) = (self.ground.clone(), self.clock.clone(), Arc::clone(&self.probe));
        let findings = self
            .ask(async |_, _| match &ground {
                Ground::Sqlite { directory } => {
                    let file = Ground::file(directory).probe(Arc::<Saboteur>::clone(&probe));
                    let examined = tokio::task::spawn_blocking(move || {
                        tasker_store::doctor::examine(&file, &Checkup::default())
                    });
                    examined.await.map_err(|_| StoreError::Closed)?
                }
                Ground::Postgres { url, schema, .. } => {
                    let options = Ground::postgres(url, schema, &clock, &probe);
                    postgres::doctor::examine(&options, &Checkup::default()).await
                }
            })
            .await?;
        let damaged = findings.context("the database cannot be examined")?;
        if let Some(finding) = damaged.iter().find(|finding| finding.code == "damaged") {
            self.problem(finding.message.clone());
        }
        Ok(())
    }

    /// Looks at how the schema stands, and brings it up to date, which it is.
    pub(super) async fn status(&mut self) -> anyhow::Result<()> {
        let (ground, clock, probe) = (self.ground.clone(), self.clock.clone(), Arc::clone(&self.probe));
        let pending = self
            .ask(async |_, _| match &ground {
                Ground::Sqlite { directory } => {
                    let file = Ground::file(directory).probe(Arc::<Saboteur>::clone(&probe));
                    let looked = tokio::task::spawn_blocking(move || {
                        migrate::describe(&file)?;
                        migrate::status(&file)
                    });
                    looked.await.map_err(|_| StoreError::Closed)?
                }
                Ground::Postgres { url, schema, .. } => {
                    postgres::migrate::status(&Ground::postgres(url, schema, &clock, &probe)).await
                }
            })
            .await?;
        if pending
            .context("the schema cannot be looked at")?
            .pending
            .is_empty()
        {
            return Ok(());
        }
        self.problem("migrations are missing");
        Ok(())
    }

    /// Does something by the time of the server.
    pub(super) async fn servers_time(&mut self) -> anyhow::Result<()> {
        let Ground::Postgres { url, schema, .. } = self.ground.clone() else {
            return Ok(());
        };
        let (probe, nobody) = (Arc::clone(&self.probe), TaskId::new(beginning(), u128::MAX));
        self.ask(async |_, _| {
            let options = PostgresOptions::new(&url)
                .schema(&schema)
                .probe(Arc::<Saboteur>::clone(&probe));
            let store = PostgresStore::open(options).await?;
            store.check_in(nobody, LEASE).await?;
            store.prune(&Prune::new(LEASE, PruneMode::Count)).await?;
            store.close().await
        })
        .await?
        .context("the server's time cannot be used")
    }

    /// Creates tasks that do not end, and looks at the history while a transaction is under way that may yet write before
    /// them.
    pub(super) async fn look_past(&mut self) -> anyhow::Result<()> {
        let mut own = match &self.ground {
            Ground::Sqlite { .. } => None,
            Ground::Postgres { url, .. } => Some(AsyncPgConnection::establish(url).await?),
        };
        if let Some(own) = &mut own {
            own.batch_execute("BEGIN; SELECT pg_current_xact_id()").await?;
        }
        self.create(&Cast::AT_LAST, 1).await?;
        self.ask(async |open, _| {
            open.store().events(Position(0), u32::MAX).await?;
            open.store().position().await
        })
        .await?
        .context("the history cannot be read")?;
        if let Some(own) = &mut own {
            own.batch_execute("COMMIT").await?;
        }
        Ok(())
    }

    /// Takes back the schema of the database to which everything was moved.
    pub(super) async fn take_back(&mut self) -> anyhow::Result<()> {
        let there = self.ground.moved()?;
        let (clock, probe) = (self.clock.clone(), Arc::clone(&self.probe));
        self.ask(async |_, _| match &there {
            Ground::Sqlite { directory } => {
                let file = Ground::file(directory).probe(Arc::<Saboteur>::clone(&probe));
                let reverted = tokio::task::spawn_blocking(move || migrate::down(file, 1));
                reverted.await.map_err(|_| StoreError::Closed)?
            }
            Ground::Postgres { url, schema, .. } => {
                postgres::migrate::down(&Ground::postgres(url, schema, &clock, &probe), 1).await
            }
        })
        .await?
        .context("the schema cannot be taken back")?;
        Ok(())
    }

    /// Moves everything to another database of the same kind, which has all of it or nothing.
    pub(super) async fn move_all(&mut self) -> anyhow::Result<()> {
        self.close().await;
        let there = self.ground.moved()?;
        let ends = |ground: &Ground, clock: &ManualClock, probe: &Arc<Saboteur>| match ground {
            Ground::Sqlite { directory } => {
                Endpoint::Sqlite(Ground::file(directory).probe(Arc::<Saboteur>::clone(probe)))
            }
            Ground::Postgres { url, schema, .. } => {
                Endpoint::Postgres(Ground::postgres(url, schema, clock, probe))
            }
        };
        let from = ends(&self.ground, &self.clock, &self.probe);
        let to = ends(&there, &self.clock, &self.probe);
        let mut tries = 0;
        loop {
            let error = match transfer(&from, &to).await {
                Ok(_) => break,
                Err(error) => error,
            };
            let is_used = error.to_string().contains("it was used before");
            if is_used && self.is_unsure {
                break;
            }
            self.is_unsure = true;
            tries += 1;
            if is_used || tries == TRIES {
                return Err(error).context("it cannot be moved any more");
            }
        }
        self.probe.sleep(true);
        let mut tries = 0;
        // The disk may be bad while one looks, too.
        while let Err(error) = self.compare(&there).await {
            self.close().await;
            tries += 1;
            if tries == TRIES {
                self.gave_up = true;
                return Err(error).context("what was moved cannot be looked at");
            }
        }
        self.probe.sleep(false);
        Ok(())
    }

    /// Holds the database that everything was moved to against this one.
    async fn compare(&mut self, there: &Ground) -> anyhow::Result<()> {
        let here = self.opened().await?;
        let moved = there.open(&self.clock, &self.probe).await?;
        let compared = async {
            let report = verify_all(moved.store()).await?;
            let all = TaskQuery::new(TaskFilter::default(), 100);
            let is_whole = here.store().list(all.clone()).await? == moved.store().list(all).await?;
            Ok::<_, StoreError>((report, is_whole))
        };
        let compared = compared.await;
        moved.close().await;
        let (report, is_whole) = compared?;
        if !report.holds() {
            self.problem(format!("after the move: {report}"));
        }
        if !is_whole {
            self.problem("not everything was moved");
        }
        Ok(())
    }
}
