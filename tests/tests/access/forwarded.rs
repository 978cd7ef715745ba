//! Forwarding headers: those of trusted proxies name the client, those of anybody else do not.

use crate::{ask, client_in, loopback, observed, upgrade};
use shardcast_tests::{Raw, config};
use std::net::IpAddr;

/// Where the server takes a client to be that asks from this address with these lines.
#[track_caller]
fn taken_for(server: &shardcast_tests::Server, source: IpAddr, lines: &[&str]) -> String {
    let mut raw = Raw::connect_from(source, server.address());
    raw.send(upgrade(&[&["Host: a"], lines].concat()).as_bytes());
    let head = raw.head();
    client_in(&head).to_owned()
}

#[test]
fn only_trusted_proxies_are_believed() {
    let server = observed(&["127.0.0.2", "127.0.0.3", "10.0.0.0/8"], config(2));
    let proxy = loopback(2);
    for (lines, expected) in [
        (&["X-Forwarded-For: 203.0.113.9"][..], "203.0.113.9:0"),
        (&["x-forwarded-for: 203.0.113.9:77"], "203.0.113.9:77"),
        (&["X-Forwarded-For: 6.6.6.6, 203.0.113.9"], "203.0.113.9:0"),
        (&["X-Forwarded-For: 203.0.113.9, 10.1.1.1"], "203.0.113.9:0"),
        (
            &["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9"],
            "203.0.113.9:0",
        ),
        (&["Forwarded: for=\"[2001:db8::7]:9\""], "[2001:db8::7]:9"),
        (
            &["Forwarded: for=203.0.113.9", "X-Forwarded-For: 203.0.113.9"],
            "203.0.113.9:0",
        ),
        (
            &["Forwarded: for=\"6.6.6.6, for=203.0.113.9"],
            "203.0.113.9:0",
        ),
        (&["X-Forwarded-For: 0.0.0.0"], "0.0.0.0:0"),
        (&["X-Forwarded-For: 0.0.0.1"], "0.0.0.1:0"),
    ] {
        assert_eq!(taken_for(&server, proxy, lines), expected, "{lines:?}");
        assert_eq!(
            taken_for(&server, loopback(3), lines),
            expected,
            "{lines:?}"
        );
        // Whoever is none is where it is.
        for stranger in [1, 4] {
            let taken = taken_for(&server, loopback(stranger), lines);
            assert!(
                taken.starts_with(&format!("127.0.0.{stranger}:")),
                "{taken}"
            );
        }
    }
    assert!(taken_for(&server, proxy, &[]).starts_with("127.0.0.2:"));
    let unnamed = taken_for(&server, proxy, &["Forwarded: for=unknown"]);
    assert!(unnamed.starts_with("127.0.0.2:"), "{unnamed}");
}

#[test]
fn what_proxies_cannot_have_meant_is_refused() {
    let server = observed(&["127.0.0.1"], config(1));
    for (lines, reason) in [
        (
            &["X-Forwarded-For: a"][..],
            "a proxy forwards what is no address",
        ),
        (
            &["X-Forwarded-For: 1.1.1.1", "Forwarded: for=2.2.2.2"],
            "Forwarded and X-Forwarded-For differ: have the proxy delete the one it does not write",
        ),
    ] {
        let said = upgrade(&[&["Host: a"], lines].concat());
        let (status, _, body) = ask(server.address(), &said);
        assert_eq!((status, body.as_str()), (400, reason));
    }
}

#[test]
fn without_trusted_proxies_nothing_is_read() {
    let server = observed(&[], config(1));
    let taken = taken_for(
        &server,
        loopback(5),
        &["X-Forwarded-For: nonsense, 1.1.1.1"],
    );
    assert!(taken.starts_with("127.0.0.5:"), "{taken}");
}
