//! The audit log's file: JSON lines, written by a thread of its own.
//!
//! Invariant: whoever audits never waits. An event that finds [`Journal::WAITING_MAX`] others
//! waiting is dropped and counted, and so is one that cannot be written; the next line that can be
//! says how many are missing. A file that has reached its size is renamed, and of the older ones so
//! many are kept. Fed by the log's layer; opened again on SIGHUP.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

/// Where the audit log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalFile {
    pub(crate) path: PathBuf,
    /// A file that would be larger is renamed to `path.1` before.
    pub(crate) bytes_max: u64,
    /// Files that are kept besides the current one: `path.1` is the newest.
    pub(crate) kept: usize,
}

/// The way to the thread that writes. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    sender: SyncSender<JournalEntry>,
    counts: Arc<JournalCounts>,
}

/// What became of events.
#[derive(Debug, Default)]
pub(crate) struct JournalCounts {
    pub(crate) written: AtomicU64,
    pub(crate) lost: AtomicU64,
}

#[derive(Debug)]
enum JournalEntry {
    Line(String),
    Reopen,
}

impl Journal {
    /// Events that wait to be written.
    const WAITING_MAX: usize = 8_192;

    /// Opens the file and starts the thread, which ends with the last journal.
    ///
    /// # Errors
    /// The file cannot be opened, or there is no thread.
    pub(crate) fn start(file: JournalFile, counts: Arc<JournalCounts>) -> io::Result<Journal> {
        let (sender, entries) = sync_channel(Journal::WAITING_MAX);
        let mut writer = JournalWriter::open(file, counts.clone())?;
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&entries))?;
        Ok(Journal { sender, counts })
    }

    /// Writes a line, without its end, or counts that it is lost.
    pub(crate) fn line(&self, line: String) {
        match self.sender.try_send(JournalEntry::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The file is opened by its name again, before later lines are written: somebody has moved it.
    pub(crate) fn reopen(&self) {
        // Whoever finds no place is behind so many lines that the next signal will do.
        let _full = self.sender.try_send(JournalEntry::Reopen);
    }
}

/// The thread's own.
struct JournalWriter {
    file: JournalFile,
    open: Option<File>,
    /// Of the open file.
    bytes: u64,
    counts: Arc<JournalCounts>,
    /// Lost events that no line has told of.
    told: u64,
}

impl JournalWriter {
    fn open(file: JournalFile, counts: Arc<JournalCounts>) -> io::Result<JournalWriter> {
        let (open, bytes) = append(&file.path)?;
        let told = counts.lost.load(Ordering::Relaxed);
        Ok(JournalWriter {
            file,
            open: Some(open),
            bytes,
            counts,
            told,
        })
    }

    fn run(&mut self, entries: &Receiver<JournalEntry>) {
        while let Ok(entry) = entries.recv() {
            match entry {
                JournalEntry::Line(line) => self.write(&line),
                JournalEntry::Reopen => self.reopen(),
            }
        }
    }

    fn write(&mut self, line: &str) {
        let lost = self.counts.lost.load(Ordering::Relaxed);
        let mut text = String::with_capacity(line.len() + 1);
        if lost > self.told {
            text += &format!("{{\"event\":\"lost\",\"count\":{}}}\n", lost - self.told);
        }
        text += line;
        text.push('\n');
        if self.bytes > 0 && self.bytes + text.len() as u64 > self.file.bytes_max {
            self.rotate();
        }
        match self.append(&text) {
            Ok(()) => {
                self.told = lost;
                self.counts.written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                if self.open.take().is_some() {
                    let path = self.file.path.display();
                    tracing::error!(%path, %error, "the audit log cannot be written");
                }
            }
        }
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        if self.open.is_none() {
            let (open, bytes) = append(&self.file.path)?;
            (self.open, self.bytes) = (Some(open), bytes);
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.write_all(text.as_bytes())?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    fn reopen(&mut self) {
        self.open = None;
    }

    /// The current file becomes the newest of the kept ones, and the oldest goes.
    fn rotate(&mut self) {
        self.open = None;
        let name = |number: usize| {
            let mut name = self.file.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        // What cannot be renamed is overwritten or appended to: no event is lost for it.
        for number in (1..self.file.kept).rev() {
            let _ = std::fs::rename(name(number), name(number + 1));
        }
        let _ = match self.file.kept {
            0 => std::fs::remove_file(&self.file.path),
            _ => std::fs::rename(&self.file.path, name(1)),
        };
    }
}

/// A file that its owner alone reads, open for lines at its end, and its size.
fn append(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("shardcast-audit-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).expect("a temporary folder");
            Folder(folder)
        }

        fn writer(&self, bytes_max: u64, kept: usize) -> JournalWriter {
            let path = self.0.join("audit.log");
            let file = JournalFile {
                path,
                bytes_max,
                kept,
            };
            JournalWriter::open(file, Arc::default()).expect("a file")
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.0.join(name)).ok()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_turn_over_at_their_size_and_the_oldest_goes() {
        let folder = Folder::new("rotate");
        let mut writer = folder.writer(8, 2);
        for line in ["one", "two", "three", "four", "five"] {
            writer.write(line);
        }
        assert_eq!(folder.read("audit.log").as_deref(), Some("five\n"));
        assert_eq!(folder.read("audit.log.1").as_deref(), Some("four\n"));
        assert_eq!(folder.read("audit.log.2").as_deref(), Some("three\n"));
        assert_eq!(folder.read("audit.log.3"), None);
        // A line that is longer than a file has one of its own.
        writer.write("a long line");
        assert_eq!(folder.read("audit.log").as_deref(), Some("a long line\n"));
        // What is there is appended to.
        let mut again = folder.writer(1_000, 0);
        again.write("more");
        assert_eq!(
            folder.read("audit.log").as_deref(),
            Some("a long line\nmore\n")
        );
    }

    #[test]
    fn a_file_that_was_moved_is_made_anew() {
        let folder = Folder::new("reopen");
        let mut writer = folder.writer(1_000, 1);
        writer.write("before");
        fs::rename(folder.0.join("audit.log"), folder.0.join("moved")).expect("a file");
        writer.write("still there");
        writer.reopen();
        writer.write("after");
        assert_eq!(
            folder.read("moved").as_deref(),
            Some("before\nstill there\n")
        );
        assert_eq!(folder.read("audit.log").as_deref(), Some("after\n"));
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(folder.0.join("audit.log"))
            .expect("a file")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_lost_is_counted_and_told() {
        let folder = Folder::new("lost");
        let mut writer = folder.writer(1_000, 1);
        let (sender, entries) = sync_channel(2);
        let journal = Journal {
            sender,
            counts: writer.counts.clone(),
        };
        for number in 0..5 {
            journal.line(format!("{number}"));
        }
        drop(journal);
        writer.run(&entries);
        let text = "{\"event\":\"lost\",\"count\":3}\n0\n1\n";
        assert_eq!(folder.read("audit.log").as_deref(), Some(text));
        let counts = writer.counts.clone();
        let count = |it: &AtomicU64| it.load(Ordering::Relaxed);
        assert_eq!((count(&counts.written), count(&counts.lost)), (2, 3));
        // Nor is it silent where nothing can be written.
        writer.reopen();
        fs::remove_dir_all(&folder.0).expect("the folder");
        writer.write("nowhere");
        assert_eq!(count(&counts.lost), 4);
        fs::create_dir_all(&folder.0).expect("a folder");
        writer.write("there again");
        let text = "{\"event\":\"lost\",\"count\":1}\nthere again\n";
        assert_eq!(folder.read("audit.log").as_deref(), Some(text));
    }
}
