//! Who a request is from, as the proxies before us say: `X-Forwarded-For` and `Forwarded` (RFC
//! 7239). Called by servers that have trusted proxies, for requests that came from one.
//!
//! Invariant: only what a trusted proxy wrote counts. Each proxy adds the address that it was asked
//! from at the end, so entries are read from the last one backwards, as long as they name proxies
//! that are trusted, too; what stands before the first that does not is the client's own word and
//! is not even read.

use super::request::HttpRequest;
use crate::head;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Why nobody knows who a request is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardingError {
    /// An entry that a trusted proxy wrote is no address.
    #[error("a proxy forwards what is no address")]
    Malformed,
    /// The two headers name different clients: a proxy writes one of them, and passes on what the
    /// client says in the other.
    #[error(
        "Forwarded and X-Forwarded-For differ: have the proxy delete the one it does not write"
    )]
    Contradiction,
}

/// The client of a request that came from a trusted proxy: the last address that is no trusted
/// proxy's, with port 0 where none is told. `None`: the proxies name nobody else than themselves,
/// or a client that they will not name, and the proxy's own address counts.
///
/// # Errors
/// The request is to be answered 400.
pub fn client(
    request: &HttpRequest<'_>,
    trusts: impl Fn(IpAddr) -> bool,
) -> Result<Option<SocketAddr>, ForwardingError> {
    let listed = entries(request, "X-Forwarded-For", ListEntry);
    let listed = nearest_stranger(listed, &trusts)?;
    let forwarded = entries(request, "Forwarded", ForwardedEntry);
    match (listed, nearest_stranger(forwarded, &trusts)?) {
        (Some(one), Some(other)) if one.map(|it| it.ip()) != other.map(|it| it.ip()) => {
            Err(ForwardingError::Contradiction)
        }
        (Some(one), _) => Ok(one),
        (None, other) => Ok(other.flatten()),
    }
}

/// What an entry says.
enum Hop {
    Address(SocketAddr),
    /// `unknown`, or a name that only the proxy understands (RFC 7239 §6.3).
    Unnamed,
    Malformed,
}

/// How entries of a header are written.
#[derive(Clone, Copy)]
enum EntryForm {
    ListEntry,
    ForwardedEntry,
}
use EntryForm::{ForwardedEntry, ListEntry};

/// The header's entries, the last one first.
fn entries<'r>(
    request: &'r HttpRequest<'_>,
    name: &'r str,
    form: EntryForm,
) -> impl Iterator<Item = Hop> + 'r {
    let lines: Vec<&[u8]> = head::values(request.headers(), name).collect();
    let items = lines.into_iter().rev().flat_map(items_backwards);
    items.map(move |item| match form {
        ListEntry => address(&String::from_utf8_lossy(item)),
        ForwardedEntry => element(item),
    })
}

/// Outside `None`: there is no such header. Inside: no address that is a stranger's.
fn nearest_stranger(
    hops: impl Iterator<Item = Hop>,
    trusts: impl Fn(IpAddr) -> bool,
) -> Result<Option<Option<SocketAddr>>, ForwardingError> {
    let mut nearest = None;
    for hop in hops {
        match hop {
            Hop::Malformed => return Err(ForwardingError::Malformed),
            Hop::Unnamed => return Ok(Some(nearest.flatten())),
            Hop::Address(address) => {
                nearest = Some(Some(address));
                if !trusts(address.ip()) {
                    break;
                }
            }
        }
    }
    Ok(nearest)
}

/// Items of a comma list, the last one first and empty ones left out. A comma in quotes does not
/// count, and quotes are paired from the end: a quote that a client opens and does not close cannot
/// swallow what a proxy adds behind it.
fn items_backwards(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut left = Some(line);
    std::iter::from_fn(move || {
        let line = left?;
        let mut quoted = false;
        let comma = line.iter().rposition(|&byte| {
            quoted ^= byte == b'"';
            byte == b',' && !quoted
        });
        left = comma.map(|at| &line[..at]);
        Some(&line[comma.map_or(0, |at| at + 1)..])
    })
    .map(<[u8]>::trim_ascii)
    .filter(|item| !item.is_empty())
}

/// An element of `Forwarded` (RFC 7239 §4): its `for`, of which there is one, by name in any case.
fn element(item: &[u8]) -> Hop {
    let mut named = None;
    let pairs = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let Some(equals) = memchr::memchr(b'=', pair) else {
            return Hop::Malformed;
        };
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if name.eq_ignore_ascii_case(b"for") && named.replace(value).is_some() {
            return Hop::Malformed;
        }
    }
    // An element without `for` is a hop that names nobody.
    let Some(value) = named else {
        return Hop::Unnamed;
    };
    match unquoted(value) {
        Some(node) => address(&node),
        None => Hop::Malformed,
    }
}

/// A token, or a quoted string without escapes, which no address needs.
fn unquoted(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"")?,
        None if head::is_token(value) => value,
        None => return None,
    };
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
    inner
        .iter()
        .all(plain)
        .then(|| String::from_utf8_lossy(inner))
}

/// `203.0.113.9`, `203.0.113.9:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`. A port may
/// be one that only the proxy understands (`_x`).
fn address(node: &str) -> Hop {
    if node.eq_ignore_ascii_case("unknown") || node.starts_with('_') {
        return Hop::Unnamed;
    }
    let (host, port) = match (node.parse::<IpAddr>(), node.rsplit_once(':')) {
        (Ok(ip), _) => return hop(ip, 0),
        (Err(_), Some((host, port))) if !node.ends_with(']') => (host, Some(port)),
        (Err(_), _) => (node, None),
    };
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        None => Some(0),
        Some(port) if port.starts_with('_') => Some(0),
        Some(port) if digits(port) => port.parse().ok(),
        Some(_) => None,
    };
    let in_brackets = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let ip = match in_brackets {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        // Without brackets the last colon would be part of an address of version 6.
        None => host.parse::<IpAddr>().ok().filter(IpAddr::is_ipv4),
    };
    match (ip, port) {
        (Some(ip), Some(port)) => hop(ip, port),
        _ => Hop::Malformed,
    }
}

fn hop(ip: IpAddr, port: u16) -> Hop {
    Hop::Address(SocketAddr::new(ip.to_canonical(), port))
}
