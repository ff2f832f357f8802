//! The shape of log lines, as zap writes them for etcd: one JSON object a line with `level`, `ts`, `caller`, `msg` and the fields.
//!
//! Programs wait for lines and parse them (`reference/process.md`, section 3), so they are never coloured. Where lines
//! go is decided next door.

use serde_json::{Map, Value};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// One line per event.
pub(super) struct ZapFormat {
    /// JSON instead of text between tabs.
    pub(super) is_json: bool,
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.rest.insert(field.name().replace('_', "-"), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, Value::from(value));
    }
}

fn level_name(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// `room/file.rs:line`, as zap's callers look.
fn caller(event: &Event<'_>) -> String {
    let metadata = event.metadata();
    let file = metadata.file().unwrap_or("unknown");
    let mut parts = file.rsplit('/');
    let name = parts.next().unwrap_or(file);
    let line = metadata.line().unwrap_or_default();
    match parts.next() {
        Some(room) => format!("{room}/{name}:{line}"),
        None => format!("{name}:{line}"),
    }
}

impl<S, N> FormatEvent<S, N> for ZapFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let ts = format!("{:.6}", jiff::Timestamp::now());
        let level = level_name(event.metadata().level());
        if !self.is_json {
            write!(writer, "{ts}\t{level}\t{}\t{}", caller(event), fields.message)?;
            if !fields.rest.is_empty() {
                write!(writer, "\t{}", Value::Object(fields.rest))?;
            }
            return writeln!(writer);
        }
        let text = |value: &str| Value::from(value).to_string();
        write!(
            writer,
            r#"{{"level":"{level}","ts":"{ts}","caller":{},"msg":{}"#,
            text(&caller(event)),
            text(&fields.message)
        )?;
        for (name, value) in &fields.rest {
            write!(writer, ",{}:{value}", text(name))?;
        }
        writeln!(writer, "}}")
    }
}
