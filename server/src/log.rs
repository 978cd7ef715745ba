//! The log: lifecycle events of engine and server on standard error, and the audit log in its file.
//! Started once, by `serve`; nothing on the data path logs.

use crate::audit::event::TARGET;
use crate::audit::journal::{Journal, JournalCounts};
use crate::audit::layer::AuditLayer;
use crate::config::{LogFormat, Settings};
use std::io;
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The audit log, if there is one, and what became of its events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit {
    pub(crate) journal: Option<Journal>,
    pub(crate) counts: Arc<JournalCounts>,
}

/// Starts the logs. Later calls change nothing.
///
/// # Errors
/// The file of the audit log cannot be opened.
pub(crate) fn start(settings: &Settings) -> io::Result<Audit> {
    let counts = Arc::<JournalCounts>::default();
    let file = settings.audit();
    let journal = file.map(|file| Journal::start(file, counts.clone()));
    let journal = journal.transpose()?;
    let log = fmt::layer().with_writer(io::stderr).with_ansi(false);
    let log = match settings.log_format() {
        LogFormat::Text => log.boxed(),
        LogFormat::Json => log.json().flatten_event(true).boxed(),
    };
    let level = LevelFilter::from_level(settings.log_level());
    let of_log = Targets::new().with_default(level);
    let of_log = of_log.with_target(TARGET, LevelFilter::OFF);
    let of_audit = Targets::new().with_target(TARGET, LevelFilter::INFO);
    let audit = journal
        .clone()
        .map(|it| AuditLayer(it).with_filter(of_audit));
    let logs = tracing_subscriber::registry().with(log.with_filter(of_log));
    let _already_started = logs.with(audit).try_init();
    Ok(Audit { journal, counts })
}
