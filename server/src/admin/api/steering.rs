//! Calls that steer the process: drain, reload, log level. Whoever asks, by a signal or by a call,
//! goes the same way, through the control plane's thread.

use crate::admin::api::AdminApi;
use crate::admin::api::ending::connection_of;
use crate::admin::lifecycle::{Ask, Reloaded, Stage, Unchanged};
use crate::admin::problem::AdminProblem;
use crate::config;
use crate::session::debugging::{DebugTarget, Debugged, Debugging, TooManyDebugged};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Instant;
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

/// What is logged step by step: one of `connection` and `room`, for a time; without either nothing
/// changes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DebugCall {
    connection: Option<String>,
    room: Option<String>,
    /// How long: a number with ms, s, m or h, up to 1h; 0s ends it.
    r#for: Option<String>,
}

/// What is logged step by step now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DebugAnswer {
    debugged: Vec<DebugItem>,
}

/// A connection or a room, and for how long yet.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DebugItem {
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    seconds: u64,
}

impl From<DebugTarget> for DebugItem {
    fn from(target: DebugTarget) -> DebugItem {
        let left = target.until.saturating_duration_since(Instant::now());
        let (connection, room) = match target.whom {
            Debugged::Connection(connection) => (Some(connection.to_string()), None),
            Debugged::Room(room) => (None, Some(room.into())),
        };
        DebugItem {
            connection,
            room,
            seconds: left.as_secs_f64().ceil() as u64,
        }
    }
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

    /// Logs each step of a connection or a room, for a time.
    pub(crate) async fn debug(&self, call: DebugCall) -> Result<DebugAnswer, AdminProblem> {
        let whom = match (&call.connection, &call.room) {
            (Some(_), Some(_)) => {
                return Err(AdminProblem::bad_request(
                    "connection and room exclude each other",
                ));
            }
            (Some(id), None) => Some(Debugged::Connection(connection_of(id)?)),
            (None, Some(room)) => {
                Some(Debugged::Room(self.room_topic(room)?.topic().name().into()))
            }
            (None, None) => None,
        };
        let shared = self.handle.shared.clone();
        if let Some(whom) = whom {
            let time = call.r#for.as_deref().and_then(config::read_duration);
            let time = time.filter(|time| *time <= Debugging::TIME_MAX);
            let time = time.ok_or_else(|| {
                AdminProblem::bad_request("for must be a number with ms, s, m or h, up to 1h")
            })?;
            if let (Debugged::Connection(id), false) = (&whom, time.is_zero()) {
                // Whether it is there.
                self.handle.on(*id, |_| ()).await?;
            }
            shared
                .debugging
                .begin(whom, time)
                .map_err(|TooManyDebugged| {
                    let detail =
                        format!("as many are debugged as may be: {}", Debugging::TARGETS_MAX);
                    AdminProblem::new(StatusCode::CONFLICT, detail)
                })?;
            let debugging = shared.debugging.clone();
            shared
                .runtime
                .spawn(async move { debugging.read_steps().await });
        }
        let debugged = shared.debugging.targets().into_iter();
        Ok(DebugAnswer {
            debugged: debugged.map(DebugItem::from).collect(),
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
