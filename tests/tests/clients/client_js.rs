//! Our own client for browsers (`client/js`), as its users get it: installed by its lock file,
//! built and packed; then its own tests in Node, and a page in headless Chromium that is cut off
//! and goes on.
//!
//! Invariant: the build happens in the cargo target folder, once, and the repository stays as it
//! is.

use crate::page::Page;
use crate::{installed, serve};
use shardcast_patience::Program;
use shardcast_tests::{Certificates, Client};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Its own tests take a minute, and three on a busy machine.
const NODE_PATIENCE: Duration = Duration::from_secs(480);

#[test]
fn its_own_tests_in_a_node_of_today() {
    let node = installed::new_node_script("web-npm", "client.js");
    tests_in(&node, &["test/*.test.js"]);
}

/// The oldest that it supports has no WebSocket of its own. Debian 12's is older than that.
#[test]
fn its_own_tests_in_the_node_of_the_system() {
    let node = installed::node_script("web-npm", "client.js");
    let version = Command::new(node.get_program()).arg("--version").output();
    let version = String::from_utf8(version.expect("Node").stdout).expect("UTF-8");
    let major = version.trim_start_matches('v').split('.').next();
    if major.and_then(|major| major.parse().ok()) < Some(20) {
        return;
    }
    tests_in(&node, &["test/faults.test.js", "test/server.test.js"]);
}

fn tests_in(node: &Command, tests: &[&str]) {
    let folder = installed::client_js();
    let mut command = Command::new(node.get_program());
    // A file ends once its tests have: now and then Node 24 ends its JavaScript and then turns
    // for ever in its own cleaning up (`Environment::CleanupHandles`). That nothing of a client
    // keeps a process is looked at by a test of its own.
    command
        .args(["--expose-gc", "--test", "--test-force-exit"])
        .arg("--test-timeout=120000")
        .args(tests)
        .current_dir(folder)
        .env("SERVED", env!("CARGO_BIN_EXE_served"));
    let ended = Program::start(&mut command).end_within(NODE_PATIENCE);
    assert_eq!(ended.code, Some(0), "{}{}", ended.printed, ended.errors);
}

#[test]
fn a_page_that_is_cut_off_goes_on_where_it_was() {
    let served = serve(&Certificates::make(), "[namespaces.chat]\nhistory = 100\n");
    let wire = Wire::open(served.address("ws"));
    let page = Page::open();
    load(&page);
    let mut publisher = Client::native_at(served.address("ws"));
    let mut publish = |number: u32, data: &str| {
        let ask =
            format!(r#"{{"type":"publish","id":{number},"room":"chat:page","data":"{data}"}}"#);
        let ack = publisher.ask(&ask);
        assert!(ack.contains(&format!("\"offset\":{number}")), "{ack}");
    };

    page.run(&format!(
        r#"client = new Client("ws://{}/ws", {{ reconnect: {{ minMs: 50, baseMs: 50, maxMs: 200 }} }});
        client.subscribe("chat:page", (item) => say(item.type, item.offset ?? item.missed, item.data ?? ""));"#,
        wire.address
    ));
    assert_eq!(page.said(), "joined 0 ");
    publish(1, "Grüße 👋🏽");
    assert_eq!(page.said(), "message 1 Grüße 👋🏽");

    // The page is told by the browser, as by a cable that is pulled.
    wire.cut(Passes::Nothing);
    publish(2, "two");
    publish(3, "three");
    wire.cut(Passes::Everything);
    for said in ["recovered 2 ", "message 2 two", "message 3 three"] {
        assert_eq!(page.said(), said);
    }
    page.run(
        r#"client.publish("chat:page", "mine").then(({ offset }) => say("published", offset));"#,
    );
    let mut said = [page.said(), page.said()];
    said.sort();
    assert_eq!(said, ["message 4 mine", "published 4"]);

    // Another origin, no WebSocket, and JSON by POST: what a page may do without a preflight.
    wire.cut(Passes::NoWebSocket);
    page.run(r#"client.ping().then(() => say("by", client.transport));"#);
    let mut said = [page.said(), page.said()];
    said.sort();
    assert_eq!(said, ["by eventstream", "recovered 0 "]);
    publish(5, "five");
    assert_eq!(page.said(), "message 5 five");

    page.run(r#"client.close().then(() => say(client.state, client.transport));"#);
    assert_eq!(page.said(), "closed ");
}

#[test]
fn the_page_of_the_examples_talks() {
    const EXAMPLE: &str = include_str!("../../../client/js/examples/page.html");
    let served = serve(&Certificates::make(), "[namespaces.chat]\nhistory = 100\n");
    let page = Page::open();
    load(&page);
    let (markup, rest) = EXAMPLE
        .split_once("<script type=\"module\">")
        .expect("a script");
    let (script, _) = rest.split_once("</script>").expect("its end");
    let address = format!("ws://{}/ws", served.address("ws"));
    let script = script
        .replace(r#"import { Client } from "../dist/shardcast.js";"#, "")
        .replace("ws://127.0.0.1:8000/ws", &address);
    let markup = serde_json::to_string(markup).expect("text");
    // What changes on the page is said.
    page.run(&format!(
        r#"document.body.innerHTML = {markup};
        new MutationObserver((changes) => changes.forEach(({{ target, addedNodes }}) =>
            addedNodes.forEach((node) => say(target.id, node.textContent))))
            .observe(document.body, {{ childList: true, subtree: true }});"#
    ));
    page.run(&script);
    assert_eq!(page.said(), "state connected");
    let talk = |text: &str| {
        page.run(&format!(
            r##"document.querySelector("#say [name=text]").value = "{text}";
            document.querySelector("#say").requestSubmit();"##
        ));
    };
    talk("hello");
    assert_eq!(page.said(), "lobby hello");
    let call = r#"{"room":"chat:lobby","code":1012,"reason":"again"}"#;
    assert_eq!(served.call("/api/disconnect", call).0, 200);
    assert_eq!(page.said(), "state connecting");
    talk("it waited");
    assert_eq!(page.said(), "state connected");
    assert_eq!(page.said(), "state recovering");
    // Whichever comes first.
    let mut said = [page.said(), page.said()];
    said.sort();
    assert_eq!(said, ["lobby it waited", "state connected"]);
}

/// Imports the module that was built, as a page does that serves it.
fn load(page: &Page) {
    let module = installed::client_js().join("dist/shardcast.js");
    let module = std::fs::read_to_string(module).expect("it was built");
    let text = serde_json::to_string(&module).expect("text");
    page.run(&format!(
        r#"import(URL.createObjectURL(new Blob([{text}], {{ type: "text/javascript" }})))
            .then((module) => {{ globalThis.Client = module.Client; say("loaded"); }}, (error) => say("failed", error));"#
    ));
    assert_eq!(page.said(), "loaded");
}

/// What a [`Wire`] lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passes {
    Everything,
    /// Connections are accepted and reset.
    Nothing,
    /// What begins with `GET /ws` is reset.
    NoWebSocket,
}

/// A TCP proxy that the test cuts.
struct Wire {
    address: SocketAddr,
    passes: Arc<Mutex<(Passes, Vec<TcpStream>)>>,
}

impl Wire {
    fn open(target: SocketAddr) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("just bound");
        let passes = Arc::new(Mutex::new((Passes::Everything, Vec::new())));
        let shared = Arc::clone(&passes);
        // It lives as long as the test's process, like the page's server.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || drop(pass(client, target, &shared)));
            }
        });
        Wire { address, passes }
    }

    /// Ends all connections; what comes then is treated so.
    fn cut(&self, then: Passes) {
        let mut passes = self.passes.lock().expect("no thread panics");
        passes.0 = then;
        for socket in passes.1.drain(..) {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn pass(
    client: TcpStream,
    target: SocketAddr,
    passes: &Mutex<(Passes, Vec<TcpStream>)>,
) -> io::Result<()> {
    let mut first = [0; 7];
    client.peek(&mut first)?;
    let server = {
        let mut passes = passes.lock().expect("no thread panics");
        match passes.0 {
            Passes::Nothing => return Ok(()),
            Passes::NoWebSocket if first == *b"GET /ws" => return Ok(()),
            Passes::NoWebSocket | Passes::Everything => {}
        }
        let server = TcpStream::connect(target)?;
        passes.1.extend([client.try_clone()?, server.try_clone()?]);
        server
    };
    let (up, down) = ((client.try_clone()?, server.try_clone()?), (server, client));
    let other = thread::spawn(move || drop(copy(up.0, up.1)));
    let copied = copy(down.0, down.1);
    drop(other.join());
    copied
}

/// Until one side ends; then both do.
fn copy(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let copied = (|| loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            bytes => to.write_all(&buffer[..bytes])?,
        }
    })();
    for socket in [&from, &to] {
        // The other direction may have ended them.
        let _ = socket.shutdown(Shutdown::Both);
    }
    copied
}
