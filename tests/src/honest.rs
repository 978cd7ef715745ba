//! An honest client, which is ours (`client/`), for tests without async: it does what clients do,
//! takes at once whatever comes, and fails the test if anything befalls it.
//!
//! Invariant: it is on its first connection for as long as it lives, and misses nothing. Used where
//! a test needs somebody who is there, publishes or listens, and not what the bytes are.

use crate::{PATIENCE, Server, shard_of};
use serde::Serialize;
use shardcast_client::{
    BufferOptions, Client, Error, Item, Message, Options, Proxy, Publish, Receipt,
    SubscribeOptions, Subscription, Target, WhenBufferFull,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};

/// Where honest clients read and write, whatever the test waits for.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build();
    runtime.expect("a thread")
});

/// What a test lets wait for it: more than any publishes.
const BUFFER: BufferOptions = BufferOptions {
    items: 1 << 20,
    bytes: 256 << 20,
    when_full: WhenBufferFull::Fail,
};

/// What is for everyone, among the rooms of a client.
const EVERYONE: &str = "";

/// A connected client.
#[derive(Debug)]
pub struct Honest {
    client: Client,
    id: String,
    rooms: BTreeMap<String, Subscription>,
}

/// What it asked for is answered in time.
#[track_caller]
fn wait<T>(asked: impl Future<Output = T>) -> T {
    let answered = RUNTIME.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    answered.unwrap_or_else(|_| panic!("not within {PATIENCE:?}"))
}

impl Honest {
    /// Connects to the native dialect.
    #[track_caller]
    pub fn of(server: &Server) -> Honest {
        Honest::at(server.address())
    }

    /// The same for a server in another process.
    #[track_caller]
    pub fn at(address: SocketAddr) -> Honest {
        let options = Options {
            proxy: Proxy::None,
            request_timeout: PATIENCE,
            ..Options::default()
        };
        let _inside = RUNTIME.enter();
        let client = Client::connect(&format!("ws://{address}/ws"), options);
        let client = client.expect("good options");
        wait(client.ready()).expect("it connects");
        Honest {
            id: client.connection().expect("it is connected"),
            client,
            rooms: BTreeMap::new(),
        }
    }

    /// One client on every shard of a server, in the order of the shards.
    ///
    /// # Panics
    /// The kernel leaves a shard out of 1,000 connects.
    #[track_caller]
    pub fn on_each_shard(server: &Server) -> Vec<Honest> {
        let mut found: BTreeMap<usize, Honest> = BTreeMap::new();
        for _ in 0..1_000 {
            let client = Honest::of(server);
            let shard = shard_of(client.id());
            if let Some(superfluous) = found.insert(shard, client) {
                superfluous.leave();
            }
            if found.len() == server.shards {
                break;
            }
        }
        assert_eq!(found.len(), server.shards, "a shard that nobody reaches");
        let expected = found.len() as u64;
        server.wait_until("only one client on each shard", |server| {
            server.sum(|shard| &shard.connections) == expected
        });
        found.into_values().collect()
    }

    /// What the server calls this connection.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Joins a room: how many members it has.
    #[track_caller]
    pub fn join(&mut self, room: &str) -> u64 {
        let mut subscription = self.client.subscribe(room, buffered()).expect("open");
        let first = wait(subscription.next());
        let Some(Ok(Item::Joined(joined))) = first else {
            panic!("{}: not in {room}: {first:?}", self.id);
        };
        self.rooms.insert(room.to_owned(), subscription);
        joined.members
    }

    /// Listens to what is for everyone.
    #[track_caller]
    pub fn listen(&mut self) {
        let subscription = self.client.subscribe_direct(buffered()).expect("open");
        self.rooms.insert(EVERYONE.to_owned(), subscription);
    }

    /// The next message of a room that it is in.
    #[track_caller]
    pub fn hear(&mut self, room: &str) -> Message {
        let subscription = self.rooms.get_mut(room).expect("it has joined");
        match wait(subscription.next()) {
            Some(Ok(Item::Message(message))) => message,
            other => panic!("{}: no message of {room:?}: {other:?}", self.id),
        }
    }

    /// The next message for everyone.
    #[track_caller]
    pub fn hear_everyone(&mut self) -> Message {
        self.hear(EVERYONE)
    }

    /// A publish that is still to be [said](Honest::say). It has no key, so it is asked for once,
    /// whatever the room keeps.
    pub fn publishing<'a>(&self, to: impl Into<Target<'a>>, data: &impl Serialize) -> Publish {
        self.client.publish(to, data).without_key()
    }

    /// Publishes: what the server answers.
    #[track_caller]
    pub fn say(&self, publish: Publish) -> Receipt {
        self.answer(publish.send())
    }

    /// What something that was asked for is answered.
    #[track_caller]
    pub fn answer<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> T {
        wait(asked).unwrap_or_else(|error| panic!("{}: {error:?}", self.id))
    }

    /// The server echoes a number.
    #[track_caller]
    pub fn check_echo(&self, number: u64) {
        let echoed: u64 = self.answer(self.client.request("echo", &number).send());
        assert_eq!(echoed, number);
    }

    /// Nothing has come that was not heard, and nothing has befallen it.
    #[track_caller]
    pub fn check_quiet(&self) {
        self.answer(self.client.ping());
        for (room, subscription) in &self.rooms {
            assert_eq!(subscription.buffered(), 0, "{}: {room:?}", self.id);
        }
        self.check_alive();
    }

    #[track_caller]
    fn check_alive(&self) {
        assert_eq!(self.client.connection().as_ref(), Some(&self.id));
    }

    /// Closes, and waits for the end.
    #[track_caller]
    pub fn leave(self) {
        self.check_alive();
        wait(self.client.close());
    }
}

/// What a publish with a report is answered, where so many members have it and so many are behind.
pub fn report(delivered: u64, queued: u64) -> Receipt {
    Receipt {
        delivered: Some(delivered),
        queued: Some(queued),
        dropped: Some(0),
        conflated: Some(0),
        catching_up: Some(0),
        ..Receipt::default()
    }
}

fn buffered() -> SubscribeOptions {
    SubscribeOptions {
        buffer: BUFFER,
        ..SubscribeOptions::default()
    }
}
