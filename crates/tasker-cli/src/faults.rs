//! What other crates report, as problems of a command.

use tasker::{InsightError, Refusal, RequestError, StoreError, TemplateFault, TemplateFaults};

use crate::exit::{Fault, Problem};

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        let problem = match &error {
            StoreError::UnknownTask { .. } => {
                Self::refused("task_not_found", message).with_help("`tasker task list` lists the tasks")
            }
            StoreError::UnknownStep { .. } => Self::refused("step_not_found", message),
            StoreError::IllegalStep { .. } | StoreError::IllegalTask { .. } => {
                Self::refused("illegal_transition", message)
            }
            StoreError::StepInProgress { .. } => Self::refused("step_in_progress", message),
            StoreError::Changed { .. } => Self::refused("changed_meanwhile", message),
            StoreError::Rejected { .. } => Self::refused("rejected", message),
            StoreError::Unavailable { .. } => Self::store("store_unavailable", message).with_help(
                "another process may be writing for long: try again, or raise `database.busy_timeout_seconds`",
            ),
            StoreError::NotWritable { .. } => Self::store("store_not_writable", message),
            StoreError::Unusable { .. } => Self::store("store_unusable", message),
            StoreError::Closed => Self::store("store_closed", message),
            _ => Self::store("store_failed", message),
        };
        problem.caused_by(&error)
    }
}

impl From<&TemplateFault> for Fault {
    fn from(fault: &TemplateFault) -> Self {
        Self {
            file: fault.file.clone(),
            line: fault.line,
            message: fault.message.clone(),
        }
    }
}

impl From<InsightError> for Problem {
    fn from(error: InsightError) -> Self {
        match error {
            InsightError::Store(error) => error.into(),
            error => Self::refused("dependency_graph", error.to_string()),
        }
    }
}

impl From<TemplateFaults> for Problem {
    fn from(faults: TemplateFaults) -> Self {
        let faults: Vec<Fault> = faults.as_slice().iter().map(Fault::from).collect();
        let message = match faults.len() {
            1 => "the template has a fault".to_owned(),
            count => format!("the template has {count} faults"),
        };
        Self::refused("template_faults", message).with_faults(faults)
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Context(faults) => {
                let faults: Vec<Fault> = faults
                    .as_slice()
                    .iter()
                    .map(|message| Fault {
                        file: None,
                        line: None,
                        message: message.clone(),
                    })
                    .collect();
                Self::refused("context_faults", "the context does not fit the template").with_faults(faults)
            }
            error @ RequestError::UnknownStep { .. } => Self::refused("step_not_found", error.to_string()),
            error @ RequestError::NotSkippable { .. } => {
                Self::refused("step_not_skippable", error.to_string())
            }
            error => Self::refused("request", error.to_string()),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Self::refused(refusal.code(), refusal.to_string());
        match refusal {
            Refusal::KeyReused { .. } => {
                problem.with_help("repeat the command exactly as it was, or take another key")
            }
            refusal => problem.with_help(format!("`tasker task show {}` shows it", refusal.task())),
        }
    }
}
