//! What `tasker serve` does over HTTP, asked by this process: creating tasks, lists among many, a task with what holds it
//! up, the handlers, and its memory at rest.

mod client;
mod fill;
mod service;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tasker_engine::Store;
use tasker_store::{PostgresOptions, PostgresStore};

use crate::figure::{Figure, Figures, median, percentile};
use crate::postgres::{Bench, Transactions};
use crate::{bare, engine};
use service::{Service, Setup, Work};

/// How many connections create tasks side by side.
const CONNECTIONS: usize = 32;
/// How many clients `pgbench` has. As many that commit to a file in turn, since one writes at a time, wait so many times as
/// long as one.
const CLIENTS: f64 = 8.0;
/// How many tasks they create in a turn.
const CREATED: usize = 4_000;
/// How often that is measured, with the baseline before and after.
const TURNS: usize = 3;
/// How many handlers a service has.
const HANDLERS: usize = 100;
/// How many steps a large task has, and how many such tasks are looked at.
const STEPS: usize = 100;
const LARGE: usize = 200;
/// How often each page is asked for.
const TIMES: usize = 200;
/// Which page is far away.
const FAR: usize = 100;
/// How long the 99th of a hundred pages of a list may take, in milliseconds.
const PAGE: f64 = 20.0;
/// How much longer the hundredth page of a list may take than the first.
const SAME: f64 = 1.25;

/// Measures a service that keeps its tasks in a file.
pub(crate) fn sqlite(listed: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let mut http = Http::new("sqlite", None)?;
    let commits = || {
        let per_second = bare::commits_per_second()?;
        Ok(Transactions {
            per_second,
            latency: CLIENTS * 1_000.0 / per_second,
        })
    };
    http.at_rest(figures)?;
    http.creating("commits of eight clients in turn", &commits, figures)?;
    http.directory = directory()?;
    engine::runtime()?.block_on(async {
        let store = engine::open(http.directory.path())?;
        http.filled(&*store, listed, figures).await?;
        store.close().await?;
        anyhow::Ok(())
    })?;
    http.looking(listed, figures)
}

/// Measures a service that keeps its tasks on a server.
pub(crate) fn postgres(listed: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let mut http = Http::new("postgres", Some(bench.cluster().url().to_owned()))?;
    http.at_rest(figures)?;
    http.creating(
        "pgbench -N -c 8 -j 2 -M prepared",
        &|| bench.transactions(),
        figures,
    )?;
    drop(bench);
    let bench = Bench::start()?;
    http.database = Some(bench.cluster().url().to_owned());
    engine::runtime()?.block_on(async {
        let store = PostgresStore::open(PostgresOptions::new(bench.cluster().url())).await?;
        http.filled(&store, listed, figures).await?;
        store.close().await?;
        anyhow::Ok(())
    })?;
    // As the server does by itself some time after so many rows have come.
    let ready = bench
        .cluster()
        .psql()
        .args(["--command", "VACUUM ANALYZE"])
        .status()?;
    anyhow::ensure!(ready.success(), "the server cannot look at its tables");
    http.looking(listed, figures)
}

/// Returns a directory with the templates of a service: one of four steps in a row, a large one, and many like the first.
fn directory() -> anyhow::Result<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    let templates = directory.path().join("templates");
    std::fs::create_dir(&templates)?;
    for number in 0..HANDLERS - 1 {
        let mut text = format!("name: order_{number}\nsteps:\n");
        for step in 0..4 {
            write!(
                text,
                "  - {{ name: s{step}, handler: sleep, config: {{ seconds: 0 }}"
            )?;
            if step > 0 {
                write!(text, ", depends_on: [s{}]", step - 1)?;
            }
            text.push_str(" }\n");
        }
        std::fs::write(templates.join(format!("order_{number}.yaml")), text)?;
    }
    // Rows of ten, of which each step waits for two of the row before.
    let mut text = "name: large\nsteps:\n".to_owned();
    for step in 0..STEPS {
        write!(
            text,
            "  - {{ name: s{step}, handler: sleep, config: {{ seconds: 0 }}"
        )?;
        if step >= 10 {
            let above = step - 10;
            let beside = above / 10 * 10 + (above + 1) % 10;
            write!(text, ", depends_on: [s{above}, s{beside}]")?;
        }
        text.push_str(" }\n");
    }
    std::fs::write(templates.join("large.yaml"), text)?;
    Ok(directory)
}

/// The benches of one store.
struct Http {
    store: &'static str,
    program: PathBuf,
    directory: tempfile::TempDir,
    database: Option<String>,
}

impl Http {
    fn new(store: &'static str, database: Option<String>) -> anyhow::Result<Self> {
        Ok(Self {
            store,
            program: crate::tasker()?,
            directory: directory()?,
            database,
        })
    }

    fn start(&self, work: Work) -> anyhow::Result<Service> {
        Service::start(Setup {
            program: &self.program,
            directory: self.directory.path(),
            database: self.database.as_deref(),
            work,
        })
    }

    fn name(&self, name: &str) -> String {
        format!("{}_http_{name}", self.store)
    }

    /// The memory of a service that has answered a few requests and rests, and how soon it shows its handlers.
    fn at_rest(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let service = self.start(Work::Steps)?;
        let times = engine::runtime()?.block_on(async {
            let mut client = service.client().await?;
            let path = service.path("/tasks");
            let (task, _) = client.post(&path, order()).await?;
            let task: Value = serde_json::from_slice(&task)?;
            let id = task["task"]["task_id"].as_str().context("a task has an id")?;
            client.get(&format!("{path}/{id}")).await?;
            client.get(&path).await?;
            let handlers = service.path("/handlers");
            client.get(&handlers).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            figures.add(
                Figure::new(&self.name("idle_memory"), "MB", service.memory_mb()?)
                    .beside("the limit", 40.0)
                    .at_most(1.0),
            );
            let mut times = Vec::with_capacity(TIMES);
            for _ in 0..TIMES {
                times.push(client.get(&handlers).await?.1);
            }
            anyhow::Ok(times)
        })?;
        figures.add(
            Figure::new(&self.name("handlers_p50"), "ms", median(&times))
                .beside("the limit", 1.0)
                .at_most(1.0),
        );
        figures.add(Figure::new(
            &self.name("handlers_p99"),
            "ms",
            percentile(&times, 99),
        ));
        Ok(())
    }

    /// How many tasks of four steps are created while a worker runs them, beside what the database commits.
    fn creating(
        &self,
        baseline: &str,
        transactions: &dyn Fn() -> anyhow::Result<Transactions>,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let service = self.start(Work::Steps)?;
        let runtime = engine::runtime()?;
        // Connections are made and statements prepared.
        runtime.block_on(create(&service, CREATED / 10))?;
        let mut before = transactions()?;
        let mut turns = Vec::with_capacity(TURNS);
        for _ in 0..TURNS {
            let created = runtime.block_on(create(&service, CREATED))?;
            let after = transactions()?;
            let baseline = Transactions {
                per_second: f64::midpoint(before.per_second, after.per_second),
                latency: f64::midpoint(before.latency, after.latency),
            };
            turns.push((created, baseline));
            before = after;
        }
        turns.sort_by(|(one, beside_one), (other, beside_other)| {
            let ratio = one.per_second / beside_one.per_second;
            ratio.total_cmp(&(other.per_second / beside_other.per_second))
        });
        let (created, beside) = &turns[TURNS / 2];
        figures.add(
            Figure::new(&self.name("create"), "tasks/s", created.per_second)
                .beside(&format!("{baseline} a second"), beside.per_second)
                .at_least(0.5),
        );
        figures.add(
            Figure::new(&self.name("create_p99"), "ms", percentile(&created.times, 99))
                .beside(&format!("the mean latency of {baseline}"), beside.latency)
                .at_most(20.0),
        );
        figures.add(Figure::new(
            &self.name("create_p50"),
            "ms",
            median(&created.times),
        ));
        Ok(())
    }

    /// Fills the store of a service.
    async fn filled(&self, store: &dyn Store, tasks: usize, figures: &mut Figures) -> anyhow::Result<()> {
        let start = Instant::now();
        fill::fill(store, tasks).await?;
        let rate = tasks as f64 / start.elapsed().as_secs_f64();
        figures.add(Figure::new(&self.name("filled"), "tasks/s", rate));
        Ok(())
    }

    /// How soon a service finds some among many tasks, and shows a large one.
    fn looking(&self, listed: usize, figures: &mut Figures) -> anyhow::Result<()> {
        let runtime = engine::runtime()?;
        let service = self.start(Work::Nothing)?;
        let large = runtime.block_on(async {
            let mut client = service.client().await?;
            let (_, status) = client.get("/health/status").await?;
            let status = status.as_secs_f64() * 1_000.0;
            figures.add(Figure::new(
                &self.name(&format!("status_of_{listed}")),
                "ms",
                status,
            ));
            for (name, filter) in fill::LISTS {
                self.list(&service, &mut client, name, filter, figures).await?;
            }
            let body = Bytes::from(json!({ "name": "large", "context": {} }).to_string());
            let mut large = Vec::with_capacity(LARGE);
            for _ in 0..LARGE {
                let (task, _) = client.post(&service.path("/tasks"), body.clone()).await?;
                let task: Value = serde_json::from_slice(&task)?;
                let id = task["task"]["task_id"].as_str().context("a task has an id")?;
                large.push(service.path(&format!("/tasks/{id}?include_dependencies=true")));
            }
            anyhow::Ok(large)
        })?;
        drop(service);
        // Another service has kept nothing of them.
        let service = self.start(Work::Nothing)?;
        let times = runtime.block_on(async {
            let mut client = service.client().await?;
            let mut times = Vec::with_capacity(LARGE);
            for path in &large {
                times.push(client.get(path).await?.1);
            }
            anyhow::Ok(times)
        })?;
        for percent in [50, 99] {
            let name = self.name(&format!("task_of_{STEPS}_with_dependencies_p{percent}"));
            figures.add(
                Figure::new(&name, "ms", percentile(&times, percent))
                    .beside("the limit", 5.0)
                    .at_most(1.0),
            );
        }
        Ok(())
    }

    /// The first page of a list, and one that is far away, in turn.
    async fn list(
        &self,
        service: &Service,
        client: &mut client::Client,
        name: &str,
        filter: &str,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let path = service.path(&format!("/tasks?limit=20{filter}"));
        let mut page = client.read(&path).await?;
        let mut far = None;
        for _ in 1..FAR {
            far = page["next_cursor"]
                .as_str()
                .map(|cursor| format!("{path}&cursor={cursor}"));
            let Some(next) = &far else { break };
            page = client.read(next).await?;
        }
        let (mut first, mut hundredth) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            first.push(client.get(&path).await?.1);
            if let Some(far) = &far {
                hundredth.push(client.get(far).await?.1);
            }
        }
        figures.add(
            Figure::new(
                &self.name(&format!("list_{name}_p99")),
                "ms",
                percentile(&first, 99),
            )
            .beside("the limit", PAGE)
            .at_most(1.0),
        );
        if far.is_none() {
            return Ok(());
        }
        figures.add(
            Figure::new(
                &self.name(&format!("list_{name}_far_p50")),
                "ms",
                median(&hundredth),
            )
            .beside("the first page", median(&first))
            .at_most(SAME),
        );
        figures.add(
            Figure::new(
                &self.name(&format!("list_{name}_far_p99")),
                "ms",
                percentile(&hundredth, 99),
            )
            .beside("the limit", PAGE)
            .at_most(1.0),
        );
        Ok(())
    }
}

/// Returns the request of a task of four steps.
fn order() -> Bytes {
    json!({ "name": "order_0", "context": { "order": 7 } })
        .to_string()
        .into()
}

/// How creating tasks went.
struct Created {
    per_second: f64,
    times: Vec<Duration>,
}

/// Creates tasks over all connections, and waits until they have ended.
async fn create(service: &Service, tasks: usize) -> anyhow::Result<Created> {
    let path = service.path("/tasks");
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(service.client().await?);
    }
    let start = Instant::now();
    let each = tasks / CONNECTIONS;
    let creating: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let path = path.clone();
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(each);
                for _ in 0..each {
                    times.push(client.post(&path, order()).await?.1);
                }
                anyhow::Ok(times)
            })
        })
        .collect();
    let mut times = Vec::with_capacity(tasks);
    for created in creating {
        times.extend(created.await??);
    }
    let per_second = times.len() as f64 / start.elapsed().as_secs_f64();
    let mut client = service.client().await?;
    let active = service.path("/tasks?limit=1&state=pending&state=in_progress");
    let deadline = Instant::now() + Duration::from_secs(120);
    while client.read(&active).await?["tasks"] != json!([]) {
        anyhow::ensure!(Instant::now() < deadline, "tasks have not ended for two minutes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Created { per_second, times })
}
