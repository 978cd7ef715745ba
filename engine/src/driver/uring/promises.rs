//! What the driver promises the shard, tried on the real kernel: no short send is late, and no ring
//! is forgotten.

use super::*;
use crate::driver::listen::{ListenSource, Listening};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A driver, its clients, and the tickets of those that were accepted.
struct Trial {
    driver: UringDriver,
    /// Of the two listeners; `connect_until` uses the second.
    addresses: [SocketAddr; 2],
    clients: Vec<TcpStream>,
}

impl Trial {
    fn new(tables: Tables) -> Trial {
        let any = ListenSource::Bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let mut listening = Listening::new(1);
        listening.open(&any).unwrap();
        listening.open(&any).unwrap();
        let address = |index: usize| listening.addresses[index].ip().unwrap();
        let addresses = [address(0), address(1)];
        let setup = UringSetup {
            listeners: listening.shards.remove(0),
            tables,
            shard: 0,
            ring_fds: RingFds::default(),
            capabilities: Capabilities::probe().unwrap(),
            counters: Arc::default(),
        };
        Trial {
            driver: UringDriver::new(setup).unwrap(),
            addresses,
            clients: Vec::new(),
        }
    }

    /// A client on every slot that the driver hands out until one of them satisfies `enough`: that
    /// one's ticket.
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

    /// One turn without transmits that waits a moment if there is nothing to do.
    fn look(&mut self) -> Vec<Completion<Lease>> {
        let until = Wait::Until(self.driver.start.elapsed().as_millis() as Millis + 100);
        self.driver
            .turn(&Outgoing::default(), until, &mut Vec::new());
        let mut completions = Vec::new();
        self.driver.reap(&mut completions);
        completions
    }
}

/// Transmits for one ticket, each by itself.
fn transmits(ticket: Ticket, count: usize, bytes: &Bytes) -> Outgoing {
    let mut outgoing = Outgoing::default();
    let shared = outgoing.share(bytes.clone());
    for _ in 0..count {
        let mut at = u32::MAX;
        assert!(outgoing.attach_shared(ticket, &mut at, shared, 0, bytes.len()));
    }
    outgoing
}

#[test]
fn every_short_send_is_one_of_its_turn() {
    let mut trial = Trial::new(Tables { table: 8, rings: 1 });
    let (ticket, _client) = trial.connect_until(|_| true);
    let mut short_sends = Vec::new();
    let flood = transmits(ticket, 1, &Bytes::from(vec![0; 32 << 20]));
    trial.driver.turn(&flood, Wait::No, &mut short_sends);
    assert_eq!(short_sends.len(), 1, "the socket is full");
    // More than the completion queue holds.
    let many = transmits(ticket, 5_000, &Bytes::from(vec![0; 32 << 20]));
    for wait in [Wait::No, Wait::Until(0), Wait::No] {
        short_sends.clear();
        trial.driver.turn(&many, wait, &mut short_sends);
        assert_eq!(short_sends.len(), 5_000, "{wait:?}");
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
    let outgoing = transmits(ticket, 1, &Bytes::from_static(b"y"));
    trial.driver.turn(&outgoing, Wait::No, &mut Vec::new());
    let received = (0..10).find_map(|_| trial.look().pop());
    let Some(Completion::Received { lease, .. }) = received else {
        panic!("{received:?}");
    };
    trial.driver.give_back(lease);
}

#[test]
fn a_further_ring_wakes_a_sleeping_shard_again_and_again() {
    // The kernel's own way, and the one for kernels whose rings fall silent.
    for forced in [None, Some(Waking::Prompt)] {
        let mut trial = Trial::new(Tables { table: 8, rings: 2 });
        trial.driver.waking = forced.or(trial.driver.waking);
        let (ticket, mut client) = trial.connect_until(|slot| slot >= 8);
        trial.driver.arm_receive(ticket);
        for message in [b"one", b"two", b"six"] {
            while trial.driver.rings[1].is_active() || trial.driver.rings[1].is_behind() {
                assert!(trial.look().is_empty());
            }
            client.write_all(message).unwrap();
            let received = (0..10).find_map(|_| trial.look().pop());
            let Some(Completion::Received { mut lease, .. }) = received else {
                panic!("{message:?}, {forced:?}: {received:?}");
            };
            assert_eq!(lease.as_mut(), message);
            trial.driver.give_back(lease);
        }
    }
}

#[test]
fn where_further_rings_would_not_be_heard_none_is_made() {
    let tables = Tables { table: 8, rings: 4 };
    for (heard, room, rings) in [(true, 31, 4), (false, 7, 1)] {
        let mut trial = Trial::new(tables);
        if !heard {
            trial.driver.take_waking(None);
        }
        // Two listeners want more accepts than one table holds.
        trial.look();
        let made = trial.driver.rings.len();
        assert_eq!((trial.driver.tables().room(), made), (room, rings));
        assert_eq!(trial.driver.connections_max(), room);
    }
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
    // Completed, and not reaped: as when a full submission queue is submitted in the middle of a
    // turn.
    trial.driver.rings[0].enter_and_look();
    trial.driver.rings[0].supply_buffers(1 << 32);
    let received = (0..10).find_map(|_| trial.look().pop());
    let Some(Completion::Received { mut lease, .. }) = received else {
        panic!("{received:?}");
    };
    assert_eq!(lease.as_mut(), b"second");
    trial.driver.give_back(lease);
}

/// Bytes that tell their place in a stream.
fn stream(from: usize, count: usize) -> Vec<u8> {
    (from..from + count)
        .map(|at| (at * 7 % 251) as u8)
        .collect()
}

/// One connection of a sweep's trial: what it was sent and said so far.
struct Talk {
    ticket: Ticket,
    client: TcpStream,
    written: usize,
    received: usize,
    /// What the driver has still to send.
    rest: Bytes,
    read: usize,
}

impl Talk {
    const BYTES: usize = 300_000;
    const SENT: usize = 12 << 20;

    /// The client writes and reads a little, if it can.
    fn go_on(&mut self) {
        let end = (self.written + 5_000).min(Self::BYTES);
        let bytes = stream(self.written, end - self.written);
        match self.client.write(&bytes) {
            Ok(count) => self.written += count,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        let mut bytes = vec![0; 100_000];
        match self.client.read(&mut bytes) {
            Ok(count) => {
                assert!(bytes[..count] == stream(self.read, count), "what was sent");
                self.read += count;
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }

    fn is_done(&self) -> bool {
        self.received == Self::BYTES && self.read == Self::SENT
    }
}

/// A sweep ends every receive and every send again and again, while both are under way.
#[test]
fn sweeps_lose_nothing() {
    let mut trial = Trial::new(Tables {
        table: 64,
        rings: 2,
    });
    trial.driver.capabilities.ordered_release = true;
    let mut talks: Vec<Talk> = (0..3)
        .map(|index| {
            // The last of them is on the second ring.
            let (ticket, client) = trial.connect_until(|slot| index < 2 || slot >= 64);
            client.set_nonblocking(true).unwrap();
            trial.driver.arm_receive(ticket);
            let rest = Bytes::from(stream(0, Talk::SENT));
            trial
                .driver
                .send_tracked(ticket, std::slice::from_ref(&rest));
            let (written, received, read) = (0, 0, 0);
            Talk {
                ticket,
                client,
                written,
                received,
                rest,
                read,
            }
        })
        .collect();
    let mut cut_short = 0;
    while !talks.iter().all(Talk::is_done) {
        talks.iter_mut().for_each(Talk::go_on);
        trial
            .driver
            .rings
            .iter_mut()
            .for_each(|ring| ring.release.sweep_soon());
        let completions = trial.look();
        for completion in completions {
            match completion {
                Completion::Received { ticket, mut lease } => {
                    let talk = talks.iter_mut().find(|talk| talk.ticket == ticket).unwrap();
                    let bytes = lease.as_mut().to_vec();
                    assert!(bytes == stream(talk.received, bytes.len()), "what came");
                    talk.received += bytes.len();
                    trial.driver.give_back(lease);
                }
                Completion::Sent {
                    ticket,
                    count,
                    failed,
                } => {
                    assert!(!failed);
                    let talk = talks.iter_mut().find(|talk| talk.ticket == ticket).unwrap();
                    talk.rest = talk.rest.slice(count..);
                    if !talk.rest.is_empty() {
                        cut_short += 1;
                        trial
                            .driver
                            .send_tracked(ticket, std::slice::from_ref(&talk.rest));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let rotated = trial.driver.counters.rotated.get();
    assert!(
        cut_short > 10 && rotated > 100,
        "{cut_short} sends, {rotated} in all"
    );
}

/// Beside a connection that stays: every client that is closed reads the end, and the driver's
/// account is what it promises.
#[test]
fn a_closed_connection_ends_beside_an_older_one() {
    for ordered_release in [false, true] {
        let mut trial = Trial::new(Tables {
            table: 64,
            rings: 1,
        });
        // What a kernel needs, it gets in both rounds.
        trial.driver.capabilities.ordered_release |= ordered_release;
        let (older, mut older_client) = trial.connect_until(|_| true);
        trial.driver.arm_receive(older);
        for generation in 2..1_300 {
            let (Ticket { slot, .. }, mut client) = trial.connect_until(|_| true);
            let ticket = Ticket { slot, generation };
            trial.driver.arm_receive(ticket);
            trial.driver.close(ticket);
            let closed = (0..1_000).find_map(|_| trial.look().pop());
            assert!(matches!(closed, Some(Completion::Closed { ticket: one }) if one == ticket));
            client
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), 0, "the end");
        }
        older_client.write_all(b"still there").unwrap();
        let received = (0..10).find_map(|_| trial.look().pop());
        assert!(matches!(received, Some(Completion::Received { ticket, .. }) if ticket == older));
        // The older receive, once a sweep; a slow run sweeps by time besides.
        let rotated = trial.driver.counters.rotated.get();
        let expected = match trial.driver.capabilities.ordered_release {
            true => 2..=u64::MAX,
            false => 0..=0,
        };
        assert!(expected.contains(&rotated), "{rotated}");
    }
}
