//! The opening handshake: what is refused and how, what is accepted and how, in whatever pieces it
//! arrives.

use shardcast_protocol::http::{self, HeadLimits, Headers, HttpRequest, Progress, write_refusal};
use shardcast_protocol::upgrade::{
    self, ResponseError, UpgradeError, parse_response, write_accept, write_request,
};

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 8192,
    headers_max: 64,
};
const GET: &str = "GET /ws HTTP/1.1";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Headers that suffice.
const HOST: &str = "Host: example.org\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\n";
const CONNECTION: &str = "Connection: Upgrade\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const KEY_LINE: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn head(line: &str, headers: &[&str]) -> String {
    format!("{line}\r\n{}\r\n", headers.concat())
}

fn good(line: &str, extra: &[&str]) -> String {
    head(
        line,
        &[&[HOST, UPGRADE, CONNECTION, VERSION, KEY_LINE], extra].concat(),
    )
}

fn request(head: &str) -> HttpRequest<'_> {
    match http::parse(head.as_bytes(), &mut Progress::default(), &LIMITS) {
        Ok(Some((request, used))) if used == head.len() => request,
        other => panic!("{other:?}: {head}"),
    }
}

#[track_caller]
fn refused(head: &str, error: UpgradeError, status: u16) {
    match upgrade::check(&request(head)) {
        Err(given) => assert_eq!((given, given.status()), (error, status), "{head}"),
        Ok(_) => panic!("accepted: {head}"),
    }
}

#[track_caller]
fn accepted(head: &str) -> (HttpRequest<'_>, &str) {
    let request = request(head);
    let key = upgrade::check(&request).unwrap_or_else(|error| panic!("{error}: {head}"));
    assert!(request.asks_for_websocket());
    (request, key)
}

#[test]
fn request_lines_are_refused() {
    use UpgradeError::*;
    let table = [
        ("POST / HTTP/1.1", MethodNotGet, 405),
        ("HEAD / HTTP/1.1", MethodNotGet, 405),
        ("get / HTTP/1.1", MethodNotGet, 405),
        ("GET / HTTP/1.0", HttpVersion, 400),
    ];
    for (line, error, status) in table {
        refused(&good(line, &[]), error, status);
    }
}

#[test]
fn missing_headers_are_refused() {
    use UpgradeError::*;
    let all = [UPGRADE, CONNECTION, VERSION, KEY_LINE];
    let missing = [
        UpgradeMissing,
        ConnectionMissing,
        VersionMissing,
        KeyMissing,
    ];
    for (index, (error, status)) in missing.into_iter().zip([426, 426, 400, 400]).enumerate() {
        let mut headers = all.to_vec();
        headers[index] = HOST;
        refused(&head(GET, &headers), error, status);
    }
}

#[test]
fn superfluous_headers_are_refused() {
    use UpgradeError::*;
    let extra = [
        ("Sec-WebSocket-Version: 13\r\n", VersionRepeated, 400),
        (
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            KeyRepeated,
            400,
        ),
        ("Content-Length: 1\r\n", BodyAnnounced, 400),
        ("Transfer-Encoding: chunked\r\n", BodyAnnounced, 400),
    ];
    for (line, error, status) in extra {
        refused(&good(GET, &[line]), error, status);
    }
}

#[test]
fn wrong_values_are_refused() {
    use UpgradeError::*;
    for (upgrade, connection, error) in [
        ("Upgrade: h2c\r\n", CONNECTION, UpgradeMissing),
        (
            "Upgrade: websocket2, web socket\r\n",
            CONNECTION,
            UpgradeMissing,
        ),
        (UPGRADE, "Connection: keep-alive\r\n", ConnectionMissing),
        (UPGRADE, "Connection: upgraded\r\n", ConnectionMissing),
    ] {
        refused(
            &head(GET, &[HOST, upgrade, connection, VERSION, KEY_LINE]),
            error,
            426,
        );
    }
    for version in ["12", "8", "014", "13, 8", "thirteen", ""] {
        let version = format!("Sec-WebSocket-Version: {version}\r\n");
        refused(
            &head(GET, &[HOST, UPGRADE, CONNECTION, &version, KEY_LINE]),
            VersionUnsupported,
            426,
        );
    }
    let keys = [
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25j*Q==",
        "dGhlIHNhbXBs_SBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ=a",
    ];
    for key in keys {
        let key = format!("Sec-WebSocket-Key: {key}\r\n");
        refused(
            &head(GET, &[HOST, UPGRADE, CONNECTION, VERSION, &key]),
            KeyInvalid,
            400,
        );
    }
}

#[test]
fn variants_of_a_good_request_are_accepted() {
    let loose = head(
        "GET /chat HTTP/1.1",
        &[
            "HOST:a\r\n",
            "upgrade: h2c\r\n",
            "UPGRADE: foo , WebSocket\r\n",
            "connection: keep-alive,\t uPGRADE\r\n",
            "Sec-WebSocket-Version:   13 \r\n",
            "Sec-WebSocket-Key:\tAAAAAAAAAAAAAAAAAAAAAB== \r\n",
            "Content-Length: 0\r\n",
            "X: \u{e4}\r\n",
        ],
    );
    let (request, key) = accepted(&loose);
    assert_eq!(key, "AAAAAAAAAAAAAAAAAAAAAB==");
    assert_eq!(request.header("x"), Some("\u{e4}".as_bytes()));
    assert_eq!(request.header("upgrade"), Some(&b"h2c"[..]));
    assert_eq!(request.header("absent"), None);
    accepted(&format!("\r\n{}", good("GET / HTTP/1.1", &[])));
}

#[test]
fn subprotocols_come_from_every_header_in_order() {
    let cases: [(&[&str], &[&str]); 4] = [
        (&[], &[]),
        (
            &["Sec-WebSocket-Protocol: shardcast.v1\r\n"],
            &["shardcast.v1"],
        ),
        (
            &[
                "sec-websocket-protocol: b ,,a\t, c\r\n",
                "X: y\r\n",
                "Sec-WebSocket-Protocol: d\r\n",
            ],
            &["b", "a", "c", "d"],
        ),
        (
            &[
                "Sec-WebSocket-Protocol: two words, a=b, \u{e4}, ok\r\n",
                "Sec-WebSocket-Protocol:\r\n",
            ],
            &["ok"],
        ),
    ];
    for (headers, expected) in cases {
        let text = good("GET / HTTP/1.1", headers);
        let (request, _) = accepted(&text);
        assert_eq!(request.subprotocols().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_server_prefers() {
    let offers = "Sec-WebSocket-Protocol: v1, v2\r\nSec-WebSocket-Protocol: v3\r\n";
    let cases: [(&[&'static str], Option<&str>); 6] = [
        (&["v2", "v1"], Some("v2")),
        (&["v3", "v2"], Some("v3")),
        (&["v4", "v1"], Some("v1")),
        (&["V1"], None),
        (&["v4"], None),
        (&[], None),
    ];
    let text = good(GET, &[offers]);
    let (request, _) = accepted(&text);
    for (preferred, chosen) in cases {
        assert_eq!(
            request.choose_subprotocol(preferred),
            chosen,
            "{preferred:?}"
        );
    }
    let text = good(GET, &[]);
    assert_eq!(accepted(&text).0.choose_subprotocol(&["v1"]), None);
}

#[test]
fn the_acceptance_is_exact() {
    let common = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let cases = [
        (None, ""),
        (
            Some("shardcast.v1"),
            "Sec-WebSocket-Protocol: shardcast.v1\r\n",
        ),
        (Some("a\r\nSet-Cookie: b"), ""),
        (Some(""), ""),
    ];
    for (subprotocol, line) in cases {
        let mut out = Vec::new();
        write_accept(&mut out, KEY, subprotocol, None, &Headers::new());
        assert_eq!(String::from_utf8(out), Ok(format!("{common}{line}\r\n")));
        let (mut out, mut headers) = (Vec::new(), Headers::new());
        assert_eq!(headers.add("Set-Cookie", "a=b"), Ok(()));
        write_accept(&mut out, KEY, subprotocol, None, &headers);
        let expected = format!("{common}{line}Set-Cookie: a=b\r\n\r\n");
        assert_eq!(String::from_utf8(out), Ok(expected));
    }
}

/// The server checks all that a request must have. Clauses 6455-4.1-6, 6455-4.1-7, 6455-4.1-8,
/// 6455-4.1-9, 6455-4.1-10, 6455-4.1-11, 6455-4.1-14, 9112-3.2-1.
#[test]
fn a_client_and_a_server_agree() {
    let key = upgrade::encode_key(*b"the sample nonce");
    assert_eq!(key, KEY);
    let mut request = Vec::new();
    write_request(
        &mut request,
        "example.org:80",
        "/ws?a",
        &key,
        &[("Sec-WebSocket-Protocol", "v1"), ("Origin", "null")],
    );
    assert_eq!(
        str::from_utf8(&request),
        Ok(
            "GET /ws?a HTTP/1.1\r\nHost: example.org:80\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Protocol: v1\r\nOrigin: null\r\n\r\n"
        )
    );
    let (request, _) = http::parse(&request, &mut Progress::default(), &LIMITS)
        .expect("good")
        .expect("complete");
    let answered = upgrade::check(&request).expect("an upgrade");
    let mut response = Vec::new();
    let offered = request.subprotocols().next();
    write_accept(&mut response, answered, offered, None, &Headers::new());
    let head_bytes = response.len();
    response.extend(b"\x81\x00");
    for have in 0..head_bytes {
        assert_eq!(parse_response(&response[..have], &key), Ok(None), "{have}");
    }
    assert_eq!(parse_response(&response, &key), Ok(Some(head_bytes)));
}

/// Clauses 6455-4.1-17, 6455-4.1-18, 6455-4.1-19, 6455-4.1-22.
#[test]
fn a_client_refuses_what_does_not_answer_it() {
    const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let line = "HTTP/1.1 101 Switching Protocols";
    let mut refusal = Vec::new();
    write_refusal(&mut refusal, 503, "full", &Headers::new());
    let cases = [
        (head(line, &[CONNECTION, UPGRADE, ACCEPT]), Ok(Some(129))),
        (
            head("HTTP/1.1 200 OK", &[CONNECTION, UPGRADE, ACCEPT]),
            Err(ResponseError::Refused(200)),
        ),
        (
            String::from_utf8_lossy(&refusal).into_owned(),
            Err(ResponseError::Refused(503)),
        ),
        (
            head("HTTP/1.0 101 X", &[CONNECTION, UPGRADE, ACCEPT]),
            Err(ResponseError::Malformed),
        ),
        (head("SSH-2.0-OpenSSH", &[]), Err(ResponseError::Malformed)),
        (
            head(line, &[CONNECTION, ACCEPT]),
            Err(ResponseError::UpgradeMissing),
        ),
        (
            head(line, &[UPGRADE, ACCEPT]),
            Err(ResponseError::ConnectionMissing),
        ),
        (
            head(line, &[CONNECTION, UPGRADE]),
            Err(ResponseError::AcceptWrong),
        ),
        (
            head(line, &[CONNECTION, UPGRADE, ACCEPT, ACCEPT]),
            Err(ResponseError::AcceptWrong),
        ),
        (
            head(line, &[CONNECTION, UPGRADE, &ACCEPT.replace("s3p", "S3p")]),
            Err(ResponseError::AcceptWrong),
        ),
        (
            head(line, &["X: y\r\n"; 65]),
            Err(ResponseError::HeadTooLarge),
        ),
        ("x".repeat(16 * 1024), Err(ResponseError::HeadTooLarge)),
    ];
    for (answer, expected) in cases {
        assert_eq!(parse_response(answer.as_bytes(), KEY), expected, "{answer}");
    }
}
