//! What a life consists of: the tasks, how their steps end, and what is asked in which order.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tasker_engine::{Claim, Idempotency, Json, NewTask, Outcome, StepBuilder, Template};
use tasker_testkit::{fail, fail_permanently, interrupt, release, succeed, succeed_creating, suspend};
use tasker_types::{TaskId, TaskState};

use super::ground::{Place, beginning};

/// Something that is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Open,
    Create,
    CreateAgain,
    Claim,
    RenewAll,
    Work,
    WorkAgain,
    WorkOnOne,
    Renew,
    Examine,
    CheckIn,
    Describe,
    Prioritize,
    Configure,
    Limit,
    Time,
    ResolveStep,
    CancelStep,
    ResetStep,
    WorkOn,
    RetryTask,
    CancelTask,
    ResolveTask,
    Crowd,
    CreateWithin,
    ReportLater,
    Lapse,
    SweepOne,
    Look,
    List,
    Health,
    Tokens,
    Reopen,
    Overdue,
    Finish,
    CountOld,
    Prune,
    Doctor,
    Status,
    ServersTime,
    LookPast,
    Move,
    TakeBack,
}

/// Everything, in order.
const SCRIPT: [Deed; 43] = [
    Deed::Open,
    Deed::Create,
    Deed::CreateAgain,
    Deed::Claim,
    Deed::RenewAll,
    Deed::Work,
    Deed::WorkAgain,
    Deed::WorkOnOne,
    Deed::Renew,
    Deed::Examine,
    Deed::CheckIn,
    Deed::Describe,
    Deed::Prioritize,
    Deed::Configure,
    Deed::Limit,
    Deed::Time,
    Deed::ResolveStep,
    Deed::CancelStep,
    Deed::ResetStep,
    Deed::WorkOn,
    Deed::RetryTask,
    Deed::CancelTask,
    Deed::ResolveTask,
    Deed::Crowd,
    Deed::CreateWithin,
    Deed::ReportLater,
    Deed::Lapse,
    Deed::SweepOne,
    Deed::Look,
    Deed::List,
    Deed::Health,
    Deed::Tokens,
    Deed::Reopen,
    Deed::Overdue,
    Deed::Finish,
    Deed::CountOld,
    Deed::Prune,
    Deed::Doctor,
    Deed::Status,
    Deed::ServersTime,
    Deed::LookPast,
    Deed::Move,
    Deed::TakeBack,
];

impl Deed {
    /// Returns what is asked of a database, in order.
    pub(super) fn script(place: Place) -> Vec<Self> {
        let fits = |deed: &Self| match deed {
            // In SQLite the leases of a store that was closed are over.
            Self::CreateWithin | Self::ReportLater | Self::ServersTime => place == Place::Postgres,
            // In PostgreSQL a store that reports later was opened again for that.
            Self::Reopen => place == Place::Sqlite,
            _ => true,
        };
        SCRIPT.into_iter().filter(fits).collect()
    }

    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }
}

/// The tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cast {
    Diamond,
    Keyed,
    Broken,
    Sleeper,
    Overdue,
    Cancelled,
    Changed,
    Parent,
    Child,
    Resolved,
    First,
    Second,
    Third,
    Within,
    Large,
    Held,
    Queued,
}

impl Cast {
    pub(super) const ALL: [Self; 17] = [
        Self::Diamond,
        Self::Keyed,
        Self::Broken,
        Self::Sleeper,
        Self::Overdue,
        Self::Cancelled,
        Self::Changed,
        Self::Parent,
        Self::Child,
        Self::Resolved,
        Self::First,
        Self::Second,
        Self::Third,
        Self::Within,
        Self::Large,
        Self::Held,
        Self::Queued,
    ];

    /// Those that the first creation makes.
    pub(super) const AT_FIRST: [Self; 10] = [
        Self::Diamond,
        Self::Keyed,
        Self::Broken,
        Self::Sleeper,
        Self::Overdue,
        Self::Cancelled,
        Self::Changed,
        Self::Parent,
        Self::Resolved,
        Self::Large,
    ];

    /// Those that are created in the end, and do not end.
    pub(super) const AT_LAST: [Self; 2] = [Self::Held, Self::Queued];

    /// Those that are created at once.
    pub(super) const CROWD: [Self; 3] = [Self::First, Self::Second, Self::Third];

    pub(super) fn id(self) -> TaskId {
        TaskId::new(beginning(), self as u128 + 1)
    }

    /// Returns the states in which it may be in the end. Operators come too late for some of what they want when a worker
    /// was lost.
    pub(super) fn ends(self) -> &'static [TaskState] {
        match self {
            Self::Overdue => &[TaskState::Error],
            Self::Broken => &[TaskState::Complete, TaskState::Error],
            Self::Cancelled => &[TaskState::Cancelled],
            Self::Resolved => &[TaskState::ResolvedManually, TaskState::Error],
            Self::Held | Self::Queued => &[TaskState::Pending, TaskState::InProgress],
            _ => &[TaskState::Complete],
        }
    }

    fn template(self) -> Arc<Template> {
        match self {
            Self::Diamond => template(
                "diamond",
                &[
                    ("start", ""),
                    ("left", "start"),
                    ("flaky", "start"),
                    ("end", "left flaky"),
                ],
            ),
            Self::Broken => template("broken", &[("breaks", ""), ("after", "breaks")]),
            Self::Sleeper => template("sleeper", &[("sleeps", ""), ("wakes", "sleeps")]),
            Self::Overdue | Self::Cancelled => template("stuck", &[("stays", ""), ("never", "stays")]),
            Self::Resolved => template("lost", &[("fails", ""), ("never", "fails")]),
            Self::Changed => template("changed", &[("one", ""), ("two", ""), ("three", "one two")]),
            Self::Parent => template("parent", &[("asks", ""), ("hands_back", "asks")]),
            Self::Large => large(),
            Self::Within => template("within", &[("only", "")]),
            _ => template("single", &[("only", "")]),
        }
    }

    pub(super) fn new_task(self) -> NewTask {
        let mut task = NewTask::new(self.id(), self.template(), Json::from(&json!({ "order": 7 })));
        let after = |seconds| Some(beginning().plus(Duration::from_secs(seconds)));
        match self {
            Self::Keyed => task.idempotency = Some(idempotency("said once")),
            Self::Overdue => task.deadline_at = after(3_000),
            Self::Changed => task.start_at = after(2_000),
            Self::Diamond | Self::Held => {
                task.origin.tags = vec!["shop".to_owned()];
                task.origin.initiator = Some("ann".to_owned());
            }
            Self::Large => task.bypass = (1..LARGE).map(tasker_types::StepNo).collect(),
            Self::Child => task.parent = Some((Self::Parent.id(), tasker_types::StepNo(0))),
            _ => {}
        }
        task
    }
}

/// Returns the key that the task [`Cast::Keyed`] was asked for under, with what is said.
pub(super) fn idempotency(said: &str) -> Idempotency {
    Idempotency {
        key: "once".to_owned(),
        digest: said.to_owned(),
    }
}

/// Half of the templates belong to another namespace, so that there is something to be fair about.
#[expect(clippy::expect_used, reason = "a template of the script is valid")]
fn template(name: &str, steps: &[(&str, &str)]) -> Arc<Template> {
    let is_even = name.len().is_multiple_of(2);
    let mut builder = Template::builder(name).namespace(if is_even { "shop" } else { "mill" });
    for (step, parents) in steps {
        let step = StepBuilder::new(*step, "any").depends_on(parents.split_whitespace());
        builder = builder.step(step.retry_limit(20));
    }
    builder.build().expect("the template is valid")
}

/// How many steps a task has that a store does not keep in memory as a whole.
const LARGE: u32 = 70;

/// All steps but the first are resolved from the start.
#[expect(clippy::expect_used, reason = "a template of the script is valid")]
fn large() -> Arc<Template> {
    let step = |number| StepBuilder::new(format!("s{number}"), "any").skippable();
    let builder = (0..LARGE).fold(Template::builder("large"), |builder, number| {
        builder.step(step(number))
    });
    builder.build().expect("the template is valid")
}

/// Returns how a step ends: always as its name says, whichever process runs it.
pub(super) fn outcome(claim: &Claim) -> Outcome {
    let wait = Duration::from_secs(3);
    match claim.template().name().as_str() {
        "flaky" if claim.attempt == 1 => fail(claim, wait),
        "breaks" if claim.lease.run.0 < 3 => fail_permanently(claim),
        "fails" => fail_permanently(claim),
        "sleeps" if claim.checkpoint.is_none() => suspend(claim, wait, &json!({ "so_far": 1 })),
        "stays" => release(claim),
        "hands_back" if claim.attempt == 1 => interrupt(claim),
        "asks" => succeed_creating(claim, vec![Cast::Child.new_task()]),
        _ => succeed(claim),
    }
}
