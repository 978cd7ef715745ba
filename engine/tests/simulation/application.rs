//! The scripted application: does what clients ask for, and keeps a journal of what the engine told it.
//!
//! Invariant, checked at every call: connect, opened, messages and answers, closed, in this order and the single ones once.

use super::words::{Ask, Audience, Letter, Words};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::upgrade::Request;
use shardcast_engine::{
    Accepted, Address, Answer, Application, CloseReason, Context, Form, Frame, Message, Messages,
    Piece, Publish, Refusal, Tag, Target,
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
}

/// What they saw of one client.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) connected: Option<Step>,
    pub(crate) opened: Option<Step>,
    pub(crate) closed: Option<(Step, CloseReason)>,
    address: Option<Address>,
    messages: u32,
}

/// One shard's application.
pub(crate) struct Scripted {
    journal: Rc<RefCell<Journal>>,
}

/// Whose connection it is.
pub(crate) struct Session {
    client: usize,
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

    fn obey(&self, cx: &mut Context<'_>, client: usize, kind: Kind, text: &str) {
        let (ask, number, padding) = Ask::read(text);
        let say = |cx: &mut Context<'_>, text: &str| cx.send(Kind::Text, text.as_bytes());
        match ask {
            Ask::Join(room) => {
                if let Err(error) = cx.join(&room_name(room), Tag(number)) {
                    say(cx, &format!("error {number} {error:?}"));
                }
            }
            Ask::Leave(room) => {
                if let Err(error) = cx.leave(&room_name(room), Tag(number)) {
                    say(cx, &format!("error {number} {error:?}"));
                }
            }
            Ask::Publish(audience, options) => {
                let (word, room) = match audience {
                    Audience::Room(room) => (room.to_string(), room_name(room)),
                    Audience::Everyone => ("*".to_owned(), String::new()),
                };
                let said = format!("message {word} {client} {number} {padding}");
                let mut publish = Publish::new(Frame::new(kind, said.as_bytes()));
                if options.except {
                    publish = publish.except(cx.address());
                }
                if options.report {
                    publish = publish.report(Tag(number));
                }
                let target = match audience {
                    Audience::Room(_) => Target::Room(&room),
                    Audience::Everyone => Target::Everyone,
                };
                if let Err(error) = cx.publish(target, publish) {
                    say(cx, &format!("error {number} {error:?}"));
                }
            }
            Ask::Echo => cx.send_with(kind, |out| {
                out.extend_from_slice(format!("echo {number} {padding}").as_bytes());
            }),
            Ask::Send(to) => {
                if let Some(address) = self.entry(to, |entry, _| entry.address) {
                    let said = format!("direct {client} {number} {to} {padding}");
                    cx.send_to(address, Form::FIRST, Frame::new(kind, said.as_bytes()));
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

    fn connect(
        &mut self,
        _cx: &mut Context<'_>,
        request: &Request<'_>,
    ) -> Result<Accepted<Session>, Refusal> {
        if request.path() == "/panic" {
            self.panic();
        }
        let Some(client) = request.path().strip_prefix("/client/") else {
            return Err(Refusal {
                status: 403,
                reason: "not for you".to_owned(),
            });
        };
        let client = client.parse().expect("clients say their number");
        self.entry(client, |entry, now| {
            assert_eq!(entry.connected, None, "client {client} connected twice");
            entry.connected = Some(now);
        });
        let session = Session {
            client,
            begun: Vec::new(),
        };
        let messages = match client % 5 {
            3 => Messages::InPieces,
            _ => Messages::Whole,
        };
        Ok(Accepted {
            messages,
            ..session.into()
        })
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
        let letter = Letter {
            from: client,
            number,
        };
        assert_eq!(
            padding,
            super::words::padding(letter, padding.len()),
            "{letter:?} arrived damaged"
        );
        self.entry(client, |entry, _| {
            assert_eq!(
                entry.messages, number,
                "client {client}: a message is lost, doubled or out of order"
            );
            entry.messages += 1;
        });
        self.obey(cx, client, message.kind(), text);
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
            Answer::Refused { .. } | Answer::Listed(_) => unreachable!("nobody asks for it"),
        };
        cx.send(Kind::Text, said.as_bytes());
        if number % 32 == 31 {
            self.panic();
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

/// The first number beyond the run's rooms has a name that is too long.
fn room_name(room: usize) -> String {
    match room {
        ROOM_TOO_LONG => "r".repeat(ROOM_NAME_BYTES_MAX + 1),
        _ => format!("room-{room}"),
    }
}

/// A room whose name is longer than allowed.
pub(crate) const ROOM_TOO_LONG: usize = 999;
/// Longest name in these runs.
pub(crate) const ROOM_NAME_BYTES_MAX: usize = 16;
