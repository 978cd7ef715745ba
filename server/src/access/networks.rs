//! Sets of networks: proxies that are trusted, addresses that are let in or kept out.
//!
//! Invariant: asking takes one look-up for each length of prefix that occurs, however many networks
//! there are. An IPv4 address that is written as IPv6 is the same address.

use ipnet::IpNet;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Networks in CIDR form (RFC 4632), such as `10.0.0.0/8` and `2001:db8::/32`, and single
/// addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(NetworkMap<()>);

/// Networks, and what is known of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkMap<V> {
    /// By family and length of the prefix.
    by_prefix: BTreeMap<(IpFamily, u8), HashMap<IpAddr, V>>,
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
        let network = read_network(text)?;
        if self.0.count == Networks::COUNT_MAX {
            return Err(BadNetwork::TooMany);
        }
        self.0.insert(network, ());
        Ok(())
    }

    /// Whether the address is in one of them.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.0.around(ip).next().is_some()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.count
    }

    /// As they are written, in order.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut networks: Vec<IpNet> = self.0.iter().map(|(network, ())| network).collect();
        networks.sort_unstable();
        networks.into_iter().map(show_network).collect()
    }
}

impl<V> Default for NetworkMap<V> {
    fn default() -> NetworkMap<V> {
        NetworkMap {
            by_prefix: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<V> NetworkMap<V> {
    /// The value of exactly this network.
    pub(crate) fn get_mut(&mut self, network: IpNet) -> Option<&mut V> {
        let of_prefix = self.by_prefix.get_mut(&prefix_of(network))?;
        of_prefix.get_mut(&network.addr())
    }

    /// Sets the value of exactly this network; what it was before.
    pub(crate) fn insert(&mut self, network: IpNet, value: V) -> Option<V> {
        let of_prefix = self.by_prefix.entry(prefix_of(network)).or_default();
        let before = of_prefix.insert(network.addr(), value);
        self.count += usize::from(before.is_none());
        before
    }

    /// Forgets exactly this network.
    pub(crate) fn remove(&mut self, network: IpNet) -> Option<V> {
        let of_prefix = self.by_prefix.get_mut(&prefix_of(network))?;
        let value = of_prefix.remove(&network.addr())?;
        self.count -= 1;
        Some(value)
    }

    /// Forgets all networks but these.
    pub(crate) fn retain(&mut self, stays: impl Fn(&V) -> bool) {
        for of_prefix in self.by_prefix.values_mut() {
            of_prefix.retain(|_, value| stays(value));
        }
        // Lengths that occur no more cost no look-up.
        self.by_prefix.retain(|_, of_prefix| !of_prefix.is_empty());
        self.count = self.by_prefix.values().map(HashMap::len).sum();
    }

    /// The values of all networks that this address is in.
    pub(crate) fn around(&self, ip: IpAddr) -> impl Iterator<Item = &V> {
        let ip = ip.to_canonical();
        let own = family(ip);
        let prefixes = self.by_prefix.range((own, 0)..=(own, u8::MAX));
        prefixes.filter_map(move |((_, length), networks)| {
            let network = IpNet::new(ip, *length).ok()?;
            networks.get(&network.trunc().addr())
        })
    }

    /// All networks, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpNet, &V)> {
        self.by_prefix.iter().flat_map(|((_, length), networks)| {
            let networks = networks.iter();
            networks.filter_map(|(ip, value)| Some((IpNet::new(*ip, *length).ok()?, value)))
        })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

/// A network in CIDR form, or an address.
///
/// # Errors
/// It is neither, or has bits behind its prefix.
pub(crate) fn read_network(text: &str) -> Result<IpNet, BadNetwork> {
    let malformed = || BadNetwork::Malformed(text.to_owned());
    let network = match text.parse::<IpAddr>() {
        Ok(ip) => IpNet::from(ip.to_canonical()),
        Err(_) => text.parse::<IpNet>().map_err(|_| malformed())?,
    };
    if network.trunc() != network {
        return Err(BadNetwork::HostBits(text.to_owned(), network.trunc()));
    }
    Ok(network)
}

/// The text that [`read_network`] reads as this network.
pub(crate) fn show_network(network: IpNet) -> String {
    match network.prefix_len() == network.max_prefix_len() {
        true => network.addr().to_string(),
        false => network.to_string(),
    }
}

fn prefix_of(network: IpNet) -> (IpFamily, u8) {
    (family(network.addr()), network.prefix_len())
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
