//! The one topic: a bounded queue per subscriber. A subscriber whose queue is full is evicted, even
//! while its task is stuck in a write; the others never wait. `main` subscribes and publishes.

use bytes::Bytes;
use futures_util::future::AbortHandle;
use slab::Slab;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::sync::mpsc;

/// Messages that may wait for one subscriber; a subscriber that is further behind is closed.
const INBOX_MESSAGES_MAX: usize = 4096;

#[derive(Clone, Default)]
pub(crate) struct Topic(Rc<RefCell<Slab<Subscriber>>>);

struct Subscriber {
    inbox: mpsc::Sender<Bytes>,
    eviction: AbortHandle,
}

impl Topic {
    /// `eviction` ends the task that takes from the inbox.
    pub(crate) fn subscribe(&self, eviction: AbortHandle) -> Subscription {
        let (sender, inbox) = mpsc::channel(INBOX_MESSAGES_MAX);
        let subscriber = Subscriber {
            inbox: sender,
            eviction,
        };
        let key = self.0.borrow_mut().insert(subscriber);
        Subscription {
            topic: self.clone(),
            key,
            inbox,
        }
    }

    pub(crate) fn publish(&self, payload: &Bytes) {
        for (_, subscriber) in self.0.borrow().iter() {
            if subscriber.inbox.try_send(payload.clone()).is_err() {
                subscriber.eviction.abort();
            }
        }
    }
}

/// A place among the subscribers, until it is dropped.
pub(crate) struct Subscription {
    topic: Topic,
    key: usize,
    pub(crate) inbox: mpsc::Receiver<Bytes>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.topic.0.borrow_mut().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_gets_what_is_published_and_a_full_one_is_evicted() {
        let topic = Topic::default();
        let (stays, goes) = (AbortHandle::new_pair().0, AbortHandle::new_pair().0);
        let mut fast = topic.subscribe(stays.clone());
        let slow = topic.subscribe(goes.clone());
        for round in 0..=INBOX_MESSAGES_MAX {
            assert!(!goes.is_aborted(), "{round}");
            let payload = Bytes::from(round.to_string());
            topic.publish(&payload);
            assert_eq!(fast.inbox.try_recv(), Ok(payload));
        }
        assert!(goes.is_aborted() && !stays.is_aborted());
        drop((slow, fast));
        assert!(topic.0.borrow().is_empty());
    }
}
