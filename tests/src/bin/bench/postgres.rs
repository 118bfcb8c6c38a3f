//! The engine on PostgreSQL, beside what `pgbench` does on the same server in the same run.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use diesel::sql_types::{BigInt, Double};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _};
use tasker::{SystemClock, SystemEntropy};
use tasker_engine::{Actor, Clock as _, Create, Entropy as _, NewTask, Store as _, StoreError, Template};
use tasker_store::{PostgresOptions, PostgresStore};
use tasker_testkit::{Cluster, Durability};
use tasker_types::{Database, DatabaseValues, TaskId, TaskState, WorkerId};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::{chain, diamond, new_task, runtime, worker};
use crate::figure::{Figure, Figures, median, percentile};
use crate::{held, workers};

/// How long `pgbench` runs each time.
const SECONDS: &str = "5";

/// What can be measured alone.
pub(crate) const PARTS: [&str; 5] = ["throughput", "one-by-one", "latency", "processes", "held"];

/// Measures throughput and latency beside `pgbench`, all parts of it or one.
pub(crate) fn measure(
    only: Option<&str>,
    tasks: usize,
    batch: u32,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    if wanted("throughput") {
        for (shape, template) in [("linear", chain(4)?), ("diamond", diamond()?)] {
            bench.throughput(shape, &template, tasks, batch, figures)?;
        }
    }
    if wanted("one-by-one") {
        bench.one_by_one(tasks / 10, figures)?;
    }
    if wanted("latency") {
        bench.latency(figures)?;
        workers::hand_over(&bench, figures)?;
    }
    if wanted("processes") {
        workers::processes(&bench, tasks, batch, figures)?;
    }
    if wanted("held") {
        held::bench(&bench, batch, figures)?;
    }
    Ok(())
}

/// A server of its own with the tables of `pgbench`.
pub(crate) struct Bench {
    cluster: Cluster,
    directory: PathBuf,
}

/// What `pgbench` does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transactions {
    pub(crate) per_second: f64,
    /// The mean, in milliseconds.
    pub(crate) latency: f64,
}

/// What the server counts.
struct Counts {
    wal: i64,
    commits: i64,
    cpu: f64,
}

impl Bench {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let cluster = Cluster::start(Durability::Full).map_err(anyhow::Error::msg)?;
        let directory = cluster.directory().context("the server is this program's own")?;
        let bench = Self {
            directory: directory.to_owned(),
            cluster,
        };
        bench.pgbench(&["-i", "-q", "-s", "10"])?;
        Ok(bench)
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn pgbench(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let told = Command::new(self.cluster.programs().join("pgbench"))
            .args(arguments)
            .args(["-U", "tasker", "-h"])
            .arg(&self.directory)
            .arg("postgres")
            .stdin(Stdio::null())
            .output()
            .context("`pgbench` cannot be started")?;
        anyhow::ensure!(
            told.status.success(),
            "`pgbench` failed: {}",
            String::from_utf8_lossy(&told.stderr)
        );
        Ok(String::from_utf8_lossy(&told.stdout).into_owned())
    }

    /// Returns what eight clients do.
    pub(crate) fn transactions(&self) -> anyhow::Result<Transactions> {
        let told = self.pgbench(&["-N", "-n", "-c", "8", "-j", "2", "-M", "prepared", "-T", SECONDS])?;
        Ok(Transactions {
            per_second: number_after(&told, "tps = ")?,
            latency: number_after(&told, "latency average = ")?,
        })
    }

    /// Returns the transactions a second of eight clients.
    fn baseline(&self) -> anyhow::Result<f64> {
        Ok(self.transactions()?.per_second)
    }

    /// Returns the mean latency of a single client's transaction, in milliseconds.
    pub(crate) fn single_latency(&self) -> anyhow::Result<f64> {
        let told = self.pgbench(&["-N", "-n", "-c", "1", "-M", "prepared", "-T", SECONDS])?;
        number_after(&told, "latency average = ")
    }

    async fn open(&self, writers: u32) -> anyhow::Result<PostgresStore> {
        open(self.cluster.url(), &self.cluster.schema(), writers).await
    }

    async fn counts(&self) -> anyhow::Result<Counts> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = Double)]
            wal: f64,
            #[diesel(sql_type = BigInt)]
            commits: i64,
        }
        let mut connection = AsyncPgConnection::establish(self.cluster.url()).await?;
        let row: Row = diesel::sql_query(
            "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8 AS wal, \
             (SELECT sum(xact_commit)::bigint FROM pg_stat_database WHERE datname = current_database()) AS commits",
        )
        .get_result(&mut connection)
        .await?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a server in a bench writes less than 9 PB"
        )]
        Ok(Counts {
            wal: row.wal as i64,
            commits: row.commits,
            cpu: self.cpu_seconds()?,
        })
    }

    /// Returns the processor time of the server and all its processes, those that ended among them.
    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(self.directory.join("data/postmaster.pid"))?;
        let server = text.lines().next().context("the server has a number")?.to_owned();
        let mut ticks = 0_u64;
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            let Some((head, rest)) = stat.rsplit_once(')') else {
                continue;
            };
            let fields: Vec<&str> = rest.split_whitespace().collect();
            let is_server = head.split_whitespace().next() == Some(&server);
            if is_server || fields.get(1) == Some(&server.as_str()) {
                // User and system time; for the server those of children that ended, too.
                let last = if is_server { 14 } else { 12 };
                let own = fields.get(11..=last).unwrap_or_default();
                ticks += own
                    .iter()
                    .filter_map(|field| field.parse::<u64>().ok())
                    .sum::<u64>();
            }
        }
        Ok(ticks as f64 / 100.0)
    }

    /// Large batches: four workers of one process share what there is.
    fn throughput(
        &self,
        shape: &str,
        template: &Arc<Template>,
        tasks: usize,
        batch: u32,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let before = self.baseline()?;
        let ran = runtime()?.block_on(self.run(
            template,
            tasks,
            Workers {
                count: 4,
                batch,
                writers: 4,
            },
        ))?;
        let baseline = f64::midpoint(before, self.baseline()?);
        let name = format!("postgres_{shape}_4_batch_{batch}");
        figures.add(Figure::new(&format!("{name}_create"), "steps/s", ran.created));
        figures.add(
            Figure::new(&name, "steps/s", ran.steps)
                .beside(
                    "pgbench -N -c 8 -j 2 -M prepared, tps (ratio_to_pgbench)",
                    baseline,
                )
                .at_least(8.0),
        );
        figures.add(
            Figure::new(&format!("{name}_wal"), "bytes/step", ran.wal)
                .beside("the goal", 1_500.0)
                .at_most(1.0),
        );
        figures.add(
            Figure::new(&format!("{name}_commits"), "commits/step", ran.commits)
                .beside("the goal", 0.05)
                .at_most(1.0),
        );
        figures.add(Figure::new(
            &format!("{name}_per_cpu"),
            "steps/CPU s",
            ran.per_cpu,
        ));
        Ok(())
    }

    /// One step at a time: eight workers of one process.
    fn one_by_one(&self, tasks: usize, figures: &mut Figures) -> anyhow::Result<()> {
        let before = self.baseline()?;
        let template = chain(4)?;
        let workers = Workers {
            count: 8,
            batch: 1,
            writers: 2,
        };
        let ran = runtime()?.block_on(self.run(&template, tasks, workers))?;
        let baseline = f64::midpoint(before, self.baseline()?);
        figures.add(
            Figure::new("postgres_linear_4_batch_1_workers_8", "steps/s", ran.steps)
                .beside(
                    "pgbench -N -c 8 -j 2 -M prepared, tps (ratio_to_pgbench)",
                    baseline,
                )
                .at_least(0.7),
        );
        Ok(())
    }

    async fn run(&self, template: &Arc<Template>, tasks: usize, workers: Workers) -> anyhow::Result<Ran> {
        let store = self.open(workers.writers).await?;
        let creator = WorkerId::new(SystemClock.now(), SystemEntropy.next_u128());
        let all: Vec<NewTask> = (0..tasks).map(|_| new_task(template)).collect();
        let steps = (tasks * template.steps().len()) as f64;
        let began = Instant::now();
        for chunk in all.chunks(1_000) {
            let create = Create::new(creator, Actor::System, chunk.to_vec());
            store.create(create).await?;
        }
        let created = steps / began.elapsed().as_secs_f64();
        let before = self.counts().await?;
        let began = Instant::now();
        let mut crew = Crew::start(&store, workers)?;
        for _ in 0..tasks {
            crew.ended().await?;
        }
        let seconds = began.elapsed().as_secs_f64();
        // The server adds up what a process did when that ends or half a second has passed.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = self.counts().await?;
        crew.stop().await?;
        store.close().await?;
        Ok(Ran {
            created,
            steps: steps / seconds,
            wal: (after.wal - before.wal) as f64 / steps,
            commits: (after.commits - before.commits) as f64 / steps,
            per_cpu: steps / (after.cpu - before.cpu),
        })
    }

    /// A task alone, and how soon a child starts after its parent.
    fn latency(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let before = self.single_latency()?;
        let times = runtime()?.block_on(self.alone())?;
        let baseline = f64::midpoint(before, self.single_latency()?);
        figures.add(
            Figure::new("postgres_task_of_4_alone_p50", "ms", median(&times))
                .beside("one client's pgbench transaction", baseline)
                .at_most(7.0),
        );
        figures.add(
            Figure::new("postgres_task_of_4_alone_p99", "ms", percentile(&times, 99))
                .beside("one client's pgbench transaction", baseline)
                .at_most(15.0),
        );
        Ok(())
    }

    async fn alone(&self) -> anyhow::Result<Vec<Duration>> {
        let store = self.open(2).await?;
        let worker = worker(Arc::new(store.clone()), 8, 50)?;
        let handle = worker.handle();
        let mut finished = handle.finished();
        let stop = CancellationToken::new();
        let running = tokio::spawn(worker.run(stop.clone(), CancellationToken::new()));
        let template = chain(4)?;
        let mut times = Vec::new();
        for _ in 0..500 {
            let start = Instant::now();
            handle.create(Actor::System, vec![new_task(&template)]).await?;
            finished.recv().await.context("the worker ended too early")?;
            times.push(start.elapsed());
        }
        stop.cancel();
        running.await??;
        store.close().await?;
        Ok(times)
    }
}

/// Who works.
#[derive(Clone, Copy)]
pub(crate) struct Workers {
    pub(crate) count: u32,
    pub(crate) batch: u32,
    pub(crate) writers: u32,
}

/// Workers of one process, at work.
pub(crate) struct Crew {
    ended: UnboundedReceiver<(TaskId, TaskState)>,
    stop: CancellationToken,
    running: Vec<JoinHandle<Result<(), StoreError>>>,
}

impl Crew {
    pub(crate) fn start(store: &PostgresStore, workers: Workers) -> anyhow::Result<Self> {
        let (sender, ended) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let mut running = Vec::new();
        for _ in 0..workers.count {
            let slots = if workers.batch == 1 { 1 } else { workers.batch * 2 };
            let worker = worker(Arc::new(store.clone()), slots, workers.batch)?;
            let mut finished = worker.handle().finished();
            let sender = sender.clone();
            running.push(tokio::spawn(worker.run(stop.clone(), CancellationToken::new())));
            tokio::spawn(async move {
                while let Ok(task) = finished.recv().await {
                    // The run is over when nobody listens.
                    let _ = sender.send(task);
                }
            });
        }
        Ok(Self { ended, stop, running })
    }

    /// Waits until one more task is complete.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        let told = tokio::time::timeout(Duration::from_secs(120), self.ended.recv()).await;
        let (task, state) = told
            .context("no task has ended for two minutes")?
            .context("workers")?;
        anyhow::ensure!(state == TaskState::Complete, "task {task} ended as {state}");
        Ok(())
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        for worker in self.running {
            worker.await??;
        }
        Ok(())
    }
}

/// How a run went.
struct Ran {
    created: f64,
    steps: f64,
    wal: f64,
    commits: f64,
    per_cpu: f64,
}

/// Opens a store with so many connections that write.
pub(crate) async fn open(url: &str, schema: &str, writers: u32) -> anyhow::Result<PostgresStore> {
    let values = DatabaseValues {
        writers,
        ..DatabaseValues::default()
    };
    let options = PostgresOptions::new(url)
        .schema(schema)
        .settings(&Database::try_from(values)?);
    Ok(PostgresStore::open(options).await?)
}

fn number_after(text: &str, words: &str) -> anyhow::Result<f64> {
    let found = text
        .split_once(words)
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    found.with_context(|| format!("`pgbench` did not say `{words}`: {text}"))
}
