//! Clients as puppets: one order, one answer, both JSON, so that one conversation drives them all.
//!
//! Invariant: an order that is not answered within [`PATIENCE`] fails the test with what the client
//! wrote. Used by the conversation.
//!
//! Orders, and their answers:
//!
//! - `{"connect":{"url":…,"subprotocols":[…],"deflate":…,"ca":…}}`:
//!   `{"opened":[subprotocol, extensions]}` or `{"failed":why}`
//! - `{"send":[text, …]}`: `{"sent":count}`
//! - `{"pieces":[text, …]}`, one message, a fragment each: `{"sent":1}`
//! - `{"hear":count}`: `{"heard":[text, …]}`, fewer if the connection ended
//! - `{"ping":payload}`: `{"ponged":payload}`
//! - `{"close":[code, reason]}`: `{"closed":[code, reason]}`
//! - `{"ended":null}`, which waits for the server's close: `{"closed":[code, reason]}`

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// A client that does what it is told.
pub(crate) trait Puppet {
    /// Obeys one order.
    fn obey(&mut self, order: &Value) -> Value;

    /// Whether the API of this client sends fragments and pings: a browser's does not.
    fn frames(&self) -> Frames;

    /// Whether it compresses what it says, once that was agreed on.
    fn says(&self) -> Says {
        Says::Compressed
    }
}

/// What a client makes of an agreement to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// It reads compressed messages and sends none: undici.
    Plain,
    /// It does both.
    Compressed,
}

/// What of the framing a client lets its user decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frames {
    /// Whole messages.
    Hidden,
    /// Fragments and pings, too.
    Open,
}

/// A client takes milliseconds for an order, and seconds to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers that wait for the test, which reads one after each order.
const ANSWERS_MAX: usize = 4;

/// A script that reads orders from its standard input and answers on its standard output. It ends
/// with the input.
pub(crate) struct Script {
    process: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    frames: Frames,
    says: Says,
}

impl Script {
    /// One whose API sends fragments and pings, and that compresses what it says.
    pub(crate) fn start(command: &mut Command) -> Script {
        Script::with(command, Frames::Open, Says::Compressed)
    }

    pub(crate) fn with(command: &mut Command, frames: Frames, says: Says) -> Script {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = process.stdout.take().expect("it is piped");
        let (lines, answers) = sync_channel(ANSWERS_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        Script {
            orders: process.stdin.take(),
            process,
            answers,
            frames,
            says,
        }
    }

    /// What it wrote on standard error, once it is at its end.
    fn complaint(&mut self) -> String {
        let _already_ended = self.process.kill();
        let mut text = String::new();
        if let Some(mut errors) = self.process.stderr.take() {
            let _as_far_as_it_goes = errors.read_to_string(&mut text);
        }
        text
    }
}

impl Puppet for Script {
    fn obey(&mut self, order: &Value) -> Value {
        let orders = self.orders.as_mut().expect("until it is dropped");
        let told = writeln!(orders, "{order}");
        let answer = match told {
            Ok(()) => self.answers.recv_timeout(PATIENCE).ok(),
            Err(_) => None,
        };
        let Some(answer) = answer else {
            panic!("no answer to {}: {}", brief(order), self.complaint());
        };
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    fn frames(&self) -> Frames {
        self.frames
    }

    fn says(&self) -> Says {
        self.says
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _already_ended = self.process.kill();
        let _already_waited = self.process.wait();
    }
}

/// The beginning, for the message of a failed test.
pub(crate) fn brief(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}

/// Connects.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    pub(crate) url: String,
    /// In the words of the client: `true`, `false` or its options.
    pub(crate) deflate: Value,
    /// A file with the certificate to trust.
    pub(crate) ca: Option<String>,
}

impl Connect {
    pub(crate) fn order(&self) -> Value {
        json!({"connect": {"url": self.url, "subprotocols": ["shardcast.v1"], "deflate": self.deflate, "ca": self.ca}})
    }
}
