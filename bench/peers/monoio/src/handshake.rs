//! The opening handshake: reads a request of at most [`REQUEST_BYTES_MAX`], answers it, and leaves
//! what follows it in the buffer. `main` calls it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use sha1::{Digest, Sha1};

const REQUEST_BYTES_MAX: usize = 4096;
const REQUEST_HEADERS_MAX: usize = 64;
/// RFC 6455 §1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The bytes that came behind the request, in a buffer of `capacity` for the connection; `None`
/// when there is no WebSocket client.
pub(crate) async fn accept(stream: &mut TcpStream, capacity: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(capacity.max(REQUEST_BYTES_MAX));
    loop {
        let held = bytes.len();
        if held == REQUEST_BYTES_MAX {
            return None;
        }
        let (result, slice) = stream.read(bytes.slice_mut(held..)).await;
        bytes = slice.into_inner();
        if result.ok()? == 0 {
            return None;
        }
        let Some((request_bytes, answer)) = answer(&bytes)? else {
            continue;
        };
        stream.write_all(answer.into_bytes()).await.0.ok()?;
        bytes.drain(..request_bytes);
        return Some(bytes);
    }
}

/// The length of the request and the answer to it, once it is complete.
fn answer(bytes: &[u8]) -> Option<Option<(usize, String)>> {
    let mut headers = [httparse::EMPTY_HEADER; REQUEST_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let request_bytes = match request.parse(bytes).ok()? {
        httparse::Status::Complete(request_bytes) => request_bytes,
        httparse::Status::Partial => return Some(None),
    };
    let value = |name: &str| {
        let header = request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| header.value)
    };
    if !value("upgrade")?.eq_ignore_ascii_case(b"websocket")
        || value("sec-websocket-version")? != b"13"
    {
        return None;
    }
    let key = value("sec-websocket-key")?;
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let accept = STANDARD.encode(hash);
    Some(Some((
        request_bytes,
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        ),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    #[test]
    fn the_example_of_the_rfc_is_answered_at_its_last_byte() {
        for cut in 0..REQUEST.len() {
            assert_eq!(answer(&REQUEST.as_bytes()[..cut]), Some(None), "{cut}");
        }
        let (request_bytes, text) = answer(format!("{REQUEST}rest").as_bytes())
            .flatten()
            .expect("a WebSocket request");
        assert_eq!(request_bytes, REQUEST.len());
        // RFC 6455 §1.3.
        assert!(text.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    }

    #[test]
    fn what_is_no_websocket_request_is_refused() {
        for (from, to) in [("WebSocket", "h2c"), (": 13", ": 8"), ("GET", "G\0T")] {
            assert_eq!(answer(REQUEST.replace(from, to).as_bytes()), None, "{to:?}");
        }
    }
}
