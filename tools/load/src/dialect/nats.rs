//! The NATS client protocol in binary WebSocket frames, which may hold several messages or parts of
//! one. Invariant: what is kept of an unfinished message is shorter than the longest message.
//! Called through `Speech`.

use super::{Incoming, Role, Speech, blank, stamped};
use crate::message::{Body, STAMP_BYTES, Stamp};
use crate::websocket::{BINARY, Template};

/// Subjects `t0`, `t1`, … for rooms, `e0000000000`, … for what comes back to its sender.
#[derive(Debug)]
pub(super) struct Nats {
    path: String,
    body: Body,
    echo: Template,
    /// Place of the body in it.
    echo_at: usize,
    /// By room, each with the place of the body.
    publish: Vec<(Template, usize)>,
    connections: Vec<NatsConnection>,
}

#[derive(Clone, Debug)]
struct NatsConnection {
    role: Role,
    step: NatsStep,
    /// The beginning of a message.
    carry: Vec<u8>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NatsStep {
    /// `INFO` is awaited.
    Opening,
    /// The answer to our first `PING`, which follows `CONNECT`, is awaited.
    Connecting,
    /// Every `PONG` answers the `PING` behind a subscription.
    Ready,
}

const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true,\"protocol\":1}\r\n";
const PING: &[u8] = b"PING\r\n";
const PONG: &[u8] = b"PONG\r\n";
const ECHO_HEAD: &[u8] = b"PUB e";
const END: &[u8] = b"\r\n";
/// Longest line that is taken; `INFO` is the longest there is, usually 400 bytes.
const LINE_BYTES_MAX: usize = 16 << 10;

impl Nats {
    pub(super) fn new(body: Body, rooms: u32, path: &str) -> Nats {
        let blank = blank(&body);
        let with_body = |head: String| {
            let whole = [head.as_bytes(), &blank, END].concat();
            (Template::new(BINARY, &whole), head.len())
        };
        let bytes = body.bytes();
        let (echo, echo_at) = with_body(format!("PUB e{:010} {bytes}\r\n", 0));
        let publish = (0..rooms)
            .map(|room| with_body(format!("PUB t{room} {bytes}\r\n")))
            .collect();
        Nats {
            path: path.to_owned(),
            body,
            echo,
            echo_at,
            publish,
            connections: Vec::new(),
        }
    }

    /// What the line and payload mean that `rest` begins with; what follows stays in `rest`.
    fn take(
        &mut self,
        index: usize,
        rest: &mut Option<&[u8]>,
    ) -> Result<Option<Operation>, String> {
        let Some(payload) = *rest else {
            return Ok(None);
        };
        let carry = &mut self.connections[index].carry;
        let kept = carry.len();
        if kept == 0 {
            let parsed = parse(payload, &self.body)?;
            match parsed {
                Some((_, used)) => *rest = Some(&payload[used..]).filter(|rest| !rest.is_empty()),
                None => {
                    carry.extend_from_slice(payload);
                    *rest = None;
                }
            }
            return Ok(parsed.map(|(operation, _)| operation));
        }
        // Enough for any message: `parse` refuses longer ones.
        let more = payload
            .len()
            .min(LINE_BYTES_MAX + self.body.bytes() + END.len());
        carry.extend_from_slice(&payload[..more]);
        let Some((operation, used)) = parse(carry, &self.body)? else {
            *rest = None;
            return Ok(None);
        };
        *rest = Some(&payload[used - kept..]).filter(|rest| !rest.is_empty());
        *carry = Vec::new();
        Ok(Some(operation))
    }
}

impl Speech for Nats {
    fn path(&self, _: Role) -> String {
        self.path.clone()
    }

    fn begin(&mut self, index: usize, role: Role) {
        let connection = NatsConnection {
            role,
            step: NatsStep::Opening,
            carry: Vec::new(),
        };
        if self.connections.len() <= index {
            self.connections.resize(index + 1, connection.clone());
        }
        self.connections[index] = connection;
    }

    fn has_welcome(&self) -> bool {
        true
    }

    fn append_echo(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let head = self.body.head(stamp, &mut head);
        let subject = digits(stamp.sender);
        self.echo
            .append(out, &[(ECHO_HEAD.len(), &subject), (self.echo_at, head)]);
    }

    fn append_publish(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let mut head = [0; 2 * STAMP_BYTES];
        let (template, body_at) = &self.publish[stamp.room as usize];
        template.append(out, &[(*body_at, self.body.head(stamp, &mut head))]);
    }

    fn append_subscribe(&self, out: &mut Vec<u8>, _: usize, _: u32, room: u32) {
        let subscribe = format!("SUB t{room} 1\r\nPING\r\n");
        Template::new(BINARY, subscribe.as_bytes()).append(out, &[]);
    }

    fn read(
        &mut self,
        index: usize,
        opcode: u8,
        rest: &mut Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Incoming>, String> {
        if opcode != BINARY {
            return Err("the server sent a text message: NATS is spoken in binary ones".into());
        }
        while let Some(operation) = self.take(index, rest)? {
            let connection = &mut self.connections[index];
            let incoming = match (operation, connection.step) {
                (Operation::Greeting, NatsStep::Opening) => {
                    connection.step = NatsStep::Connecting;
                    let own = match connection.role {
                        Role::Echoer { number } => format!("SUB e{number:010} 1\r\n"),
                        Role::Subscriber { .. } | Role::Publisher => String::new(),
                    };
                    let answer = [CONNECT, own.as_bytes(), PING].concat();
                    Template::new(BINARY, &answer).append(out, &[]);
                    continue;
                }
                (Operation::Greeting | Operation::Fine, _) => continue,
                (Operation::Ping, _) => {
                    Template::new(BINARY, PONG).append(out, &[]);
                    continue;
                }
                (Operation::Pong, NatsStep::Connecting) => {
                    connection.step = NatsStep::Ready;
                    Incoming::Welcome
                }
                (Operation::Pong, NatsStep::Ready) => Incoming::Joined,
                (Operation::Message(incoming), NatsStep::Ready) => incoming,
                (Operation::Error(words), _) => Incoming::Refused(words),
                (Operation::Pong | Operation::Message(_), _) => Incoming::Corrupted,
            };
            return Ok(Some(incoming));
        }
        Ok(None)
    }
}

/// One message of the server.
#[derive(Debug, PartialEq, Eq)]
enum Operation {
    /// `INFO`.
    Greeting,
    /// `+OK`.
    Fine,
    Ping,
    Pong,
    /// `-ERR`, with its words.
    Error(String),
    /// `MSG`.
    Message(Incoming),
}

/// The message at the start of `bytes` and its length, if it is complete.
fn parse(bytes: &[u8], body: &Body) -> Result<Option<(Operation, usize)>, String> {
    let mut line = bytes.iter().take(LINE_BYTES_MAX);
    let Some(line_bytes) = line.position(|&byte| byte == b'\n') else {
        return if bytes.len() >= LINE_BYTES_MAX {
            Err(format!(
                "a line of {LINE_BYTES_MAX} bytes or more from the NATS server"
            ))
        } else {
            Ok(None)
        };
    };
    let line = &bytes[..line_bytes];
    let used = line_bytes + 1;
    let mut words = line.split(u8::is_ascii_whitespace);
    let operation = match words.next().unwrap_or_default() {
        b"MSG" => return parse_message(bytes, used, words.filter(|word| !word.is_empty()), body),
        b"INFO" => Operation::Greeting,
        b"PING" => Operation::Ping,
        b"PONG" => Operation::Pong,
        b"+OK" => Operation::Fine,
        b"-ERR" => Operation::Error(String::from_utf8_lossy(line).trim_end().to_owned()),
        _ => {
            let start = String::from_utf8_lossy(&line[..line.len().min(40)]);
            return Err(format!("what the server sent is not NATS: {start:?}"));
        }
    };
    Ok(Some((operation, used)))
}

/// `subject sid [reply-to] bytes`, of which only the length is needed: the stamp says the rest.
fn parse_message<'b>(
    bytes: &[u8],
    body_at: usize,
    words: impl Iterator<Item = &'b [u8]>,
    body: &Body,
) -> Result<Option<(Operation, usize)>, String> {
    let length = words
        .last()
        .and_then(|word| str::from_utf8(word).ok()?.parse::<usize>().ok());
    match length {
        Some(length) if length == body.bytes() => {}
        _ => return Err("a NATS message of another length than any that was sent".into()),
    }
    let end = body_at + body.bytes();
    let used = end + END.len();
    if bytes.len() < used {
        return Ok(None);
    }
    let incoming = if bytes[end..used] == *END {
        stamped(body.read(&bytes[body_at..end]))
    } else {
        Incoming::Corrupted
    };
    Ok(Some((Operation::Message(incoming), used)))
}

/// Always ten, so that a template can be patched.
fn digits(number: u32) -> [u8; 10] {
    let mut rest = number;
    let mut digits = [b'0'; 10];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::message::Encoding;
    use crate::websocket::TEXT;

    const GREETING: &[u8] = b"INFO {\"server_id\":\"X\"} \r\n";

    fn nats(role: Role) -> Nats {
        let mut nats = Nats::new(body(Encoding::Binary), 3, "/");
        nats.begin(0, role);
        nats
    }

    fn ready() -> Nats {
        let mut nats = nats(Role::Subscriber { room: 2 });
        let all = heard(
            &mut nats,
            0,
            BINARY,
            &[GREETING, PONG].concat(),
            &mut Vec::new(),
        );
        assert_eq!(all, Ok(vec![Incoming::Welcome]));
        nats
    }

    fn text(bytes: &[u8]) -> String {
        bytes.iter().map(|&byte| char::from(byte)).collect()
    }

    fn message(stamp: &Stamp) -> Vec<u8> {
        let written = body(Encoding::Binary).write(stamp);
        [b"MSG t2 1 64\r\n", &written[..], END].concat()
    }

    #[test]
    fn lines_are_as_nats_writes_them() {
        let nats = nats(Role::Publisher);
        let echo = Stamp {
            sender: 4_000_000_017,
            ..ECHO
        };
        let written = |stamp: &Stamp| text(&body(Encoding::Binary).write(stamp));
        for (frames, expected) in [
            (
                sent(|out| nats.append_publish(out, &STAMP)),
                format!("PUB t2 64\r\n{}\r\n", written(&STAMP)),
            ),
            (
                sent(|out| nats.append_echo(out, &echo)),
                format!("PUB e4000000017 64\r\n{}\r\n", written(&echo)),
            ),
            (
                sent(|out| nats.append_subscribe(out, 0, 0, 1)),
                "SUB t1 1\r\nPING\r\n".into(),
            ),
        ] {
            assert_eq!(frames, [(BINARY, expected)]);
        }
    }

    #[test]
    fn a_connection_opens_in_two_steps_and_may_begin_again() {
        for (role, own) in [
            (Role::Publisher, ""),
            (Role::Echoer { number: 17 }, "SUB e0000000017 1\r\n"),
        ] {
            let mut nats = nats(role);
            for _ in 0..2 {
                nats.begin(0, role);
                let mut out = Vec::new();
                let greeted = heard(&mut nats, 0, BINARY, GREETING, &mut out);
                assert_eq!(greeted, Ok(vec![]));
                let answer = format!("{}{own}PING\r\n", text(CONNECT));
                assert_eq!(sent(|o| o.append(&mut out)), [(BINARY, answer)]);
                assert_eq!(meaning(&mut nats, BINARY, PONG), Incoming::Welcome);
                assert_eq!(meaning(&mut nats, BINARY, PONG), Incoming::Joined);
            }
        }
    }

    #[test]
    fn messages_are_found_whole_split_and_merged() {
        let second = Stamp {
            sequence: 42,
            ..STAMP
        };
        let stream = [
            &message(&STAMP)[..],
            PING,
            &message(&second),
            b"+OK\r\n",
            PONG,
        ]
        .concat();
        let expected = vec![
            Incoming::Delivery(STAMP),
            Incoming::Delivery(second),
            Incoming::Joined,
        ];
        for first in 0..stream.len() {
            for last in [first, first + 1, stream.len() - 1] {
                let last = last.clamp(first, stream.len());
                let mut nats = ready();
                let (mut all, mut out) = (Vec::new(), Vec::new());
                for part in [&stream[..first], &stream[first..last], &stream[last..]] {
                    all.extend(heard(&mut nats, 0, BINARY, part, &mut out).unwrap());
                }
                assert_eq!(all, expected, "split at {first} and {last}");
                assert_eq!(
                    sent(|o| o.append(&mut out)),
                    [(BINARY, "PONG\r\n".into())],
                    "split at {first} and {last}"
                );
                assert_eq!(nats.connections[0].carry.capacity(), 0, "nothing is kept");
            }
        }
        let mut nats = ready();
        let mut all = Vec::new();
        for byte in &stream {
            all.extend(heard(&mut nats, 0, BINARY, &[*byte], &mut Vec::new()).unwrap());
        }
        assert_eq!(all, expected, "byte by byte");
    }

    #[test]
    fn what_is_wrong_is_told() {
        let mut damaged = message(&STAMP);
        damaged[20] ^= 1;
        let mut unended = message(&STAMP);
        *unended.last_mut().unwrap() = b'x';
        for payload in [damaged, unended] {
            assert_eq!(meaning(&mut ready(), BINARY, &payload), Incoming::Corrupted);
        }
        assert_eq!(
            meaning(&mut ready(), BINARY, b"-ERR 'Slow Consumer'\r\n"),
            Incoming::Refused("-ERR 'Slow Consumer'".into())
        );
        let endless = vec![b'x'; LINE_BYTES_MAX];
        for (opcode, payload, word) in [
            (BINARY, &b"MSG t2 1 65\r\n"[..], "length"),
            (BINARY, b"MSG t2 1\r\n", "length"),
            (BINARY, b"MSG t2 1 99999999999999999999\r\n", "length"),
            (BINARY, b"HTTP/1.1 400\r\n", "not NATS"),
            (BINARY, &endless, "line"),
            (TEXT, PING, "binary"),
        ] {
            let refusal = heard(&mut ready(), 0, opcode, payload, &mut Vec::new()).unwrap_err();
            assert!(refusal.contains(word), "{refusal}");
        }
        let mut nats = ready();
        let halves = endless.split_at(LINE_BYTES_MAX / 2);
        assert_eq!(
            heard(&mut nats, 0, BINARY, halves.0, &mut Vec::new()),
            Ok(vec![])
        );
        assert!(
            heard(&mut nats, 0, BINARY, halves.1, &mut Vec::new()).is_err(),
            "what is kept is bounded"
        );
    }
}
