//! The file of one comparison, a line per run, written as runs end: whatever interrupts it, the
//! runs until then are kept and need no repeating. A round of a work is done when everyone has a
//! line of it; otherwise all do it again, so that runs of a round stand together in time. Used by
//! `compare`.

use crate::host::Host;
use crate::plan::{Entry, Plan};
use crate::record::{Line, parse};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// An open one.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    before: Vec<Line>,
}

impl Journal {
    /// A new one, in the folder of results, named by time and commit.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(results: &Path, host: &Host) -> io::Result<Journal> {
        fs::create_dir_all(results)?;
        let path = results.join(file_name(host));
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)?;
        Ok(Journal {
            path,
            file,
            before: Vec::new(),
        })
    }

    /// One to go on with. A last line that was cut short is cut off.
    ///
    /// # Errors
    /// It is no such file, or of runs of another length.
    pub fn open(path: &Path, plan: &Plan) -> io::Result<Journal> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let text = fs::read_to_string(path).map_err(named)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let before = parse(&text[..whole]).map_err(named)?;
        let other = before.iter().find_map(|line| match line {
            Line::Record(record) if record.seconds != plan.seconds => Some(record.seconds),
            Line::Record(_) | Line::Absence(_) => None,
        });
        if let Some(other) = other {
            let mismatch = format!("its runs took {other} s each: give --seconds {other}");
            return Err(named(io::Error::other(mismatch)));
        }
        let file = OpenOptions::new().append(true).open(path).map_err(named)?;
        file.set_len(whole as u64)?;
        Ok(Journal {
            path: path.to_owned(),
            file,
            before,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everyone of the entry has a line of that round, from before.
    pub fn has_round(&self, plan: &Plan, entry: &Entry, round: u32) -> bool {
        entry.servers.iter().all(|server| {
            let run = Some((entry.work.name, round, server.name));
            self.before
                .iter()
                .any(|line| line.run() == run && line.setting() == plan.setting)
        })
    }

    /// Writes a line at once.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append(&mut self, line: &Line) -> io::Result<()> {
        // One write, so that an interruption cuts at most this line.
        let text = format!("{}\n", serde_json::to_string(line)?);
        self.file.write_all(text.as_bytes())
    }
}

/// Sorts by time.
fn file_name(host: &Host) -> String {
    let date: String = host
        .date
        .chars()
        .filter(|c| *c != ':' && *c != '-')
        .collect();
    let commit = host.commit.replace('+', "-changed");
    format!("{date}-{commit}.jsonl")
}

/// The newest results.
///
/// # Errors
/// There are none, or the folder cannot be read.
pub fn newest(results: &Path) -> io::Result<PathBuf> {
    let mut newest = None;
    for entry in fs::read_dir(results)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            newest = newest.max(Some(path));
        }
    }
    newest
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no results yet: run compare first"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::find;
    use crate::plan::Set;
    use crate::record::Absence;
    use crate::record::tests::record;
    use crate::server::{FLOOR, RAW, Server};
    use crate::work::Setting;

    fn host() -> Host {
        record("echo-100", RAW, 1, 1.0).host
    }

    fn line(server: Server, round: u32) -> Line {
        Line::Record(Box::new(record("echo-100", server, round, 1.0)))
    }

    #[test]
    fn files_are_named_by_time_and_commit() {
        let host = Host {
            commit: "abc+".into(),
            ..host()
        };
        assert_eq!(file_name(&host), "20260102T030405Z-abc-changed.jsonl");
    }

    #[test]
    fn an_interrupted_comparison_goes_on_where_rounds_are_not_whole() {
        let folder = std::env::temp_dir().join(format!("shardcast-journal-{}", std::process::id()));
        let work = find("echo-100").expect("a work");
        let mut plan = Plan::new(Set::All, &[work], &[RAW, FLOOR], Setting::Plain);
        (plan.rounds, plan.seconds) = (3, 5);
        let mut journal = Journal::create(&folder, &host()).expect("a file");
        assert!(
            Journal::create(&folder, &host()).is_err(),
            "nothing is overwritten"
        );
        let failed = Line::Absence(Absence {
            run: Some(("echo-100".into(), 1)),
            ..Absence::of_server(FLOOR.name, Setting::Plain, "it ended".into())
        });
        for line in [line(RAW, 1), failed, line(RAW, 2)] {
            journal.append(&line).expect("written");
        }
        let whole = fs::read_to_string(journal.path()).expect("text");
        journal
            .file
            .write_all(b"{\"date\":\"20")
            .expect("half a line");

        let again = Journal::open(journal.path(), &plan).expect("the same file");
        let done = [1, 2, 3].map(|round| again.has_round(&plan, &plan.entries[0], round));
        assert_eq!(done, [true, false, false]);
        let rps = Plan {
            setting: Setting::Rps,
            ..plan.clone()
        };
        assert!(
            !again.has_round(&rps, &rps.entries[0], 1),
            "another setting"
        );
        assert_eq!(fs::read_to_string(again.path()).expect("text"), whole);
        plan.seconds = 4;
        let error = Journal::open(journal.path(), &plan).expect_err("another length");
        assert!(
            error
                .to_string()
                .ends_with("its runs took 5 s each: give --seconds 5"),
            "{error}"
        );
        fs::remove_dir_all(&folder).expect("the folder goes");
    }
}
