//! What all shards share of an application, and what each has of its own.

use crate::admission::arrival::Arrivals;
use crate::admission::connect::Hooks;
use crate::admission::entrance::Entrances;
use crate::dispatch::registry::Registry;
use crate::dispatch::table::Table;
use crate::dispatch::task::Places;
use crate::namespace::Namespaces;
use crate::session::handle::Handle;
use crate::session::spoken::Spoken;
use shardcast_engine::{Handle as EngineHandle, Tag};
use shardcast_protocol::dialect::Rules;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

/// The same for all shards, and for all handles.
pub(crate) struct Shared {
    /// Name and version, as clients are welcomed with: `shardcast/0.1.0`.
    pub(crate) server: String,
    /// Where clients connect.
    pub(crate) entrances: Entrances,
    pub(crate) heartbeat_ms: u64,
    /// The largest message of any listener: what leaves is not larger.
    pub(crate) message_bytes_max: usize,
    pub(crate) rooms_per_connection_max: usize,
    /// Clients of one shard whose admission may be under way in the background.
    pub(crate) deferred_per_shard_max: usize,
    pub(crate) room_name_bytes_max: usize,
    /// A draining server tells each client to come back at a random time within this many milliseconds.
    pub(crate) reconnect_window_ms: u64,
    pub(crate) rules: Rules,
    pub(crate) namespaces: Namespaces,
    pub(crate) spoken: Spoken,
    pub(crate) registry: Arc<Registry>,
    pub(crate) hooks: Hooks,
    /// Where background handlers run.
    pub(crate) runtime: tokio::runtime::Handle,
    /// Known as soon as the engine has started.
    pub(crate) engine: OnceLock<EngineHandle>,
}

impl Shared {
    /// A way in from other threads. Waits for the moment between the first connection and the end of the engine's start.
    pub(crate) fn handle(self: &Arc<Self>) -> Handle {
        Handle::new(self.engine.wait().clone(), self.clone())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("server", &self.server)
            .field("entrances", &self.entrances)
            .finish_non_exhaustive()
    }
}

/// The table as one shard lends it to each of its requests: counted there alone. The count of the `Arc` is written by all shards, and would
/// go from core to core with every request.
pub(crate) type LentTable = Rc<Arc<Table>>;

/// One shard's own.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shard: u16,
    /// The next request's first tag. Counts on over all connections of the shard, so that an answer to a request given up
    /// halfway finds nobody.
    next_tag: u32,
    /// Numbers tasks, batches and calls of clients.
    next_serial: u64,
    /// For background handlers under way.
    pub(crate) places: Places,
    /// Clients whose admission is decided in the background.
    pub(crate) arrivals: Arrivals,
    /// Where answers are written before they leave.
    scratch: Vec<u8>,
    pub(crate) random: fastrand::Rng,
    /// Lent to each request without a touch of what shards share.
    table: LentTable,
    table_version: u64,
}

impl Desk {
    /// Capacity of the scratch that is kept.
    const SCRATCH_BYTES_KEPT: usize = 64 << 10;

    pub(crate) fn new(shared: Arc<Shared>, shard: u16) -> Desk {
        let (table_version, table) = shared.registry.table();
        Desk {
            shared,
            shard,
            next_tag: 0,
            next_serial: 0,
            places: Places::default(),
            arrivals: Arrivals::default(),
            scratch: Vec::new(),
            random: fastrand::Rng::new(),
            table: Rc::new(table),
            table_version,
        }
    }

    /// Who handles what, now.
    #[inline]
    pub(crate) fn table(&mut self) -> LentTable {
        if self.table_version != self.shared.registry.version() {
            let (version, table) = self.shared.registry.table();
            (self.table_version, self.table) = (version, Rc::new(table));
        }
        Rc::clone(&self.table)
    }

    /// As many consecutive tags, of which the first is returned.
    pub(crate) fn take_tags(&mut self, count: u32) -> Tag {
        let first = self.next_tag;
        self.next_tag = first.wrapping_add(count);
        Tag(first)
    }

    /// A number that no other task, batch or call of a client has or had on the shard.
    pub(crate) fn take_serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    /// Keeps no scratch.
    pub(crate) fn release_memory(&mut self) {
        self.scratch = Vec::new();
    }

    /// An empty buffer, to be given back.
    pub(crate) fn lend_scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    pub(crate) fn take_scratch_back(&mut self, mut scratch: Vec<u8>) {
        if scratch.capacity() <= Self::SCRATCH_BYTES_KEPT {
            scratch.clear();
            self.scratch = scratch;
        }
    }
}
