//! Control characters by policy: what counts as one, what is taken out, and that the rest stays as
//! it was written.

use crate::decoding::{json, pack, packed};
use crate::survival::{random_json, random_pack};
use crate::tree::Tree;
use fastrand::Rng;
use shardcast_protocol::dialect::{Code, ControlPolicy, Value};

/// `None`: it has none.
#[track_caller]
fn check(value: Value<'_>, stripped: Option<Value<'_>>) {
    assert_eq!(ControlPolicy::Allow.apply(value), Ok(None));
    let rejected = ControlPolicy::Reject.apply(value);
    assert_eq!(
        rejected.map_err(|problem| problem.code),
        if stripped.is_some() {
            Err(Code::BadRequest)
        } else {
            Ok(None)
        }
    );
    let left = ControlPolicy::Strip.apply(value).unwrap();
    assert_eq!(left.as_ref().map(|left| left.as_value()), stripped);
}

#[test]
fn in_json() {
    for text in [
        "null",
        "[ 1.0 , true ]",
        r#""\t\n\r\u0009\u000a\u000D\"\\\/ \u0020\u00a0\ud83e\udd80""#,
        "\"é\u{a0}\u{ad}\u{2028}\u{c2}ÿ\"",
        r#""\\u0000\\b""#,
    ] {
        check(json(text), None);
    }
    for (text, stripped) in [
        (r#""\u0000""#, r#""""#),
        (r#""a\bb\fc\u001fd\u007Fe\u0085f""#, r#""abcdef""#),
        ("\"a\u{7f}b\u{80}c\u{9f}d\"", r#""abcd""#),
        (
            r#"{ "k\u0000" : [ 1.0, "\\\u0001\t" ] }"#,
            r#"{ "k" : [ 1.0, "\\\t" ] }"#,
        ),
        (r#""\ud83e\udd80\u0000\u00e9""#, r#""\ud83e\udd80\u00e9""#),
        (r#""\\\\\u0000u0000""#, r#""\\\\u0000""#),
    ] {
        check(json(text), Some(json(stripped)));
    }
}

#[test]
fn in_messagepack() {
    for bytes in [
        &b"\xc0"[..],
        b"\xa3\t\n\r",
        // Neither numbers nor bytes nor extensions are text, whatever they look like.
        b"\x94\x01\x7f\xc4\x02\x00\x7f\xd4\x00\x00",
        "\u{a8}é\u{a0}".as_bytes(),
    ] {
        if bytes[0] != 0xc2 {
            check(pack(bytes), None);
        }
    }
    check(pack(b"\xa3a\0b"), Some(pack(b"\xa2ab")));
    check(
        pack(b"\x82\xa2k\x7f\xa3\xc2\x80x\xcd\0\x01\xc4\x01\0"),
        Some(pack(b"\x82\xa1k\xa1x\xcd\0\x01\xc4\x01\0")),
    );
    // A string keeps its form if it stays; else it gets the shortest.
    check(
        pack(b"\x92\xd9\x01a\xd9\x02\0b"),
        Some(pack(b"\x92\xd9\x01a\xa1b")),
    );
}

fn stripped(tree: Tree) -> Tree {
    match tree {
        Tree::Text(text) => {
            let kept = |c: &char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
            Tree::Text(text.chars().filter(kept).collect())
        }
        Tree::Array(items) => Tree::Array(items.into_iter().map(stripped).collect()),
        Tree::Map(pairs) => {
            let pair = |(key, value)| (stripped(key), stripped(value));
            Tree::Map(pairs.into_iter().map(pair).collect())
        }
        tree => tree,
    }
}

#[test]
fn random_values_lose_what_the_oracle_takes_out() {
    let mut changed = 0;
    for seed in 0..20_000 {
        let mut rng = Rng::with_seed(seed);
        let text = random_json(&mut rng, 3);
        let tree: Tree = serde_json::from_str(&text).unwrap();
        let expected = stripped(tree.clone());
        let bytes = packed(&text);
        for (value, is_json) in [(json(&text), true), (pack(&bytes), false)] {
            let left = ControlPolicy::Strip.apply(value).unwrap();
            assert_eq!(left.is_some(), expected != tree, "{text}");
            let left = left.as_ref().map_or(value, |left| left.as_value());
            let left: Tree = if is_json {
                serde_json::from_slice(left.as_bytes()).unwrap()
            } else {
                rmp_serde::from_slice(left.as_bytes()).unwrap()
            };
            assert_eq!(left, expected, "{text}");
        }
        changed += u32::from(expected != tree);
    }
    assert!((1_000..19_000).contains(&changed), "{changed}");
    for seed in 0..20_000 {
        let bytes = random_pack(&mut Rng::with_seed(seed), 3);
        let left = ControlPolicy::Strip.apply(pack(&bytes)).unwrap();
        let left = left.as_ref().map_or(pack(&bytes), |left| left.as_value());
        assert_eq!(ControlPolicy::Reject.apply(left), Ok(None));
    }
}
