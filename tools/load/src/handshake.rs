//! The client's side of the opening handshake (RFC 6455 §4): the request with what was asked to be
//! in it, and the check of the answer. Invariant: nothing that goes into the request can end its
//! line. Made by `target`, called by `sockets` and `worker`.

use crate::deflate;
use serde::{Deserialize, Serialize};

/// What every request of a run says, but for the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handshake {
    host: String,
    headers: Vec<Header>,
    /// Offered to the server; none: it must choose none.
    subprotocols: Vec<String>,
    compression: Compression,
}

/// Whether messages may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Compression {
    /// It is not offered.
    None,
    /// permessage-deflate is offered, and the server must accept it.
    Deflate,
}

/// A line of the request, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    name: String,
    value: String,
}

/// One nonce for every handshake: the generator computes its answer only once ("shardcast-load-1"
/// in base64).
const KEY: &str = "c2hhcmRjYXN0LWxvYWQtMQ==";
/// What RFC 6455 §4.2.2 makes of `KEY`.
const ACCEPT: &str = "M9qUK1fSIATKRUzipgRRTWLxS4I=";
/// Longest answer that is waited for, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Of all added lines together: servers take 8 to 16 KiB of a request.
const HEADERS_BYTES_MAX: usize = 8 * 1024;
/// What the handshake says by itself, and what would give the request a body.
const OWN_NAMES: [&str; 5] = [
    "host",
    "upgrade",
    "connection",
    "content-length",
    "transfer-encoding",
];
const OWN_PREFIX: &str = "sec-websocket-";

impl Handshake {
    /// With added lines and with subprotocols to offer, the preferred first.
    ///
    /// # Errors
    /// What cannot be said and why, in words.
    pub(crate) fn new(
        host: &str,
        headers: Vec<Header>,
        subprotocols: &[String],
        compression: Compression,
    ) -> Result<Handshake, String> {
        let bytes: usize = headers
            .iter()
            .map(|header| header.name.len() + header.value.len() + ": \r\n".len())
            .sum();
        if bytes > HEADERS_BYTES_MAX {
            return Err(format!(
                "--header: {bytes} bytes of headers are more than {HEADERS_BYTES_MAX}"
            ));
        }
        for (place, name) in subprotocols.iter().enumerate() {
            if !is_token(name) || subprotocols[..place].contains(name) {
                return Err(format!(
                    "--subprotocol {name:?} is no token (letters, digits and !#$%&'*+-.^_`|~), or is there twice"
                ));
            }
        }
        Ok(Handshake {
            host: host.to_owned(),
            headers,
            subprotocols: subprotocols.to_vec(),
            compression,
        })
    }

    /// Whether messages may be compressed: a server that does not agree fails the handshake.
    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// The request that opens a connection.
    pub(crate) fn request(&self, path: &str) -> Vec<u8> {
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n",
            self.host
        );
        if !self.subprotocols.is_empty() {
            let offered = self.subprotocols.join(", ");
            request += &format!("Sec-WebSocket-Protocol: {offered}\r\n");
        }
        if self.compression == Compression::Deflate {
            request += &format!("Sec-WebSocket-Extensions: {}\r\n", deflate::OFFER);
        }
        for Header { name, value } in &self.headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        request.into_bytes()
    }

    /// Bytes of a complete, good answer to `request` at the start of `bytes`; `None` asks for more.
    ///
    /// # Errors
    /// The server refused, or its answer is wrong; the text says which.
    pub(crate) fn answer(&self, bytes: &[u8]) -> Result<Option<usize>, String> {
        if bytes
            .iter()
            .zip(b"HTTP/1.1 ")
            .any(|(byte, expected)| byte != expected)
        {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
            return Err(format!(
                "the answer to the handshake is not HTTP/1.1: {start:?}"
            ));
        }
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            return if bytes.len() > ANSWER_BYTES_MAX {
                Err(format!(
                    "the answer to the handshake is longer than {ANSWER_BYTES_MAX} bytes"
                ))
            } else {
                Ok(None)
            };
        };
        let head = String::from_utf8_lossy(&bytes[..end]);
        let (status, lines) = head.split_once("\r\n").unwrap_or((&head, ""));
        if status.split(' ').nth(1) != Some("101") {
            return Err(format!("the server refused the upgrade: {status}"));
        }
        self.check_lines(lines).map(|()| Some(end + 4))
    }

    /// RFC 6455 §4.1, what the client must check. Clauses 6455-4.1-17, 6455-4.1-18, 6455-4.1-19,
    /// 6455-4.1-20, 6455-4.1-21.
    fn check_lines(&self, lines: &str) -> Result<(), String> {
        let said = |name: &str| -> Vec<&str> {
            let named = lines.split("\r\n").filter_map(|line| line.split_once(':'));
            named
                .filter(|(said, _)| said.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
                .collect()
        };
        let listed = |name: &str, token: &str| {
            let values = said(name);
            let mut tokens = values.iter().flat_map(|value| value.split(','));
            tokens.any(|listed| listed.trim().eq_ignore_ascii_case(token))
        };
        if said("sec-websocket-accept") != [ACCEPT] {
            return Err("the answer's Sec-WebSocket-Accept is missing or wrong".into());
        }
        if !listed("upgrade", "websocket") || !listed("connection", "upgrade") {
            return Err("the answer has no Upgrade: websocket or no Connection: Upgrade".into());
        }
        let extensions = said("sec-websocket-extensions");
        match (self.compression, &extensions[..]) {
            (Compression::None, []) => {}
            (Compression::None, [extension, ..]) => {
                return Err(format!(
                    "the server chose the extension {extension:?}, which was not offered"
                ));
            }
            (Compression::Deflate, extensions) => deflate::check_answer(extensions)?,
        }
        match said("sec-websocket-protocol")[..] {
            [] if self.subprotocols.is_empty() => Ok(()),
            // As a browser does (WHATWG WebSockets, "establish a WebSocket connection").
            [] => Err("the server chose none of the subprotocols that were offered".into()),
            [chosen] if self.subprotocols.iter().any(|offered| offered == chosen) => Ok(()),
            [chosen, ..] => Err(format!(
                "the server chose the subprotocol {chosen:?}, which was not offered"
            )),
        }
    }
}

impl Header {
    /// From `Name: value`.
    ///
    /// # Errors
    /// What cannot be said and why, in words.
    pub(crate) fn parse(text: &str) -> Result<Header, String> {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?} is not `Name: value`"))?;
        let lower = name.to_ascii_lowercase();
        if OWN_NAMES.contains(&&*lower) || lower.starts_with(OWN_PREFIX) {
            return Err(format!("{name} is said by the handshake itself"));
        }
        Header::new(name, value)
    }

    /// Of any name.
    ///
    /// # Errors
    /// What cannot be said and why, in words.
    pub(crate) fn new(name: &str, value: &str) -> Result<Header, String> {
        if !is_token(name) {
            return Err(format!("{name:?} is no name of a header"));
        }
        // RFC 9110 §5.5.
        if value.chars().any(|c| c.is_ascii_control() && c != '\t') {
            return Err(format!("the value of {name} has a control character"));
        }
        Ok(Header {
            name: name.to_owned(),
            value: value.trim_matches([' ', '\t']).to_owned(),
        })
    }

    /// Whether it has this name, in any case.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(subprotocols: &[&str]) -> Handshake {
        let names: Vec<String> = subprotocols.iter().map(|name| (*name).into()).collect();
        Handshake::new("h:1", Vec::new(), &names, Compression::None).unwrap()
    }

    fn good() -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
             sec-websocket-accept:  {ACCEPT}\r\n\r\nrest"
        )
    }

    /// Clauses 6455-4.1-6, 6455-4.1-7, 6455-4.1-8, 6455-4.1-9, 6455-4.1-10, 6455-4.1-11,
    /// 6455-4.1-14.
    #[test]
    fn the_request_says_what_was_asked_for() {
        let headers = ["X-Tenant:  a b\t", "Cookie: c=1"].map(|text| Header::parse(text).unwrap());
        let offered = ["chat.v2".to_owned(), "chat".to_owned()];
        let handshake =
            Handshake::new("h:1", headers.to_vec(), &offered, Compression::Deflate).unwrap();
        let request = String::from_utf8(handshake.request("/p?q")).unwrap();
        let expected = format!(
            "GET /p?q HTTP/1.1\r\nHost: h:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat.v2, chat\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\nX-Tenant: a b\r\nCookie: c=1\r\n\r\n"
        );
        assert_eq!(request, expected);
    }

    #[test]
    fn a_good_answer_is_measured_and_an_unfinished_one_waited_for() {
        let (handshake, good) = (handshake(&[]), good());
        assert_eq!(handshake.answer(good.as_bytes()), Ok(Some(good.len() - 4)));
        for cut in 0..good.len() - 4 {
            assert_eq!(handshake.answer(&good.as_bytes()[..cut]), Ok(None), "{cut}");
        }
    }

    /// Clauses 6455-4.1-17, 6455-4.1-18, 6455-4.1-19, 6455-4.1-20, 6455-4.1-21, 6455-4.1-22.
    #[test]
    fn a_wrong_answer_is_refused_with_the_reason() {
        let chosen = |line: &str| good().replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
        let endless = format!("HTTP/1.1 101 {}", "x".repeat(ANSWER_BYTES_MAX));
        for (answer, offered, words) in [
            (
                good().replace("101 Switching Protocols", "503 Busy"),
                &[][..],
                "refused the upgrade: HTTP/1.1 503 Busy",
            ),
            ("HTTP/2 101".into(), &[], "not HTTP/1.1"),
            ("\u{81}".into(), &[], "not HTTP/1.1"),
            (endless, &[], "longer than 16384 bytes"),
            (
                good().replace(ACCEPT, "x"),
                &[],
                "Sec-WebSocket-Accept is missing or wrong",
            ),
            (
                good().replace("sec-websocket-accept", "x"),
                &[],
                "Sec-WebSocket-Accept is missing or wrong",
            ),
            (
                chosen("Sec-WebSocket-Accept: x"),
                &[],
                "Sec-WebSocket-Accept is missing or wrong",
            ),
            (good().replace("WebSocket\r", "h2c\r"), &[], "no Upgrade"),
            (good().replace(", Upgrade", ""), &[], "no Connection"),
            (
                chosen("Sec-WebSocket-Extensions: permessage-deflate"),
                &[],
                "extension \"permessage-deflate\"",
            ),
            (
                chosen("Sec-WebSocket-Protocol: a"),
                &[],
                "subprotocol \"a\", which was not offered",
            ),
            (
                chosen("Sec-WebSocket-Protocol: A"),
                &["a"],
                "subprotocol \"A\", which was not offered",
            ),
            (
                chosen("Sec-WebSocket-Protocol: a, b"),
                &["a", "b"],
                "subprotocol \"a, b\"",
            ),
            (good(), &["a"], "none of the subprotocols"),
        ] {
            let refusal = handshake(offered).answer(answer.as_bytes());
            assert!(
                refusal.as_ref().is_err_and(|said| said.contains(words)),
                "{answer}: {refusal:?}"
            );
        }
        let agreed = chosen("Sec-WebSocket-Protocol: b");
        let agreed = handshake(&["a", "b"]).answer(agreed.as_bytes());
        assert!(matches!(agreed, Ok(Some(_))), "{agreed:?}");
    }

    #[test]
    fn what_would_break_the_request_is_refused() {
        for text in [
            "X",
            ": x",
            "a b: x",
            "ä: x",
            "X: a\r\nY: b",
            "X: a\nb",
            "X: \0",
            "X: \u{7f}",
            "Host: x",
            "upgrade: x",
            "Connection: x",
            "Sec-WebSocket-Key: x",
            "SEC-WEBSOCKET-PROTOCOL: x",
            "Content-Length: 1",
            "Transfer-Encoding: chunked",
        ] {
            assert!(Header::parse(text).is_err(), "{text:?}");
        }
        for names in [&["a b"][..], &[""], &["a,b"], &["a\r\nX: y"], &["a", "a"]] {
            let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
            assert!(
                Handshake::new("h", Vec::new(), &names, Compression::None).is_err(),
                "{names:?}"
            );
        }
        let long = Header::parse(&format!("X: {}", "x".repeat(HEADERS_BYTES_MAX))).unwrap();
        assert!(Handshake::new("h", vec![long], &[], Compression::None).is_err());
    }
}
