//! RFC 6455 §5.2: what a frame looks like, both ways.

use crate::exchange::{Heard, Servers, binary, close, text};
use shardcast_tests::{BINARY, CLOSE, CONTINUE, FIN, PING, PONG, TEXT, frame, header};

#[test]
fn reserved_bits_mean_nothing_unless_negotiated() {
    let servers = Servers::start();
    for bit in [0x10, 0x20, 0x40, 0x70] {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            let said = frame(FIN | bit | opcode, b"");
            servers.check(
                "6455-5.2-2 6455-9.1-3 6455-5.8-1",
                "reserved bit",
                &said,
                &[close(1002)],
            );
        }
        let said = [frame(TEXT, b"a"), frame(FIN | bit | CONTINUE, b"b")].concat();
        servers.check(
            "6455-5.2-2",
            "reserved bit, last fragment",
            &said,
            &[close(1002)],
        );
    }
    // And none is set in what comes back: `exchange::heard` knows no such frame.
    servers.check("6455-5.2-1", "echo", &frame(FIN | TEXT, b"a"), &[text("a")]);
}

#[test]
fn unknown_opcodes_fail() {
    let servers = Servers::start();
    for opcode in (3..8).chain(11..16) {
        for fin in [0, FIN] {
            servers.check(
                "6455-5.2-3",
                "opcode",
                &frame(fin | opcode, b""),
                &[close(1002)],
            );
        }
        let said = [frame(BINARY, b"a"), frame(FIN | opcode, b"")].concat();
        servers.check(
            "6455-5.2-3",
            "opcode inside a message",
            &said,
            &[close(1002)],
        );
    }
}

#[test]
fn lengths_are_written_in_as_few_bytes_as_they_need() {
    let servers = Servers::start();
    let sixteen = |length: u16| {
        let mut bytes = vec![FIN | BINARY, 0x80 | 126];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(vec![0; usize::from(length)]);
        bytes
    };
    let sixty_four = |length: u64| {
        let mut bytes = vec![FIN | BINARY, 0x80 | 127];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0; 4]);
        bytes
    };
    for length in [0, 1, 124, 125] {
        servers.check("6455-5.2-5", "16 bits", &sixteen(length), &[close(1002)]);
    }
    for length in [0, 125, 126, 65_535] {
        servers.check("6455-5.2-5", "64 bits", &sixty_four(length), &[close(1002)]);
    }
    for length in [1 << 63, 1 << 63 | 5, u64::MAX] {
        servers.check("6455-5.2-4", "top bit", &sixty_four(length), &[close(1002)]);
    }
    servers.check(
        "6455-5.2-5",
        "126 in 16 bits",
        &sixteen(126),
        &[binary(&[0; 126])],
    );
}

/// Around every change of the length's encoding: what comes back is in the shortest one
/// (`exchange::frames`).
#[test]
fn messages_of_every_length_come_back() {
    let servers = Servers::start();
    for bytes in [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536] {
        let payload: Vec<u8> = (0..bytes).map(|index| (index % 253) as u8).collect();
        let said = frame(FIN | BINARY, &payload);
        // Byte by byte these would be 65,536 system calls each.
        if bytes < 1000 {
            servers.check(
                "6455-6.1-2 6455-6.2-1 6455-5.2-5",
                "binary",
                &said,
                &[binary(&payload)],
            );
        } else {
            servers.check_whole(
                "6455-6.1-2 6455-6.2-1 6455-5.2-4",
                "binary",
                &said,
                &[binary(&payload)],
            );
        }
    }
}

#[test]
fn sizes_are_limited() {
    let servers = Servers::start();
    for length in [65_537, 1 << 20, 1 << 40, (1 << 63) - 1] {
        for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
            servers.check(
                "6455-10.4-1",
                "announced",
                &header(first, length),
                &[close(1009)],
            );
        }
    }
    let said = [
        frame(BINARY, &vec![7; 65_000]),
        frame(CONTINUE, &[7; 536]),
        header(FIN, 1),
    ]
    .concat();
    servers.check_whole("6455-10.4-1", "in sum", &said, &[close(1009)]);
}

#[test]
fn the_opcode_is_kept_and_the_last_frame_is_final() {
    let servers = Servers::start();
    let said = [
        frame(FIN | TEXT, b"t"),
        frame(FIN | BINARY, b"b"),
        frame(FIN | TEXT, b""),
    ]
    .concat();
    let expected: [Heard; 3] = [text("t"), binary(b"b"), text("")];
    servers.check(
        "6455-6.1-3 6455-6.1-4 6455-6.1-6 6455-6.2-3",
        "kinds",
        &said,
        &expected,
    );
}

#[test]
fn nothing_unvalidated_is_carried_on() {
    let servers = Servers::start();
    for (what, said, code) in [
        ("noise", [0xff; 40].to_vec(), 1002),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), 1002),
        ("too much", header(FIN | BINARY, 1 << 33), 1009),
    ] {
        servers.check(
            "6455-10.7-1 6455-10.7-2 6455-7.1.7-2 6455-7.1.7-4",
            what,
            &said,
            &[close(code)],
        );
    }
}
