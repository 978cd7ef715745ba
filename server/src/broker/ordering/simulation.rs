//! One ordered room at several nodes over the model broker, by seed: messages are published, heard
//! late, lost with and without a word, links break, the broker keeps little or not for long,
//! forgets what it has acknowledged, or everything; its logs are of one room each, or of a stream,
//! which others append to while it is read; a node's reload takes the room away and brings it back.
//! Whatever happened, what members are sent is what was appended, in its order, without a gap or a
//! repeat, until they are sent away; and once nothing breaks any more, every node has what the
//! broker has.

use crate::broker::adapter::{Append, Broker, KeptInLog, LogEntry, LogPage, ReadLog};
use crate::broker::envelope::{Body, Envelope, MessageId, Recipient};
use crate::broker::inbox::{Inbox, Incoming};
use crate::broker::model::{Model, ModelBroker, ModelFault, ModelLogs, ModelRace};
use crate::broker::ordering::entry::OrderedEntry;
use crate::broker::ordering::room::{OrderedOutcome, OrderedRoom, OrderedStep};
use crate::broker::subject::Subject;
use futures_util::FutureExt;
use shardcast_engine::{Data, DataEncoding, LogStep, Position};
use shardcast_seeds::{Seeds, Tally};
use std::time::Duration;

const SEEDS: Seeds = Seeds {
    again: "cargo test -p shardcast --lib broker::ordering::simulation",
    count: 3_000,
    happenings: &[
        "placed",
        "repeated",
        "cut",
        "lost silently",
        "forgot the newest",
        "forgot all",
        "repaired",
        "restarted",
        "wanted",
        "stale answer",
        "aged",
        "followed what had aged",
        "of a stream",
        "appended while it is read",
        "not taken",
    ],
    least: 200,
};

const NODES: usize = 3;
const ROOM: &str = "r";

/// What a home and its members have.
#[derive(Default)]
struct SimHome {
    epoch: u64,
    newest: u64,
    is_ready: bool,
    /// What members were sent since they came, and where they came.
    sent: Vec<(u64, MessageId)>,
    since: u64,
}

struct SimNode {
    broker: ModelBroker,
    inbox: Inbox,
    room: OrderedRoom,
    home: SimHome,
    losses: u64,
    /// An answer that is on its way.
    answer: Option<LogPage>,
    is_clearing: bool,
    /// It had no connection while something was trimmed for its age.
    was_away: bool,
    /// A reload has taken the room away.
    is_unnamed: bool,
}

struct SimCluster {
    model: Model,
    nodes: Vec<SimNode>,
    keep: KeptInLog,
    number: u64,
    tally: Tally,
}

fn at_once<T>(asked: impl Future<Output = T>) -> T {
    asked.now_or_never().expect("the model answers at once")
}

fn payload(id: MessageId) -> Vec<u8> {
    let envelope = Envelope {
        place: None,
        id,
        recipient: Recipient::Room(ROOM),
        body: Body::Event { name: "e" },
        key: "",
        conflate: "",
        data: Data::Text("x"),
        encoding: DataEncoding::default(),
    };
    envelope.write().expect("it is short")
}

impl SimHome {
    fn step(&mut self, step: LogStep) {
        match step {
            LogStep::Halt => self.is_ready = false,
            LogStep::Begin { epoch, next } => {
                assert!(!self.is_ready, "members are in the middle of it");
                (self.epoch, self.newest) = (epoch, next - 1);
            }
            LogStep::Ready if !self.is_ready => {
                self.is_ready = true;
                self.since = self.newest;
            }
            LogStep::Ready | LogStep::Refuse | LogStep::End => {}
        }
    }

    /// As an engine does it: what follows is kept, and nothing else.
    fn publish(&mut self, entry: &OrderedEntry, model: &Model) {
        let place = entry.place;
        assert_eq!(place.epoch, self.epoch, "another log's");
        if place.offset <= self.newest {
            return;
        }
        assert_eq!(place.previous, self.newest, "a gap before {place:?}");
        if self.is_ready {
            let appended = LogEntry {
                place,
                payload: entry.payload.clone(),
                age: entry.age,
            };
            let is_lost = model.has_between(ROOM, self.newest, &appended);
            assert!(!is_lost, "something between {} and {place:?}", self.newest);
            self.sent.push((place.offset, entry.id));
        }
        self.newest = place.offset;
    }
}

impl SimCluster {
    fn new(random: &mut fastrand::Rng) -> SimCluster {
        let model = Model::default();
        let kind = match random.bool() {
            true => ModelLogs::OfStream,
            false => ModelLogs::Single,
        };
        model.keep_logs(kind);
        let nodes = (0..NODES).map(|_| {
            let (sender, inbox) = Inbox::new(10_000, 1 << 20);
            SimNode {
                broker: model.node(sender),
                inbox,
                room: OrderedRoom::default(),
                home: SimHome::default(),
                losses: 0,
                answer: None,
                is_clearing: false,
                was_away: false,
                is_unnamed: false,
            }
        });
        SimCluster {
            nodes: nodes.collect(),
            model,
            keep: KeptInLog {
                entries_max: if random.bool() { 4 } else { 10_000 },
                ttl: Duration::from_secs(60),
                epoch_ttl: Duration::from_secs(60),
            },
            number: 0,
            tally: Tally::from([("of a stream", (kind == ModelLogs::OfStream).into())]),
        }
    }

    fn count(&mut self, what: &'static str, times: u64) {
        if times > 0 {
            *self.tally.entry(what).or_default() += times;
        }
    }

    fn append(&mut self, index: usize, random: &mut fastrand::Rng) -> Append {
        self.number += 1;
        let id = MessageId {
            run: index as u64 + 1,
            number: self.number,
        };
        let key = random.u8(0..20);
        let key = (key < 3).then(|| (key.to_string().into(), Duration::from_secs(1)));
        Append {
            room: ROOM.into(),
            payload: payload(id).into(),
            key,
            keep: self.keep,
        }
    }

    fn publish(&mut self, index: usize, random: &mut fastrand::Rng) {
        let append = self.append(index, random);
        if let Ok(appended) = at_once(self.nodes[index].broker.append(append)) {
            self.count("placed", 1);
            self.count("repeated", u64::from(appended.is_duplicate));
        }
    }

    /// What the tasks of a bridge do about the connection.
    fn follow_link(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let link = *node.broker.link().borrow();
        if std::mem::replace(&mut node.losses, link.losses) != link.losses || !link.connected {
            node.room.unheard();
        }
        let subject = Subject::Room(ROOM.into());
        if link.connected && std::mem::take(&mut node.was_away) {
            node.room.was_away();
        }
        if link.connected && !self.model.has(index, &subject) {
            at_once(node.broker.subscribe(&[subject])).expect("it is connected");
            node.room.subscribed();
        }
    }

    fn hear(&mut self, index: usize, count: usize) {
        self.model.deliver(index, count);
        let node = &mut self.nodes[index];
        let mut messages: Vec<Incoming> = Vec::new();
        if !node.inbox.is_empty() {
            at_once(node.inbox.recv_many(&mut messages, 1_000));
        }
        for message in messages {
            let envelope = Envelope::read(&message.payload).expect("our own");
            let (_, entry) = OrderedEntry::heard(&message, &envelope).expect("with its place");
            let outcome = self.nodes[index].room.heard(entry);
            self.act(index, outcome);
        }
    }

    fn ask(&mut self, index: usize, limit: u32) {
        let keep = self.keep;
        let node = &mut self.nodes[index];
        if node.is_unnamed {
            return;
        }
        let Some(ask) = node.room.ask() else { return };
        let read = ReadLog {
            room: ROOM.into(),
            keep,
            after: ask.after,
            limit,
        };
        match at_once(node.broker.open(read, ask.over)) {
            Ok(page) => node.answer = Some(page),
            Err(_) => node.room.unanswered(),
        }
    }

    /// What is asked is read while others append.
    fn ask_in_a_race(&mut self, index: usize, random: &mut fastrand::Rng) {
        let others = 0..random.usize(1..8);
        let race = ModelRace {
            read: random.usize(0..4),
            appends: others.map(|_| self.append(index, random)).collect(),
        };
        let has_question = self.nodes[index].room.has_question();
        self.count("appended while it is read", has_question.into());
        self.model.race(Some(race));
        self.ask(index, 1_000);
        self.model.race(None);
    }

    fn answer(&mut self, index: usize) {
        if let Some(page) = self.nodes[index].answer.take() {
            let outcome = self.nodes[index].room.answered(page);
            self.act(index, outcome);
        }
    }

    fn act(&mut self, index: usize, outcome: OrderedOutcome) {
        self.count("repaired", outcome.repaired);
        self.count("restarted", outcome.restarts);
        let node = &mut self.nodes[index];
        for step in outcome.steps {
            match step {
                OrderedStep::Log(step) => node.home.step(step),
                OrderedStep::Publish(entry) if node.is_unnamed => {
                    node.room.untaken(entry.place);
                    return self.count("not taken", 1);
                }
                OrderedStep::Publish(entry) => node.home.publish(&entry, &self.model),
                OrderedStep::SendAway => {
                    assert!(!node.home.is_ready, "nobody comes meanwhile");
                    node.home.sent.clear();
                    node.is_clearing = true;
                }
            }
        }
    }

    fn want(&mut self, index: usize) {
        let SimHome {
            epoch,
            newest: offset,
            is_ready,
            ..
        } = self.nodes[index].home;
        let has = is_ready.then_some(Position { epoch, offset });
        self.nodes[index].room.want(has);
    }

    fn happen(&mut self, random: &mut fastrand::Rng) {
        let index = random.usize(0..NODES);
        match random.u8(0..100) {
            0..30 => self.publish(index, random),
            30..50 => self.hear(index, random.usize(0..4)),
            50..59 => self.ask(index, random.u32(1..5)),
            59..62 => self.ask_in_a_race(index, random),
            62..74 => self.answer(index),
            74..80 => self.follow_link(index),
            80..84 => {
                self.model.fail(index, ModelFault::Cut);
                self.count("cut", 1);
            }
            84..88 => self.model.fail(index, ModelFault::Mend),
            88..90 => {
                self.model.fail(index, ModelFault::DropSilently);
                self.count("lost silently", 1);
            }
            90..92 => self.nodes[index].room.check(),
            92..94 => {
                self.count("stale answer", self.nodes[index].answer.is_some().into());
                self.want(index);
                self.count("wanted", 1);
            }
            94..97 => self.clear(index),
            97 => self.nodes[index].is_unnamed = !self.nodes[index].is_unnamed,
            98 if random.bool() => self.crash(random.usize(1..4)),
            98 => self.age(random.usize(1..6)),
            _ if random.u8(0..4) == 0 => {
                self.model.forget_logs();
                self.count("forgot all", 1);
                self.everybody_is_cut();
            }
            _ => {}
        }
    }

    fn clear(&mut self, index: usize) {
        if std::mem::take(&mut self.nodes[index].is_clearing) {
            self.nodes[index].room.cleared();
        }
    }

    /// Nothing was appended for a while, but by others. Whoever hears the room has looked at it in
    /// that time.
    fn age(&mut self, count: usize) {
        for index in 0..NODES {
            self.follow_link(index);
            self.hear(index, usize::MAX);
            for _ in 0..8 {
                self.answer(index);
                self.nodes[index].room.check();
                self.ask(index, 1_000);
                self.answer(index);
            }
        }
        for node in &mut self.nodes {
            node.was_away |= !node.broker.link().borrow().connected || node.is_unnamed;
        }
        self.model.age(ROOM, count);
        self.count("aged", 1);
        let restarts = self.tally.get("restarted").copied();
        let quiet: Vec<bool> = (0..NODES).map(|index| self.is_settled(index)).collect();
        self.publish(0, &mut fastrand::Rng::with_seed(count as u64));
        for index in (0..NODES).filter(|index| quiet[*index]) {
            self.hear(index, usize::MAX);
            self.ask(index, 1_000);
            self.answer(index);
        }
        if quiet.iter().all(|quiet| *quiet) {
            let now = self.tally.get("restarted").copied();
            assert_eq!(now, restarts, "nothing was lost");
            self.count("followed what had aged", 1);
        }
    }

    /// Whether a node hears the room, and has looked at it.
    fn is_settled(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        let link = *node.broker.link().borrow();
        let hears = self.model.has(index, &Subject::Room(ROOM.into()));
        let is_right = node.home.is_ready && node.home.epoch == self.model.epoch(ROOM);
        let has_all = !node.is_clearing && !node.room.has_question() && !node.is_unnamed;
        link.connected && hears && is_right && has_all
    }

    /// The broker comes back without the newest that it had acknowledged.
    fn crash(&mut self, entries: usize) {
        self.model.forget_newest(ROOM, entries);
        self.count("forgot the newest", 1);
        self.everybody_is_cut();
    }

    /// A broker that has lost something was away.
    fn everybody_is_cut(&mut self) {
        for index in 0..NODES {
            self.model.fail(index, ModelFault::Cut);
            self.model.fail(index, ModelFault::Mend);
        }
    }

    fn settle(&mut self) {
        for _ in 0..60 {
            for index in 0..NODES {
                self.nodes[index].is_unnamed = false;
                self.model.fail(index, ModelFault::Mend);
                self.follow_link(index);
                self.hear(index, usize::MAX);
                self.clear(index);
                self.answer(index);
                self.ask(index, 1_000);
                self.answer(index);
            }
        }
        for index in 0..NODES {
            self.nodes[index].room.check();
            self.ask(index, 1_000);
            self.answer(index);
        }
    }

    fn check(&self) {
        let log = self.model.log(ROOM);
        let log = log.into_iter().filter_map(OrderedEntry::of_log);
        let log: Vec<OrderedEntry> = log.collect();
        for (index, node) in self.nodes.iter().enumerate() {
            let home = &node.home;
            assert!(home.is_ready, "node {index}: {:?}", node.room);
            if let Some(last) = log.last() {
                let newest = (last.place.epoch, last.place.offset);
                assert_eq!((home.epoch, home.newest), newest, "node {index}");
            }
            // What the broker has since the members came is what they were sent last.
            let since = log.iter().filter(|entry| entry.place.offset > home.since);
            let since: Vec<_> = since.map(|entry| (entry.place.offset, entry.id)).collect();
            assert!(
                home.sent.ends_with(&since),
                "node {index} was sent {:?}, and the broker has {since:?}",
                home.sent
            );
            assert!(home.sent.is_sorted_by(|one, next| one.0 < next.0));
        }
    }
}

#[test]
fn members_are_sent_the_brokers_log_whatever_breaks() {
    SEEDS.run(|seed, _| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut cluster = SimCluster::new(&mut random);
        for _ in 0..random.usize(20..300) {
            cluster.happen(&mut random);
        }
        cluster.settle();
        cluster.publish(0, &mut random);
        cluster.settle();
        cluster.check();
        cluster.tally
    });
}
