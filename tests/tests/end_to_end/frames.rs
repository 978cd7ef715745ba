//! Frames as sockets see them: what is carried, and every way to break RFC 6455 with the code that
//! answers it.

use crate::SHARDS;
use shardcast_tests::{
    BINARY, CLOSE, CONTINUE, Client, FIN, PING, PONG, Raw, Server, TEXT, config, frame, header,
};
use tungstenite::Message;

/// What is sent, in frames; the close code and reason that answer it.
type Row = (&'static str, Vec<u8>, u16, &'static str);

/// The rows that end in 1002, but for those of close frames.
fn broken() -> Vec<Row> {
    let mut rows: Vec<Row> = vec![
        (
            "unmasked",
            vec![FIN | TEXT, 2, b'h', b'i'],
            1002,
            "client frame is not masked",
        ),
        (
            "unmasked ping",
            vec![FIN | PING, 0],
            1002,
            "client frame is not masked",
        ),
        (
            "ping in fragments",
            frame(PING, b"x"),
            1002,
            "control frame is fragmented",
        ),
        (
            "close in fragments",
            frame(CLOSE, b""),
            1002,
            "control frame is fragmented",
        ),
        (
            "long ping",
            frame(FIN | PING, &[0; 126]),
            1002,
            "control frame is longer than 125 bytes",
        ),
        (
            "long pong",
            header(FIN | PONG, 65_536),
            1002,
            "control frame is longer than 125 bytes",
        ),
    ];
    rows.extend(broken_lengths());
    rows.extend(broken_fragments());
    for bit in [0x10, 0x20, 0x40] {
        rows.push((
            "reserved bit",
            frame(FIN | bit | TEXT, b"x"),
            1002,
            "reserved bit set",
        ));
    }
    for opcode in (3..8).chain(11..16) {
        rows.push((
            "reserved opcode",
            frame(FIN | opcode, b"x"),
            1002,
            "reserved opcode",
        ));
    }
    rows
}

fn broken_lengths() -> Vec<Row> {
    vec![
        (
            "2-byte length of 125",
            vec![FIN | TEXT, 0xfe, 0, 125, 0, 0, 0, 0],
            1002,
            "payload length is not minimal",
        ),
        (
            "8-byte length of 65,535",
            vec![FIN | TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0],
            1002,
            "payload length is not minimal",
        ),
        (
            "length with its top bit",
            [&[FIN | TEXT, 0xff, 0x80][..], &[0; 11]].concat(),
            1002,
            "most significant bit of the payload length is set",
        ),
    ]
}

fn broken_fragments() -> Vec<Row> {
    vec![
        (
            "continues nothing",
            frame(FIN | CONTINUE, b"x"),
            1002,
            "continuation without a fragmented message",
        ),
        (
            "text inside text",
            [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat(),
            1002,
            "new message inside a fragmented one",
        ),
    ]
}

/// The rows of close frames, of text and of size.
fn broken_inside() -> Vec<Row> {
    let cat = |parts: &[&[u8]]| parts.concat();
    let utf8 = "text is not UTF-8";
    let big = "message too big";
    let mut rows: Vec<Row> = vec![
        (
            "close of one byte",
            frame(FIN | CLOSE, b"\x03"),
            1002,
            "close payload of one byte",
        ),
        (
            "close reason",
            frame(FIN | CLOSE, b"\x03\xe8\xff"),
            1007,
            "close reason is not UTF-8",
        ),
        ("not UTF-8", frame(FIN | TEXT, b"a\xffb"), 1007, utf8),
        ("cut character", frame(FIN | TEXT, b"\xe2\x82"), 1007, utf8),
        ("surrogate", frame(FIN | TEXT, b"\xed\xa0\x80"), 1007, utf8),
        (
            "cut by the end",
            cat(&[&frame(TEXT, b"\xe2"), &frame(FIN, b"\x82")]),
            1007,
            utf8,
        ),
        // The rest of the message need not come.
        (
            "hopeless first fragment",
            frame(TEXT, b"\xe2\x28"),
            1007,
            utf8,
        ),
        ("too big", header(FIN | TEXT, 1001), 1009, big),
        ("much too big", header(FIN | BINARY, 1 << 40), 1009, big),
        ("too big first fragment", header(BINARY, 1001), 1009, big),
        (
            "too big in sum",
            cat(&[
                &frame(BINARY, &[0; 600]),
                &frame(0, &[0; 400]),
                &header(FIN, 1),
            ]),
            1009,
            big,
        ),
    ];
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        let close = frame(FIN | CLOSE, &code.to_be_bytes());
        rows.push(("forbidden code", close, 1002, "close code must not be sent"));
    }
    rows
}

fn server(shards: usize) -> Server {
    let mut config = config(shards);
    config.listeners[0].message_bytes_max = 1000;
    Server::echo(config)
}

/// The connection works, with messages that use every kind of length.
#[track_caller]
fn check_serves(server: &Server) {
    let mut client = Client::plain(server);
    for bytes in [0, 1, 125, 126, 1000] {
        let message = Message::text("x".repeat(bytes));
        client.send(message.clone());
        assert_eq!(client.hear_any(), message);
    }
    client.leave();
}

#[test]
fn whoever_breaks_the_protocol_is_told_and_closed() {
    for shards in SHARDS {
        let server = server(shards);
        let rows: Vec<Row> = [broken(), broken_inside()].concat();
        for (what, bytes, code, reason) in &rows {
            let closed = (*code, (*reason).to_owned());
            let mut raw = Raw::upgraded(&server);
            raw.send(bytes);
            assert_eq!(raw.closed(), closed, "{what}");
            // What was well-formed before it is answered, and nothing behind it is looked at.
            let mut raw = Raw::upgraded(&server);
            let before = frame(FIN | TEXT, b"before");
            raw.send_anyway(&[&before, &bytes[..], &frame(FIN | TEXT, b"behind")].concat());
            raw.expect(FIN | TEXT, b"before");
            assert_eq!(raw.closed(), closed, "{what}");
            let mut raw = Raw::upgraded(&server);
            for byte in bytes {
                raw.send_anyway(&[*byte]);
            }
            assert_eq!(raw.closed(), closed, "{what}, byte by byte");
            check_serves(&server);
        }
        let closed = server.sum(|shard| &shard.closed_protocol);
        assert_eq!(closed, 3 * rows.len() as u64);
        server.wait_until_empty();
    }
}

#[test]
fn whoever_is_told_may_still_be_talking() {
    let server = server(2);
    for (what, bytes, code, reason) in broken() {
        let mut raw = Raw::upgraded(&server);
        raw.send_anyway(&[bytes, vec![b'x'; 300_000]].concat());
        assert_eq!(raw.closed(), (code, reason.to_owned()), "{what}");
    }
    server.wait_until_empty();
}

#[test]
fn a_message_that_is_over_has_no_continuation() {
    let server = server(1);
    let mut raw = Raw::upgraded(&server);
    raw.send(&[frame(TEXT, b"a"), frame(FIN, b"b"), frame(FIN, b"c")].concat());
    raw.expect(FIN | TEXT, b"ab");
    let reason = "continuation without a fragmented message".to_owned();
    assert_eq!(raw.closed(), (1002, reason));
    check_serves(&server);
}

#[test]
fn control_frames_come_between_fragments() {
    for shards in SHARDS {
        let server = server(shards);
        let parts = [
            frame(TEXT, "h\u{e9}llo".as_bytes().split_at(2).0),
            frame(FIN | PING, b"one"),
            frame(CONTINUE, b""),
            frame(FIN | PONG, b"nobody asked"),
            frame(CONTINUE, "h\u{e9}llo".as_bytes().split_at(2).1),
            frame(FIN | PING, &[b'p'; 125]),
            frame(FIN | CONTINUE, " \u{1f980}".as_bytes()),
        ];
        let check = |raw: &mut Raw| {
            raw.expect(FIN | PONG, b"one");
            raw.expect(FIN | PONG, &[b'p'; 125]);
            raw.expect(FIN | TEXT, "h\u{e9}llo \u{1f980}".as_bytes());
        };
        let mut raw = Raw::upgraded(&server);
        raw.send(&parts.concat());
        check(&mut raw);
        parts.iter().for_each(|part| raw.send(part));
        check(&mut raw);
        raw.send_bytewise(&parts.concat());
        check(&mut raw);
        // Binary needs no characters; fragments may be empty, and so may messages.
        raw.send(&[frame(BINARY, b""), frame(FIN, b"\xff\xfe")].concat());
        raw.expect(FIN | BINARY, b"\xff\xfe");
        raw.send(&[frame(TEXT, b""), frame(FIN, b"")].concat());
        raw.expect(FIN | TEXT, b"");
        raw.send(&frame(FIN | PING, b""));
        raw.expect(FIN | PONG, b"");
    }
}

#[test]
fn a_text_may_be_cut_anywhere() {
    let server = server(1);
    let text = "a\u{e9}\u{20ac}\u{1f980}z".as_bytes();
    let mut raw = Raw::upgraded(&server);
    for cut in 0..=text.len() {
        for second in cut..=text.len() {
            let parts = [
                frame(TEXT, &text[..cut]),
                frame(CONTINUE, &text[cut..second]),
                frame(FIN | CONTINUE, &text[second..]),
            ];
            raw.send(&parts.concat());
            raw.expect(FIN | TEXT, text);
        }
    }
}

#[test]
fn messages_of_every_size_come_back() {
    let mut config = config(2);
    (
        config.listeners[0].message_bytes_max,
        config.outbox_bytes_max,
    ) = (1 << 20, 4 << 20);
    let server = Server::echo(config);
    let mut client = Client::plain(&server);
    // Around every length encoding, the receive buffer and a socket's first window.
    for bytes in [
        0,
        1,
        125,
        126,
        127,
        16_639,
        16_640,
        65_535,
        65_536,
        65_537,
        500_000,
        1 << 20,
    ] {
        let payload: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8).collect();
        client.send(Message::binary(payload.clone()));
        assert!(client.hear_any() == Message::binary(payload), "{bytes}");
    }
    // Many at once, each different.
    for index in 0..2000 {
        client.say(&format!("{index}"));
    }
    for index in 0..2000 {
        client.expect(&format!("{index}"));
    }
    client.leave();
    server.wait_until_empty();
}
