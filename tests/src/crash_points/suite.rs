//! Many lives, on all cores.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context as _;
use tasker_testkit::Cluster;

use super::ground::{Ground, Place};
use super::play::{Ended, Played, live_on, play};
use super::points::{Plan, Point, Wanted, plans, second};
use crate::Progress;

/// How many lives are lived at a time for each core: they wait for disks and servers.
const PER_CORE: usize = 3;

/// Lives of one store.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The store.
    pub place: Place,
    /// The program that begins lives which are aborted; none is without it.
    pub program: Option<PathBuf>,
}

/// What came of all lives.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How a life without a fault went.
    pub base: Ended,
    /// The others.
    pub played: Vec<Played>,
}

impl Outcome {
    /// Returns how many entries all histories have.
    pub fn transitions(&self) -> u64 {
        let played = self.played.iter().map(|played| played.ended.transitions);
        self.base.transitions + played.sum::<u64>()
    }

    /// Returns the lives in which something is violated.
    pub fn wrong(&self) -> impl Iterator<Item = &Played> {
        self.played
            .iter()
            .filter(|played| !played.ended.problems.is_empty())
    }

    /// Returns how many lives went on without meeting all of their faults.
    pub fn missed(&self) -> usize {
        let missed = |played: &&Played| played.ended.happened < played.plan.len();
        self.played.iter().filter(missed).count()
    }

    /// Returns every statement that was passed, as it was.
    pub fn statements(&self) -> std::collections::BTreeSet<String> {
        let played = self.played.iter().flat_map(|played| &played.ended.statements);
        self.base.statements.iter().chain(played).cloned().collect()
    }
}

/// Does this with each of these, some at a time, and returns what comes of them, in order; says now and then how far it is.
pub(crate) fn on_all_cores<T: Sync, R: Send>(
    what: impl Display + Sync,
    all: &[T],
    work: impl Fn(usize, &T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let progress = Progress::new(what, all.len() as u64);
    let done = Mutex::new(Vec::with_capacity(all.len()));
    let do_some = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(number) else {
                return Ok(());
            };
            let result = work(number, one)?;
            progress.one_more();
            let mut done = done
                .lock()
                .map_err(|_| anyhow::anyhow!("another thread panicked"))?;
            done.push((number, result));
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from) * PER_CORE;
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(do_some)).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a life panicked"))?)
    })?;
    let mut done = done
        .into_inner()
        .map_err(|_| anyhow::anyhow!("a thread panicked"))?;
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

impl Suite {
    /// Lives once without a fault, once for each fault that is wanted, and once for each fault of what comes only after one.
    ///
    /// # Errors
    ///
    /// When a life cannot begin, or goes wrong though nothing does.
    pub fn run(&self, wanted: &Wanted) -> anyhow::Result<Outcome> {
        let base = self.on_ground(0, |ground| live_on(ground, Plan::new()))?;
        anyhow::ensure!(
            base.problems.is_empty(),
            "a life on {} without a fault goes wrong: {}",
            self.place,
            base.problems.join("; ")
        );
        let mut first = plans(self.place, &base.seen, wanted);
        first.retain(|plan| self.can_play(plan));
        let mut played = self.play(1, first)?;
        let lives: Vec<(Plan, Vec<Point>)> = played
            .iter()
            .map(|played| (played.plan.clone(), played.ended.seen.clone()))
            .collect();
        let mut after = second(self.place, &base.seen, &lives, wanted);
        after.retain(|plan| self.can_play(plan));
        played.extend(self.play(1 + played.len(), after)?);
        Ok(Outcome { base, played })
    }

    fn can_play(&self, plan: &Plan) -> bool {
        self.program.is_some() || !plan.iter().any(|planned| planned.kind.aborts())
    }

    fn play(&self, from: usize, plans: Vec<Plan>) -> anyhow::Result<Vec<Played>> {
        on_all_cores(format!("histories of {}", self.place), &plans, |number, plan| {
            self.on_ground(from + number, |ground| {
                play(ground, plan.clone(), self.program.as_deref())
            })
        })
    }

    fn on_ground<T>(
        &self,
        number: usize,
        work: impl FnOnce(&Ground) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let directory = tempfile::tempdir_in(crate::stores::in_memory())?;
        let path = directory.path().to_owned();
        let ground = match self.place {
            Place::Sqlite => Ground::Sqlite { directory: path },
            Place::Postgres => Ground::Postgres {
                url: Cluster::shared().url().to_owned(),
                schema: format!("crash_{}_{number}", std::process::id()),
                directory: path,
            },
        };
        let done = work(&ground)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime
            .block_on(ground.clear())
            .context("a schema cannot be removed")?;
        Ok(done)
    }
}
