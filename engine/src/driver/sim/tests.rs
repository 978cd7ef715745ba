//! The simulated driver against an echo loop without a shard: bytes come back complete and in order
//! under all faults, and misuse is noticed.

use super::*;
use std::collections::VecDeque;

/// What a shard does at the least: echoes by tracked sends, closes when the client is done.
struct Echo {
    driver: SimDriver,
    connections: Vec<Connection>,
}

#[derive(Default)]
struct Connection {
    generation: u32,
    pending: VecDeque<Bytes>,
    sending: bool,
    ended: bool,
    closed: bool,
}

impl Connection {
    /// So many bytes left, from the first of those that are pending.
    fn took(&mut self, mut count: usize) {
        while count > 0 {
            let mut front = self.pending.pop_front().expect("no more than was sent");
            if count < front.len() {
                self.pending.push_front(front.split_off(count));
                return;
            }
            count -= front.len();
        }
    }
}

impl Echo {
    fn tick(&mut self) {
        let mut completions = Vec::new();
        self.driver.reap(&mut completions);
        for completion in completions {
            self.settle(completion);
        }
        self.driver.turn(
            &Outgoing::default(),
            Wait::Until(Millis::MAX),
            &mut Vec::new(),
        );
    }

    fn settle(&mut self, completion: Completion<SimLease>) {
        let slot = match completion {
            Completion::Accepted { slot, .. } => {
                let generation = self.connections[slot as usize].generation + 1;
                self.connections[slot as usize] = Connection {
                    generation,
                    ..Connection::default()
                };
                self.driver.arm_receive(Ticket { slot, generation });
                return;
            }
            Completion::Received { ticket, mut lease } => {
                let bytes = Bytes::copy_from_slice(lease.as_mut());
                self.driver.give_back(lease);
                let connection = &mut self.connections[ticket.slot as usize];
                assert_eq!(connection.generation, ticket.generation);
                if !connection.closed {
                    connection.pending.push_back(bytes);
                }
                ticket.slot
            }
            Completion::ReceiveEnded { ticket, .. } => {
                self.connections[ticket.slot as usize].ended = true;
                ticket.slot
            }
            Completion::Sent {
                ticket,
                count,
                failed,
            } => {
                let connection = &mut self.connections[ticket.slot as usize];
                connection.sending = false;
                connection.took(count);
                if failed {
                    connection.pending.clear();
                    connection.ended = true;
                }
                ticket.slot
            }
            Completion::Closed { ticket } => {
                assert!(self.connections[ticket.slot as usize].closed);
                return;
            }
        };
        self.go_on(slot);
    }

    fn go_on(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        let ticket = Ticket {
            slot,
            generation: connection.generation,
        };
        if connection.sending || connection.closed {
            return;
        }
        if !connection.pending.is_empty() {
            let count = connection.pending.len().min(TRACKED_SEGMENTS_MAX);
            let segments: Vec<Bytes> = connection.pending.iter().take(count).cloned().collect();
            connection.sending = true;
            self.driver.send_tracked(ticket, &segments);
        } else if connection.ended {
            connection.closed = true;
            self.driver.shut_down(ticket);
            self.driver.close(ticket);
        }
    }
}

fn world(faults: Faults, seed: u64) -> (Rc<RefCell<World>>, SimDriver) {
    let world = World::new(1, faults, Random::new(seed), Trace::Silent);
    let driver = World::driver(&world, 0);
    (world, driver)
}

/// Echoes a few clients' bytes; returns what each of them read and how its stream ended.
fn echo(faults: Faults, seed: u64) -> Vec<(Vec<u8>, Read)> {
    let slots = faults.slots;
    let (world, driver) = world(faults, seed);
    let connections = (0..slots).map(|_| Connection::default()).collect();
    let mut echo = Echo {
        driver,
        connections,
    };
    let mut random = Random::new(seed ^ 1);
    let ids: Vec<SocketId> = (0..CLIENTS)
        .filter_map(|_| world.borrow_mut().connect(0, 0, Line::Faulty))
        .collect();
    let mut clients: Vec<(usize, Vec<u8>, Read)> = vec![(0, Vec::new(), Read::Nothing); ids.len()];
    while clients
        .iter()
        .any(|(_, _, read)| matches!(read, Read::Nothing | Read::Bytes(_)))
    {
        let index = random.below(CLIENTS * 2);
        if let Some((written, read, end)) = clients.get_mut(index) {
            let mut world = world.borrow_mut();
            if *written < STREAM.len() {
                let rest = &STREAM[*written..];
                let count = random.below(rest.len() + 1);
                let taken = world.write(ids[index], &rest[..count]);
                *written += taken.unwrap_or(rest.len());
                if *written == STREAM.len() {
                    world.half_close(ids[index]);
                }
            }
            *end = world.read(ids[index], random.between(1, 100));
            if let Read::Bytes(bytes) = end {
                read.extend_from_slice(bytes);
            }
        } else if world.borrow().is_runnable(0) {
            echo.tick();
        } else {
            let ripe = world.borrow().ripe_at();
            ripe.into_iter()
                .for_each(|at| world.borrow_mut().advance_to(at));
        }
    }
    while world.borrow().occupied(0) > 0 {
        let ripe = world.borrow().ripe_at();
        ripe.into_iter()
            .for_each(|at| world.borrow_mut().advance_to(at));
        echo.tick();
    }
    world.borrow().assert_quiescent();
    clients
        .into_iter()
        .map(|(_, read, end)| (read, end))
        .collect()
}

const CLIENTS: usize = 6;
const STREAM: &[u8] = &{
    let mut stream = [0u8; 2000];
    let mut at = 0;
    while at < stream.len() {
        stream[at] = (at * 7 % 251) as u8;
        at += 1;
    }
    stream
};

#[test]
fn bytes_come_back_whole_and_in_order() {
    for seed in 0..60 {
        let mut faults = Faults::draw(&mut Random::new(seed));
        faults.broken_permille = 0;
        for (read, end) in echo(faults, seed) {
            assert!(read == STREAM, "seed {seed}: {} bytes", read.len());
            assert_eq!(end, Read::Finished, "seed {seed}");
        }
    }
}

#[test]
fn a_broken_connection_leaves_a_prefix() {
    let mut broken = 0;
    for seed in 0..60 {
        let mut faults = Faults::draw(&mut Random::new(seed));
        faults.broken_permille = 100;
        for (read, end) in echo(faults, seed) {
            assert!(STREAM.starts_with(&read), "seed {seed}");
            broken += usize::from(end == Read::Broken);
        }
    }
    assert!(broken > 60, "only {broken} connections broke");
}

#[test]
fn a_seed_repeats_itself() {
    let faults = Faults {
        broken_permille: 50,
        ..Faults::draw(&mut Random::new(3))
    };
    assert_eq!(echo(faults.clone(), 3), echo(faults, 3));
}

/// A driver with one accepted connection, named by its first operation.
fn connected() -> (Rc<RefCell<World>>, SimDriver, Ticket) {
    let (world, mut driver) = world(Faults::none(), 0);
    let id = world.borrow_mut().connect(0, 0, Line::Faulty);
    let id = id.expect("the shard accepts");
    let mut completions = Vec::new();
    driver.reap(&mut completions);
    let [Completion::Accepted { slot, .. }] = completions[..] else {
        panic!("{completions:?}");
    };
    let ticket = Ticket {
        slot,
        generation: 1,
    };
    driver.arm_receive(ticket);
    assert_eq!(world.borrow_mut().write(id, b"hello"), Some(5));
    (world, driver, ticket)
}

fn sleep(driver: &mut SimDriver) {
    driver.turn(
        &Outgoing::default(),
        Wait::Until(Millis::MAX),
        &mut Vec::new(),
    );
}

#[test]
#[should_panic(expected = "arm_receive while receiving")]
fn arming_twice_is_noticed() {
    let (_world, mut driver, ticket) = connected();
    driver.arm_receive(ticket);
}

#[test]
#[should_panic(expected = "a lease outlived its tick")]
fn a_kept_lease_is_noticed() {
    let (_world, mut driver, _) = connected();
    let mut completions = Vec::new();
    driver.reap(&mut completions);
    assert!(matches!(completions[..], [Completion::Received { .. }]));
    sleep(&mut driver);
}

#[test]
#[should_panic(expected = "two tracked sends at once")]
fn two_sends_at_once_are_noticed() {
    let (_world, mut driver, ticket) = connected();
    driver.send_tracked(ticket, &[Bytes::from_static(b"a")]);
    driver.send_tracked(ticket, &[Bytes::from_static(b"b")]);
}

#[test]
#[should_panic(expected = "send_tracked after the end of sending")]
fn sending_after_the_end_is_noticed() {
    let (_world, mut driver, ticket) = connected();
    driver.shut_down(ticket);
    driver.send_tracked(ticket, &[Bytes::from_static(b"a")]);
}

#[test]
#[should_panic(expected = "close after close")]
fn closing_twice_is_noticed() {
    let (_world, mut driver, ticket) = connected();
    driver.close(ticket);
    driver.close(ticket);
}

#[test]
#[should_panic(expected = "a generation used before")]
fn a_generation_used_again_is_noticed() {
    let faults = Faults {
        slots: 1,
        ..Faults::none()
    };
    let (world, mut driver) = world(faults, 0);
    let ticket = Ticket {
        slot: 0,
        generation: 7,
    };
    for _ in 0..2 {
        let id = world.borrow_mut().connect(0, 0, Line::Faulty);
        assert!(id.is_some());
        let mut completions = Vec::new();
        driver.reap(&mut completions);
        assert!(matches!(completions[..], [Completion::Accepted { .. }]));
        driver.close(ticket);
        driver.reap(&mut completions);
    }
}

#[test]
fn a_wait_ends_for_bytes_for_a_wake_and_at_its_time() {
    let (world, mut driver, _) = connected();
    assert!(world.borrow().is_runnable(0), "bytes arrived");
    let mut completions = Vec::new();
    driver.reap(&mut completions);
    for completion in completions {
        if let Completion::Received { lease, .. } = completion {
            driver.give_back(lease);
        }
    }
    driver.turn(&Outgoing::default(), Wait::Until(10), &mut Vec::new());
    assert!(!world.borrow().is_runnable(0));
    driver.wake(0);
    assert!(world.borrow().is_runnable(0), "woken");
    driver.reap(&mut Vec::new());
    assert!(!world.borrow().is_runnable(0));
    world.borrow_mut().advance_to(10);
    assert!(world.borrow().is_runnable(0), "time is up");
}
