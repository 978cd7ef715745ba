//! One ring: submission and completion queue, a table of direct descriptors, receive buffers.

use super::buffers::{Buffers, Lease};
use super::refusal::{Call, CallRefused};
use super::release::Release;
use crate::driver::boundary::Millis;
use crate::driver::uring::event_fd::EventFd;
use crate::driver::waiting::Waiting;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// Submissions that fit before the ring is entered for them: a fan-out chunk.
const SUBMISSIONS: u32 = 1024;
/// Completions that fit; the kernel keeps more in a list (counted), so this is a matter of cost,
/// not of loss.
const COMPLETIONS: u32 = 4096;
/// Bytes of both queues: 64 a submission, 16 a completion.
pub(super) const BYTES: usize = SUBMISSIONS as usize * 64 + COMPLETIONS as usize * 16;
/// `IORING_ENTER_GETEVENTS`.
const GET_EVENTS: u32 = 1;

/// When a further ring runs the tasks that complete its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waking {
    /// When it is looked at, as the first ring does (`IORING_SETUP_DEFER_TASKRUN`).
    Deferred,
    /// When its thread is in the kernel or returns from it, whatever for: completions appear
    /// between any two instructions.
    Prompt,
}

pub(super) struct Ring {
    io: IoUring,
    buffers: Buffers,
    /// Connections whose receives ended, most of them for want of buffers.
    pub(super) waiting: Waiting,
    /// Slots taken, accepts under way included.
    used: u32,
    enters: u64,
    waking: Waking,
    sibling: Option<Sibling>,
    pub(super) release: Release,
}

/// What a ring that does not sleep has besides: the eventfd through which it wakes the one that
/// does.
struct Sibling {
    signal: EventFd,
    /// The first ring reads the eventfd.
    listening: bool,
    /// Brought something when it was last looked at.
    active: bool,
}

/// A completion, copied out.
#[derive(Clone, Copy, Debug)]
pub(super) struct RingEvent {
    pub(super) user_data: u64,
    pub(super) result: i32,
    /// The operation goes on.
    pub(super) more: bool,
    buffer: Option<u16>,
}

impl Ring {
    /// A ring with an empty table, for the calling thread only. `index` is its place in the driver.
    pub(super) fn new(table: u32, index: u8) -> Result<Ring, CallRefused> {
        Ring::with(table, index, Waking::Deferred)
    }

    /// One that another ring sleeps for.
    pub(super) fn further(table: u32, index: u8, waking: Waking) -> Result<Ring, CallRefused> {
        Ring::with(table, index, waking)?.signalled()
    }

    fn with(table: u32, index: u8, waking: Waking) -> Result<Ring, CallRefused> {
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(COMPLETIONS);
        match waking {
            Waking::Deferred => _ = builder.setup_defer_taskrun(),
            Waking::Prompt => {}
        }
        let io = builder.build(SUBMISSIONS).map_err(Call::Setup.refused())?;
        let registered = io.submitter().register_files_sparse(table);
        registered.map_err(Call::Register.refused())?;
        let buffers = Buffers::register(&io, index)?;
        Ok(Ring {
            io,
            buffers,
            waiting: Waiting::default(),
            used: 0,
            enters: 0,
            waking,
            sibling: None,
            release: Release::default(),
        })
    }

    fn signalled(mut self) -> Result<Ring, CallRefused> {
        let signal = EventFd::new()?;
        let registered = self.io.submitter().register_eventfd(signal.raw_fd());
        registered.map_err(Call::Register.refused())?;
        self.sibling = Some(Sibling {
            signal,
            listening: false,
            active: true,
        });
        Ok(self)
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }

    pub(super) fn io(&self) -> &IoUring {
        &self.io
    }

    /// Queues an operation; a full queue is submitted first.
    ///
    /// # Safety
    /// Memory that the entry points to stays valid and in place until the operation has completed.
    pub(super) unsafe fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: the caller's promise, passed on.
        while unsafe { self.io.submission().push(&entry) }.is_err() {
            self.submit();
        }
    }

    pub(super) fn has_submissions(&mut self) -> bool {
        !self.io.submission().is_empty()
    }

    /// Something waits for another enter: submissions, or completions that did not fit (only an
    /// enter that looks brings those).
    pub(super) fn is_behind(&mut self) -> bool {
        let submissions = self.io.submission();
        !submissions.is_empty() || submissions.cq_overflow()
    }

    /// Submits what is queued. On return it is taken, unless the kernel wants completions reaped
    /// first.
    pub(super) fn submit(&mut self) {
        if self.has_submissions() {
            self.enter(0);
        }
    }

    /// Submits, and lets the kernel run what it deferred to this thread.
    pub(super) fn enter_and_look(&mut self) {
        self.enter(GET_EVENTS);
    }

    /// As [`Ring::enter_and_look`], on a host that may refuse.
    pub(super) fn try_to_look(&mut self) -> Result<(), CallRefused> {
        self.try_to_enter(GET_EVENTS)
    }

    /// Submits and sleeps until `want` completions, or `min_wait_us` after the first, or the
    /// timeout.
    pub(super) fn wait(&mut self, want: u32, min_wait_us: u32, timeout: &types::Timespec) {
        self.enters += 1;
        let mut args = types::SubmitArgs::new().timespec(timeout);
        if min_wait_us > 0 {
            args = args.min_wait_usec(min_wait_us);
        }
        let result = self.io.submitter().submit_with_args(want as usize, &args);
        if let Err(refused) = Ring::passed(result) {
            panic!("{refused}");
        }
    }

    fn enter(&mut self, flags: u32) {
        // A host that refuses has said so to the trial at start.
        if let Err(refused) = self.try_to_enter(flags) {
            panic!("{refused}");
        }
    }

    fn try_to_enter(&mut self, flags: u32) -> Result<(), CallRefused> {
        self.enters += 1;
        let queued = self.io.submission().len() as u32;
        // SAFETY: no extended argument is given.
        let result = unsafe {
            self.io
                .submitter()
                .enter::<libc::sigset_t>(queued, 0, flags, None)
        };
        Ring::passed(result)
    }

    /// What an enter may say without anything being wrong: a signal, the timeout, completions to
    /// reap first, memory pressure.
    fn passed(result: io::Result<usize>) -> Result<(), CallRefused> {
        const PASSING: [i32; 4] = [libc::EINTR, libc::ETIME, libc::EBUSY, libc::EAGAIN];
        match result {
            Err(error)
                if !error
                    .raw_os_error()
                    .is_some_and(|errno| PASSING.contains(&errno)) =>
            {
                Err(Call::Enter.refused()(error))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    pub(super) fn next_event(&mut self) -> Option<RingEvent> {
        let entry = self.io.completion().next()?;
        Some(RingEvent {
            user_data: entry.user_data(),
            result: entry.result(),
            more: cqueue::more(entry.flags()),
            buffer: cqueue::buffer_select(entry.flags()),
        })
    }

    /// The receive buffer that came with a completion.
    pub(super) fn lease(&mut self, event: &RingEvent) -> Option<Lease> {
        let len = event.result.max(0) as u32;
        event.buffer.map(|buffer| self.buffers.lease(buffer, len))
    }

    /// A receive ended for want of buffers.
    pub(super) fn starved(&mut self) {
        self.buffers.ran_out();
    }

    /// Gives back what a crowd that waited for buffers needed.
    pub(super) fn release_memory(&mut self) {
        self.waiting.release_memory();
    }

    /// Large messages are expected.
    pub(super) fn expect_large(&mut self, now: Millis) {
        self.buffers.expect_large(now);
    }

    /// Whether it is offered large buffers.
    pub(super) fn is_large(&self) -> bool {
        self.buffers.is_large()
    }

    /// Buffers that the kernel has.
    pub(super) fn offered(&self) -> usize {
        self.buffers.offered()
    }

    pub(super) fn give_back(&mut self, lease: Lease) {
        self.buffers.give_back(lease);
    }

    /// Offers the kernel what it should have. When to come again although nothing happens; `None`:
    /// no need.
    pub(super) fn supply_buffers(&mut self, now: Millis) -> Option<Millis> {
        let again = match self.waking {
            Waking::Deferred => {
                // A full submission queue was submitted in between, perhaps, and brought something
                // that nobody has reaped yet.
                let reaped = self.io.completion().is_empty() && !self.io.submission().cq_overflow();
                self.buffers.settle(now, reaped)
            }
            // Something may be received between the look and the letting go: the memory stays.
            Waking::Prompt => {
                self.buffers.settle(now, false);
                None
            }
        };
        self.buffers.commit();
        again
    }

    /// Slots taken, accepts under way included.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    pub(super) fn expect_accept(&mut self) {
        self.used += 1;
    }

    /// An accept ended; with a connection its slot stays taken.
    pub(super) fn accept_ended(&mut self, connected: bool) {
        self.used -= u32::from(!connected);
    }

    pub(super) fn closed(&mut self) {
        self.used -= 1;
    }

    /// Enters since the last call.
    pub(super) fn take_enters(&mut self) -> u64 {
        std::mem::take(&mut self.enters)
    }

    /// Completions that did not fit, since the ring exists.
    pub(super) fn overflow(&mut self) -> u32 {
        self.io.completion().overflow()
    }

    pub(super) fn is_active(&self) -> bool {
        self.sibling.as_ref().is_some_and(|sibling| sibling.active)
    }

    pub(super) fn set_active(&mut self, active: bool) {
        if let Some(sibling) = &mut self.sibling {
            sibling.active = active;
        }
    }

    /// Its eventfd was read: it has something, and must be listened to again.
    pub(super) fn rang(&mut self) {
        if let Some(sibling) = &mut self.sibling {
            (sibling.listening, sibling.active) = (false, true);
        }
    }

    /// Lets `first` wake up for this ring. True when it had to be arranged anew: then this ring
    /// must be looked at once more before anybody sleeps, for what came in between rang nobody.
    pub(super) fn listen_through(&mut self, first: &mut Ring, user_data: u64) -> bool {
        let Some(sibling) = self.sibling.as_mut().filter(|sibling| !sibling.listening) else {
            return false;
        };
        sibling.listening = true;
        let (fd, buffer) = sibling.signal.target();
        let entry = opcode::Read::new(types::Fd(fd), buffer, 8)
            .build()
            .user_data(user_data);
        // SAFETY: the eventfd and its buffer live in this ring, which the driver drops together
        // with `first`, and only when its thread no longer runs either.
        unsafe { first.push(entry) };
        true
    }

    /// Ends what `listen_through` began, where the thread outlives the rings: the kernel has the
    /// buffer's address until then.
    pub(super) fn end_listening(&mut self, first: &mut Ring) {
        if let Some(sibling) = self.sibling.as_mut().filter(|sibling| sibling.listening) {
            sibling.signal.raise();
            first.wait(1, 0, &types::Timespec::new().sec(1));
            sibling.listening = first.next_event().is_none();
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("fd", &self.raw_fd())
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}
