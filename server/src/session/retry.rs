//! What a busy engine has refused is tried again once it is worth it: when the shard's queue of
//! commands has a place, or the engine has started. Nobody looks again and again.
//!
//! Invariant: a notice is posted, or its engine has stopped. Notices that wait are outcomes of
//! background handlers and decisions about clients; each keeps its permit
//! ([`crate::Limits::TASKS_PER_SHARD_MAX`]) until its shard has it. They wait on one thread of the
//! process, so no runtime of the caller's has to poll them to their end. Futures are their callers'
//! own. Called by the handle and by background handlers.

use crate::session::shared::Shared;
use futures_util::future::BoxFuture;
use shardcast_engine::{Address, Handle as Engine, Notice, Refused};
use std::sync::{Arc, OnceLock, Weak};
use tokio::runtime::{Builder, Handle as Runtime};

/// Which queue of the engine was full.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Queue {
    /// The one that publishes and lists go through.
    Any,
    /// That of this connection's shard.
    Of(Address),
}

/// Waits until the engine, which was [`Refused::Busy`], is worth another try. Keeps nothing of
/// `shared` alive.
pub(crate) fn place_in(shared: &Shared, queue: Queue) -> BoxFuture<'static, ()> {
    // In this order: an engine that starts in between is seen, or heard of.
    let started = shared.engine.get().is_none().then(|| shared.subscribe());
    let ready = shared.engine.get().map(|engine| match queue {
        Queue::Any => engine.ready(),
        Queue::Of(who) => engine.ready_for(who),
    });
    Box::pin(async move {
        match (ready, started) {
            (Some(ready), _) => ready.await,
            // It has started, or nobody is there any more who would start it.
            (None, Some(mut started)) => {
                let _ended = started.changed().await;
            }
            (None, None) => {}
        }
    })
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
    if let Err((Refused::Busy, notice)) = attempt(shared, who, notice, way)
        && let Some(runtime) = waiting_room()
    {
        runtime.spawn(hand_over_later(Arc::downgrade(shared), who, notice, way));
    }
}

/// `shared` is gone with the last shard and the last handle of an engine.
async fn hand_over_later(shared: Weak<Shared>, who: Address, mut notice: Notice, way: Way) {
    let place = |shared: Arc<Shared>| place_in(&shared, Queue::Of(who));
    while let Some(place) = shared.upgrade().map(place) {
        place.await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        notice = match attempt(&shared, who, notice, way) {
            Err((Refused::Busy, notice)) => notice,
            Ok(()) | Err((Refused::Stopped | Refused::Memory, _)) => return,
        };
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

/// The thread on which notices wait: made when the first one has to. `None`: the host gives no
/// thread, and instead of a notice the deadline of its request answers.
fn waiting_room() -> Option<&'static Runtime> {
    static WAITING_ROOM: OnceLock<Option<Runtime>> = OnceLock::new();
    let start = || {
        let runtime = Builder::new_current_thread().build().ok()?;
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name("notices".to_owned());
        let run = move || runtime.block_on(std::future::pending::<()>());
        thread.spawn(run).ok()?;
        Some(handle)
    };
    WAITING_ROOM.get_or_init(start).as_ref()
}
