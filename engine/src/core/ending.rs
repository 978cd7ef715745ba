//! How connections end. `close` gives the reason in a close frame, `refuse` answers a request with
//! an HTTP status and reads no further one, `abort` writes nothing more, `evict` closes a
//! connection that takes more than its share, and `retire` has the driver close the socket. Cleanup
//! happens in one place, [`Core::leave_all`], on the one step out of the open state.

use super::{Core, Ended};
use crate::connection::membership::{MemberPlace, Membership};
use crate::connection::phase::{Phase, Step};
use crate::connection::slot::Flags;
use crate::message::request::ShardRequest;
use crate::topic::key::{TopicKey, TopicKind};
use crate::types::close_reason::CloseReason;
use crate::types::ticket::Ticket;
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::frame;
use shardcast_protocol::http::{self, Answer, Headers};
use shardcast_protocol::reader::ProtocolError;
use std::sync::Arc;

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
        if self.connections.phase(ticket) != Phase::Open {
            return;
        }
        // An event stream ends with its last event: nobody answers it, and its end is the
        // connection's.
        let is_stream = self.connections.at(ticket.slot).flags.has(Flags::STREAM);
        let step = if is_stream { Step::Refuse } else { Step::Close };
        self.step(ticket, step, reason);
        self.write_close(ticket, code, text, reason);
        if is_stream {
            self.pending_work.finish.push(ticket);
        }
    }

    /// The peer's close frame came: answer it, unless ours went out before, and let go. Clauses
    /// 6455-5.5.1-4, 6455-5.5.1-6.
    pub(crate) fn peer_closed(&mut self, ticket: Ticket, code: Option<CloseCode>) {
        let before = self.connections.phase(ticket);
        self.step(ticket, Step::PeerClose, CloseReason::Peer(code));
        if before == Phase::Open {
            self.write_last(ticket, |out| frame::write_close(out, code, ""));
        }
        self.pending_work.finish.push(ticket);
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
        let phase = self.connections.phase(ticket);
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
        let before = self.connections.phase(ticket);
        self.step(ticket, Step::Refuse, reason);
        if before == Phase::Open {
            self.write_close(ticket, code, text, reason);
        }
        self.pending_work.finish.push(ticket);
    }

    /// The last frame of an open connection, in the words of its protocol.
    fn write_close(&mut self, ticket: Ticket, code: CloseCode, text: &str, reason: CloseReason) {
        let (code, text) = (self.meaning.closing)(self.encoding(ticket), reason, code, text);
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
            self.write(ticket, |out| {
                http::write_refusal(out, status, reason, headers);
            });
            self.pending_work.finish.push(ticket);
        }
    }

    /// Answers a request, after which nothing is read.
    pub(crate) fn answer_last(&mut self, ticket: Ticket, answer: &Answer<'_>) {
        if self.step(ticket, Step::Refuse, CloseReason::Lost) {
            self.write(ticket, |out| http::write_answer(out, answer));
            self.pending_work.finish.push(ticket);
        }
    }

    /// Reads no further request and answers none; the answers to those before leave first.
    pub(crate) fn abort_requests(&mut self, ticket: Ticket) {
        let connection = self.connections.at(ticket.slot);
        if connection
            .exchange()
            .is_none_or(|exchange| exchange.answered == 0)
        {
            self.retire(ticket);
        } else if self.step(ticket, Step::Refuse, CloseReason::Lost) {
            self.pending_work.finish.push(ticket);
        }
    }

    /// Writes nothing more to the peer, and reads nothing more from it; what is pending leaves
    /// first.
    pub(super) fn abort(&mut self, ticket: Ticket) {
        self.step(ticket, Step::Refuse, CloseReason::Lost);
        self.pending_work.finish.push(ticket);
    }

    /// Closes a connection whose outbox is full: code 1008 leaves behind what waits already, and
    /// the peer has until the close deadline to read it.
    pub(crate) fn evict_slow(&mut self, ticket: Ticket) {
        if self.connections.phase(ticket) == Phase::Open {
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
        self.timers.cancel(ticket);
        let mut held_bytes = self.tls.forget(ticket.slot);
        let connection = self.connections.at(ticket.slot);
        if let Some(cold) = connection.cold.take() {
            self.counters.outbox_bytes.sub(cold.outbox.bytes() as u64);
            held_bytes += cold.counted_bytes;
        }
        self.budget.release(held_bytes);
        self.counters.reassembly_bytes.set(self.budget.used());
        if connection.flags.has(Flags::BACKLOG) {
            connection.flags.clear(Flags::BACKLOG);
            self.counters.outboxes.sub(1);
        }
        // What is pending for it in this turn has nowhere to go.
        let at = connection.transmit;
        self.outgoing
            .remainder(ticket, at, usize::MAX, &mut Vec::new());
        self.pending_work.retire.push(ticket);
    }

    /// Takes a step if the phase allows it. Leaving the open state is the one place where a
    /// connection is cleaned up.
    fn step(&mut self, ticket: Ticket, step: Step, reason: CloseReason) -> bool {
        let Some(connection) = self.connections.get(ticket) else {
            return false;
        };
        let Some(next) = connection.phase.after(step) else {
            return false;
        };
        let before = std::mem::replace(&mut connection.phase, next);
        let exchange = connection.exchange();
        let is_undecided = exchange.is_some_and(|exchange| exchange.deferred.is_some());
        let connection = self.address(ticket);
        tracing::trace!(%connection, from = ?before, to = ?next, "phase");
        self.admissions.leave_phase(before);
        // A decision takes what was deferred out of there before it ends the wait.
        if before == Phase::Authenticating && is_undecided {
            self.pending_work.abandoned.push(ticket);
        }
        if before == Phase::Open {
            tracing::trace!(%connection, ?reason, "ended");
            let encodings = &self.admissions.process.encodings;
            encodings.remove(self.encoding(ticket));
            let rooms = self.leave_all(ticket, reason.may_return());
            self.pending_work.ended.push(Ended {
                ticket,
                reason,
                rooms,
            });
        }
        if matches!(next, Phase::Flushing | Phase::Lingering) {
            self.drop_input(ticket);
        }
        if matches!(next, Phase::Closing | Phase::Flushing | Phase::Lingering) {
            self.timers
                .wheel
                .schedule(ticket.slot, self.now + self.limits.close_ms);
        }
        true
    }

    /// Leaves every room in one step: no delivery reaches the connection afterwards, and each home
    /// hears of it in one message. The rooms.
    fn leave_all(&mut self, ticket: Ticket, may_return: bool) -> Vec<Arc<str>> {
        let memberships = self.connections.take_memberships(ticket.slot);
        let mut left = Vec::new();
        let mut topics_by_home: Vec<(u16, Vec<TopicKey>)> = Vec::new();
        for membership in memberships.as_slice() {
            if membership.wanted {
                let key = self.topics.local.key(membership.subscribers).clone();
                let home = self.mail.home(Some(key.topic()));
                if membership.kind == TopicKind::Room {
                    left.push(key.name().clone());
                }
                match topics_by_home.iter_mut().find(|(shard, _)| *shard == home) {
                    Some((_, topics)) => topics.push(key),
                    None => topics_by_home.push((home, vec![key])),
                }
            }
            self.topics
                .cursors
                .remove(ticket.slot, membership.subscribers);
            self.remove_member(*membership);
            self.topics.local.release(membership.subscribers);
        }
        let (who, encoding) = (self.address(ticket), self.encoding(ticket));
        for (home, topics) in topics_by_home {
            self.mail.request(
                home,
                ShardRequest::LeaveAll {
                    topics,
                    who,
                    encoding,
                    may_return,
                },
            );
        }
        left
    }

    /// Room for members below which unused room is not worth a copy: 8 KiB.
    const MEMBERS_SLACK_MAX: usize = 1024;

    /// Takes a member out of its topic's subscribers; the member that takes its place learns its
    /// new position.
    pub(super) fn remove_member(&mut self, membership: Membership) {
        let subscribers = self.topics.local.subscribers(membership.subscribers);
        let (members, index) = match (membership.place(), &mut subscribers.log) {
            (MemberPlace::Outside, _) => return,
            (MemberPlace::Member(index), _) => (&mut subscribers.members, index),
            (MemberPlace::Behind(index), Some(log)) => (&mut log.behind, index),
            (MemberPlace::Behind(_), None) => unreachable!("only who reads a log is behind"),
        };
        members.swap_remove(index);
        // What a crowd needed goes as it leaves; each member is moved at most once for every time
        // that as many left.
        if members.capacity() > Self::MEMBERS_SLACK_MAX && members.capacity() > 4 * members.len() {
            members.shrink_to(2 * members.len());
        }
        if let Some(moved) = members.get(index) {
            let slot = moved.slot;
            let moved = self
                .connections
                .memberships(slot)
                .find(membership.subscribers);
            let moved = moved.expect("a member has a membership");
            moved.set_place(membership.place());
        }
    }
}
