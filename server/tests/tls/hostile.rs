//! What comes to a port and is not what the port speaks: it ends, with an answer where there is
//! one, and the next client is served.

use super::{Program, SecureClient, Wish, identified};
use crate::client::{Client, dial};
use rustls::ClientConnection;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};

/// Everything that the server answers until it ends the connection. A reset counts as an end.
fn answer(address: SocketAddr, said: &[u8]) -> Vec<u8> {
    let mut socket = dial(address);
    // The server may have heard enough before it is all said.
    let _ = socket.write_all(said);
    let mut answer = Vec::new();
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    answer
}

/// A fatal alert (RFC 8446 §6): its description.
fn alert(answer: &[u8]) -> u8 {
    let [21, 3, _, 0, 2, 2, description] = *answer else {
        panic!("no alert: {answer:?}");
    };
    description
}

fn client_hello(trusted: &[&crate::Issued]) -> Vec<u8> {
    let config = Wish::trusting(trusted).config();
    let mut client = ClientConnection::new(config, "a.test".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn the_wrong_protocol_on_either_port_ends() {
    let (folder, issued) = identified();
    let program = Program::start(&folder, &["a"], &["timeouts.handshake=1s"]);
    let http = b"GET /ws HTTP/1.1\r\nHost: a.test\r\n\r\n";
    // decode_error, or whatever fits better: RFC 8446 §6.2 leaves the choice.
    let answered = alert(&answer(program.secure, http));
    assert!([10, 47, 50, 70].contains(&answered), "{answered}");
    let hello = client_hello(&[&issued]);
    let answered = answer(program.plain.unwrap(), &hello);
    let head = String::from_utf8_lossy(&answered);
    assert!(
        head.starts_with("HTTP/1.1 400 ") || head.starts_with("HTTP/1.1 408 "),
        "{head}"
    );
    let config = Wish::trusting(&[&issued]).config();
    SecureClient::connect(program.secure, &config, "a.test").check();
    Client::plain(program.plain.unwrap()).check();
    let log = program.end();
    assert!(!log.contains("panic"), "{log}");
}

#[test]
fn half_a_hello_ends_at_the_deadline() {
    let (folder, issued) = identified();
    let program = Program::start(&folder, &["a"], &["timeouts.handshake=300ms"]);
    let hello = client_hello(&[&issued]);
    for length in [0, 1, 5, 6, hello.len() / 2, hello.len() - 1, hello.len()] {
        answer(program.secure, &hello[..length]);
    }
    let config = Wish::trusting(&[&issued]).config();
    SecureClient::connect(program.secure, &config, "a.test").check();
    program.wait_for("shardcast_connections", 0);
    program.end();
}

#[test]
fn garbage_ends() {
    let (folder, issued) = identified();
    let program = Program::start(&folder, &["a"], &["timeouts.handshake=300ms"]);
    let mut random = fastrand::Rng::with_seed(7);
    let hello = client_hello(&[&issued]);
    for round in 0..200 {
        let said: Vec<u8> = if round % 2 == 0 {
            (0..random.usize(1..2000)).map(|_| random.u8(..)).collect()
        } else {
            // A hello with one byte changed, and garbage behind it.
            let mut said = hello.clone();
            let at = random.usize(..said.len());
            said[at] ^= random.u8(1..);
            said.extend((0..100).map(|_| random.u8(..)));
            said
        };
        let mut socket = dial(program.secure);
        let _ = socket.write_all(&said);
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
    }
    let config = Wish::trusting(&[&issued]).config();
    SecureClient::connect(program.secure, &config, "a.test").check();
    let log = program.end();
    assert!(!log.contains("panic"), "{log}");
}
