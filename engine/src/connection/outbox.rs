//! What one slow reader has not taken yet: bounded in bytes and in sends.

use crate::config::Config;
use crate::driver::boundary::TRACKED_SEGMENTS_MAX;
use crate::types::account::{Account, Hold};
use bytes::Bytes;
use std::collections::VecDeque;

/// Bounds of one outbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutboxLimits {
    pub(crate) bytes_max: usize,
    pub(crate) sends_max: usize,
}

/// Bytes in stream order. At most one tracked send is under way, and it covers a prefix of the
/// queue.
///
/// Over TLS the queue is records first, then plain bytes: these are encrypted when they are about
/// to be sent, so that what waits for many slow readers stays shared as long as it can.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// Plain bytes at the end of the queue that cannot be sent before they are encrypted.
    unencrypted: usize,
    sending: bool,
    /// Memory of the queue itself; what stands in it is tracked by whoever puts it there.
    hold: Option<Hold>,
}

/// Whether bytes can be sent as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// They can: the connection is plain, or they are TLS records.
    Done,
    /// The connection is a TLS connection, and they are still plain.
    Pending,
}

/// The outbox would exceed its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutboxFull;

impl Outbox {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// From now on the queue's memory stands on this account.
    pub(crate) fn hold_on(&mut self, account: &Account) {
        self.hold = Some(account.hold(0));
        self.resize_hold();
    }

    fn resize_hold(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.resize(self.queue.capacity() * size_of::<Bytes>());
        }
    }

    /// Queues `bytes`, or refuses all of them.
    pub(crate) fn push(
        &mut self,
        bytes: Bytes,
        encryption: Encryption,
        limits: OutboxLimits,
    ) -> Result<(), OutboxFull> {
        if self.bytes + bytes.len() > limits.bytes_max || self.queue.len() >= limits.sends_max {
            return Err(OutboxFull);
        }
        self.force(bytes, encryption);
        Ok(())
    }

    /// Queues beyond the limits: the rest of a frame that is partly on the wire, or the close frame
    /// that ends it all.
    pub(crate) fn force(&mut self, bytes: Bytes, encryption: Encryption) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        // Whoever reads a log instead has one piece here, however long it reads nothing.
        if self.queue.capacity() == 0 {
            self.queue.reserve_exact(1);
        }
        match encryption {
            // These records were made before those of anything that is still plain.
            Encryption::Done => self
                .queue
                .insert(self.queue.len() - self.unencrypted, bytes),
            Encryption::Pending => {
                self.unencrypted += 1;
                self.queue.push_back(bytes);
            }
        }
        self.resize_hold();
    }

    /// Moves plain bytes from the front of those into `plain`, at most `bytes_max` and none while a
    /// send is under way; the records made of them are to be given to `force`.
    pub(crate) fn take_plain(&mut self, bytes_max: usize, plain: &mut Vec<u8>) {
        while !self.sending && self.unencrypted > 0 && plain.len() < bytes_max {
            let at = self.queue.len() - self.unencrypted;
            let first = &mut self.queue[at];
            let taken = first.split_to(first.len().min(bytes_max - plain.len()));
            if first.is_empty() {
                self.queue.remove(at);
                self.unencrypted -= 1;
            }
            self.bytes -= taken.len();
            plain.extend_from_slice(&taken);
        }
    }

    /// The next send needs bytes to be encrypted: all that is encrypted has left.
    pub(crate) fn awaits_encryption(&self) -> bool {
        !self.sending && self.unencrypted > 0 && self.unencrypted == self.queue.len()
    }

    /// Everything that waits is about to be sent.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.unencrypted == 0
    }

    /// The next tracked send, unless one is under way or nothing waits.
    pub(crate) fn start_send(&mut self, segments: &mut Vec<Bytes>) -> bool {
        let encrypted = self.queue.len() - self.unencrypted;
        if self.sending || encrypted == 0 {
            return false;
        }
        let (mut left, segments_max) = (
            Config::OUTBOX_STEP_BYTES,
            encrypted.min(TRACKED_SEGMENTS_MAX),
        );
        for bytes in self.queue.iter().take(segments_max) {
            segments.push(bytes.slice(..bytes.len().min(left)));
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                break;
            }
        }
        self.sending = true;
        true
    }

    /// The tracked send ended: the first `count` bytes have left.
    pub(crate) fn finish_send(&mut self, mut count: usize) {
        assert!(
            self.sending && count <= self.bytes,
            "a send that nobody started"
        );
        self.sending = false;
        self.bytes -= count;
        while count > 0 {
            let front = self
                .queue
                .front_mut()
                .expect("bytes is the sum of the queue");
            if count < front.len() {
                *front = front.slice(count..);
                return;
            }
            count -= front.len();
            self.queue.pop_front();
        }
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.bytes, self.queue.iter().map(Bytes::len).sum::<usize>());
        assert!(self.unencrypted <= self.queue.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits {
        bytes_max: 10,
        sends_max: 3,
    };

    #[test]
    fn refuses_what_exceeds_bytes_or_sends() {
        let mut outbox = Outbox::default();
        assert_eq!(
            outbox.push(Bytes::from_static(b"12345678"), Encryption::Done, LIMITS),
            Ok(())
        );
        assert_eq!(
            outbox.push(Bytes::from_static(b"123"), Encryption::Done, LIMITS),
            Err(OutboxFull)
        );
        assert_eq!(
            outbox.push(Bytes::from_static(b"1"), Encryption::Done, LIMITS),
            Ok(())
        );
        assert_eq!(
            outbox.push(Bytes::from_static(b"2"), Encryption::Done, LIMITS),
            Ok(())
        );
        assert_eq!(
            outbox.push(Bytes::new(), Encryption::Done, LIMITS),
            Err(OutboxFull)
        );
        outbox.check_invariants();
    }

    #[test]
    fn sends_continue_where_the_last_one_stopped() {
        let mut outbox = Outbox::default();
        outbox
            .push(Bytes::from_static(b"abc"), Encryption::Done, LIMITS)
            .unwrap();
        outbox
            .push(Bytes::from_static(b"defg"), Encryption::Done, LIMITS)
            .unwrap();
        let mut segments = Vec::new();
        assert!(outbox.start_send(&mut segments));
        assert!(!outbox.start_send(&mut segments), "one at a time");
        assert_eq!(segments, [&b"abc"[..], b"defg"]);
        outbox.finish_send(5);
        segments.clear();
        assert!(outbox.start_send(&mut segments));
        assert_eq!(segments, [&b"fg"[..]]);
        outbox.finish_send(2);
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
        assert!(!outbox.start_send(&mut segments));
    }

    #[test]
    fn a_send_is_no_larger_than_a_step() {
        const STEP: usize = Config::OUTBOX_STEP_BYTES;
        let limits = OutboxLimits {
            bytes_max: 4 * STEP,
            sends_max: 4,
        };
        for (queued, sends) in [
            (&[STEP][..], &[STEP][..]),
            (&[STEP + 1], &[STEP, 1]),
            (&[1, STEP, STEP], &[STEP, STEP, 1]),
        ] {
            let mut outbox = Outbox::default();
            for bytes in queued {
                let bytes = Bytes::from(vec![b'a'; *bytes]);
                outbox.push(bytes, Encryption::Done, limits).unwrap();
            }
            for bytes in sends {
                let mut segments = Vec::new();
                assert!(outbox.start_send(&mut segments));
                let sent: usize = segments.iter().map(Bytes::len).sum();
                assert_eq!(sent, *bytes, "of {queued:?}");
                outbox.finish_send(sent);
            }
            assert!(outbox.is_empty());
        }
    }

    #[test]
    fn records_precede_what_is_not_encrypted_yet() {
        let (mut outbox, mut segments) = (Outbox::default(), Vec::new());
        for plain in [&b"abcdef"[..], b"ghi"] {
            outbox
                .push(Bytes::from_static(plain), Encryption::Pending, LIMITS)
                .unwrap();
        }
        assert!(outbox.awaits_encryption());
        assert!(!outbox.start_send(&mut segments), "nothing is encrypted");
        outbox.force(Bytes::from_static(b"ALERT"), Encryption::Done);
        let mut plain = Vec::new();
        outbox.take_plain(4, &mut plain);
        assert_eq!(plain, b"abcd");
        outbox.force(Bytes::from_static(b"ABCD"), Encryption::Done);
        outbox.check_invariants();
        assert!(!outbox.awaits_encryption(), "there are records to send");
        assert!(outbox.start_send(&mut segments));
        assert_eq!(segments, [&b"ALERT"[..], b"ABCD"]);
        outbox.take_plain(9, &mut plain);
        assert_eq!(
            plain, b"abcd",
            "nothing is encrypted while a send is under way"
        );
        outbox.finish_send(9);
        plain.clear();
        outbox.take_plain(9, &mut plain);
        assert_eq!(plain, b"efghi");
        assert!(outbox.is_encrypted() && outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
    }
}
