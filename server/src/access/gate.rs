//! One shard's gate: whether a connection, and then a client that asks to connect, is let through
//! to the hooks.
//!
//! Invariant: a client is judged once it is known by its own address: directly at its accept, or
//! as soon as a trusted proxy has named it. Nothing behind the gate sees a proxy's address in place
//! of a client's. The service calls it.

use crate::access::auto_ban::AutoBan;
use crate::access::bans::Bans;
use crate::access::lists::{AddressLists, LiveLists, SeenLists};
use crate::access::origin::Origins;
use crate::access::proxies::Proxies;
use crate::audit::event::AuditEvent;
use crate::auth::gate::TokenGate;
use crate::versions::Versions;
use shardcast_engine::{Context as Engine, Peer, Refusal};
use shardcast_protocol::http::HttpRequest;
use std::sync::Arc;
use std::time::Duration;

/// Who may ask at all: the same for all shards.
#[derive(Clone, Debug)]
pub(crate) struct AccessRules {
    pub(crate) origins: Arc<Versions<Origins>>,
    pub(crate) proxies: Arc<Versions<Proxies>>,
    pub(crate) lists: Arc<LiveLists>,
    pub(crate) bans: Arc<Bans>,
    pub(crate) auto_ban: Option<Arc<AutoBan>>,
}

impl AccessRules {
    pub(crate) fn new() -> AccessRules {
        AccessRules {
            origins: Arc::new(Versions::new(Origins::own())),
            proxies: Arc::new(Versions::new(Proxies::none())),
            lists: Arc::new(LiveLists::new(AddressLists::default())),
            bans: Arc::default(),
            auto_ban: None,
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
        if access.proxies.get().trusts(peer) {
            return Ok(());
        }
        self.judge(access, peer)
    }

    /// A client asks to connect. From here on its connection counts as coming from where the client
    /// is.
    ///
    /// # Errors
    /// It is kept out.
    pub(crate) fn connects(
        &mut self,
        access: &AccessRules,
        tokens: Option<&TokenGate>,
        cx: &mut Engine<'_>,
        request: &HttpRequest<'_>,
    ) -> Result<(), Refusal> {
        let peer = cx.peer();
        let proxies = access.proxies.get();
        let client = proxies.client(peer, request)?;
        if proxies.trusts(peer) {
            cx.set_peer(client);
        }
        // Who was let in as a proxy may be none any more.
        if proxies.trusts(peer) || access.proxies.has_changed() {
            self.judge(access, client)?;
        }
        let origins = access.origins.get();
        match origins.check(request, client) {
            // A page that brings a token has it from its user, not from the browser:
            // whether it is good is found out next.
            Err(_) if origins.is_own_only() && brings_token(tokens, request) => Ok(()),
            checked => Ok(checked?),
        }
    }

    /// A request to the path of event streams that opens none.
    ///
    /// # Errors
    /// It is kept out.
    pub(crate) fn asks_streams(
        &mut self,
        access: &AccessRules,
        tokens: Option<&TokenGate>,
        cx: &Engine<'_>,
        request: &HttpRequest<'_>,
    ) -> Result<(), Refusal> {
        let client = access.proxies.get().client(cx.peer(), request)?;
        let origins = access.origins.get();
        match origins.check(request, client) {
            // Its page opened the stream with a token, and posts by what the stream told it.
            Err(_) if origins.is_own_only() && tokens.is_some() => Ok(()),
            checked => Ok(checked?),
        }
    }

    fn judge(&mut self, access: &AccessRules, client: Peer) -> Result<(), Refusal> {
        if !self.lists.current().lets_in(client) {
            return Err(Refusal::new(403, "this address may not connect"));
        }
        match access.bans.of_peer(client) {
            None => Ok(()),
            Some(left) => Err(banned("this address is banned", left)),
        }
    }
}

/// Whether a request bears a token that a browser does not send by itself.
fn brings_token(tokens: Option<&TokenGate>, request: &HttpRequest<'_>) -> bool {
    tokens.is_some_and(|tokens| tokens.is_brought(request))
}

impl AccessRules {
    /// Whether a user may be let in.
    ///
    /// # Errors
    /// It is banned.
    pub(crate) fn admits(&self, user: Option<&str>) -> Result<(), Refusal> {
        match user.and_then(|user| self.bans.of_user(user)) {
            None => Ok(()),
            Some(left) => Err(banned("this user is banned", left)),
        }
    }

    /// A client was refused with this status.
    pub(crate) fn refused(&self, client: Peer, status: u16) {
        if let Some(auto_ban) = &self.auto_ban
            && auto_ban.refused(&self.bans, client, status)
        {
            AuditEvent::Banned {
                whom: &client.to_string(),
                by: "refusals",
            }
            .emit();
        }
    }
}

/// Banned for so long yet.
fn banned(reason: &str, left: Duration) -> Refusal {
    let seconds = left.as_secs().max(1).to_string();
    let refusal = Refusal::new(403, reason);
    refusal
        .with_header("Retry-After", &seconds)
        .unwrap_or_else(Refusal::from)
}
