//! What one slow reader has not taken yet: bounded in bytes and in sends.

use crate::driver::TRACKED_SEGMENTS_MAX;
use bytes::Bytes;
use std::collections::VecDeque;

/// Bounds of one outbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutboxLimits {
    pub(crate) bytes_max: usize,
    pub(crate) sends_max: usize,
}

/// Bytes in stream order. At most one tracked send is under way, and it covers a prefix of the queue.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Bytes>,
    bytes: usize,
    sending: bool,
}

/// The outbox would exceed its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Outbox {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues `bytes`, or refuses them whole.
    pub(crate) fn push(&mut self, bytes: Bytes, limits: OutboxLimits) -> Result<(), Full> {
        if self.bytes + bytes.len() > limits.bytes_max || self.queue.len() >= limits.sends_max {
            return Err(Full);
        }
        self.force(bytes);
        Ok(())
    }

    /// Queues beyond the limits: the rest of a frame that is partly on the wire, or the close frame that ends it all.
    pub(crate) fn force(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.queue.push_back(bytes);
        }
    }

    /// The next tracked send, unless one is under way or nothing waits.
    pub(crate) fn start_send(&mut self, segments: &mut Vec<Bytes>) -> bool {
        if self.sending || self.queue.is_empty() {
            return false;
        }
        segments.extend(self.queue.iter().take(TRACKED_SEGMENTS_MAX).cloned());
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
        assert_eq!(outbox.push(Bytes::from_static(b"12345678"), LIMITS), Ok(()));
        assert_eq!(outbox.push(Bytes::from_static(b"123"), LIMITS), Err(Full));
        assert_eq!(outbox.push(Bytes::from_static(b"1"), LIMITS), Ok(()));
        assert_eq!(outbox.push(Bytes::from_static(b"2"), LIMITS), Ok(()));
        assert_eq!(outbox.push(Bytes::new(), LIMITS), Err(Full));
        outbox.check_invariants();
    }

    #[test]
    fn sends_continue_where_the_last_one_stopped() {
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from_static(b"abc"), LIMITS).unwrap();
        outbox.push(Bytes::from_static(b"defg"), LIMITS).unwrap();
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
}
