//! The simulated driver against an echo loop without a shard: bytes come back complete and in order
//! under all faults, and misuse is noticed.

use super::*;
use crate::driver::contract::{Echo, STREAM};

fn world(faults: Faults, seed: u64) -> (Rc<RefCell<World>>, SimDriver) {
    let world = World::new(1, faults, Random::new(seed), Trace::Silent);
    let driver = World::driver(&world, 0);
    (world, driver)
}

/// Echoes a few clients' bytes; returns what each of them read and how its stream ended.
fn echo(faults: Faults, seed: u64) -> Vec<(Vec<u8>, Read)> {
    let slots = faults.slots;
    let (world, driver) = world(faults, seed);
    let mut echo = Echo::new(driver, slots);
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
            echo.tick(Wait::Until(Millis::MAX));
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
        echo.tick(Wait::Until(Millis::MAX));
    }
    world.borrow().assert_quiescent();
    clients
        .into_iter()
        .map(|(_, read, end)| (read, end))
        .collect()
}

const CLIENTS: usize = 6;
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
