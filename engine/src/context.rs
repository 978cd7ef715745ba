//! What an application may do during a call: the one door from meaning to the shard.

use crate::{Address, Frame, Tag};
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::frame::Kind;
use std::marker::PhantomData;
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
        Publish { frame, except: None, report: None }
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
pub struct Context<'a>(PhantomData<&'a mut ()>);

impl Context<'_> {
    /// The connection at hand.
    pub fn address(&self) -> Address { todo!() }
    /// The client's address.
    pub fn peer(&self) -> SocketAddr { todo!() }
    /// Milliseconds since the engine started; the same for the whole tick.
    pub fn now_ms(&self) -> u64 { todo!() }
    /// Sends one message to the connection at hand.
    pub fn send(&mut self, _kind: Kind, _payload: &[u8]) { todo!() }
    /// Sends the message that `fill` appends to the buffer, without a copy. `fill` must only append.
    pub fn send_with(&mut self, _kind: Kind, _fill: impl FnOnce(&mut Vec<u8>)) { todo!() }
    /// Sends a sealed frame to any connection. A connection that is gone, or on its way out, drops it (counted).
    pub fn send_to(&mut self, _to: Address, _frame: Frame) { todo!() }
    /// Asks for membership; `tag` answers with [`crate::Answer::Joined`]. Joining a room twice is answered like the first time.
    ///
    /// # Errors
    /// The name or the limits refuse it; nothing was sent.
    pub fn join(&mut self, _room: &str, _tag: Tag) -> Result<(), RoomError> { todo!() }
    /// Ends membership; `tag` answers with [`crate::Answer::Left`].
    ///
    /// # Errors
    /// Not joined; nothing was sent.
    pub fn leave(&mut self, _room: &str, _tag: Tag) -> Result<(), RoomError> { todo!() }
    /// Rooms joined or being joined, in no particular order.
    pub fn rooms(&self) -> Vec<Arc<str>> { todo!() }
    /// Publishes to a room (no membership needed) or to everyone. All members see one order.
    ///
    /// # Errors
    /// The name or the limits refuse it; nothing was sent.
    pub fn publish(&mut self, _to: Target<'_>, _publish: Publish) -> Result<(), PublishError> { todo!() }
    /// Starts the close handshake of the connection at hand; what was sent before leaves first.
    pub fn close(&mut self, _code: CloseCode, _reason: &str) { todo!() }
    /// Starts the close handshake of any connection.
    pub fn disconnect(&mut self, _who: Address, _code: CloseCode, _reason: &str) { todo!() }
}
