//! Frames of connections that agreed on permessage-deflate. Rare, so that plain ones pay for one
//! look at a flag.

use super::Shard;
use crate::application::Application;
use crate::connection::input::Need;
use crate::connection::phase::Phase;
use crate::driver::boundary::Driver;
use crate::types::ticket::Ticket;
use shardcast_protocol::deflate;
use shardcast_protocol::reader::{Event, ProtocolError, Role, Step};

impl<A: Application, D: Driver> Shard<A, D> {
    /// Reads one frame, or says what it needs.
    #[cold]
    pub(super) fn frame_of_deflater(
        &mut self,
        ticket: Ticket,
        bytes: &mut [u8],
    ) -> Result<usize, Need> {
        let Some(mut inflation) = self.core.take_inflater(ticket) else {
            return Err(Need::Any);
        };
        let connection = self.core.connections.at(ticket.slot);
        let open = connection.phase == Phase::Open;
        let mut assembly = connection
            .cold
            .as_mut()
            .and_then(|cold| cold.assembly.take());
        let (length, begun) = (bytes.len(), assembly.is_some());
        let step = deflate::next(
            bytes,
            &mut assembly,
            Role::Server,
            &inflation.limits,
            &mut inflation.inflater,
            inflation.own.as_mut(),
        );
        let mut message = None;
        if let Ok(Step::Event {
            event: Event::Assembled,
            ..
        }) = &step
        {
            message = assembly.take().map(|assembly| assembly.finish());
        }
        if assembly.is_some() {
            connection.cold().assembly = assembly;
            if !begun {
                self.watch_message(ticket);
            }
        }
        let used = match step {
            Ok(Step::Incomplete { need }) => Err(Need::Bytes(need)),
            Ok(Step::Event { event, used }) => {
                self.act_on_event(ticket, open, event, message);
                Ok(used)
            }
            Err(error) => {
                let is_bomb = matches!(
                    error,
                    ProtocolError::InflatedTooBig | ProtocolError::InflatedTooMuch
                );
                self.core.counters.refused_bombs.add(u64::from(is_bomb));
                let is_window = error == ProtocolError::NoWindowLeft;
                self.core.counters.refused_windows.add(u64::from(is_window));
                self.core.fail(ticket, error);
                Ok(length)
            }
        };
        self.core.put_inflater(ticket, inflation);
        used
    }
}
