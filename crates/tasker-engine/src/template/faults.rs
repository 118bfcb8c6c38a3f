//! What is wrong with a template.

use std::fmt;

use serde::Serialize;
use tasker_types::nearest;
use thiserror::Error;

/// One fault, with what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateFault {
    /// The file, as it was named, if the template came from one.
    pub file: Option<String>,
    /// The line, from 1, where it is known.
    pub line: Option<u64>,
    /// A short, stable name for the kind of fault.
    pub code: &'static str,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: {}", self.message),
            (Some(file), None) => write!(f, "{file}: {}", self.message),
            (None, Some(line)) => write!(f, "line {line}: {}", self.message),
            (None, None) => f.write_str(&self.message),
        }
    }
}

/// All faults of a template, by line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Error, Serialize)]
#[serde(transparent)]
pub struct TemplateFaults(Vec<TemplateFault>);

impl TemplateFaults {
    /// Returns the faults; at least one.
    pub fn as_slice(&self) -> &[TemplateFault] {
        &self.0
    }
}

impl From<TemplateFault> for TemplateFaults {
    fn from(fault: TemplateFault) -> Self {
        Self(vec![fault])
    }
}

impl FromIterator<TemplateFault> for TemplateFaults {
    fn from_iter<I: IntoIterator<Item = TemplateFault>>(faults: I) -> Self {
        Self(faults.into_iter().collect())
    }
}

impl fmt::Display for TemplateFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

/// Collects faults and warnings while a template is read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) file: Option<String>,
    faults: Vec<TemplateFault>,
    warnings: Vec<TemplateFault>,
    hints: u32,
}

/// How many names are compared with all others for a hint: a file may have many steps and many slips.
const HINTS: u32 = 20;

impl Findings {
    pub(super) fn new(file: Option<String>) -> Self {
        Self {
            file,
            ..Self::default()
        }
    }

    fn finding(&self, line: Option<u64>, code: &'static str, message: String) -> TemplateFault {
        TemplateFault {
            file: self.file.clone(),
            line,
            code,
            message,
        }
    }

    pub(super) fn fault(&mut self, line: Option<u64>, code: &'static str, message: impl Into<String>) {
        let fault = self.finding(line, code, message.into());
        self.faults.push(fault);
    }

    pub(super) fn warning(&mut self, line: Option<u64>, code: &'static str, message: impl Into<String>) {
        let warning = self.finding(line, code, message.into());
        self.warnings.push(warning);
    }

    /// Returns the candidate that was probably meant; after many hints none.
    pub(super) fn hint<'a>(
        &mut self,
        text: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        self.hints += 1;
        if self.hints > HINTS {
            None
        } else {
            nearest(text, candidates)
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// Returns the warnings, or the faults if there are any.
    pub(super) fn conclude(mut self) -> Result<Vec<TemplateFault>, TemplateFaults> {
        if self.faults.is_empty() {
            Ok(self.warnings)
        } else {
            self.faults.sort_by_key(|fault| fault.line.unwrap_or(0));
            Err(TemplateFaults(self.faults))
        }
    }
}
