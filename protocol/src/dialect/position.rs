//! Places in what a room keeps, as clients name them and are told them: what a client has had,
//! where a message stands, and whether what was missed is still there.
//!
//! Invariant: an epoch is a short text that clients compare and never interpret; offsets begin at 1
//! and rise. Read by the native readers, written by `reply` and `event`.

use super::fields::{Fields, Span, Wrong};
use super::map::{Map, Notation};
use super::token::{Token, Tokens};
use super::value::Value;
use std::borrow::Cow;

/// A place in the order of a room that keeps history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition<'a> {
    /// Which order it is.
    pub epoch: &'a str,
    /// The place: that of the newest message, or of a message itself.
    pub offset: u64,
}

impl LogPosition<'_> {
    pub(super) fn body<N: Notation>(&self, map: &mut Map<'_, N>) {
        map.string("epoch", self.epoch);
        map.number("offset", self.offset);
    }
}

/// Why messages do not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// The order began anew: what was there before is gone.
    EpochChanged,
    /// The room keeps no more messages or bytes.
    TrimmedBySize,
    /// The room keeps nothing for longer.
    TrimmedByAge,
    /// More was missed than one answer brings.
    Limit,
    /// The client reads too slowly, and its room leaves messages out.
    Dropped,
    /// The client reads too slowly, and newer messages with the same keys came.
    Conflated,
    /// The client goes on with a session, and did not say what it has had of the room.
    NoPosition,
    /// The client goes on with a session, and the room keeps nothing.
    NoHistory,
    /// The client goes on with a session, and was in the room already by then.
    JoinedBefore,
    /// The client may not read what the room keeps.
    Forbidden,
    /// The client was sent them often enough, and has not acknowledged them.
    Unacknowledged,
}

impl LossReason {
    /// Every reason.
    pub const ALL: [LossReason; 11] = [
        LossReason::EpochChanged,
        LossReason::TrimmedBySize,
        LossReason::TrimmedByAge,
        LossReason::Limit,
        LossReason::Dropped,
        LossReason::Conflated,
        LossReason::NoPosition,
        LossReason::NoHistory,
        LossReason::JoinedBefore,
        LossReason::Forbidden,
        LossReason::Unacknowledged,
    ];

    /// Whether nobody meant it to be: as a slow reader's room may.
    pub const fn is_a_loss(self) -> bool {
        !matches!(self, LossReason::Dropped | LossReason::Conflated)
    }

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            LossReason::EpochChanged => "epoch_changed",
            LossReason::TrimmedBySize => "trimmed_by_size",
            LossReason::TrimmedByAge => "trimmed_by_age",
            LossReason::Limit => "limit",
            LossReason::Dropped => "dropped",
            LossReason::Conflated => "conflated",
            LossReason::NoPosition => "no_position",
            LossReason::NoHistory => "no_history",
            LossReason::JoinedBefore => "joined_before",
            LossReason::Forbidden => "forbidden",
            LossReason::Unacknowledged => "unacknowledged",
        }
    }
}

/// What became of a wish to have what was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It follows, without a gap.
    Recovered,
    /// It is not there any more, and nothing of it follows.
    Lost(LossReason),
}

impl Recovery {
    pub(super) fn body<N: Notation>(self, map: &mut Map<'_, N>) {
        match self {
            Recovery::Recovered => map.boolean("recovered", true),
            Recovery::Lost(reason) => {
                map.boolean("recovered", false);
                map.string("reason", reason.as_str());
            }
        }
    }
}

/// What a client has had of a room, up to and including this place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since<'b> {
    /// Empty: whichever it is.
    pub epoch: Cow<'b, str>,
    /// 0: nothing.
    pub offset: u64,
}

impl<'b> Since<'b> {
    pub(super) fn read(value: Value<'b>) -> Result<Since<'b>, Wrong> {
        match value {
            Value::Json(raw) => {
                let mut fields = Fields::NONE;
                let read = fields.read_json(raw.as_str(), 0, key_of, WRONG);
                read.map_err(|_| WRONG)?;
                Since::of(&fields)
            }
            Value::Pack(pack) => {
                let mut fields = Fields::NONE;
                let read = fields.read_pack(pack.as_bytes(), 0, key_of, WRONG);
                read.map_err(|_| WRONG)?;
                Since::of(&fields)
            }
            Value::Bytes(_) => Err(WRONG),
        }
    }

    fn of<S: Span<'b>>(fields: &Fields<S, 2, 0>) -> Result<Since<'b>, Wrong> {
        if let Some(wrong) = fields.wrong {
            return Err(wrong);
        }
        let epoch = match fields.get(0).filter(|epoch| !epoch.is_null()) {
            Some(epoch) => epoch.text().ok_or(WRONG)?,
            None => Cow::Borrowed(""),
        };
        let offset = fields.get(1).and_then(Span::unsigned).ok_or(WRONG)?;
        Ok(Since { epoch, offset })
    }
}

fn key_of(name: &[u8]) -> Option<usize> {
    match name {
        b"epoch" => Some(0),
        b"offset" => Some(1),
        _ => None,
    }
}

const WRONG: Wrong = "since must be an object with epoch, a string, and offset, a whole number";

/// What a client has had of several rooms: each value of an object is one [`Since`], under the name
/// of its room. Rooms may stand there twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinceByRoom<'b>(Value<'b>);

impl<'b> SinceByRoom<'b> {
    pub(super) fn check(object: Value<'b>) -> Result<SinceByRoom<'b>, Wrong> {
        const WRONG: Wrong = "since must be an object of positions by room, as rooms names several";
        if !matches!(Tokens::new(object).head(), Token::Map(_)) {
            return Err(WRONG);
        }
        let checked = SinceByRoom(object);
        for (_, value) in checked.values() {
            Since::read(value)?;
        }
        Ok(checked)
    }

    /// The rooms with their positions, in the order sent.
    pub fn rooms(&self) -> impl Iterator<Item = (Cow<'b, str>, Since<'b>)> + use<'b> {
        let values = self.values();
        values.filter_map(|(room, value)| Some((room, Since::read(value).ok()?)))
    }

    fn values(&self) -> impl Iterator<Item = (Cow<'b, str>, Value<'b>)> + use<'b> {
        let mut tokens = Tokens::new(self.0);
        let mut rest = match tokens.head() {
            Token::Map(rest) => Some(rest),
            _ => None,
        };
        std::iter::from_fn(move || {
            let more = tokens.more(rest.as_mut()?);
            more.then(|| (tokens.key(), tokens.value()))
        })
    }
}
