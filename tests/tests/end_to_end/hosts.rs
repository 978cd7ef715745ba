//! Hosts that permit no io_uring: the program itself under a filter like a container's.

use shardcast_patience::Program;
use shardcast_tests::Client;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

const PROFILE: &str = "io_uring_setup: Operation not permitted";

/// Starts the server under the filter, on this driver.
fn confined(driver: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confined"));
    command.arg(env!("CARGO_BIN_EXE_served"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--shards", "2", "--pin", "none", "--driver", driver]);
    Program::start(&mut command)
}

#[test]
fn without_io_uring_the_server_runs_on_epoll_and_says_why() {
    for driver in ["auto", "portable"] {
        let mut program = confined(driver);
        let ready = program.line().unwrap_or_default();
        assert!(
            ready.contains(" driver portable,"),
            "{ready}{}",
            program.errors()
        );
        let address = ready
            .split("ws://")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        let address = address.and_then(|address| address.parse().ok());
        let mut clients = [(); 8].map(|()| Client::native_at(address.expect("an address")));
        for client in &mut clients {
            let joined = client.ask(r#"{"type":"join_room","id":1,"room":"all"}"#);
            assert!(joined.contains(r#""type":"joined""#), "{joined}");
        }
        let published =
            clients[0].ask(r#"{"type":"publish","id":2,"room":"all","data":"from one shard"}"#);
        assert!(published.contains(r#""type":"ack""#), "{published}");
        for client in &mut clients[1..] {
            assert!(client.hear().contains("from one shard"));
        }
        let admin = ready
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        let metrics = metrics(admin.expect("an admin port"));
        assert!(
            metrics.contains("shardcast_driver_info{driver=\"portable\"} 1"),
            "{metrics}"
        );
        program.signal("TERM");
        let ended = program.end();
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
        // Whoever asked for it needs no warning.
        let warns = ended.errors.contains(PROFILE) && ended.errors.contains("seccomp");
        assert_eq!(warns, driver == "auto", "{}", ended.errors);
    }
}

fn metrics(admin: &str) -> String {
    let mut stream = TcpStream::connect(admin).expect("the admin port");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_server_that_is_to_have_io_uring_does_not_start_without_it() {
    let ended = confined("uring").end();
    assert_eq!((ended.code, ended.printed.as_str()), (Some(1), ""));
    for part in [PROFILE, "seccomp", "portable"] {
        assert!(ended.errors.contains(part), "{part}: {}", ended.errors);
    }
}

/// What would run is what does run, and why is said before.
#[test]
fn the_doctor_sees_the_filter() {
    for (driver, code, chosen) in [
        ("auto", 1, r#""chosen": "portable""#),
        ("portable", 1, r#""chosen": "portable""#),
        ("uring", 2, r#""chosen": null"#),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confined"));
        command.arg(env!("CARGO_BIN_EXE_served"));
        command.args(["doctor", "--json", "--shards", "2", "--driver", driver]);
        let ended = Program::start(&mut command).end();
        assert!(
            ended.printed.contains(chosen),
            "{driver}: {}",
            ended.printed
        );
        let blames = ended.printed.contains(PROFILE) && ended.printed.contains("seccomp=PROFILE");
        assert_eq!(blames, driver != "portable", "{driver}: {}", ended.printed);
        // The host may have other things to mend.
        let codes = if driver == "portable" {
            0..=code
        } else {
            code..=code
        };
        assert!(
            ended.code.is_some_and(|code| codes.contains(&code)),
            "{driver}"
        );
    }
}
