//! Keys that maps have because of one connection: as long as it is in a room. Kept by its session,
//! changed by `rooms::member_maps`.

use std::sync::Arc;

/// Those of one connection, by the rooms that it is in.
#[derive(Debug, Default)]
pub(crate) struct KeysInMaps(Vec<RoomKeys>);

/// A room that the connection is in, of which maps tell.
#[derive(Debug)]
struct RoomKeys {
    room: Arc<str>,
    keys: Vec<KeyInMap>,
}

/// A key, and in which map.
#[derive(Debug)]
pub(crate) struct KeyInMap {
    pub(crate) map: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) end: KeyEnd,
}

/// What becomes of a key when the connection has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyEnd {
    /// The connection holds it no longer.
    Released,
    /// It is removed: the connection may have published it.
    Removed,
}

impl KeysInMaps {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has_room(&self, room: &str) -> bool {
        self.0.iter().any(|known| *known.room == *room)
    }

    /// The connection is in a room that was not known.
    pub(crate) fn enter(&mut self, room: &Arc<str>, keys: Vec<KeyInMap>) {
        let room = Arc::clone(room);
        self.0.push(RoomKeys { room, keys });
    }

    /// It is not any more: which keys it had.
    pub(crate) fn leave(&mut self, room: &str) -> Vec<KeyInMap> {
        let at = self.0.iter().position(|known| *known.room == *room);
        at.map_or(Vec::new(), |at| self.0.swap_remove(at).keys)
    }

    /// Takes what it holds in all rooms: with each room.
    pub(crate) fn take_held(&mut self) -> Vec<(Arc<str>, Vec<KeyInMap>)> {
        let rooms = self.0.iter_mut();
        let held = rooms.map(|known| {
            let is_held = |key: &mut KeyInMap| key.end == KeyEnd::Released;
            let taken = known.keys.extract_if(.., is_held).collect();
            (Arc::clone(&known.room), taken)
        });
        held.collect()
    }

    /// Adds to a room that is known.
    pub(crate) fn add(&mut self, room: &str, keys: Vec<KeyInMap>) {
        if let Some(known) = self.0.iter_mut().find(|known| *known.room == *room) {
            known.keys.extend(keys);
        }
    }

    /// Takes all of them.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = KeyInMap> + use<> {
        let rooms = std::mem::take(&mut self.0);
        rooms.into_iter().flat_map(|known| known.keys)
    }
}
