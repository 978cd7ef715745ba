//! Model check of the sleep and wake protocol. Runs with `RUSTFLAGS="--cfg loom"`; empty otherwise.
#![cfg(loom)]

#[path = "../src/message/doorbell.rs"]
mod doorbell;

use doorbell::Doorbell;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};

/// The lane is a counter of messages (release on push, acquire on look), the wait is a flag that
/// the ringer sets.
#[test]
fn no_message_waits_for_a_sleeper_that_nobody_rings() {
    loom::model(|| {
        let bell = Arc::new(Doorbell::new());
        let messages = Arc::new(AtomicUsize::new(0));
        let rung = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (bell, messages, rung) = (bell.clone(), messages.clone(), rung.clone());
                loom::thread::spawn(move || {
                    messages.fetch_add(1, Ordering::Release);
                    if bell.knock() {
                        assert!(
                            !rung.swap(true, Ordering::AcqRel),
                            "rung twice for one sleep"
                        );
                    }
                })
            })
            .collect();
        bell.announce();
        let seen = messages.load(Ordering::Acquire);
        for sender in senders {
            sender.join().unwrap();
        }
        // The owner sleeps only if it saw nothing; then a sender must have rung.
        if seen == 0 {
            assert!(
                rung.load(Ordering::Acquire),
                "asleep with messages and no ring"
            );
        }
        bell.awake();
    });
}

/// A queue of commands without a place: two wait for one, and the shard, which takes a command, is
/// the one that knocks. Whoever saw no place after its announcement is woken.
#[test]
fn nobody_waits_for_a_place_that_is_there() {
    // Without a bound the model takes two minutes.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let bell = Arc::new(Doorbell::new());
        let places = Arc::new(AtomicUsize::new(0));
        let waiting = Arc::new(Mutex::new(Vec::new()));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let (bell, places, waiting) = (bell.clone(), places.clone(), waiting.clone());
                loom::thread::spawn(move || {
                    let woken = Arc::new(AtomicBool::new(false));
                    waiting.lock().unwrap().push(woken.clone());
                    bell.announce();
                    (places.load(Ordering::Acquire) == 0).then_some(woken)
                })
            })
            .collect();
        places.fetch_add(1, Ordering::Release);
        if bell.knock() {
            for woken in waiting.lock().unwrap().drain(..) {
                woken.store(true, Ordering::Release);
            }
        }
        for waiter in waiters {
            if let Some(woken) = waiter.join().unwrap() {
                assert!(woken.load(Ordering::Acquire), "waits, and nobody wakes it");
            }
        }
    });
}
