//! What of other settings takes the place of those in force while a server runs, and what stays.
//! Used by the reload.
//!
//! Invariant: settings that are merged here fit together as those do that were read: what depends
//! on each other stays, or goes, together.

use super::map_check;
use super::rooms::Rooms;
use super::settings::Settings;
use crate::auth::options::TokenMode;
use crate::namespace::Namespace;
use std::collections::BTreeMap;

/// Which of the rules that shards look at are exchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExchangedRules {
    pub(crate) origins: bool,
    pub(crate) proxies: bool,
    pub(crate) limits: bool,
    /// `None`: they stay.
    pub(crate) rooms: Option<ExchangedRooms>,
    /// A gateway has its secret and its rules by now.
    pub(crate) gateway: bool,
}

/// The namespaces after an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExchangedRooms {
    rooms: Rooms,
    namespaces: BTreeMap<String, Rooms>,
}

impl Settings {
    /// These settings, with what of the others is exchanged while the server runs. Where the server
    /// has begun without something (TLS, a token), or would go on without it, that stays.
    pub(crate) fn with_what_is_exchanged(
        &self,
        others: &Settings,
        rules: ExchangedRules,
    ) -> Settings {
        let mut merged = Settings {
            drain_timeout: others.drain_timeout,
            lame_duck: others.lame_duck,
            drain_rate: others.drain_rate,
            allow: others.allow.clone(),
            block: others.block.clone(),
            log_level: others.log_level,
            operators: self.operators.with_what_is_exchanged(&others.operators),
            tracing: self.tracing.with_what_is_exchanged(&others.tracing),
            ..self.clone()
        };
        if self.tls().is_some() && others.tls().is_some() {
            merged.tls.certificates = others.tls.certificates.clone();
            merged.tls.keys = others.tls.keys.clone();
            merged.tls.minimum = others.tls.minimum;
            merged.tls.client_certificates = others.tls.client_certificates;
            merged.tls.client_ca = others.tls.client_ca.clone();
        }
        if self.auth.tokens != TokenMode::Off {
            merged.auth.keys = others.auth.keys.clone();
        }
        if rules.origins {
            merged.origins = others.origins.clone();
        }
        if rules.proxies {
            merged.proxies = others.proxies.clone();
        }
        if rules.limits {
            merged.limits = others.limits.clone();
        }
        if rules.gateway {
            merged.gateway = self.gateway.with_what_is_exchanged(&others.gateway);
        }
        match rules.rooms {
            Some(rooms) => merged.with_rooms(rooms),
            None => merged,
        }
    }

    /// These settings with other namespaces.
    pub(crate) fn with_rooms(self, exchanged: ExchangedRooms) -> Settings {
        let ExchangedRooms { rooms, namespaces } = exchanged;
        Settings {
            rooms,
            namespaces,
            ..self
        }
    }

    /// The namespaces of the others, as far as they can take the place of these: rooms keep what
    /// they kept, and a namespace is left out whose rooms would keep what none did (`is_kept`).
    pub(crate) fn exchanged_rooms(
        &self,
        others: &Settings,
        is_kept: impl Fn(&Namespace) -> bool,
    ) -> ExchangedRooms {
        let bytes_max = self.engine.room_name_bytes_max;
        let namespace = |rooms: &Rooms| rooms.namespace(bytes_max);
        let exchanged = |old: &Rooms, new: &Rooms| match namespace(new).keeps_as(&namespace(old)) {
            true => new.clone(),
            false => new.keeping_as(old),
        };
        let named = others.namespaces.iter().filter_map(|(name, new)| {
            let taken = match self.namespaces.get(name) {
                Some(old) => exchanged(old, new),
                None if is_kept(&namespace(new)) => new.clone(),
                None => return None,
            };
            Some((name.clone(), taken))
        });
        let mut namespaces = named.collect();
        let mut rooms = exchanged(&self.rooms, &others.rooms);
        map_check::drop_missing(&mut rooms, &mut namespaces);
        ExchangedRooms { rooms, namespaces }
    }
}
