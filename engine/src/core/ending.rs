//! How connections end. `close` gives the reason in a close frame, `refuse` answers a request with
//! an HTTP status and reads no further one, `abort` writes nothing more, `evict` closes a
//! connection that takes more than its share, and `retire` has the driver close the socket. Cleanup
//! happens in one place, [`Core::step`], on the one step out of the open state.

use super::Core;
use crate::connection::Stepped;
use crate::connection::pending::Ended;
use crate::connection::phase::{Phase, Step};
use crate::connection::slot::Flags;
use crate::egress::tls::fault::Fault;
use crate::types::close_reason::CloseReason;
use crate::types::ticket::Ticket;
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::frame;
use shardcast_protocol::http::{self, Answer, Headers};
use shardcast_protocol::reader::ProtocolError;

impl Core {
    /// Starts the close handshake of an open connection; what is pending for it leaves first.
    /// Otherwise nothing happens.
    pub(crate) fn close(
        &mut self,
        ticket: Ticket,
        code: CloseCode,
        text: &str,
        reason: CloseReason,
    ) {
        if self.connections.slots.phase(ticket) != Phase::Open {
            return;
        }
        // An event stream ends with its last event: nobody answers it, and its end is the
        // connection's.
        let is_stream = self
            .connections
            .slots
            .at(ticket.slot)
            .flags
            .has(Flags::STREAM);
        let step = if is_stream { Step::Refuse } else { Step::Close };
        self.step(ticket, step, reason);
        self.write_close(ticket, code, text, reason);
        if is_stream {
            self.connections.pending_work.finish.push(ticket);
        }
    }

    /// The peer's close frame came: answer it, unless ours went out before, and let go. Clauses
    /// 6455-5.5.1-4, 6455-5.5.1-6.
    pub(crate) fn peer_closed(&mut self, ticket: Ticket, code: Option<CloseCode>) {
        let before = self.connections.slots.phase(ticket);
        self.step(ticket, Step::PeerClose, CloseReason::Peer(code));
        if before == Phase::Open {
            self.counters.endings.peer_closed(code);
            self.write_last(ticket, |out| frame::write_close(out, code, ""));
        }
        self.connections.pending_work.finish.push(ticket);
    }

    /// The peer broke the protocol.
    pub(crate) fn close_for_error(&mut self, ticket: Ticket, error: ProtocolError) {
        self.counters.closed_protocol.add(1);
        match error {
            ProtocolError::InflatedTooBig | ProtocolError::InflatedTooMuch => {
                self.counters.refused_bombs.add(1);
            }
            ProtocolError::NoWindowLeft => self.counters.refused_windows.add(1),
            _ => {}
        }
        let (code, reason) = (error.close_code(), CloseReason::Protocol(error));
        self.close_at_once(ticket, code, &error.to_string(), reason);
    }

    /// Ends a connection that asked for more memory than the shard has left for unfinished input.
    pub(crate) fn evict_over_budget(&mut self, ticket: Ticket) {
        const TEXT: &str = "out of memory, try again later";
        self.counters.closed_budget.add(1);
        let phase = self.connections.slots.phase(ticket);
        if matches!(phase, Phase::Upgrading | Phase::Authenticating) {
            self.refuse(ticket, 503, TEXT);
        } else {
            self.close_at_once(ticket, CloseCode::TRY_LATER, TEXT, CloseReason::OverBudget);
        }
    }

    /// Sends a close frame and reads nothing more: the peer's answer is not awaited.
    pub(crate) fn close_at_once(
        &mut self,
        ticket: Ticket,
        code: CloseCode,
        text: &str,
        reason: CloseReason,
    ) {
        let before = self.connections.slots.phase(ticket);
        self.step(ticket, Step::Refuse, reason);
        if before == Phase::Open {
            self.write_close(ticket, code, text, reason);
        }
        self.connections.pending_work.finish.push(ticket);
    }

    /// The last frame of an open connection, in the words of its protocol.
    fn write_close(&mut self, ticket: Ticket, code: CloseCode, text: &str, reason: CloseReason) {
        let (code, text) = (self.meaning.closing)(
            self.connections.slots.encoding(ticket.slot),
            reason,
            code,
            text,
        );
        self.counters.endings.closed(code);
        self.write_last(ticket, |out| frame::write_close(out, Some(code), text));
    }

    /// Answers a request with an HTTP refusal, after which nothing is read.
    pub(crate) fn refuse(&mut self, ticket: Ticket, status: u16, reason: &str) {
        self.refuse_with(ticket, status, reason, &Headers::new());
    }

    /// The same with headers of the application's.
    pub(crate) fn refuse_with(
        &mut self,
        ticket: Ticket,
        status: u16,
        reason: &str,
        headers: &Headers,
    ) {
        if self.step(ticket, Step::Refuse, CloseReason::Lost) {
            self.counters.endings.answered(status);
            self.write(ticket, |out| {
                http::write_refusal(out, status, reason, headers);
            });
            self.connections.pending_work.finish.push(ticket);
        }
    }

    /// Answers a request, after which nothing is read.
    pub(crate) fn answer_last(&mut self, ticket: Ticket, answer: &Answer<'_>) {
        if self.step(ticket, Step::Refuse, CloseReason::Lost) {
            self.counters.endings.answered(answer.status);
            self.write(ticket, |out| http::write_answer(out, answer));
            self.connections.pending_work.finish.push(ticket);
        }
    }

    /// Reads no further request and answers none; the answers to those before leave first.
    pub(crate) fn abort_requests(&mut self, ticket: Ticket) {
        let connection = self.connections.slots.at(ticket.slot);
        if connection
            .exchange()
            .is_none_or(|exchange| exchange.answered == 0)
        {
            self.retire(ticket);
        } else if self.step(ticket, Step::Refuse, CloseReason::Lost) {
            self.connections.pending_work.finish.push(ticket);
        }
    }

    /// Writes nothing more to the peer, and reads nothing more from it; what is pending leaves
    /// first.
    fn abort(&mut self, ticket: Ticket) {
        self.step(ticket, Step::Refuse, CloseReason::Lost);
        self.connections.pending_work.finish.push(ticket);
    }

    /// Closes a connection whose outbox is full: code 1008 leaves behind what waits already, and
    /// the peer has until the close deadline to read it.
    pub(crate) fn evict_slow(&mut self, ticket: Ticket) {
        if self.connections.slots.phase(ticket) == Phase::Open {
            self.counters.closed_slow.add(1);
            self.close(
                ticket,
                CloseCode::POLICY,
                "too slow",
                CloseReason::SlowReader,
            );
        } else {
            self.retire(ticket);
        }
    }

    /// Has the driver close a connection that is lost, or that has nothing left to flush.
    pub(crate) fn retire(&mut self, ticket: Ticket) {
        self.retire_for(ticket, CloseReason::Lost);
    }

    /// Ends the connection without another word.
    pub(crate) fn retire_for(&mut self, ticket: Ticket, reason: CloseReason) {
        if !self.step(ticket, Step::Retire, reason) {
            return;
        }
        let record_bytes = self.egress.forget(&self.connections, ticket);
        self.connections.let_go(ticket, record_bytes);
    }

    /// Counts what the connection holds by now. One that asks for more than the shard's budget has
    /// left is turned away.
    pub(crate) fn account_input(&mut self, ticket: Ticket) {
        if self.connections.account_input(ticket).is_err() {
            self.evict_over_budget(ticket);
        }
    }

    /// The same for what its TLS session keeps. It is closed without an alert: rustls would have to
    /// see what is kept to write one.
    pub(crate) fn account_records(&mut self, ticket: Ticket) {
        let counted = self.egress.account_records(&mut self.connections, ticket);
        if counted.is_err() {
            self.counters.closed_budget.add(1);
            self.retire(ticket);
        }
    }

    /// The peer broke TLS: the alert leaves, and nothing more is read.
    pub(crate) fn fail_tls(&mut self, ticket: Ticket, fault: &Fault) {
        let (shard, slot) = (self.mail.shard(), ticket.slot);
        tracing::debug!(shard, slot, %fault, "TLS failed");
        let count = match self.connections.slots.phase(ticket) {
            Phase::Upgrading | Phase::Authenticating => &self.counters.tls_handshakes_failed,
            _ => &self.counters.closed_protocol,
        };
        count.add(1);
        self.egress.append_records(&mut self.connections, ticket);
        self.abort(ticket);
    }

    /// Takes a step if the phase allows it. Leaving the open state is the one place where a
    /// connection is cleaned up.
    fn step(&mut self, ticket: Ticket, step: Step, reason: CloseReason) -> bool {
        let Some(Stepped { before, now }) = self.connections.step(ticket, step) else {
            return false;
        };
        let connection = self.address(ticket);
        tracing::trace!(%connection, from = ?before, to = ?now, "phase");
        if before == Phase::Open {
            tracing::trace!(%connection, ?reason, "ended");
            let Core {
                topics,
                connections,
                mail,
                ..
            } = self;
            // Nobody else would: what is left of its input is read for the peer's close.
            if !connections.pauses.is_empty() {
                connections.pauses.release(ticket, connections.now);
            }
            let rooms = topics.leave_all(&mut connections.slots, mail, ticket, reason);
            let ended = Ended {
                ticket,
                reason,
                rooms,
            };
            self.connections.pending_work.ended.push(ended);
        }
        true
    }

    /// The user that a connection wanted to be has as many as it may have.
    pub(crate) fn close_for_too_many(&mut self, who: Ticket) {
        const TEXT: &str = "this user has as many connections as it may have";
        self.counters.closed_too_many.add(1);
        let code = CloseCode::TOO_MANY_CONNECTIONS;
        self.close(who, code, TEXT, CloseReason::Application(code));
    }
}
