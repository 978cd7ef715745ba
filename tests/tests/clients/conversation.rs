//! The one conversation that every client holds: all that users do, and both ways to close.
//!
//! Invariant: everything heard is compared byte for byte, and another client that knows no
//! extension is in the room and hears the same.

use super::puppet::{Connect, Puppet, Says, brief};
use crate::puppet::Frames;
use serde_json::{Value, json};
use shardcast_tests::{Client, Served};
use std::fmt::Write as _;

/// Small messages in a row, each way.
const SMALL: usize = 1_000;

/// Below the limit of 64 KiB with the envelope around it.
const LARGE_BYTES: usize = 60 << 10;

/// Holds the conversation; `extensions` is what the server is to accept.
#[track_caller]
pub(crate) fn check(puppet: &mut dyn Puppet, connect: &Connect, served: &Served, extensions: &str) {
    let mut peer = Client::native_at(served.address("ws"));
    let from = open(puppet, connect, extensions);
    let mut talk = Talk {
        puppet,
        peer: &mut peer,
        from: &from,
    };
    talk.join();
    talk.exchange(DATA);
    talk.exchange(&large());
    talk.row();
    if talk.puppet.frames() == Frames::Open {
        talk.fragments();
        talk.expect(
            &json!({"ping": "ping, 世界"}),
            &json!({"ponged": "ping, 世界"}),
        );
    }
    talk.expect(
        &json!({"close": [4001, "good bye, 世界"]}),
        &json!({"closed": [4001, ""]}),
    );
    peer.check_quiet();

    // What is too large is refused, however small it is when compressed.
    let too_large = match (puppet.says(), extensions) {
        (Says::Plain, _) | (_, "") => "message too big",
        (Says::Compressed, _) => "compressed message too big",
    };
    let from = open(puppet, connect, extensions);
    let mut talk = Talk {
        puppet,
        peer: &mut peer,
        from: &from,
    };
    talk.expect(
        &json!({"send": ["x".repeat((64 << 10) + 1)]}),
        &json!({"sent": 1}),
    );
    talk.expect(
        &json!({"ended": null}),
        &json!({"closed": [1009, too_large]}),
    );
    peer.leave();
}

/// Connects and hears the welcome: the connection's id.
#[track_caller]
pub(crate) fn open(puppet: &mut dyn Puppet, connect: &Connect, extensions: &str) -> String {
    let opened = puppet.obey(&connect.order());
    assert_eq!(
        opened,
        json!({"opened": ["shardcast.v1", extensions]}),
        "{connect:?}"
    );
    let welcome = puppet.obey(&json!({"hear": 1}));
    let welcome = welcome["heard"][0]
        .as_str()
        .unwrap_or_else(|| panic!("{welcome}"));
    let welcome: Value = serde_json::from_str(welcome).expect("JSON");
    assert_eq!(
        (&welcome["type"], &welcome["max_message_bytes"]),
        (&json!("welcome"), &json!(64 << 10)),
        "{welcome}"
    );
    welcome["connection"].as_str().expect("an id").to_owned()
}

/// A puppet and another client in one room.
struct Talk<'a> {
    puppet: &'a mut dyn Puppet,
    peer: &'a mut Client,
    from: &'a str,
}

impl Talk<'_> {
    #[track_caller]
    fn expect(&mut self, order: &Value, expected: &Value) {
        let answer = self.puppet.obey(order);
        assert!(
            answer == *expected,
            "to {}: {}\ninstead of {}",
            brief(order),
            brief(&answer),
            brief(expected)
        );
    }

    #[track_caller]
    fn join(&mut self) {
        assert_eq!(self.peer.join("lobby"), 1);
        self.expect(
            &json!({"send": [r#"{"type":"join_room","id":1,"room":"lobby"}"#]}),
            &json!({"sent": 1}),
        );
        self.expect(
            &json!({"hear": 1}),
            &json!({"heard": [r#"{"type":"joined","id":1,"room":"lobby","members":2}"#]}),
        );
    }

    /// One message from each to both.
    #[track_caller]
    fn exchange(&mut self, data: &str) {
        self.expect(&json!({"send": [broadcast(data)]}), &json!({"sent": 1}));
        self.heard_by_both(self.from.to_owned(), data);
        self.peer.say(&broadcast(data));
        self.heard_by_both(self.peer.id().to_owned(), data);
    }

    #[track_caller]
    fn heard_by_both(&mut self, from: String, data: &str) {
        let message = message(&from, data);
        self.expect(&json!({"hear": 1}), &json!({"heard": [message]}));
        self.peer.expect(&message);
    }

    /// Many small messages, from the puppet and to it.
    #[track_caller]
    fn row(&mut self) {
        let numbers = 0..SMALL;
        let said: Vec<String> = numbers
            .clone()
            .map(|number| broadcast(&number.to_string()))
            .collect();
        let heard = |from: &str| -> Vec<String> {
            numbers
                .clone()
                .map(|number| message(from, &number.to_string()))
                .collect()
        };
        self.expect(&json!({"send": said}), &json!({"sent": SMALL}));
        let own = heard(self.from);
        own.iter().for_each(|message| self.peer.expect(message));
        self.expect(&json!({"hear": SMALL}), &json!({"heard": own}));
        said.iter().for_each(|text| self.peer.say(text));
        let theirs = heard(self.peer.id());
        self.expect(&json!({"hear": SMALL}), &json!({"heard": theirs}));
        theirs.iter().for_each(|message| self.peer.expect(message));
    }

    /// One message in fragments, of which some are empty and none is a request by itself.
    #[track_caller]
    fn fragments(&mut self) {
        let data = format!("{{\"fragments\":{}}}", large_string(20_000));
        let text = broadcast(&data);
        let mut rest = &text[..];
        let mut pieces = vec![""];
        while !rest.is_empty() {
            let end = (1 + 700 * (pieces.len() - 1)).min(rest.len());
            let end = (0..=end)
                .rev()
                .find(|end| rest.is_char_boundary(*end))
                .expect("0 is");
            let (piece, more) = rest.split_at(end);
            pieces.push(piece);
            rest = more;
        }
        self.expect(&json!({"pieces": pieces}), &json!({"sent": 1}));
        self.heard_by_both(self.from.to_owned(), &data);
    }
}

fn broadcast(data: &str) -> String {
    format!(r#"{{"type":"broadcast","room":"lobby","data":{data}}}"#)
}

fn message(from: &str, data: &str) -> String {
    format!(r#"{{"type":"message","room":"lobby","from":"{from}","data":{data}}}"#)
}

/// Kept byte for byte: white space, escapes and the form of numbers, too.
const DATA: &str =
    r#"{ "text": "Grüße, 世界 👋🏽", "escaped": "\ud83d\ude00\n\u0000", "n": [1.50, 1e2] }"#;

/// JSON as applications send it: objects with the same keys and different values, [`LARGE_BYTES`]
/// in all.
fn large() -> String {
    let mut json = String::from("[");
    for number in 0_u32.. {
        let row = format!(
            r#"{{"id":{number},"name":"user {}","text":"Grüße 👋🏽","price":{}.25}},"#,
            number.wrapping_mul(2_654_435_761),
            number * number % 977
        );
        if json.len() + row.len() + 32 > LARGE_BYTES {
            break;
        }
        json += &row;
    }
    let fill = LARGE_BYTES - json.len() - "\"\"]".len();
    write!(json, "\"{}\"]", "z".repeat(fill)).expect("a String takes everything");
    assert_eq!(json.len(), LARGE_BYTES);
    json
}

/// A string that compresses badly and has characters of every length in UTF-8.
fn large_string(characters: usize) -> String {
    let alphabet: Vec<char> = "abcdefghijklmnopqrstuvwxyzäöüß世界你好👋🏽😀"
        .chars()
        .collect();
    let mut state = 1_u32;
    let mut text = String::from('"');
    for _ in 0..characters {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push(alphabet[(state >> 16) as usize % alphabet.len()]);
    }
    text.push('"');
    text
}

/// The server ends under a connected client, which sees its code and reason.
#[track_caller]
pub(crate) fn drained(
    puppet: &mut dyn Puppet,
    served: Served,
    connect: &Connect,
    extensions: &str,
) {
    open(puppet, connect, extensions);
    served.terminate();
    let heard = puppet.obey(&json!({"hear": 1}));
    let closing = heard["heard"][0]
        .as_str()
        .unwrap_or_else(|| panic!("{heard}"));
    assert!(
        closing.starts_with(r#"{"type":"closing","reason":"draining","reconnect_ms":"#),
        "{closing}"
    );
    let closed = puppet.obey(&json!({"ended": null}));
    assert_eq!(closed, json!({"closed": [1001, "draining"]}));
    assert_eq!(served.end().0, Some(0));
}
