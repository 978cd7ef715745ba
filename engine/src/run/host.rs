//! What a process must be granted before anything is started: open files, threads, a pair of
//! sockets. Tried by whoever starts first.
//!
//! What is started later would panic when it is refused (a runtime's worker threads and signal
//! pipe), or name the wrong lack.

use crate::config::Config;
use crate::run::open_files;
use crate::run::start_error::StartError;
use std::io;
use std::os::unix::net::UnixStream;

/// Descriptors of a process besides its shards': runtimes, the admin port, certificates while they
/// are read.
const OTHER_FILES: usize = 24;
/// Descriptors of a shard for each listener: its socket, and a copy for whoever takes the shard's
/// place.
const LISTENER_FILES: usize = 2;
/// Descriptors of a shard besides its listeners: its ring, its bell and a handle to that, and what
/// the trial at start holds.
const SHARD_FILES: usize = 10;

/// Checks the configuration, raises the soft limit on open files to the hard one, and tries whether
/// the host grants what starting takes: descriptors, and a thread for each shard and `threads`
/// besides. [`crate::run::start::start`] does so itself; this is for whoever starts threads before.
///
/// # Errors
/// See [`StartError`].
pub fn afford(config: &Config, threads: usize) -> Result<(), StartError> {
    config.check()?;
    open_files::raise();
    let (shards, listeners) = (config.shards, config.listeners.len());
    try_files(OTHER_FILES + shards * (SHARD_FILES + LISTENER_FILES * listeners))?;
    try_threads(shards + threads).map_err(|source| StartError::Threads { source })
}

/// Holds so many descriptors at once: a pair of sockets, and copies of it. No path is opened, for a
/// sandbox may deny any.
fn try_files(needed: usize) -> Result<(), StartError> {
    let open = || -> io::Result<Vec<UnixStream>> {
        let (near, far) = UnixStream::pair()?;
        let copies = (2..needed).map(|_| near.try_clone());
        copies.chain([Ok(far)]).collect()
    };
    match open() {
        Err(error) if error.raw_os_error() == Some(libc::EMFILE) => Err(StartError::OpenFiles {
            limit: open_files::max(),
            needed,
        }),
        Err(source) => Err(StartError::Io {
            what: "making a pair of sockets".into(),
            source,
        }),
        Ok(_) => Ok(()),
    }
}

/// Runs so many at once.
fn try_threads(count: usize) -> io::Result<()> {
    let mut running = Vec::new();
    let (hold, held) = crossbeam_channel::bounded::<()>(0);
    for _ in 0..count {
        let held = held.clone();
        // It ends when `hold` is dropped: nothing is ever sent.
        let wait = move || assert!(held.recv().is_err());
        let thread = std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(wait)?;
        running.push(thread);
    }
    drop(hold);
    // It has nothing to panic about.
    running.into_iter().for_each(|thread| drop(thread.join()));
    Ok(())
}
