//! A request's target (RFC 9112 §3.2) and who it is for.
//!
//! A path is compared after escapes of unreserved characters were decoded and the others' digits
//! made capital: those spell the same path by RFC 3986 §6.2.2, so `/%77s` is `/ws`. Every other
//! escape stays as it is (`/a%2Fb` is not `/a/b`), and dots are not resolved: nothing here stands
//! for a file, so `/x/../ws` is simply another path.
//!
//! A query is the application's to read, so it is taken as it came: browsers send a `%` that no
//! escape follows as it is (WHATWG URL, percent-encode sets), and other clients send UTF-8 without
//! escapes.

use super::method::HttpMethod;
use std::borrow::Cow;

/// Path, query and authority of a target.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'b> {
    pub(super) path: Cow<'b, str>,
    pub(super) query: Option<&'b str>,
    /// Only an absolute-form target names it.
    pub(super) authority: Option<&'b str>,
}

impl<'b> Target<'b> {
    /// The target of a request with `method`, if it has a form that goes with it.
    pub(super) fn parse(method: HttpMethod, target: &'b str) -> Option<Target<'b>> {
        let (before_query, query) = match target.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (target, None),
        };
        if !before_query.bytes().all(is_visible) || !query.is_none_or(is_query) {
            return None;
        }
        // Asterisk-form is for OPTIONS (§3.2.4), authority-form for CONNECT (§3.2.3); neither names
        // a path.
        let pathless = match method {
            HttpMethod::Connect => is_authority(target.as_bytes()),
            HttpMethod::Options => target == "*",
            HttpMethod::Get | HttpMethod::Head | HttpMethod::Post | HttpMethod::Other => false,
        };
        if pathless {
            return Some(Target {
                path: Cow::Borrowed(target),
                query: None,
                authority: None,
            });
        }
        if method == HttpMethod::Connect {
            return None;
        }
        let (authority, path) = match before_query.starts_with('/') {
            true => (None, before_query),
            false => {
                let (authority, path) = split_absolute(before_query)?;
                (Some(authority), path)
            }
        };
        // An absolute URI may have no path at all, which means the root (RFC 9110 §4.2.3).
        let path = normal(if path.is_empty() { "/" } else { path })?;
        Some(Target {
            path,
            query,
            authority,
        })
    }
}

/// What may stand before a query.
fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

/// No white space, control character or fragment (RFC 6455 §3); otherwise whatever is text.
fn is_query(query: &str) -> bool {
    let taken = |char: char| !char.is_control() && !char.is_whitespace() && char != '#';
    query.chars().all(taken)
}

/// Authority and path of an absolute-form target.
fn split_absolute(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    let known = ["http", "https", "ws", "wss"];
    if !known.iter().any(|name| scheme.eq_ignore_ascii_case(name)) {
        return None;
    }
    let (authority, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // No userinfo (RFC 9110 §4.2.4).
    (!authority.is_empty() && is_authority(authority.as_bytes())).then_some((authority, rest))
}

/// `uri-host [":" port]`, as Host has it too (RFC 9110 §7.2); the host may be empty.
pub(super) fn is_authority(bytes: &[u8]) -> bool {
    let (host, port) = match bytes.iter().rposition(|&byte| byte == b':') {
        // The colons of an address in brackets are not the port's.
        Some(at) if !bytes[at..].contains(&b']') => (&bytes[..at], &bytes[at + 1..]),
        _ => (bytes, &b""[..]),
    };
    let in_brackets = host
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"));
    let host_is_good = match in_brackets {
        Some(address) => {
            let of_address = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
            !address.is_empty() && address.iter().all(of_address)
        }
        None => {
            let of_name = |byte: &u8| is_unreserved(*byte) || b"!$&'()*+,;=%".contains(byte);
            host.iter().all(of_name) && str::from_utf8(host).is_ok_and(has_complete_escapes)
        }
    };
    host_is_good && port.iter().all(u8::is_ascii_digit)
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Every `%` is followed by two hexadecimal digits.
fn has_complete_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| escaped(rest).is_some())
}

/// The byte that an escape stands for, from what follows its `%`.
fn escaped(rest: &str) -> Option<u8> {
    let digit = |at: usize| char::from(*rest.as_bytes().get(at)?).to_digit(16);
    Some((digit(0)? * 16 + digit(1)?) as u8)
}

/// The path in its normal spelling (RFC 3986 §6.2.2.1, §6.2.2.2); `None` if an escape is broken.
fn normal(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let mut pieces = path.split('%');
    let mut out = pieces.next()?.to_owned();
    for piece in pieces {
        let byte = escaped(piece)?;
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&piece[..2].to_ascii_uppercase());
        }
        out.push_str(&piece[2..]);
    }
    Some(Cow::Owned(out))
}
