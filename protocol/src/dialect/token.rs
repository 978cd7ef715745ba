//! A value read piece by piece, in either encoding by one data model: what MessagePack has and JSON
//! has not is what it becomes there (see [`Value::write_json`]), but bytes, which stay bytes. For
//! readers of typed data.
//!
//! Invariant: the value was checked as a whole, so nothing fails. Whoever opens a container asks
//! for its elements until there is none.

use super::transcode::{self, integer};
use super::value::Value;
use crate::json::{JsonScanner, Number, Raw};
use crate::pack::{Head, Malformed, Pack, PackScanner, UNDEFINED};
use std::borrow::Cow;

/// What a value begins with: all of it, or what its elements are.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'b> {
    /// Nothing, NaN, or an infinity.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number, however it was written.
    Unsigned(u64),
    /// A whole number below zero.
    Signed(i64),
    /// Any other number, finite.
    Float(f64),
    /// The digits of a whole number beyond 64 bits. MessagePack has none.
    Digits(&'b str),
    /// A string, or a timestamp.
    Text(Cow<'b, str>),
    /// Of MessagePack. In JSON they are a string in base64, and so a text.
    Bytes(&'b [u8]),
    /// An extension of this type that JSON has no value for.
    Extension(i8, &'b [u8]),
    /// Elements follow.
    Array(Rest),
    /// Keys follow, each with its value.
    Map(Rest),
}

/// What is left of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Rest(Left);

#[derive(Clone, Debug, PartialEq)]
enum Left {
    /// Up to this bracket, before the first element or behind one.
    Json {
        end: u8,
        is_first: bool,
    },
    /// So many elements, or pairs.
    Pack(u32),
    Nothing,
}

impl Rest {
    /// How many elements are left, where the encoding has their number.
    pub fn count(&self) -> Option<usize> {
        match self.0 {
            Left::Json { .. } => None,
            Left::Pack(left) => Some(left as usize),
            Left::Nothing => Some(0),
        }
    }
}

/// A place in a value.
#[derive(Debug)]
pub struct Tokens<'b>(Source<'b>);

#[derive(Debug)]
enum Source<'b> {
    Json(JsonScanner<'b>),
    Pack(PackScanner<'b>),
    /// All that there is.
    Bytes(&'b [u8]),
}

const VALID: &str = "a value is complete and valid";

impl<'b> Tokens<'b> {
    /// Before the value.
    pub fn new(value: Value<'b>) -> Tokens<'b> {
        Tokens(match value {
            Value::Json(raw) => Source::Json(JsonScanner::new(raw.as_str())),
            Value::Pack(pack) => Source::Pack(PackScanner::new(pack.as_bytes())),
            Value::Bytes(bytes) => Source::Bytes(bytes),
        })
    }

    /// Takes the head of the next value.
    ///
    /// # Panics
    /// Behind the last value.
    #[inline]
    pub fn head(&mut self) -> Token<'b> {
        match &mut self.0 {
            Source::Json(scanner) => json_token(scanner),
            Source::Pack(scanner) => pack_token(scanner).expect(VALID),
            Source::Bytes(bytes) => Token::Bytes(bytes),
        }
    }

    /// Takes the next value if it is null.
    pub fn take_null(&mut self) -> bool {
        match &mut self.0 {
            Source::Json(scanner) => {
                let is_null = scanner.peek() == Some(b'n');
                if is_null {
                    scanner.value(1).expect(VALID);
                }
                is_null
            }
            Source::Pack(scanner) => {
                let mut ahead = scanner.clone();
                let is_null = pack_token(&mut ahead) == Ok(Token::Null);
                if is_null {
                    *scanner = ahead;
                }
                is_null
            }
            Source::Bytes(_) => false,
        }
    }

    /// Takes a complete value.
    ///
    /// # Panics
    /// Behind the last value.
    pub fn value(&mut self) -> Value<'b> {
        match &mut self.0 {
            Source::Json(scanner) => Value::Json(Raw::scan(scanner, 1).expect(VALID)),
            Source::Pack(scanner) => Value::Pack(Pack::scan(scanner, 1).expect(VALID)),
            Source::Bytes(bytes) => Value::Bytes(bytes),
        }
    }

    /// Whether the container has one element more, which is the next value; in a map its key comes
    /// first. All of the element before was taken.
    #[inline]
    pub fn more(&mut self, rest: &mut Rest) -> bool {
        match (&mut self.0, &mut rest.0) {
            (Source::Json(scanner), Left::Json { end, is_first }) => {
                if scanner.take(*end) {
                    rest.0 = Left::Nothing;
                    return false;
                }
                if !std::mem::take(is_first) {
                    scanner.expect(b',').expect(VALID);
                }
                true
            }
            (Source::Pack(_), Left::Pack(left)) => {
                let more = left.checked_sub(1);
                *left = more.unwrap_or(0);
                more.is_some()
            }
            (_, Left::Nothing) => false,
            (_, _) => unreachable!("what is left is of this value"),
        }
    }

    /// Takes a key, as the text that it has in JSON.
    ///
    /// # Panics
    /// There is none here.
    pub fn key(&mut self) -> Cow<'b, str> {
        match &mut self.0 {
            Source::Json(scanner) => scanner.key_text().expect(VALID),
            Source::Pack(scanner) => pack_key(scanner).expect(VALID),
            Source::Bytes(_) => unreachable!("bytes have no keys"),
        }
    }
}

fn json_token<'b>(scanner: &mut JsonScanner<'b>) -> Token<'b> {
    let open = |end| {
        Rest(Left::Json {
            end,
            is_first: true,
        })
    };
    match scanner.peek() {
        Some(b'"') => Token::Text(scanner.text().expect(VALID)),
        Some(b'{') => {
            scanner.take(b'{');
            Token::Map(open(b'}'))
        }
        Some(b'[') => {
            scanner.take(b'[');
            Token::Array(open(b']'))
        }
        Some(b'-' | b'0'..=b'9') => json_number(scanner.number().expect(VALID)),
        _ => match scanner.value(1).expect(VALID) {
            "true" => Token::Bool(true),
            "false" => Token::Bool(false),
            _ => Token::Null,
        },
    }
}

fn json_number(text: &str) -> Token<'_> {
    match Number::of(text) {
        Number::Unsigned(number) => Token::Unsigned(number),
        Number::Signed(number) => Token::Signed(number),
        Number::Float(number) => float(number),
        Number::Wide => Token::Digits(text),
    }
}

fn float<'b>(number: f64) -> Token<'b> {
    match integer(number) {
        Some(number) => signed(number),
        None if number.is_finite() => Token::Float(number),
        None => Token::Null,
    }
}

fn signed<'b>(number: i64) -> Token<'b> {
    u64::try_from(number).map_or(Token::Signed(number), Token::Unsigned)
}

fn pack_token<'b>(scanner: &mut PackScanner<'b>) -> Result<Token<'b>, Malformed> {
    Ok(match scanner.head()? {
        Head::Nil => Token::Null,
        Head::Bool(flag) => Token::Bool(flag),
        Head::Unsigned(number) => Token::Unsigned(number),
        Head::Signed(number) => signed(number),
        Head::Float(number) => float(number),
        Head::Str(len) => Token::Text(Cow::Borrowed(scanner.text(len)?)),
        Head::Bin(len) => Token::Bytes(scanner.content(len as usize)?),
        Head::Ext(len) => match scanner.extension(len)? {
            UNDEFINED => Token::Null,
            (kind, content) => match transcode::timestamp(kind, content) {
                Some(text) => Token::Text(Cow::Owned(text)),
                None => Token::Extension(kind, content),
            },
        },
        Head::Array(len) => Token::Array(Rest(Left::Pack(len))),
        Head::Map(len) => Token::Map(Rest(Left::Pack(len))),
    })
}

fn pack_key<'b>(scanner: &mut PackScanner<'b>) -> Result<Cow<'b, str>, Malformed> {
    if let Head::Str(len) = scanner.clone().head()? {
        scanner.head()?;
        return scanner.text(len).map(Cow::Borrowed);
    }
    let mut key = Vec::new();
    Value::Pack(Pack::scan(scanner, 1)?).write_json(&mut key);
    // Bytes are a string there, without a quote in it.
    let text = String::from_utf8(key).expect("JSON is text");
    Ok(Cow::Owned(text.trim_matches('"').to_owned()))
}
