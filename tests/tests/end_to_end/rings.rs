//! One shard with more connections than one ring's table holds: a server in a process of its own,
//! whose open-file limit is low.

use shardcast_client::Target;
use shardcast_patience::Program;
use shardcast_tests::{CLOSE, FIN, Honest, PATIENCE, Raw, TEXT, frame, is_reached_within, report};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{ChildStdin, Command};

const OPEN_FILES: usize = 256;
const CONNECTIONS: usize = 600;
const ROOMS: usize = 10;

/// The server; killed when dropped.
struct Limited {
    program: Program,
    input: ChildStdin,
    address: SocketAddr,
}

impl Limited {
    fn start() -> Limited {
        let script = format!(
            "ulimit -n {OPEN_FILES} && exec \"$0\" {}",
            CONNECTIONS + 100
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_limited")]);
        let (mut program, input) = Program::start_with_input(&mut command);
        let address = program.line().expect("an address");
        Limited {
            program,
            input,
            address: address.trim().parse().expect("an address"),
        }
    }

    /// A counter of the only shard; 0 if it does not appear.
    fn counter(&mut self, name: &str) -> usize {
        self.input.write_all(b"\n").unwrap();
        let counters = self.program.line().expect("counters");
        let name = format!("0.{name}=");
        let value = counters
            .split(' ')
            .find_map(|counter| counter.strip_prefix(&name));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }

    fn wait_for_connections(&mut self, connections: usize) {
        let reached = is_reached_within(PATIENCE, || self.counter("connections") == connections);
        assert!(reached, "{}", self.counter("connections"));
    }

    /// The end of its input is its order to drain.
    fn drain(self) -> bool {
        drop(self.input);
        self.program.end().code == Some(0)
    }
}

/// A member of one of the rooms.
struct Member {
    raw: Raw,
    room: usize,
}

impl Member {
    fn new(server: &Limited, number: usize) -> Member {
        let mut raw = Raw::connect_at(server.address);
        let room = number % ROOMS;
        raw.join(&format!("r{room}"));
        Member { raw, room }
    }

    fn go(mut self, number: usize) {
        match number % 4 {
            0 => self.raw.reset(),
            1 => drop(self),
            // Closed by the server, in a hurry.
            2 => {
                self.raw.send(&frame(FIN | TEXT, b"\xff"));
                assert_eq!(self.raw.frame().0, FIN | CLOSE);
                self.raw.reset();
            }
            _ => {
                self.raw.send(&frame(FIN | CLOSE, b"\x03\xe8"));
                assert_eq!(self.raw.closed().0, 1000);
            }
        }
    }
}

/// One message to each room and one to everyone; all of them arrive, counted and in order.
fn broadcast(publisher: &Honest, members: &mut [Member], data: usize) {
    for room in 0..ROOMS {
        let count = members.iter().filter(|member| member.room == room).count();
        let publish = publisher.publishing(&format!("r{room}"), &data);
        let receipt = publisher.say(publish.with_report());
        assert_eq!(receipt, report(count as u64, 0));
    }
    let publish = publisher.publishing(Target::Everyone, &data);
    let receipt = publisher.say(publish.with_report().without_echo());
    assert_eq!(receipt, report(members.len() as u64, 0));
    let from = publisher.id();
    for Member { raw, room } in members {
        let message = format!(r#""from":"{from}","data":{data}}}"#);
        assert_eq!(
            raw.hear(),
            format!(r#"{{"type":"message","room":"r{room}",{message}"#)
        );
        assert_eq!(raw.hear(), format!(r#"{{"type":"message",{message}"#));
    }
}

#[test]
fn a_shard_with_several_rings_loses_nothing() {
    let mut server = Limited::start();
    let publisher = Honest::at(server.address);
    let mut members: Vec<Member> = (0..CONNECTIONS)
        .map(|number| Member::new(&server, number))
        .collect();
    let rings = server.counter("rings");
    assert!(rings > CONNECTIONS / OPEN_FILES, "{rings} rings");
    broadcast(&publisher, &mut members, 0);
    for round in 1..=4 {
        // A different half goes each time, from all rings, and as many come.
        let mut index = 0;
        let (go, stay): (Vec<Member>, Vec<Member>) = members.into_iter().partition(|_| {
            index += 1;
            index / round % 2 == 0
        });
        members = stay;
        let gone = go.len();
        go.into_iter()
            .enumerate()
            .for_each(|(number, member)| member.go(number));
        server.wait_for_connections(members.len() + 1);
        broadcast(&publisher, &mut members, 2 * round);
        members.extend((0..gone).map(|number| Member::new(&server, number)));
        broadcast(&publisher, &mut members, 2 * round + 1);
    }
    assert_eq!(server.counter("rings"), rings);
    drop(members);
    publisher.leave();
    server.wait_for_connections(0);
    assert_eq!(server.counter("rooms") + server.counter("outbox_bytes"), 0);
    assert!(server.drain());
}

#[test]
fn engines_leave_no_descriptors_behind() {
    // Each needs about ten.
    let script = format!("ulimit -n {OPEN_FILES} && exec \"$0\" 100");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_restarts")]);
    let ended = Program::start(&mut command).end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
}
