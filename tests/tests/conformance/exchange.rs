//! One exchange with a server, from the first byte to the end of the stream, compared whole.
//! Invariant: what a server sends is parsed by the letter, so a frame that is masked, not minimal
//! or has a reserved bit fails every test. Used by every file of this suite.

use shardcast_tests::{BINARY, CLOSE, FIN, PING, PONG, Raw, Server, TEXT, config, frame, upgrade};
use std::time::Duration;

/// What a server said, in frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Its code; `None` for an empty payload.
    Close(Option<u16>),
}

pub(crate) fn text(text: &str) -> Heard {
    Heard::Text(text.to_owned())
}

pub(crate) fn binary(bytes: &[u8]) -> Heard {
    Heard::Binary(bytes.to_vec())
}

pub(crate) fn pong(bytes: &[u8]) -> Heard {
    Heard::Pong(bytes.to_vec())
}

pub(crate) fn close(code: u16) -> Heard {
    Heard::Close(Some(code))
}

/// An echo, and what `shardcast serve` runs.
pub(crate) struct Servers {
    echo: Server,
    native: Server,
}

impl Servers {
    pub(crate) fn start() -> Servers {
        Servers {
            echo: Server::echo(config(1)),
            native: Server::native(config(2)),
        }
    }

    pub(crate) fn echo(&self) -> &Server {
        &self.echo
    }

    pub(crate) fn native(&self) -> &Server {
        &self.native
    }

    /// Drains both, for at most `within` each; whether everybody had left in time.
    pub(crate) fn stop(self, within: Duration) -> bool {
        self.echo.drain(within) & self.native.drain(within)
    }

    /// Says `said` to the echo, whole and byte by byte, and hears exactly `expected` before the
    /// server hangs up cleanly. If a close is not the last thing expected, the exchange is ended
    /// with one of 1000. Where nothing but control frames comes back, the native server is asked,
    /// too.
    #[track_caller]
    pub(crate) fn check(&self, clauses: &str, what: &str, said: &[u8], expected: &[Heard]) {
        self.check_in(
            &[Pieces::Whole, Pieces::Bytes],
            clauses,
            what,
            said,
            expected,
        );
    }

    /// The same, but never byte by byte: for what is long, or comes in many variants.
    #[track_caller]
    pub(crate) fn check_whole(&self, clauses: &str, what: &str, said: &[u8], expected: &[Heard]) {
        self.check_in(&[Pieces::Whole], clauses, what, said, expected);
    }

    #[track_caller]
    fn check_in(
        &self,
        pieces: &[Pieces],
        clauses: &str,
        what: &str,
        said: &[u8],
        expected: &[Heard],
    ) {
        let (mut said, mut expected) = (said.to_vec(), expected.to_vec());
        if !matches!(expected.last(), Some(Heard::Close(_))) {
            said.extend(frame(FIN | CLOSE, &1000u16.to_be_bytes()));
            expected.push(close(1000));
        }
        for &pieces in pieces {
            let heard = converse(&self.echo, &said, pieces);
            assert_eq!(heard, expected, "{clauses}: {what}, {pieces:?}");
        }
        let is_data = |heard: &Heard| matches!(heard, Heard::Text(_) | Heard::Binary(_));
        if !expected.iter().any(is_data) {
            for &pieces in pieces {
                let heard = converse(&self.native, &said, pieces);
                assert!(
                    matches!(&heard[..], [Heard::Text(welcome), ..] if welcome.contains("welcome")),
                    "{heard:?}"
                );
                assert_eq!(
                    heard[1..],
                    expected,
                    "{clauses}: {what}, {pieces:?}, native"
                );
            }
        }
    }
}

/// How the bytes leave.
#[derive(Clone, Copy, Debug)]
enum Pieces {
    Whole,
    Bytes,
}

#[track_caller]
fn converse(server: &Server, said: &[u8], pieces: Pieces) -> Vec<Heard> {
    let mut raw = Raw::connect(server);
    raw.send(upgrade().as_bytes());
    let head = raw.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    match pieces {
        Pieces::Whole => raw.send_anyway(said),
        Pieces::Bytes => said.iter().for_each(|byte| raw.send_anyway(&[*byte])),
    }
    let rest = raw.rest();
    frames(&rest)
        .into_iter()
        .map(|(first, payload)| heard(first, payload))
        .collect()
}

/// A server's frames by the letter of RFC 6455 §5.2: first byte, payload.
#[track_caller]
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        // Clauses 6455-5.1-3, 6455-5.2-5, 6455-5.2-4.
        assert!(second & 0x80 == 0, "a masked frame: {bytes:x?}");
        let (payload_bytes, rest) = match (*second, rest) {
            (126, [high, low, rest @ ..]) => (u64::from(u16::from_be_bytes([*high, *low])), rest),
            (127, rest) => {
                let (length, rest) = rest.split_first_chunk().expect("eight bytes of length");
                (u64::from_be_bytes(*length), rest)
            }
            (length, rest) => (u64::from(length), rest),
        };
        let shortest = match payload_bytes {
            0..126 => *second < 126,
            126..65_536 => *second == 126,
            _ => *second == 127 && payload_bytes < 1 << 63,
        };
        assert!(shortest, "{payload_bytes} bytes of payload as {second}");
        let (payload, rest) = rest
            .split_at_checked(payload_bytes as usize)
            .expect("a whole frame");
        found.push((*first, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame at the end: {bytes:x?}");
    found
}

#[track_caller]
fn heard(first: u8, payload: Vec<u8>) -> Heard {
    const FIN_TEXT: u8 = FIN | TEXT;
    const FIN_BINARY: u8 = FIN | BINARY;
    const FIN_CLOSE: u8 = FIN | CLOSE;
    const FIN_PING: u8 = FIN | PING;
    const FIN_PONG: u8 = FIN | PONG;
    match first {
        FIN_TEXT => Heard::Text(String::from_utf8(payload).expect("UTF-8")),
        FIN_BINARY => Heard::Binary(payload),
        FIN_PING => Heard::Ping(payload),
        FIN_PONG => Heard::Pong(payload),
        FIN_CLOSE => match payload[..] {
            [] => Heard::Close(None),
            [high, low, ref reason @ ..] => {
                assert!(
                    str::from_utf8(reason).is_ok() && payload.len() <= 125,
                    "{payload:x?}"
                );
                Heard::Close(Some(u16::from_be_bytes([high, low])))
            }
            [_] => panic!("a close payload of one byte"),
        },
        other => panic!("a frame that is no whole message: {other:#x} {payload:x?}"),
    }
}

/// An answer of HTTP/1.1.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case, in their order.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The one header of that name, in lower case.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(given, _)| given == name);
        let value = named.next().map(|(_, value)| value.as_str());
        assert!(named.next().is_none(), "{name} stands twice: {self:?}");
        value
    }

    /// Whether a list header names `token`.
    pub(crate) fn names(&self, header: &str, token: &str) -> bool {
        let is_it = |item: &str| item.trim().eq_ignore_ascii_case(token);
        self.header(header)
            .is_some_and(|value| value.split(',').any(is_it))
    }
}

/// Says `said` on a new connection and hears every answer until the server hangs up cleanly.
/// `methods` are those of the requests, as far as one of them is a HEAD, whose answer has no body.
#[track_caller]
pub(crate) fn answers(server: &Server, said: &[u8], methods: &[&str]) -> Vec<Answer> {
    let mut raw = Raw::connect(server);
    raw.send_anyway(said);
    let rest = raw.rest();
    let (mut rest, mut found) = (&rest[..], Vec::new());
    while !rest.is_empty() {
        let has_body = methods.get(found.len()) != Some(&"HEAD");
        let (answer, behind) = answer(rest, has_body);
        found.push(answer);
        rest = behind;
    }
    found
}

/// The answer at the start of `bytes`, and what stands behind it.
#[track_caller]
fn answer(bytes: &[u8], has_body: bool) -> (Answer, &[u8]) {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no whole head: {}", String::from_utf8_lossy(bytes)));
    let (mut answer, rest) = (head(&bytes[..end]), &bytes[end + 4..]);
    let length = answer
        .header("content-length")
        .map(|length| length.parse::<usize>().expect("a number"));
    // Clause 9110-8.6-2: what may have a body says how long it is.
    let length = match (has_body, length) {
        (true, length) => length.expect("a length"),
        (false, _) => 0,
    };
    let (body, rest) = rest.split_at_checked(length).expect("the whole body");
    answer.body = String::from_utf8(body.to_vec()).expect("UTF-8");
    (answer, rest)
}

/// A head without its empty line.
#[track_caller]
pub(crate) fn head(bytes: &[u8]) -> Answer {
    let text = str::from_utf8(bytes).expect("ASCII");
    // Clauses 9112-2.2-3, 9110-2.5-1, 9110-6.6.1-1.
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
    let status = lines[0].strip_prefix("HTTP/1.1 ").expect("HTTP/1.1");
    assert!(status.as_bytes().get(3) == Some(&b' '), "{text:?}");
    let headers = lines[1..].iter().map(|line| {
        let (name, value) = line.split_once(": ").expect("Name: value");
        (name.to_ascii_lowercase(), value.to_owned())
    });
    let answer = Answer {
        status: status[..3].parse().expect("three digits"),
        headers: headers.collect(),
        body: String::new(),
    };
    assert_eq!(answer.header("date"), None);
    answer
}
