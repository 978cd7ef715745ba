//! Requests and answers at their boundary: what is a request, what it says, what is refused at
//! which byte, and answers byte for byte.

use shardcast_protocol::http::{
    self, Answer, Body, Content, HeadError, HeadLimits, HeaderError, Headers, HttpMethod,
    HttpRequest, Persistence, Progress, Version, write_answer, write_refusal,
};

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 8192,
    headers_max: 64,
};
const HOST: &str = "Host: example.org\r\n";

fn parse(head: &str) -> Result<Option<(HttpRequest<'_>, usize)>, HeadError> {
    http::parse(head.as_bytes(), &mut Progress::default(), &LIMITS)
}

#[track_caller]
fn accepted(head: &str) -> HttpRequest<'_> {
    match parse(head) {
        Ok(Some((request, used))) => {
            assert_eq!(used, head.len(), "{head}");
            request
        }
        other => panic!("{other:?}: {head}"),
    }
}

#[track_caller]
fn refused(head: &str, error: HeadError, status: u16) {
    match parse(head) {
        Err(given) => assert_eq!((given, given.status()), (error, status), "{head}"),
        Ok(_) => panic!("accepted: {head}"),
    }
}

#[test]
fn request_lines_are_refused() {
    use HeadError::*;
    let table = [
        ("GET /", Malformed, 400),
        ("GET  / HTTP/1.1", Malformed, 400),
        ("GET / HTTP/1.1 ", Malformed, 400),
        (" GET / HTTP/1.1", Malformed, 400),
        ("GET\t/ HTTP/1.1", Malformed, 400),
        ("G@T / HTTP/1.1", Malformed, 400),
        ("GET / http/1.1", Malformed, 400),
        ("GET / HTTP/1", Malformed, 400),
        ("GET / HTTP/11", Malformed, 400),
        ("GET / HTTP/1.10", Malformed, 400),
        ("GET / HTTP/1.x", Malformed, 400),
        ("\u{16}\u{3}\u{1}", Malformed, 400),
        ("GET / HTTP/0.9", VersionUnsupported, 505),
        ("GET / HTTP/2.0", VersionUnsupported, 505),
        ("PRI * HTTP/2.0", VersionUnsupported, 505),
        ("GET * HTTP/1.1", BadTarget, 400),
        ("OPTIONS ** HTTP/1.1", BadTarget, 400),
        ("GET example.org:80 HTTP/1.1", BadTarget, 400),
        ("CONNECT /path HTTP/1.1", BadTarget, 400),
        ("GET ftp://example.org/ HTTP/1.1", BadTarget, 400),
        ("GET http:///ws HTTP/1.1", BadTarget, 400),
        ("GET http://user@example.org/ HTTP/1.1", BadTarget, 400),
        ("GET http://a:b:c/ HTTP/1.1", BadTarget, 400),
        ("GET /ws#part HTTP/1.1", BadTarget, 400),
        ("GET /w\u{e4} HTTP/1.1", BadTarget, 400),
        ("GET /% HTTP/1.1", BadTarget, 400),
        ("GET /%4 HTTP/1.1", BadTarget, 400),
        ("GET /%4g HTTP/1.1", BadTarget, 400),
        ("GET /?a#b HTTP/1.1", BadTarget, 400),
        ("GET /?a\u{85}b HTTP/1.1", BadTarget, 400),
        ("GET /?a\u{a0}b HTTP/1.1", BadTarget, 400),
        ("GET /\u{e4}?a HTTP/1.1", BadTarget, 400),
        ("GET http://a%/?a HTTP/1.1", BadTarget, 400),
    ];
    for (line, error, status) in table {
        refused(&format!("{line}\r\n{HOST}\r\n"), error, status);
    }
    refused("\r\n\r\nGET / HTTP/1.1\r\n", Malformed, 400);
}

#[test]
fn headers_are_refused() {
    use HeadError::*;
    let table = [
        ("", HostMissing, 400),
        ("Host: a\r\nhost: a\r\n", HostRepeated, 400),
        ("Host: a b\r\n", HostInvalid, 400),
        ("Host: a, b\r\n", HostInvalid, 400),
        ("Host: a/b\r\n", HostInvalid, 400),
        ("Host: u@a\r\n", HostInvalid, 400),
        ("Host: a:8x\r\n", HostInvalid, 400),
        ("Host: [::1\r\n", HostInvalid, 400),
        ("Host: [g::1]\r\n", HostInvalid, 400),
        ("Host: a%2\r\n", HostInvalid, 400),
        ("Host: \u{e4}\r\n", HostInvalid, 400),
        ("Host: a\r\nNo colon\r\n", Malformed, 400),
        ("Host : a\r\n", Malformed, 400),
        ("Host\t: a\r\n", Malformed, 400),
        ("Host: a\r\n: nameless\r\n", Malformed, 400),
        ("Host: a\r\nX: folded\r\n line\r\n", Folded, 400),
        ("Host: a\r\nX: folded\r\n\tline\r\n", Folded, 400),
        (" Host: a\r\n", Folded, 400),
        ("Host: a\r\nX: bell\u{7}\r\n", Malformed, 400),
        ("Host: a\r\nX: null\0\r\n", Malformed, 400),
        ("Host: a\r\nX: \u{7f}\r\n", Malformed, 400),
        ("Host: a\r\nX: bare\nY: feed\r\n", BareLineFeed, 400),
        ("Host: a\nX: b\r\n", BareLineFeed, 400),
        ("Host: a\r\nX: bare\rreturn\r\n", BareReturn, 400),
        ("Host: a\r\nX: bare\r\r\n", BareReturn, 400),
    ];
    for (headers, error, status) in table {
        refused(&format!("GET / HTTP/1.1\r\n{headers}\r\n"), error, status);
    }
    accepted("GET / HTTP/1.0\r\n\r\n");
    refused(
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        HostRepeated,
        400,
    );
    for host in [
        "",
        "a",
        "a:",
        "a:80",
        "[::1]:80",
        "[::ffff:1.2.3.4]",
        "127.0.0.1",
        "a%2Db",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(accepted(&head).host(), Some(host));
    }
}

#[test]
fn bodies_are_announced_beyond_doubt_or_refused() {
    use HeadError::*;
    let table: [(&str, Result<Body, HeadError>); 20] = [
        ("", Ok(Body::None)),
        ("Content-Length: 0\r\n", Ok(Body::Length(0))),
        ("Content-Length: 007\r\n", Ok(Body::Length(7))),
        ("Content-Length:\t12 \r\n", Ok(Body::Length(12))),
        (
            "Content-Length: 18446744073709551615\r\n",
            Ok(Body::Length(u64::MAX)),
        ),
        (
            "Content-Length: 99999999999999999999999\r\n",
            Ok(Body::Length(u64::MAX)),
        ),
        ("Content-Length:\r\n", Err(LengthInvalid)),
        ("Content-Length: -0\r\n", Err(LengthInvalid)),
        ("Content-Length: +1\r\n", Err(LengthInvalid)),
        ("Content-Length: 1 2\r\n", Err(LengthInvalid)),
        ("Content-Length: 0x1\r\n", Err(LengthInvalid)),
        ("Content-Length: 1, 1\r\n", Err(LengthInvalid)),
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            Err(LengthInvalid),
        ),
        ("Transfer-Encoding: Chunked\r\n", Ok(Body::Chunked)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(CodingUnknown)),
        ("Transfer-Encoding: gzip\r\n", Err(BodyAmbiguous)),
        ("Transfer-Encoding: \r\n", Err(BodyAmbiguous)),
        ("Transfer-Encoding: chunked, gzip\r\n", Err(BodyAmbiguous)),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(BodyAmbiguous),
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            Err(BodyAmbiguous),
        ),
    ];
    for (headers, expected) in table {
        let head = format!("POST / HTTP/1.1\r\n{HOST}{headers}\r\n");
        let given = parse(&head).map(|parsed| parsed.map(|(request, _)| request.body()));
        assert_eq!(given, expected.map(Some), "{headers}");
    }
    refused(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        BodyAmbiguous,
        400,
    );
    assert_eq!((CodingUnknown.status(), LengthInvalid.status()), (501, 400));
}

#[test]
fn targets_have_one_spelling() {
    let table = [
        ("/", "/", None),
        ("/ws?token=a?b&c", "/ws", Some("token=a?b&c")),
        ("/ws?", "/ws", Some("")),
        ("/%77%73", "/ws", None),
        ("/%2d%2E%5f%7e", "/-._~", None),
        ("/a%20b//c", "/a%20b//c", None),
        ("/a%2fb", "/a%2Fb", None),
        ("/%e4?%77", "/%E4", Some("%77")),
        ("/a/../ws/.", "/a/../ws/.", None),
        ("/%25%37%37", "/%2577", None),
        ("http://example.org/ws?q", "/ws", Some("q")),
        ("WSS://example.org:444", "/", None),
        ("ws://example.org?q=/", "/", Some("q=/")),
        ("/ws?name=100%", "/ws", Some("name=100%")),
        ("/ws?%zz&%4", "/ws", Some("%zz&%4")),
        ("/ws?a={}|\\^`[]\"<>'", "/ws", Some("a={}|\\^`[]\"<>'")),
        (
            "/ws?name=\u{e4}\u{1f980}",
            "/ws",
            Some("name=\u{e4}\u{1f980}"),
        ),
        ("ws://example.org/ws?%", "/ws", Some("%")),
    ];
    for (target, path, query) in table {
        let head = format!("GET {target} HTTP/1.1\r\n{HOST}\r\n");
        let request = accepted(&head);
        assert_eq!((request.path(), request.query()), (path, query), "{target}");
    }
    let head = format!("GET http://other:1/ HTTP/1.1\r\n{HOST}\r\n");
    assert_eq!(accepted(&head).host(), Some("other:1"));
    let head = format!("OPTIONS * HTTP/1.1\r\n{HOST}\r\n");
    assert_eq!(
        (accepted(&head).method(), accepted(&head).path()),
        (HttpMethod::Options, "*")
    );
    let head = format!("CONNECT example.org:80 HTTP/1.1\r\n{HOST}\r\n");
    assert_eq!(accepted(&head).method(), HttpMethod::Connect);
}

#[test]
fn a_request_says_what_follows_it() {
    use Persistence::*;
    let table = [
        ("HTTP/1.1", "", Persist),
        ("HTTP/1.7", "", Persist),
        ("HTTP/1.1", "Connection: keep-alive\r\n", Persist),
        ("HTTP/1.1", "Connection: CLOSE\r\n", Close),
        (
            "HTTP/1.1",
            "Connection: x\r\nConnection: keep-alive , close\r\n",
            Close,
        ),
        ("HTTP/1.0", "", Close),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", PersistExplicitly),
        ("HTTP/1.0", "Connection: keep-alive, close\r\n", Close),
    ];
    for (version, header, expected) in table {
        let head = format!("GET / {version}\r\n{HOST}{header}\r\n");
        assert_eq!(accepted(&head).persistence(), expected, "{head}");
    }
    for (version, upgrade, expected) in [
        ("HTTP/1.1", "WebSocket", true),
        ("HTTP/1.1", "h2c, websocket", true),
        ("HTTP/1.0", "websocket", false),
        ("HTTP/1.1", "h2c", false),
    ] {
        let head = format!("GET / {version}\r\n{HOST}Upgrade: {upgrade}\r\n\r\n");
        assert_eq!(accepted(&head).asks_for_websocket(), expected, "{head}");
    }
    assert_eq!(
        accepted("GET / HTTP/1.0\r\n\r\n").version(),
        Version::Http10
    );
}

#[test]
fn sizes_are_bounded() {
    let small = HeadLimits {
        head_bytes_max: 512,
        headers_max: 3,
    };
    let look = |bytes: &[u8]| {
        http::parse(bytes, &mut Progress::default(), &small)
            .map(|parsed| parsed.map(|(_, used)| used))
    };
    let padded = |bytes: usize| {
        let start = format!("GET / HTTP/1.1\r\n{HOST}X: ");
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    assert_eq!(look(padded(512).as_bytes()), Ok(Some(512)));
    assert_eq!(look(&padded(512).as_bytes()[..511]), Ok(None));
    for bytes in [512, 513] {
        assert_eq!(
            look(&padded(513).as_bytes()[..bytes]),
            Err(HeadError::TooLarge)
        );
    }
    // A line that fills the head is too long, whether it ends or not; what is no request is not
    // called one.
    let line = format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "x".repeat(600));
    assert_eq!(look(&line.as_bytes()[..511]), Ok(None));
    for bytes in [512, line.len()] {
        let given = look(&line.as_bytes()[..bytes]);
        assert_eq!(given, Err(HeadError::TargetTooLong));
    }
    assert_eq!(look(&[b'x'; 512]), Err(HeadError::Malformed));
    let statuses = [
        HeadError::TooLarge,
        HeadError::TooManyHeaders,
        HeadError::TargetTooLong,
    ];
    assert_eq!(statuses.map(HeadError::status), [431, 431, 414]);
    let many = |count| format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", "X: y\r\n".repeat(count));
    let with_two = many(2);
    assert_eq!(look(with_two.as_bytes()), Ok(Some(with_two.len())));
    assert_eq!(look(many(3).as_bytes()), Err(HeadError::TooManyHeaders));
    accepted(&many(63));
    refused(&many(64), HeadError::TooManyHeaders, 431);
}

#[test]
fn a_head_may_come_byte_by_byte_and_is_refused_at_the_first_decisive_byte() {
    let text = format!("\r\nGET /ws HTTP/1.1\r\n{HOST}X:\ty\r\n\r\n");
    let bytes = [text.as_bytes(), b"\x81\x80\r\n\r\n"].concat();
    let mut progress = Progress::default();
    for have in 0..=bytes.len() {
        let given = http::parse(&bytes[..have], &mut progress, &LIMITS).expect("no fault");
        match given {
            None => assert!(have < text.len()),
            Some((request, used)) => {
                assert!(have >= text.len());
                assert_eq!((request.path(), used), ("/ws", text.len()));
                assert_eq!(request.header("x"), Some(&b"y"[..]));
                break;
            }
        }
    }
    for (start, decisive, error) in [
        ("GET / HTTP/1.1", '\n', HeadError::BareLineFeed),
        ("", '\n', HeadError::BareLineFeed),
        ("GET / HTTP/1.1\r", '\r', HeadError::BareReturn),
        ("GET / HTTP/1.1\r\nA: b\r", 'c', HeadError::BareReturn),
        ("GET ", '\0', HeadError::Malformed),
        ("\r\n\r", '\n', HeadError::Malformed),
    ] {
        let mut progress = Progress::default();
        let complete = format!("{start}{decisive}");
        for have in 0..complete.len() {
            let given = http::parse(&complete.as_bytes()[..have], &mut progress, &LIMITS);
            assert!(matches!(given, Ok(None)), "{complete:?} {have}");
        }
        let given = http::parse(complete.as_bytes(), &mut progress, &LIMITS);
        assert_eq!(given.err(), Some(error), "{complete:?}");
    }
}

/// What httparse takes and what we take differ only where we are the stricter.
#[test]
fn whatever_is_a_request_here_is_one_elsewhere() {
    let pieces = [
        "GET",
        "POST",
        " ",
        "/",
        "*",
        "http://a/",
        "HTTP/1.1",
        "HTTP/1.0",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "Host",
        ":",
        "a",
        "\t",
        "Content-Length: 3",
        "%41",
        "\0",
        "\u{e4}",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut taken = 0;
    for _ in 0..200_000 {
        let mut text = String::new();
        if random.bool() {
            text.push_str("GET / HTTP/1.1\r\nHost: a\r\n");
        }
        for _ in 0..random.usize(0..12) {
            text.push_str(pieces[random.usize(..pieces.len())]);
        }
        text.push_str("\r\n\r\n");
        let Ok(Some((request, used))) = parse(&text) else {
            continue;
        };
        taken += 1;
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut oracle = httparse::Request::new(&mut headers);
        let given = oracle.parse(text.as_bytes());
        assert_eq!(given, Ok(httparse::Status::Complete(used)), "{text:?}");
        for header in oracle.headers.iter() {
            let first = oracle
                .headers
                .iter()
                .find(|other| other.name.eq_ignore_ascii_case(header.name));
            assert_eq!(
                request.header(header.name),
                first.map(|first| first.value),
                "{text:?}"
            );
        }
    }
    assert!(taken > 1000, "{taken}");
}

type Written<'a> = (Answer<'a>, &'static str);

fn answers_with_headers<'a>(answer: Answer<'a>, headers: &'a Headers) -> Vec<Written<'a>> {
    vec![
        (
            Answer {
                keep_alive_seconds: 75,
                ..answer
            },
            "200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\
             Keep-Alive: timeout=75\r\n\r\nhello",
        ),
        (
            Answer {
                status: 426,
                keep_alive_seconds: 1,
                ..answer
            },
            "426 Upgrade Required\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\
             Connection: keep-alive, Upgrade\r\nKeep-Alive: timeout=1\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\n\r\nhello",
        ),
        (
            Answer {
                persistence: Persistence::Close,
                keep_alive_seconds: 75,
                ..answer
            },
            "200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        ),
        (
            Answer {
                body: b"",
                content: Content::Withheld,
                ..answer
            },
            "200 OK\r\nContent-Type: text/html\r\n\r\n",
        ),
        (
            Answer {
                status: 304,
                ..answer
            },
            "304 Not Modified\r\n\r\n",
        ),
        (
            Answer {
                status: 503,
                lines: "X: y\r\n",
                headers,
                ..answer
            },
            "503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\
             X: y\r\nretry-after: 60\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhello",
        ),
    ]
}

fn answers_without(answer: Answer<'_>) -> Vec<Written<'_>> {
    vec![
        (
            answer,
            "200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            Answer {
                content: Content::Withheld,
                persistence: Persistence::PersistExplicitly,
                ..answer
            },
            "200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
        ),
        (
            Answer {
                status: 204,
                lines: "Allow: GET\r\n",
                ..answer
            },
            "204 No Content\r\nAllow: GET\r\n\r\n",
        ),
        (
            Answer {
                status: 426,
                ..answer
            },
            "426 Upgrade Required\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\nhello",
        ),
        (
            Answer {
                status: 429,
                persistence: Persistence::Close,
                ..answer
            },
            "429 Too Many Requests\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\
             Connection: close\r\nRetry-After: 1\r\n\r\nhello",
        ),
    ]
}

#[test]
fn answers_are_exact() {
    let answer = Answer {
        status: 200,
        content_type: "text/html",
        body: b"hello",
        content: Content::Sent,
        persistence: Persistence::Persist,
        keep_alive_seconds: 0,
        lines: "",
        headers: &Headers::new(),
    };
    let mut headers = Headers::new();
    for (name, value) in [
        ("retry-after", "60"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    ] {
        assert_eq!(headers.add(name, value), Ok(()));
    }
    let table = answers_with_headers(answer, &headers);
    for (answer, expected) in table.into_iter().chain(answers_without(answer)) {
        let mut out = Vec::new();
        write_answer(&mut out, &answer);
        assert_eq!(String::from_utf8(out), Ok(format!("HTTP/1.1 {expected}")));
    }
}

#[test]
fn an_applications_headers_write_no_lines_but_their_own() {
    use HeaderError::*;
    let long = "x".repeat(Headers::BYTES_MAX - "X: \r\n".len());
    let table: [(&str, &str, Result<(), HeaderError>); 28] = [
        ("WWW-Authenticate", "Bearer realm=\"a b\"", Ok(())),
        ("Location", "https://a/?b=%20#c", Ok(())),
        ("X", "", Ok(())),
        ("X", "a\tb", Ok(())),
        ("X", &long, Ok(())),
        ("", "a", Err(Name)),
        ("X Y", "a", Err(Name)),
        ("X:", "a", Err(Name)),
        ("X\r\nY", "a", Err(Name)),
        ("\u{e4}", "a", Err(Name)),
        ("X", "a\r\nY: b", Err(Value)),
        ("X", "a\nb", Err(Value)),
        ("X", "a\rb", Err(Value)),
        ("X", "a\0b", Err(Value)),
        ("X", "\u{7f}", Err(Value)),
        ("X", "\u{e4}", Err(Value)),
        ("X", " a", Err(Value)),
        ("X", "a\t", Err(Value)),
        ("Content-Length", "5", Err(Reserved)),
        ("content-type", "text/html", Err(Reserved)),
        ("TRANSFER-ENCODING", "chunked", Err(Reserved)),
        ("Connection", "keep-alive", Err(Reserved)),
        ("Keep-Alive", "timeout=9", Err(Reserved)),
        ("Upgrade", "h2c", Err(Reserved)),
        ("Content-Encoding", "gzip", Err(Reserved)),
        ("Sec-WebSocket-Accept", "a", Err(Reserved)),
        ("sec-websocket-protocol", "a", Err(Reserved)),
        ("X", &format!("{long}x"), Err(TooLarge)),
    ];
    for (name, value, expected) in table {
        let mut headers = Headers::new();
        assert_eq!(headers.add(name, value), expected, "{name:?} {value:?}");
        assert_eq!(headers.has("x"), expected.is_ok() && name == "X");
        let mut out = Vec::new();
        write_refusal(&mut out, 401, "no", &headers);
        let line = match expected {
            Ok(()) => format!("{name}: {value}\r\n"),
            Err(_) => String::new(),
        };
        let common = "HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain; charset=utf-8\r\n\
                      Content-Length: 2\r\nConnection: close\r\n";
        let shown = String::from_utf8(out);
        assert_eq!(shown, Ok(format!("{common}{line}\r\nno")), "{name:?}");
    }
    let mut full = Headers::new();
    full.add("X", &long).expect("as large as it may be");
    let before = full.clone();
    assert_eq!(full.add("Y", ""), Err(TooLarge));
    assert_eq!(full, before);
}

/// RFC 9110 §12.5.1: the most specific range decides, and q=0 is a no.
#[test]
fn accept_is_read_by_its_rules() {
    let table = [
        ("", true),
        ("Accept: text/event-stream\r\n", true),
        ("Accept: TEXT/Event-Stream; charset=utf-8\r\n", true),
        ("Accept: */*\r\n", true),
        ("Accept: text/*\r\n", true),
        ("Accept: text/html, */*;q=0.1\r\n", true),
        ("Accept: text/html\r\nAccept: text/*; q=0.001\r\n", true),
        ("Accept: text/event-stream;q=0.5, text/*;q=0\r\n", true),
        ("Accept:\r\n", false),
        ("Accept: text/html\r\n", false),
        ("Accept: text\r\n", false),
        ("Accept: *\r\n", false),
        ("Accept: */event-stream\r\n", false),
        ("Accept: application/*\r\n", false),
        ("Accept: text/event-streams\r\n", false),
        ("Accept: text/event-stream;q=0\r\n", false),
        ("Accept: text/event-stream ; Q=0.000\r\n", false),
        ("Accept: text/event-stream;q=0, */*\r\n", false),
        ("Accept: */*, text/*;q=0.0\r\n", false),
    ];
    for (lines, expected) in table {
        let head = format!("GET /sse HTTP/1.1\r\n{HOST}{lines}\r\n");
        let request = accepted(&head);
        assert_eq!(request.accepts("text", "event-stream"), expected, "{lines}");
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
        write_refusal(&mut out, status, reason, &Headers::new());
        assert_eq!(
            String::from_utf8(out),
            Ok(format!("beforeHTTP/1.1 {expected}"))
        );
    }
}
