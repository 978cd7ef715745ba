//! A command survives being written down and read, in every dialect; and nothing that comes makes a
//! reader panic. The random values of the other tests come from here.

use crate::decoding::{json, lines, packed, read};
use fastrand::Rng;
use shardcast_protocol::dialect::{ControlPolicy, Decoded, Dialect, Item, Payload, Rules};

/// Text with what is special in it: quotes, escapes, controls, all lengths of UTF-8.
pub(crate) fn random_name(rng: &mut Rng) -> String {
    let characters = [
        'a', 'b', '/', '"', '\\', '\n', '\0', '\u{7f}', '\u{85}', 'é', '\u{2028}', '🦀',
    ];
    let len = [0, 1, 3, 8, 31, 32, 40, 300][rng.usize(..8)];
    let plain = rng.bool();
    (0..len)
        .map(|_| {
            characters[if plain {
                rng.usize(..2)
            } else {
                rng.usize(..characters.len())
            }]
        })
        .collect()
}

/// One JSON value with white space and escapes as nobody's writer would set them, `depth`
/// containers deep at most.
pub(crate) fn random_json(rng: &mut Rng, depth: u32) -> String {
    let space = |rng: &mut Rng| ["", "", " ", "\n\t"][rng.usize(..4)];
    match rng.u8(..if depth == 0 { 6 } else { 9 }) {
        0 => ["null", "true", "false"][rng.usize(..3)].into(),
        1 => random_number(rng),
        2..=5 => random_string(rng),
        kind => {
            let len = [0, 1, 2, 3, 15, 16, 20][rng.usize(..if depth > 2 { 7 } else { 4 })];
            let is_map = kind > 6;
            let items: Vec<String> = (0..len)
                .map(|_| {
                    let key = if is_map {
                        format!("{}{}:", random_string(rng), space(rng))
                    } else {
                        String::new()
                    };
                    format!(
                        "{}{key}{}{}",
                        space(rng),
                        random_json(rng, depth - 1),
                        space(rng)
                    )
                })
                .collect();
            let items = items.join(",");
            if is_map {
                format!("{{{items}}}")
            } else {
                format!("[{items}]")
            }
        }
    }
}

fn random_number(rng: &mut Rng) -> String {
    match rng.u8(..5) {
        0 => (rng.u64(..) >> rng.u32(..64)).to_string(),
        1 => (rng.i64(..) >> rng.u32(..64)).to_string(),
        2 => format!("{}{}", rng.u64(..), rng.u64(..)),
        3 => format!("{:?}", f64::from_bits(rng.u64(..) & !(1 << 62))),
        _ => ["-0", "-0.0", "0", "1.50", "1e2", "-1E-2", "0e0"][rng.usize(..7)].into(),
    }
}

fn random_string(rng: &mut Rng) -> String {
    let mut text = String::from("\"");
    for character in random_name(rng).chars() {
        if matches!(character, '"' | '\\' | '\0'..='\x1f') || rng.u8(..8) == 0 {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                text += &format!("\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text + "\""
}

/// One MessagePack value in forms that need not be the shortest, `depth` containers deep at most,
/// some with extensions and odd keys.
pub(crate) fn random_pack(rng: &mut Rng, depth: u32) -> Vec<u8> {
    let odd = rng.u8(..4) == 0;
    let mut out = Vec::new();
    push_pack(&mut out, rng, depth, odd);
    out
}

fn push_pack(out: &mut Vec<u8>, rng: &mut Rng, depth: u32, odd: bool) {
    match rng.u8(..if depth == 0 { 6 } else { 9 }) {
        0 => out.push([0xc0, 0xc2, 0xc3][rng.usize(..3)]),
        1 => {
            let (marker, len) = [
                (0xcc, 1),
                (0xcd, 2),
                (0xce, 4),
                (0xcf, 8),
                (0xd0, 1),
                (0xd1, 2),
                (0xd2, 4),
                (0xd3, 8),
                (0xca, 4),
                (0xcb, 8),
            ][rng.usize(..10)];
            out.push(marker);
            out.extend((0..len).map(|_| rng.u8(..)));
        }
        2 if rng.bool() => out.push(rng.u8(..0x80)),
        2 => out.push(rng.u8(0xe0..)),
        3 | 4 => push_text(out, rng),
        5 => {
            let len = rng.u8(..5);
            if odd && rng.bool() {
                // An extension, its type first.
                out.extend([0xc7, len, 7]);
            } else {
                out.extend([0xc4, len]);
            }
            out.extend((0..len).map(|_| rng.u8(..)));
        }
        kind => {
            let len = [0, 1, 2, 3, 15, 16, 20][rng.usize(..if depth > 2 { 7 } else { 4 })] as u8;
            let is_map = kind > 6;
            match rng.u8(..3) {
                0 if len < 16 => out.push(if is_map { 0x80 } else { 0x90 } | len),
                1 => out.extend([if is_map { 0xde } else { 0xdc }, 0, len]),
                _ => out.extend([if is_map { 0xdf } else { 0xdd }, 0, 0, 0, len]),
            }
            for _ in 0..len {
                match rng.u8(..8) {
                    _ if !is_map => {}
                    0 if odd => push_pack(out, rng, 0, false),
                    1 => out.extend([0xd0, rng.u8(..)]),
                    _ => push_text(out, rng),
                }
                push_pack(out, rng, depth - 1, odd);
            }
        }
    }
}

fn push_text(out: &mut Vec<u8>, rng: &mut Rng) {
    let text = random_name(rng);
    let len = u16::try_from(text.len()).unwrap();
    match rng.u8(..3) {
        0 if len < 32 => out.push(0xa0 | len as u8),
        1 if len < 256 => out.extend([0xd9, len as u8]),
        _ => {
            out.push(0xda);
            out.extend(len.to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// The keys of a random command, in JSON text, as pairs; and the line that says what was read (see
/// `said`).
struct Written {
    kind: String,
    id: Option<String>,
    keys: Vec<(&'static str, String)>,
    line: String,
}

const KINDS: [&str; 6] = [
    "ping",
    "echo",
    "join_room",
    "broadcast",
    "presence",
    "history",
];

/// Keys that a command of this kind bears, and those of them and others that are read.
fn random_keys(rng: &mut Rng, kind: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        "join_room" if rng.bool() => (&["room"], &["room", "data", "presence", "since"]),
        "join_room" => (&["rooms"], &["rooms", "data", "presence"]),
        "broadcast" => match rng.u8(..4) {
            0 => (
                &["room"],
                &["room", "data", "echo", "report", "key", "conflate"],
            ),
            1 => (
                &["rooms"],
                &["rooms", "data", "echo", "report", "key", "conflate"],
            ),
            2 => (&["user"], &["user", "data", "echo", "report"]),
            _ => (&[], &["room", "data", "echo", "report"]),
        },
        "presence" => (&["room"], &["room", "data", "limit", "cursor"]),
        "history" => (&["room"], &["room", "data", "limit", "since"]),
        _ => (&[], &["room", "data"]),
    }
}

fn random_command(rng: &mut Rng) -> Written {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let kind = KINDS[rng.usize(..KINDS.len())];
    let mut written = Written {
        kind: kind.into(),
        id: rng.bool().then(|| {
            if rng.bool() {
                rng.i64(..).to_string()
            } else {
                quoted("an \"id\" é")
            }
        }),
        keys: Vec::new(),
        line: String::new(),
    };
    if let Some(id) = &written.id {
        written.line += &format!(" id={id}");
    }
    // What a type does not need comes as well, and is ignored.
    let (asked, shown) = random_keys(rng, kind);
    let excluded = |key: &str| match (kind, key) {
        ("join_room", "since") | ("broadcast", "key" | "conflate") => !shown.contains(&key),
        ("join_room", _) => matches!(key, "room" | "rooms") && !asked.contains(&key),
        ("broadcast", _) => matches!(key, "room" | "rooms" | "user") && !asked.contains(&key),
        _ => false,
    };
    let mut add = |rng: &mut Rng, key: &'static str, text: String, said: String| {
        if asked.contains(&key) || rng.bool() && !excluded(key) {
            written.keys.push((key, text));
            if shown.contains(&key) {
                written.line += &format!(" {key}={said}");
            }
        }
    };
    let (room, user) = (random_name(rng), random_name(rng));
    let rooms: Vec<String> = (0..rng.usize(1..20)).map(|_| random_name(rng)).collect();
    let data = serde_json::from_str::<crate::tree::Tree>(&random_json(rng, 3)).unwrap();
    // Both writers mean the same by `e+38` and `e38`; no string has a plus. Integers come back
    // without a point.
    let data = crate::transcoding::with_integers(data);
    let data = serde_json::to_string(&data).unwrap().replace("e+", "e");
    let (echo, limit) = (rng.bool().to_string(), rng.u32(..).to_string());
    add(rng, "room", quoted(&room), format!("{room:?}"));
    add(
        rng,
        "rooms",
        serde_json::to_string(&rooms).unwrap(),
        format!("{rooms:?}"),
    );
    add(rng, "user", quoted(&user), format!("{user:?}"));
    add(rng, "data", data.clone(), data);
    add(rng, "echo", echo.clone(), echo);
    add(rng, "report", "true".into(), "true".into());
    add(rng, "limit", limit.clone(), limit);
    let cursor = random_name(rng);
    add(rng, "cursor", quoted(&cursor), format!("{cursor:?}"));
    let shown = format!(r#"{{"n":{}}}"#, rng.u32(..));
    add(rng, "presence", shown.clone(), shown);
    let (epoch, offset) = (random_name(rng), rng.u64(..) >> rng.u32(0..64));
    let since = format!(r#"{{"epoch":{},"offset":{offset}}}"#, quoted(&epoch));
    add(rng, "since", since, format!("{epoch:?}/{offset}"));
    for key in ["key", "conflate"] {
        let text = format!("k{}", rng.u32(..));
        add(rng, key, quoted(&text), format!("{text:?}"));
    }
    written
}

/// An object of these keys, in a random order.
fn object(rng: &mut Rng, mut keys: Vec<(&'static str, String)>) -> String {
    rng.shuffle(&mut keys);
    let members: Vec<String> = keys
        .iter()
        .map(|(key, value)| format!("\"{key}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn a_command_survives_in_every_dialect() {
    for seed in 0..10_000 {
        let mut rng = Rng::with_seed(seed);
        let Written {
            kind,
            id,
            keys,
            line,
        } = random_command(&mut rng);
        let quoted = format!("{kind:?}");
        let id_key = id.clone().map(|id| ("id", id));
        let native = [
            keys.clone(),
            vec![("type", quoted.clone())],
            id_key.clone().into_iter().collect(),
        ];
        let native = object(&mut rng, native.concat());
        let params = object(&mut rng, keys);
        let call = [
            ("jsonrpc", "\"2.0\"".into()),
            ("method", quoted),
            ("params", params),
        ];
        let call = object(&mut rng, call.into_iter().chain(id_key).collect());
        let (native_mode, silence) = match id {
            Some(_) => ("", ""),
            None => (" (unless done)", " (silence)"),
        };
        for (dialect, message, expected) in [
            (
                Dialect::NativeJson,
                native.as_bytes(),
                format!("{kind}{line}{native_mode}"),
            ),
            (
                Dialect::JsonRpc,
                call.as_bytes(),
                format!("{kind}{line}{silence}"),
            ),
            (
                Dialect::MessagePack,
                &*packed(&native),
                format!("{kind}{line}{native_mode}"),
            ),
        ] {
            // Floats have several texts: compare what they mean.
            assert_eq!(
                lines(&read(dialect, message, &Rules::default())),
                [expected],
                "{native}"
            );
        }
    }
}

/// Everything that can be asked of what came.
fn digest(dialect: Dialect, bytes: &[u8]) {
    let rules = Rules::default();
    let payloads = [
        Some(Payload::Binary(bytes)),
        str::from_utf8(bytes).ok().map(Payload::Text),
    ];
    for payload in payloads.into_iter().flatten() {
        let decoded = dialect.read(payload, &rules);
        lines(&decoded);
        let items = match decoded {
            Decoded::One(item) => vec![item],
            Decoded::Many(items) => items.into_iter().collect(),
            Decoded::Commands(_) => unreachable!("it is one of our own"),
        };
        for item in items {
            if let Ok(Item::Command(command)) = item
                && let Some(data) = command.data
            {
                data.write_json(&mut Vec::new());
                data.write_pack(&mut Vec::new());
                let stripped = ControlPolicy::Strip.apply(data).unwrap();
                assert!(
                    stripped
                        .is_none_or(|it| it.as_value().as_bytes().len() < data.as_bytes().len())
                );
            }
        }
    }
}

#[test]
fn nothing_that_comes_makes_a_reader_panic() {
    let native = br#"{"type":"broadcast","id":-1.5e2,"rooms":["a","\u0062\ud83e\udd80"],"user":"u","data":{"x":[1,2.0,"\u0000"]},"echo":false,"report":true,"limit":1}"#;
    let rpc = br#"[{"jsonrpc":"2.0","method":"echo","params":{"data":[1]},"id":null},{"jsonrpc":"2.0","error":{"code":1,"message":"m","data":[]},"id":1}]"#;
    let message = br#"{"type":"message","room":"r","from":"0-1-2","data":{"a":[1,-2,3.5,"x"]}}"#;
    let notification =
        br#"{"jsonrpc":"2.0","method":"event","params":{"event":"e","room":"r","data":{"a":[1]}}}"#;
    let texts = [&native[..], rpc, message, notification];
    let mut seeds: Vec<Vec<u8>> = texts.iter().map(|text| text.to_vec()).collect();
    seeds.extend(
        texts
            .iter()
            .map(|text| packed(str::from_utf8(text).unwrap())),
    );
    seeds.push(
        b"\x83\xa4type\xa4echo\xa2id\xd0\x07\xa4data\x82\x01\xc4\x02ab\xa1k\xc7\x01\x05x".to_vec(),
    );
    for bytes in seeds {
        for dialect in Dialect::OWN {
            for at in 0..bytes.len() {
                digest(dialect, &bytes[..at]);
                for byte in [
                    0, 1, 0x22, 0x5c, 0x5b, 0x7b, 0x7f, 0x80, 0x91, 0xc1, 0xc7, 0xdd, 0xdf, 0xff,
                ] {
                    let mut mutated = bytes.clone();
                    mutated[at] = byte;
                    digest(dialect, &mutated);
                    mutated.insert(at, byte);
                    digest(dialect, &mutated);
                }
            }
        }
    }
}

#[test]
fn random_values_are_what_they_should_be() {
    for seed in 0..1_000 {
        let text = random_json(&mut Rng::with_seed(seed), 3);
        json(&text);
        crate::decoding::pack(&random_pack(&mut Rng::with_seed(seed), 3));
    }
}
