//! The PROXY protocol on listeners that expect it: in whatever pieces it comes, plain and before
//! TLS, and what comes without it or from whom nobody trusts.

use crate::{client_in, loopback, observed, upgrade};
use shardcast_engine::{Config, ProxyProtocol};
use shardcast_tests::{Certificates, Raw, Server, config, secure, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const LINE: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.1 56324 443\r\n";
const TAKEN: &str = "203.0.113.9:56324";

/// Of version 2: the same client, with what a proxy may say beyond.
fn binary() -> Vec<u8> {
    let addresses = [203, 0, 113, 9, 198, 51, 100, 1, 0xdc, 4, 1, 187];
    let beyond = [
        4, 0, 2, 0, 0, 2, 0, 9, b'l', b'o', b'c', b'a', b'l', b'h', b'o', b's', b't',
    ];
    let length = [0, (addresses.len() + beyond.len()) as u8];
    [SIGNATURE, &[0x21, 0x11], &length, &addresses, &beyond].concat()
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The proxy's own, of version 2.
const LOCAL: [u8; 4] = [0x20, 0, 0, 0];

fn expecting() -> Config {
    let mut config = config(1);
    config.listeners[0].proxy_protocol = ProxyProtocol::On;
    config
}

fn server() -> Server {
    observed(&["127.0.0.1", "127.0.0.2"], expecting())
}

#[test]
fn a_header_is_read_wherever_it_is_cut() {
    let server = server();
    let request = upgrade(&["Host: a"]);
    for header in [LINE.to_vec(), binary()] {
        let said = [&header, request.as_bytes()].concat();
        // At every byte of the header, and a few behind it.
        for cut in 1..header.len() + 4 {
            let mut raw = Raw::connect(&server);
            raw.send(&said[..cut]);
            raw.send(&said[cut..]);
            assert_eq!(client_in(&raw.head()), TAKEN, "{cut}");
        }
        let mut raw = Raw::connect(&server);
        raw.send_bytewise(&said);
        assert_eq!(client_in(&raw.head()), TAKEN);
    }
    assert_eq!(server.sum(|shard| &shard.proxies_refused), 0);
    server.wait_until_empty();
}

#[test]
fn before_tls_too() {
    let certificates = Certificates::make();
    let toml = format!(
        "{}[access]\nproxy_protocol = 'on'\ntrusted_proxies = '127.0.0.1'\nblock = '203.0.113.66'\n",
        certificates.toml()
    );
    let served = crate::serve(&toml);
    let address = served.address("wss");
    for header in [LINE.to_vec(), binary()] {
        for cut in [1, 5, 11, 12, 15, 16, 17, header.len() - 1, header.len()] {
            let mut stream = TcpStream::connect(address).expect("it accepts");
            stream.set_nodelay(true).expect("TCP");
            stream.write_all(&header[..cut]).expect("it reads");
            stream.write_all(&header[cut..]).expect("it reads");
            let mut stream = secure(&certificates.client(), stream);
            let said = upgrade(&["Host: a"]);
            stream.write_all(said.as_bytes()).expect("it reads");
            let mut start = [0; 12];
            stream.read_exact(&mut start).expect("it answers");
            assert_eq!(&start, b"HTTP/1.1 101", "{cut}");
        }
    }
    let handshakes = served.metric("tls_handshakes_total");
    let mut kept_out = Raw::connect_at(address);
    kept_out.send(b"PROXY TCP4 203.0.113.66 198.51.100.1 1 1\r\n");
    kept_out.ended();
    assert_eq!(served.metric("tls_handshakes_total"), handshakes);
    assert_eq!(served.metric("arrivals_refused_total"), 1);
}

#[test]
fn whoever_is_not_introduced_is_where_the_proxy_is() {
    let server = server();
    let local = [SIGNATURE, &LOCAL].concat();
    for header in [&b"PROXY UNKNOWN\r\n"[..], &local] {
        let mut raw = Raw::connect_from(loopback(2), server.address());
        raw.send(&[header, upgrade(&["Host: a"]).as_bytes()].concat());
        let head = raw.head();
        assert!(client_in(&head).starts_with("127.0.0.2:"), "{head}");
    }
    // And a proxy that says so in a header, too, is believed.
    let mut raw = Raw::connect(&server);
    let forwarded = upgrade(&["Host: a", "X-Forwarded-For: 203.0.113.7"]);
    raw.send(&[&local, forwarded.as_bytes()].concat());
    assert_eq!(client_in(&raw.head()), "203.0.113.7:0");
    // A client that was introduced is no proxy: what it says about itself counts for nothing.
    let mut raw = Raw::connect(&server);
    raw.send(&[LINE, forwarded.as_bytes()].concat());
    assert_eq!(client_in(&raw.head()), TAKEN);
}

#[test]
fn what_is_no_header_is_closed_without_a_word() {
    let server = server();
    let long = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    let version = [SIGNATURE, &[0x11, 0x11, 0, 12], &[0; 12]].concat();
    let short = [SIGNATURE, &[0x21, 0x21, 0, 12], &[0; 12]].concat();
    let endless = [&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat();
    let faults: [&[u8]; 9] = [
        upgrade(&["Host: a"]).as_bytes(),
        b"PROXY TCP4 203.0.113.9 198.51.100.1 56324 443\n\r\n",
        b"PROXY TCP4 203.0.113.999 198.51.100.1 56324 443\r\n",
        b"\x16\x03\x01\x02\x00",
        &[0; 16],
        &long,
        &version,
        &short,
        &endless,
    ]
    .map(<[u8]>::to_vec)
    .map(|fault| &*fault.leak());
    for fault in faults {
        let mut raw = Raw::connect(&server);
        raw.send_anyway(fault);
        raw.is_gone();
    }
    let refused = server.sum(|shard| &shard.proxies_refused);
    assert_eq!(refused, faults.len() as u64);
    // Nor is whoever is no trusted proxy heard.
    let mut raw = Raw::connect_from(loopback(9), server.address());
    raw.send_anyway(LINE);
    raw.is_gone();
    assert_eq!(server.sum(|shard| &shard.proxies_refused), refused + 1);
    server.wait_until_empty();
}

#[test]
fn who_says_nothing_is_closed_in_time() {
    let mut config = expecting();
    config.handshake_timeout = Duration::from_millis(200);
    config.header_timeout = Duration::from_millis(100);
    let server = observed(&["127.0.0.1"], config);
    for begun in [&b""[..], b"PROXY TCP4 203"] {
        let mut raw = Raw::connect(&server);
        raw.send(begun);
        // Without an answer: nobody is there who would understand one.
        raw.ended();
    }
    wait_until("both are counted", || {
        let readings = server.readings();
        let late = ["closed_deadline[handshake]", "closed_deadline[header]"];
        late.iter().map(|name| readings[*name]).sum::<u64>() == 2
    });
    server.wait_until_empty();
}
