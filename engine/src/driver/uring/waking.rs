//! How a ring that does not sleep wakes the one that does, found by trying: its eventfd must ring
//! for every message, not for the first one.
//!
//! Linux 6.12.115 to 6.12.118 ring the eventfd of a ring with deferred task running from an RCU
//! callback, which never takes back the mark that it is under way: it rings once. A ring that runs
//! its tasks as they come rings when it posts a completion, there too. Used by `ring_set` before
//! the first further ring is made.

use super::buffers::GROUP;
use super::refusal::{Call, CallRefused};
use super::ring::Ring;
use crate::driver::uring::ring::Waking;
use io_uring::{opcode, types};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

impl Waking {
    /// The way that works here; `None`: further rings would not be heard.
    pub(super) fn find() -> Result<Option<Waking>, CallRefused> {
        Waking::first_that(|waking| WakingTrial::new(waking)?.rings())
    }

    fn first_that(
        mut rings: impl FnMut(Waking) -> Result<bool, CallRefused>,
    ) -> Result<Option<Waking>, CallRefused> {
        for waking in [Waking::Deferred, Waking::Prompt] {
            if rings(waking)? {
                return Ok(Some(waking));
            }
        }
        Ok(None)
    }
}

/// Two rings and a socket pair of its own, so that nothing of the trial is left in the real rings.
struct WakingTrial {
    first: Ring,
    second: Ring,
    /// Lives in the second ring.
    _near: UnixStream,
    far: UnixStream,
}

impl WakingTrial {
    fn new(waking: Waking) -> Result<WakingTrial, CallRefused> {
        let first = Ring::new(8, 0)?;
        let mut second = Ring::further(8, 1, waking)?;
        let (near, far) = UnixStream::pair().map_err(Call::SocketPair.refused())?;
        let submitter = second.io().submitter();
        let registered = submitter.register_files_update(0, &[near.as_raw_fd()]);
        registered.map_err(Call::Register.refused())?;
        let receive = opcode::RecvMulti::new(types::Fixed(0), GROUP).build();
        // SAFETY: refers to no memory.
        unsafe { second.push(receive) };
        Ok(WakingTrial {
            first,
            second,
            _near: near,
            far,
        })
    }

    /// Whether each of some messages to the second ring wakes the first, and is there then.
    fn rings(&mut self) -> Result<bool, CallRefused> {
        /// Linux 6.12.115 rings for the first.
        const MESSAGES: usize = 3;
        for _ in 0..MESSAGES {
            if !self.settle()? {
                return Ok(false);
            }
            let written = self.far.write_all(b"x");
            written.map_err(Call::SocketPair.refused())?;
            self.first.wait(1, 0, &types::Timespec::new().sec(1));
            if self.first.next_event().is_none() {
                return Ok(false);
            }
            self.second.rang();
            self.second.try_to_look()?;
            if self.take() == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Listens and looks, as the driver does, until nothing rings any more: posting what was looked
    /// for rings, too. False: it rings on and on.
    fn settle(&mut self) -> Result<bool, CallRefused> {
        const ROUNDS_MAX: usize = 16;
        for _ in 0..ROUNDS_MAX {
            self.second.listen_through(&mut self.first, 0);
            self.second.try_to_look()?;
            self.take();
            self.first.try_to_look()?;
            match self.first.next_event() {
                Some(_) => self.second.rang(),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Reaps the second ring: how many messages it had.
    fn take(&mut self) -> usize {
        let mut messages = 0;
        while let Some(event) = self.second.next_event() {
            if let Some(lease) = self.second.lease(&event) {
                messages += 1;
                self.second.give_back(lease);
            }
        }
        self.second.supply_buffers(0);
        messages
    }
}

impl Drop for WakingTrial {
    fn drop(&mut self) {
        self.second.end_listening(&mut self.first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_way_that_works_is_taken() {
        use Waking::{Deferred, Prompt};
        for (working, expected) in [
            (&[Deferred, Prompt][..], Some(Deferred)),
            (&[Prompt], Some(Prompt)),
            (&[Deferred], Some(Deferred)),
            (&[], None),
        ] {
            let found = Waking::first_that(|waking| Ok(working.contains(&waking)));
            assert_eq!(found.unwrap(), expected);
        }
        let refused = || Call::Setup.refused()(std::io::Error::from_raw_os_error(libc::ENOMEM));
        assert!(Waking::first_that(|_| Err(refused())).is_err(), "not known");
    }

    #[test]
    fn prompt_rings_are_heard_on_every_kernel() {
        assert!(WakingTrial::new(Waking::Prompt).unwrap().rings().unwrap());
        assert!(Waking::find().unwrap().is_some());
    }
}
