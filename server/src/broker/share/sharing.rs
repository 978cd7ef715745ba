//! The task by which a node tells all others its share, and asks for what it has missed of theirs.
//!
//! Invariant: what is told follows the shards' events; where more happened than events can tell,
//! all topics are looked through. While there is no connection nothing is told, and what changes
//! waits as one change for each topic.

use crate::broker::adapter::{Broker, Link, Outbound};
use crate::broker::counts::BridgeCount;
use crate::broker::envelope::{Body, Envelope, MessageId, Recipient};
use crate::broker::node::ClusterNode;
use crate::broker::share::own::OwnShare;
use crate::broker::share::word::{ShareSays, ShareWord};
use crate::broker::subject::Subject;
use crate::broker::subscribing::events_of;
use crate::session::handle::Handle;
use shardcast_engine::{Data, DataEncoding, Event, EventKind, Events, Query};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

/// The task.
pub(crate) struct Sharing<B> {
    node: ClusterNode,
    broker: Arc<B>,
    events: Events,
    link: watch::Receiver<Link>,
    own: OwnShare,
    /// Events that found no room, as far as it was looked at.
    lost: u64,
    every: Duration,
    told: Instant,
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
/// Events that are taken before something is told.
const EVENTS_MAX: usize = 4_096;

impl<B: Broker> Sharing<B> {
    /// `None`: the engine has stopped.
    pub(crate) async fn new(
        node: ClusterNode,
        broker: Arc<B>,
        lease: Duration,
    ) -> Option<Sharing<B>> {
        let events = events_of(&node.engine, &[EventKind::Joined, EventKind::Left]).await?;
        Some(Sharing {
            link: broker.link(),
            node,
            broker,
            events,
            own: OwnShare::default(),
            lost: 0,
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
                    None => return,
                },
                () = sleep_until(due), if self.has_words() => {}
            }
            if self.has_words() && Instant::now() >= due {
                self.tell().await;
            }
            if self.events.lost() != self.lost {
                self.lost = self.events.lost();
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
        match event {
            Event::Joined { topic, members, .. } | Event::Left { topic, members, .. } => {
                self.own.set(topic.clone(), *members);
            }
            Event::TopicActive { .. }
            | Event::TopicIdle { .. }
            | Event::Published { .. }
            | Event::Opened { .. }
            | Event::Closed { .. }
            | Event::Drained { .. } => {}
        }
    }

    /// Compares the share with all topics that have members. `None`: the engine has stopped.
    async fn look_through(&mut self) -> Option<()> {
        let handle = Handle::new(self.node.shared.clone());
        let mut after = None;
        loop {
            let page = handle.page_of_topics(after.clone(), Query::ITEMS_MAX);
            let page = page.await.ok()?;
            let last = page.items.last().filter(|_| page.more);
            let upto = last.map(|last| last.topic.clone());
            let found = page.items.into_iter();
            let found: Vec<_> = found.map(|found| (found.topic, found.members)).collect();
            self.own.set_range(after.as_ref(), upto.as_ref(), &found);
            // What changes meanwhile counts for more than what was found before.
            while let Some(event) = self.events.try_recv() {
                self.apply(&event);
            }
            match upto {
                Some(upto) => after = Some(upto),
                None => return Some(()),
            }
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
        let batch: Vec<Outbound> = words
            .iter()
            .filter_map(|word| outbound(&self.node, word))
            .collect();
        if self.link.borrow().connected {
            let _lost = self.broker.publish(&batch).await;
        }
    }
}

fn outbound(node: &ClusterNode, word: &ShareWord) -> Option<Outbound> {
    let data = word.write();
    let envelope = Envelope {
        place: None,
        id: MessageId {
            run: node.run,
            number: 0,
        },
        recipient: Recipient::Nodes,
        body: Body::State { node: &node.name },
        key: "",
        conflate: "",
        data: Data::Binary(&data),
        encoding: DataEncoding::default(),
    };
    Some(Outbound {
        subject: Subject::Nodes,
        payload: envelope.write()?.into(),
    })
}
