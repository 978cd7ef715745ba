//! Connections that flood one shard with ordinary requests, for as long as the others talk: these are answered, and none of them is closed.

use crate::crowd::{PATIENCE, Places};
use crate::flood::welcomed;
use shardcast_tests::{Certificates, FIN, PING, PONG, Served, TEXT, frame};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Everybody on one shard, with deadlines that come while the flood lasts.
const SERVER: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 1
pin = "none"
[timeouts]
heartbeat = "1s"
pong = "1s"
[log]
level = "warn"
"#;

/// Honest clients, and how often each asks.
const HONEST: usize = 40;
const QUESTIONS: usize = 25;
/// Requests of one flooder in one write.
const BATCH: usize = 4_096;
/// Between two looks at a counter of the server's.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Whether those who flood take the answers. Who does not is closed for it, and comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Read,
    Unread,
}

/// The flood: it goes on until it is over, and everybody who waits for the network is let go.
#[derive(Default)]
struct Flood {
    over: AtomicBool,
    batches: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

impl Flood {
    fn run(&self, places: &Places, answers: Answers) {
        let batch = frame(FIN | TEXT, br#"{"type":"ping"}"#).repeat(BATCH);
        while !self.is_over() {
            let mut stream = welcomed(places);
            let mut streams = self.streams.lock().expect("nobody panics");
            streams.push(stream.try_clone().expect("a descriptor"));
            drop(streams);
            let mut reader = stream.try_clone().expect("a descriptor");
            std::thread::scope(|scope| {
                if answers == Answers::Read {
                    scope.spawn(move || {
                        let mut bytes = vec![0; 65_536];
                        while reader.read(&mut bytes).is_ok_and(|count| count > 0) {}
                    });
                }
                while !self.is_over() && stream.write_all(&batch).is_ok() {
                    self.batches.fetch_add(1, Ordering::Relaxed);
                }
                let _gone_already = stream.shutdown(Shutdown::Both);
            });
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        for stream in &*self.streams.lock().expect("nobody panics") {
            let _gone_already = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Asks again as soon as it is answered; pings of the server's are answered, too.
fn talk(stream: &mut TcpStream) {
    for number in 0..QUESTIONS {
        let question = format!(r#"{{"type":"ping","id":{number}}}"#);
        let answer = format!(r#"{{"type":"pong","id":{number}}}"#);
        let question = frame(FIN | TEXT, question.as_bytes());
        stream.write_all(&question).expect("the server reads");
        loop {
            let mut start = [0; 2];
            stream.read_exact(&mut start).expect("an answer");
            let mut payload = vec![0; usize::from(start[1])];
            stream.read_exact(&mut payload).expect("an answer");
            if start[0] == FIN | PING {
                let pong = frame(FIN | PONG, &payload);
                stream.write_all(&pong).expect("the server reads");
                continue;
            }
            assert_eq!(String::from_utf8_lossy(&payload), answer);
            break;
        }
    }
}

#[track_caller]
fn check(flooders: usize, answers: Answers) {
    let certificates = Certificates::make();
    let toml = format!("{SERVER}{}", certificates.toml());
    let served = Served::start(env!("CARGO_BIN_EXE_served"), &toml);
    let places = Places {
        ws: served.address("ws"),
        wss: served.address("wss"),
        tls: certificates.client(),
    };
    let mut honest: Vec<TcpStream> = (0..HONEST).map(|_| welcomed(&places)).collect();
    let flood = Flood::default();
    std::thread::scope(|scope| {
        for _ in 0..flooders {
            scope.spawn(|| flood.run(&places, answers));
        }
        // The server cannot keep up with them.
        while served.metric("receive_starved_total") == 0 {
            std::thread::park_timeout(LOOK_AGAIN);
        }
        let talking: Vec<_> = honest
            .iter_mut()
            .map(|stream| scope.spawn(|| talk(stream)))
            .collect();
        let talked: Vec<_> = talking.into_iter().map(|client| client.join()).collect();
        let still = flood.batches.load(Ordering::Relaxed);
        // They have not stopped of themselves, and are served, too.
        let served_too = talked.iter().all(Result::is_ok)
            && (0..PATIENCE.as_millis()).any(|_| {
                std::thread::park_timeout(LOOK_AGAIN);
                flood.batches.load(Ordering::Relaxed) > still
            });
        flood.end();
        let unanswered = talked.iter().filter(|client| client.is_err()).count();
        assert_eq!(unanswered, 0, "{flooders} flooders, {answers:?}");
        assert!(served_too, "{flooders} flooders, {answers:?}");
    });
    // Not a byte was lost or exchanged between the turns.
    assert_eq!(served.metric("closed_protocol_total"), 0);
    assert_eq!(served.metric("panics_total"), 0);
    drop(honest);
    served.terminate();
    let (code, log) = served.end();
    assert_eq!((code, log.as_str()), (Some(0), ""));
}

#[test]
fn who_floods_does_not_silence_the_others() {
    for flooders in [2, 8] {
        for answers in [Answers::Read, Answers::Unread] {
            check(flooders, answers);
        }
    }
}
