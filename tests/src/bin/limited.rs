//! A native server for the test that lowers the open-file limit of its process: `limited
//! CONNECTIONS_MAX`. Prints its address and its rings, then answers every line on standard input
//! with the counters; at the end of the input it drains.

#![forbid(unsafe_code)]

use shardcast_engine::DriverChoice;
use shardcast_tests::{PATIENCE, Server, config};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut config = config(1);
    // Only rings hold more connections than the process may have files.
    config.driver = DriverChoice::Uring;
    let connections_max = std::env::args().nth(1).and_then(|text| text.parse().ok());
    config.connections_max = connections_max.expect("a number of connections");
    let server = Server::native(config);
    println!("{}", server.address());
    for _ in std::io::stdin().lines() {
        println!("{}", server.counters());
    }
    if server.drain(PATIENCE) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
