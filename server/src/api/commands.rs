//! Commands of the Centrifuge protocol on their way to the handlers that all dialects share.
//!
//! Invariant: nothing is done before the first command, and nothing after one that ends the
//! connection. Called by the service.

use crate::api::service::Service;
use crate::centrifuge::connection::{answer, connect, end, is_connected, refuse};
use crate::limits::check;
use crate::session::context::Session;
use shardcast_engine::Context as Engine;
use shardcast_protocol::dialect::centrifuge::{
    CentrifugeRequest, Commands, Disconnect, Instruction, Refusal,
};
use shardcast_protocol::dialect::{Command, Reply, Request};

impl Service {
    /// All commands of a message, in the order sent.
    pub(in crate::api) fn take_commands(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        commands: Commands<'_>,
        bytes: usize,
    ) {
        let mut bytes = bytes;
        for instruction in commands {
            match instruction {
                Ok(instruction) => {
                    // The message counts once, and each of its commands.
                    let bytes = std::mem::take(&mut bytes);
                    self.instruct(cx, session, instruction, bytes);
                }
                Err(bad) => cx.close(Disconnect::BAD_REQUEST.code(), &bad.to_string()),
            }
            if !cx.is_open() {
                return;
            }
        }
    }

    fn instruct(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        asked: Instruction<'_>,
        bytes: usize,
    ) {
        let asked = match self.within_limits(cx, session, asked, bytes) {
            Some(asked) => asked,
            None => return,
        };
        match asked {
            Instruction::Connect(id, asked) if !is_connected(session) => {
                connect(cx, session, &self.shared, id, &asked);
            }
            _ if !is_connected(session) => end(cx, Disconnect::BAD_REQUEST),
            Instruction::Connect(..) => end(cx, Disconnect::BAD_REQUEST),
            Instruction::Pong => {
                if !cx.take_heartbeat_answer() {
                    end(cx, Disconnect::BAD_REQUEST);
                }
            }
            Instruction::Command(command) => match command.id {
                Some(id) if !self.is_handled(&command) => {
                    refuse(cx, session, id, Refusal::NotAvailable);
                }
                Some(_) | None => self.command(cx, session, &command, None),
            },
            Instruction::Send(command) if !self.is_handled(&command) => {
                end(cx, Disconnect::NOT_AVAILABLE);
            }
            Instruction::Send(command) => self.command(cx, session, &command, None),
            Instruction::Refresh(id, _)
            | Instruction::SubRefresh { id, .. }
            | Instruction::Unavailable(id) => refuse(cx, session, id, Refusal::NotAvailable),
        }
    }

    fn is_handled(&mut self, command: &Command<'_>) -> bool {
        self.table.current().find(&command.request).is_some()
    }

    /// What may be asked by the limits; what is too much is answered. Who unsubscribes, or answers
    /// a ping, may always.
    fn within_limits<'b>(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        asked: Instruction<'b>,
        bytes: usize,
    ) -> Option<Instruction<'b>> {
        if self.state.limiter.is_none() {
            return Some(asked);
        }
        let limited = check::message(&mut self.context(cx, session), 1, bytes);
        let (problem, asked) = match (limited, asked) {
            (Ok(()), asked) => return Some(asked),
            (Err(problem), asked) => (problem, asked),
        };
        let id = match asked {
            Instruction::Pong => return Some(asked),
            Instruction::Command(Command {
                request: Request::Centrifuge(CentrifugeRequest::Unsubscribe { .. }),
                ..
            }) => return Some(asked),
            Instruction::Command(command) => command.id,
            Instruction::Send(_) => None,
            Instruction::Connect(id, _)
            | Instruction::Refresh(id, _)
            | Instruction::SubRefresh { id, .. }
            | Instruction::Unavailable(id) => Some(id),
        };
        if let Some(id) = id {
            answer(cx, session, id, &Reply::Error(&problem));
        }
        None
    }
}
