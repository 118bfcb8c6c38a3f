//! Servers that restart, connections that break, answers that are lost.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use tasker_engine::{Receipt, StoreError, Turn};
use tasker_store::PostgresStore;
use tasker_testkit::{Cluster, Durability, Harness, ManualClock, shapes, succeed};
use tasker_types::{StepNo, StepState, TaskId, TaskState};
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
    at(cluster.url(), &cluster.schema()).await
}

/// Opens a store in a schema.
async fn at(url: &str, schema: &str) -> Harness {
    let clock = ManualClock::new();
    let options = tasker_store::PostgresOptions::new(url)
        .schema(schema)
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
    let h = at(cluster.url(), "refusing").await;
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

/// Two transactions that lock the same rows in different orders: the server ends one of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_costs_nothing() {
    let settings = [("deadlock_timeout", "20ms")];
    let cluster = Cluster::start_with(Durability::None, &settings).unwrap();
    let h = at(cluster.url(), "crossed").await;
    let tasks = [h.create(shapes::single()).await, h.create(shapes::single()).await];
    let claims = h.claim(2).await;
    let mut other = AsyncPgConnection::establish(cluster.url()).await.unwrap();
    let mut watching = AsyncPgConnection::establish(cluster.url()).await.unwrap();
    let lock = |task: TaskId| format!("SELECT FROM crossed.tasks WHERE id = '{task}' FOR UPDATE");
    // The other one waits without looking for a deadlock, so that the store's transaction is the one that is ended.
    let begin = format!("SET deadlock_timeout = '1min'; BEGIN; {}", lock(tasks[1]));
    other.batch_execute(&begin).await.unwrap();
    let reporting = h.turn(claims.iter().map(succeed).collect(), 0);
    let crossing = async {
        // The store has locked the first task by now, and waits for the second.
        const WAITING: &str = "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_stat_activity \
             WHERE application_name = 'tasker' AND wait_event_type = 'Lock') LOOP \
             PERFORM pg_sleep(0.001); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$";
        watching.batch_execute(WAITING).await.unwrap();
        other.batch_execute(&lock(tasks[0])).await.unwrap();
        other.batch_execute("COMMIT").await.unwrap();
    };
    let (reply, ()) = tokio::join!(reporting, crossing);
    assert_eq!(reply.receipts, [Receipt::Recorded; 2]);
    for task in tasks {
        assert_eq!(h.state(task).await, TaskState::Complete);
        assert_eq!(h.life(task, StepNo(0)).await.len(), 2);
    }
    h.verify().await;
}

/// Errors that the same request may not meet again.
#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again() {
    let cluster = Cluster::shared();
    let schema = cluster.schema();
    let h = at(cluster.url(), &schema).await;
    let mut other = AsyncPgConnection::establish(cluster.url()).await.unwrap();
    for (code, message) in [
        ("40001", "could not serialize access due to concurrent update"),
        ("40P01", "deadlock detected"),
        ("57014", "canceling statement due to statement timeout"),
        ("55P03", "canceling statement due to lock timeout"),
        (
            "25P03",
            "terminating connection due to idle-in-transaction timeout",
        ),
    ] {
        let refusing = format!(
            "SET search_path = {schema}; CREATE SEQUENCE refusals; \
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('{schema}.refusals') <= 2 \
                 THEN RAISE EXCEPTION '{message}' USING ERRCODE = '{code}'; END IF; RETURN NULL; END $$; \
             CREATE TRIGGER refuse AFTER UPDATE ON steps FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
        );
        let task = h.create(shapes::single()).await;
        let claim = h.claim_one().await;
        other.batch_execute(&refusing).await.unwrap();
        let mut turn = Turn::new(h.worker(), vec![succeed(&claim)], h.want(0));
        let reply = insist(async || {
            let answer = h.store.turn(turn.clone()).await;
            turn.again = true;
            answer
        })
        .await;
        assert_eq!(reply.receipts, [Receipt::Recorded], "{message}");
        assert_eq!(h.life(task, StepNo(0)).await.len(), 2, "{message}");
        let gone = "DROP TRIGGER refuse ON steps; DROP FUNCTION refuse; DROP SEQUENCE refusals";
        other.batch_execute(gone).await.unwrap();
    }
    h.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection_is_asked_again() {
    let settings = [("max_connections", "12"), ("superuser_reserved_connections", "0")];
    let cluster = Cluster::start_with(Durability::None, &settings).unwrap();
    let h = on(&cluster).await;
    let task = h.create(shapes::single()).await;
    cluster.restart().unwrap();
    let mut others = Vec::new();
    while let Ok(other) = AsyncPgConnection::establish(cluster.url()).await {
        others.push(other);
    }
    // What the store finds broken it cannot replace.
    let refused = h.store.examine(task).await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
    others.clear();
    insist(async || h.store.examine(task).await).await;
    h.run_ready().await;
    assert_eq!(h.state(task).await, TaskState::Complete);
    h.verify().await;
}

/// A copy of a server that follows it, in a directory beside its data.
struct Standby<'c> {
    cluster: &'c Cluster,
    directory: PathBuf,
}

impl<'c> Standby<'c> {
    fn follow(cluster: &'c Cluster) -> Self {
        let directory = cluster.directory().unwrap().join("standby");
        let standby = Self { cluster, directory };
        let mut copy = standby.command("pg_basebackup");
        copy.args([
            "--username=tasker",
            "--checkpoint=fast",
            "--write-recovery-conf",
            "--host",
        ])
        .arg(cluster.directory().unwrap())
        .arg("--pgdata")
        .arg(&standby.directory);
        standby.done(copy);
        let sockets = format!("unix_socket_directories = '{}'\n", standby.directory.display());
        let settings = standby.directory.join("postgresql.auto.conf");
        let before = std::fs::read_to_string(&settings).unwrap();
        std::fs::write(settings, before + &sockets).unwrap();
        standby.control("start");
        standby
    }

    /// Returns a command that runs as the server's user.
    fn command(&self, program: &str) -> Command {
        let owner = std::fs::metadata(self.cluster.directory().unwrap()).unwrap();
        let mut command = Command::new(self.cluster.programs().join(program));
        command.current_dir("/").uid(owner.uid()).gid(owner.gid());
        command
    }

    fn control(&self, what: &str) {
        let mut control = self.command("pg_ctl");
        control
            .args([what, "-w", "-s", "-D"])
            .arg(&self.directory)
            .arg("-l")
            .arg(self.directory.join("log"));
        if what == "stop" {
            control.args(["-m", "immediate"]);
        }
        self.done(control);
    }

    fn done(&self, mut command: Command) {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.status().unwrap();
        assert!(status.success(), "{command:?}: {status}");
    }
}

impl Drop for Standby<'_> {
    fn drop(&mut self) {
        self.control("stop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_takes_over_costs_nothing() {
    // What was acknowledged is on both.
    let settings = [
        ("synchronous_standby_names", "*"),
        ("synchronous_commit", "local"),
    ];
    let cluster = Cluster::start_with(Durability::Full, &settings).unwrap();
    let standby = Standby::follow(&cluster);
    let mut primary = AsyncPgConnection::establish(cluster.url()).await.unwrap();
    let following = "ALTER SYSTEM SET synchronous_commit = on";
    primary.batch_execute(following).await.unwrap();
    primary.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let socket = |directory: &Path| directory.display().to_string().replace('/', "%2F");
    let url = format!(
        "postgres://tasker@{},{}/postgres?target_session_attrs=read-write",
        socket(cluster.directory().unwrap()),
        socket(&standby.directory)
    );
    let h = at(&url, "followed").await;
    let mut left = 3;
    run_through(&h, || {
        left -= 1;
        if left == 0 {
            cluster.stop().unwrap();
            standby.control("promote");
        }
    })
    .await;
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
    let url = format!(
        "postgres:///postgres?host={}&user=tasker",
        between.directory.display()
    );
    let h = at(&url, "lost").await;
    let cut = Arc::clone(&between.cut);
    run_through(&h, move || cut.store(true, Ordering::SeqCst)).await;
}
