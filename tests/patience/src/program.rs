//! A program that a test starts: what it prints, how it ends, and its end if the test forgets it.
//!
//! Invariant: the process is killed and reaped when its [`Program`] is dropped, and the two threads
//! that read its output end with it. Used by tests that start servers, tools and clients.

use crate::{PATIENCE, is_reached_within};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is kept of either stream. A program that prints more is broken, and the rest is read and
/// dropped.
const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// Lines of standard output that wait to be asked for. More stand in the pipe, and hold the program
/// back.
const LINES_MAX: usize = 1024;

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    name: String,
    lines: Receiver<String>,
    errors: Arc<Mutex<String>>,
    /// Nothing comes through it: it is cut when standard error has ended.
    errors_end: Receiver<()>,
}

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code. None: a signal ended it.
    pub code: Option<i32>,
    /// Standard output, without the lines that were asked for.
    pub printed: String,
    /// All of standard error.
    pub errors: String,
}

impl Program {
    /// Starts a program with its output in pipes, and an empty standard input.
    ///
    /// # Panics
    /// It cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command) -> Program {
        Program::spawn(command.stdin(Stdio::null()))
    }

    /// The same with a pipe to its standard input, too.
    ///
    /// # Panics
    /// It cannot be started.
    #[track_caller]
    pub fn start_with_input(command: &mut Command) -> (Program, ChildStdin) {
        let mut program = Program::spawn(command.stdin(Stdio::piped()));
        let input = program.child.stdin.take().expect("it is piped");
        (program, input)
    }

    #[track_caller]
    fn spawn(command: &mut Command) -> Program {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let out = child.stdout.take().expect("it is piped");
        let err = child.stderr.take().expect("it is piped");
        let (said, lines) = sync_channel(LINES_MAX);
        std::thread::spawn(move || {
            // Whoever listened may be gone: the rest is read all the same, so that the program goes
            // on.
            each_line(out, |line| drop(said.send(line)));
        });
        let (ends, errors_end) = sync_channel(1);
        let errors = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&errors);
        std::thread::spawn(move || {
            let _ends: SyncSender<()> = ends;
            each_line(err, |line| {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() < OUTPUT_BYTES_MAX {
                    *kept += &line;
                }
            });
        });
        Program {
            child,
            name,
            lines,
            errors,
            errors_end,
        }
    }

    /// The next line of standard output, with its line feed. None: the stream has ended.
    ///
    /// # Panics
    /// It prints none within [`PATIENCE`].
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!(
                "{} prints nothing within {PATIENCE:?}; it complained: {}",
                self.name,
                self.errors()
            ),
        }
    }

    /// What it has written to standard error up to now.
    pub fn errors(&self) -> String {
        let errors = self.errors.lock();
        errors.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name without SIG.
    ///
    /// # Panics
    /// It has ended.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.expect("a shell").success(), "{} has ended", self.name);
    }

    /// Waits for the end, which the caller has brought about.
    ///
    /// # Panics
    /// It does not end within [`PATIENCE`], or somebody else holds its output open for longer.
    #[track_caller]
    pub fn end(self) -> Ended {
        self.end_within(PATIENCE)
    }

    /// The same for a program that may take longer, as one that installs packages.
    ///
    /// # Panics
    /// It does not end within `patience`, or somebody else holds its output open for longer.
    #[track_caller]
    pub fn end_within(mut self, patience: Duration) -> Ended {
        let (mut status, mut printed) = (None, String::new());
        let ended = is_reached_within(patience, || {
            printed.extend(self.lines.try_iter());
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        let status = status.filter(|_| ended).unwrap_or_else(|| {
            let (name, errors) = (&self.name, self.errors());
            panic!(
                "{name} does not end within {patience:?}; it printed: {printed}it complained: {errors}"
            )
        });
        while let Some(line) = self.line() {
            printed += &line;
        }
        assert_eq!(
            self.errors_end.recv_timeout(PATIENCE),
            Err(RecvTimeoutError::Disconnected),
            "{}: somebody else holds its standard error open",
            self.name
        );
        Ended {
            code: status.code(),
            printed,
            errors: self.errors(),
        }
    }
}

/// Calls `take` with every line, its line feed included, until the stream ends or breaks.
fn each_line(stream: impl Read, mut take: impl FnMut(String)) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match stream.read_until(b'\n', &mut line) {
            Ok(1..) => take(String::from_utf8_lossy(&line).into_owned()),
            Ok(0) | Err(_) => return,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _already_waited = self.child.wait();
    }
}
