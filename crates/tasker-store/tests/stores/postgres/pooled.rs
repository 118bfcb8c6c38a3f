//! Behind PgBouncer, and by polling alone.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tasker_engine::{Store as _, StoreError};
use tasker_store::{PostgresOptions, PostgresStore};
use tasker_testkit::{Cluster, Durability, Harness, ManualClock, shapes};
use tasker_types::{Database, DatabaseValues};
use tempfile::TempDir;

/// The port after which sockets are named.
const PORT: u16 = 6_432;

/// A PgBouncer of its own, which ends with this.
#[derive(Debug)]
struct Bouncer {
    process: Child,
    directory: TempDir,
}

impl Bouncer {
    /// Starts one before a server.
    async fn start(cluster: &Cluster, mode: &str) -> Self {
        let server = cluster
            .directory()
            .expect("the server has a socket in its directory");
        let owner = fs::metadata(server).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let users = directory.path().join("users");
        let settings = directory.path().join("settings");
        fs::write(&users, "\"tasker\" \"\"\n").unwrap();
        let mut text = format!("[databases]\n* = host={}\n[pgbouncer]\n", server.display());
        for (key, value) in [
            ("pool_mode", mode),
            ("listen_addr", ""),
            ("listen_port", &PORT.to_string()),
            ("unix_socket_dir", &directory.path().display().to_string()),
            ("auth_type", "trust"),
            ("auth_file", &users.display().to_string()),
            ("default_pool_size", "40"),
        ] {
            writeln!(text, "{key} = {value}").unwrap();
        }
        fs::write(&settings, text).unwrap();
        for path in [directory.path(), &users, &settings] {
            chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        // It refuses to run as root, and Debian keeps it where only root looks.
        let debian = "/usr/sbin/pgbouncer";
        let program = if Path::new(debian).exists() {
            debian
        } else {
            "pgbouncer"
        };
        let process = Command::new(program)
            .args(["-q", "settings"])
            .current_dir(directory.path())
            .uid(owner.uid())
            .gid(owner.gid())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PgBouncer is missing: `apt-get install pgbouncer` on Debian installs it");
        let bouncer = Self { process, directory };
        for _ in 0..1_000 {
            if UnixStream::connect(bouncer.directory.path().join(format!(".s.PGSQL.{PORT}"))).is_ok() {
                return bouncer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("PgBouncer does not start");
    }

    fn url(&self) -> String {
        let directory = self.directory.path().display();
        format!("postgres:///postgres?host={directory}&port={PORT}&user=tasker")
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the options of a store that polls, with one connection that writes and one that reads.
fn polling(url: &str, schema: &str, clock: &ManualClock) -> PostgresOptions {
    let values = DatabaseValues {
        writers: 1,
        readers: 1,
        notifications: false,
        ..DatabaseValues::default()
    };
    PostgresOptions::new(url)
        .schema(schema)
        .settings(&Database::try_from(values).unwrap())
        .clock(Arc::new(clock.clone()))
}

/// Opens a new store that polls, behind a PgBouncer in session mode; before the server itself where that is not this run's.
async fn open(clock: ManualClock) -> Harness {
    let cluster = Cluster::shared();
    let bouncer = match cluster.directory() {
        Some(_) => Some(Bouncer::start(cluster, "session").await),
        None => None,
    };
    let url = bouncer.as_ref().map_or(cluster.url().to_owned(), Bouncer::url);
    let store = PostgresStore::open(polling(&url, &cluster.schema(), &clock))
        .await
        .unwrap();
    Harness::new(Arc::new(store), clock).keeping(bouncer)
}

mod in_session_mode {
    tasker_testkit::conformance!(super::open);
}

#[tokio::test]
async fn a_pool_that_hands_out_transactions_is_refused() {
    let cluster = Cluster::start(Durability::None).unwrap();
    let bouncer = Bouncer::start(&cluster, "transaction").await;
    for _ in 0..2 {
        let options = polling(&bouncer.url(), &cluster.schema(), &ManualClock::new());
        let refused = PostgresStore::open(options).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unusable { .. }), "{refused:?}");
        let told = refused.to_string();
        let what = "its connections share sessions: there is a pooler before it that hands them out for a transaction at a time";
        assert!(told.contains(what), "{told}");
        assert!(told.contains("(`pool_mode = session` in PgBouncer)"), "{told}");
    }
    // It left no mark behind.
    drop(bouncer);
    let bouncer = Bouncer::start(&cluster, "session").await;
    let options = polling(&bouncer.url(), &cluster.schema(), &ManualClock::new());
    PostgresStore::open(options).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn those_who_poll_neither_tell_nor_are_told() {
    let (cluster, clock) = (Cluster::shared(), ManualClock::new());
    let schema = cluster.schema();
    let open = async || {
        let options = polling(cluster.url(), &schema, &clock);
        PostgresStore::open(options).await.unwrap()
    };
    let (one, other) = (open().await, open().await);
    let (creator, worker) = (
        Harness::new(Arc::new(one), clock.clone()),
        Harness::new(Arc::new(other.clone()), clock.clone()),
    );
    let hints = other.wake();
    creator.create(shapes::single()).await;
    assert_eq!(worker.claim(9).await.len(), 1);
    assert!(!hints.has_changed().unwrap());
    let mut asked = cluster.psql();
    let listening = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%tasker wake {schema}%' AND pid <> pg_backend_pid()"
    );
    let told = asked.args(["--command", &listening]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), "0");
}
