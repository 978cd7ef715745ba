//! Where connections begin: a proxy's header is read, then the application is asked whether it
//! wants to hear more from that address.
//!
//! Invariant: on a listener with PROXY headers, nothing is read as a request or as TLS before the
//! header is complete, a header is at most [`proxy::HEADER_BYTES_MAX`] bytes, and the handshake
//! deadline runs from the accept. Called by intake, and by the request phase for plain listeners.

use super::Shard;
use crate::application::Application;
use crate::connection::exchange::ExchangeStage;
use crate::connection::input::Need;
use crate::connection::phase::Phase;
use crate::connection::slot::Flags;
use crate::driver::boundary::Driver;
use crate::types::ticket::Ticket;
use shardcast_protocol::proxy::{self, Introduced, ProxyError};

impl<A: Application, D: Driver> Shard<A, D> {
    /// A connection was accepted.
    pub(super) fn arrive(&mut self, ticket: Ticket) {
        let listener = self.core.connections.slots.at(ticket.slot).listener;
        if !self.core.connections.limits.expects_proxies(listener) {
            return self.ask_about(ticket);
        }
        let proxy = self.core.connections.slots.peer(ticket.slot);
        let trusted = self.shielded(ticket, |application, _| application.trusts_proxy(proxy));
        if trusted == Some(true) {
            let exchange = self
                .core
                .connections
                .slots
                .at(ticket.slot)
                .cold()
                .exchange();
            exchange.stage = ExchangeStage::Introduction;
        } else {
            let connection = self.core.address(ticket);
            tracing::debug!(%connection, %proxy, "not a trusted proxy");
            self.core.counters.proxies_refused.add(1);
            self.core.retire(ticket);
        }
    }

    /// The connection's address is known.
    fn ask_about(&mut self, ticket: Ticket) {
        let asked = self.shielded(ticket, |application, context| application.arrived(context));
        let refusal = match asked {
            Some(Ok(())) => return,
            Some(Err(refusal)) => Some(refusal),
            None => None,
        };
        self.core.counters.arrivals_refused.add(1);
        let flags = self.core.connections.slots.at(ticket.slot).flags;
        match refusal.filter(|_| !flags.has(Flags::TLS)) {
            Some(refusal) => {
                let (status, reason) = (refusal.status, &refusal.reason);
                self.core
                    .refuse_with(ticket, status, reason, &refusal.headers);
            }
            // An answer would take the handshake that is to be saved.
            None => self.core.retire(ticket),
        }
    }

    /// What a proxy says first, on a plain listener.
    pub(super) fn read_introduction(
        &mut self,
        ticket: Ticket,
        bytes: &[u8],
    ) -> Result<usize, Need> {
        match proxy::parse(bytes) {
            Ok(None) => Err(Need::Any),
            Ok(Some((who, used))) => {
                self.introduced(ticket, who);
                Ok(used)
            }
            Err(error) => {
                self.refuse_proxy(ticket, error);
                Ok(bytes.len())
            }
        }
    }

    /// The same before TLS: what stands behind the header are the client's first records.
    #[cold]
    pub(super) fn introduction_before_tls(&mut self, ticket: Ticket, bytes: &[u8]) {
        let cold = self.core.connections.slots.at(ticket.slot).cold();
        let mut input = std::mem::take(&mut cold.input);
        if input.is_empty() {
            input = self.core.connections.spare.take(bytes, Need::Any);
        } else {
            input.push(bytes);
        }
        match proxy::parse(input.bytes()) {
            Ok(None) => {
                self.core.connections.slots.at(ticket.slot).cold().input = input;
                self.watch_input(ticket);
                return self.core.account_input(ticket);
            }
            Ok(Some((who, used))) => {
                self.introduced(ticket, who);
                let records = &mut input.bytes()[used..];
                let reads = self.core.connections.slots.phase(ticket) == Phase::Upgrading;
                if reads && !records.is_empty() {
                    self.received_records(ticket, records);
                }
            }
            Err(error) => self.refuse_proxy(ticket, error),
        }
        self.core.connections.spare.put(input);
        self.core.account_input(ticket);
    }

    /// Whether a proxy has still to say who its client is.
    pub(super) fn awaits_introduction(&mut self, ticket: Ticket) -> bool {
        let exchange = self.core.connections.slots.at(ticket.slot).exchange();
        exchange.is_some_and(|exchange| exchange.stage == ExchangeStage::Introduction)
    }

    fn introduced(&mut self, ticket: Ticket, who: Introduced) {
        let connection = self.core.connections.slots.at(ticket.slot);
        connection.cold().exchange = None;
        if let Introduced::Client(client) = who {
            self.core
                .connections
                .slots
                .set_peer(ticket.slot, client.into());
        }
        self.ask_about(ticket);
    }

    /// Whoever connects there without the header is no proxy of ours, and learns nothing.
    #[cold]
    fn refuse_proxy(&mut self, ticket: Ticket, error: ProxyError) {
        let (connection, peer) = (
            self.core.address(ticket),
            self.core.connections.slots.peer(ticket.slot),
        );
        tracing::debug!(%connection, %peer, %error, "refused");
        self.core.counters.proxies_refused.add(1);
        self.core.retire(ticket);
    }
}
