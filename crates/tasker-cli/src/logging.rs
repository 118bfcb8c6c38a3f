//! Log messages, to standard error.

use std::fmt::{self, Write};

use tasker_types::LogFormat;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::exit::Problem;
use crate::view::terminal::Terminal;
use crate::view::text::Colours;

/// Has log messages that pass a filter, such as `warn` or `tasker_engine=debug`, written to a terminal from now on.
pub(crate) fn start(filter: &str, format: LogFormat, terminal: &Terminal) -> Result<(), Problem> {
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
    // A second start would change nothing; the first one stays.
    let _ = match format {
        LogFormat::Json => {
            tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())
        }
        LogFormat::Pretty => tracing::subscriber::set_global_default(builder.with_target(false).finish()),
        LogFormat::Logfmt => {
            tracing::subscriber::set_global_default(builder.fmt_fields(Logfmt).event_format(Logfmt).finish())
        }
    };
    Ok(())
}

/// Writes a message as `key=value` pairs: time, level, message, its fields, and those of the spans around it.
#[derive(Clone, Copy, Debug)]
struct Logfmt;

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
        let mut pairs = Pairs {
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
            writer,
            first: true,
            result: Ok(()),
        };
        fields.record(&mut pairs);
        pairs.result
    }
}

struct Pairs<'a> {
    writer: Writer<'a>,
    first: bool,
    result: fmt::Result,
}

impl Pairs<'_> {
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
        self.result = write!(self.writer, "{separator}{name}={}", quoted(value));
    }
}

impl Visit for Pairs<'_> {
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

    #[test]
    fn a_message_is_one_line_of_pairs() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .fmt_fields(Logfmt)
            .event_format(Logfmt)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("attempt", step = "fetch", run = 2);
            span.in_scope(
                || tracing::warn!(wait = ?std::time::Duration::from_secs(1), code = "a b", "trying again"),
            );
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let (time, rest) = text.split_once(" level=").unwrap();
        assert!(time.starts_with("time=20") && time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            "warn target=tasker::logging::tests msg=\"trying again\" wait=1s code=\"a b\" step=fetch run=2\n"
        );
    }
}
