//! Streams of mixed frames: every way of cutting them says the same.

use crate::stream::{
    BINARY, CLOSE, FIN, PING, PONG, Seen, TEXT, frame, read, read_at_once, read_bytewise,
};
use shardcast_protocol::frame::HEADER_BYTES_MAX;
use shardcast_protocol::reader::{self, Assembly, ReadLimits, Role, Step};

const LIMIT: usize = 1 << 20;

fn mixed(role: Role) -> (Vec<u8>, Vec<Seen>) {
    let long = vec![0x5a; 126];
    let bytes = [
        frame(role, FIN | TEXT, "größe".as_bytes()),
        frame(role, FIN | PING, b"p"),
        frame(role, TEXT, b"gr\xc3"),
        frame(role, FIN | PONG, b""),
        frame(role, 0, b""),
        frame(role, 0, b"\xb6"),
        frame(role, FIN, b"n"),
        frame(role, FIN | BINARY, &long),
        frame(role, FIN | CLOSE, b"\x03\xe9bye"),
    ]
    .concat();
    let seen = vec![
        Seen::Text("größe".into()),
        Seen::Ping(b"p".to_vec()),
        Seen::Fragment,
        Seen::Pong(vec![]),
        Seen::Fragment,
        Seen::Fragment,
        Seen::Text("grön".into()),
        Seen::Binary(long),
        Seen::Close(Some(1001), "bye".into()),
    ];
    (bytes, seen)
}

#[test]
fn every_split_point_says_the_same() {
    for role in [Role::Server, Role::Client] {
        let (bytes, expected) = mixed(role);
        assert_eq!(read_at_once(role, LIMIT, &bytes), expected);
        assert_eq!(read_bytewise(role, LIMIT, &bytes), expected);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(
                    read(role, LIMIT, pieces),
                    expected,
                    "cut at {first} and {second}"
                );
            }
        }
    }
}

#[test]
fn nothing_after_a_close_is_read() {
    for role in [Role::Server, Role::Client] {
        let bytes = [
            frame(role, FIN | CLOSE, b""),
            frame(role, FIN | TEXT, b"late"),
        ]
        .concat();
        assert_eq!(
            read_at_once(role, LIMIT, &bytes),
            [Seen::Close(None, String::new())]
        );
    }
}

/// `need` counts exactly to the next point where more can be known: the length, the header, then
/// the frame. A large frame is not waited for: what is there of it is taken.
#[test]
fn need_is_the_length_then_the_header_and_then_the_frame() {
    for (payload_bytes, header_bytes) in [(0, 2), (125, 2), (126, 4), (16_383, 4), (65_536, 10)] {
        for (role, mask_bytes) in [(Role::Server, 4), (Role::Client, 0)] {
            let bytes = frame(role, FIN | BINARY, &vec![9; payload_bytes]);
            let header = header_bytes + mask_bytes;
            assert!(header <= HEADER_BYTES_MAX && bytes.len() == header + payload_bytes);
            for have in 0..bytes.len().min(300) {
                let expected = match have {
                    0..2 => 2,
                    have if have < header_bytes => header_bytes,
                    have if have < header => header,
                    _ => bytes.len(),
                };
                let mut buffer = bytes[..have].to_vec();
                let limits = ReadLimits {
                    message_bytes_max: LIMIT,
                };
                let is_large = payload_bytes >= Assembly::LARGE_BYTES;
                match reader::next(&mut buffer, &mut None, role, &limits) {
                    Ok(Step::Event { event, used }) if is_large && have >= header => {
                        assert_eq!((event, used), (reader::FrameEvent::Fragment, have));
                    }
                    Ok(Step::Incomplete { need }) => {
                        assert_eq!(need, expected, "{role:?} {have} of {payload_bytes}");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn used_is_the_frame_and_not_what_follows() {
    let mut bytes = [
        frame(Role::Server, FIN | TEXT, b"abc"),
        b"\xff\xff\xff".to_vec(),
    ]
    .concat();
    let limits = ReadLimits {
        message_bytes_max: 10,
    };
    match reader::next(&mut bytes, &mut None, Role::Server, &limits) {
        Ok(Step::Event { event, used }) => {
            assert_eq!((event, used), (reader::FrameEvent::Text("abc"), 9));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bytes[9..], [0xff; 3]);
}

#[test]
fn ten_thousand_fragments_of_one_byte_are_one_message() {
    for (first, byte) in [(TEXT, b't'), (BINARY, 0xff)] {
        let mut bytes = frame(Role::Server, first, &[byte]);
        for _ in 0..9_999 {
            bytes.extend(frame(Role::Server, 0, &[byte]));
        }
        bytes.extend(frame(Role::Server, FIN, &[]));
        let mut assembly: Option<Box<Assembly>> = None;
        let limits = ReadLimits {
            message_bytes_max: 10_000,
        };
        let mut rest = &mut bytes[..];
        for taken in 1..=10_000 {
            let Ok(Step::Event {
                event: reader::FrameEvent::Fragment,
                used,
            }) = reader::next(rest, &mut assembly, Role::Server, &limits)
            else {
                panic!("fragment {taken}");
            };
            rest = &mut rest[used..];
            assert_eq!(
                assembly.as_ref().map(|assembly| assembly.len()),
                Some(taken)
            );
        }
        let seen = read_at_once(Role::Server, 10_000, rest);
        assert!(
            matches!(seen[..], [Seen::Broken(_)]),
            "the assembly is the connection's, not the reader's"
        );
        let last = reader::next(rest, &mut assembly, Role::Server, &limits);
        assert!(matches!(
            last,
            Ok(Step::Event {
                event: reader::FrameEvent::Assembled,
                ..
            })
        ));
        assert_eq!(
            assembly.map(|assembly| assembly.finish().1),
            Some(vec![byte; 10_000])
        );
    }
}
