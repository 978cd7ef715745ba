//! Whose connections are whose over all nodes, where a user may have only so many: which of them
//! end when there are more.
//!
//! Invariant: a node closes its own connections alone. With `replace` it asks another node to close
//! the oldest that it has heard of, so of two that come at the same time at two nodes one stays.
//! Numbers of other nodes are as old as their last word: until it is heard a user may have more. No
//! clock and no broker here. Fed by the task that shares.

use shardcast_engine::{Address, SameUser};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// The connections of users at this node, in the order in which they became theirs.
#[derive(Debug)]
pub(crate) struct Seating {
    rule: SameUser,
    own: u64,
    users: HashMap<Arc<str>, VecDeque<Seated>>,
    /// Those of whom other nodes have told more, and when to look at them, in ms.
    told: BTreeMap<Arc<str>, u64>,
}

/// A connection, and the number of the node's last word before it became the user's.
#[derive(Clone, Copy, Debug)]
struct Seated {
    who: Address,
    word: u64,
}

/// What another node has of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeatedThere {
    pub(crate) run: u64,
    /// Connections, at least one.
    pub(crate) count: u32,
    /// The number of the word by which that is known.
    pub(crate) word: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SeatingStep {
    /// Closes these, which are too many (4120).
    Refuse(Vec<Address>),
    /// Asks another node to close the oldest until it has so many, of those that it had told of by
    /// this word of its own.
    Ask { run: u64, keep: u32, word: u64 },
}

impl Seating {
    /// Longer than nodes need to tell each other of a connection, and to close one.
    const LATER_MS: u64 = 1_000;

    /// `None`: users may have any number.
    pub(crate) fn new(rule: SameUser, own: u64) -> Option<Seating> {
        (rule != SameUser::Allow).then(|| Seating {
            rule,
            own,
            users: HashMap::new(),
            told: BTreeMap::new(),
        })
    }

    /// A connection has become the user's here, behind this word of the node.
    pub(crate) fn joined(
        &mut self,
        user: &Arc<str>,
        who: Address,
        word: u64,
        there: &[SeatedThere],
    ) -> Vec<SeatingStep> {
        let seated = self.users.entry(user.clone()).or_default();
        seated.push_back(Seated { who, word });
        let over = self.over(user, there);
        match self.rule {
            SameUser::Refuse { .. } if over > 0 => self.refuse(user, 1),
            SameUser::Replace { .. } if over > 0 => ask(over, there),
            _ => Vec::new(),
        }
    }

    /// A connection is the user's no more.
    pub(crate) fn left(&mut self, user: &str, who: Address) {
        if let Some(seated) = self.users.get_mut(user) {
            seated.retain(|seated| seated.who != who);
            if seated.is_empty() {
                self.users.remove(user);
            }
        }
    }

    /// Other nodes have told more of the user. The node that its newest connection has come to does
    /// what is to be done, unless it could not know of the others: so this one looks later.
    pub(crate) fn told(&mut self, user: Arc<str>, now_ms: u64) {
        if self.users.contains_key(&user) {
            self.told.entry(user).or_insert(now_ms + Self::LATER_MS);
        }
    }

    /// When to look at somebody.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.told.values().copied().min()
    }

    /// The users who are to be looked at by now.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<Arc<str>> {
        let due = self.told.iter().filter(|(_, at_ms)| **at_ms <= now_ms);
        let due: Vec<Arc<str>> = due.map(|(user, _)| user.clone()).collect();
        self.told.retain(|_, at_ms| *at_ms > now_ms);
        due
    }

    /// More happened than is known: those who come from here on are looked after.
    pub(crate) fn forget(&mut self) {
        self.users.clear();
    }

    /// Whether there are too many still. Of several nodes one acts: the one with the highest run.
    pub(crate) fn look(&mut self, user: &str, there: &[SeatedThere]) -> Vec<SeatingStep> {
        let is_here = self.users.contains_key(user);
        let acts = there.iter().all(|there| there.run < self.own);
        let over = self.over(user, there);
        match self.rule {
            _ if !is_here || !acts || over == 0 => Vec::new(),
            SameUser::Refuse { .. } => self.refuse(user, over),
            SameUser::Replace { .. } => ask(over, there),
            SameUser::Allow => Vec::new(),
        }
    }

    /// Another node asks: the oldest beyond so many, of those that were told of by this word.
    pub(crate) fn asked(&mut self, user: &str, keep: u32, word: u64) -> Vec<Address> {
        let Some(seated) = self.users.get_mut(user) else {
            return Vec::new();
        };
        let surplus = seated.len().saturating_sub(keep as usize);
        let known = seated.iter().take_while(|seated| seated.word < word);
        let known = known.count().min(surplus);
        let oldest = seated.drain(..known).map(|seated| seated.who).collect();
        if seated.is_empty() {
            self.users.remove(user);
        }
        oldest
    }

    /// How many there are too many, at all nodes.
    fn over(&self, user: &str, there: &[SeatedThere]) -> u32 {
        let here = self.users.get(user).map_or(0, VecDeque::len);
        let there: u64 = there.iter().map(|there| u64::from(there.count)).sum();
        let over = (here as u64 + there).saturating_sub(self.rule.connections_max().into());
        u32::try_from(over).unwrap_or(u32::MAX)
    }

    /// The newest here end.
    fn refuse(&mut self, user: &str, count: u32) -> Vec<SeatingStep> {
        let Some(seated) = self.users.get_mut(user) else {
            return Vec::new();
        };
        let from = seated.len().saturating_sub(count as usize);
        let refused: Vec<Address> = seated.drain(from..).map(|seated| seated.who).collect();
        if seated.is_empty() {
            self.users.remove(user);
        }
        vec![SeatingStep::Refuse(refused)]
    }
}

/// Others are asked in the order of their runs.
fn ask(mut over: u32, there: &[SeatedThere]) -> Vec<SeatingStep> {
    let mut there = there.to_vec();
    there.sort_unstable_by_key(|there| there.run);
    let mut steps = Vec::new();
    for SeatedThere { run, count, word } in there {
        if over == 0 {
            break;
        }
        let ending = over.min(count);
        over -= ending;
        let keep = count - ending;
        steps.push(SeatingStep::Ask { run, keep, word });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_engine::Ticket;

    const REFUSE: SameUser = SameUser::Refuse { connections_max: 2 };
    const REPLACE: SameUser = SameUser::Replace { connections_max: 2 };

    fn address(slot: u32) -> Address {
        let generation = 1;
        let ticket = Ticket { slot, generation };
        Address { shard: 0, ticket }
    }

    fn there(run: u64, count: u32, word: u64) -> SeatedThere {
        SeatedThere { run, count, word }
    }

    #[test]
    fn one_too_many_over_all_nodes_is_refused() {
        let ann: Arc<str> = "ann".into();
        let mut seating = Seating::new(REFUSE, 5).expect("a rule");
        assert!(seating.joined(&ann, address(1), 0, &[]).is_empty());
        let one = [there(9, 1, 4)];
        assert_eq!(seating.look("ann", &one), [], "there are two");
        let refused = seating.joined(&ann, address(2), 0, &one);
        assert_eq!(refused, [SeatingStep::Refuse(vec![address(2)])]);
        seating.left("ann", address(2));
        // Two came at once: the node with the highest run gives way.
        assert_eq!(seating.look("ann", &[there(9, 2, 5)]), []);
        let gives_way = seating.look("ann", &[there(3, 2, 5)]);
        assert_eq!(gives_way, [SeatingStep::Refuse(vec![address(1)])]);
        assert_eq!(seating.look("ann", &[there(3, 9, 6)]), [], "nobody is here");
        assert!(Seating::new(SameUser::Allow, 5).is_none());
    }

    #[test]
    fn the_oldest_elsewhere_is_replaced_as_far_as_it_is_known() {
        let ann: Arc<str> = "ann".into();
        let mut near = Seating::new(REPLACE, 5).expect("a rule");
        let two = [there(9, 1, 7), there(8, 1, 3)];
        let steps = near.joined(&ann, address(1), 0, &two);
        let asked = |run, keep, word| SeatingStep::Ask { run, keep, word };
        assert_eq!(steps, [asked(8, 0, 3)]);
        let steps = near.joined(&ann, address(2), 0, &two);
        assert_eq!(steps, [asked(8, 0, 3), asked(9, 0, 7)]);
        // The other node: one was told of by word 3, one has come since.
        let mut far = Seating::new(REPLACE, 8).expect("a rule");
        far.joined(&ann, address(1), 2, &[]);
        far.joined(&ann, address(2), 3, &[]);
        assert_eq!(far.asked("ann", 0, 3), [address(1)]);
        assert_eq!(far.asked("ann", 0, 3), [], "it came at the same time");
        assert_eq!(far.look("ann", &[there(5, 2, 1)]), [asked(5, 1, 1)]);
        assert_eq!(far.asked("ann", 1, 9), []);
        assert_eq!(far.due_ms(), None);
        far.told("bob".into(), 10);
        far.told(ann.clone(), 20);
        far.told(ann.clone(), 400);
        assert_eq!((far.due_ms(), far.due(1_019)), (Some(1_020), vec![]));
        assert_eq!(
            (far.due(1_020), far.due(9_999)),
            (vec![ann.clone()], vec![])
        );
        far.forget();
        assert_eq!(far.asked("ann", 0, 9), []);
    }
}
