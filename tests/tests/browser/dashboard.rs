//! The dashboard at `/` of the admin port, against a server in a process of its own, with real
//! clients: what it shows is what they did, and what an operator does on it happens.

use super::inspector::Inspector;
use super::looks::{ILLEGIBLE, TOO_WIDE};
use super::operated::{DESK, HOSTILE, Operated, ROOM, WINDOWS, join, say};
use serde_json::{Value, json};
use shardcast_patience::{Program, leave_out, wait_until};
use shardcast_tests::{Client, Raw, Served};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use tungstenite::Message;

const CLIENTS: usize = 5;
const PUBLISHES: u64 = 7;

/// A user with a hostile name and others in a room with a hostile name, in which one publishes.
fn people(operated: &Operated) -> Vec<Client> {
    let mut clients = vec![operated.user(HOSTILE)];
    clients.extend((1..CLIENTS).map(|_| operated.client()));
    for client in &mut clients {
        join(client, ROOM);
    }
    for number in 1..=PUBLISHES {
        let data = json!({ "text": HOSTILE, "number": number });
        let publish = json!({"type": "publish", "id": number, "room": ROOM, "data": data});
        assert_eq!(say(&mut clients[1], &publish)["type"], "ack");
    }
    clients
}

#[test]
fn the_dashboard_shows_what_clients_made() {
    let operated = Operated::open();
    let mut clients = people(&operated);
    let mut browser = Inspector::open();
    browser.visit(&operated.url("/"), DESK, "light");

    browser.shows("#connections", &CLIENTS.to_string());
    browser.shows("#publishes-total", &format!("{PUBLISHES} in all"));
    let deliveries = PUBLISHES * CLIENTS as u64;
    browser.shows("#deliveries-total", &format!("{deliveries} in all"));
    let requests = CLIENTS as u64 + PUBLISHES;
    assert_eq!(operated.served.metric("messages_in_total"), requests);
    browser.shows("#messages-in-total", &format!("{requests} in all"));
    browser.shows("#rooms", "1");
    browser.shows("#users", "1");
    browser.shows("#slow", "0");
    browser.shows("#stage", "Serving");
    let (_, info) = operated.served.ask("/api/info");
    let info: Value = serde_json::from_str(&info).expect("JSON");
    let driver = info["driver"].as_str().expect("text");
    let driver = driver.replace("uring", "io_uring");
    browser.shows("#driver", &format!("driver {driver}"));

    // Shard by shard it is the same.
    let shards = browser.evaluate(
        "[...document.querySelectorAll('#shards tbody tr:not([hidden])')].map((row) => Number(row.cells[2].textContent))",
    );
    let shards = shards.as_array().expect("a list");
    assert_eq!(shards.len(), 2);
    let sum: u64 = shards.iter().filter_map(Value::as_u64).sum();
    assert_eq!(sum, CLIENTS as u64);

    // Lines are drawn of more than one sample, and said for who does not see them.
    let drawn =
        "document.querySelector('#chart-messages .plot .curve').getAttribute('d').includes('L')";
    wait_until("a line is drawn", || browser.evaluate(drawn) == json!(true));
    wait_until("questions are timed", || {
        browser.text("#chart-hop .legend b") != "–"
    });
    let said = browser.evaluate(
        "document.querySelector('#chart-connections [role=img]').getAttribute('aria-label')",
    );
    assert_eq!(said, json!(format!("Connections: open {CLIENTS}")));

    // From the largest room into it.
    browser.shows("#top tbody tr:first-child", &format!("{ROOM}{CLIENTS}"));
    browser.press_button("#top tbody", ROOM);
    browser.has("#history tbody tr", PUBLISHES as usize);
    let data = format!(r#"{{"number":{PUBLISHES},"text":{}}}"#, json!(HOSTILE));
    browser.shows("#history tbody tr:first-child td:last-child", &data);
    browser.shows("#members-state", &format!("{CLIENTS} in all."));
    browser.has("#members tbody tr", CLIENTS);
    let users = browser.texts("#members tbody tr td:first-child");
    assert!(
        users.as_array().expect("a list").contains(&json!(HOSTILE)),
        "{users}"
    );

    names_a_busy_room(&mut browser, &mut clients[1]);

    // Hostile names are texts: nothing was made of them.
    assert_eq!(
        browser.evaluate("document.querySelectorAll('img').length"),
        json!(1)
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.asked_only(operated.address(), "");
    assert!(browser.sockets().is_empty());
}

/// The room that most is published to is named once ten seconds are over.
#[track_caller]
fn names_a_busy_room(browser: &mut Inspector, client: &mut Client) {
    wait_until("a room is busy", || {
        let publish = json!({"type": "publish", "id": 1, "room": "plain:busy", "data": 1});
        assert_eq!(say(client, &publish)["type"], "ack");
        let first = browser.text("#busiest tbody tr:first-child");
        first.starts_with("plain:busy")
    });
}

#[test]
fn an_operator_finds_and_closes_a_connection() {
    let operated = Operated::open();
    let mut clients = people(&operated);
    let mut browser = Inspector::open();
    browser.visit(&operated.url("/"), DESK, "light");
    browser.has("#board", 1);

    browser.fill("#find-user", HOSTILE);
    browser.press_button("#find", "Search");
    browser.has("#found tbody tr", 1);
    browser.shows("#found td:nth-child(2)", HOSTILE);
    browser.press_button("#found tbody", "Details");
    browser.has("#found tbody tr", 2);
    browser.begins("#found .facts-list", "Speaksjson");
    assert!(browser.text("#found .facts-list").contains(ROOM));

    // Not without a confirmation, which the Escape key refuses.
    browser.press_button("#found tbody", "Disconnect");
    browser.has("#confirm", 1);
    assert_eq!(
        browser.evaluate("document.activeElement.id"),
        json!("confirm-no")
    );
    assert!(browser.text("#confirm-what").contains(HOSTILE));
    browser.press("Escape", 27);
    browser.has("#confirm", 0);
    assert_eq!(operated.served.metric("connections"), CLIENTS as u64);

    browser.press_button("#found tbody", "Disconnect");
    browser.has("#confirm", 1);
    browser.fill("#confirm-reason", HOSTILE);
    browser.press_button("#confirm", "Close the connection");
    browser.has("#confirm", 0);
    let close = loop {
        if let Message::Close(close) = clients[0].hear_any() {
            break close.expect("a code");
        }
    };
    assert_eq!(
        (u16::from(close.code), close.reason.as_str()),
        (4004, HOSTILE)
    );
    browser.shows("#connections", &(CLIENTS - 1).to_string());
    browser.press_button("#find", "Search");
    browser.begins("#find-state", "None, at");
    browser.has("#found tbody tr", 1);
    browser.shows("#found tbody tr", "No connection is shown.");

    // What the server refuses is said.
    browser.fill("#find-address", "nowhere");
    browser.press_button("#find", "Search");
    wait_until("the problem is shown", || {
        browser.text("#find-state").ends_with("(400).")
    });
    browser.fill("#look-room", "unknown:room");
    browser.press_button("#look", "Look");
    wait_until("the problem is shown", || {
        browser.text("#look-state").ends_with("(400).")
    });
}

#[test]
fn slow_readers_are_named() {
    let operated = Operated::open();
    let mut slow = Raw::connect_at(operated.served.address("ws"));
    slow.upgrade();
    slow.say(r#"{"type":"join_room","id":1,"room":"plain:flood"}"#);
    wait_until("it is in the room", || {
        operated.served.metric("rooms_home") == 1
    });
    let flood = json!({"room": "plain:flood", "data": "x".repeat(60_000)}).to_string();
    wait_until("something waits", || {
        assert_eq!(operated.served.call("/api/publish", &flood).0, 200);
        operated.served.metric("outboxes") == 1
    });
    let waiting = operated.served.metric("outbox_bytes");
    let (_, listed) = operated.served.ask("/api/connections?waiting=1");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["connections"][0]["waiting_bytes"], json!(waiting));
    let none = format!("/api/connections?waiting={}", waiting + 1);
    assert_eq!(operated.served.ask(&none).1, r#"{"connections":[]}"#);

    let mut browser = Inspector::open();
    browser.visit(&operated.url("/"), DESK, "dark");
    browser.shows("#slow", "1");
    browser.has("#slowest tbody tr", 1);
    let id = listed["connections"][0]["connection"]
        .as_str()
        .expect("an id");
    browser.shows("#slowest td:first-child", id);
    browser.press_button("#slowest tbody", "Disconnect");
    browser.press_button("#confirm", "Close the connection");
    browser.shows("#connections", "0");
    browser.shows("#slowest tbody tr", "Everybody keeps up.");
}

/// The page asks for the token, and for nothing without it.
#[test]
fn the_dashboard_asks_for_the_operators_token() {
    const TOKEN: &str = "an-operators-token-of-32-characters";
    let operated = Operated::start(
        |folder| {
            let file = folder.join("admin.token");
            fs::write(&file, TOKEN).expect("a writable folder");
            format!("token_file = '{}'", file.display())
        },
        "optional",
    );
    let mut browser = Inspector::open();
    browser.visit(&operated.url("/"), DESK, "light");
    browser.has("#gate", 1);
    browser.has("#board", 0);
    assert_eq!(
        browser.evaluate("document.activeElement.id"),
        json!("gate-token")
    );
    for (shown, problem) in [
        ("short", "A token has 32 to 512 visible ASCII characters."),
        (
            "another-token-of-32-characters-or-so",
            "The server does not take this token (401).",
        ),
    ] {
        browser.fill("#gate-token", shown);
        browser.press_button("#gate", "Show the dashboard");
        browser.shows("#gate-problem", problem);
    }
    browser.fill("#gate-token", "");
    browser.evaluate("document.querySelector('#gate-token').focus()");
    browser.write(TOKEN);
    browser.press_button("#gate", "Show the dashboard");
    browser.has("#board", 1);
    browser.has("#gate", 0);
    browser.shows("#connections", "0");
    let kept = browser.evaluate(
        "[Object.values(sessionStorage), localStorage.length, document.cookie, location.href, document.querySelector('#gate-token').value]",
    );
    assert_eq!(kept, json!([[TOKEN], 0, "", operated.url("/"), ""]));
    browser.asked_only(operated.address(), TOKEN);

    // The token is changed under the page.
    browser.press_button("header", "Forget token");
    browser.has("#gate", 1);
    assert_eq!(browser.evaluate("sessionStorage.length"), json!(0));
}

/// What the guard refuses it refuses for pages, too; files are sent once.
#[test]
fn pages_are_guarded_and_kept_by_browsers() {
    let operated = Operated::open();
    let ask = |path: &str, headers: &str| {
        let mut raw = Raw::connect_at(operated.address());
        raw.send(format!("GET {path} HTTP/1.1\r\n{headers}\r\n").as_bytes());
        let head = raw.head().to_ascii_lowercase();
        let status = head.split(' ').nth(1).expect("a status").to_owned();
        (status, head)
    };
    for path in ["/", "/console", "/pages/page.css", "/pages/icon.svg"] {
        let (status, head) = ask(path, "Host: localhost\r\n");
        assert_eq!(status, "200", "{path}: {head}");
        for line in [
            "content-security-policy: default-src 'none'; script-src 'self';",
            "x-content-type-options: nosniff",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(head.contains(line), "{path}: {head}");
        }
        let etag = head
            .split("etag: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next());
        let known = format!(
            "Host: localhost\r\nIf-None-Match: {}\r\n",
            etag.expect("one")
        );
        assert_eq!(ask(path, &known).0, "304", "{path}");
        for refused in [
            "Host: evil.example\r\n",
            "Host: localhost\r\nOrigin: http://evil.example\r\n",
            "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
        ] {
            assert_eq!(ask(path, refused).0, "403", "{path} {refused}");
        }
    }
    assert_eq!(ask("/pages/nothing.js", "Host: localhost\r\n").0, "404");
    let (_, console) = ask("/console", "Host: localhost:1\r\n");
    let port = operated.served.address("ws").port();
    let allowed = format!("connect-src 'self' ws://localhost:{port}\r\n");
    assert!(console.contains(&allowed), "{console}");
}

/// Who does not look costs nothing; a server that stops, or is gone, is said.
#[test]
fn the_dashboard_rests_and_says_what_becomes_of_the_server() {
    let operated = Operated::open();
    let mut browser = Inspector::open();
    browser.visit(&operated.url("/"), DESK, "light");
    browser.has("#board", 1);
    let _one = operated.client();
    browser.shows("#connections", "1");

    browser.evaluate(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))",
    );
    let _other = operated.client();
    // The server asks its shards something once a second: as often as the page would.
    let seconds_pass = || {
        let hops = || operated.served.metric("hop_seconds_count");
        let begun = hops();
        wait_until("seconds pass", || hops() >= begun + 3);
    };
    // What was under way comes.
    seconds_pass();
    browser.evaluate("0");
    let asked = browser.requested().len();
    seconds_pass();
    browser.evaluate("0");
    assert_eq!(browser.requested().len(), asked);
    assert_eq!(browser.text("#connections"), "1");
    browser.evaluate(
        "Object.defineProperty(document, 'hidden', { value: false, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))",
    );
    browser.shows("#connections", "2");

    assert_eq!(operated.served.call("/api/drain", "").0, 200);
    browser.shows("#stage", "Lame duck");
    browser.begins("#notice", "This server is told to stop");
    drop(operated);
    browser.begins("#notice", "The server does not answer.");
}

#[test]
fn the_dashboard_is_legible_everywhere_and_used_by_keyboard() {
    let operated = Operated::open();
    let _clients = people(&operated);
    let mut browser = Inspector::open();
    let mut grounds = Vec::new();
    for (size, scheme) in WINDOWS {
        browser.visit(&operated.url("/"), size, scheme);
        browser.shows("#connections", &CLIENTS.to_string());
        browser.has("#top button", 1);
        browser.press_button("#top tbody", ROOM);
        browser.has("#history tbody tr", PUBLISHES as usize);
        browser.press_button("#find", "Search");
        browser.has("#found tbody tr", CLIENTS);
        browser.press_button("#found tbody", "Details");
        browser.has("#found .facts-list dd", 5);
        browser.keep_picture(&format!("dashboard-{}-{scheme}", size.0));
        assert_eq!(browser.evaluate(TOO_WIDE), json!([]), "{size:?} {scheme}");
        assert_eq!(browser.evaluate(ILLEGIBLE), json!([]), "{size:?} {scheme}");
        grounds.push(browser.evaluate("getComputedStyle(document.body).backgroundColor"));
        browser.press_button("#found tbody", "Disconnect");
        browser.has("#confirm", 1);
        browser.keep_picture(&format!("dashboard-confirm-{}-{scheme}", size.0));
        assert_eq!(browser.evaluate(TOO_WIDE), json!([]), "{size:?} {scheme}");
        assert_eq!(browser.evaluate(ILLEGIBLE), json!([]), "{size:?} {scheme}");
        browser.press("Escape", 27);
        browser.has("#confirm", 0);
    }
    assert_eq!(grounds[0], grounds[2]);
    assert_eq!(grounds[1], grounds[3]);
    assert_ne!(grounds[0], grounds[1], "light and dark");
    assert_eq!(browser.unnamed(), json!([]));
    assert_eq!(browser.complaints(), Vec::<String>::new());

    browser.press_button("header", "Pause");
    let stops = browser.walk();
    let before = |one: &str, other: &str| {
        let at = |name: &str| stops.iter().position(|stop| stop == name);
        let (one, other) = (at(one), at(other));
        assert!(one.is_some() && one < other, "{stops:?}");
    };
    for pair in [
        "Skip to content",
        "Dashboard",
        "Console",
        "pause",
        "shards-title",
        "top-title",
        ROOM,
        "find-user",
        "find-room",
        "find-address",
        "Search",
        "Details",
        "Disconnect",
        "look-room",
        "Look",
    ]
    .windows(2)
    {
        before(pair[0], pair[1]);
    }
    // Pressed by key: the space bar on a button.
    browser.evaluate("document.querySelector('#pause').focus()");
    browser.press(" ", 32);
    browser.shows("#pause", "Pause");
}

/// What one node shows of the others, and that one of them is gone.
#[test]
fn nodes_of_a_cluster_are_shown() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let broker = free.local_addr().expect("it listens");
    drop(free);
    let port = broker.port().to_string();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port]);
    command.args(["--save", "", "--appendonly", "no"]);
    if Command::new("redis-server")
        .arg("--version")
        .output()
        .is_err()
    {
        return leave_out("clusters over redis-server, which is missing");
    }
    let _redis = Program::start(&mut command);
    wait_until("the broker listens", || TcpStream::connect(broker).is_ok());
    let [a, b] = ["node-a", "node-b"].map(|name| {
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshards = 1\npin = \"none\"\n\
             [cluster]\nbroker = \"redis\"\nurl = \"redis://{broker}\"\nnode = \"{name}\"\npresence_lease = \"1s\"\n"
        );
        Served::start(env!("CARGO_BIN_EXE_served"), &toml)
    });
    let mut clients: Vec<Client> = [&a, &b, &b]
        .map(|node| Client::native_at(node.address("ws")))
        .into();
    for client in &mut clients {
        join(client, HOSTILE);
    }
    let mut browser = Inspector::open();
    browser.visit(&format!("http://{}/", a.address("http")), DESK, "light");
    browser.has("#nodes tbody tr", 2);
    let version = env!("CARGO_PKG_VERSION");
    browser.begins(
        "#nodes tbody tr:nth-child(1)",
        &format!("node-a (this one){version}110"),
    );
    browser.begins(
        "#nodes tbody tr:nth-child(2)",
        &format!("node-b{version}210"),
    );
    browser.shows("#connections", "1");
    browser.shows("#top tbody tr:first-child", &format!("{HOSTILE}3"));
    browser.press_button("#top tbody", HOSTILE);
    browser.begins(
        "#room-facts",
        "Connections in it3By nodenode-a: 1, node-b: 2",
    );
    drop(b);
    browser.has("#nodes tbody tr", 1);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
