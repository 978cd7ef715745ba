//! The portable driver where the kernel does what it may do: over pairs of sockets that take little
//! at a time, with events that mean nothing. And what a shard hears of bells and a lack of slots.

use super::*;
use crate::connection::peer::Peer;
use crate::driver::contract::{Echo, RealDriver, STREAM};
use crate::driver::listen::{ListenSource, Listening};
use crate::driver::platform::Waker;
use crate::driver::sim::Random;
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

impl RealDriver for PortableDriver {
    fn on(listeners: Vec<ListenSocket>) -> PortableDriver {
        driver(listeners, 64)
    }
}

fn driver(listeners: Vec<ListenSocket>, wanted: usize) -> PortableDriver {
    let slots = FreeSlots::new(wanted, 1, 1, 1_000);
    PortableDriver::new(listeners, slots, Bells::default(), 0, Arc::default()).unwrap()
}

const CLIENTS: usize = 6;

/// One client over a pair of sockets.
struct Client {
    socket: UnixStream,
    written: usize,
    read: Vec<u8>,
    done: bool,
}

impl Client {
    /// Its other end is a connection of the driver's. Both have the least buffer that the kernel
    /// allows (`socket(7)`, `SO_SNDBUF`).
    fn of(driver: &mut PortableDriver) -> Client {
        let (near, far) = UnixStream::pair().unwrap();
        for end in [&near, &far] {
            end.set_nonblocking(true).unwrap();
            SockRef::from(end).set_send_buffer_size(1).unwrap();
        }
        let slot = driver.slots.next().unwrap();
        driver.admit(slot, far.into(), 0, Peer::Unix).unwrap();
        Client {
            socket: near,
            written: 0,
            read: Vec::new(),
            done: false,
        }
    }

    /// Writes and reads a little, if it can.
    fn go_on(&mut self, random: &mut Random, stream: &[u8]) {
        if self.written < stream.len() {
            let count = random.below(stream.len() - self.written + 1);
            match self
                .socket
                .write(&stream[self.written..self.written + count])
            {
                Ok(count) => self.written += count,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            if self.written == stream.len() {
                self.socket.shutdown(std::net::Shutdown::Write).unwrap();
            }
        }
        let mut bytes = vec![0; random.between(1, 1_000)];
        match self.socket.read(&mut bytes) {
            Ok(0) => self.done = true,
            Ok(count) => self.read.extend_from_slice(&bytes[..count]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        assert!(stream.starts_with(&self.read));
    }

    /// Reads what is there.
    fn read_all(&mut self) {
        let mut bytes = [0; 4_096];
        while let Ok(count @ 1..) = self.socket.read(&mut bytes) {
            self.read.extend_from_slice(&bytes[..count]);
        }
    }
}

#[test]
fn short_writes_and_events_that_mean_nothing_lose_no_byte() {
    let stream = STREAM.repeat(10);
    let mut short_sends = 0;
    for seed in 0..1_000 {
        let mut random = Random::new(seed);
        let mut echo = Echo::new(driver(Vec::new(), 64), 64);
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::of(&mut echo.driver)).collect();
        while !clients.iter().all(|client| client.done) {
            match random.below(CLIENTS * 3) {
                index if index < CLIENTS => clients[index].go_on(&mut random, &stream),
                index if index < 2 * CLIENTS => {
                    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
                    echo.driver.take_event((index - CLIENTS) as u32, flags);
                }
                _ => echo.tick(Wait::Until(0)),
            }
        }
        let whole = clients.iter().all(|client| client.read == stream);
        assert!(whole, "seed {seed}");
        while echo.closed < CLIENTS {
            echo.tick(Wait::Until(0));
        }
        short_sends += echo.short_sends;
    }
    assert!(short_sends > 1_000, "{short_sends} short sends");
}

/// The kernel does not say when it has memory again, and says only once that a socket has room: the
/// driver tries again by itself.
#[test]
fn a_send_that_finds_no_memory_is_tried_again() {
    /// Each waits for 20 ms at most.
    const LOOKS_MAX: usize = 1_000;
    let stream = STREAM.repeat(10);
    let mut driver = driver(Vec::new(), 64);
    let mut client = Client::of(&mut driver);
    assert_eq!(accepted(&look(&mut driver, 0)), 1);
    let (slot, generation) = (0, 1);
    let ticket = Ticket { slot, generation };
    driver.send_tracked(ticket, &[Bytes::from(stream.clone())]);
    let (mut random, mut failures, mut sent) = (Random::new(1), 0, None);
    for _ in 0..LOOKS_MAX {
        sending::shortage::begin(u32::from(random.chance(500)));
        let until = driver.now() + 20;
        let completions = look(&mut driver, until);
        let is_watched = driver.connections[slot].state.has(Readiness::WATCHED);
        failures += usize::from(is_watched && driver.tracked.pauses_until().is_some());
        client.read_all();
        let outcome = completions.iter().find_map(|one| match one {
            Completion::Sent { count, failed, .. } => Some((*count, *failed)),
            _ => None,
        });
        if outcome.is_some() {
            sent = outcome;
            break;
        }
    }
    client.read_all();
    assert_eq!(sent, Some((stream.len(), false)));
    assert!(client.read == stream && failures > 0, "{failures}");
}

fn accepted(completions: &[Completion<ReceivedPiece>]) -> usize {
    let accepted = |one: &&Completion<_>| matches!(one, Completion::Accepted { .. });
    completions.iter().filter(accepted).count()
}

fn look(driver: &mut PortableDriver, until: Millis) -> Vec<Completion<ReceivedPiece>> {
    driver.turn(&Outgoing::default(), Wait::Until(until), &mut Vec::new());
    let mut completions = Vec::new();
    driver.reap(&mut completions);
    completions
}

/// Looks again until somebody was accepted.
fn next_accepted(driver: &mut PortableDriver) -> usize {
    let looks = (0..1_000).map(|_| {
        let until = driver.now() + 100;
        accepted(&look(driver, until))
    });
    looks.into_iter().find(|count| *count > 0).unwrap()
}

#[test]
fn who_finds_no_slot_waits_until_one_is_free() {
    let mut listening = Listening::new(1);
    let any = ListenSource::Bind(([127, 0, 0, 1], 0).into());
    listening.open(&any).unwrap();
    let address = listening.addresses[0].ip().unwrap();
    let mut driver = driver(listening.shards.remove(0), 2);
    assert!(look(&mut driver, 0).is_empty());
    let clients = (0..4).map(|_| TcpStream::connect(address).unwrap());
    let _clients: Vec<TcpStream> = clients.collect();
    let mut served = 0;
    while served < 2 {
        served += next_accepted(&mut driver);
    }
    for _ in 0..5 {
        assert!(look(&mut driver, 0).is_empty(), "both slots are taken");
    }
    for generation in 1..3 {
        let slot = 1;
        driver.close(Ticket { slot, generation });
        assert_eq!(next_accepted(&mut driver), 1);
    }
}

/// So whoever dials does not set the pace of the log while the host is short of something.
#[test]
fn a_listener_pauses_when_a_client_cannot_be_waited_for() {
    let mut listening = Listening::new(1);
    let any = ListenSource::Bind(([127, 0, 0, 1], 0).into());
    listening.open(&any).unwrap();
    let mut driver = driver(listening.shards.remove(0), 2);
    let now = driver.now;
    assert_eq!(driver.listeners.resumes(now), None);
    // epoll(7) takes no files.
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let slot = driver.slots.next().unwrap();
    let admitted = driver.admit(slot, file.into(), 0, Peer::Unix);
    assert_eq!(admitted, Err(Errno::PERM));
    assert!(driver.listeners.resumes(now).is_some());
    assert_eq!(driver.slots.next(), Some(slot), "it is free");
}

/// A wait of a minute ends at once when the bell is rung, by another shard or another thread, and
/// again the next time.
#[test]
fn a_bell_ends_a_wait() {
    let bells = Bells::default();
    let make = |shard| {
        let slots = FreeSlots::new(8, 0, 2, 1_000);
        PortableDriver::new(Vec::new(), slots, bells.clone(), shard, Arc::default()).unwrap()
    };
    let (mut sleeper, mut other) = (make(0), make(1));
    let waker: Box<dyn Waker> = Box::new(bells.make(0).unwrap().share().unwrap());
    look(&mut sleeper, 0);
    for round in 0..4 {
        if round % 2 == 0 {
            other.wake(0);
            other.turn(&Outgoing::default(), Wait::No, &mut Vec::new());
        } else {
            waker.wake();
        }
        assert!(look(&mut sleeper, 60_000).is_empty());
        assert!(sleeper.now() < 30_000, "round {round}");
    }
}

#[test]
fn a_wait_is_rounded_up_and_has_an_end() {
    let cases = [
        // (until in ms, now in µs) -> ms
        ((5, 0), 5),
        ((5, 4_001), 1),
        ((5, 5_000), 0),
        ((5, 9_000), 0),
        ((Millis::MAX, 0), WAIT_MS_MAX),
    ];
    for ((until, now), expected) in cases {
        let timeout = wait_for(until, Duration::from_micros(now));
        let millis = timeout.tv_sec as u64 * 1_000 + timeout.tv_nsec as u64 / 1_000_000;
        assert_eq!(millis, expected, "{until} ms at {now} µs");
    }
}
