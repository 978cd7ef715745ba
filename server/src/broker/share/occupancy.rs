//! Which rooms have members at any node, and which node tells a backend that one has its first
//! member, or none any more.
//!
//! Invariant: one node tells, the one that a hash of the room picks among those that know the
//! shares of all others; the others remember for a while what it is to tell, and one of them tells
//! what it was not heard after. A room whose members go from one node to another is not told of:
//! what a room has become is looked at once nothing has changed for a moment. No clock here:
//! whoever calls says what time it is.

use crate::broker::agreed::{agreed_hash, mixed};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

/// What has become of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoomTurn {
    /// It has its first member at any node.
    Occupied,
    /// It has none any more at any.
    Vacated,
}

/// A room, and what has become of it.
pub(crate) type RoomTurned = (Arc<str>, RoomTurn);

/// Rooms of all nodes, as far as they turned.
#[derive(Debug)]
pub(crate) struct Occupancy {
    lease_ms: u64,
    /// With members at this node.
    here: HashSet<Arc<str>>,
    /// With members at any, as far as that was looked at.
    occupied: HashSet<Arc<str>>,
    /// Those that may have turned.
    touched: BTreeMap<Arc<str>, Touched>,
    /// What other nodes are to tell, or have told, in the order of time.
    left: VecDeque<LeftTurn>,
    /// The other nodes, by their runs, and when each was heard, in ms.
    heard: BTreeMap<u64, u64>,
    /// The runs of those that may be picked.
    candidates: Vec<u64>,
    own: u64,
}

/// A turn that another node tells.
#[derive(Debug)]
struct LeftTurn {
    at_ms: u64,
    room: Arc<str>,
    picked: u64,
}

/// A node that may be picked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TellingNode {
    pub(crate) run: u64,
    /// This node: now.
    pub(crate) heard_ms: u64,
    /// It has said that it knows the shares of all others.
    pub(crate) knows_all: bool,
}

/// When a room was touched, in ms.
#[derive(Clone, Copy, Debug)]
struct Touched {
    first: u64,
    last: u64,
}

impl Occupancy {
    /// A room is looked at when nothing has changed for so long: longer than nodes need to tell
    /// each other that a member has come.
    pub(crate) const SETTLED_MS: u64 = 250;
    /// Or when it has changed again and again for so long, and has members then.
    const UNSETTLED_MS_MAX: u64 = 5_000;
    /// A node that is there has told what turned by then.
    const TOLD_WITHIN_MS: u64 = 1_000;
    /// Rooms that are remembered for others. Of more, the oldest are forgotten, and not told if the
    /// node that was to tell them has died.
    const LEFT_MAX: usize = 65_536;

    pub(crate) fn new(own: u64, lease_ms: u64) -> Occupancy {
        Occupancy {
            lease_ms,
            here: HashSet::new(),
            occupied: HashSet::new(),
            touched: BTreeMap::new(),
            left: VecDeque::new(),
            heard: BTreeMap::new(),
            candidates: vec![own],
            own,
        }
    }

    /// A room has members at this node, or none any more.
    pub(crate) fn turn_here(&mut self, room: Arc<str>, turn: RoomTurn, now_ms: u64) {
        let has_turned = match turn {
            RoomTurn::Occupied => self.here.insert(room.clone()),
            RoomTurn::Vacated => self.here.remove(&room),
        };
        if has_turned {
            self.touch(room, now_ms);
        }
    }

    /// A room may have members at other nodes, or none any more.
    pub(crate) fn touch(&mut self, room: Arc<str>, now_ms: u64) {
        let new = Touched {
            first: now_ms,
            last: now_ms,
        };
        self.touched.entry(room).or_insert(new).last = now_ms;
    }

    /// The nodes that are there now: picked are those that know the shares of all others, or all
    /// where none does. Returns what is to be told in the place of nodes that are gone.
    pub(crate) fn set_nodes(&mut self, nodes: &[TellingNode], now_ms: u64) -> Vec<RoomTurned> {
        let any_knows = nodes.iter().any(|node| node.knows_all);
        let candidates = nodes.iter().filter(|node| node.knows_all || !any_knows);
        self.candidates = candidates.map(|node| node.run).collect();
        let heard = nodes.iter().filter(|node| node.run != self.own);
        let heard = heard.map(|node| (node.run, node.heard_ms)).collect();
        let before: BTreeMap<u64, u64> = std::mem::replace(&mut self.heard, heard);
        let mut gone = before;
        gone.retain(|run, _| !self.heard.contains_key(run));
        if gone.is_empty() {
            return Vec::new();
        }
        self.forget(now_ms);
        let mut told = Vec::new();
        for mut turn in std::mem::take(&mut self.left) {
            if let Some(heard_ms) = gone.get(&turn.picked) {
                // It was there long enough after it to have told it.
                if turn.at_ms + Self::TOLD_WITHIN_MS < *heard_ms {
                    continue;
                }
                turn.picked = self.pick(&turn.room);
            }
            if turn.picked == self.own {
                let now = self.turn_of(&turn.room);
                told.push((turn.room, now));
            } else {
                self.left.push_back(turn);
            }
        }
        told
    }

    fn turn_of(&self, room: &str) -> RoomTurn {
        match self.occupied.contains(room) {
            true => RoomTurn::Occupied,
            false => RoomTurn::Vacated,
        }
    }

    /// What is to be told of the rooms that are due, where this node is picked.
    pub(crate) fn look(
        &mut self,
        is_elsewhere: impl Fn(&Arc<str>) -> bool,
        now_ms: u64,
    ) -> Vec<RoomTurned> {
        self.forget(now_ms);
        let due = self.touched.iter();
        let due = due.filter(|(_, touched)| touched.due_ms() <= now_ms);
        let due: Vec<Arc<str>> = due.map(|(room, _)| room.clone()).collect();
        let mut told = Vec::new();
        for room in due {
            let touched = self.touched.remove(&room);
            let is_occupied = self.here.contains(&room) || is_elsewhere(&room);
            if let Some(touched) = touched
                && !is_occupied
                && touched.last + Self::SETTLED_MS > now_ms
            {
                // Its members may be on their way from one node to another.
                let first = now_ms;
                self.touched.insert(room, Touched { first, ..touched });
                continue;
            }
            let has_turned = match is_occupied {
                true => self.occupied.insert(room.clone()),
                false => self.occupied.remove(&room),
            };
            if !has_turned {
                continue;
            }
            let picked = self.pick(&room);
            if picked == self.own {
                let turn = self.turn_of(&room);
                told.push((room, turn));
            } else {
                let at_ms = now_ms;
                self.left.push_back(LeftTurn {
                    at_ms,
                    room,
                    picked,
                });
            }
        }
        while self.left.len() > Self::LEFT_MAX {
            self.left.pop_front();
        }
        told
    }

    /// Whoever was to tell what is older has told it, or is known to be gone.
    fn forget(&mut self, now_ms: u64) {
        let oldest = now_ms.saturating_sub(self.lease_ms * 2);
        while self.left.front().is_some_and(|turn| turn.at_ms < oldest) {
            self.left.pop_front();
        }
    }

    fn pick(&self, room: &str) -> u64 {
        let candidates = self.candidates.iter().copied();
        let picked = candidates.max_by_key(|run| weight(*run, room));
        picked.unwrap_or(self.own)
    }
}

impl Touched {
    fn due_ms(self) -> u64 {
        let settled = self.last + Occupancy::SETTLED_MS;
        settled.min(self.first + Occupancy::UNSETTLED_MS_MAX)
    }
}

/// By how much a node is wanted for a room. All nodes must agree on it.
fn weight(run: u64, room: &str) -> (u64, u64) {
    let hash = agreed_hash(run.to_be_bytes().into_iter().chain(room.bytes()));
    (mixed(hash), run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use RoomTurn::{Occupied, Vacated};

    const LEASE_MS: u64 = 1_000;

    fn room(name: &str) -> Arc<str> {
        name.into()
    }

    fn told(turns: &[RoomTurned]) -> Vec<(&str, RoomTurn)> {
        turns.iter().map(|(room, turn)| (&**room, *turn)).collect()
    }

    #[test]
    fn a_room_whose_members_move_is_not_told_of() {
        let mut rooms = Occupancy::new(1, LEASE_MS);
        rooms.turn_here(room("a"), Occupied, 0);
        assert!(rooms.look(|_| false, Occupancy::SETTLED_MS - 1).is_empty());
        assert_eq!(told(&rooms.look(|_| false, 250)), [("a", Occupied)]);
        // The last member here goes; a moment later it is known that one is elsewhere.
        rooms.turn_here(room("a"), Vacated, 1_000);
        rooms.touch(room("a"), 1_100);
        assert!(rooms.look(|_| false, 1_300).is_empty());
        assert!(rooms.look(|_| true, 1_350).is_empty());
        rooms.touch(room("a"), 2_000);
        assert_eq!(told(&rooms.look(|_| false, 2_250)), [("a", Vacated)]);
    }

    #[test]
    fn a_room_that_never_settles_is_looked_at_nevertheless() {
        let mut rooms = Occupancy::new(1, LEASE_MS);
        for now_ms in (0..=Occupancy::UNSETTLED_MS_MAX).step_by(100) {
            let turn = if now_ms % 200 == 0 { Occupied } else { Vacated };
            rooms.turn_here(room("a"), turn, now_ms);
        }
        let at = Occupancy::UNSETTLED_MS_MAX;
        assert!(rooms.look(|_| false, at - 1).is_empty());
        assert_eq!(told(&rooms.look(|_| false, at)), [("a", Occupied)]);
        // What seems to be empty may have members that are on their way.
        for now_ms in (at..=2 * at).step_by(100) {
            rooms.touch(room("a"), now_ms);
        }
        rooms.turn_here(room("a"), Vacated, 2 * at);
        assert!(rooms.look(|_| false, 2 * at).is_empty());
        assert_eq!(told(&rooms.look(|_| false, 2 * at + 250)), [("a", Vacated)]);
    }

    /// Nodes that were heard at this time and know all.
    fn there(runs: &[u64], heard_ms: u64) -> Vec<TellingNode> {
        let node = |run| TellingNode {
            run,
            heard_ms,
            knows_all: true,
        };
        runs.iter().copied().map(node).collect()
    }

    #[test]
    fn one_node_tells_and_another_in_its_place() {
        let runs = [11, 22, 33];
        let mut nodes = runs.map(|run| Occupancy::new(run, LEASE_MS));
        let names: Vec<String> = (0..300).map(|name| name.to_string()).collect();
        let (mut all, mut counts) = (Vec::new(), Vec::new());
        for node in &mut nodes {
            assert!(node.set_nodes(&there(&runs, 0), 0).is_empty());
            names.iter().for_each(|name| node.touch(room(name), 0));
            let told = node.look(|_| true, 250);
            counts.push(told.len());
            all.extend(told.into_iter().map(|(room, _)| room.to_string()));
        }
        all.sort();
        let mut expected = names;
        expected.sort();
        assert_eq!(all, expected, "each once");
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
        // The first one was not heard after that; the second one was heard for long enough.
        let [_, second, third] = &mut nodes;
        let mut again = second.set_nodes(&there(&[22, 33], 1_200), 1_500);
        again.extend(third.set_nodes(&there(&[22, 33], 1_200), 1_500));
        assert_eq!(again.len(), counts[0]);
        assert!(again.iter().all(|(_, turn)| *turn == Occupied));
        assert!(third.set_nodes(&there(&[22, 33], 1_600), 1_600).is_empty());
        assert!(third.set_nodes(&there(&[33], 1_700), 1_700).is_empty());
    }

    #[test]
    fn who_comes_to_know_what_was_there_tells_nothing_of_it() {
        let mut newcomer = Occupancy::new(9, LEASE_MS);
        let mut nodes = there(&[1, 2, 9], 0);
        nodes[2].knows_all = false;
        newcomer.set_nodes(&nodes, 0);
        let touch_all = |node: &mut Occupancy, now_ms| {
            for name in 0..100 {
                node.touch(name.to_string().into(), now_ms);
            }
        };
        touch_all(&mut newcomer, 0);
        assert!(newcomer.look(|_| true, 250).is_empty());
        assert!(newcomer.set_nodes(&there(&[1, 2, 9], 300), 300).is_empty());
        touch_all(&mut newcomer, 400);
        let told = newcomer.look(|_| false, 650);
        assert!((10..90).contains(&told.len()), "{}", told.len());
        assert!(told.iter().all(|(_, turn)| *turn == Vacated));
    }
}
