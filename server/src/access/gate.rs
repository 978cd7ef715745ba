//! One shard's gate: whether a connection, and then a client that asks to connect, is let through
//! to the hooks.
//!
//! Invariant: a client is judged once it is known by its own address: directly at its accept, or
//! as soon as a trusted proxy has named it. Nothing behind the gate sees a proxy's address in place
//! of a client's. The service calls it.

use crate::access::lists::{AddressLists, LiveLists, SeenLists};
use crate::access::origin::Origins;
use crate::access::proxies::Proxies;
use shardcast_engine::{Context as Engine, Peer, Refusal};
use shardcast_protocol::http::HttpRequest;
use std::sync::Arc;

/// Who may ask at all: the same for all shards.
#[derive(Clone, Debug)]
pub(crate) struct AccessRules {
    pub(crate) origins: Origins,
    pub(crate) proxies: Proxies,
    pub(crate) lists: Arc<LiveLists>,
}

impl AccessRules {
    pub(crate) fn new() -> AccessRules {
        AccessRules {
            origins: Origins::own(),
            proxies: Proxies::none(),
            lists: Arc::new(LiveLists::new(AddressLists::default())),
        }
    }
}

/// One shard's part of it.
#[derive(Debug)]
pub(crate) struct Gate {
    lists: SeenLists,
}

impl Gate {
    pub(crate) fn new(access: &AccessRules) -> Gate {
        Gate {
            lists: SeenLists::new(access.lists.clone()),
        }
    }

    /// A connection begins. A trusted proxy's is nobody's yet.
    ///
    /// # Errors
    /// Who connects from there is kept out.
    pub(crate) fn arrived(&mut self, access: &AccessRules, peer: Peer) -> Result<(), Refusal> {
        if access.proxies.trusts(peer) {
            return Ok(());
        }
        self.judge(peer)
    }

    /// A client asks to connect. From here on its connection counts as coming from where the client
    /// is.
    ///
    /// # Errors
    /// It is kept out.
    pub(crate) fn connects(
        &mut self,
        access: &AccessRules,
        cx: &mut Engine<'_>,
        request: &HttpRequest<'_>,
    ) -> Result<(), Refusal> {
        let peer = cx.peer();
        let client = access.proxies.client(peer, request)?;
        if access.proxies.trusts(peer) {
            cx.set_peer(client);
            self.judge(client)?;
        }
        Ok(access.origins.check(request, client)?)
    }

    /// A request to the path of event streams that opens none.
    ///
    /// # Errors
    /// It is kept out.
    pub(crate) fn asks_streams(
        &mut self,
        access: &AccessRules,
        cx: &Engine<'_>,
        request: &HttpRequest<'_>,
    ) -> Result<(), Refusal> {
        let client = access.proxies.client(cx.peer(), request)?;
        Ok(access.origins.check(request, client)?)
    }

    fn judge(&mut self, client: Peer) -> Result<(), Refusal> {
        if self.lists.current().lets_in(client) {
            return Ok(());
        }
        Err(Refusal::new(403, "this address may not connect"))
    }
}
