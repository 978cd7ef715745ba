//! A broker in memory, for tests: it keeps its promises and has the faults that brokers have, and
//! nothing happens in it by itself.
//!
//! What is published waits in each subscriber's own queue until [`Model::deliver`] brings it on, so
//! a test decides by seed who hears what when. Nodes are cut off and come back, the broker is
//! stopped, it refuses subscriptions, and it drops what a slow subscriber has not taken. Logs are
//! those of rooms by themselves, or parts of one stream as JetStream's are, which is read entry by
//! entry while others append. Used by tests alone.

use crate::broker::adapter::{
    Append, Appended, Broker, BrokerError, Link, LogEntry, LogPage, LogPlace, Outbound, ReadLog,
};
use crate::broker::envelope::Envelope;
use crate::broker::inbox::{InboxSender, Incoming};
use crate::broker::pages::{chain, leave_whole};
use crate::broker::subject::Subject;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The broker with all its nodes. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Model(Arc<Mutex<World>>);

/// One node's way to it.
#[derive(Clone, Debug)]
pub struct ModelBroker {
    world: Model,
    node: usize,
    link: watch::Receiver<Link>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelFault {
    /// The node's connection breaks: what waits for it is lost, and its subscriptions.
    Cut,
    /// What waits for the node is lost, and it is told that something was.
    DropWaiting,
    /// What waits for the node is lost and nobody is told: no broker promises as little, and the
    /// position check finds it nevertheless.
    DropSilently,
    /// The node's next subscriptions and ends of subscriptions are refused, and its connection
    /// stands.
    Refuse,
    /// The node's connection is there again, and nothing is refused.
    Mend,
}

/// How the broker keeps logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelLogs {
    /// Each by itself: it knows of every entry the one before it.
    #[default]
    Single,
    /// As parts of a stream, whose sequence gives the offsets: it knows what it still has.
    OfStream,
}

/// What happens while a log is read.
#[derive(Clone, Debug)]
pub struct ModelRace {
    /// Once so many of its entries were read.
    pub read: usize,
    /// These are appended.
    pub appends: Vec<Append>,
}

#[derive(Debug, Default)]
struct World {
    nodes: Vec<Node>,
    kind: ModelLogs,
    logs: HashMap<Arc<str>, ModelLog>,
    epochs: u64,
    /// Appends so far.
    appends: u64,
    /// While a log is read the next time.
    race: Option<ModelRace>,
}

#[derive(Debug)]
struct Node {
    link: watch::Sender<Link>,
    subjects: BTreeSet<Subject>,
    refuses: bool,
    waiting: VecDeque<Incoming>,
    inbox: InboxSender,
}

#[derive(Debug, Default)]
struct ModelLog {
    epoch: u64,
    /// What is before this offset was trimmed for its age.
    first: u64,
    /// The newest offset that was given, to whomever.
    newest: u64,
    entries: VecDeque<LogEntry>,
    entries_max: usize,
    keys: HashMap<Arc<str>, LogPlace>,
    /// All of the room that was not forgotten.
    appended: BTreeMap<u64, Bytes>,
    /// It has forgotten some in this epoch.
    has_forgotten: bool,
}

impl Model {
    /// One node more, connected, with its inbox.
    pub fn node(&self, inbox: InboxSender) -> ModelBroker {
        let (link, receiver) = watch::channel(Link {
            connected: true,
            losses: 0,
        });
        let mut world = self.world();
        world.nodes.push(Node {
            link,
            subjects: BTreeSet::new(),
            refuses: false,
            waiting: VecDeque::new(),
            inbox,
        });
        ModelBroker {
            world: self.clone(),
            node: world.nodes.len() - 1,
            link: receiver,
        }
    }

    /// Lets something go wrong for a node, in the order in which they were made.
    pub fn fail(&self, node: usize, fault: ModelFault) {
        let node = &mut self.world().nodes[node];
        match fault {
            ModelFault::Cut => {
                node.waiting.clear();
                node.subjects.clear();
                node.link.send_modify(|link| {
                    link.losses += u64::from(link.connected);
                    link.connected = false;
                });
            }
            ModelFault::DropWaiting => {
                node.waiting.clear();
                node.link.send_modify(|link| link.losses += 1);
            }
            ModelFault::DropSilently => node.waiting.clear(),
            ModelFault::Refuse => node.refuses = true,
            ModelFault::Mend => {
                node.refuses = false;
                node.link.send_modify(|link| link.connected = true);
            }
        }
    }

    /// Keeps logs in this way; before there are any.
    pub fn keep_logs(&self, kind: ModelLogs) {
        self.world().kind = kind;
    }

    /// Lets something happen while a log is read the next time, if it is part of a stream: those
    /// are handed out entry by entry. `None`: nothing.
    pub fn race(&self, race: Option<ModelRace>) {
        self.world().race = race;
    }

    /// Time passes: the oldest entries of a room go, be they all that it has, and where it is a
    /// part of a stream, others append to that.
    pub fn age(&self, room: &str, count: usize) {
        let mut world = self.world();
        let is_of_stream = world.kind == ModelLogs::OfStream;
        let Some(log) = world.logs.get_mut(room) else {
            return;
        };
        let before = log.newest;
        log.newest += u64::from(is_of_stream) * 3;
        let count = count.min(log.entries.len());
        if let Some(last) = log.entries.drain(..count).next_back() {
            log.first = last.place.offset + 1;
        }
        if is_of_stream && log.entries.is_empty() {
            // What others have appended just now is not old.
            log.first = before + 1;
        }
    }

    /// Whether something of a room was appended between an offset and one of its entries, and
    /// neither was forgotten. A stream that has forgotten something cannot tell what it had trimmed
    /// before, until whoever knew that ends its epoch.
    pub fn has_between(&self, room: &str, after: u64, entry: &LogEntry) -> bool {
        let LogPlace { epoch, offset, .. } = entry.place;
        let world = self.world();
        let log = world.logs.get(room).filter(|log| log.epoch == epoch);
        let log = log.filter(|log| world.kind == ModelLogs::Single || !log.has_forgotten);
        let log = log.filter(|log| log.appended.get(&offset) == Some(&entry.payload));
        log.is_some_and(|log| log.appended.range(after + 1..offset).next().is_some())
    }

    /// The epoch of a room's log; 0: there is none.
    pub fn epoch(&self, room: &str) -> u64 {
        self.world().logs.get(room).map_or(0, |log| log.epoch)
    }

    /// The broker forgets all logs: what was appended next begins a new epoch.
    pub fn forget_logs(&self) {
        self.world().logs.clear();
    }

    /// The broker forgets the newest entries of a room's log, as one that crashes before they are
    /// on its disk.
    pub fn forget_newest(&self, room: &str, count: usize) {
        let mut world = self.world();
        let kind = world.kind;
        if let Some(log) = world.logs.get_mut(room) {
            let left = log.entries.len().saturating_sub(count);
            if let Some(first) = log.entries.get(left) {
                log.newest = match kind {
                    ModelLogs::Single => first.place.previous,
                    ModelLogs::OfStream => first.place.offset - 1,
                };
                log.entries.truncate(left);
                let newest = log.newest;
                log.keys.retain(|_, place| place.offset <= newest);
                log.appended.retain(|offset, _| *offset <= newest);
                log.has_forgotten = true;
            }
        }
    }

    /// Brings up to so many messages that wait for a node into its inbox. How many there were.
    pub fn deliver(&self, node: usize, count: usize) -> usize {
        let node = &mut self.world().nodes[node];
        let count = count.min(node.waiting.len());
        for message in node.waiting.drain(..count) {
            node.inbox.offer(message);
        }
        count
    }

    /// What a room's log has, in order.
    pub fn log(&self, room: &str) -> Vec<LogEntry> {
        let world = self.world();
        let entries = world.logs.get(room).map(|log| log.entries.iter().cloned());
        entries.into_iter().flatten().collect()
    }

    /// Whether a node has subscribed to this.
    pub fn has(&self, node: usize, subject: &Subject) -> bool {
        self.world().nodes[node].subjects.contains(subject)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn publish(&mut self, subject: &Subject, payload: &Bytes, place: Option<LogPlace>) {
        let nodes = self.nodes.iter_mut();
        for node in nodes.filter(|node| node.subjects.contains(subject)) {
            let payload = payload.clone();
            node.waiting.push_back(Incoming { payload, place });
        }
    }

    fn append(&mut self, append: Append) -> Appended {
        self.appends += 1;
        let (kind, skipped) = (self.kind, (self.appends - 1) % 3);
        let log = self.open(&append.room, None);
        let known = append.key.as_ref().and_then(|(key, _)| log.keys.get(key));
        if let Some(place) = known {
            return Appended {
                epoch: place.epoch,
                offset: place.offset,
                is_duplicate: true,
            };
        }
        // Offsets skip, as those of a stream that rooms share.
        let offset = log.newest + 1 + skipped;
        let previous = match (kind, log.entries.back()) {
            (ModelLogs::Single, _) => log.newest,
            (ModelLogs::OfStream, Some(last)) => last.place.offset,
            (ModelLogs::OfStream, None) if offset == 1 => 0,
            (ModelLogs::OfStream, None) => LogPlace::UNKNOWN,
        };
        let place = LogPlace {
            epoch: log.epoch,
            offset,
            previous,
        };
        log.newest = place.offset;
        log.appended.insert(place.offset, append.payload.clone());
        log.entries_max = append.keep.entries_max as usize;
        if let Some((key, _)) = append.key {
            log.keys.insert(key, place);
        }
        let payload = append.payload;
        log.entries.push_back(LogEntry {
            place,
            payload: payload.clone(),
            age: Duration::ZERO,
        });
        let kept = append.keep.entries_max as usize;
        let beyond = log.entries.len().saturating_sub(kept);
        log.entries.drain(..beyond);
        self.publish(&Subject::Room(append.room), &payload, Some(place));
        Appended {
            epoch: place.epoch,
            offset: place.offset,
            is_duplicate: false,
        }
    }
}

impl World {
    /// The log of a room, made if there is none, or if its epoch is over.
    fn open(&mut self, room: &Arc<str>, over: Option<u64>) -> &mut ModelLog {
        let World { logs, epochs, .. } = self;
        let log = logs.entry(room.clone()).or_default();
        if log.epoch == 0 || over == Some(log.epoch) {
            *epochs += 1;
            *log = ModelLog {
                epoch: *epochs,
                ..ModelLog::default()
            };
        }
        log
    }
}

impl World {
    fn read(&mut self, read: &ReadLog) -> LogPage {
        let (kind, limit) = (self.kind, read.limit as usize);
        let race = self.race.take_if(|_| kind == ModelLogs::OfStream);
        let Some(log) = self.logs.get(&read.room) else {
            return LogPage::default();
        };
        let (newest, mut entries) = (log.newest, Vec::new());
        let last = log.entries.back().map_or(0, |last| last.place.offset);
        if let Some(ModelRace {
            read: count,
            appends,
        }) = race
        {
            entries = log.behind(read.after, count.min(limit));
            for append in appends {
                self.append(append);
            }
        }
        let Some(log) = self.logs.get(&read.room) else {
            return LogPage::default();
        };
        let after = entries.last().map_or(read.after, |it| it.place.offset);
        entries.extend(log.behind(after, limit - entries.len()));
        let behind = match kind {
            ModelLogs::Single => entries.first().map_or(newest, |it| it.place.previous),
            ModelLogs::OfStream => log.behind_in_stream(read.after, &mut entries),
        };
        let read = entries.last().map_or(last, |it| it.place.offset);
        LogPage {
            epoch: log.epoch,
            newest: newest.max(read),
            behind,
            has_more: read < last,
            entries,
        }
    }
}

impl ModelLog {
    /// Up to so many entries behind an offset.
    fn behind(&self, after: u64, limit: usize) -> Vec<LogEntry> {
        let entries = self.entries.iter();
        let entries = entries.filter(|entry| entry.place.offset > after);
        entries.take(limit).cloned().collect()
    }

    /// Behind which offset nothing is missing before these entries, which were read one by one, as
    /// far as a stream knows.
    fn behind_in_stream(&self, after: u64, entries: &mut Vec<LogEntry>) -> u64 {
        let oldest = self.entries.front().map(|oldest| oldest.place.offset);
        let left_out = leave_whole(entries, oldest);
        let first = entries.first().map(|first| first.place.offset);
        let trimmed = self.first.saturating_sub(1);
        let is_full = left_out > 0 || self.entries.len() >= self.entries_max;
        let behind = match (oldest, first) {
            (Some(oldest), _) if oldest <= after => after,
            (_, Some(first)) if is_full => first - 1,
            (_, first) => after.max(trimmed).min(first.map_or(u64::MAX, |it| it - 1)),
        };
        chain(entries, behind);
        behind
    }
}

impl Node {
    fn takes(&mut self, subjects: &[Subject]) -> Result<&mut Node, BrokerError> {
        match self.refuses && !subjects.is_empty() {
            true => Err(BrokerError::Refused("it may not".into())),
            false => Ok(self),
        }
    }
}

impl ModelBroker {
    fn with<R>(&self, act: impl FnOnce(&mut World, usize) -> R) -> Result<R, BrokerError> {
        if !self.link.borrow().connected {
            return Err(BrokerError::Lost);
        }
        Ok(act(&mut self.world.world(), self.node))
    }
}

impl Broker for ModelBroker {
    async fn subscribe(&self, subjects: &[Subject]) -> Result<(), BrokerError> {
        self.with(|world, node| {
            let all = subjects.iter().cloned();
            world.nodes[node].takes(subjects)?.subjects.extend(all);
            Ok(())
        })?
    }

    async fn unsubscribe(&self, subjects: &[Subject]) -> Result<(), BrokerError> {
        self.with(|world, node| {
            let has = |subject: &Subject| subjects.contains(subject);
            let node = world.nodes[node].takes(subjects)?;
            node.subjects.retain(|subject| !has(subject));
            Ok(())
        })?
    }

    async fn publish(&self, batch: &[Outbound]) -> Result<(), BrokerError> {
        self.with(|world, _| {
            for Outbound { subject, payload } in batch {
                world.publish(subject, payload, None);
            }
        })
    }

    async fn append(&self, append: Append) -> Result<Appended, BrokerError> {
        self.with(|world, _| world.append(append))
    }

    async fn open(&self, read: ReadLog, over: Option<u64>) -> Result<LogPage, BrokerError> {
        self.with(|world, _| {
            world.open(&read.room, over);
        })?;
        self.read(read).await
    }

    async fn read(&self, read: ReadLog) -> Result<LogPage, BrokerError> {
        self.with(|world, _| world.read(&read))
    }

    fn payload_bytes_max(&self) -> usize {
        Envelope::BYTES_MAX
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::adapter::KeptInLog;
    use crate::broker::inbox::Inbox;
    use std::time::Duration;

    const KEEP: KeptInLog = KeptInLog {
        entries_max: 3,
        ttl: Duration::from_secs(60),
        epoch_ttl: Duration::from_secs(60),
    };

    fn room() -> Subject {
        Subject::Room("r".into())
    }

    fn append(text: &'static str, key: Option<&str>) -> Append {
        Append {
            room: "r".into(),
            payload: text.into(),
            key: key.map(|key| (key.into(), Duration::from_secs(1))),
            keep: KEEP,
        }
    }

    async fn heard(inbox: &mut Inbox) -> Vec<String> {
        let mut messages = Vec::new();
        if !inbox.is_empty() {
            inbox.recv_many(&mut messages, 100).await;
        }
        let text = |message: &Incoming| String::from_utf8_lossy(&message.payload).into_owned();
        messages.iter().map(text).collect()
    }

    #[tokio::test]
    async fn who_is_cut_off_hears_nothing_and_must_subscribe_again() {
        let model = Model::default();
        let (sender, mut inbox) = Inbox::new(9, 1000);
        let (a, b) = (model.node(sender.clone()), model.node(sender));
        let say = |payload: &'static str| {
            let (subject, payload) = (room(), payload.into());
            [Outbound { subject, payload }]
        };
        a.subscribe(&[room()]).await.expect("it is connected");
        b.publish(&say("1")).await.expect("it is connected");
        assert_eq!((model.deliver(0, 9), model.deliver(1, 9)), (1, 0));
        b.publish(&say("2")).await.expect("it is connected");
        model.fail(0, ModelFault::Cut);
        assert_eq!(a.publish(&say("3")).await, Err(BrokerError::Lost));
        model.fail(0, ModelFault::Mend);
        let link = *a.link().borrow();
        assert_eq!((link.connected, link.losses), (true, 1));
        b.publish(&say("4")).await.expect("it is connected");
        assert!(!model.has(0, &room()) && model.deliver(0, 9) == 0);
        assert_eq!(heard(&mut inbox).await, ["1"]);
    }

    #[tokio::test]
    async fn a_log_has_one_order_and_knows_its_keys() {
        let model = Model::default();
        let (sender, _inbox) = Inbox::new(9, 1000);
        let node = model.node(sender);
        let mut previous = 0;
        for (text, key) in [("1", Some("k")), ("2", None), ("3", None), ("4", None)] {
            let appended = node.append(append(text, key)).await.expect("connected");
            assert!(appended.offset > previous && !appended.is_duplicate);
            previous = appended.offset;
        }
        let again = node.append(append("5", Some("k"))).await;
        assert!(again.is_ok_and(|appended| appended.is_duplicate && appended.offset == 1));
        let read = |after| {
            node.read(ReadLog {
                keep: KEEP,
                room: "r".into(),
                after,
                limit: 2,
            })
        };
        let page = read(0).await.expect("connected");
        assert_eq!((page.newest, page.entries.len()), (previous, 2));
        assert_eq!(page.entries[0].payload, "2", "the oldest of three");
        let page = read(page.entries[1].place.offset).await.expect("connected");
        assert_eq!(page.entries[0].payload, "4");
        let places = model.log("r").into_iter().map(|entry| entry.place);
        let places: Vec<(u64, u64)> = places.map(|it| (it.previous, it.offset)).collect();
        assert!(
            places.windows(2).all(|pair| pair[0].1 == pair[1].0),
            "{places:?}"
        );
        model.forget_logs();
        let page = read(0).await.expect("connected");
        assert_eq!((page.epoch, page.newest), (0, 0));
    }
}
