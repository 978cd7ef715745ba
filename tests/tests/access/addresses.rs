//! Addresses that are let in or kept out: over plain sockets and TLS, behind proxies, and exchanged
//! while the server runs.

use crate::{loopback, request, status_of, upgrade};
use shardcast_patience::Program;
use shardcast_tests::{Certificates, Raw, secure, wait_until};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;

/// The status of an upgrade from this address, and what is said with it.
#[track_caller]
fn knock(source: IpAddr, server: SocketAddr, lines: &[&str]) -> (u16, String) {
    let mut raw = Raw::connect_from(source, server);
    raw.send_anyway(upgrade(&[&["Host: a"], lines].concat()).as_bytes());
    let (head, body) = raw.answer();
    (status_of(&head), body)
}

#[test]
fn block_goes_before_allow() {
    let served =
        crate::serve("[access]\nallow = ['127.0.0.0/28']\nblock = '127.0.0.3, 127.0.0.8/30'\n");
    let server = served.address("ws");
    for last in 1..=20 {
        let let_in = last < 16 && last != 3 && !(8..12).contains(&last);
        let (status, body) = knock(loopback(last), server, &[]);
        assert_eq!(status, if let_in { 101 } else { 403 }, "{last}");
        if !let_in {
            assert_eq!(body, "this address may not connect");
            // Whatever is asked for, and although nothing is.
            let mut raw = Raw::connect_from(loopback(last), server);
            assert_eq!(status_of(&raw.answer().0), 403);
            raw.ended();
        }
        // No header helps whoever is no trusted proxy.
        let forged = ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"];
        assert_eq!(knock(loopback(last), server, &forged).0, status, "{last}");
    }
    // Ten who are kept out knock three times.
    assert_eq!(served.metric("arrivals_refused_total"), 3 * 10);
}

#[test]
fn over_tls_nobody_shakes_hands_with_who_is_kept_out() {
    let certificates = Certificates::make();
    let toml = format!("{}[access]\nblock = '127.0.0.9'\n", certificates.toml());
    let served = crate::serve(&toml);
    let server = served.address("wss");
    let mut out = Raw::connect_from(loopback(9), server);
    out.ended();
    assert_eq!(served.metric("tls_handshakes_total"), 0);
    let stream = TcpStream::connect(server).expect("it accepts");
    let mut stream = secure(&certificates.client(), stream);
    let said = upgrade(&["Host: a"]);
    stream.write_all(said.as_bytes()).expect("it reads");
    let mut start = [0; 12];
    stream.read_exact(&mut start).expect("it answers");
    assert_eq!(&start, b"HTTP/1.1 101");
}

#[test]
fn a_client_behind_a_proxy_is_judged_by_its_own_address() {
    let served = crate::serve(
        "[access]\ntrusted_proxies = '127.0.0.2'\nallow = '203.0.113.0/24'\nblock = '203.0.113.66'\n",
    );
    let (server, proxy) = (served.address("ws"), loopback(2));
    for (said, expected) in [
        ("X-Forwarded-For: 203.0.113.9", 101),
        ("X-Forwarded-For: 203.0.113.66", 403),
        ("X-Forwarded-For: 203.0.113.9, 203.0.113.66", 403),
        ("X-Forwarded-For: 203.0.113.66, 203.0.113.9", 101),
        ("X-Forwarded-For: 198.51.100.1", 403),
        ("Forwarded: for=203.0.113.9", 101),
        ("Forwarded: for=\"203.0.113.66:1\"", 403),
        ("X-Forwarded-For: localhost", 400),
        // Nobody is named: the proxy's own address is none that may connect.
        ("X: y", 403),
    ] {
        assert_eq!(knock(proxy, server, &[said]).0, expected, "{said}");
        // Whoever is no proxy is kept out for its own address.
        assert_eq!(knock(loopback(1), server, &[said]).0, 403, "{said}");
    }
    // What needs no client is answered to the proxy: its health checks.
    let mut raw = Raw::connect_from(proxy, server);
    raw.send(request("GET /health", &["Host: a"]).as_bytes());
    assert_eq!(status_of(&raw.answer().0), 200);
}

#[test]
fn the_lists_are_read_again_on_sighup() {
    let path = std::env::temp_dir().join(format!("shardcast-lists-{}.toml", std::process::id()));
    let write = |lists: &str| {
        let toml = format!("{}[access]\n{lists}\n", crate::SERVER);
        std::fs::write(&path, toml).expect("a temporary file");
    };
    write("block = '127.0.0.7'");
    let mut command = Command::new(env!("CARGO_BIN_EXE_served"));
    command.args(["serve", "--config"]).arg(&path);
    let mut program = Program::start(&mut command);
    let ready = program.line().expect("it is ready");
    let server = ready
        .split("ws://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let server: SocketAddr = server.and_then(|it| it.parse().ok()).expect("an address");
    assert_eq!(knock(loopback(7), server, &[]).0, 403);
    // Who is connected stays, whatever changes.
    let mut connected = Raw::connect_from(loopback(8), server);
    connected.send(upgrade(&["Host: a"]).as_bytes());
    assert_eq!(status_of(&connected.head()), 101);
    connected.hear();
    write("block = '127.0.0.8'");
    program.signal("HUP");
    wait_until("the other is blocked", || {
        knock(loopback(7), server, &[]).0 == 101 && knock(loopback(8), server, &[]).0 == 403
    });
    connected.say(r#"{"type":"ping","id":1}"#);
    assert_eq!(connected.hear(), r#"{"type":"pong","id":1}"#);
    // What is wrong changes nothing, and is told.
    write("block = '127.0.0.300'");
    program.signal("HUP");
    wait_until("the mistake is told", || {
        program.errors().contains("127.0.0.300")
    });
    assert_eq!(knock(loopback(8), server, &[]).0, 403);
    // Another proxy is believed from now on.
    write("block = '127.0.0.8'\ntrusted_proxies = '127.0.0.9'");
    program.signal("HUP");
    wait_until("the proxy speaks for its clients", || {
        let said = |client| [format!("X-Forwarded-For: 127.0.0.{client}")];
        let through = |client| knock(loopback(9), server, &[&said(client)[0]]).0;
        through(8) == 403 && through(7) == 101
    });
    // What needs a restart is told, too.
    write("block = 'none'\n[limits]\nmax_connections = 1000");
    program.signal("HUP");
    wait_until("nobody is blocked", || {
        knock(loopback(8), server, &[]).0 == 101
    });
    wait_until("a restart is asked for", || {
        program.errors().contains("the rest takes a restart")
    });
    let _ = std::fs::remove_file(&path);
}
