//! Commands of the Centrifuge protocol on their way to the handlers that all dialects share.
//!
//! Invariant: nothing is done before the first command, and nothing after one that ends the
//! connection. Called by the service.

use crate::api::service::Service;
use crate::centrifuge::answers::{call, end};
use crate::centrifuge::connection::{connect, hold, refresh, stage, take_held};
use crate::centrifuge::requests;
use crate::dispatch::{debug, guard};
use crate::limits::check;
use crate::session::centrifuge::ConnectStage;
use crate::session::context::{Context, Session};
use crate::session::guarded::RequestState;
use crate::session::muting::dialect_of;
use shardcast_engine::Context as Engine;
use shardcast_protocol::dialect::centrifuge::{
    CentrifugeRequest, Commands, ConnectCommand, Disconnect, Instruction, Refusal, connect_command,
};
use shardcast_protocol::dialect::{Command, Decoded, Dialect, Id, Payload, Reply, Request};
use shardcast_protocol::events::Form;

impl Service {
    /// All commands of a message, in the order sent.
    pub(in crate::api) fn take_commands(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        commands: Commands<'_>,
        bytes: usize,
    ) {
        if cx.form().is_some_and(Form::is_unidirectional) {
            return self.take_request(cx, session, commands.rest());
        }
        self.take_each(cx, session, commands, bytes);
    }

    /// The one message of a client that asks for nothing: the request of its first command. What
    /// else it says is not heard.
    #[cold]
    fn take_request(&mut self, cx: &mut Engine<'_>, session: &mut Session, request: &[u8]) {
        if stage(session) != ConnectStage::Awaited {
            return;
        }
        let command = connect_command(request);
        let rules = self.shared.rules;
        if let Ok(text) = str::from_utf8(&command)
            && let Decoded::Commands(commands) =
                Dialect::CentrifugeJson.read(Payload::Text(text), &rules)
        {
            self.take_each(cx, session, commands, command.len());
        }
    }

    fn take_each(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        mut commands: Commands<'_>,
        bytes: usize,
    ) {
        let mut bytes = bytes;
        loop {
            if stage(session) == ConnectStage::UnderWay {
                if let Err(disconnect) = hold(cx, session, &self.state, commands.rest()) {
                    end(cx, disconnect);
                }
                return;
            }
            let rest = commands.rest();
            match commands.next() {
                None => return,
                Some(Ok(Instruction::Connect(id, asked)))
                    if stage(session) == ConnectStage::Awaited =>
                {
                    self.connect(cx, session, id, &asked);
                    if stage(session) == ConnectStage::Awaited {
                        // It was refused: nobody serves what comes behind.
                        return;
                    }
                }
                Some(Ok(instruction)) => {
                    // The message counts once, and each of its commands.
                    let bytes = std::mem::take(&mut bytes);
                    if self.instruct(cx, session, instruction, bytes) == RequestState::Held {
                        return session.keep(&self.state.held_bytes, rest, 0, None);
                    }
                }
                Some(Err(bad)) => cx.close(Disconnect::BAD_REQUEST.code(), &bad.to_string()),
            }
            if !cx.is_open() {
                return;
            }
        }
    }

    /// What was held while the first command was under way.
    pub(in crate::api) fn take_held(&mut self, cx: &mut Engine<'_>, session: &mut Session) {
        let Some(held) = take_held(session) else {
            return;
        };
        let dialect = dialect_of(cx, session);
        let payload = match dialect {
            Dialect::CentrifugeJson => str::from_utf8(&held).map(Payload::Text),
            _ => Ok(Payload::Binary(&held)),
        };
        let rules = self.shared.rules;
        if let Ok(payload) = payload
            && let Decoded::Commands(commands) = dialect.read(payload, &rules)
        {
            self.take_commands(cx, session, commands, held.len());
        }
    }

    fn connect(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        id: Id<'_>,
        asked: &ConnectCommand<'_>,
    ) {
        let mut context = self.asked(cx, session, id);
        let was_awaited = context.is_awaited();
        connect(&mut context, asked);
        self.greet_late(cx, session, was_awaited);
    }

    /// A call on the shard that answers this command.
    fn asked<'c>(
        &'c mut self,
        cx: &'c mut Engine<'_>,
        session: &'c mut Session,
        id: Id<'c>,
    ) -> Context<'c> {
        let call = Some(call(id));
        Context::new(cx.reborrow(), session, &mut self.state, &self.shared, call)
    }

    fn instruct(
        &mut self,
        cx: &mut Engine<'_>,
        session: &mut Session,
        asked: Instruction<'_>,
        bytes: usize,
    ) -> RequestState {
        let asked = match self.within_limits(cx, session, asked, bytes) {
            Some(asked) => asked,
            None => return RequestState::Done,
        };
        match asked {
            _ if stage(session) != ConnectStage::Connected => end(cx, Disconnect::BAD_REQUEST),
            Instruction::Connect(..) => end(cx, Disconnect::BAD_REQUEST),
            Instruction::Pong => {
                if !cx.take_heartbeat_answer() {
                    end(cx, Disconnect::BAD_REQUEST);
                }
            }
            Instruction::Command(command) => match command.id {
                Some(id) if !self.is_handled(&command) => {
                    self.log_asked(cx, session, &command);
                    requests::refuse(&mut self.asked(cx, session, id), Refusal::NotAvailable);
                }
                Some(_) | None => return self.command(cx, session, &command, None),
            },
            Instruction::Send(command) if !self.is_handled(&command) => {
                end(cx, Disconnect::NOT_AVAILABLE);
            }
            Instruction::Send(command) => return self.command(cx, session, &command, None),
            Instruction::Refresh(id, token) => {
                let mut context = self.asked(cx, session, id);
                debug::refreshes(&context, None, &token);
                refresh(&mut context, &token);
            }
            Instruction::SubRefresh { id, channel, token } => {
                let mut context = self.asked(cx, session, id);
                debug::refreshes(&context, Some(&*channel), &token);
                requests::refresh(&mut context, &channel, &token);
            }
            Instruction::Unavailable(id) => {
                requests::refuse(&mut self.asked(cx, session, id), Refusal::NotAvailable);
            }
            Instruction::BadFilter(id, fault) => {
                let problem = requests::problem_of(fault);
                self.asked(cx, session, id).answer(&Reply::Error(&problem));
            }
        }
        RequestState::Done
    }

    /// Logs a command that nobody handles, where it is debugged.
    fn log_asked(&mut self, cx: &mut Engine<'_>, session: &mut Session, command: &Command<'_>) {
        if self.shared.debugging.is_on() {
            debug::asked(&self.context(cx, session), command);
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
        // What has been decided about was within them before.
        if self.state.limiter.is_none() || guard::is_decided(session) {
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
            Instruction::Command(command) => {
                self.log_asked(cx, session, &command);
                command.id
            }
            Instruction::Send(command) => {
                self.log_asked(cx, session, &command);
                None
            }
            Instruction::Connect(id, _)
            | Instruction::Refresh(id, _)
            | Instruction::SubRefresh { id, .. }
            | Instruction::Unavailable(id)
            | Instruction::BadFilter(id, _) => Some(id),
        };
        if let Some(id) = id {
            self.asked(cx, session, id).answer(&Reply::Error(&problem));
        }
        None
    }
}
