//! What an embedder writes: one `Application` per shard, called on the shard's thread.

use crate::connection::heartbeat::Heartbeat;
use crate::connection::peer::Peer;
use crate::context::Context;
use crate::topic::key::TopicName;
use crate::topic::publication::{Content, Position, Publication};
use crate::types::answer::{Answer, Notice, Tag};
use crate::types::close_reason::CloseReason;
use crate::types::encoding::EncodingId;
use crate::types::filter::Filter;
use crate::types::frame::{Frame, Message};
use crate::types::history::Missed;
use crate::types::quiet::Quiet;
use crate::types::stream_path::{FirstMessage, PostedMessage};
use crate::types::ticket::Address;
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::events::Form;
use shardcast_protocol::frame::Kind;
use shardcast_protocol::http::{HeaderError, Headers, HttpRequest};
use shardcast_protocol::pieces::Piece;
use std::borrow::Cow;

/// The meaning of a server. Every shard owns one instance; nothing in it is shared, so nothing
/// needs a lock.
///
/// Calls run on the shard's thread and must not block: while one runs, no other connection of the
/// shard is served. A panic is confined to the call: it is counted, logged, and
/// [`Application::panicked`] decides what the client hears.
pub trait Application: Sized + 'static {
    /// State attached to a connection while it is open. It costs `size_of::<Option<Session>>()` per
    /// slot of the slab.
    type Session: 'static;

    /// A proxy connected to a listener where clients are introduced
    /// ([`crate::Listener::proxy_protocol`]): whether what it says counts. It is not read
    /// otherwise. The default trusts whoever can connect there.
    fn trusts_proxy(&mut self, _proxy: Peer) -> bool {
        true
    }

    /// A connection begins, from the address that [`Context::peer`] says, and nothing of it is read
    /// yet. An error is all that it is answered; a TLS listener closes it without an answer, before
    /// the handshake. The default hears everybody.
    fn arrived(&mut self, _cx: &mut Context<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    /// A client asks to connect: with a WebSocket, or with an event stream on its path
    /// ([`HttpRequest::asks_for_websocket`] tells). `cx` cannot send yet. [`Admission::Defer`]
    /// postpones the decision: [`Context::address`] is then what [`crate::Handle::admit`] takes,
    /// from any thread.
    fn connect(
        &mut self,
        cx: &mut Context<'_>,
        request: &HttpRequest<'_>,
    ) -> Admission<Self::Session>;

    /// A request came to the path of event streams that opens none: a message for one, a preflight
    /// (Fetch §3.2), or a HEAD. An error is its answer, which pages of other origins cannot read.
    /// The default takes them all: whoever posts knows the stream's token.
    fn stream_request(
        &mut self,
        _cx: &mut Context<'_>,
        _request: &HttpRequest<'_>,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// What a request that would connect says as the client's first message: in its query, or in
    /// the `body` of one that opens a stream ([`crate::Config::stream_paths`]). It is taken once
    /// the connection is open. Asked before [`Application::connect`]; an error is the answer. The
    /// default: nothing.
    fn first_message(
        &mut self,
        _request: &HttpRequest<'_>,
        _body: &[u8],
    ) -> Result<Option<FirstMessage>, Refusal> {
        Ok(None)
    }

    /// What the body of a request says that came to a path for posts
    /// ([`crate::StreamPurpose::Post`]). The default understands none.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    fn posted(_kind: Kind, _body: &[u8]) -> Result<PostedMessage, &'static str> {
        Err("nothing is posted here")
    }

    /// What a deferred connect waited for is there ([`crate::Handle::admit`]): the application
    /// decides, or defers once more within the same time. Called once for each notice whose
    /// connection still waits. The default refuses with 500.
    fn decide(&mut self, _cx: &mut Context<'_>, _notice: Notice) -> Admission<Self::Session> {
        Admission::Refuse(Refusal::new(500, "nobody decides"))
    }

    /// A deferred connect ended without a decision: the client went, its time was over
    /// ([`crate::Config::admission_timeout`]), too many waited, or the server drains. Whatever was
    /// begun for it may stop; a later [`crate::Handle::admit`] does nothing.
    fn abandoned(&mut self, _who: Address) {}

    /// A plain HTTP GET or HEAD came instead of an upgrade: the page it is answered with. (The
    /// engine leaves the body of a HEAD's answer out, and answers other methods by itself.)
    fn plain(&mut self, _request: &HttpRequest<'_>) -> Page {
        Page::text(426, "this is a WebSocket server")
    }

    /// The connection is open: the 101 answer is queued, frames may follow it.
    fn opened(&mut self, _cx: &mut Context<'_>, _session: &mut Self::Session) {}

    /// A complete data message arrived.
    fn message(&mut self, cx: &mut Context<'_>, session: &mut Self::Session, message: Message<'_>);

    /// A part of a data message arrived, on a connection that was accepted with
    /// [`Messages::InPieces`]. Nothing of the message is kept: pieces come as the network delivers
    /// them, all of one message before the next. A message that breaks the protocol, grows too
    /// large or takes too long ends the connection, and no last piece comes. The default closes the
    /// connection with 1011.
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

    /// Encodes what is published as data ([`crate::Content::data`]) for connections of one
    /// encoding. Called where the publication has got its place in the order, once for each
    /// encoding that its topic has members of (for everyone: that there are connections of), and
    /// for [`Context::send_to`] on the connection's shard. Where the topic keeps history,
    /// `position` is that place. It has no state: the same publication is the same frame
    /// everywhere. It must not block. A panic is confined to the call, and means `None`.
    ///
    /// `None`, the default: the publication has no form in that encoding, and its connections are
    /// not sent it (counted: `dropped_untranslatable`).
    fn encode(
        _encoding: EncodingId,
        _publication: &Publication<'_>,
        _position: Option<Position>,
    ) -> Option<Frame> {
        None
    }

    /// Encodes a publication for members that were sent it before, and have not acknowledged it
    /// ([`crate::LogOptions::acks`]). Like [`Application::encode`], whose words the default uses.
    fn encode_again(
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Position,
    ) -> Option<Frame> {
        Self::encode(encoding, publication, Some(position))
    }

    /// Encodes a publication for members that are sent deltas ([`crate::JoinOptions::deltas`]),
    /// whose connections have this encoding. With a `base`: what the publication changes of that,
    /// which they have; `None` means that they are sent all of it. Without one: all of it, in such
    /// a form that the next one can build on it; `None` means what it means for
    /// [`Application::encode`], whose words the default uses, so that nobody is sent deltas. Called
    /// where the publication has got its place in the order, once for each encoding that is
    /// present. Only what is published to rooms has deltas, and no news of members is
    /// built on.
    fn encode_delta(
        encoding: EncodingId,
        base: Option<&Publication<'_>>,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        match base {
            None => Self::encode(encoding, publication, position),
            Some(_) => None,
        }
    }

    /// Says which of these filters a publication of a room passes: members that joined with one
    /// ([`crate::JoinOptions::filter`]) are sent what passes theirs. `passes` has a place for each
    /// filter, and is true everywhere before; a filter without bytes is nobody's. Called once for
    /// each publication on every shard with such members, and where one of them is sent what it
    /// has missed. News of members are publications, too. It has no state, and must not block. A
    /// panic means that nothing passes.
    fn sift(_publication: &Publication<'_>, _filters: &[Filter], _passes: &mut [bool]) {}

    /// What is published of a key whose time is over in a map ([`crate::MapOptions::key_ttl`]):
    /// `last` is what the map held. It has no state, and must not block. A panic means `None`: the
    /// key is gone, and nobody is told, which is the default.
    fn removal(_last: &Publication<'_>) -> Option<Content> {
        None
    }

    /// What a close frame says to connections of one encoding, whoever closes them: `code` and
    /// `text` are what the engine or [`Context::close`] has. For protocols whose clients take codes
    /// for something else. It has no state. Nothing is asked about a close frame that answers the
    /// peer's. The default changes nothing.
    fn closing(
        _encoding: EncodingId,
        _reason: CloseReason,
        code: CloseCode,
        text: &str,
    ) -> (CloseCode, &str) {
        (code, text)
    }

    /// Another thread sent this connection a notice ([`crate::Handle::notify`]). A notice to a
    /// connection that is gone is dropped.
    fn notified(&mut self, _cx: &mut Context<'_>, _session: &mut Self::Session, _notice: Notice) {}

    /// A notice of another connection ([`Context::notify`]) or thread ([`crate::Handle::reach`])
    /// came for one that is not open, and that [`Application::closed`] was called for if it ever
    /// was. [`Context::address`] is that connection's, which can do nothing more;
    /// [`Context::answer_notice`] answers. The default drops the notice.
    fn unreached(&mut self, _cx: &mut Context<'_>, _notice: Notice) {}

    /// The shard begins or ends, or a time has come that [`Context::wake_shard_at`] was told: does
    /// what is to be done by now, and returns the next such time.
    fn shard_due(&mut self, _now_ms: u64) -> Option<u64> {
        None
    }

    /// The connection was not sent some publications of a room, or to its user, before those that
    /// it is sent next: it was too slow or away for too long, and the room's policy
    /// ([`crate::SlowReader`]) or the bounds of the log left them out; or it has not acknowledged
    /// them. The default says nothing to the client.
    fn missed(
        &mut self,
        _cx: &mut Context<'_>,
        _session: &mut Self::Session,
        _topic: &TopicName,
        _missed: Missed,
    ) {
    }

    /// A time has come that [`Context::wake_at`] was told: does what is to be done by now, and
    /// returns the next such time. Not called once the connection has left the open state.
    fn due(&mut self, _cx: &mut Context<'_>, _session: &mut Self::Session) -> Option<u64> {
        None
    }

    /// The server drains: tell this client (it is closed with 1001 afterwards).
    fn draining(&mut self, _cx: &mut Context<'_>, _session: &mut Self::Session) {}

    /// The last call panicked while it handled a message of this connection. The default closes it
    /// with 1011.
    fn panicked(
        &mut self,
        cx: &mut Context<'_>,
        _session: &mut Self::Session,
        _message: Option<Message<'_>>,
    ) {
        cx.close(CloseCode::INTERNAL, "handler failed");
    }

    /// Bytes that the application keeps on this shard for connections and topics, sessions that
    /// wait for their clients among them: they count in the process's budget
    /// ([`crate::Config::memory_bytes_max`]). Asked once a tick, and not confined: a panic ends the
    /// shard.
    fn held_bytes(&self) -> u64 {
        0
    }

    /// The shard was busy and has been quiet for a few seconds: what it kept for the next message
    /// may go. Called on its thread, never while it is busy. The default has the allocators give
    /// free memory back ([`crate::allocator::release`]).
    fn quiet(&mut self, quiet: Quiet) {
        crate::allocator::release(quiet);
    }

    /// The connection left the open state; called exactly once for each that was accepted. It is in
    /// no room any more; [`Context::rooms`] names those that it was in.
    fn closed(&mut self, _cx: &mut Context<'_>, _session: Self::Session, _reason: CloseReason) {}
}

/// What becomes of a client that asks to connect.
#[derive(Debug)]
pub enum Admission<S> {
    /// The client is let in.
    Accept(Accepted<S>),
    /// The client is answered with an HTTP status.
    Refuse(Refusal),
    /// The application decides later. The client waits for [`crate::Config::admission_timeout`] at
    /// most, then it is answered 504; where [`crate::Config::deferred_max`] wait already, it is
    /// answered 503 at once.
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
    /// In which form it is sent its messages. `None`: a WebSocket its frames, an event stream our
    /// own events. A WebSocket with a form is not compressed.
    pub form: Option<Form>,
}

/// How a connection's messages are handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Messages {
    /// Complete, to [`Application::message`].
    #[default]
    Complete,
    /// As they arrive, to [`Application::piece`]: for what is too large to be held. Such a
    /// connection is not compressed.
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
            form: None,
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

/// An application that makes a header that cannot be sent has failed: the client hears 500, and
/// nothing of the header.
impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Refusal {
        tracing::error!(%error, "an answer's header was not taken");
        Refusal::new(500, "handler failed")
    }
}
