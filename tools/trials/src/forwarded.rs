//! Forwarding headers: whoever a trusted proxy names as the client stays the client, whatever the
//! client itself has said before; and nobody but an address that stands there is named.

use shardcast_protocol::http::{HeadLimits, HttpRequest, Progress, forwarding_client, parse};
use std::net::IpAddr;

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 16_384,
    headers_max: 100,
};

/// Lines of the input, of which each is one header: its first byte says which, the rest is its
/// value, as a proxy would pass it on. Proxies have even addresses.
///
/// # Panics
/// A promise is broken.
pub fn forwarded(input: &[u8]) {
    let lines: Vec<String> = input.split(|&byte| byte == b'\n').map(header).collect();
    let head = |before: &str| {
        let lines = lines.concat();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{before}{lines}\r\n").into_bytes()
    };
    let plain = head("");
    let Some(request) = read(&plain) else { return };
    let Ok(Some(client)) = forwarding_client(&request, is_proxy) else {
        return;
    };
    let ip = client.ip();
    assert_eq!(ip, ip.to_canonical());
    if is_proxy(ip) {
        return;
    }
    // A header that is not there is one that the client may write.
    let written = |name: &str| lines.iter().any(|line| says(line, name));
    for name in [LISTED, FORWARDED].into_iter().filter(|name| written(name)) {
        for forged in [
            "198.51.100.66",
            "for=198.51.100.66",
            "for=\"",
            "\"",
            ",",
            ";=\\",
        ] {
            let forged = head(&format!("{name}: {forged}\r\n"));
            let Some(request) = read(&forged) else { return };
            let named = forwarding_client(&request, is_proxy);
            assert_eq!(
                named,
                Ok(Some(client)),
                "{}",
                String::from_utf8_lossy(&forged)
            );
        }
    }
}

const LISTED: &str = "X-Forwarded-For";
const FORWARDED: &str = "Forwarded";

/// Whether the line is this header, with something in it.
fn says(line: &str, name: &str) -> bool {
    let value = line
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix(':'));
    value.is_some_and(|value| !value.trim_matches([' ', ',', '\r', '\n']).is_empty())
}

fn is_proxy(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[3] % 2 == 0,
        IpAddr::V6(ip) => ip.octets()[15] % 2 == 0,
    }
}

fn header(line: &[u8]) -> String {
    let Some((first, value)) = line.split_first() else {
        return String::new();
    };
    let name = if first % 2 == 0 { LISTED } else { FORWARDED };
    let stands = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let value: Vec<u8> = value.iter().copied().filter(stands).collect();
    format!("{name}: {}\r\n", String::from_utf8_lossy(&value))
}

fn read(head: &[u8]) -> Option<HttpRequest<'_>> {
    let parsed = parse(head, &mut Progress::default(), &LIMITS).ok()?;
    parsed.map(|(request, _)| request)
}
