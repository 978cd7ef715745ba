//! How long a connection is who it is: until its token ends, or what the application has given it,
//! of which the client is told before; and how long one that must say who it is may wait with it.
//!
//! Invariant: a connection that waits to say who it is is sent nothing but answers, and nothing
//! that it asks for is done but that. When its time is over, or that of a token, the connection is
//! closed: nobody knows any more who is at its other end. Called by the context and the service;
//! `refreshing` asks the application before.

use crate::audit::event::AuditEvent;
use crate::auth::options::TokenMode;
use crate::session::context::Context;
use crate::session::validity::{ExpiryAsking, ExpiryTelling, GivenBy, ProvedTimes, Validity};
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
        let gate = self.shared.gate.as_ref();
        let lasts = self.identity().lasts();
        let validity = match (self.identity().claims(), gate) {
            // Whom a hook has made somebody without a token need not prove it.
            (None, Some(gate)) if gate.mode() == TokenMode::Required && self.user().is_none() => {
                let until_ms = self.due_after(gate.message_timeout());
                Some(Validity::Awaited { until_ms })
            }
            _ if lasts.is_some() => lasts.map(|left| self.proved(left, GivenBy::Application)),
            (_, None) => return,
            (None, Some(_)) => None,
            (Some(claims), Some(gate)) => {
                let left = gate.remaining(claims);
                left.map(|left| self.proved(left, GivenBy::Token))
            }
        };
        if validity.is_some() || self.session.some().is_some() {
            self.session.more().validity = validity;
            self.session.shrink();
        }
        if self.must_prove() {
            self.mute();
        }
    }

    /// The connection is who it is for so long, from now on.
    fn proved(&mut self, left: Duration, given_by: GivenBy) -> Validity {
        let until_ms = self.due_after(left);
        let (telling, asking) = match &self.shared.refresh {
            Some(refresh) => {
                let early = self.told_before(given_by).max(refresh.early);
                // Not all at one time who came at one time, and not before half of it is over.
                let share = 0.5 + self.state.random.f64() / 2.0;
                let early = early.min(left / 2).mul_f64(share);
                let ask_ms = self.due_after(left.saturating_sub(early));
                (ExpiryTelling::Off, ExpiryAsking::At(ask_ms))
            }
            None => {
                let early = self.told_before(given_by);
                let wait = left.checked_sub(early);
                let wait = wait.filter(|wait| !wait.is_zero() && !early.is_zero());
                let telling = wait.map(|wait| ExpiryTelling::At(self.due_after(wait)));
                (telling.unwrap_or(ExpiryTelling::Off), ExpiryAsking::Off)
            }
        };
        Validity::Proved(ProvedTimes {
            until_ms,
            given_by,
            telling,
            asking,
        })
    }

    /// How long before the end the client is told. Zero: it is not.
    pub(crate) fn told_before(&self, given_by: GivenBy) -> Duration {
        match (&self.shared.gate, given_by) {
            (Some(gate), _) => gate.expiring(),
            (None, GivenBy::Application) => TOLD_BEFORE,
            // There is no token without a gate.
            (None, GivenBy::Token) => Duration::ZERO,
        }
    }

    /// The connection is who it is for so long from now on; `None`: without end. Clients of the
    /// Centrifuge protocol hear of it.
    pub(crate) fn prolong(&mut self, left: Option<Duration>) {
        if self.is_awaited() {
            return;
        }
        // Whoever says so knows when to say it again: the client is not told of the end.
        let validity = left.map(|left| match self.proved(left, GivenBy::Application) {
            Validity::Proved(times) => Validity::Proved(ProvedTimes {
                telling: ExpiryTelling::Off,
                ..times
            }),
            awaited @ Validity::Awaited { .. } => awaited,
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
        let times = self.proved_times()?;
        Some(times.until_ms.saturating_sub(self.engine.now_ms()))
    }

    /// When who the connection is ends, if it does.
    pub(crate) fn proved_times(&self) -> Option<ProvedTimes> {
        match self.session.some()?.validity? {
            Validity::Proved(times) => Some(times),
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
            Some(Validity::Proved(times)) => self.act_on_times(times, now_ms),
            Some(Validity::Awaited { .. }) | None => false,
        }
    }

    fn act_on_times(&mut self, mut times: ProvedTimes, now_ms: u64) -> bool {
        if times.is_over(now_ms) {
            AuditEvent::TokenExpired {
                peer: self.remote_address(),
                user: self.user(),
            }
            .emit();
            let text = match times.given_by {
                GivenBy::Token => "the token has expired",
                GivenBy::Application => "the session has expired",
            };
            self.disconnect(Code::TokenExpired.close_code(), text);
            return true;
        }
        if matches!(times.telling, ExpiryTelling::At(tell_ms) if tell_ms <= now_ms) {
            let in_ms = times.until_ms.saturating_sub(now_ms);
            self.send_event(&Event::Expiring { in_ms });
            times.telling = ExpiryTelling::Done;
            self.session.more().validity = Some(Validity::Proved(times));
        }
        if matches!(times.asking, ExpiryAsking::At(ask_ms) if ask_ms <= now_ms) {
            times.asking = ExpiryAsking::UnderWay;
            self.session.more().validity = Some(Validity::Proved(times));
            self.ask_before_end(times);
        }
        false
    }
}

/// How long before its end a client is told of what the application has given it, where there are
/// no tokens.
const TOLD_BEFORE: Duration = Duration::from_secs(30);
