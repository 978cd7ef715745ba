//! The memory of a peak: readers that are too slow make the server grow, and when they are gone, or
//! were closed for it, it is what it was.

use shardcast_tests::{
    Client, FIN, PATIENCE, PONG, Served, TEXT, frame, is_reached_within, upgrade,
};
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

/// Nobody pings: the honest client hears nothing while it waits.
const SERVER: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 2
pin = "none"
[limits]
outbox_bytes = "64MiB"
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

fn readers(served: &Served) -> Vec<TcpStream> {
    (0..READERS).map(|_| reader(served.address("ws"))).collect()
}

/// What a reader asks for.
fn request() -> Vec<u8> {
    let text = format!(
        r#"{{"type":"echo","data":"{}"}}"#,
        "x".repeat(MESSAGE_BYTES)
    );
    frame(FIN | TEXT, text.as_bytes())
}

/// Filling and giving back takes twenty seconds on a quiet machine.
#[track_caller]
fn wait_until(served: &Served, what: &str, reached: impl FnMut() -> bool) {
    assert!(
        is_reached_within(3 * PATIENCE, reached),
        "never: {what}; {} bytes, {}",
        served.resident_bytes(),
        served.ask("/metrics").1
    );
}

/// A server that has served somebody, and the memory that it has.
fn serve(settings: &str) -> (Served, Client, u64) {
    start(&format!("{SERVER}{settings}"))
}

fn start(toml: &str) -> (Served, Client, u64) {
    let served = Served::start(env!("CARGO_BIN_EXE_served"), toml);
    let mut honest = Client::native_at(served.address("ws"));
    honest.check(r#"{"type":"echo","data":1}"#, r#"{"type":"echo","data":1}"#);
    let before = served.resident_bytes();
    (served, honest, before)
}

/// Nobody is left but the honest client, and nothing of the others.
#[track_caller]
fn check_given_back(served: &Served, mut honest: Client, before: u64) {
    wait_until(served, "1.3 times what it had", || {
        served.resident_bytes() * 10 <= before * 13
    });
    honest.check(r#"{"type":"echo","data":2}"#, r#"{"type":"echo","data":2}"#);
    assert_eq!(served.metric("connections"), 1);
}

#[test]
fn goes_back_when_slow_readers_left() {
    let (served, honest, before) = serve("");
    let (mut readers, request) = (readers(&served), request());
    wait_until(&served, "a peak", || {
        for reader in &mut readers {
            reader.write_all(&request).expect("the server reads");
        }
        served.metric("outbox_bytes") >= PEAK_BYTES
    });
    let peak = served.resident_bytes();
    assert!(peak > before + PEAK_BYTES, "{peak} after {before} bytes");
    drop(readers);
    check_given_back(&served, honest, before);
}

#[test]
fn goes_back_when_readers_that_read_nothing_were_closed_though_they_live() {
    let (served, honest, before) = serve("progress = \"3s\"\n");
    let (mut readers, request) = (readers(&served), request());
    let mut peak = 0;
    wait_until(&served, "all closed", || {
        // They ask for as much as is to wait for them, and say that they live, as long as they are
        // let.
        let asks = served.metric("outbox_bytes") < PEAK_BYTES;
        let pong = frame(FIN | PONG, b"");
        let said = if asks { &request } else { &pong };
        for reader in &mut readers {
            let _it_may_be_gone = reader.write_all(said);
        }
        peak = peak.max(served.resident_bytes());
        let (_, text) = served.ask("/metrics");
        let samples = text
            .lines()
            .filter(|line| line.starts_with("shardcast_closed_deadline_total"))
            .filter(|line| line.contains("deadline=\"progress\""));
        let closed = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
        closed.sum::<usize>() == READERS
    });
    assert!(peak > 2 * before, "{peak} after {before} bytes");
    // Their sockets stay open at their end.
    check_given_back(&served, honest, before);
    drop(readers);
}

/// Of what the process may take.
const BUDGET_BYTES: u64 = 192 << 20;

#[test]
fn stays_within_its_budget_and_serves_the_others() {
    let budget = format!("[limits]\nmemory = \"{BUDGET_BYTES}\"");
    let (served, mut honest, before) = start(&SERVER.replace("[limits]", &budget));
    assert!(before < BUDGET_BYTES / 2, "{before}");
    let (mut readers, request) = (readers(&served), request());
    let mut peak = 0;
    // They ask for three times as much as there is to be had.
    let (mut asked, wanted) = (0, 3 * BUDGET_BYTES);
    wait_until(&served, "all they ask for", || {
        for reader in &mut readers {
            let _it_may_be_gone = reader.write_all(&request);
        }
        asked += READERS as u64 * MESSAGE_BYTES as u64;
        peak = peak.max(served.resident_bytes());
        honest.check(r#"{"type":"echo","data":1}"#, r#"{"type":"echo","data":1}"#);
        asked >= wanted && served.metric("closed_memory_total") > 0
    });
    assert!(peak <= BUDGET_BYTES, "{peak}");
    assert_eq!(served.metric("closed_slow_total"), 0);
    assert!(served.metric("held_bytes") > 0);
    drop(readers);
    check_given_back(&served, honest, before);
}
