//! Traces as a collector gets them, decoded by PyPI `opentelemetry-proto`: of a publish from its
//! client over its home to members on two shards, of calls to a backend, and collectors that are
//! not there, or do not like what they are sent.

use crate::installed::python_script;
use serde_json::{Value, json};
use shardcast_patience::{Program, wait_until};
use shardcast_tests::{Client, PATIENCE, Served};
use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, process};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A collector in Python, and the backend that it is, too.
struct Collector {
    program: Program,
    port: u64,
}

impl Collector {
    fn start(mode: &str) -> Collector {
        let mut program = Program::start(python_script("otlp-python", "collector.py").arg(mode));
        let line = program.line();
        let port = line.as_deref().and_then(|line| line.trim().parse().ok());
        let Some(port) = port else {
            panic!("no port: {line:?} {}", program.end().errors);
        };
        Collector { program, port }
    }

    /// What it prints next.
    #[track_caller]
    fn next(&mut self) -> Value {
        let line = self.program.line().expect("it prints a line");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Its next lines, in no order.
    #[track_caller]
    fn lines(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.next()).collect()
    }

    fn toml(&self, sample: &str) -> String {
        let port = self.port;
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshards = 2\npin = \"none\"\n\
             [tracing]\nendpoint = \"http://127.0.0.1:{port}/v1/traces\"\nsample = {sample}\n\
             timeout = \"1s\"\n"
        )
    }

    fn serve(&self, sample: &str, more: &str) -> Served {
        let toml = format!("{}{more}", self.toml(sample));
        Served::start(env!("CARGO_BIN_EXE_served"), &toml)
    }
}

/// The only one of these spans that is called so.
#[track_caller]
fn named<'s>(spans: &'s [Value], name: &str) -> &'s Value {
    let mut found = spans.iter().filter(|span| span["span"] == name);
    let span = found.next();
    assert!(found.next().is_none(), "several: {spans:?}");
    span.unwrap_or_else(|| panic!("no {name}: {spans:?}"))
}

/// A part of another span, in its time.
#[track_caller]
fn is_part(span: &Value, whole: &Value) {
    assert_eq!(span["trace"], whole["trace"]);
    assert_eq!(span["parent"], whole["id"], "{span} of {whole}");
    let time = |span: &Value, of: &str| span[of].as_u64().expect("a time");
    assert!(
        time(whole, "begin") <= time(span, "begin"),
        "{span} {whole}"
    );
    assert!(time(span, "begin") <= time(span, "end"), "{span}");
    let hour = 3_600_000_000_000;
    let now = time(span, "now");
    assert!(
        time(span, "end") <= now && now - time(span, "end") < hour,
        "{span}"
    );
}

/// Members of a room on both shards.
fn members_on_both_shards(served: &Served, room: &str) -> Vec<Client> {
    const CLIENTS_MAX: usize = 64;
    let mut shards = BTreeSet::new();
    let mut members = Vec::new();
    while shards.len() < 2 {
        assert!(members.len() < CLIENTS_MAX, "the kernel spreads clients");
        let mut client = Client::native_at(served.address("ws"));
        let shard = client.id().split('-').next().expect("a shard").to_owned();
        if shards.insert(shard) {
            client.join(room);
            members.push(client);
        }
    }
    members
}

#[test]
fn a_publish_is_followed_from_its_client_to_its_members() {
    let mut collector = Collector::start("ok");
    let folder = std::env::temp_dir().join(format!("shardcast-traces-{}", process::id()));
    let folder = Folder(folder);
    fs::create_dir_all(&folder.0).expect("a temporary folder");
    let headers = folder.0.join("headers");
    fs::write(&headers, "# of the collector\nX-Key: k1\n").expect("a file");
    let more = format!(
        "service_name = \"chat\"\nheaders_file = '{}'\n",
        headers.display()
    );
    let served = collector.serve("0", &more);
    let mut members = members_on_both_shards(&served, "r");
    let mut ann = Client::native_at(served.address("ws"));

    // Neither is recorded: this one belongs to no trace, and that one to one that is not sampled,
    // of which the members hear all the same.
    ann.say(r#"{"type":"broadcast","room":"r","data":0}"#);
    let unsampled = format!("00-{TRACE}-{CALLER}-00");
    ann.say(&broadcast(1, &unsampled));
    for member in &mut members {
        let first: Value = serde_json::from_str(&member.hear()).expect("JSON");
        assert!(first.get("traceparent").is_none(), "{first}");
        let second: Value = serde_json::from_str(&member.hear()).expect("JSON");
        assert_eq!(second["traceparent"], json!(unsampled));
    }

    ann.say(&broadcast(2, &format!("00-{TRACE}-{CALLER}-01")));
    let mut contexts = BTreeSet::new();
    for member in &mut members {
        let message: Value = serde_json::from_str(&member.hear()).expect("JSON");
        assert_eq!(message["data"], json!([2]));
        contexts.insert(message["traceparent"].to_string());
    }
    check_spans(&collector.lines(4), ann.id(), &contexts);

    // What is refused is recorded, too.
    ann.ask(&format!(
        r#"{{"type":"broadcast","id":1,"room":"{}","data":1,"traceparent":"00-{TRACE}-{CALLER}-01"}}"#,
        "x".repeat(5_000)
    ));
    let refused = collector.next();
    assert_eq!(
        (&refused["span"], &refused["error"]),
        (&json!("publish"), &json!("bad_request"))
    );

    // A reload records everything from then on, as traces of their own.
    served.reconfigure(&format!("{}{more}", collector.toml("1")));
    served.hang_up();
    wait_until("the reload", || {
        served.ask("/api/config").1.contains(r#"sample":1"#)
    });
    ann.say(r#"{"type":"broadcast","room":"r","data":3}"#);
    let spans = collector.lines(4);
    let publish = named(&spans, "publish");
    assert_eq!(publish["parent"], "");
    assert_ne!(publish["trace"], TRACE);
    is_part(named(&spans, "home"), publish);
    wait_until("all are counted", || {
        served.metric("trace_spans_total{outcome=\"sent\"}") == 9
    });
    drop(folder);
}

/// A publish of this connection, of which members were told these contexts, with its home and what
/// both shards have done.
#[track_caller]
fn check_spans(spans: &[Value], connection: &str, contexts: &BTreeSet<String>) {
    let (publish, home) = (named(spans, "publish"), named(spans, "home"));
    assert_eq!(
        (&publish["trace"], &publish["parent"]),
        (&json!(TRACE), &json!(CALLER))
    );
    assert_eq!(
        (&publish["kind"], &publish["error"]),
        (&json!(2), &Value::Null)
    );
    let (id, attributes) = (
        publish["id"].as_str().expect("an id"),
        &publish["attributes"],
    );
    assert_eq!(attributes["messaging.destination.name"], "r");
    assert_eq!(attributes["messaging.message.body.size"], 3);
    assert_eq!(attributes["shardcast.connection"], connection);
    assert_eq!(
        (&publish["service"], &publish["key"]),
        (&json!("chat"), &json!("k1"))
    );
    let context = json!(format!("00-{TRACE}-{id}-01")).to_string();
    assert_eq!(*contexts, BTreeSet::from([context]));
    is_part(home, publish);
    assert_eq!(home["attributes"]["messaging.destination.name"], "r");
    let mut shards = BTreeSet::new();
    for delivery in spans.iter().filter(|span| span["span"] == "deliver") {
        is_part(delivery, home);
        assert_eq!(delivery["attributes"]["shardcast.delivered"], 1);
        assert_eq!(delivery["attributes"]["shardcast.dropped"], 0);
        shards.insert(delivery["attributes"]["shardcast.shard"].as_u64());
    }
    assert_eq!(shards, BTreeSet::from([Some(0), Some(1)]));
}

fn broadcast(data: u32, context: &str) -> String {
    format!(r#"{{"type":"broadcast","room":"r","data":[{data}],"traceparent":"{context}"}}"#)
}

/// A folder, which goes when this is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_backend_is_asked_within_the_trace() {
    let mut collector = Collector::start("ok");
    let gateway = format!(
        "[gateway]\nurl = \"http://127.0.0.1:{}/hook\"\nevents = \"join,publish,rpc\"\n",
        collector.port
    );
    let served = collector.serve("1", &gateway);
    let mut ann = Client::native_at(served.address("ws"));
    ann.join("r");
    let lines = collector.lines(3);
    check_call(&lines, "join", named(&lines, "join")["id"].as_str());

    ann.ask(r#"{"type":"broadcast","id":1,"room":"r","data":1,"echo":false}"#);
    // The only member is the publisher, to whom nothing goes.
    let lines = collector.lines(5);
    let publish = named(&lines, "publish");
    assert_eq!(publish["parent"], "");
    is_part(named(&lines, "home"), publish);
    is_part(named(&lines, "deliver"), named(&lines, "home"));
    is_part(named(&lines, "gateway publish"), publish);
    check_call(&lines, "publish", publish["id"].as_str());

    ann.ask(&format!(
        r#"{{"type":"add","id":2,"data":1,"traceparent":"00-{TRACE}-{CALLER}-01"}}"#
    ));
    let lines = collector.lines(2);
    assert_eq!(named(&lines, "gateway rpc")["trace"], TRACE);
    check_call(&lines, "rpc", Some(CALLER));

    // Not sampled: nothing is recorded, and the backend is told all the same.
    let unsampled = format!("00-{TRACE}-{CALLER}-00");
    ann.ask(&format!(
        r#"{{"type":"add","id":3,"data":1,"traceparent":"{unsampled}"}}"#
    ));
    let told = json!({"hook": "rpc", "traceparent": unsampled});
    assert_eq!(collector.next(), told);
}

/// A client that has its requests belong to a sampled trace has no say where callers are ignored:
/// nothing of it is recorded, neither here nor at homes and members, who are told of it all the
/// same.
#[test]
fn callers_that_are_ignored_have_nothing_recorded() {
    let mut collector = Collector::start("ok");
    let more = format!(
        "callers = \"ignore\"\n[gateway]\nurl = \"http://127.0.0.1:{}/hook\"\nevents = \"join,publish\"\n",
        collector.port
    );
    let served = collector.serve("0", &more);
    let sampled = format!("00-{TRACE}-{CALLER}-01");
    let hook = |event: &str, context: Option<&str>| json!({"hook": event, "traceparent": context});
    let mut bob = Client::native_at(served.address("ws"));
    bob.ask(&format!(
        r#"{{"type":"join_room","id":1,"room":"r","traceparent":"{sampled}"}}"#
    ));
    assert_eq!(collector.next(), hook("join", Some(&sampled)));
    let mut ann = Client::native_at(served.address("ws"));
    ann.say(&broadcast(1, &sampled));
    assert_eq!(collector.next(), hook("publish", Some(&sampled)));
    let message: Value = serde_json::from_str(&bob.hear()).expect("JSON");
    assert_eq!(message["traceparent"], sampled);

    // The first that is recorded is what the server chooses.
    served.reconfigure(&format!("{}{more}", collector.toml("1")));
    served.hang_up();
    wait_until("the reload", || {
        served.ask("/api/config").1.contains(r#"sample":1"#)
    });
    ann.say(&broadcast(2, &sampled));
    let lines = collector.lines(5);
    let publish = named(&lines, "publish");
    assert_eq!(publish["parent"], "");
    for span in lines.iter().filter(|line| line["span"].is_string()) {
        assert_eq!(span["trace"], publish["trace"]);
        assert_ne!(span["trace"], TRACE);
    }
    let told = ["trace", "id"].map(|part| publish[part].as_str().expect("an id").to_owned());
    let message: Value = serde_json::from_str(&bob.hear()).expect("JSON");
    assert_eq!(
        message["traceparent"],
        format!("00-{}-{}-01", told[0], told[1])
    );
    wait_until("all are counted", || {
        served.metric("trace_spans_total{outcome=\"sent\"}") == 4
    });
}

/// What a backend refuses, and what the server refuses behind it, has its steps with all that is
/// known of them.
#[test]
fn what_is_refused_is_recorded_with_why() {
    let mut collector = Collector::start("ok");
    let port = collector.port;
    let gateway = |path: &str| {
        format!("[gateway]\nurl = \"http://127.0.0.1:{port}{path}\"\nevents = \"join,publish\"\n")
    };
    // Nothing is there, which refuses.
    let served = collector.serve("1", &gateway("/nowhere"));
    let behind = format!(
        "{}[limits]\nmax_rooms_per_connection = 1\n",
        gateway("/hook")
    );
    let mut ann = Client::native_at(served.address("ws"));
    for (asked, step, bytes) in [
        (
            r#"{"type":"join_room","id":1,"room":"r"}"#,
            "join",
            json!(null),
        ),
        (
            r#"{"type":"broadcast","id":2,"room":"r","data":[7]}"#,
            "publish",
            json!(3),
        ),
    ] {
        let answer = ann.ask(asked);
        assert!(answer.contains("\"unknown_type\""), "{answer}");
        let lines = collector.lines(2);
        let span = named(&lines, step);
        is_part(named(&lines, &format!("gateway {step}")), span);
        assert_eq!(span["error"], "unknown_type");
        let attributes = &span["attributes"];
        assert_eq!(attributes["messaging.destination.name"], "r");
        assert_eq!(attributes["shardcast.connection"], ann.id());
        assert_eq!(attributes["messaging.message.body.size"], bytes);
    }
    drop(served);

    let served = collector.serve("1", &behind);
    let mut ann = Client::native_at(served.address("ws"));
    ann.join("a");
    let lines = collector.lines(3);
    assert_eq!(named(&lines, "join")["error"], Value::Null);
    let answer = ann.ask(r#"{"type":"join_room","id":1,"room":"b"}"#);
    assert!(answer.contains("\"room_limit\""), "{answer}");
    let lines = collector.lines(3);
    assert_eq!(named(&lines, "join")["error"], "room_limit");
}

/// What the backend was told, and the span of that call.
#[track_caller]
fn check_call(lines: &[Value], event: &str, parent: Option<&str>) {
    let call = named(lines, &format!("gateway {event}"));
    let hooks: Vec<&Value> = lines.iter().filter(|line| line["hook"] == event).collect();
    let context = |of: &str| call[of].as_str().unwrap_or_default().to_owned();
    let told = format!("00-{}-{}-01", context("trace"), context("id"));
    assert_eq!(hooks, [&json!({"hook": event, "traceparent": told})]);
    assert_eq!(call["parent"].as_str(), parent);
    assert_eq!((&call["kind"], &call["error"]), (&json!(3), &Value::Null));
    assert_eq!(call["attributes"]["shardcast.outcome"], "accepted");
}

#[test]
fn what_a_collector_does_with_spans_is_counted() {
    for (mode, sent, rejected, failed) in [
        ("partial", 1, 1, 0),
        ("refuse", 0, 2, 0),
        ("later", 2, 0, 1),
    ] {
        let collector = Collector::start(mode);
        let served = collector.serve("1", "");
        let mut ann = Client::native_at(served.address("ws"));
        ann.ask(r#"{"type":"broadcast","id":1,"room":"nobody","data":1}"#);
        let spans = |outcome| served.metric(&format!("trace_spans_total{{outcome=\"{outcome}\"}}"));
        wait_until("both steps are counted", || {
            spans("sent") + spans("rejected") == 2
        });
        assert_eq!((spans("lost"), spans("dropped")), (0, 0), "{mode}");
        let exports =
            |outcome| served.metric(&format!("trace_exports_total{{outcome=\"{outcome}\"}}"));
        // The two may have gone apart.
        let requests = exports("taken") + exports("refused");
        assert!((1..=2).contains(&requests), "{mode}");
        match mode {
            "partial" => assert_eq!(spans("rejected"), requests),
            _ => assert_eq!(
                (spans("sent"), spans("rejected")),
                (sent, rejected),
                "{mode}"
            ),
        }
        assert_eq!(exports("failed"), failed, "{mode}");
    }
}

/// Clients are served, what finds no room is dropped and counted, and the server ends in time.
#[test]
fn a_collector_that_is_silent_or_gone_costs_nobody_anything() {
    const PUBLISHES: u64 = 200;
    let silent = Collector::start("mute");
    let gone = Collector {
        port: 1,
        program: Program::start(process::Command::new("true").arg("nothing")),
    };
    for collector in [silent, gone] {
        let served = collector.serve("1", "queue = 16\n");
        let mut ann = Client::native_at(served.address("ws"));
        ann.join("r");
        for number in 0..PUBLISHES {
            ann.say(&format!(
                r#"{{"type":"broadcast","room":"r","data":{number}}}"#
            ));
            let message: Value = serde_json::from_str(&ann.hear()).expect("JSON");
            assert_eq!(message["data"], number);
        }
        let spans = |outcome| served.metric(&format!("trace_spans_total{{outcome=\"{outcome}\"}}"));
        wait_until("some are dropped or lost", || {
            spans("dropped") + spans("lost") > 0
        });
        assert_eq!(spans("sent"), 0);
        served.terminate();
        let (code, log) = served.end();
        assert_eq!(code, Some(0), "{log}");
    }
}

/// An operator is trusted whatever clients may say.
#[test]
fn a_publish_of_an_operator_is_followed() {
    let mut collector = Collector::start("ok");
    let served = collector.serve("0", "callers = \"ignore\"\n");
    let mut member = Client::native_at(served.address("ws"));
    member.join("r");
    let header = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n");
    let call = |path, json| served.call_with(path, &header, json);
    for (path, json) in [
        ("/api/publish", r#"{"room":"r","data":[1]}"#),
        (
            "/api/batch",
            r#"{"requests":[{"publish":{"room":"r","data":[1]}}]}"#,
        ),
    ] {
        let (status, answer) = call(path, json);
        assert_eq!(status, 200, "{answer}");
        let spans = collector.lines(3);
        let publish = named(&spans, "publish");
        assert_eq!(
            (&publish["trace"], &publish["parent"]),
            (&json!(TRACE), &json!(CALLER))
        );
        assert_eq!(publish["error"], Value::Null);
        assert_eq!(publish["attributes"]["messaging.destination.name"], "r");
        is_part(named(&spans, "home"), publish);
        is_part(named(&spans, "deliver"), named(&spans, "home"));
        let message: Value = serde_json::from_str(&member.hear()).expect("JSON");
        let id = publish["id"].as_str().expect("an id");
        assert_eq!(message["traceparent"], format!("00-{TRACE}-{id}-01"));
    }
    // What is refused is recorded, too, and what belongs to no trace is not.
    assert_eq!(call("/api/publish", r#"{"room":"","data":1}"#).0, 400);
    let refused = collector.next();
    assert_eq!(
        (&refused["span"], &refused["error"]),
        (&json!("publish"), &json!("400"))
    );
    let plain = r#"{"room":"r","data":2}"#;
    assert_eq!(served.call("/api/publish", plain).0, 200);
    let message: Value = serde_json::from_str(&member.hear()).expect("JSON");
    assert_eq!(message.get("traceparent"), None, "{message}");
}

/// A broker that is there, or why not.
fn broker() -> Option<(Program, u16)> {
    if process::Command::new("redis-server")
        .arg("--version")
        .output()
        .is_err()
    {
        shardcast_patience::leave_out("traces over nodes: redis-server is missing");
        return None;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let mut command = process::Command::new("redis-server");
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ]);
    let program = Program::start(&mut command);
    wait_until("the broker listens", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    Some((program, port))
}

#[test]
fn a_publish_is_followed_to_another_node() {
    let Some((_broker, port)) = broker() else {
        return;
    };
    let mut collector = Collector::start("ok");
    let [near, far] = ["near", "far"].map(|name| {
        let cluster = format!(
            "[cluster]\nbroker = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"\nnode = \"{name}\"\n"
        );
        collector.serve("0", &cluster)
    });
    let mut ann = Client::native_at(near.address("ws"));
    let mut member = Client::native_at(far.address("ws"));
    member.join("r");
    // Until the broker knows who wants to hear of the room.
    let hasty = Some(Duration::from_millis(100));
    member.stream().set_read_timeout(hasty).expect("not zero");
    wait_until("the other node hears", || {
        ann.ask(r#"{"type":"publish","id":1,"room":"r","data":0}"#);
        member.try_hear().is_ok()
    });
    let patience = member.stream().set_read_timeout(Some(PATIENCE));
    patience.expect("not zero");
    ann.say(&broadcast(1, &format!("00-{TRACE}-{CALLER}-01")));
    let message = loop {
        let message: Value = serde_json::from_str(&member.hear()).expect("JSON");
        if message["data"] != 0 {
            break message;
        }
    };
    assert_eq!(message["data"], json!([1]));
    let spans = collector.lines(4);
    let publish = named(&spans, "publish");
    let id = publish["id"].as_str().expect("an id");
    assert_eq!(message["traceparent"], format!("00-{TRACE}-{id}-01"));
    // Both nodes have given it a place; the other one has a member.
    let homes = spans.iter().filter(|span| span["span"] == "home");
    let homes: Vec<&Value> = homes.collect();
    assert_eq!(homes.len(), 2, "{spans:?}");
    for home in &homes {
        is_part(home, publish);
    }
    let deliver = named(&spans, "deliver");
    assert_eq!(deliver["attributes"]["shardcast.delivered"], 1);
    assert!(homes.iter().any(|home| home["id"] == deliver["parent"]));
}
