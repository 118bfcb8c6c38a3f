//! A task as a test looks at it: what is asserted of it, and the picture that a failed assertion shows.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use serde_json::Value;
use tasker_engine::{Change, Snapshot, StepRecord, Store, StoreError, Transition};
use tasker_types::{BlockingReason, Position, StepFacts, StepNo, StepState, TaskId, TaskState, Timestamp};

/// A task, its steps, their results and their history, as they were at one moment.
///
/// Every assertion returns the view, so that they can be written one after the other, and panics with a picture of the
/// whole task when it does not hold.
#[derive(Clone, Debug)]
pub struct TaskView {
    snapshot: Snapshot,
    history: Vec<Transition>,
    results: BTreeMap<StepNo, Value>,
}

impl TaskView {
    /// Looks at a task; `None` when there is no such task.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn of(store: &dyn Store, task: TaskId) -> Result<Option<Self>, StoreError> {
        let Some(snapshot) = store.snapshot(task).await? else {
            return Ok(None);
        };
        let results = store.results(task).await?;
        Ok(Some(Self {
            history: store.history(task, Position(0), u32::MAX).await?,
            results: results
                .into_iter()
                .map(|(step, result)| (step, result.to_value()))
                .collect(),
            snapshot,
        }))
    }

    /// Returns the task's id.
    pub fn id(&self) -> TaskId {
        self.snapshot.task.id
    }

    /// Returns the task's state.
    pub fn state(&self) -> TaskState {
        self.snapshot.task.state
    }

    /// Returns everything that the store tells of the task and its steps.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns everything that happened to the task and its steps, in order.
    pub fn history(&self) -> &[Transition] {
        &self.history
    }

    /// Returns a step.
    ///
    /// # Panics
    ///
    /// When the task has no such step.
    #[track_caller]
    pub fn step(&self, name: &str) -> &StepRecord {
        let Some((StepNo(number), _)) = self.snapshot.task.template.step_named(name) else {
            self.fail(&format!("there is no step `{name}`"))
        };
        &self.snapshot.steps[number as usize]
    }

    /// Returns the result of a step; `None` when it has none yet.
    ///
    /// # Panics
    ///
    /// When the task has no such step.
    #[track_caller]
    pub fn result(&self, step: &str) -> Option<&Value> {
        self.results.get(&self.step(step).step)
    }

    /// Returns the parents of a step that are not done.
    ///
    /// # Panics
    ///
    /// When the task has no such step.
    #[track_caller]
    pub fn waits_for(&self, step: &str) -> Vec<&str> {
        self.undone(self.step(step))
    }

    /// Returns what happened to each step, and how many seconds after the task was created: a line a step, in step
    /// order, such as `charge: 0 start, 1 fail, 2 start, 3 succeed`. A step to which nothing happened has no line.
    pub fn timeline(&self) -> String {
        let name = |step: &StepNo| self.snapshot.task.template.step(*step).name();
        self.lives()
            .iter()
            .map(|(step, life)| format!("{}: {life}\n", name(step)))
            .collect()
    }

    /// Asserts that the task is in a state.
    #[track_caller]
    pub fn assert_state(&self, expected: TaskState) -> &Self {
        let state = self.state();
        if state != expected {
            self.fail(&format!("the task is `{state}`, not `{expected}`"));
        }
        self
    }

    /// Asserts that a step is in a state.
    #[track_caller]
    pub fn assert_step(&self, step: &str, expected: StepState) -> &Self {
        let state = self.step(step).state;
        if state != expected {
            self.fail(&format!("the step `{step}` is `{state}`, not `{expected}`"));
        }
        self
    }

    /// Asserts how many attempts a step has had since its last reset.
    #[track_caller]
    pub fn assert_attempts(&self, step: &str, expected: u32) -> &Self {
        let attempts = self.step(step).attempts;
        if attempts != expected {
            self.fail(&format!(
                "the step `{step}` has used {attempts} of its attempts, not {expected}"
            ));
        }
        self
    }

    /// Asserts what a step returned.
    #[track_caller]
    pub fn assert_result(&self, step: &str, expected: impl Into<Value>) -> &Self {
        let expected = expected.into();
        match self.result(step) {
            Some(result) if *result == expected => {}
            Some(result) => self.fail(&format!("the step `{step}` returned {result}, not {expected}")),
            None => self.fail(&format!(
                "the step `{step}` has no result; it should be {expected}"
            )),
        }
        self
    }

    /// Asserts which parents a step waits for, and no others, in the order of the template.
    #[track_caller]
    pub fn assert_waits_for<'a>(&self, step: &str, expected: impl IntoIterator<Item = &'a str>) -> &Self {
        let (waits, expected) = (self.waits_for(step), Vec::from_iter(expected));
        if waits != expected {
            self.fail(&format!(
                "the step `{step}` waits for {}, not for {}",
                list(&waits),
                list(&expected)
            ));
        }
        self
    }

    /// Asserts that a step waits for its time, and for how long, to the second.
    #[track_caller]
    pub fn assert_due_in(&self, step: &str, expected: Duration) -> &Self {
        let record = self.step(step);
        let (facts, wait) = (self.facts(record), self.wait(record));
        match wait.filter(|_| facts.in_backoff()) {
            Some(wait) if wait.as_secs_f64().round() == expected.as_secs_f64().round() => {}
            Some(wait) => self.fail(&format!(
                "the step `{step}` is due in {} s, not in {} s",
                wait.as_secs_f64().round(),
                expected.as_secs_f64()
            )),
            None => self.fail(&format!("the step `{step}` does not wait for its time")),
        }
        self
    }

    /// Asserts exactly which attempts ran, and when; see [`timeline`](Self::timeline). White space around lines does not
    /// count.
    #[track_caller]
    pub fn assert_timeline(&self, expected: &str) -> &Self {
        let lines = |text: &str| {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        let (timeline, expected) = (lines(&self.timeline()), lines(expected));
        if timeline != expected {
            self.fail(&format!(
                "something else happened; it should have been\n{}but was\n{}",
                indented(&expected),
                indented(&timeline)
            ));
        }
        self
    }

    #[track_caller]
    fn fail(&self, message: &str) -> ! {
        panic!("{message}\n\n{self}")
    }

    fn facts(&self, record: &StepRecord) -> StepFacts {
        record.facts(self.snapshot.taken_at)
    }

    fn wait(&self, record: &StepRecord) -> Option<Duration> {
        self.facts(record).due_in
    }

    fn undone(&self, record: &StepRecord) -> Vec<&str> {
        let template = &self.snapshot.task.template;
        let parents = template.step(record.step).depends_on().iter();
        parents
            .filter(|parent| !self.snapshot.steps[parent.0 as usize].state.is_done())
            .map(|parent| template.step(*parent).name().as_str())
            .collect()
    }

    fn since_created(&self, at: Timestamp) -> f64 {
        at.since(self.snapshot.task.created_at).as_secs_f64().round()
    }

    fn lives(&self) -> BTreeMap<StepNo, String> {
        let mut lives: BTreeMap<StepNo, String> = BTreeMap::new();
        for entry in &self.history {
            if let Change::Step { step, event, .. } = &entry.change {
                let life = lives.entry(*step).or_default();
                let separator = if life.is_empty() { "" } else { ", " };
                let _ = write!(life, "{separator}{} {event}", self.since_created(entry.at));
            }
        }
        lives
    }

    /// Says why a step is not running, and how it failed last.
    fn remark(&self, record: &StepRecord) -> String {
        let facts = self.facts(record);
        let why = match facts.blocking_reason(self.state().is_active()) {
            None => "ready".to_owned(),
            Some(BlockingReason::Finished | BlockingReason::Running) => String::new(),
            Some(BlockingReason::DependenciesNotSatisfied) => {
                format!("waits for {}", list(&self.undone(record)))
            }
            Some(BlockingReason::RetryNotEligible) if record.permanent => "failed for good".to_owned(),
            Some(BlockingReason::RetryNotEligible) => "has no attempt left".to_owned(),
            Some(BlockingReason::TaskNotActive) => "its task is over".to_owned(),
            Some(BlockingReason::WaitingForBackoff) => {
                let wait = self.wait(record).unwrap_or_default().as_secs_f64().round();
                format!("is due in {wait} s")
            }
            Some(other) => other.to_string(),
        };
        let failure = record.failure.as_ref();
        let failure = failure.map(|failure| format!("{}: {}", failure.code, failure.message));
        let remarks = [Some(why).filter(|why| !why.is_empty()), failure];
        remarks.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for TaskView {
    /// Draws the task: a line a step with its state, its attempts, what it waits for and how it failed, and below it
    /// what happened to it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = &self.snapshot.task;
        write!(f, "{} is `{}`", task.template.full_name(), task.state)?;
        if let Some(failure) = task.failure {
            write!(f, " ({failure})")?;
        }
        writeln!(
            f,
            ", {} s after its creation",
            self.since_created(self.snapshot.taken_at)
        )?;
        let lives = self.lives();
        let names = task.template.steps().iter().map(|step| step.name().as_str());
        let width = names.map(str::len).max().unwrap_or(0);
        for (record, step) in self.snapshot.steps.iter().zip(task.template.steps()) {
            let (name, state) = (step.name(), record.state);
            let attempts = format!("{} of {}", record.attempts, record.retry_limit);
            let line = format!(
                "  {name:width$}  {state:17}  {attempts:7}  {}",
                self.remark(record)
            );
            writeln!(f, "{}", line.trim_end())?;
            if let Some(life) = lives.get(&record.step) {
                writeln!(f, "  {:width$}  {life}", "")?;
            }
        }
        Ok(())
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => format!("`{}`", names.join("`, `")),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
