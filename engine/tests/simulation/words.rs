//! The language between the scripted application and the virtual clients: words of text, the first
//! says what it is.
//!
//! Every message of a client bears the next number of that client, so that both sides notice what
//! is lost, doubled or out of order.

use std::fmt::Write;

/// Which message: the client who sent it and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MessageId {
    pub(crate) from: usize,
    pub(crate) number: u32,
}

/// Where a publish goes: a room's number, a user's, or everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Audience {
    Room(usize),
    User(usize),
    Everyone,
}

impl Audience {
    pub(crate) fn write(self) -> String {
        match self {
            Audience::Room(room) => room.to_string(),
            Audience::User(user) => format!("u{user}"),
            Audience::Everyone => "*".to_owned(),
        }
    }

    pub(crate) fn read(word: &str) -> Audience {
        match word.strip_prefix('u') {
            _ if word == "*" => Audience::Everyone,
            Some(user) => Audience::User(user.parse().expect("a user's number")),
            None => Audience::Room(word.parse().expect("a room's number")),
        }
    }
}

/// A message as it stands in an encoding: the encoding's number first.
pub(crate) fn encode(encoding: usize, text: &str) -> String {
    format!("@{encoding} {text}")
}

/// The encoding of a message, and the message.
pub(crate) fn decode(text: &str) -> (usize, &str) {
    let encoded = text
        .strip_prefix('@')
        .expect("a message begins with its encoding");
    let (encoding, text) = encoded.split_once(' ').expect("words");
    (encoding.parse().expect("an encoding's number"), text)
}

/// What the application cannot encode for another encoding. In the witness' encoding it can encode
/// everything.
pub(crate) fn is_unencodable(from: usize, to: usize, number: u32) -> bool {
    to != 0 && from != to && (number as usize + to) % 7 == 3
}

/// Options of a publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The sender is left out.
    pub(crate) except: bool,
    pub(crate) report: bool,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Join(usize),
    /// With the number of members that fill the room.
    JoinLimited(usize, u32),
    Leave(usize),
    /// To be a user, or nobody.
    Identify(Option<usize>),
    /// The members of a room or the connections of a user.
    List(Audience),
    Publish(Audience, Options),
    Echo,
    /// To another client directly.
    Send(usize),
    Disconnect(usize),
    Panic,
    /// The application closes the asker.
    Close,
}

impl Ask {
    /// The room, if it asks to join one.
    pub(crate) fn joins(self) -> Option<usize> {
        match self {
            Ask::Join(room) | Ask::JoinLimited(room, _) => Some(room),
            _ => None,
        }
    }

    /// Whether an answer must come.
    pub(crate) fn is_answered(self) -> bool {
        match self {
            Ask::Join(_)
            | Ask::JoinLimited(..)
            | Ask::Leave(_)
            | Ask::Identify(_)
            | Ask::List(_)
            | Ask::Echo => true,
            Ask::Publish(_, options) => options.report,
            Ask::Send(_) | Ask::Disconnect(_) | Ask::Panic | Ask::Close => false,
        }
    }

    /// The message, with padding that tells whose it is.
    pub(crate) fn write(self, message_id: MessageId, padding_bytes: usize) -> String {
        let mut out = String::new();
        let number = message_id.number;
        let _ = match self {
            Ask::Join(room) => write!(out, "join {number} {room}"),
            Ask::JoinLimited(room, members) => write!(out, "limited {number} {room} {members}"),
            Ask::Leave(room) => write!(out, "leave {number} {room}"),
            Ask::Identify(Some(user)) => write!(out, "identify {number} {user}"),
            Ask::Identify(None) => write!(out, "nobody {number}"),
            Ask::List(topic) => write!(out, "list {number} {}", topic.write()),
            Ask::Publish(audience, options) => {
                let room = audience.write();
                let (except, report) = (u8::from(options.except), u8::from(options.report));
                write!(out, "publish {number} {room} {except} {report}")
            }
            Ask::Echo => write!(out, "echo {number}"),
            Ask::Send(to) => write!(out, "send {number} {to}"),
            Ask::Disconnect(who) => write!(out, "disconnect {number} {who}"),
            Ask::Panic => write!(out, "panic {number}"),
            Ask::Close => write!(out, "close {number}"),
        };
        out.push(' ');
        out.push_str(&padding(message_id, padding_bytes));
        out
    }

    /// The message, its number and its padding. Panics on what no client wrote.
    pub(crate) fn read(text: &str) -> (Ask, u32, &str) {
        let mut words = Words(text);
        let verb = words.next();
        let number = words.number() as u32;
        let ask = match verb {
            "join" => Ask::Join(words.number()),
            "limited" => Ask::JoinLimited(words.number(), words.number() as u32),
            "leave" => Ask::Leave(words.number()),
            "identify" => Ask::Identify(Some(words.number())),
            "nobody" => Ask::Identify(None),
            "list" => Ask::List(Audience::read(words.next())),
            "publish" => {
                let audience = Audience::read(words.next());
                let (except, report) = (words.number() == 1, words.number() == 1);
                Ask::Publish(audience, Options { except, report })
            }
            "echo" => Ask::Echo,
            "send" => Ask::Send(words.number()),
            "disconnect" => Ask::Disconnect(words.number()),
            "panic" => Ask::Panic,
            "close" => Ask::Close,
            other => panic!("nobody says {other}"),
        };
        (ask, number, words.0)
    }
}

/// Bytes that only this message bears.
pub(crate) fn padding(message_id: MessageId, bytes: usize) -> String {
    let byte = b'a' + ((message_id.from * 7 + message_id.number as usize) % 26) as u8;
    char::from(byte).to_string().repeat(bytes)
}

/// Words of a message, one after the other.
pub(crate) struct Words<'a>(pub(crate) &'a str);

impl<'a> Words<'a> {
    /// The next word; empty at the end.
    pub(crate) fn next(&mut self) -> &'a str {
        let (word, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        self.0 = rest;
        word
    }

    /// The next word, which is a number.
    pub(crate) fn number(&mut self) -> usize {
        let word = self.next();
        word.parse()
            .unwrap_or_else(|_| panic!("{word:?} is no number"))
    }
}
