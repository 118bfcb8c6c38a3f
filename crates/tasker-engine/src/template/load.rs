//! From a file or a text to a template.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use tasker_types::{Limits, Namespace};

use super::check::{CheckHandler, UnknownHandlers, check};
use super::document;
use super::faults::{Findings, TemplateFault, TemplateFaults};
use super::model::Template;
use super::read::read;

/// What a template is checked against, and which of its environments counts.
#[derive(Clone, Debug)]
pub struct LoadOptions<'a> {
    /// How large it may be.
    pub limits: &'a Limits,
    /// The namespace of a template that names none.
    pub default_namespace: Namespace,
    /// The environment whose overrides apply.
    pub environment: Option<&'a str>,
    /// What checks handlers and their configurations.
    pub handlers: Option<&'a dyn CheckHandler>,
    /// What a handler that is not known means.
    pub unknown_handlers: UnknownHandlers,
}

impl<'a> LoadOptions<'a> {
    /// Returns options that check everything but handlers.
    pub fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            default_namespace: Namespace::default(),
            environment: None,
            handlers: None,
            unknown_handlers: UnknownHandlers::Warn,
        }
    }
}

/// A template and what is worth knowing about how it is written.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The template.
    pub template: Arc<Template>,
    /// Things that work and should be changed.
    pub warnings: Vec<TemplateFault>,
}

impl Template {
    /// Reads a template from a file.
    ///
    /// # Errors
    ///
    /// All faults of the file.
    pub fn load(path: &Path, options: &LoadOptions<'_>) -> Result<Loaded, TemplateFaults> {
        let mut findings = Findings::new(Some(path.display().to_string()));
        let Some(text) = read_file(path, options.limits, &mut findings) else {
            return finish(None, findings);
        };
        let directory = std::path::absolute(path)
            .ok()
            .and_then(|path| path.parent().map(|parent| parent.display().to_string()));
        Self::parse_into(&text, directory, options, findings)
    }

    /// Reads a template from a text.
    ///
    /// # Errors
    ///
    /// All faults of the text.
    pub fn parse(text: &str, options: &LoadOptions<'_>) -> Result<Loaded, TemplateFaults> {
        Self::parse_into(text, None, options, Findings::default())
    }

    fn parse_into(
        text: &str,
        directory: Option<String>,
        options: &LoadOptions<'_>,
        mut findings: Findings,
    ) -> Result<Loaded, TemplateFaults> {
        let (size, limit) = (text.len() as u64, options.limits.template);
        if size > limit {
            too_large(&size.to_string(), limit, &mut findings);
            return finish(None, findings);
        }
        if text.trim().is_empty() {
            findings.fault(
                None,
                "empty",
                "the file is empty; a template has at least `name` and `steps`",
            );
            return finish(None, findings);
        }
        let Some(node) = document::read(text, options.limits, &mut findings) else {
            return finish(None, findings);
        };
        node.report_duplicate_keys(&mut findings);
        let template = read(&node, options.environment, &mut findings).and_then(|mut draft| {
            draft.directory = directory;
            check(draft, options, &mut findings)
        });
        finish(template, findings)
    }
}

/// Puts template and findings together.
pub(super) fn finish(template: Option<Template>, mut findings: Findings) -> Result<Loaded, TemplateFaults> {
    if template.is_none() && findings.is_clean() {
        findings.fault(None, "unreadable", "the template cannot be read");
    }
    let warnings = findings.conclude()?;
    template
        .map(|template| Loaded {
            template: Arc::new(template),
            warnings,
        })
        .ok_or_else(TemplateFaults::default)
}

fn too_large(size: &str, limit: u64, findings: &mut Findings) {
    findings.fault(
        None,
        "too_large",
        format!("the file has {size} bytes, but the limit is {limit}; split it, or raise `limits.template`"),
    );
}

fn read_file(path: &Path, limits: &Limits, findings: &mut Findings) -> Option<String> {
    match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => {
            findings.fault(
                None,
                "not_readable",
                "this is a directory; name a template's file",
            );
            return None;
        }
        // Not even read: it may be larger than memory.
        Ok(about) if about.len() > limits.template => {
            too_large(&about.len().to_string(), limits.template, findings);
            return None;
        }
        Ok(_) => {}
        Err(error) => {
            findings.fault(None, "not_readable", format!("the file cannot be read: {error}"));
            return None;
        }
    }
    let bytes = match bytes(path, limits.template) {
        // A device or a pipe has no length to look at.
        Ok(bytes) if bytes.len() as u64 > limits.template => {
            too_large(
                &format!("more than {}", limits.template),
                limits.template,
                findings,
            );
            return None;
        }
        bytes => bytes,
    };
    match bytes.map(String::from_utf8) {
        Ok(Ok(text)) => Some(text),
        Ok(Err(error)) => {
            let bytes = error.as_bytes();
            let valid = &bytes[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            findings.fault(Some(line), "not_utf8", "the file is not UTF-8; save it as UTF-8");
            None
        }
        Err(error) => {
            findings.fault(None, "not_readable", format!("the file cannot be read: {error}"));
            None
        }
    }
}

/// Reads a file, and one byte more than the limit at most.
fn bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
