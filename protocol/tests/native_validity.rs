//! What the native dialect accepts, against serde_json and the dialect's own rules written down the
//! slow, obvious way.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use shardcast_protocol::dialect::{
    Code, Command, DEPTH_MAX, Decoded, Dialect, ID_BYTES_MAX, Id, InvalidRequest, Item, Join,
    Payload, Publish, PublishTarget, Request, Rooms, Rules, Value as Sent,
};
use shardcast_protocol::json::Raw;
use std::fmt;

/// An object's pairs as they stand, duplicates included.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// What serde_json's types make of a message.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    kind: String,
    id: Option<Value>,
    room: Option<String>,
    rooms: Option<Vec<String>>,
    user: Option<String>,
    data: Option<Value>,
    echo: bool,
    report: bool,
}

const KEYS: [&str; 8] = [
    "type", "id", "room", "rooms", "user", "data", "echo", "report",
];

/// How deep a message may nest here, itself included: JSON-RPC, which is one container deeper, must
/// be able to say it, too.
const NATIVE_DEPTH_MAX: usize = DEPTH_MAX as usize - 1;

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(values) => 1 + values.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The oracle. The length of an id is not its matter: generated ones are short.
fn expected(text: &str) -> Result<Expected, Code> {
    let value = serde_json::from_str::<Value>(text).map_err(|_| Code::BadJson)?;
    if depth(&value) > NATIVE_DEPTH_MAX {
        return Err(Code::BadJson);
    }
    let Pairs(pairs) = serde_json::from_str(text).map_err(|_| Code::BadRequest)?;
    for key in KEYS {
        if pairs.iter().filter(|(name, _)| name == key).count() > 1 {
            return Err(Code::BadRequest);
        }
    }
    let value_of = |key: &str| {
        pairs
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    };
    // An optional key that is null is absent; `data` is any value.
    let get = |key: &str| value_of(key).filter(|value| !value.is_null());
    let string = |key: &str| match get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Code::BadRequest),
    };
    let boolean = |key: &str, default| match get(key) {
        None => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(_) => Err(Code::BadRequest),
    };
    let id = match get("id") {
        None => None,
        Some(id @ (Value::String(_) | Value::Number(_))) => Some(id.clone()),
        Some(_) => return Err(Code::BadRequest),
    };
    let rooms = match get("rooms") {
        None => None,
        Some(Value::Array(rooms)) if !rooms.is_empty() => Some(
            rooms
                .iter()
                .map(|room| room.as_str().map(String::from).ok_or(Code::BadRequest))
                .collect::<Result<_, _>>()?,
        ),
        Some(_) => return Err(Code::BadRequest),
    };
    let all = Expected {
        kind: string("type")?.ok_or(Code::BadRequest)?,
        id,
        room: string("room")?,
        rooms,
        user: string("user")?,
        data: value_of("data").cloned(),
        echo: boolean("echo", true)?,
        report: boolean("report", false)?,
    };
    all.of_its_kind().ok_or(Code::BadRequest)
}

impl Expected {
    /// What of the keys its type needs, and nothing if some are missing or exclude each other.
    fn of_its_kind(self) -> Option<Expected> {
        let named = [self.room.is_some(), self.rooms.is_some()];
        let rooms = named.into_iter().filter(|named| *named).count();
        let has_user = self.user.is_some();
        let fits = match &*self.kind {
            "join_room" | "leave_room" => rooms == 1,
            "broadcast" => rooms < 2 && !(rooms == 1 && has_user),
            "publish" => rooms == 1 && !has_user,
            "presence" => self.room.is_some(),
            _ => true,
        };
        // Whatever a type needs, middleware may look at its room and its data.
        let bare = Expected {
            echo: true,
            kind: self.kind.clone(),
            id: self.id.clone(),
            room: self.room.clone(),
            data: self.data.clone(),
            ..Expected::default()
        };
        fits.then_some(match &*self.kind {
            "broadcast" | "publish" => self,
            "join_room" | "leave_room" => Expected {
                rooms: self.rooms,
                ..bare
            },
            _ => bare,
        })
    }
}

fn read(text: &str) -> Result<Command<'_>, InvalidRequest<'_>> {
    match Dialect::NativeJson.read(Payload::Text(text), &Rules::default()) {
        Decoded::One(Ok(Item::Command(command))) => Ok(command),
        Decoded::One(Err(invalid)) => Err(invalid),
        other => panic!("{text}: {other:?}"),
    }
}

/// What the dialect makes of it, in the oracle's types.
fn actual(text: &str) -> Result<Expected, Code> {
    let command = read(text).map_err(|invalid| invalid.problem.code)?;
    let value = |sent: Sent<'_>| {
        let sent = str::from_utf8(sent.as_bytes()).expect("JSON is text");
        assert!(text.contains(sent));
        serde_json::from_str(sent).expect("a span is one valid value")
    };
    let request = &command.request;
    let publish = match request {
        Request::Broadcast(publish) | Request::Publish(publish) => Some(publish),
        _ => None,
    };
    let rooms = match (request, publish) {
        (Request::Join(Join { rooms, .. }) | Request::Leave(rooms), _) => Some(rooms),
        (
            _,
            Some(Publish {
                target: PublishTarget::Rooms(rooms),
                ..
            }),
        ) => Some(rooms),
        _ => None,
    };
    let user = match publish.map(|publish| &publish.target) {
        Some(PublishTarget::User(user)) => Some(user.to_string()),
        _ => None,
    };
    Ok(Expected {
        kind: request.name().into(),
        id: command.id.map(Id::value).map(value),
        room: command.room.map(String::from),
        rooms: match rooms {
            Some(Rooms::Many(list)) => {
                assert_eq!(list.count(), list.names().count());
                Some(list.names().map(String::from).collect())
            }
            Some(Rooms::One(_)) | None => None,
        },
        user,
        data: command.data.map(value),
        echo: publish.and_then(|publish| publish.echo).unwrap_or(true),
        report: publish.is_some_and(|publish| publish.report),
    })
}

fn check(text: &str) {
    assert_eq!(actual(text), expected(text), "{text}");
}

/// Checks that a value is valid or not, alone and in every place of a message, and that serde_json
/// thinks the same.
fn check_value(value: &str, valid: bool) {
    assert_eq!(
        serde_json::from_str::<Value>(value).is_ok(),
        valid,
        "serde_json on {value}"
    );
    assert_eq!(Raw::parse(value).is_some(), valid, "{value}");
    for text in [
        value.to_owned(),
        format!("{{\"type\":\"echo\",\"data\":{value}}}"),
        format!("{{\"type\":\"echo\",\"data\":[{value},{value}],\"id\":1}}"),
        format!("{{\"x\":{{\"y\":{value}}} ,\"type\":\"echo\"}}"),
        format!(" {value}\n\t\r"),
        format!("{value} {value}"),
        format!("{{\"id\":{value},\"type\":\"echo\"}}"),
        format!("{{\"type\":{value}}}"),
        format!("{{{value}:1,\"type\":\"echo\"}}"),
        format!("{{\"type\":\"join_room\",\"rooms\":[{value}]}}"),
    ] {
        check(&text);
    }
}

#[test]
fn valid_values() {
    for value in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-1",
        "10",
        "1234567890",
        "0.5",
        "-0.0",
        "1.25e3",
        "1E3",
        "1e+3",
        "1e-3",
        "0e0",
        "0e999",
        "0e99999999999999999999",
        "0.0e99999999999999999999",
        "1e-99999999999999999999",
        "1e308",
        "1.7976931348623157e308",
        "-1.7976931348623157e308",
        "5e-324",
        "123456789012345678901234567890",
        "1e0000000001",
        r#""""#,
        r#""a""#,
        r#"" ""#,
        r#""\"""#,
        r#""\\""#,
        r#""\/""#,
        r#""\b\f\n\r\t""#,
        r#""\u0000""#,
        r#""\u00e9\u00E9""#,
        r#""\ud83e\udd80""#,
        r#""\uD83E\uDD80""#,
        r#""\uFFFF\uFFFE""#,
        r#""\ud7ff\ue000""#,
        "\"\u{7f}\u{80}\u{9f}\"",
        "\"\u{2028}\u{2029}\u{feff}\"",
        "\"é🦀\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[[]]",
        "[[],{}]",
        "[1]",
        "[ 1 , 2 ]",
        r#"{"a":1}"#,
        r#"{ "a" : 1 , "a" : 2 }"#,
        r#"{"":{"":{"":[]}}}"#,
        "[\n\t\r 1]",
        r#"{"a":[{"b":[{}]}],"c":{}}"#,
        r#"[true,false,null,"x",-1.5e-2,{"k":[]}]"#,
    ] {
        check_value(value, true);
    }
}

#[test]
fn invalid_values() {
    for value in [
        "",
        " ",
        "nul",
        "nulll",
        "NULL",
        "True",
        "t",
        "tru",
        "fals",
        "undefined",
        "NaN",
        "Infinity",
        "-Infinity",
        "+1",
        "-",
        "-a",
        "01",
        "-01",
        "00",
        "1.",
        ".5",
        "-.5",
        "1.e3",
        "1e",
        "1e+",
        "1e-",
        "1E",
        "1e1.5",
        "0x10",
        "1_000",
        "1e400",
        "-1e400",
        "1.7976931348623159e308",
        "1e99999999999999999999",
        "--1",
        "1-",
        "1 2",
        "1a",
        "0a",
        "1e5e5",
        "\"",
        "\"a",
        r#""\"#,
        r#""\""#,
        r#""\x41""#,
        r#""\a""#,
        r#""\'""#,
        r#""\u""#,
        r#""\u12""#,
        r#""\u123""#,
        r#""\u12g4""#,
        r#""\u+123""#,
        r#""\U0041""#,
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800x""#,
        r#""\ud800\n""#,
        r#""\ud800\u0041""#,
        r#""\ud800\ud800""#,
        r#""\udc00\ud800""#,
        r#""\ud800\u""#,
        r#""\ud800\"#,
        "\"\n\"",
        "\"\t\"",
        "\"\0\"",
        "\"\u{1f}\"",
        "'a'",
        "a",
        "[",
        "]",
        "{",
        "}",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[,]",
        "[1 2]",
        "[1,,2]",
        "[1}",
        "{1}",
        "{]",
        "[}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a" 1}"#,
        r#"{"a"::1}"#,
        r#"{a:1}"#,
        r#"{1:1}"#,
        r#"{null:1}"#,
        r#"{"a":1]"#,
        r#"["a":1]"#,
        r#"{"a","b"}"#,
        "[[]",
        "[]]",
        "{}}",
        "[1]x",
        "\u{feff}1",
        "\u{a0}1",
        "1\u{2028}",
        "\u{b}1",
        "\u{c}1",
        "/**/1",
        "1//",
        "1,",
        ",1",
        ":",
        "\0",
        "1\0",
        "[\u{0}]",
        r#"{"\ud800":1}"#,
        r#"{"a":[{"b":[{}]}]"#,
    ] {
        check_value(value, false);
    }
}

#[test]
fn numbers_beyond_the_largest_float() {
    let digits = |count: usize| "9".repeat(count);
    for (value, valid) in [
        (digits(308), true),
        (digits(309), false),
        (format!("-{}", digits(308)), true),
        (format!("-{}", digits(309)), false),
        (format!("1{}", "0".repeat(308)), true),
        (format!("1{}", "0".repeat(309)), false),
        (format!("1{}e-400", "0".repeat(400)), true),
        (format!("0.{}1e400", "0".repeat(400)), true),
        (format!("0.{}", digits(400)), true),
        (format!("1{}.5", "0".repeat(308)), true),
        (format!("0.{}1e800", "0".repeat(400)), false),
    ] {
        // Too long for an id, so not through `check_value`.
        assert_eq!(Raw::parse(&value).is_some(), valid, "{value}");
        assert_eq!(
            serde_json::from_str::<Value>(&value).is_ok(),
            valid,
            "serde_json on {value}"
        );
        check(&format!("{{\"type\":\"echo\",\"data\":[{value},{value}]}}"));
    }
}

#[test]
fn nesting_ends_where_json_rpc_ends_it() {
    let nested = |open: &str, close: &str, depth: usize| {
        format!("{}{}", open.repeat(depth), close.repeat(depth))
    };
    for depth in [1, 64, 125, 126, 127, 128, 129, 130, 200, 10_000] {
        let valid = depth <= NATIVE_DEPTH_MAX;
        for text in [
            nested("[", "]", depth),
            nested("{\"a\":", "}", depth).replace(":}", ":1}"),
            nested("[{\"a\":", "}]", depth / 2).replace(":}", ":1}"),
        ] {
            check(&text);
            check(&format!("{{\"type\":\"echo\",\"data\":{text}}}"));
        }
        let alone = actual(&nested("[", "]", depth));
        assert_eq!(
            alone,
            Err(if valid {
                Code::BadRequest
            } else {
                Code::BadJson
            }),
            "{depth}"
        );
        assert_eq!(
            Raw::parse(&nested("[", "]", depth)).is_some(),
            depth < DEPTH_MAX as usize,
            "{depth}"
        );
    }
    // A value's depth is its own: many shallow ones in a row are as good as one.
    check(&format!(
        "{{\"type\":\"echo\",\"data\":[{}[]]}}",
        "[[[]]],{\"a\":[]},".repeat(1000)
    ));
}

#[test]
fn every_cut_of_a_message_is_refused() {
    let text = r#"{"type":"broadcast","id":"é\u00e9-1","room":"r\n","data":[1.5e3,{"a":null,"b":[true,false]},"\ud83e\udd80"],"echo":false}"#;
    check(text);
    assert!(actual(text).is_ok());
    for (at, _) in text.char_indices() {
        check(&text[..at]);
        assert_eq!(actual(&text[..at]), Err(Code::BadJson));
        check(&text[at..]);
    }
}

#[test]
fn every_character_in_every_place() {
    // In a string, as an escape, in place of a value, as white space.
    for character in (0..=0x2ff)
        .chain([0x2028, 0xfeff, 0xffff, 0x1f980])
        .filter_map(char::from_u32)
    {
        for text in [
            format!("{{\"type\":\"{character}\"}}"),
            format!("{{\"type\":\"\\{character}\"}}"),
            format!("{{\"type\":\"\\u00{character}0\"}}"),
            format!("{{\"type\":\"echo\",\"data\":{character}}}"),
            format!("{{\"type\":\"echo\",\"data\":1{character}}}"),
            format!("{{\"type\":\"echo\"{character}}}"),
            format!("{{{character}\"type\"{character}:{character}\"echo\"{character}}}{character}"),
            format!("{character}{{\"type\":\"echo\"}}"),
        ] {
            check(&text);
        }
    }
}

#[test]
fn an_id_is_bounded() {
    for (id_bytes, accepted) in [(ID_BYTES_MAX, true), (ID_BYTES_MAX + 1, false)] {
        for id in [
            format!("\"{}\"", "x".repeat(id_bytes - 2)),
            "7".repeat(id_bytes),
        ] {
            let text = format!("{{\"id\":{id},\"type\":\"ping\"}}");
            let command = read(&text);
            assert_eq!(command.is_ok(), accepted);
            match command {
                Ok(command) => {
                    assert_eq!(command.id.unwrap().value().as_bytes(), id.as_bytes());
                }
                Err(invalid) => {
                    assert_eq!((invalid.id, invalid.problem.code), (None, Code::BadRequest));
                }
            }
        }
    }
}

/// Documents drawn from a seed: mostly envelopes, with odd spacing, odd escapes and keys that come
/// twice.
struct Generator {
    random: fastrand::Rng,
    out: String,
}

impl Generator {
    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.random.usize(..choices.len())]
    }

    fn push(&mut self, choices: &[&str]) {
        let chosen = self.pick(choices);
        self.out.push_str(chosen);
    }

    fn space(&mut self) {
        self.push(&["", "", "", "", "", " ", "\n", "\t \r\n"]);
    }

    fn string(&mut self) {
        self.out.push('"');
        for _ in 0..self.random.usize(..5) {
            self.push(&[
                "a",
                "room",
                "é",
                "🦀",
                "\\n",
                "\\\"",
                "\\\\",
                "\\/",
                "\\u0041",
                "\\ud83e\\udd80",
                "\\ud800",
                "\\udd80",
                " ",
                "{",
                "]",
                ":",
                ",",
                "0123456789abcdef0123456789abcdef0123456789abcdef",
                "\u{7f}",
                "\\u0000",
            ]);
        }
        self.out.push('"');
    }

    fn value(&mut self, depth: u32) {
        self.space();
        match self.random.u32(..if depth > 4 { 4 } else { 6 }) {
            0 => self.push(&["null", "true", "false"]),
            1 | 2 => self.string(),
            3 => self.push(&[
                "0",
                "-1",
                "1.5",
                "1e5",
                "12345678901234567890",
                "-0.0E-3",
                "1e309",
                "0.1e+2",
            ]),
            4 => {
                self.out.push('[');
                for index in 0..self.random.u32(..4) {
                    self.push(if index > 0 { &[","] } else { &[""] });
                    self.value(depth + 1);
                }
                self.space();
                self.out.push(']');
            }
            _ => self.object(depth, &["a", "b", "type", "data", ""]),
        }
        self.space();
    }

    fn object(&mut self, depth: u32, keys: &[&str]) {
        self.out.push('{');
        for index in 0..self.random.u32(..4) {
            self.push(if index > 0 { &[","] } else { &[""] });
            self.space();
            let key = self.pick(keys);
            self.out.push_str(&format!("\"{key}\""));
            self.space();
            self.out.push(':');
            self.value(depth + 1);
        }
        self.space();
        self.out.push('}');
    }

    fn envelope(&mut self) {
        self.space();
        self.out.push('{');
        self.push(&[
            "\"type\":\"ping\"",
            "\"type\" : \"broadcast\"",
            "\"type\":\"join_room\"",
            "\"type\":\"publish\"",
            "\"t\\u0079pe\":\"a\\nb\"",
            "\"x\":0",
        ]);
        for _ in 0..self.random.u32(..6) {
            self.out.push(',');
            self.space();
            match self.random.u32(..9) {
                0 => self.push(&[
                    "\"id\":1",
                    "\"id\":\"x\"",
                    "\"i\\u0064\":-1.50e2",
                    "\"id\":null",
                ]),
                1 => self.push(&[
                    "\"room\":\"r\"",
                    "\"room\":\"\\u0072\"",
                    "\"room\":\"\"",
                    "\"room\":1",
                ]),
                2 => self.push(&[
                    "\"rooms\":[\"a\"]",
                    "\"rooms\": [ \"a\" , \"\\\"b\" ]",
                    "\"rooms\":[]",
                    "\"rooms\":[\"a\",1]",
                ]),
                3 => self.push(&[
                    "\"echo\":false",
                    "\"echo\":true",
                    "\"report\":true",
                    "\"report\":0",
                ]),
                4 => self.push(&[
                    "\"user\":\"u\"",
                    "\"user\":{}",
                    "\"type\":\"again\"",
                    "\"\":\"\"",
                ]),
                5..=7 => {
                    self.push(&["\"data\":", "\"d\\u0061ta\":"]);
                    self.value(1);
                }
                _ => {
                    self.string();
                    self.out.push(':');
                    self.value(1);
                }
            }
        }
        self.space();
        self.out.push('}');
        self.space();
    }

    /// Damages the document at one to three places.
    fn mutate(&mut self) {
        let mut characters: Vec<char> = self.out.chars().collect();
        for _ in 0..self.random.usize(1..4) {
            let at = self.random.usize(..=characters.len());
            let character = self.pick(&[
                "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "e", ".", "-", " ", "\n", "\0", "u",
                "é",
            ]);
            let character = character.chars().next().unwrap();
            match self.random.u32(..4) {
                0 => characters.insert(at, character),
                1 if at < characters.len() => characters[at] = character,
                2 if at < characters.len() => drop(characters.remove(at)),
                3 => characters.truncate(at),
                _ => {
                    let tail = characters[at / 2..at].to_vec();
                    characters.splice(at..at, tail);
                }
            }
        }
        self.out = characters.into_iter().collect();
    }
}

#[test]
fn generated_and_damaged_documents_are_judged_alike() {
    let mut accepted = 0;
    let mut refused = [0; 2];
    for seed in 0..60_000 {
        let mut generator = Generator {
            random: fastrand::Rng::with_seed(seed),
            out: String::new(),
        };
        match generator.random.u32(..8) {
            0 => generator.value(0),
            _ => generator.envelope(),
        }
        if generator.random.bool() {
            generator.mutate();
        }
        check(&generator.out);
        match actual(&generator.out) {
            Ok(_) => accepted += 1,
            Err(Code::BadJson) => refused[0] += 1,
            Err(_) => refused[1] += 1,
        }
    }
    // The generator must keep reaching every verdict, or the test says nothing.
    assert!(
        accepted > 5_000 && refused.iter().all(|&count| count > 5_000),
        "{accepted} {refused:?}"
    );
}
