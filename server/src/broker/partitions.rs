//! Fast rooms that share a fixed number of subjects, where rooms are very many: a node hears a
//! partition while it hears one of its rooms, and lets go of what is for others.
//!
//! Invariant: the broker has a subscription to a partition from its first room on until its last
//! one, whatever order rooms come and go in, and what is heard of a room is taken for as long as it
//! is wanted, whatever the broker is known to have. Written by whoever tells the broker what the
//! node hears, read where messages come in and go out.

use crate::broker::agreed::{agreed_hash, mixed};
use crate::broker::interest::Steps;
use crate::broker::subject::Subject;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The partitions of a node, shared by the tasks of its bridge.
#[derive(Clone, Debug)]
pub(crate) struct Partitions {
    count: NonZeroU16,
    heard: Arc<Mutex<HeardRooms>>,
}

#[derive(Debug, Default)]
struct HeardRooms {
    /// Those that are wanted, by their partitions.
    rooms: BTreeMap<u16, HashSet<Arc<str>>>,
    /// Partitions that the broker was told of.
    told: BTreeSet<u16>,
    /// What it may have besides: of before a loss, or because an end was not taken.
    perhaps: BTreeSet<u16>,
}

impl Partitions {
    pub(crate) fn new(count: NonZeroU16) -> Partitions {
        Partitions {
            count,
            heard: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HeardRooms> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition of a room. All nodes agree on it.
    pub(crate) fn of(&self, room: &str) -> Subject {
        Subject::Partition(self.number(room))
    }

    fn number(&self, room: &str) -> u16 {
        let hash = mixed(agreed_hash(room.bytes()));
        // The remainder is below a number of 16 bits.
        (hash % u64::from(self.count.get())) as u16
    }

    /// Whether the node hears a room.
    pub(crate) fn hears(&self, room: &str) -> bool {
        self.has(&self.lock(), room)
    }

    fn has(&self, heard: &HeardRooms, room: &str) -> bool {
        let rooms = heard.rooms.get(&self.number(room));
        rooms.is_some_and(|rooms| rooms.contains(room))
    }

    /// What is to be done at the broker where these steps are to be taken: rooms that are not
    /// `exact` become partitions.
    pub(crate) fn steps(&self, steps: Steps, exact: impl Fn(&Arc<str>) -> bool) -> Steps {
        let mut heard = self.lock();
        let mut out = Steps::default();
        for subject in steps.subscribe {
            match subject {
                Subject::Room(room) if !exact(&room) => {
                    let number = self.number(&room);
                    heard.rooms.entry(number).or_default().insert(room);
                    if heard.told.insert(number) {
                        heard.perhaps.remove(&number);
                        out.subscribe.push(Subject::Partition(number));
                    }
                }
                other => out.subscribe.push(other),
            }
        }
        for subject in steps.unsubscribe {
            match subject {
                // What it is by now does not matter, but what it was when it came.
                Subject::Room(room) if self.has(&heard, &room) || !exact(&room) => {
                    let number = self.number(&room);
                    let Some(rooms) = heard.rooms.get_mut(&number) else {
                        continue;
                    };
                    rooms.remove(&room);
                    if !rooms.is_empty() {
                        continue;
                    }
                    heard.rooms.remove(&number);
                    if heard.told.remove(&number) {
                        heard.perhaps.insert(number);
                        out.unsubscribe.push(Subject::Partition(number));
                    }
                }
                other => out.unsubscribe.push(other),
            }
        }
        out
    }

    /// The broker has done away with these.
    pub(crate) fn ended(&self, subjects: &[Subject]) {
        let mut heard = self.lock();
        for subject in subjects {
            if let Subject::Partition(number) = subject {
                heard.perhaps.remove(number);
            }
        }
    }

    /// The broker may know nothing of this node any more, or something. What it still sends is
    /// taken.
    pub(crate) fn forget(&self) {
        let mut heard = self.lock();
        let told = std::mem::take(&mut heard.told);
        heard.perhaps.extend(told);
    }

    /// The broker was told all that it is to know: it may have these still, and nobody wants them.
    pub(crate) fn left_over(&self) -> Vec<Subject> {
        let heard = self.lock();
        let perhaps = heard.perhaps.iter().copied();
        let nobodys = perhaps.filter(|number| !heard.rooms.contains_key(number));
        nobodys.map(Subject::Partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(count: u16) -> Partitions {
        Partitions::new(NonZeroU16::new(count).expect("some"))
    }

    fn room(name: &str) -> Subject {
        Subject::Room(name.into())
    }

    #[test]
    fn a_partition_is_heard_from_its_first_room_to_its_last() {
        let one = partitions(1);
        let steps = |subscribe: &[&str], unsubscribe: &[&str]| {
            let all = |names: &[&str]| names.iter().map(|name| room(name)).collect();
            let steps = Steps {
                subscribe: all(subscribe),
                unsubscribe: all(unsubscribe),
            };
            let Steps {
                subscribe,
                unsubscribe,
            } = one.steps(steps, |room| room.starts_with("exact"));
            (subscribe, unsubscribe)
        };
        let all = || vec![Subject::Partition(0)];
        assert_eq!(steps(&["a", "b", "a"], &[]), (all(), vec![]));
        assert_eq!(steps(&["exact"], &[]), (vec![room("exact")], vec![]));
        assert_eq!(steps(&[], &["a", "unknown"]), (vec![], vec![]));
        assert!(one.hears("b") && !one.hears("a") && !one.hears("exact"));
        assert_eq!(steps(&[], &["b"]), (vec![], all()));
        one.ended(&all());
        assert_eq!(steps(&[], &["b"]), (vec![], vec![]));
        // After a loss what has rooms is asked for again, and what has none ends. Meanwhile all is
        // heard that the broker still sends.
        steps(&["a"], &[]);
        one.forget();
        assert!(one.hears("a"));
        assert_eq!(one.left_over(), []);
        assert_eq!(steps(&[], &["a"]), (vec![], vec![]));
        assert!(!one.hears("a"));
        assert_eq!(one.left_over(), all());
        one.ended(&all());
        steps(&["a"], &[]);
        one.forget();
        assert_eq!(steps(&["a"], &[]), (all(), vec![]));
        assert_eq!(one.left_over(), []);
        // What the broker did not end it may have still.
        assert_eq!(steps(&[], &["a"]), (vec![], all()));
        one.forget();
        assert_eq!(one.left_over(), all());
        assert_eq!(one.left_over(), all(), "until it has");
        // A room that came as one of its partition goes as one.
        steps(&["a"], &[]);
        let steps_of = Steps {
            unsubscribe: vec![room("a")],
            ..Steps::default()
        };
        assert_eq!(one.steps(steps_of, |_| true).unsubscribe, all());
    }

    #[test]
    fn rooms_spread_over_partitions_as_all_nodes_agree() {
        let some = partitions(64);
        let mut counts = [0; 64];
        for number in 0..6_400 {
            counts[usize::from(some.number(&format!("room:{number}")))] += 1;
        }
        assert!(
            counts.iter().all(|count| (50..200).contains(count)),
            "{counts:?}"
        );
        // Nodes of all versions must find the same one.
        assert_eq!(some.of("chat:lobby"), partitions(64).of("chat:lobby"));
        assert_eq!(partitions(1).of("x"), Subject::Partition(0));
    }
}
