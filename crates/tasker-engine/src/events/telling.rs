//! Which events of which tasks are told of in the log and in traces.

use tasker_types::{TaskId, TelemetryValues};

use super::catalogue::SystemEvent;
use super::pattern::{InvalidPattern, Pattern};
use crate::trace::TraceContext;

/// Which events of which tasks are told of in the log and in traces. Subscribers are told of all that they ask for.
#[derive(Clone, Debug)]
pub struct Telling {
    enabled: bool,
    sampling_rate: f64,
    filtered: Vec<Pattern>,
}

impl Default for Telling {
    /// Tells of everything.
    fn default() -> Self {
        Self {
            enabled: true,
            sampling_rate: 1.0,
            filtered: Vec::new(),
        }
    }
}

impl Telling {
    /// Returns what the settings say: `enabled`, `event_sampling_rate` and `filtered_events`.
    ///
    /// # Errors
    ///
    /// The first of `filtered_events` that is no pattern of events.
    pub fn new(telemetry: &TelemetryValues) -> Result<Self, InvalidPattern> {
        let filtered = telemetry.filtered_events.iter().map(|pattern| pattern.parse());
        Ok(Self {
            enabled: telemetry.enabled,
            sampling_rate: telemetry.event_sampling_rate,
            filtered: filtered.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the span of a task, and whether it is sampled. A trace that the request brought along decides on that
    /// itself.
    pub fn task(&self, task: TaskId, brought: Option<TraceContext>) -> TraceContext {
        let own = TraceContext::of_task(task, brought, false);
        let sampled = brought.map_or_else(
            || TraceContext::is_within(own.trace_id(), self.sampling_rate),
            |brought| brought.is_sampled(),
        );
        TraceContext::of_task(task, brought, sampled)
    }

    /// Tells whether an event of a task is told of; the span is that of the task or of one of its runs.
    pub fn tells(&self, event: SystemEvent, span: &TraceContext) -> bool {
        let filtered = |pattern: &Pattern| pattern.matches(event.name());
        self.enabled && span.is_sampled() && !self.filtered.iter().any(filtered)
    }
}

#[cfg(test)]
mod tests {
    use tasker_types::Timestamp;

    use super::*;

    fn told(rate: f64, filtered: &[&str]) -> Telling {
        Telling::new(&TelemetryValues {
            event_sampling_rate: rate,
            filtered_events: filtered.iter().map(ToString::to_string).collect(),
            ..TelemetryValues::default()
        })
        .unwrap()
    }

    fn task() -> TaskId {
        TaskId::new(Timestamp::from_micros(0), 7)
    }

    #[test]
    fn what_is_filtered_is_not_told() {
        let span = Telling::default().task(task(), None);
        let all = told(1.0, &[]);
        let some = told(1.0, &["step.*", "task.failed"]);
        for (event, is_told) in [
            (SystemEvent::StepHandle, false),
            (SystemEvent::StepCompleted, false),
            (SystemEvent::TaskFailed, false),
            (SystemEvent::TaskCompleted, true),
        ] {
            assert!(all.tells(event, &span));
            assert_eq!(some.tells(event, &span), is_told, "{event:?}");
        }
        let off = Telling::new(&TelemetryValues {
            enabled: false,
            ..TelemetryValues::default()
        });
        assert!(!off.unwrap().tells(SystemEvent::TaskCompleted, &span));
    }

    #[test]
    fn a_trace_that_was_brought_along_decides_by_itself() {
        let sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let (yes, no) = (
            sampled.parse().unwrap(),
            sampled.replace("-01", "-00").parse().unwrap(),
        );
        for rate in [0.0, 1.0] {
            let telling = told(rate, &[]);
            assert!(telling.task(task(), Some(yes)).is_sampled());
            assert!(!telling.task(task(), Some(no)).is_sampled());
            assert_eq!(telling.task(task(), None).is_sampled(), rate > 0.0);
        }
    }

    #[test]
    fn an_event_that_there_is_not_cannot_be_filtered() {
        let values = TelemetryValues {
            filtered_events: vec!["task.complete".to_owned()],
            ..TelemetryValues::default()
        };
        let said = Telling::new(&values).unwrap_err().to_string();
        assert_eq!(
            said,
            "there is no event `task.complete`; did you mean `task.completed`?"
        );
    }
}
