//! Several listeners in one engine: each with its address and its message limit, all with the same
//! rooms, and all stop together.

use crate::SHARDS;
use shardcast_engine::{Config, Listener};
use shardcast_tests::{Client, Raw, Server, config};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const LIMITS: [usize; 3] = [1000, 2000, 125];

fn listening(shards: usize) -> Config {
    let mut config = config(shards);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    config.listeners = LIMITS
        .map(|message_bytes_max| Listener {
            message_bytes_max,
            ..Listener::plain(any)
        })
        .to_vec();
    config
}

#[test]
fn each_has_its_own_message_limit() {
    for shards in SHARDS {
        let server = Server::echo(listening(shards));
        let addresses = server.addresses();
        assert_eq!(addresses.len(), LIMITS.len());
        assert_eq!(server.address(), addresses[0]);
        // More clients than shards, so that every shard is met by every listener.
        for _ in 0..4 * shards {
            for (address, limit) in addresses.iter().zip(LIMITS) {
                let mut client = Raw::connect_at(*address);
                client.upgrade();
                let largest = "x".repeat(limit);
                client.say(&largest);
                assert_eq!(client.hear(), largest);
                client.say(&format!("{largest}x"));
                assert_eq!(client.closed(), (1009, "message too big".to_owned()));
            }
        }
    }
}

#[test]
fn those_who_came_by_different_listeners_share_rooms() {
    let server = Server::native(listening(2));
    let mut clients: Vec<Client> = server
        .addresses()
        .iter()
        .map(|address| Client::native_at(*address))
        .collect();
    for (client, limit) in clients.iter_mut().zip(LIMITS) {
        let told = format!(r#","max_message_bytes":{limit}}}"#);
        assert!(client.welcome().ends_with(&told), "{}", client.welcome());
        client.join("r");
    }
    clients[2].say(r#"{"type":"broadcast","room":"r","data":1,"echo":true}"#);
    let from = clients[2].id().to_owned();
    for client in &mut clients {
        let heard = client.hear();
        assert_eq!(
            heard,
            format!(r#"{{"type":"message","room":"r","from":"{from}","data":1}}"#)
        );
    }
}

#[test]
fn a_drain_stops_all_of_them() {
    let server = Server::echo(listening(2));
    let addresses = server.addresses();
    let mut clients: Vec<Raw> = addresses
        .iter()
        .map(|address| {
            let mut client = Raw::connect_at(*address);
            client.upgrade();
            client
        })
        .collect();
    assert!(!server.drain(Duration::from_millis(100)), "nobody answers");
    for client in &mut clients {
        client.expect(0x88, b"\x03\xe9draining");
        client.is_gone();
    }
    for address in addresses {
        TcpStream::connect(address).expect_err("nobody listens any more");
    }
}
