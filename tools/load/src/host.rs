//! The machine that everything runs on: what it is, how busy its CPUs are, and the kernel's own
//! memory. Called by `conduct` and `report`.

use crate::gauge::labelled;
use serde::Serialize;
use std::fs::read_to_string;
use std::time::{Duration, SystemTime};

/// What the machine is; `unknown` where it does not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Host {
    /// Kernel release.
    pub(crate) kernel: String,
    /// Processor model.
    pub(crate) processor: String,
    /// Cores of the machine, whether we may use them or not.
    pub(crate) cores: usize,
}

impl Host {
    /// This one.
    pub(crate) fn observe() -> Host {
        let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let stat = read_to_string("/proc/stat").unwrap_or_default();
        Host {
            kernel: read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "unknown".into(), |text| text.trim().to_owned()),
            processor: processor(&cpuinfo).unwrap_or("unknown").to_owned(),
            cores: cores(&stat),
        }
    }
}

fn processor(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

fn cores(stat: &str) -> usize {
    stat.lines()
        .filter(|line| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        })
        .count()
        .max(1)
}

/// What all CPUs together did since the machine started, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CpuTimes {
    /// Processes, in user and kernel mode.
    pub(crate) processes_s: f64,
    /// Interrupts, hard and soft: the network's work that no process is charged with.
    pub(crate) interrupts_s: f64,
    /// Waited for a CPU that the hypervisor gave to others.
    pub(crate) steal_s: f64,
    /// Nothing.
    pub(crate) idle_s: f64,
}

/// USER_HZ: the unit of /proc/stat on every architecture that we know.
const TICKS_PER_S: f64 = 100.0;

impl CpuTimes {
    /// `None` where the kernel does not tell.
    pub(crate) fn read() -> Option<CpuTimes> {
        cpu_times(&read_to_string("/proc/stat").ok()?)
    }

    /// What was done since.
    pub(crate) fn since(&self, before: &CpuTimes) -> CpuTimes {
        CpuTimes {
            processes_s: (self.processes_s - before.processes_s).max(0.0),
            interrupts_s: (self.interrupts_s - before.interrupts_s).max(0.0),
            steal_s: (self.steal_s - before.steal_s).max(0.0),
            idle_s: (self.idle_s - before.idle_s).max(0.0),
        }
    }
}

/// proc(5): user nice system idle iowait irq softirq steal guest guest_nice.
fn cpu_times(stat: &str) -> Option<CpuTimes> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = *ticks else {
        return None;
    };
    Some(CpuTimes {
        processes_s: (user + nice + system) / TICKS_PER_S,
        interrupts_s: (irq + softirq) / TICKS_PER_S,
        steal_s: steal / TICKS_PER_S,
        idle_s: (idle + iowait) / TICKS_PER_S,
    })
}

/// KiB that the kernel of the whole host holds for TCP's sockets and in its slabs; `None` where it
/// does not tell.
pub(crate) fn kernel_kib() -> Option<u64> {
    let pages = tcp_pages(&read_to_string("/proc/net/sockstat").ok()?)?;
    let slab_kib = labelled(&read_to_string("/proc/meminfo").ok()?, "Slab:")?;
    Some(pages * (rustix::param::page_size() as u64 / 1024) + slab_kib)
}

/// `TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 2`: in pages.
fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat
        .lines()
        .find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

/// UTC, RFC 3339 to the second.
pub(crate) fn date(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    let (mut days, second) = (since / 86_400, since % 86_400);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!(
        "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}Z",
        days + 1,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let stat = "cpu  100 50 150 700 100 20 30 400 0 0\ncpu0 1 2\ncpu1 1 2\nintr 5\n";
        let times = cpu_times(stat).unwrap();
        assert_eq!(
            times,
            CpuTimes {
                processes_s: 3.0,
                interrupts_s: 0.5,
                steal_s: 4.0,
                idle_s: 8.0
            }
        );
        assert_eq!(times.since(&times), CpuTimes::default());
        assert_eq!((cores(stat), cores("")), (2, 1));
        assert_eq!(cpu_times("cpu 1 2 3\n"), None);
        let sockstat =
            "sockets: used 9\nTCP: inuse 5 orphan 0 tw 0 alloc 7 mem 21\nUDP: inuse 1 mem 2\n";
        assert_eq!(tcp_pages(sockstat), Some(21));
        assert_eq!(
            processor("processor: 0\nmodel name\t: Fast @ 2 GHz\n"),
            Some("Fast @ 2 GHz")
        );
        assert!(kernel_kib().is_some_and(|kib| kib > 0));
    }

    #[test]
    fn dates_are_right_at_their_edges() {
        for (s, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(
                date(SystemTime::UNIX_EPOCH + Duration::from_secs(s)),
                expected
            );
        }
    }
}
