//! Drain, reload and log level: by signals and by calls, which are the same.

use crate::{Folder, client, get, heard, post};
use serde_json::json;
use shardcast_tests::{Client, Raw, Served, wait_until};

/// Whether a new client is welcomed; `None`: nobody listens any more.
fn welcomes(served: &Served) -> Option<bool> {
    let address = served.address("ws");
    let stream = std::net::TcpStream::connect(address).ok()?;
    drop(stream);
    let mut raw = Raw::connect_at(address);
    raw.upgrade();
    Some(raw.hear().contains("welcome"))
}

#[test]
fn a_call_or_a_signal_drains_and_new_clients_are_served_as_a_lame_duck() {
    for by_call in [true, false] {
        let folder = Folder::new(if by_call { "drain-call" } else { "drain-term" });
        let served = folder.serve("lame_duck = \"1s\"\ndrain_rate = 1000000\n");
        let mut clients: Vec<Client> = (0..20).map(|_| client(&served)).collect();
        assert_eq!(get(&served, "/ready", 200), json!({"status": "ready"}));
        if by_call {
            let told = post(&served, "/api/drain", 200, &json!({}));
            assert_eq!(
                (&told["stage"], &told["lame_duck_ms"]),
                (&json!("lame_duck"), &json!(1_000))
            );
            assert_eq!(told["connections"], 20);
            assert_eq!(served.ask("/ready").0, 503, "at once");
            // To ask again ends nothing.
            post(&served, "/api/drain", 200, &json!({}));
        } else {
            served.terminate();
            wait_until("it is told", || served.ask("/ready").0 == 503);
        }
        assert_eq!(
            welcomes(&served),
            Some(true),
            "balancers have not noticed yet"
        );
        for client in &mut clients {
            let closing = heard(client);
            assert_eq!(
                (&closing["type"], &closing["reason"]),
                (&json!("closing"), &json!("draining"))
            );
            assert!(closing["reconnect_ms"].is_u64());
            assert_eq!(client.closed().0, 1001);
        }
        let (code, log) = served.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("every client has left"), "{log}");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = Folder::new("twice");
    let served = folder.serve("lame_duck = \"1h\"\n");
    let _client = client(&served);
    served.terminate();
    wait_until("it is told", || served.ask("/ready").0 == 503);
    served.terminate();
    assert_eq!(served.end().0, Some(143));
}

#[test]
fn log_lines_begin_and_end_with_the_level() {
    let folder = Folder::new("log");
    let served = folder.serve("[log]\nlevel = \"error\"\n");
    let level = |body| post(&served, "/api/log", 200, &body)["level"].clone();
    assert_eq!(level(json!({})), "error");
    assert_eq!(level(json!({"level": "debug"})), "debug");
    served.hang_up();
    wait_until("the lists were read", || {
        served.log().contains("lists just read")
    });
    assert_eq!(level(json!({"level": "error"})), "error");
    let before = served.log().len();
    post(&served, "/api/reload", 200, &json!({}));
    assert_eq!(served.log().len(), before);
}
