//! Connections that flood one shard with ordinary requests, for as long as the others talk: these
//! are answered, and none of them is closed.

use crate::crowd::Places;
use crate::flood::welcomed;
use shardcast_tests::{
    Certificates, FIN, PING, PONG, Served, TEXT, frame, wait_until, wait_within,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Everybody on one shard. Who is silenced is closed for a pong that nobody read; who only shares a
/// busy machine with a flood has time enough to send it.
const SERVER: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 1
pin = "none"
[limits]
max_connections = 1000
[timeouts]
heartbeat = "1s"
pong = "10s"
[log]
level = "warn"
"#;

/// Honest clients, and how often each is answered while the flood lasts.
const HONEST: usize = 40;
const QUESTIONS: u64 = 25;
/// So long may all of these answers take together: each waits for a turn of every flooder.
const TALK: Duration = Duration::from_secs(180);
/// Requests of one flooder in one write.
const BATCH: usize = 4_096;
/// Writes of all flooders together before anybody's answers count: more than all receive buffers
/// of the shard hold (128 of 16 KiB; a write is 84 KiB).
const BATCHES: u64 = 64;

/// Whether those who flood take the answers. Who does not is closed for it, and comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Read,
    Unread,
}

/// What goes on until it is over: the flood, and the talk of the honest clients beside it.
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
            let kept = stream.try_clone().expect("a descriptor");
            self.streams().push(kept);
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

    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the flood when it is dropped, so that a panic does so, too: everybody who waits for the
/// network is let go.
struct Lasts<'a>(&'a Flood);

impl Drop for Lasts<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
        for stream in &*self.0.streams() {
            let _gone_already = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Asks again as soon as it is answered, until the flood is over; pings of the server's are
/// answered, too.
fn talk(stream: &mut TcpStream, flood: &Flood, answered: &AtomicU64) {
    while !flood.is_over() {
        let number = answered.load(Ordering::Relaxed);
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
        answered.store(number + 1, Ordering::Relaxed);
    }
}

#[track_caller]
fn check(flooders: usize, answers: Answers) {
    let what = format!("{flooders} flooders, {answers:?}");
    let certificates = Certificates::make();
    let toml = format!("{SERVER}{}", certificates.toml());
    let served = Served::start(env!("CARGO_BIN_EXE_served"), &toml);
    let places = Places::of(&served, &certificates);
    let mut honest: Vec<TcpStream> = (0..HONEST).map(|_| welcomed(&places)).collect();
    let counts: Vec<AtomicU64> = (0..HONEST).map(|_| AtomicU64::new(0)).collect();
    let answered = || -> Vec<u64> {
        counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect()
    };
    let flood = Flood::default();
    std::thread::scope(|scope| {
        let lasts = Lasts(&flood);
        let talking: Vec<_> = honest
            .iter_mut()
            .zip(&counts)
            .map(|(stream, count)| scope.spawn(|| talk(stream, &flood, count)))
            .collect();
        // A client that ends before the flood does has panicked.
        let all_talk = || talking.iter().all(|client| !client.is_finished());
        let flooding: Vec<_> = (0..flooders)
            .map(|_| scope.spawn(|| flood.run(&places, answers)))
            .collect();
        wait_until(&format!("{what}: {BATCHES} batches"), || {
            flood.batches.load(Ordering::Relaxed) >= BATCHES || !all_talk()
        });
        let (before, batches) = (answered(), flood.batches.load(Ordering::Relaxed));
        wait_within(
            TALK,
            &format!("{what}: {QUESTIONS} answers to each honest client"),
            || {
                let answered = answered();
                let mut both = answered.iter().zip(&before);
                both.all(|(now, before)| *now >= before + QUESTIONS) || !all_talk()
            },
        );
        // They have not stopped of themselves, and are served, too.
        wait_until(&format!("{what}: the flood goes on"), || {
            flood.batches.load(Ordering::Relaxed) > batches || !all_talk()
        });
        let lost = talking.iter().filter(|client| client.is_finished()).count();
        assert_eq!(lost, 0, "{what}: honest clients lost, of {HONEST}");
        drop(lasts);
        for thread in talking.into_iter().chain(flooding) {
            thread
                .join()
                .unwrap_or_else(|_| panic!("{what}: see above"));
        }
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
