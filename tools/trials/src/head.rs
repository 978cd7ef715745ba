//! A request's head and the WebSocket handshake in it: in whatever pieces it comes it is taken or
//! refused alike, what is taken ends where it says and holds no control character, and every
//! refusal is an answer that can be read.

use shardcast_protocol::http::{self, Body, HeadLimits, Headers, HttpRequest, Progress};
use shardcast_protocol::upgrade::{self, ResponseError, encode_key, parse_response};

/// Small enough to be reached by a fuzzer, and what the engine has.
const LIMITS: [HeadLimits; 2] = [
    HeadLimits {
        head_bytes_max: 300,
        headers_max: 8,
    },
    HeadLimits {
        head_bytes_max: 16_384,
        headers_max: 100,
    },
];

/// The first byte chooses the limits (lowest bit) and the size of the pieces (the others, 0 for one
/// byte); the rest is what a client says.
///
/// # Panics
/// A promise is broken.
pub fn head(input: &[u8]) {
    let Some((setting, bytes)) = input.split_first() else {
        return;
    };
    let limits = &LIMITS[usize::from(setting & 1)];
    let chunk_bytes = usize::from(setting >> 1).max(1);
    let complete = http::parse(bytes, &mut Progress::default(), limits);
    let in_pieces = parse_in_pieces(bytes, chunk_bytes, limits);
    match (&complete, &in_pieces) {
        (Ok(Some((request, used))), Ok(Some((same, same_used)))) => {
            assert_eq!(used, same_used);
            assert_eq!(format!("{request:?}"), format!("{same:?}"));
            assert!(*used <= bytes.len().min(limits.head_bytes_max));
            assert!(bytes[..*used].ends_with(b"\r\n\r\n"));
            check(request);
        }
        (Ok(None), Ok(None)) => assert!(bytes.len() < limits.head_bytes_max),
        // Which of two rules is broken first may depend on the pieces.
        (Err(error), Err(_)) => {
            assert!(matches!(error.status(), 400 | 414 | 431 | 501 | 505));
            check_refusal(error.status(), &error.to_string());
        }
        _ => panic!("at once: {complete:?}, in pieces: {in_pieces:?}"),
    }
}

/// As a connection would: looked at again whenever there is more.
fn parse_in_pieces<'b>(
    bytes: &'b [u8],
    chunk_bytes: usize,
    limits: &HeadLimits,
) -> Result<Option<(HttpRequest<'b>, usize)>, http::HeadError> {
    let mut progress = Progress::default();
    for end in (chunk_bytes..bytes.len()).step_by(chunk_bytes) {
        match http::parse(&bytes[..end], &mut progress, limits) {
            Ok(None) => {}
            other => return other,
        }
    }
    http::parse(bytes, &mut progress, limits)
}

fn check(request: &HttpRequest<'_>) {
    let path = request.path();
    assert!(
        !path.is_empty() && !path.contains(|c: char| c.is_ascii_control() || c == ' ' || c == '#'),
        "{path:?}"
    );
    let names = [
        "Host",
        "Connection",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Protocol",
        "X",
    ];
    for value in names.into_iter().filter_map(|name| request.header(name)) {
        assert_eq!(value, value.trim_ascii());
        assert!(
            !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
            "{value:?}"
        );
    }
    for name in request.subprotocols() {
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b','),
            "{name:?}"
        );
    }
    match upgrade::check(request) {
        Ok(key) => {
            assert!(key.len() == 24 && request.asks_for_websocket(), "{key}");
            assert!(matches!(request.body(), Body::None | Body::Length(0)));
        }
        Err(error) => check_refusal(error.status(), &error.to_string()),
    }
}

/// A client understands it.
fn check_refusal(status: u16, reason: &str) {
    let mut out = Vec::new();
    http::write_refusal(&mut out, status, reason, &Headers::new());
    assert!(out.ends_with(reason.as_bytes()));
    let response = parse_response(&out, &encode_key([0; 16]));
    assert_eq!(response, Err(ResponseError::Refused(status)), "{reason}");
}
