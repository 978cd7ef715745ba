//! What a client asked: the keys that every request shares, found in one pass over its message.
//!
//! Invariant: an [`Envelope`] comes from valid JSON, every key of it has the right type, and none stood there twice.
//! It is the reader under [`crate::dialect::Command`] for native JSON, called once per message.

use crate::dialect::{Key, Request, Rooms, Rules, Wrong};
use crate::json::{Raw, explain};
use crate::problem::{Code, Problem};
use std::borrow::Cow;

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
    /// `echo`: whether a broadcast comes back to its sender. Absent means what the namespace says.
    pub echo: Option<bool>,
    /// `report`: whether a broadcast is answered with counts. Absent means no.
    pub report: bool,
    /// `limit`: how many things an answer may list.
    pub limit: Option<u32>,
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
    /// Reads a message under the loosest rules.
    ///
    /// # Errors
    /// See [`Envelope::read`].
    pub fn parse(message: &'b str) -> Result<Envelope<'b>, Refused<'b>> {
        Envelope::read(message, &Rules::default())
    }

    /// Reads a message.
    ///
    /// # Errors
    /// `bad_json` when it is not JSON (whatever else is wrong with it), `bad_request` when a key is missing, mistyped or
    /// stands there twice. Answer with the error; the connection stays open.
    pub fn read(message: &'b str, rules: &Rules) -> Result<Envelope<'b>, Refused<'b>> {
        let refused = |id, code, message: Cow<'static, str>| Refused {
            id,
            problem: Problem::new(code, message),
        };
        let request =
            Request::from_json(message, rules.outer_native(), Key::of_name, NOT_AN_OBJECT)
                .map_err(|error| {
                    let why = explain(message, error, rules.outer_native());
                    refused(None, Code::BadJson, why.into())
                })?;
        // The id first: whatever else is wrong is answered under it.
        let id = request
            .id()
            .map_err(|wrong| refused(None, Code::BadRequest, wrong.into()))?;
        Envelope::check(&request, id).map_err(|wrong| refused(id, Code::BadRequest, wrong.into()))
    }

    fn check(request: &Request<Raw<'b>>, id: Option<Raw<'b>>) -> Result<Envelope<'b>, Wrong> {
        if let Some(wrong) = request.wrong {
            return Err(wrong);
        }
        Ok(Envelope {
            kind: request.kind()?,
            id,
            room: request.string(Key::Room)?,
            rooms: request.rooms()?,
            user: request.string(Key::User)?,
            data: request.get(Key::Data as usize),
            echo: request.boolean(Key::Echo)?,
            report: request.boolean(Key::Report)?.unwrap_or(false),
            limit: request.limit()?,
        })
    }
}

const NOT_AN_OBJECT: Wrong = "a message is one JSON object";
