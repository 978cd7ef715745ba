//! What is done to a broker's logs behind the nodes' backs, in each broker's own words.
//!
//! Invariant: it has happened when a function returns. Used by scenarios of ordered rooms.

use crate::broker::Kind;
use crate::cluster::Cluster;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;

/// Says something to Redis over a connection of its own: the first line of its answer.
pub(crate) fn redis(cluster: &Cluster, command: &[&str]) -> String {
    let mut socket = TcpStream::connect(cluster.broker.address()).expect("it listens");
    let mut asked = format!("*{}\r\n", command.len());
    for word in command {
        asked += &format!("${}\r\n{word}\r\n", word.len());
    }
    socket.write_all(asked.as_bytes()).expect("it takes it");
    let mut answer = String::new();
    let mut reader = BufReader::new(socket);
    reader.read_line(&mut answer).expect("it answers");
    answer
}

/// Asks JetStream over a connection of its own.
pub(crate) fn jetstream(cluster: &Cluster, api: &str, question: &Value) -> Value {
    let mut socket = TcpStream::connect(cluster.broker.address()).expect("it listens");
    let question = question.to_string();
    let asked = format!(
        "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB $JS.API.{api} answer {}\r\n{question}\r\n",
        question.len()
    );
    socket.write_all(asked.as_bytes()).expect("it takes it");
    let mut reader = BufReader::new(socket);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("it answers");
        if let Some(message) = line.strip_prefix("MSG ") {
            let bytes = message.split_whitespace().next_back().expect("a length");
            let mut answer = vec![0; bytes.parse().expect("a number")];
            reader.read_exact(&mut answer).expect("all of it");
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            assert!(answer.get("error").is_none(), "{api}: {answer}");
            return answer;
        }
        assert!(!line.is_empty(), "{api}: it has gone");
    }
}

/// The names of all streams.
pub(crate) fn streams(cluster: &Cluster) -> Vec<String> {
    let names = jetstream(cluster, "STREAM.NAMES", &json!({}));
    let names = names["streams"].as_array().cloned().unwrap_or_default();
    let name = |name: &Value| name.as_str().expect("a name").to_owned();
    names.iter().map(name).collect()
}

/// The broker forgets all logs.
pub(crate) fn forget_all(cluster: &Cluster, kind: Kind) {
    match kind {
        Kind::Redis => assert_eq!(redis(cluster, &["FLUSHALL"]), "+OK\r\n"),
        Kind::Nats => {
            for stream in streams(cluster) {
                jetstream(cluster, &format!("STREAM.DELETE.{stream}"), &json!({}));
            }
        }
    }
}

/// Copies a folder with all that is in it, in place of what is there.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).expect("a temporary folder");
    for entry in std::fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it is readable");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("it is there").is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("it is readable");
        }
    }
}
