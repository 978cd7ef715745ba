//! The one topic: a bounded queue per subscriber. A subscriber whose queue is full loses its
//! writing task, which ends its connection; the others never wait. `connection` subscribes and
//! publishes.

use bytes::Bytes;
use fastwebsockets::OpCode;
use slab::Slab;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Messages that may wait for one subscriber; a subscriber that is further behind is closed.
const INBOX_MESSAGES_MAX: usize = 4096;

/// What a writing task sends.
pub(crate) struct Outgoing {
    pub(crate) opcode: OpCode,
    pub(crate) payload: Bytes,
}

#[derive(Clone, Default)]
pub(crate) struct Topic(Rc<RefCell<Slab<Subscriber>>>);

struct Subscriber {
    inbox: mpsc::Sender<Outgoing>,
    writer: AbortHandle,
}

impl Topic {
    /// `spawn` starts the writing task on the queue that it is given.
    pub(crate) fn subscribe(
        &self,
        spawn: impl FnOnce(mpsc::Receiver<Outgoing>) -> AbortHandle,
    ) -> Subscription {
        let (inbox, receiver) = mpsc::channel(INBOX_MESSAGES_MAX);
        let writer = spawn(receiver);
        let key = self.0.borrow_mut().insert(Subscriber {
            inbox: inbox.clone(),
            writer,
        });
        Subscription {
            topic: self.clone(),
            inbox,
            key,
        }
    }

    pub(crate) fn publish(&self, payload: &Bytes) {
        for (_, subscriber) in self.0.borrow().iter() {
            let message = Outgoing {
                opcode: OpCode::Binary,
                payload: payload.clone(),
            };
            if subscriber.inbox.try_send(message).is_err() {
                subscriber.writer.abort();
            }
        }
    }
}

/// A place among the subscribers, until it is dropped.
pub(crate) struct Subscription {
    topic: Topic,
    pub(crate) inbox: mpsc::Sender<Outgoing>,
    key: usize,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.topic.0.borrow_mut().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::{LocalSet, spawn_local};

    #[test]
    fn a_subscriber_gets_what_is_published_and_a_full_one_loses_its_writer() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        LocalSet::new().block_on(&runtime, async {
            let topic = Topic::default();
            // A writer that never takes anything, and one that takes it all.
            let mut slow = None;
            let stuck = topic.subscribe(|inbox| {
                let task = spawn_local(async move {
                    std::future::pending::<()>().await;
                    drop(inbox);
                });
                let handle = task.abort_handle();
                slow = Some(task);
                handle
            });
            let (heard, mut hears) = mpsc::channel(INBOX_MESSAGES_MAX + 1);
            let quick = topic.subscribe(|mut inbox| {
                spawn_local(async move {
                    while let Some(message) = inbox.recv().await {
                        heard.try_send(message.payload).expect("room");
                    }
                })
                .abort_handle()
            });
            for round in 0..=INBOX_MESSAGES_MAX {
                topic.publish(&Bytes::from(round.to_string()));
                assert_eq!(
                    hears.recv().await.as_deref(),
                    Some(round.to_string().as_bytes())
                );
            }
            let ended = slow.expect("spawned").await;
            assert!(ended.is_err_and(|error| error.is_cancelled()));
            drop((stuck, quick));
            assert!(topic.0.borrow().is_empty());
        });
    }
}
