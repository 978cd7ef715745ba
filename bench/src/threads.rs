//! What threads of a process have cost. Used by works that start processes of their own.

use std::fs;
use std::io;

/// CPU time of those threads of a process so far, user and system, in ns, whose names are such.
///
/// # Errors
/// The process has ended, or the kernel keeps no such figure (`CONFIG_SCHEDSTATS`).
pub(crate) fn threads_ns(process: u32, is_such: impl Fn(&str) -> bool) -> io::Result<u64> {
    let mut ns = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?.path();
        if !is_such(fs::read_to_string(thread.join("comm"))?.trim_end()) {
            continue;
        }
        let text = fs::read_to_string(thread.join("schedstat"))?;
        let first = text.split_whitespace().next();
        ns += first
            .and_then(|word| word.parse::<u64>().ok())
            .ok_or_else(|| io::Error::other(format!("not a schedstat: {text:?}")))?;
    }
    Ok(ns)
}
