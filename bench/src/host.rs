//! Where and what was measured: commit, kernel, cores, time. Goes into every record, so that a
//! figure is never without its circumstances.

use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// The circumstances of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Start of the comparison, UTC, RFC 3339 to the second.
    pub date: String,
    /// Short commit, with `+` when tracked files differed from it.
    pub commit: String,
    /// Kernel release.
    pub kernel: String,
    /// Processor model, as the kernel names it.
    pub processor: String,
    /// Cores of the machine.
    pub cores: usize,
}

impl Host {
    /// Of this machine, now. What cannot be found out is `unknown`.
    pub fn observe(repository: &Path) -> Host {
        let unknown = || "unknown".to_owned();
        let changes = output(
            repository,
            &["git", "status", "--porcelain", "--untracked-files=no"],
        );
        let mark = if changes.is_none_or(|changes| changes.is_empty()) {
            ""
        } else {
            "+"
        };
        let commit =
            output(repository, &["git", "rev-parse", "--short", "HEAD"]).unwrap_or_else(unknown);
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Host {
            date: output(repository, &["date", "-u", "+%Y-%m-%dT%H:%M:%SZ"])
                .unwrap_or_else(unknown),
            commit: format!("{commit}{mark}"),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            processor: processor(&cpuinfo).unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

fn output(directory: &Path, command: &[&str]) -> Option<String> {
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(directory)
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_once() {
        assert_eq!(
            processor("processor\t: 0\nmodel name\t: Fast CPU @ 2 GHz\nmodel name\t: Other\n")
                .as_deref(),
            Some("Fast CPU @ 2 GHz")
        );
        assert_eq!(processor("processor\t: 0\n"), None);
    }
}
