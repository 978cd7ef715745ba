//! What every test here stands on: a server, clients with short times, a runtime with a deadline,
//! and a subscriber whose every item is judged.

use shardcast_client::{
    Backoff, BreakerOptions, Client, Item, Loss, Message, Options, Proxy, Subscription,
};
use shardcast_tests::{PATIENCE, Served};
use std::net::SocketAddr;
use std::time::Duration;

/// A server of two shards with rooms that keep history (`chat`), few (`short`) and none.
const SERVER: &str = r#"
[server]
admin = "127.0.0.1:0"
shards = 2
pin = "none"
[namespaces.chat]
history = 10000
history_bytes = "16MiB"
slow_reader = "catch_up"
[namespaces.short]
history = 10
[namespaces.team]
presence_events = true
"#;

/// A server with these sections on top, on this port; 0 picks one.
pub(crate) fn serve_on(port: u16, more: &str) -> Served {
    let server = SERVER.replace(
        "[server]",
        &format!("[server]\nlisten = \"127.0.0.1:{port}\""),
    );
    Served::start(env!("CARGO_BIN_EXE_served"), &format!("{server}{more}"))
}

pub(crate) fn serve(more: &str) -> Served {
    serve_on(0, more)
}

/// Runs a test's future; it ends in time.
#[track_caller]
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let ended = runtime.block_on(async { tokio::time::timeout(2 * PATIENCE, future).await });
    ended.expect("it ends in time")
}

/// Options of clients that are quick to find out and to come back, whatever the environment says of
/// proxies.
pub(crate) fn quick() -> Options {
    Options {
        proxy: Proxy::None,
        reconnect: Backoff {
            min: Duration::from_millis(5),
            base: Duration::from_millis(20),
            max: Duration::from_millis(200),
        },
        breaker: BreakerOptions {
            rest: Backoff {
                min: Duration::from_millis(20),
                base: Duration::from_millis(50),
                max: Duration::from_millis(200),
            },
            ..BreakerOptions::default()
        },
        heartbeat: Some(Duration::from_millis(500)),
        pong_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(5),
        ..Options::default()
    }
}

pub(crate) fn url(address: SocketAddr) -> String {
    format!("ws://{address}/ws")
}

#[track_caller]
pub(crate) fn connect(address: SocketAddr, options: Options) -> Client {
    Client::connect(&url(address), options).expect("good options")
}

/// Messages of the log that [`converse`] is about.
pub(crate) const LAST: u64 = 300;

/// What a subscriber sees while somebody publishes the numbers from 1 to [`LAST`].
pub(crate) async fn converse(mut heard: Subscription, publishes: impl Future<Output = ()>) -> Seen {
    heard.joined().await.expect("it joins");
    let mut seen = Seen::default();
    tokio::join!(publishes, seen.until(&mut heard, LAST));
    seen
}

/// What a subscriber of a numbered log has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) numbers: Vec<u64>,
    pub(crate) recovered: usize,
    pub(crate) lost: Vec<Loss>,
    last_offset: u64,
}

impl Seen {
    /// Reads until the number `last` has come.
    pub(crate) async fn until(&mut self, subscription: &mut Subscription, last: u64) {
        while self.numbers.last().is_none_or(|number| *number < last) {
            let item = subscription.next().await.expect("it goes on");
            self.take(item.expect("no error"));
        }
    }

    pub(crate) fn take(&mut self, item: Item) {
        match item {
            Item::Message(message) => self.message(&message),
            Item::Recovered(_) => self.recovered += 1,
            Item::Lost(lost) => {
                self.lost.push(lost.why);
                self.last_offset = 0;
            }
            _ => {}
        }
    }

    fn message(&mut self, message: &Message) {
        let offset = message.offset().expect("the room keeps history");
        assert!(offset > self.last_offset, "offsets rise: {message:?}");
        self.last_offset = offset;
        self.numbers.push(message.read().expect("a number"));
    }

    /// It has seen all of these once, in order, and no gap.
    #[track_caller]
    pub(crate) fn assert_all(&self, last: u64) {
        assert_eq!(self.numbers, (1..=last).collect::<Vec<u64>>());
        assert_eq!(self.lost, Vec::new());
    }
}
