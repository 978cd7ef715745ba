//! Handlers that are replaced under load: every request is answered exactly once, by the old
//! handler or by the new one.

use crate::SHARDS;
use crate::speaker::Speaker;
use serde_json::{Value, json};
use shardcast::{App, Handler};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{PATIENCE, Server, config};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Barrier};

const REPLACEMENTS: u32 = 1_000;
/// Requests that each client has under way.
const UNDER_WAY: usize = 4;

/// What answers has a number, and every request brings one.
fn numbered(name: u32, handled: &Arc<AtomicU64>) -> Handler {
    let handled = handled.clone();
    match name % 2 {
        0 => Handler::on_shard(move |_, (request,): (u64,)| {
            handled.fetch_add(1, Ordering::Relaxed);
            Ok((name, request))
        }),
        _ => Handler::in_background(move |_, (request,): (u64,)| {
            let handled = handled.clone();
            async move {
                handled.fetch_add(1, Ordering::Relaxed);
                Ok((name, request))
            }
        }),
    }
}

#[test]
fn hot_replacement_under_load_loses_no_message() {
    for shards in SHARDS {
        let (app, handled) = (App::new(), Arc::<AtomicU64>::default());
        let handlers = app.handlers();
        let id = handlers.register("work", numbered(0, &handled)).unwrap();
        let (server, _) = Server::of(app, config(shards));
        let dialects = Dialect::OWN.into_iter().chain(Dialect::OWN);
        let speakers: Vec<Speaker> = dialects
            .map(|dialect| Speaker::new(&server, dialect))
            .collect();
        let (tell, told) = sync_channel(1);
        let (done, start) = (AtomicBool::new(false), Barrier::new(speakers.len() + 1));
        let asked: u64 = std::thread::scope(|scope| {
            let clients: Vec<_> = speakers
                .into_iter()
                .map(|speaker| {
                    let tell = tell.clone();
                    scope.spawn(|| converse(speaker, &start, tell, &done))
                })
                .collect();
            start.wait();
            for name in 1..=REPLACEMENTS {
                told.try_iter().for_each(drop);
                handlers.replace(id, numbered(name, &handled)).unwrap();
                // Each is under load: somebody is answered before the next.
                if told.recv_timeout(PATIENCE).is_err() {
                    done.store(true, Ordering::Release);
                    panic!("nobody is answered: {}", server.counters());
                }
            }
            done.store(true, Ordering::Release);
            clients
                .into_iter()
                .map(|client| client.join().unwrap())
                .sum()
        });
        // Each was handled once, and none twice.
        assert_eq!(handled.load(Ordering::Relaxed), asked);
        assert_eq!(server.sum(|shard| &shard.panics), 0);
        server.wait_until_empty();
    }
}

/// Asks without a pause until `done`, and tells of its answers. How often.
fn converse(mut speaker: Speaker, start: &Barrier, tell: SyncSender<()>, done: &AtomicBool) -> u64 {
    let (mut waiting, mut asked) = (Vec::new(), 0);
    start.wait();
    while !done.load(Ordering::Acquire) {
        for _ in 0..UNDER_WAY {
            asked += 1;
            waiting.push((speaker.begin("work", json!([asked])), asked));
        }
        for (id, number) in waiting.drain(..) {
            answered(&speaker.answer(id), number);
            // Full: it has been told.
            let _ = tell.try_send(());
        }
    }
    // What was registered last stays.
    asked += 1;
    let last = speaker.ask("work", json!([asked]));
    assert_eq!(last, json!([REPLACEMENTS, asked]));
    speaker.check_quiet();
    asked
}

#[track_caller]
fn answered(answer: &Value, number: u64) {
    assert_eq!(answer[1], number, "{answer}");
    assert!(answer[0].as_u64() <= Some(REPLACEMENTS.into()), "{answer}");
}
