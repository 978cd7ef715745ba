//! What an application may do during a call: the one door from meaning to the shard.

use crate::core::Core;
use crate::letter::Request;
use crate::phase::Phase;
use crate::{Address, CloseReason, Frame, Tag, Ticket};
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::frame::{self, Kind};
use std::net::SocketAddr;
use std::sync::Arc;

/// Who a publish goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The members of one room.
    Room(&'a str),
    /// Every open connection of the process.
    Everyone,
}

/// A publish and its options.
#[derive(Clone, Debug)]
pub struct Publish {
    pub(crate) frame: Frame,
    pub(crate) except: Option<Address>,
    pub(crate) report: Option<Tag>,
}

impl Publish {
    /// Publishes `frame` as it is.
    pub fn new(frame: Frame) -> Publish {
        Publish {
            frame,
            except: None,
            report: None,
        }
    }
    /// Leaves one connection out.
    pub fn except(mut self, address: Address) -> Publish {
        self.except = Some(address);
        self
    }
    /// Asks for the counts: they come as [`crate::Answer::Reported`].
    pub fn report(mut self, tag: Tag) -> Publish {
        self.report = Some(tag);
        self
    }
}

/// Why a join or leave was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// `rooms_per_connection_max` reached.
    #[error("the connection is in as many rooms as it may be")]
    TooMany,
    /// Leaving a room that was not joined.
    #[error("the connection is not in this room")]
    NotJoined,
    /// Empty, or longer than `room_name_bytes_max`.
    #[error("the room's name is empty or too long")]
    BadName,
    /// Too many joins and leaves of this room under way.
    #[error("too many requests for this room under way")]
    Busy,
}

/// Why a publish was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Empty, or longer than `room_name_bytes_max`.
    #[error("the room's name is empty or too long")]
    BadName,
    /// Too many reported publishes under way on this shard.
    #[error("too many reported publishes under way")]
    TooManyReports,
}

/// The connection at hand and its shard, for the length of one call.
#[derive(Debug)]
pub struct Context<'a> {
    core: &'a mut Core,
    ticket: Ticket,
}

impl<'a> Context<'a> {
    pub(crate) fn new(core: &'a mut Core, ticket: Ticket) -> Context<'a> {
        Context { core, ticket }
    }

    /// The connection at hand.
    pub fn address(&self) -> Address {
        self.core.address(self.ticket)
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.core.connections.peer(self.ticket.slot)
    }

    /// The listener that it came by: index in the configuration.
    pub fn listener(&self) -> usize {
        usize::from(self.core.connections.listener(self.ticket.slot))
    }

    /// The largest message that it may send, in bytes: its listener's limit.
    pub fn message_bytes_max(&self) -> usize {
        self.core.limits.message_bytes_max[self.listener()]
    }

    /// The connection is encrypted.
    pub fn is_secure(&self) -> bool {
        self.core.secure.session(self.ticket.slot).is_some()
    }

    /// The certificate that the client showed (DER), if it was asked for one ([`crate::ClientCertificates`]) and showed one.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        let session = self.core.secure.session(self.ticket.slot)?;
        session.peer_certificate()
    }

    /// Milliseconds since the engine started; the same for the whole tick.
    pub fn now_ms(&self) -> u64 {
        self.core.now
    }

    /// Sends one message to the connection at hand. Dropped if it is not open (before `opened`, after `close`).
    pub fn send(&mut self, kind: Kind, payload: &[u8]) {
        if self.is_open() {
            self.core.write_frame(self.ticket, |out| {
                frame::write_frame(out, kind.into(), payload)
            });
        }
    }

    /// Sends the message that `fill` appends to the buffer, without a copy. `fill` must only append.
    pub fn send_with(&mut self, kind: Kind, fill: impl FnOnce(&mut Vec<u8>)) {
        if self.is_open() {
            self.core.write_frame(self.ticket, |out| {
                frame::write_frame_with(out, kind.into(), fill)
            });
        }
    }

    /// Sends a sealed frame to any connection. A connection that is gone, or on its way out, drops it (counted).
    pub fn send_to(&mut self, to: Address, frame: Frame) {
        self.core.mail.request(
            to.shard,
            Request::Send {
                to: to.ticket,
                frame,
            },
        );
    }

    /// Asks for membership; `tag` answers with [`crate::Answer::Joined`]. Joining a room twice is answered like the first time.
    ///
    /// # Errors
    /// The name or the limits refuse it; nothing was sent.
    pub fn join(&mut self, room: &str, tag: Tag) -> Result<(), RoomError> {
        self.core.join(self.ticket, room, tag)
    }

    /// Ends membership; `tag` answers with [`crate::Answer::Left`].
    ///
    /// # Errors
    /// Not joined; nothing was sent.
    pub fn leave(&mut self, room: &str, tag: Tag) -> Result<(), RoomError> {
        self.core.leave(self.ticket, room, tag)
    }

    /// Rooms joined or being joined, in no particular order.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        let memberships = self
            .core
            .connections
            .memberships_ref(self.ticket.slot)
            .as_slice();
        let wanted = memberships.iter().filter(|membership| membership.wanted);
        wanted
            .map(|membership| self.core.rooms.name(membership.slice).clone())
            .collect()
    }

    /// Publishes to a room (no membership needed) or to everyone. All members see one order.
    ///
    /// # Errors
    /// The name or the limits refuse it; nothing was sent.
    pub fn publish(&mut self, to: Target<'_>, publish: Publish) -> Result<(), PublishError> {
        self.core.publish(self.ticket, to, publish)
    }

    /// Starts the close handshake of the connection at hand; what was sent before leaves first.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.core
            .close(self.ticket, code, reason, CloseReason::Application(code));
    }

    /// Starts the close handshake of any connection.
    pub fn disconnect(&mut self, who: Address, code: CloseCode, reason: &str) {
        self.core.mail.request(
            who.shard,
            Request::Disconnect {
                who: who.ticket,
                code,
                reason: reason.into(),
            },
        );
    }

    fn is_open(&self) -> bool {
        self.core.connections.phase(self.ticket) == Phase::Open
    }
}
