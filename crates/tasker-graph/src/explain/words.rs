//! Explanations as text.

use std::fmt;

use tasker_types::{TaskState, Timestamp};

use super::{Cause, Clears, Explanation, Link, TaskExplanation};

/// How many names a line has.
const NAMES: usize = 3;

/// Returns when a cause is no more; `due_at` is the step's time, if it waits for one.
pub(super) fn clears(cause: &Cause, due_at: Option<Timestamp>) -> Clears {
    let by_hand = |action| Clears::ByHand { action };
    match cause {
        Cause::Nothing | Cause::Finished { .. } => Clears::Now,
        Cause::Running { lease_until, .. } => Clears::WhenItEnds {
            at_the_latest: *lease_until,
        },
        Cause::Parents { .. } => Clears::WithParents,
        Cause::Backoff { .. } | Cause::NotYet => due_at.map_or(Clears::InTime, |time| Clears::At { time }),
        Cause::Exhausted { .. } => by_hand("retry the step, resolve it, or allow more attempts"),
        Cause::Permanent { .. } | Cause::NotRetryable { .. } => {
            by_hand("mend what is wrong and retry the step, or resolve it")
        }
        Cause::Cancelled => by_hand("retry the step, or resolve it"),
        Cause::TaskNotActive {
            state: TaskState::Error,
        } => by_hand("retry the task"),
        Cause::TaskNotActive { .. } => by_hand("create a new task: this one has ended for good"),
        Cause::NoWorkerForHandler { .. } => by_hand("start a worker that has the handler"),
        Cause::ConcurrencyLimit { .. } => Clears::WhenASlotIsFree,
    }
}

/// Writes a time in UTC without fractions of a second.
struct Second(Timestamp);

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match text.split_once('.') {
            Some((whole, _)) => write!(f, "{whole}Z"),
            None => f.write_str(&text),
        }
    }
}

/// Writes the last error, if there is one.
struct Last<'a>(&'a Option<String>);

impl fmt::Display for Last<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing blocks it"),
            Self::Finished { state } => write!(f, "is done ({state})"),
            Self::Running {
                worker: Some(worker), ..
            } => write!(f, "is run by worker {worker}"),
            Self::Running { worker: None, .. } => f.write_str("is running"),
            Self::Parents { waits_for } => {
                let shown = waits_for
                    .iter()
                    .take(NAMES)
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ");
                write!(f, "waits for {shown}")?;
                match waits_for.len().saturating_sub(NAMES) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::Backoff {
                attempts,
                retry_limit,
                last_error,
            } => {
                let next = u64::from(*attempts) + 1;
                write!(f, "waits for attempt {next} of {retry_limit}{}", Last(last_error))
            }
            Self::NotYet => f.write_str("is not to start yet"),
            Self::Exhausted {
                attempts,
                retry_limit,
                last_error,
            } => write!(
                f,
                "has used up {attempts} of {retry_limit} attempts{}",
                Last(last_error)
            ),
            Self::Permanent { last_error } => write!(f, "has failed for good{}", Last(last_error)),
            Self::NotRetryable { last_error } => {
                write!(f, "has failed and may not be tried again{}", Last(last_error))
            }
            Self::Cancelled => f.write_str("was cancelled"),
            Self::TaskNotActive { state } => write!(f, "could start, but the task is {}", task_state(*state)),
            Self::NoWorkerForHandler { handler } => {
                write!(f, "could start, but no worker has the handler `{handler}`")
            }
            Self::ConcurrencyLimit { limit: 1 } => f.write_str("could start, but the only slot is in use"),
            Self::ConcurrencyLimit { limit } => write!(f, "could start, but all {limit} slots are in use"),
        }
    }
}

const fn task_state(state: TaskState) -> &'static str {
    match state {
        TaskState::Pending => "pending",
        TaskState::InProgress => "in progress",
        TaskState::Complete => "complete",
        TaskState::Error => "in error",
        TaskState::Cancelled => "cancelled",
        TaskState::ResolvedManually => "resolved",
    }
}

impl fmt::Display for Clears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => Ok(()),
            Self::At { time } => write!(f, "until {}", Second(*time)),
            Self::WithParents => f.write_str("until that is done"),
            Self::WhenItEnds {
                at_the_latest: Some(time),
            } => {
                write!(f, "until it ends; its lease is held until {}", Second(*time))
            }
            Self::WhenItEnds { at_the_latest: None } => f.write_str("until it ends"),
            Self::WhenASlotIsFree => f.write_str("until a running step ends"),
            Self::InTime => f.write_str("until its time has come"),
            Self::ByHand { action } => write!(f, "until a person acts: {action}"),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.cause)?;
        match &self.clears {
            // The next line says what that is.
            Clears::Now | Clears::WithParents => Ok(()),
            clears => write!(f, ", {clears}"),
        }
    }
}

impl fmt::Display for Explanation {
    /// Writes the chain, a line for each step, and after it the other root causes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, link) in self.chain.iter().enumerate() {
            // A long chain would run out of the page.
            writeln!(f, "{:indent$}{link}", "", indent = depth.min(20) * 2)?;
        }
        let last = self.chain.last().map(|link| link.id);
        let others: Vec<&Link> = self.roots.iter().filter(|root| Some(root.id) != last).collect();
        if !others.is_empty() {
            writeln!(f, "it waits for more:")?;
            for root in others {
                writeln!(f, "  {root}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for TaskExplanation {
    /// Writes the root causes, and how much waits for each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.roots.is_empty() {
            return writeln!(f, "the task is {}: nothing blocks it", task_state(self.state));
        }
        for root in &self.roots {
            write!(f, "{}", root.link)?;
            match root.holds_up {
                0 => writeln!(f)?,
                1 => writeln!(f, " (1 step waits for it)")?,
                steps => writeln!(f, " ({steps} steps wait for it)")?,
            }
        }
        Ok(())
    }
}
