//! Clients that wait while a hook finds out in the background who they are: let in, refused, too
//! late, gone, or one too many; over WebSockets and event streams, on the real ring.

use super::{SHARDS, told};
use shardcast::{App, Arrival, Identity, Refusal};
use shardcast_tests::events::{self, Events, status};
use shardcast_tests::{FIN, Raw, Server, TEXT, config, frame, upgrade};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What the test holds in its hands.
struct Gate {
    /// Lets one go on for each permit.
    permits: Arc<Semaphore>,
    /// Who began to wait.
    arrived: Receiver<String>,
    /// Whose hook was dropped where it waited.
    dropped: Receiver<String>,
}

/// Tells that it was dropped, unless it was disarmed.
struct Waits {
    name: Option<String>,
    dropped: SyncSender<String>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            let _ = self.dropped.send(name);
        }
    }
}

/// `?user=ann` waits for a permit and is ann; `do` says what else becomes of a client.
fn guarded() -> (App, Gate) {
    let permits = Arc::new(Semaphore::new(0));
    let (arriving, arrived) = sync_channel(100);
    let (dropping, dropped) = sync_channel(100);
    let gate = Gate {
        permits: Arc::clone(&permits),
        arrived,
        dropped,
    };
    let app =
        App::new().on_connect_async(move |arrival: Arrival| {
            let (permits, arriving) = (Arc::clone(&permits), arriving.clone());
            let dropped = dropping.clone();
            async move {
                let name = arrival.parameter("user").unwrap_or("nobody").to_owned();
                let mut waits = Waits {
                    name: Some(name.clone()),
                    dropped,
                };
                let _ = arriving.send(name.clone());
                let permit = permits.acquire().await.expect("it is open");
                permit.forget();
                waits.name = None;
                match arrival.parameter("do") {
                    Some("panic") => panic!("as the client wished"),
                    Some("refuse") => Err(Refusal::new(401, "who are you?")
                        .with_header("WWW-Authenticate", "Bearer")?),
                    Some(_) | None => {
                        assert_eq!(arrival.header("HOST"), Some(&b"localhost"[..]));
                        arrival.add_header("Set-Cookie", "seen=1")?;
                        Ok(Identity::user(name)?)
                    }
                }
            }
        });
    (app, gate)
}

fn asking(server: &Server, query: &str) -> Raw {
    let mut raw = Raw::connect(server);
    raw.send(upgrade().replace("/ws", &format!("/ws?{query}")).as_bytes());
    raw
}

#[test]
fn a_client_hears_of_the_decision_when_there_is_one() {
    for shards in SHARDS {
        let (app, gate) = guarded();
        let (server, _) = Server::of(app, config(shards));
        let mut ann = asking(&server, "user=ann");
        // What is said early is heard after the welcome.
        ann.send(&frame(FIN | TEXT, br#"{"type":"status","id":1}"#));
        assert_eq!(told(&gate.arrived), "ann");
        server.wait_until("somebody waits", |server| {
            server.sum(|shard| &shard.admissions_waiting) == 1
        });
        gate.permits.add_permits(1);
        let head = ann.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("\r\nSet-Cookie: seen=1\r\n"), "{head}");
        assert!(ann.hear().starts_with(r#"{"type":"welcome""#));
        let status = ann.hear();
        assert!(status.contains(r#""user":"ann""#), "{status}");
        for (what, expected) in [("refuse", "HTTP/1.1 401 "), ("panic", "HTTP/1.1 500 ")] {
            let mut raw = asking(&server, &format!("user=bob&do={what}"));
            assert_eq!(told(&gate.arrived), "bob");
            gate.permits.add_permits(1);
            let head = raw.head();
            assert!(head.starts_with(expected), "{head}");
            let bears = head.contains("\r\nWWW-Authenticate: Bearer\r\n");
            assert_eq!(bears, what == "refuse", "{head}");
        }
        assert_eq!(server.sum(|shard| &shard.panics), 1);
        assert_eq!(server.sum(|shard| &shard.admissions_deferred), 3);
        drop(ann);
        server.wait_until_empty();
        assert!(gate.dropped.try_recv().is_err(), "nobody was dropped");
    }
}

#[test]
fn event_streams_wait_too() {
    let (app, gate) = guarded();
    let mut config = config(1);
    config.event_streams = Some("/sse".to_owned());
    let (server, _) = Server::of(app, config);
    let mut raw = Raw::connect(&server);
    raw.send(events::stream("/sse?user=ann&do=refuse").as_bytes());
    assert_eq!(told(&gate.arrived), "ann");
    gate.permits.add_permits(1);
    assert_eq!(status(&raw.head()), 401);
    gate.permits.add_permits(1);
    let mut events = Events::at(Raw::connect(&server), "/sse?user=ann");
    assert!(events.hear().starts_with(r#"{"type":"welcome""#));
    assert_eq!(server.sum(|shard| &shard.event_streams), 1);
}

#[test]
fn who_goes_is_not_waited_for() {
    let (app, gate) = guarded();
    let (server, _) = Server::of(app, config(1));
    let mut finishes = asking(&server, "user=finishes");
    assert_eq!(told(&gate.arrived), "finishes");
    finishes.finish();
    assert_eq!(told(&gate.dropped), "finishes");
    let resets = asking(&server, "user=resets");
    assert_eq!(told(&gate.arrived), "resets");
    resets.reset();
    assert_eq!(told(&gate.dropped), "resets");
    server.wait_until_empty();
    assert_eq!(server.sum(|shard| &shard.admissions_waiting), 0);
    assert_eq!(server.sum(|shard| &shard.upgrades), 0);
}

#[test]
fn nobody_waits_for_ever() {
    let (app, gate) = guarded();
    let mut config = config(1);
    config.admission_timeout = Duration::from_millis(100);
    let (server, _) = Server::of(app, config);
    let mut raw = asking(&server, "user=ann");
    let head = raw.head();
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    assert_eq!(told(&gate.dropped), "ann");
    // A decision that comes later is nobody's.
    gate.permits.add_permits(1);
    assert_eq!(server.sum(|shard| &shard.closed_deadline_admission), 1);
    assert_eq!(server.sum(|shard| &shard.upgrades), 0);
}

#[test]
fn as_many_wait_as_may() {
    let (app, gate) = guarded();
    let mut config = config(1);
    config.deferred_max = 2;
    let (server, _) = Server::of(app, config);
    let mut waiting = [asking(&server, "user=a"), asking(&server, "user=b")];
    let mut arrived = [told(&gate.arrived), told(&gate.arrived)];
    arrived.sort_unstable();
    assert_eq!(arrived, ["a", "b"]);
    let mut third = asking(&server, "user=c");
    let head = third.head();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(server.sum(|shard| &shard.refused_waiting), 1);
    assert!(gate.arrived.try_recv().is_err(), "its hook was not begun");
    gate.permits.add_permits(2);
    for raw in &mut waiting {
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }
}

#[test]
fn a_drain_refuses_who_waits() {
    let (app, gate) = guarded();
    let (server, _) = Server::of(app, config(1));
    let mut raw = asking(&server, "user=ann");
    assert_eq!(told(&gate.arrived), "ann");
    assert!(server.drain(shardcast_tests::PATIENCE));
    let head = raw.head();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(told(&gate.dropped), "ann");
}
