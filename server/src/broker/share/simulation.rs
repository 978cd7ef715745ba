//! Nodes that tell each other their shares over the model broker, by seed: members come and go,
//! links break and come back, words are lost on the way, with and without anybody being told, and
//! nodes die and come back as others. Whatever happened, once nothing breaks any more each node
//! knows what all that are there have, and nothing of those that are not.

use crate::broker::adapter::{Broker, Outbound};
use crate::broker::inbox::{Inbox, Incoming};
use crate::broker::model::{Model, ModelBroker, ModelFault};
use crate::broker::nodes::{IsConnected, NodeFacts, Nodes};
use crate::broker::share::others::Shares;
use crate::broker::share::own::OwnShare;
use crate::broker::share::word::{ShareKey, ShareSays, ShareValue, ShareWord};
use crate::broker::subject::Subject;
use bytes::Bytes;
use futures_util::FutureExt;
use shardcast_engine::{PresenceKey, PresenceState, PresentThere, TopicName};
use shardcast_seeds::{Seeds, Tally};
use std::collections::BTreeMap;
use std::ops::Bound;

const SEEDS: Seeds = Seeds {
    again: "cargo test -p shardcast --lib broker::share::simulation",
    count: 1_500,
    happenings: &[
        "cut",
        "mended",
        "lost",
        "unnoticed",
        "killed",
        "expired",
        "missed",
        "asked",
        "pages",
        "refused",
    ],
    least: 100,
};

const NODES: usize = 4;
const TOPICS: u8 = 12;
const LEASE_MS: u64 = 100;
const AGAIN_MS: u64 = LEASE_MS / 4;

struct SimSharer {
    broker: ModelBroker,
    inbox: Inbox,
    run: u64,
    nodes: Nodes,
    own: OwnShare,
    shares: Shares,
    /// What it really has.
    items: BTreeMap<ShareKey, ShareValue>,
    /// What the rooms of this node know of members elsewhere, each with its node.
    placed: BTreeMap<(u64, PresenceKey), PresenceState>,
}

struct SimSharing {
    model: Model,
    sharers: Vec<SimSharer>,
    runs: u64,
    now_ms: u64,
    /// What all shares of others may take at a node.
    bytes_max: usize,
    tally: Tally,
}

/// A change of a room, a user, or a member of a room.
fn something(random: &mut fastrand::Rng) -> (ShareKey, Option<ShareValue>) {
    if random.bool() {
        let members = random.u32(0..3);
        let value = (members > 0).then_some(ShareValue::Members(members));
        return (ShareKey::Topic(topic(random.u8(0..TOPICS))), value);
    }
    let number = random.u8(0..TOPICS).to_string();
    let key = match random.bool() {
        true => PresenceKey::User(number.as_str().into()),
        false => PresenceKey::Elsewhere(number.as_str().into()),
    };
    let there = |state| {
        ShareValue::Shown(PresentThere {
            user: None,
            data: None,
            state,
        })
    };
    let value = match random.u8(0..3) {
        0 => None,
        1 => Some(there(PresenceState::Here)),
        _ => Some(there(PresenceState::Away)),
    };
    (ShareKey::Member("room".into(), key), value)
}

/// The members of rooms that nodes have, each with its node.
fn present<'s>(
    sharers: impl Iterator<Item = &'s SimSharer>,
) -> BTreeMap<(u64, PresenceKey), PresenceState> {
    let members = sharers.flat_map(|sharer| {
        let items = sharer.items.iter();
        items.filter_map(|(key, value)| match (key, value) {
            (ShareKey::Member(_, key), ShareValue::Shown(shown)) => {
                Some(((sharer.run, key.clone()), shown.state))
            }
            _ => None,
        })
    });
    members.collect()
}

fn topic(number: u8) -> TopicName {
    let name = number.to_string().into();
    match number % 3 {
        0 => TopicName::User(name),
        _ => TopicName::Room(name),
    }
}

/// The model never waits.
fn at_once<T>(asked: impl Future<Output = T>) -> T {
    asked.now_or_never().expect("the model answers at once")
}

impl SimSharing {
    fn new(bytes_max: usize) -> SimSharing {
        let model = Model::default();
        let sharer = |run| {
            let (sender, inbox) = Inbox::new(10_000, 1 << 24);
            SimSharer {
                broker: model.node(sender),
                inbox,
                run,
                nodes: Nodes::new(LEASE_MS),
                own: OwnShare::default(),
                shares: Shares::of_bytes(bytes_max),
                items: BTreeMap::new(),
                placed: BTreeMap::new(),
            }
        };
        SimSharing {
            sharers: (1..=NODES as u64).map(sharer).collect(),
            model,
            runs: NODES as u64,
            now_ms: 0,
            bytes_max,
            tally: Tally::new(),
        }
    }

    fn count(&mut self, what: &'static str, more: u64) {
        *self.tally.entry(what).or_default() += more;
    }

    /// `None`: it says that it is there.
    fn say(&self, index: usize, word: Option<&ShareWord>) {
        let sharer = &self.sharers[index];
        let mut payload = sharer.run.to_be_bytes().to_vec();
        payload.extend(word.map(ShareWord::write).unwrap_or_default());
        let payload = Bytes::from(payload);
        let subject = Subject::Nodes;
        let _lost = at_once(sharer.broker.publish(&[Outbound { subject, payload }]));
    }

    /// What the task does from time to time.
    fn work(&mut self, index: usize, words: usize, word_bytes: usize) {
        let sharer = &mut self.sharers[index];
        let link = *sharer.broker.link().borrow();
        let is_connected = match link.connected {
            true => IsConnected::Yes,
            false => IsConnected::No,
        };
        sharer.nodes.connected(is_connected, self.now_ms);
        let gone = sharer.nodes.expire(self.now_ms).len() as u64;
        sharer.shares.keep(|run| sharer.nodes.knows(run));
        if link.connected {
            at_once(sharer.broker.subscribe(&[Subject::Nodes])).expect("it is connected");
            for _ in 0..words {
                let Some(word) = self.sharers[index].own.next(word_bytes) else {
                    break;
                };
                let is_page = matches!(word.says, ShareSays::Page { .. });
                self.count("pages", u64::from(is_page));
                self.say(index, Some(&word));
            }
        }
        self.count("expired", gone);
    }

    fn say_alive(&mut self, index: usize) {
        self.say(index, None);
        let sharer = &mut self.sharers[index];
        let alive = sharer.own.alive();
        let asked = sharer.shares.whom_to_ask(AGAIN_MS, self.now_ms);
        self.say(index, Some(&alive));
        if !asked.is_empty() {
            self.count("asked", 1);
            let says = ShareSays::Question(asked);
            self.say(index, Some(&ShareWord { number: 0, says }));
        }
    }

    fn hear(&mut self, index: usize) {
        let (now_ms, sharer) = (self.now_ms, &mut self.sharers[index]);
        let mut came: Vec<Incoming> = Vec::new();
        while !sharer.inbox.is_empty() {
            at_once(sharer.inbox.recv_many(&mut came, 100));
        }
        let (mut missed, mut refused) = (0, 0);
        for message in came {
            let (run, word) = message.payload.split_first_chunk().expect("a run");
            let run = u64::from_be_bytes(*run);
            if run == sharer.run {
                continue;
            }
            if word.is_empty() {
                let facts = NodeFacts {
                    version: "1".to_owned(),
                    connections: 0,
                    rooms: 0,
                    users: 0,
                    knows_all: false,
                };
                sharer.nodes.hear(run, "x", facts, now_ms);
                continue;
            }
            let word = ShareWord::read(word).expect("what was written");
            if matches!(&word.says, ShareSays::Question(runs) if runs.contains(&sharer.run)) {
                sharer.own.ask();
            }
            if sharer.nodes.knows(run) {
                let heard = sharer.shares.hear(run, word, now_ms);
                missed += u64::from(heard.is_behind_a_gap);
                refused += heard.refused;
            }
        }
        while let Some(member) = self.sharers[index].shares.next_changed() {
            let placed = &mut self.sharers[index].placed;
            let key = (member.run, member.key);
            match member.shown {
                Some(shown) => drop(placed.insert(key, shown.state)),
                None => drop(placed.remove(&key)),
            }
        }
        self.count("missed", missed);
        self.count("refused", refused);
    }

    /// It dies, and comes back as another, which the old one's lease outlives.
    fn kill(&mut self, index: usize) {
        self.runs += 1;
        let sharer = &mut self.sharers[index];
        sharer.run = self.runs;
        sharer.nodes = Nodes::new(LEASE_MS);
        sharer.own = OwnShare::default();
        sharer.shares = Shares::of_bytes(self.bytes_max);
        sharer.items.clear();
        sharer.placed.clear();
        self.model.fail(index, ModelFault::Cut);
        self.count("killed", 1);
    }

    fn happen(&mut self, random: &mut fastrand::Rng) {
        let index = random.usize(0..NODES);
        match random.u8(0..32) {
            0..14 => {
                let (key, value) = something(random);
                let sharer = &mut self.sharers[index];
                sharer.own.set(key.clone(), value.clone());
                match value {
                    Some(value) => drop(sharer.items.insert(key, value)),
                    None => drop(sharer.items.remove(&key)),
                }
            }
            14 => {
                self.model.fail(index, ModelFault::Cut);
                self.count("cut", 1);
            }
            15..18 => {
                self.model.fail(index, ModelFault::Mend);
                self.count("mended", 1);
            }
            18 => {
                self.model.fail(index, ModelFault::DropWaiting);
                self.count("lost", 1);
            }
            19 => {
                self.model.fail(index, ModelFault::DropSilently);
                self.count("unnoticed", 1);
            }
            20 if random.bool() => self.kill(index),
            21 => {
                // Events were lost, and all topics are looked through.
                let sharer = &mut self.sharers[index];
                let nine = ShareValue::Members(9);
                sharer.items.insert(ShareKey::Topic(topic(0)), nine);
                let topics = sharer.items.iter();
                let topics = topics.filter(|(key, _)| matches!(key, ShareKey::Topic(_)));
                let topics = topics.map(|(key, value)| (key.clone(), Some(value.clone())));
                sharer.own.set_topics(None, None, topics.collect());
            }
            _ => {
                self.model.deliver(index, random.usize(0..8));
                self.hear(index);
            }
        }
        self.now_ms += random.u64(0..6);
        self.work(index, random.usize(0..3), random.usize(1..60));
        if random.u8(0..4) == 0 {
            self.say_alive(random.usize(0..NODES));
        }
    }

    /// Nothing breaks any more, for two leases: one in which the dead are forgotten, and one for
    /// questions and answers.
    fn settle(&mut self) {
        for index in 0..NODES {
            self.model.fail(index, ModelFault::Mend);
        }
        for step in 0..2 * LEASE_MS / 5 {
            self.now_ms += 5;
            for index in 0..NODES {
                self.work(index, 4, 40);
                if step % 4 == 0 {
                    self.say_alive(index);
                }
            }
            for index in 0..NODES {
                self.model.deliver(index, usize::MAX);
                self.hear(index);
            }
        }
    }

    fn check(&mut self) {
        for (index, sharer) in self.sharers.iter().enumerate() {
            let others = || self.sharers.iter().filter(|other| other.run != sharer.run);
            let mut truth = BTreeMap::new();
            for (key, value) in others().flat_map(|other| &other.items) {
                if let (ShareKey::Topic(topic), ShareValue::Members(members)) = (key, value) {
                    *truth.entry(topic.clone()).or_insert(0) += u64::from(*members);
                }
            }
            let known = sharer.shares.from(Bound::Unbounded);
            let known: BTreeMap<TopicName, u64> =
                known.map(|(topic, sum)| (topic.clone(), sum)).collect();
            let is_all = known == truth && sharer.placed == present(others());
            let are_whole = others().all(|other| sharer.shares.is_whole(other.run));
            if self.bytes_max == Shares::BYTES_MAX {
                assert_eq!(known, truth, "what {index} knows");
                assert_eq!(
                    sharer.placed,
                    present(others()),
                    "whom the rooms of {index} know"
                );
                assert!(are_whole, "{index} knows that it knows all");
                continue;
            }
            // Who has no room for all does not say that it knows all, and what it has was true.
            assert!(!are_whole || is_all, "{index} knows whether it knows all");
            assert!(sharer.shares.bytes() <= self.bytes_max);
            for other in others() {
                for number in 0..TOPICS {
                    let topic = topic(number);
                    let at = sharer.shares.at(other.run, &topic);
                    let really = match other.items.get(&ShareKey::Topic(topic)) {
                        Some(ShareValue::Members(members)) => *members,
                        _ => 0,
                    };
                    assert!(at == really || at == 0, "{index} of {number}");
                }
            }
            let really = present(others());
            let is_true = |(key, _): (&(u64, PresenceKey), _)| really.contains_key(key);
            assert!(sharer.placed.iter().all(is_true), "{index} has ghosts");
        }
    }
}

#[test]
fn whatever_breaks_each_node_comes_to_know_what_all_have() {
    SEEDS.run(|seed, _| {
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes_max = match random.u8(0..4) {
            0 => random.usize(200..3_000),
            _ => Shares::BYTES_MAX,
        };
        let mut sharing = SimSharing::new(bytes_max);
        for _ in 0..random.usize(20..250) {
            sharing.happen(&mut random);
        }
        sharing.settle();
        sharing.check();
        sharing.tally
    });
}
