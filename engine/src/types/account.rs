//! How much memory one part of a shard holds: an account that goes up when something is kept, and
//! down by itself when the last holder lets go of it.
//!
//! Invariant: an account's bytes are those of its holds that exist. Used by outboxes and presence,
//! and read once a tick.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that one part holds. A clone is the same account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account(Arc<AtomicU64>);

/// A number of bytes on an account, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Hold {
    account: Account,
    bytes: u64,
}

impl Account {
    /// What is allocated beside bytes that are held: the hold, and who counts its holders.
    const HOLD_BYTES: u64 = 96;

    /// Bytes that are held.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Puts so many bytes on the account.
    pub(crate) fn hold(&self, bytes: usize) -> Hold {
        let mut hold = Hold {
            account: self.clone(),
            bytes: 0,
        };
        hold.resize(bytes);
        hold
    }

    /// The same bytes, which stand on the account once, however many share them, until the last one
    /// has let go of them.
    pub(crate) fn track(&self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        let hold = self.hold(bytes.len() + Self::HOLD_BYTES as usize);
        Bytes::from_owner(TrackedBytes { bytes, _hold: hold })
    }
}

impl Hold {
    /// So many bytes from now on.
    pub(crate) fn resize(&mut self, bytes: usize) {
        let (before, now) = (self.bytes, bytes as u64);
        self.bytes = now;
        // Two's complement: a shrinking hold wraps around to its difference.
        let account = &self.account.0;
        account.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.resize(0);
    }
}

struct TrackedBytes {
    bytes: Bytes,
    _hold: Hold,
}

impl AsRef<[u8]> for TrackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stand_on_the_account_once_until_the_last_holder_is_gone() {
        let account = Account::default();
        let all = account.track(Bytes::from(vec![7; 1000]));
        let held = 1000 + Account::HOLD_BYTES;
        assert_eq!(account.bytes(), held);
        let (part, again) = (all.slice(10..20), all.clone());
        drop((all, again));
        assert_eq!((&part[..], account.bytes()), (&[7; 10][..], held));
        drop(part);
        assert_eq!(account.bytes(), 0);
        assert!(account.track(Bytes::new()).is_empty());
        assert_eq!(account.bytes(), 0);
    }

    #[test]
    fn a_hold_grows_and_shrinks() {
        let account = Account::default();
        let (mut one, other) = (account.hold(5), account.hold(10));
        one.resize(3);
        assert_eq!(account.bytes(), 13);
        one.resize(300);
        assert_eq!(account.bytes(), 310);
        drop(other);
        assert_eq!(account.bytes(), 300);
        drop(one);
        assert_eq!(account.bytes(), 0);
    }
}
