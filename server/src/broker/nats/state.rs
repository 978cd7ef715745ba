//! What a client of NATS and its connection share: what waits to be sent, who waits for which
//! answer, and what is subscribed to on the connection that stands.
//!
//! Invariant: all of it belongs to one connection and goes with it, so nothing is sent over another
//! one than it was said on; what waits to be sent is at most [`OUT_BYTES_MAX`] and one message, or
//! one batch of subscriptions, and what is said of those that were: their ends, a look each second,
//! and [`PONGS_MAX`] answers.
//! Written by the client and the connection.

use crate::broker::adapter::{BrokerError, Link};
use crate::broker::nats::dial::NatsDial;
use crate::broker::nats::wire::{NatsMessage, put_subscribe, put_unsubscribe};
use bytes::BytesMut;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Longest time that any call takes.
pub(super) const CALL_MAX: Duration = Duration::from_secs(5);

/// Bytes that wait to be sent before callers wait.
pub(super) const OUT_BYTES_MAX: usize = 8 << 20;

/// Answers to the server's `PING` that wait to be sent. Who asks for more takes nothing: its
/// connection ends.
pub(super) const PONGS_MAX: u32 = 1_024;

/// Questions whose answers are waited for, at most.
pub(super) const QUESTIONS_MAX: usize = 16 << 10;

/// The subscription that single answers come by.
pub(super) const ANSWERS_SID: u64 = 1;

/// From here on subscriptions are of one question each. What JetStream delivers bears the subject
/// that it was published to, so only its subscription tells whose it is.
pub(super) const PULLS_SID: u64 = 1 << 40;

pub(super) struct NatsShared {
    pub(super) dial: NatsDial,
    pub(super) state: Mutex<NatsState>,
    /// Something waits to be sent.
    pub(super) said: Notify,
    /// What waited to be sent is under way, or lost.
    pub(super) room: Notify,
    pub(super) link: watch::Sender<Link>,
    /// What the subjects of answers begin with.
    pub(super) answers: String,
    /// The server has said something since the last look.
    pub(super) heard: AtomicBool,
}

#[derive(Default)]
pub(super) struct NatsState {
    pub(super) connected: bool,
    /// Counts connections.
    pub(super) connection: u64,
    pub(super) out: BytesMut,
    /// Of `out`: answers to `PING`.
    pub(super) pongs: u32,
    pub(super) payload_bytes_max: usize,
    /// By subject.
    pub(super) subscriptions: HashMap<Arc<str>, u64>,
    pub(super) last_sid: u64,
    /// By the last token of the subject of their answers, or from [`PULLS_SID`] on by their
    /// subscription.
    pub(super) questions: HashMap<u64, mpsc::Sender<NatsMessage>>,
    pub(super) last_question: u64,
    pub(super) last_pull: u64,
    /// Who waits for which `PONG`; `None`: nobody.
    pub(super) pings: VecDeque<Option<oneshot::Sender<NatsRefusals>>>,
    pub(super) refusals: NatsRefusals,
}

/// What the server did not permit on this connection.
#[derive(Clone, Debug, Default)]
pub(super) struct NatsRefusals {
    pub(super) count: u64,
    pub(super) last: Box<str>,
}

/// Answers to a question that are still to come. Dropping it makes them nobody's.
pub(super) struct NatsAnswers {
    shared: Arc<NatsShared>,
    question: u64,
    messages: mpsc::Receiver<NatsMessage>,
}

impl NatsShared {
    /// Before the first connection.
    pub(super) fn new(dial: NatsDial) -> NatsShared {
        let (link, _) = watch::channel(Link::default());
        NatsShared {
            dial,
            state: Mutex::default(),
            said: Notify::new(),
            room: Notify::new(),
            link,
            answers: format!("_INBOX.{:016x}.", fastrand::u64(..)),
            heard: AtomicBool::new(false),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, NatsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connected(&self) -> Result<MutexGuard<'_, NatsState>, BrokerError> {
        let state = self.lock();
        if state.connected {
            Ok(state)
        } else {
            Err(BrokerError::Lost)
        }
    }

    /// The state, once there is room for more to be sent.
    pub(super) async fn with_room(&self) -> Result<MutexGuard<'_, NatsState>, BrokerError> {
        let waits = async {
            loop {
                let mut room = std::pin::pin!(self.room.notified());
                // Registered before the look, so that room that is made in between is not missed.
                room.as_mut().enable();
                if self.connected()?.out.len() < OUT_BYTES_MAX {
                    return Ok(());
                }
                room.await;
            }
        };
        in_time(waits).await?;
        self.connected()
    }

    /// Answers to a question that is about to be asked.
    pub(super) fn expect(
        self: &Arc<NatsShared>,
        state: &mut NatsState,
        question: u64,
        count: usize,
    ) -> Result<NatsAnswers, BrokerError> {
        if state.questions.len() >= QUESTIONS_MAX {
            return Err(BrokerError::Refused("too many questions at once".into()));
        }
        let (sender, messages) = mpsc::channel(count);
        state.questions.insert(question, sender);
        Ok(NatsAnswers {
            shared: Arc::clone(self),
            question,
            messages,
        })
    }

    /// A message came for a question.
    pub(super) fn answer(&self, question: u64, message: NatsMessage) {
        if let Some(answers) = self.lock().questions.get(&question) {
            // More than were asked for are nobody's.
            _ = answers.try_send(message);
        }
    }

    /// A connection stands.
    pub(super) fn begin(&self, payload_bytes_max: usize) {
        let mut state = self.lock();
        *state = NatsState {
            connected: true,
            connection: state.connection + 1,
            payload_bytes_max,
            last_sid: ANSWERS_SID,
            last_question: state.last_question,
            last_pull: state.last_pull,
            ..NatsState::default()
        };
        put_subscribe(&mut state.out, &format!("{}*", self.answers), ANSWERS_SID);
        drop(state);
        self.said.notify_one();
        self.link.send_modify(|link| link.connected = true);
    }

    /// It broke: whoever waits for something of it is told by what is dropped here.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        *state = NatsState {
            connection: state.connection,
            last_question: state.last_question,
            last_pull: state.last_pull,
            ..NatsState::default()
        };
        drop(state);
        self.room.notify_waiters();
        self.link.send_modify(|link| {
            link.connected = false;
            link.losses += 1;
        });
    }
}

impl NatsState {
    pub(super) fn subscribe(&mut self, subject: &str) {
        self.last_sid += 1;
        let sid = self.last_sid;
        self.subscriptions.insert(subject.into(), sid);
        put_subscribe(&mut self.out, subject, sid);
    }
}

impl NatsAnswers {
    /// The next answer.
    pub(super) async fn next(&mut self) -> Result<NatsMessage, BrokerError> {
        in_time(async { self.messages.recv().await.ok_or(BrokerError::Lost) }).await
    }
}

impl Drop for NatsAnswers {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        // None: the connection that it was asked on is gone.
        let asked = state.questions.remove(&self.question);
        if asked.is_some() && self.question > PULLS_SID {
            put_unsubscribe(&mut state.out, self.question);
            drop(state);
            self.shared.said.notify_one();
        }
    }
}

/// Waits no longer than [`CALL_MAX`].
pub(super) async fn in_time<T>(
    call: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    let ended = tokio::time::timeout(CALL_MAX, call).await;
    ended.unwrap_or(Err(BrokerError::Lost))
}
