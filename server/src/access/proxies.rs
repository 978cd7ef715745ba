//! The proxies in front of the server, and the client behind them.
//!
//! Invariant: a header of a request counts only if a trusted proxy sent the request.

use crate::access::networks::{BadNetwork, Networks};
use shardcast_engine::{Peer, Refusal};
use shardcast_protocol::http::{HttpRequest, forwarding_client};

/// The proxies whose word about a client's address counts ([`crate::App::trusted_proxies`]).
/// Default: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    networks: Networks,
    unix: bool,
}

impl Proxies {
    /// Nobody.
    pub fn none() -> Proxies {
        Proxies::default()
    }

    /// Trusts who connects from this network or address; `unix`: who connects over a Unix socket.
    ///
    /// # Errors
    /// It is neither.
    pub fn and(mut self, network: &str) -> Result<Proxies, BadNetwork> {
        if network == UNIX {
            self.unix = true;
        } else {
            self.networks.add(network)?;
        }
        Ok(self)
    }

    /// Whether what connects from there is a trusted proxy.
    pub(crate) fn trusts(&self, peer: Peer) -> bool {
        match peer.address() {
            Some(address) => self.networks.has(address.ip()),
            None => self.unix,
        }
    }

    /// Whether none is trusted.
    pub(crate) fn is_none(&self) -> bool {
        self.networks.count() == 0 && !self.unix
    }

    /// Who a request from there is from.
    ///
    /// # Errors
    /// What the proxies say cannot be understood.
    pub(crate) fn client(&self, peer: Peer, request: &HttpRequest<'_>) -> Result<Peer, Refusal> {
        if self.is_none() || !self.trusts(peer) {
            return Ok(peer);
        }
        let client = forwarding_client(request, |ip| self.networks.has(ip));
        match client {
            Ok(client) => Ok(client.map_or(peer, Peer::from)),
            Err(error) => Err(Refusal::new(400, error.to_string())),
        }
    }

    /// As they are written.
    pub(crate) fn texts(&self) -> Vec<String> {
        let unix = self.unix.then(|| UNIX.to_owned());
        unix.into_iter().chain(self.networks.texts()).collect()
    }
}

/// Peers over Unix sockets, which have no addresses.
const UNIX: &str = "unix";
