//! What values become in the other encoding: the decisions as a table, everything else against serde's formats.

use crate::said::{json, pack};
use crate::survival::{random_json, random_pack};
use crate::tree::Tree;
use fastrand::Rng;
use shardcast_protocol::dialect::{Untranslatable, Value};
use shardcast_protocol::json::RawBox;
use shardcast_protocol::pack::{Pack, PackBox};

fn to_pack(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json(text).write_pack(&mut out).unwrap();
    assert!(Pack::parse(&out).is_some(), "{text}");
    assert!(out.len() <= 3 * text.len() + 3, "{text}");
    out
}

fn to_json(bytes: &[u8]) -> Result<String, Untranslatable> {
    let mut out = Vec::new();
    pack(bytes).write_json(&mut out)?;
    assert!(out.len() <= 6 * bytes.len(), "{}", bytes.escape_ascii());
    let text = String::from_utf8(out).unwrap();
    json(&text);
    Ok(text)
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
        ("1.0", b"\xcb\x3f\xf0\0\0\0\0\0\0"),
        ("1e0", b"\xcb\x3f\xf0\0\0\0\0\0\0"),
        (r#""\u0000\ud83e\udd80""#, b"\xa5\0\xf0\x9f\xa6\x80"),
        (r#"{"a":1,"\u0061":2}"#, b"\x82\xa1a\x01\xa1a\x02"),
        ("[ [ ] , { } ]", b"\x92\x90\x80"),
    ] {
        assert_eq!(to_pack(text), expected, "{text}");
    }
}

#[test]
fn messagepack_in_json() {
    for (bytes, expected) in [
        (&b"\xc4\x00"[..], Ok(r#""""#)),
        (b"\xc4\x01a", Ok(r#""YQ==""#)),
        (b"\xc4\x02ab", Ok(r#""YWI=""#)),
        (b"\xc4\x03\xff\xfe\xfd", Ok(r#""//79""#)),
        (b"\xca\x7f\xc0\0\0", Ok("null")),
        (b"\xcb\x7f\xf0\0\0\0\0\0\0", Ok("null")),
        (b"\xca\x3d\xcc\xcc\xcd", Ok("0.10000000149011612")),
        (b"\xcb\x3f\xf0\0\0\0\0\0\0", Ok("1.0")),
        (b"\xcb\x80\0\0\0\0\0\0\0", Ok("-0.0")),
        (b"\xd3\x80\0\0\0\0\0\0\0", Ok("-9223372036854775808")),
        (
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            Ok("18446744073709551615"),
        ),
        (
            b"\x83\x01\x02\xff\x03\xa1a\x04",
            Ok(r#"{"1":2,"-1":3,"a":4}"#),
        ),
        (b"\x82\xa1a\x01\xa1a\x02", Ok(r#"{"a":1,"a":2}"#)),
        (b"\xa3\0\"\\", Ok(r#""\u0000\"\\""#)),
        (b"\xd4\x05\x01", Err(Untranslatable::Extension)),
        (b"\xd6\xff\0\0\0\0", Err(Untranslatable::Extension)),
        (b"\x81\xc0\x01", Err(Untranslatable::Key)),
        (b"\x81\xc3\x01", Err(Untranslatable::Key)),
        (b"\x81\xcb\0\0\0\0\0\0\0\0\x01", Err(Untranslatable::Key)),
        (b"\x81\xc4\x01a\x01", Err(Untranslatable::Key)),
        (b"\x81\x90\x01", Err(Untranslatable::Key)),
        (b"\x81\x80\x01", Err(Untranslatable::Key)),
        (b"\x81\xd4\x05\x01\x01", Err(Untranslatable::Key)),
    ] {
        assert_eq!(
            to_json(bytes).as_deref(),
            expected.as_ref().map(|text| *text),
            "{bytes:x?}"
        );
    }
}

/// What serde_json and rmp-serde make of it together.
#[test]
fn random_json_becomes_what_the_oracle_makes_of_it() {
    for seed in 0..30_000 {
        let mut rng = Rng::with_seed(seed);
        let text = random_json(&mut rng, 4);
        let tree: Tree = serde_json::from_str(&text).expect(&text);
        let expected = rmp_serde::to_vec(&tree).unwrap();
        let bytes = to_pack(&text);
        assert_eq!(bytes, expected, "{text}");
        // And comes back as the same values.
        let back = to_json(&bytes).unwrap();
        assert_eq!(serde_json::from_str::<Tree>(&back).unwrap(), tree, "{text}");
    }
}

/// A tree as JSON has it.
fn in_json(tree: Tree) -> Tree {
    use base64::Engine as _;
    match tree {
        Tree::Float(number) if !number.is_finite() => Tree::Null,
        Tree::Bytes(bytes) => Tree::Text(base64::engine::general_purpose::STANDARD.encode(bytes)),
        Tree::Array(items) => Tree::Array(items.into_iter().map(in_json).collect()),
        Tree::Map(pairs) => {
            let key = |key: Tree| match key {
                Tree::Unsigned(number) => Tree::Text(number.to_string()),
                Tree::Signed(number) => Tree::Text(number.to_string()),
                key => key,
            };
            let pair = |(k, value)| (key(k), in_json(value));
            Tree::Map(pairs.into_iter().map(pair).collect())
        }
        tree => tree,
    }
}

#[test]
fn random_messagepack_becomes_what_the_oracle_makes_of_it() {
    let mut translated = 0;
    for seed in 0..60_000 {
        let mut rng = Rng::with_seed(seed);
        let bytes = random_pack(&mut rng, 3);
        let Ok(text) = to_json(&bytes) else {
            continue;
        };
        translated += 1;
        let expected = in_json(rmp_serde::from_slice(&bytes).unwrap());
        let actual: Tree = serde_json::from_str(&text).expect(&text);
        assert_eq!(actual, expected, "{text}");
    }
    assert!(translated > 20_000, "{translated}");
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
    ] {
        to_json(bytes).unwrap();
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
    json("[ 1 ]").write_json(&mut out).unwrap();
    Value::Pack(Pack::parse(b"\xcd\0\x01").unwrap())
        .write_pack(&mut out)
        .unwrap();
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
