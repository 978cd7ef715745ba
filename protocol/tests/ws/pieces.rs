//! Messages in pieces: the same streams, cut everywhere, say what the reader of complete messages
//! says.

use crate::stream::{
    BINARY, CLOSE, FIN, PING, PONG, Seen, TEXT, frame, header, read_at_once as read_messages,
};
use shardcast_protocol::frame::{HEADER_BYTES_MAX, Kind};
use shardcast_protocol::pieces::{PieceEvent, PieceStep, Pieces};
use shardcast_protocol::reader::{ProtocolError, ReadLimits, Role};

const LIMIT: usize = 1000;

/// Reads a stream that arrives in the given parts, and puts the pieces of each message together.
fn read<'p>(role: Role, parts: impl IntoIterator<Item = &'p [u8]>) -> Vec<Seen> {
    let limits = ReadLimits {
        message_bytes_max: LIMIT,
    };
    let (mut pieces, mut buffer, mut seen) = (Pieces::default(), Vec::new(), Vec::new());
    let mut message: Option<Vec<u8>> = None;
    for part in parts {
        buffer.extend_from_slice(part);
        let mut start = 0;
        loop {
            let before = buffer[start..].to_vec();
            let step = match pieces.next(&mut buffer[start..], role, &limits) {
                Ok(step) => step,
                Err(error) => {
                    seen.push(Seen::Broken(error));
                    return seen;
                }
            };
            let (event, used) = match step {
                PieceStep::Incomplete { need } => {
                    assert!(need > before.len(), "asks for bytes that it has");
                    assert!(need <= HEADER_BYTES_MAX + 125, "{need} bytes are too many");
                    assert_eq!(buffer[start..], before, "touched what is incomplete");
                    break;
                }
                PieceStep::Event { event, used } => (event, used),
            };
            start += used;
            match event {
                PieceEvent::Piece(piece) => {
                    assert_eq!(piece.first, message.is_none());
                    let bytes = message.get_or_insert_default();
                    bytes.extend_from_slice(piece.bytes);
                    if piece.last {
                        assert!(pieces.is_idle() && !pieces.is_in_frame());
                        let bytes = message.take().unwrap_or_default();
                        seen.push(match piece.kind {
                            Kind::Text => Seen::Text(String::from_utf8(bytes).expect("checked")),
                            Kind::Binary => Seen::Binary(bytes),
                        });
                    }
                }
                PieceEvent::Ping(bytes) => seen.push(Seen::Ping(bytes.to_vec())),
                PieceEvent::Pong(bytes) => seen.push(Seen::Pong(bytes.to_vec())),
                PieceEvent::Close(close) => {
                    let code = close.code.map(|code| code.get());
                    seen.push(Seen::Close(code, close.reason.to_owned()));
                    return seen;
                }
            }
        }
        buffer.drain(..start);
    }
    seen
}

/// Whatever the cuts, the pieces say what the complete messages say (which the reader's own tests
/// prove).
fn check(role: Role, what: &str, stream: &[u8]) {
    let mut expected = read_messages(role, LIMIT, stream);
    expected.retain(|seen| *seen != Seen::Fragment);
    assert_eq!(read(role, [stream]), expected, "{what}");
    assert_eq!(read(role, stream.chunks(1)), expected, "{what}, bytewise");
    for first in 0..=stream.len() {
        for second in (first..=stream.len()).step_by(1 + stream.len() / 80) {
            let parts = [&stream[..first], &stream[first..second], &stream[second..]];
            let at = format!("{what}, cut at {first} and {second}");
            assert_eq!(read(role, parts), expected, "{at}");
        }
    }
}

/// Streams of complete frames, some of which break a rule.
fn streams(role: Role) -> Vec<(&'static str, Vec<u8>)> {
    let frame = |first, payload: &[u8]| frame(role, first, payload);
    let mut streams = vec![
        (
            "mixed",
            [
                frame(FIN | TEXT, "größe".as_bytes()),
                frame(FIN | PING, b"p"),
                frame(TEXT, b"gr\xc3"),
                frame(FIN | PONG, b""),
                frame(0, b""),
                frame(0, b"\xb6"),
                frame(FIN, "n \u{1f980}".as_bytes()),
                frame(FIN | BINARY, &(0..=255).collect::<Vec<u8>>()),
                frame(FIN | TEXT, b""),
                frame(BINARY, b""),
                frame(FIN, b"\xff"),
                frame(FIN | CLOSE, b"\x03\xe9bye"),
                frame(FIN | TEXT, b"late"),
            ]
            .concat(),
        ),
        ("as much as may be", frame(FIN | BINARY, &[7; LIMIT])),
        ("continues nothing", frame(FIN, b"x")),
        (
            "text inside text",
            [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat(),
        ),
        (
            "too big in sum",
            [frame(BINARY, &[1; LIMIT]), frame(0, b""), frame(FIN, b"x")].concat(),
        ),
        ("reserved bit", frame(FIN | 0x40 | TEXT, b"x")),
        ("long ping", frame(FIN | PING, &[0; 126])),
        ("close of one byte", frame(FIN | CLOSE, b"\x03")),
    ];
    let texts: [&[u8]; 8] = [
        b"a\xffb",
        b"\xe2\x82",
        b"\xe2\x28\xa1",
        b"\xed\xa0\x80",
        b"\xf0\x9f\xa6",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"ok \xe2\x82\xac\xe2",
    ];
    for text in texts {
        streams.push(("not UTF-8", frame(FIN | TEXT, text)));
        for cut in 1..text.len() {
            let (start, end) = text.split_at(cut);
            let parts = [frame(TEXT, start), frame(FIN, end)];
            streams.push(("not UTF-8, in fragments", parts.concat()));
        }
    }
    streams
}

#[test]
fn every_cut_says_what_whole_messages_say() {
    for role in [Role::Server, Role::Client] {
        for (what, stream) in streams(role) {
            check(role, what, &stream);
        }
    }
}

#[test]
fn random_streams_in_random_parts() {
    let mut random = fastrand::Rng::with_seed(4);
    let characters = ['a', 'ß', '\u{20ac}', '\u{1f980}'];
    for round in 0..500 {
        let mut stream = Vec::new();
        for _ in 0..random.usize(1..6) {
            let text: String = (0..random.usize(0..60))
                .map(|_| characters[random.usize(0..4)])
                .collect();
            let (mut first, mut rest) = (TEXT, text.as_bytes());
            loop {
                let (part, after) = rest.split_at(random.usize(0..=rest.len()));
                let is_last = after.is_empty();
                let bit = if is_last { FIN } else { 0 };
                stream.extend(frame(Role::Server, bit | first, part));
                (first, rest) = (0, after);
                if is_last {
                    break;
                }
                if random.bool() {
                    stream.extend(frame(Role::Server, FIN | PING, b"!"));
                }
            }
        }
        if random.u8(0..4) == 0 {
            // One bit is wrong, anywhere.
            let at = random.usize(0..stream.len());
            stream[at] ^= 1 << random.u8(0..8);
        }
        let mut expected = read_messages(Role::Server, LIMIT, &stream);
        expected.retain(|seen| *seen != Seen::Fragment);
        let mut parts = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (part, after) = rest.split_at(random.usize(1..=rest.len()));
            parts.push(part);
            rest = after;
        }
        let seen = read(Role::Server, parts);
        // A frame that a wrong bit made too long never ends: its text may be found broken before.
        let broken = Seen::Broken(ProtocolError::TextNotUtf8);
        match seen.split_last() {
            Some((last, before)) if *last == broken && before == expected => {}
            _ => assert_eq!(seen, expected, "round {round}"),
        }
    }
}

#[test]
fn a_large_payload_comes_in_the_parts_that_arrive() {
    let limits = ReadLimits {
        message_bytes_max: 64 << 20,
    };
    let mut pieces = Pieces::default();
    let mut head = header(
        Role::Client,
        FIN | BINARY,
        64 << 20,
        Some(crate::stream::Extended::Eight),
    );
    let header_bytes = head.len();
    let step = pieces.next(&mut head, Role::Client, &limits);
    assert!(matches!(step, Ok(PieceStep::Incomplete { need }) if need == header_bytes + 1));
    head.push(9);
    for part in 0..=1024u32 {
        let mut bytes = match part {
            0 => head.clone(),
            1024 => vec![9; (64 << 10) - 1],
            _ => vec![9; 64 << 10],
        };
        let have = bytes.len();
        match pieces.next(&mut bytes, Role::Client, &limits) {
            Ok(PieceStep::Event {
                event: PieceEvent::Piece(piece),
                used,
            }) => {
                assert_eq!(used, have);
                assert_eq!((piece.first, piece.last), (part == 0, part == 1024));
                assert_eq!(pieces.is_in_frame(), part < 1024);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pieces.is_idle());
}
