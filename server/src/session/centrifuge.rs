//! What only a connection of the Centrifuge protocol has: how far it is with its first command, the
//! commands that wait for that, channels that it is on its way into, and until when it may be in
//! which.
//!
//! Invariant: it exists only while there is something in it, so a connection that has connected and
//! is in channels without an end has none. Kept by the session; `centrifuge` acts on it.

#[cfg(doc)]
use crate::session::limits::Limits;
use crate::session::permits::Permit;
use std::sync::Arc;

/// See above.
#[derive(Debug, Default)]
pub(crate) struct CentrifugeState {
    pub(crate) stage: ConnectStage,
    /// Commands that came while the first was under way: as they came, at most
    /// [`Limits::HELD_BYTES_PER_CONNECTION_MAX`].
    pub(crate) held: Vec<u8>,
    /// While there are some.
    pub(crate) held_permit: Option<Permit>,
    /// Channels whose subscribe is under way and that the engine does not know yet.
    entering: Vec<Entering>,
    terms: Vec<ChannelTerm>,
    /// Channels of which the client is sent only what the filter of its token lets through.
    narrowed: Vec<Arc<str>>,
}

/// How far a connection is with its first command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ConnectStage {
    /// It has come, and was answered.
    #[default]
    Connected,
    /// It has not come.
    Awaited,
    /// It is not answered yet.
    UnderWay,
}

/// A channel on whose way in the connection is.
#[derive(Debug)]
struct Entering {
    channel: Arc<str>,
    /// Which subscribe of the shard's.
    serial: u64,
}

/// Until when the connection may be in a channel.
#[derive(Debug)]
struct ChannelTerm {
    channel: Arc<str>,
    until_ms: u64,
}

impl CentrifugeState {
    pub(crate) fn is_empty(&self) -> bool {
        self.stage == ConnectStage::Connected
            && self.held.is_empty()
            && self.entering.is_empty()
            && self.terms.is_empty()
            && self.narrowed.is_empty()
    }

    /// The client is sent only some of a channel.
    pub(crate) fn narrow(&mut self, channel: &Arc<str>) {
        if !self.is_narrowed(channel) {
            self.narrowed.push(Arc::clone(channel));
        }
    }

    /// The client is not in a channel any more.
    pub(crate) fn widen(&mut self, channel: &str) {
        self.narrowed.retain(|narrowed| **narrowed != *channel);
    }

    /// Whether it is sent only some of a channel, so that it may not read it all.
    pub(crate) fn is_narrowed(&self, channel: &str) -> bool {
        self.narrowed.iter().any(|narrowed| **narrowed == *channel)
    }

    /// A subscribe begins.
    pub(crate) fn enter(&mut self, channel: Arc<str>, serial: u64) {
        self.entering.push(Entering { channel, serial });
    }

    /// Whether a subscribe of the channel is under way here.
    pub(crate) fn enters(&self, channel: &str) -> bool {
        self.entering
            .iter()
            .any(|entering| *entering.channel == *channel)
    }

    /// The subscribe goes on elsewhere. False: the client has unsubscribed since.
    pub(crate) fn take_entering(&mut self, serial: u64) -> bool {
        let before = self.entering.len();
        self.entering.retain(|entering| entering.serial != serial);
        self.entering.len() < before
    }

    /// The client unsubscribes. False: no subscribe of the channel is under way here.
    pub(crate) fn give_up(&mut self, channel: &str) -> bool {
        let before = self.entering.len();
        self.entering
            .retain(|entering| *entering.channel != *channel);
        self.entering.len() < before
    }

    /// The connection may be in a channel until then; `None`: without end.
    pub(crate) fn set_term(&mut self, channel: &str, until_ms: Option<u64>) {
        self.terms.retain(|term| *term.channel != *channel);
        let channel = channel.into();
        let term = until_ms.map(|until_ms| ChannelTerm { channel, until_ms });
        self.terms.extend(term);
    }

    /// A channel whose time is over by now.
    pub(crate) fn take_over(&mut self, now_ms: u64) -> Option<Arc<str>> {
        let at = self.terms.iter().position(|term| term.until_ms <= now_ms)?;
        Some(self.terms.swap_remove(at).channel)
    }

    pub(crate) fn next_due(&self) -> Option<u64> {
        self.terms.iter().map(|term| term.until_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsubscribe_ends_the_subscribe_before_it_and_not_the_one_after() {
        let mut state = CentrifugeState::default();
        state.enter("a".into(), 1);
        assert!(state.enters("a") && !state.enters("b"));
        assert!(state.give_up("a") && !state.give_up("a"));
        state.enter("a".into(), 2);
        assert!(!state.take_entering(1) && state.take_entering(2));
        assert!(state.is_empty());
    }

    #[test]
    fn a_channel_has_one_term() {
        let mut state = CentrifugeState::default();
        state.set_term("a", Some(5));
        state.set_term("b", Some(7));
        state.set_term("a", Some(9));
        assert_eq!((state.next_due(), state.take_over(6)), (Some(7), None));
        assert_eq!(state.take_over(7).as_deref(), Some("b"));
        state.set_term("a", None);
        assert!(state.is_empty());
    }
}
