//! Which web pages may connect: a browser names the origin of the page that asks (RFC 6454), and
//! lets pages of any site ask for a WebSocket.
//!
//! Invariant: without a word of the operator's, only the server's own pages connect. A request
//! without `Origin` comes from no page and is none of this file's business. The service asks for
//! every connect and for every request to the path of event streams.

use shardcast_engine::{Peer, Refusal};
use shardcast_protocol::http::HttpRequest;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The web pages that may connect: those of the server's own host, and those of the origins that
/// are listed here ([`crate::App::origins`]).
///
/// A page is the server's own if its host is the one that the client asked for (`Host`), on the
/// port that it asked for or on one of [`Origins::and_port`]. A host's name counts so only for
/// clients with public addresses: in a private network, and on this host, any site can have its
/// name resolve to the server (DNS rebinding), so there a name must be listed. Addresses and
/// `localhost` need not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    listed: Vec<OriginPattern>,
    /// Besides the port that the client asked for.
    own_ports: Vec<u16>,
}

/// Why an origin cannot be listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigin {
    /// It is neither an origin nor the pattern of one.
    #[error(
        "{0:?} is no origin such as https://example.com, https://example.com:8443 or https://*.example.com"
    )]
    Malformed(String),
    /// [`Origins::COUNT_MAX`] are listed already.
    #[error("at most {} origins may be listed", Origins::COUNT_MAX)]
    TooMany,
}

impl Origins {
    /// Most origins that may be listed.
    pub const COUNT_MAX: usize = 64;

    /// The server's own pages alone: the default.
    pub fn own() -> Origins {
        Origins::default()
    }

    /// Pages of every site: for a server that serves any page, or whose hook looks at `Origin`
    /// itself.
    pub fn any() -> Origins {
        Origins {
            any: true,
            ..Origins::default()
        }
    }

    /// The server's own pages and those of one more origin: `https://example.com`, with a port
    /// unless it is the scheme's, or `https://*.example.com` for every host below `example.com`,
    /// not itself.
    ///
    /// # Errors
    /// It is no origin, or one more than [`Origins::COUNT_MAX`].
    pub fn and(mut self, origin: &str) -> Result<Origins, BadOrigin> {
        let pattern = OriginPattern::parse(origin);
        let pattern = pattern.ok_or_else(|| BadOrigin::Malformed(origin.to_owned()))?;
        if self.listed.len() == Origins::COUNT_MAX {
            return Err(BadOrigin::TooMany);
        }
        self.listed.push(pattern);
        Ok(self)
    }

    /// Pages of the server's host on this port are its own, too: those of a web server beside it.
    #[must_use]
    pub fn and_port(mut self, port: u16) -> Origins {
        self.own_ports.push(port);
        self
    }

    /// Whether nothing is listed.
    pub(crate) fn is_own_only(&self) -> bool {
        !self.any && self.listed.is_empty()
    }

    /// Whether pages of all sites may connect.
    pub(crate) fn is_any(&self) -> bool {
        self.any
    }

    /// What is listed.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &OriginPattern> {
        self.listed.iter()
    }

    /// Whether the page that asks may, if a page asks.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn check(&self, request: &HttpRequest<'_>, client: Peer) -> Result<(), ForeignPage> {
        let headers = request.headers().iter();
        let mut given = headers.filter(|(name, _)| name.eq_ignore_ascii_case("Origin"));
        let Some((_, value)) = given.next() else {
            return Ok(());
        };
        if self.any {
            return Ok(());
        }
        let origin = str::from_utf8(value).ok().and_then(Origin::parse);
        let Some(origin) = origin.filter(|_| given.next().is_none()) else {
            return Err(ForeignPage(None));
        };
        let listed = self.listed.iter().any(|pattern| pattern.fits(&origin));
        if listed || self.owns(&origin, request.host(), client) {
            return Ok(());
        }
        Err(ForeignPage(Some(origin)))
    }

    fn owns(&self, origin: &Origin, asked: Option<&str>, client: Peer) -> bool {
        let is_web = matches!(origin.scheme.as_str(), "http" | "https");
        let Some((host, port)) = asked.filter(|_| is_web).and_then(host_and_port) else {
            return false;
        };
        // Behind a proxy that speaks TLS, the client's scheme is not known: a host without a port
        // is on the default port of the page's scheme.
        let port = port.or(default_port(&origin.scheme));
        let same_port = origin.port == port
            || origin
                .port
                .is_some_and(|port| self.own_ports.contains(&port));
        host == origin.host && same_port && (host.is_certain() || is_public(client))
    }
}

/// A page that may not connect: its origin, if it is one.
#[derive(Debug)]
pub(crate) struct ForeignPage(Option<Origin>);

impl From<ForeignPage> for Refusal {
    fn from(ForeignPage(origin): ForeignPage) -> Refusal {
        let reason = match origin {
            Some(origin) => {
                format!("pages of {origin} may not connect: access.origins lists those that may")
            }
            None => "pages without an origin of their own may not connect (access.origins)".into(),
        };
        Refusal::new(403, reason)
    }
}

/// `scheme://host[:port]`, in small letters, without the scheme's own port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

/// One origin, or all hosts below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OriginPattern {
    origin: Origin,
    below: bool,
}

/// A host as browsers write it: addresses that are equal are equal texts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// No name that somebody else gives addresses to.
    fn is_certain(&self) -> bool {
        match self {
            Host::Address(_) => true,
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    fn parse(text: &str) -> Option<Host> {
        if let Some(rest) = text.strip_prefix('[') {
            let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
            return Some(Host::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Host::Address(address.into()));
        }
        let stands = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let labels = text.strip_suffix('.').unwrap_or(text).split('.');
        let mut labels = labels.map(|label| !label.is_empty() && label.bytes().all(stands));
        (text.len() <= HOST_BYTES_MAX && labels.all(|good| good))
            .then(|| Host::Name(text.to_ascii_lowercase()))
    }
}

impl Origin {
    /// As a browser writes it; `null` is none.
    pub(crate) fn parse(text: &str) -> Option<Origin> {
        let (scheme, rest) = text.split_once("://")?;
        let mut letters = scheme.bytes();
        let stands = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let named = letters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic());
        if scheme.len() > SCHEME_BYTES_MAX || !named || !letters.all(stands) {
            return None;
        }
        let (host, port) = host_and_port(rest)?;
        let scheme = scheme.to_ascii_lowercase();
        // The port that needs no mention is kept, so that origins compare whole.
        let port = port.or(default_port(&scheme));
        Some(Origin { scheme, host, port })
    }
}

impl OriginPattern {
    pub(crate) fn parse(text: &str) -> Option<OriginPattern> {
        let Some((scheme, host)) = text.split_once("://*.") else {
            let origin = Origin::parse(text)?;
            return Some(OriginPattern {
                origin,
                below: false,
            });
        };
        let origin = Origin::parse(&format!("{scheme}://{host}"))?;
        matches!(origin.host, Host::Name(_)).then_some(OriginPattern {
            origin,
            below: true,
        })
    }

    fn fits(&self, origin: &Origin) -> bool {
        let same = self.origin.scheme == origin.scheme && self.origin.port == origin.port;
        same && match (&self.origin.host, &origin.host, self.below) {
            (one, other, false) => one == other,
            (Host::Name(parent), Host::Name(name), true) => name
                .strip_suffix(parent.as_str())
                .is_some_and(|labels| labels.ends_with('.')),
            (_, _, true) => false,
        }
    }
}

/// `host[:port]`; userinfo, paths and empty hosts are none.
fn host_and_port(text: &str) -> Option<(Host, Option<u16>)> {
    let (host, port) = match text.rfind(':') {
        // The colons of an address in brackets are not the port's.
        Some(at) if !text[at..].contains(']') => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        None => None,
        Some(port) => Some(port.parse().ok().filter(|_| digits(port))?),
    };
    Some((Host::parse(host)?, port))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Whether whoever answers for a site's name cannot have it point to the server on behalf of this
/// client: the server could then be reached from anywhere, without the client's browser.
fn is_public(client: Peer) -> bool {
    let Some(address) = client.address() else {
        return false;
    };
    let near = match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            // Carriers' own addresses (RFC 6598).
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            let near = ip.is_loopback() || ip.is_private() || ip.is_link_local();
            near || shared || ip.is_unspecified()
        }
        IpAddr::V6(ip) => {
            let near = ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local();
            near || ip.is_unspecified()
        }
    };
    !near
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(ip)) => ip.fmt(f),
            Host::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}

impl Origin {
    fn write(&self, f: &mut fmt::Formatter<'_>, before_host: &str) -> fmt::Result {
        write!(f, "{}://{before_host}{}", self.scheme, self.host)?;
        match self
            .port
            .filter(|_| self.port != default_port(&self.scheme))
        {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.write(f, if self.below { "*." } else { "" })
    }
}

/// Longest name of a host (RFC 1035 §2.3.4), with its last dot.
const HOST_BYTES_MAX: usize = 254;
/// Longer than any scheme that a browser has.
const SCHEME_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_protocol::http::{HeadLimits, Progress, parse};
    use std::net::SocketAddr;

    const PUBLIC: &str = "203.0.113.9:1";
    const LOOPBACK: &str = "127.0.0.1:1";

    /// Whether a page whose request has these headers may connect from this address.
    fn check(origins: &Origins, headers: &str, client: &str) -> bool {
        let head = format!("GET /ws HTTP/1.1\r\n{headers}\r\n\r\n");
        let limits = HeadLimits {
            head_bytes_max: 8 << 10,
            headers_max: 16,
        };
        let parsed = parse(head.as_bytes(), &mut Progress::default(), &limits);
        let (request, _) = parsed.expect("a request").expect("complete");
        let client: SocketAddr = client.parse().expect("an address");
        origins.check(&request, client.into()).is_ok()
    }

    /// Whom a page asks for, its origin, and whether it is the server's own: for a client on this
    /// host, and for one with a public address.
    const OWN: &[(&str, &str, bool, bool)] = &[
        ("127.0.0.1:8000", "http://127.0.0.1:8000", true, true),
        ("127.0.0.1:8000", "http://127.0.0.1:8001", true, true),
        ("127.0.0.1:8000", "http://127.0.0.1:8002", false, false),
        ("127.0.0.1:8000", "http://127.0.0.1", false, false),
        ("127.0.0.1:8000", "http://127.0.0.2:8000", false, false),
        ("127.0.0.1:8000", "http://localhost:8000", false, false),
        ("localhost:8000", "http://localhost:8000", true, true),
        ("LocalHost:8000", "http://localhost:8000", true, true),
        (
            "app.localhost:8000",
            "http://app.localhost:8001",
            true,
            true,
        ),
        ("[::1]:8000", "http://[::1]:8000", true, true),
        ("[0:0::1]:8000", "http://[::1]:8001", true, true),
        ("[::1]:8000", "http://[::2]:8000", false, false),
        // Names are anybody's to point here.
        ("evil.example:8000", "http://evil.example:8000", false, true),
        ("evil.example:8000", "http://evil.example:8001", false, true),
        ("chat.example", "https://chat.example", false, true),
        ("chat.example", "http://chat.example", false, true),
        ("chat.example:443", "https://chat.example", false, true),
        ("chat.example", "https://chat.example:444", false, false),
        ("chat.example", "https://chat.example.", false, false),
        (
            "chat.example",
            "https://chat.example.evil.example",
            false,
            false,
        ),
        ("chat.example", "https://evilchat.example", false, false),
        ("chat.example", "https://www.chat.example", false, false),
        // No origins, or none of a page.
        ("127.0.0.1:8000", "null", false, false),
        ("127.0.0.1:8000", "", false, false),
        ("127.0.0.1:8000", "http://", false, false),
        ("127.0.0.1:8000", "127.0.0.1:8000", false, false),
        ("127.0.0.1:8000", "//127.0.0.1:8000", false, false),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/", false, false),
        ("127.0.0.1:8000", "http://a@127.0.0.1:8000", false, false),
        (
            "127.0.0.1:8000",
            "http://127.0.0.1:8000@evil.example",
            false,
            false,
        ),
        (
            "127.0.0.1:8000",
            "http://127.0.0.1:8000, http://a",
            false,
            false,
        ),
        ("127.0.0.1:8000", "http://127.0.0.1:8000#", false, false),
        ("127.0.0.1:8000", "http://127.0.0.1:+8000", false, false),
        ("127.0.0.1:8000", "http://127.0.0.1:73536", false, false),
        ("127.0.0.1:8000", "http://2130706433:8000", false, false),
        ("127.0.0.1:8000", "http://0x7f.1:8000", false, false),
        ("127.0.0.1:8000", "ftp://127.0.0.1:8000", false, false),
        ("127.0.0.1:8000", "HTTP://127.0.0.1:8000", true, true),
        ("127.0.0.1:8000", "chrome-extension://abcdef", false, false),
        ("", "http://", false, false),
    ];

    #[test]
    fn own_pages_and_nobody_else() {
        let origins = Origins::own().and_port(8001);
        for (host, origin, loopback, public) in OWN {
            let headers = format!("Host: {host}\r\nOrigin: {origin}");
            for (client, expected) in [(LOOPBACK, *loopback), (PUBLIC, *public)] {
                let let_in = check(&origins, &headers, client);
                assert_eq!(let_in, expected, "{headers} from {client}");
                assert!(check(&Origins::any(), &headers, client), "{headers}");
            }
        }
        // No page asks.
        assert!(check(&origins, "Host: evil.example", LOOPBACK));
        let twice = "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example";
        assert!(!check(&origins, twice, LOOPBACK));
    }

    #[test]
    fn a_name_counts_for_public_clients_alone() {
        let headers = "Host: chat.example\r\nOrigin: https://chat.example";
        for (client, expected) in [
            ("127.9.9.9:1", false),
            ("10.0.0.1:1", false),
            ("172.16.0.1:1", false),
            ("192.168.7.7:1", false),
            ("169.254.1.1:1", false),
            ("100.64.0.1:1", false),
            ("100.128.0.1:1", true),
            ("8.8.8.8:1", true),
            ("[::1]:1", false),
            ("[fd00::1]:1", false),
            ("[fe80::1]:1", false),
            ("[::ffff:10.0.0.1]:1", false),
            ("[2001:db8::1]:1", true),
        ] {
            assert_eq!(
                check(&Origins::own(), headers, client),
                expected,
                "{client}"
            );
        }
    }

    #[test]
    fn listed_origins() {
        let origins = Origins::own()
            .and("https://Example.com")
            .and_then(|origins| origins.and("https://*.example.org:8443"))
            .and_then(|origins| origins.and("capacitor://localhost"))
            .expect("origins");
        for (origin, expected) in [
            ("https://example.com", true),
            ("https://example.com:443", true),
            ("HTTPS://EXAMPLE.COM", true),
            ("http://example.com", false),
            ("https://example.com:8443", false),
            ("https://example.com.", false),
            ("https://www.example.com", false),
            ("https://example.com.evil.example", false),
            ("https://example.com@evil.example", false),
            ("https://evil.example/example.com", false),
            ("https://a.example.org:8443", true),
            ("https://a.b.example.org:8443", true),
            ("https://example.org:8443", false),
            ("https://.example.org:8443", false),
            ("https://a..example.org:8443", false),
            ("https://evilexample.org:8443", false),
            ("https://a.example.org", false),
            ("https://a.example.org.evil.example:8443", false),
            ("https://*.example.org:8443", false),
            ("capacitor://localhost", true),
            ("http://localhost", false),
            ("null", false),
        ] {
            let headers = format!("Host: x\r\nOrigin: {origin}");
            assert_eq!(check(&origins, &headers, LOOPBACK), expected, "{origin}");
        }
    }

    #[test]
    fn what_can_be_listed_reads_back_as_it_is_shown() {
        let long = format!("https://{}", "a".repeat(HOST_BYTES_MAX + 1));
        for (text, shown) in [
            ("https://example.com", Some("https://example.com")),
            ("https://example.com:443", Some("https://example.com")),
            ("http://example.com:443", Some("http://example.com:443")),
            ("http://[::1]:80", Some("http://[::1]")),
            ("https://*.Example.com", Some("https://*.example.com")),
            ("tauri://localhost", Some("tauri://localhost")),
            ("*", None),
            ("null", None),
            ("example.com", None),
            ("https://", None),
            ("https://*", None),
            ("https://*.", None),
            ("https://*.127.0.0.1", None),
            ("https://a.*.example.com", None),
            ("https://exa*mple.com", None),
            ("https://example.com/", None),
            ("https://example.com:", None),
            ("https://example.com:0x50", None),
            ("https://münchen.example", None),
            ("https://a b", None),
            ("1ttp://a", None),
            (&long, None),
        ] {
            let pattern = OriginPattern::parse(text).map(|pattern| pattern.to_string());
            assert_eq!(pattern.as_deref(), shown, "{text}");
            assert_eq!(Origins::own().and(text).is_ok(), shown.is_some(), "{text}");
        }
        let mut origins = Origins::own();
        for number in 0..Origins::COUNT_MAX {
            origins = origins
                .and(&format!("https://{number}.example"))
                .expect("fits");
        }
        assert_eq!(origins.and("https://one.more"), Err(BadOrigin::TooMany));
    }
}
