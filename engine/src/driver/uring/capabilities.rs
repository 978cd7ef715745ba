//! What the kernel can do, found by doing it: several features are flags that no probe lists, and sandboxes refuse calls.

use super::buffers::GROUP;
use super::ring::Ring;
use io_uring::{opcode, squeue, types};
use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// Oldest kernel that offers everything needed (multishot receive 6.0, deferred task running 6.1).
const KERNEL_FLOOR: &str = "6.1";

/// Optional features in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Waiting a little for a batch of completions (Linux 6.12).
    pub min_wait: bool,
}

/// Something that the native driver cannot do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    what: &'static str,
    found: String,
    remedy: &'static str,
}

impl Capabilities {
    /// Tries what the driver relies on, over a socket pair.
    ///
    /// # Errors
    /// What did not work, and what to do about it.
    pub(super) fn probe(ring: &Ring) -> Result<Capabilities, Unsupported> {
        let params = ring.io().params();
        if !params.is_feature_ext_arg()
            || !params.is_feature_nodrop()
            || !params.is_feature_skip_cqe_on_success()
        {
            return Err(Unsupported::kernel(
                "io_uring features EXT_ARG, NODROP and CQE_SKIP",
            ));
        }
        Trial::new()?.run()?;
        Ok(Capabilities {
            min_wait: params.is_feature_min_timeout(),
        })
    }
}

/// A ring and a socket pair of its own, so that nothing of the trial is left in the real ring.
struct Trial {
    ring: Ring,
    near: UnixStream,
    far: UnixStream,
}

impl Trial {
    fn new() -> Result<Trial, Unsupported> {
        let ring = Ring::new(8, 0).map_err(Unsupported::ring)?;
        let (near, far) = UnixStream::pair().map_err(Unsupported::ring)?;
        let registered = ring
            .io()
            .submitter()
            .register_files_update(0, &[near.as_raw_fd()]);
        registered.map_err(|_| Unsupported::kernel("direct descriptors"))?;
        Ok(Trial { ring, near, far })
    }

    fn run(mut self) -> Result<(), Unsupported> {
        self.multishot_receive()?;
        self.silent_send()?;
        drop(self.near);
        Ok(())
    }

    /// One armed receive must bring two messages, each in a provided buffer.
    fn multishot_receive(&mut self) -> Result<(), Unsupported> {
        let entry = opcode::RecvMulti::new(types::Fixed(0), GROUP)
            .build()
            .user_data(1);
        // SAFETY: refers to no memory.
        unsafe { self.ring.push(entry) };
        for message in [b"one", b"two"] {
            self.ring.enter_and_look();
            self.far.write_all(message).map_err(Unsupported::ring)?;
            self.ring.wait(1, 0, &types::Timespec::new().sec(1));
            let event = self
                .ring
                .next_event()
                .ok_or_else(|| Unsupported::kernel("multishot receive"))?;
            let lease = self
                .ring
                .lease(&event)
                .filter(|_| event.more && event.result == 3);
            let mut lease = lease
                .ok_or_else(|| Unsupported::kernel("multishot receive with provided buffers"))?;
            if lease.as_mut() != message {
                return Err(Unsupported::kernel(
                    "multishot receive with provided buffers",
                ));
            }
            self.ring.give_back(lease);
            self.ring.supply_buffers(0);
        }
        Ok(())
    }

    /// A send that succeeds must post nothing, a short one its count.
    fn silent_send(&mut self) -> Result<(), Unsupported> {
        let big = vec![0u8; 8 << 20];
        for (bytes, user_data) in [(&b"short"[..], 2), (&big[..], 3)] {
            let entry = opcode::Send::new(types::Fixed(0), bytes.as_ptr(), bytes.len() as u32)
                .flags(super::DEPARTURE_FLAGS)
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS)
                .user_data(user_data);
            // SAFETY: `big` outlives the submission below, during which a send with MSG_DONTWAIT completes.
            unsafe { self.ring.push(entry) };
        }
        self.ring.enter_and_look();
        match self.ring.next_event() {
            Some(event)
                if event.user_data == 3 && (0..big.len() as i32).contains(&event.result) =>
            {
                Ok(())
            }
            _ => Err(Unsupported::kernel("sends that report only shortfalls")),
        }
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let batching = if self.min_wait {
            "waits for batches when busy"
        } else {
            "no min_wait before Linux 6.12"
        };
        write!(f, "Linux {}, io_uring: {batching}", release())
    }
}

fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

impl Unsupported {
    fn kernel(what: &'static str) -> Unsupported {
        Unsupported {
            what,
            found: format!("Linux {}", release()),
            remedy: "run Linux 6.1 or newer (6.12 or newer is recommended)",
        }
    }

    /// A ring could not be made: the errno tells an old kernel from a locked door.
    pub(super) fn ring(error: io::Error) -> Unsupported {
        let remedy = match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                "allow io_uring: set the sysctl kernel.io_uring_disabled=0, and permit io_uring_setup, io_uring_enter and \
                 io_uring_register in the container's seccomp profile"
            }
            Some(libc::ENOSYS | libc::EINVAL) => {
                "run Linux 6.1 or newer (6.12 or newer is recommended)"
            }
            Some(libc::EMFILE | libc::ENFILE) => {
                "raise the limit on open files (ulimit -n, LimitNOFILE=)"
            }
            Some(libc::ENOMEM) => "raise the memory limit, or lower max_connections",
            _ => "see the error",
        };
        Unsupported {
            what: "io_uring with deferred task running",
            found: error.to_string(),
            remedy,
        }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unsupported {
            what,
            found,
            remedy,
        } = self;
        write!(
            f,
            "this host cannot run the native driver: {what} is missing ({found}; needs Linux {KERNEL_FLOOR}); {remedy}"
        )
    }
}

impl std::error::Error for Unsupported {}
