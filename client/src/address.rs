//! Addresses of servers and of proxies.
//!
//! Invariant: what comes out needs no further look: it has a host, a port and a path. Used by the
//! options and by what connects.

use crate::error::{Error, ErrorKind};
use std::fmt;
use url::{Host, Url};

/// Whether a connection is under TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Security {
    Plain,
    Tls,
}

/// Where a server is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) security: Security,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With its query.
    pub(crate) path: String,
    /// As `Host` has it.
    pub(crate) authority: String,
}

impl Endpoint {
    pub(crate) fn parse(text: &str) -> Result<Endpoint, Error> {
        let bad = |why: &str| Error::new(ErrorKind::BadOption, format!("{text}: {why}"));
        let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        let security = match url.scheme() {
            "ws" => Security::Plain,
            "wss" => Security::Tls,
            _ => return Err(bad("an address begins with ws:// or wss://")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("an address bears no user: see the option `token`"));
        }
        let host = host_of(&url).ok_or_else(|| bad("no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| bad("no port"))?;
        let shown = url.host_str().unwrap_or_default();
        let authority = match url.port() {
            Some(port) => format!("{shown}:{port}"),
            None => shown.to_owned(),
        };
        let mut path = url.path().to_owned();
        if let Some(query) = url.query() {
            path.push('?');
            path.push_str(query);
        }
        Ok(Endpoint {
            security,
            host,
            port,
            path,
            authority,
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its query may bear a token.
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{:?} {}{path}", self.security, self.authority)
    }
}

fn host_of(url: &Url) -> Option<String> {
    Some(match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    })
}

/// Where a proxy is, and who the client is there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ProxyAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `user:password`, as it is sent.
    pub(crate) credentials: Option<String>,
}

impl ProxyAddress {
    pub(crate) fn parse(text: &str) -> Result<ProxyAddress, Error> {
        // The address may bear a password, so no error repeats it.
        let bad = |why: &str| Error::new(ErrorKind::BadOption, format!("proxy: {why}"));
        let with_scheme = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let url = Url::parse(&with_scheme).map_err(|error| bad(&error.to_string()))?;
        if url.scheme() != "http" {
            return Err(bad("an address begins with http://"));
        }
        let decoded = |part: &str| percent_decoded(part);
        let user = url.username();
        let credentials = (!user.is_empty()).then(|| {
            let password = url.password().unwrap_or_default();
            format!("{}:{}", decoded(user), decoded(password))
        });
        Ok(ProxyAddress {
            host: host_of(&url).ok_or_else(|| bad("no host"))?,
            port: url.port_or_known_default().unwrap_or(80),
            credentials,
        })
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn percent_decoded(text: &str) -> String {
    let decoded = url::form_urlencoded::parse(text.as_bytes()).next();
    match decoded {
        // Whose plus is a plus.
        Some((name, _)) if !text.contains(['+', '=', '&']) => name.into_owned(),
        _ => text.to_owned(),
    }
}

/// Whether a host is one that `NO_PROXY` names: itself, a domain that it is in, or `*`.
pub(crate) fn is_excepted(host: &str, no_proxy: &str) -> bool {
    let mut names = no_proxy
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names.any(|name| {
        let name = name.trim_start_matches('.');
        let inside = host
            .strip_suffix(name)
            .is_some_and(|rest| rest.ends_with('.'));
        name == "*" || host.eq_ignore_ascii_case(name) || inside
    })
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, ProxyAddress, Security, is_excepted};

    #[test]
    fn addresses_are_taken_apart_or_refused() {
        let check = |text: &str, expected: Option<(&str, u16, &str, &str)>| {
            let parsed = Endpoint::parse(text).ok();
            let found = parsed
                .as_ref()
                .map(|at| (&*at.host, at.port, &*at.path, &*at.authority));
            assert_eq!(found, expected, "{text}");
        };
        check("ws://a.test/ws", Some(("a.test", 80, "/ws", "a.test")));
        check(
            "wss://a.test/ws?x=1#y",
            Some(("a.test", 443, "/ws?x=1", "a.test")),
        );
        check("ws://[::1]:8000", Some(("::1", 8000, "/", "[::1]:8000")));
        check(
            "ws://127.0.0.1:80/",
            Some(("127.0.0.1", 80, "/", "127.0.0.1")),
        );
        for bad in [
            "",
            "http://a.test",
            "a.test/ws",
            "ws://",
            "ws://user@a.test/ws",
        ] {
            check(bad, None);
        }
        let parsed = Endpoint::parse("wss://a.test/").expect("an address");
        assert_eq!(parsed.security, Security::Tls);
    }

    #[test]
    fn a_proxy_may_bear_credentials_which_no_debug_shows() {
        let proxy = ProxyAddress::parse("http://me:p%40ss@proxy.test:3128").expect("an address");
        assert_eq!(proxy.credentials.as_deref(), Some("me:p@ss"));
        assert_eq!(format!("{proxy:?}"), "proxy.test:3128");
        let plain = ProxyAddress::parse("proxy.test:3128").expect("an address");
        assert_eq!((plain.port, plain.credentials), (3128, None));
        let error = ProxyAddress::parse("socks5://me:secret@p").expect_err("no CONNECT there");
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn no_proxy_names_hosts_and_domains() {
        for (host, list, expected) in [
            ("a.test", "a.test", true),
            ("b.a.test", ".a.test, other", true),
            ("ba.test", "a.test", false),
            ("x", "*", true),
            ("x", "", false),
        ] {
            assert_eq!(is_excepted(host, list), expected, "{host} {list}");
        }
    }
}
