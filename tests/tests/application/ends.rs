//! How a server ends, wherever it is dropped, and what the disconnect hook knows of who has gone.

use crate::speaker::Speaker;
use crate::{SHARDS, each, told, wait};
use serde_json::{Value, json};
use shardcast::{App, Failure, Server};
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::config;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::runtime::Builder;

/// A server with a runtime of its own, on which a handler waits. It tells when it is dropped there.
fn started(shards: usize) -> (Server, Receiver<()>) {
    struct Tells(SyncSender<()>);
    impl Drop for Tells {
        fn drop(&mut self) {
            let _nobody_minds = self.0.send(());
        }
    }
    let app = App::new();
    let (tells, dropped) = sync_channel(64);
    app.handlers()
        .on_async("wait", move |_, (): ()| {
            let tells = Tells(tells.clone());
            async move {
                std::future::pending::<()>().await;
                drop(tells);
                Ok(())
            }
        })
        .unwrap();
    let server = app.start(config(shards)).expect("it starts");
    let mut client = Speaker::at(server.local_addr().unwrap(), Dialect::JsonRpc, "");
    client.begin("wait", Value::Null);
    client.check_quiet();
    (server, dropped)
}

/// Started outside of a runtime it has one of its own, whose end may not wait inside another.
#[test]
fn a_server_is_dropped_inside_async_code() {
    for shards in SHARDS {
        let (server, dropped) = started(shards);
        wait(async move { drop(server) });
        told(&dropped);

        // On a runtime with one thread, and on a blocking thread of it.
        let one = Builder::new_current_thread().build().unwrap();
        let (server, dropped) = started(shards);
        one.block_on(async move { drop(server) });
        told(&dropped);
        let (server, dropped) = started(shards);
        let drained = one.block_on(async move {
            let drain = move || server.drain(std::time::Duration::ZERO);
            tokio::task::spawn_blocking(drain).await
        });
        drained.expect("no panic");
        told(&dropped);
    }
}

/// A handler that holds the server drops it, on a shard or in the background.
#[test]
fn a_handler_ends_its_server() {
    for kind in ["on the shard", "in the background"] {
        let app = App::new();
        let held: Arc<OnceLock<Mutex<Option<Server>>>> = Arc::default();
        let (ended, ends) = sync_channel(64);
        let end = {
            let held = held.clone();
            move || {
                let server = held.wait().lock().unwrap().take();
                drop(server);
                ended.send(()).unwrap();
            }
        };
        let act = end.clone();
        app.handlers()
            .on("on the shard", move |_, (): ()| {
                act();
                Ok(())
            })
            .unwrap();
        app.handlers()
            .on_async("in the background", move |_, (): ()| {
                let end = end.clone();
                async move {
                    end();
                    Ok(())
                }
            })
            .unwrap();
        let server = app.start(config(2)).expect("it starts");
        let mut client = Speaker::at(server.local_addr().unwrap(), Dialect::NativeJson, "");
        held.set(Mutex::new(Some(server))).expect("once");
        client.begin(kind, Value::Null);
        told(&ends);
    }
}

/// Rooms, whatever ended the connection: those that it was in, without those that it had left.
#[test]
fn the_disconnect_hook_knows_the_rooms() {
    let (tells, gone) = sync_channel(64);
    let tells = Arc::new(Mutex::new(tells));
    let app = || {
        let tells = tells.clone();
        let app = App::new()
            .on_opened(|cx| cx.identify(shardcast::Identity::user("ann")?))
            .on_disconnect(move |cx, _| {
                let (rooms, user) = (cx.rooms(), cx.user().map(str::to_owned));
                for room in &rooms {
                    assert!(cx.is_in(room));
                    // It is a member no more: what it sends there comes to the others alone.
                    cx.to(room).emit("gone", &user).unwrap();
                }
                assert!(!cx.is_in("left") && !cx.is_in("\u{1}ann"));
                tells.lock().unwrap().send(rooms).unwrap();
            });
        app.handlers()
            .on("kick", |cx, (): ()| -> Result<(), Failure> {
                cx.disconnect(CloseCode::POLICY, "kicked");
                assert!(cx.rooms().is_empty(), "it left them all");
                Ok(())
            })
            .unwrap();
        app
    };
    each(app, |server, _, dialect| {
        let mut other = Speaker::new(server, dialect);
        other.join("a");
        for ends in ["leaves", "resets", "is kicked"] {
            let mut one = Speaker::new(server, dialect);
            for room in ["b", "left", "a"] {
                one.join(room);
            }
            one.ask("leave_room", json!({"room": "left"}));
            match ends {
                "leaves" => one.client.leave(),
                "resets" => drop(one),
                _ => {
                    one.notify("kick", Value::Null);
                }
            }
            let rooms = told(&gone);
            assert_eq!(rooms, ["a".into(), "b".into()] as [Arc<str>; 2], "{ends}");
            other.expect_event("gone", json!("ann"));
        }
        other.client.leave();
        assert_eq!(told(&gone), ["a".into()] as [Arc<str>; 1]);
        // Who was in no room was in none.
        Speaker::new(server, dialect).client.leave();
        assert!(told(&gone).is_empty());
    });
}
