//! What the kernel can do, found by doing it: several features are flags that no probe lists, and
//! sandboxes refuse calls.

use super::buffers::GROUP;
use super::refusal::Call;
use super::ring::Ring;
use crate::driver::platform::Unsupported;
use io_uring::{opcode, squeue, types};
use std::fmt;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Oldest kernel that offers everything needed (multishot receive 6.0, deferred task running 6.1).
const KERNEL_FLOOR: &str = "6.1";

/// Optional features in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Waiting a little for a batch of completions (Linux 6.12).
    pub min_wait: bool,
    /// A closed direct descriptor's file lives until every older request on the ring has ended (up
    /// to Linux 6.12): see `release`.
    pub ordered_release: bool,
    /// Rings beyond the first run without deferred task running, because their eventfds would fall
    /// silent (Linux 6.12.115 to 6.12.118): see `waking`.
    pub prompt_rings: bool,
}

impl Capabilities {
    /// Tries what the driver relies on, over a socket pair and in a ring of its own.
    ///
    /// # Errors
    /// What did not work, and what to do about it.
    pub(super) fn probe() -> Result<Capabilities, Unsupported> {
        let trial = Trial::new()?;
        let params = trial.ring.io().params();
        if !params.is_feature_ext_arg()
            || !params.is_feature_nodrop()
            || !params.is_feature_skip_cqe_on_success()
        {
            return Err(lacking("io_uring features EXT_ARG, NODROP and CQE_SKIP"));
        }
        Ok(Capabilities {
            min_wait: params.is_feature_min_timeout(),
            ordered_release: trial.run()?,
            prompt_rings: false,
        })
    }
}

/// A ring and a socket pair of its own, so that nothing of the trial is left in the real ring.
pub(super) struct Trial {
    ring: Ring,
    near: UnixStream,
    far: UnixStream,
}

impl Trial {
    pub(super) fn new() -> Result<Trial, Unsupported> {
        let ring = Ring::new(8, 0)?;
        let (near, far) = UnixStream::pair().map_err(Call::SocketPair.refused())?;
        let registered = ring
            .io()
            .submitter()
            .register_files_update(0, &[near.as_raw_fd()]);
        registered.map_err(|_| lacking("direct descriptors"))?;
        Ok(Trial { ring, near, far })
    }

    /// Whether the kernel releases closed descriptors in the order of requests.
    fn run(mut self) -> Result<bool, Unsupported> {
        self.multishot_receive()?;
        let ordered_release = self.ordered_release()?;
        self.silent_send()?;
        drop(self.near);
        Ok(ordered_release)
    }

    /// Closes a younger descriptor beside the receive that is armed: does its peer see the end?
    pub(super) fn ordered_release(&mut self) -> Result<bool, Unsupported> {
        /// The end is there when the close returns; this is for a thread that is interrupted just
        /// then, and what old kernels cost at start.
        const PATIENCE: Duration = Duration::from_millis(20);
        let (near, mut far) = UnixStream::pair().map_err(Call::SocketPair.refused())?;
        let submitter = self.ring.io().submitter();
        let registered = submitter.register_files_update(1, &[near.as_raw_fd()]);
        registered.map_err(|_| lacking("direct descriptors"))?;
        drop(near);
        let entry = opcode::Close::new(types::Fixed(1)).build().user_data(4);
        // SAFETY: refers to no memory.
        unsafe { self.ring.push(entry) };
        self.ring.try_to_look()?;
        while self.ring.next_event().is_some() {}
        let patience = far.set_read_timeout(Some(PATIENCE));
        patience.map_err(Call::SocketPair.refused())?;
        Ok(far.read(&mut [0]).is_err())
    }

    /// One armed receive must bring two messages, each in a provided buffer.
    pub(super) fn multishot_receive(&mut self) -> Result<(), Unsupported> {
        let entry = opcode::RecvMulti::new(types::Fixed(0), GROUP)
            .build()
            .user_data(1);
        // SAFETY: refers to no memory.
        unsafe { self.ring.push(entry) };
        for message in [b"one", b"two"] {
            self.ring.try_to_look()?;
            let written = self.far.write_all(message);
            written.map_err(Call::SocketPair.refused())?;
            self.ring.wait(1, 0, &types::Timespec::new().sec(1));
            let event = self
                .ring
                .next_event()
                .ok_or_else(|| lacking("multishot receive"))?;
            let lease = self
                .ring
                .lease(&event)
                .filter(|_| event.more && event.result == 3);
            let mut lease =
                lease.ok_or_else(|| lacking("multishot receive with provided buffers"))?;
            if lease.as_mut() != message {
                return Err(lacking("multishot receive with provided buffers"));
            }
            self.ring.give_back(lease);
            self.ring.supply_buffers(0);
        }
        Ok(())
    }

    /// A send that succeeds must post nothing, a short one its count.
    pub(super) fn silent_send(&mut self) -> Result<(), Unsupported> {
        let big = vec![0u8; 8 << 20];
        for (bytes, user_data) in [(&b"short"[..], 2), (&big[..], 3)] {
            let entry = opcode::Send::new(types::Fixed(0), bytes.as_ptr(), bytes.len() as u32)
                .flags(super::vectors::TRANSMIT_FLAGS)
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS)
                .user_data(user_data);
            // SAFETY: `big` outlives the submission below, during which a send with MSG_DONTWAIT
            // completes.
            unsafe { self.ring.push(entry) };
        }
        self.ring.try_to_look()?;
        match self.ring.next_event() {
            Some(event)
                if event.user_data == 3 && (0..big.len() as i32).contains(&event.result) =>
            {
                Ok(())
            }
            _ => Err(lacking("sends that report only short sends")),
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
        let releasing = if self.ordered_release {
            ", rotates receives to release closed sockets (not needed from Linux 6.13)"
        } else {
            ""
        };
        let further = if self.prompt_rings {
            ", further rings without deferred task running (their eventfds would fall silent)"
        } else {
            ""
        };
        write!(
            f,
            "Linux {}, io_uring: {batching}{releasing}{further}",
            release()
        )
    }
}

fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The kernel lacks something.
pub(super) fn lacking(what: &'static str) -> Unsupported {
    Unsupported::new(
        format!(
            "{what} is missing (Linux {}; needs Linux {KERNEL_FLOOR})",
            release()
        ),
        "run Linux 6.1 or newer (6.12 or newer is recommended)",
    )
}
