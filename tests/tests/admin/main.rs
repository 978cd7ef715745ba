//! The admin API over real sockets against `shardcast serve`, with clients that see what it does.
//! One file a subject.

#![forbid(unsafe_code)]

mod calls;
mod documented;
mod lists;
mod metrics;
mod reloading;
mod runbooks;
mod steering;

use serde_json::{Value, json};
use shardcast_patience::Program;
use shardcast_tests::{Client, Served};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What all servers here have: two shards, ports of their own, tokens, and rooms that keep history.
const SERVER: &str = r#"
[namespaces.kept]
history = 100
idempotency = "1m"
[namespaces.seen]
presence_events = true
[namespaces.free]
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
pin = "none"
"#;

const SECRET: &str = "a-secret-of-tests-0123456789abcdef";

/// Files of one test, which go when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = format!("shardcast-admin-api-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).expect("a temporary folder");
        let folder = Folder(folder);
        folder.write("secret", SECRET);
        folder
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a writable folder");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// The configuration of a server that takes tokens, with these lines besides.
    fn configuration(&self, more: &str) -> String {
        let secret = self.0.join("secret");
        format!(
            "{SERVER}{more}\n[auth]\ntokens = \"optional\"\n[auth.keys.shared]\nalgorithm = \"HS256\"\nsecret_file = '{}'\n",
            secret.display()
        )
    }

    /// A token of this user.
    fn token(&self, user: &str) -> String {
        let path = self.write("tokens.toml", &self.configuration(""));
        let mut command = Command::new(env!("CARGO_BIN_EXE_served"));
        command.args([
            "gen-token",
            "--ttl",
            "1h",
            "--user",
            user,
            "--config",
            &path,
        ]);
        let ended = Program::start(&mut command).end();
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
        ended.printed.trim().to_owned()
    }

    /// Of two shards, unless these lines say otherwise.
    fn serve(&self, more: &str) -> Served {
        let shards = match more.contains("shards = ") {
            true => "",
            false => "shards = 2\n",
        };
        let configuration = self.configuration(&format!("{shards}{more}"));
        Served::start(env!("CARGO_BIN_EXE_served"), &configuration)
    }

    /// A client that is this user.
    fn user(&self, served: &Served, user: &str) -> Client {
        let path = format!("/ws?token={}", self.token(user));
        let mut client = Client::asking(served.address("ws"), &path, "shardcast.v1");
        assert_eq!(heard(&mut client)["type"], "welcome");
        client
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

fn client(served: &Served) -> Client {
    Client::native_at(served.address("ws"))
}

#[track_caller]
fn heard(client: &mut Client) -> Value {
    serde_json::from_str(&client.hear()).expect("JSON")
}

/// A call that is answered with this status.
#[track_caller]
fn post(served: &Served, path: &str, status: u16, body: &Value) -> Value {
    read(path, status, served.call(path, &body.to_string()))
}

#[track_caller]
fn get(served: &Served, path: &str, status: u16) -> Value {
    read(path, status, served.ask(path))
}

#[track_caller]
fn read(path: &str, expected: u16, (status, body): (u16, String)) -> Value {
    assert_eq!(status, expected, "{path}: {body}");
    let value: Value = serde_json::from_str(&body).expect("JSON");
    if status != 200 {
        assert_eq!(
            value["status"],
            json!(status),
            "a problem (RFC 9457): {body}"
        );
        assert!(value["detail"].is_string() && value["title"].is_string());
    }
    value
}
