//! What a client asked: the keys that every request shares, found in one pass over its message.
//!
//! Invariant: an [`Envelope`] comes from valid JSON, every key of it has the right type, and none stood there twice.
//! Called once per message by the server's native application.

use crate::json::{Raw, Scanner, SyntaxError, unescape};
use crate::problem::{Code, Problem};
use std::borrow::Cow;

/// Longest `id` in bytes as sent, quotes included.
pub const ID_BYTES_MAX: usize = 128;

/// A request, borrowed from its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'b> {
    /// `type`: what is asked.
    pub kind: Cow<'b, str>,
    /// `id`: a string or a number, echoed in the answer byte for byte.
    pub id: Option<Raw<'b>>,
    /// `room`: one room, whose name is not checked yet (see [`super::is_room_name`]).
    pub room: Option<Cow<'b, str>>,
    /// `rooms`: several rooms.
    pub rooms: Option<Rooms<'b>>,
    /// `user`: everyone who is this user.
    pub user: Option<Cow<'b, str>>,
    /// `data`: any value, forwarded byte for byte.
    pub data: Option<Raw<'b>>,
    /// `echo`: whether a broadcast comes back to its sender. Absent means yes.
    pub echo: bool,
    /// `report`: whether a broadcast is answered with counts. Absent means no.
    pub report: bool,
}

/// Why a message is no request, and the `id` to answer it with if one could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused<'b> {
    /// Echoed in the error.
    pub id: Option<Raw<'b>>,
    /// The error.
    pub problem: Problem,
}

impl<'b> Envelope<'b> {
    /// Reads a message.
    ///
    /// # Errors
    /// `bad_json` when it is not JSON (whatever else is wrong with it), `bad_request` when a key is missing, mistyped or
    /// stands there twice. Answer with the error; the connection stays open.
    pub fn parse(message: &'b str) -> Result<Envelope<'b>, Refused<'b>> {
        let refused = |id, code, message: Cow<'static, str>| Refused {
            id,
            problem: Problem::new(code, message),
        };
        let fields = Fields::scan(message).map_err(|error| {
            refused(
                None,
                Code::BadJson,
                format!("not valid JSON at byte {}", error.at).into(),
            )
        })?;
        // The id first: whatever else is wrong is answered under it.
        let id = fields
            .id()
            .map_err(|wrong| refused(None, Code::BadRequest, wrong.into()))?;
        fields
            .check(id)
            .map_err(|wrong| refused(id, Code::BadRequest, wrong.into()))
    }
}

/// The keys that mean something. All others are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Type,
    Id,
    Room,
    Rooms,
    User,
    Data,
    Echo,
    Report,
}

impl Key {
    const COUNT: usize = 8;

    /// `inner` is what stands between the key's quotes.
    fn from_json(inner: &str) -> Option<Key> {
        match Key::from_name(inner) {
            // `"t\u0079pe"` is the same key as `"type"`.
            None if inner.contains('\\') => Key::from_name(&unescape(inner)),
            key => key,
        }
    }

    fn from_name(name: &str) -> Option<Key> {
        match name {
            "type" => Some(Key::Type),
            "id" => Some(Key::Id),
            "room" => Some(Key::Room),
            "rooms" => Some(Key::Rooms),
            "user" => Some(Key::User),
            "data" => Some(Key::Data),
            "echo" => Some(Key::Echo),
            "report" => Some(Key::Report),
            _ => None,
        }
    }
}

/// What was wrong, as the client is told.
type Wrong = &'static str;

/// The values of the known keys as sent, their types not looked at yet.
#[derive(Debug, Default)]
struct Fields<'b> {
    values: [Option<&'b str>; Key::COUNT],
    wrong: Option<Wrong>,
}

impl<'b> Fields<'b> {
    /// One pass over the whole message, so that what is not JSON is found before anything is said about its keys.
    fn scan(message: &'b str) -> Result<Fields<'b>, SyntaxError> {
        let mut scanner = Scanner::new(message);
        let mut fields = Fields::default();
        if scanner.peek() != Some(b'{') {
            scanner.value(0)?;
            fields.wrong = Some("a message is one JSON object");
        } else {
            fields.object(&mut scanner)?;
        }
        scanner.finish()?;
        Ok(fields)
    }

    fn object(&mut self, scanner: &mut Scanner<'b>) -> Result<(), SyntaxError> {
        scanner.expect(b'{')?;
        if scanner.take(b'}') {
            return Ok(());
        }
        loop {
            let key = Key::from_json(scanner.key()?);
            let value = scanner.value(1)?;
            if let Some(key) = key
                && self.values[key as usize].replace(value).is_some()
            {
                // Parsers differ in which one they believe; a proxy in between may have checked the other.
                self.wrong = Some("duplicate key");
            }
            if !scanner.take(b',') {
                return scanner.expect(b'}');
            }
        }
    }

    fn get(&self, key: Key) -> Option<&'b str> {
        self.values[key as usize]
    }

    fn id(&self) -> Result<Option<Raw<'b>>, Wrong> {
        match self.get(Key::Id) {
            None => Ok(None),
            Some(id) if id.len() > ID_BYTES_MAX => Err("id is longer than 128 bytes"),
            Some(id) if matches!(id.as_bytes()[0], b'"' | b'-' | b'0'..=b'9') => {
                Ok(Some(Raw::scanned(id)))
            }
            Some(_) => Err("id must be a string or a number"),
        }
    }

    fn check(&self, id: Option<Raw<'b>>) -> Result<Envelope<'b>, Wrong> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        Ok(Envelope {
            kind: self
                .string(Key::Type, "type must be a string")?
                .ok_or("type is missing")?,
            id,
            room: self.string(Key::Room, "room must be a string")?,
            rooms: self.get(Key::Rooms).map(Rooms::check).transpose()?,
            user: self.string(Key::User, "user must be a string")?,
            data: self.get(Key::Data).map(Raw::scanned),
            echo: self
                .boolean(Key::Echo, "echo must be true or false")?
                .unwrap_or(true),
            report: self
                .boolean(Key::Report, "report must be true or false")?
                .unwrap_or(false),
        })
    }

    fn string(&self, key: Key, wrong: Wrong) -> Result<Option<Cow<'b, str>>, Wrong> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let inner = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .ok_or(wrong)?;
        Ok(Some(unescape(inner)))
    }

    fn boolean(&self, key: Key, wrong: Wrong) -> Result<Option<bool>, Wrong> {
        match self.get(key) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(wrong),
        }
    }
}

/// The names in `rooms`: one at least, not checked and perhaps repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rooms<'b> {
    /// An array of strings, as sent.
    array: &'b str,
    count: usize,
}

impl<'b> Rooms<'b> {
    /// `value` is a whole valid value.
    fn check(value: &'b str) -> Result<Rooms<'b>, Wrong> {
        const WRONG: Wrong = "rooms must be an array of strings";
        let mut scanner = Scanner::new(value);
        if !scanner.take(b'[') {
            return Err(WRONG);
        }
        if scanner.take(b']') {
            return Err("rooms must not be empty");
        }
        let mut count = 0;
        loop {
            scanner.string().map_err(|_| WRONG)?;
            count += 1;
            if !scanner.take(b',') {
                return Ok(Rooms {
                    array: value,
                    count,
                });
            }
        }
    }

    /// How many names there are, 1 or more.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The names, in the order asked.
    pub fn names(&self) -> impl Iterator<Item = Cow<'b, str>> + use<'b> {
        let mut scanner = Scanner::new(self.array);
        std::iter::from_fn(move || {
            // The opening bracket before the first name, a comma before the others.
            let more = scanner.take(b'[') || scanner.take(b',');
            more.then(|| scanner.string().ok().map(unescape)).flatten()
        })
    }
}
