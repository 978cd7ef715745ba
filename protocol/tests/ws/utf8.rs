//! Text is UTF-8 (RFC 6455 §8.1), complete or in fragments, and what cannot become text fails at
//! once.

use crate::stream::{FIN, Seen, TEXT, frame, read_at_once};
use shardcast_protocol::reader::{self, ProtocolError, ReadLimits, Role, Step};
use shardcast_protocol::unfinished;

const LIMIT: usize = 1000;
const BROKEN: Seen = Seen::Broken(ProtocolError::TextNotUtf8);

const VALID: &[&str] = &[
    "",
    "a",
    "\u{7f}\u{80}",
    "\u{7ff}\u{800}",
    "\u{d7ff}\u{e000}",
    "\u{fffd}\u{ffff}",
    "\u{10000}\u{10ffff}",
    "κόσμε Hello-µ@ßöäüàá-UTF-8!!",
];

const INVALID: &[&[u8]] = &[
    b"\x80", // a lone continuation
    b"a\xbf",
    b"\xc0\xaf", // overlong, two bytes
    b"\xc1\xbf",
    b"\xe0\x80\xaf", // overlong, three bytes
    b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\xaf", // overlong, four bytes
    b"\xf0\x8f\xbf\xbf",
    b"\xed\xa0\x80", // surrogates
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xf4\x90\x80\x80", // above U+10FFFF
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80", // five and six bytes
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xc3\x28", // a sequence that breaks off
    b"\xe2\x82\x28",
    b"\xf0\x9f\x98\x28",
    b"\xc3", // a message that breaks off
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
];

/// Cuts `text` into three fragments everywhere.
fn for_every_cut(text: &[u8], mut check: impl FnMut(Vec<u8>)) {
    for first in 0..=text.len() {
        for second in first..=text.len() {
            check(
                [
                    frame(Role::Server, TEXT, &text[..first]),
                    frame(Role::Server, 0, &text[first..second]),
                    frame(Role::Server, FIN, &text[second..]),
                ]
                .concat(),
            );
        }
    }
}

#[test]
fn valid_text_is_taken_however_it_is_cut() {
    for text in VALID {
        let complete = frame(Role::Server, FIN | TEXT, text.as_bytes());
        assert_eq!(
            read_at_once(Role::Server, LIMIT, &complete),
            [Seen::Text((*text).into())]
        );
        for_every_cut(text.as_bytes(), |bytes| {
            let expected = [Seen::Fragment, Seen::Fragment, Seen::Text((*text).into())];
            assert_eq!(read_at_once(Role::Server, LIMIT, &bytes), expected);
        });
    }
}

#[test]
fn invalid_text_is_refused_however_it_is_cut() {
    for text in INVALID {
        for padding in [0, 70] {
            let text = [vec![b'a'; padding], text.to_vec()].concat();
            let complete = frame(Role::Server, FIN | TEXT, &text);
            assert_eq!(
                read_at_once(Role::Server, LIMIT, &complete),
                [BROKEN],
                "{text:?}"
            );
            for_every_cut(&text, |bytes| {
                assert_eq!(
                    read_at_once(Role::Server, LIMIT, &bytes).last(),
                    Some(&BROKEN),
                    "{text:?}"
                );
            });
        }
    }
}

/// Four bytes of every kind that UTF-8 tells apart, one to a fragment: the reader fails with the
/// first byte after which no text can follow, as the standard library sees it, and not later.
#[test]
fn fails_with_the_first_fragment_that_shows_it() {
    const KINDS: [u8; 18] = [
        0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xe0, 0xe1, 0xed, 0xef, 0xf0,
        0xf1, 0xf4, 0xf5,
    ];
    for index in 0..KINDS.len().pow(4) {
        let text = [0, 1, 2, 3].map(|place| KINDS[index / KINDS.len().pow(place) % KINDS.len()]);
        let hopeless = (1..=4)
            .find(|&len| str::from_utf8(&text[..len]).is_err_and(|e| e.error_len().is_some()));
        let mut expected = vec![Seen::Fragment; hopeless.unwrap_or(5) - 1];
        match (hopeless, String::from_utf8(text.to_vec())) {
            (None, Ok(text)) => expected.push(Seen::Text(text)),
            (Some(_), _) | (None, Err(_)) => expected.push(BROKEN),
        }
        let mut bytes = frame(Role::Client, TEXT, &text[..1]);
        for byte in &text[1..] {
            bytes.extend(frame(Role::Client, 0, &[*byte]));
        }
        bytes.extend(frame(Role::Client, FIN, b""));
        assert_eq!(
            read_at_once(Role::Client, LIMIT, &bytes),
            expected,
            "{text:x?}"
        );
    }
}

/// Whether `text` is complete characters and at most the beginning of another: what an unfinished
/// frame may hold.
fn begins_a_text(text: &[u8]) -> bool {
    std::str::from_utf8(text).map_or_else(|error| error.error_len().is_none(), |_| true)
}

/// The frame is never finished; its first bytes are `text` behind `before`, which came in a
/// fragment, and come `step` at a time.
fn check_unfinished(before: &[u8], text: &[u8], step: usize) {
    let mut assembly = None;
    let first = match before {
        [] => TEXT,
        _ => {
            let mut fragment = frame(Role::Server, TEXT, before);
            let limits = ReadLimits {
                message_bytes_max: 1 << 20,
            };
            match reader::next(&mut fragment, &mut assembly, Role::Server, &limits) {
                Ok(Step::Event { .. }) => {}
                Ok(Step::Incomplete { .. }) => panic!("a complete fragment"),
                // It does not begin a text by itself.
                Err(_) => return,
            }
            0
        }
    };
    let mut bytes = frame(
        Role::Server,
        FIN | first,
        &[text, &vec![0; 70_000]].concat(),
    );
    let header_bytes = bytes.len() - text.len() - 70_000;
    bytes.truncate(header_bytes + text.len());
    let untouched = bytes.clone();
    let mut checked = 0;
    for have in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
        let arrived = have.saturating_sub(header_bytes);
        let all = [before, &text[..arrived]].concat();
        let given = unfinished::check(&bytes[..have], &mut checked, assembly.as_deref());
        if !begins_a_text(&all) {
            assert_eq!(given, Err(ProtocolError::TextNotUtf8), "{all:x?}");
            break;
        }
        assert_eq!(given, Ok(()), "{all:x?}");
        // The next look begins here, so every byte is looked at once.
        assert!(arrived - checked <= 3, "{arrived} {checked}");
    }
    assert_eq!(bytes, untouched);
}

#[test]
fn an_unfinished_frame_fails_at_the_first_byte_that_no_text_has_there() {
    let valid = VALID.iter().map(|text| text.as_bytes());
    for text in valid.chain(INVALID.iter().copied()) {
        for cut in 0..=text.len() {
            let (before, rest) = text.split_at(cut);
            for step in [1, 2, text.len() + 14] {
                check_unfinished(before, rest, step);
            }
        }
    }
    let long = "\u{10348}\u{20ac}\u{df}x".repeat(500).into_bytes();
    let mut broken = long.clone();
    broken[3_333] = 0xff;
    for text in [long, broken] {
        for step in [1, 7, 511, 512, 513, 4_000, text.len() + 14] {
            check_unfinished(b"", &text, step);
            check_unfinished(&text[..2], &text[2..], step);
        }
    }
}

#[test]
fn what_is_no_plain_text_is_not_looked_at() {
    const COMPRESSED: u8 = 0x40;
    const BINARY: u8 = 2;
    for first in [FIN | BINARY, BINARY, FIN | COMPRESSED | TEXT, FIN | 9, FIN] {
        let mut bytes = frame(Role::Server, first, &[0xff; 100]);
        bytes.truncate(50);
        assert_eq!(unfinished::check(&bytes, &mut 0, None), Ok(()), "{first:x}");
    }
}
