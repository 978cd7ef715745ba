//! Receive buffers: a ring that the kernel takes from and we give back to. A lease is one buffer on loan.

use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;
/// Buffers of a ring: at least twice as many as completions are waited for (`patience`).
pub(super) const BUFFERS: u16 = 128;
/// Bytes of one buffer: a 16 KiB message and its header in one piece. 256 × 2 KiB cost 1.47 × at 16 KiB messages.
const BUFFER_BYTES: usize = 16_640;

/// Bytes of all buffers of a ring.
pub(super) const BYTES: usize = BUFFERS as usize * BUFFER_BYTES;

const _: () = assert!(BUFFERS.is_power_of_two());

/// A ring's buffers.
#[derive(Debug)]
pub(super) struct Buffers {
    memory: Rc<Memory>,
    /// Where the next buffer goes; published by `commit`.
    tail: u16,
    committed: u16,
    ring: u8,
}

/// A received piece of a stream. Exclusive until it is given back.
#[derive(Debug)]
pub struct Lease {
    memory: Rc<Memory>,
    buffer: u16,
    len: u32,
    ring: u8,
}

impl Buffers {
    /// Registers fresh buffers with a ring. `ring` is its index in the driver.
    pub(super) fn register(io: &IoUring, ring: u8) -> io::Result<Buffers> {
        let memory = Rc::new(Memory::new()?);
        // SAFETY: the entries are page-aligned, zeroed, large enough for `BUFFERS`, and live until the last lease and the
        // driver are gone; the driver drops its rings first.
        unsafe {
            io.submitter().register_buf_ring_with_flags(
                memory.entries() as u64,
                BUFFERS,
                GROUP,
                0,
            )?
        };
        let mut buffers = Buffers {
            memory,
            tail: 0,
            committed: 0,
            ring,
        };
        for buffer in 0..BUFFERS {
            buffers.add(buffer);
        }
        buffers.commit();
        Ok(buffers)
    }

    /// The buffer that a completion names. Every completion names a buffer that the kernel took, so no two leases share one.
    pub(super) fn lease(&self, buffer: u16, len: u32) -> Lease {
        assert!(
            buffer < BUFFERS && len as usize <= BUFFER_BYTES,
            "the kernel named a buffer that it was not given"
        );
        Lease {
            memory: self.memory.clone(),
            buffer,
            len,
            ring: self.ring,
        }
    }

    pub(super) fn give_back(&mut self, lease: Lease) {
        debug_assert_eq!(lease.ring, self.ring);
        self.add(lease.buffer);
    }

    fn add(&mut self, buffer: u16) {
        let address = self.memory.span(buffer).start as u64;
        let index = self.tail % BUFFERS;
        // SAFETY: `index` is within the entries; the kernel reads entries only up to the committed tail, which is behind this one.
        let entry = unsafe { &mut *self.memory.entries().add(index as usize) };
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    pub(super) fn commit(&mut self) {
        if self.committed == self.tail {
            return;
        }
        self.committed = self.tail;
        // SAFETY: the tail is a 16-bit field of the first entry that only this thread writes and the kernel reads with acquire.
        let tail = unsafe { &*BufRingEntry::tail(self.memory.entries()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Lease {
    pub(super) fn ring(&self) -> usize {
        self.ring as usize
    }
}

impl AsMut<[u8]> for Lease {
    fn as_mut(&mut self) -> &mut [u8] {
        let start = self.memory.span(self.buffer).start;
        // SAFETY: the span lies in `memory`, which this lease keeps alive; the kernel gave the buffer up with the completion,
        // and there is one lease per completion, so nothing else refers to these bytes.
        unsafe { std::slice::from_raw_parts_mut(start, self.len as usize) }
    }
}

/// The entries' page and the buffers, mapped together. Untouched buffers take no memory.
#[derive(Debug)]
struct Memory(*mut u8);

impl Memory {
    const ENTRIES_BYTES: usize =
        (BUFFERS as usize * size_of::<BufRingEntry>()).next_multiple_of(4096);
    const BYTES: usize = Self::ENTRIES_BYTES + BUFFERS as usize * BUFFER_BYTES;

    fn new() -> io::Result<Memory> {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a fresh anonymous mapping; no existing memory is involved.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), Self::BYTES, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(Memory(start.cast()))
        }
    }

    fn entries(&self) -> *mut BufRingEntry {
        self.0.cast()
    }

    fn span(&self, buffer: u16) -> Range<*mut u8> {
        let offset = Self::ENTRIES_BYTES + buffer as usize * BUFFER_BYTES;
        // SAFETY: callers pass a buffer below `BUFFERS`, so both ends lie in the mapping.
        unsafe { self.0.add(offset)..self.0.add(offset + BUFFER_BYTES) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; nobody refers to it, because leases and the driver hold it by reference count.
        unsafe { libc::munmap(self.0.cast(), Self::BYTES) };
    }
}
