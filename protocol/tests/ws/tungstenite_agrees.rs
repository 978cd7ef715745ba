//! The codec against an independent one, in both roles: generated streams, every pair of header
//! bytes, every close code.
//!
//! Known differences are kept out: tungstenite takes lengths that are not minimal, and does not
//! know close code 1014. (`mutated.rs` lets them in, and names them.)

use std::io::{self, Read, Write};

use crate::stream::{
    BINARY, CLOSE, Extended, FIN, PING, PONG, Seen, TEXT, frame, header, read, read_at_once,
    read_bytewise,
};
use fastrand::Rng;
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::frame::{OpCode, write_client_frame, write_close, write_frame};
use shardcast_protocol::reader::Role;
use tungstenite::protocol::{self, Message, WebSocket, WebSocketConfig};

pub(crate) const LIMIT: usize = 70_000;
const SEEDS: u64 = 1500;

/// Events in order, and the code that the stream was broken off with.
pub(crate) type Verdict = (Vec<Seen>, Option<u16>);

/// A stream that has all arrived; what is written to it (pongs, closes) is kept.
struct Wire<'b> {
    incoming: &'b [u8],
    outgoing: Vec<u8>,
}

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.incoming.read(into)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(role: Role, incoming: &[u8]) -> WebSocket<Wire<'_>> {
    let role = match role {
        Role::Server => protocol::Role::Server,
        Role::Client => protocol::Role::Client,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(LIMIT))
        // Without one it asks the allocator for whatever a header announces, and panics.
        .max_frame_size(Some(1 << 20))
        .read_buffer_size(512);
    WebSocket::from_raw_socket(
        Wire {
            incoming,
            outgoing: Vec::new(),
        },
        role,
        Some(config),
    )
}

pub(crate) fn theirs(role: Role, bytes: &[u8]) -> Verdict {
    use tungstenite::error::{Error, ProtocolError};
    let mut socket = open(role, bytes);
    let mut seen = Vec::new();
    loop {
        let event = match socket.read() {
            Ok(Message::Text(text)) => Seen::Text(text.to_string()),
            Ok(Message::Binary(bytes)) => Seen::Binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Seen::Ping(bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Seen::Pong(bytes.to_vec()),
            // How it reports a forbidden code.
            Ok(Message::Close(Some(close))) if close.reason == "Protocol violation" => {
                return (seen, Some(1002));
            }
            Ok(Message::Close(close)) => {
                let reason = close
                    .as_ref()
                    .map(|close| close.reason.to_string())
                    .unwrap_or_default();
                seen.push(Seen::Close(close.map(|close| close.code.into()), reason));
                return (seen, None);
            }
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                return (seen, None);
            }
            Err(Error::Protocol(_)) => return (seen, Some(1002)),
            Err(Error::Utf8(_)) => return (seen, Some(1007)),
            Err(Error::Capacity(_)) => return (seen, Some(1009)),
            other => panic!("{other:?}"),
        };
        seen.push(event);
    }
}

pub(crate) fn ours(mut seen: Vec<Seen>) -> Verdict {
    let code = match seen.last() {
        Some(Seen::Broken(error)) => Some(error.close_code().get()),
        _ => None,
    };
    seen.retain(|event| !matches!(event, Seen::Fragment | Seen::Broken(_)));
    (seen, code)
}

fn check(name: &str, role: Role, bytes: &[u8]) {
    assert_eq!(
        ours(read_at_once(role, LIMIT, bytes)),
        theirs(role, bytes),
        "{name}, {role:?}"
    );
}

fn payload_bytes(rng: &mut Rng) -> usize {
    match rng.u8(..) {
        0..200 => rng.usize(0..20),
        200..250 => rng.usize(120..130),
        250..255 => rng.usize(0..3000),
        255 => rng.usize(65_530..65_540),
    }
}

fn text(rng: &mut Rng) -> Vec<u8> {
    const CHARS: [char; 6] = ['a', '\0', 'ß', '\u{20ac}', '\u{ffff}', '\u{10348}'];
    let chars = payload_bytes(rng);
    let text: String = (0..chars)
        .map(|_| {
            if rng.bool() {
                'x'
            } else {
                CHARS[rng.usize(..6)]
            }
        })
        .collect();
    let cut = text.floor_char_boundary(LIMIT);
    text.as_bytes()[..cut].to_vec()
}

fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.u8(..)).collect()
}

fn control(rng: &mut Rng, role: Role) -> Vec<u8> {
    let len = if rng.bool() { rng.usize(0..=125) } else { 0 };
    let payload = bytes(rng, len);
    frame(role, FIN | if rng.bool() { PING } else { PONG }, &payload)
}

/// The frames of one message, in fragments cut anywhere, control frames between them.
fn message(rng: &mut Rng, role: Role, frames: &mut Vec<Vec<u8>>) {
    let is_text = rng.bool();
    let len = payload_bytes(rng);
    let payload = if is_text { text(rng) } else { bytes(rng, len) };
    let mut first = if is_text { TEXT } else { BINARY };
    let mut rest = &payload[..];
    while rng.u8(..) < 100 {
        let (fragment, behind) = rest.split_at(rng.usize(0..=rest.len()));
        frames.push(frame(role, first, fragment));
        if rng.u8(..) < 80 {
            frames.push(control(rng, role));
        }
        (first, rest) = (0, behind);
    }
    frames.push(frame(role, FIN | first, rest));
}

/// A frame that may break a rule, depending on where it comes to stand.
fn suspect(rng: &mut Rng, role: Role) -> Vec<u8> {
    let other = if role == Role::Server {
        Role::Client
    } else {
        Role::Server
    };
    let data = [TEXT, BINARY, FIN | TEXT, FIN | BINARY, 0, FIN][rng.usize(..6)];
    let control = [CLOSE, PING, PONG][rng.usize(..3)];
    let some = bytes(rng, 3);
    match rng.u8(..11) {
        0 => frame(role, FIN | TEXT | 0x10 << rng.u8(..3), b"rsv"),
        1 => frame(
            role,
            FIN | [3, 4, 5, 6, 7, 11, 12, 13, 14, 15][rng.usize(..10)],
            b"opcode",
        ),
        2 => frame(other, data, b"mask"),
        3 => frame(role, control, b""),
        4 => frame(role, FIN | control, &bytes(rng, 126)),
        5 => frame(role, data, b"text"),
        6 => frame(role, data, &some),
        7 => frame(role, data, &vec![b'x'; LIMIT - rng.usize(..3) + 1]),
        8 => frame(role, FIN | CLOSE, &some[..1]),
        9 => frame(role, FIN | CLOSE, &[some[0], some[1], b'r']),
        _ => frame(
            role,
            FIN | CLOSE,
            &[&[0x03, 0xe8 + rng.u8(..4)], &some[..]].concat(),
        ),
    }
}

pub(crate) fn stream(rng: &mut Rng, role: Role) -> Vec<u8> {
    let mut frames = Vec::new();
    for _ in 0..rng.usize(1..6) {
        match rng.u8(..4) {
            0 => frames.push(control(rng, role)),
            _ => message(rng, role, &mut frames),
        }
    }
    if rng.u8(..3) == 0 {
        frames.push(frame(
            role,
            FIN | CLOSE,
            &[&1000u16.to_be_bytes()[..], "grüß".as_bytes()].concat(),
        ));
    }
    if rng.u8(..3) != 0 {
        let place = rng.usize(0..=frames.len());
        frames.insert(place, suspect(rng, role));
    }
    frames.concat()
}

#[test]
fn generated_streams_mean_the_same() {
    let mut broken = 0;
    for role in [Role::Server, Role::Client] {
        for seed in 0..SEEDS {
            let rng = &mut Rng::with_seed(seed);
            let bytes = stream(rng, role);
            let complete = read_at_once(role, LIMIT, &bytes);
            assert_eq!(
                ours(complete.clone()),
                theirs(role, &bytes),
                "seed {seed}, {role:?}"
            );
            broken += usize::from(matches!(complete.last(), Some(Seen::Broken(_))));
            if bytes.len() < 300 {
                assert_eq!(
                    read_bytewise(role, LIMIT, &bytes),
                    complete,
                    "seed {seed}, {role:?}, byte by byte"
                );
                for cut in 0..bytes.len() {
                    let pieces = [&bytes[..cut], &bytes[cut..]];
                    assert_eq!(
                        read(role, LIMIT, pieces),
                        complete,
                        "seed {seed}, {role:?}, cut at {cut}"
                    );
                }
            }
        }
    }
    let share = broken * 100 / (2 * SEEDS as usize);
    assert!(
        (20..80).contains(&share),
        "{share} % of the streams break a rule: the generator lost its edge"
    );
}

#[test]
fn every_pair_of_header_bytes_means_the_same() {
    for role in [Role::Server, Role::Client] {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let reader = if second & 0x80 != 0 {
                    Role::Server
                } else {
                    Role::Client
                };
                let (length, extended) = match second & 0x7f {
                    126 => (126, Some(Extended::Two)),
                    127 => (65_536, Some(Extended::Eight)),
                    length => (u64::from(length), None),
                };
                let mut bytes = header(reader, first, length, extended);
                assert_eq!(bytes[..2], [first, second]);
                // Under a mask the payload is the key again and again, that is: zeros behind it.
                // Without one: zeros.
                let key = if reader == Role::Server {
                    bytes[bytes.len() - 4..].to_vec()
                } else {
                    vec![0; 4]
                };
                bytes.extend((0..length as usize).map(|index| key[index % 4]));
                check("header", role, &bytes);
            }
        }
    }
}

#[test]
fn every_close_code_means_the_same() {
    for role in [Role::Server, Role::Client] {
        for code in (0..=u16::MAX).filter(|&code| code != 1014) {
            check(
                "close code",
                role,
                &frame(role, FIN | CLOSE, &code.to_be_bytes()),
            );
        }
    }
}

#[test]
fn what_we_write_it_reads() {
    let rng = &mut Rng::with_seed(7);
    for len in [0, 1, 125, 126, 65_535, 65_536] {
        let text = "t".repeat(len);
        let binary = bytes(rng, len);
        let expected = vec![
            Seen::Text(text.clone()),
            Seen::Binary(binary.clone()),
            Seen::Ping(b"ping".to_vec()),
            Seen::Close(Some(1001), "bye".into()),
        ];
        let mut out = Vec::new();
        write_frame(&mut out, OpCode::Text, text.as_bytes());
        write_frame(&mut out, OpCode::Binary, &binary);
        write_frame(&mut out, OpCode::Ping, b"ping");
        write_close(&mut out, Some(CloseCode::GOING_AWAY), "bye");
        assert_eq!(
            theirs(Role::Client, &out),
            (expected.clone(), None),
            "{len}"
        );

        let mut out = Vec::new();
        write_client_frame(&mut out, OpCode::Text, text.as_bytes(), [1, 2, 3, 4]);
        write_client_frame(&mut out, OpCode::Binary, &binary, [0xff, 0, 0xff, 0]);
        write_client_frame(&mut out, OpCode::Ping, b"ping", [9; 4]);
        write_client_frame(&mut out, OpCode::Close, b"\x03\xe9bye", [8; 4]);
        assert_eq!(theirs(Role::Server, &out), (expected, None), "{len}");
    }
}

#[test]
fn what_it_writes_we_read() {
    let rng = &mut Rng::with_seed(8);
    for role in [Role::Server, Role::Client] {
        let writer = if role == Role::Server {
            Role::Client
        } else {
            Role::Server
        };
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let text = "t".repeat(len);
            let binary = bytes(rng, len);
            let mut socket = open(writer, b"");
            for message in [
                Message::text(&*text),
                Message::binary(binary.clone()),
                Message::Pong(vec![5].into()),
            ] {
                socket.write(message).expect("written");
            }
            socket.flush().expect("flushed");
            let expected = [Seen::Text(text), Seen::Binary(binary), Seen::Pong(vec![5])];
            assert_eq!(
                read_at_once(role, LIMIT, &socket.get_ref().outgoing),
                expected,
                "{len}, {role:?}"
            );
        }
    }
}
