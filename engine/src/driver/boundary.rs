//! The boundary between the shard (rules) and what carries it out (the kernel, or a simulation).
//!
//! In: the time and completions as plain data ([`Driver::reap`]). Out: operations. Dispatch is
//! static. No memory is borrowed across a call of [`Driver::turn`]: transmits are borrowed only
//! inside it, tracked sends own their bytes.

use crate::connection::peer::Peer;
use crate::egress::outgoing::Outgoing;
use crate::types::ticket::Ticket;
use bytes::Bytes;
use std::fmt;

/// Milliseconds since the engine started.
pub type Millis = u64;

/// How long a turn may wait for completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: submit, and settle the transmits.
    No,
    /// Until something completes or this time has come. With a time that has passed: take what is
    /// there.
    Until(Millis),
}

/// Something that the kernel did.
#[derive(Debug)]
pub enum Completion<L> {
    /// A client connected. The driver chose the slot; nothing is armed on it yet.
    Accepted {
        /// Free until now.
        slot: u32,
        /// Index of the listener in the configuration.
        listener: u8,
        /// The client's address.
        peer: Peer,
    },
    /// Bytes arrived; the lease goes back with [`Driver::give_back`].
    Received {
        /// The connection.
        ticket: Ticket,
        /// The bytes, mutable in place.
        lease: L,
    },
    /// Nothing more will be received on this ticket (after a stop, it may be armed again).
    ReceiveEnded {
        /// The connection.
        ticket: Ticket,
        /// Why.
        why: ReceiveEnd,
    },
    /// A tracked send ended: `count` bytes are in the socket's buffer. Perhaps not all of them:
    /// then the rest is sent by another, unless `failed`.
    Sent {
        /// The connection.
        ticket: Ticket,
        /// Bytes taken.
        count: usize,
        /// The connection is beyond sending.
        failed: bool,
    },
    /// After [`Driver::close`]: the slot is free and may be the next accept's.
    Closed {
        /// The connection.
        ticket: Ticket,
    },
}

/// Why receiving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveEnd {
    /// The peer will send no more.
    Eof,
    /// Reset, timed out by TCP, or another errno of the socket.
    Failed,
    /// [`Driver::stop_receive`] was called.
    Stopped,
}

/// A transmit (untracked send) that did not leave completely. Exceptions only: a transmit without
/// one left completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortSend {
    /// The connection.
    pub ticket: Ticket,
    /// Bytes that did leave, from the start.
    pub count: usize,
    /// The connection is beyond sending (`EPIPE`, `ECONNRESET`); otherwise the socket's buffer is
    /// full.
    pub failed: bool,
}

/// How listening sockets are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAccept {
    /// The sockets of this engine's own are shut down: nobody can connect there any more, and the
    /// addresses are free at once. Those that were inherited are handed over whatever is said: they
    /// belong to others, too.
    Release,
    /// No socket is shut down: the accepts under way are cancelled and the engine's own descriptors
    /// closed. Whoever else has the sockets goes on accepting, and those who wait to be accepted do
    /// not notice.
    HandOver,
}

/// Carries operations out. Operations may be buffered until the next `turn`.
pub trait Driver {
    /// Received bytes on loan. At most one live lease per buffer; held only within a tick, and by
    /// the transmits of the turn that ends it.
    type Lease: AsMut<[u8]> + AsRef<[u8]> + fmt::Debug + 'static;

    /// The time of the last `reap`.
    fn now(&self) -> Millis;

    /// Appends what completed since the last call, in the kernel's order, and updates the time.
    /// Runs nothing, never waits. A driver that has a clock records here how long the tick before
    /// took, and what this one takes in (`tick_seconds`, `tick_completions`).
    fn reap(&mut self, into: &mut Vec<Completion<Self::Lease>>);

    /// Sends every transmit (at most one per connection, never for one with a tracked send under
    /// way), submits all buffered operations and waits as told. On return no transmit's memory is
    /// in use, and `short_sends` holds every transmit of this call that did not leave completely:
    /// the caller settles them before anything else may be appended for those connections.
    ///
    /// With [`Wait::Until`] it is the last act of a tick; the simulation returns from it at once
    /// and schedules the next tick itself.
    fn turn(&mut self, outgoing: &Outgoing, wait: Wait, short_sends: &mut Vec<ShortSend>);

    /// Starts receiving; goes on until `ReceiveEnded`. Running out of buffers is the driver's own
    /// affair.
    fn arm_receive(&mut self, ticket: Ticket);

    /// Asks for `ReceiveEnded { why: Stopped }` (or another end, if that came first); some
    /// `Received` may still precede it.
    fn stop_receive(&mut self, ticket: Ticket);

    /// Its receive waits for a buffer: it may have said what nobody could hear.
    fn awaits_buffer(&self, ticket: Ticket) -> bool;

    /// Nearly all that comes belongs to large messages, and will for a while: larger receive
    /// buffers are better now. A hint.
    fn expect_large(&mut self) {}

    /// Returns a receive buffer.
    fn give_back(&mut self, lease: Self::Lease);

    /// Sends `segments` (1 to [`TRACKED_SEGMENTS_MAX`]), however long it takes, and seldom only the
    /// beginning; ends in one `Sent`. At most one at a time per ticket.
    fn send_tracked(&mut self, ticket: Ticket, segments: &[Bytes]);

    /// Half-closes the sending side once all sends are done (FIN). Called with no send under way.
    fn shut_down(&mut self, ticket: Ticket);

    /// Ends the connection: whatever is under way is cut off, its completions swallowed except
    /// `Received` (whose ticket is stale by then, and whose lease must still be given back), then
    /// `Closed`. Called once per accepted slot.
    fn close(&mut self, ticket: Ticket);

    /// Wakes another shard that announced its sleep. Buffered like the rest.
    fn wake(&mut self, shard: u16);

    /// The shard is quiet: memory that was kept for more work may go.
    fn release_memory(&mut self) {}

    /// Stops accepting for good (drain). Connections that were accepted by then may still be
    /// reaped.
    fn stop_accepting(&mut self, how: StopAccept);

    /// `Accepted` may still come. After `stop_accepting` this turns false, for good, once every
    /// accept has ended.
    fn may_accept(&self) -> bool;

    /// Connections that there is room for just now: beyond them, the driver can only bring some
    /// that are to be refused.
    fn connections_max(&self) -> usize;
}

/// Clients of one listener that a turn of the driver brings at most: what one enter takes of a
/// crowd. Others wait in the kernel's backlog.
pub(crate) const ACCEPTS_PER_TURN: usize = 16;

/// Segments of one tracked send (well below the kernel's `UIO_MAXIOV` of 1,024).
pub const TRACKED_SEGMENTS_MAX: usize = 64;
