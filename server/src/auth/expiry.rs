//! How long a connection is who it is: until its token ends, of which the client is told before;
//! and how long one that must say who it is may wait with it.
//!
//! Invariant: a connection that waits to say who it is is sent nothing but answers, and nothing
//! that it asks for is done but that. When its time is over, or that of a token, the connection is
//! closed: nobody knows any more who is at its other end. Called by the context and the service.

use crate::audit::event::AuditEvent;
use crate::auth::options::TokenMode;
use crate::session::context::Context;
use crate::session::validity::Validity;
use shardcast_protocol::dialect::{Code, Event};
use std::num::NonZeroU32;
use std::time::Duration;

impl Context<'_> {
    /// Begins the times of a connection that has opened, or has become somebody.
    pub(crate) fn begin_validity(&mut self) {
        // Between the check of its token and here somebody may have revoked it.
        if self.end_if_revoked() {
            return;
        }
        let Some(gate) = &self.shared.gate else {
            return;
        };
        let validity = match self.identity().claims() {
            Some(claims) => gate.remaining(claims).map(|remaining| {
                let wait = remaining.checked_sub(gate.expiring());
                let tells = wait.filter(|wait| !wait.is_zero() && !gate.expiring().is_zero());
                Validity::Proved {
                    until_ms: self.due_after(remaining),
                    tell_ms: tells.map(|wait| self.due_after(wait)),
                }
            }),
            // Whom a hook has made somebody without a token need not prove it.
            None if gate.mode() == TokenMode::Required && self.user().is_none() => {
                let until_ms = self.due_after(gate.message_timeout());
                Some(Validity::Awaited { until_ms })
            }
            None => None,
        };
        if validity.is_some() || self.session.some().is_some() {
            self.session.more().validity = validity;
            self.session.shrink();
        }
        if self.must_prove() {
            self.mute();
        }
    }

    /// The connection is who it is for so long from now on; `None`: without end. Clients of the
    /// Centrifuge protocol hear of it.
    pub(crate) fn prolong(&mut self, left: Option<Duration>) {
        if self.is_awaited() {
            return;
        }
        let validity = left.map(|left| Validity::Proved {
            until_ms: self.due_after(left),
            tell_ms: None,
        });
        self.session.more().validity = validity;
        self.session.shrink();
        // Less than a second left is not without end.
        let left_s = left.map(|left| u32::try_from(left.as_secs()).unwrap_or(u32::MAX));
        let left_s = left_s.map(|left_s| NonZeroU32::new(left_s).unwrap_or(NonZeroU32::MIN));
        self.send_event(&Event::Prolonged { left_s });
    }

    /// How long the connection is still who it is. `None`: without end.
    pub(crate) fn remaining_ms(&self) -> Option<u64> {
        match self.session.some()?.validity? {
            Validity::Proved { until_ms, .. } => {
                Some(until_ms.saturating_sub(self.engine.now_ms()))
            }
            Validity::Awaited { .. } => None,
        }
    }

    /// Does what the times ask for by now. True if the connection was closed.
    pub(crate) fn act_on_validity(&mut self) -> bool {
        let now_ms = self.engine.now_ms();
        let validity = self.session.some().and_then(|more| more.validity);
        match validity {
            Some(Validity::Awaited { until_ms }) if until_ms <= now_ms => {
                let code = Code::Unauthorized.close_code();
                self.disconnect(code, "no token came in time");
                true
            }
            Some(Validity::Proved { until_ms, .. }) if until_ms <= now_ms => {
                AuditEvent::TokenExpired {
                    peer: self.remote_address(),
                    user: self.user(),
                }
                .emit();
                let code = Code::TokenExpired.close_code();
                self.disconnect(code, "the token has expired");
                true
            }
            Some(Validity::Proved {
                until_ms,
                tell_ms: Some(tell_ms),
            }) if tell_ms <= now_ms => {
                let in_ms = until_ms - now_ms;
                self.send_event(&Event::Expiring { in_ms });
                let tell_ms = None;
                self.session.more().validity = Some(Validity::Proved { until_ms, tell_ms });
                false
            }
            Some(_) | None => false,
        }
    }
}
