//! The PROXY protocol, versions 1 and 2: what a proxy says about the client before the client's
//! first byte. No I/O; called by the engine for listeners that expect it.
//!
//! Invariant: a header is taken whole and to the letter, or refused; never more than
//! [`HEADER_BYTES_MAX`] bytes are asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Longest header that is taken: the fixed part, the addresses, and 4 KiB in all for what a proxy
/// says beyond them (names of servers and certificates).
pub const HEADER_BYTES_MAX: usize = 4 << 10;

/// Who speaks behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduced {
    /// A client at this address.
    Client(SocketAddr),
    /// The proxy itself (its health check), or a client whose address it does not know or that has
    /// none: the proxy's address counts.
    Proxy,
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The first bytes are of no version.
    #[error("no PROXY header")]
    Missing,
    /// It does not keep to its version's form.
    #[error("a malformed PROXY header")]
    Malformed,
    /// It announces, or is, more than is taken.
    #[error("a PROXY header of more than {HEADER_BYTES_MAX} bytes")]
    TooLong,
}

/// Looks for a complete header at the start of `bytes`, which are all that has come. `Ok(None)`
/// asks for more; with the header comes its length.
///
/// # Errors
/// It is refused, whatever else comes.
pub fn parse(bytes: &[u8]) -> Result<Option<(Introduced, usize)>, ProxyError> {
    let begins = |signature: &[u8]| {
        let shared = bytes.len().min(signature.len());
        bytes[..shared] == signature[..shared]
    };
    if begins(SIGNATURE) {
        return binary(bytes);
    }
    if begins(PREFIX) {
        return line(bytes);
    }
    Err(ProxyError::Missing)
}

/// Version 1: a line of text, its end included at most this long.
const LINE_BYTES_MAX: usize = 107;
const PREFIX: &[u8] = b"PROXY ";
/// Version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;

fn line(bytes: &[u8]) -> Result<Option<(Introduced, usize)>, ProxyError> {
    let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        let is_over = window.len() == LINE_BYTES_MAX;
        return if is_over {
            Err(ProxyError::Malformed)
        } else {
            Ok(None)
        };
    };
    let line = window[PREFIX.len().min(end)..end].strip_suffix(b"\r");
    let line = line.and_then(|line| str::from_utf8(line).ok());
    let introduced = line.and_then(words).ok_or(ProxyError::Malformed)?;
    Ok(Some((introduced, end + 1)))
}

/// `TCP4 203.0.113.9 198.51.100.1 56324 443`, or `UNKNOWN` and whatever follows.
fn words(line: &str) -> Option<Introduced> {
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(Introduced::Proxy);
    }
    let mut next = || words.next();
    let (source, destination) = (next()?, next()?);
    let (port, _) = (number(next()?)?, number(next()?)?);
    let ip = match family {
        "TCP4" => IpAddr::from(both::<Ipv4Addr>(source, destination)?),
        "TCP6" => IpAddr::from(both::<Ipv6Addr>(source, destination)?),
        _ => return None,
    };
    next().is_none().then(|| client(ip, port))
}

/// The first of two addresses, if both are addresses.
fn both<A: FromStr>(source: &str, destination: &str) -> Option<A> {
    destination.parse::<A>().ok()?;
    source.parse().ok()
}

/// A port: decimal, without a leading zero.
fn number(word: &str) -> Option<u16> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = digits && (word == "0" || !word.starts_with('0'));
    is_plain.then(|| word.parse().ok())?
}

fn binary(bytes: &[u8]) -> Result<Option<(Introduced, usize)>, ProxyError> {
    const PROXIED: u8 = 0x21;
    const LOCAL: u8 = 0x20;
    if let Some(command) = bytes.get(SIGNATURE.len())
        && !matches!(*command, PROXIED | LOCAL)
    {
        return Err(ProxyError::Malformed);
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(None);
    };
    let (command, family) = (fixed[12], fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED_BYTES + length > HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    // Addresses stand first; what a proxy says beyond them is passed over.
    let addresses_bytes = match family {
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => return Err(ProxyError::Malformed),
    };
    if command == PROXIED && length < addresses_bytes {
        return Err(ProxyError::Malformed);
    }
    let Some(rest) = rest.get(..length) else {
        return Ok(None);
    };
    let introduced = match (command, family, rest) {
        (PROXIED, 0x11, [a, b, c, d, _, _, _, _, p, q, ..]) => {
            let ip = Ipv4Addr::new(*a, *b, *c, *d);
            client(ip.into(), u16::from_be_bytes([*p, *q]))
        }
        (PROXIED, 0x21, rest) => {
            let ip = rest.first_chunk::<16>().map(|ip| Ipv6Addr::from(*ip));
            match (ip, rest.get(32..34)) {
                (Some(ip), Some(&[p, q])) => client(ip.into(), u16::from_be_bytes([p, q])),
                _ => return Err(ProxyError::Malformed),
            }
        }
        // Datagrams and Unix sockets are no client's of ours; LOCAL's addresses mean nothing.
        _ => Introduced::Proxy,
    };
    Ok(Some((introduced, FIXED_BYTES + length)))
}

fn client(ip: IpAddr, port: u16) -> Introduced {
    Introduced::Client(SocketAddr::new(ip.to_canonical(), port))
}
