//! Who speaks and listens in a room of a cluster, and the judgement on what everybody heard.
//!
//! Invariant: every message is told apart by who said it and its number, so a repeat, a gap and a
//! wrong order are seen as such. Used by scenarios.

use shardcast_client::{Backoff, BreakerOptions, Client, Item, Options, Proxy};
use shardcast_client::{SubscribeOptions, Subscription};
use shardcast_patience::PATIENCE;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two publishes of a load, so that a fault meets some and the machine is not the test.
const PACE: Duration = Duration::from_millis(4);

/// What one publisher says: its name and its count.
pub(crate) type Said = (u32, u64);

/// Clients that are quick to find out and to come back.
fn quick() -> Options {
    let wait = Backoff {
        min: Duration::from_millis(5),
        base: Duration::from_millis(20),
        max: Duration::from_millis(200),
    };
    Options {
        proxy: Proxy::None,
        reconnect: wait,
        breaker: BreakerOptions {
            rest: wait,
            ..BreakerOptions::default()
        },
        heartbeat: Some(Duration::from_millis(500)),
        pong_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        ..Options::default()
    }
}

/// A client of one node.
#[track_caller]
pub(crate) fn connect(url: &str) -> Client {
    Client::connect(url, quick()).expect("good options")
}

/// A client of the first of these that is there, whichever was tried before.
#[track_caller]
pub(crate) fn connect_any(urls: &[String]) -> Client {
    Client::connect_any(urls, quick()).expect("good options")
}

/// What a listener has heard.
#[derive(Debug, Default)]
struct Heard {
    said: Vec<Said>,
    failed: Option<String>,
}

/// Hears one room at one node, through whatever becomes of the node.
#[derive(Debug)]
pub(crate) struct Listener {
    name: String,
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Joins, and returns once it has.
    pub(crate) async fn join(name: &str, url: &str, room: &str) -> Listener {
        let client = connect(url);
        let subscription = client.subscribe(room, SubscribeOptions::default());
        let subscription = subscription.expect("the client is open");
        let joined = tokio::time::timeout(PATIENCE, subscription.joined()).await;
        joined.expect("it joins in time").expect("it joins");
        let heard = Arc::new(Mutex::default());
        Listener {
            name: format!("{room} at {name}"),
            heard: Arc::clone(&heard),
            task: tokio::spawn(listen(client, subscription, heard)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has heard something from this publisher, from this number on.
    pub(crate) fn has(&self, by: u32, from: u64) -> bool {
        let heard = self.lock();
        let found = heard.said.iter().rev().find(|(who, _)| *who == by);
        found.is_some_and(|(_, number)| *number >= from)
    }

    /// What a fast room promises through any fault: each publisher's messages in its order, none
    /// twice.
    #[track_caller]
    pub(crate) fn assert_in_order(&self) {
        let heard = self.lock();
        assert_eq!(heard.failed, None, "{}", self.name);
        let mut last = BTreeMap::new();
        for (by, number) in &heard.said {
            let before = last.insert(by, number);
            assert!(
                before.is_none_or(|before| before < number),
                "{}: {by} said {number} behind {before:?}",
                self.name
            );
        }
    }

    /// What it promises without a fault: nothing of this publisher is missing from the first that
    /// was heard.
    #[track_caller]
    pub(crate) fn assert_no_gap(&self) {
        let heard = self.lock();
        let mut last = BTreeMap::new();
        for (by, number) in &heard.said {
            if let Some(before) = last.insert(by, number) {
                assert_eq!(before + 1, *number, "{}: {by}", self.name);
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(client: Client, mut subscription: Subscription, heard: Arc<Mutex<Heard>>) {
    // The connection lives as long as the client.
    let _client = client;
    while let Some(item) = subscription.next().await {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        match item {
            Ok(Item::Message(message)) => match message.read::<Said>() {
                Ok(said) => heard.said.push(said),
                Err(error) => heard.failed = Some(error.to_string()),
            },
            Ok(_) => {}
            Err(error) => heard.failed = Some(error.to_string()),
        }
    }
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    heard
        .failed
        .get_or_insert_with(|| "the subscription ended".to_owned());
}

/// Speaks in one room at one node.
#[derive(Debug)]
pub(crate) struct Publisher {
    by: u32,
    client: Client,
    room: String,
    number: u64,
}

impl Publisher {
    pub(crate) fn new(by: u32, url: &str, room: &str) -> Publisher {
        Publisher {
            by,
            client: connect(url),
            room: room.to_owned(),
            number: 0,
        }
    }

    /// Says the next number.
    pub(crate) async fn say(&mut self) {
        self.number += 1;
        let said: Said = (self.by, self.number);
        let publish = self.client.publish(&self.room, &said).without_key();
        // One that fails is not said again: whether others have heard it is not known.
        _ = publish.timeout(Duration::from_secs(2)).send().await;
    }

    /// Speaks until it is told to stop, and is given back.
    pub(crate) fn speak(mut self, mut stop: watch::Receiver<bool>) -> JoinHandle<Publisher> {
        tokio::spawn(async move {
            while !*stop.borrow_and_update() {
                self.say().await;
                tokio::time::sleep(PACE).await;
            }
            self
        })
    }
}

/// One room: a listener and a publisher at each node.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) publishers: Vec<Publisher>,
    speaking: Vec<JoinHandle<Publisher>>,
    stop: watch::Sender<bool>,
}

impl Crowd {
    /// Everybody joins.
    pub(crate) async fn gather(urls: &[String], room: &str) -> Crowd {
        let (mut listeners, mut publishers) = (Vec::new(), Vec::new());
        for (by, url) in (0..).zip(urls) {
            listeners.push(Listener::join(&by.to_string(), url, room).await);
            publishers.push(Publisher::new(by, url, room));
        }
        Crowd {
            listeners,
            publishers,
            speaking: Vec::new(),
            stop: watch::Sender::new(false),
        }
    }

    /// All publishers speak.
    pub(crate) fn speak(&mut self) {
        self.stop.send_replace(false);
        let publishers = self.publishers.drain(..);
        let stop = &self.stop;
        let speaking = publishers.map(|publisher| publisher.speak(stop.subscribe()));
        self.speaking.extend(speaking);
    }

    /// They end, each with an answer to what it said last.
    pub(crate) async fn fall_silent(&mut self) {
        self.stop.send_replace(true);
        for speaking in self.speaking.drain(..) {
            let ended = tokio::time::timeout(PATIENCE, speaking).await;
            let publisher = ended.expect("an answer to the last publish");
            self.publishers
                .push(publisher.expect("a publisher without a panic"));
        }
    }

    /// Speaks until everybody has heard something new from everybody.
    pub(crate) async fn converge(&mut self) {
        let first: Vec<u64> = self.publishers.iter().map(|who| who.number + 1).collect();
        let round = async {
            loop {
                for publisher in &mut self.publishers {
                    publisher.say().await;
                }
                tokio::time::sleep(PACE).await;
                let all_heard = self.listeners.iter().all(|listener| {
                    let mut each = self.publishers.iter().zip(&first);
                    each.all(|(publisher, from)| listener.has(publisher.by, *from))
                });
                if all_heard {
                    return;
                }
            }
        };
        let converged = tokio::time::timeout(PATIENCE, round).await;
        assert!(
            converged.is_ok(),
            "not everybody hears everybody: {}",
            self.deaf(&first)
        );
    }

    fn deaf(&self, first: &[u64]) -> String {
        let mut deaf = String::new();
        for listener in &self.listeners {
            for (publisher, from) in self.publishers.iter().zip(first) {
                if !listener.has(publisher.by, *from) {
                    deaf += &format!("{} lacks {} from {from}; ", listener.name, publisher.by);
                }
            }
        }
        deaf
    }

    /// Everybody hears everybody again, and the order was kept.
    pub(crate) async fn judge(&mut self) {
        self.fall_silent().await;
        self.converge().await;
        self.listeners.iter().for_each(Listener::assert_in_order);
    }
}
