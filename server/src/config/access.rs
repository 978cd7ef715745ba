//! How the values of section `[access]` are written: lists as text.

use super::value::ConfigValue;
use crate::access::networks::Networks;
use crate::access::origin::Origins;
use crate::access::proxies::Proxies;
use shardcast_engine::ProxyProtocol;

impl ConfigValue for Origins {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "own" => Origins::own(),
            ANY => Origins::any(),
            list => {
                let mut origins = list.split(',').map(str::trim);
                origins.try_fold(Origins::own(), |origins, origin| origins.and(origin).ok())?
            }
        };
        Some(())
    }

    fn show(&self) -> String {
        if self.is_any() {
            return ANY.to_owned();
        }
        if self.is_own_only() {
            return "own".to_owned();
        }
        let listed = self.listed().map(ToString::to_string);
        listed.collect::<Vec<_>>().join(",")
    }
}

impl ConfigValue for Proxies {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            NONE => Proxies::none(),
            list => {
                let mut items = list.split(',').map(str::trim);
                items.try_fold(Proxies::none(), |proxies, item| proxies.and(item).ok())?
            }
        };
        Some(())
    }

    fn show(&self) -> String {
        if self.is_none() {
            return NONE.to_owned();
        }
        self.texts().join(",")
    }
}

impl ConfigValue for ProxyProtocol {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "off" => ProxyProtocol::Off,
            "on" => ProxyProtocol::On,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            ProxyProtocol::Off => "off",
            ProxyProtocol::On => "on",
        }
        .to_owned()
    }
}

/// Networks that clients may connect from: all, or these.
impl ConfigValue for Option<Networks> {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            ANY => None,
            list => Some(networks(list)?),
        };
        Some(())
    }

    fn show(&self) -> String {
        let list = self.as_ref().map(|networks| networks.texts().join(","));
        list.unwrap_or_else(|| ANY.to_owned())
    }
}

/// Networks that they may not connect from.
impl ConfigValue for Networks {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            NONE => Networks::default(),
            list => networks(list)?,
        };
        Some(())
    }

    fn show(&self) -> String {
        if self.count() == 0 {
            return NONE.to_owned();
        }
        self.texts().join(",")
    }
}

fn networks(list: &str) -> Option<Networks> {
    let mut networks = Networks::default();
    let mut items = list.split(',').map(str::trim);
    items.try_for_each(|item| networks.add(item).ok())?;
    Some(networks)
}

const NONE: &str = "none";
const ANY: &str = "any";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let long = vec!["https://a.example"; Origins::COUNT_MAX + 1].join(",");
        for (text, shown) in [
            ("own", Some("own")),
            ("any", Some("any")),
            ("https://a.example", Some("https://a.example")),
            (
                "https://a.example:443, HTTPS://*.B.example",
                Some("https://a.example,https://*.b.example"),
            ),
            ("", None),
            ("*", None),
            ("https://a.example,", None),
            ("https://a.example,any", None),
            ("null", None),
            (&long, None),
        ] {
            let mut origins = Origins::own();
            let read = origins.read(text).map(|()| origins.show());
            assert_eq!(read.as_deref(), shown, "{text}");
            if shown.is_some() {
                let mut again = Origins::own();
                assert_eq!(again.read(&origins.show()), Some(()));
                assert_eq!(again, origins);
            }
        }
    }

    /// What a value reads, and how it is shown; what it shows reads back as the same.
    fn check<V: ConfigValue + Default + PartialEq + std::fmt::Debug>(
        text: &str,
        shown: Option<&str>,
    ) {
        let mut value = V::default();
        let read = value.read(text).map(|()| value.show());
        assert_eq!(read.as_deref(), shown, "{text}");
        let mut again = V::default();
        assert_eq!(again.read(&value.show()), Some(()), "{text}");
        assert_eq!(again, value, "{text}");
    }

    #[test]
    fn networks_and_proxies() {
        for (text, shown) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("::1, 10.0.0.1/32,10.0.0.1", Some("10.0.0.1,::1")),
            ("", None),
            ("10.1.2.3/8", None),
            ("10.0.0.0/8,", None),
        ] {
            check::<Networks>(text, shown);
            check::<Option<Networks>>(text, shown);
            check::<Proxies>(text, shown);
        }
        check::<Networks>("none", Some("none"));
        check::<Networks>("any", None);
        check::<Option<Networks>>("any", Some("any"));
        check::<Option<Networks>>("none", None);
        check::<Proxies>("none", Some("none"));
        check::<Proxies>("10.0.0.0/8,unix", Some("unix,10.0.0.0/8"));
        for (text, shown) in [("off", Some("off")), ("on", Some("on")), ("v2", None)] {
            check::<ProxyProtocol>(text, shown);
        }
    }
}
