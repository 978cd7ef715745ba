//! How a connection is kept alive: the choice of its application, and what is remembered of choices
//! that are not the usual one.
//!
//! Invariant: a connection without an entry is sent pings. Entries exist while their connection may
//! be open; whoever has none costs nothing. Used by the shard's deadlines.

use crate::connection::paged::Paged;
use crate::driver::boundary::Millis;
use crate::types::frame::Frame;
use std::sync::Arc;
use std::time::Duration;

/// What a connection is sent so that both sides know of each other.
#[derive(Clone, Debug, Default)]
pub enum Heartbeat {
    /// A ping after [`crate::Config::heartbeat`] of silence, to be answered within
    /// [`crate::Config::pong_timeout`]; to an event stream a comment every heartbeat.
    #[default]
    WebSocketPing,
    /// A message from time to time, whatever the client sends meanwhile: for protocols whose
    /// clients wait for it.
    Message(Arc<HeartbeatMessage>),
    /// Nothing: silence ends the connection after [`crate::Config::idle_timeout`]. An event stream
    /// is not ended by it.
    None,
}

/// A message that is sent from time to time; connections share it.
#[derive(Clone, Debug)]
pub struct HeartbeatMessage {
    /// The message.
    pub frame: Frame,
    /// From one to the next, beginning when the connection opens. Shorter than
    /// [`crate::Config::idle_timeout`], or that ends connections of silent clients before.
    pub every: Duration,
    /// Within this time any byte is an answer, or the connection ends. An event stream answers
    /// nothing.
    pub answer_within: Duration,
}

impl HeartbeatMessage {
    pub(crate) fn every_ms(&self) -> Millis {
        millis(self.every)
    }

    pub(crate) fn answer_ms(&self) -> Millis {
        millis(self.answer_within)
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// Of the connections that are not sent pings.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats(Paged<Option<Box<Beat>>>);

/// One connection's.
#[derive(Debug)]
pub(crate) struct Beat {
    /// `None`: nothing is sent.
    pub(crate) message: Option<Arc<HeartbeatMessage>>,
    /// When the last message was sent, or the connection opened.
    pub(crate) sent: Millis,
    /// When the first was sent that is not answered; valid while the connection counts as pinged.
    pub(crate) asked: Millis,
    /// Messages that the application has not taken an answer to ([`Beat::take_answer`]).
    pub(crate) unanswered: u8,
}

impl Beat {
    /// A message leaves.
    pub(crate) fn count(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// The client has answered one message. False: none was left to be answered.
    pub(crate) fn take_answer(&mut self) -> bool {
        let left = self.unanswered.checked_sub(1);
        self.unanswered = left.unwrap_or(0);
        left.is_some()
    }
}

impl Heartbeats {
    /// The connection opens at `now`. When the first message is due; `None`: there is none.
    pub(crate) fn set(&mut self, slot: u32, heartbeat: Heartbeat, now: Millis) -> Option<Millis> {
        let message = match heartbeat {
            Heartbeat::WebSocketPing => return None,
            Heartbeat::Message(message) => Some(message),
            Heartbeat::None => None,
        };
        let every_ms = message.as_ref().map(|message| message.every_ms());
        *self.0.reach(slot) = Some(Box::new(Beat {
            message,
            sent: now,
            asked: now,
            unanswered: 0,
        }));
        every_ms.map(|every_ms| now.saturating_add(every_ms))
    }

    /// `None`: it is sent pings.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Beat> {
        self.0.get_mut(slot)?.as_deref_mut()
    }

    /// Whether the connection is sent messages.
    pub(crate) fn sends(&self, slot: u32) -> bool {
        let beat = self.0.get(slot).and_then(Option::as_ref);
        beat.is_some_and(|beat| beat.message.is_some())
    }

    /// The connection ends.
    pub(crate) fn clear(&mut self, slot: u32) {
        if let Some(beat) = self.0.get_mut(slot) {
            *beat = None;
        }
    }

    /// None of the page's slots is in use.
    pub(crate) fn drop_page(&mut self, page: usize) {
        self.0.drop_page(page);
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn has(&self, slot: u32) -> bool {
        self.0.get(slot).is_some_and(Option::is_some)
    }
}
