//! Messages in pieces, for connections whose application took them so: what arrived is handed on at
//! once and never kept.

use super::Shard;
use crate::application::Application;
use crate::connection::input::Need;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::driver::boundary::Driver;
use crate::types::ticket::Ticket;
use shardcast_protocol::frame::OpCode;
use shardcast_protocol::pieces::{Piece, PieceEvent, PieceStep};
use shardcast_protocol::reader::{ReadLimits, Role};

impl<A: Application, D: Driver> Shard<A, D> {
    /// Reads one piece or control frame, or returns what it needs.
    pub(super) fn piece(&mut self, ticket: Ticket, bytes: &mut [u8]) -> Result<usize, Need> {
        let connection = self.core.connections.slots.at(ticket.slot);
        debug_assert!(connection.flags.has(Flags::PIECES));
        let limits = ReadLimits {
            message_bytes_max: self.core.connections.limits.message_bytes_max
                [connection.listener as usize],
        };
        let open = connection.phase == Phase::Open;
        let length = bytes.len();
        let kept = connection.cold.as_mut();
        let mut pieces = kept
            .map(|cold| std::mem::take(&mut cold.pieces))
            .unwrap_or_default();
        let (was_idle, was_in_frame) = (pieces.is_idle(), pieces.is_in_frame());
        let step = pieces.next(bytes, Role::Server, &limits);
        let begins_message = was_idle && !pieces.is_idle();
        let begins_frame = !was_in_frame && pieces.is_in_frame();
        if !pieces.is_idle() {
            connection.cold().pieces = pieces;
        }
        if begins_message {
            self.watch_message(ticket);
        }
        if begins_frame {
            self.watch_input(ticket);
        }
        let (event, used) = match step {
            Ok(PieceStep::Incomplete { need }) => return Err(Need::Bytes(need)),
            Ok(PieceStep::Event { event, used }) => (event, used),
            Err(error) => {
                self.core.close_for_error(ticket, error);
                return Ok(length);
            }
        };
        match event {
            PieceEvent::Close(close) => self.core.peer_closed(ticket, close.code),
            PieceEvent::Piece(piece) if open => self.hand_on(ticket, piece),
            PieceEvent::Ping(payload) if open => self.core.control(ticket, OpCode::Pong, payload),
            PieceEvent::Piece(_) | PieceEvent::Ping(_) | PieceEvent::Pong(_) => {}
        }
        Ok(used)
    }

    fn hand_on(&mut self, ticket: Ticket, piece: Piece<'_>) {
        self.core.counters.messages_in.add(u64::from(piece.last));
        self.call(ticket, None, |application, context, session| {
            application.piece(context, session, piece);
        });
    }
}
