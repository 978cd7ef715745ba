//! What the writer writes, byte by byte, and that the reader takes it back.

use crate::stream::{Seen, read_at_once};
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::frame::{
    Header, OpCode, apply_mask, write_client_frame, write_close, write_frame, write_frame_with,
};
use shardcast_protocol::reader::Role;

const MASK: [u8; 4] = [0xa1, 0xb2, 0xc3, 0xd4];
const LENGTHS: [usize; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1 << 20];

#[test]
fn headers_are_minimal() {
    let table: &[(usize, &[u8])] = &[
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65_535, b"\x82\x7e\xff\xff"),
        (65_536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        (
            0x0123_4567_89ab,
            b"\x82\x7f\x00\x00\x01\x23\x45\x67\x89\xab",
        ),
    ];
    for (payload_bytes, expected) in table {
        assert_eq!(
            Header::server(OpCode::Binary, *payload_bytes).as_bytes(),
            *expected
        );
        let mut masked = expected.to_vec();
        masked[1] |= 0x80;
        masked.extend(MASK);
        assert_eq!(
            &*Header::client(OpCode::Binary, *payload_bytes, MASK),
            masked
        );
    }
}

#[test]
fn opcodes_are_the_first_byte() {
    use OpCode::*;
    for (opcode, first) in [
        (Continuation, 0x80),
        (Text, 0x81),
        (Binary, 0x82),
        (Close, 0x88),
        (Ping, 0x89),
        (Pong, 0x8a),
    ] {
        assert_eq!(Header::server(opcode, 0).as_bytes(), [first, 0]);
        assert_eq!(OpCode::new(first & 0xf), Some(opcode));
        assert_eq!(opcode.is_control(), first >= 0x88);
    }
    assert_eq!(
        (0..=u8::MAX)
            .filter(|&bits| OpCode::new(bits).is_some())
            .count(),
        6
    );
}

/// What a client writes is masked, and says so: a server reads nothing else. Clauses 6455-5.1-1,
/// 6455-5.3-1, 6455-6.1-5.
#[test]
fn every_length_comes_back() {
    for payload_bytes in LENGTHS {
        let payload: Vec<u8> = (0..payload_bytes).map(|index| index as u8).collect();
        let text = "x".repeat(payload_bytes);
        let (mut server, mut client) = (b"before".to_vec(), b"before".to_vec());
        write_frame(&mut server, OpCode::Binary, &payload);
        write_frame(&mut server, OpCode::Text, text.as_bytes());
        write_client_frame(&mut client, OpCode::Binary, &payload, MASK);
        write_client_frame(&mut client, OpCode::Text, text.as_bytes(), [0; 4]);
        let expected = [Seen::Binary(payload), Seen::Text(text)];
        assert_eq!(
            read_at_once(Role::Client, 1 << 20, &server[6..]),
            expected,
            "{payload_bytes}"
        );
        assert_eq!(
            read_at_once(Role::Server, 1 << 20, &client[6..]),
            expected,
            "{payload_bytes}"
        );
    }
}

#[test]
fn filling_behind_the_header_writes_the_same() {
    for payload_bytes in LENGTHS {
        let payload: Vec<u8> = (0..payload_bytes).map(|index| (index * 7) as u8).collect();
        let (mut at_once, mut filled) = (b"before".to_vec(), b"before".to_vec());
        write_frame(&mut at_once, OpCode::Text, &payload);
        write_frame_with(&mut filled, OpCode::Text, |out| {
            for piece in payload.chunks(1000) {
                out.extend_from_slice(piece);
            }
        });
        assert!(at_once == filled, "{payload_bytes}");
    }
}

#[test]
fn a_control_payload_never_leaves_its_limit() {
    for payload_bytes in [125, 126, 1000, 70_000] {
        let payload = vec![3; payload_bytes];
        let (mut at_once, mut filled, mut client) = (Vec::new(), Vec::new(), Vec::new());
        write_frame(&mut at_once, OpCode::Ping, &payload);
        write_frame_with(&mut filled, OpCode::Ping, |out| {
            out.extend_from_slice(&payload);
        });
        write_client_frame(&mut client, OpCode::Ping, &payload, MASK);
        let expected = [Seen::Ping(vec![3; 125])];
        assert_eq!(read_at_once(Role::Client, 0, &at_once), expected);
        assert_eq!(read_at_once(Role::Client, 0, &filled), expected);
        assert_eq!(read_at_once(Role::Server, 0, &client), expected);
    }
}

#[test]
fn a_close_says_its_code_and_as_much_reason_as_fits() {
    let long = "r".repeat(200);
    let umlauts = "ä".repeat(62);
    let cases: [(Option<CloseCode>, &str, Option<u16>, &str); 6] = [
        (None, "", None, ""),
        (None, "lost, since a reason needs a code", None, ""),
        (Some(CloseCode::NORMAL), "", Some(1000), ""),
        (Some(CloseCode::GOING_AWAY), "bye", Some(1001), "bye"),
        (Some(CloseCode::POLICY), &long, Some(1008), &long[..123]),
        (
            Some(CloseCode::POLICY),
            &umlauts,
            Some(1008),
            &umlauts[..122],
        ),
    ];
    for (code, reason, said, heard) in cases {
        let mut out = Vec::new();
        write_close(&mut out, code, reason);
        assert_eq!(
            read_at_once(Role::Client, 0, &out),
            [Seen::Close(said, heard.to_owned())]
        );
    }
}

#[test]
fn masking_twice_is_nothing() {
    let mut payload: Vec<u8> = (0..200).collect();
    apply_mask(&mut payload, MASK);
    assert_eq!(payload[..5], [0xa1, 0xb3, 0xc1, 0xd7, 0xa5]);
    apply_mask(&mut payload, MASK);
    assert!(payload.iter().copied().eq(0..200));
}
