//! The scripted application: does what clients ask for, and keeps a journal of what the engine told
//! it.
//!
//! Invariant, checked at every call: connect, opened, messages and answers, closed, in this order
//! and the single ones once.

use super::words::{Ask, Audience, MessageId, Words, decode, encode, is_unencodable};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Accepted, Address, Admission, Answer, Application, CloseReason, Content, Context, Data,
    DataEncoding, EncodingId, Frame, Listing, Message, Messages, Notice, Piece, Position,
    Publication, PublicationKind, Publish, Refusal, RoomError, Tag, Target, Topic,
};
use std::cell::RefCell;
use std::rc::Rc;

/// A point in the run; every action of a shard or a client is one step.
pub(crate) type Step = u64;

/// What all shards' applications saw.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) now: Step,
    pub(crate) clients: Vec<Entry>,
    pub(crate) panics: u32,
    /// Clients whose admission is not decided.
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) abandoned: u64,
}

impl Journal {
    pub(crate) fn of(clients: usize) -> Journal {
        let mut journal = Journal::default();
        journal.clients.resize_with(clients, Entry::default);
        journal
    }

    /// What a list says, with the clients' numbers and who they are.
    pub(crate) fn listed(&self, listing: &Listing) -> String {
        let mut said = listing.total.to_string();
        for member in &listing.members {
            let mut clients = self.clients.iter();
            let client = clients.position(|entry| entry.address == Some(member.address));
            let client = client.expect("whoever is listed was open");
            let user = member.user.as_deref().map_or("-", |name| {
                let user = name.strip_prefix("user-");
                user.expect("the name of a user")
            });
            said.push_str(&format!(" {client}:{user}"));
        }
        said
    }
}

/// A client whose admission is deferred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) who: Address,
    pub(crate) client: usize,
    encoding: EncodingId,
}

/// How a client's admission is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Prompt,
    /// It is let in later.
    Late,
    Refused,
    Panic,
    /// Nobody decides.
    Never,
}

impl Fate {
    /// Not drawn. The witness is prompt, and whoever comes last, in every number of clients that
    /// there is.
    pub(crate) fn of(client: usize) -> Fate {
        match client % 24 {
            1 | 10 | 14 | 22 => Fate::Late,
            20 => Fate::Refused,
            18 => Fate::Panic,
            8 => Fate::Never,
            _ => Fate::Prompt,
        }
    }
}

/// What they saw of one client.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) connected: Option<Step>,
    pub(crate) opened: Option<Step>,
    pub(crate) closed: Option<(Step, CloseReason)>,
    pub(crate) address: Option<Address>,
    /// It went before its admission was decided.
    abandoned: bool,
    messages: u32,
}

/// One shard's application.
pub(crate) struct Scripted {
    journal: Rc<RefCell<Journal>>,
}

/// The client that the connection belongs to.
pub(crate) struct Session {
    client: usize,
    encoding: EncodingId,
    /// Who it is, as it asked.
    user: Option<usize>,
    /// The pieces so far of a message that has not ended.
    begun: Vec<u8>,
}

impl Scripted {
    pub(crate) fn new(journal: Rc<RefCell<Journal>>) -> Scripted {
        Scripted { journal }
    }

    fn entry<T>(&self, client: usize, with: impl FnOnce(&mut Entry, Step) -> T) -> T {
        let mut journal = self.journal.borrow_mut();
        let now = journal.now;
        with(&mut journal.clients[client], now)
    }

    fn accept(&self, client: usize, encoding: EncodingId) -> Admission<Session> {
        self.entry(client, |entry, now| {
            assert_eq!(entry.connected, None, "client {client} connected twice");
            entry.connected = Some(now);
        });
        let session = Session {
            client,
            encoding,
            user: None,
            begun: Vec::new(),
        };
        let messages = match client % 5 {
            3 => Messages::InPieces,
            _ => Messages::Complete,
        };
        Admission::Accept(Accepted {
            messages,
            encoding,
            ..session.into()
        })
    }

    fn is_open(&self, client: usize) -> bool {
        self.entry(client, |entry, _| {
            entry.opened.is_some() && entry.closed.is_none()
        })
    }

    /// Unwinds like a panic, without its message on standard error.
    fn panic(&self) -> ! {
        self.journal.borrow_mut().panics += 1;
        std::panic::resume_unwind(Box::new("asked for"));
    }

    fn identify(
        &self,
        cx: &mut Context<'_>,
        session: &mut Session,
        user: Option<usize>,
        number: u32,
    ) {
        match cx.identify(user.map(user_name).as_deref()) {
            Ok(()) => {
                session.user = user;
                cx.send(Kind::Text, format!("identified {number}").as_bytes());
            }
            Err(error) => cx.send(Kind::Text, format!("error {number} {error:?}").as_bytes()),
        }
        let is_room = |name: &str| name.starts_with("room-");
        assert!(
            cx.rooms().iter().all(|name| is_room(name)),
            "a user is no room"
        );
    }

    fn obey(&self, cx: &mut Context<'_>, client: usize, kind: Kind, text: &str) {
        let (ask, number, padding) = Ask::read(text);
        let say = |cx: &mut Context<'_>, text: &str| cx.send(Kind::Text, text.as_bytes());
        match ask {
            Ask::Join(room) => {
                if let Err(error) = cx.join(&room_name(room), Tag(number)) {
                    say(cx, &format!("error {number} {error:?}"));
                }
            }
            Ask::JoinLimited(room, members_max) => {
                if let Err(error) = cx.join_limited(&room_name(room), members_max, Tag(number)) {
                    say(cx, &format!("error {number} {error:?}"));
                }
            }
            Ask::List(topic) => {
                let listed = with_topic(topic, |topic| cx.list(topic, Tag(number)));
                if let Err(error) = listed {
                    say(cx, &format!("error {number} {error:?}"));
                }
            }
            Ask::Identify(_) => unreachable!("done before"),
            Ask::Leave(room) => {
                if let Err(error) = cx.leave(&room_name(room), Tag(number)) {
                    say(cx, &format!("error {number} {error:?}"));
                }
            }
            Ask::Publish(audience, options) => {
                let message_id = MessageId {
                    from: client,
                    number,
                };
                let content = published(audience, message_id, cx.encoding(), kind, padding);
                let mut publish = Publish::new(content);
                if options.except {
                    publish = publish.except(cx.address());
                }
                if options.report {
                    publish = publish.report(Tag(number));
                }
                if let Err(error) = with_target(audience, |target| cx.publish(target, publish)) {
                    say(cx, &format!("error {number} {error:?}"));
                }
            }
            Ask::Echo => cx.send_with(kind, |out| {
                out.extend_from_slice(format!("echo {number} {padding}").as_bytes());
            }),
            Ask::Send(to) => {
                if let Some(address) = self.entry(to, |entry, _| entry.address) {
                    let said = format!("direct {client} {number} {to} {padding}");
                    let message_id = MessageId {
                        from: client,
                        number,
                    };
                    cx.send_to(address, content_of(message_id, cx.encoding(), kind, &said));
                }
            }
            Ask::Disconnect(who) => {
                if let Some(address) = self.entry(who, |entry, _| entry.address) {
                    cx.disconnect(address, CloseCode::POLICY, "asked for by another");
                }
            }
            Ask::Panic => self.panic(),
            Ask::Close => cx.close(CloseCode::NORMAL, "asked for"),
        }
    }
}

impl Application for Scripted {
    type Session = Session;

    fn connect(&mut self, cx: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<Session> {
        if request.path() == "/panic" {
            self.panic();
        }
        let Some(client) = request.path().strip_prefix("/client/") else {
            return Admission::Refuse(Refusal::new(403, "not for you"));
        };
        let (client, encoding) = client.split_once('/').expect("a number and an encoding");
        let client = client.parse().expect("clients say their number");
        let encoding = EncodingId::new(encoding.parse().expect("clients say their encoding"));
        if Fate::of(client) == Fate::Prompt {
            return self.accept(client, encoding);
        }
        let mut journal = self.journal.borrow_mut();
        journal.waiting.push(Waiting {
            who: cx.address(),
            client,
            encoding,
        });
        Admission::Defer
    }

    fn decide(&mut self, cx: &mut Context<'_>, notice: Notice) -> Admission<Session> {
        let Waiting {
            who,
            client,
            encoding,
        } = *notice.downcast().expect("who waited");
        assert_eq!(who, cx.address(), "client {client}: another's decision");
        self.entry(client, |entry, _| {
            assert!(!entry.abandoned, "client {client} is decided on, and gone");
        });
        match Fate::of(client) {
            Fate::Refused => Admission::Refuse(Refusal::new(403, "not for you, after all")),
            Fate::Panic => self.panic(),
            Fate::Prompt | Fate::Late | Fate::Never => self.accept(client, encoding),
        }
    }

    fn abandoned(&mut self, who: Address) {
        let mut journal = self.journal.borrow_mut();
        journal.abandoned += 1;
        // One that is being handed over is dropped on its way.
        let waiting = &journal.waiting;
        let waiting = waiting.iter().find(|waiting| waiting.who == who);
        if let Some(client) = waiting.map(|waiting| waiting.client) {
            let entry = &mut journal.clients[client];
            assert!(!entry.abandoned && entry.connected.is_none());
            entry.abandoned = true;
        }
    }

    fn opened(&mut self, cx: &mut Context<'_>, session: &mut Session) {
        let client = session.client;
        self.entry(client, |entry, now| {
            assert!(
                entry.opened.is_none() && entry.closed.is_none(),
                "client {client} opened twice"
            );
            entry.opened = Some(now);
            entry.address = Some(cx.address());
        });
        cx.send(Kind::Text, format!("welcome {client}").as_bytes());
        if client % 11 == 7 {
            self.panic();
        }
    }

    fn message(&mut self, cx: &mut Context<'_>, session: &mut Session, message: Message<'_>) {
        let client = session.client;
        assert!(
            self.is_open(client),
            "client {client} is heard while it is not open"
        );
        let text = std::str::from_utf8(message.bytes()).expect("clients send text");
        let (_, number, padding) = Ask::read(text);
        let message_id = MessageId {
            from: client,
            number,
        };
        assert_eq!(
            padding,
            super::words::padding(message_id, padding.len()),
            "{message_id:?} arrived damaged"
        );
        self.entry(client, |entry, _| {
            assert_eq!(
                entry.messages, number,
                "client {client}: a message is lost, doubled or out of order"
            );
            entry.messages += 1;
        });
        assert_eq!(
            cx.encoding(),
            session.encoding,
            "client {client} changed its encoding"
        );
        assert_eq!(cx.user().as_deref(), session.user.map(user_name).as_deref());
        if let (Ask::Identify(user), number, _) = Ask::read(text) {
            self.identify(cx, session, user, number);
        } else {
            self.obey(cx, client, message.kind(), text);
        }
    }

    /// Put together, the pieces are the message.
    fn piece(&mut self, cx: &mut Context<'_>, session: &mut Session, piece: Piece<'_>) {
        assert_eq!(session.client % 5, 3, "others take whole messages");
        assert!(!piece.first || session.begun.is_empty());
        session.begun.extend_from_slice(piece.bytes);
        if piece.last {
            let bytes = std::mem::take(&mut session.begun);
            let message = match piece.kind {
                Kind::Text => Message::Text(std::str::from_utf8(&bytes).expect("checked text")),
                Kind::Binary => Message::Binary(&bytes),
            };
            self.message(cx, session, message);
        }
    }

    fn answered(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        Tag(number): Tag,
        answer: Answer,
    ) {
        assert!(
            self.is_open(session.client),
            "client {} is answered while it is not open",
            session.client
        );
        let said = match answer {
            Answer::Joined { members, .. } => format!("joined {number} {members}"),
            Answer::Left { .. } => format!("left {number}"),
            Answer::Reported(report) => format!(
                "report {number} {} {} {}",
                report.delivered, report.queued, report.dropped
            ),
            Answer::Refused { error, .. } => {
                assert_eq!(error, RoomError::Full);
                format!("full {number}")
            }
            Answer::Listed(listing) => {
                let said = self.journal.borrow().listed(&listing);
                format!("listed {number} {said}")
            }
            other @ (Answer::Connections(_)
            | Answer::Topics(_)
            | Answer::History(_)
            | Answer::Present(_)) => {
                unreachable!("no connection asks for it: {other:?}")
            }
        };
        cx.send(Kind::Text, said.as_bytes());
        if number % 32 == 31 {
            self.panic();
        }
    }

    /// The same in any encoding, if that can be said.
    fn encode(
        to: EncodingId,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        assert_eq!(position, None, "no topic keeps history");
        let text = std::str::from_utf8(publication.data.bytes()).expect("clients send text");
        let (encoding, text) = decode(text);
        let DataEncoding(from) = publication.data_encoding;
        assert_eq!(encoding, usize::from(from), "{text} is in another encoding");
        let mut words = Words(text);
        let is_published = words.next() == "message";
        let audience = is_published.then(|| Audience::read(words.next()));
        assert_eq!(
            publication.topic.map(topic_name),
            audience.and_then(audience_name)
        );
        let (_, number) = (words.number(), words.number() as u32);
        match is_unencodable(encoding, to.index(), number) {
            false => Some(frame_of(to, publication.data, text)),
            true if number.is_multiple_of(2) => None,
            true => std::panic::resume_unwind(Box::new("nothing can be said")),
        }
    }

    fn notified(&mut self, cx: &mut Context<'_>, session: &mut Session, notice: Notice) {
        assert!(
            self.is_open(session.client),
            "client {} is told something while it is not open",
            session.client
        );
        let number = notice.downcast::<u32>().expect("notes are numbers");
        cx.send(Kind::Text, format!("told {number}").as_bytes());
        match *number % 8 {
            6 => cx.count_panic(),
            7 => self.panic(),
            _ => {}
        }
    }

    fn draining(&mut self, cx: &mut Context<'_>, _session: &mut Session) {
        cx.send(Kind::Text, b"closing");
    }

    fn panicked(
        &mut self,
        cx: &mut Context<'_>,
        _session: &mut Session,
        message: Option<Message<'_>>,
    ) {
        // What was to be said after the connection opened, or with an answer, was said before.
        let Some(message) = message else { return };
        let text = std::str::from_utf8(message.bytes()).expect("clients send text");
        let mut words = Words(text);
        assert_eq!(words.next(), "panic", "only messages panic here");
        // Every second one is forgiven.
        match words.number() % 2 {
            0 => cx.send(Kind::Text, b"panicked"),
            _ => cx.close(CloseCode::INTERNAL, "asked for"),
        }
    }

    fn closed(&mut self, _cx: &mut Context<'_>, session: Session, reason: CloseReason) {
        self.entry(session.client, |entry, now| {
            assert_eq!(entry.closed, None, "client {} closed twice", session.client);
            entry.closed = Some((now, reason));
        });
        if session.client % 11 == 8 {
            self.panic();
        }
    }
}

/// A publish as the application makes it.
pub(crate) fn published(
    audience: Audience,
    message_id: MessageId,
    encoding: EncodingId,
    kind: Kind,
    padding: &str,
) -> Content {
    let MessageId { from, number } = message_id;
    let said = format!("message {} {from} {number} {padding}", audience.write());
    content_of(message_id, encoding, kind, &said)
}

/// What a client says, as data in its encoding. Of every third the frame of that encoding is made
/// before.
fn content_of(message_id: MessageId, encoding: EncodingId, kind: Kind, said: &str) -> Content {
    let text = encode(encoding.index(), said);
    let data = match kind {
        Kind::Text => Data::Text(&text),
        Kind::Binary => Data::Binary(text.as_bytes()),
    };
    let publication = Publication {
        topic: None,
        kind: PublicationKind::Event { name: "said" },
        data,
        data_encoding: DataEncoding(encoding.index() as u8),
    };
    let is_encoded = message_id.number.is_multiple_of(3);
    let encoded = is_encoded.then(|| (encoding, frame_of(encoding, data, said)));
    Content::data(&publication, encoded)
}

/// A frame of an encoding, of the kind of its data.
fn frame_of(encoding: EncodingId, data: Data<'_>, text: &str) -> Frame {
    let kind = match data {
        Data::Text(_) => Kind::Text,
        Data::Binary(_) => Kind::Binary,
    };
    Frame::new(kind, encode(encoding.index(), text).as_bytes())
}

fn topic_name(topic: Topic<'_>) -> String {
    match topic {
        Topic::Room(name) => name.to_owned(),
        Topic::User(name) => name.to_owned(),
    }
}

/// The name of the topic; everyone has none.
fn audience_name(audience: Audience) -> Option<String> {
    match audience {
        Audience::Room(room) => Some(room_name(room)),
        Audience::User(user) => Some(user_name(user)),
        Audience::Everyone => None,
    }
}

/// Calls with the target that a message names.
pub(crate) fn with_target<R>(audience: Audience, with: impl FnOnce(Target<'_>) -> R) -> R {
    match audience {
        Audience::Room(room) => with(Target::Room(&room_name(room))),
        Audience::User(user) => with(Target::User(&user_name(user))),
        Audience::Everyone => with(Target::Everyone),
    }
}

/// Calls with the topic that a message names.
pub(crate) fn with_topic<R>(audience: Audience, with: impl FnOnce(Topic<'_>) -> R) -> R {
    match audience {
        Audience::Room(room) => with(Topic::Room(&room_name(room))),
        Audience::User(user) => with(Topic::User(&user_name(user))),
        Audience::Everyone => panic!("everyone cannot be listed"),
    }
}

fn user_name(user: usize) -> String {
    format!("user-{user}")
}

/// Names that no room may have are beyond the run's rooms.
fn room_name(room: usize) -> String {
    match room {
        ROOM_NAMELESS => String::new(),
        ROOM_TOO_LONG => "r".repeat(ROOM_NAME_BYTES_MAX + 1),
        _ => format!("room-{room}"),
    }
}

/// A room whose name is empty.
pub(crate) const ROOM_NAMELESS: usize = 998;
/// A room whose name is longer than allowed.
pub(crate) const ROOM_TOO_LONG: usize = 999;
/// Longest name in these runs.
pub(crate) const ROOM_NAME_BYTES_MAX: usize = 16;
