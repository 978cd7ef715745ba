//! What a backend is told: in order, each once, many at a time when it is slow; and dead letters,
//! which are sent again.

use crate::backend::Place;
use crate::faults::client;
use crate::{sample, serve};
use serde_json::{Value, json};
use shardcast_tests::{PATIENCE, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// Reads the events of one backend behind a URL, each of which is answered when the test says so.
struct Told {
    events: Receiver<Value>,
    answers: SyncSender<&'static str>,
}

const YES: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const NO: &str = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";

impl Told {
    fn start() -> (Place, Told) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let place = Place::Http(listener.local_addr().expect("bound").port());
        let (told, events) = sync_channel(64);
        let (answers, answer) = sync_channel::<&str>(64);
        let answer = Arc::new(Mutex::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.expect("a connection"));
                let (told, answer) = (told.clone(), Arc::clone(&answer));
                // Those of the server are kept while another program connects.
                thread::spawn(move || {
                    while let Some(event) = read_event(&mut reader) {
                        let told = told.send(event);
                        let said = answer.lock().expect("no panic").recv();
                        let (Ok(()), Ok(said)) = (told, said) else {
                            return;
                        };
                        let _said = reader.get_mut().write_all(said.as_bytes());
                    }
                });
            }
        });
        (place, Told { events, answers })
    }

    /// The notices of the next event, which is answered so.
    #[track_caller]
    fn next(&self, answer: &'static str) -> Vec<Value> {
        let event = self.events.recv_timeout(PATIENCE).expect("an event");
        assert_eq!(event["event"], "notices");
        self.answers.send(answer).expect("the backend lives");
        event["notices"].as_array().expect("a list").clone()
    }
}

fn read_event(reader: &mut impl BufRead) -> Option<Value> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            return serde_json::from_slice(&body).ok();
        }
    }
}

#[test]
fn what_happens_is_told_in_order() {
    let (place, told) = Told::start();
    let server = serve(&place, "events = \"leave,disconnect,occupied,vacated\"\n");
    let mut client = client(&server);
    client.say(r#"{"type":"join_room","id":1,"room":"r"}"#);
    assert!(client.hear().starts_with(r#"{"type":"joined""#));
    client.say(r#"{"type":"leave_room","id":2,"room":"r"}"#);
    assert!(client.hear().starts_with(r#"{"type":"left""#));
    client.say(r#"{"type":"join_room","id":3,"room":"q"}"#);
    assert!(client.hear().starts_with(r#"{"type":"joined""#));
    drop(client);
    let mut heard = Vec::new();
    while heard.len() < 7 {
        heard.extend(told.next(YES));
    }
    let of = |event: &str| -> Vec<&Value> {
        heard
            .iter()
            .filter(|notice| notice["event"] == event)
            .collect()
    };
    let rooms = |event: &str| -> Vec<&Value> { of(event).iter().map(|it| &it["room"]).collect() };
    for event in ["occupied", "leave", "vacated"] {
        assert_eq!(rooms(event), ["r", "q"], "{event}");
    }
    assert_eq!(of("leave")[0]["members"], json!(0));
    let ended = of("disconnect");
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (&ended[0]["code"], &ended[0]["reason"]),
        (&json!(1006), &json!("lost"))
    );
    assert_eq!(ended[0]["connection"], of("leave")[0]["connection"]);
}

#[test]
fn a_mass_of_disconnects_comes_at_the_pace_of_the_backend() {
    const CLIENTS: usize = 300;
    let (place, told) = Told::start();
    let server = serve(&place, "events = \"disconnect\"\nbatch = 100\n");
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(&server)).collect();
    drop(clients);
    // The first event is at the backend while all others wait.
    let first = told.events.recv_timeout(PATIENCE).expect("an event");
    let mut connections = Vec::new();
    let mut take = |event: &Value| {
        let notices = event["notices"].as_array().expect("a list");
        assert!((1..=100).contains(&notices.len()));
        connections.extend(notices.iter().map(|it| it["connection"].to_string()));
        connections.len()
    };
    let mut count = take(&first);
    let waiting = "shardcast_gateway_notices_waiting";
    wait_until("all others wait", || {
        sample(&server, waiting) as usize == CLIENTS - count
    });
    assert!(told.events.try_recv().is_err(), "one event at a time");
    let mut events = 1;
    while count < CLIENTS {
        told.answers.send(YES).expect("the backend lives");
        count = take(&told.events.recv_timeout(PATIENCE).expect("an event"));
        events += 1;
    }
    told.answers.send(YES).expect("the backend lives");
    assert!(events <= 1 + CLIENTS.div_ceil(100), "{events} events");
    connections.sort_unstable();
    connections.dedup();
    assert_eq!(connections.len(), CLIENTS, "each once");
    let delivered = "shardcast_gateway_notices_total{outcome=\"delivered\"}";
    wait_until("all are delivered", || {
        sample(&server, delivered) as usize == CLIENTS
    });
}

#[test]
fn what_is_refused_is_a_dead_letter_until_it_is_sent_again() {
    let (place, told) = Told::start();
    let file = std::env::temp_dir().join(format!("shardcast-dead-letters-{}", std::process::id()));
    let keys = format!(
        "events = \"disconnect\"\ndead_letters = \"{}\"\n",
        file.display()
    );
    let server = serve(&place, &keys);
    drop(client(&server));
    let refused = told.next(NO);
    let dead = "shardcast_gateway_notices_total{outcome=\"dead\"}";
    wait_until("it is a dead letter", || sample(&server, dead) == 1);
    let Place::Http(port) = &place else {
        unreachable!("it is behind a URL")
    };
    let replay = |file: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_served"))
            .args(["replay-dead-letters", "--set"])
            .arg(format!("gateway.url=http://127.0.0.1:{port}/"))
            .args(["--set", &format!("gateway.dead_letters={}", file.display())])
            .output();
        let output = output.expect("the program");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        (output.status.code(), said)
    };
    let again = thread::scope(|scope| {
        let replaying = scope.spawn(|| replay(&file));
        let again = told.next(NO);
        let left = (Some(1), "delivered 0, left 1, unreadable 0\n".to_owned());
        assert_eq!(replaying.join().expect("no panic"), left);
        again
    });
    assert_eq!(again, refused);
    thread::scope(|scope| {
        let replaying = scope.spawn(|| replay(&file));
        assert_eq!(told.next(YES), refused);
        let all = (Some(0), "delivered 1, left 0, unreadable 0\n".to_owned());
        assert_eq!(replaying.join().expect("no panic"), all);
    });
    let none = (Some(0), "delivered 0, left 0, unreadable 0\n".to_owned());
    assert_eq!(replay(&file), none);
}
