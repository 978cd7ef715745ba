//! The protocol of NATS clients: what a server says, read as its bytes come, and how a client says
//! what it wants.
//!
//! Invariant: reading waits for no more than [`LINE_BYTES_MAX`] or an announced length up to
//! [`MESSAGE_BYTES_MAX`], and what is no protocol is an error, never a guess; nothing here knows
//! rooms. Used by the connection.

use crate::broker::envelope::Envelope;
use bytes::{Buf, Bytes, BytesMut};

/// Longest line that a server may say: `INFO` names the servers of a cluster.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;
/// Longest line that a server takes, with its line feed (`max_control_line`).
pub(super) const SAID_BYTES_MAX: usize = 4096;
/// Longest message with its header.
pub(super) const MESSAGE_BYTES_MAX: usize = Envelope::BYTES_MAX + (64 << 10);

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NatsOp {
    /// What it is and asks for, in JSON.
    Info(Bytes),
    Message(NatsMessage),
    Ping,
    Pong,
    Ok,
    /// What it does not like, without the quotes.
    Error(Box<str>),
}

/// A message to a subscriber.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NatsMessage {
    pub(super) subject: Bytes,
    /// The client's number of its subscription.
    pub(super) sid: u64,
    /// Where an answer goes. Empty: nowhere.
    pub(super) reply: Bytes,
    /// Lines of [`NatsHeader`]. Empty: none.
    pub(super) header: Bytes,
    pub(super) payload: Bytes,
}

/// Why bytes are none of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadNats {
    #[error("a line of the server has no end")]
    Line,
    #[error("the server says what no server says")]
    Operation,
    #[error("a message of the server has no place, length or end")]
    Message,
    #[error("a message of the server is too long")]
    TooLong,
}

/// Takes the next thing that a server says from the front of what came. `None`: more has to come.
pub(super) fn read_op(came: &mut BytesMut) -> Result<Option<NatsOp>, BadNats> {
    let searched = &came[..came.len().min(LINE_BYTES_MAX)];
    let Some(end) = searched.windows(2).position(|pair| pair == b"\r\n") else {
        return match came.len() {
            LINE_BYTES_MAX.. => Err(BadNats::Line),
            _ => Ok(None),
        };
    };
    let line = &came[..end];
    let word = line.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    let (word, rest) = line.split_at(word.unwrap_or(end));
    let op = match word {
        b"MSG" | b"HMSG" => return read_message(came, end),
        b"INFO" => NatsOp::Info(Bytes::copy_from_slice(rest.trim_ascii())),
        b"PING" => NatsOp::Ping,
        b"PONG" => NatsOp::Pong,
        b"+OK" => NatsOp::Ok,
        b"-ERR" => {
            let text = String::from_utf8_lossy(rest.trim_ascii());
            NatsOp::Error(text.trim_matches('\'').into())
        }
        _ => return Err(BadNats::Operation),
    };
    came.advance(end + 2);
    Ok(Some(op))
}

/// `MSG subject sid [reply] bytes` or `HMSG subject sid [reply] header-bytes bytes`.
fn read_message(came: &mut BytesMut, end: usize) -> Result<Option<NatsOp>, BadNats> {
    let line = &came[..end];
    let mut words = line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty());
    let has_header = words.next() == Some(b"HMSG");
    let mut parts = [&b""[..]; 5];
    let mut count = 0;
    for word in words {
        *parts.get_mut(count).ok_or(BadNats::Message)? = word;
        count += 1;
    }
    let (reply, lengths) = match (count, has_header) {
        (3, false) => (None, &parts[2..3]),
        (4, false) => (Some(parts[2]), &parts[3..4]),
        (4, true) => (None, &parts[2..4]),
        (5, true) => (Some(parts[2]), &parts[3..5]),
        _ => return Err(BadNats::Message),
    };
    let bytes = number(lengths[lengths.len() - 1])?;
    let header_bytes = if has_header { number(lengths[0])? } else { 0 };
    if bytes > MESSAGE_BYTES_MAX as u64 {
        return Err(BadNats::TooLong);
    }
    if header_bytes > bytes {
        return Err(BadNats::Message);
    }
    let (bytes, header_bytes) = (bytes as usize, header_bytes as usize);
    let sid = number(parts[1])?;
    let place = |part: &[u8]| part.as_ptr() as usize - line.as_ptr() as usize;
    let subject = place(parts[0])..place(parts[0]) + parts[0].len();
    let reply = reply.map_or(0..0, |reply| place(reply)..place(reply) + reply.len());
    let all = end + 2 + bytes + 2;
    if came.len() < all {
        came.reserve(all - came.len());
        return Ok(None);
    }
    if &came[all - 2..all] != b"\r\n" {
        return Err(BadNats::Message);
    }
    let message = came.split_to(all).freeze();
    let body = end + 2;
    Ok(Some(NatsOp::Message(NatsMessage {
        subject: message.slice(subject),
        sid,
        reply: message.slice(reply),
        header: message.slice(body..body + header_bytes),
        payload: message.slice(body + header_bytes..body + bytes),
    })))
}

fn number(digits: &[u8]) -> Result<u64, BadNats> {
    let text = std::str::from_utf8(digits).map_err(|_| BadNats::Message)?;
    // `parse` takes a plus sign, too, which no server writes.
    match digits.first() {
        Some(b'0'..=b'9') => text.parse().map_err(|_| BadNats::Message),
        _ => Err(BadNats::Message),
    }
}

/// The header of a message: `NATS/1.0 [status]`, then `Name: value` lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct NatsHeader<'h>(pub(super) &'h [u8]);

impl<'h> NatsHeader<'h> {
    /// What a server says instead of a message: 404, 408, 409, 503.
    pub(super) fn status(self) -> Option<u16> {
        let first = self.0.split(|byte| *byte == b'\r').next()?;
        let status = first.strip_prefix(b"NATS/1.0 ")?.get(..3)?;
        std::str::from_utf8(status).ok()?.parse().ok()
    }

    /// The value of the first line with this name.
    pub(super) fn get(self, name: &str) -> Option<&'h str> {
        let lines = self.0.split(|byte| *byte == b'\n').skip(1);
        let value = lines.into_iter().find_map(|line| {
            let rest = line.strip_prefix(name.as_bytes())?;
            rest.strip_prefix(b":")
        })?;
        std::str::from_utf8(value).ok().map(str::trim)
    }

    /// The same as a number.
    pub(super) fn number(self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

/// Subscribes.
pub(super) fn put_subscribe(out: &mut BytesMut, subject: &str, sid: u64) {
    put_line(out, &["SUB", subject, &sid.to_string()]);
}

/// Ends a subscription.
pub(super) fn put_unsubscribe(out: &mut BytesMut, sid: u64) {
    put_line(out, &["UNSUB", &sid.to_string()]);
}

/// Publishes. No answer is wanted where `reply` is empty.
pub(super) fn put_publish(out: &mut BytesMut, subject: &str, reply: &str, payload: &[u8]) {
    let length = payload.len().to_string();
    match reply {
        "" => put_line(out, &["PUB", subject, &length]),
        reply => put_line(out, &["PUB", subject, reply, &length]),
    }
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Publishes with a header, which [`header`] makes, and wants an answer.
pub(super) fn put_publish_with(
    out: &mut BytesMut,
    subject: &str,
    reply: &str,
    header: &[u8],
    payload: &[u8],
) {
    let header_bytes = header.len().to_string();
    let bytes = (header.len() + payload.len()).to_string();
    put_line(out, &["HPUB", subject, reply, &header_bytes, &bytes]);
    out.extend_from_slice(header);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// A header of one line. Neither name nor value has a line feed.
pub(super) fn header(name: &str, value: &str) -> Vec<u8> {
    debug_assert!(!value.contains(['\r', '\n']));
    format!("NATS/1.0\r\n{name}: {value}\r\n\r\n").into_bytes()
}

/// Words, and the end of their line.
pub(super) fn put_line(out: &mut BytesMut, words: &[&str]) {
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b" ");
        }
        out.extend_from_slice(word.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(parts: [&str; 4], sid: u64) -> NatsOp {
        let [subject, reply, header, payload] = parts.map(|part| part.as_bytes().to_vec().into());
        NatsOp::Message(NatsMessage {
            subject,
            sid,
            reply,
            header,
            payload,
        })
    }

    /// The same operations come out wherever the bytes are cut.
    fn check(said: &[u8], operations: &[NatsOp]) {
        for cut in 0..=said.len() {
            let (mut came, mut heard) = (BytesMut::new(), Vec::new());
            for piece in [&said[..cut], &said[cut..]] {
                came.extend_from_slice(piece);
                while let Some(op) = read_op(&mut came).expect("the protocol") {
                    heard.push(op);
                }
            }
            assert_eq!(heard, operations, "cut at {cut}");
            assert!(came.is_empty());
        }
    }

    #[test]
    fn operations_are_read_wherever_they_are_cut() {
        check(
            b"INFO {\"a\":1} \r\nPING\r\n+OK\r\nPONG\r\n-ERR 'Stale Connection'\r\n\
              MSG a.b 7 5\r\nhe\r\no\r\nMSG a 1 re.ply 0\r\n\r\n\
              HMSG a 12 12 15\r\nNATS/1.0\r\n\r\nxyz\r\nHMSG\ta 3  r 12 12\r\nNATS/1.0\r\n\r\n\r\n",
            &[
                NatsOp::Info(Bytes::from_static(b"{\"a\":1}")),
                NatsOp::Ping,
                NatsOp::Ok,
                NatsOp::Pong,
                NatsOp::Error("Stale Connection".into()),
                message(["a.b", "", "", "he\r\no"], 7),
                message(["a", "re.ply", "", ""], 1),
                message(["a", "", "NATS/1.0\r\n\r\n", "xyz"], 12),
                message(["a", "r", "NATS/1.0\r\n\r\n", ""], 3),
            ],
        );
    }

    #[test]
    fn what_is_no_protocol_is_an_error() {
        let long = "x".repeat(LINE_BYTES_MAX);
        let table = [
            ("HTTP/1.1 400 Bad Request\r\n", BadNats::Operation),
            ("\r\n", BadNats::Operation),
            ("msg a 1 0\r\n\r\n", BadNats::Operation),
            (&long, BadNats::Line),
            ("MSG\r\n", BadNats::Message),
            ("MSG a 1\r\n", BadNats::Message),
            ("MSG a b c d e f\r\n", BadNats::Message),
            ("MSG a 1 -1\r\n", BadNats::Message),
            ("MSG a 1 +1\r\n", BadNats::Message),
            ("MSG a x 1\r\nx\r\n", BadNats::Message),
            ("MSG a 1 99999999999999999999999\r\n", BadNats::Message),
            ("MSG a 1 9999999999\r\n", BadNats::TooLong),
            ("MSG a 1 2\r\nxyz\r\n", BadNats::Message),
            ("HMSG a 1 5 4\r\nabcd\r\n", BadNats::Message),
            ("HMSG a 1 5\r\nabcde\r\n", BadNats::Message),
        ];
        for (said, error) in table {
            let read = read_op(&mut said.as_bytes().into());
            assert_eq!(read, Err(error), "{said:.40}");
        }
    }

    #[test]
    fn no_bytes_at_all_make_it_panic() {
        let mut seed = fastrand::Rng::with_seed(7);
        let words = [
            "MSG", "HMSG", " ", "1", "12", "\r\n", "NATS/1.0", "a.b", "\t", "PING", "\0",
        ];
        for _ in 0..20_000 {
            let mut said = String::new();
            for _ in 0..seed.usize(..12) {
                said += words[seed.usize(..words.len())];
            }
            let mut came = BytesMut::from(said.as_bytes());
            while let Ok(Some(_)) = read_op(&mut came) {}
            let header = NatsHeader(said.as_bytes());
            _ = (header.status(), header.number("a.b"));
        }
    }

    #[test]
    fn headers_are_found_by_name() {
        let header = NatsHeader(b"NATS/1.0 404 No Messages\r\nNats-Sequence: 12\r\nA: b \r\n\r\n");
        assert_eq!(header.status(), Some(404));
        assert_eq!(header.number("Nats-Sequence"), Some(12));
        assert_eq!(header.get("A"), Some("b"));
        assert_eq!(header.get("Nats"), None);
        assert_eq!(NatsHeader(b"NATS/1.0\r\nA: b\r\n\r\n").status(), None);
        assert_eq!(NatsHeader(b"").status(), None);
        assert_eq!(NatsHeader(b"").get("A"), None);
    }

    #[test]
    fn what_a_client_says_is_what_servers_read() {
        let mut out = BytesMut::new();
        put_subscribe(&mut out, "a.b", 3);
        put_unsubscribe(&mut out, 3);
        put_publish(&mut out, "a", "", b"hi");
        put_publish(&mut out, "a", "r.1", b"");
        put_publish_with(&mut out, "a", "r.1", &header("K", "v"), b"hi");
        assert_eq!(
            out,
            "SUB a.b 3\r\nUNSUB 3\r\nPUB a 2\r\nhi\r\nPUB a r.1 0\r\n\r\n\
             HPUB a r.1 18 20\r\nNATS/1.0\r\nK: v\r\n\r\nhi\r\n"
        );
    }
}
