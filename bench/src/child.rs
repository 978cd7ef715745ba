//! A child process that does not outlive us, with every open file that the hard limit grants.
//! Called by `run` and `scale`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// From start to the first connection.
const START_TIME_MAX: Duration = Duration::from_secs(30);
/// Between two looks at it.
const POLL: Duration = Duration::from_millis(20);
/// How the kernel's tables of sockets write LISTEN (`include/net/tcp_states.h`).
const LISTEN: &str = "0A";

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct Child(std::process::Child);

impl Child {
    /// The shell that raises the limit is replaced, so the child's id is the program's. What it
    /// complains about goes to `complaints`.
    pub(crate) fn start(
        command: &[OsString],
        target: &OsStr,
        complaints: &File,
    ) -> io::Result<Child> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"", "sh"])
            .args(command)
            .env("CARGO_TARGET_DIR", target);
        shell.stdin(Stdio::null()).stdout(Stdio::null());
        shell.stderr(complaints.try_clone()?);
        shell.spawn().map(Child)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Without connecting: the server sees no connection but the load's. The child's network need
    /// not be ours.
    pub(crate) fn wait_until_listening(&mut self, port: u16) -> io::Result<()> {
        let deadline = Instant::now() + START_TIME_MAX;
        let tables = ["tcp", "tcp6"].map(|table| format!("/proc/{}/net/{table}", self.0.id()));
        let listens = |path: &String| {
            // Gone if the child is.
            is_listening(&fs::read_to_string(path).unwrap_or_default(), port)
        };
        while !tables.iter().any(listens) {
            if let Some(status) = self.0.try_wait()? {
                return Err(io::Error::other(format!("the server ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the server does not listen",
                ));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    pub(crate) fn wait(&mut self, within: Duration) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the load generator does not end",
                ));
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Fails only if it ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Of a table like `/proc/net/tcp`: number, local address and port in hexadecimal, remote ones,
/// state.
fn is_listening(table: &str, port: u16) -> bool {
    let port = format!("{port:04X}");
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().and_then(|address| address.rsplit_once(':'));
        local.is_some_and(|(_, local)| local == port) && words.nth(1) == Some(LISTEN)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn who_listens_stands_in_the_kernels_table() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let table = || fs::read_to_string("/proc/self/net/tcp").expect("a table");
        assert!(is_listening(&table(), port));
        drop(listener);
        // A child that another test starts holds the listener, too, between fork and exec.
        let deadline = Instant::now() + START_TIME_MAX;
        while is_listening(&table(), port) {
            assert!(Instant::now() < deadline, "port {port} is still listening");
            std::thread::sleep(POLL);
        }
        let line = "   0: 0100007F:251C 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 1 1";
        assert!(!is_listening(line, 0x251C), "connected, not listening");
        assert!(is_listening(&line.replace(" 01 ", " 0A "), 0x251C));
    }
}
