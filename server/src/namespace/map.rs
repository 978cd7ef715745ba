//! Rooms that are maps: how much each holds, for how long, and under which keys clients publish.

use shardcast_engine::{MapOptions, SlowReader};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A room is a map: it holds the newest publication of each conflation key, until the key is
/// removed or its time is over, and clients of the Centrifuge protocol subscribe to that state.
/// What is published there has a key. Takes history of [`super::RoomOrder::Fast`], which is what
/// clients that come back recover from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomMap {
    /// Keys that a room may have, within [`RoomMap::KEYS`]. One more is refused.
    pub keys_max: u32,
    /// Bytes that they may have, within [`RoomMap::BYTES`]: names, data, and
    /// [`MapOptions::ENTRY_BYTES`] for each.
    pub bytes_max: usize,
    /// How long a key stays that is not published again, within [`RoomMap::KEY_TTL`]. `None`: until
    /// it is removed.
    pub key_ttl: Option<Duration>,
    /// Under which key a client publishes.
    pub client_key: ClientKey,
    /// Whether the key of a connection is removed when that leaves the room. Takes
    /// [`ClientKey::Connection`].
    pub remove_left: bool,
    /// What its keys are of. Maps of anything but [`MapOf::Published`] have no `key_ttl`.
    pub of: MapOf,
    /// How clients that come back go on.
    pub recovery: MapRecovery,
}

/// What the keys of a map are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapOf {
    /// Of whatever clients and the application publish.
    #[default]
    Published,
    /// Of the connections that are in another room
    /// ([`PresenceMaps::connections`]): the server alone publishes.
    Connections,
    /// Of the users that are in another room ([`PresenceMaps::users`]), likewise.
    Users,
}

/// How clients that come back to a map go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapRecovery {
    /// They hear what has changed, as far as the room's history has it, and otherwise read the map
    /// anew.
    #[default]
    Changes,
    /// They read the map anew: they are told of no place in it.
    State,
}

/// Maps that hold who is in a room. Such a map is a room that is called as this says, with the
/// name of the room that it is about behind: with `clients:` the map of `game:1` is
/// `clients:game:1`. A room for which that is no name, such as one that is too long, has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresenceMaps {
    /// A key for each connection: its id. Leads to a namespace whose rooms are maps of
    /// [`MapOf::Connections`].
    pub connections: Option<String>,
    /// A key for each user, as long as one of its connections is there; nobody has none, nor has a
    /// user whose name is longer than a key. Leads to maps of [`MapOf::Users`].
    pub users: Option<String>,
}

/// Under which key a client publishes to a map, and which it removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientKey {
    /// Any that it says.
    #[default]
    Any,
    /// Its connection's id, whatever it says.
    Connection,
    /// Its user's name, whatever it says; who is nobody publishes nothing.
    User,
}

impl Default for RoomMap {
    fn default() -> RoomMap {
        let options = MapOptions::default();
        RoomMap {
            keys_max: options.keys_max,
            bytes_max: options.bytes_max,
            key_ttl: options.key_ttl,
            client_key: ClientKey::default(),
            remove_left: false,
            of: MapOf::default(),
            recovery: MapRecovery::default(),
        }
    }
}

impl RoomMap {
    /// Keys that a room may have.
    pub const KEYS: RangeInclusive<u32> = MapOptions::KEYS;
    /// Bytes that they may have.
    pub const BYTES: RangeInclusive<usize> = MapOptions::BYTES;
    /// How long a key may stay.
    pub const KEY_TTL: RangeInclusive<Duration> = MapOptions::KEY_TTL;

    /// The first field that is out of range, and what it must be.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !RoomMap::KEYS.contains(&self.keys_max) {
            return Err(("keys_max", "from 1 to 1000000"));
        }
        if !RoomMap::BYTES.contains(&self.bytes_max) {
            return Err(("bytes_max", "from 1 KiB to 1 GiB"));
        }
        if self.remove_left && self.client_key != ClientKey::Connection {
            return Err((
                "remove_left",
                "false unless keys of clients are those of connections",
            ));
        }
        if self.of != MapOf::Published && self.key_ttl.is_some() {
            return Err(("key_ttl", "none where keys are of who is in a room"));
        }
        match self.key_ttl {
            Some(ttl) if !RoomMap::KEY_TTL.contains(&ttl) => {
                Err(("key_ttl", "from 1 s to 365 days"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What the engine is told.
    pub(super) fn options(&self) -> MapOptions {
        MapOptions {
            keys_max: self.keys_max,
            bytes_max: self.bytes_max,
            key_ttl: self.key_ttl,
        }
    }

    /// Whether members of a room are told of every change, so that they have the map.
    pub(crate) fn has_all_changes(slow_reader: SlowReader) -> bool {
        matches!(
            slow_reader,
            SlowReader::Disconnect | SlowReader::Conflate | SlowReader::CatchUp
        )
    }
}
