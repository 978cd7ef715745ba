//! What a peak of connections leaves behind: nothing, once the shard is quiet, and no ticket that
//! fits a later connection.

use super::*;
use crate::connection::paged::PAGE;

const CLIENTS: usize = 3 * PAGE;

/// A shard with as many open connections as three pages hold.
fn crowded() -> (Trial, Vec<SocketId>) {
    let faults = Faults {
        slots: CLIENTS,
        reap_max: CLIENTS * 4,
        ..Faults::none()
    };
    let mut trial = Trial::new(&Config::default(), faults, 1);
    let clients: Vec<SocketId> = (0..CLIENTS).map(|_| trial.connect()).collect();
    trial.tick_until(|counters| counters.upgrades.get() == CLIENTS as u64);
    (trial, clients)
}

/// Two ticks every 500 ms until `until`, as a shard has them that sleeps and wakes; `times` more in
/// each step, as a busy one has them.
fn pass(trial: &mut Trial, until: Millis, times: usize) {
    let now = trial.world.borrow().now();
    for at in (now..=until).step_by(500) {
        trial.world.borrow_mut().advance_to(at);
        for _ in 0..2 + times {
            trial.shard.tick();
        }
        trial.shard.check_invariants();
    }
}

fn slots(trial: &Trial) -> usize {
    trial.shard.core.connections.slots.iter().count()
}

#[test]
fn pages_without_connections_go_when_the_shard_is_quiet() {
    let (mut trial, clients) = crowded();
    let old: Vec<Ticket> = trial
        .shard
        .core
        .connections
        .slots
        .in_phase(Phase::Open)
        .collect();
    assert_eq!(slots(&trial), CLIENTS);
    // One stays.
    for client in &clients[1..] {
        trial.world.borrow_mut().close(*client);
    }
    trial.tick_until(|counters| counters.connections.get() == 1);
    pass(&mut trial, 2_000, 0);
    assert_eq!(slots(&trial), CLIENTS, "not before it is quiet");
    pass(&mut trial, 10_000, 0);
    assert_eq!(slots(&trial), PAGE, "the page of the one that stayed");
    let (upgrades, clients) = (trial.counters.upgrades.get(), CLIENTS as u64 - 1);
    (0..clients).for_each(|_| {
        trial.connect();
    });
    trial.tick_until(|counters| counters.upgrades.get() == upgrades + clients);
    let connections = &trial.shard.core.connections.slots;
    let fits = |ticket: &&Ticket| connections.phase(**ticket) != Phase::Free;
    assert_eq!(old.iter().filter(fits).count(), 1, "only who stayed");
}

#[test]
fn a_busy_shard_keeps_its_pages() {
    let (mut trial, clients) = crowded();
    for client in &clients[1..] {
        trial.world.borrow_mut().close(*client);
    }
    trial.tick_until(|counters| counters.connections.get() == 1);
    pass(&mut trial, 20_000, 100);
    assert_eq!(slots(&trial), CLIENTS);
    pass(&mut trial, 30_000, 0);
    assert_eq!(slots(&trial), PAGE);
}
