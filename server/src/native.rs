//! The native dialect's application: what a client's requests do to the shard, and what the client hears of it.
//!
//! Invariant: a request that bears an `id` is answered exactly once under it, with its answer or an error, and a refused
//! request changed nothing. One per shard, built by `serve`; called by the engine on the shard's thread.

mod connection_id;
mod session;

use connection_id::ConnectionId;
pub use session::Session;
use session::{Form, REQUESTS_MAX, Request};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::http;
use shardcast_engine::{
    Accepted, Answer, Application, Context, Frame, Message, Page, Publish, PublishError, Refusal,
    RoomError, Tag, Target,
};
use shardcast_protocol::native::answer::{self, Status, Welcome};
use shardcast_protocol::native::{Code, Envelope, Problem, Raw, SUBPROTOCOL, is_room_name};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

/// What the dialect must know of the configuration. The limits are the engine's own.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name and version, as clients are welcomed with: `shardcast/0.1.0`.
    pub server: String,
    /// Silence after which the engine pings, in milliseconds.
    pub heartbeat_ms: u64,
    /// Rooms that one connection may be in, and that one request may name.
    pub rooms_per_connection_max: usize,
    /// Longest room name in bytes.
    pub room_name_bytes_max: usize,
    /// A draining server tells each client to come back at a random time within this many milliseconds.
    pub reconnect_window_ms: u64,
}

/// The native dialect on one shard.
#[derive(Debug)]
pub struct Native {
    options: Options,
    shard: u16,
    /// The next request's first tag. Counts on over all connections of the shard, so that an answer to a request given up
    /// halfway finds nobody.
    next_tag: u32,
    random: fastrand::Rng,
}

impl Native {
    /// The dialect for shard number `shard`.
    pub fn new(options: Options, shard: u16) -> Native {
        Native {
            options,
            shard,
            next_tag: 0,
            random: fastrand::Rng::new(),
        }
    }
}

impl Application for Native {
    type Session = Session;

    fn connect(
        &mut self,
        cx: &mut Context<'_>,
        request: &http::Request<'_>,
    ) -> Result<Accepted<Session>, Refusal> {
        // For an event stream the engine has compared the path.
        if request.asks_for_websocket() && request.path() != PATH {
            return Err(Refusal {
                status: 404,
                reason: format!("clients connect to {PATH}"),
            });
        }
        // A client that offers only what we do not speak is accepted without a subprotocol; it then fails the handshake
        // itself if it insists (RFC 6455 §4.1).
        Ok(Accepted {
            subprotocol: request.choose_subprotocol(&[SUBPROTOCOL]),
            ..Session::new(cx.now_ms()).into()
        })
    }

    fn plain(&mut self, request: &http::Request<'_>) -> Page {
        match request.path() {
            "/" => Page::text(
                200,
                format!(
                    "{}\nWebSocket clients connect to {PATH}.\n",
                    self.options.server
                ),
            ),
            "/health" => Page {
                status: 200,
                content_type: "application/json",
                body: r#"{"status":"ok"}"#.into(),
            },
            PATH => Page::text(426, "this is a WebSocket endpoint"),
            _ => Page::text(404, format!("clients connect to {PATH}")),
        }
    }

    fn opened(&mut self, cx: &mut Context<'_>, session: &mut Session) {
        *session = Session::new(cx.now_ms());
        let id = ConnectionId::new(cx.address());
        let welcome = Welcome {
            connection: id.as_str(),
            server: &self.options.server,
            heartbeat_ms: self.options.heartbeat_ms,
            message_bytes_max: cx.message_bytes_max(),
        };
        cx.send_with(Kind::Text, |out| answer::welcome(out, &welcome));
    }

    fn message(&mut self, cx: &mut Context<'_>, session: &mut Session, message: Message<'_>) {
        let (id, outcome) = match message {
            Message::Binary(_) => (
                None,
                Err(bad_request("binary messages are not understood: send text")),
            ),
            Message::Text(text) => match Envelope::parse(text) {
                Ok(envelope) => (envelope.id, self.request(cx, session, &envelope)),
                Err(refused) => (refused.id, Err(refused.problem)),
            },
        };
        if let Err(problem) = outcome {
            cx.send_with(Kind::Text, |out| answer::error(out, id, &problem));
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, session: &mut Session, tag: Tag, answer: Answer) {
        if let Some(request) = session.settle(tag, answer) {
            cx.send_with(Kind::Text, |out| request.write(out));
        }
    }

    fn draining(&mut self, cx: &mut Context<'_>, _session: &mut Session) {
        let reconnect_ms = self.random.u64(0..=self.options.reconnect_window_ms);
        cx.send_with(Kind::Text, |out| {
            answer::closing(out, "draining", reconnect_ms);
        });
    }

    fn panicked(
        &mut self,
        cx: &mut Context<'_>,
        _session: &mut Session,
        message: Option<Message<'_>>,
    ) {
        let Some(Message::Text(text)) = message else {
            cx.close(CloseCode::INTERNAL, "handler failed");
            return;
        };
        let id = Envelope::parse(text).map_or_else(|refused| refused.id, |envelope| envelope.id);
        let problem = Problem::new(
            Code::HandlerFailed,
            "the server failed while it handled this request",
        );
        cx.send_with(Kind::Text, |out| answer::error(out, id, &problem));
    }
}

impl Native {
    /// Does what is asked. An error is answered by the caller; everything else is answered here or when the engine answers.
    fn request(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        envelope: &Envelope<'_>,
    ) -> Result<(), Problem> {
        let (id, data) = (envelope.id, envelope.data);
        match &*envelope.kind {
            "ping" => cx.send_with(Kind::Text, |out| answer::pong(out, id, data)),
            "echo" => cx.send_with(Kind::Text, |out| answer::echo(out, id, data)),
            "broadcast" => self.broadcast(cx, session, envelope)?,
            "join_room" => self.join(cx, session, envelope)?,
            "leave_room" => self.leave(cx, session, envelope)?,
            "rooms" => {
                let rooms = sorted_rooms(cx);
                cx.send_with(Kind::Text, |out| {
                    answer::rooms(out, id, rooms.iter().map(|room| &**room));
                });
            }
            "status" => self.status(cx, session, id),
            _ => return Err(Problem::new(Code::UnknownType, "no such type of request")),
        }
        Ok(())
    }

    fn status(&mut self, cx: &mut Context<'_>, session: &Session, id: Option<Raw<'_>>) {
        let connection = ConnectionId::new(cx.address());
        let rooms = sorted_rooms(cx);
        let status = Status {
            connection: connection.as_str(),
            user: None,
            connected_ms: cx.now_ms().saturating_sub(session.opened_ms()),
            shard: self.shard,
        };
        cx.send_with(Kind::Text, |out| {
            answer::status(out, id, &status, rooms.iter().map(|room| &**room));
        });
    }

    fn join(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        envelope: &Envelope<'_>,
    ) -> Result<(), Problem> {
        let (named, mine) = self.rooms_asked(cx, session, envelope)?;
        let new = named
            .rooms
            .iter()
            .filter(|room| !mine.contains(&***room))
            .count();
        if named.form == Form::Rooms && mine.len() + new > self.options.rooms_per_connection_max {
            return Err(problem_of_room(RoomError::TooMany));
        }
        let first = self.take_tags(named.count());
        for (tag, room) in tags_from(first).zip(&*named.rooms) {
            let Err(error) = cx.join(room, tag) else {
                continue;
            };
            // All or nothing: what this request has joined so far is left again, and nobody waits for those answers.
            let joined = named.rooms.iter().take_while(|joined| *joined != room);
            for (tag, room) in tags_from(first)
                .zip(joined)
                .filter(|(_, room)| !mine.contains(&***room))
            {
                let _ = cx.leave(room, tag);
            }
            return Err(problem_of_room(error));
        }
        session.wait(Request::join(envelope.id, first, named.form, named.count()));
        Ok(())
    }

    fn leave(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        envelope: &Envelope<'_>,
    ) -> Result<(), Problem> {
        let (named, mine) = self.rooms_asked(cx, session, envelope)?;
        if named.form == Form::Rooms && !named.rooms.iter().all(|room| mine.contains(&**room)) {
            return Err(problem_of_room(RoomError::NotJoined));
        }
        let first = self.take_tags(named.count());
        for (tag, room) in tags_from(first).zip(&*named.rooms) {
            // Only the first can fail: of several, all are joined, and fewer are under way than the engine counts per room.
            cx.leave(room, tag).map_err(problem_of_room)?;
        }
        session.wait(Request::leave(
            envelope.id,
            first,
            named.form,
            named.count(),
        ));
        Ok(())
    }

    fn broadcast(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        envelope: &Envelope<'_>,
    ) -> Result<(), Problem> {
        if envelope.user.is_some() {
            return Err(bad_request(
                "this server knows no users: they come with authentication",
            ));
        }
        if envelope.report {
            require_space(session)?;
        }
        let named = self.named(envelope)?;
        // One room, each of several, or no room at all: everyone.
        let rooms: &[Cow<'_, str>] = named.as_ref().map_or(&[], |named| &*named.rooms);
        let targets = rooms
            .iter()
            .map(|room| Some(&**room))
            .chain(named.is_none().then_some(None));
        let connection = ConnectionId::new(cx.address());
        let from = connection.as_str();
        let bytes = |room| answer::message_bytes(room, from, envelope.data);
        if targets
            .clone()
            .any(|room| bytes(room) > cx.message_bytes_max())
        {
            return Err(Problem::new(
                Code::TooLarge,
                "the message would be larger than max_message_bytes on delivery",
            ));
        }
        let first = self.take_tags(1);
        let mut tag = envelope.report.then_some(first);
        for (sent, room) in targets.enumerate() {
            let frame = Frame::with(Kind::Text, bytes(room), |out| {
                answer::message(out, room, from, envelope.data);
            });
            let mut publish = Publish::new(frame);
            if envelope.echo == Some(false) {
                publish = publish.except(cx.address());
            }
            let to = room.map_or(Target::Everyone, Target::Room);
            let mut outcome = match tag {
                Some(tag) => cx.publish(to, publish.clone().report(tag)),
                None => cx.publish(to, publish.clone()),
            };
            if outcome == Err(PublishError::TooManyReports) && sent > 0 {
                // Some rooms have it already, and a refusal would have the client send it to them again: the others get
                // it too, and the answer goes without counts.
                tag = None;
                outcome = cx.publish(to, publish);
            }
            outcome.map_err(problem_of_publish)?;
        }
        match tag {
            Some(tag) => session.wait(Request::report(envelope.id, tag, rooms.len().max(1) as u32)),
            None if envelope.report || envelope.id.is_some() => {
                cx.send_with(Kind::Text, |out| answer::ack(out, envelope.id));
            }
            None => {}
        }
        Ok(())
    }

    /// The rooms that a join or a leave is about, and those that the connection is in.
    fn rooms_asked<'e, 'b>(
        &self,
        cx: &Context<'_>,
        session: &Session,
        envelope: &'e Envelope<'b>,
    ) -> Result<(Named<'e, 'b>, HashSet<Arc<str>>), Problem> {
        let named = self
            .named(envelope)?
            .ok_or_else(|| bad_request("room or rooms is missing"))?;
        require_space(session)?;
        let mine = memberships(cx, named.form);
        Ok((named, mine))
    }

    /// The rooms a request names, checked and without repetitions. `None` if it names none.
    fn named<'e, 'b>(&self, envelope: &'e Envelope<'b>) -> Result<Option<Named<'e, 'b>>, Problem> {
        let named = match (&envelope.room, &envelope.rooms) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(bad_request("room and rooms exclude each other")),
            (Some(room), None) => Named {
                rooms: Cow::Borrowed(std::slice::from_ref(room)),
                form: Form::Room,
            },
            (None, Some(rooms)) => {
                // Bounds the work that one message can ask for, repetitions included.
                if rooms.count() > self.options.rooms_per_connection_max {
                    return Err(Problem::new(
                        Code::RoomLimit,
                        "rooms names more rooms than a connection may be in",
                    ));
                }
                let mut seen = HashSet::with_capacity(rooms.count());
                let distinct = rooms
                    .names()
                    .filter(|room| seen.insert(room.clone()))
                    .collect();
                Named {
                    rooms: Cow::Owned(distinct),
                    form: Form::Rooms,
                }
            }
        };
        if named
            .rooms
            .iter()
            .all(|room| is_room_name(room, self.options.room_name_bytes_max))
        {
            Ok(Some(named))
        } else {
            Err(bad_request(BAD_NAME))
        }
    }

    /// As many consecutive tags, of which the first is returned.
    fn take_tags(&mut self, count: u32) -> Tag {
        let first = self.next_tag;
        self.next_tag = first.wrapping_add(count);
        Tag(first)
    }
}

/// The rooms of one request: one at least, valid and distinct, in the order asked.
struct Named<'e, 'b> {
    rooms: Cow<'e, [Cow<'b, str>]>,
    form: Form,
}

impl Named<'_, '_> {
    fn count(&self) -> u32 {
        u32::try_from(self.rooms.len()).expect("no more than rooms_per_connection_max")
    }
}

fn tags_from(first: Tag) -> impl Iterator<Item = Tag> {
    (0..).map(move |offset| Tag(first.0.wrapping_add(offset)))
}

/// Rooms joined or being joined, looked at only where several are asked for: the engine checks a single one itself.
fn memberships(cx: &Context<'_>, form: Form) -> HashSet<Arc<str>> {
    match form {
        Form::Room => HashSet::new(),
        Form::Rooms => cx.rooms().into_iter().collect(),
    }
}

/// The engine gives no order; clients and tests like one.
fn sorted_rooms(cx: &Context<'_>) -> Vec<Arc<str>> {
    let mut rooms = cx.rooms();
    rooms.sort_unstable();
    rooms
}

fn require_space(session: &Session) -> Result<(), Problem> {
    if session.has_space() {
        Ok(())
    } else {
        Err(Problem::rate_limited(TOO_MANY_WAITING, RETRY_AFTER_MS))
    }
}

fn bad_request(message: &'static str) -> Problem {
    Problem::new(Code::BadRequest, message)
}

fn problem_of_room(error: RoomError) -> Problem {
    match error {
        RoomError::TooMany => Problem::new(
            Code::RoomLimit,
            "the connection would be in more rooms than it may be",
        ),
        RoomError::NotJoined => Problem::new(Code::NotJoined, "the connection is not in this room"),
        RoomError::BadName => bad_request(BAD_NAME),
        RoomError::Full => {
            unreachable!("rooms of the native dialect take as many members as come")
        }
        RoomError::Busy => Problem::rate_limited(
            "too many joins and leaves of this room under way",
            RETRY_AFTER_MS,
        ),
    }
}

fn problem_of_publish(error: PublishError) -> Problem {
    match error {
        PublishError::BadName => bad_request(BAD_NAME),
        PublishError::TooManyReports => {
            Problem::rate_limited("too many reported broadcasts under way", RETRY_AFTER_MS)
        }
    }
}

/// Where native clients connect.
const PATH: &str = "/ws";
/// Where event streams are, for clients that cannot have a WebSocket.
pub const EVENTS_PATH: &str = "/sse";

const BAD_NAME: &str = "a room's name is empty, too long or has control characters";

const TOO_MANY_WAITING: &str = "too many requests of this connection wait for their answers";
const _: () = assert!(REQUESTS_MAX == 64, "docs/protocol.md names this limit");

/// What is full for the moment empties within a few ticks.
const RETRY_AFTER_MS: u32 = 100;
