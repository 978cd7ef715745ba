//! Gives memory that is free in the allocators back to the kernel: they keep it for the next
//! allocation, for ever if none comes. Shards call it through [`crate::Application::quiet`], so a
//! busy shard never pays for it.
//!
//! Both allocators that a server may have are asked; one that is not in use has nothing to give
//! back, and answers at once.

use crate::types::quiet::Quiet;

/// What a shard that has become quiet lets the allocators give back. Takes about a microsecond for
/// each 64 KiB of memory in use.
pub fn release(quiet: Quiet) {
    #[cfg(feature = "mimalloc")]
    // SAFETY: takes no memory of ours, and looks at the heap of this thread and at what no thread
    // has allocated.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
    #[cfg(target_env = "gnu")]
    if quiet == Quiet::Process {
        // It locks every arena of the process in turn, so it waits until no shard is busy.
        // SAFETY: takes no memory of ours, and may be called from any thread at any time.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
