//! Frames of connections that agreed on permessage-deflate. Rare, so that plain connections pay for
//! one look at a flag.

use super::Shard;
use crate::application::Application;
use crate::connection::input::Need;
use crate::driver::boundary::Driver;
use crate::types::ticket::Ticket;
use shardcast_protocol::deflate;
use shardcast_protocol::reader::Role;

impl<A: Application, D: Driver> Shard<A, D> {
    /// Reads one frame, or returns what it needs.
    #[cold]
    pub(super) fn frame_of_deflater(
        &mut self,
        ticket: Ticket,
        bytes: &mut [u8],
    ) -> Result<usize, Need> {
        let core = &mut self.core;
        let connection = core.connections.slots.at(ticket.slot);
        let message_bytes_max =
            core.connections.limits.message_bytes_max[usize::from(connection.listener)];
        let Some(compressing) = &mut core.egress.compressing else {
            return Err(Need::Any);
        };
        let mut inflation =
            compressing.take_inflater(ticket.slot, connection.flags, message_bytes_max);
        let used = self.read_frame(ticket, bytes, |bytes, assembly| {
            deflate::next(
                bytes,
                assembly,
                Role::Server,
                &inflation.limits,
                &mut inflation.inflater,
                inflation.own.as_mut(),
            )
        });
        let core = &mut self.core;
        if let Some(compressing) = &mut core.egress.compressing {
            let flags = &mut core.connections.slots.at(ticket.slot).flags;
            compressing.put_inflater(ticket.slot, flags, inflation, &core.counters);
        }
        used
    }
}
