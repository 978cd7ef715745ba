//! The queue of commands from other threads: who waits for a place in it.

use super::*;
use crate::message::command::Command;
use crate::message::queue::{AwaitPlace, Remote};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Poll, Wake, Waker};

struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn fill(remote: &Remote) {
    let who = Ticket {
        slot: 0,
        generation: 0,
    };
    let notice = || Command::Notify {
        who,
        notice: Box::new(()),
    };
    while remote.send(notice()).is_ok() {}
}

#[test]
fn who_waits_for_a_place_is_woken_by_a_tick_and_by_the_end() {
    let mut trial = Trial::new(&Config::default(), Faults::none(), 1);
    let remote = trial.shard.core.mail.remote();
    let alarm = Arc::new(Alarm(AtomicUsize::new(0)));
    let waker = Waker::from(alarm.clone());
    let poll = |ready: &mut AwaitPlace| {
        let mut context = task::Context::from_waker(&waker);
        (
            Pin::new(ready).poll(&mut context),
            alarm.0.load(Ordering::Relaxed),
        )
    };
    let wait = || AwaitPlace::new(Some(remote.clone()));
    assert_eq!(poll(&mut wait()), (Poll::Ready(()), 0));
    fill(&remote);
    let mut first = wait();
    assert_eq!(poll(&mut first), (Poll::Pending, 0));
    trial.shard.tick();
    assert_eq!(poll(&mut first), (Poll::Ready(()), 1));
    fill(&remote);
    let mut second = wait();
    assert_eq!(poll(&mut second), (Poll::Pending, 1));
    drop(trial);
    assert_eq!(poll(&mut second), (Poll::Ready(()), 2));
}
