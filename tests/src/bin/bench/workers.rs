//! Several workers on PostgreSQL: how soon one goes on where another ended, and what more processes bring.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _};
use serde_json::json;
use tasker::{SystemClock, SystemEntropy};
use tasker_engine::{
    Actor, Clock as _, Create, Entropy as _, NewTask, Resolve, Resolved, StepBuilder, Store as _, Template,
    Unresolved, handler,
};
use tasker_types::{HandlerRef, Namespace, TaskState, Version, WorkerId};
use tokio_util::sync::CancellationToken;

use crate::engine::{chain, new_task, runtime, worker, worker_with};
use crate::figure::{Figure, Figures, median};
use crate::postgres::{Bench, open};

/// How many tasks are handed over.
const TASKS: usize = 300;

/// The handlers of a chain, in turn.
const HANDLERS: [&str; 2] = ["one", "other"];

/// How many milliseconds a hand-over between processes may take beyond one within a process.
const BETWEEN: f64 = 5.0;

/// How long processes may work on their tasks.
const PATIENCE: Duration = Duration::from_secs(300);

/// Notes when a step starts, which ends at once.
struct Noting {
    /// The handlers that it has.
    own: &'static [&'static str],
    starts: Arc<Mutex<Vec<Instant>>>,
}

impl Resolve for Noting {
    fn resolve(&self, _: &Namespace, name: &HandlerRef) -> Result<Resolved, Unresolved> {
        if !self.own.contains(&name.to_string().as_str()) {
            return Err(Unresolved {
                message: format!("there is no handler `{name}` here"),
            });
        }
        let starts = Arc::clone(&self.starts);
        Ok(Resolved {
            handler: handler(move || {
                let starts = Arc::clone(&starts);
                async move {
                    starts
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(Instant::now());
                    Ok(json!({ "done": true }))
                }
            }),
            version: Version::new(1, 0, 0),
        })
    }
}

/// Returns four steps in a row, whose handlers take turns.
fn alternating() -> anyhow::Result<Arc<Template>> {
    let step = |number: usize| {
        let step = StepBuilder::new(format!("s{number}"), HANDLERS[number % 2]);
        match number {
            0 => step,
            _ => step.depends_on([format!("s{}", number - 1)]),
        }
    };
    let steps = (0..4).map(step);
    Ok(steps
        .fold(Template::builder("alternating"), |template, step| {
            template.step(step)
        })
        .build()?)
}

/// Measures how long after the end of a step its child starts, in one process, and where the child's handler is another's.
pub(crate) fn hand_over(bench: &Bench, figures: &mut Figures) -> anyhow::Result<()> {
    let before = bench.single_latency()?;
    let within = median(&runtime()?.block_on(starts_apart(bench, &[&HANDLERS]))?);
    let between = median(&runtime()?.block_on(starts_apart(bench, &[&HANDLERS[..1], &HANDLERS[1..]]))?);
    let baseline = f64::midpoint(before, bench.single_latency()?);
    figures.add(
        Figure::new("postgres_hand_over_p50", "ms", within)
            .beside("one client's pgbench transaction", baseline)
            .at_most(2.0),
    );
    figures.add(
        Figure::new("postgres_hand_over_between_p50", "ms more", between - within)
            .beside("five milliseconds", BETWEEN)
            .at_most(1.0),
    );
    Ok(())
}

/// Runs tasks one after the other, by workers that share nothing but the database and have these handlers, and returns the
/// times from the start of each step, which ends at once, to that of its child.
async fn starts_apart(bench: &Bench, workers: &[&'static [&'static str]]) -> anyhow::Result<Vec<Duration>> {
    let schema = bench.cluster().schema();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let stop = CancellationToken::new();
    let mut running = Vec::new();
    let mut handles = Vec::new();
    for own in workers.iter().copied() {
        let store = open(bench.cluster().url(), &schema, 2).await?;
        let noting = Noting {
            own,
            starts: Arc::clone(&starts),
        };
        let worker = worker_with(Arc::new(store), 8, 50, noting)?;
        handles.push(worker.handle());
        running.push(tokio::spawn(worker.run(stop.clone(), CancellationToken::new())));
    }
    let (first, last) = (&handles[0], &handles[handles.len() - 1]);
    let mut finished = last.finished();
    let template = alternating()?;
    let mut apart = Vec::new();
    for _ in 0..TASKS {
        first.create(Actor::System, vec![new_task(&template)]).await?;
        finished.recv().await.context("the worker ended too early")?;
        let mut starts = starts.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(starts.len() == 4, "a task started {} steps", starts.len());
        apart.extend(starts.windows(2).map(|pair| pair[1] - pair[0]));
        starts.clear();
    }
    stop.cancel();
    for worker in running {
        worker.await??;
    }
    Ok(apart)
}

/// Measures what one, two, four and eight processes do, from their start to the end of the last task.
pub(crate) fn processes(
    bench: &Bench,
    tasks: usize,
    batch: u32,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for count in [1, 2, 4, 8] {
        let steps = runtime()?.block_on(share(bench, count, tasks, batch))?;
        figures.add(Figure::new(
            &format!("postgres_processes_{count}"),
            "steps/s",
            steps,
        ));
        all.push(steps);
    }
    let (least, most) = all.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), steps| {
        (least.min(*steps), most.max(*steps))
    });
    figures.add(
        Figure::new("postgres_processes_slowest", "steps/s", least)
            .beside("the best of them", most)
            .at_least(0.5),
    );
    Ok(())
}

/// Processes, which are ended with this.
struct Processes(Vec<Child>);

impl Drop for Processes {
    fn drop(&mut self) {
        for process in &mut self.0 {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

async fn share(bench: &Bench, count: usize, tasks: usize, batch: u32) -> anyhow::Result<f64> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        left: i64,
        #[diesel(sql_type = BigInt)]
        complete: i64,
    }
    let (url, schema) = (bench.cluster().url(), bench.cluster().schema());
    let store = open(url, &schema, 2).await?;
    let creator = WorkerId::new(SystemClock.now(), SystemEntropy.next_u128());
    let template = chain(4)?;
    let all: Vec<NewTask> = (0..tasks).map(|_| new_task(&template)).collect();
    for chunk in all.chunks(1_000) {
        store
            .create(Create::new(creator, Actor::System, chunk.to_vec()))
            .await?;
    }
    store.close().await?;
    let mut connection = AsyncPgConnection::establish(url).await?;
    let program = std::env::current_exe()?;
    let began = Instant::now();
    let mut processes = Processes(Vec::new());
    for _ in 0..count {
        let process = Command::new(&program)
            .args(["--work", url, "--schema", &schema, "--batch", &batch.to_string()])
            .stdin(Stdio::null())
            .spawn()?;
        processes.0.push(process);
    }
    // The tasks that are active are in an index of their own.
    let left = format!(
        "SELECT count(*) AS left, 0::bigint AS complete FROM {schema}.tasks WHERE next_check_at IS NOT NULL"
    );
    loop {
        let row: Row = diesel::sql_query(&left).get_result(&mut connection).await?;
        if row.left == 0 {
            break;
        }
        anyhow::ensure!(
            began.elapsed() < PATIENCE,
            "{} tasks are left after {PATIENCE:?}",
            row.left
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    drop(processes);
    let state = TaskState::Complete;
    let complete =
        format!("SELECT 0::bigint AS left, count(*) AS complete FROM {schema}.tasks WHERE state = '{state}'");
    let row: Row = diesel::sql_query(complete).get_result(&mut connection).await?;
    anyhow::ensure!(
        usize::try_from(row.complete)? == tasks,
        "{} of {tasks} tasks are complete",
        row.complete
    );
    Ok((tasks * 4) as f64 / seconds)
}

/// Works on the tasks of a database until the process is ended.
pub(crate) fn work(url: &str, schema: &str, batch: u32) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let store = open(url, schema, 2).await?;
        let worker = worker(Arc::new(store), batch * 2, batch)?;
        worker
            .run(CancellationToken::new(), CancellationToken::new())
            .await?;
        Ok(())
    })
}
