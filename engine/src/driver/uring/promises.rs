//! What the driver promises the shard, tried on the real kernel: no shortfall is late, and no ring is forgotten.

use super::*;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};

/// A driver, its clients, and the tickets of those that were accepted.
struct Trial {
    driver: UringDriver,
    /// Of the two listeners; `connect_until` uses the second.
    addresses: [SocketAddr; 2],
    clients: Vec<TcpStream>,
}

impl Trial {
    fn new(tables: Tables) -> Trial {
        let listener = || listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let listeners = vec![listener(), listener()];
        let address = |index: usize| listeners[index].local_addr().unwrap();
        let addresses = [address(0), address(1)];
        let setup = Setup {
            listeners,
            tables,
            shard: 0,
            ring_fds: RingFds::new(1),
            counters: Arc::default(),
        };
        Trial {
            driver: UringDriver::new(setup).unwrap(),
            addresses,
            clients: Vec::new(),
        }
    }

    /// A client on every slot that the driver hands out until one of them satisfies `enough`: that one's ticket.
    fn connect_until(&mut self, enough: impl Fn(u32) -> bool) -> (Ticket, TcpStream) {
        for _ in 0..100 {
            let client = TcpStream::connect(self.addresses[1]).unwrap();
            let slot = loop {
                if let Some(Completion::Accepted { slot, listener, .. }) = self.look().pop() {
                    assert_eq!(listener, 1);
                    break slot;
                }
            };
            if enough(slot) {
                let generation = 1;
                return (Ticket { slot, generation }, client);
            }
            self.clients.push(client);
        }
        panic!("no such slot");
    }

    /// One turn without departures that waits a moment if there is nothing to do.
    fn look(&mut self) -> Vec<Completion<Lease>> {
        let until = Wait::Until(self.driver.start.elapsed().as_millis() as Millis + 100);
        self.driver
            .turn(&Outgoing::default(), until, &mut Vec::new());
        let mut completions = Vec::new();
        self.driver.reap(&mut completions);
        completions
    }
}

/// Departures for one ticket, each by itself.
fn departures(ticket: Ticket, count: usize, bytes: &Bytes) -> Outgoing {
    let mut outgoing = Outgoing::default();
    let shared = outgoing.share(bytes.clone());
    for _ in 0..count {
        let mut at = u32::MAX;
        assert!(outgoing.attach_shared(ticket, &mut at, shared, 0, bytes.len()));
    }
    outgoing
}

#[test]
fn every_shortfall_is_one_of_its_turn() {
    let mut trial = Trial::new(Tables { table: 8, rings: 1 });
    let (ticket, _client) = trial.connect_until(|_| true);
    let mut shortfalls = Vec::new();
    let flood = departures(ticket, 1, &Bytes::from(vec![0; 32 << 20]));
    trial.driver.turn(&flood, Wait::No, &mut shortfalls);
    assert_eq!(shortfalls.len(), 1, "the socket is full");
    // More than the completion queue holds.
    let many = departures(ticket, 5_000, &Bytes::from(vec![0; 32 << 20]));
    for wait in [Wait::No, Wait::Until(0), Wait::No] {
        shortfalls.clear();
        trial.driver.turn(&many, wait, &mut shortfalls);
        assert_eq!(shortfalls.len(), 5_000, "{wait:?}");
    }
}

#[test]
fn a_ring_that_rang_is_looked_at_whatever_departs_meanwhile() {
    let mut trial = Trial::new(Tables { table: 8, rings: 2 });
    let (ticket, mut client) = trial.connect_until(|slot| slot >= 8);
    trial.driver.arm_receive(ticket);
    for _ in 0..5 {
        trial.look();
    }
    client.write_all(b"x").unwrap();
    while !trial.driver.rings[1].is_active() {
        assert!(trial.look().is_empty());
    }
    let outgoing = departures(ticket, 1, &Bytes::from_static(b"y"));
    trial.driver.turn(&outgoing, Wait::No, &mut Vec::new());
    let received = (0..10).find_map(|_| trial.look().pop());
    let Some(Completion::Received { lease, .. }) = received else {
        panic!("{received:?}");
    };
    trial.driver.give_back(lease);
}

#[test]
fn a_quiet_rings_memory_goes_and_what_comes_then_is_whole() {
    let mut trial = Trial::new(Tables { table: 8, rings: 1 });
    let (ticket, mut client) = trial.connect_until(|_| true);
    trial.driver.arm_receive(ticket);
    // Windows pass by a clock of our own, which runs ahead of the driver's.
    let mut now = 1 << 32;
    for message in [&b"first"[..], b"second"] {
        client.write_all(message).unwrap();
        let received = (0..10).find_map(|_| trial.look().pop());
        let Some(Completion::Received { mut lease, .. }) = received else {
            panic!("{received:?}");
        };
        let mut windows = 0;
        while windows < 3
            && let Some(end) = trial.driver.rings[0].supply_buffers(now)
        {
            (now, windows) = (end, windows + 1);
        }
        assert_eq!(
            (windows, lease.as_mut()),
            (3, &mut message.to_vec()[..]),
            "on loan it stays"
        );
        trial.driver.give_back(lease);
        assert!(
            trial.driver.rings[0].supply_buffers(now + 2_000).is_none(),
            "free, it goes"
        );
        now += 4_000;
    }
}

#[test]
fn memory_of_what_nobody_has_reaped_stays() {
    let mut trial = Trial::new(Tables { table: 8, rings: 1 });
    let (ticket, mut client) = trial.connect_until(|_| true);
    trial.driver.arm_receive(ticket);
    client.write_all(b"first").unwrap();
    let received = (0..10).find_map(|_| trial.look().pop());
    let Some(Completion::Received { lease, .. }) = received else {
        panic!("{received:?}");
    };
    trial.driver.give_back(lease);
    client.write_all(b"second").unwrap();
    // Completed, and not reaped: as when a full submission queue is submitted in the middle of a turn.
    trial.driver.rings[0].enter_and_look();
    trial.driver.rings[0].supply_buffers(1 << 32);
    let received = (0..10).find_map(|_| trial.look().pop());
    let Some(Completion::Received { mut lease, .. }) = received else {
        panic!("{received:?}");
    };
    assert_eq!(lease.as_mut(), b"second");
    trial.driver.give_back(lease);
}
