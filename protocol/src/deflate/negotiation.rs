//! The offers and the answer of permessage-deflate (RFC 7692 §5, §7.1): an `Agreement` that exists
//! is one that both sides may hold each other to. An offer that breaks a rule of the extension is
//! declined by itself; only a header that is no list of extensions at all is refused (RFC 6455
//! §9.1). Called by the engine at the upgrade, and by clients.

use super::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::head;
use std::fmt;

const NAME: &str = "permessage-deflate";
const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_WINDOW: &str = "server_max_window_bits";
const CLIENT_WINDOW: &str = "client_max_window_bits";

/// Whether a message may refer to the messages before it (RFC 7692 §7.1.1). Then each connection
/// keeps windows of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Takeover {
    /// Every message stands for itself.
    #[default]
    Never,
    /// Unless the other side asks for the opposite.
    Allowed,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Whether the server's messages refer to earlier ones.
    pub server_takeover: Takeover,
    /// Whether the client's do.
    pub client_takeover: Takeover,
    /// Whether the client offered by itself that its messages refer to no others. Where it did not
    /// and the answer says so, it may refer to others all the same.
    pub client_offered_no_takeover: bool,
    /// The server's window is 2^n bytes at most, 8..=15; `None`: nothing was said of it.
    pub server_window: Option<u8>,
    /// The client's window is 2^n bytes at most, 8..=15.
    pub client_window_bits: u8,
}

impl Agreement {
    /// The server's window is 2^n bytes at most (RFC 7692 §7.1.2.1: 15 where nothing was said).
    pub fn server_window_bits(&self) -> u8 {
        self.server_window.unwrap_or(WINDOW_BITS_MAX)
    }
}

/// A header that is no list of extensions: the handshake fails (RFC 6455 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("Sec-WebSocket-Extensions is malformed")]
pub struct ExtensionsMalformed;

/// Why an answer does not follow from the offer: the client fails the connection (RFC 7692 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AnswerError {
    /// No list of extensions.
    #[error(transparent)]
    Malformed(#[from] ExtensionsMalformed),
    /// Another extension than was offered, or more than one.
    #[error("the server named an extension that was not offered")]
    NotOffered,
    /// A parameter that is unknown, repeated, has a wrong value, or was not asked for.
    #[error("the server's permessage-deflate parameters are wrong")]
    BadParameters,
}

/// The parameters of one element, as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_window_bits: Option<u8>,
    client_window: Option<Window>,
}

/// `client_max_window_bits` may stand without a value in an offer (RFC 7692 §7.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    Any,
    Bits(u8),
}

/// The first acceptable offer of a request's `Sec-WebSocket-Extensions` headers, in the client's
/// order of preference. `Ok(None)`: nothing is agreed, and the answer has no such header.
///
/// # Errors
/// A header that is no list of extensions (RFC 6455 §9.1): the request is refused with 400.
pub fn negotiate<'h>(
    headers: impl IntoIterator<Item = &'h [u8]>,
    takeover: Takeover,
) -> Result<Option<Agreement>, ExtensionsMalformed> {
    let mut agreed = None;
    for value in headers {
        for element in elements(value)? {
            if agreed.is_none() && element.name.eq_ignore_ascii_case(NAME) {
                agreed = element.parameters().map(|offer| accept(offer, takeover));
            }
        }
    }
    Ok(agreed)
}

/// What is answered to an offer without a fault. Every one can be met.
fn accept(offer: Parameters, takeover: Takeover) -> Agreement {
    let unless = |refused| if refused { Takeover::Never } else { takeover };
    Agreement {
        server_takeover: unless(offer.server_no_takeover),
        client_takeover: unless(offer.client_no_takeover),
        client_offered_no_takeover: offer.client_no_takeover,
        server_window: offer.server_window_bits,
        client_window_bits: WINDOW_BITS_MAX,
    }
}

/// The answer's header value. What was asked of the server is confirmed,
/// `server_max_window_bits=15` too (RFC 7692 §7.1.2.1: only so is it accepted, and PyPI
/// `websockets` fails the connection without). `client_max_window_bits` is never among the
/// parameters: our inflater has room for every window, and a client that did not offer it must not
/// be sent it (RFC 7692 §7.1.2.2).
impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        for (takeover, name) in [
            (self.server_takeover, SERVER_NO_TAKEOVER),
            (self.client_takeover, CLIENT_NO_TAKEOVER),
        ] {
            if takeover == Takeover::Never {
                write!(f, "; {name}")?;
            }
        }
        if let Some(bits) = self.server_window {
            write!(f, "; {SERVER_WINDOW}={bits}")?;
        }
        Ok(())
    }
}

/// The header value of a client that takes whatever the server wants. `Never` asks for messages
/// that stand for themselves.
pub fn offer(takeover: Takeover) -> &'static str {
    match takeover {
        Takeover::Never => {
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        }
        Takeover::Allowed => "permessage-deflate; client_max_window_bits",
    }
}

/// As a client: what the `Sec-WebSocket-Extensions` headers of an answer make of
/// [`offer`]`(takeover)`.
///
/// # Errors
/// The answer does not follow from the offer: close.
pub fn read_answer<'h>(
    headers: impl IntoIterator<Item = &'h [u8]>,
    takeover: Takeover,
) -> Result<Option<Agreement>, AnswerError> {
    let mut agreed = None;
    for value in headers {
        for element in elements(value)? {
            if agreed.is_some() || !element.name.eq_ignore_ascii_case(NAME) {
                return Err(AnswerError::NotOffered);
            }
            let answer = element.parameters().ok_or(AnswerError::BadParameters)?;
            agreed = Some(hold_to(answer, takeover)?);
        }
    }
    Ok(agreed)
}

fn hold_to(answer: Parameters, takeover: Takeover) -> Result<Agreement, AnswerError> {
    let client_window_bits = match (answer.client_window, takeover) {
        (None, _) => WINDOW_BITS_MAX,
        (Some(Window::Bits(bits)), Takeover::Allowed) => bits,
        (Some(_), _) => return Err(AnswerError::BadParameters),
    };
    if takeover == Takeover::Never && !answer.server_no_takeover {
        // It was asked for, so it must be confirmed (RFC 7692 §7.1.1.1).
        return Err(AnswerError::BadParameters);
    }
    let unless = |refused| if refused { Takeover::Never } else { takeover };
    Ok(Agreement {
        server_takeover: unless(answer.server_no_takeover),
        client_takeover: unless(answer.client_no_takeover),
        client_offered_no_takeover: takeover == Takeover::Never,
        server_window: answer.server_window_bits,
        client_window_bits,
    })
}

/// One extension with its parameters, each a name and perhaps a value.
struct Element<'h> {
    name: &'h str,
    parameters: Vec<(&'h str, Option<String>)>,
}

impl Element<'_> {
    /// `None`: a parameter is unknown, repeated or has a wrong value, so the element is declined
    /// (RFC 7692 §7.1).
    fn parameters(&self) -> Option<Parameters> {
        let mut found = Parameters::default();
        for (name, value) in &self.parameters {
            let value = value.as_deref();
            let is_new = match *name {
                SERVER_NO_TAKEOVER if value.is_none() => {
                    !std::mem::replace(&mut found.server_no_takeover, true)
                }
                CLIENT_NO_TAKEOVER if value.is_none() => {
                    !std::mem::replace(&mut found.client_no_takeover, true)
                }
                SERVER_WINDOW => found.server_window_bits.replace(bits(value?)?).is_none(),
                CLIENT_WINDOW => {
                    let window = match value {
                        None => Window::Any,
                        Some(value) => Window::Bits(bits(value)?),
                    };
                    found.client_window.replace(window).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(found)
    }
}

/// A decimal from 8 to 15 without leading zeros (RFC 7692 §7.1.2.1).
fn bits(value: &str) -> Option<u8> {
    (WINDOW_BITS_MIN..=WINDOW_BITS_MAX).find(|bits| bits.to_string() == value)
}

/// `extension-list` of RFC 6455 §9.1; empty elements are let pass (RFC 9110 §5.6.1.2).
fn elements(value: &[u8]) -> Result<Vec<Element<'_>>, ExtensionsMalformed> {
    let mut cursor = Cursor {
        rest: str::from_utf8(value).map_err(|_| ExtensionsMalformed)?,
    };
    let mut elements = Vec::new();
    loop {
        while cursor.take(',') {}
        if cursor.rest.is_empty() {
            return Ok(elements);
        }
        let name = cursor.token()?;
        let mut parameters = Vec::new();
        while cursor.take(';') {
            let name = cursor.token()?;
            let value = cursor.take('=').then(|| cursor.value()).transpose()?;
            parameters.push((name, value));
        }
        elements.push(Element { name, parameters });
        if !cursor.rest.is_empty() && !cursor.rest.starts_with(',') {
            return Err(ExtensionsMalformed);
        }
    }
}

struct Cursor<'h> {
    rest: &'h str,
}

impl<'h> Cursor<'h> {
    /// Takes a delimiter if it is next, and the white space around it.
    fn take(&mut self, delimiter: char) -> bool {
        self.skip_space();
        let Some(rest) = self.rest.strip_prefix(delimiter) else {
            return false;
        };
        self.rest = rest;
        self.skip_space();
        true
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn token(&mut self) -> Result<&'h str, ExtensionsMalformed> {
        let end = self
            .rest
            .bytes()
            .position(|byte| !head::is_token(&[byte]))
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.skip_space();
        if token.is_empty() {
            Err(ExtensionsMalformed)
        } else {
            Ok(token)
        }
    }

    /// A token, or one in quotes (RFC 6455 §9.1: what stands between them must be a token, too).
    fn value(&mut self) -> Result<String, ExtensionsMalformed> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            return self.token().map(str::to_owned);
        };
        let mut value = String::new();
        let mut chars = quoted.chars();
        loop {
            match chars.next().ok_or(ExtensionsMalformed)? {
                '"' => break,
                '\\' => value.push(chars.next().ok_or(ExtensionsMalformed)?),
                other => value.push(other),
            }
        }
        self.rest = chars.as_str();
        self.skip_space();
        if head::is_token(value.as_bytes()) {
            Ok(value)
        } else {
            Err(ExtensionsMalformed)
        }
    }
}
