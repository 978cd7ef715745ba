//! Every MUST that a peer can break: its error, its close code, and that the header alone is enough where it can be.

use crate::stream::{
    BINARY, CLOSE, Extended, FIN, PING, PONG, Seen, TEXT, frame, header, read_bytewise, read_whole,
};
use shardcast_protocol::reader::{ProtocolError, Role};

const LIMIT: usize = 1000;

/// The last thing seen is `error`, whole or byte by byte, and it closes with `code`.
fn check(name: &str, role: Role, bytes: &[u8], error: ProtocolError, code: u16) {
    assert_eq!(error.close_code().get(), code, "{name}");
    for seen in [
        read_whole(role, LIMIT, bytes),
        read_bytewise(role, LIMIT, bytes),
    ] {
        assert_eq!(seen.last(), Some(&Seen::Broken(error)), "{name}: {seen:?}");
    }
}

#[test]
fn headers_that_break_a_rule_fail_before_any_payload() {
    for role in [Role::Server, Role::Client] {
        let other = if role == Role::Server {
            Role::Client
        } else {
            Role::Server
        };
        let mask_error = if role == Role::Server {
            ProtocolError::Unmasked
        } else {
            ProtocolError::Masked
        };
        for bit in [0x10, 0x20, 0x40] {
            for opcode in [TEXT, BINARY, CLOSE, PING, PONG, 0] {
                let bytes = header(role, FIN | bit | opcode, 5, None);
                check(
                    "reserved bit",
                    role,
                    &bytes[..2],
                    ProtocolError::ReservedBit,
                    1002,
                );
            }
        }
        for opcode in (3..=7).chain(11..=15) {
            for fin in [0, FIN] {
                let bytes = header(role, fin | opcode, 5, None);
                check(
                    "reserved opcode",
                    role,
                    &bytes[..2],
                    ProtocolError::ReservedOpCode,
                    1002,
                );
            }
        }
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            check(
                "mask",
                role,
                &header(other, FIN | opcode, 5, None)[..2],
                mask_error,
                1002,
            );
        }
        for opcode in [CLOSE, PING, PONG] {
            let fragmented = header(role, opcode, 5, None);
            check(
                "fragmented control",
                role,
                &fragmented[..2],
                ProtocolError::ControlFragmented,
                1002,
            );
            for (length, extended) in [(126, Extended::Two), (65_536, Extended::Eight)] {
                let long = header(role, FIN | opcode, length, Some(extended));
                check(
                    "long control",
                    role,
                    &long[..2],
                    ProtocolError::ControlTooLong,
                    1002,
                );
            }
        }
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
        for (extended, length, error, code) in table {
            for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
                check(
                    "length",
                    role,
                    &header(role, first, length, Some(extended)),
                    error,
                    code,
                );
            }
        }
        check(
            "start",
            role,
            &header(role, FIN, 5, None),
            ProtocolError::ContinuationWithoutStart,
            1002,
        );
        check(
            "start",
            role,
            &header(role, 0, 5, None),
            ProtocolError::ContinuationWithoutStart,
            1002,
        );
    }
}

#[test]
fn rules_of_a_message_and_of_payloads() {
    for role in [Role::Server, Role::Client] {
        let start = frame(role, BINARY, b"abc");
        let join = |frames: &[&[u8]]| frames.concat();
        for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
            let bytes = join(&[&start, &header(role, first, 1, None)]);
            check(
                "data inside",
                role,
                &bytes,
                ProtocolError::DataInsideFragmented,
                1002,
            );
        }
        let whole = join(&[&start, &frame(role, FIN, b""), &header(role, FIN, 1, None)]);
        check(
            "continues what is over",
            role,
            &whole,
            ProtocolError::ContinuationWithoutStart,
            1002,
        );
        let sum = join(&[
            &start,
            &frame(role, 0, &[7; 900]),
            &header(role, 0, 98, None),
        ]);
        check(
            "sum of fragments",
            role,
            &sum,
            ProtocolError::MessageTooBig,
            1009,
        );

        for text in [
            &b"\xff"[..],
            b"ok \xc0\xaf",
            b"\xed\xa0\x80",
            b"cut \xe2\x82",
        ] {
            check(
                "text",
                role,
                &frame(role, FIN | TEXT, text),
                ProtocolError::TextNotUtf8,
                1007,
            );
        }
        let fragments = join(&[&frame(role, TEXT, b"\xe2"), &frame(role, 0, b"\x28")]);
        check(
            "text in fragments",
            role,
            &fragments,
            ProtocolError::TextNotUtf8,
            1007,
        );
        let cut = join(&[&frame(role, TEXT, b"\xe2"), &frame(role, FIN, b"\x82")]);
        check(
            "text cut at its end",
            role,
            &cut,
            ProtocolError::TextNotUtf8,
            1007,
        );
        let long = [&[b'a'; 200][..], b"\xff", &[b'a'; 200]].concat();
        check(
            "long text",
            role,
            &frame(role, FIN | TEXT, &long),
            ProtocolError::TextNotUtf8,
            1007,
        );

        check(
            "close",
            role,
            &frame(role, FIN | CLOSE, b"\x03"),
            ProtocolError::ClosePayloadOfOneByte,
            1002,
        );
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            let bytes = frame(role, FIN | CLOSE, &code.to_be_bytes());
            check(
                "close code",
                role,
                &bytes,
                ProtocolError::CloseCodeForbidden,
                1002,
            );
        }
        let reason = frame(role, FIN | CLOSE, b"\x03\xe8\xce\xba\xed\xa0\x80");
        check(
            "close reason",
            role,
            &reason,
            ProtocolError::CloseReasonNotUtf8,
            1007,
        );
    }
}

#[test]
fn what_is_just_permitted_is_taken() {
    for role in [Role::Server, Role::Client] {
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
        assert_eq!(read_whole(role, LIMIT, &bytes), expected);
        assert_eq!(read_bytewise(role, LIMIT, &bytes), expected);
    }
}
