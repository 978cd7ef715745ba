//! The file of a store: logs with their publications, in transactions of redb.
//!
//! Invariant: a log's publications on disk have contiguous offsets and end before its next one; a
//! kill at any point leaves the last transaction whole. Used by the store's thread alone, and
//! before that begins.

use crate::session::shelf::ShelvedSession;
use crate::session::token::SecretDigest;
use crate::store::record::{self, LogRow};
use crate::store::session;
use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableTable, Table, TableDefinition, WriteTransaction};
use shardcast_engine::{
    Journal, LogLeft, LogRecord, Position, StoredPublication, Topic, TopicName,
};
use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What is known of each log, by the kind and the name of its topic.
const LOGS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("logs");
/// Publications, by the number of their log and their offset.
const PUBLICATIONS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("publications");
/// How the last process ended.
/// Sessions that wait for their clients, by the digests of their secrets.
const SESSIONS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("sessions");
const ENDINGS: TableDefinition<'_, &str, u64> = TableDefinition::new("endings");
/// Its value is 1 if everything that the process knew was written.
const CLEAN: &str = "clean";

type LogTable<'t> = Table<'t, &'static [u8], &'static [u8]>;
type PublicationTable<'t> = Table<'t, (u64, u64), &'static [u8]>;

/// An open file, and what is in it of each log, which is not read again.
#[derive(Debug)]
pub(crate) struct StoreFile {
    database: Database,
    logs: HashMap<TopicName, LogRow>,
    next_id: u64,
}

/// What a file holds when it is opened.
#[derive(Debug)]
pub(crate) struct FoundInFile {
    pub(crate) logs: Vec<FoundLog>,
    /// No longer in the file: a crash later on is to bring none of them back.
    pub(crate) sessions: Vec<ShelvedSession>,
}

/// A log as it was found.
#[derive(Debug)]
pub(crate) struct FoundLog {
    pub(crate) topic: TopicName,
    pub(crate) row: LogRow,
    pub(crate) publications: Vec<StoredPublication>,
}

/// Whether more is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The process goes on.
    NotYet,
    /// This is all that the process knows.
    Clean,
}

/// What keeps a file from being used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// Another process uses it.
    #[error("another process uses it")]
    InUse,
    /// What is in it cannot be read.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The disk, or what the process may do there.
    #[error(transparent)]
    Io(io::Error),
}

impl StoreFile {
    /// Memory for pages of the file: 8 MiB. What is written is written once, and read once.
    const CACHE_BYTES: usize = 8 << 20;

    /// Opens the file, or makes it, and reads all of it. Where the process before did not end by
    /// itself, every log goes on under another epoch: it may have given offsets that are not here,
    /// and they are given again.
    pub(crate) fn open(path: &Path, now_ms: u64) -> Result<(StoreFile, FoundInFile), FileError> {
        unharmed(|| {
            let mut file = StoreFile::create(path)?;
            let found = file.begin(now_ms)?;
            Ok((file, found))
        })
    }

    /// Opens the file again after it could not be written.
    pub(crate) fn reopen(path: &Path) -> Result<StoreFile, FileError> {
        unharmed(|| {
            let mut file = StoreFile::create(path)?;
            let write = file.begin_write()?;
            let logs = write.open_table(LOGS).map_err(of)?;
            let rows = rows_of(&logs)?;
            drop(logs);
            drop(write);
            file.know(rows);
            Ok(file)
        })
    }

    fn create(path: &Path) -> Result<StoreFile, FileError> {
        let mut builder = Builder::new();
        builder.set_cache_size(StoreFile::CACHE_BYTES);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true);
        let options = options.truncate(false).mode(0o600);
        let file = options.open(path).map_err(FileError::Io)?;
        let mut database = builder
            .create_with_backend(FileBackend::new(file).map_err(of)?)
            .map_err(of)?;
        if !database.check_integrity().map_err(of)? {
            tracing::info!(path = %path.display(), "the store's file was repaired");
        }
        Ok(StoreFile {
            database,
            logs: HashMap::new(),
            next_id: 1,
        })
    }

    fn begin_write(&self) -> Result<WriteTransaction, FileError> {
        let mut write = self.database.begin_write().map_err(of)?;
        // So that the file is open at once after a kill, whatever its size.
        write.set_quick_repair(true);
        Ok(write)
    }

    fn know(&mut self, rows: Vec<(TopicName, LogRow)>) {
        let ids = rows.iter().map(|(_, row)| row.id);
        self.next_id = ids.max().unwrap_or(0).saturating_add(1);
        self.logs = rows.into_iter().collect();
    }

    fn begin(&mut self, now_ms: u64) -> Result<FoundInFile, FileError> {
        let write = self.begin_write()?;
        let mut found = Vec::new();
        let sessions = take_sessions(&write, now_ms)?;
        {
            let mut endings = write.open_table(ENDINGS).map_err(of)?;
            let ending = endings.insert(CLEAN, 0).map_err(of)?;
            let was_clean = ending.is_some_and(|ending| ending.value() == 1);
            let mut logs = write.open_table(LOGS).map_err(of)?;
            let publications = write.open_table(PUBLICATIONS).map_err(of)?;
            for (topic, mut row) in rows_of(&logs)? {
                let publications = publications_of(&publications, &row, now_ms)?;
                if !was_clean {
                    renew(&mut row);
                    put_row(&mut logs, &topic, &row)?;
                }
                found.push(FoundLog {
                    topic,
                    row,
                    publications,
                });
            }
        }
        write.commit().map_err(of)?;
        let rows = found.iter();
        self.know(
            rows.map(|log| (log.topic.clone(), log.row.clone()))
                .collect(),
        );
        Ok(FoundInFile {
            logs: found,
            sessions,
        })
    }

    /// Keeps sessions for the next process, which takes them out.
    pub(crate) fn write_sessions(
        &mut self,
        sessions: &[ShelvedSession],
        now_ms: u64,
    ) -> Result<(), FileError> {
        let write = self.begin_write()?;
        {
            let mut table = write.open_table(SESSIONS).map_err(of)?;
            for shelved in sessions {
                let SecretDigest(digest) = shelved.digest;
                let bytes = session::write(shelved, now_ms);
                table.insert(&digest[..], &*bytes).map_err(of)?;
            }
        }
        write.commit().map_err(of)
    }

    /// Writes records in one transaction, which is on the disk when this returns. After an error
    /// the file has to be opened again.
    pub(crate) fn write(
        &mut self,
        records: &[LogRecord],
        now_ms: u64,
        ending: Ending,
    ) -> Result<(), FileError> {
        let write = self.begin_write()?;
        {
            let mut logs = write.open_table(LOGS).map_err(of)?;
            let mut publications = write.open_table(PUBLICATIONS).map_err(of)?;
            let mut changed = HashSet::new();
            let mut bytes = Vec::new();
            for record in records {
                changed.insert(self.apply(record, &mut publications, now_ms, &mut bytes)?);
            }
            for topic in changed {
                match self.logs.get(topic) {
                    Some(row) => put_row(&mut logs, topic, row)?,
                    None => drop(logs.remove(&*key_of(topic)).map_err(of)?),
                }
            }
            if ending == Ending::Clean {
                let mut endings = write.open_table(ENDINGS).map_err(of)?;
                endings.insert(CLEAN, 1).map_err(of)?;
            }
        }
        write.commit().map_err(of)
    }

    /// Whose log it changed.
    fn apply<'r>(
        &mut self,
        record: &'r LogRecord,
        publications: &mut PublicationTable<'_>,
        now_ms: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<&'r TopicName, FileError> {
        match record {
            LogRecord::Kept {
                topic,
                epoch,
                publication,
                left,
            } => {
                let row = self.row_for(topic, *epoch, publication.kept.offset, publications)?;
                let key = (row.id, row.next);
                bytes.clear();
                let at_ms = now_ms.saturating_sub(publication.age_ms);
                row.next += 1;
                if record::write(publication, at_ms, bytes) {
                    publications.insert(key, &**bytes).map_err(of)?;
                    trim(row, *left, publications)?;
                } else {
                    // Without it there would be a hole.
                    let first = row.next;
                    trim(row, LogLeft { first, ..*left }, publications)?;
                }
                Ok(topic)
            }
            LogRecord::Trimmed { topic, left } => {
                if let Some(row) = self.logs.get_mut(topic) {
                    trim(row, *left, publications)?;
                }
                Ok(topic)
            }
            LogRecord::Gone { topic } => {
                if let Some(mut row) = self.logs.remove(topic) {
                    drop_all(&mut row, publications)?;
                }
                Ok(topic)
            }
        }
    }

    /// A log to which a publication with this offset is appended: without what does not stand
    /// directly before it.
    fn row_for(
        &mut self,
        topic: &TopicName,
        epoch: u64,
        offset: u64,
        publications: &mut PublicationTable<'_>,
    ) -> Result<&mut LogRow, FileError> {
        let next_id = &mut self.next_id;
        let row = self.logs.entry(topic.clone()).or_insert_with(|| {
            let id = *next_id;
            *next_id += 1;
            LogRow {
                id,
                epoch,
                next: offset,
                left: LogLeft {
                    first: offset,
                    taken: 0,
                },
                former: Vec::new(),
            }
        });
        if row.epoch != epoch {
            drop_all(row, publications)?;
            (row.epoch, row.former) = (epoch, Vec::new());
        }
        if row.next != offset {
            drop_all(row, publications)?;
            (row.next, row.left.first) = (offset, offset);
        }
        Ok(row)
    }
}

/// Takes all sessions out of the file, and returns those whose time is not over.
fn take_sessions(write: &WriteTransaction, now_ms: u64) -> Result<Vec<ShelvedSession>, FileError> {
    let mut sessions = Vec::new();
    {
        let table = write.open_table(SESSIONS).map_err(of)?;
        for entry in table.iter().map_err(of)? {
            let (key, value) = entry.map_err(of)?;
            let digest = <[u8; SecretDigest::BYTES]>::try_from(key.value());
            let digest = SecretDigest(digest.map_err(|_| damaged(record::Damaged))?);
            let session = session::read(digest, value.value(), now_ms).map_err(damaged)?;
            sessions.extend(session);
        }
    }
    write.delete_table(SESSIONS).map_err(of)?;
    Ok(sessions)
}

/// The log goes on under another epoch, and places of the one before are good up to here.
fn renew(row: &mut LogRow) {
    let (epoch, offset) = (row.epoch, row.next - 1);
    row.former.push(Position { epoch, offset });
    let too_many = row.former.len().saturating_sub(Journal::FORMER_MAX);
    row.former.drain(..too_many);
    row.epoch = fastrand::u64(1..1 << 60);
}

/// Drops what the log has no more.
fn trim(
    row: &mut LogRow,
    left: LogLeft,
    publications: &mut PublicationTable<'_>,
) -> Result<(), FileError> {
    let first = left.first.clamp(row.left.first, row.next);
    for offset in row.left.first..first {
        publications.remove((row.id, offset)).map_err(of)?;
    }
    row.left = LogLeft {
        first,
        taken: left.taken.min(row.next - 1),
    };
    Ok(())
}

fn drop_all(row: &mut LogRow, publications: &mut PublicationTable<'_>) -> Result<(), FileError> {
    let first = row.next;
    let LogLeft { taken, .. } = row.left;
    trim(row, LogLeft { first, taken }, publications)
}

fn put_row(logs: &mut LogTable<'_>, topic: &TopicName, row: &LogRow) -> Result<(), FileError> {
    let mut bytes = Vec::new();
    row.write(&mut bytes);
    logs.insert(&*key_of(topic), &*bytes).map_err(of)?;
    Ok(())
}

const ROOM: u8 = 0;
const USER: u8 = 1;

fn key_of(topic: &TopicName) -> Vec<u8> {
    let (kind, name) = match topic.topic() {
        Topic::Room(name) => (ROOM, name),
        Topic::User(name) => (USER, name),
    };
    [&[kind], name.as_bytes()].concat()
}

fn topic_of(key: &[u8]) -> Result<TopicName, FileError> {
    let bad = || FileError::Damaged("a log without a name".to_owned());
    let (kind, name) = key.split_first().ok_or_else(bad)?;
    let name = str::from_utf8(name).map_err(|_| bad())?;
    match *kind {
        ROOM => Ok(TopicName::Room(name.into())),
        USER => Ok(TopicName::User(name.into())),
        _ => Err(bad()),
    }
}

fn rows_of(logs: &LogTable<'_>) -> Result<Vec<(TopicName, LogRow)>, FileError> {
    let mut rows = Vec::new();
    for entry in logs.iter().map_err(of)? {
        let (key, value) = entry.map_err(of)?;
        let row = LogRow::read(value.value()).map_err(damaged)?;
        rows.push((topic_of(key.value())?, row));
    }
    Ok(rows)
}

/// All that a log has, which has no hole.
fn publications_of(
    publications: &PublicationTable<'_>,
    row: &LogRow,
    now_ms: u64,
) -> Result<Vec<StoredPublication>, FileError> {
    let mut found = Vec::new();
    let range = publications.range((row.id, 0)..=(row.id, u64::MAX));
    let mut next = row.left.first;
    for entry in range.map_err(of)? {
        let (key, value) = entry.map_err(of)?;
        let (_, offset) = key.value();
        if offset != next {
            return Err(FileError::Damaged("a log with a hole".to_owned()));
        }
        next += 1;
        found.push(record::read(offset, value.value(), now_ms).map_err(damaged)?);
    }
    match next == row.next {
        true => Ok(found),
        false => Err(FileError::Damaged("a log that ends early".to_owned())),
    }
}

/// What a damaged file makes the library do is not known: a panic in there is damage, too.
fn unharmed<T>(act: impl FnOnce() -> Result<T, FileError>) -> Result<T, FileError> {
    let act = std::panic::AssertUnwindSafe(act);
    let done = std::panic::catch_unwind(act);
    done.unwrap_or_else(|_| Err(FileError::Damaged("reading it panicked".to_owned())))
}

fn damaged(error: record::Damaged) -> FileError {
    FileError::Damaged(error.to_string())
}

/// The library's errors, by what is to be done about them.
fn of(error: impl Into<redb::Error>) -> FileError {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => FileError::InUse,
        redb::Error::Io(error) => match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                FileError::Damaged(error.to_string())
            }
            _ => FileError::Io(error),
        },
        error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
            FileError::Io(io::Error::other(error.to_string()))
        }
        error => FileError::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
