//! The language between the scripted application and the virtual clients: words of text, the first says what it is.
//!
//! Every message of a client bears the next number of that client, so that both sides notice what is lost, doubled or out of order.

use std::fmt::Write;

/// Which message: the client who sent it and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Letter {
    pub(crate) from: usize,
    pub(crate) number: u32,
}

/// Where a publish goes: a room's number, or everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Audience {
    Room(usize),
    Everyone,
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
    Leave(usize),
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
    /// Whether an answer must come.
    pub(crate) fn is_answered(self) -> bool {
        match self {
            Ask::Join(_) | Ask::Leave(_) | Ask::Echo => true,
            Ask::Publish(_, options) => options.report,
            Ask::Send(_) | Ask::Disconnect(_) | Ask::Panic | Ask::Close => false,
        }
    }

    /// The message, with padding that tells whose it is.
    pub(crate) fn write(self, letter: Letter, padding_bytes: usize) -> String {
        let mut out = String::new();
        let number = letter.number;
        let _ = match self {
            Ask::Join(room) => write!(out, "join {number} {room}"),
            Ask::Leave(room) => write!(out, "leave {number} {room}"),
            Ask::Publish(audience, options) => {
                let room = match audience {
                    Audience::Room(room) => room.to_string(),
                    Audience::Everyone => "*".to_owned(),
                };
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
        out.push_str(&padding(letter, padding_bytes));
        out
    }

    /// The message, its number and its padding. Panics on what no client wrote.
    pub(crate) fn read(text: &str) -> (Ask, u32, &str) {
        let mut words = Words(text);
        let verb = words.next();
        let number = words.number() as u32;
        let ask = match verb {
            "join" => Ask::Join(words.number()),
            "leave" => Ask::Leave(words.number()),
            "publish" => {
                let audience = match words.next() {
                    "*" => Audience::Everyone,
                    room => Audience::Room(room.parse().expect("a room's number")),
                };
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

/// Bytes that only this letter bears.
pub(crate) fn padding(letter: Letter, bytes: usize) -> String {
    let byte = b'a' + ((letter.from * 7 + letter.number as usize) % 26) as u8;
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
