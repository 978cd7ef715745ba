//! What an embedder writes: one `Application` per shard, called on the shard's thread.

use crate::query::{Found, FoundConnection, FoundTopic};
use crate::{
    Address, Context, Deadline, EncodingId, Frame, Heartbeat, Message, Position, Publication,
    RoomError,
};
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::http::{HeaderError, Headers, Request};
use shardcast_protocol::pieces::Piece;
use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

/// The meaning of a server. Every shard owns one instance; nothing in it is shared, so nothing needs a lock.
///
/// Calls run on the shard's thread and must not block: while one runs, no other connection of the shard is served.
/// A panic is confined to the call: it is counted, logged, and [`Application::panicked`] decides what the client hears.
pub trait Application: Sized + 'static {
    /// State attached to a connection while it is open. It costs `size_of::<Option<Session>>()` per slot of the slab.
    type Session: 'static;

    /// A client asks to connect: with a WebSocket, or with an event stream on its path ([`Request::asks_for_websocket`] tells).
    /// `cx` cannot send yet. [`Admission::Defer`] postpones the decision: [`Context::address`] is then what
    /// [`crate::Handle::admit`] takes, from any thread.
    fn connect(&mut self, cx: &mut Context<'_>, request: &Request<'_>) -> Admission<Self::Session>;

    /// What a deferred connect waited for is there ([`crate::Handle::admit`]): the application decides, or defers once more within the
    /// same time. Called once for each note whose connection still waits. The default refuses with 500.
    fn decide(&mut self, _cx: &mut Context<'_>, _note: Notice) -> Admission<Self::Session> {
        Admission::Refuse(Refusal::new(500, "nobody decides"))
    }

    /// A deferred connect ended without a decision: the client went, its time was over ([`crate::Config::admission_timeout`]), too many
    /// waited, or the server drains. Whatever was begun for it may stop; a later [`crate::Handle::admit`] does nothing.
    fn abandoned(&mut self, _who: Address) {}

    /// A plain HTTP GET or HEAD came instead of an upgrade: the page it is answered with. (The engine leaves the body of a
    /// HEAD's answer out, and answers other methods by itself.)
    fn plain(&mut self, _request: &Request<'_>) -> Page {
        Page::text(426, "this is a WebSocket server")
    }

    /// The connection is open: the 101 answer is queued, frames may follow it.
    fn opened(&mut self, _cx: &mut Context<'_>, _session: &mut Self::Session) {}

    /// A whole data message arrived.
    fn message(&mut self, cx: &mut Context<'_>, session: &mut Self::Session, message: Message<'_>);

    /// A part of a data message arrived, on a connection that was accepted with [`Messages::InPieces`]. Nothing of the message is kept:
    /// pieces come as the network delivers them, all of one message before the next. A message that breaks the protocol, grows too
    /// large or takes too long ends the connection, and no last piece comes. The default closes the connection with 1011.
    fn piece(&mut self, cx: &mut Context<'_>, _session: &mut Self::Session, _piece: Piece<'_>) {
        cx.close(CloseCode::INTERNAL, "nobody takes pieces");
    }

    /// The answer to a request that carried a [`Tag`].
    fn answered(
        &mut self,
        _cx: &mut Context<'_>,
        _session: &mut Self::Session,
        _tag: Tag,
        _answer: Answer,
    ) {
    }

    /// Encodes what is published as data ([`crate::Content::data`]) for connections of one encoding. Called where the publication has got
    /// its place in the order, once for each encoding that its topic has members of (for everyone: that there are connections of), and
    /// for [`Context::send_to`] on the connection's shard. Where the topic keeps history, `position` is that place. It has no state: the
    /// same publication is the same frame everywhere. It must not block. A panic is confined to the call, and means `None`.
    ///
    /// `None`, the default: it cannot be said in that encoding, and its connections are not sent it (counted: `dropped_untranslatable`).
    fn encode(
        _encoding: EncodingId,
        _publication: &Publication<'_>,
        _position: Option<Position>,
    ) -> Option<Frame> {
        None
    }

    /// Another thread sent this connection a notice ([`crate::Handle::notify`]). A notice to a connection that is gone is dropped.
    fn notified(&mut self, _cx: &mut Context<'_>, _session: &mut Self::Session, _note: Notice) {}

    /// A time has come that [`Context::wake_at`] was told: does what is to be done by now, and returns the next such time. Not called
    /// once the connection has left the open state.
    fn due(&mut self, _cx: &mut Context<'_>, _session: &mut Self::Session) -> Option<u64> {
        None
    }

    /// The server drains: tell this client (it is closed with 1001 afterwards).
    fn draining(&mut self, _cx: &mut Context<'_>, _session: &mut Self::Session) {}

    /// The last call panicked while it handled a message of this connection. The default closes it with 1011.
    fn panicked(
        &mut self,
        cx: &mut Context<'_>,
        _session: &mut Self::Session,
        _message: Option<Message<'_>>,
    ) {
        cx.close(CloseCode::INTERNAL, "handler failed");
    }

    /// The shard was busy and has been quiet for a few seconds: what it kept for the next message may go. Called on its thread, never while
    /// it is busy. The default has the allocators give free memory back ([`crate::allocator::release`]).
    fn quiet(&mut self, quiet: Quiet) {
        crate::allocator::release(quiet);
    }

    /// The connection left the open state; called exactly once for each that was accepted. It is in no room any more;
    /// [`Context::rooms`] names those that it was in.
    fn closed(&mut self, _cx: &mut Context<'_>, _session: Self::Session, _reason: CloseReason) {}
}

/// Who is quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// This shard; others are busy.
    Shard,
    /// All shards of the process.
    Process,
}

/// What becomes of a client that asks to connect.
#[derive(Debug)]
pub enum Admission<S> {
    /// The client is let in.
    Accept(Accepted<S>),
    /// The client is answered with an HTTP status.
    Refuse(Refusal),
    /// The application decides later. The client waits for [`crate::Config::admission_timeout`] at most, then it is answered 504; where
    /// [`crate::Config::deferred_max`] wait already, it is answered 503 at once.
    Defer,
}

impl<S> From<Result<Accepted<S>, Refusal>> for Admission<S> {
    fn from(decision: Result<Accepted<S>, Refusal>) -> Admission<S> {
        match decision {
            Ok(accepted) => Admission::Accept(accepted),
            Err(refusal) => Admission::Refuse(refusal),
        }
    }
}

/// An accepted connection's state and the negotiated subprotocol.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The connection's state.
    pub session: S,
    /// `Sec-WebSocket-Protocol` of the answer; must be one that the client offered.
    pub subprotocol: Option<&'static str>,
    /// How its messages are handed over.
    pub messages: Messages,
    /// How its messages are encoded.
    pub encoding: EncodingId,
    /// Headers of the answer that lets it in: the 101, or the head of an event stream.
    pub headers: Headers,
    /// How it is kept alive.
    pub heartbeat: Heartbeat,
}

/// What another thread tells a connection; the application knows what it is.
pub type Notice = Box<dyn Any + Send>;

/// How a connection's messages are handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Messages {
    /// Complete, to [`Application::message`].
    #[default]
    Complete,
    /// As they arrive, to [`Application::piece`]: for what is too large to be held. Such a connection is not compressed.
    InPieces,
}

impl<S> From<S> for Accepted<S> {
    fn from(session: S) -> Accepted<S> {
        Accepted {
            session,
            subprotocol: None,
            messages: Messages::Complete,
            encoding: EncodingId::FIRST,
            headers: Headers::new(),
            heartbeat: Heartbeat::default(),
        }
    }
}

/// The answer to a plain HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// 200..=999.
    pub status: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Cow<'static, str>,
    /// Further headers.
    pub headers: Headers,
}

impl Page {
    /// A page of plain text.
    pub fn text(status: u16, body: impl Into<Cow<'static, str>>) -> Page {
        Page {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
            headers: Headers::new(),
        }
    }
}

/// An HTTP answer instead of an upgrade, or of an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 3xx with a `Location`, 4xx or 5xx.
    pub status: u16,
    /// Short text body.
    pub reason: String,
    /// Further headers, such as `WWW-Authenticate`, `Location`, `Set-Cookie` and `Retry-After`.
    pub headers: Headers,
}

impl Refusal {
    /// A refusal without headers of its own.
    pub fn new(status: u16, reason: impl Into<String>) -> Refusal {
        Refusal {
            status,
            reason: reason.into(),
            headers: Headers::new(),
        }
    }

    /// The same with one header more.
    ///
    /// # Errors
    /// The name or the value cannot stand in an answer, or is not the application's to choose.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Refusal, HeaderError> {
        self.headers.add(name, value)?;
        Ok(self)
    }
}

/// An application that makes a header that cannot be sent has failed: the client hears 500, and nothing of the header.
impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Refusal {
        tracing::error!(%error, "an answer's header was not taken");
        Refusal::new(500, "handler failed")
    }
}

/// Chosen by the application to tell answers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub u32);

/// What became of a tagged request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The connection is a member; messages that the room orders from here on reach it.
    Joined {
        /// The room.
        room: Arc<str>,
        /// Members on all shards, this one included.
        members: u32,
    },
    /// The connection is no member any more; no message of the room follows.
    Left {
        /// The room.
        room: Arc<str>,
    },
    /// A reported publish reached every shard.
    Reported(Report),
    /// The connection did not become a member.
    Refused {
        /// The room.
        room: Arc<str>,
        /// [`RoomError::Full`].
        error: RoomError,
    },
    /// Who was a member when the list had its turn among the joins, leaves and publishes of the topic.
    Listed(Listing),
    /// A page of open connections ([`crate::Query::Connections`]).
    Connections(Found<FoundConnection>),
    /// A page of topics with members ([`crate::Query::Topics`]).
    Topics(Found<FoundTopic>),
}

/// The members of a room, or the connections of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// How many there were on all shards. One that has just closed counts until the topic's home hears of it, and is not named.
    pub total: u32,
    /// Who they were, in no order: at most 1,000.
    pub members: Vec<Member>,
}

/// A connection that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The connection.
    pub address: Address,
    /// The user that it was, if it was one.
    pub user: Option<Arc<str>>,
}

/// What became of one publish, over all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Handed to the kernel whole.
    pub delivered: u32,
    /// Waiting, whole or in part, in the outbox of a slow reader.
    pub queued: u32,
    /// Refused: the connection was closing, or its outbox was full and it was closed for that; or the message cannot be said in its
    /// encoding.
    pub dropped: u32,
}

/// Why a connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent a close frame (`None`: without a code, status 1005).
    Peer(Option<CloseCode>),
    /// The connection ended without a close frame (status 1006).
    Lost,
    /// The peer broke the protocol.
    Protocol(shardcast_protocol::reader::ProtocolError),
    /// The application closed it.
    Application(CloseCode),
    /// Its outbox was full.
    SlowReader,
    /// It did not keep this deadline.
    TimedOut(Deadline),
    /// Its unfinished message asked for more memory than the shard had left ([`crate::Config::reassembly_bytes_max`]).
    OverBudget,
    /// The server drained.
    Draining,
}
