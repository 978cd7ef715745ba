//! What other nodes have, as the calls of the admin API ask for it: answered from what is known
//! here, whether other nodes can be reached or not.

use crate::broker::view::ClusterView;
use shardcast_engine::TopicName;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// How many are in one topic at other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// At all of them.
    pub(crate) members: u32,
    /// By the names of those that have some.
    pub(crate) nodes: BTreeMap<String, u32>,
}

impl ClusterView {
    /// How many are in a topic at other nodes.
    pub(crate) fn elsewhere(&self, topic: &TopicName) -> Elsewhere {
        let known = self.nodes();
        let shares = self.shares();
        let mut nodes = BTreeMap::new();
        for (run, node) in known.by_run() {
            let members = shares.at(run, topic);
            if members > 0 {
                // A node that came back is there twice until its lease is over.
                let sum = nodes.entry(node.name.to_string()).or_insert(0u32);
                *sum = sum.saturating_add(members);
            }
        }
        Elsewhere {
            members: narrowed(shares.sum(topic)),
            nodes,
        }
    }

    /// Rooms with members at other nodes, in the order of their names, up to this number: those
    /// behind a name, or those whose names begin so.
    pub(crate) fn rooms_elsewhere(
        &self,
        after: Option<&str>,
        prefix: &str,
        limit: usize,
    ) -> Vec<(Arc<str>, u32)> {
        let named = |name: &str| TopicName::Room(name.into());
        let (first, from) = (named(prefix), after.map(named));
        let from = match &from {
            Some(after) if *after >= first => Bound::Excluded(after),
            Some(_) | None => Bound::Included(&first),
        };
        let shares = self.shares();
        let rooms = shares.from(from).map_while(|(topic, members)| match topic {
            TopicName::Room(name) if name.starts_with(prefix) => {
                Some((name.clone(), narrowed(members)))
            }
            TopicName::Room(_) | TopicName::User(_) => None,
        });
        rooms.take(limit).collect()
    }

    /// Whether something of another node is not known here that may be known later.
    pub(crate) fn lacks_something(&self) -> bool {
        let known = self.nodes();
        let shares = self.shares();
        let mut runs = known.by_run();
        runs.any(|(run, _)| !shares.is_whole(run))
    }
}

/// More than fit are as many as fit.
fn narrowed(members: u64) -> u32 {
    u32::try_from(members).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::nodes::NodeFacts;
    use crate::broker::share::word::{ShareKey, ShareSays, ShareValue, ShareWord};
    use crate::broker::view::NodeNews;
    use std::time::Duration;

    const OWN: u64 = 1;

    fn room(name: &str) -> TopicName {
        TopicName::Room(name.into())
    }

    fn says(view: &ClusterView, run: u64, items: Vec<(TopicName, u32)>) {
        let item = |(topic, members)| {
            let value = Some(ShareValue::Members(members));
            (ShareKey::Topic(topic), value)
        };
        let says = ShareSays::Changes(items.into_iter().map(item).collect());
        view.hear_share(OWN, run, ShareWord { number: 1, says });
    }

    fn view_of(nodes: &[(u64, &str)]) -> ClusterView {
        let view = ClusterView::new("a", Duration::from_secs(1));
        for (run, name) in nodes {
            let facts = NodeFacts {
                version: "1".to_owned(),
                connections: 0,
                rooms: 0,
                users: 0,
                knows_all: false,
            };
            assert!(view.hear(*run, name, NodeNews::Alive(facts)));
        }
        view
    }

    #[test]
    fn numbers_hold_for_all_nodes_that_are_there() {
        let view = view_of(&[(2, "b"), (3, "c")]);
        assert!(view.lacks_something(), "nobody has said anything");
        let ann = TopicName::User("ann".into());
        says(&view, 2, vec![(room("x"), 2), (ann.clone(), 1)]);
        says(&view, 3, vec![(room("x"), 5)]);
        says(&view, 4, vec![(room("x"), 9)]);
        let elsewhere = view.elsewhere(&room("x"));
        assert_eq!(elsewhere.members, 7, "strangers do not count");
        let nodes = [("b".to_owned(), 2), ("c".to_owned(), 5)];
        assert_eq!(elsewhere.nodes, nodes.into());
        assert!(!view.lacks_something());
        view.hear(2, "b", NodeNews::Leaving);
        assert_eq!(view.elsewhere(&room("x")).members, 5);
        assert_eq!(view.elsewhere(&ann), Elsewhere::default());
    }

    #[test]
    fn what_nodes_claim_is_added_up_to_as_much_as_fits() {
        let view = view_of(&[(2, "b"), (3, "b")]);
        for run in [2, 3] {
            says(&view, run, vec![(room("x"), u32::MAX)]);
        }
        let elsewhere = view.elsewhere(&room("x"));
        assert_eq!(elsewhere.members, u32::MAX);
        assert_eq!(elsewhere.nodes, [("b".to_owned(), u32::MAX)].into());
    }

    #[test]
    fn rooms_are_listed_in_order_from_any_place() {
        let view = view_of(&[(2, "b")]);
        let mut items: Vec<_> = ["a", "ab", "abc", "b"].map(|name| (room(name), 1)).into();
        items.push((TopicName::User("ab".into()), 1));
        says(&view, 2, items);
        for (after, prefix, limit, expected) in [
            (None, "", 9, vec!["a", "ab", "abc", "b"]),
            (None, "ab", 9, vec!["ab", "abc"]),
            (Some("ab"), "ab", 9, vec!["abc"]),
            (Some("a"), "ab", 1, vec!["ab"]),
            (Some("b"), "", 9, vec![]),
            (Some("z"), "ab", 9, vec![]),
        ] {
            let rooms = view.rooms_elsewhere(after, prefix, limit);
            let names: Vec<&str> = rooms.iter().map(|(name, _)| &**name).collect();
            assert_eq!(names, expected, "{after:?} {prefix}");
        }
    }

    #[test]
    fn who_is_asked_hears_of_it_and_others_do_not() {
        let view = view_of(&[(2, "b")]);
        let ask = |runs: Vec<u64>| {
            let says = ShareSays::Question(runs);
            view.hear_share(OWN, 2, ShareWord { number: 0, says });
        };
        let is_asked = || {
            use futures_util::FutureExt;
            view.asked.notified().now_or_never().is_some()
        };
        ask(vec![3]);
        assert!(!is_asked());
        ask(vec![3, OWN]);
        assert!(is_asked() && !is_asked());
    }
}
