//! The test console of the admin port: it speaks each dialect with a real server, and what its
//! timeline shows is what was said.

use super::inspector::Inspector;
use super::looks::{ILLEGIBLE, TOO_WIDE};
use super::operated::{DESK, HOSTILE, Operated, WINDOWS, join, say, token};
use serde_json::{Value, json};
use shardcast_patience::{leave_out, wait_until};
use shardcast_tests::Client;

/// A room with history that any client may be in.
const ROOM: &str = r#"kept:<img src=x onerror=alert(1)>"'&"#;

fn visit(browser: &mut Inspector, operated: &Operated, dialect: &str) {
    browser.visit(&operated.url("/console"), DESK, "light");
    browser.has("#dialect", 1);
    browser.fill("#dialect", dialect);
    browser.fill("#room", ROOM);
}

/// The newest entry that has this text, as shown.
fn entry(browser: &mut Inspector, way: &str, text: &str) -> Value {
    let script = format!(
        "[...document.querySelectorAll('#timeline li')].map((item) => ({{ way: item.querySelector('.way').className, meta: item.querySelectorAll('.meta')[1].textContent.trim(), text: item.querySelector('pre').textContent }}))
            .find((item) => item.way === 'way {way}' && item.text.includes({})) ?? null",
        json!(text)
    );
    let mut found = Value::Null;
    wait_until(&format!("{way}: {text}"), || {
        found = browser.evaluate(&script);
        !found.is_null()
    });
    found
}

/// A dialect, and how it writes the answers to a join and a publish, and a message.
type Words = (&'static str, &'static str, &'static str, &'static str);

const DIALECTS: [Words; 4] = [
    (
        "json",
        r#""type":"joined""#,
        r#""type":"ack""#,
        r#""type":"message""#,
    ),
    (
        "messagepack",
        r#""type":"joined""#,
        r#""type":"ack""#,
        r#""type":"message""#,
    ),
    (
        "jsonrpc",
        r#""members":2"#,
        r#""result":{"epoch":"#,
        r#""method":"message""#,
    ),
    (
        "centrifuge",
        r#""subscribe":"#,
        r#""publish":"#,
        r#""push":"#,
    ),
];

#[test]
fn the_console_speaks_every_dialect() {
    let operated = Operated::open();
    let mut browser = Inspector::open();
    for words in DIALECTS {
        let dialect = words.0;
        let mut other = operated.client();
        join(&mut other, ROOM);
        visit(&mut browser, &operated, dialect);
        browser.press_button("#connect", "Connect");
        browser.shows("#state", "Connected");
        wait_until("it has an id", || !browser.text("#who").is_empty());
        converse(&mut browser, &mut other, words);

        browser.press_button("#ask", "History");
        entry(&mut browser, "received", r#""epoch":"#);
        browser.press_button("#ask", "Presence");
        entry(&mut browser, "received", other.id());
        browser.press_button("#ask", "Leave");
        let present = json!({"type": "presence", "id": 2, "room": ROOM});
        wait_until("it has left", || {
            say(&mut other, &present)["total"] == json!(1)
        });
        browser.press_button("#connect", "Disconnect");
        browser.shows("#state", "Closed 1000");
        other.leave();

        let port = operated.served.address("ws").port();
        let sockets = browser.sockets();
        assert_eq!(sockets.len(), 1);
        assert!(
            sockets[0].starts_with(&format!("ws://127.0.0.1:{port}/")),
            "{sockets:?}"
        );
        browser.asked_only(operated.address(), "");
        assert_eq!(
            browser.evaluate("document.querySelectorAll('#main img').length"),
            json!(0)
        );
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{dialect}");
    }
}

/// What others hear is what was typed, and what they say is heard.
fn converse(browser: &mut Inspector, other: &mut Client, words: Words) {
    let (dialect, joined, published, heard) = words;
    let typed = json!({"from": dialect, "text": HOSTILE, "numbers": [0, -1, 70_000, 1.5, 4_294_967_296_u64]});
    browser.press_button("#ask", "Join");
    entry(browser, "received", joined);
    browser.fill("#data", &typed.to_string());
    browser.press_button("#ask", "Publish");
    let answered = entry(browser, "received", published);
    assert!(
        answered["meta"].as_str().expect("text").ends_with(" ms"),
        "{dialect}: {answered}"
    );
    let message: Value = loop {
        let message: Value = serde_json::from_str(&other.hear()).expect("JSON");
        if message["type"] == "message" {
            break message;
        }
    };
    assert_eq!(message["data"], typed, "{dialect}");
    let data = json!({"to": dialect, "text": HOSTILE});
    let said = json!({"type": "publish", "id": 1, "room": ROOM, "data": data});
    assert_eq!(say(other, &said)["type"], "ack");
    let message = entry(browser, "received", &format!(r#""to":"{dialect}""#));
    assert!(
        message["text"].as_str().expect("text").contains(heard),
        "{message}"
    );
}

#[test]
fn the_timeline_is_filtered_copied_and_bounded() {
    let operated = Operated::open();
    let mut browser = Inspector::open();
    visit(&mut browser, &operated, "json");
    browser.allow_clipboard();
    browser.press_button("#connect", "Connect");
    browser.shows("#state", "Connected");
    let raw = r#"{"type":"echo",  "id":"raw", "data":"äöü"}"#;
    browser.fill("#raw", raw);
    browser.press_button("#ask", "Send");
    let answer = r#"{"type":"echo","id":"raw","data":"äöü"}"#;
    let received = entry(&mut browser, "received", answer);
    assert_eq!(received["meta"], json!(format!("{} B", answer.len())));
    let sent = entry(&mut browser, "sent", raw);
    assert_eq!(
        sent["meta"],
        json!(format!("{} B", raw.len())),
        "as it was typed"
    );

    // Connecting, connected, welcome, sent, received.
    browser.shows("#timeline-state", "5 of 5.");
    browser.fill("#filter-text", "ÄÖÜ");
    browser.shows("#timeline-state", "2 of 5.");
    browser.click("#filter-sent");
    browser.shows("#timeline-state", "1 of 5.");
    browser.press_button("#timeline", "Copy");
    browser.shows("#timeline button", "Copied");
    browser.evaluate("navigator.clipboard.readText().then((text) => { window.copied = text; }, (error) => { window.copied = String(error); })");
    wait_until("it is pasted", || {
        browser.evaluate("window.copied ?? null") != Value::Null
    });
    assert_eq!(browser.evaluate("window.copied"), json!(answer));

    // What is typed and cannot be sent is said; what the server refuses, too.
    browser.fill("#data", "{no json");
    browser.press_button("#ask", "Publish");
    browser.begins("#ask-problem", "The data is no JSON:");
    browser.fill("#filter-text", "");
    browser.fill("#raw", "{no json");
    browser.press_button("#ask", "Send");
    entry(&mut browser, "failed", "bad_json");

    browser.fill("#raw", r#"{"type":"echo","data":"flood"}"#);
    browser.evaluate(
        "for (let count = 0; count < 300; count += 1) document.querySelector('#send').click()",
    );
    browser.click("#filter-sent");
    browser.shows("#timeline-state", "500 of 500; the newest 500 are kept.");
    assert_eq!(
        browser.evaluate("document.querySelectorAll('#timeline li').length"),
        json!(500)
    );
    browser.press_button("#filter", "Clear");
    browser.has("#timeline li", 0);
    browser.begins("#timeline-state", "Nothing yet");
}

#[test]
fn the_console_says_who_is_refused_and_why() {
    let operated = Operated::start(|_| String::new(), "required");
    let mut browser = Inspector::open();
    for dialect in ["json", "messagepack", "jsonrpc", "centrifuge"] {
        visit(&mut browser, &operated, dialect);
        browser.fill("#token", "not.a.token");
        browser.press_button("#connect", "Connect");
        // Typed, where the token goes in a message.
        let code = if dialect == "centrifuge" {
            "the server refuses"
        } else {
            "unauthorized"
        };
        wait_until("the refusal is shown", || {
            let notice = browser.text("#notice").to_lowercase();
            notice.contains(code)
                || dialect == "centrifuge" && browser.text("#state").starts_with("Closed 3500")
        });
        browser.press_button("#connect", "Disconnect");
        browser.begins("#state", "Closed");

        // Good ones are taken.
        browser.fill("#token", &token("ann"));
        browser.press_button("#connect", "Connect");
        browser.shows("#state", "Connected");
        browser.press_button("#ask", "Join");
        wait_until("the server knows who it is", || {
            operated
                .served
                .ask("/api/users/ann")
                .1
                .contains(r#""connections":1"#)
        });
        let shown = browser.text("#timeline");
        assert!(!shown.contains(&token("ann")), "{shown}");
        browser.press_button("#connect", "Disconnect");
        browser.shows("#state", "Closed 1000");
    }
    // A browser does not say why an upgrade was refused, so the page says where to look.
    visit(&mut browser, &operated, "json");
    browser.fill("#token", "not.a.token");
    browser.fill("#token-way", "subprotocol");
    browser.press_button("#connect", "Connect");
    browser.shows("#state", "Refused");
    browser.begins("#notice", "The server did not let this page in.");
}

#[test]
fn simulated_clients_get_what_they_publish() {
    const CLIENTS: u64 = 10;
    const PUBLISHES: u64 = 30;
    let operated = Operated::open();
    let mut browser = Inspector::open();
    for (turn, dialect) in ["json", "messagepack", "jsonrpc", "centrifuge"]
        .iter()
        .enumerate()
    {
        visit(&mut browser, &operated, dialect);
        browser.fill("#room", "plain:crowd");
        for (field, value) in [
            ("clients", CLIENTS),
            ("seconds", 1),
            ("rate", 3),
            ("bytes", 100),
        ] {
            browser.fill(&format!("#crowd-{field}"), &value.to_string());
        }
        browser.press_button("#crowd", "Start");
        let all = PUBLISHES * CLIENTS;
        browser.shows("#crowd-state", &format!("done: {all} of {all} deliveries."));
        let facts = browser.texts("#crowd-facts dd");
        let expected = [
            format!("{CLIENTS} of {CLIENTS}"),
            PUBLISHES.to_string(),
            PUBLISHES.to_string(),
            PUBLISHES.to_string(),
        ];
        assert_eq!(
            facts.as_array().expect("a list")[..4],
            expected.map(Value::from),
            "{dialect}"
        );
        assert_eq!(
            browser.texts("#crowd-facts dt").as_array().map(Vec::len),
            Some(7),
            "nobody was refused"
        );
        let turns = turn as u64 + 1;
        assert_eq!(operated.served.metric("publishes_total"), PUBLISHES * turns);
        assert_eq!(operated.served.metric("deliveries_total"), all * turns);
        wait_until("all have left", || {
            operated.served.metric("connections") == 0
        });
    }
}

#[test]
fn the_console_is_legible_everywhere_and_used_by_keyboard() {
    let operated = Operated::open();
    let mut browser = Inspector::open();
    for (size, scheme) in WINDOWS {
        browser.visit(&operated.url("/console"), size, scheme);
        browser.has("#dialect", 1);
        browser.fill("#room", ROOM);
        browser.press_button("#connect", "Connect");
        browser.shows("#state", "Connected");
        browser.press_button("#ask", "Join");
        browser.press_button("#ask", "Publish");
        browser.press_button("#ask", "History");
        entry(&mut browser, "received", r#""type":"history""#);
        for (field, value) in [("clients", "3"), ("seconds", "1"), ("rate", "2")] {
            browser.fill(&format!("#crowd-{field}"), value);
        }
        browser.press_button("#crowd", "Start");
        browser.begins("#crowd-state", "done");
        browser.fill("#raw", "{");
        browser.press_button("#ask", "Send");
        entry(&mut browser, "failed", "bad_json");
        browser.keep_picture(&format!("console-{}-{scheme}", size.0));
        assert_eq!(browser.evaluate(TOO_WIDE), json!([]), "{size:?} {scheme}");
        assert_eq!(browser.evaluate(ILLEGIBLE), json!([]), "{size:?} {scheme}");
    }
    assert_eq!(browser.unnamed(), json!([]));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let stops = browser.walk();
    let places: Vec<_> = [
        "Skip to content",
        "Dashboard",
        "close",
        "room",
        "data",
        "Join",
        "raw",
        "send",
        "crowd-clients",
        "crowd-start",
        "filter-text",
        "filter-note",
        "clear",
        "timeline",
    ]
    .iter()
    .map(|stop| stops.iter().position(|name| name == stop))
    .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{stops:?} {places:?}"
    );
}

/// The page may connect to the port of clients on the host that it was asked for by, and the server
/// takes it for its own.
#[test]
fn the_console_connects_whatever_its_host_is_called() {
    let mut browser = Inspector::open();
    for (host, name) in [
        ("127.0.0.1", "localhost"),
        ("127.0.0.2", "127.0.0.2"),
        ("[::1]", "[::1]"),
    ] {
        if std::net::TcpListener::bind(format!("{host}:0")).is_err() {
            leave_out(&format!("a console at {host}, which is no address here"));
            continue;
        }
        let operated = Operated::start_at(host, |_| String::new(), "off");
        let url = format!("http://{name}:{}/console", operated.address().port());
        browser.visit(&url, DESK, "light");
        browser.has("#dialect", 1);
        browser.press_button("#connect", "Connect");
        browser.shows("#state", "Connected");
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}");
    }
}
