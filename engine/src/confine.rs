//! Code of the application, called so that its panic goes no further.
//!
//! Invariant: nothing that it does unwinds into the caller, not even the end of what it has thrown.
//! Called wherever the shard calls the application, and by whoever builds on it.

use crate::counters::ShardCounters;
use crate::types::ticket::Ticket;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The code panicked. The panic hook has told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Calls `act`. What it has half changed when it panics is its own to bear.
///
/// # Errors
/// It panicked.
#[inline]
pub fn confine<R>(act: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|payload| {
        let _ignored = discard(payload);
        Panicked
    })
}

/// Drops a value of the application's.
///
/// # Errors
/// Its end panicked.
pub fn discard<T>(value: T) -> Result<(), Panicked> {
    let ended = catch_unwind(AssertUnwindSafe(|| drop(value)));
    ended.map_err(|payload| {
        // What was thrown while something thrown was dropped is not worth a third try: it leaks.
        let _never_dropped = ManuallyDrop::new(payload);
        Panicked
    })
}

/// A call of the application on this shard panicked: about this connection, if it was about one.
pub(crate) fn count_panic(counters: &ShardCounters, shard: u16, ticket: Option<Ticket>) {
    counters.panics.add(1);
    let slot = ticket.map(|ticket| ticket.slot);
    tracing::error!(shard, slot, "a handler panicked");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;

    /// Panics when it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(Bomb);
        }
    }

    #[test]
    fn nothing_gets_out() {
        assert_eq!(confine(|| 7), Ok(7));
        assert_eq!(confine(|| panic_any("text")), Err::<(), _>(Panicked));
        assert_eq!(
            confine(|| panic_any(ManuallyDrop::new(Bomb))),
            Err::<(), _>(Panicked)
        );
        assert_eq!(confine(|| drop(Bomb)), Err(Panicked));
        assert_eq!(discard(7), Ok(()));
        assert_eq!(discard(Bomb), Err(Panicked));
    }
}
