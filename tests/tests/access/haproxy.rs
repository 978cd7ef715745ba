//! haproxy in front of the server: both versions of the PROXY protocol, and X-Forwarded-For, as it
//! writes them.

use crate::{client_in, loopback, observed, upgrade};
use shardcast_engine::ProxyProtocol;
use shardcast_patience::Program;
use shardcast_tests::{Raw, Server, config, wait_until};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

/// Where Debian has it.
const HAPROXY: &str = "/usr/sbin/haproxy";

/// In front of one server.
struct Haproxy {
    _program: Program,
    address: SocketAddr,
    file: PathBuf,
}

impl Haproxy {
    /// With these words behind `server a ADDRESS`, and these lines besides.
    #[track_caller]
    fn start(server: SocketAddr, words: &str, lines: &str) -> Haproxy {
        let works = Command::new(HAPROXY).arg("-v").output();
        assert!(
            works.is_ok_and(|output| output.status.success()),
            "this test needs {HAPROXY}: apt-get install haproxy (tests/run does it)"
        );
        // A port that is free now: haproxy does not tell which it was given.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let name = format!(
            "shardcast-haproxy-{}-{}.cfg",
            std::process::id(),
            address.port()
        );
        let file = std::env::temp_dir().join(name);
        let text = format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
             listen a\n  bind {address}\n{lines}  server a {server} {words}\n"
        );
        std::fs::write(&file, text).expect("a temporary file");
        let mut command = Command::new(HAPROXY);
        command.arg("-db").arg("-f").arg(&file);
        let program = Program::start(&mut command);
        wait_until("haproxy accepts", || TcpStream::connect(address).is_ok());
        Haproxy {
            _program: program,
            address,
            file,
        }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_file(&self.file);
    }
}

/// What the proxy says of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Address,
    AddressAndPort,
}

/// Clients from three addresses are taken for who they are, and talk.
#[track_caller]
fn check(server: &Server, proxy: &Haproxy, told: Told) {
    for last in [1, 17, 200] {
        let mut raw = Raw::connect_from(loopback(last), proxy.address);
        raw.send(upgrade(&["Host: a"]).as_bytes());
        let head = raw.head();
        let client: SocketAddr = client_in(&head).parse().expect("an address");
        assert_eq!(client.ip(), loopback(last));
        assert_eq!(client.port() != 0, told == Told::AddressAndPort, "{client}");
        raw.hear();
        raw.say(r#"{"type":"ping","id":1}"#);
        assert_eq!(raw.hear(), r#"{"type":"pong","id":1}"#);
    }
    server.wait_until_empty();
}

#[test]
fn the_proxy_protocol_as_haproxy_speaks_it() {
    for words in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options unique-id",
    ] {
        let mut config = config(2);
        config.listeners[0].proxy_protocol = ProxyProtocol::On;
        let server = observed(&["127.0.0.1"], config);
        let lines = "  unique-id-format %{+X}o%ci_%rt\n";
        let proxy = Haproxy::start(server.address(), words, lines);
        check(&server, &proxy, Told::AddressAndPort);
    }
}

#[test]
fn forwarded_for_as_haproxy_writes_it() {
    let server = observed(&["127.0.0.1"], config(2));
    let proxy = Haproxy::start(server.address(), "", "  option forwardfor\n");
    check(&server, &proxy, Told::Address);
    // What the client had said stands before what the proxy adds.
    let mut raw = Raw::connect_from(loopback(33), proxy.address);
    raw.send(upgrade(&["Host: a", "X-Forwarded-For: 6.6.6.6"]).as_bytes());
    assert_eq!(client_in(&raw.head()), "127.0.0.33:0");
}
