//! What becomes of listening sockets that somebody else has, too, tried on the real kernel: a driver that gives one up takes no client
//! from whoever goes on accepting.

use super::*;
use crate::driver::{ListenSource, Listening};
use std::net::{SocketAddr, TcpStream};

const CLIENTS: usize = 40;

/// Two drivers that accept from one socket. Inherited: nobody may end it.
struct Two {
    drivers: Vec<UringDriver>,
    address: SocketAddr,
    clients: Vec<TcpStream>,
}

impl Two {
    fn new(tables: Tables) -> Two {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut listening = Listening::new(2);
        let source = ListenSource::Inherited(std::os::fd::OwnedFd::from(socket).into());
        listening.open(&source).unwrap();
        let drivers = listening.shards.into_iter().map(|listeners| {
            let setup = Setup {
                listeners,
                tables,
                shard: 0,
                ring_fds: RingFds::default(),
                capabilities: Capabilities::probe().unwrap(),
                counters: Arc::default(),
            };
            UringDriver::new(setup).unwrap()
        });
        Two {
            drivers: drivers.collect(),
            address,
            clients: Vec::new(),
        }
    }

    fn connect(&mut self) {
        self.clients.push(TcpStream::connect(self.address).unwrap());
    }

    /// Connections that this driver accepted since the last look.
    fn accepted(&mut self, index: usize) -> usize {
        let driver = &mut self.drivers[index];
        driver.turn(&Outgoing::default(), Wait::Until(0), &mut Vec::new());
        let mut completions = Vec::new();
        driver.reap(&mut completions);
        let accepted =
            |completion: &&Completion<_>| matches!(completion, Completion::Accepted { .. });
        completions.iter().filter(accepted).count()
    }

    /// Connections that this driver, which has stopped accepting, accepts until its accepts have ended.
    #[track_caller]
    fn accepted_at_last(&mut self, index: usize) -> usize {
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
    fn serves_all(&mut self, index: usize) {
        for client in 0..CLIENTS {
            self.connect();
            let found = (0..100).any(|_| self.accepted(index) == 1);
            assert!(found, "client {client}");
        }
    }
}

/// Also where accepts are under way on a further ring.
#[test]
fn whoever_goes_on_accepting_gets_every_client() {
    for how in [StopAccept::HandOver, StopAccept::Release] {
        for (table, rings) in [(64, 1), (64, 2)] {
            let mut two = Two::new(Tables { table, rings });
            let mut accepted = 0;
            while two.drivers[0].rings.len() < rings || accepted == 0 {
                two.connect();
                accepted += (0..100)
                    .map(|_| two.accepted(0))
                    .find(|count| *count > 0)
                    .unwrap();
            }
            assert_eq!(two.accepted(1), 0, "it arms");
            two.drivers[0].stop_accepting(how);
            assert!(two.drivers[0].may_accept(), "the accepts have not ended");
            assert_eq!(two.accepted_at_last(0), 0);
            two.serves_all(1);
            assert_eq!(two.accepted(0), 0, "{how:?}, {rings} rings");
        }
    }
}

/// The kernel has woken an accept for a client, and the shard gives the listener up before it hears of that.
#[test]
fn a_client_whose_wake_went_to_a_cancelled_accept_is_served() {
    for round in 0..CLIENTS {
        let mut two = Two::new(Tables {
            table: 64,
            rings: 1,
        });
        assert_eq!((two.accepted(0), two.accepted(1)), (0, 0), "both arm");
        two.connect();
        two.drivers[0].stop_accepting(StopAccept::HandOver);
        let served = two.accepted_at_last(0) + two.accepted(1);
        assert_eq!(served, 1, "client {round}");
        two.serves_all(1);
    }
}

#[test]
fn a_driver_that_is_dropped_takes_no_client_with_it() {
    let mut two = Two::new(Tables {
        table: 64,
        rings: 1,
    });
    assert_eq!((two.accepted(0), two.accepted(1)), (0, 0), "both arm");
    drop(two.drivers.remove(0));
    two.serves_all(0);
}

#[test]
fn a_socket_of_its_own_is_free_when_it_is_released_and_lives_on_when_it_is_handed_over() {
    for (how, lives) in [(StopAccept::Release, false), (StopAccept::HandOver, true)] {
        let mut listening = Listening::new(1);
        let any = ListenSource::Bind(([127, 0, 0, 1], 0).into());
        listening.open(&any).unwrap();
        let address = listening.addresses[0].ip().unwrap();
        let listeners = listening.shards.remove(0);
        let successor = listeners[0].share().unwrap();
        let setup = Setup {
            listeners,
            tables: Tables {
                table: 64,
                rings: 1,
            },
            shard: 0,
            ring_fds: RingFds::default(),
            capabilities: Capabilities::probe().unwrap(),
            counters: Arc::default(),
        };
        let mut two = Two {
            drivers: vec![UringDriver::new(setup).unwrap()],
            address,
            clients: Vec::new(),
        };
        assert_eq!(two.accepted(0), 0, "it arms");
        two.drivers[0].stop_accepting(how);
        assert_eq!(two.accepted_at_last(0), 0);
        assert_eq!(TcpStream::connect(address).is_ok(), lives, "{how:?}");
        if lives {
            assert_eq!(two.accepted(0), 0);
            let (_, peer) = successor.accept().unwrap();
            assert!(peer.as_socket().unwrap().ip().is_loopback());
        }
    }
}
