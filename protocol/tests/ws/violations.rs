//! Every MUST that a peer can break: its error, its close code, and that the header alone is enough
//! where it can be.

use crate::stream::{
    BINARY, CLOSE, Extended, FIN, PING, PONG, Seen, TEXT, frame, header, read_at_once,
    read_bytewise,
};
use shardcast_protocol::reader::{ProtocolError, Role};

const LIMIT: usize = 1000;
const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// The last thing seen is `error`, complete or byte by byte, and it closes with `code`.
fn check(name: &str, role: Role, bytes: &[u8], error: ProtocolError, code: u16) {
    assert_eq!(error.close_code().get(), code, "{name}");
    for seen in [
        read_at_once(role, LIMIT, bytes),
        read_bytewise(role, LIMIT, bytes),
    ] {
        assert_eq!(seen.last(), Some(&Seen::Broken(error)), "{name}: {seen:?}");
    }
}

/// The header is enough: none of the payload that it announces is there.
fn check_header(role: Role, header: &[u8], error: ProtocolError, code: u16) {
    check("header", role, header, error, code);
}

#[test]
fn reserved_bits_and_opcodes() {
    for role in ROLES {
        for bit in [0x10, 0x20, 0x40] {
            for opcode in [TEXT, BINARY, CLOSE, PING, PONG, 0] {
                let bytes = header(role, FIN | bit | opcode, 5, None);
                check_header(role, &bytes[..2], ProtocolError::ReservedBit, 1002);
            }
        }
        for opcode in (3..=7).chain(11..=15) {
            for fin in [0, FIN] {
                let bytes = header(role, fin | opcode, 5, None);
                check_header(role, &bytes[..2], ProtocolError::ReservedOpCode, 1002);
            }
        }
    }
}

/// Clauses 6455-5.1-2, 6455-5.1-4.
#[test]
fn masks_are_of_one_direction() {
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        let masked = header(Role::Server, FIN | opcode, 5, None);
        let unmasked = header(Role::Client, FIN | opcode, 5, None);
        check_header(Role::Server, &unmasked[..2], ProtocolError::Unmasked, 1002);
        check_header(Role::Client, &masked[..2], ProtocolError::Masked, 1002);
    }
}

#[test]
fn control_frames_are_short_and_whole() {
    for role in ROLES {
        for opcode in [CLOSE, PING, PONG] {
            let fragmented = header(role, opcode, 5, None);
            check_header(
                role,
                &fragmented[..2],
                ProtocolError::ControlFragmented,
                1002,
            );
            for (length, extended) in [(126, Extended::Two), (65_536, Extended::Eight)] {
                let long = header(role, FIN | opcode, length, Some(extended));
                check_header(role, &long[..2], ProtocolError::ControlTooLong, 1002);
            }
        }
    }
}

#[test]
fn lengths_are_minimal_and_bounded() {
    let table = [
        (Extended::Two, 0, ProtocolError::LengthNotMinimal, 1002),
        (Extended::Two, 125, ProtocolError::LengthNotMinimal, 1002),
        (Extended::Eight, 0, ProtocolError::LengthNotMinimal, 1002),
        (
            Extended::Eight,
            65_535,
            ProtocolError::LengthNotMinimal,
            1002,
        ),
        (Extended::Eight, 1 << 63, ProtocolError::LengthTopBit, 1002),
        (Extended::Eight, u64::MAX, ProtocolError::LengthTopBit, 1002),
        (Extended::Two, 1001, ProtocolError::MessageTooBig, 1009),
        (Extended::Eight, 65_536, ProtocolError::MessageTooBig, 1009),
        (
            Extended::Eight,
            (1 << 63) - 1,
            ProtocolError::MessageTooBig,
            1009,
        ),
    ];
    for role in ROLES {
        for (extended, length, error, code) in table {
            for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
                check_header(
                    role,
                    &header(role, first, length, Some(extended)),
                    error,
                    code,
                );
            }
        }
    }
}

#[test]
fn fragments_belong_to_one_message() {
    for role in ROLES {
        for first in [0, FIN] {
            let bytes = header(role, first, 5, None);
            check_header(role, &bytes, ProtocolError::ContinuationWithoutStart, 1002);
        }
        let start = frame(role, BINARY, b"abc");
        for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
            let bytes = [&start[..], &header(role, first, 1, None)].concat();
            check(
                "data inside",
                role,
                &bytes,
                ProtocolError::DataInsideFragmented,
                1002,
            );
        }
        let over = [
            &start[..],
            &frame(role, FIN, b""),
            &header(role, FIN, 1, None),
        ]
        .concat();
        check(
            "continues what is over",
            role,
            &over,
            ProtocolError::ContinuationWithoutStart,
            1002,
        );
        let sum = [
            &start[..],
            &frame(role, 0, &[7; 900]),
            &header(role, 0, 98, None),
        ]
        .concat();
        check(
            "sum of fragments",
            role,
            &sum,
            ProtocolError::MessageTooBig,
            1009,
        );
    }
}

#[test]
fn text_is_utf8() {
    for role in ROLES {
        let long = [&[b'a'; 200][..], b"\xff", &[b'a'; 200]].concat();
        for text in [
            &b"\xff"[..],
            b"ok \xc0\xaf",
            b"\xed\xa0\x80",
            b"cut \xe2\x82",
            &long,
        ] {
            check(
                "text",
                role,
                &frame(role, FIN | TEXT, text),
                ProtocolError::TextNotUtf8,
                1007,
            );
        }
        let fragments = [frame(role, TEXT, b"\xe2"), frame(role, 0, b"\x28")].concat();
        check(
            "text in fragments",
            role,
            &fragments,
            ProtocolError::TextNotUtf8,
            1007,
        );
        let cut = [frame(role, TEXT, b"\xe2"), frame(role, FIN, b"\x82")].concat();
        check(
            "text cut at its end",
            role,
            &cut,
            ProtocolError::TextNotUtf8,
            1007,
        );
    }
}

#[test]
fn close_payloads_have_a_code_and_a_reason() {
    for role in ROLES {
        let alone = frame(role, FIN | CLOSE, b"\x03");
        check(
            "one byte",
            role,
            &alone,
            ProtocolError::ClosePayloadOfOneByte,
            1002,
        );
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            let bytes = frame(role, FIN | CLOSE, &code.to_be_bytes());
            check(
                "code",
                role,
                &bytes,
                ProtocolError::CloseCodeForbidden,
                1002,
            );
        }
        let reason = frame(role, FIN | CLOSE, b"\x03\xe8\xce\xba\xed\xa0\x80");
        check(
            "reason",
            role,
            &reason,
            ProtocolError::CloseReasonNotUtf8,
            1007,
        );
    }
}

#[test]
fn what_is_just_permitted_is_taken() {
    for role in ROLES {
        let longest = vec![b'x'; LIMIT];
        let ping = vec![1; 125];
        let reason = "r".repeat(123);
        let close = [&3000u16.to_be_bytes()[..], reason.as_bytes()].concat();
        let bytes = [
            frame(role, FIN | BINARY, &longest),
            frame(role, BINARY, &longest[..600]),
            frame(role, FIN | PING, &ping),
            frame(role, FIN, &longest[600..]),
            frame(role, FIN | TEXT, b""),
            frame(role, TEXT, b""),
            frame(role, FIN, b""),
            frame(role, FIN | CLOSE, &close),
        ]
        .concat();
        let expected = [
            Seen::Binary(longest.clone()),
            Seen::Fragment,
            Seen::Ping(ping),
            Seen::Binary(longest),
            Seen::Text(String::new()),
            Seen::Fragment,
            Seen::Text(String::new()),
            Seen::Close(Some(3000), reason),
        ];
        assert_eq!(read_at_once(role, LIMIT, &bytes), expected);
        assert_eq!(read_bytewise(role, LIMIT, &bytes), expected);
    }
}
