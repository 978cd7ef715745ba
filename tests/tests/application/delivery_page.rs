//! Runs the examples of `docs/delivery.md` against the program with the configuration that stands
//! there: every line is said or heard as it is written, but for ids, epochs,
//! cursors and members.

use serde_json::Value;
use shardcast_engine::protocol::dialect::LossReason;
use shardcast_tests::{Client, Served};
use std::collections::{HashMap, VecDeque};

const PAGE: &str = include_str!("../../../docs/delivery.md");

/// The fenced blocks of the page in a language; `""`: those without.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let blocks = PAGE.split("```").skip(1).step_by(2);
    blocks.filter_map(move |block| {
        let (of, text) = block.split_once('\n')?;
        (of == language).then_some(text)
    })
}

/// One line of an example: who does what. One client alone has no name.
#[derive(Clone, Copy, Debug)]
enum Line {
    Says(&'static str),
    Hears(&'static str),
    Goes,
    /// Without a goodbye.
    IsCut,
    Comes,
}

fn line(text: &'static str) -> (&'static str, Line) {
    for (arrow, what) in [("→ ", Line::Says as fn(_) -> _), ("← ", Line::Hears)] {
        if let Some((name, said)) = text.split_once(arrow) {
            return (name.trim(), what(said));
        }
    }
    let (name, does) = text.split_once("   ").expect(text);
    match does {
        "loses its connection" => (name, Line::Goes),
        "is cut off" => (name, Line::IsCut),
        "comes back" => (name, Line::Comes),
        _ => panic!("nobody can do this: {text}"),
    }
}

/// Epochs of the page and those that they stand for.
#[derive(Default)]
struct Epochs(HashMap<String, String>);

impl Epochs {
    /// What is said, with the epochs that were heard.
    fn said(&self, text: &str) -> String {
        let known = self.0.iter();
        known.fold(text.to_owned(), |text, (page, real)| {
            let quoted = |epoch| format!("\"epoch\":\"{epoch}\"");
            text.replace(&quoted(page), &quoted(real))
        })
    }

    /// What is heard is what stands there; an epoch that stands there for the first time is
    /// learned.
    #[track_caller]
    fn check(&mut self, heard: &str, expected: &str) {
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect(text);
        let (mut heard_value, mut expected_value) = (parse(heard), parse(expected));
        self.settle(&mut heard_value, &mut expected_value);
        assert_eq!(heard_value, expected_value, "{heard}");
        // Keys stand in the order of the page.
        let keys = |text: &str| {
            let quoted = text.split('"').skip(1).step_by(2);
            quoted.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(keys(heard).len(), keys(expected).len());
    }

    fn settle(&mut self, heard: &mut Value, expected: &mut Value) {
        match (heard, expected) {
            (Value::Object(heard), Value::Object(expected)) => {
                for (key, expected) in expected.iter_mut() {
                    let Some(heard) = heard.get_mut(key) else {
                        continue;
                    };
                    match key.as_str() {
                        "epoch" => {
                            let real = heard.as_str().expect("a text").to_owned();
                            let page = expected.as_str().expect("a text").to_owned();
                            let known = self.0.entry(page).or_insert_with(|| real.clone());
                            assert_eq!(*known, real, "an epoch of the page is one epoch");
                            *heard = expected.clone();
                        }
                        "from" | "connection" | "previous" | "cursor" | "members" => {
                            *heard = expected.clone()
                        }
                        _ => self.settle(heard, expected),
                    }
                }
            }
            (Value::Array(heard), Value::Array(expected)) => {
                for (heard, expected) in heard.iter_mut().zip(expected) {
                    self.settle(heard, expected);
                }
            }
            _ => {}
        }
    }
}

/// The token that a client has, in the place of the page's.
fn with_token(text: &str, token: Option<&String>) -> String {
    const KEY: &str = r#""token":""#;
    match (text.split_once(KEY), token) {
        (Some((before, rest)), Some(token)) => {
            let (_, after) = rest.split_once('"').expect("a string has an end");
            format!("{before}{KEY}{token}\"{after}")
        }
        _ => text.to_owned(),
    }
}

fn run(served: &Served, example: &'static str) {
    let connect = || Client::native_at(served.address("ws"));
    let mut clients: HashMap<&str, Client> = HashMap::new();
    let mut epochs = Epochs::default();
    // What came before the answer that it may come before.
    let mut early: HashMap<&str, VecDeque<String>> = HashMap::new();
    // With what each was welcomed before it was cut off.
    let mut tokens: HashMap<&str, String> = HashMap::new();
    for (name, does) in example.lines().map(line) {
        match does {
            Line::Says(text) => {
                let client = clients.entry(name).or_insert_with(connect);
                let text = epochs.said(text);
                client.say(&with_token(&text, tokens.get(name)));
            }
            Line::Hears(expected) => {
                let client = clients.get_mut(name).expect("who hears has spoken");
                let early = early.entry(name).or_default();
                epochs.check(&next(client, early, expected), expected);
            }
            Line::IsCut => {
                let gone = clients.remove(name).expect("it is there");
                let welcome: Value = serde_json::from_str(gone.welcome()).expect("JSON");
                let token = welcome["resume"].as_str().expect("a token");
                tokens.insert(name, token.to_owned());
            }
            Line::Goes => clients.remove(name).expect("it is there").leave(),
            Line::Comes => assert!(clients.insert(name, connect()).is_none()),
        }
    }
    for (_, mut client) in clients {
        client.check_quiet();
        client.leave();
    }
}

/// What a client hears next. An answer about several rooms waits for all of them, and messages of
/// one may come before it, as the page says.
fn next(client: &mut Client, early: &mut VecDeque<String>, expected: &str) -> String {
    let waits = expected.contains(r#""rooms":["#);
    if let Some(heard) = early.pop_front().filter(|_| !waits) {
        return heard;
    }
    loop {
        let heard = client.hear();
        if !waits || !heard.contains(r#""type":"message""#) {
            return heard;
        }
        early.push_back(heard);
    }
}

#[test]
fn the_examples_are_what_happens() {
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nshards = 2\n{}",
        blocks("toml").next().expect("a configuration")
    );
    let served = Served::start(env!("CARGO_BIN_EXE_served"), &toml);
    let mut count = 0;
    for example in blocks("") {
        run(&served, example);
        count += 1;
    }
    assert_eq!(count, 13, "examples come and go; count them here");
}

#[test]
fn every_reason_is_explained() {
    for reason in LossReason::ALL {
        let word = format!("`{}`", reason.as_str());
        let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
        let explained = rows.filter(|row| row.contains(&word));
        assert!(explained.count() > 0, "{word}");
    }
}
