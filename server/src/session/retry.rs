//! Retries where a shard's queue of commands is full: every millisecond, on one thread of the
//! process that sleeps while nothing waits. A retry needs no timer of the caller's runtime, and no
//! future that is polled to its end.
//!
//! Invariant: a notice is posted, or its engine has stopped. Notices that wait are outcomes of
//! background handlers and decisions about clients; each keeps its permit
//! ([`crate::Limits::TASKS_PER_SHARD_MAX`]) until its shard has it. Futures are their callers' own.
//! Called by the handle and by background handlers.

use crate::session::shared::Shared;
use shardcast_engine::{Address, Handle as Engine, Notice, Refused, confine};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long to wait before a full queue is tried again: a few ticks.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Waits until a full queue is worth another try.
pub(crate) fn look_again() -> LookAgain {
    LookAgain { asked: false }
}

/// A future that is ready a millisecond after it was first polled.
#[derive(Debug)]
pub(crate) struct LookAgain {
    asked: bool,
}

impl Future for LookAgain {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Polled again before its time, for something else that its task waits for, the caller
        // looks a little early.
        if std::mem::replace(&mut self.asked, true) {
            return Poll::Ready(());
        }
        wait(Retry::Future(cx.waker().clone()));
        Poll::Pending
    }
}

/// Posts a notice to a connection's shard, however long the shard's queue is full. The notice is
/// dropped only when the engine has stopped.
pub(crate) fn post(shared: &Arc<Shared>, who: Address, notice: Notice) {
    hand_over(shared, who, notice, Engine::notify);
}

/// Hands over the decision about a deferred admission, likewise.
pub(crate) fn admit(shared: &Arc<Shared>, who: Address, notice: Notice) {
    hand_over(shared, who, notice, Engine::admit);
}

/// One of the ways into an engine.
type Way = fn(&Engine, Address, Notice) -> Result<(), (Refused, Notice)>;

fn hand_over(shared: &Arc<Shared>, who: Address, notice: Notice, way: Way) {
    if let Err((Refused::Busy, notice)) = attempt(shared, who, notice, way) {
        wait(Retry::Notice {
            shared: Arc::downgrade(shared),
            who,
            notice,
            way,
        });
    }
}

fn attempt(
    shared: &Shared,
    who: Address,
    notice: Notice,
    way: Way,
) -> Result<(), (Refused, Notice)> {
    match shared.engine() {
        Ok(engine) => way(engine, who, notice),
        Err(refused) => Err((refused, notice)),
    }
}

enum Retry {
    Future(Waker),
    Notice {
        /// Gone with the last shard and the last handle of an engine.
        shared: Weak<Shared>,
        who: Address,
        notice: Notice,
        way: Way,
    },
}

impl Retry {
    /// Tries once; gives back what waits on.
    fn run(self) -> Option<Retry> {
        match self {
            Retry::Future(waker) => {
                waker.wake();
                None
            }
            Retry::Notice {
                shared,
                who,
                notice,
                way,
            } => match attempt(&*shared.upgrade()?, who, notice, way) {
                Err((Refused::Busy, notice)) => Some(Retry::Notice {
                    shared,
                    who,
                    notice,
                    way,
                }),
                Ok(()) | Err((Refused::Stopped, _)) => None,
            },
        }
    }
}

/// In the order in which they came.
struct RetryQueue {
    waiting: Mutex<Vec<Retry>>,
    somebody: Condvar,
}

static QUEUE: RetryQueue = RetryQueue {
    waiting: Mutex::new(Vec::new()),
    somebody: Condvar::new(),
};

/// Whether the thread runs.
static RUNS: OnceLock<bool> = OnceLock::new();

fn wait(retry: Retry) {
    let runs = RUNS.get_or_init(|| {
        let thread = std::thread::Builder::new().name("look-again".to_owned());
        thread.spawn(run).is_ok()
    });
    if *runs {
        let mut all = QUEUE.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(retry);
        QUEUE.somebody.notify_one();
    } else {
        // The host gives no thread: futures retry as often as they are polled, and instead of a
        // notice the deadline of its request answers.
        retry.run();
    }
}

fn run() {
    loop {
        let mut all = QUEUE.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while all.is_empty() {
            all = (QUEUE.somebody.wait(all)).unwrap_or_else(PoisonError::into_inner);
        }
        drop(all);
        std::thread::park_timeout(LOOK_AGAIN);
        let all =
            std::mem::take(&mut *QUEUE.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        // A waker is code of a runtime, and may panic. The next ones run all the same.
        let run = |retry: Retry| confine(|| retry.run()).ok().flatten();
        let mut left: Vec<Retry> = all.into_iter().filter_map(run).collect();
        let mut all = QUEUE.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        left.append(&mut all);
        *all = left;
    }
}
