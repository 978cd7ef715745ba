//! A request of the user as a future: it settles once, and dropping it withdraws it.
//!
//! Invariant: a request is asked for when the future is made, or, where the queue is full and
//! callers are to wait, when there is room. Used by the client.

use crate::encoding::Body;
use crate::entry::{Answer, Entry, PublishKey, Purpose, Resend, Wants};
use crate::error::{Error, ErrorKind};
use crate::options::TIMEOUT_MAX;
use crate::requests::Refusal;
use crate::shared::{Shared, now};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// What an answer becomes.
pub(crate) type Reader<T> = fn(&Answer) -> Result<T, Error>;

/// The answer to a request. Dropping it withdraws the request: one that was not sent is not, and
/// nobody hears the answer to one that was.
#[must_use = "dropping it withdraws the request"]
pub struct Pending<T> {
    shared: Arc<Shared>,
    ticket: u64,
    receiver: oneshot::Receiver<Result<Answer, Error>>,
    read: Reader<T>,
    stage: Stage,
}

enum Stage {
    /// There was no room.
    Unsent(Box<Entry>, Option<Pin<Box<tokio::time::Sleep>>>),
    Sent,
    Failed(Error),
    Settled,
}

/// What a request is made of.
pub(crate) struct Asking {
    pub(crate) body: Result<Body, Error>,
    pub(crate) key: Option<PublishKey>,
    pub(crate) wants: Wants,
    pub(crate) resend: Resend,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
}

impl<T> Pending<T> {
    pub(crate) fn ask(shared: &Arc<Shared>, asking: Asking, read: Reader<T>) -> Pending<T> {
        let (reply, receiver) = oneshot::channel();
        let mut pending = Pending {
            shared: Arc::clone(shared),
            ticket: 0,
            receiver,
            read,
            stage: Stage::Sent,
        };
        let body = match asking.body {
            Ok(body) => body,
            Err(error) => {
                pending.stage = Stage::Failed(error);
                return pending;
            }
        };
        let now = now();
        let refusal = shared.change(|core| {
            pending.ticket = core.new_id();
            core.ask(Entry {
                body,
                purpose: Purpose::User(reply, asking.wants),
                key: asking.key,
                resend: asking.resend,
                timeout: asking.timeout.min(TIMEOUT_MAX),
                retries: asking.retries,
                ticket: pending.ticket,
                since: now,
            })
        });
        match refusal {
            Ok(()) => {}
            Err(Refusal::Failed(_, error)) => pending.stage = Stage::Failed(error),
            Err(Refusal::Full(entry)) => pending.stage = Stage::Unsent(entry, None),
        }
        pending
    }

    /// Tries again to have it taken.
    fn retry(&mut self, cx: &mut Context<'_>) {
        let Stage::Unsent(entry, sleep) = std::mem::replace(&mut self.stage, Stage::Sent) else {
            return;
        };
        let deadline = tokio::time::Instant::from_std(entry.deadline());
        let mut sleep = sleep.unwrap_or_else(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.as_mut().poll(cx).is_ready() {
            let message = "there was no room in the queue in time";
            self.stage = Stage::Failed(Error::new(ErrorKind::Timeout, message));
            return;
        }
        let refusal = self.shared.change(|core| {
            let refusal = core.ask(*entry);
            if let Err(Refusal::Full(_)) = refusal {
                core.requests.wait_for_room(self.ticket, cx.waker());
            }
            refusal
        });
        match refusal {
            Ok(()) => {}
            Err(Refusal::Failed(_, error)) => self.stage = Stage::Failed(error),
            Err(Refusal::Full(entry)) => self.stage = Stage::Unsent(entry, Some(sleep)),
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        if matches!(self.stage, Stage::Unsent(..)) {
            self.retry(cx);
        }
        match &self.stage {
            Stage::Unsent(..) => return Poll::Pending,
            Stage::Sent => {}
            Stage::Failed(_) | Stage::Settled => {
                return match std::mem::replace(&mut self.stage, Stage::Settled) {
                    Stage::Failed(error) => Poll::Ready(Err(error)),
                    _ => Poll::Ready(Err(Error::closed())),
                };
            }
        }
        let answer = match Pin::new(&mut self.receiver).poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(answer) => answer,
        };
        self.stage = Stage::Settled;
        Poll::Ready(match answer {
            Err(_) => Err(Error::closed()),
            Ok(Err(error)) => Err(error),
            Ok(Ok(answer)) => (self.read)(&answer),
        })
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        match self.stage {
            Stage::Sent => {
                // What is settled already needs no look at the core.
                self.receiver.close();
                if matches!(
                    self.receiver.try_recv(),
                    Err(oneshot::error::TryRecvError::Closed)
                ) {
                    self.shared
                        .change(|core| core.requests.withdraw(self.ticket));
                }
            }
            Stage::Unsent(..) => self.shared.lock().requests.waits_no_more(self.ticket),
            Stage::Failed(_) | Stage::Settled => {}
        }
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}
