//! What the host grants: open files, locked memory, an eventfd, and which errnos pass.

use super::refusal::{Call, Refused};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Raises the soft limit on open files to the hard one, and returns it.
pub fn raise_open_files() -> usize {
    let mut limit = limit(libc::RLIMIT_NOFILE);
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: a plain system call on a local structure. If it fails the limit stays as it is, and `open_files_max` tells.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    open_files_max()
}

/// The limit on open files, which is also the largest table of direct descriptors of one ring (`io_uring_register(2)`).
pub fn open_files_max() -> usize {
    /// `IORING_MAX_FIXED_FILES` of the kernel.
    const TABLE_MAX: u64 = 1 << 20;
    limit(libc::RLIMIT_NOFILE).rlim_cur.min(TABLE_MAX) as usize
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
    let bytes = limit(libc::RLIMIT_MEMLOCK).rlim_cur;
    (!unbound && bytes != libc::RLIM_INFINITY).then_some(bytes)
}

/// The sysctl `kernel.io_uring_disabled`: 0 where it does not exist (before Linux 6.6).
pub(super) fn io_uring_disabled() -> u8 {
    let value = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    value
        .ok()
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

fn limit(of: libc::__rlimit_resource_t) -> libc::rlimit {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes the local structure only.
    let result = unsafe { libc::getrlimit(of, &raw mut limit) };
    assert_eq!(result, 0, "getrlimit has no reason to fail");
    limit
}

/// The operation may be tried again: the socket's buffer is full, or the kernel was short of something.
pub(super) fn is_transient(errno: i32) -> bool {
    matches!(
        errno,
        libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ENOMEM
    )
}

/// A counter that a ring reads and any thread may raise.
#[derive(Debug)]
pub(super) struct EventFd {
    file: File,
    /// Where the kernel writes the count. Boxed: its address is given away.
    count: Box<[u8; 8]>,
}

impl EventFd {
    pub(super) fn new() -> Result<EventFd, Refused> {
        // SAFETY: no memory is involved; the descriptor is owned by the result.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(Call::EventFd.refused()(io::Error::last_os_error()));
        }
        // SAFETY: the descriptor was just created and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(EventFd {
            file: File::from(fd),
            count: Box::new([0; 8]),
        })
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// What a read into this counter's buffer needs.
    pub(super) fn target(&mut self) -> (RawFd, *mut u8) {
        (self.file.as_raw_fd(), self.count.as_mut_ptr())
    }

    /// Another handle to it.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }
}

/// Raises an eventfd by one.
pub(crate) fn ring_bell(mut bell: &File) {
    // The count cannot overflow in practice; a failure would mean a broken descriptor, and the shard still looks once a minute.
    if let Err(error) = bell.write_all(&1u64.to_ne_bytes()) {
        tracing::warn!(%error, "a shard's bell cannot be rung");
    }
}
