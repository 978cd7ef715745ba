//! A request head, read once into a type that cannot be wrong.

use super::head_error::HeadError;
use super::method::HttpMethod;
use super::target::{Target, is_authority};
use super::{HeadLimits, Persistence, Progress};
use crate::deflate::{Agreement, ExtensionsMalformed, Takeover, negotiate};
use crate::head;

/// A request whose framing is beyond doubt. What it asks for may still be refused.
#[derive(Debug)]
pub struct HttpRequest<'b> {
    method: HttpMethod,
    target: Target<'b>,
    version: Version,
    headers: Vec<(&'b str, &'b [u8])>,
    body: Body,
}

/// The versions that are understood. A higher minor version is read as 1.1 (RFC 9110 §2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Nothing, and no header speaks of it.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks; their sum is not known.
    Chunked,
}

/// Looks for a complete request head at the start of `bytes`: `Ok(None)` asks for more bytes. With
/// it comes how many bytes the head took; what follows is its body, the next request, or WebSocket
/// data.
///
/// `progress` remembers how far earlier calls looked (start with its default), so that a head that
/// comes byte by byte costs linear work.
///
/// # Errors
/// It is refused: answer with [`super::write_refusal`] and close.
pub fn parse<'b>(
    bytes: &'b [u8],
    progress: &mut Progress,
    limits: &HeadLimits,
) -> Result<Option<(HttpRequest<'b>, usize)>, HeadError> {
    match progress.find_end(bytes, limits)? {
        Some(end) => Ok(Some((HttpRequest::read(&bytes[..end])?, end))),
        None => Ok(None),
    }
}

impl<'b> HttpRequest<'b> {
    /// The method.
    pub fn method(&self) -> HttpMethod {
        self.method
    }

    /// The path, without the query; begins with `/`. Escapes of unreserved characters are decoded,
    /// others stay as they came (with capital digits), so equal paths are equal text. `*` for
    /// `OPTIONS *`, the authority for CONNECT.
    pub fn path(&self) -> &str {
        &self.target.path
    }

    /// What follows `?`, if anything, as it came: a `%` in it may begin no escape, and not all of
    /// it need be ASCII.
    pub fn query(&self) -> Option<&'b str> {
        self.target.query
    }

    /// The version, for what depends on it.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Who the request is for: the target's authority if it has one (RFC 9112 §3.2.2), or `Host`.
    /// Clause 9112-3.2.2-2.
    pub fn host(&self) -> Option<&'b str> {
        self.target.authority.or_else(|| {
            self.header("Host")
                .and_then(|host| str::from_utf8(host).ok())
        })
    }

    /// First header of that name (case-insensitive), without white space around it.
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// What follows the head.
    pub fn body(&self) -> Body {
        self.body
    }

    /// Nothing follows the head.
    pub fn body_is_empty(&self) -> bool {
        matches!(self.body, Body::None | Body::Length(0))
    }

    /// Whether the client waits for an interim answer before it sends the body; HTTP/1.0 knows none
    /// (RFC 9110 §10.1.1).
    pub fn expects_continue(&self) -> bool {
        let expected = self.header("Expect");
        self.version == Version::Http11
            && expected.is_some_and(|expected| expected.eq_ignore_ascii_case(b"100-continue"))
    }

    /// Whether the client takes `kind/subtype` (RFC 9110 §12.5.1): without `Accept` it takes
    /// anything; otherwise the most specific range that fits decides, and a weight of 0 is a no. Of
    /// ranges that are alike the heaviest counts; their parameters do not.
    pub fn accepts(&self, kind: &str, subtype: &str) -> bool {
        if self.header("Accept").is_none() {
            return true;
        }
        let ranges = head::values(&self.headers, "Accept").flat_map(head::items);
        let fitting = ranges.filter_map(|range| {
            let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let specificity = specificity(parts.next()?, kind, subtype)?;
            Some((specificity, !parts.any(is_weight_of_zero)))
        });
        fitting.max().is_some_and(|(_, takes)| takes)
    }

    /// Whether the client would go on with this connection (RFC 9112 §9.3).
    pub fn persistence(&self) -> Persistence {
        let names = |option| head::names_token(&self.headers, "Connection", option);
        match self.version {
            _ if names("close") => Persistence::Close,
            Version::Http11 => Persistence::Persist,
            Version::Http10 if names("keep-alive") => Persistence::PersistExplicitly,
            Version::Http10 => Persistence::Close,
        }
    }

    /// Whether it wants to become a WebSocket. In HTTP/1.0 nothing can (RFC 9110 §7.8), and other
    /// protocols are not ours.
    pub fn asks_for_websocket(&self) -> bool {
        self.version == Version::Http11 && head::names_token(&self.headers, "Upgrade", "websocket")
    }

    /// Subprotocols offered, in the client's order (all Sec-WebSocket-Protocol headers). What is
    /// not a token is left out.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'b str> + '_ {
        head::values(&self.headers, "Sec-WebSocket-Protocol")
            .flat_map(head::items)
            .filter(|item| head::is_token(item))
            .filter_map(|item| str::from_utf8(item).ok())
    }

    /// The first of the server's subprotocols, in its order of preference, that the client offered
    /// (RFC 6455 §4.2.2). Case matters.
    pub fn choose_subprotocol(&self, preferred: &[&'static str]) -> Option<&'static str> {
        let offers = |name: &str| self.subprotocols().any(|offered| offered == name);
        preferred.iter().copied().find(|name| offers(name))
    }

    /// What is agreed on of the permessage-deflate offers; `None`: nothing.
    ///
    /// # Errors
    /// `Sec-WebSocket-Extensions` is malformed: the request is refused with 400 (RFC 6455 §9.1).
    pub fn deflate(&self, takeover: Takeover) -> Result<Option<Agreement>, ExtensionsMalformed> {
        negotiate(
            head::values(&self.headers, "Sec-WebSocket-Extensions"),
            takeover,
        )
    }

    /// Its headers, in the order sent.
    pub fn headers(&self) -> &[(&'b str, &'b [u8])] {
        &self.headers
    }

    /// Reads a head that ends in an empty line and whose every line ends in CRLF. Bytes stay bytes:
    /// only what must be text becomes it. Clause 9112-2.2-1.
    fn read(head: &'b [u8]) -> Result<HttpRequest<'b>, HeadError> {
        let head = head.strip_prefix(b"\r\n").unwrap_or(head);
        // The scan has seen that every carriage return and every line feed is half of a line's end.
        let mut lines = head
            .split(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .take_while(|line| !line.is_empty());
        let (method, target, version) = request_line(lines.next().unwrap_or_default())?;
        let headers = lines.map(header_line).collect::<Result<Vec<_>, _>>()?;
        let target = Target::parse(method, target).ok_or(HeadError::BadTarget)?;
        check_host(&headers, version)?;
        Ok(HttpRequest {
            method,
            target,
            version,
            body: body(&headers, version)?,
            headers,
        })
    }
}

/// How exactly a media range names `kind/subtype`; `None` if it does not.
fn specificity(range: &[u8], kind: &str, subtype: &str) -> Option<u8> {
    let slash = memchr::memchr(b'/', range)?;
    let (given, rest) = (&range[..slash], &range[slash + 1..]);
    let is_kind = given.eq_ignore_ascii_case(kind.as_bytes());
    match rest {
        b"*" if given == b"*" => Some(0),
        b"*" if is_kind => Some(1),
        _ if is_kind && rest.eq_ignore_ascii_case(subtype.as_bytes()) => Some(2),
        _ => None,
    }
}

/// `q=0`, with up to three zeros behind the point (RFC 9110 §12.4.2).
fn is_weight_of_zero(parameter: &[u8]) -> bool {
    let weight = match parameter {
        [b'q' | b'Q', b'=', weight @ ..] => weight,
        _ => return false,
    };
    matches!(weight, b"0" | b"0." | b"0.0" | b"0.00" | b"0.000")
}

/// `method SP request-target SP HTTP-version` (RFC 9112 §3).
fn request_line(line: &[u8]) -> Result<(HttpMethod, &str, Version), HeadError> {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HeadError::Malformed);
    };
    if !head::is_token(method) || target.is_empty() {
        return Err(HeadError::Malformed);
    }
    let version = match version {
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Version::Http11,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(HeadError::VersionUnsupported);
        }
        _ => return Err(HeadError::Malformed),
    };
    let method = match method {
        b"GET" => HttpMethod::Get,
        b"HEAD" => HttpMethod::Head,
        b"POST" => HttpMethod::Post,
        b"OPTIONS" => HttpMethod::Options,
        b"CONNECT" => HttpMethod::Connect,
        _ => HttpMethod::Other,
    };
    let target = str::from_utf8(target).map_err(|_| HeadError::BadTarget)?;
    Ok((method, target, version))
}

/// `field-name ":" OWS field-value OWS` (RFC 9112 §5). White space before the colon is no part of a
/// token.
fn header_line(line: &[u8]) -> Result<(&str, &[u8]), HeadError> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(HeadError::Folded);
    }
    let colon = memchr::memchr(b':', line).ok_or(HeadError::Malformed)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !head::is_token(name) {
        return Err(HeadError::Malformed);
    }
    let name = str::from_utf8(name).map_err(|_| HeadError::Malformed)?;
    Ok((name, value.trim_ascii()))
}

/// One Host, and a possible one; only HTTP/1.0 may go without (RFC 9112 §3.2).
fn check_host(headers: &[(&str, &[u8])], version: Version) -> Result<(), HeadError> {
    let mut hosts = head::values(headers, "Host");
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(HeadError::HostRepeated),
        (Some(host), None) if !is_authority(host) => Err(HeadError::HostInvalid),
        (None, None) if version == Version::Http11 => Err(HeadError::HostMissing),
        (_, None) | (None, _) => Ok(()),
    }
}

/// RFC 9112 §6.3. Whatever two readers might read in two ways is refused.
fn body(headers: &[(&str, &[u8])], version: Version) -> Result<Body, HeadError> {
    let mut lengths = head::values(headers, "Content-Length");
    let length = match (lengths.next(), lengths.next()) {
        (Some(length), None) => Some(content_length(length).ok_or(HeadError::LengthInvalid)?),
        (Some(_), Some(_)) => return Err(HeadError::LengthInvalid),
        (None, _) => None,
    };
    if head::values(headers, "Transfer-Encoding").next().is_none() {
        return Ok(length.map_or(Body::None, Body::Length));
    }
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let codings: Vec<&[u8]> = head::values(headers, "Transfer-Encoding")
        .flat_map(head::items)
        .collect();
    let ends_chunked = codings.last().is_some_and(is_chunked);
    if length.is_some() || version == Version::Http10 || !ends_chunked {
        return Err(HeadError::BodyAmbiguous);
    }
    match codings.iter().filter(|coding| is_chunked(coding)).count() {
        // Chunked must not be applied twice (RFC 9112 §6.1).
        2.. => Err(HeadError::BodyAmbiguous),
        _ if codings.len() > 1 => Err(HeadError::CodingUnknown),
        _ => Ok(Body::Chunked),
    }
}

/// Digits and nothing else; what 64 bits do not hold is as large as they hold, which is above every
/// limit.
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| {
        value.iter().fold(0_u64, |sum, digit| {
            sum.saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        })
    })
}
