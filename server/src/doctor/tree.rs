//! The files of a host that say how it is set, below a root: `/`, or a folder of a test.

use std::fs;
use std::path::{Path, PathBuf};

/// Where `/proc` and `/sys` are.
pub(super) struct HostTree {
    root: PathBuf,
}

/// Entries of a folder that are looked at: more queues, cards or interrupts than this are not.
const ENTRIES_MAX: usize = 4096;

impl HostTree {
    pub(super) fn at(root: &Path) -> HostTree {
        HostTree {
            root: root.to_path_buf(),
        }
    }

    /// A file's text, without the space around it. `None`: it is not there, or may not be read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// A sysctl by its name.
    pub(super) fn sysctl(&self, name: &str) -> Option<String> {
        self.read(&format!("proc/sys/{}", name.replace('.', "/")))
    }

    /// The one number of a file.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// Names in a folder, sorted.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten();
        let names = entries.flatten().take(ENTRIES_MAX);
        let mut names: Vec<String> = names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The value behind `key` in `/proc/self/status`.
    pub(super) fn status(&self, key: &str) -> Option<String> {
        let status = self.read("proc/self/status")?;
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(value.trim().to_owned())
    }

    /// Soft and hard limit of this process (`proc_pid_limits(5)`); `None` in them: there is none.
    pub(super) fn limit(&self, name: &str) -> Option<(Option<u64>, Option<u64>)> {
        let limits = self.read("proc/self/limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        let mut words = line.split_whitespace();
        let mut next = || match words.next()? {
            "unlimited" => Some(None),
            number => number.parse().ok().map(Some),
        };
        Some((next()?, next()?))
    }
}

/// The numbers of a text.
pub(super) fn numbers(text: &str) -> Vec<u64> {
    let words = text.split_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

/// The numbers of a list such as `0-3,8` (`cpuset(7)`): cores, nodes, ports.
pub(super) fn list(text: &str) -> Option<Vec<usize>> {
    /// More cores than any host has, and all ports.
    const NUMBER_MAX: usize = 65_535;
    let mut all = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last > NUMBER_MAX {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}
