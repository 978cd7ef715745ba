//! How requests are answered, and connections open: their answers leave, and their time goes on
//! from there. Called by the request phase.

use super::Core;
use crate::connection::phase::{Phase, Step};
use crate::connection::slot::Flags;
use crate::types::ticket::Ticket;
use shardcast_protocol::deflate::Agreement;
use shardcast_protocol::events::{self, Form, Framing};
use shardcast_protocol::http::{self, Answer, Headers};
use shardcast_protocol::upgrade;

impl Core {
    /// Answers a request; the next one has its own time to come.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: &Answer<'_>) {
        let answer = Answer {
            keep_alive_seconds: self.connections.limits.keep_alive_ms / 1_000,
            ..*answer
        };
        self.counters.endings.answered(answer.status);
        self.write(ticket, |out| http::write_answer(out, &answer));
        let connections = &mut self.connections;
        // The answer may have found the outbox full and ended it all.
        if connections.slots.phase(ticket) == Phase::Upgrading {
            let last_activity = connections.activity_now();
            connections.slots.at(ticket.slot).last_activity = last_activity;
            connections.arrivals.begin(ticket.slot, connections.now);
            let limits = &connections.limits;
            let at = connections.now + limits.keep_alive_ms.min(limits.handshake_ms);
            connections.timers.wheel.schedule(ticket.slot, at);
        }
    }

    /// The token of a connection, by which messages are posted to it if it is an event stream.
    /// `None`: there are no streams.
    pub(crate) fn stream_token(&self, ticket: Ticket) -> Option<String> {
        let streams = self.streams.as_ref()?;
        Some(streams.key.token(self.address(ticket)))
    }

    /// Answers with the beginning of an event stream: the connection is open.
    pub(crate) fn open_stream(
        &mut self,
        ticket: Ticket,
        form: Form,
        framing: Framing,
        headers: &Headers,
    ) {
        let token = match form {
            Form::Events => self.stream_token(ticket),
            _ => None,
        };
        self.egress.forms.set(ticket.slot, form);
        let flags = &mut self.connections.slots.at(ticket.slot).flags;
        flags.set(Flags::STREAM);
        if framing == Framing::Chunked {
            flags.set(Flags::CHUNKED);
        }
        self.counters.event_streams.add(1);
        self.open_with(ticket, |out| {
            let token = token.as_deref().unwrap_or_default();
            events::write_opening(out, form, token, framing, headers);
        });
    }

    /// The WebSocket, which has just opened without compression, is sent its messages in a form of
    /// their own.
    pub(crate) fn set_form(&mut self, ticket: Ticket, form: Form) {
        self.egress.forms.set(ticket.slot, form);
        let flags = &mut self.connections.slots.at(ticket.slot).flags;
        flags.set(Flags::ALONE);
    }

    /// Answers 101: the connection is open.
    pub(crate) fn open(
        &mut self,
        ticket: Ticket,
        key: &str,
        subprotocol: Option<&str>,
        agreement: Option<Agreement>,
        headers: &Headers,
    ) {
        self.counters.upgrades.add(1);
        self.open_with(ticket, |out| {
            upgrade::write_accept(out, key, subprotocol, agreement.as_ref(), headers);
        });
        if let Some((agreement, compressing)) = agreement.zip(self.egress.compressing.as_mut()) {
            let flags = &mut self.connections.slots.at(ticket.slot).flags;
            let process = &self.connections.admissions.process;
            compressing.agree(ticket.slot, flags, agreement, process);
        }
    }

    fn open_with(&mut self, ticket: Ticket, fill: impl FnOnce(&mut Vec<u8>)) {
        let connections = &mut self.connections;
        let last_activity = connections.activity_now();
        let connection = connections.slots.at(ticket.slot);
        connections.admissions.leave_phase(connection.phase);
        connection.phase = connection
            .phase
            .after(Step::Upgrade)
            .expect("only a connection that has asked for it opens");
        connection.last_activity = last_activity;
        if let Some(took) = connections.arrivals.open(ticket.slot, connections.now) {
            self.counters.handshake_seconds.record(took * 1_000);
        }
        let encodings = &connections.admissions.process.encodings;
        encodings.add(connection.flags.encoding());
        tracing::trace!(connection = %self.mail.address(ticket), "opened");
        self.write(ticket, fill);
        let connections = &mut self.connections;
        let limits = &connections.limits;
        let at = connections.now + limits.heartbeat_ms.min(limits.idle_ms);
        connections.timers.wheel.schedule(ticket.slot, at);
    }
}
