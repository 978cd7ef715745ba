//! The memory of a peak: readers that are too slow make the server grow, and when they are gone, or were closed for it, it is what it was.

use shardcast_tests::{Client, FIN, PATIENCE, PONG, Served, TEXT, frame, upgrade};
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Nobody pings: the honest client hears nothing while it waits.
const SERVER: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 2
pin = "none"
[limits]
outbox_bytes = "4MiB"
[timeouts]
heartbeat = "1h"
idle = "2h"
close = "1s"
"#;

const READERS: usize = 200;
const MESSAGE_BYTES: usize = 60_000;
/// What waits in their outboxes at the peak, at least.
const PEAK_BYTES: u64 = 64 << 20;

/// A reader that reads nothing, with a small window.
fn reader(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(16 << 10).expect("a socket");
    socket.connect(&address.into()).expect("the server accepts");
    let mut stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    stream.write_all(upgrade().as_bytes()).expect("it reads");
    stream
}

/// Readers that have asked for more than they, the kernel and `PEAK_BYTES` hold; something waits for every one of them.
fn fill(served: &Served) -> Vec<TcpStream> {
    let mut readers: Vec<TcpStream> = (0..READERS).map(|_| reader(served.address("ws"))).collect();
    let text = format!(
        r#"{{"type":"echo","data":"{}"}}"#,
        "x".repeat(MESSAGE_BYTES)
    );
    let request = frame(FIN | TEXT, text.as_bytes());
    for _ in 0..1000 {
        for reader in &mut readers {
            reader.write_all(&request).expect("the server reads");
        }
        let (outboxes, bytes) = (served.metric("outboxes"), served.metric("outbox_bytes"));
        if outboxes == READERS as u64 && bytes >= PEAK_BYTES {
            return readers;
        }
    }
    panic!("no peak: {}", served.ask("/metrics").1);
}

#[track_caller]
fn wait_until(served: &Served, what: &str, mut reached: impl FnMut() -> bool) {
    // Three times what it takes on a quiet machine, and then some.
    let deadline = Instant::now() + 6 * PATIENCE;
    while !reached() {
        assert!(
            Instant::now() < deadline,
            "never: {what}; {} bytes, {}",
            served.resident_bytes(),
            served.ask("/metrics").1
        );
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// What becomes of the readers at the peak.
type Ending = fn(&Served, Vec<TcpStream>) -> Vec<TcpStream>;

#[track_caller]
fn check(settings: &str, ending: Ending) {
    let served = Served::start(env!("CARGO_BIN_EXE_served"), &format!("{SERVER}{settings}"));
    let mut honest = Client::native_at(served.address("ws"));
    honest.check(r#"{"type":"echo","data":1}"#, r#"{"type":"echo","data":1}"#);
    let before = served.resident_bytes();
    let readers = fill(&served);
    let peak = served.resident_bytes();
    assert!(peak > before + PEAK_BYTES, "{peak} after {before} bytes");
    let _left = ending(&served, readers);
    wait_until(&served, "1.3 times what it had", || {
        served.resident_bytes() * 10 <= before * 13
    });
    honest.check(r#"{"type":"echo","data":2}"#, r#"{"type":"echo","data":2}"#);
    assert_eq!(served.metric("connections"), 1);
}

#[test]
fn goes_back_when_slow_readers_left() {
    check("", |_, readers| {
        drop(readers);
        Vec::new()
    });
}

#[test]
fn goes_back_when_readers_that_read_nothing_were_closed_though_they_live() {
    check("progress = \"2s\"\n", |served, mut readers| {
        wait_until(served, "all closed", || {
            for reader in &mut readers {
                // It may be gone already.
                let _ = reader.write_all(&frame(FIN | PONG, b""));
            }
            let (_, text) = served.ask("/metrics");
            let samples = text
                .lines()
                .filter(|line| line.starts_with("shardcast_closed_deadline_total"))
                .filter(|line| line.contains("deadline=\"progress\""));
            let closed = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
            closed.sum::<usize>() == READERS
        });
        // Their sockets stay open at their end.
        readers
    });
}
