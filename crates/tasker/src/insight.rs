//! What holds a task up: its analysis, explanations and forecast, from what the store knows.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tasker_engine::{
    Snapshot, StoreError, Surroundings, TaskFilter, TaskQuery, Template, Transition, durations,
};
use tasker_graph::{Analysis, AnalysisError, Explanation, Forecast, StepTimes, TaskExplanation, forecast};
use tasker_types::{Position, StepName, StepNo, TaskId};

use crate::cache::CacheStats;
use crate::error::InsightError;
use crate::tasker::Tasker;

/// How many transitions are read at once.
const PAGE: u32 = 1_000;
/// How many tasks of the same template are looked at for the times of their steps.
const TASKS: usize = 20;
/// How many steps they may have in all.
const STEPS: usize = 50_000;

/// How long the attempts of a task's steps lasted that succeeded.
#[derive(Clone, Debug)]
pub(crate) struct Lasted {
    template: Arc<Template>,
    steps: Vec<(StepNo, Duration)>,
}

impl Lasted {
    /// Returns how many answers of a usual size it is as large as.
    pub(crate) fn weight(&self) -> u32 {
        1 + u32::try_from(self.steps.len() / 1_000).unwrap_or(u32::MAX - 1)
    }
}

/// How a task stands, as far as its analysis depends on it: what its newest transition and its settings have left. As long as
/// a step waits for its time, that is another one each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Standing(u64, Option<i64>);

impl Standing {
    fn of(snapshot: &Snapshot) -> Self {
        let mut hasher = DefaultHasher::new();
        snapshot.task.state.hash(&mut hasher);
        for step in &snapshot.steps {
            let settings = (step.retry_limit, step.retryable, step.permanent);
            let progress = (step.state, step.attempts, step.run, step.next_retry_at);
            (settings, progress, step.started_at, step.finished_at).hash(&mut hasher);
        }
        let waits = |due: tasker_types::Timestamp| due > snapshot.taken_at;
        let is_waiting = snapshot
            .steps
            .iter()
            .any(|step| step.next_retry_at.is_some_and(waits));
        let second = snapshot.taken_at.as_micros() / 1_000_000;
        Self(hasher.finish(), is_waiting.then_some(second))
    }
}

/// A task, and what holds it up, at one moment.
#[derive(Debug)]
pub struct Insight {
    snapshot: Snapshot,
    analysis: Arc<Analysis>,
    times: Vec<StepTimes>,
    slots_in_use: Option<u32>,
    tasker: Tasker,
}

impl Tasker {
    /// Looks at what holds a task up; `None` when there is no such task.
    ///
    /// The analysis is that of [`analysis`](Self::analysis). Times are those of the latest tasks of the same template and
    /// version, this one among them. Those of tasks that have ended are kept as the section `cache` of the configuration says.
    ///
    /// # Errors
    ///
    /// What the store says, and weights that do not fit.
    pub async fn insight(&self, task: TaskId) -> Result<Option<Insight>, InsightError> {
        let Some(snapshot) = self.store().snapshot(task).await? else {
            return Ok(None);
        };
        let analysis = self.analysis(&snapshot).await?;
        Ok(Some(Insight {
            times: snapshot.step_times(self.lasted(&snapshot).await?),
            slots_in_use: self.slots_in_use(&snapshot).await?,
            snapshot,
            analysis,
            tasker: self.clone(),
        }))
    }

    /// Returns what holds a task up, from a snapshot of it.
    ///
    /// It is kept, as the section `cache` of the configuration says, until something happens to the task; whoever asks the
    /// same while it is worked out waits for it.
    ///
    /// # Errors
    ///
    /// If the weights of the configuration do not fit the task.
    pub async fn analysis(&self, snapshot: &Snapshot) -> Result<Arc<Analysis>, AnalysisError> {
        let analyze = async { snapshot.analyze(self.config().dependency_graph()).map(Arc::new) };
        let standing = (snapshot.task.id, Standing::of(snapshot));
        self.analyses().get(standing, analyze).await
    }

    /// Returns how often [`insight`](Self::insight) found the times of a task that has ended where it had left them.
    pub async fn cache_stats(&self) -> CacheStats {
        self.answers().stats().await
    }

    /// Returns how often [`analysis`](Self::analysis) found the analysis of a task where it had left it.
    pub async fn analysis_stats(&self) -> CacheStats {
        self.analyses().stats().await
    }

    /// Returns everything that happened to a task, in order.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn history(&self, task: TaskId) -> Result<Vec<Transition>, StoreError> {
        self.history_after(task, Position(0)).await
    }

    /// Returns everything that happened to a task after a position, in order.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn history_after(&self, task: TaskId, after: Position) -> Result<Vec<Transition>, StoreError> {
        let mut history: Vec<Transition> = Vec::new();
        loop {
            let after = history.last().map_or(after, |last| last.position);
            let page = self.store().history(task, after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            history.extend(page);
            if is_last {
                return Ok(history);
            }
        }
    }

    /// Returns how long steps lasted in a task and in the latest ones with the same steps.
    async fn lasted(&self, snapshot: &Snapshot) -> Result<Vec<(StepNo, Duration)>, StoreError> {
        let template = &snapshot.task.template;
        let mut found: Vec<_> = durations(&self.history(snapshot.task.id).await?).collect();
        let mut steps = template.steps().len();
        for (task, ended) in self.tasks_like(snapshot).await? {
            let read = self.lasted_of(task);
            let lasted = if ended {
                self.answers().get(task, read).await?
            } else {
                read.await?
            };
            let Some(lasted) = lasted else { continue };
            steps += lasted.template.steps().len();
            if steps > STEPS {
                break;
            }
            // A template may have been edited without another version, and then its numbers mean other steps.
            if names(&lasted.template).eq(names(template)) {
                found.extend(&lasted.steps);
            }
        }
        Ok(found)
    }

    /// Returns how long the steps of a task lasted; `None` when it is not there.
    async fn lasted_of(&self, task: TaskId) -> Result<Option<Arc<Lasted>>, StoreError> {
        let Some(snapshot) = self.store().snapshot(task).await? else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Lasted {
            steps: durations(&self.history(task).await?).collect(),
            template: snapshot.task.template,
        })))
    }

    /// Returns the latest other tasks of the same template and version, each with whether it has ended for good.
    async fn tasks_like(&self, snapshot: &Snapshot) -> Result<Vec<(TaskId, bool)>, StoreError> {
        let template = &snapshot.task.template;
        let filter = TaskFilter {
            namespace: Some(template.namespace().clone()),
            name: Some(template.name().clone()),
            version: Some(template.version().clone()),
            ..TaskFilter::default()
        };
        let tasks = self
            .list(TaskQuery::new(filter, TASKS as u32 + 1))
            .await?
            .tasks
            .into_iter();
        let like = tasks.filter(|task| task.task_id != snapshot.task.id);
        Ok(like
            .map(|task| (task.task_id, task.state.is_final()))
            .take(TASKS)
            .collect())
    }

    /// Returns how many steps each worker runs at once, if all that run any run as many as they may.
    async fn slots_in_use(&self, snapshot: &Snapshot) -> Result<Option<u32>, StoreError> {
        let limit = self.max_concurrent_steps();
        let fewest = self.fewest_held(snapshot).await?;
        Ok(limit.filter(|limit| fewest.is_some_and(|held| held >= *limit)))
    }
}

fn names(template: &Template) -> impl Iterator<Item = &StepName> {
    template.steps().iter().map(|step| step.name())
}

impl Insight {
    /// Returns the task as it was looked at.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns its analysis.
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// Explains why the task is not done.
    pub fn explain(&self) -> TaskExplanation {
        self.snapshot.explain(&self.analysis, self.surroundings())
    }

    /// Explains why a step is not running.
    ///
    /// # Panics
    ///
    /// If the task has no such step.
    pub fn explain_step(&self, step: StepNo) -> Explanation {
        self.snapshot
            .explain_step(&self.analysis, step, self.surroundings())
    }

    /// Predicts when the task will be done, from what its steps have lasted.
    pub fn forecast(&self) -> Forecast<'_> {
        forecast(&self.analysis, &self.times)
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            accepts: Some(self.tasker.handlers()),
            slots_in_use: self.slots_in_use,
        }
    }
}
