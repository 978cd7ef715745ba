//! Addresses that are refused again and again are banned for a while.
//!
//! Invariant: only refusals count that say something of who asks (401, 403, 429), and at most
//! [`AutoBan::ADDRESSES_MAX`] addresses are watched: where the table is full of others, a refusal
//! stays a refusal, and no ban follows from it. The service reports refusals.

use crate::access::bans::{Banishment, Bans};
use crate::limits::addresses::address_key;
use crate::limits::gcra::Rate;
use crate::limits::table::StripedTable;
use shardcast_engine::Peer;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// After how many refusals a minute an address is banned, and for how long.
#[derive(Debug)]
pub(crate) struct AutoBan {
    /// In sixtieths of a refusal.
    rate: Rate,
    time: Duration,
    /// When the bucket of an address is full.
    watched: StripedTable<u64, u64>,
    started: Instant,
}

impl AutoBan {
    const ADDRESSES_MAX: usize = 65_536;
    /// Parts of a refusal: so many seconds has a minute.
    const PARTS: u64 = 60;

    /// `None`: a number of refusals that no rate has.
    pub(crate) fn new(refusals_a_minute: u64, time: Duration) -> Option<AutoBan> {
        let burst = refusals_a_minute.checked_mul(AutoBan::PARTS)?;
        Some(AutoBan {
            rate: Rate::new(refusals_a_minute, burst)?,
            time,
            watched: StripedTable::new(AutoBan::ADDRESSES_MAX),
            started: Instant::now(),
        })
    }

    /// A client was refused with this status: whether it is banned for it.
    pub(crate) fn refused(&self, bans: &Bans, client: Peer, status: u16) -> bool {
        let counts = matches!(status, 401 | 403 | 429);
        let Some(ip) = client.address().filter(|_| counts).map(|it| it.ip()) else {
            return false;
        };
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let is_idle = |full_at: &u64| *full_at <= now;
        let too_often = self
            .watched
            .enter(
                address_key(ip),
                u64::default,
                is_idle,
                |full_at| match self.rate.take(*full_at, now, AutoBan::PARTS) {
                    Ok(then) => {
                        *full_at = then;
                        false
                    }
                    Err(_) => true,
                },
            );
        if too_often != Some(true) {
            return false;
        }
        let network = network_of(ip);
        let banned =
            Banishment::of_network(&network).map(|whom| bans.ban(whom, Instant::now(), self.time));
        matches!(banned, Ok(Ok(())))
    }
}

/// An address, or the /64 of an IPv6 address.
fn network_of(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let network = Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX));
            format!("{network}/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn who_is_refused_too_often_is_banned_and_nobody_else() {
        let (auto, bans) = (
            AutoBan::new(3, Duration::from_secs(60)).expect("a rate"),
            Bans::default(),
        );
        let peer = |text: &str| Peer::Ip(SocketAddr::new(text.parse().expect("an address"), 1));
        let ann = peer("192.0.2.1");
        for status in [400, 404, 503, 500] {
            assert!(!auto.refused(&bans, ann, status));
        }
        for status in [401, 403, 429] {
            assert!(!auto.refused(&bans, ann, status));
        }
        assert_eq!(bans.of_peer(ann), None);
        assert!(auto.refused(&bans, ann, 401), "the fourth within a minute");
        assert!(bans.of_peer(ann).is_some() && bans.of_peer(peer("192.0.2.2")).is_none());
        for _ in 0..4 {
            auto.refused(&bans, peer("2001:db8::1"), 401);
        }
        assert!(bans.of_peer(peer("2001:db8::ffff")).is_some(), "its /64");
        assert!(bans.of_peer(peer("2001:db8:0:1::1")).is_none());
        assert!(!auto.refused(&bans, Peer::Unix, 401));
    }
}
