//! Sets of networks: proxies that are trusted, addresses that are let in or kept out.
//!
//! Invariant: asking takes one look-up for each length of prefix that occurs, however many networks
//! there are. An IPv4 address that is written as IPv6 is the same address.

use ipnet::IpNet;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

/// Networks in CIDR form (RFC 4632), such as `10.0.0.0/8` and `2001:db8::/32`, and single
/// addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// By family and length of the prefix.
    by_prefix: BTreeMap<(IpFamily, u8), HashSet<IpAddr>>,
    count: usize,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IpFamily {
    V4,
    V6,
}

/// Why a network is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// It is neither a network nor an address.
    #[error("{0:?} is no network such as 10.0.0.0/8 or 2001:db8::/32, and no address")]
    Malformed(String),
    /// Bits behind the prefix are set: it may be another network than was meant.
    #[error("{0:?} has bits behind its prefix; the network is {1}")]
    HostBits(String, IpNet),
    /// [`Networks::COUNT_MAX`] are there already.
    #[error("at most {} networks may be listed", Networks::COUNT_MAX)]
    TooMany,
}

impl Networks {
    /// Most networks of a set.
    pub const COUNT_MAX: usize = 10_000;

    /// Adds a network, or an address.
    ///
    /// # Errors
    /// It is not taken.
    pub fn add(&mut self, text: &str) -> Result<(), BadNetwork> {
        let malformed = || BadNetwork::Malformed(text.to_owned());
        let network = match text.parse::<IpAddr>() {
            Ok(ip) => IpNet::from(ip.to_canonical()),
            Err(_) => text.parse::<IpNet>().map_err(|_| malformed())?,
        };
        if network.trunc() != network {
            return Err(BadNetwork::HostBits(text.to_owned(), network.trunc()));
        }
        if self.count == Networks::COUNT_MAX {
            return Err(BadNetwork::TooMany);
        }
        let key = (family(network.addr()), network.prefix_len());
        let of_prefix = self.by_prefix.entry(key).or_default();
        self.count += usize::from(of_prefix.insert(network.addr()));
        Ok(())
    }

    /// Whether the address is in one of them.
    pub fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let own = family(ip);
        let prefixes = self.by_prefix.range((own, 0)..=(own, u8::MAX));
        prefixes.into_iter().any(|((_, length), networks)| {
            let network = IpNet::new(ip, *length).map(|network| network.trunc().addr());
            network.is_ok_and(|network| networks.contains(&network))
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// As they are written, in order.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut networks: Vec<IpNet> = Vec::new();
        for ((_, length), addresses) in &self.by_prefix {
            let with_length = addresses
                .iter()
                .filter_map(|ip| IpNet::new(*ip, *length).ok());
            networks.extend(with_length);
        }
        networks.sort_unstable();
        let text = |network: &IpNet| match network.prefix_len() == network.max_prefix_len() {
            true => network.addr().to_string(),
            false => network.to_string(),
        };
        networks.iter().map(text).collect()
    }
}

fn family(ip: IpAddr) -> IpFamily {
    match ip {
        IpAddr::V4(_) => IpFamily::V4,
        IpAddr::V6(_) => IpFamily::V6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        let mut networks = Networks::default();
        for text in texts {
            networks.add(text).expect("a network");
        }
        networks
    }

    #[test]
    fn an_address_is_in_them_as_a_slow_look_says() {
        let texts = [
            "10.0.0.0/8",
            "192.0.2.1",
            "192.0.2.128/25",
            "0.0.0.0/32",
            "2001:db8::/32",
            "::1",
            "fd00::/8",
            "2001:db8:1::/48",
        ];
        let set = networks(&texts);
        let slow: Vec<IpNet> = set.texts().iter().map(|text| slow_of(text)).collect();
        let mut random = fastrand::Rng::with_seed(7);
        let near = [
            "10.0.0.0",
            "11.0.0.0",
            "9.255.255.255",
            "192.0.2.1",
            "192.0.2.127",
            "192.0.2.128",
        ];
        let near = near
            .into_iter()
            .chain(["192.0.3.0", "::1", "::2", "2001:db8::", "2001:db9::"]);
        let near = near.chain(["fd12::1", "fc00::", "::ffff:10.1.2.3", "0.0.0.0", "0.0.0.1"]);
        let near = near.map(|text| text.parse::<IpAddr>().expect("an address"));
        let four: Vec<IpAddr> = (0..500)
            .map(|_| IpAddr::from(random.u32(..).to_be_bytes()))
            .collect();
        for ip in near.chain(four) {
            let canonical = ip.to_canonical();
            let expected = slow.iter().any(|network| network.contains(&canonical));
            assert_eq!(set.has(ip), expected, "{ip}");
        }
        assert_eq!(set.count(), texts.len());
        assert!(!Networks::default().has(IpAddr::from([127, 0, 0, 1])));
        let all = networks(&["0.0.0.0/0", "::/0"]);
        assert!(all.has(IpAddr::from([1; 4])) && all.has(IpAddr::from([1; 16])));
    }

    fn slow_of(text: &str) -> IpNet {
        text.parse()
            .unwrap_or_else(|_| IpNet::from(text.parse::<IpAddr>().expect("an address")))
    }

    #[test]
    fn what_is_none_is_told() {
        for (text, error) in [
            ("", "no network"),
            ("10.0.0.0/33", "no network"),
            ("10.0.0/8", "no network"),
            ("10.0.0.0/-1", "no network"),
            ("10.0.0.0/8 ", "no network"),
            ("example.com", "no network"),
            ("2001:db8::/129", "no network"),
            ("10.1.2.3/8", "the network is 10.0.0.0/8"),
        ] {
            let refused = Networks::default().add(text).expect_err(text).to_string();
            assert!(refused.contains(error), "{text}: {refused}");
        }
        let mut many = Networks::default();
        for number in 0..Networks::COUNT_MAX as u32 {
            many.add(&IpAddr::from(number.to_be_bytes()).to_string())
                .expect("fits");
        }
        assert_eq!(many.add("::1"), Err(BadNetwork::TooMany));
        assert_eq!(many.texts().len(), Networks::COUNT_MAX);
    }
}
