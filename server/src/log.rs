//! The log: lifecycle events of engine and server on standard error, and the audit log in its file.
//! Started once, by `serve`; nothing on the data path logs.

use crate::audit::event::TARGET;
use crate::audit::journal::{Journal, JournalCounts};
use crate::audit::layer::AuditLayer;
use crate::config::{LogFormat, Settings};
use crate::session::debugging::TARGET as DEBUGGED;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// The audit log, if there is one, and what became of its events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit {
    pub(crate) journal: Option<Journal>,
    pub(crate) counts: Arc<JournalCounts>,
}

/// From which level on there is a log line, exchanged while the server runs.
#[derive(Clone, Debug)]
pub(crate) struct LogLevel {
    level: Arc<Mutex<Level>>,
    reload: reload::Handle<Targets, Registry>,
}

/// Starts the logs. Later calls change nothing.
///
/// # Errors
/// The file of the audit log cannot be opened.
pub(crate) fn start(settings: &Settings) -> io::Result<(Audit, LogLevel)> {
    let counts = Arc::<JournalCounts>::default();
    let file = settings.audit();
    let journal = file.map(|file| Journal::start(file, counts.clone()));
    let journal = journal.transpose()?;
    let log = fmt::layer().with_writer(io::stderr).with_ansi(false);
    let log = match settings.log_format() {
        LogFormat::Text => log.boxed(),
        LogFormat::Json => log.json().flatten_event(true).boxed(),
    };
    let level = settings.log_level();
    let (of_log, reload) = reload::Layer::new(targets(level));
    let of_audit = Targets::new().with_target(TARGET, LevelFilter::INFO);
    let audit = journal
        .clone()
        .map(|it| AuditLayer(it).with_filter(of_audit));
    let logs = tracing_subscriber::registry().with(log.with_filter(of_log));
    let _already_started = logs.with(audit).try_init();
    let level = LogLevel {
        level: Arc::new(Mutex::new(level)),
        reload,
    };
    Ok((Audit { journal, counts }, level))
}

/// What of the events stands in the log.
fn targets(level: Level) -> Targets {
    let targets = Targets::new().with_default(LevelFilter::from_level(level));
    let debugged = LevelFilter::from_level(level.max(Level::INFO));
    targets
        .with_target(TARGET, LevelFilter::OFF)
        .with_target(DEBUGGED, debugged)
}

impl LogLevel {
    pub(crate) fn get(&self) -> Level {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs from this level on. Where somebody else's subscriber logs, nothing changes.
    pub(crate) fn set(&self, level: Level) {
        let mut current = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        if self.reload.reload(targets(level)).is_ok() {
            *current = level;
        }
    }
}
