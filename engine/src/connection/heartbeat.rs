//! How a connection is kept alive: the choice of its application, and what is remembered of choices
//! that are not the usual one.
//!
//! Invariant: a connection without an entry is sent pings. Entries exist while their connection may
//! be open; whoever has none costs nothing. Used by the shard's deadlines.

use crate::connection::paged::Paged;
use crate::driver::boundary::Millis;
use crate::types::frame::Frame;

/// What a connection is sent so that both sides know of each other.
#[derive(Clone, Debug, Default)]
pub enum Heartbeat {
    /// A ping after [`crate::Config::heartbeat`] of silence, to be answered within
    /// [`crate::Config::pong_timeout`]; to an event stream a comment every heartbeat.
    #[default]
    WebSocketPing,
    /// This message every [`crate::Config::heartbeat`], whatever the client sends meanwhile: for
    /// protocols whose clients wait for it. Any byte within [`crate::Config::pong_timeout`] is an
    /// answer; an event stream answers nothing.
    Message(Frame),
    /// Nothing: silence ends the connection after [`crate::Config::idle_timeout`]. An event stream
    /// is not ended by it.
    None,
}

/// Of the connections that are not sent pings.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats(Paged<Option<Box<Beat>>>);

/// One connection's.
#[derive(Debug)]
pub(crate) struct Beat {
    /// `None`: nothing is sent.
    pub(crate) message: Option<Frame>,
    /// When the last message was sent, or the connection opened.
    pub(crate) sent: Millis,
    /// When the first was sent that is not answered; valid while the connection counts as pinged.
    pub(crate) asked: Millis,
}

impl Heartbeats {
    /// The connection opens at `now`.
    pub(crate) fn set(&mut self, slot: u32, heartbeat: Heartbeat, now: Millis) {
        let message = match heartbeat {
            Heartbeat::WebSocketPing => return,
            Heartbeat::Message(frame) => Some(frame),
            Heartbeat::None => None,
        };
        *self.0.reach(slot) = Some(Box::new(Beat {
            message,
            sent: now,
            asked: now,
        }));
    }

    /// `None`: it is sent pings.
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Beat> {
        self.0.get_mut(slot)?.as_deref_mut()
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
