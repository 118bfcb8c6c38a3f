//! What a transaction that is held open costs, as a forgotten session does, or a copy of the database that takes long: as long
//! as it is, the server may not remove what was deleted or changed since it began.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use tasker::{SystemClock, SystemEntropy};
use tasker_engine::{Actor, Clock as _, Create, Entropy as _, Store as _, Template};
use tasker_store::PostgresStore;
use tasker_types::WorkerId;

use crate::engine::{chain, new_task, runtime};
use crate::figure::{Figure, Figures};
use crate::postgres::{Bench, Crew, Workers, open};

/// How long steps are counted.
const RUN: Duration = Duration::from_secs(60);

/// Among how many finished tasks the transaction is held.
const FINISHED: usize = 1_000_000;

/// How many tasks are created at once, and how many of them wait at least.
const CREATED: usize = 1_000;
const WAITING: usize = 4_000;

/// Measures what workers do in a minute, beginning with empty tables, and in a minute among many finished tasks while a
/// transaction is open that looks at the database as it was before.
pub(crate) fn bench(bench: &Bench, batch: u32, figures: &mut Figures) -> anyhow::Result<()> {
    let schema = bench.cluster().schema();
    let workers = Workers {
        count: 4,
        batch,
        writers: 4,
    };
    let (empty, held) = runtime()?.block_on(async {
        let store = open(bench.cluster().url(), &schema, workers.writers).await?;
        let mut run = Run {
            creator: WorkerId::new(SystemClock.now(), SystemEntropy.next_u128()),
            template: chain(4)?,
            crew: Crew::start(&store, workers)?,
            store,
            waiting: 0,
            finished: 0,
        };
        let empty = run.steps_per_second().await?;
        while run.finished < FINISHED {
            run.one_more().await?;
        }
        let mut own = AsyncPgConnection::establish(bench.cluster().url()).await?;
        own.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class")
            .await?;
        let held = run.steps_per_second().await?;
        own.batch_execute("COMMIT").await?;
        run.crew.stop().await?;
        run.store.close().await?;
        anyhow::Ok((empty, held))
    })?;
    figures.add(Figure::new("postgres_minute_from_empty", "steps/s", empty));
    figures.add(
        Figure::new("postgres_minute_held_open", "steps/s", held)
            .beside("from empty tables, without a transaction held open", empty)
            .at_least(0.8),
    );
    Ok(())
}

/// Tasks that are created as others end.
struct Run {
    store: PostgresStore,
    crew: Crew,
    creator: WorkerId,
    template: Arc<Template>,
    waiting: usize,
    finished: usize,
}

impl Run {
    /// Waits for one more task to end, after others were created if few wait.
    async fn one_more(&mut self) -> anyhow::Result<()> {
        if self.waiting < WAITING {
            let tasks = (0..CREATED).map(|_| new_task(&self.template)).collect();
            let create = Create::new(self.creator, Actor::System, tasks);
            self.store.create(create).await?;
            self.waiting += CREATED;
        }
        self.crew.ended().await?;
        self.waiting -= 1;
        self.finished += 1;
        Ok(())
    }

    async fn steps_per_second(&mut self) -> anyhow::Result<f64> {
        let (began, before) = (Instant::now(), self.finished);
        while began.elapsed() < RUN {
            self.one_more().await?;
        }
        let steps = (self.finished - before) * self.template.steps().len();
        Ok(steps as f64 / began.elapsed().as_secs_f64())
    }
}
