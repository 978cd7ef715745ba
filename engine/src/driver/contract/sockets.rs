//! The drivers of real sockets against clients that write, read, end and reset as a seed says.

use super::{Echo, RealDriver, STREAM};
use crate::driver::boundary::{Completion, Driver, ReceiveEnd, Wait};
use crate::driver::listen::{ListenSource, Listening};
use crate::driver::portable::PortableDriver;
use crate::driver::sim::Random;
use crate::driver::uring::UringDriver;
use crate::egress::outgoing::Outgoing;
use crate::types::ticket::Ticket;
use bytes::Bytes;
use socket2::SockRef;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

const CLIENTS: usize = 6;
/// Turns of a driver in which something must have happened; each waits a little.
const TURNS_MAX: usize = 2_000;

/// A driver behind one listener, and what it has said.
struct Rig<D: Driver> {
    driver: D,
    address: SocketAddr,
    said: VecDeque<Completion<D::Lease>>,
}

impl<D: RealDriver> Rig<D> {
    fn new() -> Rig<D> {
        Rig::behind(1).0
    }

    /// A driver behind so many listeners, and the addresses of all.
    fn behind(listeners: usize) -> (Rig<D>, Vec<SocketAddr>) {
        let mut listening = Listening::new(1);
        let any = ListenSource::Bind(([127, 0, 0, 1], 0).into());
        for _ in 0..listeners {
            listening.open(&any).unwrap();
        }
        let addresses = listening.addresses.iter();
        let addresses: Vec<SocketAddr> = addresses.map(|one| one.ip().unwrap()).collect();
        let rig = Rig {
            address: addresses[0],
            driver: D::on(listening.shards.remove(0)),
            said: VecDeque::new(),
        };
        (rig, addresses)
    }

    /// A client, and its ticket.
    #[track_caller]
    fn connect(&mut self, generation: u32) -> (TcpStream, Ticket) {
        let client = TcpStream::connect(self.address).unwrap();
        match self.next() {
            Completion::Accepted { slot, .. } => (client, Ticket { slot, generation }),
            other => panic!("{other:?}"),
        }
    }

    /// One turn without transmits, which waits a moment if there is nothing to do.
    fn look(&mut self) -> Vec<Completion<D::Lease>> {
        let until = Wait::Until(self.driver.now() + 100);
        self.driver
            .turn(&Outgoing::default(), until, &mut Vec::new());
        let mut completions = Vec::new();
        self.driver.reap(&mut completions);
        completions
    }

    /// The next that happens.
    #[track_caller]
    fn next(&mut self) -> Completion<D::Lease> {
        for _ in 0..TURNS_MAX {
            if let Some(completion) = self.said.pop_front() {
                return completion;
            }
            let completions = self.look();
            self.said.extend(completions);
        }
        panic!("nothing happens");
    }

    #[track_caller]
    fn is_quiet(&mut self) {
        for _ in 0..3 {
            let said = self.look();
            assert!(said.is_empty() && self.said.is_empty(), "{said:?}");
        }
    }

    #[track_caller]
    fn receives(&mut self, expected: &[u8]) {
        match self.next() {
            Completion::Received { lease, .. } => {
                assert_eq!(lease.as_ref(), expected);
                self.driver.give_back(lease);
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn ends(&mut self, expected: ReceiveEnd) {
        match self.next() {
            Completion::ReceiveEnded { why, .. } => assert_eq!(why, expected),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn closes(&mut self, expected: Ticket) {
        self.driver.close(expected);
        match self.next() {
            Completion::Closed { ticket } => assert_eq!(ticket, expected),
            other => panic!("{other:?}"),
        }
    }
}

/// Several clients' bytes come back whole and in order, whatever pieces the kernel makes of them.
fn bytes_come_back_whole_and_in_order<D: RealDriver>() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let Rig {
            driver, address, ..
        } = Rig::<D>::new();
        let mut echo = Echo::new(driver, 64);
        let mut clients: Vec<(TcpStream, usize, Vec<u8>, bool)> = (0..CLIENTS)
            .map(|_| {
                let client = TcpStream::connect(address).unwrap();
                client.set_nonblocking(true).unwrap();
                (client, 0, Vec::new(), false)
            })
            .collect();
        while !clients.iter().all(|(.., done)| *done) {
            let index = random.below(CLIENTS * 2);
            let Some((client, written, read, done)) = clients.get_mut(index) else {
                echo.tick(Wait::Until(0));
                continue;
            };
            if *written < STREAM.len() {
                let count = random.below(STREAM.len() - *written + 1);
                *written += client.write(&STREAM[*written..*written + count]).unwrap();
                if *written == STREAM.len() {
                    client.shutdown(Shutdown::Write).unwrap();
                }
            }
            let mut bytes = vec![0; random.between(1, 1_000)];
            match client.read(&mut bytes) {
                Ok(0) => *done = true,
                Ok(count) => read.extend_from_slice(&bytes[..count]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            assert!(STREAM.starts_with(read), "seed {seed}");
        }
        assert!(clients.iter().all(|(_, _, read, _)| read == STREAM));
        while echo.closed < CLIENTS {
            echo.tick(Wait::Until(0));
        }
    }
}

/// Nothing is received between a stop and the next arm, and nothing is lost.
fn a_receive_stops_and_goes_on<D: RealDriver>() {
    let mut rig = Rig::<D>::new();
    let (mut client, ticket) = rig.connect(1);
    rig.driver.arm_receive(ticket);
    client.write_all(b"first").unwrap();
    rig.receives(b"first");
    rig.driver.stop_receive(ticket);
    rig.ends(ReceiveEnd::Stopped);
    client.write_all(b"second").unwrap();
    rig.is_quiet();
    rig.driver.arm_receive(ticket);
    rig.receives(b"second");
    client.write_all(b"third").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    rig.receives(b"third");
    rig.ends(ReceiveEnd::Eof);
}

/// A connection that is closed says nothing more, and its slot is the next one's.
fn a_close_is_the_last_word<D: RealDriver>() {
    let mut rig = Rig::<D>::new();
    for generation in 1..20 {
        let (mut client, ticket) = rig.connect(generation);
        rig.driver.arm_receive(ticket);
        // More than the socket takes, so the send is under way.
        rig.driver
            .send_tracked(ticket, &[Bytes::from(vec![7; 32 << 20])]);
        rig.is_quiet();
        rig.closes(ticket);
        let mut bytes = Vec::new();
        let read = client.read_to_end(&mut bytes);
        let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        assert!(read.as_ref().err().is_none_or(is_reset), "{read:?}");
        assert!(bytes.iter().all(|byte| *byte == 7) && bytes.len() < 32 << 20);
    }
}

/// A peer that resets ends both what is received and what is sent; the kernel tells the reason to
/// one of them.
fn a_reset_ends_both_ways<D: RealDriver>() {
    let mut rig = Rig::<D>::new();
    let (client, ticket) = rig.connect(1);
    rig.driver.arm_receive(ticket);
    let bytes = Bytes::from(vec![7; 32 << 20]);
    rig.driver
        .send_tracked(ticket, std::slice::from_ref(&bytes));
    rig.is_quiet();
    let linger = SockRef::from(&client).set_linger(Some(Duration::ZERO));
    linger.unwrap();
    drop(client);
    let mut ends = [false; 2];
    for _ in 0..2 {
        match rig.next() {
            Completion::ReceiveEnded { .. } => ends[0] = true,
            Completion::Sent { count, .. } => ends[1] = count < bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ends, [true; 2]);
    rig.driver.send_tracked(ticket, &[bytes]);
    let sent = rig.next();
    assert!(
        matches!(sent, Completion::Sent { failed: true, .. }),
        "{sent:?}"
    );
    rig.closes(ticket);
}

/// What the socket has no room for is said in the very turn.
fn every_short_send_is_one_of_its_turn<D: RealDriver>() {
    let mut rig = Rig::<D>::new();
    let (_client, ticket) = rig.connect(1);
    let bytes = Bytes::from(vec![0; 32 << 20]);
    let transmit = || {
        let mut outgoing = Outgoing::default();
        assert!(outgoing.attach_own(ticket, &mut { u32::MAX }, bytes.clone()));
        outgoing
    };
    for (round, wait) in [Wait::No, Wait::Until(0), Wait::No].into_iter().enumerate() {
        let mut short_sends = Vec::new();
        rig.driver.turn(&transmit(), wait, &mut short_sends);
        let [short] = short_sends[..] else {
            panic!("{short_sends:?}");
        };
        assert!(short.ticket == ticket && !short.failed, "{short:?}");
        assert!(
            short.count < bytes.len() && (round > 0) == (short.count < 1 << 10),
            "{short:?}"
        );
    }
}

/// Clients of several listeners, each told apart; of a crowd at one of them each comes once.
fn each_client_comes_by_its_listener<D: RealDriver>() {
    const LISTENERS: usize = 4;
    const CROWD: usize = 30;
    let (mut rig, addresses) = Rig::<D>::behind(LISTENERS);
    let mut generation = 0;
    let mut check = |asked: &[usize]| {
        let clients = asked.iter().map(|index| addresses[*index]);
        let _clients: Vec<TcpStream> = clients.map(|at| TcpStream::connect(at).unwrap()).collect();
        let (mut expected, mut accepted) = ([0; LISTENERS], [0; LISTENERS]);
        asked.iter().for_each(|index| expected[*index] += 1);
        while accepted.iter().sum::<usize>() < asked.len() {
            match rig.next() {
                Completion::Accepted { slot, listener, .. } => {
                    accepted[usize::from(listener)] += 1;
                    // Its place is for whoever comes next.
                    generation += 1;
                    rig.driver.close(Ticket { slot, generation });
                }
                Completion::Closed { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(accepted, expected);
    };
    for index in [2, 0, 3, 1, 1] {
        check(&[index]);
    }
    check(&[&[1; CROWD][..], &[0, 2, 3, 0]].concat());
}

/// One floods and one says a byte at a time: this one is heard whenever it speaks, and of the other
/// no byte is lost between its turns.
fn who_floods_takes_turns_and_loses_no_byte<D: RealDriver>() {
    const BYTES: usize = 1 << 20;
    const PATTERN: usize = 251;
    let mut rig = Rig::<D>::new();
    let (mut flood, flooder) = rig.connect(1);
    let (mut talk, other) = rig.connect(1);
    let end = flood.try_clone().unwrap();
    let flooding = std::thread::spawn(move || {
        let pattern: Vec<u8> = (0..PATTERN).map(|at| at as u8).collect();
        while flood.write_all(&pattern.repeat(64)).is_ok() {}
    });
    for ticket in [flooder, other] {
        rig.driver.arm_receive(ticket);
    }
    let (mut heard, mut said, mut turns, mut unheard) = (0, 0, 0, 0);
    for _ in 0..100_000 {
        if heard >= BYTES && turns > 100 {
            break;
        }
        talk.write_all(b"x").unwrap();
        unheard += 1;
        for completion in rig.look() {
            let Completion::Received { ticket, mut lease } = completion else {
                panic!("{completion:?}");
            };
            for byte in lease.as_mut() {
                if ticket == flooder {
                    assert_eq!(usize::from(*byte), heard % PATTERN, "at {heard}");
                    heard += 1;
                } else {
                    (said, unheard) = (said + 1, 0);
                }
            }
            rig.driver.give_back(lease);
        }
        // What it says now is heard in the next look, if a look has just found no buffer for it.
        assert!(
            unheard <= 3,
            "{unheard} of its bytes are unheard after {said}"
        );
        turns += u32::from(rig.driver.awaits_buffer(flooder));
    }
    assert!(
        heard >= BYTES && turns > 100,
        "{heard} bytes, {turns} turns"
    );
    end.shutdown(Shutdown::Both).unwrap();
    flooding.join().unwrap();
}

on_both! {
    bytes_come_back_whole_and_in_order as uring_echoes and portable_echoes;
    a_receive_stops_and_goes_on as uring_stops and portable_stops;
    a_close_is_the_last_word as uring_closes and portable_closes;
    a_reset_ends_both_ways as uring_is_reset and portable_is_reset;
    every_short_send_is_one_of_its_turn as uring_reports_short_sends and portable_reports_short_sends;
    each_client_comes_by_its_listener as uring_has_listeners and portable_has_listeners;
    who_floods_takes_turns_and_loses_no_byte as uring_is_fair and portable_is_fair;
}
