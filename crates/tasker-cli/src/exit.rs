//! How a command ends: its exit code, and the error that it reports.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;
use tasker_types::TaskState;

use crate::view::text::{Colours, Line, Style};

/// How a command ended.
///
/// Ordered by how bad it is: of several tasks the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// It did what it was asked; a task that it ran is complete or resolved.
    Done,
    /// A task is in error or cancelled, or something that was checked is wrong.
    Failed,
    /// It was interrupted; what is unfinished can be resumed.
    Interrupted,
    /// The command, a template or the configuration is wrong.
    Refused,
    /// The store does not work.
    Store,
}

impl Exit {
    /// Returns the number that the process exits with.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Refused => 2,
            Self::Store => 3,
            Self::Interrupted => 130,
        }
    }

    /// Returns how a command ends that ran a task to this state.
    pub(crate) const fn of_task(state: TaskState) -> Self {
        match state {
            TaskState::Complete | TaskState::ResolvedManually => Self::Done,
            TaskState::Error | TaskState::Cancelled => Self::Failed,
            TaskState::Pending | TaskState::InProgress => Self::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what it was asked, for a person and for a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// A short, stable name.
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What led to it, the nearest cause first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<String>,
    /// Single faults, one a line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) faults: Vec<Fault>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    #[serde(skip)]
    pub(crate) exit: Exit,
}

/// One of several faults of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// The file, or where else the value comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// The line, from 1, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    /// What is wrong.
    pub(crate) message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: {}", self.message),
            (Some(file), None) => write!(f, "{file}: {}", self.message),
            (None, _) => f.write_str(&self.message),
        }
    }
}

impl Problem {
    /// Returns a problem with a command, a template or the configuration.
    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            causes: Vec::new(),
            faults: Vec::new(),
            help: None,
            exit: Exit::Refused,
        }
    }

    /// Returns a problem with the store.
    pub(crate) fn store(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Store,
            ..Self::refused(code, message)
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Lists single faults.
    #[must_use]
    pub(crate) fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// Adds what led to it, as far as the messages so far do not say it.
    #[must_use]
    pub(crate) fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            let text = cause.to_string();
            let said = |message: &String| message.contains(&text);
            if !said(&self.message) && !self.causes.iter().any(said) {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }
}

impl Problem {
    /// Writes it for a person, with a line break at its end.
    pub(crate) fn text(&self, colours: Colours) -> String {
        let word = |style, word| Line::styled(style, word).render(colours);
        let mut text = format!("{} {}\n", word(Style::Bad, "error:"), self.message);
        for cause in &self.causes {
            text.push_str(&format!("  {} {cause}\n", word(Style::Dim, "because:")));
        }
        for fault in &self.faults {
            text.push_str(&format!("  {fault}\n"));
        }
        if let Some(help) = &self.help {
            text.push_str(&format!("  {} {help}\n", word(Style::Busy, "help:")));
        }
        text
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(Colours::Off).trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_ends_the_command_with_its_own_code() {
        let codes = TaskState::ALL
            .iter()
            .map(|state| (state.as_str(), Exit::of_task(*state).code()));
        assert_eq!(
            codes.collect::<Vec<_>>(),
            [
                ("pending", 130),
                ("in_progress", 130),
                ("complete", 0),
                ("error", 1),
                ("cancelled", 1),
                ("resolved_manually", 0),
            ]
        );
    }

    #[test]
    fn of_several_ends_the_worst_counts() {
        let worst = [Exit::Done, Exit::Interrupted, Exit::Failed].into_iter().max();
        assert_eq!(worst, Some(Exit::Interrupted));
        assert!(Exit::Store > Exit::Refused);
    }

    #[test]
    fn a_problem_says_causes_faults_and_a_way_out() {
        let fault = |line| Fault {
            file: Some("t.yaml".into()),
            line,
            message: "no steps".into(),
        };
        let problem = Problem::refused("template_faults", "the template has 2 faults")
            .with_faults(vec![fault(Some(3)), fault(None)])
            .caused_by(&std::io::Error::other("gone"))
            .with_help("write steps");
        assert_eq!(
            problem.to_string(),
            "error: the template has 2 faults\n  because: gone\n  t.yaml:3: no steps\n  t.yaml: no steps\n  \
             help: write steps"
        );
    }

    #[test]
    fn a_cause_that_is_said_is_not_said_again() {
        let problem = Problem::store("unavailable", "the store `a` is not available: busy");
        assert!(
            problem
                .caused_by(&std::io::Error::other("busy"))
                .causes
                .is_empty()
        );
    }
}
