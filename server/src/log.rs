//! The log: lifecycle events of engine and server on standard error. Started once, by `serve`;
//! nothing on the data path logs.

use crate::config::{LogFormat, Settings};

/// Starts the log. Later calls change nothing.
pub(crate) fn start(settings: &Settings) {
    let log = tracing_subscriber::fmt()
        .with_max_level(settings.log_level())
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let _already_started = match settings.log_format() {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}
