//! Where work stands in a trace, as [W3C Trace Context](https://www.w3.org/TR/trace-context/) writes it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tasker_types::{RunNo, StepNo, TaskId};
use thiserror::Error;

/// A span that others are part of, as it is handed on in a header `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// A text that is no `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "it is no `traceparent`, which is `00-`, 32 digits, `-`, 16 digits, `-` and 2 digits, all of them 0 to 9 and a to f"
)]
pub struct InvalidTraceContext;

impl TraceContext {
    /// Returns the span of a task.
    ///
    /// Its trace is the one that the request for the task brought along, or else has the id of the task. Both ids follow
    /// from the task, so that every process gives it the same.
    pub fn of_task(task: TaskId, brought: Option<Self>, sampled: bool) -> Self {
        let id = u128::from_be_bytes(*task.as_bytes());
        Self {
            trace: brought.map_or(id, |brought| brought.trace),
            // A UUID has bits here that are never zero.
            span: low(id),
            sampled,
        }
    }

    /// Returns the span of one run of a step of the task that has this span.
    #[must_use]
    pub fn of_run(self, step: StepNo, run: RunNo) -> Self {
        let which = (u64::from(step.0) << 32) ^ u64::from(run.0);
        Self {
            span: mix(self.span ^ mix(which.wrapping_add(1))).max(1),
            ..self
        }
    }

    /// Returns the id of the trace; never zero.
    pub const fn trace_id(&self) -> u128 {
        self.trace
    }

    /// Returns the id of the span; never zero.
    pub const fn span_id(&self) -> u64 {
        self.span
    }

    /// Tells whether spans of the trace are kept.
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// Tells whether a trace with this id is among this part of all of them, from 0 to 1: whoever asks is told the same.
    ///
    /// What decides are the last 56 bits, which are random, as in consistent probability sampling of OpenTelemetry.
    pub fn is_within(trace_id: u128, part: f64) -> bool {
        // The first 32 of them will do.
        let [.., a, b, c, d, _, _, _] = trace_id.to_be_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / 4_294_967_296.0 < part
    }
}

/// Returns the lower half.
fn low(id: u128) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = id.to_be_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): a bijection that changes about half of the bits.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    /// Reads version 00, and of later versions what they have in common with it.
    fn from_str(text: &str) -> Result<Self, InvalidTraceContext> {
        let read = |digits: &str, length: usize| {
            let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
            (digits.len() == length && digits.bytes().all(plain))
                .then(|| u128::from_str_radix(digits, 16).ok())
                .flatten()
        };
        let mut parts = text.splitn(5, '-');
        let mut next = |length| parts.next().and_then(|part| read(part, length));
        let (version, trace, span, flags) = (next(2), next(32), next(16), next(2));
        let (Some(version), Some(trace), Some(span), Some(flags)) = (version, trace, span, flags) else {
            return Err(InvalidTraceContext);
        };
        let ends = parts.next().is_none();
        if version == 0xFF || trace == 0 || span == 0 || (version == 0 && !ends) {
            return Err(InvalidTraceContext);
        }
        Ok(Self {
            trace,
            span: low(span),
            sampled: flags & 1 == 1,
        })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

impl TryFrom<String> for TraceContext {
    type Error = InvalidTraceContext;

    fn try_from(text: String) -> Result<Self, InvalidTraceContext> {
        text.parse()
    }
}

impl From<TraceContext> for String {
    fn from(context: TraceContext) -> Self {
        context.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use tasker_types::Timestamp;

    const WRITTEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn task(random: u128) -> TaskId {
        TaskId::new(Timestamp::from_micros(1_700_000_000_000_000), random)
    }

    #[test]
    fn a_context_is_written_as_it_was_read() {
        let context: TraceContext = WRITTEN.parse().unwrap();
        assert_eq!(context.trace_id(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(context.span_id(), 0xb7ad_6b71_6920_3331);
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), WRITTEN);
        let other = WRITTEN.replace("-01", "-02");
        assert!(!other.parse::<TraceContext>().unwrap().is_sampled());
        // What later versions add is left alone.
        let later = format!("cc{}-what-ever", &WRITTEN[2..]);
        assert_eq!(later.parse(), Ok(context));
        assert_eq!(serde_json::to_string(&context).unwrap(), format!("\"{WRITTEN}\""));
        assert_eq!(
            serde_json::from_str::<TraceContext>(&format!("\"{WRITTEN}\"")).unwrap(),
            context
        );
    }

    #[test]
    fn what_is_no_context_is_refused() {
        let zeros = |of: &str| WRITTEN.replace(of, &"0".repeat(of.len()));
        for text in [
            String::new(),
            "00".to_owned(),
            WRITTEN.to_uppercase(),
            format!("{WRITTEN}-00"),
            format!("ff{}", &WRITTEN[2..]),
            WRITTEN[..54].to_owned(),
            format!("{WRITTEN}0"),
            WRITTEN.replace("af7", "+f7"),
            zeros("0af7651916cd43dd8448eb211c80319c"),
            zeros("b7ad6b7169203331"),
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(InvalidTraceContext), "{text}");
        }
    }

    #[test]
    fn each_task_and_each_run_has_a_span_of_its_own() {
        let first = TraceContext::of_task(task(1), None, true);
        assert_eq!(first.trace_id().to_be_bytes(), *task(1).as_bytes());
        let brought: TraceContext = WRITTEN.parse().unwrap();
        let second = TraceContext::of_task(task(2), Some(brought), true);
        assert_eq!(second.trace_id(), brought.trace_id());
        let runs = [first, second].into_iter().flat_map(|of| {
            (0..100).flat_map(move |step| (1..=5).map(move |run| of.of_run(StepNo(step), RunNo(run))))
        });
        let spans: HashSet<_> = runs
            .chain([first, second, brought])
            .map(|each| each.span_id())
            .collect();
        assert_eq!(spans.len(), 2 * 100 * 5 + 3);
        assert_eq!(first.of_run(StepNo(1), RunNo(1)).trace_id(), first.trace_id());
    }

    #[test]
    fn a_part_of_all_traces_is_about_that_part() {
        let ids: Vec<_> = (0..10_000u64)
            .map(|seed| u128::from(mix(seed.wrapping_add(1))))
            .collect();
        let within = |part| {
            ids.iter()
                .filter(|id| TraceContext::is_within(**id, part))
                .count()
        };
        assert_eq!((within(0.0), within(1.0)), (0, 10_000));
        assert!((900..1_100).contains(&within(0.1)), "{}", within(0.1));
        // Who is in a part is in every greater one.
        assert!(
            ids.iter()
                .all(|id| !TraceContext::is_within(*id, 0.1) || TraceContext::is_within(*id, 0.2))
        );
        assert!(TraceContext::is_within(u128::MAX, 1.0));
    }
}
