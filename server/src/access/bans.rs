//! Addresses and users that are kept out for a time: by an operator, or after too many refusals.
//!
//! Invariant: a ban ends by itself, and there are at most [`Bans::COUNT_MAX`]; one more is refused,
//! and nobody's ban ends early for it. Shards look at one number while there is none. Written by
//! the admin port and by gates; read by gates, for connections that begin.

use crate::access::networks::{BadNetwork, Networks};
use shardcast_engine::Peer;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Who is banned, for all shards.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    count: AtomicUsize,
    banned: RwLock<Banned>,
}

#[derive(Debug, Default)]
struct Banned {
    /// All that stand in `until`, to be looked at quickly.
    networks: Networks,
    /// By network as it is written, and by user.
    until: HashMap<Banishment, Instant>,
}

/// Whom a ban is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Banishment {
    /// A network or an address, in the form of [`Networks`].
    Network(Box<str>),
    User(Box<str>),
}

impl Banishment {
    /// An address, or a network in CIDR form.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn of_network(text: &str) -> Result<Banishment, BadNetwork> {
        let mut one = Networks::default();
        one.add(text)?;
        let text = one.texts().pop().unwrap_or_default();
        Ok(Banishment::Network(text.into()))
    }

    pub(crate) fn of_user(name: &str) -> Banishment {
        Banishment::User(name.into())
    }
}

/// Too many are banned already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} bans are in force: lift some, or block networks in the configuration",
    Bans::COUNT_MAX
)]
pub(crate) struct TooManyBans;

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
        let mut banned = self.banned.write().unwrap_or_else(PoisonError::into_inner);
        if !banned.until.contains_key(&whom) && banned.until.len() >= Bans::COUNT_MAX {
            banned.until.retain(|_, until| *until > now);
            if banned.until.len() >= Bans::COUNT_MAX {
                return Err(TooManyBans);
            }
        }
        let held = banned.until.entry(whom).or_insert(until);
        *held = until.max(*held);
        self.note(&mut banned);
        Ok(())
    }

    /// Ends a ban; whether there was one.
    pub(crate) fn unban(&self, whom: &Banishment, now: Instant) -> bool {
        let mut banned = self.banned.write().unwrap_or_else(PoisonError::into_inner);
        let before = banned.until.remove(whom);
        banned.until.retain(|_, until| *until > now);
        self.note(&mut banned);
        before.is_some_and(|until| until > now)
    }

    fn note(&self, banned: &mut Banned) {
        let mut networks = Networks::default();
        for whom in banned.until.keys() {
            if let Banishment::Network(network) = whom {
                // There are no more than a set of networks takes.
                let _ = networks.add(network);
            }
        }
        banned.networks = networks;
        self.count.store(banned.until.len(), Ordering::Release);
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
        if !banned.networks.has(ip) {
            return None;
        }
        let now = Instant::now();
        let until = banned.until.iter().filter_map(|(whom, until)| {
            let Banishment::Network(network) = whom else {
                return None;
            };
            let mut one = Networks::default();
            let fits = one.add(network).is_ok() && one.has(ip);
            fits.then(|| until.saturating_duration_since(now))
        });
        until.max().filter(|left| !left.is_zero())
    }

    /// How much longer this user is kept out.
    pub(crate) fn of_user(&self, user: &str) -> Option<Duration> {
        if self.is_none() {
            return None;
        }
        let banned = self.banned.read().unwrap_or_else(PoisonError::into_inner);
        let until = banned.until.get(&Banishment::of_user(user))?;
        let left = until.saturating_duration_since(Instant::now());
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
                let user = Banishment::of_user(&format!("user-{number}"));
                banned.until.insert(user, now + hour);
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
