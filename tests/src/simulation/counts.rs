//! What happened in runs, counted, so that it is visible that it did.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use tasker_engine::{Change, StepEvent, Transition};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident: $what:literal,)+) => {
        /// What happened in one or more runs.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)+
            /// How much virtual time passed.
            pub virtual_time: Duration,
        }

        impl AddAssign for Counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)+
                self.virtual_time += other.virtual_time;
            }
        }

        impl fmt::Display for Counts {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(write!(f, concat!("{} ", $what, ", "), self.$name)?;)+
                write!(f, "{} s virtual time", self.virtual_time.as_secs())
            }
        }
    };
}

counts! {
    /// Runs.
    seeds: "seeds",
    /// Tasks that were created.
    tasks: "tasks",
    /// Their steps.
    steps: "steps",
    /// Entries of all histories.
    transitions: "transitions",
    /// Claims.
    attempts: "attempts",
    /// Attempts whose handler returned a result, whether it was recorded or not.
    attempts_succeeded: "returned results",
    /// Recorded results.
    succeeded: "recorded results",
    /// Recorded failures.
    failed: "failures",
    /// Handlers that panicked.
    panics: "panics",
    /// Handlers that did not end by themselves.
    hangs: "hangs",
    /// Recorded failures with the code `timeout`.
    timeouts: "timeouts",
    /// Leases that ended.
    expired: "expired leases",
    /// Claims that were given back before the handler began.
    released: "releases",
    /// Handlers that were interrupted.
    interrupted: "interrupts",
    /// Handlers that waited in the store.
    suspended: "suspensions",
    /// Outcomes of cancelled steps.
    late: "late outcomes",
    /// Workers that were dropped at an await.
    crashes: "crashes",
    /// Workers that were stopped.
    stops: "stops",
    /// Restarts of all processes.
    restarts: "restarts",
    /// Pauses of workers.
    stalls: "stalls",
    /// Demands of operators that were carried out.
    demands: "demands",
    /// Demands of operators that were refused.
    refused_demands: "refused demands",
    /// Jumps of the clock.
    jumps: "clock jumps",
    /// Calls to the store.
    calls: "store calls",
    /// Calls that never came to the store.
    refused: "refused calls",
    /// Calls whose answer was lost.
    unanswered: "lost answers",
    /// Calls and answers that came late.
    delayed: "delays",
    /// Calls that came to the store again.
    repeated: "repeats",
    /// Hints that were lost.
    unheard: "lost hints",
}

impl Counts {
    /// Counts an entry of a history.
    pub(super) fn note(&mut self, entry: &Transition) {
        self.transitions += 1;
        match &entry.change {
            Change::Created => self.tasks += 1,
            Change::LateOutcome { .. } => self.late += 1,
            Change::Step { event, .. } => match event {
                StepEvent::Start => self.attempts += 1,
                StepEvent::Succeed => self.succeeded += 1,
                StepEvent::Fail => {
                    self.failed += 1;
                    let code = entry
                        .metadata
                        .as_ref()
                        .map(|failure| failure.to_value()["code"].clone());
                    self.timeouts += u64::from(code.is_some_and(|code| code == "timeout"));
                }
                StepEvent::Expire => self.expired += 1,
                StepEvent::Release => self.released += 1,
                StepEvent::Interrupt => self.interrupted += 1,
                StepEvent::Suspend => self.suspended += 1,
                StepEvent::Cancel | StepEvent::Reset | StepEvent::Resolve => {}
            },
            Change::Task { .. } | Change::Setting { .. } => {}
        }
    }
}
