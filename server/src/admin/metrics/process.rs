//! What the kernel says of the process: processor, memory, open files, threads. Read from `/proc`
//! when the metrics are asked for.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::fs;

/// Of this process. What `/proc` does not say is left out.
#[derive(Debug)]
pub(crate) struct ProcessMetrics;

/// The unit of CPU times in `/proc`: 10 ms on every Linux that we know (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(seconds) = cpu_seconds() {
            let help = "CPU time of all threads, user and system";
            let mut family = encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                MetricType::Counter,
            )?;
            family.encode_counter::<NoLabelSet, f64, u64>(&seconds, None)?;
        }
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Memory that the kernel holds for the process",
                status("VmRSS:").map(|kib| kib << 10),
            ),
            (
                "process_virtual_memory_bytes",
                "Address space of the process",
                status("VmSize:").map(|kib| kib << 10),
            ),
            (
                "process_threads",
                "Threads of the process",
                status("Threads:"),
            ),
            (
                "process_open_fds",
                "Open files; sockets of io_uring are none",
                open_files(),
            ),
            (
                "process_max_fds",
                "Open files that the process may have",
                open_files_max(),
            ),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            family.encode_gauge(&value)?;
        }
        Ok(())
    }
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything: utime is the 12th field, stime the 13th (proc(5)).
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(ticks as f64 / TICKS_PER_SECOND)
}

fn status(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_files() -> Option<u64> {
    // The size of the folder is their number since Linux 6.2; before that it is 0.
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        count => Some(count),
    }
}

fn open_files_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
