//! The rules that shards look at and a reload exchanges: which pages may connect, which proxies are
//! believed, what is recorded, how much clients
//! may do, and what may be done in which rooms.
//!
//! Invariant: what an engine is started with stays: namespaces that would keep more, or otherwise,
//! take a restart. Made by `serve`, used by the reload.

use crate::access::origin::Origins;
use crate::access::proxies::Proxies;
use crate::config::{ExchangedRules, Settings};
use crate::session::shared::Shared;
use crate::versions::Versions;
use std::sync::Arc;

/// The rules in force.
#[derive(Debug)]
pub(crate) struct LiveRules {
    shared: Arc<Shared>,
    origins: Arc<Versions<Origins>>,
    proxies: Arc<Versions<Proxies>>,
    /// Pages of the admin port are the server's own.
    admin_port: u16,
}

impl LiveRules {
    pub(crate) fn new(
        shared: Arc<Shared>,
        (origins, proxies): (Arc<Versions<Origins>>, Arc<Versions<Proxies>>),
        admin_port: u16,
    ) -> LiveRules {
        LiveRules {
            shared,
            origins,
            proxies,
            admin_port,
        }
    }

    /// Uses what can be used of other settings from here on.
    pub(crate) fn exchange(&self, old: &Settings, settings: &Settings) -> ExchangedRules {
        let origins = settings.origins().and_port(self.admin_port);
        let origins = origins == *self.origins.get() || self.origins.replace(origins);
        let proxies = settings.proxies();
        let proxies = proxies == *self.proxies.get() || self.proxies.replace(proxies);
        let limits = settings.limits();
        let limits = match &self.shared.limiter {
            _ if limits == old.limits() => true,
            Some(limiter) => limiter.takes(&limits) && limiter.replace(limits),
            None => false,
        };
        if let Some(tracer) = &self.shared.tracer {
            tracer.set(settings.tracing().sampling());
        }
        let (namespaces, current) = (settings.namespaces(), &self.shared.namespaces);
        let fits = settings.has_room_names_of(old) && namespaces.keeps_as(current.get());
        let namespaces = namespaces == *current.get() || fits && current.replace(namespaces);
        ExchangedRules {
            origins,
            proxies,
            limits,
            namespaces,
        }
    }
}
