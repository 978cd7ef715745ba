//! Who gets in, and how much they may take: origins of pages, addresses, clients behind proxies,
//! rates and counts, over real sockets against `shardcast serve` and embedded servers. One file a
//! subject.

#![forbid(unsafe_code)]

mod addresses;
mod admin;
mod forwarded;
mod haproxy;
mod introduced;
mod limits;
mod operators;
mod origins;

use shardcast::{App, Connect, Identity, Proxies};
use shardcast_engine::{Config, Refusal};
use shardcast_tests::{Raw, Served, Server};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What all servers here have: two shards, and ports of their own.
const SERVER: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 2
pin = "none"
"#;

/// `shardcast serve` with these sections on top.
#[track_caller]
fn serve(more: &str) -> Served {
    Served::start(env!("CARGO_BIN_EXE_served"), &format!("{SERVER}{more}"))
}

/// A request, its headers in lines of their own, without the last line.
fn request(line: &str, headers: &[&str]) -> String {
    format!("{line} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"))
}

/// A request for a WebSocket at `/ws` with these headers besides.
fn upgrade(headers: &[&str]) -> String {
    let own = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    request("GET /ws", &[&own, headers].concat())
}

/// What a new connection's request is answered with: status, head and body.
#[track_caller]
fn ask(server: SocketAddr, said: &str) -> (u16, String, String) {
    let mut raw = Raw::connect_at(server);
    raw.send(said.as_bytes());
    let (head, body) = raw.answer();
    (status_of(&head), head, body)
}

#[track_caller]
fn status_of(head: &str) -> u16 {
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    let status = status.and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status: {head}"))
}

/// An address of the loopback network.
fn loopback(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// A server that tells each client in `X-Client` where it takes it to be, and trusts these proxies.
fn observed(trusted: &[&str], config: Config) -> Server {
    let mut proxies = Proxies::none();
    for network in trusted {
        proxies = proxies.and(network).expect("a network");
    }
    let app = App::new().trusted_proxies(proxies).on_connect(tell);
    Server::of(app, config).0
}

fn tell(connect: &Connect<'_>) -> Result<Identity, Refusal> {
    connect.add_header("X-Client", &connect.remote_address().to_string())?;
    Ok(Identity::nobody())
}

/// Where the server takes a client to be whose upgrade was answered so.
#[track_caller]
fn client_in(head: &str) -> &str {
    // A proxy may write names in small letters.
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut told = lines.filter(|(name, _)| name.eq_ignore_ascii_case("X-Client"));
    let told = told.next().map(|(_, client)| client);
    told.unwrap_or_else(|| panic!("not let in: {head}"))
}
