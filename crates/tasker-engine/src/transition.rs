//! The lives of steps and tasks: which events are legal in which state, and where they lead.
//!
//! This module is pure. It reads no clock, touches no store and emits nothing: the worker and the operator decide
//! *when* to apply an event, the store makes it durable. The two tables below are the only source; stores, diagrams
//! and documentation ask them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tasker_types::{StepState, TaskState};
use thiserror::Error;

macro_rules! events {
    ($(#[$doc:meta])* $name:ident { $($(#[$event_doc:meta])* $event:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$event_doc])* $event,)+
        }

        impl $name {
            /// Every event.
            pub const ALL: &[Self] = &[$(Self::$event,)+];

            /// Returns the name that history and documentation use.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$event => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownEvent;

            fn from_str(text: &str) -> Result<Self, UnknownEvent> {
                let found = Self::ALL.iter().copied().find(|event| event.as_str() == text);
                found.ok_or_else(|| UnknownEvent { text: text.to_owned() })
            }
        }
    };
}

/// A text that names no event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no event")]
pub struct UnknownEvent {
    text: String,
}

events! {
    /// What can happen to a step.
    StepEvent {
        /// A worker claims it.
        Start = "start",
        /// Its handler returned a result.
        Succeed = "succeed",
        /// Its handler failed.
        Fail = "fail",
        /// Its lease is over.
        Expire = "expire",
        /// Its worker stopped before the handler began; the attempt is given back.
        Release = "release",
        /// Its worker stopped while the handler ran; the attempt stays charged.
        Interrupt = "interrupt",
        /// Its handler waits in the store; the attempt is given back.
        Suspend = "suspend",
        /// It is stopped, by an operator or with its task.
        Cancel = "cancel",
        /// An operator gives it its attempts back.
        Reset = "reset",
        /// An operator declares it done.
        Resolve = "resolve",
    }
}

events! {
    /// What can happen to a task.
    TaskEvent {
        /// A worker claims its first step.
        Start = "start",
        /// All its steps are done.
        Complete = "complete",
        /// It can no longer progress, or its deadline has passed.
        Fail = "fail",
        /// Work became possible again.
        Resume = "resume",
        /// An operator stops it.
        Cancel = "cancel",
        /// An operator declares it done.
        Resolve = "resolve",
    }
}

/// What else a step's transition may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The state of the step's task.
    pub task: TaskState,
    /// Whether the step may have another attempt after those it has had.
    pub attempts: AttemptsLeft,
}

/// Whether a step may have another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptsLeft {
    /// It may.
    Some,
    /// This was the last.
    None,
}

/// The condition of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    AttemptsLeft,
    LastAttempt,
    TaskNotFinal,
}

impl When {
    fn holds(self, situation: Situation) -> bool {
        match self {
            Self::Always => true,
            Self::AttemptsLeft => situation.attempts == AttemptsLeft::Some,
            Self::LastAttempt => situation.attempts == AttemptsLeft::None,
            Self::TaskNotFinal => !situation.task.is_final(),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "",
            Self::AttemptsLeft => "attempts are left",
            Self::LastAttempt => "it was the last attempt",
            Self::TaskNotFinal => "the task is not final",
        }
    }
}

type StepRow = (StepState, StepEvent, StepState, When);

const STEP_TABLE: &[StepRow] = {
    use StepEvent as E;
    use StepState as S;
    &[
        (S::Pending, E::Start, S::InProgress, When::Always),
        (S::Pending, E::Cancel, S::Cancelled, When::Always),
        (S::Pending, E::Resolve, S::ResolvedManually, When::Always),
        (S::InProgress, E::Succeed, S::Complete, When::Always),
        (S::InProgress, E::Fail, S::Error, When::Always),
        (S::InProgress, E::Expire, S::Error, When::Always),
        (S::InProgress, E::Release, S::Pending, When::Always),
        (S::InProgress, E::Interrupt, S::Pending, When::AttemptsLeft),
        (S::InProgress, E::Interrupt, S::Error, When::LastAttempt),
        (S::InProgress, E::Suspend, S::Pending, When::Always),
        (S::InProgress, E::Cancel, S::Cancelled, When::Always),
        (S::Error, E::Start, S::InProgress, When::Always),
        (S::Error, E::Reset, S::Pending, When::Always),
        (S::Error, E::Cancel, S::Cancelled, When::Always),
        (S::Error, E::Resolve, S::ResolvedManually, When::Always),
        (S::Cancelled, E::Reset, S::Pending, When::TaskNotFinal),
        (S::Cancelled, E::Resolve, S::ResolvedManually, When::TaskNotFinal),
    ]
};

const TASK_TABLE: &[(TaskState, TaskEvent, TaskState)] = {
    use TaskEvent as E;
    use TaskState as S;
    &[
        (S::Pending, E::Start, S::InProgress),
        (S::Pending, E::Cancel, S::Cancelled),
        (S::Pending, E::Fail, S::Error),
        (S::InProgress, E::Complete, S::Complete),
        (S::InProgress, E::Fail, S::Error),
        (S::InProgress, E::Cancel, S::Cancelled),
        (S::Error, E::Resume, S::InProgress),
        (S::Error, E::Resolve, S::ResolvedManually),
        (S::Error, E::Cancel, S::Cancelled),
    ]
};

/// An event that cannot happen in the state a step is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("event `{event}` is illegal in state `{state}`")]
pub struct IllegalStepTransition {
    /// The state the step was in.
    pub state: StepState,
    /// The event that was refused.
    pub event: StepEvent,
}

/// An event that cannot happen in the state a task is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("event `{event}` is illegal in state `{state}`")]
pub struct IllegalTaskTransition {
    /// The state the task was in.
    pub state: TaskState,
    /// The event that was refused.
    pub event: TaskEvent,
}

/// Returns the state that an event leads a step to.
///
/// # Errors
///
/// When the event is illegal in this state and situation.
pub fn step_transition(
    state: StepState,
    event: StepEvent,
    situation: Situation,
) -> Result<StepState, IllegalStepTransition> {
    STEP_TABLE
        .iter()
        .find(|row| row.0 == state && row.1 == event && row.3.holds(situation))
        .map(|row| row.2)
        .ok_or(IllegalStepTransition { state, event })
}

/// Returns the state that an event leads a task to.
///
/// # Errors
///
/// When the event is illegal in this state.
pub fn task_transition(state: TaskState, event: TaskEvent) -> Result<TaskState, IllegalTaskTransition> {
    TASK_TABLE
        .iter()
        .find(|row| row.0 == state && row.1 == event)
        .map(|row| row.2)
        .ok_or(IllegalTaskTransition { state, event })
}

/// Returns every legal transition of a step: state, event, next state, and the condition in words if there is one.
pub fn step_table() -> impl Iterator<Item = (StepState, StepEvent, StepState, &'static str)> {
    STEP_TABLE.iter().map(|row| (row.0, row.1, row.2, row.3.as_str()))
}

/// Returns every legal transition of a task: state, event, next state.
pub fn task_table() -> impl Iterator<Item = (TaskState, TaskEvent, TaskState)> {
    TASK_TABLE.iter().copied()
}

/// Draws the life of a step as a Mermaid state diagram.
pub fn step_diagram() -> String {
    let rows = STEP_TABLE.iter().map(|row| {
        let condition = if row.3 == When::Always {
            String::new()
        } else {
            format!(" ({})", row.3.as_str())
        };
        (row.0.as_str(), format!("{}{condition}", row.1), row.2.as_str())
    });
    diagram(rows, &["complete", "resolved_manually"])
}

/// Draws the life of a task as a Mermaid state diagram.
pub fn task_diagram() -> String {
    let rows = TASK_TABLE
        .iter()
        .map(|row| (row.0.as_str(), row.1.to_string(), row.2.as_str()));
    diagram(rows, &["complete", "cancelled", "resolved_manually"])
}

fn diagram<'a>(rows: impl Iterator<Item = (&'a str, String, &'a str)>, last: &[&str]) -> String {
    let mut text = "stateDiagram-v2\n    [*] --> pending\n".to_owned();
    for (from, label, to) in rows {
        text.push_str(&format!("    {from} --> {to}: {label}\n"));
    }
    for state in last {
        text.push_str(&format!("    {state} --> [*]\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Situation = Situation {
        task: TaskState::InProgress,
        attempts: AttemptsLeft::Some,
    };

    #[test]
    fn every_pair_of_step_state_and_event() {
        let mut table = String::new();
        for state in StepState::ALL {
            for event in StepEvent::ALL {
                let next = step_transition(*state, *event, OPEN);
                table.push_str(&format!(
                    "{state:17} {event:9} {}\n",
                    next.map_or("-".to_owned(), |next| next.to_string())
                ));
            }
        }
        insta::assert_snapshot!(table, @r"
        pending           start     in_progress
        pending           succeed   -
        pending           fail      -
        pending           expire    -
        pending           release   -
        pending           interrupt -
        pending           suspend   -
        pending           cancel    cancelled
        pending           reset     -
        pending           resolve   resolved_manually
        in_progress       start     -
        in_progress       succeed   complete
        in_progress       fail      error
        in_progress       expire    error
        in_progress       release   pending
        in_progress       interrupt pending
        in_progress       suspend   pending
        in_progress       cancel    cancelled
        in_progress       reset     -
        in_progress       resolve   -
        complete          start     -
        complete          succeed   -
        complete          fail      -
        complete          expire    -
        complete          release   -
        complete          interrupt -
        complete          suspend   -
        complete          cancel    -
        complete          reset     -
        complete          resolve   -
        error             start     in_progress
        error             succeed   -
        error             fail      -
        error             expire    -
        error             release   -
        error             interrupt -
        error             suspend   -
        error             cancel    cancelled
        error             reset     pending
        error             resolve   resolved_manually
        cancelled         start     -
        cancelled         succeed   -
        cancelled         fail      -
        cancelled         expire    -
        cancelled         release   -
        cancelled         interrupt -
        cancelled         suspend   -
        cancelled         cancel    -
        cancelled         reset     pending
        cancelled         resolve   resolved_manually
        resolved_manually start     -
        resolved_manually succeed   -
        resolved_manually fail      -
        resolved_manually expire    -
        resolved_manually release   -
        resolved_manually interrupt -
        resolved_manually suspend   -
        resolved_manually cancel    -
        resolved_manually reset     -
        resolved_manually resolve   -
        ");
    }

    #[test]
    fn every_pair_of_task_state_and_event() {
        let mut table = String::new();
        for state in TaskState::ALL {
            for event in TaskEvent::ALL {
                let next = task_transition(*state, *event);
                table.push_str(&format!(
                    "{state:17} {event:8} {}\n",
                    next.map_or("-".to_owned(), |next| next.to_string())
                ));
            }
        }
        insta::assert_snapshot!(table, @r"
        pending           start    in_progress
        pending           complete -
        pending           fail     error
        pending           resume   -
        pending           cancel   cancelled
        pending           resolve  -
        in_progress       start    -
        in_progress       complete complete
        in_progress       fail     error
        in_progress       resume   -
        in_progress       cancel   cancelled
        in_progress       resolve  -
        complete          start    -
        complete          complete -
        complete          fail     -
        complete          resume   -
        complete          cancel   -
        complete          resolve  -
        error             start    -
        error             complete -
        error             fail     -
        error             resume   in_progress
        error             cancel   cancelled
        error             resolve  resolved_manually
        cancelled         start    -
        cancelled         complete -
        cancelled         fail     -
        cancelled         resume   -
        cancelled         cancel   -
        cancelled         resolve  -
        resolved_manually start    -
        resolved_manually complete -
        resolved_manually fail     -
        resolved_manually resume   -
        resolved_manually cancel   -
        resolved_manually resolve  -
        ");
    }

    #[test]
    fn an_interrupt_at_the_last_attempt_is_an_error() {
        let last = Situation {
            attempts: AttemptsLeft::None,
            ..OPEN
        };
        assert_eq!(
            step_transition(StepState::InProgress, StepEvent::Interrupt, last),
            Ok(StepState::Error)
        );
    }

    #[test]
    fn a_cancelled_step_of_a_final_task_stays() {
        for task in TaskState::ALL.iter().copied().filter(|task| task.is_final()) {
            let closed = Situation { task, ..OPEN };
            for event in [StepEvent::Reset, StepEvent::Resolve] {
                let refused = step_transition(StepState::Cancelled, event, closed).unwrap_err();
                assert_eq!(
                    refused.to_string(),
                    format!("event `{event}` is illegal in state `cancelled`")
                );
            }
        }
    }

    #[test]
    fn names_of_events_read_back() {
        for event in StepEvent::ALL {
            assert_eq!(event.as_str().parse::<StepEvent>().unwrap(), *event);
        }
        for event in TaskEvent::ALL {
            assert_eq!(event.as_str().parse::<TaskEvent>().unwrap(), *event);
        }
    }

    #[test]
    fn diagrams_have_every_row() {
        insta::assert_snapshot!(step_diagram());
        insta::assert_snapshot!(task_diagram());
    }
}
