//! What values become in the other encoding: the decisions as a table, everything else against
//! serde's formats.

use crate::decoding::{json, pack};
use crate::survival::{random_json, random_pack};
use crate::tree::Tree;
use fastrand::Rng;
use shardcast_protocol::dialect::Value;
use shardcast_protocol::json::RawBox;
use shardcast_protocol::pack::{Pack, PackBox};

fn to_pack(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json(text).write_pack(&mut out);
    assert!(Pack::parse(&out).is_some(), "{text}");
    assert!(out.len() <= 3 * text.len() + 3, "{text}");
    out
}

fn to_json(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    pack(bytes).write_json(&mut out);
    let bound = Value::JSON_GROWTH_MAX * bytes.len();
    assert!(out.len() <= bound, "{}", bytes.escape_ascii());
    let text = String::from_utf8(out).unwrap();
    json(&text);
    text
}

#[test]
fn json_in_messagepack() {
    for (text, expected) in [
        ("null", &b"\xc0"[..]),
        ("0", b"\x00"),
        ("-0", b"\xcb\x80\0\0\0\0\0\0\0"),
        ("-0.0", b"\xcb\x80\0\0\0\0\0\0\0"),
        ("-1", b"\xff"),
        ("127", b"\x7f"),
        ("128", b"\xcc\x80"),
        ("-129", b"\xd1\xff\x7f"),
        (
            "18446744073709551615",
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        ("-9223372036854775808", b"\xd3\x80\0\0\0\0\0\0\0"),
        // Beyond 64 bits: the nearest float.
        ("18446744073709551616", b"\xcb\x43\xf0\0\0\0\0\0\0"),
        ("-9223372036854775809", b"\xcb\xc3\xe0\0\0\0\0\0\0"),
        // An integer is one however it was written, where a float says which one was meant.
        ("1.0", b"\x01"),
        ("1e0", b"\x01"),
        ("-15e1", b"\xd1\xff\x6a"),
        ("0.0", b"\x00"),
        ("9007199254740991.0", b"\xcf\0\x1f\xff\xff\xff\xff\xff\xff"),
        ("9007199254740992.0", b"\xcb\x43\x40\0\0\0\0\0\0"),
        ("9007199254740993", b"\xcf\0\x20\0\0\0\0\0\x01"),
        ("1e20", b"\xcb\x44\x15\xaf\x1d\x78\xb5\x8c\x40"),
        ("1.5", b"\xcb\x3f\xf8\0\0\0\0\0\0"),
        (r#""\u0000\ud83e\udd80""#, b"\xa5\0\xf0\x9f\xa6\x80"),
        (r#"{"a":1,"\u0061":2}"#, b"\x82\xa1a\x01\xa1a\x02"),
        ("[ [ ] , { } ]", b"\x92\x90\x80"),
    ] {
        assert_eq!(to_pack(text), expected, "{text}");
    }
}

/// MessagePack, and the JSON that says the same.
const IN_JSON: &[(&[u8], &str)] = &[
    (b"\xc4\x00", r#""""#),
    (b"\xc4\x01a", r#""YQ==""#),
    (b"\xc4\x02ab", r#""YWI=""#),
    (b"\xc4\x03\xff\xfe\xfd", r#""//79""#),
    (b"\xca\x7f\xc0\0\0", "null"),
    (b"\xcb\x7f\xf0\0\0\0\0\0\0", "null"),
    (b"\xca\x3d\xcc\xcc\xcd", "0.10000000149011612"),
    (b"\xcb\x3f\xf0\0\0\0\0\0\0", "1"),
    (b"\xca\x3f\x80\0\0", "1"),
    (b"\xcb\xc1\xf0\0\0\0\0\0\0", "-4294967296"),
    (b"\xcb\x43\x3f\xff\xff\xff\xff\xff\xff", "9007199254740991"),
    (b"\xcb\x43\x40\0\0\0\0\0\0", "9007199254740992.0"),
    (b"\xcb\x80\0\0\0\0\0\0\0", "-0.0"),
    (b"\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808"),
    (
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        "18446744073709551615",
    ),
    (b"\x82\xa1a\x01\xa1a\x02", r#"{"a":1,"a":2}"#),
    (b"\xa3\0\"\\", r#""\u0000\"\\""#),
    // Keys become text.
    (b"\x83\x01\x02\xff\x03\xa1a\x04", r#"{"1":2,"-1":3,"a":4}"#),
    (
        b"\x83\xc0\x01\xc3\x02\xcb\x3f\xf8\0\0\0\0\0\0\x03",
        r#"{"null":1,"true":2,"1.5":3}"#,
    ),
    (
        b"\x82\xc4\x01a\x01\xcb\x3f\xf0\0\0\0\0\0\0\x02",
        r#"{"YQ==":1,"1":2}"#,
    ),
    // Extensions: as an object.
    (b"\xd4\x05\x01", r#"{"ext":5,"data":"AQ=="}"#),
    (b"\xc7\x00\x80", r#"{"ext":-128,"data":""}"#),
    (b"\xd4\x00\x01", r#"{"ext":0,"data":"AQ=="}"#),
    // `undefined` of npm msgpackr.
    (b"\xd4\x00\x00", "null"),
    (b"\x92\xc7\x01\x00\x00\x01", "[null,1]"),
    // Timestamps, in each size.
    (b"\xd6\xff\0\0\0\0", r#""1970-01-01T00:00:00.000Z""#),
    (b"\xd6\xff\xff\xff\xff\xff", r#""2106-02-07T06:28:15.000Z""#),
    (
        b"\xd7\xff\x1d\xcd\x65\x00\x5e\x0b\xe1\x00",
        r#""2020-01-01T00:00:00.125Z""#,
    ),
    (
        b"\xd7\xff\xee\x6b\x27\xfc\x00\0\0\0",
        r#""1970-01-01T00:00:00.999999999Z""#,
    ),
    (
        b"\xc7\x0c\xff\0\0\x03\xe8\xff\xff\xff\xff\xff\xff\xff\xff",
        r#""1969-12-31T23:59:59.000001Z""#,
    ),
    (
        b"\xc7\x0c\xff\0\0\0\0\xff\xff\xff\xf1\x86\x8b\x84\x00",
        r#""0000-01-01T00:00:00.000Z""#,
    ),
    (
        b"\xc7\x0c\xff\0\0\0\0\0\0\0\x3a\xff\xf4\x41\x7f",
        r#""9999-12-31T23:59:59.000Z""#,
    ),
    // Beyond the years of RFC 3339, with too many nanoseconds, or of no size.
    (
        b"\xc7\x0c\xff\0\0\0\0\0\0\0\x3a\xff\xf4\x41\x80",
        r#"{"ext":-1,"data":"AAAAAAAAADr/9EGA"}"#,
    ),
    (
        b"\xc7\x0c\xff\x3b\x9a\xca\0\0\0\0\0\0\0\0\0",
        r#"{"ext":-1,"data":"O5rKAAAAAAAAAAAA"}"#,
    ),
    (b"\xd5\xff\0\0", r#"{"ext":-1,"data":"AAA="}"#),
];

#[test]
fn messagepack_in_json() {
    for (bytes, expected) in IN_JSON {
        assert_eq!(to_json(bytes), *expected, "{bytes:x?}");
    }
}

/// Every day of some centuries, counted by hand.
#[test]
fn timestamps_name_the_day() {
    let mut day = (1890, 1, 1);
    let mut seconds = -2_524_521_600_i64;
    while day.0 < 2110 {
        let content = [&[0; 4][..], &seconds.to_be_bytes()].concat();
        let bytes = [&b"\xc7\x0c\xff"[..], &content].concat();
        let (year, month, date) = day;
        let expected = format!("\"{year:04}-{month:02}-{date:02}T00:00:00.000Z\"");
        assert_eq!(to_json(&bytes), expected);
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + i32::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        day = match day {
            (year, 12, 31) => (year + 1, 1, 1),
            (year, month, date) if date == last => (year, month + 1, 1),
            (year, month, date) => (year, month, date + 1),
        };
        seconds += 86_400;
    }
}

/// As a tree has it where an integer is one however it was written.
pub(crate) fn with_integers(tree: Tree) -> Tree {
    match tree {
        Tree::Float(number) if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 => {
            match number as i64 {
                0 if number.is_sign_negative() => Tree::Float(number),
                number @ 0.. => Tree::Unsigned(number as u64),
                number => Tree::Signed(number),
            }
        }
        Tree::Array(items) => Tree::Array(items.into_iter().map(with_integers).collect()),
        Tree::Map(pairs) => {
            let pair = |(key, value)| (key, with_integers(value));
            Tree::Map(pairs.into_iter().map(pair).collect())
        }
        tree => tree,
    }
}

/// What serde_json and rmp-serde make of it together.
#[test]
fn random_json_becomes_what_the_oracle_makes_of_it() {
    for seed in 0..30_000 {
        let mut rng = Rng::with_seed(seed);
        let text = random_json(&mut rng, 4);
        let tree: Tree = serde_json::from_str(&text).expect(&text);
        let tree = with_integers(tree);
        let expected = rmp_serde::to_vec(&tree).unwrap();
        let bytes = to_pack(&text);
        assert_eq!(bytes, expected, "{text}");
        // And comes back as the same values.
        let back = to_json(&bytes);
        assert_eq!(serde_json::from_str::<Tree>(&back).unwrap(), tree, "{text}");
    }
}

/// A tree as JSON has it.
fn in_json(tree: Tree) -> Tree {
    use base64::Engine as _;
    let base64 = |bytes| base64::engine::general_purpose::STANDARD.encode(bytes);
    match with_integers(tree) {
        Tree::Float(number) if !number.is_finite() => Tree::Null,
        Tree::Bytes(bytes) => Tree::Text(base64(bytes)),
        Tree::Ext(kind, bytes) => Tree::Map(vec![
            (Tree::Text("ext".into()), in_json(Tree::Float(kind as f64))),
            (Tree::Text("data".into()), Tree::Text(base64(bytes))),
        ]),
        Tree::Array(items) => Tree::Array(items.into_iter().map(in_json).collect()),
        Tree::Map(pairs) => {
            let key = |key: Tree| match in_json(key) {
                key @ Tree::Text(_) => key,
                Tree::Float(number) => Tree::Text(format!("{number:?}")),
                key => Tree::Text(serde_json::to_string(&key).unwrap()),
            };
            let pair = |(k, value)| (key(k), in_json(value));
            Tree::Map(pairs.into_iter().map(pair).collect())
        }
        tree => tree,
    }
}

#[test]
fn random_messagepack_becomes_what_the_oracle_makes_of_it() {
    for seed in 0..60_000 {
        let mut rng = Rng::with_seed(seed);
        let bytes = random_pack(&mut rng, 3);
        let text = to_json(&bytes);
        let expected = in_json(rmp_serde::from_slice(&bytes).unwrap());
        let actual: Tree = serde_json::from_str(&text).expect(&text);
        assert_eq!(actual, expected, "{text}");
    }
}

#[test]
fn growth_is_bounded() {
    for text in [
        "-0",
        "[-0,-0,-0,-0]",
        "[1e1,1e1,1e1,1e1]",
        "[[],[],[],[]]",
        r#"{"":-0,"":-0,"":-0}"#,
        &format!("[{}1]", "1,".repeat(70_000)),
        &format!("{}{}", "[".repeat(126), "]".repeat(126)),
        &format!("{:?}", "x".repeat(70_000)),
    ] {
        to_pack(text);
    }
    for bytes in [
        &[b"\xa8", &[0; 8][..]].concat()[..],
        b"\x93\xc2\xc2\xc2",
        b"\x83\xe0\xc2\xe0\xc2\xe0\xc2",
        b"\x92\xc0\xc0",
        &[b"\xdc\x01\x00", &[0xc2; 256][..]].concat(),
        b"\xcb\x80\x10\0\0\0\0\0\0",
        b"\xca\x80\x80\0\0",
        &[b"\xdc\x01\x00", &b"\xd4\x80\x00".repeat(256)[..]].concat(),
        &[b"\xdc\x01\x00", &b"\xc7\x00\x80".repeat(256)[..]].concat(),
        &[b"\xdc\x01\x00", &b"\xd6\xff\0\0\0\0".repeat(256)[..]].concat(),
        &[b"\xde\x01\x00", &b"\xc2\xc2".repeat(256)[..]].concat(),
    ] {
        to_json(bytes);
    }
}

/// Width must not cost depth: both passes are linear, however deep the wide part stands.
#[test]
fn what_is_deep_and_wide_is_translated_once() {
    let (open, wide, close) = ("[0,".repeat(125), "0,".repeat(100_000), "]".repeat(125));
    let text = format!("{open}[{wide}0]{close}");
    let tree: Tree = serde_json::from_str(&text).unwrap();
    assert_eq!(to_pack(&text), rmp_serde::to_vec(&tree).unwrap());
}

#[test]
fn a_value_in_its_own_encoding_stays_as_it_is() {
    let mut out = Vec::new();
    json("[ 1 ]").write_json(&mut out);
    Value::Pack(Pack::parse(b"\xcd\0\x01").unwrap()).write_pack(&mut out);
    assert_eq!(out, b"[ 1 ]\xcd\0\x01");
    for (text, value) in [("[ 1 ]", Some("[ 1 ]")), (" 1\n", Some("1")), ("1 1", None)] {
        let boxed = RawBox::parse(text.into());
        assert_eq!(boxed.as_ref().map(|raw| raw.as_raw().as_str()), value);
    }
    for (bytes, valid) in [(&b"\x90"[..], true), (b"\x91", false), (b"\x90\x90", false)] {
        let boxed = PackBox::parse(bytes.to_vec());
        assert_eq!(boxed.is_some(), valid);
        assert!(boxed.is_none_or(|pack| pack.as_pack().as_bytes() == bytes));
    }
    let boxed = json("[1]").to_boxed();
    assert_eq!(boxed.as_value(), json("[1]"));
    assert_eq!(pack(b"\x90").to_boxed().as_value(), pack(b"\x90"));
}
