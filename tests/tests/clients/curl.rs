//! curl: HTTP on the client port, and an upgrade with headers of its own (Debian's curl speaks no
//! WebSocket).

use crate::{installed, serve};
use shardcast_tests::Certificates;
use std::io::Read;
use std::process::{Command, Stdio};

/// One request: what curl says of it, status and HTTP version, and the body.
struct Answer<'a> {
    path: &'a str,
    arguments: &'a [&'a str],
    told: &'a str,
    /// `None`: for people, any words.
    body: Option<&'a str>,
}

#[track_caller]
fn check(url: &str, answer: &Answer<'_>) {
    let output = curl()
        .args(["--write-out", "\n%{http_code} HTTP/%{http_version}"])
        .args(answer.arguments)
        .arg(format!("{url}{}", answer.path))
        .output()
        .expect("curl starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, told) = said.rsplit_once('\n').unwrap_or(("", &said));
    assert_eq!(
        (told, answer.body.map(|_| body)),
        (answer.told, answer.body),
        "{url}{} {:?}: {}",
        answer.path,
        answer.arguments,
        String::from_utf8_lossy(&output.stderr)
    );
}

fn curl() -> Command {
    let mut curl = Command::new("curl");
    // No configuration of the user's, no proxy.
    curl.args([
        "--disable",
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "60",
    ]);
    curl
}

const ANSWERS: &[Answer<'_>] = &[
    Answer {
        path: "/health",
        arguments: &[],
        told: "200 HTTP/1.1",
        body: Some(r#"{"status":"ok"}"#),
    },
    Answer {
        path: "/ws",
        arguments: &[],
        told: "426 HTTP/1.1",
        body: None,
    },
    Answer {
        path: "/elsewhere",
        arguments: &[],
        told: "404 HTTP/1.1",
        body: None,
    },
    // Another protocol is refused, not guessed at.
    Answer {
        path: "/health",
        arguments: &["--http2-prior-knowledge"],
        told: "000 HTTP/0",
        body: Some(""),
    },
];

#[test]
fn http() {
    installed::need("curl", "curl", &["--version"]);
    let certificates = Certificates::make();
    let served = serve(&certificates, "");
    for answer in ANSWERS {
        check(&format!("http://{}", served.address("ws")), answer);
    }
    let authority = certificates.file("authority.pem");
    for (arguments, told) in [
        (&["--cacert", &authority][..], "200 HTTP/1.1"),
        (
            &["--cacert", &authority, "--tls-max", "1.2"],
            "200 HTTP/1.1",
        ),
        (&["--cacert", &authority, "--tlsv1.3"], "200 HTTP/1.1"),
        // It offers h2 first, and takes what the server chooses.
        (&["--cacert", &authority, "--http2"], "200 HTTP/1.1"),
        // Nobody that it trusts has signed.
        (&[], "000 HTTP/0"),
    ] {
        let body = if told.starts_with("200") {
            r#"{"status":"ok"}"#
        } else {
            ""
        };
        let url = format!("https://localhost:{}", served.address("wss").port());
        let answer = Answer {
            path: "/health",
            arguments,
            told,
            body: Some(body),
        };
        check(&url, &answer);
    }
}

#[test]
fn an_upgrade_and_its_first_frame() {
    installed::need("curl", "curl", &["--version"]);
    let certificates = Certificates::make();
    let served = serve(&certificates, "");
    upgrades(&format!("http://{}/ws", served.address("ws")), &[]);
    let url = format!("https://localhost:{}/ws", served.address("wss").port());
    upgrades(&url, &["--cacert", &certificates.file("authority.pem")]);
}

/// Reads the 101 and the welcome behind it, and hangs up.
#[track_caller]
fn upgrades(url: &str, arguments: &[&str]) {
    let headers = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let mut curl = curl()
        .args(["--include", "--no-buffer", "--http1.1"])
        .args(headers.map(|header| ["-H", header]).concat())
        .args(arguments)
        .arg(url)
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl starts");
    let mut output = curl.stdout.take().expect("it is piped");
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    // The last key of the welcome.
    while !String::from_utf8_lossy(&said).contains(r#""max_message_bytes":65536}"#) {
        match output.read(&mut chunk).expect("a pipe") {
            0 => panic!("{}", String::from_utf8_lossy(&said)),
            count => said.extend_from_slice(&chunk[..count]),
        }
    }
    let _already_ended = curl.kill();
    curl.wait().expect("a child");
    let end = said
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .expect("a head");
    let (head, frame) = said.split_at(end + 4);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    // RFC 6455 §1.3 has this key and its answer.
    for line in [
        "http/1.1 101 switching protocols\r\n",
        "\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    let welcome = &frame[2..];
    assert_eq!(
        (frame[0], usize::from(frame[1])),
        (0x81, welcome.len()),
        "one short text frame"
    );
    assert!(welcome.starts_with(br#"{"type":"welcome","#), "{head}");
}
