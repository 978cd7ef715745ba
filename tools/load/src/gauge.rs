//! What the kernel says about the server's process and about TCP. Called by `conduct`.

use std::collections::BTreeMap;
use std::fs::read_to_string;

/// A server process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// Process number.
    pub(crate) pid: u32,
}

/// CPU that a process's living threads spent, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct ThreadTimes(BTreeMap<u64, u64>);

impl ThreadTimes {
    /// All together.
    pub(crate) fn total_ns(&self) -> u64 {
        self.0.values().sum()
    }

    /// What all spent since; of threads that are still there.
    pub(crate) fn since_ns(&self, before: &ThreadTimes) -> u64 {
        self.each_since(before).sum()
    }

    /// What the busiest thread spent since.
    pub(crate) fn busiest_since_ns(&self, before: &ThreadTimes) -> u64 {
        self.each_since(before).max().unwrap_or_default()
    }

    fn each_since(&self, before: &ThreadTimes) -> impl Iterator<Item = u64> {
        self.0
            .iter()
            .map(|(thread, ns)| ns.saturating_sub(*before.0.get(thread).unwrap_or(&0)))
    }
}

impl Server {
    /// CPU of its living threads, user and system.
    ///
    /// # Errors
    /// The process ended, or its numbers cannot be read.
    pub(crate) fn cpu(self) -> Result<ThreadTimes, String> {
        let tasks = format!("/proc/{}/task", self.pid);
        let threads = std::fs::read_dir(&tasks).map_err(|_| self.gone())?;
        // A thread that ends while we read is left out; servers keep theirs.
        let times = threads.flatten().filter_map(|thread| {
            let number = thread.file_name().to_str()?.parse().ok()?;
            let text = read_to_string(thread.path().join("schedstat")).ok()?;
            Some((number, first_number(&text)?))
        });
        let times = ThreadTimes(times.collect());
        if times.total_ns() == 0 {
            Err(self.gone())
        } else {
            Ok(times)
        }
    }

    /// Resident memory in KiB: the exact sum where it may be read, because VmRSS lags by up to 64
    /// pages per CPU.
    ///
    /// # Errors
    /// The process ended, or its numbers cannot be read.
    pub(crate) fn resident_kib(self) -> Result<u64, String> {
        let exact = read_to_string(format!("/proc/{}/smaps_rollup", self.pid))
            .ok()
            .and_then(|text| labelled(&text, "Rss:"));
        exact
            .or_else(|| self.resident_kib_roughly())
            .ok_or_else(|| self.gone())
    }

    /// VmRSS: cheap enough to be read all the time, even of a large process.
    pub(crate) fn resident_kib_roughly(self) -> Option<u64> {
        let status = read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        labelled(&status, "VmRSS:")
    }

    fn gone(self) -> String {
        format!(
            "the server process {} is gone, or may not be looked at",
            self.pid
        )
    }
}

/// TCP segments of the whole host (its network namespace) since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segments {
    /// All, pure acknowledgements too.
    pub(crate) out: u64,
    /// With new data.
    pub(crate) data: u64,
}

impl Segments {
    /// `None` where the kernel does not tell.
    pub(crate) fn read() -> Option<Segments> {
        Some(Segments {
            out: column(&read_to_string("/proc/net/snmp").ok()?, "Tcp:", "OutSegs")?,
            data: column(
                &read_to_string("/proc/net/netstat").ok()?,
                "TcpExt:",
                "TCPOrigDataSent",
            )?,
        })
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The number behind a label at the start of a line.
pub(crate) fn labelled(text: &str, label: &str) -> Option<u64> {
    first_number(text.lines().find_map(|line| line.strip_prefix(label))?)
}

/// The two-line tables of /proc/net: names, then values.
fn column(text: &str, table: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(table));
    let place = lines
        .next()?
        .split_whitespace()
        .position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_understood() {
        let table = "Ip: a b\nIp: 1 2\nTcp: RtoMin OutSegs\nTcp: 200 4711\nTcpExt: x\nTcpExt: 5\n";
        assert_eq!(column(table, "Tcp:", "OutSegs"), Some(4711));
        assert_eq!(column(table, "TcpExt:", "x"), Some(5));
        assert_eq!(column(table, "Tcp:", "none"), None);
        assert_eq!(
            labelled("A: 3 kB\nVmRSS:\t  1234 kB\n", "VmRSS:"),
            Some(1234)
        );
    }

    #[test]
    fn a_process_is_measured_while_it_lives() {
        let own = Server {
            pid: std::process::id(),
        };
        assert!(own.cpu().is_ok() && own.resident_kib().is_ok_and(|kib| kib > 100));
        let none = Server { pid: u32::MAX };
        assert!(
            none.cpu().is_err_and(|error| error.contains("gone")) && none.resident_kib().is_err()
        );
    }
}
