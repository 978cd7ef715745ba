//! A storm of connects whose admission is deferred and never decided: those who are in do not
//! notice, nobody waits longer than the limit says, no more wait than may, and of the hooks nothing
//! is left. The server runs here, for `shardcast serve` has no hook that waits.

use shardcast::{App, Arrival, Identity};
use shardcast_tests::{Raw, Server, config, upgrade};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Clients that are in before the storm, and how often each is answered while it lasts.
const HONEST: usize = 20;
const QUESTIONS: usize = 50;
/// Attackers, and the connects of each: some are held until they are answered, the others are left
/// at once.
const ATTACKERS: usize = 4;
const CONNECTS: usize = 500;
/// How many may wait on the two shards.
const WAITING_MAX: usize = 32;
/// How many connections an attacker holds.
const HELD: usize = 20;

/// Hooks that are there, and the most that there were.
#[derive(Default)]
struct Hooks {
    now: AtomicUsize,
    most: AtomicUsize,
    begun: AtomicUsize,
}

struct Counted(Arc<Hooks>);

impl Counted {
    fn new(hooks: &Arc<Hooks>) -> Counted {
        let now = hooks.now.fetch_add(1, Ordering::SeqCst) + 1;
        hooks.most.fetch_max(now, Ordering::SeqCst);
        hooks.begun.fetch_add(1, Ordering::SeqCst);
        Counted(Arc::clone(hooks))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

fn app(hooks: &Arc<Hooks>) -> App {
    let hooks = Arc::clone(hooks);
    App::new().on_connect_async(move |arrival: Arrival| {
        let counted = Counted::new(&hooks);
        async move {
            if arrival.parameter("user") != Some("honest") {
                std::future::pending::<()>().await;
            }
            drop(counted);
            Ok(Identity::nobody())
        }
    })
}

fn ask(server: &Server, query: &str) -> Raw {
    let mut raw = Raw::connect(server);
    raw.send_anyway(upgrade().replace("/ws", &format!("/ws{query}")).as_bytes());
    raw
}

/// Comes again and again, until its connects are used up and the honest have talked.
fn attack(server: &Server, over: &AtomicBool) {
    let mut held = Vec::with_capacity(HELD);
    for number in 0.. {
        if number >= CONNECTS && over.load(Ordering::SeqCst) {
            break;
        }
        let raw = ask(server, "");
        if number % 2 == 0 {
            held.push(raw);
        } else {
            drop(raw);
        }
        if held.len() == HELD {
            for mut raw in held.drain(..) {
                let head = raw.head();
                let refused = ["HTTP/1.1 503 ", "HTTP/1.1 504 "];
                assert!(
                    refused.iter().any(|status| head.starts_with(status)),
                    "{head}"
                );
            }
        }
    }
}

#[test]
fn a_storm_of_connects_that_wait_leaves_the_others_alone() {
    let hooks = Arc::<Hooks>::default();
    let mut config = config(2);
    config.deferred_max = WAITING_MAX;
    config.admission_timeout = Duration::from_millis(200);
    let (server, _) = Server::of(app(&hooks), config);
    let mut honest: Vec<Raw> = (0..HONEST)
        .map(|_| {
            let mut raw = ask(&server, "?user=honest");
            let head = raw.head();
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            assert!(raw.hear().starts_with(r#"{"type":"welcome""#));
            raw
        })
        .collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..ATTACKERS {
            scope.spawn(|| attack(&server, &over));
        }
        for _ in 0..QUESTIONS {
            for raw in &mut honest {
                raw.say(r#"{"type":"ping","id":1}"#);
                assert_eq!(raw.hear(), r#"{"type":"pong","id":1}"#);
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    server.wait_until("nobody waits", |server| {
        server.sum(|shard| &shard.admissions_waiting) == 0
    });
    server.wait_until_empty_but(HONEST as u64);
    server.wait_until("the hooks are gone", |_| {
        hooks.now.load(Ordering::SeqCst) == 0
    });
    let most = hooks.most.load(Ordering::SeqCst);
    assert!(most <= WAITING_MAX, "{most} hooks at once");
    assert!(server.sum(|shard| &shard.refused_waiting) > 0);
    assert!(server.sum(|shard| &shard.closed_deadline_admission) > 0);
    let deferred = server.sum(|shard| &shard.admissions_deferred);
    assert_eq!(hooks.begun.load(Ordering::SeqCst) as u64, deferred);
    assert_eq!(server.sum(|shard| &shard.upgrades), HONEST as u64);
    // Whoever comes now is let in.
    let mut late = ask(&server, "?user=honest");
    assert!(late.head().starts_with("HTTP/1.1 101 "));
}
