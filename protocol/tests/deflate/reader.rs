//! The reader of a connection that agreed on permessage-deflate: RSV1, fragments, limits, at every
//! cut.

use super::{json, zlib_once};
use shardcast_protocol::deflate::{self, InflateLimits, Inflater};
use shardcast_protocol::frame::Kind;
use shardcast_protocol::reader::{FrameEvent, ProtocolError, Role, Step};

const LIMITS: InflateLimits = InflateLimits {
    message_bytes_max: 1000,
    ratio_max: InflateLimits::RATIO_MAX_DEFAULT,
};

/// First bytes of a frame.
const FINAL: u8 = 0x80;
const RSV1: u8 = 0x40;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const PING: u8 = 9;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        long => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    bytes.extend_from_slice(&mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Message(Kind, Vec<u8>),
    Ping,
}

/// What a stream says when its bytes come in two parts.
fn read(stream: &[u8], cut: usize) -> Result<Vec<Heard>, ProtocolError> {
    let (mut heard, mut assembly, mut inflater) = (Vec::new(), None, Inflater::default());
    let (mut buffer, mut rest) = (stream[..cut].to_vec(), &stream[cut..]);
    loop {
        let role = Role::Server;
        let step = deflate::next(
            &mut buffer,
            &mut assembly,
            role,
            &LIMITS,
            &mut inflater,
            None,
        )?;
        let used = match step {
            Step::Incomplete { .. } if rest.is_empty() => {
                assert!(buffer.is_empty(), "everything was read");
                return Ok(heard);
            }
            Step::Incomplete { need } => {
                assert!(need > buffer.len());
                buffer.extend_from_slice(rest);
                rest = &[];
                continue;
            }
            Step::Event { event, used } => {
                heard.extend(match event {
                    FrameEvent::Text(text) => Some(Heard::Message(Kind::Text, text.into())),
                    FrameEvent::Binary(bytes) => Some(Heard::Message(Kind::Binary, bytes.into())),
                    FrameEvent::Assembled => {
                        let (kind, bytes) = assembly.take().unwrap().finish();
                        Some(Heard::Message(kind, bytes))
                    }
                    FrameEvent::Ping(_) => Some(Heard::Ping),
                    FrameEvent::Fragment | FrameEvent::Pong(_) | FrameEvent::Close(_) => None,
                });
                used
            }
        };
        buffer.drain(..used);
    }
}

#[track_caller]
fn check(stream: &[u8], expected: Result<Vec<Heard>, ProtocolError>) {
    for cut in 0..=stream.len() {
        assert_eq!(read(stream, cut), expected, "cut at {cut}");
    }
}

fn text(bytes: &[u8]) -> Heard {
    Heard::Message(Kind::Text, bytes.into())
}

/// Clauses 7692-6.1-1, 7692-6.2-1, 7692-6.2-2, 7692-7.2.3-1.
#[test]
fn compressed_and_plain_messages_mix() {
    let message = json(600, 1);
    let payload = zlib_once(&message);
    let (start, end) = payload.split_at(payload.len() / 3);
    let stream = [
        frame(FINAL | RSV1 | TEXT, &payload),
        frame(FINAL | TEXT, b"plain"),
        // Fragments of a compressed message, with a ping between; only the first bears RSV1.
        frame(RSV1 | BINARY, start),
        frame(FINAL | PING, b"p"),
        frame(0, b""),
        frame(0, end),
        frame(FINAL, b""),
        // Fragments of a plain one.
        frame(TEXT, b"in "),
        frame(FINAL | PING, b""),
        frame(FINAL, b"two"),
        frame(FINAL | RSV1 | TEXT, &[0]),
        // All of a compressed message in its last fragment.
        frame(RSV1 | TEXT, b""),
        frame(FINAL, &payload),
    ];
    let heard = vec![
        text(&message),
        text(b"plain"),
        Heard::Ping,
        Heard::Message(Kind::Binary, message.clone()),
        Heard::Ping,
        text(b"in two"),
        text(b""),
        text(&message),
    ];
    check(&stream.concat(), Ok(heard));
}

#[test]
fn one_fragment_a_byte() {
    let message = json(900, 2);
    let payload = zlib_once(&message);
    let mut stream = frame(RSV1 | TEXT, &payload[..1]);
    for byte in &payload[1..] {
        stream.extend(frame(0, &[*byte]));
    }
    stream.extend(frame(FINAL, b""));
    assert_eq!(read(&stream, 0), Ok(vec![text(&message)]));
}

/// Clauses 7692-6-1, 7692-6-2.
#[test]
fn what_breaks_the_rules() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(1200)
        .collect();
    let reserved = ProtocolError::ReservedBit;
    for (stream, error) in [
        (frame(FINAL | RSV1 | PING, b""), reserved),
        (frame(FINAL | RSV1 | 8, b""), reserved),
        (frame(FINAL | 0x20 | TEXT, b""), reserved),
        (frame(FINAL | RSV1 | 0x10 | TEXT, b""), reserved),
        // A continuation with RSV1 (RFC 7692 §6.1).
        (
            [frame(RSV1 | TEXT, &hello), frame(FINAL | RSV1, b"")].concat(),
            reserved,
        ),
        (
            [frame(TEXT, b"a"), frame(FINAL | RSV1, &hello)].concat(),
            reserved,
        ),
        (
            [frame(RSV1 | TEXT, &hello), frame(FINAL | TEXT, b"a")].concat(),
            ProtocolError::DataInsideFragmented,
        ),
        (
            [frame(TEXT, b"a"), frame(FINAL | RSV1 | TEXT, &hello)].concat(),
            ProtocolError::DataInsideFragmented,
        ),
        (
            frame(FINAL | RSV1 | TEXT, &zlib_once(b"\xff\xfe")),
            ProtocolError::TextNotUtf8,
        ),
        (
            [frame(RSV1 | TEXT, &zlib_once(b"\xff")), frame(FINAL, b"")].concat(),
            ProtocolError::TextNotUtf8,
        ),
        (
            frame(FINAL | RSV1 | TEXT, b"\xff\xff"),
            ProtocolError::CompressedDamaged,
        ),
        (
            frame(FINAL | RSV1 | BINARY, &zlib_once(&[0; 1001])),
            ProtocolError::InflatedTooBig,
        ),
        // Compressed bytes: as many as a message, and what an incompressible one grows by.
        (
            frame(FINAL | RSV1 | BINARY, &noise[..1127]),
            ProtocolError::MessageTooBig,
        ),
        (
            [
                frame(RSV1 | BINARY, &noise[..1000]),
                frame(FINAL, &noise[..127]),
            ]
            .concat(),
            ProtocolError::MessageTooBig,
        ),
        (
            frame(FINAL | TEXT, &[b'a'; 1001]),
            ProtocolError::MessageTooBig,
        ),
    ] {
        check(&stream, Err(error));
    }
    let complete = zlib_once(&noise[..1000]);
    let message = Heard::Message(Kind::Binary, noise[..1000].to_vec());
    assert!(complete.len() > 1000, "it grew");
    check(&frame(FINAL | RSV1 | BINARY, &complete), Ok(vec![message]));
}

/// The plain reader knows of no extension.
#[test]
fn without_an_agreement_rsv1_is_reserved() {
    let limits = shardcast_protocol::reader::ReadLimits {
        message_bytes_max: 1000,
    };
    let mut stream = frame(FINAL | RSV1 | TEXT, &[0]);
    let step = shardcast_protocol::reader::next(&mut stream, &mut None, Role::Server, &limits);
    assert_eq!(step.unwrap_err(), ProtocolError::ReservedBit);
}
