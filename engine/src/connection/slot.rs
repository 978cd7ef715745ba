//! The slots of a shard's connections: a slab whose slots the driver chooses, hot and cold parts
//! apart.

use crate::connection::exchange::Exchange;
use crate::connection::input::{Input, SpareBuffers};
use crate::connection::membership::Memberships;
use crate::connection::outbox::{Encryption, Outbox};
use crate::connection::paged::{PAGE, Paged};
use crate::connection::peer::{Peer, Peers};
use crate::connection::phase::{Phase, Step};
use crate::driver::boundary::Millis;
use crate::topic::congestion::Bucket;
use crate::types::encoding::EncodingId;
use crate::types::ticket::Ticket;
use shardcast_protocol::events::Framing;
use shardcast_protocol::pieces::Pieces;
use shardcast_protocol::reader::Assembly;

/// What every received byte and every delivery touches: 24 bytes.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) phase: Phase,
    /// Which listener it came by: index in the configuration.
    pub(crate) listener: u8,
    pub(crate) flags: Flags,
    pub(crate) generation: u32,
    /// Index in this turn's transmits; valid only if the transmit there bears this ticket.
    pub(crate) transmit: u32,
    /// When bytes last came from the peer, in units of [`ACTIVITY_MS`]; while upgrading, when it
    /// was accepted or last answered.
    pub(crate) last_activity: u32,
    pub(crate) cold: Option<Box<Cold>>,
}

const _: () = assert!(size_of::<Connection>() == 24);
const _: () = assert!(EncodingId::COUNT_MAX.is_power_of_two() && Flags::ENCODING_MASK == 0x7000);

/// Resolution of [`Connection::last_activity`], in milliseconds: 32 bits last 8 years.
pub(crate) const ACTIVITY_MS: u64 = 64;

/// Facts about a connection that are true or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    /// The driver receives for it.
    pub(crate) const RECEIVING: Flags = Flags(1);
    /// Its outbox is not empty, or a tracked send is under way: nothing may overtake it.
    pub(crate) const BACKLOG: Flags = Flags(2);
    /// A ping was sent and no byte has come since.
    pub(crate) const PINGED: Flags = Flags(4);
    /// Not read further until a lane has room.
    pub(crate) const PARKED: Flags = Flags(8);
    /// The stream ended while parked.
    pub(crate) const ENDED: Flags = Flags(16);
    /// FIN was asked for.
    pub(crate) const SHUT: Flags = Flags(32);
    /// Counted against the process's connection limit.
    pub(crate) const ADMITTED: Flags = Flags(64);
    /// It speaks TLS: its bytes are encrypted before they leave.
    pub(crate) const TLS: Flags = Flags(128);
    /// Its application takes messages in pieces.
    pub(crate) const PIECES: Flags = Flags(1024);

    /// permessage-deflate was agreed on.
    pub(crate) const DEFLATES: Flags = Flags(256);
    /// It shares no frames with others: its window is small, or lasts for more than a message, or
    /// without [`Flags::DEFLATES`] they have a form of their own.
    pub(crate) const ALONE: Flags = Flags(512);

    /// It was told `client_no_context_takeover`, had not offered it, and has not shown yet that it
    /// obeys: its compressed messages may refer to earlier ones.
    pub(crate) const MAY_REFER: Flags = Flags(0x8000);

    /// An event stream: frames leave as events, and messages come in other connections' requests.
    pub(crate) const STREAM: Flags = Flags(2048);

    /// An event stream in chunks (HTTP/1.1).
    pub(crate) const CHUNKED: Flags = Flags(0x8000);

    /// Where the encoding of its messages stands: three bits.
    const ENCODING_SHIFT: u32 = 12;
    const ENCODING_MASK: u16 = (EncodingId::COUNT_MAX as u16 - 1) << Flags::ENCODING_SHIFT;

    /// What the peer sends is not read as it came.
    pub(crate) const UNREADABLE: Flags = Flags(Flags::TLS.0 | Flags::STREAM.0);
    /// It does not share what others are sent of a batch.
    pub(crate) const SERVED_APART: Flags = Flags(Flags::ALONE.0 | Flags::STREAM.0);
    /// The same, or a batch does not leave for it at once.
    pub(crate) const SERVED_LATE: Flags = Flags(Flags::SERVED_APART.0 | Flags::BACKLOG.0);
    /// What it sends is not read as complete plain messages.
    pub(crate) const READ_APART: Flags = Flags(Flags::PIECES.0 | Flags::DEFLATES.0);

    /// The connection is not sent plain frames: [`crate::egress::Egress::write_frame`] rewrites
    /// them.
    pub(crate) const REWRITTEN: Flags = Flags(Flags::DEFLATES.0 | Flags::STREAM.0 | Flags::ALONE.0);

    /// A frame for it alone does not leave as it stands, or not at once.
    pub(crate) const SENT_APART: Flags =
        Flags(Flags::REWRITTEN.0 | Flags::BACKLOG.0 | Flags::TLS.0);

    /// Whether the connection's bytes can be sent as they are.
    pub(crate) fn encryption(self) -> Encryption {
        if self.has(Flags::TLS) {
            Encryption::Pending
        } else {
            Encryption::Done
        }
    }

    /// How an event stream's end is known.
    pub(crate) fn framing(self) -> Framing {
        if self.has(Flags::STREAM) && self.has(Flags::CHUNKED) {
            Framing::Chunked
        } else {
            Framing::UntilClose
        }
    }

    /// How the connection's messages are encoded.
    pub(crate) fn encoding(self) -> EncodingId {
        EncodingId::new(((self.0 & Flags::ENCODING_MASK) >> Flags::ENCODING_SHIFT) as u8)
    }

    /// A connection keeps the encoding that it opened with.
    pub(crate) fn set_encoding(&mut self, encoding: EncodingId) {
        self.0 =
            self.0 & !Flags::ENCODING_MASK | (encoding.index() as u16) << Flags::ENCODING_SHIFT;
    }

    pub(crate) fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }
    pub(crate) fn set(&mut self, flag: Flags) {
        self.0 |= flag.0;
    }
    pub(crate) fn clear(&mut self, flag: Flags) {
        self.0 &= !flag.0;
    }
}

/// State allocated only while a connection has pending input or output.
#[derive(Debug, Default)]
pub(crate) struct Cold {
    /// Bytes of an incomplete head or frame, or everything that came while parked.
    pub(crate) input: Input,
    /// When the incomplete head or frame began, or the one whose pieces are taken.
    pub(crate) input_since: Millis,
    /// Between requests, before the connection is open.
    pub(crate) exchange: Option<Box<Exchange>>,
    /// A message in fragments, or a large one that is arriving.
    pub(crate) assembly: Option<Box<Assembly>>,
    /// Where in a message it is, if its messages are taken in pieces.
    pub(crate) pieces: Pieces,
    /// When the fragmented message, or the one that is taken in pieces, began.
    pub(crate) message_since: Millis,
    /// Since when it is parked.
    pub(crate) parked_since: Millis,
    /// The congested topic that it asked for more of, until it is read again.
    pub(crate) awaits: Option<Bucket>,
    /// What of [`Cold::buffered_bytes`] stands in the shard's account.
    pub(crate) counted_bytes: usize,
    pub(crate) outbox: Outbox,
    /// When it was last left to wait for its turn to be encrypted
    /// ([`crate::egress::tls::sessions::TlsSessions::begin_pass`]).
    pub(crate) encryption_pass: u64,
    /// When the outbox last moved: something left it, or it was empty.
    pub(crate) moved_at: Millis,
}

impl Cold {
    /// Memory of what arrived and is not a complete message yet.
    pub(crate) fn buffered_bytes(&self) -> usize {
        let assembly = self.assembly.as_ref();
        self.input.capacity() + assembly.map_or(0, |assembly| assembly.capacity())
    }

    /// A frame, or a request head, has begun and is not complete.
    pub(crate) fn is_in_frame(&self) -> bool {
        let assembly = self.assembly.as_ref();
        !self.input.is_empty()
            || self.pieces.is_in_frame()
            || assembly.is_some_and(|assembly| assembly.is_in_frame())
    }

    /// A message in fragments, or one that is taken in pieces, has begun and is not complete.
    pub(crate) fn is_in_message(&self) -> bool {
        let assembly = self.assembly.as_ref();
        !self.pieces.is_idle() || assembly.is_some_and(|assembly| assembly.is_fragmented())
    }

    fn is_idle(&self) -> bool {
        let reads = !self.input.is_empty()
            || self.exchange.is_some()
            || self.assembly.is_some()
            || !self.pieces.is_idle();
        !reads && self.awaits.is_none() && self.counted_bytes == 0 && self.outbox.is_empty()
    }

    pub(crate) fn exchange(&mut self) -> &mut Exchange {
        self.exchange.get_or_insert_default()
    }
}

/// The slab.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    hot: Paged<Connection>,
    peers: Peers,
    /// Pages exist where a connection joined a room.
    memberships: Paged<Memberships>,
    live: usize,
    /// By page: the highest generation of a page that was given back. Those of a page that comes
    /// again begin there, so that no old ticket fits a new connection.
    generations: Vec<u32>,
    /// Where the search for the worst reader goes on.
    clock: u32,
}

impl Slots {
    /// Connections that are not free.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Takes a free slot for a new connection.
    pub(crate) fn accept(
        &mut self,
        slot: u32,
        listener: u8,
        peer: Peer,
        last_activity: u32,
    ) -> Ticket {
        let generation = self.generations.get(slot as usize / PAGE).copied();
        let connection = self.hot.reach_with(slot, || Connection {
            generation: generation.unwrap_or_default(),
            ..Connection::default()
        });
        let next = connection.phase.after(Step::Accept);
        connection.phase = next.expect("a slot is used again only after it was closed");
        connection.listener = listener;
        connection.flags = Flags::default();
        connection.generation = (connection.generation + 1) % Ticket::GENERATIONS;
        connection.last_activity = last_activity;
        self.peers.set(slot, peer);
        self.live += 1;
        Ticket {
            slot,
            generation: connection.generation,
        }
    }

    /// Gives the slot back.
    pub(crate) fn release(&mut self, slot: u32) {
        let connection = &mut self.hot[slot];
        connection.phase = connection
            .phase
            .after(Step::Closed)
            .expect("the driver closes what it was told to close");
        connection.cold = None;
        self.live -= 1;
    }

    /// Of the next slots the connection for which most waits. Whoever is asked again goes on behind
    /// them.
    pub(crate) fn next_worst_reader(&mut self, slots_max: u32) -> Option<Ticket> {
        let end = (self.hot.pages() * PAGE) as u32;
        let (mut worst, mut most) = (None, 0);
        for _ in 0..slots_max.min(end) {
            self.clock = if self.clock + 1 < end {
                self.clock + 1
            } else {
                0
            };
            let Some(connection) = self.hot.get(self.clock) else {
                continue;
            };
            let waits = connection.flags.has(Flags::BACKLOG)
                && !matches!(connection.phase, Phase::Free | Phase::Retiring);
            let cold = connection.cold.as_ref().filter(|_| waits);
            let bytes = cold.map_or(0, |cold| cold.outbox.bytes());
            if bytes > most {
                let (slot, generation) = (self.clock, connection.generation);
                (worst, most) = (Some(Ticket { slot, generation }), bytes);
            }
        }
        worst
    }

    /// Pages of slots, those that do not exist included.
    pub(crate) fn pages(&self) -> usize {
        self.hot.pages()
    }

    /// Gives a page of slots back if none of them is in use; false if one is, or there is no such
    /// page.
    pub(crate) fn release_page(&mut self, page: usize) -> bool {
        let slots = self.hot.page(page);
        let Some(generation) = slots.iter().map(|slot| slot.generation).max() else {
            return false;
        };
        if slots.iter().any(|slot| slot.phase != Phase::Free) {
            return false;
        }
        if self.generations.len() <= page {
            self.generations.resize(page + 1, 0);
        }
        self.generations[page] = generation;
        self.hot.drop_page(page);
        self.peers.drop_page(page);
        self.memberships.drop_page(page);
        true
    }

    /// By page: the highest generation that a slot has had.
    pub(crate) fn highest_generations(&self) -> Vec<u32> {
        let pages = self.hot.pages().max(self.generations.len());
        let highest = |page: usize| {
            let before = self.generations.get(page).copied().unwrap_or_default();
            let slots = match page < self.hot.pages() {
                true => self.hot.page(page),
                false => &[],
            };
            let now = slots.iter().map(|slot| slot.generation).max();
            now.unwrap_or_default().max(before)
        };
        (0..pages).map(highest).collect()
    }

    /// No generation up to these is given out. While there is no page.
    pub(crate) fn begin_above(&mut self, generations: Vec<u32>) {
        debug_assert_eq!(self.live, 0, "a slab without connections");
        self.generations = generations;
    }

    /// Tickets of all connections.
    pub(crate) fn live_tickets(&self) -> Vec<Ticket> {
        let slots = self.hot.iter().map(|(slot, _)| self.ticket(slot));
        let used = slots.filter(|ticket| self.phase(*ticket) != Phase::Free);
        used.collect()
    }

    /// The connection of a ticket; `None` when stale.
    pub(crate) fn get(&mut self, ticket: Ticket) -> Option<&mut Connection> {
        self.hot.get_mut(ticket.slot).filter(|connection| {
            connection.generation == ticket.generation && connection.phase != Phase::Free
        })
    }

    /// The phase of a ticket; `Free` when stale.
    pub(crate) fn phase(&self, ticket: Ticket) -> Phase {
        match self.hot.get(ticket.slot) {
            Some(connection) if connection.generation == ticket.generation => connection.phase,
            _ => Phase::Free,
        }
    }

    /// The topic that the connection waited for has caught up: the connection is read again.
    pub(crate) fn take_turn(&mut self, ticket: Ticket) {
        if let Some(cold) = &mut self.at(ticket.slot).cold {
            cold.awaits = None;
        }
    }

    /// A slot in use, without the check for staleness: for slots that come from the shard's own
    /// lists.
    pub(crate) fn at(&mut self, slot: u32) -> &mut Connection {
        &mut self.hot[slot]
    }

    /// As [`Slots::at`], to look.
    pub(crate) fn ref_at(&self, slot: u32) -> &Connection {
        &self.hot[slot]
    }

    pub(crate) fn ticket(&self, slot: u32) -> Ticket {
        Ticket {
            slot,
            generation: self.hot[slot].generation,
        }
    }

    /// How a connection's messages are encoded.
    pub(crate) fn encoding(&self, slot: u32) -> EncodingId {
        self.hot[slot].flags.encoding()
    }

    pub(crate) fn listener(&self, slot: u32) -> u8 {
        self.hot[slot].listener
    }

    pub(crate) fn peer(&self, slot: u32) -> Peer {
        self.peers.get(slot)
    }

    /// The connection is a client's that speaks through a proxy.
    pub(crate) fn set_peer(&mut self, slot: u32, peer: Peer) {
        self.peers.set(slot, peer);
    }

    /// The rooms of a connection that joins, leaves, or is a member.
    pub(crate) fn memberships(&mut self, slot: u32) -> &mut Memberships {
        self.memberships.reach(slot)
    }

    pub(crate) fn memberships_ref(&self, slot: u32) -> &Memberships {
        self.memberships.get(slot).unwrap_or(&Memberships::None)
    }

    /// Leaves the connection without rooms.
    pub(crate) fn take_memberships(&mut self, slot: u32) -> Memberships {
        let memberships = self.memberships.get_mut(slot);
        memberships.map(std::mem::take).unwrap_or_default()
    }

    /// Tickets of all open connections with one encoding.
    pub(crate) fn open(&self, encoding: EncodingId) -> impl Iterator<Item = Ticket> + '_ {
        let open = self.hot.iter().filter(move |(_, connection)| {
            connection.phase == Phase::Open && connection.flags.encoding() == encoding
        });
        open.map(|(slot, connection)| Ticket {
            slot,
            generation: connection.generation,
        })
    }

    /// How many of them there are, besides one.
    pub(crate) fn count_open(&self, encoding: EncodingId, except: Option<Ticket>) -> usize {
        let open = self.open(encoding);
        open.filter(|ticket| Some(*ticket) != except).count()
    }

    /// Tickets of all connections in one phase.
    pub(crate) fn in_phase(&self, phase: Phase) -> impl Iterator<Item = Ticket> + '_ {
        let connections = self
            .hot
            .iter()
            .filter(move |(_, connection)| connection.phase == phase);
        connections.map(|(slot, connection)| Ticket {
            slot,
            generation: connection.generation,
        })
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        self.hot.iter()
    }
}

impl Default for Connection {
    fn default() -> Self {
        Connection {
            phase: Phase::Free,
            listener: 0,
            flags: Flags::default(),
            generation: 0,
            transmit: u32::MAX,
            last_activity: 0,
            cold: None,
        }
    }
}

impl Connection {
    /// Bytes came from the peer, at `now` in units of [`ACTIVITY_MS`].
    pub(crate) fn record_activity(&mut self, now: u32) {
        self.last_activity = now;
        self.flags.clear(Flags::PINGED);
    }

    /// Bytes of it wait for more, or for their turn.
    pub(crate) fn has_input(&self) -> bool {
        self.cold
            .as_ref()
            .is_some_and(|cold| !cold.input.is_empty())
    }

    /// Its exchange, if it is between requests.
    pub(crate) fn exchange(&self) -> Option<&Exchange> {
        self.cold.as_ref()?.exchange.as_deref()
    }

    pub(crate) fn cold(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }

    /// Gives the cold part back when nothing is left in it; its read buffer goes to `spare`.
    pub(crate) fn release_cold(&mut self, spare: &mut SpareBuffers) {
        if self.flags.has(Flags::BACKLOG) {
            return;
        }
        if let Some(cold) = self.cold.take_if(|cold| cold.is_idle()) {
            spare.put(cold.input);
        }
    }
}
