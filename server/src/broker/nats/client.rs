//! A client of NATS over one connection at a time, for both directions: it comes back by itself,
//! and knows of each message whether the connection that it left by still stood.
//!
//! Invariant: no call takes longer than [`CALL_MAX`](crate::broker::nats::state::CALL_MAX). Used by
//! the adapter and its log.

use crate::broker::adapter::{BrokerError, Link};
use crate::broker::envelope::Envelope;
use crate::broker::nats::connection::{HearNats, connect};
use crate::broker::nats::dial::NatsDial;
use crate::broker::nats::state::{
    NatsAnswers, NatsRefusals, NatsShared, OUT_BYTES_MAX, PULLS_SID, in_time,
};
use crate::broker::nats::wire::{
    NatsMessage, put_line, put_publish, put_publish_with, put_subscribe, put_unsubscribe,
};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// The client. Its connection ends with it.
pub(super) struct NatsClient {
    shared: Arc<NatsShared>,
    task: JoinHandle<()>,
}

impl NatsClient {
    /// Begins to connect, on this runtime.
    pub(super) fn start(dial: NatsDial, hears: impl HearNats) -> NatsClient {
        let shared = Arc::new(NatsShared::new(dial));
        let task = tokio::spawn(connect(Arc::clone(&shared), hears));
        NatsClient { shared, task }
    }

    /// The connection as it is, and when it changes.
    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.shared.link.subscribe()
    }

    /// Subscribes, and returns once the server has it.
    pub(super) async fn subscribe(&self, subjects: &[String]) -> Result<(), BrokerError> {
        let mut new = Vec::new();
        let before = {
            let mut state = self.shared.with_room().await?;
            for subject in subjects {
                if !state.subscriptions.contains_key(subject.as_str()) {
                    new.push(subject.as_str());
                    state.subscribe(subject);
                }
            }
            state.refusals.count
        };
        self.shared.said.notify_one();
        let refusals = self.barrier().await?;
        if refusals.count == before {
            return Ok(());
        }
        // Which of them it was does not matter: none of them counts as had.
        self.unsubscribe(new);
        Err(BrokerError::Refused(refusals.last))
    }

    /// The largest payload that the server takes; before there was one, any.
    pub(super) fn payload_bytes_max(&self) -> usize {
        match self.shared.lock().payload_bytes_max {
            0 => Envelope::BYTES_MAX,
            bytes => bytes,
        }
    }

    /// Ends subscriptions.
    pub(super) fn unsubscribe<'s>(&self, subjects: impl IntoIterator<Item = &'s str>) {
        let mut state = self.shared.lock();
        for subject in subjects {
            if let Some(sid) = state.subscriptions.remove(subject) {
                put_unsubscribe(&mut state.out, sid);
            }
        }
        drop(state);
        self.shared.said.notify_one();
    }

    /// Returns once the server has answered to what was said before.
    async fn barrier(&self) -> Result<NatsRefusals, BrokerError> {
        let (sender, heard) = oneshot::channel();
        {
            let mut state = self.shared.connected()?;
            state.pings.push_back(Some(sender));
            put_line(&mut state.out, &["PING"]);
        }
        self.shared.said.notify_one();
        in_time(async { heard.await.map_err(|_| BrokerError::Lost) }).await
    }

    /// Publishes these in this order: `put` writes the subject of each.
    pub(super) async fn publish<'m, M: 'm>(
        &self,
        messages: &'m [M],
        put: impl Fn(&'m M, &mut String) -> Result<&'m [u8], BrokerError>,
    ) -> Result<(), BrokerError> {
        let connection = self.shared.connected()?.connection;
        in_time(async {
            let mut messages = messages.iter().peekable();
            let mut subject = String::new();
            while messages.peek().is_some() {
                let mut state = self.shared.with_room().await?;
                if state.connection != connection {
                    return Err(BrokerError::Lost);
                }
                let bytes_max = state.payload_bytes_max;
                // What has found room leaves, whatever becomes of those behind it.
                let done = loop {
                    if state.out.len() >= OUT_BYTES_MAX {
                        break Ok(());
                    }
                    let Some(message) = messages.next() else {
                        break Ok(());
                    };
                    subject.clear();
                    match put(message, &mut subject) {
                        Ok(payload) if payload.len() > bytes_max => {
                            break Err(BrokerError::TooLarge);
                        }
                        Ok(payload) => put_publish(&mut state.out, &subject, "", payload),
                        Err(error) => break Err(error),
                    }
                };
                drop(state);
                self.shared.said.notify_one();
                done?;
            }
            Ok(())
        })
        .await
    }

    /// Asks, with a header or without, and waits for one answer.
    pub(super) async fn ask(
        &self,
        subject: &str,
        header: &[u8],
        payload: &[u8],
    ) -> Result<NatsMessage, BrokerError> {
        in_time(async { self.question(subject, header, payload).await?.next().await }).await
    }

    /// Asks, and returns before there is an answer. Questions keep their order.
    pub(super) async fn question(
        &self,
        subject: &str,
        header: &[u8],
        payload: &[u8],
    ) -> Result<NatsAnswers, BrokerError> {
        let mut state = self.shared.with_room().await?;
        if header.len() + payload.len() > state.payload_bytes_max {
            return Err(BrokerError::TooLarge);
        }
        let question = state.last_question + 1;
        let answers = self.shared.expect(&mut state, question, 1)?;
        state.last_question = question;
        let reply = format!("{}{question}", self.shared.answers);
        match header {
            [] => put_publish(&mut state.out, subject, &reply, payload),
            header => put_publish_with(&mut state.out, subject, &reply, header, payload),
        }
        drop(state);
        self.shared.said.notify_one();
        Ok(answers)
    }

    /// Asks for up to so many messages.
    pub(super) async fn pull(
        &self,
        count: usize,
        subject: &str,
        payload: &[u8],
    ) -> Result<NatsAnswers, BrokerError> {
        let mut state = self.shared.with_room().await?;
        let sid = PULLS_SID + state.last_pull + 1;
        let answers = self.shared.expect(&mut state, sid, count)?;
        state.last_pull += 1;
        let reply = format!("{}pull.{sid}", self.shared.answers);
        put_subscribe(&mut state.out, &reply, sid);
        put_publish(&mut state.out, subject, &reply, payload);
        drop(state);
        self.shared.said.notify_one();
        Ok(answers)
    }
}

impl Drop for NatsClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}
