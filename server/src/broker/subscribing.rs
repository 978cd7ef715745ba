//! The task that tells the broker what the node hears: it follows the shards' events, and the
//! connection.
//!
//! Invariant: after every change, and after every lost connection, what the broker was told comes
//! to be what is wanted ([`Interest`]). Where more came and went than events can tell, all topics
//! are looked through.

use crate::broker::adapter::{Broker, BrokerError, Link};
use crate::broker::counts::BridgeCount;
use crate::broker::interest::{Interest, Steps};
use crate::broker::node::ClusterNode;
use crate::broker::ordering::news::OrderedNews;
use crate::broker::subject::Subject;
use crate::session::question::ask;
use shardcast_engine::Handle as Engine;
use shardcast_engine::{Answer, Event, EventKind, Events, FoundTopic, Query, TopicName};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// The task.
pub(crate) struct Subscribing<B> {
    node: ClusterNode,
    broker: Arc<B>,
    events: Events,
    link: watch::Receiver<Link>,
    interest: Interest,
    began: Instant,
    losses: u64,
    /// Events that found no room, as far as it was looked at.
    lost: u64,
    /// `None`: the broker orders no room.
    ordering: Option<OrderingEnds>,
}

/// The ends towards whoever follows ordered rooms.
pub(crate) struct OrderingEnds {
    /// Rooms that are to be heard for a moment.
    pub(crate) wanted: mpsc::Receiver<Arc<str>>,
    pub(crate) news: mpsc::Sender<OrderedNews>,
}

/// Subjects that the broker is told of at once.
const STEPS_MAX: usize = 512;
/// Events that are taken before the broker is told.
const EVENTS_MAX: usize = 4_096;
/// Events that may wait.
const EVENTS_WAITING_MAX: usize = Events::WAITING_MAX;
/// Nodes come back to a broker at different times within this.
const JITTER_MS: u64 = 250;
/// Until something that was refused is tried again.
const AGAIN: Duration = Duration::from_secs(1);

impl<B: Broker> Subscribing<B> {
    /// `None`: the engine has stopped.
    pub(crate) async fn new(
        node: ClusterNode,
        broker: Arc<B>,
        linger: Duration,
        ordering: Option<OrderingEnds>,
    ) -> Option<Subscribing<B>> {
        let kinds = [EventKind::TopicActive, EventKind::TopicIdle];
        let events = events_of(&node.engine, &kinds).await?;
        let link = broker.link();
        let losses = link.borrow().losses;
        let linger_ms = u64::try_from(linger.as_millis()).unwrap_or(u64::MAX);
        let mut interest = Interest::new(linger_ms);
        interest.activate(Subject::Everyone);
        interest.activate(Subject::Nodes);
        Some(Subscribing {
            node,
            broker,
            events,
            losses,
            link,
            interest,
            began: Instant::now(),
            lost: 0,
            ordering,
        })
    }

    /// Runs until the engine or the adapter is gone.
    pub(crate) async fn run(mut self) {
        self.follow_link();
        if self.look_through().await.is_none() {
            return;
        }
        let mut again = None;
        loop {
            let due = self.interest.expire(self.now_ms());
            // Who was refused does not ask with every event.
            if again.is_none_or(|again| again <= Instant::now()) {
                again = self.tell().await;
            }
            let due = due.map(|at_ms| self.began + Duration::from_millis(at_ms));
            let due = due.into_iter().chain(again).min();
            tokio::select! {
                biased;
                changed = self.link.changed() => match changed {
                    Ok(()) => {
                        again = None;
                        self.come_back().await;
                    }
                    Err(_) => return,
                },
                room = wanted(&mut self.ordering) => {
                    let now_ms = self.now_ms();
                    self.interest.visit(Subject::Room(room), now_ms);
                }
                event = self.events.recv_async() => match event {
                    Some(event) => self.take(&event),
                    None => return,
                },
                () = sleep_until(due) => {}
            }
            if self.events.lost() != self.lost {
                self.lost = self.events.lost();
                self.node.counts.add(BridgeCount::Resyncs, 1);
                if self.look_through().await.is_none() {
                    return;
                }
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
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
        match event {
            Event::TopicActive { topic } => self.interest.activate(subject_of(topic)),
            Event::TopicIdle { topic } => self.interest.leave(subject_of(topic), self.now_ms()),
            Event::Joined { .. }
            | Event::Left { .. }
            | Event::Published { .. }
            | Event::Presence { .. }
            | Event::Opened { .. }
            | Event::Closed { .. }
            | Event::Drained { .. } => {}
        }
    }

    /// Notes what the connection is, and whether it was another one before.
    fn follow_link(&mut self) -> Link {
        let link = *self.link.borrow_and_update();
        let counts = &self.node.counts;
        counts.set(BridgeCount::Connected, u64::from(link.connected));
        counts.set(BridgeCount::Losses, link.losses);
        if link.losses != self.losses {
            self.losses = link.losses;
            self.forget();
        }
        link
    }

    async fn come_back(&mut self) {
        let before = self.losses;
        let link = self.follow_link();
        if link.connected && (link.losses != before || self.interest.len() > STEPS_MAX) {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..JITTER_MS))).await;
        }
    }

    /// Tells the broker all that it is to know. When to try again, if it refuses.
    async fn tell(&mut self) -> Option<Instant> {
        let counts = self.node.counts.clone();
        while self.link.borrow().connected {
            let steps = self.interest.steps(STEPS_MAX);
            counts.set(BridgeCount::Subjects, self.interest.len() as u64);
            if steps == Steps::default() {
                return self.end_left_over().await;
            }
            match self.take_steps(&steps).await {
                Ok(()) => {
                    counts.add(BridgeCount::Subscribes, steps.subscribe.len() as u64);
                    counts.add(BridgeCount::Unsubscribes, steps.unsubscribe.len() as u64);
                }
                Err(error) => {
                    if error != BrokerError::Lost {
                        tracing::warn!(%error, "the broker takes no subscriptions");
                    }
                    // What was told is not known: all of it is told again.
                    self.forget();
                    self.interest.end_again(steps.unsubscribe);
                    return Some(Instant::now() + AGAIN);
                }
            }
        }
        None
    }

    async fn take_steps(&self, steps: &Steps) -> Result<(), BrokerError> {
        let at_broker = match &self.node.partitions {
            Some(partitions) => partitions.steps(steps.clone(), |room| self.is_ordered(room)),
            None => steps.clone(),
        };
        if !at_broker.subscribe.is_empty() {
            self.broker.subscribe(&at_broker.subscribe).await?;
        }
        if !at_broker.unsubscribe.is_empty() {
            self.broker.unsubscribe(&at_broker.unsubscribe).await?;
            self.ended(&at_broker.unsubscribe);
        }
        self.tell_who_orders(steps).await;
        Ok(())
    }

    /// The broker may know nothing of this node any more.
    fn forget(&mut self) {
        self.interest.forget();
        if let Some(partitions) = &self.node.partitions {
            partitions.forget();
        }
    }

    fn ended(&self, subjects: &[Subject]) {
        if let Some(partitions) = &self.node.partitions {
            partitions.ended(subjects);
        }
    }

    /// Ends what the broker may have from before a loss. When to try again, if it refuses.
    async fn end_left_over(&mut self) -> Option<Instant> {
        let partitions = self.node.partitions.as_ref()?;
        let left_over = partitions.left_over();
        if left_over.is_empty() {
            return None;
        }
        if self.broker.unsubscribe(&left_over).await.is_ok() {
            self.ended(&left_over);
            return None;
        }
        self.forget();
        Some(Instant::now() + AGAIN)
    }

    fn is_ordered(&self, room: &Arc<str>) -> bool {
        let resolved = self.node.shared.resolve(room);
        resolved.is_ok_and(|room| room.ordered().is_some())
    }

    /// Whoever follows ordered rooms hears which rooms are heard now: which of them are ordered it
    /// knows itself, and a reload may have changed that since it follows them.
    async fn tell_who_orders(&self, steps: &Steps) {
        let Some(OrderingEnds { news, .. }) = &self.ordering else {
            return;
        };
        let rooms = |subjects: &[Subject]| -> Vec<Arc<str>> {
            let rooms = subjects.iter().filter_map(|subject| match subject {
                Subject::Room(room) => Some(room.clone()),
                _ => None,
            });
            rooms.collect()
        };
        let (heard, unheard) = (rooms(&steps.subscribe), rooms(&steps.unsubscribe));
        // It is gone with the server.
        if !unheard.is_empty() {
            let _gone = news.send(OrderedNews::Unsubscribed(unheard)).await;
        }
        if !heard.is_empty() {
            let _gone = news.send(OrderedNews::Subscribed(heard)).await;
        }
    }

    /// Compares what is wanted with all topics that have members. `None`: the engine has stopped.
    async fn look_through(&mut self) -> Option<()> {
        self.interest.begin_look();
        let mut after = None;
        loop {
            let found = self.page(after).await?;
            for found in &found.0 {
                self.interest.activate(subject_of(&found.topic));
            }
            // What changes meanwhile counts for more than what was found before.
            while let Some(event) = self.events.try_recv() {
                self.apply(&event);
            }
            after = match found.0.last().filter(|_| found.1) {
                Some(last) => Some(last.topic.clone()),
                None => break,
            };
        }
        self.interest.end_look(self.now_ms());
        Some(())
    }

    /// Topics behind this one, and whether there are more.
    async fn page(&self, after: Option<TopicName>) -> Option<(Vec<FoundTopic>, bool)> {
        match ask(&self.node.shared, one_topic(after)).await {
            Ok(Answer::Topics(found)) => Some((found.items, found.more)),
            Ok(_) | Err(_) => None,
        }
    }
}

/// Events of these kinds. `None`: the engine has stopped.
pub(crate) async fn events_of(engine: &Engine, kinds: &[EventKind]) -> Option<Events> {
    loop {
        match engine.subscribe(kinds, EVENTS_WAITING_MAX) {
            Ok(events) => return Some(events),
            Err(_) if engine.query(one_topic(None), Box::new(drop)).is_err() => return None,
            Err(_) => engine.ready().await,
        }
    }
}

/// The next room that is to be heard for a moment.
async fn wanted(ordering: &mut Option<OrderingEnds>) -> Arc<str> {
    let room = match ordering {
        Some(ordering) => ordering.wanted.recv().await,
        None => None,
    };
    match room {
        Some(room) => room,
        None => std::future::pending().await,
    }
}

fn one_topic(after: Option<TopicName>) -> Query {
    Query::Topics {
        after,
        limit: Query::ITEMS_MAX,
    }
}

fn subject_of(topic: &TopicName) -> Subject {
    match topic {
        TopicName::Room(name) => Subject::Room(name.clone()),
        TopicName::User(name) => Subject::User(name.clone()),
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
