//! RFC 6455 §5.4: messages in pieces.

use crate::exchange::{Heard, Servers, binary, close, pong, text};
use shardcast_tests::{BINARY, CLOSE, CONTINUE, FIN, PING, PONG, TEXT, frame};

#[test]
fn fragments_are_one_message_in_their_order() {
    let servers = Servers::start();
    let check = |clauses: &str, what: &str, parts: &[Vec<u8>], expected: &[Heard]| {
        servers.check(clauses, what, &parts.concat(), expected)
    };
    let middle = (b'a'..=b'y').map(|byte| frame(CONTINUE, &[byte]));
    let alphabet: Vec<_> = [frame(TEXT, b"")]
        .into_iter()
        .chain(middle)
        .chain([frame(FIN, b"z")])
        .collect();
    check(
        "6455-5.4-2 6455-5.4-5",
        "26 fragments",
        &alphabet,
        &[text("abcdefghijklmnopqrstuvwxyz")],
    );
    check(
        "6455-5.4-5",
        "whole",
        &[frame(FIN | TEXT, b"whole")],
        &[text("whole")],
    );
    check(
        "6455-5.4-5",
        "two",
        &[frame(BINARY, b"a"), frame(FIN, b"b")],
        &[binary(b"ab")],
    );
    check(
        "6455-5.4-5",
        "only empty ones",
        &[frame(TEXT, b""), frame(CONTINUE, b""), frame(FIN, b"")],
        &[text("")],
    );
    check(
        "6455-6.2-4",
        "one after another",
        &[
            frame(TEXT, b"a"),
            frame(FIN, b"b"),
            frame(BINARY, b"c"),
            frame(FIN, b"d"),
            frame(FIN | TEXT, b"e"),
        ],
        &[text("ab"), binary(b"cd"), text("e")],
    );
}

#[test]
fn a_message_is_of_the_type_of_its_first_fragment() {
    let servers = Servers::start();
    // What is no text is welcome in a binary message, and only there.
    let said = [frame(BINARY, b"\xff"), frame(FIN, b"\xfe")].concat();
    servers.check(
        "6455-5.4-7 6455-6.2-3",
        "binary",
        &said,
        &[binary(b"\xff\xfe")],
    );
    let said = [frame(TEXT, b"t"), frame(FIN, b"\xfe")].concat();
    servers.check("6455-5.4-7 6455-6.2-3", "text", &said, &[close(1007)]);
}

#[test]
fn where_frames_end_means_nothing() {
    let servers = Servers::start();
    let message = "frames end anywhere: ä€🦀".as_bytes();
    for cut in 0..=message.len() {
        let said = [frame(TEXT, &message[..cut]), frame(FIN, &message[cut..])].concat();
        servers.check_whole(
            "6455-5.4-8",
            "cut",
            &said,
            &[text("frames end anywhere: ä€🦀")],
        );
    }
}

#[test]
fn control_frames_come_between_and_are_whole() {
    let servers = Servers::start();
    let said = [
        frame(TEXT, b"a"),
        frame(FIN | PING, b"1"),
        frame(CONTINUE, b"b"),
        frame(FIN | PONG, b"2"),
        frame(FIN | PING, b""),
        frame(FIN, b"c"),
    ];
    servers.check(
        "6455-5.4-4 6455-6.2-2",
        "ping, pong",
        &said.concat(),
        &[pong(b"1"), pong(b""), text("abc")],
    );
    let said = [
        frame(TEXT, b"a"),
        frame(FIN | CLOSE, &1001u16.to_be_bytes()),
        frame(FIN, b"b"),
    ];
    // Whole: what arrives after the server has let go is answered with a reset, as by any host.
    servers.check_whole(
        "6455-5.4-4 6455-6.2-2",
        "close",
        &said.concat(),
        &[close(1001)],
    );
    for opcode in [CLOSE, PING, PONG] {
        let said = [frame(opcode, b""), frame(FIN, b"")].concat();
        servers.check(
            "6455-5.4-1",
            "control frame in fragments",
            &said,
            &[close(1002)],
        );
    }
}

#[test]
fn messages_do_not_begin_inside_each_other() {
    let servers = Servers::start();
    for first in [TEXT, BINARY] {
        for inner in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
            let said = [frame(first, b"a"), frame(inner, b"b"), frame(FIN, b"c")].concat();
            servers.check("6455-5.4-3", "a message inside", &said, &[close(1002)]);
        }
    }
    for inner in [CONTINUE, FIN] {
        servers.check(
            "6455-5.4-3",
            "continues nothing",
            &frame(inner, b"a"),
            &[close(1002)],
        );
        let said = [frame(FIN | TEXT, b"a"), frame(inner, b"b")].concat();
        servers.check(
            "6455-5.4-3",
            "continues what is over",
            &said,
            &[text("a"), close(1002)],
        );
    }
}
