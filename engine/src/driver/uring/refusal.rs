//! A system call that a ring needs and the host refused: which, why, and what to do about it.
//!
//! The errno alone does not tell: ENOMEM is a limit on locked memory or a lack of memory, EPERM a
//! sysctl or a sandbox. What the host says of its limits decides. Made where a ring is made or
//! tried; shown at start, and in the log when a further ring cannot be made.

use super::limits;
use crate::driver::platform::Unsupported;
use crate::run::open_files;
use std::fmt;
use std::io;

/// Bytes that one ring counts against the limit on locked memory, where the kernel counts rings
/// (seen from Linux 6.16 on).
const LOCKED_BYTES: u64 = 136 << 10;

/// What was asked of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Setup,
    Register,
    Enter,
    EventFd,
    SocketPair,
    Memory,
}

/// It was refused.
#[derive(Debug)]
pub(super) struct CallRefused {
    pub(super) call: Call,
    pub(super) error: io::Error,
}

/// What decides between the causes of one errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host {
    /// `kernel.io_uring_disabled`; 0 where it does not exist.
    disabled: u8,
    /// Bytes that this user may lock; `None`: any number, or none are counted.
    locked_bytes_max: Option<u64>,
    open_files_max: usize,
}

impl Call {
    /// For `map_err`.
    pub(super) fn refused(self) -> impl Fn(io::Error) -> CallRefused {
        move |error| CallRefused { call: self, error }
    }

    fn name(self) -> &'static str {
        match self {
            Call::Setup => "io_uring_setup",
            Call::Register => "io_uring_register",
            Call::Enter => "io_uring_enter",
            Call::EventFd => "eventfd2",
            Call::SocketPair => "socketpair",
            Call::Memory => "mmap",
        }
    }
}

impl CallRefused {
    /// What to do.
    pub(super) fn remedy(&self) -> String {
        self.remedy_on(Host {
            disabled: limits::io_uring_disabled(),
            locked_bytes_max: limits::locked_bytes_max(),
            open_files_max: open_files::max(),
        })
    }

    fn remedy_on(&self, host: Host) -> String {
        const NEWER: &str = "run Linux 6.1 or newer (6.12 or newer is recommended)";
        const PERMIT: &str = "permit io_uring_setup, io_uring_enter and io_uring_register in the sandbox that this runs in (a container's seccomp profile)";
        match (self.error.raw_os_error().unwrap_or(0), self.call) {
            (libc::EPERM | libc::EACCES, _) if host.disabled > 0 => format!(
                "allow io_uring: set the sysctl kernel.io_uring_disabled, which is {}, to 0",
                host.disabled
            ),
            (libc::EPERM | libc::EACCES, _) => PERMIT.into(),
            (libc::ENOSYS, Call::Setup) => format!("{NEWER}, and {PERMIT}"),
            (libc::ENOSYS, _) => PERMIT.into(),
            (libc::EINVAL, _) => NEWER.into(),
            (libc::EMFILE, _) => format!(
                "raise the limit on open files, which is {} (ulimit -n, LimitNOFILE=)",
                host.open_files_max
            ),
            (libc::ENFILE, _) => "raise the host's limit on open files (sysctl fs.file-max)".into(),
            (libc::ENOMEM, Call::Setup | Call::Register) if host.locked_bytes_max.is_some() => {
                format!(
                    "raise the limit on locked memory, which is {} KiB and of which this kernel counts {} KiB for each ring of a user \
                     (ulimit -l, LimitMEMLOCK=), or grant CAP_IPC_LOCK",
                    host.locked_bytes_max.unwrap_or(0) >> 10,
                    LOCKED_BYTES >> 10
                )
            }
            (libc::ENOMEM, _) => "raise the memory limit, or lower max_connections".into(),
            _ => "see the error".into(),
        }
    }
}

impl From<CallRefused> for Unsupported {
    fn from(refused: CallRefused) -> Unsupported {
        Unsupported::new(refused.to_string(), refused.remedy())
    }
}

impl fmt::Display for CallRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call.name(), self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_follows_what_the_host_says() {
        let quiet = Host {
            disabled: 0,
            locked_bytes_max: None,
            open_files_max: 20,
        };
        let disabled = Host {
            disabled: 2,
            ..quiet
        };
        let locked = Host {
            locked_bytes_max: Some(64 << 10),
            ..quiet
        };
        let cases = [
            (
                Call::Setup,
                libc::EPERM,
                disabled,
                "io_uring_disabled, which is 2,",
            ),
            (Call::Setup, libc::EPERM, quiet, "seccomp"),
            (Call::Enter, libc::EPERM, quiet, "seccomp"),
            (Call::Enter, libc::ENOSYS, quiet, "seccomp"),
            (Call::Register, libc::EACCES, quiet, "seccomp"),
            (Call::Setup, libc::ENOSYS, quiet, "Linux 6.1"),
            (Call::Setup, libc::EINVAL, quiet, "Linux 6.1"),
            (Call::Setup, libc::EMFILE, quiet, "open files, which is 20"),
            (
                Call::EventFd,
                libc::EMFILE,
                quiet,
                "open files, which is 20",
            ),
            (Call::SocketPair, libc::ENFILE, quiet, "fs.file-max"),
            (
                Call::Setup,
                libc::ENOMEM,
                locked,
                "locked memory, which is 64 KiB",
            ),
            (Call::Setup, libc::ENOMEM, quiet, "memory limit"),
            (Call::Memory, libc::ENOMEM, locked, "memory limit"),
            (Call::Setup, libc::EIO, quiet, "see the error"),
        ];
        for (call, errno, host, expected) in cases {
            let error = io::Error::from_raw_os_error(errno);
            let remedy = CallRefused { call, error }.remedy_on(host);
            assert!(
                remedy.contains(expected),
                "{call:?} {errno} {host:?}: {remedy}"
            );
        }
    }
}
