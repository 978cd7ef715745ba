//! Model check of the sleep and wake protocol. Runs with `RUSTFLAGS="--cfg loom"`; empty otherwise.
#![cfg(loom)]

#[path = "../src/message/doorbell.rs"]
mod doorbell;

use doorbell::Doorbell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
