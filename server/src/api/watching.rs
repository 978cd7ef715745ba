//! Who looks at the shards of a server that is embedded in another program: one that is stuck is
//! logged, with what it is doing, and counted. `shardcast serve` looks by itself.
//!
//! Invariant: the thread ends soon after its value is dropped, and nobody waits for it.

use shardcast_engine::{Running, Watch};
use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Dropped with the server.
#[derive(Debug)]
pub(crate) struct Watching {
    _ends: SyncSender<()>,
}

impl Watching {
    /// Threads of it.
    pub(crate) const THREADS: usize = 1;
    /// Between two looks.
    const EVERY: Duration = Duration::from_secs(1);

    /// # Errors
    /// The kernel gives no thread.
    pub(crate) fn start(running: &Running) -> io::Result<Watching> {
        let mut watch = Watch::new(running);
        let (ends, ended) = sync_channel::<()>(0);
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                while ended.recv_timeout(Watching::EVERY) == Err(RecvTimeoutError::Timeout) {
                    // It logs who is stuck, and counts for how long.
                    drop(watch.look());
                }
            })?;
        Ok(Watching { _ends: ends })
    }
}
