//! Reading files again while the server runs: certificates, keys of tokens, and from the
//! configuration who may connect by address. The control plane calls it on SIGHUP.

use crate::access::lists::LiveLists;
use crate::admin::state::AdminState;
use crate::audit::event::AuditEvent;
use crate::auth::files::{self, ReadKeys};
use crate::auth::gate::TokenGate;
use crate::config::{Settings, TlsSettings};
use crate::log::Audit;
use crate::tls::{self, Prepared};
use shardcast_engine::{Handle, Tls};
use std::fmt;
use std::sync::Arc;

/// What can be exchanged in a running server.
#[derive(Debug)]
pub(crate) struct Reload {
    /// Of its TLS listener, if it has one.
    certificates: Option<Certificates>,
    /// If it asks for tokens.
    keys: Option<TokenKeys>,
    addresses: Addresses,
    audit: Audit,
}

/// The keys of tokens.
pub(crate) struct TokenKeys {
    gate: Arc<TokenGate>,
    again: ReadAgain,
}

/// The certificates of a TLS listener.
#[derive(Debug)]
pub(crate) struct Certificates {
    settings: TlsSettings,
    /// In force.
    tls: Tls,
    /// Index of the listener.
    listener: usize,
    handle: Handle,
}

/// Who may connect, by address.
pub(crate) struct Addresses {
    /// In force, but for what was exchanged.
    settings: Settings,
    lists: Arc<LiveLists>,
    again: ReadAgain,
}

/// Reads the configuration from where it was read before.
pub(crate) type ReadAgain = Arc<dyn Fn() -> Result<Settings, Vec<String>> + Send + Sync>;

impl Reload {
    pub(crate) fn new(
        certificates: Option<Certificates>,
        keys: Option<TokenKeys>,
        addresses: Addresses,
        audit: Audit,
    ) -> Reload {
        Reload {
            certificates,
            keys,
            addresses,
            audit,
        }
    }

    /// Reads everything and uses it for connections from now on. What cannot be used stays as it
    /// is, the rest is exchanged.
    pub(crate) fn run(&mut self, state: &AdminState) {
        if let Some(journal) = &self.audit.journal {
            journal.reopen();
        }
        if let Some(certificates) = &mut self.certificates {
            let outcome = audited("certificates", certificates.renew());
            state.metrics().tls_reloaded(outcome);
        }
        if let Some(keys) = &self.keys {
            let outcome = audited("keys", keys.renew());
            state.metrics().keys_reloaded(outcome);
        }
        let outcome = audited("addresses", self.addresses.renew());
        state.metrics().access_reloaded(outcome);
        if let Some((tls, files)) = state
            .tls
            .as_ref()
            .zip(self.addresses.settings.operators().tls())
        {
            let renewed = tls.renew(files);
            audited("admin certificate", renewed.is_ok());
            if let Err(error) = renewed {
                tracing::error!(%error, "the admin port's certificate stays as it is");
            }
        }
        match self.addresses.settings.operators().token() {
            Ok(None) => {}
            Ok(Some(token)) => {
                state.guard.replace_token(token);
                audited("admin token", true);
            }
            Err(error) => {
                tracing::error!(%error, "the operators' token stays as it is");
                audited("admin token", false);
            }
        }
    }
}

/// How a reading went, as metrics say it, and the audit log.
fn audited(what: &'static str, success: bool) -> &'static str {
    let result = if success { "success" } else { "failure" };
    AuditEvent::Reloaded { what, result }.emit();
    result
}

impl Certificates {
    /// The files of `settings` are exchanged at this listener, which began with `tls`.
    pub(crate) fn new(
        settings: TlsSettings,
        tls: Tls,
        listener: usize,
        handle: Handle,
    ) -> Certificates {
        Certificates {
            settings,
            tls,
            listener,
            handle,
        }
    }

    fn renew(&mut self) -> bool {
        let Prepared { tls, warnings } = match tls::prepare(&self.settings, Some(&self.tls)) {
            Ok(prepared) => prepared,
            Err(faults) => {
                for fault in faults {
                    tracing::error!(%fault, "the certificates stay as they are");
                }
                return false;
            }
        };
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        if !self.handle.replace_tls(self.listener, tls.clone()) {
            tracing::error!("the shards are too busy to take new certificates; send SIGHUP again");
            return false;
        }
        self.tls = tls;
        let certificates = self.settings.certificates.0.len();
        tracing::info!(
            certificates,
            "new connections get the certificates that were just read"
        );
        true
    }
}

impl TokenKeys {
    pub(crate) fn new(gate: Arc<TokenGate>, again: ReadAgain) -> TokenKeys {
        TokenKeys { gate, again }
    }

    /// Connections that are open stay: who has a token of a key that is gone stays until the token
    /// ends.
    fn renew(&self) -> bool {
        let read = (self.again)().and_then(|settings| {
            let read = files::read(settings.auth());
            read.map_err(|faults| faults.iter().map(ToString::to_string).collect())
        });
        let ReadKeys { keys, warnings, .. } = match read {
            Ok(read) => read,
            Err(faults) => {
                for fault in faults {
                    tracing::error!(%fault, "the keys of tokens stay as they are");
                }
                return false;
            }
        };
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let count = keys.len();
        self.gate.replace_keys(keys);
        AuditEvent::KeysReplaced { keys: count }.emit();
        tracing::info!(
            keys = count,
            "tokens are checked with the keys that were just read"
        );
        true
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeys").finish_non_exhaustive()
    }
}

impl Addresses {
    /// `settings` are in force; `lists` are those of the running server.
    pub(crate) fn new(settings: Settings, lists: Arc<LiveLists>, again: ReadAgain) -> Addresses {
        Addresses {
            settings,
            lists,
            again,
        }
    }

    fn renew(&mut self) -> bool {
        let settings = match (self.again)() {
            Ok(settings) => settings,
            Err(problems) => {
                for problem in problems {
                    tracing::error!(%problem, "access.allow and access.block stay as they are");
                }
                return false;
            }
        };
        if !self.settings.differs_in_what_is_exchanged(&settings) {
            tracing::warn!(
                "the configuration has changed in more than access.allow, access.block and the keys of tokens: the rest takes a restart"
            );
        }
        let lists = settings.addresses();
        let (allowed, blocked) = (
            lists.allow.as_ref().map(|allow| allow.count()),
            lists.block.count(),
        );
        self.lists.replace(lists);
        tracing::info!(
            ?allowed,
            blocked,
            "new connections are let in by the lists just read"
        );
        true
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").finish_non_exhaustive()
    }
}
