//! Bases: the newest publication of each room that has members which are sent deltas, kept by the
//! room's home, so that the next one is compared with it once for all of them.
//!
//! Invariant: a base is what every such member has, but for those that its shard knows to have none
//! (`topic/delta/baseless.rs`); it is kept while its room has such members, and all bases together
//! have at most [`Bases::BYTES_MAX`]. What is left out for that costs a delta, and nothing else.
//! Used by `topic/publishing.rs`.

use crate::topic::publication::Content;
use crate::types::shrink::shrink_map;
use foldhash::quality::RandomState;
use shardcast_protocol::delta;
use std::collections::HashMap;
use std::sync::Arc;

/// The bases of the rooms that one shard is home to.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    by_room: HashMap<Arc<str>, Content, RandomState>,
    bytes: usize,
}

impl Bases {
    /// Bytes of all bases of a shard: 16 MiB. A room whose base finds no room has none.
    pub(crate) const BYTES_MAX: usize = 16 << 20;

    /// Bytes of one with its frames: twice what a delta can build on.
    const BASE_BYTES_MAX: usize = 2 * delta::BYTES_MAX;

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// What the members of a room have.
    pub(crate) fn get(&self, room: &str) -> Option<&Content> {
        self.by_room.get(room)
    }

    /// The members of a room have this from here on.
    pub(crate) fn set(&mut self, room: &Arc<str>, content: &Content) {
        self.remove(room);
        let bytes = content.bytes();
        if bytes <= Self::BASE_BYTES_MAX && self.bytes + bytes <= Self::BYTES_MAX {
            self.bytes += bytes;
            self.by_room.insert(room.clone(), content.clone());
        }
    }

    /// Nothing is known to be what all members of a room have, or it has none.
    pub(crate) fn remove(&mut self, room: &str) {
        if let Some(content) = self.by_room.remove(room) {
            self.bytes -= content.bytes();
        }
    }

    /// Keeps no more than the bases there are need.
    pub(crate) fn release_memory(&mut self) {
        shrink_map(&mut self.by_room);
    }

    /// Panics unless the sum is right, and each room has somebody to send deltas to.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check(&self, is_needed: impl Fn(&str) -> bool) {
        let bytes = self.by_room.values().map(Content::bytes);
        assert_eq!(self.bytes, bytes.sum::<usize>());
        for room in self.by_room.keys() {
            assert!(is_needed(room), "{room}: a base for nobody");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::frame::Frame;
    use shardcast_protocol::frame::Kind;

    #[test]
    fn bases_have_bounds() {
        let mut bases = Bases::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let of = |bytes: usize| Content::from(Frame::new(Kind::Binary, &vec![0; bytes]));
        bases.set(&a, &of(Bases::BASE_BYTES_MAX));
        assert!(bases.get("a").is_none(), "it is too large");
        let large = of(Bases::BASE_BYTES_MAX / 2);
        let rooms: Vec<Arc<str>> = (0..200).map(|room| room.to_string().into()).collect();
        rooms.iter().for_each(|room| bases.set(room, &large));
        let kept = |bases: &Bases| {
            rooms
                .iter()
                .filter(|room| bases.get(room).is_some())
                .count()
        };
        let most = Bases::BYTES_MAX / large.bytes();
        assert_eq!(kept(&bases), most);
        bases.set(&b, &large);
        assert!(bases.get("b").is_none(), "there is no room for it");
        bases.set(&rooms[0], &of(10));
        bases.set(&rooms[0], &large);
        assert_eq!(kept(&bases), most);
        bases.remove("0");
        bases.set(&b, &large);
        assert!(bases.get("b").is_some());
        rooms.iter().chain([&b]).for_each(|room| bases.remove(room));
        bases.check(|_| false);
        assert_eq!(bases.bytes(), 0);
    }
}
