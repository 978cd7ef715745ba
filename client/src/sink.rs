//! What a subscription received and nobody took yet.
//!
//! Invariant: at most `items` and `bytes` wait (one item always may), and where some were left out
//! an item says so in their place. Filled by the rooms under the core's lock, emptied by the
//! subscription; its own lock is held for a few moves and never while another is taken.

use crate::error::{Error, ErrorKind};
use crate::message::{Item, Joined, Loss, Lost};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What becomes of items for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenBufferFull {
    /// The oldest are left out, and an item says how many.
    #[default]
    DropOldest,
    /// The newest are left out, and an item says how many.
    DropNewest,
    /// The subscription ends with `buffer_full`.
    Fail,
}

/// What may wait to be read of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferOptions {
    /// Items: 1 or more.
    pub items: usize,
    /// Bytes of their data.
    pub bytes: usize,
    /// What happens to more.
    pub when_full: WhenBufferFull,
}

impl Default for BufferOptions {
    fn default() -> BufferOptions {
        BufferOptions {
            items: 1_024,
            bytes: 1 << 20,
            when_full: WhenBufferFull::DropOldest,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Sink {
    options: BufferOptions,
    held: Mutex<Held>,
}

/// Whether a subscription goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Pushed {
    GoesOn,
    /// It was to fail when its buffer is full, and has.
    Failed,
}

#[derive(Debug, Default)]
struct Held {
    queue: VecDeque<Item>,
    bytes: usize,
    /// Left out before the first that waits, and behind the last.
    before: u64,
    behind: u64,
    joined: Option<Joined>,
    ended: bool,
    /// Told once, by whoever reads.
    error: Option<Error>,
    /// Kept for whoever waits for the join.
    why: Option<Error>,
    reader: Option<Waker>,
    joiner: Option<Waker>,
}

impl Sink {
    pub(crate) fn new(options: BufferOptions) -> Sink {
        let options = BufferOptions {
            items: options.items.max(1),
            ..options
        };
        Sink {
            options,
            held: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Items that wait to be read.
    pub(crate) fn buffered(&self) -> usize {
        self.lock().queue.len()
    }

    /// It is a member for the first time.
    pub(crate) fn joined(&self, joined: &Joined) {
        let mut held = self.lock();
        held.joined = Some(joined.clone());
        let waker = held.joiner.take();
        drop(held);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn push(&self, item: Item) -> Pushed {
        let bytes = item.held_bytes();
        let mut held = self.lock();
        if held.ended {
            return Pushed::GoesOn;
        }
        match self.options.when_full {
            WhenBufferFull::DropOldest => {
                while self.is_full(&held, bytes) {
                    held.leave_out_oldest();
                }
            }
            WhenBufferFull::DropNewest if self.is_full(&held, bytes) => {
                held.behind += 1;
                return Pushed::GoesOn;
            }
            WhenBufferFull::Fail if self.is_full(&held, bytes) => {
                let message = "nobody took what the room said";
                drop(held);
                self.end(Some(Error::new(ErrorKind::BufferFull, message)));
                return Pushed::Failed;
            }
            WhenBufferFull::DropNewest | WhenBufferFull::Fail => {}
        }
        if held.behind > 0 {
            let lost = lost(std::mem::take(&mut held.behind));
            held.queue.push_back(lost);
        }
        held.queue.push_back(item);
        held.bytes += bytes;
        let waker = held.reader.take();
        drop(held);
        waker.into_iter().for_each(Waker::wake);
        Pushed::GoesOn
    }

    fn is_full(&self, held: &Held, bytes: usize) -> bool {
        let waiting = held.queue.len();
        waiting > 0 && (waiting >= self.options.items || held.bytes + bytes > self.options.bytes)
    }

    /// What waits can still be read; then the end, or the error.
    pub(crate) fn end(&self, error: Option<Error>) {
        let mut held = self.lock();
        if held.ended {
            return;
        }
        held.ended = true;
        held.why.clone_from(&error);
        held.error = error;
        let wakers = [held.reader.take(), held.joiner.take()];
        drop(held);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        let mut held = self.lock();
        if let Some(item) = held.take() {
            return Poll::Ready(Some(Ok(item)));
        }
        if held.ended {
            return Poll::Ready(held.error.take().map(Err));
        }
        match &mut held.reader {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    pub(crate) fn poll_joined(&self, cx: &mut Context<'_>) -> Poll<Result<Joined, Error>> {
        let mut held = self.lock();
        if let Some(joined) = &held.joined {
            return Poll::Ready(Ok(joined.clone()));
        }
        if held.ended {
            let why = held.why.clone();
            let ended = || Error::new(ErrorKind::Closed, "the subscription has ended");
            return Poll::Ready(Err(why.unwrap_or_else(ended)));
        }
        held.joiner = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Held {
    fn take(&mut self) -> Option<Item> {
        if self.before > 0 {
            return Some(lost(std::mem::take(&mut self.before)));
        }
        match self.queue.pop_front() {
            Some(item) => {
                self.bytes -= item.held_bytes();
                if self.queue.is_empty() {
                    // What a burst needed is given back.
                    self.queue.shrink_to(ITEMS_KEPT);
                }
                Some(item)
            }
            None if self.behind > 0 => Some(lost(std::mem::take(&mut self.behind))),
            None => None,
        }
    }

    fn leave_out_oldest(&mut self) {
        let Some(item) = self.queue.pop_front() else {
            return;
        };
        self.bytes -= item.held_bytes();
        self.before += match &item {
            Item::Lost(Lost {
                why: Loss::Buffer(count),
            }) => *count,
            _ => 1,
        };
    }
}

/// Places for items that an empty buffer keeps.
const ITEMS_KEPT: usize = 16;

fn lost(count: u64) -> Item {
    Item::Lost(Lost {
        why: Loss::Buffer(count),
    })
}

#[cfg(test)]
mod tests {
    use super::{BufferOptions, Pushed, Sink, WhenBufferFull};
    use crate::error::ErrorKind;
    use crate::message::{Item, Loss, Lost, Recovered};
    use std::task::{Context, Poll, Waker};

    fn numbered(missed: u64) -> Item {
        Item::Recovered(Recovered { missed, members: 0 })
    }

    /// What a reader finds: numbers, and in the place of what was left out its count, negative.
    fn check(when_full: WhenBufferFull, pushed: u64, expected: &[i64]) {
        let sink = Sink::new(BufferOptions {
            items: 3,
            when_full,
            ..BufferOptions::default()
        });
        for number in 1..=pushed {
            assert_eq!(sink.push(numbered(number)), Pushed::GoesOn);
        }
        let mut found = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(item)) = sink.poll_next(&mut cx) {
            found.push(match item.expect("it has not ended") {
                Item::Recovered(Recovered { missed, .. }) => missed as i64,
                Item::Lost(Lost {
                    why: Loss::Buffer(count),
                }) => -(count as i64),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(found, expected, "{when_full:?} {pushed}");
    }

    #[test]
    fn what_is_left_out_is_told_in_its_place() {
        check(WhenBufferFull::DropOldest, 3, &[1, 2, 3]);
        check(WhenBufferFull::DropOldest, 10, &[-7, 8, 9, 10]);
        check(WhenBufferFull::DropNewest, 10, &[1, 2, 3, -7]);
    }

    #[test]
    fn a_full_buffer_ends_who_wants_it_so() {
        let sink = Sink::new(BufferOptions {
            items: 1,
            when_full: WhenBufferFull::Fail,
            ..BufferOptions::default()
        });
        assert_eq!(sink.push(numbered(1)), Pushed::GoesOn);
        assert_eq!(sink.push(numbered(2)), Pushed::Failed);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(sink.poll_next(&mut cx), Poll::Ready(Some(Ok(_)))));
        let Poll::Ready(Some(Err(error))) = sink.poll_next(&mut cx) else {
            panic!("the error is told");
        };
        assert_eq!(error.kind(), ErrorKind::BufferFull);
        assert!(matches!(sink.poll_next(&mut cx), Poll::Ready(None)));
    }

    #[test]
    fn a_gap_behind_the_last_stands_before_the_next() {
        let sink = Sink::new(BufferOptions {
            items: 1,
            when_full: WhenBufferFull::DropNewest,
            ..BufferOptions::default()
        });
        let mut cx = Context::from_waker(Waker::noop());
        for number in 1..=3 {
            assert_eq!(sink.push(numbered(number)), Pushed::GoesOn);
        }
        assert!(matches!(sink.poll_next(&mut cx), Poll::Ready(Some(Ok(_)))));
        assert_eq!(sink.push(numbered(4)), Pushed::GoesOn);
        let texts = [2, 3].map(|_| match sink.poll_next(&mut cx) {
            Poll::Ready(Some(Ok(Item::Lost(lost)))) => format!("{:?}", lost.why),
            Poll::Ready(Some(Ok(Item::Recovered(recovered)))) => recovered.missed.to_string(),
            other => panic!("{other:?}"),
        });
        assert_eq!(texts, ["Buffer(2)", "4"]);
    }
}
