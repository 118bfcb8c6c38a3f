//! Servers that restart, connections that break, answers that are lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tasker_engine::{StoreError, Turn};
use tasker_store::PostgresStore;
use tasker_testkit::{Cluster, Durability, Harness, ManualClock, shapes, succeed};
use tasker_types::{StepState, TaskState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// Asks until the store can be reached again.
async fn insist<T>(mut ask: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    for _ in 0..200 {
        match ask().await {
            Err(error) if error.is_transient() => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await
            }
            answer => return answer.unwrap(),
        }
    }
    panic!("the store cannot be reached");
}

async fn on(cluster: &Cluster) -> Harness {
    let clock = ManualClock::new();
    let options = tasker_store::PostgresOptions::new(cluster.url())
        .schema(cluster.schema())
        .clock(Arc::new(clock.clone()));
    Harness::new(Arc::new(PostgresStore::open(options).await.unwrap()), clock)
}

/// Runs a chain, and lets something happen to the server before each request.
async fn run_through(h: &Harness, mut trouble: impl FnMut()) {
    let task = h.new_task(shapes::linear(3));
    let id = task.id;
    let create = tasker_engine::Create::new(h.worker(), tasker_engine::Actor::System, vec![task]);
    trouble();
    insist(async || h.store.create(create.clone()).await).await;
    let mut outcomes = Vec::new();
    loop {
        trouble();
        let mut turn = Turn::new(h.worker(), outcomes.clone(), h.want(5));
        let reply = insist(async || {
            let answer = h.store.turn(turn.clone()).await;
            turn.again = true;
            answer
        })
        .await;
        outcomes = reply.claims.iter().map(succeed).collect();
        if outcomes.is_empty() {
            break;
        }
    }
    trouble();
    let snapshot = insist(async || h.store.snapshot(id).await).await.unwrap();
    assert_eq!(snapshot.task.state, TaskState::Complete);
    let runs: Vec<_> = snapshot
        .steps
        .iter()
        .map(|step| (step.state, step.run.0))
        .collect();
    assert_eq!(runs, vec![(StepState::Complete, 1); 3]);
    h.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_before_each_request_costs_nothing() {
    let cluster = Cluster::start(Durability::None).unwrap();
    let h = on(&cluster).await;
    run_through(&h, || cluster.restart().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_before_each_request_costs_nothing() {
    let cluster = Cluster::start(Durability::Full).unwrap();
    let h = on(&cluster).await;
    run_through(&h, || cluster.crash().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_terminated_cost_nothing() {
    let cluster = Cluster::start(Durability::None).unwrap();
    let h = on(&cluster).await;
    let terminate = || {
        let done = std::process::Command::new(cluster.programs().join("psql"))
            .args(["-q", "-U", "tasker", "-d", "postgres", "-h"])
            .arg(cluster.directory().unwrap())
            .args([
                "-c",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tasker'",
            ])
            .output()
            .unwrap();
        assert!(done.status.success());
    };
    run_through(&h, terminate).await;
}

/// A statement is prepared when a connection carries it out first, and what follows must not overtake it.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_transaction_of_a_connection_is_undone_as_a_whole() {
    let cluster = Cluster::start(Durability::None).unwrap();
    let clock = ManualClock::new();
    let options = tasker_store::PostgresOptions::new(cluster.url())
        .schema("refusing")
        .clock(Arc::new(clock.clone()));
    let h = Harness::new(Arc::new(PostgresStore::open(options).await.unwrap()), clock);
    let psql = |sql: &str| {
        let done = std::process::Command::new(cluster.programs().join("psql"))
            .args(["-q", "-U", "tasker", "-d", "postgres", "-h"])
            .arg(cluster.directory().unwrap())
            .args(["-c", &format!("SET search_path = refusing; {sql}")])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    psql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION ''no room''; END'; \
         CREATE TRIGGER refuse BEFORE INSERT ON payloads FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let task = h.new_task(shapes::single());
    let id = task.id;
    let create = tasker_engine::Create::new(h.worker(), tasker_engine::Actor::System, vec![task]);
    let refused = h.store.create(create.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("no room"), "{refused}");
    assert!(h.store.snapshot(id).await.unwrap().is_none());
    psql("DROP TRIGGER refuse ON payloads");
    h.store.create(create).await.unwrap();
    h.run_ready().await;
    assert_eq!(h.state(id).await, TaskState::Complete);
    h.verify().await;
}

/// A socket between the store and the server that can swallow the answer to a commit.
struct Between {
    directory: PathBuf,
    cut: Arc<AtomicBool>,
}

impl Between {
    fn listen(directory: &Path, server: PathBuf) -> Self {
        let cut = Arc::new(AtomicBool::new(false));
        let listener = UnixListener::bind(directory.join(".s.PGSQL.5432")).unwrap();
        let shared = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&shared)));
            }
        });
        Self {
            directory: directory.to_owned(),
            cut,
        }
    }
}

/// Passes on what both say, until a commit comes whose answer is to be lost: then the server gets it, and the client hears
/// nothing any more.
async fn pass(client: UnixStream, server: UnixStream, cut: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read) = from_server.read(&mut buffer).await {
            if read == 0 || to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read) = from_client.read(&mut buffer).await {
        let text = &buffer[..read];
        let commits = text.windows(7).any(|part| part == b"COMMIT\0");
        let lost = commits && cut.swap(false, Ordering::SeqCst);
        if lost {
            answers.abort();
        }
        if read == 0 || to_server.write_all(text).await.is_err() {
            return;
        }
        if lost {
            // The server has the commit before it notices that nobody listens.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_recorded_once() {
    let cluster = Cluster::start(Durability::None).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let socket = cluster.directory().unwrap().join(".s.PGSQL.5432");
    let between = Between::listen(directory.path(), socket);
    let clock = ManualClock::new();
    let url = format!(
        "postgres:///postgres?host={}&user=tasker",
        between.directory.display()
    );
    let options = tasker_store::PostgresOptions::new(url)
        .schema("lost")
        .clock(Arc::new(clock.clone()));
    let h = Harness::new(Arc::new(PostgresStore::open(options).await.unwrap()), clock);
    let cut = Arc::clone(&between.cut);
    run_through(&h, move || cut.store(true, Ordering::SeqCst)).await;
}
