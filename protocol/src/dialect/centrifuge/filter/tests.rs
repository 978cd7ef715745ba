//! Filters by tables, at random beside trees that are asked the slow way, and at their limits.

use super::*;
use fastrand::Rng;

fn of_json(text: &str) -> Result<TagFilter, FilterFault> {
    TagFilter::read(Raw::parse(text).expect("the test's own JSON"))
}

/// The tags of most cases.
fn tags() -> Tags<'static> {
    let tags = [
        ("ticker", "AAPL"),
        ("price", "120.50"),
        ("empty", ""),
        ("low", "-3"),
        ("text", "12a"),
    ];
    tags.into_iter().collect()
}

#[test]
fn a_comparison_holds_or_does_not() {
    for (filter, expected) in [
        (r#"{"key":"ticker","cmp":"eq","val":"AAPL"}"#, true),
        (r#"{"key":"ticker","cmp":"eq","val":"GOOG"}"#, false),
        (r#"{"key":"none","cmp":"eq","val":"x"}"#, false),
        (r#"{"key":"ticker","cmp":"neq","val":"GOOG"}"#, true),
        (r#"{"key":"ticker","cmp":"neq","val":"AAPL"}"#, false),
        (r#"{"key":"none","cmp":"neq","val":"x"}"#, true),
        (
            r#"{"key":"ticker","cmp":"in","vals":["GOOG","AAPL"]}"#,
            true,
        ),
        (r#"{"key":"ticker","cmp":"in","vals":["GOOG"]}"#, false),
        (r#"{"key":"none","cmp":"in","vals":["","x"]}"#, true),
        (r#"{"key":"none","cmp":"in","vals":["x"]}"#, false),
        (r#"{"key":"ticker","cmp":"nin","vals":["GOOG"]}"#, true),
        (r#"{"key":"ticker","cmp":"nin","vals":["AAPL"]}"#, false),
        (r#"{"key":"none","cmp":"nin","vals":["x"]}"#, true),
        (r#"{"key":"none","cmp":"nin","vals":[""]}"#, false),
        (r#"{"key":"empty","cmp":"ex"}"#, true),
        (r#"{"key":"none","cmp":"ex"}"#, false),
        (r#"{"cmp":"nex"}"#, true),
        (r#"{"key":"empty","cmp":"nex"}"#, false),
        (r#"{"key":"ticker","cmp":"sw","val":"AA"}"#, true),
        (r#"{"key":"ticker","cmp":"sw","val":"PL"}"#, false),
        (r#"{"key":"ticker","cmp":"ew","val":"PL"}"#, true),
        (r#"{"key":"ticker","cmp":"ew","val":"AA"}"#, false),
        (r#"{"key":"ticker","cmp":"ct","val":"AP"}"#, true),
        (r#"{"key":"ticker","cmp":"ct","val":"PA"}"#, false),
        (r#"{"key":"price","cmp":"gt","val":"99.999"}"#, true),
        (r#"{"key":"price","cmp":"gt","val":"120.5"}"#, false),
        (r#"{"key":"price","cmp":"gte","val":"120.5000"}"#, true),
        (r#"{"key":"price","cmp":"lt","val":"0120.51"}"#, true),
        (r#"{"key":"price","cmp":"lte","val":"+120.5"}"#, true),
        (r#"{"key":"price","cmp":"lt","val":"-121"}"#, false),
        (r#"{"key":"low","cmp":"lt","val":"-2.9"}"#, true),
        (r#"{"key":"low","cmp":"gt","val":"-20"}"#, true),
        // What is no number is neither less nor more.
        (r#"{"key":"text","cmp":"gt","val":"1"}"#, false),
        (r#"{"key":"text","cmp":"lte","val":"1"}"#, false),
        (r#"{"key":"price","cmp":"gt","val":"1e1"}"#, false),
        (r#"{"key":"none","cmp":"lt","val":"1"}"#, false),
        (
            r#"{"key":"ticker","cmp":"eq","val":"AAPL","vals":[]}"#,
            true,
        ),
        (
            r#"{"op":null,"key":"\u0074icker","cmp":"ex","nodes":null}"#,
            true,
        ),
    ] {
        let read = of_json(filter).unwrap_or_else(|fault| panic!("{filter}: {fault:?}"));
        assert_eq!(read.passes(&tags()), expected, "{filter}");
    }
}

#[test]
fn nodes_combine() {
    let (yes, no) = (
        r#"{"cmp":"nex","key":"none"}"#,
        r#"{"cmp":"ex","key":"none"}"#,
    );
    for (op, nodes, expected) in [
        ("and", &[yes, yes][..], true),
        ("and", &[yes, no], false),
        ("and", &[no, yes], false),
        ("or", &[no, yes], true),
        ("or", &[yes, no, no], true),
        ("or", &[no, no], false),
        ("not", &[yes], false),
        ("not", &[no], true),
    ] {
        let one = format!(r#"{{"op":"{op}","nodes":[{}]}}"#, nodes.join(","));
        assert_eq!(of_json(&one).unwrap().passes(&tags()), expected, "{one}");
        let not = format!(r#"{{"op":"not","nodes":[{one}]}}"#);
        assert_eq!(of_json(&not).unwrap().passes(&tags()), !expected, "{not}");
        let both = format!(r#"{{"op":"or","nodes":[{no},{one},{not},{no}]}}"#);
        assert!(of_json(&both).unwrap().passes(&tags()), "{both}");
    }
}

#[test]
fn what_the_protocol_has_not_is_no_filter() {
    for filter in [
        "{}",
        "[]",
        "7",
        r#""eq""#,
        r#"{"op":"xor","nodes":[{"cmp":"ex","key":"a"}]}"#,
        r#"{"op":"and"}"#,
        r#"{"op":"or","nodes":[]}"#,
        r#"{"op":"and","nodes":[7]}"#,
        r#"{"op":"and","nodes":{"cmp":"ex","key":"a"}}"#,
        r#"{"op":"not","nodes":[{"cmp":"ex"},{"cmp":"ex"}]}"#,
        r#"{"key":"a"}"#,
        r#"{"key":"a","cmp":"like","val":"b"}"#,
        r#"{"key":"a","cmp":"eq"}"#,
        r#"{"key":"a","cmp":"eq","val":"b","vals":["c"]}"#,
        r#"{"key":"a","cmp":"eq","val":7}"#,
        r#"{"key":7,"cmp":"eq","val":"b"}"#,
        r#"{"cmp":"eq","val":"b"}"#,
        r#"{"key":"a","cmp":"in"}"#,
        r#"{"key":"a","cmp":"in","vals":["b"],"val":"c"}"#,
        r#"{"key":"a","cmp":"in","vals":[7]}"#,
        r#"{"key":"a","cmp":"ex","val":"b"}"#,
        r#"{"key":"a","cmp":"nex","vals":["b"]}"#,
    ] {
        assert_eq!(of_json(filter), Err(FilterFault::Malformed), "{filter}");
    }
}

#[test]
fn filters_have_bounds() {
    let leaf = r#"{"key":"a","cmp":"ex"}"#;
    let deep = |depth: usize| {
        let (before, behind) = (r#"{"op":"not","nodes":["#, "]}");
        format!(
            "{}{leaf}{}",
            before.repeat(depth - 1),
            behind.repeat(depth - 1)
        )
    };
    let wide = |nodes: usize| {
        let leaves = vec![leaf; nodes - 1].join(",");
        format!(r#"{{"op":"or","nodes":[{leaves}]}}"#)
    };
    let long = |bytes: usize| format!(r#"{{"key":"a","cmp":"eq","val":"{}"}}"#, "x".repeat(bytes));
    for (most, more) in [
        (deep(TagFilter::DEPTH_MAX), deep(TagFilter::DEPTH_MAX + 1)),
        (wide(TagFilter::NODES_MAX), wide(TagFilter::NODES_MAX + 1)),
        (
            long(TagFilter::BYTES_MAX - 8),
            long(TagFilter::BYTES_MAX - 7),
        ),
    ] {
        let read = of_json(&most).unwrap();
        assert_eq!(TagFilter::of_bytes(read.as_bytes()), Some(read));
        assert_eq!(of_json(&more), Err(FilterFault::TooLarge));
    }
}

/// Events have the tags that clients are told.
#[test]
fn publications_have_tags() {
    let is = |name: &str, key: &str, text: &str| {
        let filter = format!(r#"{{"key":"{key}","cmp":"eq","val":"{text}"}}"#);
        of_json(&filter).unwrap().passes(&Tags::of_event(name))
    };
    assert!(is("price", "event", "price"));
    assert!(!is("publication", "event", "publication"));
    assert!(is("publication\0{\"a\":\"b\"}", "a", "b"));
    assert!(
        !is("publication\0{\"a\":\"b\",\"a\":\"c\"}", "a", "b"),
        "the last counts"
    );
    assert!(!is("publication\0{\"a\":\"b\"}", "event", "publication"));
}

#[test]
fn numbers_are_compared_as_numbers() {
    let numbers = [
        "-100",
        "-99.9",
        "-10",
        "-9.99",
        "-1",
        "-0.01",
        "0",
        "0.0000000000000000001",
        "0.1",
        "0.11",
        "1",
        "1.5",
        "2",
        "9",
        "10",
        "99999999999999999999999",
        "100000000000000000000000",
    ];
    for (at, one) in numbers.iter().enumerate() {
        for (other_at, other) in numbers.iter().enumerate() {
            let parsed = [one, other].map(|text| Decimal::parse(text).unwrap());
            assert_eq!(
                parsed[0].order(&parsed[1]),
                at.cmp(&other_at),
                "{one} {other}"
            );
        }
    }
    for (one, same) in [
        ("0", "-0.00"),
        ("007", "7.0"),
        ("+1.50", "1.5"),
        ("-01", "-1"),
    ] {
        let parsed = [one, same].map(|text| Decimal::parse(text).unwrap());
        assert_eq!(parsed[0].order(&parsed[1]), Ordering::Equal, "{one} {same}");
    }
    let long = "1".repeat(Decimal::BYTES_MAX + 1);
    for text in [
        "",
        "-",
        "+",
        ".",
        ".5",
        "5.",
        "1e3",
        "0x10",
        " 1",
        "1 ",
        "--1",
        "1.2.3",
        "1_000",
        "NaN",
        "0.00000000000000000001",
        &long,
    ] {
        assert!(Decimal::parse(text).is_none(), "{text}");
    }
}

/// A tree that is asked the slow way.
#[derive(Debug)]
enum Slow {
    Leaf(usize, String, Vec<String>),
    All(&'static str, Vec<Slow>),
}

fn random_tree(random: &mut Rng, depth: usize) -> Slow {
    if depth == 0 || random.u32(0..10) < 4 {
        let at = random.usize(0..COMPARISONS.len());
        let word = |random: &mut Rng| {
            let words = ["a", "ab", "b", "1", "1.0", "2", "-1"];
            words[random.usize(0..words.len())].to_owned()
        };
        let count = match COMPARISONS[at].1.operands() {
            Operands::None => 0,
            Operands::One => 1,
            Operands::Several => random.usize(1..4),
        };
        let key = ["k", "l", "m"][random.usize(0..3)].to_owned();
        return Slow::Leaf(at, key, (0..count).map(|_| word(random)).collect());
    }
    let op = ["and", "or", "not"][random.usize(0..3)];
    let count = if op == "not" { 1 } else { random.usize(1..4) };
    Slow::All(
        op,
        (0..count).map(|_| random_tree(random, depth - 1)).collect(),
    )
}

impl Slow {
    fn json(&self) -> String {
        match self {
            Slow::Leaf(at, key, with) => {
                let (cmp, comparison) = COMPARISONS[*at];
                let with = match comparison.operands() {
                    Operands::None => String::new(),
                    Operands::One => format!(r#","val":"{}""#, with[0]),
                    Operands::Several => format!(r#","vals":["{}"]"#, with.join(r#"",""#)),
                };
                format!(r#"{{"key":"{key}","cmp":"{cmp}"{with}}}"#)
            }
            Slow::All(op, nodes) => {
                let nodes: Vec<String> = nodes.iter().map(Slow::json).collect();
                format!(r#"{{"op":"{op}","nodes":[{}]}}"#, nodes.join(","))
            }
        }
    }

    fn protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut field = |field: Field, bytes: &[u8]| {
            assert!(bytes.len() < 1 << 14);
            out.push(field.tag << 3 | 2);
            out.extend([bytes.len() as u8 | 0x80, (bytes.len() >> 7) as u8]);
            out.extend_from_slice(bytes);
        };
        match self {
            Slow::Leaf(at, key, with) => {
                field(filter_node::KEY, key.as_bytes());
                field(filter_node::COMPARISON, COMPARISONS[*at].0.as_bytes());
                let of = match COMPARISONS[*at].1.operands() {
                    Operands::Several => filter_node::VALUES,
                    _ => filter_node::VALUE,
                };
                with.iter().for_each(|text| field(of, text.as_bytes()));
            }
            Slow::All(op, nodes) => {
                field(filter_node::OP, op.as_bytes());
                nodes
                    .iter()
                    .for_each(|node| field(filter_node::NODES, &node.protobuf()));
            }
        }
        out
    }

    fn passes(&self, tags: &Tags<'_>) -> bool {
        match self {
            Slow::Leaf(at, key, with) => {
                let with = with.iter().map(String::as_str);
                COMPARISONS[*at].1.holds(tags.get(key), with)
            }
            Slow::All("and", nodes) => nodes.iter().all(|node| node.passes(tags)),
            Slow::All("or", nodes) => nodes.iter().any(|node| node.passes(tags)),
            Slow::All(_, nodes) => !nodes[0].passes(tags),
        }
    }
}

/// Both encodings say the same, and what is kept says what was asked.
#[test]
fn random_filters_say_what_their_trees_say() {
    let mut random = Rng::with_seed(15);
    let mut passed = 0;
    for _ in 0..3000 {
        let tree = random_tree(&mut random, 3);
        let read = of_json(&tree.json()).expect("it is small");
        let bytes = tree.protobuf();
        assert_eq!(
            TagFilter::read(Wire::Bytes(&bytes)),
            Ok(read.clone()),
            "{tree:?}"
        );
        assert_eq!(TagFilter::of_bytes(read.as_bytes()).as_ref(), Some(&read));
        let words = ["a", "ab", "1.00", "-2"];
        let tags = ["k", "l"].map(|key| (key, words[random.usize(0..words.len())]));
        let count = random.usize(0..3);
        let tags: Tags<'_> = tags.into_iter().take(count).collect();
        assert_eq!(read.passes(&tags), tree.passes(&tags), "{tree:?} {tags:?}");
        passed += usize::from(read.passes(&tags));
        // What is cut off or changed is another filter, or none, and harms nobody.
        let mut broken = read.as_bytes().to_vec();
        broken.truncate(random.usize(0..=broken.len()));
        if let Some(byte) = broken.last_mut() {
            *byte ^= 1 << random.usize(0..8);
        }
        if let Some(other) = TagFilter::of_bytes(&broken) {
            other.passes(&tags);
        }
        TagFilter::passes_kept(&broken, &tags);
    }
    assert!((500..2500).contains(&passed), "{passed}");
}

/// What passes two filters passes both, and they are as large as one may be together.
#[test]
fn two_filters_are_one() {
    let filter = |json: &str| TagFilter::of_json(Raw::parse(json).expect("JSON"));
    let one = filter(r#"{"key":"a","cmp":"eq","val":"1"}"#).expect("a filter");
    let other = filter(
        r#"{"op":"or","nodes":[{"key":"b","cmp":"ex"},{"key":"c","cmp":"in","vals":["2","3"]}]}"#,
    );
    let other = other.expect("a filter");
    let both = one.and(&other).expect("it fits");
    for tags in [
        &[][..],
        &[("a", "1")],
        &[("b", "")],
        &[("a", "1"), ("b", "")],
        &[("a", "2"), ("b", "")],
        &[("a", "1"), ("c", "3")],
        &[("a", "1"), ("c", "4")],
    ] {
        let tags: Tags<'_> = tags.iter().copied().collect();
        let expected = one.passes(&tags) && other.passes(&tags);
        assert_eq!(both.passes(&tags), expected, "{tags:?}");
        assert_eq!(other.and(&one).map(|it| it.passes(&tags)), Ok(expected));
    }
    let large = format!(
        r#"{{"key":"a","cmp":"eq","val":"{}"}}"#,
        "x".repeat(TagFilter::BYTES_MAX / 2)
    );
    let large = filter(&large).expect("it fits by itself");
    assert_eq!(large.and(&large), Err(FilterFault::TooLarge));
    assert_eq!(filter(r#"{"key":"a"}"#), Err(FilterFault::Malformed));
}
