//! From events of `tracing` with the target `audit` to lines of the journal. Part of the program's
//! log.

use crate::audit::journal::Journal;
use serde_json::{Map, Value};
use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};

/// Writes what it is shown to a journal.
#[derive(Debug)]
pub(crate) struct AuditLayer(pub(crate) Journal);

impl<S: Subscriber> Layer<S> for AuditLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut time = String::new();
        let _never_fails = SystemTime.format_time(&mut Writer::new(&mut time));
        let mut fields = EventFields(Map::new());
        fields.0.insert("time".to_owned(), time.into());
        event.record(&mut fields);
        self.0.line(Value::Object(fields.0).to_string());
    }
}

/// An event's fields, in the order of their names.
struct EventFields(Map<String, Value>);

impl EventFields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for EventFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _never_fails = write!(text, "{value:?}");
        self.add(field, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::journal::JournalFile;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn an_event_is_one_line_of_json_whatever_is_in_it() {
        let path = std::env::temp_dir().join(format!("shardcast-layer-{}.log", std::process::id()));
        let file = JournalFile {
            path: path.clone(),
            bytes_max: 1 << 20,
            kept: 1,
        };
        let counts = Arc::default();
        let journal = Journal::start(file, Arc::clone(&counts)).expect("a file");
        let subscriber = tracing_subscriber::registry().with(AuditLayer(journal));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "audit", event = "banned", user = "a\n\"b\"", count = 3_u64, for_ms = ?Some(1));
        });
        shardcast_patience::wait_until("it is written", || {
            counts.written.load(Ordering::Relaxed) == 1
        });
        let text = std::fs::read_to_string(&path).expect("the file");
        let _ = std::fs::remove_file(&path);
        let line: Value = serde_json::from_str(text.trim_end()).expect("one line of JSON");
        assert_eq!(line["event"], "banned");
        assert_eq!(line["user"], "a\n\"b\"");
        assert_eq!(line["count"], 3);
        assert!(
            line["time"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z')),
            "{line}"
        );
    }
}
