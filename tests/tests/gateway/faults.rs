//! Backends that are slow, dead, liars, half there or too much: what the client of the event at
//! hand hears, how it is counted, and that the next event is answered when the backend behaves
//! again.

use crate::backend::Place;
use crate::{calls, serve};
use serde_json::Value;
use shardcast_tests::{Raw, Served, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

/// What a backend on a socket does with the first event of a connection, whose id it is given; then
/// it behaves. False: the connection ends here.
type Act = fn(&mut UnixStream, u64) -> bool;

/// What the client of that event hears: the code of an error, or `accepted`.
struct Row {
    name: &'static str,
    act: Act,
    hears: &'static str,
    /// Frames that answer nothing, at least.
    unmatched: u64,
}

const ROWS: &[Row] = &[
    Row {
        name: "silent",
        act: |_, _| true,
        hears: "timeout",
        unmatched: 0,
    },
    Row {
        name: "it answers somebody else",
        act: |to, id| said(to, &answer(id + 1_000)),
        hears: "timeout",
        unmatched: 1,
    },
    Row {
        name: "it answers twice",
        act: |to, id| said(to, &answer(id)) && said(to, &answer(id)),
        hears: "accepted",
        unmatched: 1,
    },
    Row {
        name: "it ends without an answer",
        act: |_, _| false,
        hears: "unavailable",
        unmatched: 0,
    },
    Row {
        name: "half a frame, and the end",
        act: |to, id| {
            let _half = said(to, &answer(id)[..5]);
            false
        },
        hears: "unavailable",
        unmatched: 0,
    },
    Row {
        name: "half a frame, and silence",
        act: |to, id| {
            let half = said(to, &answer(id)[..5]);
            // The rest never comes: the next event finds another connection.
            half && !stays(to)
        },
        hears: "timeout",
        unmatched: 0,
    },
    Row {
        name: "a giant length",
        act: |to, _| said(to, &[0xff; 4]) && !stays(to),
        hears: "unavailable",
        unmatched: 0,
    },
    Row {
        name: "what is no message",
        act: |to, _| said(to, &[0, 0, 0, 2, 0xff, 0xff]) && !stays(to),
        hears: "unavailable",
        unmatched: 0,
    },
    Row {
        name: "a message that says nothing",
        act: |to, _| said(to, &[0; 4]) && !stays(to),
        hears: "unavailable",
        unmatched: 0,
    },
    Row {
        name: "data that is no JSON",
        act: |to, id| said(to, &answer_with(id, b"{")),
        hears: "handler_failed",
        unmatched: 0,
    },
    Row {
        name: "a flood of answers before the right one",
        act: |to, id| {
            let flood = answer(id + 1_000).repeat(1_000);
            (0..50).all(|_| said(to, &flood)) && said(to, &answer(id))
        },
        hears: "accepted",
        unmatched: 50_000,
    },
    Row {
        name: "a flood of commands before the answer",
        act: |to, id| {
            // Field 2 of ToServer, a Command that names nothing to do.
            let flood = frame(&[0x12, 2, 0x08, 7]).repeat(1_000);
            let mut from = to.try_clone().expect("a descriptor");
            // Done is read, so that the server is not held up by what it says itself.
            thread::spawn(move || {
                let mut sink = [0; 4_096];
                for _ in 0..10_000 {
                    if matches!(from.read(&mut sink), Ok(0) | Err(_)) {
                        return;
                    }
                }
            });
            let said = (0..20).all(|_| said(to, &flood)) && said(to, &answer(id));
            // Who reads has the descriptor, too.
            said && to.shutdown(Shutdown::Write).is_err()
        },
        hears: "accepted",
        unmatched: 0,
    },
];

/// Whether a backend on a socket could say this.
fn said(to: &mut UnixStream, bytes: &[u8]) -> bool {
    to.write_all(bytes).is_ok()
}

/// Waits until the server, or the test, has ended the connection.
fn stays(stream: &mut UnixStream) -> bool {
    let _end = std::io::copy(stream, &mut std::io::sink());
    true
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("short");
    [&length.to_be_bytes()[..], message].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// An answer that accepts.
fn answer(id: u64) -> Vec<u8> {
    answer_with(id, b"1")
}

/// The same with data: field 1 of ToServer, in it fields 1 and 6.
fn answer_with(id: u64, data: &[u8]) -> Vec<u8> {
    let inner = [&[0x08][..], &varint(id), &[0x32, data.len() as u8], data].concat();
    frame(&[&[0x0a, inner.len() as u8][..], &inner].concat())
}

/// The id of the next event; `None`: there is none.
fn next_event(from: &mut UnixStream) -> Option<u64> {
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length).ok()?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        from.read_exact(&mut frame).ok()?;
        // Field 2 of ToBackend is an event; its length, and then its first field, the id.
        if frame[0] != 0x12 {
            continue;
        }
        let inner = frame[1..].iter().position(|byte| *byte < 128)? + 2;
        assert_eq!(frame[inner], 0x08);
        let id = frame[inner + 1..].iter();
        let mut number = 0;
        for (place, byte) in id.enumerate() {
            number |= u64::from(byte & 127) << (7 * place);
            if *byte < 128 {
                return Some(number);
            }
        }
    }
}

/// The fault once, and then no more. Ends with the server.
fn backend(listener: &UnixListener, act: Act) {
    let mut is_faulty = true;
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        while let Some(id) = next_event(&mut stream) {
            let goes_on = match std::mem::take(&mut is_faulty) {
                true => act(&mut stream, id),
                false => said(&mut stream, &answer(id)),
            };
            if !goes_on {
                break;
            }
        }
    }
}

/// Calls, and hears `accepted` or the code of an error.
#[track_caller]
fn call(client: &mut Raw, id: u64) -> String {
    client.say(&format!(r#"{{"type":"call","id":{id}}}"#));
    let heard: Value = serde_json::from_str(&client.hear()).expect("JSON");
    assert_eq!(heard["id"], id, "{heard}");
    match heard["type"] == "error" {
        true => heard["code"].as_str().expect("a code").to_owned(),
        false => "accepted".to_owned(),
    }
}

/// As the metrics call what a client hears.
fn outcome_of(hears: &str) -> &str {
    match hears {
        "handler_failed" => "failed",
        "accepted" | "unavailable" | "timeout" => hears,
        _ => "rejected",
    }
}

/// A client that nobody is asked about.
pub(crate) fn client(server: &Served) -> Raw {
    let mut client = Raw::connect_at(server.address("ws"));
    client.upgrade();
    let welcome = client.hear();
    assert!(welcome.contains(r#""type":"welcome""#), "{welcome}");
    client
}

/// Only calls are decided, once and soon.
const HASTY: &str = "events = \"rpc\"\nretries = 0\ntimeout = \"500ms\"\n";

#[test]
fn faults_on_the_socket_are_typed_and_pass() {
    for row in ROWS {
        let place = Place::unix();
        let listener = UnixListener::bind(place.path()).expect("a socket");
        let act = row.act;
        thread::spawn(move || backend(&listener, act));
        let server = serve(&place, HASTY);
        let mut client = client(&server);
        assert_eq!(call(&mut client, 1), row.hears, "{}", row.name);
        let outcome = outcome_of(row.hears);
        assert_eq!(calls(&server, "rpc", outcome), 1, "{}", row.name);
        let mut next = 2;
        wait_until(row.name, || {
            next += 1;
            call(&mut client, next) == "accepted"
        });
        assert!(
            server.metric("gateway_unmatched_total") >= row.unmatched,
            "{}",
            row.name
        );
        assert!(server.resident_bytes() < 512 << 20, "{}", row.name);
    }
}

#[test]
fn a_backend_that_is_not_there_is_unavailable_or_open() {
    let place = Place::unix();
    let closed = serve(&place, "retries = 0\n");
    let mut refused = crate::knock(closed.address("ws"), "?user=ann");
    assert_eq!(crate::status(&mut refused), 503);
    drop(closed);
    let open = serve(&place, "retries = 0\nwhen_down = \"open\"\n");
    let mut client = client(&open);
    client.say(r#"{"type":"join_room","id":1,"room":"r"}"#);
    assert!(client.hear().starts_with(r#"{"type":"joined","id":1"#));
    assert_eq!(call(&mut client, 2), "unavailable");
    for event in ["connect", "join"] {
        assert_eq!(calls(&open, event, "let_through"), 1, "{event}");
    }
    // When it comes, it decides.
    let listener = UnixListener::bind(place.path()).expect("a socket");
    thread::spawn(move || backend(&listener, |to, id| said(to, &answer(id))));
    let mut next = 3;
    wait_until("the backend is asked", || {
        next += 1;
        call(&mut client, next) == "accepted"
    });
}

/// What a backend behind a URL writes as its first answer, and what its client hears.
const ANSWERS: &[(&str, &str)] = &[
    ("HTTP/1.1 204 No Content\r\n\r\n", "accepted"),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"data\": 1}",
        "accepted",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{",
        "handler_failed",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"rejct\":1}",
        "handler_failed",
    ),
    (
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        "bad_request",
    ),
    (
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        "unauthorized",
    ),
    (
        "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n",
        "forbidden",
    ),
    (
        "HTTP/1.1 429 Too Many\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n",
        "rate_limited",
    ),
    (
        "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        "unavailable",
    ),
    (
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        "unavailable",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        "unavailable",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        "unavailable",
    ),
    ("HELO\r\n\r\n", "unavailable"),
    ("", "unavailable"),
];

/// Reads requests, and answers the first one so and ends; the others well, each on a connection
/// that stays. Ends with the server.
fn web(listener: &TcpListener, first: &'static str) {
    let mut is_faulty = true;
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        while read_request(&mut stream) {
            if std::mem::take(&mut is_faulty) {
                let _said = stream.write_all(first.as_bytes());
                break;
            }
            let good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
            if stream.write_all(good).is_err() {
                break;
            }
        }
    }
}

/// A request to its end. False: there is none.
fn read_request(stream: &mut TcpStream) -> bool {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if !matches!(reader.read_line(&mut line), Ok(1..)) {
            return false;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            return reader.read_exact(&mut body).is_ok();
        }
    }
}

#[test]
fn faults_behind_a_url_are_typed_and_pass() {
    for (first, hears) in ANSWERS {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let place = Place::Http(listener.local_addr().expect("bound").port());
        thread::spawn(move || web(&listener, first));
        let server = serve(&place, HASTY);
        let mut client = client(&server);
        assert_eq!(call(&mut client, 1), *hears, "{first}");
        assert_eq!(calls(&server, "rpc", outcome_of(hears)), 1, "{first}");
        // The kept connection has ended, and nobody hears of that.
        assert_eq!(call(&mut client, 2), "accepted", "{first}");
    }
}

#[test]
fn a_webhook_that_never_answers_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = Place::Http(listener.local_addr().expect("bound").port());
    let server = serve(&place, HASTY);
    let mut client = client(&server);
    assert_eq!(call(&mut client, 1), "timeout");
    assert_eq!(calls(&server, "rpc", "timeout"), 1);
}
