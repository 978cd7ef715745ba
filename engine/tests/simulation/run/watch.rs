//! A subscriber to every event of every shard: what it is told is in order, and is what the shards
//! know.

use super::Simulation;
use shardcast_engine::driver::sim::SimDriver;
use shardcast_engine::shard::Shard;
use shardcast_engine::{Address, Event, EventKind, Events, TopicName};
use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::application::Scripted;

/// What the events say so far.
pub(super) struct Watch {
    /// By shard.
    events: Vec<Events>,
    /// Active topics: their homes and members.
    topics: BTreeMap<TopicName, (usize, HashSet<Address>)>,
    open: HashSet<Address>,
    opened: u64,
    published: u64,
    drained: BTreeSet<u16>,
}

impl Watch {
    /// Before anything happens.
    pub(super) fn new(shards: &mut [Shard<Scripted, SimDriver>]) -> Watch {
        let subscribe =
            |shard: &mut Shard<_, _>| shard.subscribe(&EventKind::ALL, Events::WAITING_MAX);
        Watch {
            events: shards.iter_mut().map(subscribe).collect(),
            topics: BTreeMap::new(),
            open: HashSet::new(),
            opened: 0,
            published: 0,
            drained: BTreeSet::new(),
        }
    }

    /// Takes what a shard has said.
    pub(super) fn hear(&mut self, shard: usize) {
        while let Some(event) = self.events[shard].try_recv() {
            self.take(shard, event);
        }
    }

    fn take(&mut self, shard: usize, event: Event) {
        let index = shard as u16;
        match event {
            Event::TopicActive { topic } => {
                let before = self.topics.insert(topic.clone(), (shard, HashSet::new()));
                assert!(before.is_none(), "{topic:?} was active");
            }
            Event::TopicIdle { topic } => {
                let (home, members) = self.topics.remove(&topic).expect("it was active");
                assert!(
                    home == shard && members.is_empty(),
                    "{topic:?}: {members:?}"
                );
            }
            Event::Joined {
                topic,
                member,
                members,
            } => {
                let known = self.members(shard, &topic);
                assert!(known.insert(member), "{member} was in {topic:?}");
                assert_eq!(members as usize, known.len(), "members of {topic:?}");
            }
            Event::Left {
                topic,
                member,
                members,
            } => {
                let known = self.members(shard, &topic);
                assert!(known.remove(&member), "{member} was not in {topic:?}");
                assert_eq!(members as usize, known.len(), "members of {topic:?}");
            }
            Event::Opened { connection, peer } => {
                assert_eq!((connection.shard, peer.address().is_some()), (index, true));
                assert!(self.open.insert(connection), "{connection} was open");
                self.opened += 1;
            }
            Event::Closed { connection, .. } => {
                assert_eq!(connection.shard, index);
                assert!(self.open.remove(&connection), "{connection} was not open");
            }
            Event::Published { topic, position } => {
                let known = topic.and_then(|topic| self.topics.get(&topic).map(|(home, _)| *home));
                assert!(
                    known.is_none_or(|home| home == shard),
                    "a topic has one home"
                );
                assert_eq!(position, None, "no topic keeps history");
                self.published += 1;
            }
            Event::Presence { .. } => unreachable!("there is no other process"),
            Event::Drained { shard } => {
                assert_eq!(shard, index);
                assert!(self.drained.insert(shard), "drained twice");
            }
        }
    }

    fn members(&mut self, shard: usize, topic: &TopicName) -> &mut HashSet<Address> {
        let (home, members) = self.topics.get_mut(topic).expect("the topic is active");
        assert_eq!(*home, shard, "{topic:?} has one home");
        members
    }

    /// Nothing is under way: the events add up to what the homes know.
    pub(super) fn check(&self, shards: &[Shard<Scripted, SimDriver>]) {
        let known = shards.iter().enumerate().flat_map(|(home, shard)| {
            let topics = shard.topics().into_iter();
            topics.map(move |(topic, members)| (topic, (home, members as usize)))
        });
        let said = self.topics.iter();
        let said = said.map(|(topic, (home, members))| (topic.clone(), (*home, members.len())));
        assert_eq!(
            known.collect::<BTreeMap<_, _>>(),
            said.collect::<BTreeMap<_, _>>()
        );
    }
}

impl Simulation {
    /// Everybody has left.
    pub(super) fn check_watch(&self) {
        let watch = &self.watch;
        let lost: u64 = watch.events.iter().map(Events::lost).sum();
        assert_eq!((lost, watch.open.len(), watch.topics.len()), (0, 0, 0));
        let counters = self.counters.iter();
        let opened = counters.map(|shard| shard.upgrades.get() + shard.event_streams.get());
        assert_eq!(watch.opened, opened.sum::<u64>());
        let ordered = self.counters.iter().map(|shard| shard.publishes.get());
        assert_eq!(watch.published, ordered.sum::<u64>());
        let drained = if self.draining { self.shards.len() } else { 0 };
        assert_eq!(watch.drained.len(), drained);
    }
}
