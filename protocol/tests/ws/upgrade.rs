//! The opening handshake: what is refused and how, what is accepted and how, in whatever pieces it arrives.

use shardcast_protocol::upgrade::{
    self, Request, ResponseError, UpgradeError, UpgradeLimits, parse_response, write_accept,
    write_refusal, write_request,
};

const LIMITS: UpgradeLimits = UpgradeLimits {
    head_bytes_max: 8192,
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

fn parse(head: &str) -> Result<Option<(Request<'_>, usize)>, UpgradeError> {
    upgrade::parse(head.as_bytes(), &mut 0, &LIMITS)
}

#[track_caller]
fn refused(head: &str, error: UpgradeError, status: u16) {
    match parse(head) {
        Err(given) => assert_eq!((given, given.status()), (error, status), "{head}"),
        Ok(_) => panic!("accepted: {head}"),
    }
}

#[track_caller]
fn accepted(head: &str) -> Request<'_> {
    match parse(head) {
        Ok(Some((request, used))) => {
            assert_eq!(used, head.len());
            request
        }
        other => panic!("{other:?}: {head}"),
    }
}

#[test]
fn request_lines_are_refused() {
    use UpgradeError::*;
    let table = [
        ("POST / HTTP/1.1", MethodNotGet, 405),
        ("HEAD / HTTP/1.1", MethodNotGet, 405),
        ("get / HTTP/1.1", MethodNotGet, 405),
        ("GET / HTTP/1.0", HttpVersion, 400),
        ("GET / HTTP/2.0", HttpVersion, 400),
        ("GET / HTTP/1.2", HttpVersion, 400),
        ("GET / http/1.1", HttpVersion, 400),
        ("GET /", Malformed, 400),
        ("GET  / HTTP/1.1", Malformed, 400),
        ("GET / HTTP/1.1 ", Malformed, 400),
        ("", Malformed, 400),
        ("\u{16}\u{3}\u{1}", Malformed, 400),
        ("GET * HTTP/1.1", BadTarget, 400),
        ("GET example.org:80 HTTP/1.1", BadTarget, 400),
        ("GET ftp://example.org/ HTTP/1.1", BadTarget, 400),
        ("GET http:///ws HTTP/1.1", BadTarget, 400),
        ("GET /ws#part HTTP/1.1", BadTarget, 400),
        ("GET /w\u{e4} HTTP/1.1", BadTarget, 400),
    ];
    for (line, error, status) in table {
        refused(&good(line, &[]), error, status);
    }
}

#[test]
fn missing_headers_are_refused() {
    use UpgradeError::*;
    let all = [HOST, UPGRADE, CONNECTION, VERSION, KEY_LINE];
    let missing = [
        HostMissing,
        UpgradeMissing,
        ConnectionMissing,
        VersionMissing,
        KeyMissing,
    ];
    for (index, (error, status)) in missing
        .into_iter()
        .zip([400, 426, 426, 400, 400])
        .enumerate()
    {
        let mut headers = all.to_vec();
        headers.remove(index);
        refused(&head(GET, &headers), error, status);
    }
}

#[test]
fn superfluous_and_malformed_headers_are_refused() {
    use UpgradeError::*;
    let extra = [
        ("host: other\r\n", HostRepeated, 400),
        ("Sec-WebSocket-Version: 13\r\n", VersionRepeated, 400),
        (
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            KeyRepeated,
            400,
        ),
        ("Content-Length: 1\r\n", BodyAnnounced, 400),
        (
            "Content-Length: 0\r\nContent-Length: 5\r\n",
            BodyAnnounced,
            400,
        ),
        ("Content-Length: -0\r\n", BodyAnnounced, 400),
        ("Transfer-Encoding: chunked\r\n", BodyAnnounced, 400),
        ("No colon\r\n", Malformed, 400),
        ("Space : before\r\n", Malformed, 400),
        (": nameless\r\n", Malformed, 400),
        ("X: folded\r\n line\r\n", Malformed, 400),
        ("X: bell\u{7}\r\n", Malformed, 400),
        ("X: bare\nY: feed\r\n", Malformed, 400),
        ("X: bare\n\nGET /other HTTP/1.1\r\n", Malformed, 400),
        ("X: bare\rreturn\r\n", Malformed, 400),
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
fn sizes_are_bounded() {
    let small = UpgradeLimits {
        head_bytes_max: 512,
    };
    let padded = |bytes: usize| {
        let empty = good("GET / HTTP/1.1", &["X: \r\n"]).len();
        good(
            "GET / HTTP/1.1",
            &[&format!("X: {}\r\n", "x".repeat(bytes - empty))],
        )
    };
    let fits = padded(512);
    assert!(matches!(
        upgrade::parse(fits.as_bytes(), &mut 0, &small),
        Ok(Some((_, 512)))
    ));
    assert!(matches!(
        upgrade::parse(&fits.as_bytes()[..511], &mut 0, &small),
        Ok(None)
    ));
    let large = padded(513);
    for len in [512, 513] {
        let answer = upgrade::parse(&large.as_bytes()[..len], &mut 0, &small);
        assert!(matches!(answer, Err(UpgradeError::HeadTooLarge)), "{len}");
    }
    assert_eq!(UpgradeError::HeadTooLarge.status(), 431);
    accepted(&good("GET / HTTP/1.1", &["X: y\r\n"; 59]));
    refused(
        &good("GET / HTTP/1.1", &["X: y\r\n"; 60]),
        UpgradeError::TooManyHeaders,
        431,
    );
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
    let request = accepted(&loose);
    assert_eq!(request.key(), "AAAAAAAAAAAAAAAAAAAAAB==");
    assert_eq!(request.header("x"), Some("\u{e4}".as_bytes()));
    assert_eq!(request.header("upgrade"), Some(&b"h2c"[..]));
    assert_eq!(request.header("absent"), None);
    accepted(&format!("\r\n{}", good("GET / HTTP/1.1", &[])));

    let targets = [
        ("/", "/", None),
        ("/ws?token=a?b&c", "/ws", Some("token=a?b&c")),
        ("/ws?", "/ws", Some("")),
        ("/a%20b//c", "/a%20b//c", None),
        ("http://example.org/ws?q", "/ws", Some("q")),
        ("WSS://example.org:444", "/", None),
        ("ws://example.org?q=/", "/", Some("q=/")),
    ];
    for (target, path, query) in targets {
        let text = good(&format!("GET {target} HTTP/1.1"), &[]);
        let request = accepted(&text);
        assert_eq!((request.path(), request.query()), (path, query), "{target}");
    }
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
        assert_eq!(accepted(&text).subprotocols().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_head_may_arrive_byte_by_byte_and_with_frames_behind_it() {
    let text = good("GET /ws HTTP/1.1", &[]);
    let bytes = [text.as_bytes(), b"\x81\x80\r\n\r\n"].concat();
    let mut scanned = 0;
    for have in 0..text.len() {
        assert!(
            matches!(
                upgrade::parse(&bytes[..have], &mut scanned, &LIMITS),
                Ok(None)
            ),
            "{have}"
        );
        assert_eq!(scanned, have, "looks at each byte once");
    }
    for have in text.len()..=bytes.len() {
        match upgrade::parse(&bytes[..have], &mut scanned.clone(), &LIMITS) {
            Ok(Some((request, used))) => assert_eq!((request.path(), used), ("/ws", text.len())),
            other => panic!("{other:?}"),
        }
    }
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
        write_accept(&mut out, KEY, subprotocol, None);
        assert_eq!(String::from_utf8(out), Ok(format!("{common}{line}\r\n")));
    }
}

#[test]
fn refusals_are_exact_and_cannot_be_written_into() {
    const TYPE: &str = "Content-Type: text/plain; charset=utf-8\r\nContent-Length:";
    let cases = [
        (
            400,
            "no",
            format!("400 Bad Request\r\n{TYPE} 2\r\nConnection: close\r\n\r\nno"),
        ),
        (
            404,
            "",
            format!("404 Not Found\r\n{TYPE} 0\r\nConnection: close\r\n\r\n"),
        ),
        (
            405,
            "x",
            format!(
                "405 Method Not Allowed\r\n{TYPE} 1\r\nConnection: close\r\nAllow: GET\r\n\r\nx"
            ),
        ),
        (
            426,
            "x",
            format!(
                "426 Upgrade Required\r\n{TYPE} 1\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\n\r\nx"
            ),
        ),
        (
            431,
            "x",
            format!(
                "431 Request Header Fields Too Large\r\n{TYPE} 1\r\nConnection: close\r\n\r\nx"
            ),
        ),
        (
            503,
            "full",
            format!(
                "503 Service Unavailable\r\n{TYPE} 4\r\nConnection: close\r\nRetry-After: 1\r\n\r\nfull"
            ),
        ),
        (
            403,
            "a\r\n\r\nB: c",
            format!("403 Forbidden\r\n{TYPE} 9\r\nConnection: close\r\n\r\na\r\n\r\nB: c"),
        ),
        (
            499,
            "ä",
            format!("499 Refused\r\n{TYPE} 2\r\nConnection: close\r\n\r\nä"),
        ),
        (
            7,
            "x",
            format!("500 Internal Server Error\r\n{TYPE} 1\r\nConnection: close\r\n\r\nx"),
        ),
    ];
    for (status, reason, expected) in cases {
        let mut out = b"before".to_vec();
        write_refusal(&mut out, status, reason);
        assert_eq!(
            String::from_utf8(out),
            Ok(format!("beforeHTTP/1.1 {expected}"))
        );
    }
}

/// The server checks all that a request must have. Clauses 6455-4.1-6, 6455-4.1-7, 6455-4.1-8, 6455-4.1-9, 6455-4.1-10, 6455-4.1-11, 6455-4.1-14.
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
    let (request, _) = upgrade::parse(&request, &mut 0, &LIMITS)
        .expect("good")
        .expect("whole");
    let mut response = Vec::new();
    write_accept(
        &mut response,
        request.key(),
        request.subprotocols().next(),
        None,
    );
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
    write_refusal(&mut refusal, 503, "full");
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

#[test]
fn a_plain_request_names_its_path() {
    let cases: [(&[u8], Option<&str>); 6] = [
        (b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n", Some("/health")),
        (b"GET /health?deep=1 HTTP/1.1\r\n\r\n", Some("/health")),
        (b"GET / HTTP/1.1\r\n\r\n", Some("/")),
        (b"POST /health HTTP/1.1\r\n\r\n", None),
        (b"GET http://h/health HTTP/1.1\r\n\r\n", None),
        (b"GET \xff HTTP/1.1\r\n\r\n", None),
    ];
    for (head, path) in cases {
        assert_eq!(upgrade::plain_path(head), path);
    }
}
