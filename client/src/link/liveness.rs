//! Whether the other side still lives: what it answered, how long an answer may take, and what is
//! said of a connection whose time is over.
//!
//! Invariant: a server that answers nothing any more is found within the heartbeat and the time for
//! an answer, which is three times as long while other things come. Part of the link.

use super::{Link, Phase};
use crate::error::{Error, ErrorKind};
use crate::options::Adaptive;
use std::time::{Duration, Instant};

/// While other things come, the answer to a ping may take so many times as long.
const BEHIND_FACTOR: u32 = 3;

/// Adaptive pings wait for no less than this for their answer.
const PONG_TIMEOUT_MIN: Duration = Duration::from_secs(1);

impl Link {
    /// A sign of life, which need not mean that the server hears, too.
    pub(crate) fn alive(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// The server has answered a request.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.last_answered = now;
    }

    /// The server has answered a ping: the round trip, if it is the one that is waited for.
    pub(crate) fn pong(&mut self, now: Instant, payload: &[u8]) -> Option<Duration> {
        let number = u64::from_be_bytes(payload.try_into().ok()?);
        let ping = self.ping.take_if(|ping| ping.number == number)?;
        self.last_answered = now;
        let trip = now.saturating_duration_since(ping.at);
        self.trip.record(trip);
        Some(trip)
    }

    /// How long an answer to a ping may take.
    fn patience(&self) -> Duration {
        let measured = self.trip.smoothed().zip(self.trip.variation());
        match (self.adaptive, measured) {
            (Adaptive::On, Some((smoothed, variation))) => {
                // Four times what TCP waits before it sends again (RFC 6298 §2).
                let wanted = (smoothed + variation * 4) * 4;
                wanted.clamp(PONG_TIMEOUT_MIN.min(self.pong_timeout), self.pong_timeout)
            }
            _ => self.pong_timeout,
        }
    }

    /// When a ping is sent, or its answer is late.
    pub(super) fn alive_until(&self) -> Instant {
        match self.ping {
            None => self.last_answered + self.heartbeat,
            Some(ping) => {
                let patience = self.patience();
                // The answer may stand behind much that was on its way already.
                let heard = self.last_heard.max(ping.at) + patience;
                heard.min(ping.at + patience * BEHIND_FACTOR)
            }
        }
    }

    /// Why a connection is given up whose time has come.
    pub(crate) fn overdue(&self, now: Instant) -> Error {
        let (kind, message) = match self.phase {
            Phase::Token { .. } => (ErrorKind::NoToken, "no token in time"),
            Phase::Connecting { .. } => (ErrorKind::Connect, "no connection in time"),
            Phase::Welcoming { .. } => (ErrorKind::Connect, "no welcome in time"),
            Phase::Up { .. } if self.drain_until.is_some_and(|until| until <= now) => (
                ErrorKind::ConnectionLost,
                "the server did not close as it had said",
            ),
            Phase::Idle | Phase::Waiting { .. } | Phase::Up { .. } | Phase::Closed => {
                (ErrorKind::ConnectionLost, "no sign of life from the server")
            }
        };
        Error::new(kind, message)
    }
}
