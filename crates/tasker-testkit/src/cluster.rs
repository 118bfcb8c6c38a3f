//! Throw-away PostgreSQL servers, started from the programs on this machine.
//!
//! A server lives in a directory of its own below the system's temporary one, which only its user may enter, listens on a
//! socket in there and nowhere else, and ends with the process that started it, however that ends: a small shell waits for
//! the end of a pipe, stops the server and removes the directory.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How the directories are called.
const PREFIX: &str = "tasker-postgres-";

/// What to do where there is no server to start.
pub(crate) const MISSING: &str = "no PostgreSQL server is installed: `apt-get install postgresql` on Debian installs one (`cargo xtask test` does it \
     as root), or name a database that may be filled with schemas in TASKER_TEST_DATABASE_URL";

/// What a server promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that outlives a crash of the machine: it never waits for the disk.
    None,
    /// Everything, as in production.
    Full,
}

/// A server that was started for this process alone, or the one that TASKER_TEST_DATABASE_URL names.
#[derive(Debug)]
pub struct Cluster {
    url: String,
    programs: PathBuf,
    /// Its directory, and the shell that guards it; none for a server that was there before.
    own: Option<(PathBuf, Mutex<Option<Child>>)>,
}

impl Cluster {
    /// Returns the server that the tests of this process share.
    ///
    /// # Panics
    ///
    /// When there is none and none can be started, with what to do about it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            #[expect(
                clippy::disallowed_methods,
                reason = "tests are told by their environment which database they may use"
            )]
            let named = std::env::var("TASKER_TEST_DATABASE_URL").ok();
            match named {
                Some(url) => Self {
                    url,
                    programs: programs().unwrap_or_default(),
                    own: None,
                },
                None => Self::start(Durability::None).unwrap_or_else(|problem| panic!("{problem}")),
            }
        })
    }

    /// Starts a server.
    ///
    /// # Errors
    ///
    /// What is missing or went wrong, as a sentence.
    pub fn start(durability: Durability) -> Result<Self, String> {
        Self::start_with(durability, &[])
    }

    /// Starts a server with settings of its own, such as `("max_prepared_transactions", "5")`.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(durability: Durability, settings: &[(&str, &str)]) -> Result<Self, String> {
        let programs = programs().ok_or(MISSING)?;
        sweep();
        let directory = make_directory()?;
        let data = directory.join("data");
        let mut initdb = unprivileged(&directory, &programs.join("initdb"))?;
        initdb
            .args([
                "--username=tasker",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .arg("-D")
            .arg(&data);
        let made = initdb
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("`initdb` cannot be started: {error}"))?;
        if !made.status.success() {
            let told = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(format!("`initdb` failed: {told}"));
        }
        configure(&data, &directory, durability, settings)?;
        let guard = guard(&directory, &programs, &data)?;
        let cluster = Self {
            url: format!("postgres:///postgres?host={}&user=tasker", directory.display()),
            programs,
            own: Some((directory, Mutex::new(Some(guard)))),
        };
        cluster.wait()?;
        Ok(cluster)
    }

    /// Returns the URL of the server's first database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the directory of the server's programs, such as `psql` and `pgbench`.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Returns the directory of the server's socket; `None` for a server that was there before.
    pub fn directory(&self) -> Option<&Path> {
        self.own.as_ref().map(|(directory, _)| directory.as_path())
    }

    /// Returns a name for a schema that no test of this process has had.
    pub fn schema(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("test_{}_{number}", std::process::id())
    }

    /// Starts the server anew, as an administrator does: transactions under way are cut off.
    ///
    /// # Errors
    ///
    /// When `pg_ctl` fails, or the server is not this process's own.
    pub fn restart(&self) -> Result<(), String> {
        self.control(&["restart", "-m", "fast", "-w"])
    }

    /// Stops the server at once and starts it again, as after a crash.
    ///
    /// # Errors
    ///
    /// As [`Cluster::restart`].
    pub fn crash(&self) -> Result<(), String> {
        self.control(&["restart", "-m", "immediate", "-w"])
    }

    /// Stops the server, as an administrator does: transactions under way are cut off.
    ///
    /// # Errors
    ///
    /// As [`Cluster::restart`].
    pub fn stop(&self) -> Result<(), String> {
        self.control(&["stop", "-m", "fast", "-w"])
    }

    /// Starts the server that was stopped.
    ///
    /// # Errors
    ///
    /// As [`Cluster::restart`].
    pub fn start_again(&self) -> Result<(), String> {
        self.control(&["start", "-w"])
    }

    /// Returns a command that carries out SQL in the server's first database, given as its further arguments or written to its
    /// input.
    pub fn psql(&self) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set=ON_ERROR_STOP=1", "--dbname"])
            .arg(&self.url);
        command
    }

    fn control(&self, arguments: &[&str]) -> Result<(), String> {
        let directory = self.directory().ok_or("the server is not this process's own")?;
        let mut command = unprivileged(directory, &self.programs.join("pg_ctl"))?;
        let told = command
            .args(arguments)
            .arg("-D")
            .arg(directory.join("data"))
            .arg("-l")
            .arg(directory.join("log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| format!("`pg_ctl` cannot be started: {error}"))?;
        if told.status.success() {
            return Ok(());
        }
        Err(format!(
            "`pg_ctl` failed: {}",
            String::from_utf8_lossy(&told.stderr)
        ))
    }

    fn wait(&self) -> Result<(), String> {
        let Some(directory) = self.directory() else {
            return Ok(());
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ready = Command::new(self.programs.join("pg_isready"))
                .args(["--quiet", "--dbname=postgres", "--username=tasker", "--host"])
                .arg(directory)
                .status()
                .map_err(|error| format!("`pg_isready` cannot be started: {error}"))?;
            if ready.success() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
                return Err(format!("the PostgreSQL server did not start: {log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some((_, guard)) = &self.own else { return };
        let guard = guard.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut guard) = guard {
            drop(guard.stdin.take());
            // The directory is the guard's to remove.
            let _ = guard.wait();
        }
    }
}

/// Returns the directory of the server's programs: the one in the search path, or the newest that Debian installed.
fn programs() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the search path is where programs are found"
    )]
    let path = std::env::var("PATH").unwrap_or_default();
    let complete = |directory: &PathBuf| {
        ["initdb", "postgres", "pg_ctl", "pg_isready"]
            .iter()
            .all(|name| directory.join(name).is_file())
    };
    if let Some(found) = std::env::split_paths(&path).find(complete) {
        return Some(found);
    }
    let mut installed: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, directory)| complete(directory))
        .collect();
    installed.sort_unstable();
    installed.pop().map(|(_, directory)| directory)
}

/// Removes directories of processes that are gone without their guards.
fn sweep() {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse::<u32>().ok());
        let alive = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
        let served = || {
            fs::read_to_string(entry.path().join("data/postmaster.pid"))
                .ok()
                .and_then(|text| text.lines().next()?.parse().ok())
                .is_some_and(alive)
        };
        if pid.is_some_and(|pid| !alive(pid)) && !served() {
            // Another process may sweep at the same time, and what belongs to another user stays.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Returns the user and group of the server when this process is root, which the server refuses to run as.
fn lowly() -> Result<Option<(u32, u32)>, String> {
    let me = fs::metadata("/proc/self").map_err(|error| format!("/proc/self cannot be read: {error}"))?;
    if me.uid() != 0 {
        return Ok(None);
    }
    let users =
        fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd cannot be read: {error}"))?;
    let ids = |wanted: &str| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres")
        .or_else(|| ids("nobody"))
        .map(Some)
        .ok_or_else(|| "there is no user `postgres` or `nobody` for the server to run as".to_owned())
}

fn make_directory() -> Result<PathBuf, String> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("{PREFIX}{}-{number}", std::process::id()));
    let failed = |error: std::io::Error| format!("`{}` cannot be made: {error}", directory.display());
    // What another process of this number left is nobody's.
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).map_err(failed)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    if let Some((user, group)) = lowly()? {
        chown(&directory, Some(user), Some(group)).map_err(failed)?;
    }
    Ok(directory)
}

/// Returns a command that runs in the server's directory as the server's user.
fn unprivileged(directory: &Path, program: &Path) -> Result<Command, String> {
    let mut command = Command::new(program);
    command.current_dir(directory).env_remove("PGDATA");
    if let Some((user, group)) = lowly()? {
        command.uid(user).gid(group);
    }
    Ok(command)
}

fn configure(
    data: &Path,
    directory: &Path,
    durability: Durability,
    settings: &[(&str, &str)],
) -> Result<(), String> {
    let place = data.join("postgresql.conf");
    let failed = |error: std::io::Error| format!("`{}` cannot be written: {error}", place.display());
    let mut file = fs::OpenOptions::new().append(true).open(&place).map_err(failed)?;
    writeln!(
        file,
        "listen_addresses = ''\nunix_socket_directories = '{}'\nmax_connections = 400\n\
         max_locks_per_transaction = 256\nlogging_collector = off",
        directory.display()
    )
    .map_err(failed)?;
    let further = match durability {
        // Many schemas come and go, none for long: nobody need look after their tables, and each connection that ends gives
        // back all of the shared memory that it saw.
        Durability::None => {
            "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nwal_level = minimal\n\
             max_wal_senders = 0\nautovacuum = off\nshared_buffers = 64MB"
        }
        Durability::Full => "shared_buffers = 256MB\nmax_wal_size = 4GB",
    };
    writeln!(file, "{further}").map_err(failed)?;
    for (name, value) in settings {
        writeln!(file, "{name} = '{value}'").map_err(failed)?;
    }
    Ok(())
}

/// Starts the server below a shell that stops it and removes the directory when this process ends.
fn guard(directory: &Path, programs: &Path, data: &Path) -> Result<Child, String> {
    const SCRIPT: &str = "\"$1/pg_ctl\" start -s -D \"$2\" -l \"$3/log\" -W </dev/null >/dev/null 2>&1; \
         cat >/dev/null; \
         \"$1/pg_ctl\" stop -s -D \"$2\" -m immediate >/dev/null 2>&1; cd /; rm -rf \"$3\"";
    let mut shell = unprivileged(directory, Path::new("/bin/sh"))?;
    shell
        .args(["-c", SCRIPT, "guard"])
        .args([programs, data, directory])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for the tests; the guard ends after them.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("`/bin/sh` cannot be started: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_and_leaves_nothing_behind() {
        let cluster = Cluster::start(Durability::None).unwrap_or_else(|problem| panic!("{problem}"));
        let directory = cluster.directory().unwrap().to_owned();
        assert!(directory.exists());
        assert_ne!(cluster.schema(), cluster.schema());
        cluster.restart().unwrap();
        cluster.stop().unwrap();
        cluster.start_again().unwrap();
        let told = cluster.psql().args(["-c", "SELECT 6 * 7"]).output().unwrap();
        assert_eq!(told.stdout, b"42\n");
        drop(cluster);
        assert!(!directory.exists());
    }
}
