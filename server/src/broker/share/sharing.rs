//! The task by which a node tells all others its share, and asks for what it has missed of theirs.
//!
//! Invariant: what is told follows the shards' events; where more happened than events can tell,
//! all topics are looked through. While there is no connection nothing is told, and what changes
//! waits as one change for each topic.

use crate::broker::adapter::{Broker, Link, Outbound};
use crate::broker::counts::BridgeCount;
use crate::broker::node::ClusterNode;
use crate::broker::share::own::OwnShare;
use crate::broker::share::seats::SeatsOfUsers;
use crate::broker::share::turning::RoomTurns;
use crate::broker::share::word::{ShareKey, ShareSays, ShareValue, ShareWord};
use crate::broker::subscribing::events_of;
use crate::broker::telling::to_all_nodes;
use crate::broker::view::NodeReplace;
use crate::session::handle::Handle;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{
    Data, Event, EventKind, Events, PresenceKey, PresenceQuery, PresentMember, PresentThere, Query,
    ShardCounters, TopicName,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};

/// The task.
pub(crate) struct Sharing<B> {
    node: ClusterNode,
    broker: Arc<B>,
    events: Events,
    link: watch::Receiver<Link>,
    own: OwnShare,
    /// Events that found no room, as far as it was looked at.
    lost: u64,
    counters: Vec<Arc<ShardCounters>>,
    /// Shards that began anew, and have forgotten what they knew of rooms.
    restarts: u64,
    every: Duration,
    told: Instant,
    /// `None`: nobody watches rooms.
    turns: Option<RoomTurns>,
    /// `None`: users may have any number of connections.
    seats: Option<SeatsOfUsers>,
}

/// Each node says so often in a lease that it is there, and asks so often for what it has missed.
const WORDS_PER_LEASE: u32 = 4;
/// Between two batches of words.
const PAUSE: Duration = Duration::from_millis(50);
/// Words of a batch: with the two above no more than 10 MiB a second.
const BATCH_MAX: usize = 16;
/// Items of a word take about so many bytes.
const WORD_BYTES: usize = 32 << 10;
/// What an envelope takes beside.
const AROUND_BYTES: usize = 2 << 10;
/// Until a question that a shard did not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// Events that are taken before something is told.
const EVENTS_MAX: usize = 4_096;

impl<B: Broker> Sharing<B> {
    /// `None`: the engine has stopped.
    pub(crate) async fn new(
        node: ClusterNode,
        broker: Arc<B>,
        counters: Vec<Arc<ShardCounters>>,
        lease: Duration,
    ) -> Option<Sharing<B>> {
        let kinds = [
            EventKind::Joined,
            EventKind::Left,
            EventKind::TopicIdle,
            EventKind::Presence,
        ];
        let events = events_of(&node.engine, &kinds).await?;
        let mut own = OwnShare::default();
        Some(Sharing {
            link: broker.link(),
            turns: RoomTurns::new(&node, &mut own),
            seats: SeatsOfUsers::new(&node),
            node,
            broker,
            events,
            own,
            lost: 0,
            restarts: restarts_of(&counters),
            counters,
            every: lease / WORDS_PER_LEASE,
            told: Instant::now(),
        })
    }

    /// Runs until the engine or the adapter is gone.
    pub(crate) async fn run(mut self) {
        let mut alive: Interval = interval_at(Instant::now(), self.every);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = self.look_through().await;
        while looked.is_some() {
            let due = self.told + PAUSE;
            let view = self.node.view.clone();
            tokio::select! {
                biased;
                changed = self.link.changed() => match changed {
                    Ok(()) => {}
                    Err(_) => return,
                },
                () = view.asked.notified() => self.own.ask(),
                _ = alive.tick() => self.say_alive().await,
                event = self.events.recv_async() => match event {
                    Some(event) => self.take(&event),
                    None => {
                        if let Some(turns) = &mut self.turns {
                            turns.look_last(&mut self.own).await;
                        }
                        return;
                    }
                },
                () = view.turned.notified() => {}
                () = sleep_until(due), if self.has_words() => {}
                () = turns_due(self.turns.as_ref()) => {}
                asked = next_asked(self.seats.as_mut()) => {
                    if let (Some(seats), Some(asked)) = (&mut self.seats, asked) {
                        seats.replace(&asked).await;
                    }
                }
            }
            if let Some(turns) = &mut self.turns {
                turns.look(&mut self.own).await;
            }
            if let Some(seats) = &mut self.seats {
                seats.look().await;
            }
            if self.has_words() && Instant::now() >= due {
                self.tell().await;
            }
            let (lost, restarts) = (self.events.lost(), restarts_of(&self.counters));
            if restarts != self.restarts {
                self.node.view.place_again();
            }
            if (lost, restarts) != (self.lost, self.restarts) {
                (self.lost, self.restarts) = (lost, restarts);
                if let Some(seats) = &mut self.seats {
                    seats.forget();
                }
                looked = self.look_through().await;
            }
        }
    }

    fn has_words(&self) -> bool {
        self.link.borrow().connected && self.own.has_words()
    }

    fn take(&mut self, first: &Event) {
        self.apply(first);
        for _ in 1..EVENTS_MAX {
            let Some(event) = self.events.try_recv() else {
                break;
            };
            self.apply(&event);
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Some(seats) = &mut self.seats {
            seats.take(event, &self.own);
        }
        match event {
            Event::Joined { topic, members, .. } | Event::Left { topic, members, .. } => {
                self.own
                    .set(ShareKey::Topic(topic.clone()), value_of(*members));
            }
            Event::Presence {
                room,
                key,
                shown,
                was,
            } => {
                if let Some(was) = was {
                    let key = named(&self.node.name, &PresenceKey::Connection(*was));
                    self.own.set(ShareKey::Member(room.clone(), key), None);
                }
                let key = named(&self.node.name, key);
                let shown = shown.clone().map(ShareValue::Shown);
                self.own.set(ShareKey::Member(room.clone(), key), shown);
            }
            // Said of a shard that began anew without a word of those who have left.
            Event::TopicIdle { topic } => self.own.set(ShareKey::Topic(topic.clone()), None),
            Event::TopicActive { .. }
            | Event::Published { .. }
            | Event::Opened { .. }
            | Event::Closed { .. }
            | Event::Drained { .. } => {}
        }
    }

    /// Compares the share with all topics that have members, and with the members of those that
    /// keep presence. `None`: the engine has stopped.
    async fn look_through(&mut self) -> Option<()> {
        let handle = Handle::new(self.node.shared.clone());
        let (mut after, mut rooms) = (None, BTreeSet::new());
        loop {
            let page = handle.page_of_topics(after.clone(), Query::ITEMS_MAX);
            let page = page.await.ok()?;
            let last = page.items.last().filter(|_| page.more);
            let upto = last.map(|last| last.topic.clone());
            let mut items = Vec::new();
            for found in page.items {
                if let TopicName::Room(room) = &found.topic
                    && self.keeps_presence(room)
                {
                    rooms.insert(room.clone());
                }
                items.push((ShareKey::Topic(found.topic), value_of(found.members)));
            }
            let range = [
                after.map(ShareKey::Topic),
                upto.clone().map(ShareKey::Topic),
            ];
            self.own
                .set_topics(range[0].as_ref(), range[1].as_ref(), items);
            self.catch_up();
            match upto {
                Some(upto) => after = Some(upto),
                None => break,
            }
        }
        // Rooms may have members that are away, and no connections.
        rooms.extend(self.own.rooms_with_presence());
        for room in rooms {
            let members = match self.keeps_presence(&room) {
                true => self.members_of(&handle, &room).await,
                false => Vec::new(),
            };
            self.own.set_members(&room, members);
            self.catch_up();
        }
        Some(())
    }

    fn keeps_presence(&self, room: &str) -> bool {
        let resolved = self.node.shared.resolve(room);
        resolved.is_ok_and(|room| room.presence().is_some())
    }

    /// Who is in a room here.
    async fn members_of(
        &self,
        handle: &Handle,
        room: &Arc<str>,
    ) -> Vec<(PresenceKey, PresentThere)> {
        let (mut members, mut after) = (Vec::new(), None);
        // A reload may take the room away meanwhile.
        while self.keeps_presence(room) {
            let limit = PresenceQuery::LIMIT_MAX;
            let query = PresenceQuery {
                after: after.clone(),
                limit,
            };
            // A shard that is asked too much answers later; a server that stops ends the task.
            let Ok(page) = handle.presence(room, query).await else {
                sleep(AGAIN).await;
                continue;
            };
            let found = page.found().page.iter();
            members.extend(found.filter_map(|member| shown_here(&self.node.name, member)));
            after = page.next().cloned();
            if after.is_none() {
                members.sort_unstable_by(|one, other| one.0.cmp(&other.0));
                return members;
            }
        }
        Vec::new()
    }

    /// What changes while one looks counts for more than what was found before.
    fn catch_up(&mut self) {
        while let Some(event) = self.events.try_recv() {
            self.apply(&event);
        }
    }

    async fn tell(&mut self) {
        let most = self.broker.payload_bytes_max();
        let bytes_max = most.saturating_sub(AROUND_BYTES).min(WORD_BYTES);
        let mut words = Vec::new();
        while words.len() < BATCH_MAX
            && let Some(word) = self.own.next(bytes_max)
        {
            words.push(word);
        }
        self.say(&words).await;
        self.told = Instant::now();
    }

    async fn say_alive(&mut self) {
        let view = &self.node.view;
        let again_ms = u64::try_from(self.every.as_millis()).unwrap_or(u64::MAX);
        let asked = view.shares_to_ask(again_ms);
        let counts = &self.node.counts;
        counts.add(BridgeCount::SharesAsked, asked.len() as u64);
        let mut words = vec![self.own.alive()];
        if !asked.is_empty() {
            words.push(ShareWord {
                number: 0,
                says: ShareSays::Question(asked),
            });
        }
        self.say(&words).await;
    }

    /// What is lost on the way is missed by the others with the next word.
    async fn say(&self, words: &[ShareWord]) {
        if !self.link.borrow().connected {
            return;
        }
        let batch: Vec<Outbound> = words
            .iter()
            .filter_map(|word| to_all_nodes(&self.node, Data::Binary(&word.write())))
            .collect();
        let _lost = self.broker.publish(&batch).await;
    }
}

/// Waits until rooms are to be looked at, if somebody watches them.
async fn turns_due(turns: Option<&RoomTurns>) {
    match turns {
        Some(turns) => sleep(Duration::from_millis(turns.due_in_ms())).await,
        None => std::future::pending().await,
    }
}

/// Waits until another node asks for something about users, or one is to be looked at, if they may
/// have only so many.
async fn next_asked(seats: Option<&mut SeatsOfUsers>) -> Option<NodeReplace> {
    match seats {
        Some(seats) => seats.next_asked().await,
        None => std::future::pending().await,
    }
}

fn restarts_of(counters: &[Arc<ShardCounters>]) -> u64 {
    counters.iter().map(|shard| shard.restarts.get()).sum()
}

/// A member as other nodes are told of it.
fn named(node: &str, key: &PresenceKey) -> PresenceKey {
    match key {
        PresenceKey::Connection(who) => {
            PresenceKey::Elsewhere(format!("{}@{node}", ConnectionId(*who)).into())
        }
        PresenceKey::User(_) | PresenceKey::Elsewhere(_) => key.clone(),
    }
}

/// A member, if it has connections at this node.
fn shown_here(node: &str, member: &PresentMember) -> Option<(PresenceKey, PresentThere)> {
    let state = member.here?;
    let key = match (member.connection, &member.user) {
        (Some(connection), _) => PresenceKey::Connection(connection),
        (None, Some(user)) => PresenceKey::User(user.clone()),
        (None, None) => return None,
    };
    let shown = PresentThere {
        user: member.user.clone(),
        data: member.data.clone(),
        state,
    };
    Some((named(node, &key), shown))
}

fn value_of(members: u32) -> Option<ShareValue> {
    (members > 0).then_some(ShareValue::Members(members))
}
