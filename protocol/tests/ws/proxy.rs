//! The PROXY protocol at its boundary: both versions, cut at every byte, and what is none.

use shardcast_protocol::proxy::{self, HEADER_BYTES_MAX, Introduced, ProxyError};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("fits").to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

fn client(address: &str) -> Introduced {
    Introduced::Client(address.parse().expect("an address"))
}

/// Taken with whatever follows, and awaited at every byte before its end.
#[track_caller]
fn taken(header: &[u8], expected: Introduced) {
    let length = header.len();
    for end in 0..length {
        assert_eq!(
            proxy::parse(&header[..end]),
            Ok(None),
            "{end} of {header:?}"
        );
    }
    for more in [&b""[..], b"GET / HTTP/1.1\r\n", b"\r\n", SIGNATURE] {
        let bytes = [header, more].concat();
        assert_eq!(
            proxy::parse(&bytes),
            Ok(Some((expected, length))),
            "{header:?}"
        );
    }
}

#[track_caller]
fn refused(bytes: &[u8], error: ProxyError) {
    assert_eq!(
        proxy::parse(bytes),
        Err(error),
        "{}",
        String::from_utf8_lossy(bytes)
    );
}

const V4: &[u8] = &[203, 0, 113, 9, 198, 51, 100, 1, 0xdc, 4, 1, 187];

fn v6() -> Vec<u8> {
    let mut bytes = vec![0x20, 1, 0x0d, 0xb8];
    bytes.extend([0; 11]);
    bytes.push(7);
    bytes.extend([0; 16]);
    bytes.extend([0xdc, 4, 1, 187]);
    bytes
}

#[test]
fn lines_are_taken() {
    for (line, expected) in [
        (
            "PROXY TCP4 203.0.113.9 198.51.100.1 56324 443\r\n",
            client("203.0.113.9:56324"),
        ),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            client("255.255.255.255:65535"),
        ),
        (
            "PROXY TCP6 2001:db8::7 ::1 0 1\r\n",
            client("[2001:db8::7]:0"),
        ),
        (
            "PROXY TCP6 ::ffff:10.1.2.3 ::1 5 1\r\n",
            client("10.1.2.3:5"),
        ),
        ("PROXY UNKNOWN\r\n", Introduced::Proxy),
        (
            "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
            Introduced::Proxy,
        ),
    ] {
        taken(line.as_bytes(), expected);
    }
}

#[test]
fn lines_are_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 203.0.113.9\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 56324\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 56324 443 1\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 56324 443 \r\n",
        "PROXY TCP4  203.0.113.9 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 56324 443\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 65536 443\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 +1 443\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 01 443\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 -1 443\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 1 x\r\n",
        "PROXY TCP4 203.0.113.256 198.51.100.1 1 1\r\n",
        "PROXY TCP4 203.0.113.09 198.51.100.1 1 1\r\n",
        "PROXY TCP4 2001:db8::7 ::1 1 1\r\n",
        "PROXY TCP6 203.0.113.9 198.51.100.1 1 1\r\n",
        "PROXY TCP6 2001:db8::7 198.51.100.1 1 1\r\n",
        "PROXY tcp4 203.0.113.9 198.51.100.1 1 1\r\n",
        "PROXY UDP4 203.0.113.9 198.51.100.1 1 1\r\n",
        "PROXY UNKNOWNX\r\n",
    ] {
        refused(line.as_bytes(), ProxyError::Malformed);
    }
    let long = format!("PROXY UNKNOWN {}", "f".repeat(107));
    refused(long.as_bytes(), ProxyError::Malformed);
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
    taken(longest.as_bytes(), Introduced::Proxy);
}

#[test]
fn binary_headers_are_taken() {
    let tlvs = [&[0x04, 0, 2, 0, 0][..], &[0x02, 0, 1, b'a']].concat();
    for (rest, expected) in [
        (V4.to_vec(), client("203.0.113.9:56324")),
        ([V4, &tlvs].concat(), client("203.0.113.9:56324")),
        ([V4, b"no TLV"].concat(), client("203.0.113.9:56324")),
        ([V4, &[0xea; 4_000]].concat(), client("203.0.113.9:56324")),
    ] {
        taken(&binary(0x21, 0x11, &rest), expected);
    }
    taken(&binary(0x21, 0x21, &v6()), client("[2001:db8::7]:56324"));
    let mapped = [
        &[0; 10][..],
        &[0xff, 0xff, 10, 1, 2, 3],
        &[0; 16],
        &[0, 9, 0, 1],
    ]
    .concat();
    taken(&binary(0x21, 0x21, &mapped), client("10.1.2.3:9"));
    for (command, family, rest) in [
        (0x20, 0x00, &b""[..]),
        (0x20, 0x11, V4),
        (0x20, 0x11, b""),
        (0x21, 0x00, b""),
        (0x21, 0x00, b"anything"),
        (0x21, 0x12, V4),
        (0x21, 0x31, &[b'/'; 216]),
    ] {
        taken(&binary(command, family, rest), Introduced::Proxy);
    }
}

#[test]
fn binary_headers_are_refused() {
    for (command, family, rest) in [
        (0x11, 0x11, V4),
        (0x22, 0x11, V4),
        (0x31, 0x11, V4),
        (0x21, 0x13, V4),
        (0x21, 0x41, V4),
        (0x21, 0xff, V4),
        (0x20, 0x99, b""),
        (0x21, 0x11, &V4[..11]),
        (0x21, 0x21, V4),
        (0x21, 0x31, &[0; 215]),
    ] {
        refused(&binary(command, family, rest), ProxyError::Malformed);
    }
    let longest = vec![0; HEADER_BYTES_MAX - 16];
    taken(&binary(0x20, 0, &longest), Introduced::Proxy);
    let longer = binary(0x20, 0, &vec![0; HEADER_BYTES_MAX - 15]);
    // Known as soon as the length is.
    refused(&longer[..16], ProxyError::TooLong);
    refused(&longer, ProxyError::TooLong);
}

#[test]
fn what_is_no_header_is_refused_at_the_byte_that_shows_it() {
    for (bytes, awaited) in [
        (&b"GET / HTTP/1.1\r\n"[..], 0),
        (b"PROXZ", 4),
        (b"PROXYTCP4", 5),
        (b"proxy TCP4", 0),
        (b"\r\n\r\n\0\r\nQUIT\r", 11),
        (b"\r\nPROXY", 2),
        (b"\x16\x03\x01", 0),
        (b"\0", 0),
        (b" PROXY", 0),
    ] {
        assert_eq!(proxy::parse(&bytes[..awaited]), Ok(None), "{bytes:?}");
        refused(&bytes[..=awaited], ProxyError::Missing);
        refused(bytes, ProxyError::Missing);
    }
}
