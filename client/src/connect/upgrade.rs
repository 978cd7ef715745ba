//! The opening handshake (RFC 6455 §4.1).
//!
//! Invariant: what the server agrees to is something that was offered.

use super::{Opened, Transport};
use crate::address::Endpoint;
use crate::core::Agreed;
use crate::end::End;
use crate::error::{Error, ErrorKind};
use crate::inbox::Inflating;
use crate::options::{Compression, Options};
use crate::outbox::Deflating;
use crate::token::TokenIn;
use shardcast_protocol::deflate::{Takeover, offer, read_answer};
use shardcast_protocol::upgrade::{ResponseError, encode_key, parse_response, write_request};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Largest head of an answer.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;

/// Header lines of an answer.
const HEADERS_MAX: usize = 64;

/// Of a refusal's text, which says why.
const REASON_BYTES_MAX: usize = 256;

/// What is looked at in the head of an answer.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) status: u16,
    retry_after: Option<Duration>,
    subprotocol: Option<String>,
    extensions: Vec<Vec<u8>>,
    bytes: usize,
}

impl Head {
    /// `None`: it is not complete, or no HTTP.
    pub(super) fn parse(bytes: &[u8]) -> Option<Head> {
        let mut storage = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut storage);
        let Ok(httparse::Status::Complete(used)) = response.parse(bytes) else {
            return None;
        };
        let mut head = Head {
            status: response.code?,
            bytes: used,
            ..Head::default()
        };
        for header in response.headers.iter() {
            let text = || str::from_utf8(header.value).ok().map(str::trim);
            if header.name.eq_ignore_ascii_case("retry-after") {
                let seconds = text().and_then(|text| text.parse().ok());
                head.retry_after = seconds.map(Duration::from_secs);
            } else if header.name.eq_ignore_ascii_case("sec-websocket-protocol") {
                head.subprotocol = text().map(str::to_owned);
            } else if header.name.eq_ignore_ascii_case("sec-websocket-extensions") {
                head.extensions.push(header.value.to_vec());
            }
        }
        Some(head)
    }
}

/// Upgrades a connection.
pub(super) async fn open(
    mut transport: Transport,
    endpoint: &Endpoint,
    options: &Options,
    token: Option<&str>,
    nonce: [u8; 16],
) -> Result<Opened, End> {
    let key = encode_key(nonce);
    let request =
        request(endpoint, options, token, &key).map_err(|error| End::abnormal(Some(error)))?;
    let failed =
        |error: std::io::Error| End::abnormal(Some(Error::caused(ErrorKind::Connect, error)));
    transport.write_all(&request).await.map_err(failed)?;
    transport.flush().await.map_err(failed)?;
    let mut answer = Vec::with_capacity(512);
    loop {
        let count = transport.read_buf(&mut answer).await.map_err(failed)?;
        if count == 0 {
            let message = "the server closed before it answered";
            return Err(End::abnormal(Some(Error::new(ErrorKind::Connect, message))));
        }
        match parse_response(&answer, &key) {
            Ok(None) => {}
            Ok(Some(used)) => {
                let head = Head::parse(&answer).unwrap_or_default();
                let agreed = agreed(&head, options).map_err(|error| End::abnormal(Some(error)))?;
                return Ok(Opened {
                    transport,
                    agreed,
                    early: answer.split_off(used),
                });
            }
            Err(error) => return Err(refused(error, &answer)),
        }
    }
}

fn refused(error: ResponseError, answer: &[u8]) -> End {
    let head = Head::parse(answer).unwrap_or_default();
    let body = answer.get(head.bytes..).unwrap_or_default();
    let body = String::from_utf8_lossy(&body[..body.len().min(REASON_BYTES_MAX)]);
    let message = match body.trim() {
        "" => error.to_string(),
        text => format!("{error}: {text}"),
    };
    let mut end = End::abnormal(Some(Error::new(ErrorKind::Connect, message)));
    if let ResponseError::Refused(status) = error {
        end.http_status = Some(status);
        end.retry_after = head.retry_after;
    }
    end
}

fn request(
    endpoint: &Endpoint,
    options: &Options,
    token: Option<&str>,
    key: &str,
) -> Result<Vec<u8>, Error> {
    let mut path = endpoint.path.clone();
    let mut subprotocols = options.encoding.subprotocol().to_owned();
    let mut headers: Vec<(&str, String)> = options
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    if let Some(token) = token {
        if token.contains(|c: char| !c.is_ascii_graphic()) {
            let message = "a token is made of letters, digits and punctuation";
            return Err(Error::new(ErrorKind::NoToken, message));
        }
        match options.token_in {
            TokenIn::Header => headers.push(("Authorization", format!("Bearer {token}"))),
            TokenIn::Subprotocol => {
                subprotocols.push_str(", shardcast.token.");
                subprotocols.push_str(token);
            }
            TokenIn::Query => {
                path.push(if path.contains('?') { '&' } else { '?' });
                path.push_str("token=");
                path.extend(url::form_urlencoded::byte_serialize(token.as_bytes()));
            }
            TokenIn::Message => {}
        }
    }
    headers.push(("Sec-WebSocket-Protocol", subprotocols));
    if options.compression == Compression::Offer {
        headers.push((
            "Sec-WebSocket-Extensions",
            offer(Takeover::Never).to_owned(),
        ));
    }
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut request = Vec::with_capacity(512);
    write_request(&mut request, &endpoint.authority, &path, key, &headers);
    Ok(request)
}

fn agreed(head: &Head, options: &Options) -> Result<Agreed, Error> {
    let wrong = |message: String| Error::new(ErrorKind::Connect, message);
    let offered = options.encoding.subprotocol();
    if head
        .subprotocol
        .as_deref()
        .is_some_and(|chosen| chosen != offered)
    {
        return Err(wrong(
            "the server chose a subprotocol that was not offered".to_owned(),
        ));
    }
    let extensions = head.extensions.iter().map(Vec::as_slice);
    match options.compression {
        Compression::Off if head.extensions.is_empty() => Ok(Agreed::default()),
        Compression::Off => Err(wrong(
            "the server chose an extension that was not offered".to_owned(),
        )),
        Compression::Offer => {
            let agreement = read_answer(extensions, Takeover::Never);
            let agreement = agreement.map_err(|error| wrong(error.to_string()))?;
            Ok(agreement.map_or_else(Agreed::default, |agreement| Agreed {
                deflating: Deflating::WindowBits(agreement.client_window_bits),
                inflating: Inflating::On,
            }))
        }
    }
}
