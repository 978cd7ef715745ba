//! The adapter for NATS: plain subjects between nodes, and JetStream for the logs of ordered rooms.
//!
//! A room's subject is subscribed to by itself. What is appended to its log goes to a stream of
//! JetStream, and the server republishes what it has stored to that subject, so who hears a room
//! needs no consumer, and nobody reads a stream that holds other rooms, too. The client is our own
//! (`client`): a message of the data path goes from the connection to the inbox without a queue in
//! between, and each connection that broke is known as a loss.

mod client;
mod connection;
mod dial;
mod jetstream;
mod log;
mod login;
mod page;
mod state;
mod subjects;
mod wire;

use crate::broker::adapter::{
    Append, Appended, Broker, BrokerError, Link, LogPage, Outbound, ReadLog,
};
use crate::broker::inbox::{InboxSender, Incoming};
use crate::broker::nats::client::NatsClient;
use crate::broker::nats::connection::HearNats;
use crate::broker::nats::dial::NatsDial;
use crate::broker::nats::log::{NatsLog, place_of_copy};
use crate::broker::nats::wire::NatsMessage;
use crate::broker::options::{BadCluster, Cluster};
use crate::broker::subject::Subject;
use std::fmt;
use tokio::sync::watch;

/// The way to a NATS server. It ends with this.
pub struct NatsBroker {
    client: NatsClient,
    log: NatsLog,
    prefix: String,
}

/// A connection that is to be made: its configuration was looked at.
pub(crate) struct NatsConnect {
    dial: NatsDial,
    prefix: String,
    partitions: usize,
}

impl NatsConnect {
    /// Checks the URLs, and reads the files that the options name.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(crate) fn new(cluster: &Cluster) -> Result<NatsConnect, BadCluster> {
        let dial = NatsDial::new(cluster)?;
        Ok(NatsConnect {
            dial,
            prefix: cluster.prefix.clone(),
            partitions: cluster.streams,
        })
    }

    /// Begins to connect; on a tokio runtime.
    pub(crate) fn start(self, inbox: InboxSender) -> NatsBroker {
        NatsBroker {
            client: NatsClient::start(self.dial, NatsIntoInbox(inbox)),
            log: NatsLog::new(&self.prefix, self.partitions),
            prefix: self.prefix,
        }
    }
}

impl fmt::Debug for NatsConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsConnect").finish_non_exhaustive()
    }
}

impl NatsBroker {
    /// Begins to connect, on the runtime that this is called on. What comes in goes to the inbox.
    ///
    /// # Errors
    /// For the operator: what of the configuration cannot be used.
    pub fn start(cluster: &Cluster, inbox: InboxSender) -> Result<NatsBroker, String> {
        let connect = NatsConnect::new(cluster).map_err(|error| error.why)?;
        Ok(connect.start(inbox))
    }

    fn subject(&self, address: &Subject) -> Result<String, BrokerError> {
        let subject = subjects::subject(&self.prefix, address);
        subject.ok_or_else(too_long)
    }

    fn subjects(&self, addresses: &[Subject]) -> Result<Vec<String>, BrokerError> {
        addresses
            .iter()
            .map(|address| self.subject(address))
            .collect()
    }
}

fn too_long() -> BrokerError {
    BrokerError::Refused("the name is too long for a subject".into())
}

/// Brings what comes in to the bridge.
struct NatsIntoInbox(InboxSender);

impl HearNats for NatsIntoInbox {
    fn hear(&self, message: NatsMessage) {
        let place = place_of_copy(&message);
        // The inbox counts what finds no room. Without a bridge the adapter is about to end.
        _ = self.0.offer(Incoming {
            payload: message.payload,
            place,
        });
    }
}

impl Broker for NatsBroker {
    async fn subscribe(&self, subjects: &[Subject]) -> Result<(), BrokerError> {
        self.client.subscribe(&self.subjects(subjects)?).await
    }

    async fn unsubscribe(&self, subjects: &[Subject]) -> Result<(), BrokerError> {
        let subjects = self.subjects(subjects)?;
        self.client.unsubscribe(subjects.iter().map(String::as_str));
        Ok(())
    }

    async fn publish(&self, batch: &[Outbound]) -> Result<(), BrokerError> {
        let publish = self.client.publish(batch, |message, subject| {
            let put = subjects::put_subject(subject, &self.prefix, &message.subject);
            put.map(|()| &message.payload[..]).ok_or_else(too_long)
        });
        publish.await
    }

    async fn append(&self, append: Append) -> Result<Appended, BrokerError> {
        let appended = self.append_all(&[append]).await.pop();
        appended.unwrap_or(Err(BrokerError::Lost))
    }

    async fn append_all(&self, batch: &[Append]) -> Vec<Result<Appended, BrokerError>> {
        self.log.append_all(&self.client, batch).await
    }

    async fn open(&self, read: ReadLog, over: Option<u64>) -> Result<LogPage, BrokerError> {
        self.log.open(&self.client, &read, over).await
    }

    async fn read(&self, read: ReadLog) -> Result<LogPage, BrokerError> {
        self.log.read(&self.client, &read).await
    }

    fn payload_bytes_max(&self) -> usize {
        self.client.payload_bytes_max()
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.client.link()
    }
}
