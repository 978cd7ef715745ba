//! Instructions per operation of the micro-benches' pieces, counted by callgrind: the same on a
//! busy machine as on a quiet one, so a regression shows in CI. Always: only counts of one
//! compiler, one valgrind and one width of vectors are compared. Called by the binary.
//!
//! A piece runs twice, the second time with more operations; the difference is theirs. Start,
//! set-up and first growth are in both.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// Growth of a count that is a regression, as a share. Hash seeds and the order of memory move
/// counts by less.
pub const TOLERANCE: f64 = 0.05;
/// Growth that is none whatever its share, in instructions an operation: a change of one
/// instruction in ten.
const TOLERANCE_LEAST: f64 = 2.0;

/// The bench binaries with pieces: package and name.
const BENCHES: [(&str, &str); 3] = [
    ("shardcast-protocol", "codec"),
    ("shardcast-engine", "parts"),
    ("shardcast", "handlers"),
];

/// What `bench/results/instructions.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// What makes counts comparable.
    pub made_with: MadeWith,
    /// Instructions per operation, by piece.
    pub instructions: BTreeMap<String, f64>,
}

/// What counts depend on besides the code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeWith {
    /// `rustc --version`.
    pub rustc: String,
    /// `valgrind --version`.
    pub valgrind: String,
    /// Widest vectors that libraries may choose when they start: `avx2` or `less`.
    pub vectors: String,
}

impl MadeWith {
    /// Of this machine, now.
    ///
    /// # Errors
    /// A tool is missing; the text names it.
    pub fn observe() -> io::Result<MadeWith> {
        let version = |tool: &str| {
            let output = run(Command::new(tool).arg("--version"));
            let output = output.map_err(|error| {
                let missing = error.kind() == io::ErrorKind::NotFound;
                let hint = if missing {
                    " (Debian: apt-get install valgrind)"
                } else {
                    ""
                };
                io::Error::new(error.kind(), format!("{tool}: {error}{hint}"))
            })?;
            Ok::<_, io::Error>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let wide = flags.split_whitespace().any(|flag| flag == "avx2");
        Ok(MadeWith {
            rustc: version("rustc")?,
            valgrind: version("valgrind")?,
            vectors: if wide { "avx2" } else { "less" }.to_owned(),
        })
    }
}

impl Counts {
    /// Builds the benches in the profile of a release and counts every piece.
    ///
    /// # Errors
    /// Cargo or valgrind is missing or fails, or what they print is not understood.
    pub fn take(repository: &Path) -> io::Result<Counts> {
        let made_with = MadeWith::observe()?;
        let mut pieces = VecDeque::new();
        for binary in build(repository)? {
            pieces.extend(list(&binary)?);
        }
        let instructions = count_all(pieces)?;
        Ok(Counts {
            made_with,
            instructions,
        })
    }

    /// Every piece of either side, in order.
    pub fn against(&self, before: &Counts) -> Vec<Row> {
        let mut names: Vec<&String> = self.instructions.keys().collect();
        let gone = before.instructions.keys();
        names.extend(gone.filter(|name| !self.instructions.contains_key(*name)));
        names.sort();
        let row = |name: &String| Row {
            piece: name.clone(),
            before: before.instructions.get(name).copied(),
            now: self.instructions.get(name).copied(),
        };
        names.into_iter().map(row).collect()
    }
}

/// One piece, before and now.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name.
    pub piece: String,
    /// Instructions per operation, as kept; `None`: it is new.
    pub before: Option<f64>,
    /// Instructions per operation, just counted; `None`: there is no such piece any more.
    pub now: Option<f64>,
}

/// What to make of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within the tolerance.
    Same,
    /// Fewer than kept: worth keeping.
    Better,
    /// More than kept.
    Worse,
    /// Nothing to compare with: the piece is new, or gone.
    Alone,
}

impl Row {
    /// By the tolerance.
    pub fn verdict(&self) -> Verdict {
        let (Some(before), Some(now)) = (self.before, self.now) else {
            return Verdict::Alone;
        };
        let tolerated = (before * TOLERANCE).max(TOLERANCE_LEAST);
        match now - before {
            growth if growth > tolerated => Verdict::Worse,
            growth if growth < -tolerated => Verdict::Better,
            _ => Verdict::Same,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = |count: Option<f64>| count.map_or("-".to_owned(), |count| format!("{count:.1}"));
        let (before, now) = (cell(self.before), cell(self.now));
        write!(f, "{:24} {before:>12} {now:>12}", self.piece)?;
        if let (Some(before), Some(now)) = (self.before, self.now) {
            write!(f, " {:+7.1} %", 100.0 * (now - before) / before)?;
        }
        match self.verdict() {
            Verdict::Same => Ok(()),
            Verdict::Better => write!(f, "  better"),
            Verdict::Worse => write!(f, "  WORSE"),
            Verdict::Alone => write!(f, "  not compared"),
        }
    }
}

/// A piece of a binary: what to run, and how many operations are counted.
#[derive(Clone, Debug)]
struct Piece {
    binary: PathBuf,
    name: String,
    times: u64,
}

fn build(repository: &Path) -> io::Result<Vec<PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(repository)
        .args(["bench", "--no-run", "--message-format=json"]);
    for (package, bench) in BENCHES {
        command.args(["--package", package, "--bench", bench]);
    }
    let output = run(command.stderr(Stdio::inherit()))?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let binaries: Vec<PathBuf> = messages.lines().filter_map(bench_binary).collect();
    if binaries.len() == BENCHES.len() {
        Ok(binaries)
    } else {
        let text = format!(
            "cargo built {} of {} benches",
            binaries.len(),
            BENCHES.len()
        );
        Err(io::Error::other(text))
    }
}

/// The executable, if this line of cargo's tells that a bench was built.
fn bench_binary(message: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Artifact {
        reason: String,
        target: Target,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        kind: Vec<String>,
    }
    let artifact: Artifact = serde_json::from_str(message).ok()?;
    let is_bench = artifact.reason == "compiler-artifact" && artifact.target.kind == ["bench"];
    artifact.executable.filter(|_| is_bench)
}

fn list(binary: &Path) -> io::Result<Vec<Piece>> {
    let output = run(Command::new(binary).arg("--pieces"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let piece = |line: &str| {
        let (name, times) = line.split_once(' ')?;
        Some(Piece {
            binary: binary.to_owned(),
            name: name.to_owned(),
            times: times.parse().ok().filter(|times| *times > 0)?,
        })
    };
    let wrong = |line: &str| io::Error::other(format!("{}: {line:?}", binary.display()));
    text.lines()
        .map(|line| piece(line).ok_or_else(|| wrong(line)))
        .collect()
}

/// Each core counts a piece at a time.
fn count_all(pieces: VecDeque<Piece>) -> io::Result<BTreeMap<String, f64>> {
    let pieces = Mutex::new(pieces);
    let next = || pieces.lock().expect("no worker panics").pop_front();
    let worker = || {
        let mut counts = Vec::new();
        while let Some(piece) = next() {
            let count = piece.count()?;
            eprintln!("{:24} {count:>12.1}", piece.name);
            counts.push((piece.name, count));
        }
        Ok::<_, io::Error>(counts)
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let mut all = BTreeMap::new();
        for worker in workers {
            all.extend(worker.join().expect("no worker panics")?);
        }
        Ok(all)
    })
}

impl Piece {
    /// Instructions per operation.
    fn count(&self) -> io::Result<f64> {
        // Tables and buffers have grown to their size by then.
        let first = self.times.div_ceil(4);
        let few = self.collect(first)?;
        let many = self.collect(first + self.times)?;
        let each = (many as f64 - few as f64) / self.times as f64;
        // Tenths: what is kept is read by people, too.
        Ok((each * 10.0).round() / 10.0)
    }

    /// Instructions of a whole run.
    fn collect(&self, times: u64) -> io::Result<u64> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        command.arg(&self.binary).arg("--count").arg(&self.name);
        let output = run(command.arg(times.to_string()))?;
        collected(&String::from_utf8_lossy(&output.stderr))
            .ok_or_else(|| io::Error::other("callgrind wrote no count"))
    }
}

/// From callgrind's last words: `==1== Collected : 123`.
fn collected(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Ends with an error that holds what the program said, unless it succeeded.
fn run(command: &mut Command) -> io::Result<Output> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output);
    }
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(OsStr::new("?"));
    Err(io::Error::other(format!(
        "{} ended with {}: {}",
        name.to_string_lossy(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(instructions: &[(&str, f64)]) -> Counts {
        let made_with = MadeWith {
            rustc: "rustc 1".to_owned(),
            valgrind: "valgrind 1".to_owned(),
            vectors: "avx2".to_owned(),
        };
        let instructions = instructions
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count));
        Counts {
            made_with,
            instructions: instructions.collect(),
        }
    }

    #[test]
    fn growth_beyond_the_tolerance_is_worse() {
        for (before, now, expected) in [
            (Some(1000.0), Some(1050.0), Verdict::Same),
            (Some(1000.0), Some(1050.1), Verdict::Worse),
            (Some(1000.0), Some(950.0), Verdict::Same),
            (Some(1000.0), Some(949.9), Verdict::Better),
            // Two instructions are noise, whatever their share.
            (Some(10.0), Some(12.0), Verdict::Same),
            (Some(10.0), Some(12.1), Verdict::Worse),
            (None, Some(1.0), Verdict::Alone),
            (Some(1.0), None, Verdict::Alone),
        ] {
            let row = Row {
                piece: "p".to_owned(),
                before,
                now,
            };
            assert_eq!(row.verdict(), expected, "{before:?} {now:?}");
        }
    }

    #[test]
    fn every_piece_of_either_side_has_a_row() {
        let before = counts(&[("a", 100.0), ("b", 200.0)]);
        let now = counts(&[("b", 300.0), ("c", 1.0)]);
        let rows: Vec<String> = now.against(&before).iter().map(Row::to_string).collect();
        assert_eq!(
            rows,
            [
                "a                               100.0            -  not compared",
                "b                               200.0        300.0   +50.0 %  WORSE",
                "c                                   -          1.0  not compared",
            ]
        );
    }

    #[test]
    fn what_tools_print_is_understood() {
        let log = "==7== Callgrind, a call-graph\n==7== Events    : Ir\n==7== Collected : 252312\n==7== \n";
        assert_eq!(collected(log), Some(252_312));
        assert_eq!(collected("==7== nothing\n"), None);
        let bench = r#"{"reason":"compiler-artifact","target":{"kind":["bench"],"name":"codec"},"executable":"/t/codec-1"}"#;
        assert_eq!(bench_binary(bench), Some(PathBuf::from("/t/codec-1")));
        for other in [
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"]},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "text",
        ] {
            assert_eq!(bench_binary(other), None, "{other}");
        }
    }
}
