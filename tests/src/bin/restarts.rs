//! Starts and stops as many engines as its argument says, each with clients that are still there
//! when it ends. Run with a low open-file limit it fails if an engine leaves descriptors behind.

#![forbid(unsafe_code)]

use shardcast_tests::{Client, PATIENCE, Raw, Server, config};

fn main() {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok());
    for number in 0..count.expect("how often") {
        let server = Server::native(config(2));
        let mut clients: Vec<Client> = (0..3).map(|_| Client::native(&server)).collect();
        for client in &mut clients {
            client.join("r");
        }
        let silent = Raw::connect(&server);
        clients[0].say(r#"{"type":"broadcast","room":"r"}"#);
        if number % 2 == 0 {
            drop(server);
        } else {
            drop(clients);
            assert!(server.drain(PATIENCE));
        }
        drop(silent);
    }
}
