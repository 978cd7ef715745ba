//! The native dialect in MessagePack: what is read, what is refused, and what is valid at all.

use crate::decoding::{check, packed};
use fastrand::Rng;
use shardcast_protocol::dialect::{Dialect, ID_BYTES_MAX};
use shardcast_protocol::pack::Pack;

#[track_caller]
fn one(message: &[u8], expected: &str) {
    check(Dialect::MessagePack, message, &[expected]);
}

#[test]
fn commands() {
    for (message, expected) in [
        (r#"{"type":"ping"}"#, "ping (unless done)"),
        (
            r#"{"type":"ping","id":-7,"data":null}"#,
            "ping id=-7 data=null",
        ),
        (
            r#"{"type":"ping","id":18446744073709551615}"#,
            "ping id=18446744073709551615",
        ),
        (
            r#"{"type":"broadcast","id":"a","rooms":["a","b","a"],"data":{"x":[1,2.5]},"echo":false,"report":true,"x":1}"#,
            r#"broadcast id="a" rooms=["a", "b", "a"] data={"x":[1,2.5]} echo=false report=true"#,
        ),
        (
            r#"{"x":1,"x":2,"type":"presence","room":"r","limit":10}"#,
            r#"presence room="r" limit=10 (unless done)"#,
        ),
        (
            r#"{"type":"presence","id":4294967296.0,"room":"r","limit":10.0}"#,
            r#"presence id=4294967296 room="r" limit=10"#,
        ),
        // An optional key that is nil is absent; data is nil.
        (
            r#"{"type":"x","id":null,"room":null,"rooms":null,"user":null,"data":null,"echo":null,"report":null,"limit":null}"#,
            "x data=null (unless done)",
        ),
    ] {
        one(&packed(message), expected);
    }
}

/// Requests, as JSON has them, and the answers.
const REFUSALS: &[(&str, &str)] = &[
    ("{}", "bad_request -32602: type is missing"),
    (
        "[]",
        "bad_request -32602: a message is one map, this is an array: rmp-serde needs `to_vec_named`",
    ),
    ("1", "bad_request -32602: a message is one map"),
    (
        r#"{"id":1,"type":1}"#,
        "bad_request -32602 id=1: type must be a string",
    ),
    (
        r#"{"type":"x","id":true}"#,
        "bad_request -32602: id must be a string or a number",
    ),
    (
        r#"{"type":null,"id":1}"#,
        "bad_request -32602 id=1: type is missing",
    ),
    (
        r#"{"type":"x","id":1,"room":true}"#,
        "bad_request -32602 id=1: room must be a string",
    ),
    (
        r#"{"type":"x","id":1,"rooms":["a",null]}"#,
        "bad_request -32602 id=1: rooms must be an array of strings",
    ),
    (
        r#"{"type":"x","id":1,"room":null,"room":"a"}"#,
        "bad_request -32602 id=1: duplicate key",
    ),
    (
        r#"{"type":"x","id":1,"limit":1.5}"#,
        "bad_request -32602 id=1: limit must be a whole number below 4294967296",
    ),
    (
        r#"{"type":"x","id":1,"rooms":[]}"#,
        "bad_request -32602 id=1: rooms must not be empty",
    ),
    (
        r#"{"type":"x","id":1,"rooms":"a"}"#,
        "bad_request -32602 id=1: rooms must be an array of strings",
    ),
    (
        r#"{"type":"x","id":1,"rooms":["a",1]}"#,
        "bad_request -32602 id=1: rooms must be an array of strings",
    ),
    (
        r#"{"type":"x","id":1,"user":1}"#,
        "bad_request -32602 id=1: user must be a string",
    ),
    (
        r#"{"type":"x","id":1,"echo":1}"#,
        "bad_request -32602 id=1: echo must be true or false",
    ),
    (
        r#"{"type":"x","id":1,"report":"true"}"#,
        "bad_request -32602 id=1: report must be true or false",
    ),
    (
        r#"{"type":"x","id":1,"limit":-1}"#,
        "bad_request -32602 id=1: limit must be a whole number below 4294967296",
    ),
    (
        r#"{"type":"x","id":1,"data":1,"data":1}"#,
        "bad_request -32602 id=1: duplicate key",
    ),
];

#[test]
fn refusals() {
    for (message, expected) in REFUSALS {
        one(&packed(message), expected);
    }
}

#[test]
fn what_json_cannot_say() {
    // {1: 2, "type": "x"}: a key of the envelope that is no string.
    one(
        b"\x82\x01\x02\xa4type\xa1x",
        "bad_request -32602: keys must be strings",
    );
    // An extension in data, and an integer as key there.
    one(
        b"\x82\xa4type\xa1x\xa4data\xd4\x05\x01",
        r#"x data={"ext":5,"data":"AQ=="} (unless done)"#,
    );
    one(
        b"\x82\xa4type\xa1x\xa4data\x81\x01\xc4\x01a",
        r#"x data={"1":"YQ=="} (unless done)"#,
    );
    // Longer forms than needed mean the same, and ids come back in the form that they came in.
    let long_forms = b"\xdf\x00\x00\x00\x02\xd9\x04type\xdb\x00\x00\x00\x01x\xda\x00\x02id\xcf\x00\x00\x00\x00\x00\x00\x00\x07";
    one(long_forms, "x id=7");
    // Signed, though not below zero.
    one(
        b"\x83\xa4type\xa8presence\xa4room\xa1r\xa5limit\xd0\x07",
        r#"presence room="r" limit=7 (unless done)"#,
    );
}

#[test]
fn what_npm_msgpackr_says() {
    // `undefined` of npm msgpackr is nil.
    one(b"\x82\xa4type\xa1x\xa4room\xd4\0\0", "x (unless done)");
    // Its records, and what is shorter from the second message on, and one inside of a map.
    for record in [
        &b"\xd4r\x40\x92\xa4type\xa2id\xa4ping\x01"[..],
        b"\x40\xa4ping\x01",
        b"\x82\xa4type\xa1x\xa4data\xd4r\x40\x91\xa1a\x01",
    ] {
        one(
            record,
            "bad_request -32602: a message is one map, this is a record: npm msgpackr needs `useRecords: false`",
        );
    }
}

#[test]
fn what_is_cut_or_garbled_is_refused() {
    // A string that is not UTF-8, a reserved byte, something behind.
    one(
        b"\x81\xa4type\xa1\xff",
        "bad_request -32602: not valid MessagePack at byte 7",
    );
    one(
        b"\x81\xa4type\xc1",
        "bad_request -32602: not valid MessagePack at byte 6",
    );
    one(
        b"\x81\xa4type\xa1x\xc0",
        "bad_request -32602: not valid MessagePack at byte 8",
    );
    // Keys are no containers.
    for key in [&b"\x90"[..], b"\x80", b"\xd4\x05\x01"] {
        let bytes = [b"\x82\xa4type\xa1x\xa4data\x81", key, b"\x01"].concat();
        one(
            &bytes,
            "bad_request -32602: a key that is an array, a map or an extension at byte 14",
        );
    }
    one(b"", "bad_request -32602: not valid MessagePack at byte 0");
    // A length that lies costs nothing.
    one(
        b"\xdf\xff\xff\xff\xff",
        "bad_request -32602: not valid MessagePack at byte 5",
    );
    one(
        b"\x81\xa4type\xdd\xff\xff\xff\xff",
        "bad_request -32602: not valid MessagePack at byte 11",
    );
    one(
        b"\x81\xa4type\xdb\xff\xff\xff\xffx",
        "bad_request -32602: not valid MessagePack at byte 11",
    );
}

#[test]
fn an_id_is_bounded() {
    for (len, valid) in [(ID_BYTES_MAX - 2, true), (ID_BYTES_MAX - 1, false)] {
        let id = "i".repeat(len);
        let expected = if valid {
            format!("x id={id:?}")
        } else {
            "bad_request -32602: id is longer than 128 bytes".into()
        };
        one(
            &packed(&format!(r#"{{"type":"x","id":{id:?}}}"#)),
            &expected,
        );
    }
}

/// What independent decoders, and a look at what they found, say. rmpv takes the reserved byte for
/// nil, and rmp-serde any bytes for text and what follows the value.
fn is_valid(bytes: &[u8]) -> bool {
    if rmp_serde::from_slice::<serde::de::IgnoredAny>(bytes).is_err() {
        return false;
    }
    let mut rest = bytes;
    // One container is the envelope, and keys are none.
    rmpv::decode::read_value_ref(&mut rest)
        .is_ok_and(|value| rest.is_empty() && is_within(&value, 126))
}

fn is_within(value: &rmpv::ValueRef<'_>, depth: u32) -> bool {
    match value {
        rmpv::ValueRef::String(text) => text.is_str(),
        rmpv::ValueRef::Array(items) => {
            depth > 0 && items.iter().all(|item| is_within(item, depth - 1))
        }
        rmpv::ValueRef::Map(pairs) => {
            depth > 0
                && pairs
                    .iter()
                    .all(|(key, value)| is_within(key, 0) && is_within(value, depth - 1))
        }
        // Becomes an object.
        rmpv::ValueRef::Ext(_, _) => depth > 0,
        _ => true,
    }
}

#[track_caller]
fn check_validity(bytes: &[u8]) -> bool {
    let valid = Pack::parse(bytes).is_some();
    assert_eq!(valid, is_valid(bytes), "{}", bytes.escape_ascii());
    valid
}

#[test]
fn every_marker_is_judged_as_an_independent_decoder_judges_it() {
    for marker in 0..=u8::MAX {
        for len in 0..40 {
            check_validity(&[&[marker], &*vec![0; len]].concat());
            check_validity(&[&[marker], &*vec![1; len]].concat());
        }
    }
}

#[test]
fn nesting_ends_where_that_of_json_ends() {
    for (depth, valid) in [(126, true), (127, false), (10_000, false)] {
        for open in [&[0x91][..], &[0xdc, 0, 1], &[0x81, 0xc0]] {
            let bytes = [open.repeat(depth), vec![0xc0]].concat();
            assert_eq!(Pack::parse(&bytes).is_some(), valid, "{depth}");
            if depth < 1000 {
                check_validity(&bytes);
            }
        }
    }
}

#[test]
fn random_and_damaged_bytes_are_judged_alike() {
    let mut valid = 0;
    for seed in 0..200_000 {
        let mut rng = Rng::with_seed(seed);
        let mut bytes = crate::survival::random_pack(&mut rng, 3);
        for _ in 0..rng.usize(..3) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        if rng.u8(..4) == 0 {
            bytes.truncate(rng.usize(..=bytes.len()));
        }
        valid += u32::from(check_validity(&bytes));
    }
    assert!((60_000..190_000).contains(&valid), "{valid}");
}
