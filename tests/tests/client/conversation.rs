//! Everything that a client says and hears, in each encoding, with and without compression, over
//! ws, wss and a proxy.

use crate::scene::{connect, quick, run, serve, url};
use serde_json::{Value, json};
use shardcast_client::{
    Authorities, Client, Compression, Encoding, Error, ErrorKind, Item, Joined, Loss, Options,
    Position, Proxy, Sampling, State, SubscribeOptions, Subscription, Target, Tls, TraceContext,
};
use shardcast_patience::Program;
use shardcast_tests::{Certificates, PATIENCE, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn encodings() -> [(Encoding, Compression); 4] {
    [
        (Encoding::Json, Compression::Off),
        (Encoding::MessagePack, Compression::Off),
        (Encoding::Json, Compression::Offer),
        (Encoding::MessagePack, Compression::Offer),
    ]
}

async fn item(subscription: &mut Subscription) -> Item {
    let item = subscription.next().await.expect("it goes on");
    item.expect("no error")
}

/// The whole conversation of two clients.
async fn converse(ann: &Client, bob: &Client) {
    static ROOMS: AtomicUsize = AtomicUsize::new(0);
    let room = &*format!("chat:lobby-{}", ROOMS.fetch_add(1, Ordering::Relaxed));
    let mut lobby = ann
        .subscribe(room, SubscribeOptions::default())
        .expect("open");
    let Joined { members, position } = lobby.joined().await.expect("it joins");
    assert_eq!(members, 1);
    assert!(matches!(item(&mut lobby).await, Item::Joined(_)));
    let data = json!({"text": "hello \"ü\"", "long": "word ".repeat(200), "n": [1, -2, 2.5, null]});
    let receipt = bob.publish(room, &data).await.expect("published");
    let before = position.expect("it keeps history");
    assert_eq!(receipt.offset, Some(before.offset + 1));
    let Item::Message(message) = item(&mut lobby).await else {
        panic!("a message");
    };
    assert_eq!(message.read::<Value>().expect("JSON"), data);
    assert_eq!(message.from(), bob.connection().as_deref());
    assert_eq!(
        (message.room(), message.offset()),
        (Some(room), receipt.offset)
    );

    let report = bob.publish(room, &1).with_report().without_echo().await;
    let report = report.expect("published");
    assert_eq!(report.delivered.zip(report.dropped), Some((1, 0)));
    let again = bob.publish(room, &2).key("k").await.expect("published");
    let twice = bob.publish(room, &2).key("k").await.expect("published");
    assert_eq!((again.offset, twice.duplicate), (twice.offset, true));
    let rooms = Target::Rooms(&[room, "plain"]);
    let several = bob.publish(rooms, &3).await.expect("published");
    assert_eq!(several.rooms.len(), 1);

    let since = Position {
        offset: before.offset + 1,
        ..before
    };
    let history = bob.history::<Value>(room).with("since", &since).await;
    let history = history.expect("it keeps history");
    let kept: Vec<Value> = history.messages.into_iter().map(|kept| kept.data).collect();
    assert_eq!(kept, [json!(1), json!(2), json!(3)]);
    let presence = bob.presence(room).await.expect("open");
    assert_eq!((presence.total, presence.members.len()), (1, 1));
    let status = ann.connection_status().await.expect("open");
    assert_eq!(&*status.connection, ann.connection().expect("connected"));
    assert_eq!(status.rooms, [Box::<str>::from(room)]);
    let echoed: Value = bob.request("echo", &data).await.expect("an echo");
    assert_eq!(echoed, data);
    assert!(bob.ping().await.expect("a pong") < PATIENCE);
    let context = TraceContext::new(0xf0, 0xf1, Sampling::Unknown).expect("no zeros");
    let traced = bob.publish(room, &4).trace(context).await;
    let traced = traced.expect("published");
    loop {
        let Item::Message(message) = item(&mut lobby).await else {
            panic!("a message");
        };
        let is_traced = message.offset() == traced.offset;
        assert_eq!(message.trace(), is_traced.then_some(context));
        if is_traced {
            break;
        }
    }
}

/// What is refused, and what is withdrawn.
async fn refusals(ann: &Client) {
    let unknown = ann.request::<Value>("nobody.knows", &()).await;
    let unknown: Error = unknown.expect_err("nobody handles it");
    assert_eq!(
        (unknown.kind(), unknown.code()),
        (ErrorKind::Refused, "unknown_type")
    );
    assert!(!unknown.is_retryable());
    let bad = ann
        .subscribe("a\nb", SubscribeOptions::default())
        .expect("open");
    assert_eq!(
        bad.joined().await.expect_err("no name").code(),
        "bad_request"
    );
    let large = ann.publish("plain", &"x".repeat(70_000)).await;
    assert_eq!(large.expect_err("too large").kind(), ErrorKind::TooLarge);
    // Whoever drops a request is not answered, and nobody else is confused.
    drop(ann.request::<Value>("echo", &1).send());
    let echoed: u64 = ann.request("echo", &2).await.expect("an echo");
    assert_eq!(echoed, 2);
}

/// Two clients over a listener.
fn check(address: &str, options: &Options) {
    run(async {
        let [ann, bob] = [(), ()].map(|()| Client::connect(address, options.clone()));
        let (ann, bob) = (ann.expect("good options"), bob.expect("good options"));
        ann.ready().await.expect("it connects");
        bob.ready().await.expect("it connects");
        converse(&ann, &bob).await;
        refusals(&ann).await;
        ann.close().await;
        bob.close().await;
        assert_eq!(ann.state(), State::Closed);
        let closed = ann
            .publish("chat:lobby", &1)
            .await
            .expect_err("it is closed");
        assert_eq!(closed.kind(), ErrorKind::Closed);
    });
}

#[test]
fn every_encoding_says_and_hears_the_same() {
    let served = serve("[compression]\nenabled = true\nthreshold = 64\n");
    for (encoding, compression) in encodings() {
        let options = Options {
            encoding,
            compression,
            ..quick()
        };
        check(&url(served.address("ws")), &options);
    }
    assert!(
        served.metric("inflated_messages_total") > 0,
        "the client compressed"
    );
    assert!(
        served.metric("deflated_messages_total") > 0,
        "the server compressed"
    );
}

#[test]
fn over_tls_a_server_is_trusted_by_its_authority() {
    let certificates = Certificates::make();
    let served = serve(&certificates.toml());
    let port = served.address("wss").port();
    let options = Options {
        tls: Tls {
            authorities: Authorities::File(certificates.file("authority.pem").into()),
            identity: None,
        },
        ..quick()
    };
    check(&format!("wss://localhost:{port}/ws"), &options);
    // Whom nobody vouches for is not talked to.
    run(async {
        let stranger = Client::connect(&format!("wss://localhost:{port}/ws"), quick());
        let stranger = stranger.expect("good options");
        let mut status = stranger.status();
        let seen = status
            .wait_for(|status| status.attempt >= 2)
            .await
            .expect("it lives");
        let error = seen.error.clone().expect("it failed");
        assert_eq!(error.kind(), ErrorKind::Connect);
        drop(seen);
        assert_eq!(stranger.state(), State::Connecting);
        stranger.close().await;
    });
}

/// A proxy that answers `CONNECT` and tunnels; it counts, and wants a password.
fn tunnel(tunnels: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it listens");
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            let tunnels = Arc::clone(&tunnels);
            std::thread::spawn(move || forward(client, &tunnels));
        }
    });
    address
}

fn forward(mut client: TcpStream, tunnels: &AtomicUsize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).is_ok_and(|count| count == 1) {
            head.push(byte[0]);
        } else {
            return;
        }
    }
    let head = String::from_utf8(head).expect("ASCII");
    let target = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next());
    // `me:secret` in base64.
    if !head.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n") {
        _ = client.write_all(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    let server = TcpStream::connect(target.expect("a target")).expect("the server listens");
    tunnels.fetch_add(1, Ordering::Relaxed);
    client
        .write_all(b"HTTP/1.1 200 OK\r\nX-Proxy: yes\r\n\r\n")
        .expect("it reads");
    let (mut up, mut down) = (
        client.try_clone().expect("a socket"),
        server.try_clone().expect("a socket"),
    );
    std::thread::spawn(move || {
        let mut server = server;
        _ = std::io::copy(&mut up, &mut server);
        _ = server.shutdown(std::net::Shutdown::Write);
    });
    _ = std::io::copy(&mut down, &mut client);
    _ = client.shutdown(std::net::Shutdown::Write);
}

#[test]
fn through_a_proxy_that_knows_the_client() {
    let served = serve("");
    let tunnels = Arc::new(AtomicUsize::new(0));
    let proxy = tunnel(Arc::clone(&tunnels));
    let options = Options {
        proxy: Proxy::Http(format!("http://me:secret@{proxy}")),
        ..quick()
    };
    check(&url(served.address("ws")), &options);
    assert_eq!(tunnels.load(Ordering::Relaxed), 2);
    run(async {
        let options = Options {
            proxy: Proxy::Http(format!("http://{proxy}")),
            ..quick()
        };
        let refused = connect(served.address("ws"), options);
        let mut status = refused.status();
        let seen = status
            .wait_for(|status| status.error.is_some())
            .await
            .expect("it lives");
        let error = seen.error.clone().expect("it failed");
        assert!(error.message().contains("407"), "{error}");
    });
}

/// Tells this very test, started again in another environment, whom to talk to.
const PROXIED: &str = "SHARDCAST_CLIENT_TEST_SERVER";

#[test]
fn through_the_proxy_that_the_environment_names() {
    if let Ok(server) = std::env::var(PROXIED) {
        return run(async {
            let options = Options {
                proxy: Proxy::FromEnvironment,
                ..quick()
            };
            let client = Client::connect(&server, options).expect("good options");
            client.ping().await.expect("a pong");
            client.close().await;
        });
    }
    let served = serve("");
    let tunnels = Arc::new(AtomicUsize::new(0));
    let proxy = format!("http://me:secret@{}", tunnel(Arc::clone(&tunnels)));
    let proxy = proxy.as_str();
    let table: [(&[(&str, &str)], usize); 5] = [
        (&[("HTTP_PROXY", proxy)], 1),
        (&[("http_proxy", proxy)], 1),
        (&[("ALL_PROXY", proxy)], 1),
        // Only of wss.
        (&[("HTTPS_PROXY", proxy)], 0),
        (&[("HTTP_PROXY", proxy), ("NO_PROXY", "127.0.0.1")], 0),
    ];
    for (variables, expected) in table {
        let mut again = Command::new(std::env::current_exe().expect("this test"));
        let name = "conversation::through_the_proxy_that_the_environment_names";
        again.args(["--exact", name]);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            again.env_remove(name).env_remove(name.to_lowercase());
        }
        again.envs(variables.iter().copied());
        again.env(PROXIED, url(served.address("ws")));
        let ended = Program::start(&mut again).end();
        assert_eq!(ended.code, Some(0), "{}{}", ended.printed, ended.errors);
        assert!(ended.printed.contains("1 passed"), "{}", ended.printed);
        let through = tunnels.swap(0, Ordering::Relaxed);
        assert_eq!(through, expected, "{variables:?}");
    }
}

#[test]
fn several_handlers_of_a_room_come_and_go() {
    let served = serve("");
    run(async {
        let client = connect(served.address("ws"), quick());
        let heard: Arc<Mutex<Vec<(u32, u64)>>> = Arc::default();
        let hear = |who: u32| {
            let heard = Arc::clone(&heard);
            client.subscribe_with("chat:many", SubscribeOptions::default(), move |item| {
                if let Item::Message(message) = item {
                    let number = message.read().expect("a number");
                    heard.lock().expect("not poisoned").push((who, number));
                }
            })
        };
        let first = hear(1).expect("open");
        let second = hear(2).expect("open");
        let throws = client.subscribe_with("chat:many", SubscribeOptions::default(), |item| {
            assert!(!matches!(item, Item::Message(_)), "a handler that fails");
        });
        let throws = throws.expect("open");
        throws.joined().await.expect("it joins");
        // An answer does not wait for handlers.
        let all_called = async |times: u64| {
            while client.snapshot().handler_panics < times {
                tokio::task::yield_now().await;
            }
        };
        client.publish("chat:many", &1).await.expect("published");
        all_called(1).await;
        drop(first);
        client.publish("chat:many", &2).await.expect("published");
        all_called(2).await;
        assert!(client.unsubscribe(second.id()));
        assert!(!client.unsubscribe(second.id()), "it is gone");
        client.publish("chat:many", &3).await.expect("published");
        all_called(3).await;
        let mut seen = heard.lock().expect("not poisoned").clone();
        seen.sort_unstable();
        assert_eq!(seen, [(1, 1), (2, 1), (2, 2)]);
        assert_eq!(client.snapshot().handler_panics, 3);
        assert_eq!(client.snapshot().rooms, 1);
        drop((second, throws));
        // The room is left with its last handler.
        let left = async {
            while !client
                .connection_status()
                .await
                .expect("open")
                .rooms
                .is_empty()
            {
                tokio::task::yield_now().await;
            }
            // The server's answer to the leave may come behind that.
            while client.snapshot().rooms > 0 {
                tokio::task::yield_now().await;
            }
        };
        left.await;
    });
}

#[test]
fn a_handler_may_hold_its_client_and_is_dropped_while_nothing_is_locked() {
    let served = serve("");
    run(async {
        let client = connect(served.address("ws"), quick());
        let other = client
            .subscribe("chat:other", SubscribeOptions::default())
            .expect("open");
        let captured = (client.clone(), other);
        let held = client.subscribe_with("chat:held", SubscribeOptions::default(), move |_| {
            let (client, other) = &captured;
            assert_eq!(
                (client.state(), other.room()),
                (State::Connected, Some("chat:other"))
            );
        });
        let held = held.expect("open");
        held.joined().await.expect("it joins");
        // The last client is the handler's, and goes with it.
        drop(client);
        drop(held);
        while served.metric("connections") > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_room_that_was_heard_before_is_gone_on_with() {
    let served = serve("");
    run(async {
        let client = connect(served.address("ws"), quick());
        let mut room = client
            .subscribe("chat:since", SubscribeOptions::default())
            .expect("open");
        room.joined().await.expect("it joins");
        client.publish("chat:since", &1).await.expect("published");
        item(&mut room).await;
        item(&mut room).await;
        let since = room.position();
        drop(room);
        client.publish("chat:since", &2).await.expect("published");
        let options = SubscribeOptions {
            since,
            ..SubscribeOptions::default()
        };
        let mut room = client.subscribe("chat:since", options).expect("open");
        assert!(matches!(item(&mut room).await, Item::Joined(_)));
        let Item::Recovered(recovered) = item(&mut room).await else {
            panic!("it is told what follows");
        };
        assert_eq!(recovered.missed, 1);
        assert!(matches!(item(&mut room).await, Item::Message(_)));
        // More was published than is kept.
        for number in 0..20 {
            client
                .publish("short:since", &number)
                .await
                .expect("published");
        }
        let history = client
            .history::<Value>("short:since")
            .with("limit", &0)
            .await;
        let since = Some(Position {
            epoch: history.expect("it keeps history").epoch,
            offset: 1,
        });
        let options = SubscribeOptions {
            since,
            ..SubscribeOptions::default()
        };
        let mut room = client.subscribe("short:since", options).expect("open");
        assert!(matches!(item(&mut room).await, Item::Joined(_)));
        let Item::Lost(lost) = item(&mut room).await else {
            panic!("it is told what it missed");
        };
        assert_eq!(lost.why, Loss::TrimmedBySize);
    });
}

#[test]
fn ten_thousand_rooms_come_back_in_as_few_messages_as_may_be() {
    let served = serve("[limits]\nmax_rooms_per_connection = 16384\n");
    run(async {
        let client = connect(served.address("ws"), quick());
        client.ready().await.expect("it connects");
        let subscriptions: Vec<Subscription> = (0..10_000)
            .map(|number| {
                let room = format!("chat:room-{number}");
                client
                    .subscribe(&room, SubscribeOptions::default())
                    .expect("open")
            })
            .collect();
        for subscription in &subscriptions {
            subscription.joined().await.expect("it joins");
        }
        let before = client.snapshot();
        let connection = client.connection().expect("connected");
        let call = json!({"connection": connection, "code": 1012, "reason": "again"});
        let (status, answer) = served.call("/api/disconnect", &call.to_string());
        assert_eq!(status, 200, "{answer}");
        let mut subscriptions = subscriptions;
        for subscription in &mut subscriptions {
            assert!(matches!(item(subscription).await, Item::Joined(_)));
            assert!(matches!(item(subscription).await, Item::Recovered(_)));
        }
        let after = client.snapshot();
        let sent = after.messages_sent - before.messages_sent;
        // Each of them but the last is full, but for what would surround one more room and for
        // what presence may show.
        const MESSAGE_BYTES: u64 = 64 << 10;
        let bytes = after.bytes_sent - before.bytes_sent;
        let fewest = bytes.div_ceil(MESSAGE_BYTES - (2 << 10));
        assert!(bytes > 10 * MESSAGE_BYTES, "{bytes} bytes");
        assert!(sent <= fewest + 1, "{sent} messages with {bytes} bytes");
        let client_gone = client.clone();
        drop((client, subscriptions));
        client_gone.close().await;
        wait_until("it is gone", || served.metric("connections") == 0);
    });
}

#[test]
fn what_waits_for_room_is_sent_in_its_turn() {
    use shardcast_client::{QueueOptions, WhenQueueFull};
    let served = serve("");
    run(async {
        let options = |when_full| Options {
            queue: QueueOptions {
                count: 2,
                when_full,
                ..QueueOptions::default()
            },
            ..quick()
        };
        let nowhere = TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("it listens");
        let refuses = connect(nowhere, options(WhenQueueFull::Refuse));
        let waiting = [1, 2].map(|number| refuses.publish("chat:q", &number).send());
        let full = refuses.publish("chat:q", &3).await.expect_err("full");
        assert_eq!(
            (full.kind(), full.is_retryable()),
            (ErrorKind::QueueFull, true)
        );
        drop(waiting);
        let drops = connect(nowhere, options(WhenQueueFull::DropOldest));
        let oldest = drops.publish("chat:q", &1).send();
        let others = [2, 3].map(|number| drops.publish("chat:q", &number).send());
        assert_eq!(
            oldest.await.expect_err("dropped").kind(),
            ErrorKind::QueueFull
        );
        drop(others);
        let waits = connect(served.address("ws"), options(WhenQueueFull::Wait));
        let sent: Vec<_> = (0..50_u64)
            .map(|number| waits.publish("chat:q", &number).send())
            .collect();
        for sent in sent {
            sent.await.expect("published");
        }
        let late = connect(nowhere, options(WhenQueueFull::Wait));
        let _two = [1, 2].map(|number| late.publish("chat:q", &number).send());
        let third = late
            .publish("chat:q", &3)
            .timeout(Duration::from_millis(20))
            .await;
        assert_eq!(third.expect_err("no room").kind(), ErrorKind::Timeout);
    });
}
