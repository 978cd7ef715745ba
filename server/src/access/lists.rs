//! Addresses that are let in or kept out, exchanged while the server runs.
//!
//! Invariant: a shard looks at one counter for each connection, and takes the lists over when they
//! have changed since; so no connection meets half of a change. Read by the shards' gates; written
//! by whoever reloads the configuration.

use crate::access::networks::Networks;
use shardcast_engine::Peer;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Who may connect, by address. Peers over Unix sockets have none and are never kept out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressLists {
    /// `None`: everybody who is not blocked.
    pub(crate) allow: Option<Networks>,
    pub(crate) block: Networks,
}

impl AddressLists {
    /// Whether who connects from there is let in; `block` goes before `allow`.
    pub(crate) fn lets_in(&self, peer: Peer) -> bool {
        let Some(ip) = peer.address().map(|address| address.ip()) else {
            return true;
        };
        !self.block.has(ip) && self.allow.as_ref().is_none_or(|allow| allow.has(ip))
    }
}

/// The lists in force, for all shards.
#[derive(Debug, Default)]
pub(crate) struct LiveLists {
    version: AtomicU64,
    current: Mutex<Arc<AddressLists>>,
}

impl LiveLists {
    pub(crate) fn new(lists: AddressLists) -> LiveLists {
        LiveLists {
            version: AtomicU64::new(0),
            current: Mutex::new(Arc::new(lists)),
        }
    }

    /// From here on these count, for connections that begin.
    pub(crate) fn replace(&self, lists: AddressLists) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(lists);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// One shard's sight of the lists.
#[derive(Debug)]
pub(crate) struct SeenLists {
    live: Arc<LiveLists>,
    version: u64,
    lists: Arc<AddressLists>,
}

impl SeenLists {
    pub(crate) fn new(live: Arc<LiveLists>) -> SeenLists {
        let version = live.version.load(Ordering::Acquire);
        let lists = {
            let current = live.current.lock();
            current.unwrap_or_else(PoisonError::into_inner).clone()
        };
        SeenLists {
            live,
            version,
            lists,
        }
    }

    pub(crate) fn current(&mut self) -> &AddressLists {
        if self.live.version.load(Ordering::Acquire) != self.version {
            *self = SeenLists::new(self.live.clone());
        }
        &self.lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn networks(texts: &[&str]) -> Networks {
        let mut networks = Networks::default();
        texts
            .iter()
            .for_each(|text| networks.add(text).expect("a network"));
        networks
    }

    #[test]
    fn block_goes_before_allow() {
        let lists = AddressLists {
            allow: Some(networks(&["127.0.0.0/8"])),
            block: networks(&["127.0.0.66"]),
        };
        let open = AddressLists {
            allow: None,
            ..lists.clone()
        };
        for (address, let_in, let_in_without_allow) in [
            ("127.0.0.1:1", true, true),
            ("127.0.0.66:1", false, false),
            ("[::ffff:127.0.0.66]:1", false, false),
            ("10.0.0.1:1", false, true),
            ("[::1]:1", false, true),
        ] {
            let peer = Peer::Ip(address.parse::<SocketAddr>().expect("an address"));
            assert_eq!(lists.lets_in(peer), let_in, "{address}");
            assert_eq!(open.lets_in(peer), let_in_without_allow, "{address}");
        }
        assert!(lists.lets_in(Peer::Unix));
    }

    #[test]
    fn a_change_is_seen_by_who_looked_before() {
        let live = Arc::new(LiveLists::new(AddressLists::default()));
        let mut seen = SeenLists::new(live.clone());
        let peer = Peer::Ip(SocketAddr::from(([127, 0, 0, 1], 1)));
        assert!(seen.current().lets_in(peer));
        live.replace(AddressLists {
            allow: None,
            block: networks(&["127.0.0.0/8"]),
        });
        assert!(!seen.current().lets_in(peer));
        assert!(!SeenLists::new(live.clone()).current().lets_in(peer));
        live.replace(AddressLists::default());
        assert!(seen.current().lets_in(peer));
    }
}
