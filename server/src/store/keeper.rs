//! The store's thread: takes what homes say of their logs, and brings it to the disk in groups.
//!
//! Invariant: what was taken is on the disk in the order in which it was said, and nothing more is
//! taken while the disk refuses it; so what waits is bounded by the journal, and behind it by the
//! logs themselves. Started before the engine, ended after it.

use crate::session::shelf::Shelf;
use crate::store::counts::StoreCounts;
use crate::store::file::{Ending, FileError, FoundInFile, FoundLog, StoreFile};
use crate::store::options::Persistence;
use shardcast_engine::{Journal, JournalReader, LogClass, LogRecord, RestoredLog, TopicName};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant, SystemTime};

/// A store at work. Its end waits until all that it was told is on the disk.
#[derive(Debug)]
pub(crate) struct Store {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    shelf: Arc<Shelf>,
}

/// In the directory that [`Persistence::path`] names.
const FILE_NAME: &str = "logs.redb";
/// Records of one transaction.
const GROUP_RECORDS_MAX: usize = 8_192;
/// How soon a store that has nothing to do sees that it is to stop.
const IDLE: Duration = Duration::from_millis(50);
/// From a write that failed to the next.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Writes that are tried once more when the process ends.
const LAST_TRIES: usize = 3;

impl Store {
    /// Opens what is stored, or begins anew where it is damaged, and starts the thread. The logs
    /// of topics for which `class_of` has a class go on; others are dropped.
    ///
    /// # Errors
    /// The directory or the file cannot be used.
    pub(crate) fn start(
        options: &Persistence,
        counts: Arc<StoreCounts>,
        class_of: impl Fn(&TopicName) -> Option<LogClass>,
    ) -> io::Result<(Store, Journal)> {
        let mut folder = DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&options.path)?;
        let path = options.path.join(FILE_NAME);
        let (file, found) = open(&path, &counts)?;
        let (restored, dropped) = sort(found.logs, class_of);
        let shelf = Arc::new(Shelf::holding(found.sessions));
        let publications = restored.iter().map(|log| log.publications.len() as u64);
        counts.restored(restored.len() as u64, publications.sum());
        let (journal, reader) = Journal::new(restored);
        let stop = Arc::new(AtomicBool::new(false));
        let writer = StoreWriter {
            file: Some(file),
            path,
            reader,
            write_after: options.write_after(),
            counts,
            shelf: shelf.clone(),
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(dropped))?;
        let thread = Some(thread);
        let store = Store {
            thread,
            stop,
            shelf,
        };
        Ok((store, journal))
    }

    /// Where the sessions of the process before are, and those of this one when its shards end.
    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }
}

/// The engine has stopped, so all that it said waits already.
impl Drop for Store {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let parked: &Thread = thread.thread();
            parked.unpark();
            // It panicked, which was logged, or it is over.
            let _ = thread.join();
        }
    }
}

/// The file and what is in it. A damaged one is set aside.
fn open(path: &Path, counts: &StoreCounts) -> io::Result<(StoreFile, FoundInFile)> {
    let why = match StoreFile::open(path, now_ms()) {
        Ok(opened) => return Ok(opened),
        Err(FileError::Damaged(why)) => why,
        Err(FileError::Io(error)) => return Err(error),
        Err(error @ FileError::InUse) => return Err(io::Error::other(error.to_string())),
    };
    set_aside(path, &why, counts)?;
    StoreFile::open(path, now_ms()).map_err(|error| io::Error::other(error.to_string()))
}

fn set_aside(path: &Path, why: &str, counts: &StoreCounts) -> io::Result<()> {
    let aside = path.with_extension(format!("damaged-{}", now_ms()));
    std::fs::rename(path, &aside)?;
    counts.set_aside();
    tracing::error!(
        path = %path.display(),
        aside = %aside.display(),
        why,
        "the store's file is damaged: it was set aside, and every room begins anew"
    );
    Ok(())
}

/// The logs that go on, and what is to be dropped.
fn sort(
    found: Vec<FoundLog>,
    class_of: impl Fn(&TopicName) -> Option<LogClass>,
) -> (Vec<RestoredLog>, Vec<LogRecord>) {
    let (mut restored, mut dropped) = (Vec::new(), Vec::new());
    for log in found {
        let topic = log.topic;
        let Some(class) = class_of(&topic) else {
            dropped.push(LogRecord::Gone { topic });
            continue;
        };
        restored.push(RestoredLog {
            topic,
            class,
            epoch: log.row.epoch,
            former: log.row.former,
            next: log.row.next,
            taken: log.row.left.taken,
            publications: log.publications,
        });
    }
    (restored, dropped)
}

struct StoreWriter {
    /// `None`: it could not be written, nor opened again since.
    file: Option<StoreFile>,
    path: PathBuf,
    reader: JournalReader,
    write_after: Duration,
    counts: Arc<StoreCounts>,
    shelf: Arc<Shelf>,
    stop: Arc<AtomicBool>,
}

impl StoreWriter {
    fn run(mut self, dropped: Vec<LogRecord>) {
        let mut group = dropped;
        let ending = loop {
            let ending = self.gather(&mut group);
            if ending == Ending::Clean {
                break ending;
            }
            if !group.is_empty() {
                self.write(&group, ending);
                group.clear();
            }
        };
        self.write(&group, ending);
        // The shards have ended by then.
        while !self.stop.load(Ordering::Acquire) {
            std::thread::park_timeout(IDLE);
        }
        self.write_sessions();
    }

    fn write_sessions(&mut self) {
        let sessions = self.shelf.drain();
        if sessions.is_empty() {
            return;
        }
        let written = match &mut self.file {
            Some(file) => file.write_sessions(&sessions, now_ms()),
            None => Err(FileError::Io(io::Error::other(
                "it could not be written before",
            ))),
        };
        if let Err(error) = written {
            self.counts.failed();
            let lost = sessions.len();
            tracing::error!(%error, lost, "the store could not keep sessions for the next process");
        }
    }

    /// Takes what comes until it is time to write.
    fn gather(&self, group: &mut Vec<LogRecord>) -> Ending {
        let mut until: Option<Instant> = None;
        while group.len() < GROUP_RECORDS_MAX {
            let left = until.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
            match self.reader.next(left.min(IDLE)) {
                Ok(Some(record)) => {
                    until.get_or_insert_with(|| Instant::now() + self.write_after);
                    group.push(record);
                }
                Ok(None) if self.stop.load(Ordering::Acquire) && self.reader.is_empty() => {
                    return Ending::Clean;
                }
                Ok(None) => match until {
                    Some(at) if at > Instant::now() => {}
                    None if group.is_empty() => {}
                    Some(_) | None => return Ending::NotYet,
                },
                Err(_ended) => return Ending::Clean,
            }
        }
        Ending::NotYet
    }

    /// Brings a group to the disk, however often that takes. Only the end of the process ends it
    /// before.
    fn write(&mut self, group: &[LogRecord], ending: Ending) {
        let mut last_tries = LAST_TRIES;
        let mut has_failed = false;
        loop {
            let begun = Instant::now();
            let written = self.try_to_write(group, ending);
            let Err(error) = written else {
                self.counts.written(group.len() as u64, begun.elapsed());
                if has_failed {
                    tracing::info!("the store writes again");
                }
                return;
            };
            self.counts.failed();
            if !has_failed {
                has_failed = true;
                tracing::error!(%error, "the store cannot write; it tries again until it can");
            }
            if self.stop.load(Ordering::Acquire) {
                last_tries -= 1;
                if last_tries == 0 {
                    let lost = group.len() + self.reader.len();
                    tracing::error!(lost, "the store could not write what it was told last");
                    return;
                }
            }
            std::thread::park_timeout(RETRY_AFTER);
        }
    }

    /// A file that could not be written is used no more before it was opened again, and cannot be
    /// opened while it still is.
    fn try_to_write(&mut self, group: &[LogRecord], ending: Ending) -> Result<(), FileError> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.reopen()?,
        };
        file.write(group, now_ms(), ending)?;
        self.file = Some(file);
        Ok(())
    }

    fn reopen(&self) -> Result<StoreFile, FileError> {
        match StoreFile::reopen(&self.path) {
            Err(FileError::Damaged(why)) => {
                set_aside(&self.path, &why, &self.counts).map_err(FileError::Io)?;
                StoreFile::reopen(&self.path)
            }
            opened => opened,
        }
    }
}

/// Since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
