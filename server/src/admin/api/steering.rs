//! Calls that steer the process: drain, reload, log level. Whoever asks, by a signal or by a call,
//! goes the same way, through the control plane's thread.

use crate::admin::api::AdminApi;
use crate::admin::lifecycle::{Ask, Reloaded, Stage, Unchanged};
use crate::admin::problem::AdminProblem;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tracing::Level;

/// How a drain goes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DrainAnswer {
    stage: Stage,
    /// Open ones, upgrading ones included.
    connections: u64,
    /// How long new clients are served yet, from when the drain was first asked for.
    lame_duck_ms: u64,
    /// How long the connections have after that.
    drain_timeout_ms: u64,
}

/// What is logged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogCall {
    /// error, warn, info, debug or trace; without it nothing changes.
    level: Option<LogLevelName>,
}

/// Least severe event that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogLevelName {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What is logged from here on.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LogAnswer {
    level: LogLevelName,
}

impl From<LogLevelName> for Level {
    fn from(name: LogLevelName) -> Level {
        match name {
            LogLevelName::Error => Level::ERROR,
            LogLevelName::Warn => Level::WARN,
            LogLevelName::Info => Level::INFO,
            LogLevelName::Debug => Level::DEBUG,
            LogLevelName::Trace => Level::TRACE,
        }
    }
}

impl From<Level> for LogLevelName {
    fn from(level: Level) -> LogLevelName {
        match level {
            Level::ERROR => LogLevelName::Error,
            Level::WARN => LogLevelName::Warn,
            Level::INFO => LogLevelName::Info,
            Level::DEBUG => LogLevelName::Debug,
            Level::TRACE => LogLevelName::Trace,
        }
    }
}

impl AdminApi {
    /// The server begins to stop, as at SIGTERM. To ask again changes nothing.
    pub(crate) async fn drain(&self) -> Result<DrainAnswer, AdminProblem> {
        let steering = &self.steering;
        // Before the answer: whoever has it may rely on `/ready`.
        steering.lifecycle.reach(Stage::LameDuck);
        let sent = steering.asks.send(Ask::Drain).await;
        sent.map_err(|_| AdminProblem::stopping())?;
        let settings = steering.in_force.get();
        let millis = |time: std::time::Duration| time.as_millis() as u64;
        Ok(DrainAnswer {
            stage: steering.lifecycle.stage(),
            connections: self.facts.connections(),
            lame_duck_ms: millis(settings.lame_duck()),
            drain_timeout_ms: millis(settings.drain_timeout()),
        })
    }

    /// Reads the configuration and all files again, as SIGHUP does.
    pub(crate) async fn reload(&self) -> Result<Reloaded, AdminProblem> {
        let (reply, outcome) = oneshot::channel();
        let sent = self.steering.asks.send(Ask::Reload(reply)).await;
        sent.map_err(|_| AdminProblem::stopping())?;
        let outcome = outcome.await.map_err(|_| AdminProblem::stopping())?;
        outcome.map_err(|Unchanged(problems)| {
            let detail = "nothing was changed: see errors";
            AdminProblem::new(StatusCode::CONFLICT, detail).with_errors(problems)
        })
    }

    /// Logs from this level on, until it is told otherwise or reloaded.
    pub(crate) async fn log(&self, call: LogCall) -> Result<LogAnswer, AdminProblem> {
        let level = &self.steering.level;
        if let Some(name) = call.level {
            level.set(name.into());
        }
        let level = level.get().into();
        Ok(LogAnswer { level })
    }
}
