//! Maps over a restart of the server: they are in memory, and whoever comes back with a place of
//! the old process is told so, also where the server stores what other rooms keep.

use serde_json::{Value, json};
use shardcast_tests::{Client, Served};
use std::path::PathBuf;
use std::{fs, process};

/// Where the server stores what outlives it; it goes when this is dropped.
struct Store(PathBuf);

impl Store {
    fn new() -> Store {
        let folder = std::env::temp_dir().join(format!("shardcast-maps-{}", process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        Store(folder)
    }

    #[track_caller]
    fn serve(&self) -> Served {
        let toml = format!(
            r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
shards = 2
pin = "none"
[persistence]
path = '{}/store'
sync = "10ms"
[namespaces.kept]
history = 10
[namespaces.map]
map = true
history = 10
"#,
            self.0.display()
        );
        Served::start(env!("CARGO_BIN_EXE_served"), &toml)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

/// A client that is connected.
struct Lines(Client, u64);

impl Lines {
    fn of(served: &Served) -> Lines {
        let path = "/connection/websocket";
        let client = Client::asking(served.address("ws"), path, "centrifuge-json");
        let mut client = Lines(client, 0);
        client.ask(json!({"connect": {}}));
        client
    }

    #[track_caller]
    fn ask(&mut self, mut command: Value) -> Value {
        self.1 += 1;
        command["id"] = self.1.into();
        self.0.say(&command.to_string());
        let answer: Value = serde_json::from_str(&self.0.hear()).expect("JSON");
        assert_eq!(answer["id"], self.1, "{answer}");
        answer
    }
}

#[track_caller]
fn publish(served: &Served, method: &str, params: &Value) -> Value {
    let path = format!("/centrifugo/api/{method}");
    let (status, body) = served.call(&path, &params.to_string());
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn a_map_is_gone_with_the_process_and_its_clients_are_told() {
    let store = Store::new();
    let served = store.serve();
    let state = json!({"channel": "map:a", "type": 1, "phase": 2});
    let of_map = json!({"channel": "map:a", "key": "k", "data": 1});
    publish(&served, "map_publish", &of_map);
    let place = publish(&served, "publish", &json!({"channel": "kept:a", "data": 1}));
    let began = Lines::of(&served).ask(json!({ "subscribe": state }));
    let held = &began["subscribe"];
    assert_eq!(held["state"].as_array().map(Vec::len), Some(1), "{began}");
    served.terminate();
    let (code, log) = served.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("namespaces.map.map: what a map holds"),
        "{log}"
    );
    let served = store.serve();
    let mut client = Lines::of(&served);
    // What other rooms keep is there.
    let since = &place["result"];
    let since = json!({"channel": "kept:a", "recover": true, "epoch": since["epoch"], "offset": 1});
    let kept = client.ask(json!({ "subscribe": since }));
    assert_eq!(kept["subscribe"]["recovered"], true, "{kept}");
    let back = json!({
        "channel": "map:a", "type": 1, "phase": 1, "recover": true, "epoch": held["epoch"],
        "offset": held["offset"],
    });
    let lost = client.ask(json!({ "subscribe": back }));
    assert_eq!(lost["error"]["code"], 112, "{lost}");
    let anew = client.ask(json!({ "subscribe": state }));
    let anew = &anew["subscribe"];
    assert!(anew["state"].as_array().is_none_or(Vec::is_empty), "{anew}");
    assert_ne!(anew["epoch"], held["epoch"]);
}
