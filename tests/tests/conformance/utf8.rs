//! RFC 6455 §5.6, §8.1: text is UTF-8.

use crate::exchange::{Servers, close, text};
use shardcast_tests::{CLOSE, CONTINUE, FIN, TEXT, frame};

const VALID: [&str; 6] = [
    "",
    "\0",
    "\u{7f}\u{80}\u{7ff}\u{800}",
    "\u{d7ff}\u{e000}\u{ffff}",
    "\u{10000}\u{10ffff}",
    "κόσμε",
];

const INVALID: [&[u8]; 14] = [
    b"\x80",
    b"\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"ok \xe2\x82",
    b"\xf0\x9f\xa6",
];

#[test]
fn text_is_utf8_whole_and_in_fragments() {
    let servers = Servers::start();
    for message in VALID {
        servers.check(
            "6455-5.6-1",
            message,
            &frame(FIN | TEXT, message.as_bytes()),
            &[text(message)],
        );
        let bytes = message.as_bytes();
        for cut in 0..=bytes.len() {
            let said = [frame(TEXT, &bytes[..cut]), frame(FIN, &bytes[cut..])].concat();
            servers.check_whole("6455-5.6-1", message, &said, &[text(message)]);
        }
    }
    for message in INVALID {
        let what = format!("{message:x?}");
        servers.check(
            "6455-8.1-1",
            &what,
            &frame(FIN | TEXT, message),
            &[close(1007)],
        );
        for cut in 0..=message.len() {
            let said = [
                frame(TEXT, &message[..cut]),
                frame(CONTINUE, b""),
                frame(FIN, &message[cut..]),
            ]
            .concat();
            servers.check_whole("6455-8.1-1 6455-5.6-1", &what, &said, &[close(1007)]);
        }
    }
}

/// Clause 6455-8.1-1: the rest of the frame, and of the message, need not come.
#[test]
fn what_no_text_begins_with_is_refused_before_the_frame_ends() {
    let servers = Servers::start();
    for message in INVALID {
        let decisive = std::str::from_utf8(message).is_err_and(|error| error.error_len().is_some());
        if !decisive {
            continue;
        }
        let what = format!("{message:x?}");
        let begun = |first: u8, payload: &[u8], missing: usize| {
            let mut bytes = frame(first, &[payload, &vec![b'x'; missing]].concat());
            bytes.truncate(bytes.len() - missing);
            bytes
        };
        for missing in [1, 100, 60_000] {
            let said = begun(FIN | TEXT, message, missing);
            servers.check("6455-8.1-1", &what, &said, &[close(1007)]);
            let late = [&[b'x'; 2_000], message].concat();
            let said = begun(TEXT, &late, missing);
            servers.check_whole("6455-8.1-1", &what, &said, &[close(1007)]);
        }
        for cut in 0..message.len() {
            let (start, rest) = message.split_at(cut);
            let said = [frame(TEXT, start), begun(CONTINUE, rest, 7)].concat();
            servers.check("6455-8.1-1", &what, &said, &[close(1007)]);
        }
    }
}

#[test]
fn the_reason_of_a_close_is_utf8() {
    let servers = Servers::start();
    for reason in INVALID {
        let said = frame(FIN | CLOSE, &[b"\x03\xe8", reason].concat());
        servers.check("6455-8.1-1", "reason", &said, &[close(1007)]);
    }
}
