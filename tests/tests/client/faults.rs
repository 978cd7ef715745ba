//! What networks do, through the fault proxy: after each fault a subscriber behind it has seen
//! exactly the room's log, once, and a publisher behind it has published each message once.

use crate::scene::{LAST, Seen, connect, converse, quick, run, serve, serve_on};
use shardcast_client::{Adaptive, Compression, Encoding, Loss, Options, SubscribeOptions};
use shardcast_tests::Served;
use shardcast_tests::proxy::{Fault, Proxy, Script, Way};
use std::net::SocketAddr;
use std::time::Duration;

fn fault(after: u64, fault: Fault) -> Way {
    Way {
        fault: Some((after, fault)),
        ..Way::default()
    }
}

fn slow(delay_ms: u64, piece_bytes: usize) -> Way {
    Way {
        delay: Duration::from_millis(delay_ms),
        piece_bytes,
        ..Way::default()
    }
}

fn jittery(delay_ms: u64, jitter_ms: u64, piece_bytes: usize) -> Way {
    Way {
        jitter: Duration::from_millis(jitter_ms),
        ..slow(delay_ms, piece_bytes)
    }
}

/// A name, and what happens to each connection: the last script is for all that follow.
pub(crate) fn table() -> Vec<(&'static str, Vec<Script>)> {
    let down = |way: Way| Script {
        down: way,
        ..Script::default()
    };
    let up = |way: Way| Script {
        up: way,
        ..Script::default()
    };
    let clean = Script::default();
    let both = |way: Way| Script {
        up: way,
        down: way,
        behind: 0,
    };
    vec![
        ("latency and small pieces", vec![both(slow(5, 7))]),
        ("jitter", vec![both(jittery(1, 12, 60))]),
        (
            "resets of what comes",
            vec![
                down(fault(900, Fault::Reset)),
                down(fault(3_000, Fault::Reset)),
                clean,
            ],
        ),
        (
            "resets of what goes",
            vec![
                up(fault(420, Fault::Reset)),
                up(fault(1_500, Fault::Reset)),
                clean,
            ],
        ),
        (
            "a reset of the handshake",
            vec![down(fault(20, Fault::Reset)), clean],
        ),
        (
            "the server's direction stalls",
            vec![down(fault(1_500, Fault::Stall)), clean],
        ),
        (
            "the client's direction stalls",
            vec![up(fault(700, Fault::Stall)), clean],
        ),
        (
            "a handshake that stalls",
            vec![up(fault(10, Fault::Stall)), clean],
        ),
        (
            "no more comes",
            vec![down(fault(2_000, Fault::HalfClose)), clean],
        ),
        (
            "no more goes",
            vec![up(fault(900, Fault::HalfClose)), clean],
        ),
        (
            "a partition",
            vec![
                both(fault(1_000, Fault::Stall)),
                both(fault(0, Fault::Stall)),
                clean,
            ],
        ),
    ]
}

fn options(index: usize) -> Options {
    let encodings = [Encoding::Json, Encoding::MessagePack];
    let compressions = [Compression::Off, Compression::Offer, Compression::Off];
    Options {
        encoding: encodings[index % 2],
        compression: compressions[index % 3],
        adaptive: [Adaptive::Off, Adaptive::On][index / 2 % 2],
        connect_timeout: Duration::from_secs(2),
        ..quick()
    }
}

pub(crate) fn proxied(served: &Served, scripts: &[Script]) -> Proxy {
    let scripts = scripts.to_vec();
    Proxy::before(served.address("ws"), move |number| {
        scripts[number.min(scripts.len() - 1)]
    })
}

/// A subscriber behind the faults hears what a publisher elsewhere says.
async fn hears(faulty: SocketAddr, clean: SocketAddr, options: Options, room: &str) -> Seen {
    let (subscriber, publisher) = (connect(faulty, options), connect(clean, quick()));
    let heard = subscriber.subscribe(room, SubscribeOptions::default());
    let publishes = async {
        for number in 1..=LAST {
            publisher.publish(room, &number).await.expect("published");
        }
    };
    converse(heard.expect("open"), publishes).await
}

/// A publisher behind the faults says what a subscriber elsewhere hears.
async fn publishes(faulty: SocketAddr, clean: SocketAddr, options: Options, room: &str) -> Seen {
    let (publisher, subscriber) = (connect(faulty, options), connect(clean, quick()));
    let heard = subscriber.subscribe(room, SubscribeOptions::default());
    let publishes = async {
        // All at once: what is under way when the connection goes is sent again.
        let sent: Vec<_> = (1..=LAST)
            .map(|number| publisher.publish(room, &number).send())
            .collect();
        for sent in sent {
            sent.await.expect("published");
        }
    };
    converse(heard.expect("open"), publishes).await
}

#[test]
fn a_subscriber_sees_exactly_the_log_after_each_fault() {
    let served = serve("");
    for (index, (name, scripts)) in table().into_iter().enumerate() {
        let proxy = proxied(&served, &scripts);
        let room = format!("chat:hears-{index}");
        let seen = run(hears(
            proxy.address(),
            served.address("ws"),
            options(index),
            &room,
        ));
        eprintln!("{name}: recovered {} times", seen.recovered);
        seen.assert_all(LAST);
    }
}

#[test]
fn a_publisher_publishes_each_message_once_through_each_fault() {
    let served = serve("");
    for (index, (name, scripts)) in table().into_iter().enumerate() {
        let proxy = proxied(&served, &scripts);
        let room = format!("chat:says-{index}");
        eprintln!("{name}");
        let seen = run(publishes(
            proxy.address(),
            served.address("ws"),
            options(index),
            &room,
        ));
        seen.assert_all(LAST);
    }
}

#[test]
fn a_server_that_starts_anew_is_told_as_a_loss() {
    let served = serve("");
    let address = served.address("ws");
    run(async {
        let client = connect(address, quick());
        let mut heard = client
            .subscribe("chat:anew", SubscribeOptions::default())
            .expect("open");
        heard.joined().await.expect("it joins");
        for number in 1..=10_u64 {
            client
                .publish("chat:anew", &number)
                .await
                .expect("published");
        }
        let mut seen = Seen::default();
        seen.until(&mut heard, 10).await;
        served.terminate();
        let (code, log) = served.end();
        assert_eq!(code, Some(0), "{log}");
        // Asked for while there is no server: it waits.
        let waiting = client.publish("chat:anew", &11_u64).send();
        let served = serve_on(address.port(), "");
        waiting.await.expect("published by the new server");
        seen.until(&mut heard, 11).await;
        assert_eq!(seen.numbers, (1..=11).collect::<Vec<u64>>());
        assert_eq!(seen.lost, [Loss::EpochChanged]);
        drop(served);
    });
}
