//! The application: joins with a position, keeps what is published, and says in words what the
//! engine told it.

use crate::truth::{MessageId, Truth, can_say, encoded};
use shardcast_engine::protocol::frame::{Kind, written};
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Accepted, Admission, Answer, Application, Content, Context, Continuity, Data, DataEncoding,
    EncodingId, Filter, Frame, HistoryQuery, JoinAcks, JoinDeltas, JoinOptions, JoinPresence,
    LogClass, Loss, Message, Missed, MissedReason, OwnedData, Position, PresenceClass, Publication,
    PublicationKind, Publish, ReadOrder, Recovery, Repeat, Since, Tag, Target, Topic, TopicName,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

pub(crate) struct Scripted {
    truth: Rc<RefCell<Truth>>,
}

/// A client's number, and the rooms of its tagged requests.
pub(crate) struct Session {
    client: usize,
    rooms: HashMap<u32, usize>,
    tags: u32,
}

impl Session {
    fn tag(&mut self, room: usize) -> Tag {
        self.tags += 1;
        self.rooms.insert(self.tags, room);
        Tag(self.tags)
    }
}

pub(crate) fn room_name(room: usize) -> String {
    format!("room-{room}")
}

pub(crate) fn room_number(name: &str) -> usize {
    let number = name.strip_prefix("room-").map(str::parse);
    number.expect("a room").expect("a number")
}

/// Two clients are one user, and every fifth is nobody.
pub(crate) fn user_of(client: usize) -> Option<String> {
    user_number(client).map(|user| format!("user-{user}"))
}

pub(crate) fn user_number(client: usize) -> Option<usize> {
    (client % 5 != 4).then_some(client / 2)
}

/// Every room has its class.
pub(crate) fn class_of(room: usize) -> LogClass {
    LogClass::new(room as u16)
}

/// What users without connections keep.
pub(crate) const USER_CLASS: LogClass = LogClass::new(crate::run::ROOMS as u16);

/// Every other client acknowledges, where a room asks for it.
pub(crate) fn acks_of(client: usize) -> JoinAcks {
    match client % 2 {
        0 => JoinAcks::Always,
        _ => JoinAcks::Never,
    }
}

/// Every third client is sent deltas.
pub(crate) fn deltas_of(client: usize) -> JoinDeltas {
    match client % 3 {
        1 => JoinDeltas::Wanted,
        _ => JoinDeltas::Never,
    }
}

/// Every sixth client has one of two filters, which let no message pass whose numbers are a
/// multiple of its own.
pub(crate) fn filter_of(client: usize) -> Option<Filter> {
    let number = 2 + (client / 6 % 2) as u8;
    (client % 6 == 3).then(|| Filter::new(&[number]))
}

pub(crate) fn passes(filter: &Filter, message_id: MessageId) -> bool {
    let number = usize::from(filter.bytes()[0]);
    !(message_id.from + message_id.number).is_multiple_of(number)
}

impl Scripted {
    pub(crate) fn new(truth: Rc<RefCell<Truth>>) -> Scripted {
        Scripted { truth }
    }

    fn join(&self, cx: &mut Context<'_>, session: &mut Session, words: &mut Words<'_>) {
        let room = words.number();
        let since = words.since();
        let tag = session.tag(room);
        let options = JoinOptions {
            acks: acks_of(session.client),
            deltas: deltas_of(session.client),
            filter: filter_of(session.client),
            log: Some(class_of(room)),
            since,
            presence: Some(JoinPresence {
                continuity: Continuity::None,
                class: PresenceClass::new(room as u16),
                data: Some(OwnedData::new(Data::Text("shown"), DataEncoding(7))),
            }),
            ..JoinOptions::default()
        };
        cx.join_with(&room_name(room), options, tag)
            .expect("a few rooms");
    }

    fn publish(&self, cx: &mut Context<'_>, session: &mut Session, mut words: Words<'_>) {
        let (room, number) = (words.number(), words.number());
        let (key, conflate, echo) = (words.next(), words.next(), words.next());
        let message_id = MessageId {
            from: session.client,
            number,
        };
        let text = format!("{} {number} {conflate} {}", message_id.from, words.rest());
        let publication = Publication {
            topic: None,
            kind: PublicationKind::Message {
                publisher: cx.address(),
            },
            data: Data::Text(&text),
            data_encoding: DataEncoding::default(),
        };
        let made = encode(cx.encoding(), &publication, None).map(|frame| (cx.encoding(), frame));
        let tag = session.tag(number);
        let mut publish = Publish::new(Content::data(&publication, made)).keep(class_of(room));
        if key != "-" {
            publish = publish.key(key);
        }
        if conflate != "-" {
            publish = publish.conflate(conflate);
        }
        if echo == "no" {
            publish = publish.except(cx.address());
        }
        let publish = match number % 3 {
            0 => publish.report(tag),
            _ => publish.receipt(tag),
        };
        cx.publish(Target::Room(&room_name(room)), publish)
            .expect("few reports");
    }

    /// Something for a user, whoever of its clients is there.
    fn whisper(&self, cx: &mut Context<'_>, session: &mut Session, mut words: Words<'_>) {
        let (user, number): (usize, usize) = (words.number(), words.number());
        let text = format!("{} {number} {}", session.client, words.rest());
        let publication = Publication {
            topic: None,
            kind: PublicationKind::Message {
                publisher: cx.address(),
            },
            data: Data::Text(&text),
            data_encoding: DataEncoding::default(),
        };
        let publish = Publish::new(Content::data(&publication, None)).keep(USER_CLASS);
        let user = format!("user-{user}");
        cx.publish(Target::User(&user), publish)
            .expect("nothing is awaited");
    }

    fn history(&self, cx: &mut Context<'_>, session: &mut Session, words: &mut Words<'_>) {
        let room = words.number();
        let query = HistoryQuery {
            since: words.since(),
            limit: words.number(),
            order: match words.next() {
                "reverse" => ReadOrder::Reverse,
                _ => ReadOrder::Forward,
            },
        };
        let tag = session.tag(room);
        let name = room_name(room);
        cx.history(Topic::Room(&name), class_of(room), query, tag)
            .expect("few histories");
    }
}

/// Text, word by word.
pub(crate) struct Words<'t>(&'t str);

impl<'t> Words<'t> {
    pub(crate) fn of(text: &'t str) -> Words<'t> {
        Words(text)
    }

    pub(crate) fn next(&mut self) -> &'t str {
        let (word, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        self.0 = rest;
        word
    }

    pub(crate) fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self) -> T {
        self.next().parse().expect("a number")
    }

    /// An epoch (`any`), and an offset; `-`: nothing.
    fn since(&mut self) -> Option<Since> {
        let epoch = match self.next() {
            "-" => return None,
            "any" => None,
            epoch => Some(epoch.parse().expect("an epoch")),
        };
        let offset = self.number();
        Some(Since { epoch, offset })
    }

    pub(crate) fn rest(self) -> &'t str {
        self.0
    }
}

impl Application for Scripted {
    type Session = Session;

    fn connect(&mut self, _: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<Session> {
        let path = request.path().strip_prefix("/client/").expect("a client");
        let (client, encoding) = path.split_once('/').expect("an encoding");
        let session = Session {
            client: client.parse().expect("a number"),
            rooms: HashMap::new(),
            tags: 0,
        };
        Admission::Accept(Accepted {
            encoding: EncodingId::new(encoding.parse().expect("a number")),
            ..session.into()
        })
    }

    fn opened(&mut self, cx: &mut Context<'_>, session: &mut Session) {
        let user = user_of(session.client);
        cx.identify(user.as_deref()).expect("it is nobody yet");
    }

    fn message(&mut self, cx: &mut Context<'_>, session: &mut Session, message: Message<'_>) {
        let Message::Text(text) = message else {
            panic!("clients send text");
        };
        let mut words = Words::of(text);
        match words.next() {
            "join" => self.join(cx, session, &mut words),
            "leave" => {
                let room = words.number();
                let tag = session.tag(room);
                // Its join may have been refused with the connection's end.
                let _ = cx.leave(&room_name(room), tag);
            }
            "publish" => self.publish(cx, session, words),
            "history" => self.history(cx, session, &mut words),
            "whisper" => self.whisper(cx, session, words),
            "ack" => {
                let (room, offset): (usize, u64) = (words.number(), words.number());
                // It may have left since it heard it.
                let _ = cx.acknowledge(&room_name(room), offset);
            }
            other => panic!("clients do not say {other}"),
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, session: &mut Session, tag: Tag, answer: Answer) {
        let number = session.rooms.remove(&tag.0).expect("its own tag");
        let said = match answer {
            Answer::Joined { room, log, .. } => {
                assert_eq!(room_number(&room), number);
                let log = log.expect("every room keeps a log");
                let Position { epoch, offset } = log.position;
                let recovery = match log.recovery {
                    None => "-",
                    Some(Recovery::Recovered) => "recovered",
                    Some(Recovery::Lost(Loss::EpochChanged)) => "epoch_changed",
                    Some(Recovery::Lost(Loss::TrimmedBySize)) => "trimmed_by_size",
                    Some(Recovery::Lost(Loss::TrimmedByAge)) => "trimmed_by_age",
                    Some(Recovery::Lost(Loss::Limit)) => "limit",
                    Some(Recovery::Lost(Loss::Unavailable)) => "unavailable",
                };
                format!("joined {number} {epoch} {offset} {recovery}")
            }
            Answer::Left { .. } => format!("left {number}"),
            Answer::Reported(report) => {
                let Position { epoch, offset } = report.position.expect("it is kept");
                let repeat = match report.repeat {
                    Repeat::First => "first",
                    Repeat::Duplicate => "duplicate",
                    Repeat::Unavailable => "unavailable",
                    Repeat::MapFull => "full",
                    Repeat::NoKey => "nothing",
                    Repeat::KeyExists => "exists",
                    Repeat::Outdated => "outdated",
                };
                format!("receipt {number} {epoch} {offset} {repeat}")
            }
            Answer::History(history) => {
                let Position { epoch, offset } = history.position;
                let mut said = format!("history {number} {epoch} {offset}");
                let topic = room_name(number);
                for kept in &history.publications {
                    let publication = kept.publication(Some(Topic::Room(&topic)));
                    let data = publication.expect("data was published").data;
                    let Data::Text(text) = data else {
                        panic!("text was published");
                    };
                    let mut words = Words::of(text);
                    let message_id = (words.next(), words.next());
                    said.push_str(&format!(
                        " {}:{}:{}",
                        kept.offset, message_id.0, message_id.1
                    ));
                }
                said
            }
            other => panic!("nobody asked for {other:?}"),
        };
        cx.send(Kind::Text, said.as_bytes());
    }

    fn missed(
        &mut self,
        cx: &mut Context<'_>,
        _: &mut Session,
        topic: &TopicName,
        Missed { count, reason }: Missed,
    ) {
        self.truth.borrow_mut().count_missed(reason, count);
        let said = match (topic, reason) {
            (TopicName::User(_), _) => format!("lost {count}"),
            (TopicName::Room(room), MissedReason::Unacknowledged) => {
                format!("given_up {} {count}", room_number(room))
            }
            (TopicName::Room(room), _) => format!("missed {} {count}", room_number(room)),
        };
        cx.send(Kind::Text, said.as_bytes());
    }

    fn encode(
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        encode(encoding, publication, position)
    }

    fn encode_again(
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Position,
    ) -> Option<Frame> {
        let frame = encode(encoding, publication, Some(position))?;
        let (_, payload) = written(frame.bytes());
        let said = [b"again ", &frame.bytes()[payload]].concat();
        Some(Frame::new(Kind::Text, &said))
    }

    fn sift(publication: &Publication<'_>, filters: &[Filter], all: &mut [bool]) {
        if matches!(publication.kind, PublicationKind::Message { .. }) {
            let message_id = id_of(publication);
            for (filter, passing) in filters.iter().zip(all) {
                *passing = !filter.bytes().is_empty() && passes(filter, message_id);
            }
        }
    }

    fn encode_delta(
        encoding: EncodingId,
        base: Option<&Publication<'_>>,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        let frame = encode(encoding, publication, position)?;
        let Some(base) = base else {
            return Some(frame);
        };
        assert_eq!(base.topic, publication.topic);
        let message_id = id_of(publication);
        let is_shorter = !(message_id.from + message_id.number).is_multiple_of(4);
        let base = id_of(base);
        let (_, payload) = written(frame.bytes());
        let said = format!("delta {} {} ", base.from, base.number);
        let said = [said.as_bytes(), &frame.bytes()[payload]].concat();
        is_shorter.then(|| Frame::new(Kind::Text, &said))
    }
}

/// Of a message.
fn id_of(publication: &Publication<'_>) -> MessageId {
    let Data::Text(text) = publication.data else {
        panic!("text was published");
    };
    let mut words = Words::of(text);
    MessageId {
        from: words.number(),
        number: words.number(),
    }
}

/// `m ROOM EPOCH OFFSET FROM NUMBER CONFLATE PADDING`; the second encoding says it in capitals, and
/// cannot say everything.
fn encode(
    encoding: EncodingId,
    publication: &Publication<'_>,
    position: Option<Position>,
) -> Option<Frame> {
    let Data::Text(text) = publication.data else {
        panic!("text was published");
    };
    let presence = match publication.kind {
        PublicationKind::Presence { event, user, .. } => {
            let shown = (text, publication.data_encoding);
            assert_eq!(shown, ("shown", DataEncoding(7)));
            Some(format!("presence {event:?} {}", user.unwrap_or("-")))
        }
        PublicationKind::Members { members } => Some(format!("members {members}")),
        PublicationKind::Message { .. }
        | PublicationKind::Elsewhere { .. }
        | PublicationKind::Event { .. } => None,
    };
    if let Some(said) = presence {
        assert_eq!(position, None, "who is there is no history");
        return Some(Frame::new(Kind::Text, said.as_bytes()));
    }
    if let Some(Topic::User(user)) = publication.topic {
        return Some(Frame::new(
            Kind::Text,
            format!("w {user} {text}").as_bytes(),
        ));
    }
    let message_id = id_of(publication);
    let room = publication.topic.map_or("-", |topic| match topic {
        Topic::Room(name) => name,
        Topic::User(_) => panic!("nobody has a name"),
    });
    let (epoch, offset) = position.map_or((0, 0), |at| (at.epoch, at.offset));
    if position.is_some() {
        encoded((room_number(room), epoch, offset), message_id);
    }
    if !can_say(encoding.index(), message_id) {
        return None;
    }
    let said = match encoding.index() {
        0 => format!("m {room} {epoch} {offset} {text}"),
        _ => format!("M {room} {epoch} {offset} {text}"),
    };
    Some(Frame::new(Kind::Text, said.as_bytes()))
}
