//! Where the server is between its start and its end, and how it is asked to go on: what signals,
//! the calls of operators and the control plane share.
//!
//! Invariant: the stages are only ever gone through in their order.

use crate::config::Settings;
use crate::log::LogLevel;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// What the control plane is asked for.
#[derive(Debug)]
pub(crate) enum Ask {
    Drain,
    Reload(oneshot::Sender<Result<Reloaded, Unchanged>>),
}

/// The ways to the control plane, and what it has done.
#[derive(Clone, Debug)]
pub(crate) struct Steering {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) in_force: Arc<InForce>,
    pub(crate) level: LogLevel,
}

impl Steering {
    /// Of a server that begins with these settings; and the control plane's end.
    pub(crate) fn new(settings: Settings, level: LogLevel) -> (Steering, mpsc::Receiver<Ask>) {
        /// Asks that may wait for the control plane's thread; others wait for a place.
        const ASKS_MAX: usize = 16;
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let steering = Steering {
            asks,
            lifecycle: Arc::default(),
            in_force: Arc::new(InForce::new(settings)),
            level,
        };
        (steering, asked)
    }
}

/// Where the server is between its start and its end.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle(AtomicU8);

/// Steps of a life, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// New clients are welcome.
    Serving,
    /// New clients are served, and balancers are told to send no more.
    LameDuck,
    /// Connections are closed, and nobody comes in.
    Draining,
}

impl Lifecycle {
    pub(crate) fn stage(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Serving,
            1 => Stage::LameDuck,
            _ => Stage::Draining,
        }
    }

    /// From here on it is at this stage at least.
    pub(crate) fn reach(&self, stage: Stage) {
        self.0.fetch_max(stage as u8, Ordering::Relaxed);
    }
}

/// The settings in force, after what was exchanged since the start.
#[derive(Debug)]
pub(crate) struct InForce(Mutex<Settings>);

impl InForce {
    pub(crate) fn new(settings: Settings) -> InForce {
        InForce(Mutex::new(settings))
    }

    pub(crate) fn get(&self) -> Settings {
        let settings = self.0.lock();
        settings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn replace(&self, settings: Settings) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}

/// What a reload has come to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Reloaded {
    /// Keys whose values have changed and are in force; the files that they name are read again in
    /// any case.
    pub(crate) applied: Vec<String>,
    /// Keys whose values have changed, and which take a restart.
    pub(crate) needs_restart: Vec<String>,
}

/// Nothing was exchanged, for these reasons.
#[derive(Debug)]
pub(crate) struct Unchanged(pub(crate) Vec<String>);
