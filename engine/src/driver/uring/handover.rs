//! Listening sockets that are given up while accepts are under way on a further ring: what the
//! tests of the contract cannot know.

use super::*;
use crate::driver::contract::RealDriver;
use crate::driver::contract::handover::Two;

impl RealDriver for UringDriver {
    fn on(listeners: Vec<ListenSocket>) -> UringDriver {
        let (table, rings) = (64, 1);
        driver(listeners, Tables { table, rings })
    }
}

fn driver(listeners: Vec<ListenSocket>, tables: Tables) -> UringDriver {
    let setup = UringSetup {
        listeners,
        tables,
        shard: 0,
        ring_fds: RingFds::default(),
        capabilities: Capabilities::probe().unwrap(),
        counters: Arc::default(),
    };
    UringDriver::new(setup).unwrap()
}

/// Also where accepts are under way on a further ring.
#[test]
fn whoever_goes_on_accepting_gets_every_client() {
    for how in [StopAccept::HandOver, StopAccept::Release] {
        for (table, rings) in [(64, 1), (64, 2)] {
            let mut two = Two::made_by(|listeners| driver(listeners, Tables { table, rings }));
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
