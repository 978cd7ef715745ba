//! Who asks for much and reads nothing.

use crate::attack::{Attack, Ending, Tally};
use crate::crowd::Places;
use shardcast_tests::{FIN, TEXT, frame, upgrade};
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const CONNECTIONS: usize = 50;
/// Bytes that one asks to have echoed: more than the sockets of both sides and its outbox
/// (`limits.outbox_bytes`) hold.
const BYTES: usize = 16 << 20;
const MESSAGE_BYTES: usize = 60 << 10;

pub(crate) const ATTACKS: &[Attack] = &[Attack {
    name: "never reads what it asks for",
    run: |places| {
        let threads: Vec<Tally> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..CONNECTIONS)
                .map(|_| scope.spawn(|| ask(places)))
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("an ending"))
                .collect()
        });
        Tally {
            units: threads.iter().map(|tally| tally.units).sum(),
            endings: threads
                .into_iter()
                .flat_map(|tally| tally.endings)
                .collect(),
        }
    },
    endings: &[Ending::Closed(1008), Ending::Cut],
    // A byte, both ways.
    cpu_ns_max: 10,
    // The outbox, its sends under way and a message in pieces.
    memory_bytes_max: CONNECTIONS as u64 * (512 << 10),
}];

fn ask(places: &Places) -> Tally {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("a socket");
    socket
        .connect(&places.ws.into())
        .expect("the server accepts");
    let mut stream = TcpStream::from(socket);
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&stream, Some(Duration::from_secs(60))).expect("not zero");
    }
    stream
        .write_all(upgrade().as_bytes())
        .expect("the server reads");
    let request = format!(
        r#"{{"type":"echo","data":"{}"}}"#,
        "x".repeat(MESSAGE_BYTES)
    );
    let request = frame(FIN | TEXT, request.as_bytes());
    let mut sent = 0;
    while sent < BYTES && stream.write_all(&request).is_ok() {
        sent += request.len();
    }
    Tally {
        units: sent as u64,
        endings: vec![Ending::of(&mut stream)],
    }
}
