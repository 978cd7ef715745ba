//! The one topic and its subscribers' outboxes. An outbox never holds more than
//! [`OUTBOX_FRAMES_MAX`]: a subscriber that would need more is shut down, and never holds up the
//! others. `connection` subscribes and publishes, its writer takes.

use bytes::Bytes;
use nix::sys::socket::{Shutdown, shutdown};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Frames that may wait for one subscriber; a subscriber that is further behind is closed.
const OUTBOX_FRAMES_MAX: usize = 4096;
/// Frames are merged into one send up to this many bytes; a frame that is longer leaves by itself,
/// without a copy.
const MERGED_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone, Default)]
pub(crate) struct Topic(Rc<RefCell<Slab<Rc<Outbox>>>>);

impl Topic {
    /// `socket` stays open until the subscription is dropped.
    pub(crate) fn subscribe(&self, socket: RawFd) -> Subscription {
        let outbox = Rc::new(Outbox::new(socket));
        let key = self.0.borrow_mut().insert(Rc::clone(&outbox));
        Subscription {
            topic: self.clone(),
            outbox,
            key,
        }
    }

    /// `frame` is whole, as it goes onto the wire.
    pub(crate) fn publish(&self, frame: &Bytes) {
        for (_, outbox) in self.0.borrow().iter() {
            outbox.push(frame.clone());
        }
    }
}

/// A place among the subscribers, until it is dropped.
pub(crate) struct Subscription {
    topic: Topic,
    pub(crate) outbox: Rc<Outbox>,
    key: usize,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.outbox.end();
        self.topic.0.borrow_mut().remove(self.key);
    }
}

/// What is still to be sent to one subscriber.
pub(crate) struct Outbox {
    frames: RefCell<VecDeque<Bytes>>,
    /// The writer, while it waits.
    waker: Cell<Option<Waker>>,
    /// Nothing more comes; the writer stops when it has sent the rest.
    ended: Cell<bool>,
    socket: RawFd,
}

impl Outbox {
    fn new(socket: RawFd) -> Self {
        Self {
            frames: RefCell::default(),
            waker: Cell::new(None),
            ended: Cell::new(false),
            socket,
        }
    }

    pub(crate) fn push(&self, frame: Bytes) {
        if self.ended.get() {
            return;
        }
        let mut frames = self.frames.borrow_mut();
        if frames.len() == OUTBOX_FRAMES_MAX {
            frames.clear();
            drop(frames);
            self.end();
            // Ends the receive and the send that are under way, and with them both tasks. Fails
            // only if the peer was quicker.
            let _ = shutdown(self.socket, Shutdown::Both);
            return;
        }
        frames.push_back(frame);
        drop(frames);
        self.wake();
    }

    fn end(&self) {
        self.ended.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Waits for the next frame; `None` when there will be none.
    pub(crate) async fn next(&self) -> Option<Bytes> {
        poll_fn(|context| {
            if let Some(frame) = self.frames.borrow_mut().pop_front() {
                return Poll::Ready(Some(frame));
            }
            if self.ended.get() {
                return Poll::Ready(None);
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Appends `first` and the frames behind it to `merged`; gives `first` back if it is to leave
    /// by itself.
    pub(crate) fn merge(&self, first: Bytes, merged: &mut Vec<u8>) -> Option<Bytes> {
        let mut frames = self.frames.borrow_mut();
        let fits = |merged: &Vec<u8>, frame: &Bytes| merged.len() + frame.len() <= MERGED_BYTES_MAX;
        let second_fits = frames
            .front()
            .is_some_and(|second| first.len() + second.len() <= MERGED_BYTES_MAX);
        if !second_fits {
            return Some(first);
        }
        merged.extend_from_slice(&first);
        while let Some(frame) = frames.pop_front_if(|frame| fits(merged, frame)) {
            merged.extend_from_slice(&frame);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a socket: a shutdown of it fails and changes nothing.
    const NO_SOCKET: RawFd = -1;

    fn held(outbox: &Outbox) -> usize {
        outbox.frames.borrow().len()
    }

    #[test]
    fn a_full_outbox_ends_and_leaves_the_others_alone() {
        let topic = Topic::default();
        let (slow, fast) = (topic.subscribe(NO_SOCKET), topic.subscribe(NO_SOCKET));
        let frame = Bytes::from_static(b"x");
        for _ in 0..OUTBOX_FRAMES_MAX {
            topic.publish(&frame);
        }
        fast.outbox.frames.borrow_mut().clear();
        assert_eq!(held(&slow.outbox), OUTBOX_FRAMES_MAX);
        topic.publish(&frame);
        assert_eq!((held(&slow.outbox), held(&fast.outbox)), (0, 1));
        assert!(slow.outbox.ended.get() && !fast.outbox.ended.get());
        drop((slow, fast));
        assert!(topic.0.borrow().is_empty());
    }

    #[test]
    fn what_waits_is_merged_in_order_up_to_the_limit() {
        let topic = Topic::default();
        let subscription = topic.subscribe(NO_SOCKET);
        let outbox = &subscription.outbox;
        let mut merged = Vec::new();
        // Alone: not copied.
        assert_eq!(
            outbox.merge(Bytes::from_static(b"a"), &mut merged),
            Some(Bytes::from_static(b"a"))
        );
        for frame in [
            Bytes::from_static(b"b"),
            Bytes::from(vec![b'c'; MERGED_BYTES_MAX - 2]),
            Bytes::from_static(b"d"),
        ] {
            outbox.push(frame);
        }
        assert_eq!(outbox.merge(Bytes::from_static(b"a"), &mut merged), None);
        assert_eq!(
            (&merged[..3], merged.len()),
            (&b"abc"[..], MERGED_BYTES_MAX)
        );
        assert_eq!(held(outbox), 1);
    }
}
