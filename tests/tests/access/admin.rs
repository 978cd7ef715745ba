//! The admin port as an attacker and as an operator meets it: who is let through, bans,
//! disconnects, what is audited, and that the token stands nowhere.

use crate::{loopback, request, status_of, upgrade};
use serde_json::{Value, json};
use shardcast_tests::{Raw, Served, wait_until};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

const TOKEN: &str = "planted-secret-0123456789abcdef0123456789";

/// Files of one test, which go when it ends.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Files {
        let folder = format!("shardcast-admin-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).expect("a temporary folder");
        fs::write(folder.join("token"), format!("{TOKEN}\n")).expect("a file");
        Files(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    fn audited(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.0.join("audit.log")).unwrap_or_default();
        let lines = text.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("JSON")).collect()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

/// A server whose operators show a token, and its audit log.
fn guarded(files: &Files, more: &str) -> Served {
    crate::serve(&format!(
        "[admin]\ntoken_file = '{}'\n[audit]\nfile = '{}'\n{more}",
        files.path("token"),
        files.path("audit.log")
    ))
}

/// What the admin port answers: status, head and body.
#[track_caller]
fn ask(served: &Served, line: &str, headers: &[&str], body: &str) -> (u16, String, String) {
    let mut raw = Raw::connect_at(served.address("http"));
    let length = format!("Content-Length: {}", body.len());
    let head = request(line, &[headers, &[&length]].concat());
    raw.send(format!("{head}{body}").as_bytes());
    let answer = String::from_utf8(raw.rest()).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
    (status_of(head), head.to_ascii_lowercase(), body.to_owned())
}

/// An operator's call: status and answer.
#[track_caller]
fn call(served: &Served, path: &str, body: Value) -> (u16, Value) {
    let authorization = format!("Authorization: Bearer {TOKEN}");
    let line = format!("POST {path}");
    let (status, _, answer) = ask(
        served,
        &line,
        &["Host: localhost", &authorization],
        &body.to_string(),
    );
    (status, serde_json::from_str(&answer).expect("JSON"))
}

/// A client from this address, welcomed: with its id.
#[track_caller]
fn enter(source: IpAddr, server: SocketAddr) -> (Raw, String) {
    let mut raw = Raw::connect_from(source, server);
    raw.upgrade();
    let welcome: Value = serde_json::from_str(&raw.hear()).expect("JSON");
    let id = welcome["connection"].as_str().expect("an id").to_owned();
    (raw, id)
}

#[track_caller]
fn status_from(source: IpAddr, server: SocketAddr, headers: &[&str]) -> (u16, String) {
    let mut raw = Raw::connect_from(source, server);
    raw.send_anyway(upgrade(&[&["Host: a"], headers].concat()).as_bytes());
    let (head, body) = raw.answer();
    (status_of(&head), body)
}

const GOOD: &str = "Authorization: Bearer planted-secret-0123456789abcdef0123456789";
const LONGER: &str = "Authorization: Bearer planted-secret-0123456789abcdef0123456789x";
const SHORT: &str = "Authorization: Bearer planted-secret-0123456789abcdef012345678";

/// A request, its headers, and the status that answers it.
const REQUESTS: &[(&str, &[&str], u16)] = &[
    (
        "GET /health",
        &["Host: evil.example", "Origin: http://evil.example"],
        200,
    ),
    ("GET /ready", &["Host: x"], 200),
    ("GET /metrics", &["Host: localhost"], 401),
    ("GET /metrics", &["Host: localhost", GOOD], 200),
    ("GET /metrics", &["Host: 127.0.0.1:1", GOOD], 200),
    ("GET /metrics", &["Host: localhost", LONGER], 401),
    ("GET /metrics", &["Host: localhost", SHORT], 401),
    (
        "GET /metrics",
        &["Host: localhost", "Authorization: Basic eDp5"],
        401,
    ),
    ("GET /metrics", &["Host: evil.example", GOOD], 403),
    (
        "GET /metrics",
        &["Host: localhost", GOOD, "Origin: http://evil.example"],
        403,
    ),
    (
        "GET /metrics",
        &["Host: localhost", GOOD, "Origin: null"],
        403,
    ),
    (
        "GET /metrics",
        &["Host: localhost", GOOD, "Origin: http://localhost"],
        200,
    ),
    (
        "GET /metrics",
        &["Host: localhost", GOOD, "Sec-Fetch-Site: cross-site"],
        403,
    ),
    ("POST /api/ban", &["Host: localhost"], 401),
    ("GET /nothing", &["Host: localhost"], 401),
    ("GET /nothing", &["Host: localhost", GOOD], 404),
    ("GET /api/ban", &["Host: localhost", GOOD], 405),
];

#[test]
fn nobody_passes_without_the_token_and_probes_need_none() {
    let files = Files::new("guard");
    let served = guarded(&files, "");
    let good = format!("Authorization: Bearer {TOKEN}");
    for (line, headers, expected) in REQUESTS {
        let expected = *expected;
        let (status, head, body) = ask(&served, line, headers, "");
        assert_eq!(status, expected, "{line} {headers:?}: {body}");
        if matches!(expected, 401 | 403) {
            assert!(
                head.contains("content-type: application/problem+json"),
                "{head}"
            );
            let problem: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(problem["status"], expected);
        }
        assert_eq!(
            head.contains("\r\nwww-authenticate: bearer"),
            expected == 401,
            "{head}"
        );
    }
    // Guesses are slowed down, and whoever knows the token is not.
    let guess = ["Host: localhost", "Authorization: Bearer guess"];
    let guesses = (0..40).map(|_| ask(&served, "GET /metrics", &guess, "").0);
    assert!(guesses.filter(|status| *status == 429).count() > 0);
    assert_eq!(
        ask(&served, "GET /metrics", &["Host: localhost", &good], "").0,
        200
    );
    assert_eq!(ask(&served, "GET /health", &["Host: localhost"], "").0, 200);
}

#[test]
fn without_a_token_the_loopback_port_is_its_hosts_alone() {
    let served = crate::serve("");
    for (headers, expected) in [
        (&["Host: localhost"][..], 200),
        (&["Host: 127.0.0.1:8001"], 200),
        (&["Host: evil.example:8001"], 403),
        (&["Host: localhost", "Origin: http://evil.example"], 403),
    ] {
        assert_eq!(
            ask(&served, "GET /metrics", headers, "").0,
            expected,
            "{headers:?}"
        );
    }
}

#[test]
fn operators_disconnect_and_ban() {
    let files = Files::new("calls");
    let served = guarded(&files, "");
    let server = served.address("ws");
    let (mut one, id) = enter(loopback(11), server);
    let (mut two, _) = enter(loopback(12), server);
    let (mut three, _) = enter(loopback(12), server);
    let (mut four, _) = enter(loopback(13), server);
    for raw in [&mut two, &mut three] {
        raw.say(r#"{"type":"join_room","room":"a"}"#);
        raw.hear();
    }
    let done = call(
        &served,
        "/api/disconnect",
        json!({"connection": id, "code": 4100, "reason": "go"}),
    );
    assert_eq!(done, (200, json!({"disconnected": 1})));
    let (first, payload) = one.frame();
    assert_eq!(
        (first, &payload[..]),
        (0x88, &[&4100_u16.to_be_bytes()[..], b"go"].concat()[..])
    );
    let done = call(&served, "/api/disconnect", json!({"room": "a"}));
    assert_eq!(done, (200, json!({"disconnected": 2})));
    for mut raw in [two, three] {
        let (first, payload) = raw.frame();
        assert_eq!(
            (first, &payload[2..]),
            (0x88, &b"disconnected by an operator"[..])
        );
    }
    // A ban ends what is there and keeps out what comes, until it is lifted.
    let done = call(
        &served,
        "/api/ban",
        json!({"address": "127.0.0.12/31", "for": "10m"}),
    );
    assert_eq!(done, (200, json!({"disconnected": 1})));
    assert_eq!(four.frame().0, 0x88);
    for (last, expected) in [(11, 101), (12, 403), (13, 403), (14, 101)] {
        let (status, body) = status_from(loopback(last), server, &[]);
        assert_eq!(status, expected, "{last}: {body}");
        assert_eq!(body.contains("banned"), expected == 403);
    }
    let lift = || call(&served, "/api/unban", json!({"address": "127.0.0.12/31"}));
    assert_eq!(lift(), (200, json!({"lifted": true})));
    assert_eq!(lift(), (200, json!({"lifted": false})));
    assert_eq!(status_from(loopback(12), server, &[]).0, 101);
    // A ban ends by itself.
    let done = call(
        &served,
        "/api/ban",
        json!({"address": "127.0.0.15", "for": "1s"}),
    );
    assert_eq!(done.0, 200);
    wait_until("it is over", || {
        status_from(loopback(15), server, &[]).0 == 101
    });
    wait_until("it is audited", || files.audited().len() >= 6);
    let calls = files.audited();
    let calls = calls.iter().filter(|line| line["event"] == "admin_called");
    let calls: Vec<&str> = calls.filter_map(|line| line["call"].as_str()).collect();
    assert_eq!(
        calls,
        ["disconnect", "disconnect", "ban", "unban", "unban", "ban"]
    );
}

#[test]
fn a_ban_that_cannot_be_kept_holds_all_the_same() {
    let files = Files::new("unkept");
    let served = crate::serve(&format!(
        "[admin]\ntoken_file = '{}'\nstate_file = '{}'\n",
        files.path("token"),
        files.path("state")
    ));
    let server = served.address("ws");
    let (mut one, _) = enter(loopback(51), server);
    // Where the file is written anew stands a folder.
    let in_the_way = files.path("state.new");
    fs::create_dir(&in_the_way).expect("a folder");
    let whom = json!({"address": "127.0.0.51"});
    let ban = json!({"address": "127.0.0.51", "for": "10m"});
    let (status, problem) = call(&served, "/api/ban", ban.clone());
    assert_eq!(status, 507, "{problem}");
    assert_eq!(one.frame().0, 0x88, "its connection is closed");
    assert_eq!(status_from(loopback(51), server, &[]).0, 403);
    let (status, problem) = call(&served, "/api/unban", whom);
    assert_eq!(status, 507, "{problem}");
    assert_eq!(status_from(loopback(51), server, &[]).0, 101);
    fs::remove_dir(&in_the_way).expect("the folder goes");
    assert_eq!(call(&served, "/api/ban", ban).0, 200);
    let kept = fs::read_to_string(files.path("state")).expect("the file");
    assert!(kept.contains("127.0.0.51"), "{kept}");
}

#[test]
fn a_batch_is_audited_call_by_call() {
    let files = Files::new("batch");
    let served = guarded(&files, "");
    let done = call(
        &served,
        "/api/batch",
        json!({"requests": [
            {"unban": {"address": "127.0.0.15"}},
            {"publish": {"room": "a", "data": 1}},
            {"leave": {"user": "ann", "room": "a"}},
        ]}),
    );
    assert_eq!(done.0, 200);
    wait_until("it is audited", || files.audited().len() >= 2);
    let calls = files.audited();
    let calls = calls.iter().map(|line| (&line["call"], &line["status"]));
    let expected = [(json!("unban"), json!(200)), (json!("leave"), json!(200))];
    assert!(
        calls.eq(expected.iter().map(|(call, status)| (call, status))),
        "a line for each that acts, and none for the others"
    );
}

/// What was audited of calls: which, with what, and the status.
fn calls_in(files: &Files) -> Vec<(String, Value, u64)> {
    let calls = files.audited().into_iter();
    let calls = calls.filter(|line| line["event"] == "admin_called");
    calls
        .map(|line| {
            let text = |of: &str| line[of].as_str().expect("a text").to_owned();
            let body = serde_json::from_str(&text("body")).expect("JSON");
            (text("call"), body, line["status"].as_u64().expect("one"))
        })
        .collect()
}

/// Neither spaces nor long values push out of a line whom its call is about.
#[test]
fn what_pads_a_call_is_not_audited() {
    let files = Files::new("padded");
    let served = guarded(&files, "");
    let authorization = format!("Authorization: Bearer {TOKEN}");
    let headers = ["Host: localhost", authorization.as_str()];
    let spaces = " ".repeat(6_000);
    let body = format!("{{{spaces}\"user\":\"ann\",{spaces}\"for\":\"1m\"}}");
    assert_eq!(ask(&served, "POST /api/ban", &headers, &body).0, 200);
    let name = "ü".repeat(127);
    let body = json!({"user": name, "for": format!("{}1m", "0".repeat(6_000))});
    assert_eq!(call(&served, "/api/ban", body).0, 200);
    wait_until("it is audited", || calls_in(&files).len() == 2);
    let users = calls_in(&files)
        .into_iter()
        .map(|(_, body, _)| body["user"].clone());
    assert_eq!(users.collect::<Vec<_>>(), [json!("ann"), json!(name)]);
}

/// A command of the server API of Centrifugo that ends this connection, which is nobody's.
fn ends(client: &str) -> Value {
    json!({"user": "", "client": client, "pad": "x".repeat(5_000)})
}

#[test]
fn commands_of_the_server_api_are_audited_one_by_one() {
    let files = Files::new("commands");
    let served = guarded(&files, "[namespaces.map]\nmap = true\nhistory = 10\n");
    let server = served.address("ws");
    let (mut one, first) = enter(loopback(61), server);
    let (mut two, second) = enter(loopback(62), server);
    // What reads or publishes has no line, however much of it stands before what has.
    let mut commands = vec![json!({"presence": {"channel": "a".repeat(100)}}); 100];
    let publish = json!({"channel": "map:a", "key": "k", "data": "planted words"});
    commands.extend([
        json!({ "map_publish": publish }),
        json!({"disconnect": ends(&first)}),
        json!({"history_remove": {"channel": "a"}}),
        json!({"map_remove": {"channel": "map:a", "key": "k"}}),
        json!({"map_clear": {"channel": "map:a"}}),
    ]);
    let batch = json!({ "commands": commands });
    assert_eq!(call(&served, "/centrifugo/api/batch", batch).0, 200);
    assert_eq!(one.frame().0, 0x88);
    let authorization = format!("Authorization: Bearer {TOKEN}");
    let headers = ["Host: localhost", authorization.as_str()];
    let lines = [
        json!({"method": "presence", "params": {"channel": "a"}}),
        json!({"method": "disconnect", "params": ends(&second)}),
    ];
    let lines = lines.map(|line| line.to_string()).join("\n");
    let (status, _, answer) = ask(&served, "POST /centrifugo/api", &headers, &lines);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(two.frame().0, 0x88);
    // What is refused has one, too.
    let nobody = json!({"user": "", "client": "nobody", "channel": "a"});
    let refused = call(&served, "/centrifugo/api/unsubscribe", nobody.clone());
    assert_eq!(refused.1["error"]["code"], 107);
    let line = |call: &str, body: Value, status| (format!("centrifugo {call}"), body, status);
    let end = |client| json!({"user": "", "client": client, "whitelist": [], "disconnect": null});
    let key = json!({"channel": "map:a", "key": "k", "idempotency_key": null});
    let expected = [
        line("disconnect", end(first), 200),
        line("history_remove", json!({"channel": "a"}), 108),
        line("map_remove", key, 200),
        line("map_clear", json!({"channel": "map:a"}), 200),
        line("disconnect", end(second), 200),
        line("unsubscribe", nobody, 107),
    ];
    wait_until("it is audited", || calls_in(&files).len() >= expected.len());
    assert_eq!(calls_in(&files), expected);
    let audit = fs::read_to_string(files.path("audit.log")).expect("the file");
    assert!(!audit.contains("planted words"), "{audit}");
}

#[test]
fn who_hangs_up_leaves_no_command_undone_or_unaudited() {
    let files = Files::new("hung_up");
    let served = guarded(&files, "");
    let server = served.address("ws");
    let (mut one, first) = enter(loopback(63), server);
    let (mut two, second) = enter(loopback(63), server);
    let mut commands = vec![json!({"disconnect": ends(&first)})];
    commands.extend(vec![json!({"channels": {"pattern": "*"}}); 900]);
    commands.push(json!({"disconnect": ends(&second)}));
    let body = json!({ "commands": commands }).to_string();
    let mut operator = Raw::connect_at(served.address("http"));
    let length = format!("Content-Length: {}", body.len());
    let headers = ["Host: localhost", GOOD, length.as_str()];
    let head = request("POST /centrifugo/api/batch", &headers);
    operator.send(format!("{head}{body}").as_bytes());
    assert_eq!(one.frame().0, 0x88, "the first command is done");
    drop(operator);
    assert_eq!(two.frame().0, 0x88, "and so is the last");
    wait_until("both are audited", || calls_in(&files).len() == 2);
}

/// A path, a body that is no call, and the status that answers it.
type Fault = (&'static str, Value, u16);

fn faults() -> Vec<Fault> {
    [bad_bans(), bad_disconnects()].concat()
}

fn bad_bans() -> Vec<Fault> {
    vec![
        ("/api/ban", json!({}), 400),
        ("/api/ban", json!({"address": "127.0.0.21"}), 400),
        (
            "/api/ban",
            json!({"address": "127.0.0.21", "for": "x"}),
            400,
        ),
        (
            "/api/ban",
            json!({"address": "127.0.0.21", "for": "0s"}),
            400,
        ),
        (
            "/api/ban",
            json!({"address": "127.0.0.21", "for": "366d"}),
            400,
        ),
        (
            "/api/ban",
            json!({"address": "127.0.0.21/8", "for": "1m"}),
            400,
        ),
        (
            "/api/ban",
            json!({"address": "localhost", "for": "1m"}),
            400,
        ),
        (
            "/api/ban",
            json!({"address": "127.0.0.21", "user": "ann", "for": "1m"}),
            400,
        ),
        ("/api/ban", json!({"user": "", "for": "1m"}), 400),
        (
            "/api/ban",
            json!({"addres": "127.0.0.21", "for": "1m"}),
            400,
        ),
        ("/api/ban", json!({"room": "a", "for": "1m"}), 400),
        ("/api/ban", json!([1]), 400),
        (
            "/api/unban",
            json!({"address": "127.0.0.21", "for": "1m"}),
            400,
        ),
    ]
}

fn bad_disconnects() -> Vec<Fault> {
    vec![
        ("/api/disconnect", json!({}), 400),
        (
            "/api/disconnect",
            json!({"address": "127.0.0.21", "code": 1005}),
            400,
        ),
        (
            "/api/disconnect",
            json!({"address": "127.0.0.21", "code": 70000}),
            400,
        ),
        (
            "/api/disconnect",
            json!({"address": "127.0.0.21", "reason": "x".repeat(124)}),
            400,
        ),
        (
            "/api/disconnect",
            json!({"address": "127.0.0.21", "room": "a"}),
            400,
        ),
        ("/api/disconnect", json!({"connection": "nobody"}), 400),
        ("/api/disconnect", json!({"connection": "0-ffff-1"}), 404),
        (
            "/api/disconnect",
            json!({"address": "x".repeat(70_000)}),
            413,
        ),
    ]
}

#[test]
fn what_is_no_call_changes_nothing() {
    let files = Files::new("faults");
    let served = guarded(&files, "");
    let (mut raw, _) = enter(loopback(21), served.address("ws"));
    for (path, body, expected) in faults() {
        let authorization = format!("Authorization: Bearer {TOKEN}");
        let headers = ["Host: localhost", authorization.as_str()];
        let (status, _, answer) = ask(
            &served,
            &format!("POST {path}"),
            &headers,
            &body.to_string(),
        );
        assert_eq!(status, expected, "{path} {answer}");
    }
    raw.say(r#"{"type":"ping","id":1}"#);
    assert_eq!(raw.hear(), r#"{"type":"pong","id":1}"#);
}

#[test]
fn who_is_refused_again_and_again_is_banned() {
    let files = Files::new("auto");
    let rules = format!(
        "[access]\nban_after = 3\nban_for = '1h'\n[auth]\ntokens = 'optional'\n[auth.keys.shared]\nalgorithm = 'HS256'\nsecret_file = '{}'\n",
        files.path("token")
    );
    let served = guarded(&files, &rules);
    let server = served.address("ws");
    // A page of another site cannot have the visitors banned whose browsers show it.
    let page = "Origin: https://evil.example";
    for more in [
        "X-Nothing: 1",
        "Cookie: shardcast_token=none",
        "Authorization: Basic eDp5",
    ] {
        for _ in 0..6 {
            assert_ne!(status_from(loopback(31), server, &[page, more]).0, 101);
        }
    }
    // What no page can send says who asks, whatever origin it names.
    for (last, origin) in [(31, "X-Nothing: 1"), (33, page)] {
        for expected in [401, 401, 401, 401, 403] {
            let bad = [origin, "Authorization: Bearer none"];
            let (status, body) = status_from(loopback(last), server, &bad);
            assert_eq!(status, expected, "{last} {body}");
        }
        let (_, body) = status_from(loopback(last), server, &[]);
        assert!(body.contains("banned"), "{last} {body}");
    }
    assert_eq!(status_from(loopback(32), server, &[]).0, 101);
    let done = call(&served, "/api/unban", json!({"address": "127.0.0.31"}));
    assert_eq!(done, (200, json!({"lifted": true})));
    wait_until("it is audited", || {
        files
            .audited()
            .iter()
            .any(|line| line["event"] == "banned" && line["by"] == "refusals")
    });
}

#[test]
fn the_token_stands_nowhere() {
    let files = Files::new("secret");
    let served = guarded(&files, "[log]\nlevel = 'trace'\n");
    let good = format!("Authorization: Bearer {TOKEN}");
    let near = format!("Authorization: Bearer {}", TOKEN.replace('p', "q"));
    let (_, _, metrics) = ask(&served, "GET /metrics", &["Host: localhost", &good], "");
    let (_, _, refused) = ask(&served, "GET /metrics", &["Host: localhost", &near], "");
    let body = json!({"user": "ann"}).to_string();
    let (_, _, called) = ask(
        &served,
        "POST /api/disconnect",
        &["Host: localhost", &good],
        &body,
    );
    wait_until("it is audited", || files.audited().len() >= 2);
    let audit = fs::read_to_string(files.path("audit.log")).expect("the file");
    let read = |name| fs::read(format!("/proc/{}/{name}", served.id())).expect("proc(5)");
    let arguments = String::from_utf8_lossy(&read("cmdline")).into_owned();
    let log = served.errors();
    for (place, text) in [
        ("metrics", metrics),
        ("an error", refused),
        ("an answer", called),
        ("the audit log", audit),
        ("the arguments", arguments),
        ("the log", log),
    ] {
        assert!(!text.contains("secret-0123"), "{place}: {text}");
    }
}
