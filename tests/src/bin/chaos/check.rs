//! What must hold in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use tasker::{Change, StepEvent, TaskFilter, TaskQuery, Tasker, verify_all};
use tasker_types::{Position, StepState, TaskId, TaskState};

/// How many entries of a history are read at once.
const PAGE: u32 = 1_000;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) steps: u64,
    pub(crate) attempts: u64,
    pub(crate) expiries: u64,
    pub(crate) transitions: u64,
    pub(crate) problems: Vec<String>,
}

/// Returns how many tasks have not ended, or one more while the server does not answer.
pub(crate) async fn unfinished(tasker: &Tasker) -> anyhow::Result<usize> {
    let filter = TaskFilter {
        states: vec![TaskState::Pending, TaskState::InProgress],
        ..TaskFilter::default()
    };
    match tasker.list(TaskQuery::new(filter, 1)).await {
        Ok(page) => Ok(page.tasks.len()),
        Err(error) if error.is_transient() => Ok(1),
        Err(error) => Err(error.into()),
    }
}

async fn all_tasks(tasker: &Tasker) -> anyhow::Result<Vec<TaskId>> {
    let mut query = TaskQuery::new(TaskFilter::default(), 100);
    let mut tasks = Vec::new();
    loop {
        let page = tasker.list(query.clone()).await?;
        tasks.extend(page.tasks.iter().map(|task| task.task_id));
        let Some(next) = page.next else { return Ok(tasks) };
        query.after = Some(next);
    }
}

/// Checks every history by the rules of the engine, and by what handlers wrote down themselves.
pub(crate) async fn check(tasker: &Tasker, expected: u64, log: &Path) -> anyhow::Result<Found> {
    let report = verify_all(&**tasker.store()).await?;
    let mut found = Found {
        transitions: report.transitions,
        problems: report.violations.iter().map(ToString::to_string).collect(),
        ..Found::default()
    };
    let text = std::fs::read_to_string(log).context("handlers wrote down that they began")?;
    let mut began: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(task), Some(step), Some(nonce)) = (words.next(), words.next(), words.next()) else {
            anyhow::bail!("a handler wrote {line:?}");
        };
        began.entry((task, step)).or_default().insert(nonce);
    }
    let tasks = all_tasks(tasker).await?;
    if tasks.len() as u64 != expected {
        let count = tasks.len();
        found
            .problems
            .push(format!("{expected} tasks were created, and there are {count}"));
    }
    for task in tasks {
        found.task(tasker, task, &began).await?;
    }
    Ok(found)
}

impl Found {
    async fn task(
        &mut self,
        tasker: &Tasker,
        task: TaskId,
        began: &BTreeMap<(&str, &str), BTreeSet<&str>>,
    ) -> anyhow::Result<()> {
        let store = tasker.store();
        let snapshot = store.snapshot(task).await?.context("it was listed")?;
        if snapshot.task.state != TaskState::Complete {
            let state = snapshot.task.state;
            self.problems.push(format!("task {task} is {state} in the end"));
        }
        let results: BTreeMap<_, _> = store.results(task).await?.into_iter().collect();
        // Of each step: its runs that began, and how often it was completed.
        let mut runs: BTreeMap<_, (BTreeSet<_>, u32)> = BTreeMap::new();
        let mut after = Position(0);
        loop {
            let page = store.history(task, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.position;
            for entry in &page {
                let Change::Step { step, event, run, .. } = entry.change else {
                    continue;
                };
                let (runs, completed) = runs.entry(step).or_default();
                match event {
                    StepEvent::Start if !runs.insert(run) => {
                        let problem = format!("run {run} of step {step} of {task} began twice");
                        self.problems.push(problem);
                    }
                    StepEvent::Succeed => *completed += 1,
                    StepEvent::Expire => self.expiries += 1,
                    _ => {}
                }
            }
        }
        let id = task.to_string();
        for record in &snapshot.steps {
            self.steps += 1;
            let name = snapshot.task.template.step(record.step).name();
            let (recorded, completed) = runs.remove(&record.step).unwrap_or_default();
            self.attempts += recorded.len() as u64;
            let mut problem = |what: String| self.problems.push(format!("step `{name}` of {id} {what}"));
            let written = began.get(&(id.as_str(), name.as_str()));
            let times = written.map_or(0, BTreeSet::len);
            if times > recorded.len() {
                problem(format!(
                    "ran {times} times, and was handed out {} times",
                    recorded.len()
                ));
            }
            if record.state != StepState::Complete {
                continue;
            }
            if completed != 1 {
                problem(format!("was completed {completed} times"));
            }
            let result = results
                .get(&record.step)
                .and_then(|result| result.to::<String>().ok());
            let is_own = |nonce: &String| written.is_some_and(|written| written.contains(nonce.as_str()));
            if !result.as_ref().is_some_and(is_own) {
                problem(format!("has the result {result:?}, which no attempt of it gave"));
            }
        }
        Ok(())
    }
}
