//! Log messages, to standard error; what `telemetry.filter_parameters` calls secret is not in them.

mod json;

use std::fmt::{self, Write};
use std::sync::Arc;

use tasker_types::{LogFormat, Telemetry};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::{MakeExt, RecordFields};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use self::json::JsonLines;
use crate::exit::Problem;
use crate::view::terminal::Terminal;
use crate::view::text::Colours;

/// Has log messages that pass a filter, such as `warn` or `tasker_engine=debug`, written to a terminal from now on.
pub(crate) fn start(filter: &str, telemetry: &Arc<Telemetry>, terminal: &Terminal) -> Result<(), Problem> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        let message = format!("`{}` is no filter of log messages", filter.escape_debug());
        Problem::refused("log_filter", message)
            .caused_by(&error)
            .with_help("set TASKER_LOG to a level, such as debug, or to levels of modules, such as tasker_engine=debug")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal.colours() == Colours::On)
        .with_writer(terminal.clone());
    let telemetry = Arc::clone(telemetry);
    // A second start would change nothing; the first one stays.
    let _ = match telemetry.log_format {
        LogFormat::Json => {
            let lines = JsonLines { telemetry };
            let builder = builder.fmt_fields(lines.clone()).event_format(lines);
            tracing::subscriber::set_global_default(builder.finish())
        }
        LogFormat::Pretty => {
            let fields = debug_fn(move |writer, field, value| pretty(&telemetry, writer, field, value));
            let builder = builder.with_target(false).fmt_fields(fields.delimited(" "));
            tracing::subscriber::set_global_default(builder.finish())
        }
        LogFormat::Logfmt => {
            let lines = Logfmt { telemetry };
            let builder = builder.fmt_fields(lines.clone()).event_format(lines);
            tracing::subscriber::set_global_default(builder.finish())
        }
    };
    Ok(())
}

/// Writes a field for people: the message as it is, everything else after its name.
fn pretty(
    telemetry: &Telemetry,
    writer: &mut Writer<'_>,
    field: &Field,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        name if telemetry.hides(name) => write!(writer, "{name}={}", telemetry.filter_mask),
        name => write!(writer, "{name}={value:?}"),
    }
}

/// Returns the version of the service.
fn version(telemetry: &Telemetry) -> &str {
    telemetry
        .service_version
        .as_deref()
        .unwrap_or(env!("CARGO_PKG_VERSION"))
}

/// Writes a message as `key=value` pairs: time, level, service, message, its fields, and those of the spans around it.
#[derive(Clone, Debug)]
struct Logfmt {
    telemetry: Arc<Telemetry>,
}

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("time=")?;
        SystemTime.format_time(&mut writer)?;
        let metadata = event.metadata();
        write!(
            writer,
            " level={} target={}",
            metadata.level().as_str().to_ascii_lowercase(),
            metadata.target()
        )?;
        write!(
            writer,
            " service={} version={}",
            quoted(&self.telemetry.service_name),
            quoted(version(&self.telemetry))
        )?;
        let mut pairs = Pairs {
            telemetry: &self.telemetry,
            writer: writer.by_ref(),
            first: false,
            result: Ok(()),
        };
        event.record(&mut pairs);
        pairs.result?;
        for span in ctx.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            match extensions.get::<FormattedFields<N>>() {
                Some(fields) if !fields.is_empty() => write!(writer, " {}", fields.fields)?,
                _ => {}
            }
        }
        writer.write_char('\n')
    }
}

impl<'writer> FormatFields<'writer> for Logfmt {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut pairs = Pairs {
            telemetry: &self.telemetry,
            writer,
            first: true,
            result: Ok(()),
        };
        fields.record(&mut pairs);
        pairs.result
    }
}

struct Pairs<'a, 'w> {
    telemetry: &'a Telemetry,
    writer: Writer<'w>,
    first: bool,
    result: fmt::Result,
}

impl Pairs<'_, '_> {
    fn pair(&mut self, field: &Field, value: &str) {
        if self.result.is_err() {
            return;
        }
        let separator = if std::mem::take(&mut self.first) { "" } else { " " };
        let name = if field.name() == "message" {
            "msg"
        } else {
            field.name()
        };
        let value = if self.telemetry.hides(name) {
            &self.telemetry.filter_mask
        } else {
            value
        };
        self.result = write!(self.writer, "{separator}{name}={}", quoted(value));
    }
}

impl Visit for Pairs<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.pair(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.pair(field, &format!("{value:?}"));
    }
}

/// Returns the value as it is, or between quotes if something in it would be taken for an end.
fn quoted(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=' && c != '\\';
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tasker_types::TelemetryValues;

    use super::*;

    #[test]
    fn values_are_quoted_when_they_must_be() {
        for (value, text) in [
            ("plain-1.5µ", "plain-1.5µ"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a=b", "\"a=b\""),
            ("say \"hi\"\n\\\u{1}", "\"say \\\"hi\\\"\\n\\\\\\u0001\""),
        ] {
            assert_eq!(quoted(value), text);
        }
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns what a message within a span is written as, without its time.
    fn written(subscriber: impl FnOnce(Buffer) -> tracing::Dispatch) -> String {
        let buffer = Buffer::default();
        let subscriber = subscriber(buffer.clone());
        tracing::dispatcher::with_default(&subscriber, || {
            let span = tracing::info_span!("attempt", step = "fetch", run = 2, api_key = "k");
            span.in_scope(|| {
                tracing::warn!(
                    wait = ?std::time::Duration::from_secs(1),
                    code = "a b",
                    password = "hunter2",
                    "trying again"
                );
            });
        });
        let text = buffer.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_message_is_one_line_of_pairs() {
        let lines = Logfmt {
            telemetry: Arc::default(),
        };
        let text = written(|buffer| {
            let builder = tracing_subscriber::fmt().with_ansi(false);
            let builder = builder.fmt_fields(lines.clone()).event_format(lines);
            builder.with_writer(move || buffer.clone()).finish().into()
        });
        let (time, rest) = text.split_once(" level=").unwrap();
        assert!(time.starts_with("time=20") && time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            "warn target=tasker::logging::tests service=tasker version=0.1.0 msg=\"trying again\" wait=1s code=\"a b\" \
             password=[FILTERED] step=fetch run=2 api_key=[FILTERED]\n"
        );
    }

    #[test]
    fn a_message_is_one_object_of_json() {
        let telemetry = Telemetry::try_from(TelemetryValues {
            service_name: "shop".to_owned(),
            service_version: Some("7.1".to_owned()),
            ..TelemetryValues::default()
        });
        let lines = JsonLines {
            telemetry: Arc::new(telemetry.unwrap()),
        };
        let text = written(|buffer| {
            let builder = tracing_subscriber::fmt();
            let builder = builder.fmt_fields(lines.clone()).event_format(lines);
            builder.with_writer(move || buffer.clone()).finish().into()
        });
        assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
        let mut line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(line["timestamp"].take().as_str().unwrap().ends_with('Z'));
        assert_eq!(
            line,
            serde_json::json!({
                "timestamp": null,
                "level": "WARN",
                "target": "tasker::logging::tests",
                "service": "shop",
                "version": "7.1",
                "message": "trying again",
                "wait": "1s",
                "code": "a b",
                "password": "[FILTERED]",
                "spans": [{ "name": "attempt", "step": "fetch", "run": 2, "api_key": "[FILTERED]" }],
            })
        );
    }

    #[test]
    fn a_message_for_people_has_no_secrets_either() {
        let telemetry: Arc<Telemetry> = Arc::default();
        let text = written(|buffer| {
            let fields = debug_fn(move |writer, field, value| pretty(&telemetry, writer, field, value));
            let builder = tracing_subscriber::fmt()
                .with_ansi(false)
                .without_time()
                .with_target(false);
            let builder = builder.fmt_fields(fields.delimited(" "));
            builder.with_writer(move || buffer.clone()).finish().into()
        });
        assert_eq!(
            text,
            " WARN attempt{step=\"fetch\" run=2 api_key=[FILTERED]}: trying again wait=1s code=\"a b\" \
             password=[FILTERED]\n"
        );
    }
}
