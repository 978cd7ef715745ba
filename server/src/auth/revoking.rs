//! Tokens are revoked while the server runs: the connections of their bearers end, and whoever
//! comes with one is refused.
//!
//! Invariant: a revocation is in force before connections are looked through, and each connection
//! looks once more when a token has made it somebody, so none slips through in between. Called by
//! the admin port and by embedders.

use crate::audit::event::AuditEvent;
use crate::auth::revocations::{NotRevoked, Revocation};
use crate::session::context::Context;
use crate::session::handle::Handle;
use shardcast_protocol::dialect::Code;
use std::time::Duration;

impl Handle {
    /// Takes tokens no more from here on, and closes the connections of their bearers; returns how
    /// many they were. The revocation is remembered for `time`, a year at most: until then the
    /// tokens should have ended by themselves. Members that a room's own token let in stay.
    ///
    /// # Errors
    /// Nothing was revoked.
    pub async fn revoke(
        &self,
        revocation: Revocation,
        time: Duration,
    ) -> Result<usize, NotRevoked> {
        let gate = self.shared.gate.as_ref().ok_or(NotRevoked::NoTokens)?;
        gate.revocations().revoke(revocation, time)?;
        let ended = self.on_each(None, |_| true, |cx| cx.end_if_revoked()).await;
        // Where the server stops, all connections end.
        Ok(ended.unwrap_or_default())
    }

    /// What is revoked, and until when that is remembered, in seconds since 1970.
    pub(crate) fn revoked(&self, now: u64) -> Vec<(Revocation, u64)> {
        let gate = self.shared.gate.as_ref();
        gate.map_or_else(Vec::new, |gate| gate.revocations().list(now))
    }
}

impl Context<'_> {
    /// Closes the connection if the token that proved who it is has been revoked; true if so.
    pub(crate) fn end_if_revoked(&mut self) -> bool {
        let gate = self.shared.gate.as_ref();
        let claims = gate.zip(self.identity().claims());
        if !claims.is_some_and(|(gate, claims)| gate.is_revoked(claims)) {
            return false;
        }
        AuditEvent::TokenRevoked {
            peer: self.remote_address(),
            user: self.user(),
        }
        .emit();
        let code = Code::Unauthorized.close_code();
        self.disconnect(code, "the token has been revoked");
        true
    }
}
