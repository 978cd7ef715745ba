//! Rates and counts: at, under and over each edge, of connections, users on all shards, rooms and
//! addresses; refused, delayed, disconnected and only counted. Rates are so slow, and bursts are
//! what is looked at, that no clock decides a test.

use crate::{ask, status_of};
use shardcast::{App, ClientLimits, Code, Connect, Identity, OnExceed, Rate, RateLimits};
use shardcast_engine::Refusal;
use shardcast_tests::{FIN, Raw, Server, TEXT, config, frame, shard_of, upgrade, wait_until};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

/// So much at once, and then one a second.
fn burst(burst: u64) -> Option<Rate> {
    Rate::new(1, burst)
}

fn identity_of(connect: &Connect<'_>) -> Result<Identity, Refusal> {
    let Some(user) = connect.parameter("user") else {
        return Ok(Identity::nobody());
    };
    Ok(Identity::user(user)?.in_roles(connect.parameter("role")))
}

fn server(limits: RateLimits, shards: usize) -> Server {
    let app = App::new().on_connect(identity_of).limits(limits);
    Server::of(app, config(shards)).0
}

fn of_clients(everybody: ClientLimits) -> RateLimits {
    RateLimits {
        everybody,
        ..RateLimits::default()
    }
}

/// A client with this query, and the shard that it is on.
#[track_caller]
fn enter(server: &Server, query: &str) -> (Raw, usize) {
    let mut raw = Raw::connect(server);
    raw.send(
        upgrade()
            .replacen("/ws", &format!("/ws?{query}"), 1)
            .as_bytes(),
    );
    assert_eq!(status_of(&raw.head()), 101);
    let welcome = raw.hear();
    let id = welcome.split(r#""connection":""#).nth(1).expect("an id");
    let shard = shard_of(id.split('"').next().expect("its end"));
    (raw, shard)
}

/// What is said is answered with `rate_limited` and a time, for this limit.
#[track_caller]
fn refused(raw: &mut Raw, said: &str, limit: &str) {
    raw.say(said);
    let answer = raw.hear();
    assert!(
        answer.contains(r#""code":"rate_limited""#),
        "{said}: {answer}"
    );
    assert!(
        answer.contains(&format!("more than {limit} allows")),
        "{answer}"
    );
    assert!(answer.contains(r#""retry_after_ms":"#), "{answer}");
    assert!(answer.contains(r#""id":9"#), "{answer}");
}

/// What is said is answered, and not so.
#[track_caller]
fn passes(raw: &mut Raw, said: &str) -> String {
    raw.say(said);
    let answer = raw.hear();
    assert!(!answer.contains("rate_limited"), "{said}: {answer}");
    answer
}

const PING: &str = r#"{"type":"ping","id":9}"#;
const LEAVE: &str = r#"{"type":"leave_room","id":9,"room":"a"}"#;

#[test]
fn messages_and_bytes_of_a_connection() {
    let server = server(
        of_clients(ClientLimits {
            messages_per_second: burst(5),
            ..ClientLimits::default()
        }),
        2,
    );
    let (mut one, _) = enter(&server, "");
    let (mut other, _) = enter(&server, "");
    passes(&mut one, r#"{"type":"join_room","id":9,"room":"a"}"#);
    (0..4).for_each(|_| drop(passes(&mut one, PING)));
    refused(&mut one, PING, "messages_per_second");
    // Whoever is refused stays, others have their own, and leaving is never refused.
    (0..5).for_each(|_| drop(passes(&mut other, PING)));
    assert!(passes(&mut one, LEAVE).contains(r#""type":"left""#));
    refused(
        &mut one,
        r#"{"type":"rooms","id":9}"#,
        "messages_per_second",
    );
    // Over JSON-RPC every request of a batch counts.
    let mut batch = Raw::connect(&server);
    batch.send(upgrade().replacen("/ws", "/jsonrpc", 1).as_bytes());
    assert_eq!(status_of(&batch.head()), 101);
    let request = r#"{"jsonrpc":"2.0","method":"ping","id":1}"#;
    batch.say(&format!("[{request},{request},{request}]"));
    // The welcome comes first.
    let welcome = batch.hear();
    assert!(welcome.contains("welcome"), "{welcome}");
    let answers = batch.hear();
    assert!(
        answers.starts_with('[') && !answers.contains("error"),
        "{answers}"
    );
    batch.say(&format!("[{request},{request},{request}]"));
    let answers = batch.hear();
    let too_many = answers
        .matches("more than messages_per_second allows")
        .count();
    assert_eq!(too_many, 3, "{answers}");

    let server = self::server(
        of_clients(ClientLimits {
            bytes_per_second: burst(2 * PING.len() as u64),
            ..ClientLimits::default()
        }),
        1,
    );
    let (mut one, _) = enter(&server, "");
    passes(&mut one, PING);
    passes(&mut one, PING);
    refused(&mut one, PING, "bytes_per_second");
    // One that is larger than all that may be said at once passes, if nothing was said before.
    let (mut large, _) = enter(&server, "");
    let long = format!(r#"{{"type":"ping","id":9,"data":"{}"}}"#, "x".repeat(1_000));
    passes(&mut large, &long);
    refused(&mut large, PING, "bytes_per_second");
}

#[test]
fn joins_of_a_connection() {
    let server = server(
        of_clients(ClientLimits {
            joins_per_second: burst(3),
            ..ClientLimits::default()
        }),
        2,
    );
    let (mut raw, _) = enter(&server, "");
    passes(&mut raw, r#"{"type":"join_room","id":9,"rooms":["a","b"]}"#);
    // Two are more than are left, and none of them is joined.
    let two = r#"{"type":"join_room","id":9,"rooms":["c","d"]}"#;
    refused(&mut raw, two, "joins_per_second");
    passes(&mut raw, r#"{"type":"join_room","id":9,"room":"c"}"#);
    refused(
        &mut raw,
        r#"{"type":"join_room","id":9,"room":"d"}"#,
        "joins_per_second",
    );
    passes(&mut raw, LEAVE);
    let rooms = passes(&mut raw, r#"{"type":"rooms","id":9}"#);
    assert!(rooms.contains(r#""b""#) && rooms.contains(r#""c""#) && !rooms.contains(r#""d""#));
}

#[test]
fn a_users_rates_are_one_on_all_shards() {
    for (limits, limit) in [
        (
            ClientLimits {
                messages_per_second_per_user: burst(40),
                ..ClientLimits::default()
            },
            "messages_per_second_per_user",
        ),
        (
            ClientLimits {
                bytes_per_second_per_user: burst(40 * PING.len() as u64),
                ..ClientLimits::default()
            },
            "bytes_per_second_per_user",
        ),
    ] {
        let server = server(of_clients(limits), 2);
        let mut clients: Vec<Raw> = Vec::new();
        let mut shards = [0; 2];
        while clients.len() < 4 || shards.contains(&0) {
            let (raw, shard) = enter(&server, "user=ann");
            shards[shard] += 1;
            clients.push(raw);
        }
        // All at once, and each as quickly as it can.
        let threads = clients.into_iter().map(|mut raw| {
            std::thread::spawn(move || {
                let say = |_| {
                    raw.say(PING);
                    usize::from(raw.hear().contains("pong"))
                };
                let passed: usize = (0..40).map(say).sum();
                (raw, passed)
            })
        });
        let threads: Vec<_> = threads.collect();
        let ended = threads.into_iter().map(|it| it.join().expect("no panic"));
        let (mut clients, passed): (Vec<Raw>, Vec<usize>) = ended.unzip();
        // A token more for each second that the test took, and no other.
        let passed: usize = passed.iter().sum();
        assert!((40..40 + PATIENCE_SECONDS).contains(&passed), "{passed}");
        refused(&mut clients[0], PING, limit);
        passes(&mut enter(&server, "user=bob").0, PING);
        passes(&mut enter(&server, "").0, PING);
        // Whoever leaves and comes back has not more.
        drop(clients);
        server.wait_until_empty_but(0);
        let (mut back, _) = enter(&server, "user=ann");
        let more = (0..40).filter(|_| {
            back.say(PING);
            back.hear().contains("pong")
        });
        assert!(more.count() < PATIENCE_SECONDS, "it came back for more");
    }
}

/// Longer than the test above may take.
const PATIENCE_SECONDS: usize = 30;

#[test]
fn what_a_room_takes_and_what_a_publish_costs() {
    let limits = RateLimits {
        messages_per_second_per_room: burst(3),
        ..RateLimits::default()
    };
    let server = server(limits, 2);
    let publish = |room: &str| format!(r#"{{"type":"broadcast","id":9,"room":"{room}","data":1}}"#);
    for number in 0..3 {
        let (mut raw, _) = enter(&server, &format!("user=u{number}"));
        passes(&mut raw, &publish("a"));
    }
    let (mut raw, _) = enter(&server, "");
    refused(&mut raw, &publish("a"), "messages_per_second_per_room");
    passes(&mut raw, &publish("b"));

    let limits = RateLimits {
        bytes_per_second_per_room: burst(10),
        ..RateLimits::default()
    };
    let server = self::server(limits, 1);
    let (mut raw, _) = enter(&server, "");
    let four = r#"{"type":"broadcast","id":9,"room":"a","data":"12"}"#;
    passes(&mut raw, four);
    passes(&mut raw, four);
    refused(&mut raw, four, "bytes_per_second_per_room");

    let server = self::server(
        of_clients(ClientLimits {
            fanout_per_second: burst(10),
            ..ClientLimits::default()
        }),
        1,
    );
    let mut members: Vec<Raw> = (0..5).map(|_| Raw::connect(&server)).collect();
    members.iter_mut().for_each(|member| member.join("a"));
    // Five members: two publishes; nobody in the room: ten.
    for (query, room, count) in [
        ("user=ann", "a", 2),
        ("user=bob", "empty", 10),
        ("", "a", 2),
    ] {
        let (mut raw, _) = enter(&server, query);
        (0..count).for_each(|_| drop(passes(&mut raw, &publish(room))));
        refused(&mut raw, &publish(room), "fanout_per_second");
        passes(&mut raw, PING);
        // The user's other connections have the same.
        if query == "user=ann" {
            let (mut again, _) = enter(&server, query);
            refused(&mut again, &publish("a"), "fanout_per_second");
        }
    }
}

#[test]
fn requests_in_flight() {
    let app = App::new().limits(of_clients(ClientLimits {
        requests_in_flight: Some(2),
        on_exceed: OnExceed::Delay,
        ..ClientLimits::default()
    }));
    let (open, opened) = tokio::sync::watch::channel(false);
    app.handlers()
        .on_async("wait", move |_, _: u32| {
            let mut opened = opened.clone();
            async move {
                opened.wait_for(|open| *open).await?;
                Ok("done")
            }
        })
        .expect("a new type");
    let (server, _) = Server::of(app, config(1));
    let (mut raw, _) = enter(&server, "");
    raw.say(r#"{"type":"wait","id":1,"data":1}"#);
    raw.say(r#"{"type":"wait","id":2,"data":1}"#);
    refused(
        &mut raw,
        r#"{"type":"wait","id":9,"data":1}"#,
        "requests_in_flight",
    );
    open.send_replace(true);
    for _ in 0..2 {
        assert!(raw.hear().contains("done"));
    }
    passes(&mut raw, PING);
}

#[test]
fn roles_have_their_own() {
    let class = |count| ClientLimits {
        messages_per_second: burst(count),
        ..ClientLimits::default()
    };
    let server = server(
        RateLimits {
            everybody: class(2),
            roles: vec![("bot".into(), class(4))],
            ..RateLimits::default()
        },
        2,
    );
    for (query, count) in [
        ("", 2),
        ("user=ann", 2),
        ("user=ann&role=guest", 2),
        ("user=ann&role=bot", 4),
    ] {
        let (mut raw, _) = enter(&server, query);
        (0..count).for_each(|_| drop(passes(&mut raw, PING)));
        refused(&mut raw, PING, "messages_per_second");
    }
}

#[test]
fn who_is_delayed_is_served_and_not_read() {
    let server = server(
        of_clients(ClientLimits {
            // A message each millisecond.
            messages_per_second: Rate::new(1_000, 1),
            on_exceed: OnExceed::Delay,
            ..ClientLimits::default()
        }),
        1,
    );
    let (mut raw, _) = enter(&server, "");
    let many: Vec<u8> = (0..300)
        .flat_map(|number| {
            let ping = format!(r#"{{"type":"ping","id":{number}}}"#);
            frame(FIN | TEXT, ping.as_bytes())
        })
        .collect();
    raw.send(&many);
    // Every one is answered, in order, however long it takes; others do not wait with it.
    let (mut other, _) = enter(&server, "");
    passes(&mut other, PING);
    for number in 0..300 {
        assert_eq!(raw.hear(), format!(r#"{{"type":"pong","id":{number}}}"#));
    }
    assert!(server.sum(|shard| &shard.parked) > 0);

    let server = self::server(
        of_clients(ClientLimits {
            bytes_per_second: burst(1_000),
            on_exceed: OnExceed::Delay,
            ..ClientLimits::default()
        }),
        1,
    );
    let mut stream = TcpStream::connect(server.address()).expect("it accepts");
    stream.write_all(upgrade().as_bytes()).expect("it reads");
    stream.set_nonblocking(true).expect("a socket");
    let message = frame(FIN | TEXT, format!("\"{}\"", "x".repeat(60_000)).as_bytes());
    // The server does not read on, so the sockets' buffers fill and the client has to wait.
    let (mut sent, mut at) = (0, 0);
    wait_until("TCP pushes back", || {
        loop {
            match stream.write(&message[at..]) {
                Ok(bytes) => {
                    (sent, at) = (sent + bytes, (at + bytes) % message.len());
                    assert!(sent < 512 << 20, "it is read as if there were no limit");
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        server.sum(|shard| &shard.parked) > 0
    });
    let taken = server.sum(|shard| &shard.messages_in);
    assert!(taken <= 3, "{taken} messages of 60 KB were taken");
    drop(stream);
    server.wait_until_empty();
}

#[test]
fn who_is_disconnected_hears_why() {
    let server = server(
        of_clients(ClientLimits {
            messages_per_second: burst(1),
            on_exceed: OnExceed::Disconnect,
            ..ClientLimits::default()
        }),
        1,
    );
    let (mut raw, _) = enter(&server, "");
    passes(&mut raw, PING);
    raw.say(PING);
    let code = Code::RateLimited.close_code().get();
    let (first, payload) = raw.frame();
    assert_eq!((first, &payload[..2]), (0x88, &code.to_be_bytes()[..]));
    assert_eq!(&payload[2..], b"more than messages_per_second allows");
}

#[test]
fn what_is_tried_is_counted_and_passes() {
    let served = crate::serve(
        "[limits]\ndry_run = true\nmessages_per_second = 1\nmessages_per_second_burst = 1\n\
         connections_per_address = 1\nconnects_per_second = 1\njoins_per_second = 1\non_exceed = 'disconnect'\n",
    );
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect_at(served.address("ws"));
        raw.upgrade();
        raw.hear();
        passes(
            &mut raw,
            r#"{"type":"join_room","id":9,"rooms":["a","b","c"]}"#,
        );
        (0..4).for_each(|_| drop(passes(&mut raw, PING)));
        clients.push(raw);
    }
    let (_, metrics) = served.ask("/metrics");
    for (limit, least) in [
        ("messages_per_second", 9),
        ("connections_per_address", 2),
        ("connects_per_second", 1),
    ] {
        let start = format!("shardcast_limited_total{{limit=\"{limit}\",outcome=\"dry_run\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
        let count: u64 = line.expect(limit).parse().expect("a number");
        assert!(count >= least, "{limit}: {count}");
        assert!(!metrics.contains(&format!("limit=\"{limit}\",outcome=\"refused\"}} 1")));
    }
}

/// The status that a connect from this address is answered with; who is let in is kept.
#[track_caller]
fn connect(source: IpAddr, server: SocketAddr, kept: &mut Vec<Raw>) -> u16 {
    let mut raw = Raw::connect_from(source, server);
    raw.send(upgrade().as_bytes());
    let head = raw.head();
    if status_of(&head) == 101 {
        kept.push(raw);
    } else {
        assert!(head.contains("\r\nRetry-After: "), "{head}");
    }
    status_of(&head)
}

#[test]
fn two_thousand_addresses_have_two_connections_each() {
    let limits = RateLimits {
        connections_per_address: Some(2),
        ..RateLimits::default()
    };
    let mut config = config(2);
    config.connections_max = 5_000;
    let app = App::new().limits(limits);
    let server = Server::of(app, config).0;
    let address = |number: u16| {
        let [high, low] = number.to_be_bytes();
        IpAddr::from(Ipv4Addr::new(127, 1, high, low))
    };
    let mut kept = Vec::new();
    for number in 0..2_000 {
        for expected in [101, 101, 429] {
            let status = connect(address(number), server.address(), &mut kept);
            assert_eq!(status, expected, "{number}");
        }
    }
    // Whoever leaves makes room for itself, and for nobody else.
    let gone = kept.split_off(3_990);
    drop(gone);
    server.wait_until_empty_but(3_990);
    for number in 1_994..2_000 {
        let expected = if number < 1_995 { 429 } else { 101 };
        let status = connect(address(number), server.address(), &mut kept);
        assert_eq!(status, expected, "{number}");
    }
    drop(kept);
    server.wait_until_empty();
}

#[test]
fn connects_per_second_of_an_address() {
    let limits = RateLimits {
        connects_per_second: burst(3),
        ..RateLimits::default()
    };
    let server = server(limits, 2);
    for last in [3, 4] {
        let source = crate::loopback(last);
        for expected in [101, 101, 101, 429] {
            // Those that leave at once count as well.
            let status = connect(source, server.address(), &mut Vec::new());
            assert_eq!(status, expected);
        }
    }
    // What is no connect does not count.
    for _ in 0..10 {
        let health = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(ask(server.address(), health).0, 200);
    }
}

#[test]
fn connections_of_a_user_on_all_shards() {
    let server = server(
        of_clients(ClientLimits {
            connections_per_user: Some(5),
            ..ClientLimits::default()
        }),
        2,
    );
    let mut kept: Vec<Raw> = (0..5).map(|_| enter(&server, "user=ann").0).collect();
    let said = upgrade().replacen("/ws", "/ws?user=ann", 1);
    let (status, head, body) = ask(server.address(), &said);
    assert_eq!(
        (status, body.as_str()),
        (429, "more than connections_per_user allows")
    );
    assert!(head.contains("\r\nRetry-After: 1\r\n"), "{head}");
    enter(&server, "user=bob");
    (0..7).for_each(|_| drop(enter(&server, "")));
    kept.pop();
    wait_until("one has left", || {
        let (status, _, _) = ask(server.address(), &said);
        status == 101
    });
}

#[test]
fn whoever_waits_for_its_admission_is_counted_and_whoever_is_refused_is_not() {
    let limits = RateLimits {
        connections_per_address: Some(1),
        ..RateLimits::default()
    };
    let app = App::new()
        .limits(limits)
        .on_connect_async(|arrival| async move {
            match arrival.parameter("let") {
                Some("in") => Ok(Identity::nobody()),
                Some("wait") => std::future::pending().await,
                _ => Err(Refusal::new(401, "who are you?")),
            }
        });
    let (server, _) = Server::of(app, config(1));
    let said = |what: &str| upgrade().replacen("/ws", &format!("/ws?let={what}"), 1);
    for _ in 0..5 {
        assert_eq!(ask(server.address(), &said("not")).0, 401);
    }
    let mut waiting = Raw::connect(&server);
    waiting.send(said("wait").as_bytes());
    wait_until("it waits", || {
        server.sum(|shard| &shard.admissions_waiting) == 1
    });
    assert_eq!(ask(server.address(), &said("in")).0, 429);
    drop(waiting);
    wait_until("it has gone", || {
        server.sum(|shard| &shard.admissions_waiting) == 0
    });
    assert_eq!(ask(server.address(), &said("in")).0, 101);
}

#[test]
fn who_joins_more_rooms_at_once_than_the_burst_waits_for_all_of_them_afterwards() {
    let server = server(
        of_clients(ClientLimits {
            joins_per_second: burst(3),
            ..ClientLimits::default()
        }),
        2,
    );
    let five = r#"{"type":"join_room","id":9,"rooms":["a","b","c","d","e"]}"#;
    let (mut raw, _) = enter(&server, "");
    let joined = passes(&mut raw, five);
    assert_eq!(joined.matches(r#""members""#).count(), 5, "{joined}");
    // Two are owed: neither one more nor five more pass before they are paid for, and leaving does.
    for said in [r#"{"type":"join_room","id":9,"room":"f"}"#, five] {
        refused(&mut raw, said, "joins_per_second");
    }
    assert!(passes(&mut raw, LEAVE).contains(r#""type":"left""#));
    // Where something was taken from the burst already, five do not pass.
    let (mut other, _) = enter(&server, "");
    passes(&mut other, r#"{"type":"join_room","id":9,"room":"a"}"#);
    refused(&mut other, five, "joins_per_second");
}
