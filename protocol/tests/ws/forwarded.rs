//! Who a request is from, by forwarding headers: what trusted proxies wrote, and nothing else.

use shardcast_protocol::http::{ForwardingError, HeadLimits, Progress, forwarding_client, parse};
use std::net::IpAddr;

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 8192,
    headers_max: 64,
};

/// What these lines say, where proxies have addresses in `10.0.0.0/8` and `fd00::/8`.
#[track_caller]
fn said(lines: &str) -> Result<Option<String>, ForwardingError> {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let parsed = parse(head.as_bytes(), &mut Progress::default(), &LIMITS);
    let (request, _) = parsed.expect("a request").expect("complete");
    let trusts = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 10,
        IpAddr::V6(ip) => ip.octets()[0] == 0xfd,
    };
    let client = forwarding_client(&request, trusts)?;
    Ok(client.map(|client| client.to_string()))
}

#[track_caller]
fn check(lines: &str, expected: Result<Option<&str>, ForwardingError>) {
    let expected = expected.map(|client| client.map(str::to_owned));
    assert_eq!(said(lines), expected, "{lines}");
}

fn list(value: &str) -> String {
    format!("X-Forwarded-For: {value}\r\n")
}

fn forwarded(value: &str) -> String {
    format!("Forwarded: {value}\r\n")
}

const MALFORMED: Result<Option<&str>, ForwardingError> = Err(ForwardingError::Malformed);

#[test]
fn the_last_address_that_is_no_proxys_counts() {
    check("", Ok(None));
    for (value, expected) in [
        ("203.0.113.9", Ok(Some("203.0.113.9:0"))),
        ("203.0.113.9:56324", Ok(Some("203.0.113.9:56324"))),
        ("203.0.113.9, 10.0.0.1", Ok(Some("203.0.113.9:0"))),
        (
            "203.0.113.9, 10.0.0.1, 10.0.0.2:80",
            Ok(Some("203.0.113.9:0")),
        ),
        // A forged entry stands further left.
        ("198.51.100.66, 203.0.113.9", Ok(Some("203.0.113.9:0"))),
        ("10.0.0.1, 203.0.113.9", Ok(Some("203.0.113.9:0"))),
        ("<script>, 203.0.113.9,10.0.0.1", Ok(Some("203.0.113.9:0"))),
        ("\", 203.0.113.9", Ok(Some("203.0.113.9:0"))),
        ("a\"b, 203.0.113.9", Ok(Some("203.0.113.9:0"))),
        (", ,203.0.113.9, ,", Ok(Some("203.0.113.9:0"))),
        ("10.0.0.1, 10.0.0.2", Ok(Some("10.0.0.1:0"))),
        ("2001:db8::7", Ok(Some("[2001:db8::7]:0"))),
        ("[2001:db8::7]", Ok(Some("[2001:db8::7]:0"))),
        ("[2001:db8::7]:443", Ok(Some("[2001:db8::7]:443"))),
        ("::ffff:203.0.113.9", Ok(Some("203.0.113.9:0"))),
        ("fd00::1", Ok(Some("[fd00::1]:0"))),
        ("unknown", Ok(None)),
        ("203.0.113.9, unknown", Ok(None)),
        ("203.0.113.9, unknown, 10.0.0.1", Ok(Some("10.0.0.1:0"))),
        ("", Ok(None)),
        ("203.0.113.256", MALFORMED),
        ("203.0.113.9:", MALFORMED),
        ("203.0.113.9:65536", MALFORMED),
        ("203.0.113.9:+1", MALFORMED),
        ("203.0.113.9 198.51.100.1", MALFORMED),
        ("[203.0.113.9]", MALFORMED),
        ("[2001:db8::7", MALFORMED),
        ("2001:db8::7]", MALFORMED),
        ("example.com", MALFORMED),
        ("203.0.113.9, x, 10.0.0.1", MALFORMED),
    ] {
        check(&list(value), expected);
    }
    let lines = list("198.51.100.66") + &list("203.0.113.9") + &list("10.0.0.1");
    check(&lines, Ok(Some("203.0.113.9:0")));
}

#[test]
fn forwarded_is_read_alike() {
    for (value, expected) in [
        ("for=203.0.113.9", Ok(Some("203.0.113.9:0"))),
        ("For=203.0.113.9", Ok(Some("203.0.113.9:0"))),
        ("for=\"203.0.113.9:80\"", Ok(Some("203.0.113.9:80"))),
        ("for=\"[2001:db8::7]:80\"", Ok(Some("[2001:db8::7]:80"))),
        ("for=\"[2001:db8::7]\"", Ok(Some("[2001:db8::7]:0"))),
        ("for=\"203.0.113.9:_web\"", Ok(Some("203.0.113.9:0"))),
        (
            "proto=https;for=203.0.113.9;by=10.0.0.1;",
            Ok(Some("203.0.113.9:0")),
        ),
        ("for=203.0.113.9, for=10.0.0.1", Ok(Some("203.0.113.9:0"))),
        (
            "for=203.0.113.9;host=\"a,b\", for=10.0.0.1",
            Ok(Some("203.0.113.9:0")),
        ),
        // What a client leaves open does not swallow what the proxy adds.
        (
            "for=\"198.51.100.66, for=203.0.113.9",
            Ok(Some("203.0.113.9:0")),
        ),
        (
            "for=198.51.100.66;host=\", for=203.0.113.9",
            Ok(Some("203.0.113.9:0")),
        ),
        ("for=unknown", Ok(None)),
        ("for=_hidden, for=10.0.0.1", Ok(Some("10.0.0.1:0"))),
        ("proto=https", Ok(None)),
        ("for=203.0.113.9;for=198.51.100.66", MALFORMED),
        ("for=[2001:db8::7]", MALFORMED),
        ("for=", MALFORMED),
        ("for", MALFORMED),
        ("for=\"203.0.113.9", MALFORMED),
        ("for=203.0.113.9;host=\"a;for=198.51.100.66\"", MALFORMED),
        ("for=\"203.0.113.\\9\"", MALFORMED),
    ] {
        check(&forwarded(value), expected);
    }
}

#[test]
fn two_headers_agree_or_the_request_is_refused() {
    let one = list("203.0.113.9");
    let same = forwarded("for=\"203.0.113.9:80\"");
    check(&(one.clone() + &same), Ok(Some("203.0.113.9:0")));
    for other in ["for=198.51.100.66", "for=unknown"] {
        let both = one.clone() + &forwarded(other);
        check(&both, Err(ForwardingError::Contradiction));
    }
}
