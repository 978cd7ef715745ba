//! A shard's queue of commands: written by any thread, bounded, and with those who wait for a place
//! in it.
//!
//! Invariant: whoever waits is woken once the shard has taken commands, or is gone. A shard for
//! whose queue nobody waits looks at one flag in a tick in which it took commands. Both ends are
//! made with the lanes; the mailbox has the shard's, the handle the others'.

use crate::confine::confine;
use crate::message::command::{Command, Refused};
use crate::message::doorbell::Doorbell;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

/// Commands that may wait per shard; more are refused to the caller.
pub(crate) const COMMANDS_MAX: usize = 1024;
/// Those who may wait for a place in one queue. One more is woken at once, and looks again as often
/// as its executor polls it.
pub(crate) const WAITING_MAX: usize = 65_536;
/// One of them: its place, and its flag with the counts of those who share it.
pub(crate) const WAITING_BYTES: usize = size_of::<PlaceWaiter>() + 24;

/// A way into a shard from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    commands: Sender<Command>,
    waiting: flume::Sender<PlaceWaiter>,
    places: Arc<Places>,
    bells: Arc<[Doorbell]>,
    shard: u16,
}

/// The shard's end.
pub(crate) struct CommandQueue {
    commands: Receiver<Command>,
    waiting: flume::Receiver<PlaceWaiter>,
    places: Arc<Places>,
}

/// What both ends look at.
#[derive(Debug)]
struct Places {
    /// Whoever waits announces it, as a shard announces its sleep, and looks for a place once more;
    /// the shard knocks after it took commands.
    awaited: Doorbell,
    /// The shard takes nothing more.
    gone: AtomicBool,
}

/// The ends of a shard's queue.
pub(crate) fn command_queue(bells: &Arc<[Doorbell]>, shard: u16) -> (Remote, CommandQueue) {
    let (commands, taken) = crossbeam_channel::bounded(COMMANDS_MAX);
    let (waiting, woken) = flume::bounded(WAITING_MAX);
    let places = Arc::new(Places {
        awaited: Doorbell::new(),
        gone: AtomicBool::new(false),
    });
    let remote = Remote {
        commands,
        waiting,
        places: places.clone(),
        bells: bells.clone(),
        shard,
    };
    let queue = CommandQueue {
        commands: taken,
        waiting: woken,
        places,
    };
    (remote, queue)
}

impl Remote {
    /// Hands a command over; the shard must be woken when the answer is `Ok(true)`.
    pub(crate) fn send(&self, command: Command) -> Result<bool, Box<(Refused, Command)>> {
        match self.commands.try_send(command) {
            Ok(()) => Ok(self.bells[self.shard as usize].knock()),
            Err(TrySendError::Full(command)) => Err(Box::new((Refused::Busy, command))),
            Err(TrySendError::Disconnected(command)) => Err(Box::new((Refused::Stopped, command))),
        }
    }

    /// Another try is worth it: there is a place, or nobody will ever make one.
    fn is_ready(&self) -> bool {
        !self.commands.is_full() || self.places.gone.load(Ordering::Relaxed)
    }
}

impl CommandQueue {
    /// In most ticks there is none, which takes a look at both ends and no fence.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Command> {
        match self.commands.is_empty() {
            true => None,
            false => self.commands.try_recv().ok(),
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self.commands.is_empty() {
            true => 0,
            false => self.commands.len(),
        }
    }

    /// Commands were taken: wakes those who wait for their places.
    #[inline]
    pub(crate) fn wake_waiting(&mut self) {
        if self.places.awaited.knock() {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&mut self) {
        // Who comes meanwhile has announced it, and is woken with the next commands.
        for waiting in self.waiting.try_iter().take(WAITING_MAX) {
            waiting.wake();
        }
    }
}

/// The shard is gone: those who wait are to find out.
impl Drop for CommandQueue {
    fn drop(&mut self) {
        // Whoever stands in the queue behind this look has seen the flag: the queue's lock orders
        // the two.
        self.places.gone.store(true, Ordering::Relaxed);
        self.wake_all();
    }
}

/// Somebody who waits.
struct PlaceWaiter {
    woken: Arc<AtomicBool>,
    waker: Waker,
}

impl PlaceWaiter {
    fn wake(self) {
        self.woken.store(true, Ordering::Release);
        // A waker is code of an executor. It may panic, and the next one is woken all the same.
        let _panicked = confine(|| self.waker.wake());
    }
}

/// Ends when a shard's queue has a place, or the engine has stopped ([`crate::Handle::ready`]).
/// Others may be quicker: what is tried then may be refused again.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct AwaitPlace {
    /// `None`: there is nothing to wait for.
    remote: Option<Remote>,
    /// Whether the shard has woken it, and what it wakes.
    waiting: Option<(Arc<AtomicBool>, Waker)>,
}

impl AwaitPlace {
    pub(crate) fn new(remote: Option<Remote>) -> AwaitPlace {
        AwaitPlace {
            remote,
            waiting: None,
        }
    }
}

impl Future for AwaitPlace {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(remote) = self.remote.as_ref().filter(|remote| !remote.is_ready()) else {
            return Poll::Ready(());
        };
        if let Some((woken, waker)) = &self.waiting {
            if woken.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            if waker.will_wake(cx.waker()) {
                return Poll::Pending;
            }
        }
        let woken = Arc::new(AtomicBool::new(false));
        let waiting = PlaceWaiter {
            woken: woken.clone(),
            waker: cx.waker().clone(),
        };
        match remote.waiting.try_send(waiting) {
            Ok(()) => {}
            Err(flume::TrySendError::Full(waiting)) => {
                waiting.wake();
                return Poll::Pending;
            }
            Err(flume::TrySendError::Disconnected(_)) => return Poll::Ready(()),
        }
        remote.places.awaited.announce();
        if remote.is_ready() {
            return Poll::Ready(());
        }
        self.waiting = Some((woken, cx.waker().clone()));
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ticket::Ticket;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    struct Alarm(AtomicUsize);

    impl Wake for Alarm {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Somebody who waits on an executor of its own.
    struct Waiter {
        ready: AwaitPlace,
        alarm: Arc<Alarm>,
        waker: Waker,
    }

    impl Waiter {
        fn new(remote: &Remote) -> Waiter {
            let alarm = Arc::new(Alarm(AtomicUsize::new(0)));
            Waiter {
                ready: AwaitPlace::new(Some(remote.clone())),
                waker: Waker::from(alarm.clone()),
                alarm,
            }
        }

        fn poll(&mut self) -> Poll<()> {
            Pin::new(&mut self.ready).poll(&mut Context::from_waker(&self.waker))
        }

        fn alarms(&self) -> usize {
            self.alarm.0.load(Ordering::Relaxed)
        }
    }

    fn queue() -> (Remote, CommandQueue) {
        let bells: Arc<[Doorbell]> = [Doorbell::new()].into();
        command_queue(&bells, 0)
    }

    fn command() -> Command {
        Command::Notify {
            who: Ticket {
                slot: 0,
                generation: 0,
            },
            notice: Box::new(()),
        }
    }

    fn fill(remote: &Remote) {
        while remote.send(command()).is_ok() {}
    }

    #[test]
    fn who_waits_is_woken_once_the_shard_has_taken_something() {
        let (remote, mut queue) = queue();
        let mut early = Waiter::new(&remote);
        assert_eq!(early.poll(), Poll::Ready(()), "there are places");
        fill(&remote);
        assert_eq!(queue.len(), COMMANDS_MAX);
        let mut waiters = [Waiter::new(&remote), Waiter::new(&remote)];
        for waiter in &mut waiters {
            // Polled for something else that its task waits for, it goes on waiting.
            assert_eq!(
                (waiter.poll(), waiter.poll()),
                (Poll::Pending, Poll::Pending)
            );
        }
        assert_eq!(queue.waiting.len(), 2, "each waits once");
        assert!(queue.next().is_some());
        queue.wake_waiting();
        assert_eq!(queue.waiting.len(), 0);
        // Somebody else was quicker.
        fill(&remote);
        for waiter in &mut waiters {
            assert_eq!((waiter.alarms(), waiter.poll()), (1, Poll::Ready(())));
        }
        let mut again = Waiter::new(&remote);
        assert_eq!(again.poll(), Poll::Pending);
        assert!(queue.next().is_some());
        assert_eq!(again.poll(), Poll::Ready(()), "there is a place");
    }

    /// A waker that panics, one that belongs to a future that is gone, and a shard that ends.
    #[test]
    fn nobody_waits_for_a_shard_that_is_gone() {
        struct Bomb;
        impl Wake for Bomb {
            fn wake(self: Arc<Self>) {
                panic!("as the test wished");
            }
        }
        let (remote, queue) = queue();
        fill(&remote);
        let mut bomb = AwaitPlace::new(Some(remote.clone()));
        let waker = Waker::from(Arc::new(Bomb));
        let polled = Pin::new(&mut bomb).poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending);
        let mut dropped = Waiter::new(&remote);
        assert_eq!(dropped.poll(), Poll::Pending);
        drop(dropped);
        let mut waiter = Waiter::new(&remote);
        assert_eq!((waiter.poll(), waiter.alarms()), (Poll::Pending, 0));
        drop(queue);
        assert_eq!((waiter.alarms(), waiter.poll()), (1, Poll::Ready(())));
        assert_eq!(Waiter::new(&remote).poll(), Poll::Ready(()));
        assert_eq!(AwaitPlace::new(None).poll_once(), Poll::Ready(()));
    }

    #[test]
    fn one_too_many_looks_again_at_once() {
        let (remote, mut queue) = queue();
        fill(&remote);
        let mut waiters: Vec<Waiter> = (0..WAITING_MAX).map(|_| Waiter::new(&remote)).collect();
        assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_pending()));
        let mut last = Waiter::new(&remote);
        assert_eq!((last.poll(), last.alarms()), (Poll::Pending, 1));
        assert_eq!(queue.waiting.len(), WAITING_MAX);
        assert!(queue.next().is_some());
        queue.wake_waiting();
        assert!(waiters.iter().all(|waiter| waiter.alarms() == 1));
        assert_eq!(last.poll(), Poll::Ready(()));
    }

    impl AwaitPlace {
        fn poll_once(&mut self) -> Poll<()> {
            Pin::new(self).poll(&mut Context::from_waker(Waker::noop()))
        }
    }
}
