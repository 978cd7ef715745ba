//! A handler that blocks its shard: the server says which shard, counts for how long, and others
//! are served; and all is well when it goes on.

use shardcast::{App, Server};
use shardcast_engine::TickPhase;
use shardcast_tests::{Client, config, shard_of, wait_until};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

/// `hang` blocks until somebody lets it go on.
fn app(go_on: Receiver<()>) -> App {
    let app = App::new();
    let go_on = Mutex::new(go_on);
    let registered = app.handlers().on("hang", move |_, (): ()| {
        let waits = go_on.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever would let it go on may have failed.
        let _told = waits.recv();
        Ok("went on")
    });
    registered.expect("a name");
    app
}

/// `shardcast_stuck_ms` of a shard, as the server's own metrics have it.
#[track_caller]
fn stuck_ms(server: &Server, shard: usize) -> u64 {
    let text = server.metrics().text();
    let name = format!("shardcast_stuck_ms{{shard=\"{shard}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&*name));
    let value = value.unwrap_or_else(|| panic!("no {name} in {text}"));
    value.parse().expect("a whole number")
}

#[test]
fn a_handler_that_blocks_is_found_and_others_are_served() {
    let (let_go, go_on) = sync_channel(1);
    let server = app(go_on).start(config(2)).expect("it starts");
    let address = server.local_addr().expect("TCP");
    let mut hanging = Client::native_at(address);
    let shard = shard_of(hanging.id());
    // One that the other shard serves.
    let mut other = None;
    wait_until("a client of the other shard", || {
        let client = Client::native_at(address);
        let found = shard_of(client.id()) != shard;
        other = found.then_some(client);
        found
    });
    let mut other = other.expect("found");
    assert_eq!(stuck_ms(&server, shard), 0);
    hanging.say(r#"{"type":"hang","id":1}"#);
    wait_until("the shard is stuck", || stuck_ms(&server, shard) >= 5_000);
    let activity = &server.counters()[shard].activity;
    assert_eq!(activity.phase(), TickPhase::Reading);
    let slot = activity.slot().expect("of a connection");
    let of_client = hanging.id().split('-').nth(1).expect("a slot");
    assert_eq!(format!("{slot:x}"), of_client);
    assert_eq!(stuck_ms(&server, 1 - shard), 0);
    other.check_quiet();
    let_go.send(()).expect("it waits");
    assert!(hanging.hear().contains("went on"));
    wait_until("the shard gets on", || stuck_ms(&server, shard) == 0);
    hanging.check_quiet();
}
