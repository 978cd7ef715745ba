//! What is below the messages: the opening handshake, TLS, and servers that break the rules of
//! either, of frames, or of connections. Each fault is found, named, counted where it can be, and
//! answered with the right exit code.

#[expect(dead_code, reason = "compression has tests of its own")]
mod rogue;
#[expect(dead_code, reason = "most faults are for the verdicts")]
mod server;
mod terminator;
mod tool;

use rogue::{Conduct, GOOD, unmasked};
use serde_json::{Value, json};
use server::{Dialect, Fault};
use std::path::Path;
use terminator::{Diary, Identity, Seen};
use tool::{Outcome, run, tool};

/// `trusted`: what the system trusts.
fn load(arguments: &[&str], url: &str, trusted: Option<&Path>) -> Outcome {
    let mut command = tool();
    command
        .args(arguments.iter().flat_map(|words| words.split(' ')))
        .args(["--url", url, "--json", "-"]);
    if let Some(file) = trusted {
        command.env("SSL_CERT_FILE", file);
    }
    run(&mut command)
}

const ECHO: &str = "echo --connections 3 --in-flight 4 --warmup 0s --duration 300ms --drain 500ms";
const BROADCAST: &str =
    "broadcast --connections 3 --rate 100 --warmup 0s --duration 500ms --drain 1s";

/// Nothing can be measured, for a reason with these words.
fn check_refusal(arguments: &[&str], conduct: Conduct, words: &str) {
    let (address, _) = rogue::serve(conduct.clone());
    let outcome = load(arguments, &format!("ws://{address}/"), None);
    let context = format!("{arguments:?}, {conduct:?}: {}", outcome.complaint);
    assert!(outcome.complaint.contains(words), "{words}: {context}");
    assert_eq!(
        (outcome.code, outcome.report),
        (Some(3), Value::Null),
        "{context}"
    );
}

#[test]
fn who_fails_at_the_door_is_named() {
    let upgrade = "the server hung up instead of answering the upgrade";
    for (conduct, words) in [
        (Conduct::HangUpFirst, upgrade),
        (Conduct::AnswerAndHangUp(""), upgrade),
        (
            Conduct::AnswerAndHangUp("HTTP/1.1 101 Switching Protocols\r\nUpgr"),
            upgrade,
        ),
        (
            Conduct::AnswerAndHangUp(GOOD),
            "closed by the server without a close frame",
        ),
        (
            Conduct::Answer("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n"),
            "the server refused the upgrade: HTTP/1.1 503 Service Unavailable",
        ),
        (
            Conduct::Answer(
                "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: M9qUK1fSIATKRUzipgRRTWLxS4i=\r\n\r\n",
            ),
            "Sec-WebSocket-Accept is missing or wrong",
        ),
        (
            Conduct::Answer("HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: KEY\r\n\r\n"),
            "no Upgrade: websocket",
        ),
        (
            Conduct::Answer("SSH-2.0-OpenSSH_9.9\r\n"),
            "not HTTP/1.1: \"SSH-2.0-OpenSSH_9.9",
        ),
        (Conduct::Answer("\0\u{1}\u{2}"), "not HTTP/1.1"),
    ] {
        check_refusal(&[ECHO], conduct, words);
    }
}

#[test]
fn who_never_answers_is_not_waited_for() {
    let soon = "--setup 400ms";
    let unopened = "not every connection was accepted and upgraded in time";
    for (arguments, answer, words) in [
        (ECHO, "", unopened),
        (ECHO, "HTTP/1.1 101 Switching", unopened),
        (
            BROADCAST,
            GOOD,
            "the probes did not reach every subscriber in time",
        ),
    ] {
        check_refusal(&[arguments, soon], Conduct::Answer(answer), words);
    }
    // Here the server speaks first.
    let native = [ECHO, "--protocol native", soon];
    check_refusal(&native, Conduct::Answer(GOOD), unopened);
}

#[test]
fn what_was_asked_for_is_said_at_the_door() {
    let (address, requests) = rogue::serve(Conduct::Answer(
        "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\nSec-WebSocket-Protocol: two\r\n\r\n",
    ));
    let url = format!("ws://{address}/here?a=b");
    let idle = "idle --connections 1 --hold 50ms";
    let door = "--token s3cret --header X-Tenant:blue --origin http://o.example";
    let offers = "--subprotocol one --subprotocol two";
    let outcome = load(&[idle, door, offers], &url, None);
    assert_eq!(outcome.code, Some(0), "{}", outcome.complaint);
    let request = requests.lock().unwrap()[0].clone();
    for line in [
        "GET /here?a=b HTTP/1.1",
        &format!("Host: {address}"),
        "Authorization: Bearer s3cret",
        "X-Tenant: blue",
        "Origin: http://o.example",
        "Sec-WebSocket-Protocol: one, two",
    ] {
        assert!(
            request.contains(&format!("{line}\r\n")),
            "{line}: {request}"
        );
    }
    let arguments = outcome.report["arguments"].to_string();
    assert!(!arguments.contains("s3cret"), "{arguments}");
    assert!(!arguments.contains("blue"), "{arguments}");

    for (offers, words) in [
        (
            "--subprotocol one",
            "chose the subprotocol \"two\", which was not offered",
        ),
        (
            "--setup 1s",
            "chose the subprotocol \"two\", which was not offered",
        ),
    ] {
        let outcome = load(&[idle, offers], &url, None);
        assert_eq!(outcome.code, Some(3), "{}", outcome.complaint);
        assert!(outcome.complaint.contains(words), "{}", outcome.complaint);
    }
    for (wrong, words) in [
        (["--header", "Host: x"], "handshake itself"),
        (["--header", "X: a\r\nY: b"], "control character"),
        (["--token", "a b"], "--token is one word"),
        (["--subprotocol", "a,b"], "--subprotocol"),
    ] {
        let echo = ["echo", "--connections", "1", "--url", &url];
        let Outcome {
            code, complaint, ..
        } = run(tool().args(echo).args(wrong));
        assert_eq!(code, Some(2), "{complaint}");
        assert!(complaint.contains(words), "{complaint}");
    }
}

/// One connection of three is failed in the place of its sixth answer: with four under way, it
/// never has four.
fn check_fault(conduct: Conduct, errors: &Value) {
    let (address, _) = rogue::serve(conduct.clone());
    let outcome = load(&[ECHO], &format!("ws://{address}/"), None);
    let report = &outcome.report;
    let context = format!("{conduct:?}: {} {report}", outcome.complaint);
    assert_eq!(report["errors"], *errors, "{context}");
    assert_eq!(report["lost"], 4, "{context}");
    for fault in ["duplicated", "out_of_order", "corrupted"] {
        assert_eq!(report[fault], 0, "{fault}: {context}");
    }
    assert_eq!(report["partial"], false, "{context}");
    assert_eq!(outcome.code, Some(1), "{context}");
    let arrived = report["received"].as_u64().unwrap() + 4;
    assert_eq!(report["expected"], arrived, "{context}");
}

#[test]
fn every_fault_in_the_framing_is_named() {
    let whole = unmasked(0x82, &[0x65; 64]);
    let masked = [&[0x82, 0x84, 1, 2, 3, 4][..], b"xxxx"].concat();
    let padded = [&[0x82, 126, 0, 4][..], b"xxxx"].concat();
    let huge = [&[0x82, 127][..], &u64::MAX.to_be_bytes()].concat();
    let large = [&[0x82, 127][..], &(1u64 << 31).to_be_bytes()].concat();
    let too_large = "the server sent a frame much larger than anything that was sent";
    let broken = "the server sent a frame with reserved bits or a mask";
    let fragment = "the server sent a fragmented message, which this tool does not take";
    for (said, words) in [
        (masked, broken),
        (unmasked(0xc2, b"xxxx"), broken),
        (unmasked(0x92, b"xxxx"), broken),
        (unmasked(0x02, b"xxxx"), fragment),
        (unmasked(0x80, b"xxxx"), fragment),
        (
            unmasked(0x83, b"xxxx"),
            "the server sent a frame with opcode 3",
        ),
        (
            unmasked(0x89, &[0; 126]),
            "the server sent a control frame of more than 125 bytes",
        ),
        (
            padded,
            "the server sent a length that takes more bytes than it needs",
        ),
        (huge, too_large),
        (large, too_large),
    ] {
        check_fault(Conduct::Say(said), &json!({words: 1}));
    }
    let ended = json!({"closed by the server without a close frame": 1});
    check_fault(Conduct::SayAndHangUp(whole[..30].to_vec()), &ended);
    check_fault(Conduct::SayAndHangUp(Vec::new()), &ended);
    let closed = json!({"closed by the server with 1011 oops": 1});
    check_fault(Conduct::Say(unmasked(0x88, b"\x03\xf3oops")), &closed);
}

#[test]
fn who_stalls_is_told_by_what_never_came() {
    check_fault(Conduct::Say(Vec::new()), &json!({}));
    check_fault(Conduct::StopReading, &json!({}));
    // An unfinished frame is a stall, too.
    check_fault(
        Conduct::Say(unmasked(0x82, &[0; 64])[..30].to_vec()),
        &json!({}),
    );

    let (address, _) = rogue::serve(Conduct::StopReading);
    let flood = "echo --connections 1 --rate 4000 --payload 65536 --warmup 0s --duration 1s";
    let outcome = load(&[flood, "--drain 500ms"], &format!("ws://{address}/"), None);
    let report = &outcome.report;
    let unread = json!({"the server left 67108864 bytes of a connection unread": 1});
    assert_eq!(report["errors"], unread, "{} {report}", outcome.complaint);
    assert_eq!((outcome.code, &report["partial"]), (Some(4), &json!(true)));
    assert_eq!(report["received"], 5, "{report}");
    let lost = report["sent"].as_u64().unwrap() - 5;
    assert_eq!(report["lost"], lost, "{report}");
}

#[test]
fn a_server_that_dies_leaves_a_partial_report() {
    let (address, _) = rogue::serve(Conduct::Die);
    let outcome = load(&[ECHO], &format!("ws://{address}/"), None);
    let report = &outcome.report;
    let context = format!("{} {report}", outcome.complaint);
    assert_eq!(
        (outcome.code, &report["partial"]),
        (Some(4), &json!(true)),
        "{context}"
    );
    assert_eq!(
        report["partial_reason"], "no connection was left",
        "{context}"
    );
    assert_eq!(report["lost"], 3 * 4, "{context}");
    let errors = report["errors"].as_object().unwrap().values();
    let errors: u64 = errors.map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(errors, 3, "{context}");
}

#[test]
fn who_comes_after_the_end_is_refused_and_counted() {
    let (address, _) = rogue::serve(Conduct::DieBehind(8));
    let churn = "churn --connections 2 --rate 20 --warmup 0s --duration 1s --drain 1s";
    let outcome = load(&[churn], &format!("ws://{address}/"), None);
    let (report, churn) = (&outcome.report, &outcome.report["churn"]);
    let context = format!("{} {report}", outcome.complaint);
    assert_eq!(outcome.code, Some(1), "{context}");
    let count = |name: &str| churn[name].as_u64().unwrap();
    assert_eq!((count("attempts"), count("missing")), (20, 2), "{context}");
    let refused =
        format!("{address} refused the connection: is the server running there?, while connecting");
    assert!(report["errors"][&refused].as_u64() >= Some(10), "{context}");
    assert!((1..=6).contains(&count("entered")), "{context}");
}

/// Through TLS, with what the server saw.
fn load_secure(
    arguments: &[&str],
    dialect: Dialect,
    fault: Fault,
    own: &Identity,
) -> (Outcome, Diary) {
    let (port, diary) = own.relay_to(server::serve(dialect, fault));
    let ca = own.pem.to_str().unwrap();
    let arguments = [arguments, &["--ca", ca]].concat();
    let outcome = load(&arguments, &format!("wss://localhost:{port}/ws"), None);
    (outcome, diary)
}

fn agreed() -> Seen {
    Seen::Agreed(Some("localhost".into()), Some("http/1.1".into()))
}

#[test]
fn an_honest_server_passes_through_tls() {
    let own = Identity::new(&["localhost"], "honest.pem");
    let storm = "storm --connections 10 --storm-share 0.6 --rate 100 --storm-at 200ms --warmup 0s --duration 1500ms";
    let churn = "churn --connections 5 --rate 20 --warmup 0s --duration 1s";
    for (arguments, dialect, connections) in [
        (ECHO.to_owned(), Dialect::Raw, 3),
        (
            format!("{ECHO} --payload 70000 --workers 2"),
            Dialect::Raw,
            3,
        ),
        (format!("{ECHO} --payload 1000000"), Dialect::Raw, 3),
        (
            format!("{BROADCAST} --payload 20000 --burst 10"),
            Dialect::Raw,
            4,
        ),
        (
            format!("{BROADCAST} --protocol native --rooms 2"),
            Dialect::Native,
            4,
        ),
        (churn.to_owned(), Dialect::Raw, 25),
        (storm.to_owned(), Dialect::Raw, 16),
    ] {
        let (outcome, diary) = load_secure(&[&arguments], dialect, Fault::None, &own);
        let context = format!("{arguments}: {} {}", outcome.complaint, outcome.report);
        assert_eq!(outcome.code, Some(0), "{context}");
        assert_eq!(outcome.report["errors"], json!({}), "{context}");
        assert!(outcome.report["received"].as_u64() >= Some(3), "{context}");
        assert_eq!(
            diary.count(&agreed(), connections),
            connections,
            "{context}"
        );
        let left = if arguments == churn { 20 } else { 0 };
        assert_eq!(diary.count(&Seen::Farewell, left), left, "{context}");
    }
}

#[test]
fn faults_are_found_through_tls() {
    let own = Identity::new(&["localhost"], "faults.pem");
    for (fault, lost, corrupted, errors) in [
        (Fault::Drop, 1, 0, json!({})),
        (Fault::Damage, 1, 1, json!({})),
        (
            Fault::Close,
            4,
            0,
            json!({"closed by the server with 1008 enough": 1}),
        ),
    ] {
        let (outcome, _) = load_secure(&[ECHO], Dialect::Raw, fault, &own);
        let report = &outcome.report;
        assert_eq!(
            outcome.code,
            Some(1),
            "{fault:?}: {} {report}",
            outcome.complaint
        );
        assert_eq!(
            (&report["lost"], &report["corrupted"], &report["errors"]),
            (&json!(lost), &json!(corrupted), &errors),
            "{fault:?}: {report}"
        );
    }
    for (conduct, lost, words) in [
        (
            Conduct::SayAndHangUp(Vec::new()),
            4,
            "closed by the server without a close frame",
        ),
        (
            Conduct::Say(unmasked(0xc2, b"xxxx")),
            4,
            "the server sent a frame with reserved bits or a mask",
        ),
    ] {
        let (port, _) = own.relay_to(rogue::serve(conduct.clone()).0);
        let ca = own.pem.to_str().unwrap();
        let outcome = load(
            &[ECHO, "--ca", ca],
            &format!("wss://localhost:{port}/"),
            None,
        );
        assert_eq!(outcome.code, Some(1), "{conduct:?}: {}", outcome.complaint);
        assert_eq!(outcome.report["errors"], json!({words: 1}), "{conduct:?}");
        assert_eq!(outcome.report["lost"], lost, "{conduct:?}");
    }
}

#[test]
fn who_is_not_trusted_is_refused() {
    let own = Identity::new(&["localhost"], "own.pem");
    let other = Identity::new(&["localhost"], "other.pem");
    let (port, diary) = own.relay_to(server::serve(Dialect::Raw, Fault::None));
    let [named, numbered] = ["localhost", "127.0.0.1"].map(|host| format!("wss://{host}:{port}/"));
    let [own_ca, other_ca] = [&own, &other].map(|identity| identity.pem.to_str().unwrap());
    for (url, door, trusted, refusal) in [
        (&named, ["--ca", own_ca].as_slice(), &other.pem, None),
        (&named, &[], &own.pem, None),
        (&named, &["--insecure"], &other.pem, None),
        (&numbered, &["--insecure"], &other.pem, None),
        (
            &named,
            &[],
            &other.pem,
            Some("invalid peer certificate: UnknownIssuer"),
        ),
        (
            &named,
            &["--ca", other_ca],
            &other.pem,
            Some("invalid peer certificate: UnknownIssuer"),
        ),
        (
            &numbered,
            &["--ca", own_ca],
            &other.pem,
            Some("invalid peer certificate: certificate not valid for name \"127.0.0.1\""),
        ),
    ] {
        let arguments = [&["idle --connections 1 --hold 50ms"], door].concat();
        let outcome = load(&arguments, url, Some(trusted));
        let context = format!("{url} {door:?}: {}", outcome.complaint);
        assert_eq!(
            outcome.code,
            Some(if refusal.is_some() { 3 } else { 0 }),
            "{context}"
        );
        if let Some(words) = refusal {
            assert!(outcome.complaint.contains(words), "{words}: {context}");
            assert!(outcome.complaint.contains("--ca FILE"), "{context}");
        }
    }
    assert_eq!(diary.count(&agreed(), 3), 3);
    let refused = Seen::Refused("received fatal alert: UnknownCA".into());
    assert_eq!(diary.count(&refused, 2), 2);
}

#[test]
fn who_speaks_no_tls_is_named() {
    let own = Identity::new(&["localhost"], "plain.pem");
    let ca = own.pem.to_str().unwrap();
    for (conduct, words) in [
        (
            Conduct::HangUpFirst,
            "the server hung up during the TLS handshake",
        ),
        (
            Conduct::SpeakFirst("SSH-2.0-x\r\n"),
            "(does the server speak TLS there?)",
        ),
    ] {
        let (address, _) = rogue::serve(conduct);
        let outcome = load(&[ECHO, "--ca", ca], &format!("wss://{address}/"), None);
        assert_eq!(outcome.code, Some(3), "{}", outcome.complaint);
        assert!(outcome.complaint.contains(words), "{}", outcome.complaint);
    }
    let (port, _) = own.relay_to(server::serve(Dialect::Raw, Fault::None));
    let plain = load(&[ECHO], &format!("ws://localhost:{port}/"), None);
    assert_eq!(plain.code, Some(3), "{}", plain.complaint);
    let missing = load(&[ECHO, "--ca", "no-such-file"], "wss://localhost:1/", None);
    assert_eq!(missing.code, Some(2), "{}", missing.complaint);
    assert!(
        missing.complaint.contains("no-such-file"),
        "{}",
        missing.complaint
    );
}
