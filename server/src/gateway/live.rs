//! What of a gateway is exchanged while the server runs: its secret, whom its backend's server is
//! trusted by, and what becomes of an event that the backend does not answer.
//!
//! Invariant: whoever begins to ask asks by one version to the end of the attempt; a connection to
//! a socket keeps the secret that it began with. Made where the configuration is read, kept by the
//! gateway and both transports.

use crate::auth::fetch::FetchUrl;
use crate::gateway::secret::GatewaySecret;
use std::sync::{Arc, Mutex, PoisonError};

/// What becomes of a decision that the backend does not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenDown {
    /// Accepted, but for what only the backend can answer.
    Open,
    /// Refused.
    Closed,
}

/// One version.
#[derive(Clone, Debug)]
pub(crate) struct GatewayRules {
    /// `None`: what is sent bears no signature.
    pub(crate) secret: Option<GatewaySecret>,
    /// Where webhooks go, with the authorities that are trusted there. `None`: there are none.
    pub(crate) url: Option<FetchUrl>,
    pub(crate) when_down: WhenDown,
    /// Further attempts of what is idempotent.
    pub(crate) retries: u32,
}

/// The version in force. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct LiveGateway(Arc<Mutex<Arc<GatewayRules>>>);

impl LiveGateway {
    pub(crate) fn new(first: GatewayRules) -> LiveGateway {
        LiveGateway(Arc::new(Mutex::new(Arc::new(first))))
    }

    pub(crate) fn get(&self) -> Arc<GatewayRules> {
        // It is locked for no longer than this takes.
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    pub(crate) fn replace(&self, next: GatewayRules) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(next);
    }
}
