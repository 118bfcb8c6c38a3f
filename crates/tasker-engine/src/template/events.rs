//! The custom events that steps declare.

use std::collections::BTreeMap;

use tasker_types::{CustomEvent, EventDefinition, EventName};

use super::check::DraftStep;
use super::document::Marked;
use super::faults::Findings;
use super::load::LoadOptions;

/// Checks the events of all steps, and returns those of each step.
///
/// An event may be declared by several steps, and need not be described by each; what one says about it must be what
/// the others say. `template` is the full name of the template, if that is good.
pub(super) fn check_events(
    steps: &[DraftStep],
    template: Option<&str>,
    options: &LoadOptions<'_>,
    findings: &mut Findings,
) -> Vec<Vec<CustomEvent>> {
    let mut known: BTreeMap<EventName, (String, String)> = BTreeMap::new();
    let mut check = |step: &DraftStep, definition: &Marked<EventDefinition>, findings: &mut Findings| {
        let label = &step.name.value;
        let line = definition.line.or(step.line);
        let event = match definition.value.clone().check() {
            Ok(event) => event,
            Err(fault) => {
                findings.fault(line, "bad_event", format!("`events` of step `{label}`: {fault}"));
                return None;
            }
        };
        if let Some(description) = &event.description {
            match known.get(&event.name) {
                Some((other, before)) if before != description => {
                    let message = format!(
                        "step `{label}` describes the custom event `{}` as \"{description}\", but step `{other}` as \
                         \"{before}\"; give both the same description, or one of them another name",
                        event.name
                    );
                    findings.fault(line, "event_conflict", message);
                }
                Some(_) => {}
                None => {
                    known.insert(event.name.clone(), (label.clone(), description.clone()));
                }
            }
        }
        if let (Some(handlers), Some(template)) = (options.handlers, template)
            && let Err(message) = handlers.check_event(template, &event)
        {
            findings.fault(line, "event_conflict", message);
        }
        Some(event)
    };
    let of_step = |step: &DraftStep| {
        let events = step.events.iter();
        events.filter_map(|event| check(step, event, findings)).collect()
    };
    steps.iter().map(of_step).collect()
}
