//! What a run shares: the stores, the dice, and what handlers and operators saw.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tasker_engine::{Json, NewTask, Store, WorkerHandle, verify_all};
use tasker_testkit::FaultyStore;
use tasker_types::{StepNo, StepState, TaskId};
use tokio::sync::watch;

use super::clock::JumpingClock;
use super::counts::Counts;
use super::dice::Dice;
use super::processes::Processes;
use super::temper::Temper;
use super::witness::Witness;

/// What a run shares.
#[derive(Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) temper: Temper,
    pub(super) clock: Arc<JumpingClock>,
    /// The store itself, for looking.
    pub(super) plain: Arc<Processes>,
    /// What stands between the two, and remembers.
    pub(super) witness: Arc<Witness>,
    /// The store as workers and operators have it.
    pub(super) faulty: Arc<FaultyStore>,
    /// Counts the restarts of everything.
    pub(super) restarts: watch::Sender<u64>,
    /// Decides how attempts end.
    pub(super) fates: Dice,
    calm: AtomicBool,
    ledger: Mutex<Ledger>,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) counts: Counts,
    /// Tasks that are to be created, and who was told that they were.
    pub(super) tasks: Vec<NewTask>,
    pub(super) acknowledged: Vec<TaskId>,
    /// The workers that can be asked to create tasks, by slot.
    pub(super) handles: BTreeMap<u64, WorkerHandle>,
    /// What handlers returned, by task and step.
    returned: BTreeMap<(TaskId, StepNo), Vec<Json>>,
    /// What handlers were given as results of parents.
    given: Vec<(TaskId, StepNo, Json)>,
    /// Results as they were first seen in the store.
    recorded: BTreeMap<(TaskId, StepNo), Json>,
    /// What was wrong.
    pub(super) problems: Vec<String>,
}

impl World {
    pub(super) fn new(
        seed: u64,
        temper: Temper,
        clock: Arc<JumpingClock>,
        plain: Arc<Processes>,
        witness: Arc<Witness>,
        faulty: Arc<FaultyStore>,
    ) -> Self {
        Self {
            seed,
            temper,
            clock,
            plain,
            witness,
            faulty,
            restarts: watch::Sender::new(0),
            fates: Dice::new(seed, 2),
            calm: AtomicBool::new(false),
            ledger: Mutex::default(),
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Stops everything that goes wrong.
    pub(super) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
        self.faulty.set_faults(tasker_testkit::Faults::default());
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.ledger().counts);
    }

    pub(super) fn problem(&self, problem: impl Into<String>) {
        self.ledger().problems.push(problem.into());
    }

    /// Restarts every process, and with it every worker.
    pub(super) fn restart(&self) {
        if self.plain.restart() {
            self.witness.restarted();
            self.count(|counts| counts.restarts += 1);
        }
        self.restarts.send_modify(|count| *count += 1);
    }

    /// Makes a result that no other attempt has, and remembers it.
    pub(super) fn result_of(&self, task: TaskId, step: StepNo) -> Json {
        let mut ledger = self.ledger();
        ledger.counts.attempts_succeeded += 1;
        let result = Json::from(&json!({ "n": ledger.counts.attempts_succeeded }));
        ledger
            .returned
            .entry((task, step))
            .or_default()
            .push(result.clone());
        result
    }

    /// Remembers what a handler was given.
    pub(super) fn given(&self, task: TaskId, parents: impl IntoIterator<Item = (StepNo, Json)>) {
        let mut ledger = self.ledger();
        ledger
            .given
            .extend(parents.into_iter().map(|(parent, result)| (task, parent, result)));
    }

    /// Verifies all histories, and that results stay as they were first seen.
    pub(super) async fn observe(&self) {
        match verify_all(&*self.plain).await {
            Ok(report) => {
                for violation in report.violations {
                    self.problem(violation.to_string());
                }
            }
            Err(error) => self.problem(error.to_string()),
        }
        let tasks: Vec<TaskId> = self.ledger().tasks.iter().map(|task| task.id).collect();
        for task in tasks {
            let results = match self.plain.results(task).await {
                Ok(results) => results,
                Err(error) => {
                    self.problem(error.to_string());
                    continue;
                }
            };
            let results: BTreeMap<StepNo, Json> = results.into_iter().collect();
            let mut ledger = self.ledger();
            let mut problems = Vec::new();
            for ((_, step), first) in ledger
                .recorded
                .range((task, StepNo(0))..=(task, StepNo(u32::MAX)))
            {
                if results.get(step) != Some(first) {
                    let now = results.get(step).map_or("nothing", Json::as_str);
                    problems.push(format!(
                        "task `{task}`, step {step}: the result was {}, and is {now}",
                        first.as_str()
                    ));
                }
            }
            for (step, result) in results {
                ledger.recorded.entry((task, step)).or_insert(result);
            }
            ledger.problems.append(&mut problems);
        }
    }

    /// Checks, when all is over, that every task ended and that results are what handlers returned and were given.
    pub(super) async fn conclude(&self) {
        self.observe().await;
        let (promised, mut problems) = self.witness.testimony();
        self.ledger().problems.append(&mut problems);
        let (tasks, acknowledged) = {
            let ledger = self.ledger();
            (ledger.tasks.clone(), ledger.acknowledged.clone())
        };
        for ((task, step), promised) in promised {
            let results = self.plain.results(task).await.unwrap_or_default();
            if !results.contains(&(step, promised.clone())) {
                let promised = promised.as_str();
                self.problem(format!(
                    "task `{task}`, step {step}: the result {promised} was acknowledged, but is not there"
                ));
            }
        }
        for task in tasks {
            let id = task.id;
            match self.plain.snapshot(id).await {
                Ok(Some(snapshot)) => {
                    if snapshot.task.state.is_active() {
                        let steps: Vec<Value> = snapshot.steps.iter().map(|step| json!(step)).collect();
                        self.problem(format!(
                            "task `{id}`: it is still `{}`: {steps:?}",
                            snapshot.task.state
                        ));
                    }
                    self.check_results(id, |step| snapshot.steps[step.0 as usize].state)
                        .await;
                }
                Ok(None) if acknowledged.contains(&id) => {
                    self.problem(format!("task `{id}`: it was acknowledged, but is not there"));
                }
                Ok(None) => {}
                Err(error) => self.problem(error.to_string()),
            }
        }
    }

    async fn check_results(&self, task: TaskId, state: impl Fn(StepNo) -> StepState) {
        let results: BTreeMap<StepNo, Json> = self
            .plain
            .results(task)
            .await
            .unwrap_or_default()
            .into_iter()
            .collect();
        let mut problems = Vec::new();
        let mut ledger = self.ledger();
        for (step, result) in &results {
            let returned = ledger.returned.get(&(task, *step));
            if state(*step) == StepState::Complete && !returned.is_some_and(|known| known.contains(result)) {
                problems.push(format!(
                    "task `{task}`, step {step}: no handler returned the result {}",
                    result.as_str()
                ));
            }
        }
        for (_, parent, given) in ledger.given.iter().filter(|(other, _, _)| *other == task) {
            let result = results.get(parent).cloned().unwrap_or_else(Json::null);
            if result != *given {
                problems.push(format!(
                    "task `{task}`, step {parent}: a child was given the result {}, but it is {}",
                    given.as_str(),
                    result.as_str()
                ));
            }
        }
        ledger.problems.append(&mut problems);
    }
}
