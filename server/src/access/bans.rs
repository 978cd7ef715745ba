//! Addresses and users that are kept out for a time: by an operator, or after too many refusals.
//!
//! Invariant: a ban ends by itself, and there are at most [`Bans::COUNT_MAX`]; one more is refused,
//! and nobody's ban ends early for it. Shards look at one number while there is none, and what a
//! banned address costs does not grow with the number of bans. Written by the admin port and by
//! gates; read by gates, for connections that begin, and by whoever keeps them in a file.

use crate::access::networks::{BadNetwork, NetworkMap, Networks, read_network, show_network};
use ipnet::IpNet;
use shardcast_engine::Peer;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// Who is banned, for all shards.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    count: AtomicUsize,
    changes: AtomicU64,
    banned: RwLock<Banned>,
}

/// Until when.
#[derive(Debug, Default)]
struct Banned {
    networks: NetworkMap<Instant>,
    users: HashMap<Box<str>, Instant>,
    /// No ban is over before: until then nobody looks for such.
    soonest: Option<Instant>,
}

/// Whom a ban is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Banishment {
    Network(IpNet),
    User(Box<str>),
}

impl Banishment {
    /// An address, or a network in CIDR form.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn of_network(text: &str) -> Result<Banishment, BadNetwork> {
        read_network(text).map(Banishment::Network)
    }

    pub(crate) fn of_user(name: &str) -> Banishment {
        Banishment::User(name.into())
    }

    /// The user's name, or the network as it is written.
    pub(crate) fn text(&self) -> String {
        match self {
            Banishment::Network(network) => show_network(*network),
            Banishment::User(name) => name.to_string(),
        }
    }
}

/// Too many are banned already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} bans are in force: lift some, or block networks in the configuration",
    Bans::COUNT_MAX
)]
pub(crate) struct TooManyBans;

impl Banned {
    fn count(&self) -> usize {
        self.networks.count() + self.users.len()
    }

    fn until(&mut self, whom: &Banishment) -> Option<&mut Instant> {
        match whom {
            Banishment::Network(network) => self.networks.get_mut(*network),
            Banishment::User(name) => self.users.get_mut(name),
        }
    }

    fn forget_those_over(&mut self, now: Instant) {
        if self.soonest.is_some_and(|soonest| soonest > now) {
            return;
        }
        self.networks.retain(|until| *until > now);
        self.users.retain(|_, until| *until > now);
        let networks = self.networks.iter().map(|(_, until)| *until);
        self.soonest = networks.chain(self.users.values().copied()).min();
    }
}

impl Bans {
    /// Bans at a time.
    pub(crate) const COUNT_MAX: usize = Networks::COUNT_MAX;
    /// Longest ban.
    pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// Bans until then; a ban that lasts longer stays as it is.
    ///
    /// # Errors
    /// There is no place for one more.
    pub(crate) fn ban(
        &self,
        whom: Banishment,
        now: Instant,
        time: Duration,
    ) -> Result<(), TooManyBans> {
        let until = now + time.min(Bans::LONGEST);
        let mut banned = self.write();
        if let Some(held) = banned.until(&whom) {
            *held = until.max(*held);
        } else {
            if banned.count() >= Bans::COUNT_MAX {
                banned.forget_those_over(now);
            }
            if banned.count() >= Bans::COUNT_MAX {
                return Err(TooManyBans);
            }
            match whom {
                Banishment::Network(network) => banned.networks.insert(network, until),
                Banishment::User(name) => banned.users.insert(name, until),
            };
            banned.soonest = Some(banned.soonest.map_or(until, |soonest| soonest.min(until)));
        }
        self.note(&banned);
        Ok(())
    }

    /// Ends a ban; whether there was one.
    pub(crate) fn unban(&self, whom: &Banishment, now: Instant) -> bool {
        let mut banned = self.write();
        let before = match whom {
            Banishment::Network(network) => banned.networks.remove(*network),
            Banishment::User(name) => banned.users.remove(name),
        };
        banned.forget_those_over(now);
        self.note(&banned);
        before.is_some_and(|until| until > now)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Banned> {
        self.banned.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, banned: &Banned) {
        self.count.store(banned.count(), Ordering::Release);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Counts changes: who has seen this number has seen all of them.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// All that are in force, each with the time that is left.
    pub(crate) fn list(&self, now: Instant) -> Vec<(Banishment, Duration)> {
        let banned = self.banned.read().unwrap_or_else(PoisonError::into_inner);
        let networks = banned.networks.iter();
        let networks = networks.map(|(network, until)| (Banishment::Network(network), *until));
        let users = banned.users.iter();
        let users = users.map(|(name, until)| (Banishment::User(name.clone()), *until));
        let all = networks.chain(users);
        let left = all.map(|(whom, until)| (whom, until.saturating_duration_since(now)));
        left.filter(|(_, left)| !left.is_zero()).collect()
    }

    /// Whether nobody is banned.
    fn is_none(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// How much longer who connects from there is kept out.
    pub(crate) fn of_peer(&self, peer: Peer) -> Option<Duration> {
        if self.is_none() {
            return None;
        }
        let ip = peer.address()?.ip();
        let banned = self.banned.read().unwrap_or_else(PoisonError::into_inner);
        let until = banned.networks.around(ip).max()?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// How much longer this user is kept out.
    pub(crate) fn of_user(&self, user: &str) -> Option<Duration> {
        if self.is_none() {
            return None;
        }
        let banned = self.banned.read().unwrap_or_else(PoisonError::into_inner);
        let left = banned
            .users
            .get(user)?
            .saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// How many are banned, those included whose bans are over and were not looked at since.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn peer(text: &str) -> Peer {
        Peer::Ip(SocketAddr::new(text.parse().expect("an address"), 1))
    }

    fn network(text: &str) -> Banishment {
        Banishment::of_network(text).expect("a network")
    }

    #[test]
    fn bans_end_by_themselves_or_are_lifted() {
        let bans = Bans::default();
        let now = Instant::now();
        assert_eq!(bans.of_peer(peer("192.0.2.1")), None);
        let hour = Duration::from_secs(3_600);
        bans.ban(network("192.0.2.1"), now, hour).expect("a place");
        bans.ban(network("198.51.100.0/24"), now, hour)
            .expect("a place");
        bans.ban(network("203.0.113.9"), now, Duration::ZERO)
            .expect("a place");
        bans.ban(Banishment::of_user("ann"), now, hour)
            .expect("a place");
        assert!(
            bans.of_peer(peer("192.0.2.1"))
                .is_some_and(|left| left <= hour)
        );
        assert!(bans.of_peer(peer("::ffff:192.0.2.1")).is_some());
        assert!(bans.of_peer(peer("198.51.100.77")).is_some());
        assert_eq!(bans.of_peer(peer("192.0.2.2")), None);
        assert_eq!(bans.of_peer(peer("203.0.113.9")), None, "it is over");
        assert_eq!(bans.of_peer(Peer::Unix), None);
        assert!(bans.of_user("ann").is_some() && bans.of_user("bob").is_none());
        assert_eq!(bans.list(now).len(), 3, "one is over");
        // A shorter one does not shorten it.
        bans.ban(Banishment::of_user("ann"), now, Duration::ZERO)
            .expect("a place");
        assert!(bans.of_user("ann").is_some());
        assert!(bans.unban(&Banishment::of_user("ann"), now));
        assert!(!bans.unban(&Banishment::of_user("ann"), now));
        assert!(!bans.unban(&network("203.0.113.9"), now));
        assert!(bans.unban(&network("198.51.100.0/24"), now));
        assert!(
            bans.unban(&network("192.0.2.1/32"), now),
            "it is the same network"
        );
        assert_eq!((bans.of_peer(peer("192.0.2.1")), bans.count()), (None, 0));
    }

    #[test]
    fn a_full_table_refuses_and_forgets_nobody() {
        let bans = Bans::default();
        let now = Instant::now();
        let hour = Duration::from_secs(3_600);
        {
            let mut banned = bans.banned.write().expect("nobody panicked");
            for number in 0..Bans::COUNT_MAX {
                let name = format!("user-{number}").into();
                banned.users.insert(name, now + hour);
            }
        }
        assert_eq!(
            bans.ban(Banishment::of_user("ann"), now, hour),
            Err(TooManyBans)
        );
        bans.ban(Banishment::of_user("user-7"), now, 2 * hour)
            .expect("it has a place");
        // Once they are over there is room.
        let later = now + 3 * hour;
        bans.ban(Banishment::of_user("ann"), later, hour)
            .expect("a place");
        assert_eq!(bans.count(), 1);
    }
}
