//! A connection's session: when it opened, and what only some connections have: an identity,
//! metadata, and requests under way. Generic over the continuation of a request that code of the
//! application made.
//!
//! Invariant: what a session waits for is bounded by [`Limits`]. The allocated part exists only
//! while there is something in it, so an idle session is two words. The engine keeps the session in
//! the connection's slot; the service calls it.

use crate::session::admitted::Admitted;
use crate::session::age::SessionAge;
use crate::session::batch::Batch;
use crate::session::centrifuge::CentrifugeState;
use crate::session::guarded::{Guarded, HeldMessage};
use crate::session::identity::Identity;
use crate::session::keys_in_maps::KeysInMaps;
use crate::session::limits::Limits;
use crate::session::metadata::Metadata;
use crate::session::pending::Pending;
use crate::session::permits::HeldBytes;
use crate::session::resumable::Resumable;
use crate::session::reverse::Reverse;
use crate::session::task::Task;
use crate::session::validity::Validity;
use shardcast_engine::{Address, Answer, Tag};
use shardcast_protocol::dialect::Dialect;
use std::collections::VecDeque;
use std::num::NonZeroU64;

/// The server's state of one connection.
#[derive(Debug)]
pub struct SessionState<C> {
    /// Engine time when the connection opened, plus one: never zero, so that an
    /// `Option` of it costs nothing more. The highest bit says [`SessionState::outlives`], the next
    /// one [`SessionState::is_told`].
    opened_ms_plus_1: NonZeroU64,
    more: Option<Box<More<C>>>,
}

/// As [`SessionState::is_told`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsTold {
    Yes,
    No,
}

// Every slot of the slab has one.
const _: () = assert!(size_of::<Option<SessionState<()>>>() <= 16);

/// The allocated part, which an idle, anonymous connection does without.
#[derive(Debug)]
pub(crate) struct More<C> {
    pub(crate) identity: Identity,
    /// What the connection begins with, until it is welcomed.
    pub(crate) admitted: Option<Box<Admitted>>,
    /// How long the connection is who it is; `None`: as long as it likes.
    pub(crate) validity: Option<Validity>,
    /// A token of the connection is under check.
    pub(crate) is_checking: bool,
    /// The dialect of a connection that is sent nothing that others publish, if it is a native one.
    pub(crate) muted: Option<Dialect>,
    pub(crate) metadata: Metadata,
    pub(crate) pending: Vec<Pending<C>>,
    /// Publishes whose places are awaited: answered in the order in which they were made, as long
    /// as they are to one room.
    pub(crate) receipts: VecDeque<Pending<C>>,
    pub(crate) tasks: Vec<Task>,
    /// A request that is decided in the background.
    pub(crate) guarded: Option<Box<Guarded>>,
    /// What it is part of, while the decision is awaited.
    pub(crate) held: Option<Box<HeldMessage>>,
    pub(crate) batches: Vec<Batch>,
    pub(crate) reverse: Reverse,
    /// What goes on after the connection besides.
    pub(crate) resumable: Option<Box<Resumable>>,
    /// What maps have because of the connection.
    pub(crate) keys_in_maps: KeysInMaps,
    /// What only clients of the Centrifuge protocol have. `None`: nothing of it.
    pub(crate) centrifuge: Option<Box<CentrifugeState>>,
}

impl<C> SessionState<C> {
    const OUTLIVES: NonZeroU64 = NonZeroU64::MIN.saturating_add((1 << 63) - 1);
    const TOLD: NonZeroU64 = NonZeroU64::MIN.saturating_add((1 << 62) - 1);

    pub(crate) fn new(opened_ms: u64, identity: Identity) -> SessionState<C> {
        let mut session = SessionState {
            opened_ms_plus_1: NonZeroU64::MIN.saturating_add(opened_ms),
            more: None,
        };
        session.set_identity(identity);
        session
    }

    pub(crate) fn opened_ms(&self) -> u64 {
        (self.opened_ms_plus_1.get() & !(Self::OUTLIVES.get() | Self::TOLD.get())) - 1
    }

    /// The connection opens only now.
    pub(crate) fn open(&mut self, now_ms: u64) {
        self.opened_ms_plus_1 = NonZeroU64::MIN.saturating_add(now_ms);
    }

    pub(crate) fn identity(&self) -> &Identity {
        static NOBODY: std::sync::LazyLock<Identity> = std::sync::LazyLock::new(Identity::nobody);
        self.more.as_ref().map_or(&NOBODY, |more| &more.identity)
    }

    pub(crate) fn set_identity(&mut self, identity: Identity) {
        if self.more.is_some() || identity != Identity::nobody() {
            self.more().identity = identity;
            self.shrink();
        }
    }

    pub(crate) fn some(&self) -> Option<&More<C>> {
        self.more.as_deref()
    }

    pub(crate) fn some_mut(&mut self) -> Option<&mut More<C>> {
        self.more.as_deref_mut()
    }

    pub(crate) fn more(&mut self) -> &mut More<C> {
        self.more.get_or_insert_default()
    }

    /// Keeps a message of which a request waits to be decided about, behind so many that are done.
    #[cold]
    pub(crate) fn keep(&mut self, held: &HeldBytes, bytes: &[u8], done: usize, batch: Option<u32>) {
        self.more().held = Some(Box::new(HeldMessage {
            bytes: bytes.into(),
            done,
            batch,
            _counted: held.hold(bytes.len()),
        }));
    }

    /// Takes it again.
    pub(crate) fn take_kept(&mut self) -> Option<Box<HeldMessage>> {
        self.some_mut()?.held.take()
    }

    /// The session may outlive the connection, from now on.
    pub(crate) fn outlive(&mut self) {
        self.opened_ms_plus_1 |= Self::OUTLIVES;
    }

    /// Whether it may.
    pub(crate) fn outlives(&self) -> bool {
        self.opened_ms_plus_1.get() & Self::OUTLIVES.get() != 0
    }

    /// Whether a cluster was told that the session has changed, and has not asked yet how.
    pub(crate) fn is_told(&self) -> bool {
        self.opened_ms_plus_1.get() & Self::TOLD.get() != 0
    }

    /// It was, or it has.
    pub(crate) fn set_told(&mut self, is_told: IsTold) {
        let others = self.opened_ms_plus_1.get() & !Self::TOLD.get();
        let others = NonZeroU64::new(others).unwrap_or(NonZeroU64::MIN);
        self.opened_ms_plus_1 = match is_told {
            IsTold::Yes => others | Self::TOLD,
            IsTold::No => others,
        };
    }

    /// The connection's end is its session's, from now on. What was to go on after it.
    pub(crate) fn end_with_connection(&mut self) -> Option<Box<Resumable>> {
        let opened_ms = self.opened_ms();
        self.open(opened_ms);
        self.some_mut()?.resumable.take()
    }

    /// What goes on after the connection, if it is more than what it is in.
    pub(crate) fn resumable(&self) -> Option<&Resumable> {
        self.some()?.resumable.as_deref()
    }

    /// The same, to add to it. `None`: nothing goes on.
    pub(crate) fn resumable_mut(&mut self) -> Option<&mut Resumable> {
        let outlives = self.outlives();
        outlives.then(|| &mut **self.more().resumable.get_or_insert_default())
    }

    /// When the session began, which is this connection's.
    pub(crate) fn began(&self, connection: Address) -> SessionAge {
        let before = self.resumable().and_then(|resumable| resumable.began);
        before.unwrap_or_else(|| SessionAge::new(self.opened_ms(), connection))
    }

    /// Releases the allocated part if nothing is in it.
    pub(crate) fn shrink(&mut self) {
        if self.more.as_ref().is_some_and(|more| more.is_empty()) {
            self.more = None;
        }
    }

    /// Whether one more request may wait for other shards, where so many may.
    pub(crate) fn has_space(&self, requests_max: usize) -> bool {
        self.some().is_none_or(|more| {
            // A session that arrives waits for its rooms' homes.
            let resumable = more.resumable.as_ref();
            let arrives = resumable.is_some_and(|resumable| resumable.taking.is_some());
            more.pending.len() + usize::from(arrives) < requests_max
        })
    }

    /// Whether the place of one more publish may be awaited.
    pub(crate) fn has_space_for_receipt(&self) -> bool {
        self.some()
            .is_none_or(|more| more.receipts.len() < Limits::RECEIPTS_PER_CONNECTION_MAX)
    }

    /// Remembers a request until the last answer to it has come. There is space.
    pub(crate) fn wait(&mut self, pending: Pending<C>) {
        if pending.is_receipt() {
            assert!(self.has_space_for_receipt());
            self.more().receipts.push_back(pending);
        } else {
            assert!(self.has_space(Limits::REQUESTS_MAX));
            let under_way = &mut self.more().pending;
            if under_way.is_empty() {
                // Most clients have one. In a crowd each has it at once.
                under_way.reserve_exact(1);
            }
            under_way.push(pending);
        }
    }

    /// Takes one answer, and returns the request if it was the last. An answer without a request,
    /// such as one to a request that was given up halfway, is dropped.
    pub(crate) fn settle(&mut self, tag: Tag, answer: Answer) -> Option<Pending<C>> {
        let more = self.some_mut()?;
        let is_it = |pending: &Pending<C>| pending.place(tag).is_some();
        let done = if let Some(index) = more.receipts.iter().position(is_it) {
            let is_last = more.receipts[index].take(tag, answer);
            is_last.then(|| more.receipts.remove(index))?
        } else {
            let index = more.pending.iter().position(is_it)?;
            let is_last = more.pending[index].take(tag, answer);
            is_last.then(|| Some(more.pending.remove(index)))?
        };
        self.shrink();
        done
    }
}

impl<C> Default for More<C> {
    fn default() -> More<C> {
        More {
            identity: Identity::default(),
            admitted: None,
            validity: None,
            is_checking: false,
            muted: None,
            metadata: Metadata::default(),
            pending: Vec::new(),
            receipts: VecDeque::new(),
            tasks: Vec::new(),
            guarded: None,
            held: None,
            batches: Vec::new(),
            reverse: Reverse::default(),
            resumable: None,
            keys_in_maps: KeysInMaps::default(),
            centrifuge: None,
        }
    }
}

impl<C> More<C> {
    /// The next deadline of what is under way, by the engine's clock.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let tasks = self.tasks.iter().map(Task::due_ms);
        let others = self.validity.and_then(Validity::due_ms);
        let others = self.reverse.next_due().into_iter().chain(others);
        let terms = self.centrifuge.as_ref().and_then(|state| state.next_due());
        let guarded = self.guarded.as_ref().and_then(|guarded| guarded.due_ms());
        let others = others.chain(terms).chain(guarded);
        tasks.chain(others).min()
    }

    /// Requests that wait for an answer: of other shards, or of background handlers.
    pub(crate) fn requests_under_way(&self) -> usize {
        self.pending.len() + self.receipts.len() + self.tasks.len()
    }

    fn is_empty(&self) -> bool {
        self.identity == Identity::nobody()
            && self.admitted.is_none()
            && self.validity.is_none()
            && !self.is_checking
            && self.muted.is_none()
            && self.metadata.is_empty()
            && self.pending.is_empty()
            && self.receipts.is_empty()
            && self.tasks.is_empty()
            && self.guarded.is_none()
            && self.held.is_none()
            && self.batches.is_empty()
            && self.reverse.is_empty()
            && self.keys_in_maps.is_empty()
            && (self.resumable.as_ref()).is_none_or(|resumable| resumable.is_empty())
            && self
                .centrifuge
                .as_ref()
                .is_none_or(|state| state.is_empty())
    }
}

/// The connection is gone: its background handlers and its guard end where they wait.
impl<C> Drop for More<C> {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        if let Some(guarded) = &self.guarded {
            guarded.abort();
        }
    }
}
