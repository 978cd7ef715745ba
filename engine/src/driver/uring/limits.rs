//! What the host grants: tables of descriptors, locked memory, an eventfd, and which errnos pass.

use crate::run::open_files;
use rustix::process::{Resource, getrlimit};

/// The largest table of direct descriptors of one ring (`io_uring_register(2)`): at most as many as
/// files may be open.
pub(super) fn table_max() -> usize {
    /// `IORING_MAX_FIXED_FILES` of the kernel.
    const TABLE_MAX: usize = 1 << 20;
    open_files::max().min(TABLE_MAX)
}

/// Bytes that this user may lock in memory; `None`: as many as there are.
pub(super) fn locked_bytes_max() -> Option<u64> {
    /// Bit of `CAP_IPC_LOCK`, which no limit binds (`capabilities(7)`).
    const IPC_LOCK: u32 = 14;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // In a user namespace of its own the capability does not count.
    let namespace = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_outermost = namespace.split_whitespace().eq(["0", "0", "4294967295"]);
    let unbound = is_outermost && capabilities.is_some_and(|mask| mask >> IPC_LOCK & 1 == 1);
    let bytes = getrlimit(Resource::Memlock).current;
    bytes.filter(|_| !unbound)
}

/// The sysctl `kernel.io_uring_disabled`: 0 where it does not exist (before Linux 6.6).
pub(super) fn io_uring_disabled() -> u8 {
    let value = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    value
        .ok()
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

/// The operation may be tried again: the socket's buffer is full, or the kernel was short of
/// something.
pub(super) fn is_transient(errno: i32) -> bool {
    matches!(
        errno,
        libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ENOMEM
    )
}
