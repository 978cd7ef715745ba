//! RFC 7692: what a server agrees to, and what compressed messages then look like, both ways. Every
//! parameter and every stream is in `protocol/tests/deflate`; here a running server keeps to them.

use crate::exchange::{Answer, frames, head};
use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};
use shardcast_engine::Compression;
use shardcast_engine::protocol::deflate::{InflateLimits, Inflater};
use shardcast_tests::{
    BINARY, CLOSE, CONTINUE, FIN, PING, PONG, Raw, Server, TEXT, config, frame, upgrade,
};

const RSV1: u8 = 0x40;
/// RFC 7692 §7.2.3.1: "Hello".
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

fn server() -> Server {
    let mut config = config(1);
    config.compression = Some(Compression::default());
    Server::echo(config)
}

/// Upgrades with these offers, a header each, says `said` and a close, and hears everything to the
/// end of the stream.
#[track_caller]
fn converse(server: &Server, offers: &[&str], said: &[u8]) -> (Answer, Vec<(u8, Vec<u8>)>) {
    let lines: String = offers
        .iter()
        .map(|offer| format!("\r\nSec-WebSocket-Extensions: {offer}"))
        .collect();
    let mut raw = Raw::connect(server);
    raw.send(
        upgrade()
            .replace("\r\n\r\n", &format!("{lines}\r\n\r\n"))
            .as_bytes(),
    );
    let answer = raw.head();
    let answer = head(answer.trim_end_matches("\r\n\r\n").as_bytes());
    assert_eq!(answer.status, 101, "{offers:?}: {answer:?}");
    raw.send_anyway(said);
    raw.send_anyway(&frame(FIN | CLOSE, &1000u16.to_be_bytes()));
    (answer, frames(&raw.rest()))
}

/// Says `said` where compression was agreed on, and hears exactly these frames.
#[track_caller]
fn check(server: &Server, clauses: &str, said: &[u8], expected: &[(u8, &[u8])]) {
    let (_, heard) = converse(server, &["permessage-deflate"], said);
    let expected: Vec<(u8, Vec<u8>)> = expected
        .iter()
        .map(|(first, payload)| (*first, payload.to_vec()))
        .collect();
    let codes: Vec<(u8, Vec<u8>)> = heard
        .into_iter()
        // Of a close frame the code counts, not the words.
        .map(|(first, payload)| {
            if first == FIN | CLOSE {
                (first, payload[..2].to_vec())
            } else {
                (first, payload)
            }
        })
        .collect();
    assert_eq!(codes, expected, "{clauses}");
}

const NORMAL: (u8, &[u8]) = (FIN | CLOSE, &[0x03, 0xe8]);
const PROTOCOL_ERROR: (u8, &[u8]) = (FIN | CLOSE, &[0x03, 0xea]);
const INVALID: (u8, &[u8]) = (FIN | CLOSE, &[0x03, 0xef]);

#[test]
fn what_is_agreed_is_one_of_the_offers() {
    let server = server();
    let with_10 = format!("{AGREED}; server_max_window_bits=10");
    let with_15 = format!("{AGREED}; server_max_window_bits=15");
    for (clauses, offers, agreed) in [
        ("6455-9-1 6455-5.8-1", &[][..], None),
        ("6455-9-1", &["x-other"], None),
        ("6455-11.3.2-1", &["permessage-deflate"], Some(AGREED)),
        (
            "6455-11.3.2-1 6455-9.1-2",
            &["x-other", "permessage-deflate, permessage-deflate"],
            Some(AGREED),
        ),
        (
            "7692-7-1 7692-7-4",
            &["permessage-deflate; x=1, permessage-deflate"],
            Some(AGREED),
        ),
        (
            "7692-7-2",
            &["permessage-deflate; server_max_window_bits=16"],
            None,
        ),
        (
            "7692-7-3",
            &["permessage-deflate; server_max_window_bits=10; server_max_window_bits=10"],
            None,
        ),
        (
            "7692-7.1.1.1-1",
            &["permessage-deflate; server_no_context_takeover=1"],
            None,
        ),
        (
            "7692-7.1.2.1-1",
            &["permessage-deflate; server_max_window_bits=010"],
            None,
        ),
        (
            "7692-7.1.2.1-2",
            &["permessage-deflate; server_max_window_bits=10"],
            Some(&with_10),
        ),
        (
            "7692-7.1.2.1-2",
            &["permessage-deflate; server_max_window_bits=15"],
            Some(&with_15),
        ),
        (
            "7692-7.1.2.2-1",
            &["permessage-deflate; client_max_window_bits=7"],
            None,
        ),
        (
            "7692-7.1.2.2-2 7692-7.1.2.2-3",
            &["permessage-deflate; client_max_window_bits"],
            Some(AGREED),
        ),
    ] {
        let (answer, heard) = converse(&server, offers, &frame(FIN | TEXT, b"a"));
        assert_eq!(
            answer.header("sec-websocket-extensions"),
            agreed,
            "{clauses}: {offers:?}"
        );
        assert_eq!(heard[0], (FIN | TEXT, b"a".to_vec()), "{clauses}");
    }
}

#[test]
fn a_malformed_offer_fails_the_handshake() {
    let server = server();
    for offer in [
        "permessage-deflate;",
        "permessage-deflate; =",
        "permessage-deflate; a=\"b",
        "(x)",
    ] {
        let mut raw = Raw::connect(&server);
        let line = format!("\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n");
        raw.send(upgrade().replace("\r\n\r\n", &line).as_bytes());
        let answer = raw.head();
        assert!(
            answer.starts_with("HTTP/1.1 400 "),
            "6455-9.1-1: {offer}: {answer}"
        );
    }
}

#[test]
fn without_an_agreement_rsv1_means_nothing() {
    let server = server();
    for offers in [&[][..], &["permessage-deflate; unknown"]] {
        let (_, heard) = converse(&server, offers, &frame(FIN | RSV1 | TEXT, &HELLO));
        assert_eq!(heard.len(), 1, "6455-9.1-3 6455-5.2-2");
        assert_eq!((heard[0].0, &heard[0].1[..2]), PROTOCOL_ERROR);
    }
}

#[test]
fn compressed_messages_are_taken() {
    let server = server();
    let hello = |first| frame(first, &HELLO);
    let two_blocks = [
        0xf2, 0x48, 0x05, 0, 0, 0, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0,
    ];
    let stored = [0, 5, 0, 0xfa, 0xff, b'H', b'e', b'l', b'l', b'o', 0];
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0, 0];
    let in_three = [
        frame(RSV1 | TEXT, &HELLO[..2]),
        frame(FIN | PING, b"p"),
        frame(CONTINUE, &HELLO[2..5]),
        frame(FIN | CONTINUE, &HELLO[5..]),
    ];
    let text: (u8, &[u8]) = (FIN | TEXT, b"Hello");
    for (clauses, said, expected) in [
        (
            "7692-6.2-1 7692-7.2.2-1",
            hello(FIN | RSV1 | TEXT),
            vec![text],
        ),
        (
            "7692-6.2-1",
            hello(FIN | RSV1 | BINARY),
            vec![(FIN | BINARY, b"Hello")],
        ),
        (
            "7692-6.2-2",
            hello(FIN | BINARY),
            vec![(FIN | BINARY, &HELLO)],
        ),
        (
            "7692-6.1-1 7692-7.2.3-1",
            in_three.concat(),
            vec![(FIN | PONG, b"p"), text],
        ),
        (
            "7692-7.2.2-2",
            frame(FIN | RSV1 | TEXT, &two_blocks),
            vec![text],
        ),
        (
            "7692-7.2.2-2",
            frame(FIN | RSV1 | TEXT, &stored),
            vec![text],
        ),
        ("7692-7.2.2-2", frame(FIN | RSV1 | TEXT, &last), vec![text]),
        (
            "7692-7.2.1-2",
            frame(FIN | RSV1 | TEXT, &[0]),
            vec![(FIN | TEXT, b"")],
        ),
    ] {
        check(&server, clauses, &said, &[expected, vec![NORMAL]].concat());
    }
}

#[test]
fn rsv1_stands_on_the_first_frame_of_data_only() {
    let server = server();
    let start = frame(RSV1 | TEXT, &HELLO[..3]);
    for (clauses, said) in [
        (
            "7692-6-1",
            [start, frame(FIN | RSV1 | CONTINUE, &HELLO[3..])].concat(),
        ),
        (
            "7692-6-1",
            [frame(TEXT, b"a"), frame(FIN | RSV1 | CONTINUE, &HELLO)].concat(),
        ),
        ("7692-6-2", frame(FIN | RSV1 | PING, b"")),
        ("7692-6-2", frame(FIN | RSV1 | PONG, b"")),
        ("7692-6-2", frame(FIN | RSV1 | CLOSE, b"")),
        ("6455-5.2-2", frame(FIN | 0x20 | TEXT, b"")),
        ("6455-5.2-2", frame(FIN | RSV1 | 0x10 | TEXT, &HELLO)),
    ] {
        check(&server, clauses, &said, &[PROTOCOL_ERROR]);
    }
    // What is not UTF-8 when it is inflated: a stored block of 0xff.
    let said = frame(FIN | RSV1 | TEXT, &[0, 1, 0, 0xfe, 0xff, 0xff, 0]);
    check(&server, "6455-8.1-1", &said, &[INVALID]);
}

/// Long enough to be compressed: the data frame bears RSV1 and refers to nothing before it; the
/// control frames are as ever.
#[test]
fn what_a_server_compresses_stands_for_itself() {
    let server = server();
    let message = "all work and no play makes jack a dull boy, ".repeat(100);
    let said = [
        frame(FIN | TEXT, message.as_bytes()),
        frame(FIN | PING, &[b'p'; 125]),
        frame(FIN | TEXT, message.as_bytes()),
    ]
    .concat();
    let (_, heard) = converse(&server, &["permessage-deflate"], &said);
    let firsts: Vec<u8> = heard.iter().map(|(first, _)| *first).collect();
    // Clauses 7692-6.1-1, 7692-6.1-2.
    assert_eq!(
        firsts,
        [
            FIN | RSV1 | TEXT,
            FIN | PONG,
            FIN | RSV1 | TEXT,
            FIN | CLOSE
        ]
    );
    let limits = InflateLimits {
        message_bytes_max: 1 << 16,
        ratio_max: InflateLimits::RATIO_MAX_DEFAULT,
    };
    let mut keeper = Keeper::default();
    for (_, payload) in [&heard[0], &heard[2]] {
        // Clauses 7692-7.1.1.1-3, 7692-7.2.1-1: a new inflater each, and no tail; or one for all,
        // which no message may end.
        assert!(payload.len() < message.len() / 4 && !payload.ends_with(&[0, 0, 0xff, 0xff]));
        assert_eq!(keeper.hear(payload), message.as_bytes());
        let inflated = Inflater::default()
            .inflate(payload, None, &limits)
            .map(<[u8]>::to_vec);
        assert_eq!(inflated.as_deref(), Ok(message.as_bytes()));
    }
    let (_, plain) = converse(&server, &[], &frame(FIN | TEXT, message.as_bytes()));
    assert_eq!(plain[0], (FIN | TEXT, message.into_bytes()), "6455-5.2-1");
}

/// One client's compressor and inflater, which it never resets: as of a client that knows of no
/// other way.
struct Keeper {
    deflater: Box<CompressorOxide>,
    inflater: Box<InflateState>,
}

impl Default for Keeper {
    fn default() -> Keeper {
        // Level 6, raw, the usual strategy.
        let flags = create_comp_flags_from_zip_params(6, -15, 0);
        Keeper {
            deflater: Box::new(CompressorOxide::new(flags)),
            inflater: InflateState::new_boxed(DataFormat::Raw),
        }
    }
}

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

impl Keeper {
    /// A frame that refers to the messages before it.
    fn say(&mut self, message: &[u8]) -> Vec<u8> {
        let mut payload = vec![0; message.len() + 100];
        let done = deflate(&mut self.deflater, message, &mut payload, MZFlush::Sync);
        assert_eq!(
            (done.status, done.bytes_consumed),
            (Ok(MZStatus::Ok), message.len())
        );
        payload.truncate(done.bytes_written);
        assert!(payload.ends_with(&TAIL));
        payload.truncate(payload.len() - TAIL.len());
        frame(FIN | RSV1 | TEXT, &payload)
    }

    fn hear(&mut self, payload: &[u8]) -> Vec<u8> {
        let input = [payload, &TAIL].concat();
        let mut message = vec![0; 1 << 20];
        let done = inflate(&mut self.inflater, &input, &mut message, MZFlush::Sync);
        assert_eq!(
            (done.status, done.bytes_consumed),
            (Ok(MZStatus::Ok), input.len())
        );
        message.truncate(done.bytes_written);
        message
    }
}

/// A client with these offers that never resets its compressor, and says the same three times: what
/// it hears.
#[track_caller]
fn keep_on(server: &Server, offer: &str) -> Vec<(u8, Vec<u8>)> {
    let mut keeper = Keeper::default();
    let said: Vec<u8> = (0..3).flat_map(|_| keeper.say(SAID.as_bytes())).collect();
    let (answer, heard) = converse(server, &[offer], &said);
    let agreed = answer.header("sec-websocket-extensions");
    assert!(agreed.is_some_and(|agreed| agreed.contains("client_no_context_takeover")));
    heard
}

const SAID: &str = r#"{"type":"message","text":"so it goes"}"#;

/// A client that was told client_no_context_takeover and had not offered it may not know it: its
/// window is kept, as long as there is room. Whoever offered it is held to it.
#[test]
fn clients_that_were_told_are_read_while_there_is_room() {
    // One window, and a little.
    const WINDOWS_BYTES_MAX: usize = 49_000;
    let mut config = config(1);
    config.compression = Some(Compression {
        windows_bytes_max: WINDOWS_BYTES_MAX,
        ..Compression::default()
    });
    let server = Server::echo(config);
    let text: (u8, Vec<u8>) = (FIN | TEXT, SAID.into());
    let closed = |why: &str| {
        (
            FIN | CLOSE,
            [&1007_u16.to_be_bytes()[..], why.as_bytes()].concat(),
        )
    };
    let normal: (u8, Vec<u8>) = (FIN | CLOSE, NORMAL.1.into());
    let read = vec![text.clone(), text.clone(), text.clone(), normal];
    let against = "message refers to an earlier one, against client_no_context_takeover";
    let refused = format!("{against}, and no window is left (compression.windows)");

    // Each leaves its room to the next.
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
    ] {
        assert_eq!(keep_on(&server, offer), read, "{offer}");
        server.wait_until_empty();
    }
    let offer = "permessage-deflate; client_no_context_takeover";
    assert_eq!(keep_on(&server, offer), [text.clone(), closed(against)]);

    // One that stays has the only window.
    let mut keeper = Keeper::default();
    let mut raw = Raw::connect(&server);
    let line = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    raw.send(upgrade().replace("\r\n\r\n", line).as_bytes());
    raw.head();
    for _ in 0..2 {
        raw.send(&keeper.say(SAID.as_bytes()));
        assert_eq!(raw.frame(), (FIN | TEXT, SAID.as_bytes().to_vec()));
    }
    server.wait_until("the window of who stays", |server| {
        server.sum(|shard| &shard.windows_bytes) == 48_000
    });
    assert_eq!(
        keep_on(&server, "permessage-deflate"),
        [text, closed(&refused)]
    );
    raw.send(&keeper.say(SAID.as_bytes()));
    assert_eq!(raw.frame(), (FIN | TEXT, SAID.as_bytes().to_vec()));
    drop(raw);
    server.wait_until_empty();
    assert_eq!(server.sum(|shard| &shard.refused_windows), 1);
    assert_eq!(server.sum(|shard| &shard.windows_bytes), 0);
}
