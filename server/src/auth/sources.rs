//! Where a request bears a token. The first source in the configured order that has one counts; one
//! that has two has none that can be believed.

use crate::auth::fault::TokenFault;
use crate::auth::options::TokenSource;
use shardcast_protocol::http::HttpRequest;

/// A token as it came.
#[derive(Clone, Copy)]
pub(crate) struct FoundToken<'r> {
    pub(crate) token: &'r str,
    pub(crate) source: TokenSource,
}

/// The name of the parameter in a query.
const PARAMETER: &str = "token";
/// The name of the cookie.
const COOKIE: &str = "shardcast_token";
/// What a subprotocol begins with that is a token.
const SUBPROTOCOL: &str = "shardcast.token.";

/// Looks for a token. An empty one is none.
///
/// # Errors
/// A source has two of them, or something that is none.
pub(crate) fn find<'r>(
    sources: &[TokenSource],
    request: &HttpRequest<'r>,
) -> Result<Option<FoundToken<'r>>, TokenFault> {
    for source in sources {
        let found = match source {
            TokenSource::Header => only(bearers(request))?,
            TokenSource::Query => only(parameters(request))?,
            TokenSource::Subprotocol => only(subprotocols(request))?,
            TokenSource::Cookie => only(cookies(request))?,
            TokenSource::Message => None,
        };
        if let Some(token) = found {
            let token = str::from_utf8(token).map_err(|_| NOT_TEXT)?;
            let source = *source;
            return Ok(Some(FoundToken { token, source }));
        }
    }
    Ok(None)
}

const NOT_TEXT: TokenFault = TokenFault::Malformed("it is no text");

fn only<'r>(found: impl Iterator<Item = &'r [u8]>) -> Result<Option<&'r [u8]>, TokenFault> {
    let mut found = found.filter(|token| !token.is_empty());
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(TokenFault::Malformed("the request has two tokens")),
    }
}

/// Whether a request has `Authorization: Bearer`. A page cannot send that to another origin: a
/// WebSocket has no such header, and no preflight here permits it (Fetch §4.10).
pub(crate) fn has_bearer(request: &HttpRequest<'_>) -> bool {
    bearers(request).next().is_some()
}

fn bearers<'r>(request: &HttpRequest<'r>) -> impl Iterator<Item = &'r [u8]> {
    headers(request, "Authorization").filter_map(bearer)
}

/// The token of a header `Authorization: Bearer TOKEN` (RFC 6750 §2.1). Other schemes are none of
/// ours.
pub(crate) fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(SCHEME);
    is_bearer.then(|| token.trim_ascii())
}

/// The alphabet of tokens needs no escapes in a query.
fn parameters<'r>(request: &HttpRequest<'r>) -> impl Iterator<Item = &'r [u8]> {
    let parameters = request.query().unwrap_or_default().split('&');
    parameters.filter_map(|parameter| {
        let (name, token) = parameter.split_once('=')?;
        (name == PARAMETER).then_some(token.as_bytes())
    })
}

fn subprotocols<'r>(request: &HttpRequest<'r>) -> impl Iterator<Item = &'r [u8]> {
    let offered = request.subprotocols();
    let tokens = offered.filter_map(|offered| offered.strip_prefix(SUBPROTOCOL));
    let tokens: Vec<&'r [u8]> = tokens.map(str::as_bytes).collect();
    tokens.into_iter()
}

/// `name=value; name=value` (RFC 6265 §4.2.1).
fn cookies<'r>(request: &HttpRequest<'r>) -> impl Iterator<Item = &'r [u8]> {
    let pairs = headers(request, "Cookie").flat_map(|value| value.split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let (name, token) = pair.trim_ascii().split_at_checked(COOKIE.len())?;
        let token = token.strip_prefix(b"=")?;
        (name == COOKIE.as_bytes()).then_some(token)
    })
}

/// All headers of this name.
fn headers<'r>(request: &HttpRequest<'r>, name: &'static str) -> impl Iterator<Item = &'r [u8]> {
    let headers: Vec<&'r [u8]> = request
        .headers()
        .iter()
        .filter(|(given, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
        .collect();
    headers.into_iter()
}
