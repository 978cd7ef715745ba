//! Which member of a pool takes what.
//!
//! Invariant: only candidates are chosen, and of these the choice by room stays the same while its
//! member is one of them: when a member comes or goes, only rooms that it has or had move. Pure.
//! Used by the pool.

use foldhash::quality::FixedState;
use rand::RngExt;
use rand::rngs::StdRng;
use std::hash::BuildHasher;

/// How a pool chooses the member for a request or a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PoolPolicy {
    /// The next one in turn.
    #[default]
    RoundRobin,
    /// The one with the fewest requests that are not settled, and of these the one with the fewest
    /// rooms.
    LeastLoaded,
    /// Any.
    Random,
    /// By the name of the room, so that what belongs to one room keeps its order; what belongs to
    /// none in turn.
    ConsistentHash,
}

/// What a member has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    pub(crate) pending: usize,
    pub(crate) rooms: usize,
}

/// Makes the choices of one pool.
#[derive(Debug)]
pub(crate) struct Chooser {
    policy: PoolPolicy,
    turn: usize,
    rng: StdRng,
}

/// The same in every process, so that a room's place can be foreseen.
const SEED: u64 = 0x7368_6172_6463_6173;

impl Chooser {
    pub(crate) fn new(policy: PoolPolicy, rng: StdRng) -> Chooser {
        Chooser {
            policy,
            turn: 0,
            rng,
        }
    }

    pub(crate) fn policy(&self) -> PoolPolicy {
        self.policy
    }

    /// One of the candidates, which are indices of members; `None`: there are none.
    pub(crate) fn choose(
        &mut self,
        candidates: &[usize],
        room: Option<&str>,
        load: impl Fn(usize) -> Load,
    ) -> Option<usize> {
        if candidates.is_empty() {
            return None;
        }
        match (self.policy, room) {
            (PoolPolicy::ConsistentHash, Some(room)) => owner(candidates, room),
            (PoolPolicy::RoundRobin | PoolPolicy::ConsistentHash, _) => {
                self.turn = self.turn.wrapping_add(1);
                Some(candidates[self.turn % candidates.len()])
            }
            (PoolPolicy::LeastLoaded, _) => candidates.iter().copied().min_by_key(|at| load(*at)),
            (PoolPolicy::Random, _) => Some(candidates[self.rng.random_range(..candidates.len())]),
        }
    }
}

/// The candidate with the highest weight for this room (rendezvous hashing).
pub(crate) fn owner(candidates: &[usize], room: &str) -> Option<usize> {
    let hasher = FixedState::with_seed(SEED);
    candidates
        .iter()
        .copied()
        .max_by_key(|member| hasher.hash_one((room, member)))
}

#[cfg(test)]
mod tests {
    use super::{Chooser, Load, PoolPolicy, owner};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::BTreeSet;

    const NO_LOAD: Load = Load {
        pending: 0,
        rooms: 0,
    };

    fn chooser(policy: PoolPolicy) -> Chooser {
        Chooser::new(policy, StdRng::seed_from_u64(1))
    }

    proptest! {
        #[test]
        fn only_rooms_of_a_member_that_goes_move(
            members in prop::collection::btree_set(0_usize..32, 2..10),
            gone in any::<prop::sample::Index>(),
            room in "[a-z:]{1,12}",
        ) {
            let before: Vec<usize> = members.iter().copied().collect();
            let gone = before[gone.index(before.len())];
            let after: Vec<usize> = before.iter().copied().filter(|member| *member != gone).collect();
            let (had, has) = (owner(&before, &room), owner(&after, &room));
            prop_assert!(has.is_some_and(|has| has != gone));
            if had != Some(gone) {
                prop_assert_eq!(had, has);
            }
        }

        #[test]
        fn only_candidates_are_chosen(
            members in prop::collection::btree_set(0_usize..32, 0..10),
            picks in 1_usize..50,
        ) {
            let candidates: Vec<usize> = members.iter().copied().collect();
            for policy in [
                PoolPolicy::RoundRobin,
                PoolPolicy::LeastLoaded,
                PoolPolicy::Random,
                PoolPolicy::ConsistentHash,
            ] {
                let mut chooser = chooser(policy);
                for pick in 0..picks {
                    let room = format!("r{pick}");
                    let room = (pick % 2 == 0).then_some(room.as_str());
                    let chosen = chooser.choose(&candidates, room, |_| NO_LOAD);
                    prop_assert_eq!(chosen.is_some(), !candidates.is_empty());
                    prop_assert!(chosen.is_none_or(|chosen| members.contains(&chosen)));
                }
            }
        }

        #[test]
        fn the_least_loaded_has_the_least(loads in prop::collection::vec((0_usize..5, 0_usize..5), 1..10)) {
            let candidates: Vec<usize> = (0..loads.len()).collect();
            let load = |at: usize| Load { pending: loads[at].0, rooms: loads[at].1 };
            let chosen = chooser(PoolPolicy::LeastLoaded).choose(&candidates, None, load);
            let least = loads.iter().min().copied();
            prop_assert_eq!(chosen.map(|at| loads[at]), least);
        }
    }

    #[test]
    fn all_take_their_turn() {
        let candidates = [3, 5, 9];
        let mut turns = chooser(PoolPolicy::RoundRobin);
        let chosen: BTreeSet<usize> = (0..3)
            .filter_map(|_| turns.choose(&candidates, None, |_| NO_LOAD))
            .collect();
        assert_eq!(chosen, BTreeSet::from(candidates));
        let mut rooms = [0_usize; 3];
        for number in 0..3_000 {
            let at = owner(&[0, 1, 2], &format!("room-{number}")).expect("one of three");
            rooms[at] += 1;
        }
        assert!(
            rooms.iter().all(|count| (900..=1_100).contains(count)),
            "{rooms:?}"
        );
    }
}
