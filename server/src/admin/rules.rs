//! The rules that a reload exchanges while shards, or the gateway, look at them: which pages may
//! connect, which proxies are believed, what is recorded, how much clients may do, what may be done
//! in which rooms, and how the backend is asked.
//!
//! Invariant: what an engine is started with stays: rooms that would keep more, or otherwise, take
//! a restart. Made by `serve`, used by the reload.

use crate::access::origin::Origins;
use crate::access::proxies::Proxies;
use crate::api::server::Server;
use crate::config::{ExchangedRooms, ExchangedRules, Settings};
use crate::gateway::hooks::GatewayHooks;
use crate::gateway::live::GatewayRules;
use crate::session::shared::Shared;
use crate::versions::Versions;
use std::sync::Arc;

/// The rules in force.
#[derive(Debug)]
pub(crate) struct LiveRules {
    shared: Arc<Shared>,
    origins: Arc<Versions<Origins>>,
    proxies: Arc<Versions<Proxies>>,
    /// `None`: there is no backend.
    gateway: Option<GatewayHooks>,
    /// Pages of the admin port are the server's own.
    admin_port: u16,
}

impl LiveRules {
    pub(crate) fn new(
        server: &Server,
        (origins, proxies): (Arc<Versions<Origins>>, Arc<Versions<Proxies>>),
        gateway: &Option<GatewayHooks>,
        admin_port: u16,
    ) -> LiveRules {
        LiveRules {
            shared: server.handle().shared,
            origins,
            proxies,
            gateway: gateway.clone(),
            admin_port,
        }
    }

    /// Whether there is a backend.
    pub(crate) fn have_gateway(&self) -> bool {
        self.gateway.is_some()
    }

    /// Uses what can be used of other settings from here on, and of the files that the gateway's
    /// were read from.
    pub(crate) fn exchange(
        &self,
        old: &Settings,
        settings: &Settings,
        read: Option<GatewayRules>,
    ) -> ExchangedRules {
        let origins = settings.origins().and_port(self.admin_port);
        let origins = origins == *self.origins.get() || self.origins.replace(origins);
        let proxies = settings.proxies();
        let proxies = proxies == *self.proxies.get() || self.proxies.replace(proxies);
        let limits = settings.limits();
        let limits = match &self.shared.limiter {
            _ if limits == old.limits() => true,
            Some(limiter) => limiter.exchange(limits),
            None => false,
        };
        if let Some(tracer) = &self.shared.tracer {
            tracer.set(settings.tracing().sampling());
        }
        let gateway = match (&self.gateway, read) {
            (Some(gateway), Some(read)) if settings.gateway().has_backend_of(old.gateway()) => {
                gateway.exchange(read);
                true
            }
            (Some(_) | None, _) => false,
        };
        ExchangedRules {
            origins,
            proxies,
            limits,
            rooms: self.exchange_rooms(old, settings),
            gateway,
        }
    }

    /// `None`: everything stays.
    fn exchange_rooms(&self, old: &Settings, settings: &Settings) -> Option<ExchangedRooms> {
        // Names are judged by what the engine takes.
        if !settings.has_room_names_of(old) {
            return None;
        }
        let current = self.shared.namespaces.get();
        let rooms = old.exchanged_rooms(settings, |namespace| current.have_classes_of(namespace));
        let next = old.clone().with_rooms(rooms.clone()).namespaces();
        let next = next.with_classes_of(current)?;
        let exchanged = next == *current || self.shared.namespaces.replace(next);
        exchanged.then_some(rooms)
    }
}
