//! One life of a store, and those who work with it.

mod beside;
mod check;
mod deeds;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tasker_engine::Clock as _;
use tasker_engine::Entropy as _;
use tasker_engine::{Claim, SeededEntropy, StoreError, Turn};
use tasker_testkit::ManualClock;
use tasker_types::{Position, RunNo, StepNo, TaskId, Timestamp, WorkerId};

use super::ground::{Ground, Open, beginning};
use super::saboteur::Saboteur;
use super::script::{Cast, Deed};

/// How often something is asked that fails.
const TRIES: u32 = 6;

/// How long a step is leased.
const LEASE: Duration = Duration::from_secs(30);

/// What a process writes down, so that the next one knows what was acknowledged and where it ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Line {
    /// The deed with this number began.
    Began { deed: usize, now: Timestamp },
    /// The result of a step was recorded.
    Recorded { task: TaskId, step: StepNo, run: RunNo },
    /// A task was created.
    Created { task: TaskId },
    /// Tasks were removed, or may have been.
    Pruned,
}

/// What was acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    results: BTreeMap<(TaskId, StepNo), RunNo>,
    created: BTreeSet<TaskId>,
    pruned: bool,
}

/// A store, and who works with it.
pub(super) struct Life {
    ground: Ground,
    clock: ManualClock,
    probe: Arc<Saboteur>,
    open: Option<Open>,
    worker: WorkerId,
    entropy: SeededEntropy,
    held: Vec<Claim>,
    last: Option<Turn>,
    /// What was asked may have been done, by this process or the one before.
    is_unsure: bool,
    /// There was a process before, which may have been stopped at any moment.
    takes_over: bool,
    /// The deed that the process before was at.
    next: usize,
    log: File,
    acknowledged: Acknowledged,
    /// What was asked for was not answered, however often.
    pub(super) gave_up: bool,
    pub(super) transitions: u64,
    pub(super) problems: Vec<String>,
}

impl Life {
    /// Begins a life, or goes on with that of a process that ended.
    pub(super) fn new(ground: Ground, probe: Arc<Saboteur>) -> anyhow::Result<Self> {
        let path = ground.log();
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.with_context(|| format!("{} cannot be written", path.display()))?;
        let (mut acknowledged, mut next, mut now) = (Acknowledged::default(), 0, beginning());
        for line in before.lines() {
            match serde_json::from_str(line)? {
                Line::Began { deed, now: at } => (next, now) = (deed, at),
                line => acknowledged.add(line),
            }
        }
        let takes_over = !before.is_empty();
        if takes_over {
            // The leases of the process before are over.
            now = now.plus(LEASE * 2);
        }
        let entropy = SeededEntropy::new(if takes_over { 2 } else { 1 });
        Ok(Self {
            ground,
            clock: ManualClock::at(now),
            probe,
            open: None,
            worker: WorkerId::new(beginning(), entropy.next_u128()),
            entropy,
            held: Vec::new(),
            last: None,
            is_unsure: takes_over,
            takes_over,
            next,
            log,
            acknowledged,
            gave_up: false,
            transitions: 0,
            problems: Vec::new(),
        })
    }

    /// Lives to the end.
    pub(super) async fn run(&mut self) -> anyhow::Result<()> {
        if self.takes_over {
            self.look_back().await?;
        }
        let mut is_finished = false;
        for (number, deed) in Deed::script(self.ground.place()).into_iter().enumerate() {
            is_finished |= deed == Deed::Finish;
            if number < self.next {
                continue;
            }
            self.note(Line::Began {
                deed: number,
                now: self.clock.now(),
            })?;
            self.probe.begin(&deed.name());
            self.carry_out(deed).await?;
            if is_finished && (self.probe.is_done() || self.next > 0) {
                // Everything has come to its end after the last fault.
                break;
            }
        }
        let checked = self.check().await;
        self.close().await;
        checked
    }

    fn note(&mut self, line: Line) -> anyhow::Result<()> {
        self.acknowledged.add(line);
        writeln!(self.log, "{}", serde_json::to_string(&line)?)?;
        Ok(())
    }

    fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Returns the store, which is opened if it is not.
    async fn opened(&mut self) -> anyhow::Result<Open> {
        let mut tries = 0;
        while self.open.is_none() {
            match self.ground.open(&self.clock, &self.probe).await {
                Ok(open) => self.open = Some(open),
                Err(error) => {
                    tries += 1;
                    if tries == TRIES {
                        self.gave_up = true;
                        return Err(error).context("it cannot be opened any more");
                    }
                }
            }
        }
        self.open.clone().context("it is open")
    }

    async fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.close().await;
        }
    }

    /// Asks for something until it is answered. What is asked is told whether an earlier request may have been carried out.
    /// Refusals are answers. A store that fails time and again is opened anew.
    async fn ask<T>(
        &mut self,
        call: impl AsyncFn(&Open, bool) -> Result<T, StoreError>,
    ) -> anyhow::Result<Result<T, StoreError>> {
        let mut tries = 0;
        loop {
            let before = if self.probe.is_next() {
                self.print().await
            } else {
                None
            };
            let open = self.opened().await?;
            let error = match call(&open, self.is_unsure).await {
                Ok(value) => return Ok(Ok(value)),
                Err(error) => error,
            };
            if is_refusal(&error) {
                return Ok(Err(error));
            }
            drop(open);
            if matches!(error, StoreError::NotWritable { .. }) {
                let after = self.print().await;
                if before.is_some() && after.is_some() && before != after {
                    self.problem(format!("something was changed, but it was said: {error}"));
                }
            } else {
                self.is_unsure = true;
            }
            tries += 1;
            if tries == TRIES {
                self.gave_up = true;
                return Err(error).context("it is not answered any more");
            }
            if tries > 1 {
                self.close().await;
            }
        }
    }

    /// Returns everything that there is, unless it cannot be read now.
    async fn print(&mut self) -> Option<String> {
        let open = self.open.clone()?;
        self.probe.sleep(true);
        let mut print = None;
        for _ in 0..3 {
            print = everything(&open).await.ok();
            if print.is_some() {
                break;
            }
        }
        self.probe.sleep(false);
        print
    }
}

impl Acknowledged {
    fn add(&mut self, line: Line) {
        match line {
            Line::Began { .. } => {}
            Line::Recorded { task, step, run } => {
                self.results.insert((task, step), run);
            }
            Line::Created { task } => {
                self.created.insert(task);
            }
            Line::Pruned => self.pruned = true,
        }
    }
}

/// Tells whether an error is an answer: the state of things, or the request, does not permit it.
fn is_refusal(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::UnknownTask { .. }
            | StoreError::UnknownStep { .. }
            | StoreError::IllegalStep { .. }
            | StoreError::IllegalTask { .. }
            | StoreError::StepInProgress { .. }
            | StoreError::Changed { .. }
            | StoreError::Rejected { .. }
    )
}

/// Returns everything that readers see.
async fn everything(open: &Open) -> Result<String, StoreError> {
    let store = open.store();
    let all = store.events(Position(0), u32::MAX).await?;
    let tasks = store.readings(&Cast::ALL.map(Cast::id)).await?;
    Ok(format!("{all:?}{tasks:?}"))
}
