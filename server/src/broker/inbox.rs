//! What comes in from a broker and was not taken yet.
//!
//! Invariant: the inbox has an end, in messages and in bytes, and whoever writes into it never
//! waits; what finds no room is dropped and counted. Written by an adapter, read by the bridge.

use crate::broker::adapter::LogPlace;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// A message from the broker.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// An [`crate::broker::Envelope`].
    pub payload: Bytes,
    /// Its place in its room's log, where the adapter knows it and the payload does not say.
    pub place: Option<LogPlace>,
}

/// The bridge's end.
#[derive(Debug)]
pub struct Inbox {
    messages: mpsc::Receiver<Incoming>,
    state: Arc<InboxState>,
}

/// An adapter's end. Clones write into the same.
#[derive(Clone, Debug)]
pub struct InboxSender {
    messages: mpsc::Sender<Incoming>,
    state: Arc<InboxState>,
}

#[derive(Debug)]
struct InboxState {
    bytes_max: u64,
    /// Of the messages that wait.
    bytes: AtomicU64,
    dropped: AtomicU64,
}

impl Inbox {
    /// Both ends. At most so many messages wait, and about so many bytes: one message more where
    /// several threads write.
    pub fn new(messages_max: usize, bytes_max: usize) -> (InboxSender, Inbox) {
        let (sender, messages) = mpsc::channel(messages_max.max(1));
        let state = Arc::new(InboxState {
            bytes_max: bytes_max as u64,
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let sender = InboxSender {
            messages: sender,
            state: state.clone(),
        };
        (sender, Inbox { messages, state })
    }

    /// Waits for messages, and appends up to `limit` to `out`. `false`: the adapter is gone, and
    /// nothing comes any more.
    pub async fn recv_many(&mut self, out: &mut Vec<Incoming>, limit: usize) -> bool {
        let before = out.len();
        let count = self.messages.recv_many(out, limit).await;
        let taken = out[before..].iter().map(|message| message.payload.len());
        let taken = taken.sum::<usize>() as u64;
        self.state.bytes.fetch_sub(taken, Ordering::Relaxed);
        count > 0
    }

    /// Messages that found no room so far.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

impl InboxSender {
    /// Hands a message over, or drops and counts it. `false`: there is no bridge any more.
    pub fn offer(&self, message: Incoming) -> bool {
        let bytes = message.payload.len() as u64;
        let before = self.state.bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = if before < self.state.bytes_max {
            self.messages.try_send(message)
        } else {
            Err(mpsc::error::TrySendError::Full(message))
        };
        if sent.is_err() {
            self.state.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
        !self.messages.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Incoming {
        Incoming {
            payload: vec![7; bytes].into(),
            place: None,
        }
    }

    #[tokio::test]
    async fn what_finds_no_room_is_counted() {
        for (messages_max, bytes_max, sizes, taken, dropped) in [
            (2, 1000, vec![1, 2, 3], vec![1, 2], 1),
            (9, 10, vec![4, 6, 1, 0], vec![4, 6], 2),
            (9, 10, vec![400, 1], vec![400], 1),
        ] {
            let (sender, mut inbox) = Inbox::new(messages_max, bytes_max);
            for size in &sizes {
                assert!(sender.offer(message(*size)));
            }
            let mut out = Vec::new();
            assert!(inbox.recv_many(&mut out, 100).await);
            let lens: Vec<usize> = out.iter().map(|message| message.payload.len()).collect();
            assert_eq!((lens, inbox.dropped()), (taken, dropped), "{sizes:?}");
            // What was taken makes room.
            assert!(sender.offer(message(5)));
            assert_eq!((inbox.len(), inbox.dropped()), (1, dropped));
        }
    }

    #[tokio::test]
    async fn each_end_hears_when_the_other_is_gone() {
        let (sender, inbox) = Inbox::new(1, 10);
        drop(inbox);
        assert!(!sender.offer(message(1)));
        let (sender, mut inbox) = Inbox::new(1, 10);
        drop(sender);
        assert!(!inbox.recv_many(&mut Vec::new(), 1).await);
    }
}
