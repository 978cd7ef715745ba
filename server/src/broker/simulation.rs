//! Nodes of a cluster over the model broker, by seed: members come and go, links break and come
//! back, messages are lost on the way, subscriptions are refused; rooms have subjects of their
//! own, or share some. Whatever happened, once nothing breaks any more, what the broker was told is
//! what each node wants, a message reaches exactly the nodes with members, once, and every node
//! knows all that are there and none that is not. A room that the broker has taken is heard all the
//! while.

use crate::broker::adapter::{Broker, BrokerError, Outbound};
use crate::broker::inbox::{Inbox, Incoming};
use crate::broker::interest::{Interest, Steps};
use crate::broker::model::{Model, ModelBroker, ModelFault};
use crate::broker::nodes::{IsConnected, NodeFacts, Nodes};
use crate::broker::partitions::Partitions;
use crate::broker::subject::Subject;
use futures_util::FutureExt;
use shardcast_seeds::{Seeds, Tally};
use std::collections::BTreeSet;
use std::num::NonZeroU16;

const SEEDS: Seeds = Seeds {
    again: "cargo test -p shardcast --lib broker::simulation",
    count: 2_000,
    happenings: &[
        "cut",
        "mended",
        "lost",
        "silenced",
        "refused",
        "refused what shares",
        "expired",
        "forgot",
        "heard",
    ],
    least: 200,
};

const NODES: usize = 4;
const ROOMS: u8 = 5;
const LEASE_MS: u64 = 100;

struct SimNode {
    broker: ModelBroker,
    inbox: Inbox,
    interest: Interest,
    /// `None`: each room has its own subject.
    partitions: Option<Partitions>,
    /// What the broker has taken, and was not told the end of.
    told: BTreeSet<Subject>,
    nodes: Nodes,
    losses: u64,
    /// Rooms with members.
    active: BTreeSet<Subject>,
    is_silent: bool,
}

struct SimCluster {
    model: Model,
    nodes: Vec<SimNode>,
    now_ms: u64,
    tally: Tally,
}

fn room(number: u8) -> Subject {
    Subject::Room(number.to_string().into())
}

/// The model never waits.
fn at_once<T>(asked: impl Future<Output = T>) -> T {
    asked.now_or_never().expect("the model answers at once")
}

impl SimNode {
    /// Where what is said to a room is published.
    fn at_broker(&self, subject: &Subject) -> Subject {
        match (&self.partitions, subject) {
            (Some(partitions), Subject::Room(room)) => partitions.of(room),
            (_, subject) => subject.clone(),
        }
    }

    /// Whether it takes what it hears of a room.
    fn hears(&self, subject: &Subject) -> bool {
        match (&self.partitions, subject) {
            (Some(partitions), Subject::Room(room)) => partitions.hears(room),
            _ => true,
        }
    }

    fn forget(&mut self) {
        self.interest.forget();
        if let Some(partitions) = &self.partitions {
            partitions.forget();
        }
    }

    /// Tells the broker some of what it is to know.
    fn tell(&mut self, steps_max: usize) -> Result<(), BrokerError> {
        let steps = self.interest.steps(steps_max);
        let is_all = steps_max > 0 && steps == Steps::default();
        let told = self.take_steps(&steps, is_all);
        match told {
            Ok(()) => self.told.extend(steps.subscribe),
            Err(_) => {
                self.forget();
                self.interest.end_again(steps.unsubscribe.clone());
            }
        }
        for subject in &steps.unsubscribe {
            self.told.remove(subject);
        }
        told
    }

    fn take_steps(&self, steps: &Steps, is_all: bool) -> Result<(), BrokerError> {
        let Some(partitions) = &self.partitions else {
            at_once(self.broker.subscribe(&steps.subscribe))?;
            return at_once(self.broker.unsubscribe(&steps.unsubscribe));
        };
        let steps = partitions.steps(steps.clone(), |_| false);
        at_once(self.broker.subscribe(&steps.subscribe))?;
        at_once(self.broker.unsubscribe(&steps.unsubscribe))?;
        partitions.ended(&steps.unsubscribe);
        if is_all {
            let left_over = partitions.left_over();
            at_once(self.broker.unsubscribe(&left_over))?;
            partitions.ended(&left_over);
        }
        Ok(())
    }
}

impl SimCluster {
    fn new(linger_ms: u64, partitions: Option<NonZeroU16>) -> SimCluster {
        let model = Model::default();
        let node = |_| {
            let (sender, inbox) = Inbox::new(10_000, 1 << 20);
            let mut interest = Interest::new(linger_ms);
            interest.activate(Subject::Nodes);
            SimNode {
                broker: model.node(sender),
                inbox,
                interest,
                partitions: partitions.map(Partitions::new),
                told: BTreeSet::new(),
                nodes: Nodes::new(LEASE_MS),
                losses: 0,
                active: BTreeSet::new(),
                is_silent: false,
            }
        };
        let nodes = (0..NODES).map(node).collect();
        SimCluster {
            model,
            nodes,
            now_ms: 0,
            tally: Tally::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// What the tasks of a bridge do between two events.
    fn step(&mut self, index: usize, steps_max: usize) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[index];
        let link = *node.broker.link().borrow();
        let is_connected = match link.connected {
            true => IsConnected::Yes,
            false => IsConnected::No,
        };
        node.nodes.connected(is_connected, now_ms);
        let mut forgot = std::mem::replace(&mut node.losses, link.losses) != link.losses;
        if forgot {
            node.told.clear();
            node.forget();
        }
        node.interest.expire(now_ms);
        if link.connected && node.tell(steps_max).is_err() {
            forgot = true;
            let what = match node.partitions {
                Some(_) => "refused what shares",
                None => "refused",
            };
            self.count(what);
        }
        if forgot {
            self.count("forgot");
        }
        let node = &self.nodes[index];
        for subject in node.told.intersection(&node.active) {
            assert!(node.hears(subject), "{index} and {subject:?}");
        }
    }

    /// A node says to all that it is there, or to a room what it has to say.
    fn say(&self, index: usize, subject: Subject, text: &str) -> bool {
        let node = &self.nodes[index];
        let to = match &subject {
            Subject::Room(room) => &**room,
            _ => "all",
        };
        let payload = format!("{index} {to} {text}").into();
        let subject = node.at_broker(&subject);
        at_once(node.broker.publish(&[Outbound { subject, payload }])).is_ok()
    }

    /// What a node hears: who is there, and all that is said in rooms.
    fn hear(&mut self, index: usize) -> Vec<String> {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[index];
        let mut came: Vec<Incoming> = Vec::new();
        while !node.inbox.is_empty() {
            at_once(node.inbox.recv_many(&mut came, 100));
        }
        let mut said = Vec::new();
        for message in came {
            let text = String::from_utf8_lossy(&message.payload).into_owned();
            let mut parts = text.splitn(3, ' ');
            let mut part = || parts.next().expect("a node, a room, and words");
            let (from, to, words) = (part(), part(), part());
            let from: u64 = from.parse().expect("a number");
            if words != "alive" {
                let hears = |partitions: &Partitions| partitions.hears(to);
                if node.partitions.as_ref().is_none_or(hears) {
                    said.push(words.to_owned());
                }
            } else if from != index as u64 {
                let facts = NodeFacts {
                    version: "1".to_owned(),
                    connections: 0,
                    rooms: 0,
                    users: 0,
                    knows_all: false,
                };
                node.nodes.hear(from, &format!("n{from}"), facts, now_ms);
            }
        }
        let gone = node.nodes.expire(now_ms).len();
        (0..gone).for_each(|_| self.count("expired"));
        said
    }

    /// Something happens.
    fn happen(&mut self, random: &mut fastrand::Rng) {
        let index = random.usize(0..NODES);
        let subject = room(random.u8(0..ROOMS));
        match random.u8(0..20) {
            0..5 => {
                let node = &mut self.nodes[index];
                node.active.insert(subject.clone());
                node.interest.activate(subject);
            }
            5..9 => {
                let node = &mut self.nodes[index];
                node.active.remove(&subject);
                node.interest.leave(subject, self.now_ms);
            }
            9 => {
                self.model.fail(index, ModelFault::Cut);
                self.count("cut");
            }
            10..12 => {
                self.model.fail(index, ModelFault::Mend);
                self.count("mended");
            }
            12 => {
                self.model.fail(index, ModelFault::DropWaiting);
                self.count("lost");
            }
            13 => self.model.fail(index, ModelFault::Refuse),
            14 => {
                let node = &mut self.nodes[index];
                node.is_silent = !node.is_silent;
                self.count("silenced");
            }
            _ => {
                self.model.deliver(index, random.usize(0..4));
                let heard = self.hear(index).len();
                (0..heard).for_each(|_| self.count("heard"));
                self.say(index, subject, "something");
            }
        }
        self.now_ms += random.u64(0..8);
        self.step(index, random.usize(0..4));
        for index in 0..NODES {
            if !self.nodes[index].is_silent && random.u8(0..4) == 0 {
                self.say(index, Subject::Nodes, "alive");
            }
        }
    }

    /// Nothing breaks any more, and everybody goes on for a lease and the linger.
    fn settle(&mut self, linger_ms: u64) {
        for index in 0..NODES {
            self.model.fail(index, ModelFault::Mend);
        }
        for _ in 0..(LEASE_MS + linger_ms) / 10 + 3 {
            self.now_ms += 10;
            for index in 0..NODES {
                self.step(index, 100);
                if !self.nodes[index].is_silent {
                    self.say(index, Subject::Nodes, "alive");
                }
            }
            for index in 0..NODES {
                self.model.deliver(index, usize::MAX);
                self.hear(index);
            }
        }
    }

    fn check(&mut self) {
        let speaking = |node: &SimNode| !node.is_silent;
        let there = self.nodes.iter().filter(|node| speaking(node)).count();
        for (index, node) in self.nodes.iter().enumerate() {
            for number in 0..ROOMS {
                let subject = room(number);
                let shares = |other: &&Subject| node.at_broker(other) == node.at_broker(&subject);
                let wanted = node.active.iter().any(|other| shares(&other));
                let has = self.model.has(index, &node.at_broker(&subject));
                assert_eq!(has, wanted, "{index} and {number}");
                let hears = has && node.hears(&subject);
                assert_eq!(
                    hears,
                    node.active.contains(&subject),
                    "{index} and {number}"
                );
            }
            let others = there - usize::from(speaking(node));
            assert_eq!(node.nodes.iter().count(), others, "whom {index} knows");
        }
        for number in 0..ROOMS {
            assert!(self.say(0, room(number), "last"), "it is connected");
            for index in 0..NODES {
                self.model.deliver(index, usize::MAX);
                let expected = usize::from(self.nodes[index].active.contains(&room(number)));
                assert_eq!(
                    self.hear(index),
                    vec!["last"; expected],
                    "{index} and {number}"
                );
            }
        }
    }
}

#[test]
fn whatever_breaks_all_comes_to_be_as_it_should() {
    SEEDS.run(|seed, _| {
        let mut random = fastrand::Rng::with_seed(seed);
        let linger_ms = random.u64(0..40);
        let partitions = random.bool().then(|| random.u16(1..4));
        let partitions = partitions.and_then(NonZeroU16::new);
        let mut cluster = SimCluster::new(linger_ms, partitions);
        for _ in 0..random.usize(20..200) {
            cluster.happen(&mut random);
        }
        cluster.settle(linger_ms);
        cluster.check();
        cluster.tally
    });
}
