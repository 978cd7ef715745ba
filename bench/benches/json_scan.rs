//! How long it takes to find `type`, `id`, `room` and the raw span of `data` in a message, by the
//! ways there are.
//!
//! `cargo bench -p shardcast-bench --bench json_scan` prints the table of
//! `bench/results/json_scan.md`; without `--bench` (under `cargo test`) it only checks, in one
//! short round, that all ways agree.

use serde::Deserialize;
use serde_json::value::RawValue;
use shardcast_protocol::dialect::{Command, Decoded, Dialect, Item, Payload, Rules};
use simd_json::prelude::ValueAsScalar;
use simd_json::{Buffers, Tape};
use sonic_rs::{LazyValue, PointerTree};
use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let effort = if measured {
        Effort {
            rounds: 40,
            round: Duration::from_millis(5),
        }
    } else {
        Effort::ONCE
    };
    let ways: [(&str, Box<dyn Way>); 5] = [
        ("hand-written", Box::new(HandWritten)),
        ("serde_json RawValue", Box::new(SerdeJson)),
        ("sonic-rs LazyValue", Box::new(SonicLazy)),
        ("sonic-rs get_many", Box::new(SonicGet::new())),
        ("simd-json tape of a copy", Box::new(SimdJson::default())),
    ];
    println!(
        "| message | bytes | {} |",
        ways.each_ref().map(|(name, _)| *name).join(" | ")
    );
    println!("|---|--:|{}", "--:|".repeat(ways.len()));
    let mut ways = ways.map(|(_, way)| way);
    for bytes in [64, 500, 8 << 10, 256 << 10] {
        for shape in Shape::ALL {
            row(&mut ways, shape, bytes, effort);
        }
    }
    println!();
    judgements(&mut ways);
}

/// What each way thinks of messages that `serde_json::Value` refuses (but for a second `data`, of
/// which it keeps the last).
fn judgements(ways: &mut [Box<dyn Way>]) {
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (name, data) in [
        ("`[01]`", "[01]"),
        ("a control character in a string", "\"\n\""),
        ("`[1e400]`", "[1e400]"),
        ("half a surrogate pair", r#""\ud800""#),
        ("200 nested arrays", &nested),
        ("a second `data`", r#"1,"data":2"#),
        ("bytes after the object", "1}x{"),
    ] {
        let message = format!(r#"{{"type":"broadcast","id":7,"room":"r1","data":{data}}}"#);
        let cells: Vec<&str> = ways
            .iter_mut()
            .map(|way| {
                if way.scan(&message) {
                    "accepts"
                } else {
                    "refuses"
                }
            })
            .collect();
        assert_eq!(cells[0], "refuses", "{name}");
        println!("| {name} | | {} |", cells.join(" | "));
    }
}

/// Measures every way on one message and prints its row: nanoseconds per message, the least of all
/// rounds.
fn row(ways: &mut [Box<dyn Way>], shape: Shape, bytes: usize, effort: Effort) {
    let message = shape.message(bytes);
    assert_eq!(message.len(), bytes);
    serde_json::from_str::<serde_json::Value>(&message).expect("valid");
    let expected = HandWritten.found(&message);
    let mut least = vec![f64::INFINITY; ways.len()];
    for _ in 0..effort.rounds {
        // All ways in each round, so that a noisy moment meets them alike.
        for (way, least) in ways.iter_mut().zip(&mut least) {
            assert_eq!(way.found(&message), expected);
            *least = least.min(round_ns(way.as_mut(), &message, effort.round));
        }
    }
    let cells: Vec<String> = least
        .iter()
        .map(|ns| format!("{ns:.0} ns ({:.2})", ns / least[0]))
        .collect();
    println!("| {} | {bytes} | {} |", shape.name(), cells.join(" | "));
}

fn round_ns(way: &mut dyn Way, message: &str, at_least: Duration) -> f64 {
    let mut messages = 0_u32;
    let start = Instant::now();
    loop {
        // Reading the clock costs as much as a small message.
        for _ in 0..64 {
            assert!(way.scan(black_box(message)));
        }
        messages += 64;
        let taken = start.elapsed();
        if taken >= at_least {
            return taken.as_nanos() as f64 / f64::from(messages);
        }
    }
}

#[derive(Clone, Copy)]
struct Effort {
    rounds: u32,
    round: Duration,
}

impl Effort {
    const ONCE: Effort = Effort {
        rounds: 1,
        round: Duration::ZERO,
    };
}

/// What `data` looks like.
#[derive(Clone, Copy)]
enum Shape {
    /// One string without escapes.
    Text,
    /// One string with an escape every 40 characters.
    Lines,
    /// An array of small objects.
    Records,
}

impl Shape {
    const ALL: [Shape; 3] = [Shape::Text, Shape::Lines, Shape::Records];

    fn name(self) -> &'static str {
        match self {
            Shape::Text => "one string",
            Shape::Lines => "lines of text",
            Shape::Records => "records",
        }
    }

    /// A broadcast of exactly `bytes` bytes.
    fn message(self, bytes: usize) -> String {
        let head = r#"{"type":"broadcast","id":7,"room":"r1","data":"#;
        let text = "the quick brown fox jumps over the lazy dog, and ";
        let room = bytes - head.len() - 1;
        let mut data = match self {
            Shape::Text => format!("\"{}", text.repeat(room / text.len() + 1)),
            Shape::Lines => format!("\"{}", format!("{}\\n", &text[..38]).repeat(room / 40 + 1)),
            Shape::Records => {
                let mut records = String::new();
                for n in 0.. {
                    let record = format!(
                        r#",{{"id":{n},"x":{}.25,"y":-{n}e-3,"on":true,"name":"n{n}"}}"#,
                        n * 3
                    );
                    if records.len() + record.len() + "[1.1]".len() > room {
                        break;
                    }
                    records.push_str(&record);
                }
                // What is left over becomes the digits of a first number.
                format!(
                    "[1.{}{records}",
                    "1".repeat(room - records.len() - "[1.]".len())
                )
            }
        };
        data.truncate(room - 1);
        data.push(if matches!(self, Shape::Records) {
            ']'
        } else {
            '"'
        });
        format!("{head}{data}}}")
    }
}

/// What is found in a message: type, id and room.
type Found = (String, String, String);

/// One way to find it.
trait Way {
    /// Does the work once; false if it refuses the message. What it finds is kept from the
    /// optimiser.
    fn scan(&mut self, message: &str) -> bool;
    /// Does it once, on a valid message, and tells.
    fn found(&mut self, message: &str) -> Found;
}

/// What `protocol` uses. Validates everything.
struct HandWritten;

fn command(message: &str) -> Option<Command<'_>> {
    match Dialect::NativeJson.read(Payload::Text(message), &Rules::default()) {
        Decoded::One(Ok(Item::Command(command))) => Some(command),
        Decoded::One(_) | Decoded::Many(_) | Decoded::Commands(_) => None,
    }
}

impl Way for HandWritten {
    fn scan(&mut self, message: &str) -> bool {
        black_box(command(message)).is_some()
    }

    fn found(&mut self, message: &str) -> Found {
        let command = command(message).expect("valid");
        let id = command.id.map(|id| id.value().as_bytes().to_vec());
        let room = command.room.as_deref().unwrap_or_default();
        (
            command.request.name().to_owned(),
            String::from_utf8(id.unwrap_or_default()).expect("JSON is text"),
            room.to_owned(),
        )
    }
}

#[derive(Deserialize)]
struct SerdeEnvelope<'b> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'b, str>,
    #[serde(borrow)]
    id: Option<&'b RawValue>,
    #[serde(borrow)]
    room: Option<Cow<'b, str>>,
    #[serde(borrow)]
    data: Option<&'b RawValue>,
}

/// Checks the grammar of everything, but not surrogates, float range or depth inside of what it
/// skips.
struct SerdeJson;

impl Way for SerdeJson {
    fn scan(&mut self, message: &str) -> bool {
        black_box(serde_json::from_str::<SerdeEnvelope<'_>>(message)).is_ok()
    }

    fn found(&mut self, message: &str) -> Found {
        let envelope: SerdeEnvelope<'_> = serde_json::from_str(message).expect("valid");
        assert!(envelope.data.is_some());
        let id = envelope.id.map_or("", RawValue::get);
        (
            envelope.kind.into_owned(),
            id.to_owned(),
            envelope.room.unwrap_or_default().into_owned(),
        )
    }
}

#[derive(Deserialize)]
struct SonicEnvelope<'b> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'b, str>,
    #[serde(borrow)]
    id: Option<LazyValue<'b>>,
    #[serde(borrow)]
    room: Option<Cow<'b, str>>,
    #[serde(borrow)]
    data: Option<LazyValue<'b>>,
}

/// The same through sonic-rs: `data` is skipped and checked.
struct SonicLazy;

impl Way for SonicLazy {
    fn scan(&mut self, message: &str) -> bool {
        black_box(sonic_rs::from_str::<SonicEnvelope<'_>>(message)).is_ok()
    }

    fn found(&mut self, message: &str) -> Found {
        let envelope: SonicEnvelope<'_> = sonic_rs::from_str(message).expect("valid");
        assert!(envelope.data.is_some());
        let id = envelope
            .id
            .map_or(String::new(), |id| id.as_raw_str().to_owned());
        (
            envelope.kind.into_owned(),
            id,
            envelope.room.unwrap_or_default().into_owned(),
        )
    }
}

fn wanted() -> PointerTree {
    let mut tree = PointerTree::new();
    for key in ["type", "id", "room", "data"] {
        tree.add_path([key]);
    }
    tree
}

fn found_lazily(values: Vec<Option<LazyValue<'_>>>) -> Found {
    let raw = |index: usize| {
        values[index]
            .as_ref()
            .expect("present")
            .as_raw_str()
            .to_owned()
    };
    assert!(values[3].is_some());
    (
        raw(0).trim_matches('"').to_owned(),
        raw(1),
        raw(2).trim_matches('"').to_owned(),
    )
}

/// Stops at the last value found: what follows is not looked at.
struct SonicGet(PointerTree);

impl SonicGet {
    fn new() -> SonicGet {
        SonicGet(wanted())
    }
}

impl Way for SonicGet {
    fn scan(&mut self, message: &str) -> bool {
        black_box(sonic_rs::get_many(message, &self.0)).is_ok()
    }

    fn found(&mut self, message: &str) -> Found {
        found_lazily(sonic_rs::get_many(message, &self.0).expect("valid"))
    }
}

/// It unescapes in place, so it works on a copy, and knows no spans: `data` would have to be
/// written anew to be forwarded.
#[derive(Default)]
struct SimdJson {
    copy: Vec<u8>,
    buffers: Buffers,
}

impl SimdJson {
    fn tape(&mut self, message: &str) -> simd_json::Result<Tape<'_>> {
        self.copy.clear();
        self.copy.extend_from_slice(message.as_bytes());
        simd_json::to_tape_with_buffers(&mut self.copy, &mut self.buffers)
    }
}

impl Way for SimdJson {
    fn scan(&mut self, message: &str) -> bool {
        let Ok(tape) = self.tape(message) else {
            return false;
        };
        let value = tape.as_value();
        let Some(object) = value.as_object() else {
            return false;
        };
        black_box((
            object.get("type"),
            object.get("id"),
            object.get("room"),
            object.get("data"),
        ));
        true
    }

    fn found(&mut self, message: &str) -> Found {
        let tape = self.tape(message).expect("valid");
        let value = tape.as_value();
        let object = value.as_object().expect("object");
        assert!(object.get("data").is_some());
        let string = |key: &str| {
            object
                .get(key)
                .expect("present")
                .as_str()
                .expect("string")
                .to_owned()
        };
        (
            string("type"),
            object
                .get("id")
                .expect("present")
                .as_u64()
                .expect("number")
                .to_string(),
            string("room"),
        )
    }
}
