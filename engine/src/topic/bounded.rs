//! A way out of the process with two bounds, of messages and of their bytes, that no shard waits
//! at: what finds no room comes back.
//!
//! Invariant: what is taken keeps its order, and its bytes count from when it is sent until it is
//! taken out. Used by the relay and the sequencer.

use flume::{Receiver, Sender, TrySendError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What knows how many bytes it keeps in memory, which never changes.
pub(crate) trait HasBytes {
    fn bytes(&self) -> u64;
}

/// The end of those who send. Clones are the same.
#[derive(Debug)]
pub(crate) struct BoundedSender<T> {
    sender: Sender<T>,
    waiting: Arc<WaitingBytes>,
}

/// The end of whoever takes.
#[derive(Debug)]
pub(crate) struct BoundedReceiver<T> {
    receiver: Receiver<T>,
    waiting: Arc<WaitingBytes>,
}

#[derive(Debug)]
struct WaitingBytes {
    max: u64,
    now: AtomicU64,
}

/// Both ends. At most so many messages wait, and about so many bytes: one message more for each
/// shard.
pub(crate) fn bounded<T>(
    waiting_max: usize,
    bytes_max: usize,
) -> (BoundedSender<T>, BoundedReceiver<T>) {
    let (sender, receiver) = flume::bounded(waiting_max.max(1));
    let waiting = Arc::new(WaitingBytes {
        max: bytes_max as u64,
        now: AtomicU64::new(0),
    });
    let sender = BoundedSender {
        sender,
        waiting: waiting.clone(),
    };
    (sender, BoundedReceiver { receiver, waiting })
}

impl<T: HasBytes> BoundedSender<T> {
    /// Sends something. `Err`: there is no room, or nobody there.
    pub(crate) fn send(&self, message: T) -> Result<(), T> {
        let bytes = message.bytes();
        let before = self.waiting.now.fetch_add(bytes, Ordering::Relaxed);
        let refused = match before < self.waiting.max {
            true => match self.sender.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => message,
            },
            false => message,
        };
        self.waiting.now.fetch_sub(bytes, Ordering::Relaxed);
        Err(refused)
    }

    /// Whether both send to the same receiver.
    pub(crate) fn is_same(&self, other: &BoundedSender<T>) -> bool {
        self.sender.same_channel(&other.sender)
    }
}

impl<T> Clone for BoundedSender<T> {
    fn clone(&self) -> BoundedSender<T> {
        BoundedSender {
            sender: self.sender.clone(),
            waiting: self.waiting.clone(),
        }
    }
}

impl<T: HasBytes> BoundedReceiver<T> {
    /// The next, on any async runtime. `None`: all senders are gone, and nothing waits.
    pub(crate) async fn recv(&self) -> Option<T> {
        let message = self.receiver.recv_async().await.ok()?;
        Some(self.taken(message))
    }

    /// The next, if there is one by now.
    pub(crate) fn try_recv(&self) -> Option<T> {
        let message = self.receiver.try_recv().ok()?;
        Some(self.taken(message))
    }

    fn taken(&self, message: T) -> T {
        let bytes = message.bytes();
        self.waiting.now.fetch_sub(bytes, Ordering::Relaxed);
        message
    }

    /// Messages that wait.
    pub(crate) fn len(&self) -> usize {
        self.receiver.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl HasBytes for &'static str {
        fn bytes(&self) -> u64 {
            self.len() as u64
        }
    }

    #[test]
    fn what_finds_no_room_comes_back() {
        for (waiting_max, bytes_max, taken) in [(2, 1_000, 2), (9, 6, 2), (9, 1_000, 3)] {
            let (sender, receiver) = bounded(waiting_max, bytes_max);
            let sent = ["12345", "1", "12"].map(|text| sender.send(text));
            assert!(sent[..taken].iter().all(Result::is_ok), "in order");
            assert!(sent[taken..].iter().all(|sent| *sent == Err("12")));
            assert_eq!(receiver.len(), taken);
            let heard: Vec<_> = std::iter::from_fn(|| receiver.try_recv()).collect();
            assert_eq!(heard, ["12345", "1", "12"][..taken]);
            assert_eq!(sender.send("1"), Ok(()), "it made room");
            drop(receiver);
            assert_eq!(sender.send("1"), Err("1"), "nobody is there");
        }
    }
}
