//! The file of dead letters: events that the backend did not take, one JSON object a line, and how
//! they are sent again.
//!
//! Invariant: the file never has more than its most bytes, and a line is written whole or not at
//! all. What is sent again is taken out of the file first, so that a server that runs goes on with
//! a new one; what is not taken then stays in a file of its own (`.replaying`) for the next time.

use crate::bounded;
use crate::gateway::calls::Gateway;
use crate::gateway::options::{DeadLetterFile, EventKind};
use crate::gateway::wire::GatewayEvent;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// See above.
#[derive(Debug)]
pub(crate) struct DeadLetters(DeadLetterFile);

/// What came of sending them again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) delivered: usize,
    /// Still in the file.
    pub(crate) left: usize,
    /// Lines that are no events; they are dropped.
    pub(crate) unreadable: usize,
}

impl DeadLetters {
    pub(crate) fn new(file: DeadLetterFile) -> DeadLetters {
        DeadLetters(file)
    }

    /// Adds an event. False: it could not be written, or the file is full, which is logged.
    pub(crate) async fn append(&self, event: &GatewayEvent) -> bool {
        let (file, event) = (self.0.clone(), event.clone());
        let written = tokio::task::spawn_blocking(move || append(&file, &event)).await;
        match written {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                let path = self.0.path.display();
                tracing::error!(%path, %error, "notices are lost: the file of dead letters takes no more");
                false
            }
            Err(_) => false,
        }
    }

    /// Sends all of them again.
    ///
    /// # Errors
    /// The file cannot be read, or what is left cannot be written.
    pub(crate) async fn replay(&self, gateway: &Gateway) -> io::Result<Replayed> {
        let (path, taken) = (&self.0.path, replaying(&self.0.path));
        if !taken.exists() {
            match fs::rename(path, &taken) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Replayed::default());
                }
                renamed => renamed?,
            }
        }
        wait_for_writers(&taken)?;
        let text = bounded::read_file(&taken, self.0.bytes_max)?;
        let mut replayed = Replayed::default();
        let mut lines = text.split_inclusive(|byte| *byte == b'\n').peekable();
        let mut left: &[u8] = &text;
        while let Some(line) = lines.next() {
            match serde_json::from_slice::<GatewayEvent>(line) {
                Ok(event) => {
                    let answer = gateway.ask(EventKind::Leave, event);
                    let answer = tokio::time::timeout(gateway.options.timeout, answer).await;
                    if !matches!(answer, Ok(Ok(answer)) if answer.reject.is_none()) {
                        replayed.left = 1 + lines.count();
                        break;
                    }
                    replayed.delivered += 1;
                }
                Err(_) => replayed.unreadable += 1,
            }
            left = &left[line.len()..];
        }
        match left.is_empty() {
            true => fs::remove_file(&taken)?,
            false => replace(&taken, left)?,
        }
        Ok(replayed)
    }
}

fn replaying(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".replaying");
    name.into()
}

fn append(file: &DeadLetterFile, event: &GatewayEvent) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut to = open_to_append(&file.path)?;
    let length = to.metadata()?.len();
    if length.saturating_add(line.len() as u64) > file.bytes_max {
        return Err(io::Error::other("gateway.dead_letter_bytes is reached"));
    }
    to.write_all(&line).inspect_err(|_| {
        // Half a line would spoil the next one.
        let _ = to.set_len(length);
    })
}

/// The file, which nobody takes away while it is open.
fn open_to_append(path: &Path) -> io::Result<File> {
    let mut open = OpenOptions::new();
    let open = open.append(true).create(true).mode(0o600);
    loop {
        let file = open.open(path)?;
        file.lock()?;
        let place = |found: &fs::Metadata| (found.dev(), found.ino());
        match fs::metadata(path) {
            Ok(found) if place(&found) == place(&file.metadata()?) => return Ok(file),
            // It was taken away before it was locked: what is written to it may not be read.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits for whoever is writing to a file that was taken away.
fn wait_for_writers(path: &Path) -> io::Result<()> {
    File::open(path)?.lock()
}

/// Puts other content into a file, at once.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    let mut open = OpenOptions::new();
    let open = open.write(true).create(true).truncate(true).mode(0o600);
    let mut file = open.open(&next)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(next, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_full_keeps_what_it_has() {
        let path = std::env::temp_dir().join(format!("dead-letters-{}", std::process::id()));
        let event = GatewayEvent {
            event: "notices".to_owned(),
            ..GatewayEvent::default()
        };
        let line = serde_json::to_vec(&event).expect("it can be written").len() as u64 + 1;
        let file = DeadLetterFile {
            path: path.clone(),
            bytes_max: 2 * line + 1,
        };
        let written: Vec<bool> = (0..4).map(|_| append(&file, &event).is_ok()).collect();
        assert_eq!(written, [true, true, false, false]);
        let text = fs::read_to_string(&path).expect("the file");
        fs::remove_file(&path).expect("it is there");
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            assert_eq!(
                serde_json::from_str::<GatewayEvent>(line).expect("an event"),
                event
            );
        }
    }

    /// What is left to be sent again is as private as what was written first.
    #[test]
    fn what_is_written_anew_is_read_by_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("letters-left-{}", std::process::id()));
        fs::write(&path, "all").expect("a file");
        replace(&path, b"left").expect("it is replaced");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        let text = fs::read_to_string(&path).expect("the file");
        fs::remove_file(&path).expect("it is there");
        assert_eq!((mode & 0o777, &*text), (0o600, "left"));
    }

    /// A letter is written to the file that has the name while it is written, or is waited for.
    #[test]
    fn no_letter_is_written_to_a_file_that_was_read() {
        let path = std::env::temp_dir().join(format!("letters-taken-{}", std::process::id()));
        let file = DeadLetterFile {
            path: path.clone(),
            bytes_max: 1 << 20,
        };
        let event = GatewayEvent::default();
        let open = open_to_append(&path).expect("the file");
        let taken = replaying(&path);
        fs::rename(&path, &taken).expect("it is taken away");
        let reads = std::thread::spawn({
            let taken = taken.clone();
            move || {
                wait_for_writers(&taken).expect("they have written");
                fs::read_to_string(&taken).expect("the file")
            }
        });
        append(&file, &event).expect("a new file");
        (&open).write_all(b"late").expect("it is open");
        drop(open);
        let read = reads.join().expect("no panic");
        let new = fs::read_to_string(&path).expect("the new file");
        for path in [&path, &taken] {
            fs::remove_file(path).expect("it is there");
        }
        assert_eq!((&*read, new.lines().count()), ("late", 1));
    }
}
