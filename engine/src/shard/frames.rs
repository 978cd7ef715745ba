//! Frames to messages and closes: decoded in place, or collected where a large message will stand.
//! Called by the intake, for every frame.

use super::Shard;
use crate::application::Application;
use crate::connection::input::Need;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::driver::boundary::{Driver, Millis};
use crate::types::frame::Message;
use crate::types::ticket::Ticket;
use shardcast_protocol::frame::{Kind, OpCode};
use shardcast_protocol::reader::{
    self, Assembly, FrameEvent, ProtocolError, ReadLimits, Role, Step,
};

impl<A: Application, D: Driver> Shard<A, D> {
    /// Reads one frame, or returns what it needs.
    pub(super) fn frame(&mut self, ticket: Ticket, bytes: &mut [u8]) -> Result<usize, Need> {
        let connection = self.core.connections.slots.at(ticket.slot);
        if connection.flags.has(Flags::READ_APART) {
            return if connection.flags.has(Flags::PIECES) {
                self.piece(ticket, bytes)
            } else {
                self.frame_of_deflater(ticket, bytes)
            };
        }
        let limits = ReadLimits {
            message_bytes_max: self.core.connections.limits.message_bytes_max
                [connection.listener as usize],
        };
        self.read_frame(ticket, bytes, |bytes, assembly| {
            reader::next(bytes, assembly, Role::Server, &limits)
        })
    }

    /// Reads one frame with `next`, which knows whether messages are compressed: takes the
    /// connection's assembly out, puts back what is left of it, and acts on what the frame meant.
    #[inline(always)] // Once per frame; `next` differs by call.
    pub(super) fn read_frame<'b>(
        &mut self,
        ticket: Ticket,
        bytes: &'b mut [u8],
        next: impl FnOnce(&'b mut [u8], &mut Option<Box<Assembly>>) -> Result<Step<'b>, ProtocolError>,
    ) -> Result<usize, Need> {
        let connection = self.core.connections.slots.at(ticket.slot);
        let open = connection.phase == Phase::Open;
        let mut assembly = connection
            .cold
            .as_mut()
            .and_then(|cold| cold.assembly.take());
        let length = bytes.len();
        let begun = assembly.as_deref().map(Begun::of).unwrap_or_default();
        let step = next(bytes, &mut assembly);
        let mut message = None;
        if let Ok(Step::Event {
            event: FrameEvent::Assembled,
            ..
        }) = &step
        {
            message = assembly.take().map(|assembly| assembly.finish());
        } else if let Some(assembly) = assembly {
            let now = Begun::of(&assembly);
            connection.cold().assembly = Some(assembly);
            if now != begun {
                self.watch_begun(ticket, begun, now);
            }
        }
        let (event, used) = match step {
            Ok(Step::Incomplete { need }) => return Err(Need::Bytes(need)),
            Ok(Step::Event { event, used }) => (event, used),
            Err(error) => {
                self.core.close_for_error(ticket, error);
                return Ok(length);
            }
        };
        self.act_on_event(ticket, open, event, message);
        Ok(used)
    }

    /// A message goes on: what has begun with this frame has its time from now.
    #[cold]
    fn watch_begun(&mut self, ticket: Ticket, before: Begun, now: Begun) {
        if now.message && !before.message {
            self.watch_message(ticket);
        }
        if now.frame && !before.frame {
            self.watch_input(ticket);
        }
    }

    /// The header of the frame at hand came earlier than the rest of it: so did the frame.
    #[cold]
    pub(super) fn keep_time(&mut self, ticket: Ticket, since: Millis) {
        let connection = self.core.connections.slots.get(ticket);
        if let Some(cold) = connection.and_then(|connection| connection.cold.as_mut())
            && cold.is_in_frame()
        {
            cold.input_since = since;
        }
    }

    /// Acts on what a frame meant. Only the messages of an open connection reach the application.
    #[inline(always)] // Once per message.
    fn act_on_event(
        &mut self,
        ticket: Ticket,
        open: bool,
        event: FrameEvent<'_>,
        message: Option<(Kind, Vec<u8>)>,
    ) {
        match event {
            FrameEvent::Close(close) => self.core.peer_closed(ticket, close.code),
            FrameEvent::Text(text) if open => self.message(ticket, Message::Text(text)),
            FrameEvent::Binary(bytes) if open => self.message(ticket, Message::Binary(bytes)),
            FrameEvent::Ping(payload) if open => self.core.control(ticket, OpCode::Pong, payload),
            FrameEvent::Assembled if open => self.own_message(ticket, message),
            FrameEvent::Text(_)
            | FrameEvent::Binary(_)
            | FrameEvent::Ping(_)
            | FrameEvent::Assembled
            | FrameEvent::Fragment
            | FrameEvent::Pong(_) => {}
        }
    }

    pub(super) fn message(&mut self, ticket: Ticket, message: Message<'_>) {
        self.core.counters.messages_in.add(1);
        self.call(ticket, Some(message), |application, context, session| {
            application.message(context, session, message);
        });
    }
}

/// What of a message in progress has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Begun {
    /// More fragments follow.
    message: bool,
    /// A frame that goes on.
    frame: bool,
}

impl Begun {
    fn of(assembly: &Assembly) -> Begun {
        Begun {
            message: assembly.is_fragmented(),
            frame: assembly.is_in_frame(),
        }
    }
}
