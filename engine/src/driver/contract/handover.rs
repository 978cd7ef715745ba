//! What becomes of listening sockets that somebody else has, too, tried on the real kernel: a
//! driver that gives one up takes no client from whoever goes on accepting.

use super::RealDriver;
use crate::driver::boundary::{Completion, Driver, StopAccept, Wait};
use crate::driver::listen::{ListenSocket, ListenSource, Listening};
use crate::driver::portable::PortableDriver;
use crate::driver::uring::UringDriver;
use crate::egress::outgoing::Outgoing;
use std::net::{SocketAddr, TcpStream};

const CLIENTS: usize = 40;

/// Two drivers that accept from one socket. Inherited: nobody may end it.
pub(in crate::driver) struct Two<D> {
    pub(in crate::driver) drivers: Vec<D>,
    address: SocketAddr,
    clients: Vec<TcpStream>,
}

impl<D: RealDriver> Two<D> {
    fn new() -> Two<D> {
        Two::made_by(D::on)
    }
}

impl<D: Driver> Two<D> {
    pub(in crate::driver) fn made_by(make: impl Fn(Vec<ListenSocket>) -> D) -> Two<D> {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut listening = Listening::new(2);
        let source = ListenSource::Inherited(std::os::fd::OwnedFd::from(socket).into());
        listening.open(&source).unwrap();
        Two {
            drivers: listening.shards.into_iter().map(make).collect(),
            address,
            clients: Vec::new(),
        }
    }

    pub(in crate::driver) fn connect(&mut self) {
        self.clients.push(TcpStream::connect(self.address).unwrap());
    }

    /// Connections that this driver accepted since the last look.
    pub(in crate::driver) fn accepted(&mut self, index: usize) -> usize {
        let driver = &mut self.drivers[index];
        driver.turn(&Outgoing::default(), Wait::Until(0), &mut Vec::new());
        let mut completions = Vec::new();
        driver.reap(&mut completions);
        let accepted =
            |completion: &&Completion<_>| matches!(completion, Completion::Accepted { .. });
        completions.iter().filter(accepted).count()
    }

    /// Connections that this driver, which has stopped accepting, accepts until its accepts have
    /// ended.
    #[track_caller]
    pub(in crate::driver) fn accepted_at_last(&mut self, index: usize) -> usize {
        /// Of the driver, each a turn; a look takes one.
        const TURNS_MAX: usize = 100;
        let mut accepted = 0;
        for _ in 0..TURNS_MAX {
            accepted += self.accepted(index);
            if !self.drivers[index].may_accept() {
                return accepted;
            }
        }
        panic!("the accepts do not end");
    }

    /// The driver takes all of some clients, one after the other.
    #[track_caller]
    pub(in crate::driver) fn serves_all(&mut self, index: usize) {
        for client in 0..CLIENTS {
            self.connect();
            let found = (0..100).any(|_| self.accepted(index) == 1);
            assert!(found, "client {client}");
        }
    }
}

/// A client has been woken for by one of two, which gives its listener up before it looks.
fn each_client_is_served_by_one<D: RealDriver>() {
    for how in [StopAccept::HandOver, StopAccept::Release] {
        for round in 0..CLIENTS {
            let mut two = Two::<D>::new();
            let armed = [two.accepted(0), two.accepted(1)];
            assert_eq!(armed, [0, 0], "both arm");
            two.connect();
            two.drivers[0].stop_accepting(how);
            let served = two.accepted_at_last(0) + two.accepted(1);
            assert_eq!(served, 1, "{how:?}, client {round}");
            two.serves_all(1);
            assert_eq!(two.accepted(0), 0, "{how:?}");
        }
    }
}

fn a_driver_that_is_dropped_takes_no_client_with_it<D: RealDriver>() {
    let mut two = Two::<D>::new();
    let armed = [two.accepted(0), two.accepted(1)];
    assert_eq!(armed, [0, 0], "both arm");
    drop(two.drivers.remove(0));
    two.serves_all(0);
}

/// A socket of its own is free when it is released, and lives on when it is handed over.
fn a_socket_of_its_own_is_free_or_lives_on<D: RealDriver>() {
    for (how, lives) in [(StopAccept::Release, false), (StopAccept::HandOver, true)] {
        let mut listening = Listening::new(1);
        let any = ListenSource::Bind(([127, 0, 0, 1], 0).into());
        listening.open(&any).unwrap();
        let address = listening.addresses[0].ip().unwrap();
        let listeners = listening.shards.remove(0);
        let successor = listeners[0].share().unwrap();
        let mut two = Two {
            drivers: vec![D::on(listeners)],
            address,
            clients: Vec::new(),
        };
        assert_eq!(two.accepted(0), 0, "it arms");
        two.drivers[0].stop_accepting(how);
        assert_eq!(two.accepted_at_last(0), 0);
        assert_eq!(TcpStream::connect(address).is_ok(), lives, "{how:?}");
        if lives {
            assert_eq!(two.accepted(0), 0);
            successor.set_nonblocking(false).unwrap();
            let (_, peer) = successor.accept().unwrap();
            assert!(peer.as_socket().unwrap().ip().is_loopback());
        }
    }
}

on_both! {
    each_client_is_served_by_one as uring_serves_each and portable_serves_each;
    a_driver_that_is_dropped_takes_no_client_with_it as uring_is_dropped and portable_is_dropped;
    a_socket_of_its_own_is_free_or_lives_on as uring_gives_up and portable_gives_up;
}
