//! One use of a slot, from `Accepted` to `Closed`: what is armed, what is under way, and what
//! completes next.
//!
//! Invariant: completions come in an order that a kernel could give. Called by the port only.

use super::socket::{Front, Socket, SocketId};
use crate::driver::boundary::{Completion, Millis, ReceiveEnd};
use crate::driver::sim::lease::SimLease;
use crate::driver::sim::network::Network;
use crate::driver::waiting::Receive as Arming;
use crate::types::ticket::Ticket;

/// One use of a slot, from `Accepted` to `Closed`.
#[derive(Debug)]
pub(super) struct Occupant {
    socket: SocketId,
    /// Known from the shard's first operation on.
    pub(super) ticket: Option<Ticket>,
    receive: SimReceive,
    /// It stands in the port's order of those that wait for a buffer.
    queued: bool,
    tracked: Option<SimSend>,
    shut: bool,
    transmits_in_turn: u64,
    closing: Option<Closing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SimReceive {
    Idle,
    Armed(Arming),
    /// Armed again in its turn.
    Waiting,
    Stopping,
    /// Stopped while nothing was armed.
    Stopped,
    Over,
}

/// Why a receive is to be armed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delay {
    /// It found no buffer.
    Starved,
    /// It was for one buffer, which it filled or not.
    Ended { filled: bool },
}

#[derive(Debug)]
struct SimSend {
    bytes: Vec<u8>,
    sent: usize,
    ended: Option<SendEnd>,
}

#[derive(Clone, Copy, Debug)]
struct SendEnd {
    at: Millis,
    failed: bool,
}

#[derive(Debug)]
struct Closing {
    /// Received before the close, not yet reaped.
    stale: Option<Vec<u8>>,
    at: Millis,
}

impl Occupant {
    pub(super) fn socket_id(&self) -> SocketId {
        self.socket
    }

    pub(super) fn new(socket: SocketId) -> Occupant {
        Occupant {
            socket,
            ticket: None,
            receive: SimReceive::Idle,
            queued: false,
            tracked: None,
            shut: false,
            transmits_in_turn: 0,
            closing: None,
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    pub(super) fn arm_receive(&mut self) {
        assert_eq!(
            self.receive,
            SimReceive::Idle,
            "arm_receive while receiving, or after its end: {:?}",
            self.ticket
        );
        self.receive = match self.queued {
            true => SimReceive::Waiting,
            false => SimReceive::Armed(Arming::Multishot),
        };
    }

    /// Whether it stands in the order of those that wait for a buffer.
    pub(super) fn is_queued(&self) -> bool {
        self.queued
    }

    /// It takes its place in that order if its receive has just ended for want of a buffer, or
    /// after its one buffer.
    pub(super) fn queue(
        &mut self,
        network: &Network,
        got: Option<usize>,
        may_lend: bool,
    ) -> Option<Delay> {
        let SimReceive::Armed(arming) = self.receive else {
            return None;
        };
        let wait = match got {
            Some(bytes) if arming == Arming::Once => Delay::Ended {
                filled: bytes == network.faults.receive_buffer_bytes,
            },
            None if !may_lend && self.front(network) == Front::Bytes => Delay::Starved,
            Some(_) | None => return None,
        };
        (self.receive, self.queued) = (SimReceive::Waiting, true);
        Some(wait)
    }

    /// It took too many buffers: its receive ends, and goes on in its turn. False: none is armed.
    pub(super) fn curb(&mut self) -> bool {
        let armed = matches!(self.receive, SimReceive::Armed(_)) && self.closing.is_none();
        if armed {
            (self.receive, self.queued) = (SimReceive::Waiting, true);
        }
        armed
    }

    /// Its turn. False: it need not be received for any more.
    pub(super) fn arm_queued(&mut self, arming: Arming) -> bool {
        self.queued = false;
        let due = self.receive == SimReceive::Waiting;
        if due {
            self.receive = SimReceive::Armed(arming);
        }
        due
    }

    /// Nothing to stop is no fault: the end may be on its way to the shard.
    pub(super) fn stop_receive(&mut self) {
        self.receive = match self.receive {
            SimReceive::Armed(_) => SimReceive::Stopping,
            SimReceive::Waiting => SimReceive::Stopped,
            other => other,
        };
    }

    /// One transmit; returns how many bytes left, `None` when the connection is beyond sending.
    pub(super) fn transmit(
        &mut self,
        network: &mut Network,
        turn: u64,
        bytes: &[u8],
    ) -> Option<usize> {
        assert!(
            self.tracked.is_none(),
            "a transmit overtakes a tracked send: {:?}",
            self.ticket
        );
        assert!(
            !self.shut,
            "a transmit after the end of sending: {:?}",
            self.ticket
        );
        assert_ne!(
            self.transmits_in_turn, turn,
            "two transmits in one turn: {:?}",
            self.ticket
        );
        self.transmits_in_turn = turn;
        let allowed = match network.is_hit(self.socket, network.faults.short_permille) {
            true => network.random.below(bytes.len()),
            false => bytes.len(),
        };
        network.send(self.socket, &bytes[..allowed])
    }

    pub(super) fn send_tracked(&mut self, network: &mut Network, bytes: Vec<u8>) {
        assert!(
            !bytes.is_empty(),
            "an empty tracked send: {:?}",
            self.ticket
        );
        assert!(
            self.tracked.is_none(),
            "two tracked sends at once: {:?}",
            self.ticket
        );
        assert!(
            !self.shut,
            "send_tracked after the end of sending: {:?}",
            self.ticket
        );
        self.tracked = Some(SimSend {
            bytes,
            sent: 0,
            ended: None,
        });
        self.push(network);
    }

    pub(super) fn shut_down(&mut self, network: &mut Network) {
        assert!(
            self.tracked.is_none(),
            "shut_down with a send under way: {:?}",
            self.ticket
        );
        assert!(!self.shut, "shut_down twice: {:?}", self.ticket);
        self.shut = true;
        network.sockets[self.socket.0].to_client.finish();
    }

    pub(super) fn close(&mut self, network: &mut Network) {
        let lets_through = matches!(self.receive, SimReceive::Armed(_))
            && network.random.chance(network.faults.stale_permille);
        let at = network.now + network.lateness(self.socket);
        let socket = &mut network.sockets[self.socket.0];
        let stale = match lets_through && socket.to_server.front(network.now) == Front::Bytes {
            true => Some(socket.to_server.read(network.faults.receive_buffer_bytes)),
            false => None,
        };
        socket.close_by_server(&mut network.random);
        socket.served_by = None;
        self.closing = Some(Closing { stale, at });
    }

    /// As many bytes of the tracked send as there is room for; notes its end.
    pub(super) fn push(&mut self, network: &mut Network) {
        let socket = self.socket;
        let Some(tracked) = self
            .tracked
            .as_mut()
            .filter(|tracked| tracked.ended.is_none())
        else {
            return;
        };
        match network.send(socket, &tracked.bytes[tracked.sent..]) {
            None => {
                tracked.ended = Some(SendEnd {
                    at: network.now,
                    failed: true,
                });
            }
            Some(count) => {
                tracked.sent += count;
                let whole = tracked.sent == tracked.bytes.len();
                if whole || network.is_hit(socket, network.faults.cut_permille) {
                    let at = network.now + network.lateness(socket);
                    tracked.ended = Some(SendEnd { at, failed: false });
                }
            }
        }
    }

    fn front(&self, network: &Network) -> Front {
        self.socket(network).to_server.front(network.now)
    }

    fn socket<'n>(&self, network: &'n Network) -> &'n Socket {
        &network.sockets[self.socket.0]
    }

    pub(super) fn is_ready(&self, network: &Network) -> bool {
        match &self.closing {
            Some(closing) => closing.stale.is_some() || closing.at <= network.now,
            None => self.is_sent(network.now) || self.has_arrived(network),
        }
    }

    fn is_sent(&self, now: Millis) -> bool {
        let end = self.tracked.as_ref().and_then(|tracked| tracked.ended);
        end.is_some_and(|end| end.at <= now)
    }

    fn has_arrived(&self, network: &Network) -> bool {
        match self.receive {
            SimReceive::Idle | SimReceive::Waiting | SimReceive::Over => false,
            SimReceive::Armed(_) => self.front(network) != Front::Nothing,
            SimReceive::Stopping | SimReceive::Stopped => true,
        }
    }

    pub(super) fn ripe_at(&self, network: &Network) -> Option<Millis> {
        if let Some(closing) = &self.closing {
            return (closing.at > network.now).then_some(closing.at);
        }
        let end = self
            .tracked
            .as_ref()
            .and_then(|tracked| tracked.ended)
            .map(|end| end.at);
        let sent = end.filter(|at| *at > network.now);
        let arrival = match self.receive {
            SimReceive::Armed(_) => self.socket(network).to_server.ripe_at(network.now),
            SimReceive::Idle
            | SimReceive::Waiting
            | SimReceive::Stopping
            | SimReceive::Stopped
            | SimReceive::Over => None,
        };
        sent.into_iter().chain(arrival).min()
    }

    pub(super) fn complete(
        &mut self,
        network: &mut Network,
        shard: u16,
        may_lend: bool,
    ) -> Option<Completion<SimLease>> {
        // A shard can ask for nothing before it has named the connection.
        let ticket = self.ticket?;
        if let Some(closing) = &mut self.closing {
            return match closing.stale.take() {
                Some(bytes) if may_lend => Some(Completion::Received {
                    ticket,
                    lease: SimLease { bytes, shard },
                }),
                stale @ Some(_) => {
                    closing.stale = stale;
                    None
                }
                None => (closing.at <= network.now).then_some(Completion::Closed { ticket }),
            };
        }
        let sent = self.is_sent(network.now);
        if sent && (!self.has_arrived(network) || network.random.chance(500)) {
            let tracked = self.tracked.take()?;
            let failed = tracked.ended.is_some_and(|end| end.failed);
            return Some(Completion::Sent {
                ticket,
                count: tracked.sent,
                failed,
            });
        }
        self.receive(network, ticket, shard, may_lend)
    }

    /// One buffer, if the receive is armed and there are bytes.
    pub(super) fn receive_bytes(
        &mut self,
        network: &mut Network,
        shard: u16,
    ) -> Option<Completion<SimLease>> {
        let armed = matches!(self.receive, SimReceive::Armed(_)) && self.closing.is_none();
        if !armed || self.front(network) != Front::Bytes {
            return None;
        }
        let bytes = network.receive(self.socket);
        Some(Completion::Received {
            ticket: self.ticket?,
            lease: SimLease { bytes, shard },
        })
    }

    fn receive(
        &mut self,
        network: &mut Network,
        ticket: Ticket,
        shard: u16,
        may_lend: bool,
    ) -> Option<Completion<SimLease>> {
        let stopping = self.receive == SimReceive::Stopping;
        let stopped = self.receive == SimReceive::Stopped;
        let stops = stopped || stopping && network.random.chance(500);
        let why = match self.front(network) {
            Front::Bytes if may_lend && !stops => {
                let bytes = network.receive(self.socket);
                return Some(Completion::Received {
                    ticket,
                    lease: SimLease { bytes, shard },
                });
            }
            Front::Finished if !stops => ReceiveEnd::Eof,
            Front::Broken if !stops => ReceiveEnd::Failed,
            Front::Nothing | Front::Bytes | Front::Finished | Front::Broken => {
                if !stopping && !stopped {
                    return None;
                }
                ReceiveEnd::Stopped
            }
        };
        self.receive = match why {
            ReceiveEnd::Stopped => SimReceive::Idle,
            ReceiveEnd::Eof | ReceiveEnd::Failed => SimReceive::Over,
        };
        Some(Completion::ReceiveEnded { ticket, why })
    }
}
