//! What this process took: CPU time and memory, from `/proc`.

use crate::Outcome;
use std::time::Duration;

/// Nanoseconds that all threads of this process were on a CPU.
pub(crate) fn cpu() -> Outcome<Duration> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let file = task?.path().join("schedstat");
        let text = std::fs::read_to_string(file)?;
        let first = text.split(' ').next().unwrap_or_default();
        nanoseconds += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Memory that the kernel holds for this process, in bytes.
pub(crate) fn resident_bytes() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.ok_or("proc(5)")?.trim().parse::<u64>()? << 10)
}
