//! Log messages as JSON, one object a line.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use tasker_types::Telemetry;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::version;

/// Writes a message as an object: time, level, where it is from, the service, its fields, and the spans around it from the outermost.
#[derive(Clone, Debug)]
pub(super) struct JsonLines {
    pub(super) telemetry: Arc<Telemetry>,
}

impl<S, N> FormatEvent<S, N> for JsonLines
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
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), time.into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), metadata.target().into());
        line.insert("service".to_owned(), self.telemetry.service_name.clone().into());
        line.insert("version".to_owned(), version(&self.telemetry).into());
        event.record(&mut Fields {
            telemetry: &self.telemetry,
            fields: &mut line,
        });
        let scope = ctx.event_scope().into_iter().flat_map(|scope| scope.from_root());
        let spans: Vec<Value> = scope
            .map(|span| {
                let mut fields = Map::new();
                fields.insert("name".to_owned(), span.name().into());
                if let Some(formatted) = span.extensions().get::<FormattedFields<N>>() {
                    fields.extend(read(&formatted.fields));
                }
                fields.into()
            })
            .collect();
        if !spans.is_empty() {
            line.insert("spans".to_owned(), spans.into());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

impl<'writer> FormatFields<'writer> for JsonLines {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut object = Map::new();
        fields.record(&mut Fields {
            telemetry: &self.telemetry,
            fields: &mut object,
        });
        write!(writer, "{}", Value::Object(object))
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let mut object = read(&current.fields);
        fields.record(&mut Fields {
            telemetry: &self.telemetry,
            fields: &mut object,
        });
        current.fields = Value::Object(object).to_string();
        Ok(())
    }
}

/// Reads the fields of a span that were written before.
fn read(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Collects fields; what has a name of the line's own is left out.
struct Fields<'a> {
    telemetry: &'a Telemetry,
    fields: &'a mut Map<String, Value>,
}

impl Fields<'_> {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        let value = tasker::masked_field(field.name(), value.into(), self.telemetry);
        self.fields.entry(field.name()).or_insert(value);
    }
}

impl Visit for Fields<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}
