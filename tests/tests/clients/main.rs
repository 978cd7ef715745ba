//! Clients that we did not write against `shardcast serve` with a configuration file: headless
//! Chromium, npm `ws`, Node and undici, PyPI `websockets`, aiohttp and Tornado, tungstenite, curl
//! and openssl, over ws and wss; and our own for browsers (`client_js.rs`). CONTRIBUTING.md says
//! what they need and how one is added.

#![forbid(unsafe_code)]

mod admin_api;
mod centrifuge;
#[expect(dead_code, reason = "what only the inspector of the browser test uses")]
#[path = "../browser/chromium.rs"]
mod chromium;
mod client_js;
mod conversation;
mod curl;
mod installed;
mod jose;
mod json_rpc;
mod messagepack;
mod openssl;
#[path = "../browser/page.rs"]
mod page;
mod puppet;
mod rust;
mod tracing;
mod varnish;

use puppet::{Connect, Frames, Puppet, Says, Script};
use rust::Tungstenite;
use serde_json::{Value, json};
use shardcast_tests::{Certificates, Served};
use std::process::Command;

/// What all the servers here have: plain and TLS listeners side by side, on ports of their own.
const SERVER: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 2
pin = "none"
[access]
origins = "any"
[limits]
max_connections = 100
"#;

/// A server with these sections on top.
pub(crate) fn serve(certificates: &Certificates, more: &str) -> Served {
    let toml = format!("{SERVER}{}{more}", certificates.toml());
    Served::start(env!("CARGO_BIN_EXE_served"), &toml)
}

/// Whether the server compresses, and whether messages may refer to earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Off,
    Alone,
    Takeover,
}

impl Compression {
    /// The smallest threshold, so that nearly everything is compressed.
    fn toml(self) -> &'static str {
        match self {
            Compression::Off => "[compression]\nenabled = false\n",
            Compression::Alone => "[compression]\nenabled = true\nthreshold = 64\n",
            Compression::Takeover => {
                "[compression]\nenabled = true\nthreshold = 64\ncontext_takeover = true\n"
            }
        }
    }
}

/// A client's own words for its compression, and what each server is to accept:
/// [`Compression::Alone`], [`Compression::Takeover`].
type Offer = (Value, [&'static str; 2]);

const NOTHING: [&str; 2] = ["", ""];
const ANYTHING: [&str; 2] = [ALONE, "permessage-deflate"];
const ALONE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const LARGEST: [&str; 2] = [
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15",
    "permessage-deflate; server_max_window_bits=15",
];
const WINDOWS: [&str; 2] = [
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10",
    "permessage-deflate; server_max_window_bits=10",
];

/// Holds the conversation with every server, every offer, over ws and wss; then each server drains
/// under the client.
fn check(puppet: &mut dyn Puppet, certificates: &Certificates, offers: &[Offer]) {
    for compression in [Compression::Off, Compression::Alone, Compression::Takeover] {
        let served = serve(certificates, compression.toml());
        let accepted = |offer: &Offer| match compression {
            Compression::Off => "",
            Compression::Alone => offer.1[0],
            Compression::Takeover => offer.1[1],
        };
        for offer in offers {
            for scheme in ["ws", "wss"] {
                let connect = connect(&served, certificates, scheme, &offer.0);
                conversation::check(puppet, &connect, &served, accepted(offer));
            }
        }
        let agreed = offers.iter().any(|offer| !accepted(offer).is_empty());
        for (name, compressed) in [
            (
                "inflated_messages_total",
                agreed && puppet.says() == Says::Compressed,
            ),
            ("deflated_messages_total", agreed),
        ] {
            assert_eq!(
                served.metric(name) > 0,
                compressed,
                "{compression:?} {name}"
            );
        }
        let last = offers.last().expect("an offer");
        let connect = connect(&served, certificates, "wss", &last.0);
        conversation::drained(puppet, served, &connect, accepted(last));
    }
}

fn connect(served: &Served, certificates: &Certificates, scheme: &str, deflate: &Value) -> Connect {
    Connect {
        url: format!("{scheme}://localhost:{}/ws", served.address(scheme).port()),
        deflate: deflate.clone(),
        ca: (scheme == "wss").then(|| certificates.file("authority.pem")),
    }
}

#[test]
fn npm_ws() {
    let mut node = Script::start(&mut installed::node());
    let offers = [
        (json!(false), NOTHING),
        (json!({"threshold": 0}), ANYTHING),
        (
            json!({"threshold": 0, "serverNoContextTakeover": true, "clientNoContextTakeover": true}),
            [ALONE, ALONE],
        ),
        (
            json!({"threshold": 0, "serverMaxWindowBits": 10, "clientMaxWindowBits": 10}),
            WINDOWS,
        ),
        (json!({"threshold": 0, "serverMaxWindowBits": 15}), LARGEST),
    ];
    check(&mut node, &Certificates::make(), &offers);
}

/// Node's own WebSocket, which is undici's.
#[test]
fn node() {
    let certificates = Certificates::make();
    let mut node = web(
        installed::new_node_script("web-npm", "client.js"),
        "node",
        &certificates,
    );
    check(&mut node, &certificates, &[(json!(true), ANYTHING)]);
}

#[test]
fn npm_undici() {
    let certificates = Certificates::make();
    let mut node = web(
        installed::new_node_script("web-npm", "client.js"),
        "undici",
        &certificates,
    );
    check(&mut node, &certificates, &[(json!(true), ANYTHING)]);
}

/// As in Node 20. It keeps one inflater for all messages, whatever was agreed on.
#[test]
fn npm_undici_6() {
    let certificates = Certificates::make();
    let mut node = web(
        installed::node_script("web-npm", "client.js"),
        "undici6",
        &certificates,
    );
    check(&mut node, &certificates, &[(json!(true), ANYTHING)]);
}

/// A client with a browser's interface: it trusts what it is told to when it starts.
fn web(mut node: Command, name: &str, certificates: &Certificates) -> Script {
    let authority = certificates.file("authority.pem");
    node.arg(name).env("NODE_EXTRA_CA_CERTS", authority);
    Script::with(&mut node, Frames::Hidden, Says::Plain)
}

#[test]
fn pypi_websockets() {
    let mut python = Script::start(&mut installed::python());
    let offers = [
        (json!(false), NOTHING),
        (json!(true), ANYTHING),
        (
            json!({"server_no_context_takeover": true, "client_no_context_takeover": true}),
            [ALONE, ALONE],
        ),
        (
            json!({"server_max_window_bits": 10, "client_max_window_bits": 10}),
            WINDOWS,
        ),
        (json!({"server_max_window_bits": 15}), LARGEST),
    ];
    check(&mut python, &Certificates::make(), &offers);
}

#[test]
fn pypi_aiohttp() {
    aiohttp("aiohttp-python");
}

/// Before 3.14 it keeps one inflater for all messages, whatever was agreed on.
#[test]
fn pypi_aiohttp_3_9() {
    aiohttp("aiohttp39-python");
}

fn aiohttp(lock_folder: &str) {
    let mut python = installed::python_script(lock_folder, "../aiohttp-python/client.py");
    let mut python = Script::with(&mut python, Frames::Hidden, Says::Compressed);
    let offers = [
        (json!(0), NOTHING),
        (json!(15), ANYTHING),
        (json!(10), WINDOWS),
    ];
    check(&mut python, &Certificates::make(), &offers);
}

/// It ignores `client_no_context_takeover`: its second message refers to its first.
#[test]
fn pypi_tornado() {
    let mut python = installed::python_script("tornado-python", "client.py");
    let mut python = Script::with(&mut python, Frames::Hidden, Says::Compressed);
    let offers = [(Value::Null, NOTHING), (json!({}), ANYTHING)];
    check(&mut python, &Certificates::make(), &offers);
}

#[test]
fn tungstenite() {
    let certificates = Certificates::make();
    let mut tungstenite = Tungstenite::new(certificates.client());
    check(&mut tungstenite, &certificates, &[(json!(false), NOTHING)]);
}

#[test]
fn chromium() {
    let certificates = Certificates::make();
    let mut browser = Browser::open(&certificates);
    check(&mut browser, &certificates, &[(json!(true), ANYTHING)]);
}

/// A page that obeys orders.
struct Browser(page::Page);

impl Browser {
    /// In a browser that takes the first server's key for good, and no other that its own
    /// authorities do not vouch for.
    fn open(certificates: &Certificates) -> Browser {
        let key = openssl::key_hash(&certificates.file("localhost.pem"));
        let trust = format!("--ignore-certificate-errors-spki-list={key}");
        let page = page::Page::open_with(&[&trust]);
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
