//! Reading the certificate files again while the server runs. The control plane calls it on SIGHUP.

use crate::admin::state::AdminState;
use crate::config::TlsSettings;
use crate::tls::{self, Prepared};
use shardcast_engine::{Handle, Tls};

/// What can be exchanged in a running server: the certificates of its TLS listener, if it has one.
#[derive(Debug)]
pub(crate) struct Reload {
    tls: Option<TlsListener>,
}

#[derive(Debug)]
struct TlsListener {
    settings: TlsSettings,
    /// In force.
    tls: Tls,
    /// Index of the listener.
    listener: usize,
    handle: Handle,
}

impl Reload {
    /// Nothing can be exchanged.
    pub(crate) fn nothing() -> Reload {
        Reload { tls: None }
    }

    /// The files of `settings` are exchanged at this listener, which began with `tls`.
    pub(crate) fn new(settings: TlsSettings, tls: Tls, listener: usize, handle: Handle) -> Reload {
        Reload {
            tls: Some(TlsListener {
                settings,
                tls,
                listener,
                handle,
            }),
        }
    }

    /// Reads the files and uses them for connections from now on. If one cannot be used, everything
    /// stays as it is.
    pub(crate) fn run(&mut self, state: &AdminState) {
        let Some(listener) = &mut self.tls else {
            tracing::info!("SIGHUP: without TLS there is nothing to read again");
            return;
        };
        let result = if listener.renew() {
            "success"
        } else {
            "failure"
        };
        state.metrics().tls_reloaded(result);
    }
}

impl TlsListener {
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
