//! How many connections each address has, and how quickly it connects. An IPv6 address counts by
//! its /64, which is what one customer gets.
//!
//! Invariant: no address is uncounted. When the table is full, addresses that have no place in it
//! share an entry by their wider network (IPv4: /16, IPv6: /32), and when there is no place for
//! that either, one entry by family: whoever comes then is let in or refused together with these.
//! So nobody has more than the limit, and a flood of addresses costs others no more than a share of
//! their network's entry.

use crate::access::networks::IpFamily;
use crate::limits::gcra::{Rate, Wait};
use crate::limits::table::{Keep, StripedTable};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Addresses of clients, and the networks of those that have no place.
#[derive(Debug)]
pub(super) struct AddressTable {
    addresses: StripedTable<u64, AddressUse>,
    networks: StripedTable<u64, AddressUse>,
    /// Of all others: IPv4, IPv6.
    others: [Mutex<AddressUse>; 2],
}

/// The entry that counts a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressPlace {
    Address(u64),
    Network(u64),
    Others(IpFamily),
}

#[derive(Debug, Default)]
struct AddressUse {
    connections: u32,
    /// Of connects per second.
    full_at: u64,
}

impl AddressUse {
    /// Without it, nothing would be different.
    fn is_idle(&self, now: u64) -> bool {
        self.connections == 0 && self.full_at <= now
    }
}

impl AddressTable {
    /// Addresses that have entries of their own.
    pub(super) const ADDRESSES_MAX: usize = 262_144;
    /// Networks that have.
    pub(super) const NETWORKS_MAX: usize = 16_384;

    pub(super) fn new(addresses_max: usize, networks_max: usize) -> AddressTable {
        AddressTable {
            addresses: StripedTable::new(addresses_max),
            networks: StripedTable::new(networks_max),
            others: Default::default(),
        }
    }

    /// Takes one connect out of what the address may.
    ///
    /// # Errors
    /// It has connected too often: when it may again.
    pub(super) fn connects(&self, ip: IpAddr, rate: Rate, now: u64) -> Result<(), Wait> {
        let (_, taken) = self.with(ip, now, |used| {
            used.full_at = rate.take(used.full_at, now, 1)?;
            Ok(())
        });
        taken
    }

    /// Counts a connection, if the address has less than `max`: the entry that counts it.
    pub(super) fn enter(&self, ip: IpAddr, max: u32, now: u64) -> Option<AddressPlace> {
        let (place, enters) = self.with(ip, now, |used| {
            let enters = used.connections < max;
            used.connections += u32::from(enters);
            enters
        });
        enters.then_some(place)
    }

    /// A connection that this entry counts is gone.
    pub(super) fn leave(&self, place: AddressPlace, now: u64) {
        let less = |used: &mut AddressUse| {
            used.connections = used.connections.saturating_sub(1);
            let idle = used.is_idle(now);
            (if idle { Keep::No } else { Keep::Yes }, ())
        };
        let left = match place {
            AddressPlace::Address(key) => self.addresses.change(&key, less),
            AddressPlace::Network(key) => self.networks.change(&key, less),
            AddressPlace::Others(family) => {
                less(&mut self.others(family));
                Some(())
            }
        };
        debug_assert!(left.is_some(), "who is counted has an entry");
    }

    /// The entry of an address, or the one that it shares.
    fn with<T>(
        &self,
        ip: IpAddr,
        now: u64,
        change: impl FnOnce(&mut AddressUse) -> T,
    ) -> (AddressPlace, T) {
        let mut change = Some(change);
        // It is run at most once: where there is a place.
        let mut run = |used: &mut AddressUse| (change.take().expect("run once"))(used);
        let (family, address, network) = keys(ip);
        let is_idle = |used: &AddressUse| used.is_idle(now);
        let own = self
            .addresses
            .enter(address, AddressUse::default, is_idle, &mut run);
        if let Some(result) = own {
            return (AddressPlace::Address(address), result);
        }
        let shared = self
            .networks
            .enter(network, AddressUse::default, is_idle, &mut run);
        match shared {
            Some(result) => (AddressPlace::Network(network), result),
            None => {
                let result = run(&mut self.others(family));
                (AddressPlace::Others(family), result)
            }
        }
    }

    fn others(&self, family: IpFamily) -> MutexGuard<'_, AddressUse> {
        let others = &self.others[family as usize];
        others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.addresses.count() + self.networks.count()
    }
}

/// What tells addresses from each other: for IPv6 its /64.
pub(crate) fn address_key(ip: IpAddr) -> u64 {
    keys(ip).1
}

/// Family, and the keys of the address and of its network. Keys of IPv4 have their highest half
/// set, which no IPv6 address in use has.
fn keys(ip: IpAddr) -> (IpFamily, u64, u64) {
    const V4: u64 = 0xffff_ffff_0000_0000;
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let bits = V4 | u64::from(ip.to_bits());
            (IpFamily::V4, bits, bits & !0xffff)
        }
        IpAddr::V6(ip) => {
            let bits = (ip.to_bits() >> 64) as u64;
            (IpFamily::V6, bits, bits & !0xffff_ffff)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::net::Ipv4Addr;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_address_has_its_own_and_a_slash_64_is_one() {
        let table = AddressTable::new(1 << 16, 1 << 10);
        for (first, second, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let place = table.enter(ip(first), 1, 0).expect("one may");
            assert_eq!(
                table.enter(ip(second), 1, 0).is_none(),
                same,
                "{first} {second}"
            );
            table.leave(place, 0);
            if !same {
                table.leave(AddressPlace::Address(keys(ip(second)).1), 0);
            }
            assert_eq!(table.count(), 0, "nothing is left of who has left");
        }
    }

    #[test]
    fn it_counts_as_a_slow_model_does() {
        let table = AddressTable::new(1 << 16, 1 << 10);
        let mut model: HashMap<IpAddr, Vec<AddressPlace>> = HashMap::new();
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..20_000 {
            let address = IpAddr::from(Ipv4Addr::from(random.u32(..200)));
            let held = model.entry(address).or_default();
            if random.bool() {
                let entered = table.enter(address, 5, 0);
                assert_eq!(entered.is_some(), held.len() < 5, "{address}");
                held.extend(entered);
            } else if let Some(place) = held.pop() {
                table.leave(place, 0);
            }
        }
        let alive = model.values().filter(|held| !held.is_empty()).count();
        assert_eq!(table.count(), alive);
    }

    #[test]
    fn who_finds_no_place_shares_and_nobody_passes_uncounted() {
        // A stripe has one place, so 64 addresses at most have entries of their own.
        let table = AddressTable::new(64, 64);
        let mut places = Vec::new();
        let mut refused = 0;
        for number in 0..4_000_u32 {
            let address = IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number * 1_021));
            match table.enter(address, 3, 0) {
                Some(place) => places.push(place),
                None => refused += 1,
            }
        }
        assert!(table.count() <= 128);
        // At most three for each entry that there is.
        assert!(places.len() <= 3 * 129, "{}", places.len());
        assert!(refused > 3_000);
        assert!(places.contains(&AddressPlace::Others(IpFamily::V4)));
        let v6 = table.enter(ip("2001:db8::1"), 3, 0);
        assert!(
            v6.is_some(),
            "the others of one family are not those of the other"
        );
        for place in places.into_iter().chain(v6) {
            table.leave(place, 0);
        }
        assert_eq!(table.count(), 0);
    }

    #[test]
    fn a_place_is_kept_for_as_long_as_the_rate_remembers() {
        let table = AddressTable::new(64, 64);
        let rate = Rate::new(1, 2).expect("in range");
        let address = ip("192.0.2.1");
        assert!(table.connects(address, rate, 0).is_ok());
        assert!(table.connects(address, rate, 0).is_ok());
        let wait = table
            .connects(address, rate, 0)
            .expect_err("a burst of two");
        assert_eq!(wait.milliseconds(), 1_000);
        // Connections that come and go do not make it forgotten.
        let place = table.enter(address, 1, 0).expect("one may");
        table.leave(place, 0);
        assert!(table.connects(address, rate, 0).is_err());
        assert!(table.connects(address, rate, 1_000_000_000).is_ok());
    }
}
