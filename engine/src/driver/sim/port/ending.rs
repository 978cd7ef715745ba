//! A shard that has panicked, as its side of the world sees it. Called by the tests of that.

use super::Port;
use crate::driver::sim::network::Network;

impl Port {
    /// The shard panicked in its tick: leases that it held are gone with it.
    pub(in crate::driver::sim) fn forget_leases(&mut self) {
        self.leases_out = 0;
    }

    /// The driver is gone with all that was accepted. Clients in the backlog wait for the next one.
    pub(in crate::driver::sim) fn end(&mut self, network: &mut Network) {
        for occupant in self.slots.iter().filter_map(|slot| slot.occupant.as_ref()) {
            let socket = &mut network.sockets[occupant.socket_id().0];
            socket.close_by_server(&mut network.random);
            socket.served_by = None;
        }
        let backlog = std::mem::take(&mut self.backlog);
        *self = Port {
            backlog,
            ..Port::new(self.shard, self.slots.len(), self.leases_max)
        };
    }
}
