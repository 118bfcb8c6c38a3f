//! What becomes of a database in a file when its disk is bad.
//!
//! The life of [`crash_points`](crate::crash_points) is lived by a process of its own under `strace`, which has its calls
//! fail one after the other: reads, writes, syncs, truncations and removals. Writes fail once or from then on, as on a full
//! disk; they are cut short by a limit of the size of files; and the process is killed at them. Another process, whose disk
//! is good, then opens what was left, holds it against what was acknowledged, and goes on with it.
//!
//! A life is also recorded, with every byte that it writes and each time that it asks for them to be on the disk. From that
//! the file is made as a power failure would have left it at each of these times: without what was not yet synced, with all
//! of it, and with some of its sectors.

mod disk;
mod faults;
mod power;
mod trace;

pub use disk::{Disk, Loss};
pub use faults::{Call, Fault, Way, faults};
pub use power::{Failure, failures};
pub use trace::{Counts, Event, events};

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use tasker_engine::{Entropy as _, SeededEntropy};

use crate::crash_points::{Ended, Ground, Plan, Span, live_on, on_all_cores};

/// One history in which the disk was bad.
#[derive(Clone, Debug)]
pub struct History {
    /// What went wrong.
    pub what: String,
    /// How often it did.
    pub happened: usize,
    /// How many entries the histories of both processes have.
    pub transitions: u64,
    /// What is violated.
    pub problems: Vec<String>,
}

/// Has a program live, again and again, with a bad disk.
///
/// It is started with `live`, the ground as JSON, `whole` or `finish`, and the largest size of a file or 0.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The program.
    pub program: PathBuf,
}

impl Suite {
    /// Returns how often each call is made in a life without a fault.
    ///
    /// # Errors
    ///
    /// When `strace` cannot be started, or the life goes wrong though nothing does.
    pub fn count(&self) -> anyhow::Result<Counts> {
        let place = Place::new()?;
        let mut strace = place.strace(&["-y"]);
        strace.args(["-e", &format!("trace={}", Call::ALL.map(Call::name).join(","))]);
        let (status, ended) = self.live(strace, &place, Span::Whole, 0)?;
        let trace = place.trace()?;
        ensure!(
            status.success(),
            "`strace` cannot follow a process here: {status}; it needs the right to trace its children (ptrace)"
        );
        let ended = ended.context("a life under `strace` ends without a word")?;
        ensure!(
            ended.problems.is_empty() && ended.gave_up.is_none(),
            "a life without a fault goes wrong: {ended:?}"
        );
        let counts = Counts::of(&trace);
        ensure!(counts.of_call("pwrite64") > 0, "`strace` sees no writes");
        Ok(counts)
    }

    /// Lives once with each of these faults.
    ///
    /// # Errors
    ///
    /// When a life cannot begin.
    pub fn run(&self, faults: &[Fault]) -> anyhow::Result<Vec<History>> {
        on_all_cores("faults of calls", faults, |_, fault| {
            let mut history = self.suffer(fault, Span::ToFinish)?;
            if history.happened == 0 && history.problems.is_empty() {
                history = self.suffer(fault, Span::Whole)?;
            }
            Ok(history)
        })
    }

    fn suffer(&self, fault: &Fault, span: Span) -> anyhow::Result<History> {
        let place = Place::new()?;
        let mut strace = place.strace(&["-y"]);
        strace.args(fault.arguments());
        let (status, ended) = self.live(strace, &place, span, fault.limit())?;
        let happened = fault.happened(&place.trace()?);
        let mut history = History {
            what: fault.to_string(),
            happened,
            transitions: 0,
            problems: Vec::new(),
        };
        match ended {
            Some(ended) => {
                history.transitions += ended.transitions;
                history.problems.extend(ended.problems);
                if let Some(error) = ended.gave_up
                    && happened == 0
                {
                    history
                        .problems
                        .push(format!("it gave up without a fault: {error}"));
                }
            }
            None if fault.kills() && happened > 0 => {}
            None => history.problems.push(format!("the process ended: {status}")),
        }
        history.go_on(&place.ground())?;
        Ok(history)
    }

    /// Lives once, and writes down what was written when.
    ///
    /// # Errors
    ///
    /// When the life goes wrong.
    pub fn record(&self) -> anyhow::Result<Vec<Event>> {
        let place = Place::new()?;
        let mut strace = place.strace(&["-y", "-xx", "-s", "1000000"]);
        strace.arg("-P").arg(place.path().join("log"));
        strace.args([
            "-e",
            "trace=openat,write,pwrite64,pwritev,fallocate,ftruncate,fdatasync,fsync,unlink,rename",
        ]);
        let (status, ended) = self.live(strace, &place, Span::Whole, 0)?;
        ensure!(
            ended.is_some_and(|ended| ended.problems.is_empty() && ended.gave_up.is_none()),
            "a life that is recorded goes wrong: {status}"
        );
        events(&place.trace()?, place.path())
    }

    /// Goes on after each of these failures of the power.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn restore(&self, events: &[Event], failures: &[Failure]) -> anyhow::Result<Vec<History>> {
        on_all_cores("failures of the power", failures, |_, failure| {
            let place = Place::new()?;
            let mut disk = Disk::default();
            for event in &events[..failure.after] {
                disk.apply(event);
            }
            let entropy = SeededEntropy::new(failure.after as u64);
            for (file, bytes) in disk.after(failure.loss, || entropy.next_u64().is_multiple_of(2)) {
                let file = place.path().join(file);
                std::fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
            }
            let mut history = History {
                what: failure.to_string(),
                happened: 1,
                transitions: 0,
                problems: Vec::new(),
            };
            history.go_on(&place.ground())?;
            Ok(history)
        })
    }

    fn live(
        &self,
        mut strace: Command,
        place: &Place,
        span: Span,
        limit: u64,
    ) -> anyhow::Result<(std::process::ExitStatus, Option<Ended>)> {
        let span = match span {
            Span::Whole => "whole",
            Span::ToFinish => "finish",
        };
        let output = strace
            .arg(&self.program)
            .arg("live")
            .arg(serde_json::to_string(&place.ground())?)
            .args([span, &limit.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .context("cannot start `strace`")?;
        let ended = output.status.success().then_some(output.stdout);
        let ended = ended.map(|told| serde_json::from_slice(&told).context("the life cannot be understood"));
        Ok((output.status, ended.transpose()?))
    }
}

impl History {
    /// Has a process whose disk is good take over.
    fn go_on(&mut self, ground: &Ground) -> anyhow::Result<()> {
        let ended = live_on(ground, Plan::new())?;
        self.transitions += ended.transitions;
        self.problems.extend(
            ended
                .problems
                .into_iter()
                .map(|problem| format!("afterwards: {problem}")),
        );
        Ok(())
    }
}

/// A directory for one life.
#[derive(Debug)]
struct Place {
    directory: tempfile::TempDir,
}

/// What the directory holds for the database, and for the one that everything is moved to.
const FILES: [&str; 2] = ["tasker.db", "moved/tasker.db"];

impl Place {
    fn new() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(crate::stores::in_memory())?;
        std::fs::create_dir(directory.path().join("moved"))?;
        Ok(Self { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn ground(&self) -> Ground {
        Ground::Sqlite {
            directory: self.path().to_owned(),
        }
    }

    /// Returns `strace`, which follows what is done to the files.
    fn strace(&self, arguments: &[&str]) -> Command {
        // A file that would grow too large gets an error instead of a signal.
        let mut strace = Command::new("sh");
        strace.args([
            "-c",
            "trap '' XFSZ; exec strace \"$@\"",
            "strace",
            "-f",
            "--seccomp-bpf",
        ]);
        strace.args(["-e", "signal=none"]).args(arguments);
        strace.arg("-o").arg(self.path().join("trace"));
        for file in FILES {
            for suffix in ["", "-wal", "-journal", "-shm"] {
                strace.arg("-P").arg(self.path().join(format!("{file}{suffix}")));
            }
        }
        strace
    }

    fn trace(&self) -> anyhow::Result<String> {
        let path = self.path().join("trace");
        std::fs::read_to_string(&path).with_context(|| {
            format!(
                "`strace` has written nothing to {}; is it installed, and may it trace its children?",
                path.display()
            )
        })
    }
}
