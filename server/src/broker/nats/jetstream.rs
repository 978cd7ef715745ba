//! What is asked of JetStream, and how it answers: the documents of its API, as far as logs of
//! rooms need them.
//!
//! Invariant: an answer that is none is an error with the broker's words, never a guess. Used by
//! the log.

use crate::broker::adapter::BrokerError;
use crate::broker::nats::client::NatsClient;
use crate::broker::nats::wire::{NatsHeader, NatsMessage};
use crate::moment::since_1970;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use toml::value::Datetime;

/// `JSStreamNotFoundErr`.
pub(super) const NO_STREAM: u64 = 10059;
/// `JSStreamSubjectOverlapErr`, `JSStreamNameExistErr`: another node was first.
const STREAM_IS_THERE: [u64; 2] = [10065, 10058];
/// `JSNoMessageFoundErr`.
const NO_MESSAGE: u64 = 10037;
/// `JSClusterNotAvailErr`, `JSClusterNoPeersErr`: nobody leads at the moment.
const NO_LEADER: [u64; 2] = [10008, 10005];

/// What a stream is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NatsStreamConfig {
    pub(super) name: String,
    pub(super) subjects: Vec<String>,
    pub(super) max_msgs_per_subject: i64,
    /// Nanoseconds.
    pub(super) max_age: i64,
    /// How long keys are known, in nanoseconds.
    pub(super) duplicate_window: i64,
    /// What the other fields say, which operators may have changed.
    #[serde(flatten)]
    pub(super) rest: serde_json::Map<String, serde_json::Value>,
}

/// What a stream is.
#[derive(Debug, Deserialize)]
pub(super) struct NatsStreamInfo {
    pub(super) config: NatsStreamConfig,
    pub(super) state: NatsStreamState,
}

#[derive(Debug, Deserialize)]
pub(super) struct NatsStreamState {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    /// Messages by subject, of those that were asked for.
    #[serde(default)]
    pub(super) subjects: Option<std::collections::HashMap<String, u64>>,
}

/// The answer to a publish.
#[derive(Debug, Deserialize)]
pub(super) struct NatsStored {
    pub(super) stream: String,
    pub(super) seq: u64,
    #[serde(default)]
    pub(super) duplicate: bool,
}

#[derive(Deserialize)]
struct NatsStreamNames {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct NatsKept {
    message: NatsKeptMessage,
}

#[derive(Deserialize)]
struct NatsKeptMessage {
    seq: u64,
    /// In base 64.
    #[serde(default)]
    data: String,
}

/// A consumer.
#[derive(Debug, Deserialize)]
pub(super) struct NatsConsumer {
    pub(super) name: String,
    /// When it was made, in RFC 3339.
    #[serde(default)]
    created: String,
}

impl NatsConsumer {
    /// When it was made, by the server's clock, since 1970. Zero: the server does not say.
    pub(super) fn made(&self) -> Duration {
        let created: Option<Datetime> = self.created.parse().ok();
        let since = created.and_then(|created| since_1970(&created));
        since.unwrap_or_default()
    }
}

/// An answer, or why there is none.
#[derive(Deserialize)]
#[serde(untagged)]
enum NatsAnswer<T> {
    Error { error: NatsApiError },
    Good(T),
}

/// Why JetStream did not do something.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct NatsApiError {
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    description: Box<str>,
}

/// What became of a question.
#[derive(Clone, Debug)]
pub(super) enum NatsApiFailure {
    /// JetStream answered, and said no.
    Api(NatsApiError),
    /// Nobody hears this subject: there is no such stream, or no JetStream.
    Nobody,
    /// Everything else.
    Broker(BrokerError),
}

impl From<BrokerError> for NatsApiFailure {
    fn from(error: BrokerError) -> NatsApiFailure {
        NatsApiFailure::Broker(error)
    }
}

impl NatsApiFailure {
    /// As the adapter says it.
    pub(super) fn into_broker_error(self) -> BrokerError {
        match self {
            NatsApiFailure::Broker(error) => error,
            NatsApiFailure::Api(error) if NO_LEADER.contains(&error.err_code) => BrokerError::Lost,
            NatsApiFailure::Api(error) => BrokerError::Refused(error.description),
            NatsApiFailure::Nobody => BrokerError::Refused(
                "JetStream does not answer: is it on (`nats-server -js`), and may the node use it?"
                    .into(),
            ),
        }
    }

    fn is(&self, codes: &[u64]) -> bool {
        matches!(self, NatsApiFailure::Api(error) if codes.contains(&error.err_code))
    }

    /// The stream that was meant is not there.
    pub(super) fn is_no_stream(&self) -> bool {
        matches!(self, NatsApiFailure::Nobody) || self.is(&[NO_STREAM])
    }

    /// Another node has made the stream meanwhile.
    pub(super) fn is_made_meanwhile(&self) -> bool {
        self.is(&STREAM_IS_THERE)
    }
}

/// Reads an answer in JSON.
pub(super) fn read_answer<T: DeserializeOwned>(answer: &NatsMessage) -> Result<T, NatsApiFailure> {
    if NatsHeader(&answer.header).status() == Some(503) {
        return Err(NatsApiFailure::Nobody);
    }
    match serde_json::from_slice(&answer.payload) {
        Ok(NatsAnswer::Good(good)) => Ok(good),
        Ok(NatsAnswer::Error { error }) => Err(NatsApiFailure::Api(error)),
        Err(error) => {
            let text = format!("JetStream's answer cannot be read: {error}");
            Err(BrokerError::Refused(text.into()).into())
        }
    }
}

/// Asks JetStream's API.
async fn ask<T: DeserializeOwned>(
    client: &NatsClient,
    api: &str,
    question: &serde_json::Value,
) -> Result<T, NatsApiFailure> {
    let subject = format!("$JS.API.{api}");
    let answer = client
        .ask(&subject, &[], question.to_string().as_bytes())
        .await?;
    read_answer(&answer)
}

/// The names of streams that take subjects like this; the first of very many.
pub(super) async fn streams_of(
    client: &NatsClient,
    subject: &str,
) -> Result<Vec<String>, NatsApiFailure> {
    let question = serde_json::json!({ "subject": subject });
    let names: NatsStreamNames = ask(client, "STREAM.NAMES", &question).await?;
    Ok(names.streams.unwrap_or_default())
}

/// The name of the stream that takes this subject, if there is one.
pub(super) async fn stream_of(
    client: &NatsClient,
    subject: &str,
) -> Result<Option<String>, NatsApiFailure> {
    Ok(streams_of(client, subject).await?.into_iter().next())
}

/// Where a stream begins and ends.
pub(super) async fn stream_state(
    client: &NatsClient,
    stream: &str,
) -> Result<NatsStreamState, NatsApiFailure> {
    let (api, question) = (format!("STREAM.INFO.{stream}"), serde_json::json!({}));
    let info: NatsStreamInfo = ask(client, &api, &question).await?;
    Ok(info.state)
}

/// Ends a stream and all that it has. One that there is not is as good.
pub(super) async fn delete_stream(client: &NatsClient, stream: &str) -> Result<(), NatsApiFailure> {
    let (api, question) = (format!("STREAM.DELETE.{stream}"), serde_json::json!({}));
    match ask::<serde_json::Value>(client, &api, &question).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.is(&[NO_STREAM]) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// What a stream is, with the number of messages of one subject.
pub(super) async fn stream_info(
    client: &NatsClient,
    stream: &str,
    subject: &str,
) -> Result<NatsStreamInfo, NatsApiFailure> {
    let question = serde_json::json!({ "subjects_filter": subject });
    ask(client, &format!("STREAM.INFO.{stream}"), &question).await
}

/// Makes a stream.
pub(super) async fn create_stream(
    client: &NatsClient,
    config: &NatsStreamConfig,
) -> Result<NatsStreamInfo, NatsApiFailure> {
    let question = serde_json::to_value(config).map_err(unwritable)?;
    ask(client, &format!("STREAM.CREATE.{}", config.name), &question).await
}

/// Changes one.
pub(super) async fn update_stream(
    client: &NatsClient,
    config: &NatsStreamConfig,
) -> Result<NatsStreamInfo, NatsApiFailure> {
    let question = serde_json::to_value(config).map_err(unwritable)?;
    ask(client, &format!("STREAM.UPDATE.{}", config.name), &question).await
}

fn unwritable(error: serde_json::Error) -> NatsApiFailure {
    BrokerError::Refused(error.to_string().into()).into()
}

/// Which message of a subject.
#[derive(Clone, Copy, Debug)]
pub(super) enum NatsPick {
    First,
    Last,
}

/// A subject's first or last message, with its place, as the stream's leader knows it. `None`:
/// there is no message.
pub(super) async fn message_of(
    client: &NatsClient,
    stream: &str,
    subject: &str,
    which: NatsPick,
) -> Result<Option<(u64, Bytes)>, NatsApiFailure> {
    let question = match which {
        NatsPick::First => serde_json::json!({ "seq": 1, "next_by_subj": subject }),
        NatsPick::Last => serde_json::json!({ "last_by_subj": subject }),
    };
    match ask::<NatsKept>(client, &format!("STREAM.MSG.GET.{stream}"), &question).await {
        Ok(kept) => {
            let NatsKeptMessage { seq, data } = kept.message;
            let payload = STANDARD.decode(data).map_err(|error| {
                let text = format!("JetStream's message cannot be read: {error}");
                BrokerError::Refused(text.into())
            })?;
            Ok(Some((seq, payload.into())))
        }
        Err(failure) if failure.is(&[NO_MESSAGE]) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Makes a consumer that reads one subject from a place on, and is gone by itself.
pub(super) async fn create_consumer(
    client: &NatsClient,
    stream: &str,
    subject: &str,
    from: u64,
) -> Result<NatsConsumer, NatsApiFailure> {
    const UNUSED_MAX: Duration = Duration::from_secs(10);
    let question = serde_json::json!({
        "stream_name": stream,
        "config": {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": from,
            "filter_subject": subject,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": true,
            "inactive_threshold": UNUSED_MAX.as_nanos() as u64,
        },
    });
    ask(client, &format!("CONSUMER.CREATE.{stream}"), &question).await
}

/// Ends it early.
pub(super) async fn delete_consumer(
    client: &NatsClient,
    stream: &str,
    consumer: &str,
) -> Result<(), NatsApiFailure> {
    let subject = format!("CONSUMER.DELETE.{stream}.{consumer}");
    let _gone: serde_json::Value = ask(client, &subject, &serde_json::json!({})).await?;
    Ok(())
}
