//! Reading files again while the server runs: certificates, and from the configuration who may
//! connect by address. The control plane calls it on SIGHUP.

use crate::access::lists::LiveLists;
use crate::admin::state::AdminState;
use crate::config::{Settings, TlsSettings};
use crate::tls::{self, Prepared};
use shardcast_engine::{Handle, Tls};
use std::fmt;
use std::sync::Arc;

/// What can be exchanged in a running server.
#[derive(Debug)]
pub(crate) struct Reload {
    /// Of its TLS listener, if it has one.
    certificates: Option<Certificates>,
    addresses: Addresses,
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
pub(crate) type ReadAgain = Box<dyn Fn() -> Result<Settings, Vec<String>> + Send>;

impl Reload {
    pub(crate) fn new(certificates: Option<Certificates>, addresses: Addresses) -> Reload {
        Reload {
            certificates,
            addresses,
        }
    }

    /// Reads everything and uses it for connections from now on. What cannot be used stays as it
    /// is, the rest is exchanged.
    pub(crate) fn run(&mut self, state: &AdminState) {
        if let Some(certificates) = &mut self.certificates {
            state.metrics().tls_reloaded(result(certificates.renew()));
        }
        state
            .metrics()
            .access_reloaded(result(self.addresses.renew()));
    }
}

fn result(success: bool) -> &'static str {
    if success { "success" } else { "failure" }
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
        if !self.settings.differs_in_addresses_only(&settings) {
            tracing::warn!(
                "the configuration has changed in more than access.allow and access.block: the rest takes a restart"
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
