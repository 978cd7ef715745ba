//! What waits because a shard's queue of commands is full: looked at again every millisecond, on one thread of the process that sleeps
//! while nobody waits. Nothing here needs a timer of the caller's runtime, nor that anybody polls a future to its end.
//!
//! Invariant: a note is handed over, or its engine has stopped. Notes that wait are outcomes of background handlers and decisions about
//! clients, each of which keeps its place ([`crate::Limits::TASKS_PER_SHARD_MAX`]) until its shard has it; futures are their callers' own. Called by the handle and by
//! background handlers.

use shardcast_engine::{Address, Handle as Engine, Notice, Refused, confine};
use std::pin::Pin;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long to wait before a full queue is tried again: a few ticks.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Waits as long as a full queue is worth.
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
        // Polled again before its time, for something else that its task waits for, the caller looks a little early.
        if std::mem::replace(&mut self.asked, true) {
            return Poll::Ready(());
        }
        wait(Waiting::Future(cx.waker().clone()));
        Poll::Pending
    }
}

/// Tells a connection something, however long its shard's queue is full. Dropped only when the engine has stopped.
pub(crate) fn tell(engine: &Engine, who: Address, note: Notice) {
    hand_over(engine, who, note, Engine::notify);
}

/// Hands over what a deferred admission waits for, alike.
pub(crate) fn admit(engine: &Engine, who: Address, note: Notice) {
    hand_over(engine, who, note, Engine::admit);
}

/// One of the ways into an engine.
type Way = fn(&Engine, Address, Notice) -> Result<(), (Refused, Notice)>;

fn hand_over(engine: &Engine, who: Address, note: Notice, way: Way) {
    if let Err((Refused::Busy, note)) = way(engine, who, note) {
        wait(Waiting::Notice {
            engine: engine.clone(),
            who,
            note,
            way,
        });
    }
}

enum Waiting {
    Future(Waker),
    Notice {
        engine: Engine,
        who: Address,
        note: Notice,
        way: Way,
    },
}

impl Waiting {
    /// What waits on.
    fn look(self) -> Option<Waiting> {
        match self {
            Waiting::Future(waker) => {
                waker.wake();
                None
            }
            Waiting::Notice {
                engine,
                who,
                note,
                way,
            } => match way(&engine, who, note) {
                Err((Refused::Busy, note)) => Some(Waiting::Notice {
                    engine,
                    who,
                    note,
                    way,
                }),
                Ok(()) | Err((Refused::Stopped, _)) => None,
            },
        }
    }
}

/// In the order in which they came.
struct Desk {
    waiting: Mutex<Vec<Waiting>>,
    somebody: Condvar,
}

static DESK: Desk = Desk {
    waiting: Mutex::new(Vec::new()),
    somebody: Condvar::new(),
};

/// Whether the thread runs.
static RUNS: OnceLock<bool> = OnceLock::new();

fn wait(waiting: Waiting) {
    let runs = RUNS.get_or_init(|| {
        let thread = std::thread::Builder::new().name("look-again".to_owned());
        thread.spawn(run).is_ok()
    });
    if *runs {
        let mut all = DESK.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(waiting);
        DESK.somebody.notify_one();
    } else {
        // No thread can be had: futures look again as often as they are polled, and what a note would have answered, its deadline does.
        waiting.look();
    }
}

fn run() {
    loop {
        let mut all = DESK.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while all.is_empty() {
            all = (DESK.somebody.wait(all)).unwrap_or_else(PoisonError::into_inner);
        }
        drop(all);
        std::thread::park_timeout(LOOK_AGAIN);
        let all = std::mem::take(&mut *DESK.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        // A waker is a runtime's, and may panic; whoever waits behind it does not mind.
        let look = |waiting: Waiting| confine(|| waiting.look()).ok().flatten();
        let mut left: Vec<Waiting> = all.into_iter().filter_map(look).collect();
        let mut all = DESK.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        left.append(&mut all);
        *all = left;
    }
}
