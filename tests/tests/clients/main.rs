//! Clients that we did not write against `shardcast serve` with a configuration file: headless Chromium, npm `ws`, PyPI `websockets`,
//! tungstenite, curl and openssl. CONTRIBUTING.md says what they need and how one is added.

#![forbid(unsafe_code)]

#[expect(dead_code, reason = "what only the inspector of the browser test uses")]
#[path = "../browser/chromium.rs"]
mod chromium;
mod conversation;
mod curl;
mod installed;
#[path = "../browser/page.rs"]
mod page;
mod puppet;
mod rust;

use puppet::{Connect, Frames, Puppet, Script};
use rust::Tungstenite;
use serde_json::{Value, json};
use shardcast_tests::Served;

/// The server that most of them meet: everything as users find it, on ports of its own.
pub(crate) const SERVER: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 2
pin = "none"
[limits]
max_connections = 100
"#;

fn serve(more: &str) -> Served {
    Served::start(env!("CARGO_BIN_EXE_served"), &format!("{SERVER}{more}"))
}

/// A client's own words for its compression, and what the server is to accept.
type Offer = (Value, &'static str);

/// Holds the conversation with every offer, then lets the server drain under the client.
fn check(puppet: &mut dyn Puppet, offers: &[Offer]) {
    let served = serve("");
    let mut last = None;
    for (deflate, accepted) in offers {
        let connect = Connect {
            url: format!("ws://{}/ws", served.address("ws")),
            deflate: deflate.clone(),
            ca: None,
        };
        conversation::check(puppet, &connect, &served, accepted);
        last = Some((connect, accepted));
    }
    let (connect, accepted) = last.expect("an offer");
    conversation::drained(puppet, served, &connect, accepted);
}

#[test]
fn npm_ws() {
    let mut node = Script::start(&mut installed::node());
    check(&mut node, &[(json!(false), ""), (json!(true), "")]);
}

#[test]
fn pypi_websockets() {
    let mut python = Script::start(&mut installed::python());
    check(&mut python, &[(json!(false), ""), (json!(true), "")]);
}

#[test]
fn tungstenite() {
    check(&mut Tungstenite::default(), &[(json!(false), "")]);
}

#[test]
fn chromium() {
    check(&mut Browser::open(), &[(json!(true), "")]);
}

/// A page that obeys orders.
struct Browser(page::Page);

impl Browser {
    fn open() -> Browser {
        let page = page::Page::open();
        page.run(include_str!("../../clients/page.js"));
        Browser(page)
    }
}

impl Puppet for Browser {
    fn obey(&mut self, order: &Value) -> Value {
        self.0.run(&format!("order({order})"));
        let said = self.0.said();
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    fn frames(&self) -> Frames {
        Frames::Hidden
    }
}
