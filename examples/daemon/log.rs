//! The log: one line for each event, as text or as JSON, with nothing in it that steers a terminal.

use std::fmt;
use std::io::{self, Write};

use ctforward_core::text::printable;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Form, LogSettings};

/// Begins to log, to standard error.
pub fn start(settings: &LogSettings) {
    // It was checked with the other settings.
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Safe)
        .with_ansi(false);
    // Only a second call fails, and then it is being logged already.
    let _ = match settings.form {
        Form::Text => log.try_init(),
        Form::Json => log.event_format(Json).try_init(),
    };
}

/// Standard error, where each event is one line whatever is in it.
#[derive(Clone, Copy)]
struct Safe;

struct Line(Vec<u8>);

impl<'a> MakeWriter<'a> for Safe {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Vec::new())
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        // Nobody may be reading; the daemon goes on.
        let _ = io::stderr().lock().write_all(safe(&self.0).as_bytes());
    }
}

/// One event as one line.
fn safe(event: &[u8]) -> String {
    let text = String::from_utf8_lossy(event);
    let mut line = printable(text.trim_end_matches('\n')).into_owned();
    line.push('\n');
    line
}

/// An event as one JSON object: `time`, `level`, `target`, `message`, and its fields.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
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
        let about = event.metadata();
        let mut fields = Fields(Map::new());
        fields.text("time", &jiff::Timestamp::now().to_string());
        fields.text("level", about.level().as_str());
        fields.text("target", about.target());
        event.record(&mut fields);
        writeln!(writer, "{}", Value::Object(fields.0))
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn text(&mut self, name: &str, text: &str) {
        // What steers is escaped before JSON does it: the line as a whole then has none.
        self.0.insert(name.to_owned(), printable(text).into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_steers_nothing() {
        let line = safe("a\u{1b}[31m\r\nb\u{202e}c\n".as_bytes());
        assert_eq!(line, "a\\u{1b}[31m\\u{d}\\u{a}b\\u{202e}c\n");
        assert_eq!(safe(b"\xff\n"), "\u{fffd}\n");
    }

    #[test]
    fn json_stays_json_whatever_is_in_it() {
        let mut fields = Fields(Map::new());
        fields.text("message", "a\"\u{1b}\n\u{2028}");
        let line = safe(Value::Object(fields.0).to_string().as_bytes());
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["message"], "a\"\\u{1b}\\u{a}\\u{2028}");
    }
}
