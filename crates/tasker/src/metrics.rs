//! What the work of this process comes to, in numbers: counted as it happens, told when someone asks.
//!
//! Only what this process does is counted, so that the numbers of many may be added up. What all of them have in common,
//! such as how much there is to do, is looked up when the numbers are read.
//!
//! How many series there can be is bounded: only so many tasks and steps, [`Named`], have a name of their own.

mod named;
mod reading;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tasker_engine::{Claim, Clock, Lease, Receipt, Template};
use tasker_types::{StepNo, StepState, TaskId, TaskState};

use crate::observe::{Ended, Kind, Known, KnownTask, created_at};
use named::Named;
pub use reading::Measurements;

/// Buckets of what takes a store, in seconds.
const QUICK: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Buckets of what takes a step, in seconds.
const STEP: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0,
];
/// Buckets of what takes a task, in seconds.
const TASK: &[f64] = &[
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0,
];
/// What is counted while the work goes on.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    clock: Arc<dyn Clock>,
    named: Named,
    known: Arc<Known>,
    tasks_created: IntCounterVec,
    tasks_finished: IntCounterVec,
    task_duration: HistogramVec,
    step_transitions: IntCounterVec,
    step_duration: HistogramVec,
    step_retries: IntCounterVec,
    outcomes_refused: IntCounterVec,
    leases_expired: IntCounterVec,
    claim_duration: HistogramVec,
    store_duration: HistogramVec,
    store_failures: IntCounterVec,
}

impl Metrics {
    /// Has counted nothing yet.
    pub(crate) fn new(clock: Arc<dyn Clock>, known: Arc<Known>) -> Self {
        const TASK_LABELS: &[&str] = &["namespace", "task"];
        const TASK_STATE: &[&str] = &["namespace", "task", "state"];
        const STEP_LABELS: &[&str] = &["namespace", "task", "step"];
        const STEP_STATE: &[&str] = &["namespace", "task", "step", "state"];
        let registry = Registry::new();
        let counter = |name, help, labels| counter(&registry, name, help, labels);
        let histogram = |name, help, labels, buckets| histogram(&registry, name, help, labels, buckets);
        Self {
            tasks_created: counter(
                "tasker_tasks_created_total",
                "Tasks that this process created.",
                TASK_LABELS,
            ),
            tasks_finished: counter(
                "tasker_tasks_finished_total",
                "Tasks that this process saw come to the end of their work, by the state in which that left them.",
                TASK_STATE,
            ),
            task_duration: histogram(
                "tasker_task_duration_seconds",
                "Seconds from the creation of a task to the end of its work.",
                TASK_STATE,
                TASK,
            ),
            step_transitions: counter(
                "tasker_step_transitions_total",
                "Steps that came to a state by what workers of this process did: in_progress when they were claimed.",
                STEP_STATE,
            ),
            step_duration: histogram(
                "tasker_step_duration_seconds",
                "Seconds that the handler of a step ran, by the state in which that left the step.",
                STEP_STATE,
                STEP,
            ),
            step_retries: counter(
                "tasker_step_retries_total",
                "Claims of a step after its first attempt.",
                STEP_LABELS,
            ),
            outcomes_refused: counter(
                "tasker_step_outcomes_refused_total",
                "Ends of steps that came too late to be their result, by what the store did with them.",
                &["namespace", "task", "step", "receipt"],
            ),
            leases_expired: counter(
                "tasker_leases_expired_total",
                "Leases that this process found to be over before their step ended.",
                STEP_LABELS,
            ),
            claim_duration: histogram(
                "tasker_claim_duration_seconds",
                "Seconds that the store took for a request by which it handed out steps.",
                &["request"],
                QUICK,
            ),
            store_duration: histogram(
                "tasker_store_request_duration_seconds",
                "Seconds that the store took for a request that succeeded.",
                &["request"],
                QUICK,
            ),
            store_failures: counter(
                "tasker_store_request_failures_total",
                "Requests that the store did not carry out.",
                &["request"],
            ),
            named: Named::default(),
            registry,
            clock,
            known,
        }
    }

    /// Counts a request to the store; `None` if it failed.
    pub(crate) fn asked(&self, request: &str, seconds: Option<f64>) {
        match seconds {
            Some(seconds) => self.store_duration.with_label_values(&[request]).observe(seconds),
            None => self.store_failures.with_label_values(&[request]).inc(),
        }
    }

    pub(crate) fn created(&self, task: TaskId) {
        let known = self.known.task(task);
        self.tasks_created
            .with_label_values(&self.named.task(template(known.as_ref())))
            .inc();
    }

    pub(crate) fn claimed(&self, request: &str, claims: &[Claim], seconds: f64) {
        self.claim_duration.with_label_values(&[request]).observe(seconds);
        for claim in claims {
            let step = claim.lease.step;
            let [namespace, name, step] = self.named.step(Some(&claim.task.template), step);
            let state = StepState::InProgress.as_str();
            self.step_transitions
                .with_label_values(&[namespace, name, step, state])
                .inc();
            if claim.attempt > 1 {
                self.step_retries
                    .with_label_values(&[namespace, name, step])
                    .inc();
            }
        }
    }

    pub(crate) fn ended(&self, ended: &Ended, was_last: bool, receipt: Receipt) {
        let Lease { task, step, .. } = ended.lease;
        let known = self.known.task(task);
        let [namespace, name, step] = self.named.step(template(known.as_ref()), step);
        let refused = match receipt {
            Receipt::Recorded => None,
            Receipt::Late => Some("late"),
            Receipt::LeaseLost => Some("lease_lost"),
        };
        if let Some(receipt) = refused {
            self.outcomes_refused
                .with_label_values(&[namespace, name, step, receipt])
                .inc();
            return;
        }
        let state = match ended.kind {
            Kind::Succeeded => StepState::Complete,
            Kind::Failed => StepState::Error,
            Kind::Interrupted if was_last => StepState::Error,
            Kind::Interrupted | Kind::GivenBack => StepState::Pending,
        };
        let labels = [namespace, name, step, state.as_str()];
        self.step_transitions.with_label_values(&labels).inc();
        if let Some(ran_for) = ended.ran_for {
            self.step_duration
                .with_label_values(&labels)
                .observe(ran_for.as_secs_f64());
        }
    }

    pub(crate) fn finished(&self, task: TaskId, state: TaskState) {
        let known = self.known.task(task);
        let [namespace, name] = self.named.task(template(known.as_ref()));
        let labels = [namespace, name, state.as_str()];
        self.tasks_finished.with_label_values(&labels).inc();
        let lasted = self.clock.now().since(created_at(task));
        self.task_duration
            .with_label_values(&labels)
            .observe(lasted.as_secs_f64());
    }

    pub(crate) fn expired(&self, task: TaskId, step: StepNo) {
        let known = self.known.task(task);
        self.leases_expired
            .with_label_values(&self.named.step(template(known.as_ref()), step))
            .inc();
    }
}

fn template(known: Option<&Arc<KnownTask>>) -> Option<&Template> {
    known.map(|known| &*known.template)
}

/// # Panics
///
/// If the name or a label is none, or the name is taken.
fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counter = IntCounterVec::new(Opts::new(name, help), labels).expect("names of metrics are names");
    registry
        .register(Box::new(counter.clone()))
        .expect("each metric has a name of its own");
    counter
}

/// # Panics
///
/// If the name or a label is none, or the name is taken.
fn histogram(registry: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let histogram = HistogramVec::new(options, labels).expect("names of metrics are names");
    registry
        .register(Box::new(histogram.clone()))
        .expect("each metric has a name of its own");
    histogram
}
