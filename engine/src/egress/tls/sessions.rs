//! The TLS connections of a shard: their sessions, whose handshake is next, and how much of what
//! waits is encrypted in a tick.

use crate::config::Config;
use crate::connection::paged::Paged;
use crate::egress::tls::fault::Fault;
use crate::egress::tls::server::Tls;
use crate::egress::tls::session::Session;
use crate::types::ticket::Ticket;
use std::collections::VecDeque;

/// TLS on one shard.
#[derive(Debug)]
pub(crate) struct TlsSessions {
    /// By listener.
    by_listener: Box<[Option<Tls>]>,
    /// Some listener has TLS.
    pub(crate) used: bool,
    /// Pages exist where TLS connections are.
    pub(crate) sessions: Paged<Option<Box<Session>>>,
    /// Connections whose handshake can go on, each once: its bytes are kept by the session.
    waiting: VecDeque<Ticket>,
    /// Slots of the sessions whose keys are ready, in the order in which they became so, and of
    /// some that have ended.
    ready: VecDeque<u32>,
    /// What was received in plain, between two receives.
    opened: Vec<u8>,
    /// What is about to be encrypted, where it does not lie in one piece.
    pub(crate) gathered: Vec<u8>,
    /// Of all outboxes, in this tick.
    pub(crate) encrypted_bytes: usize,
    pub(crate) encrypted_bytes_per_tick: usize,
    /// Looks at the outboxes that may send.
    pub(crate) passes: u64,
}

/// Whether a tracked send has the records that it is to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encrypted {
    Done,
    /// The tick has encrypted enough: it is the connection's turn in the next.
    Later,
}

impl TlsSessions {
    /// An idle session of TLS 1.2: rustls' state and keys (3.4-3.6 kB of heap,
    /// `bench/results/tried.md`), its place in the table. One of TLS 1.3 takes a sixth.
    pub(crate) const SESSION_BYTES: u64 = 3_600 + 8;
    /// An idle session of TLS 1.3, which nearly all are.
    pub(crate) const IDLE_BYTES: u64 = 750 + 8;
    /// Bytes of an outbox that are encrypted for one tracked send.
    pub(crate) const ENCRYPTED_BYTES_MAX: usize = 256 << 10;
    /// Bytes of all outboxes after which none is encrypted in a tick: about a millisecond's. The
    /// last may go beyond by what one send takes.
    pub(crate) const ENCRYPTED_BYTES_PER_TICK: usize = 1 << 20;
    /// Sessions whose keys stay ready between records, which takes 1,250 bytes each. Where there
    /// are more, the one whose keys have been ready for longest makes them ready again for its
    /// next record.
    pub(crate) const READY_MAX: usize = 1024;
    /// Capacity of a buffer that is kept.
    const BUFFER_BYTES_KEPT: usize = 64 << 10;

    pub(crate) fn new(config: &Config) -> TlsSessions {
        let tls = config.listeners.iter().map(|listener| listener.tls.clone());
        let tls: Box<[_]> = tls.collect();
        TlsSessions {
            used: tls.iter().any(Option::is_some),
            by_listener: tls,
            sessions: Paged::default(),
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            opened: Vec::new(),
            gathered: Vec::new(),
            encrypted_bytes: 0,
            encrypted_bytes_per_tick: Self::ENCRYPTED_BYTES_PER_TICK,
            passes: 0,
        }
    }

    /// Outboxes may be encrypted again.
    pub(crate) fn begin_tick(&mut self) {
        self.encrypted_bytes = 0;
    }

    /// Each outbox is looked at once.
    pub(crate) fn begin_pass(&mut self) {
        self.passes += 1;
    }

    #[cfg(test)]
    pub(crate) fn encrypted_bytes(&self) -> usize {
        self.encrypted_bytes
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn slow_down(&mut self) {
        self.encrypted_bytes_per_tick = 256;
    }

    /// The session may have used its keys, and they stay ready. Where there are too many, the
    /// session that has kept its own for longest gives them up.
    pub(crate) fn keep_ready(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if session.is_listed || !session.is_ready() {
            return;
        }
        session.is_listed = true;
        self.ready.push_back(slot);
        if self.ready.len() > Self::READY_MAX
            && let Some(oldest) = self.ready.pop_front()
        {
            self.rest(oldest);
        }
    }

    fn rest(&mut self, slot: u32) {
        if let Some(session) = self.session_mut(slot) {
            session.rest();
        }
    }

    /// Keeps no buffers and no keys ready.
    pub(crate) fn release_memory(&mut self) {
        for slot in std::mem::take(&mut self.ready) {
            self.rest(slot);
        }
        self.waiting.shrink_to_fit();
        self.opened = Vec::new();
        self.gathered = Vec::new();
    }

    /// None of the page's slots is in use.
    pub(crate) fn drop_page(&mut self, page: usize) {
        self.sessions.drop_page(page);
    }

    /// Connections of this listener speak TLS.
    pub(crate) fn covers(&self, listener: u8) -> bool {
        self.by_listener[usize::from(listener)].is_some()
    }

    /// Connections from now on begin with this.
    pub(crate) fn replace(&mut self, listener: usize, tls: Tls) {
        if let Some(current) = self.by_listener.get_mut(listener).and_then(Option::as_mut) {
            *current = tls;
        }
    }

    /// Handshakes that can go on.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn next_waiting(&mut self) -> Option<Ticket> {
        self.waiting.pop_front()
    }

    /// The session of a TLS connection of this listener, which begins with its first byte.
    pub(crate) fn begin(&mut self, slot: u32, listener: u8) -> Result<&mut Session, Fault> {
        let session = self.sessions.reach(slot);
        if session.is_none() {
            let tls = self.by_listener[usize::from(listener)].as_ref();
            let tls = tls.expect("a connection of a listener with TLS");
            *session = Some(Box::new(Session::new(tls)?));
        }
        Ok(session.as_mut().expect("there is one now"))
    }

    /// A handshake can go on, with what its session keeps: it waits for its turn.
    pub(crate) fn await_turn(&mut self, ticket: Ticket) {
        self.waiting.push_back(ticket);
    }

    pub(crate) fn session(&self, slot: u32) -> Option<&Session> {
        self.sessions.get(slot)?.as_deref()
    }

    pub(crate) fn session_mut(&mut self, slot: u32) -> Option<&mut Session> {
        self.sessions.get_mut(slot)?.as_deref_mut()
    }

    /// The connection is over. Returns what stood in the shard's account for it.
    pub(crate) fn forget(&mut self, slot: u32) -> usize {
        let session = self.sessions.get_mut(slot).and_then(Option::take);
        session.map_or(0, |session| session.counted_bytes)
    }

    /// An empty buffer for received bytes; [`TlsSessions::put_opened`] takes it back.
    pub(crate) fn take_opened(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.opened)
    }

    pub(crate) fn put_opened(&mut self, mut opened: Vec<u8>) {
        opened.clear();
        opened.shrink_to(Self::BUFFER_BYTES_KEPT);
        self.opened = opened;
    }
}
