//! Receive buffers: a ring that the kernel takes from and we give back to. A lease is one buffer on
//! loan.
//!
//! The kernel takes buffers in turn, so each one that it is offered ends up resident. A ring that
//! receives little is offered few, always the same; the memory of the others goes back to the
//! kernel. A ring that receives large messages is offered fewer that are larger, so that most come
//! in one piece (`supply` decides).

use super::refusal::{Call, CallRefused};
use crate::driver::supply::{BUFFER_BYTES, BUFFERS, LARGE_BUFFER_BYTES, LARGE_BUFFERS, Supply};
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::driver::boundary::Millis;
use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;
/// Bytes of all buffers of a ring.
pub(super) const BYTES: usize =
    BUFFERS as usize * BUFFER_BYTES + LARGE_BUFFERS as usize * LARGE_BUFFER_BYTES;

const _: () = assert!(BUFFERS.is_power_of_two());

/// A ring's buffers.
#[derive(Debug)]
pub(super) struct Buffers {
    memory: Rc<BufferMemory>,
    large: Rc<BufferMemory>,
    /// Where the next buffer goes; published by `commit`.
    tail: u16,
    committed: u16,
    /// Neither with the kernel nor on loan; the last one was used last.
    held: Vec<u16>,
    /// The same of large ones, whose numbers come after those of the others.
    held_large: Vec<u16>,
    /// With the kernel, or about to be.
    offered: u16,
    /// Some are resident.
    touched: bool,
    supply: Supply,
    ring: u8,
}

/// A received piece of a stream. Exclusive until it is given back.
#[derive(Debug)]
pub struct Lease {
    memory: Rc<BufferMemory>,
    buffer: u16,
    len: u32,
    ring: u8,
}

impl Buffers {
    /// Registers fresh buffers with a ring. `ring` is its index in the driver.
    pub(super) fn register(io: &IoUring, ring: u8) -> Result<Buffers, CallRefused> {
        let new = |first, count, bytes| {
            let memory = BufferMemory::new(first, count, bytes);
            memory.map(Rc::new).map_err(Call::Memory.refused())
        };
        let memory = new(0, BUFFERS, BUFFER_BYTES)?;
        let large = new(BUFFERS, LARGE_BUFFERS, LARGE_BUFFER_BYTES)?;
        // SAFETY: the entries are page-aligned, zeroed, large enough for `BUFFERS`, and live until
        // the last lease and the driver are gone; the driver drops its rings first.
        let registered = unsafe {
            io.submitter()
                .register_buf_ring_with_flags(memory.entries() as u64, BUFFERS, GROUP, 0)
        };
        registered.map_err(Call::Register.refused())?;
        let mut buffers = Buffers {
            memory,
            large,
            tail: 0,
            committed: 0,
            held: (0..BUFFERS).rev().collect(),
            held_large: (BUFFERS..BUFFERS + LARGE_BUFFERS).rev().collect(),
            offered: 0,
            touched: false,
            supply: Supply::default(),
            ring,
        };
        buffers.commit();
        Ok(buffers)
    }

    /// The buffer that a completion names. Every completion names a buffer that the kernel took, so
    /// no two leases share one.
    pub(super) fn lease(&mut self, buffer: u16, len: u32) -> Lease {
        let memory = match buffer < BUFFERS {
            true => &self.memory,
            false => &self.large,
        };
        assert!(
            buffer < BUFFERS + LARGE_BUFFERS && len as usize <= memory.buffer_bytes,
            "the kernel named a buffer that it was not given"
        );
        self.offered -= 1;
        self.touched = true;
        self.supply.took();
        Lease {
            memory: memory.clone(),
            buffer,
            len,
            ring: self.ring,
        }
    }

    /// Large messages are expected.
    pub(super) fn expect_large(&mut self, now: Millis) {
        self.supply.expect_large(now);
    }

    /// Whether large buffers are offered.
    pub(super) fn is_large(&self) -> bool {
        self.supply.is_large()
    }

    pub(super) fn give_back(&mut self, lease: Lease) {
        debug_assert_eq!(lease.ring, self.ring);
        match lease.buffer < BUFFERS {
            true => self.held.push(lease.buffer),
            false => self.held_large.push(lease.buffer),
        }
    }

    /// With the kernel, or about to be.
    pub(super) fn offered(&self) -> usize {
        usize::from(self.offered)
    }

    /// The kernel had none left.
    pub(super) fn ran_out(&mut self) {
        self.supply.ran_out();
    }

    /// Once per turn, before `commit`: settles how many the kernel is offered, and lets go of
    /// memory that a quiet ring does not need. When to look again, while there is something to let
    /// go of. `reaped`: no completion of the ring is unseen, so every buffer with content has its
    /// lease.
    pub(super) fn settle(&mut self, now: Millis, reaped: bool) -> Option<Millis> {
        // One reference is ours, every other one a lease's.
        let memories = [&self.memory, &self.large];
        let is_free = reaped && memories.iter().all(|memory| Rc::strong_count(memory) == 1);
        if self.supply.settle(now) && self.touched && is_free {
            memories.into_iter().for_each(|memory| memory.let_go());
            self.touched = false;
        }
        self.touched.then(|| self.supply.window_end())
    }

    fn add(&mut self, buffer: u16) {
        let memory = match buffer < BUFFERS {
            true => &self.memory,
            false => &self.large,
        };
        let (address, bytes) = (memory.span(buffer).start as u64, memory.buffer_bytes);
        let index = self.tail % BUFFERS;
        // SAFETY: `index` is within the entries; the kernel reads entries only up to the committed
        // tail, which is behind this one.
        let entry = unsafe { &mut *self.memory.entries().add(index as usize) };
        entry.set_addr(address);
        entry.set_len(bytes as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what it is offered.
    pub(super) fn commit(&mut self) {
        while self.offered < self.supply.offer()
            && let Some(buffer) = match self.supply.is_large() {
                true => self.held_large.pop(),
                false => self.held.pop(),
            }
        {
            self.add(buffer);
            self.offered += 1;
        }
        if self.committed == self.tail {
            return;
        }
        self.committed = self.tail;
        // SAFETY: the tail is a 16-bit field of the first entry that only this thread writes and
        // the kernel reads with acquire.
        let tail = unsafe { &*BufRingEntry::tail(self.memory.entries()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Lease {
    pub(super) fn ring(&self) -> usize {
        self.ring as usize
    }

    /// Bytes in it.
    pub(super) fn bytes(&self) -> usize {
        self.len as usize
    }
}

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        let start = self.memory.span(self.buffer).start;
        // SAFETY: as below; who looks holds the lease.
        unsafe { std::slice::from_raw_parts(start, self.len as usize) }
    }
}

impl AsMut<[u8]> for Lease {
    fn as_mut(&mut self) -> &mut [u8] {
        let start = self.memory.span(self.buffer).start;
        // SAFETY: the span lies in `memory`, which this lease keeps alive; the kernel gave the
        // buffer up with the completion, and there is one lease per completion, so nothing else
        // refers to these bytes.
        unsafe { std::slice::from_raw_parts_mut(start, self.len as usize) }
    }
}

/// Buffers of one size, mapped together, behind a page for the ring's entries. Untouched buffers
/// take no memory.
#[derive(Debug)]
struct BufferMemory {
    start: *mut u8,
    /// The number of the first.
    first: u16,
    count: u16,
    buffer_bytes: usize,
}

impl BufferMemory {
    const ENTRIES_BYTES: usize =
        (BUFFERS as usize * size_of::<BufRingEntry>()).next_multiple_of(4096);

    fn new(first: u16, count: u16, buffer_bytes: usize) -> io::Result<BufferMemory> {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        let bytes = Self::ENTRIES_BYTES + usize::from(count) * buffer_bytes;
        // SAFETY: a fresh anonymous mapping; no existing memory is involved.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(BufferMemory {
            start: start.cast(),
            first,
            count,
            buffer_bytes,
        })
    }

    fn bytes(&self) -> usize {
        Self::ENTRIES_BYTES + usize::from(self.count) * self.buffer_bytes
    }

    fn entries(&self) -> *mut BufRingEntry {
        self.start.cast()
    }

    fn span(&self, buffer: u16) -> Range<*mut u8> {
        let index = usize::from(buffer - self.first);
        let offset = Self::ENTRIES_BYTES + index * self.buffer_bytes;
        // SAFETY: callers pass one of the buffers, so both ends lie in the mapping.
        unsafe { self.start.add(offset)..self.start.add(offset + self.buffer_bytes) }
    }
}

impl BufferMemory {
    /// Gives the buffers' memory back; it returns zeroed when it is touched. Only while nobody
    /// holds a lease or is about to get one.
    fn let_go(&self) {
        let start = self.span(self.first).start;
        let bytes = self.bytes() - Self::ENTRIES_BYTES;
        // SAFETY: the range is ours and whole pages from an aligned start; `Buffers::settle` made
        // sure that no lease refers to it and that no completion waits to become one. The kernel
        // writes into buffers only while this thread is in an enter (poll-driven receives on a ring
        // with deferred task running), so what it was offered has no content yet.
        let result = unsafe { libc::madvise(start.cast(), bytes, libc::MADV_DONTNEED) };
        // Locked memory (mlockall(2)) may not go, and a sandbox may deny the call: then it stays.
        let stays = [libc::EINVAL, libc::EPERM, libc::ENOSYS];
        debug_assert!(
            result == 0
                || io::Error::last_os_error()
                    .raw_os_error()
                    .is_some_and(|errno| stays.contains(&errno))
        );
    }
}

impl Drop for BufferMemory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; nobody refers to it, because leases and the
        // driver hold it by reference count.
        unsafe { libc::munmap(self.start.cast(), self.bytes()) };
    }
}
