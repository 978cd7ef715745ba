//! The keys of a publish: that it is none if it was one before, and which newer one stands for it.
//!
//! Invariant: a key that a room has no use for is refused, so nobody relies on it in vain. Used by
//! the dispatch, for clients, and by events of the application.

use crate::namespace::resolved::ResolvedRoom;
use crate::rooms::entry::{NO_MAP, NO_MAP_KEY};
use shardcast_engine::{Publish, SetOnly};
use shardcast_protocol::dialect::centrifuge::KeyChange;
use shardcast_protocol::dialect::{Code, KEY_BYTES_MAX, Problem, PublishKeys};

const _: () = assert!(KEY_BYTES_MAX == Publish::KEY_BYTES_MAX);

/// The keys that a publish bears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys<'k> {
    pub(crate) idempotency: Option<&'k str>,
    pub(crate) conflation: Option<&'k str>,
    /// What becomes of the conflation key, in a room that is a map.
    pub(crate) change: Option<KeyChange>,
    /// Whether it may be set, likewise.
    pub(crate) only: SetOnly,
    /// Of what is published under it; 0: none.
    pub(crate) version: u64,
}

impl<'k> Keys<'k> {
    /// Those of a client's request.
    pub(crate) fn of(asked: Option<&'k PublishKeys<'_>>) -> Keys<'k> {
        asked.map_or(Keys::default(), |keys| Keys {
            idempotency: keys.idempotency.as_deref(),
            conflation: keys.conflation.as_deref(),
            change: keys.change,
            ..Keys::default()
        })
    }

    /// The publish to this room with its keys, kept as the room keeps it.
    ///
    /// # Errors
    /// `bad_request`: the room has no use for a key, or a key is too short or too long.
    #[inline]
    pub(crate) fn keep(
        self,
        publish: Publish,
        room: &ResolvedRoom<'_>,
    ) -> Result<Publish, Problem> {
        let publish = match room.log() {
            Some(_) if room.map().is_some() && self.conflation.is_none() => {
                return Err(Problem::new(Code::BadRequest, NO_MAP_KEY));
            }
            Some(log) => publish.keep(log),
            None => publish,
        };
        if self == Keys::default() {
            return Ok(publish);
        }
        self.put(publish, room)
    }

    fn put(self, mut publish: Publish, room: &ResolvedRoom<'_>) -> Result<Publish, Problem> {
        for key in [self.idempotency, self.conflation].into_iter().flatten() {
            if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
                return Err(Problem::new(Code::BadRequest, BAD_KEY));
            }
        }
        if let Some(key) = self.idempotency {
            let window = room.history().and_then(|history| history.idempotency);
            window.ok_or_else(|| Problem::new(Code::BadRequest, NO_IDEMPOTENCY))?;
            publish = publish.key(key);
        }
        if let Some(key) = self.conflation {
            (room.log()).ok_or_else(|| Problem::new(Code::BadRequest, NO_CONFLATION))?;
            publish = publish.conflate(key);
        }
        let has_rule = self.only != SetOnly::Any || self.version != 0;
        match (self.change, room.map()) {
            (None, None) if has_rule => Err(Problem::new(Code::BadRequest, NO_MAP))?,
            (Some(_), None) => Err(Problem::new(Code::BadRequest, NO_MAP))?,
            (Some(KeyChange::Remove), Some(_)) => publish = publish.removes(),
            (Some(KeyChange::Set) | None, _) => {
                publish = publish.only(self.only).version(self.version);
            }
        }
        Ok(publish)
    }

    /// Of a publish that is not to a room.
    ///
    /// # Errors
    /// `bad_request`: there is a key.
    pub(crate) fn none(self) -> Result<(), Problem> {
        match self {
            keys if keys == Keys::default() => Ok(()),
            _ => Err(Problem::new(Code::BadRequest, NO_ROOM)),
        }
    }
}

const BAD_KEY: &str = "a key has 1 to 128 bytes";
const _: () = assert!(KEY_BYTES_MAX == 128, "the text says so");
const NO_ROOM: &str = "keys are for rooms";
const NO_IDEMPOTENCY: &str =
    "this room takes no key: its namespace needs the options history and idempotency";
const NO_CONFLATION: &str =
    "this room does not conflate: its namespace needs the option history, or slow_reader";
