//! Logs of ordered rooms in JetStream: an entry's offset is its sequence in its stream, which
//! republishes what it has stored to the room's subscribers, with that sequence and the one before
//! it of the same room.
//!
//! Invariant: a room's entries are under one subject of one stream, whose name tells the epoch;
//! what a page says of its first entry's neighbour is true or errs towards a gap. Used by the
//! adapter.

use crate::broker::adapter::{
    Append, Appended, BrokerError, KeptInLog, LogEntry, LogPage, LogPlace, ReadLog,
};
use crate::broker::nats::client::NatsClient;
use crate::broker::nats::jetstream::{
    NatsApiFailure, NatsPick, NatsStored, NatsStreamConfig, NatsStreamInfo, create_consumer,
    create_stream, delete_consumer, place_of, read_answer, stream_info, stream_of, update_stream,
};
use crate::broker::nats::state::in_time;
use crate::broker::nats::subjects::{NatsStreamPlace, epoch_of, escaped};
use crate::broker::nats::wire::{NatsHeader, NatsMessage, header};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Streams that are remembered: classes of rooms times partitions, with room for changed ones.
const STREAMS_MAX: usize = 1024;

/// Bytes of a page, besides its last entry.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Tries to find or make a stream while other nodes do the same.
const TRIES: usize = 3;

/// Where the logs are, for one node.
pub(super) struct NatsLog {
    prefix: String,
    streams: Mutex<HashMap<NatsStreamPlace, FoundNatsStream>>,
}

/// A stream that was seen.
#[derive(Clone, Debug)]
struct FoundNatsStream {
    name: String,
    window: Duration,
}

/// The place of an entry that a stream has republished. `None`: the message is of no log.
pub(super) fn place_of_copy(message: &NatsMessage) -> Option<LogPlace> {
    if message.header.is_empty() {
        return None;
    }
    let header = NatsHeader(&message.header);
    Some(LogPlace {
        epoch: epoch_of(header.get("Nats-Stream")?)?,
        offset: header.number("Nats-Sequence")?,
        previous: header.number("Nats-Last-Sequence")?,
    })
}

impl NatsLog {
    pub(super) fn new(prefix: &str) -> NatsLog {
        NatsLog {
            prefix: prefix.to_owned(),
            streams: Mutex::default(),
        }
    }

    pub(super) async fn append(
        &self,
        client: &NatsClient,
        append: &Append,
    ) -> Result<Appended, BrokerError> {
        let place = NatsStreamPlace::of(&append.room, &append.keep);
        let subject = place.subject(&self.prefix, &append.room);
        let subject =
            subject.ok_or_else(|| BrokerError::Refused("the room's name is too long".into()))?;
        let window = append
            .key
            .as_ref()
            .map_or(Duration::ZERO, |(_, window)| *window);
        let header = match &append.key {
            Some((key, _)) => {
                let id = format!("{}.{}", escaped(&append.room), escaped(key));
                header("Nats-Msg-Id", &id)
            }
            None => Vec::new(),
        };
        in_time(async {
            for _ in 0..TRIES {
                let stream = self.stream(client, &place, &append.keep, window).await;
                let stream = stream.map_err(NatsApiFailure::into_broker_error)?;
                let answer = client.ask(&subject, &header, &append.payload).await?;
                match read_answer::<NatsStored>(&answer) {
                    Ok(stored) => return self.appended(&place, stream, &stored),
                    // It was deleted since it was found.
                    Err(failure) if failure.is_no_stream() => self.forget(&place),
                    Err(failure) => return Err(failure.into_broker_error()),
                }
            }
            Err(NatsApiFailure::Nobody.into_broker_error())
        })
        .await
    }

    fn appended(
        &self,
        place: &NatsStreamPlace,
        found: FoundNatsStream,
        stored: &NatsStored,
    ) -> Result<Appended, BrokerError> {
        if stored.stream != found.name {
            // Another one has taken its place meanwhile: it is looked at the next time.
            self.forget(place);
        }
        let epoch = epoch_of(&stored.stream).ok_or_else(|| {
            let text = format!(
                "the stream {} is none of ours and takes our subjects",
                stored.stream
            );
            BrokerError::Refused(text.into())
        })?;
        Ok(Appended {
            epoch,
            offset: stored.seq,
            is_duplicate: stored.duplicate,
        })
    }

    /// The stream of a place, made if there is none.
    async fn stream(
        &self,
        client: &NatsClient,
        place: &NatsStreamPlace,
        keep: &KeptInLog,
        window: Duration,
    ) -> Result<FoundNatsStream, NatsApiFailure> {
        let found = self.streams().get(place).cloned();
        if let Some(found) = found.filter(|found| found.window >= window) {
            return Ok(found);
        }
        for _ in 0..TRIES {
            let subjects = place.subjects(&self.prefix);
            let info = match stream_of(client, &format!("{subjects}.*")).await? {
                Some(name) => stream_info(client, &name, "").await?,
                None => match create_stream(client, &self.config(place, keep, window)).await {
                    Err(failure) if failure.is_made_meanwhile() => continue,
                    made => made?,
                },
            };
            let found = widened(client, info, window).await?;
            let mut streams = self.streams();
            if streams.len() >= STREAMS_MAX {
                streams.clear();
            }
            streams.insert(place.clone(), found.clone());
            return Ok(found);
        }
        let text = format!("no stream takes {}", place.subjects(&self.prefix));
        Err(BrokerError::Refused(text.into()).into())
    }

    fn config(
        &self,
        place: &NatsStreamPlace,
        keep: &KeptInLog,
        window: Duration,
    ) -> NatsStreamConfig {
        let subjects = place.subjects(&self.prefix);
        let rest = serde_json::json!({
            "retention": "limits",
            "discard": "old",
            "storage": "file",
            "num_replicas": 1,
            "republish": {
                "src": format!("{subjects}.*"),
                "dest": format!("{}.room.{{{{wildcard(1)}}}}", self.prefix),
            },
        });
        let window = nanoseconds(window);
        NatsStreamConfig {
            name: place.stream(&self.prefix, fastrand::u64(1..1 << 60)),
            subjects: vec![format!("{subjects}.*")],
            max_msgs_per_subject: keep.entries_max.into(),
            // JetStream forgets no key before its entry, so entries stay as long as keys.
            max_age: nanoseconds(keep.ttl).max(window),
            duplicate_window: window,
            rest: rest.as_object().cloned().unwrap_or_default(),
        }
    }

    pub(super) async fn read(
        &self,
        client: &NatsClient,
        read: &ReadLog,
    ) -> Result<LogPage, BrokerError> {
        let place = NatsStreamPlace::of(&read.room, &read.keep);
        let subject = place.subject(&self.prefix, &read.room);
        let subject =
            subject.ok_or_else(|| BrokerError::Refused("the room's name is too long".into()))?;
        in_time(async {
            let name = stream_of(client, &subject).await;
            let Some(name) = name.map_err(NatsApiFailure::into_broker_error)? else {
                return Ok(LogPage::default());
            };
            match page(client, &name, &subject, read).await {
                // It was deleted meanwhile.
                Err(failure) if failure.is_no_stream() => Ok(LogPage::default()),
                page => page.map_err(NatsApiFailure::into_broker_error),
            }
        })
        .await
    }

    fn forget(&self, place: &NatsStreamPlace) {
        self.streams().remove(place);
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<NatsStreamPlace, FoundNatsStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream, once it knows keys for as long as is wanted.
async fn widened(
    client: &NatsClient,
    info: NatsStreamInfo,
    window: Duration,
) -> Result<FoundNatsStream, NatsApiFailure> {
    let wanted = nanoseconds(window);
    let mut config = info.config;
    if config.duplicate_window < wanted {
        config.duplicate_window = wanted;
        config.max_age = config.max_age.max(wanted);
        config = update_stream(client, &config).await?.config;
    }
    Ok(FoundNatsStream {
        window: Duration::from_nanos(config.duplicate_window.try_into().unwrap_or_default()),
        name: config.name,
    })
}

async fn page(
    client: &NatsClient,
    stream: &str,
    subject: &str,
    read: &ReadLog,
) -> Result<LogPage, NatsApiFailure> {
    let epoch = epoch_of(stream).ok_or_else(|| {
        let text = format!("the stream {stream} is none of ours and takes our subjects");
        NatsApiFailure::from(BrokerError::Refused(text.into()))
    })?;
    let (info, first, last) = tokio::try_join!(
        stream_info(client, stream, subject),
        place_of(client, stream, subject, NatsPick::First),
        place_of(client, stream, subject, NatsPick::Last),
    )?;
    let is_complete = nothing_is_missing(&info, subject, first, read.after);
    let Some(newest) = last else {
        // Whoever was given a place of the stream is told the same again while nothing can have
        // been appended and trimmed since.
        let newest = if is_complete {
            read.after
        } else {
            info.state.last_seq
        };
        return Ok(LogPage {
            epoch,
            newest,
            entries: Vec::new(),
        });
    };
    let entries = match newest > read.after {
        true => entries(client, stream, subject, read, newest).await?,
        false => Vec::new(),
    };
    let mut previous = match (is_complete, entries.first()) {
        (false, Some((offset, _))) => offset.saturating_sub(1),
        _ => read.after,
    };
    let entries = entries.into_iter().map(|(offset, payload)| {
        let place = LogPlace {
            epoch,
            offset,
            previous: std::mem::replace(&mut previous, offset),
        };
        LogEntry { place, payload }
    });
    Ok(LogPage {
        epoch,
        newest,
        entries: entries.collect(),
    })
}

/// Whether no entry of this subject behind `after` has been trimmed. Entries go oldest first, by
/// their number or by age: so if one is left that is not behind `after`, nothing is missing; nor if
/// the whole stream still has what came next, and there were never as many as may be.
fn nothing_is_missing(
    info: &NatsStreamInfo,
    subject: &str,
    first: Option<u64>,
    after: u64,
) -> bool {
    let counts = info.state.subjects.as_ref();
    let count = counts
        .and_then(|counts| counts.get(subject))
        .copied()
        .unwrap_or(0);
    let may_be = u64::try_from(info.config.max_msgs_per_subject).unwrap_or(u64::MAX);
    first.is_some_and(|first| first <= after)
        || (info.state.first_seq <= after.saturating_add(1) && count < may_be)
}

/// Entries of a room behind a place, up to the newest that was seen.
async fn entries(
    client: &NatsClient,
    stream: &str,
    subject: &str,
    read: &ReadLog,
    newest: u64,
) -> Result<Vec<(u64, bytes::Bytes)>, NatsApiFailure> {
    /// How long the server waits for a replica that lags.
    const EXPIRES: Duration = Duration::from_secs(2);
    let consumer = create_consumer(client, stream, subject, read.after.saturating_add(1)).await?;
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
    let limit = read.limit.max(1) as usize;
    let question = serde_json::json!({
        "batch": limit,
        "expires": EXPIRES.as_nanos() as u64,
    });
    // One more for the word that ends it.
    let question = question.to_string();
    let answers = client.pull(limit + 1, &next, question.as_bytes());
    let mut answers = answers.await?;
    let (mut entries, mut bytes, mut last) = (Vec::new(), 0, read.after);
    while entries.len() < limit && bytes < PAGE_BYTES_MAX {
        let answer = answers.next().await?;
        if NatsHeader(&answer.header).status().is_some() {
            break;
        }
        let Some(offset) = offset_in(&answer.reply) else {
            let text = "JetStream delivers without a place".into();
            return Err(BrokerError::Refused(text).into());
        };
        if offset <= last {
            return Err(BrokerError::Refused("JetStream's sequence does not rise".into()).into());
        }
        last = offset;
        bytes += answer.payload.len();
        entries.push((offset, answer.payload));
        if offset >= newest {
            break;
        }
    }
    drop(answers);
    // It would go by itself in a while.
    _ = delete_consumer(client, stream, &consumer).await;
    Ok(entries)
}

/// The sequence in the subject of an acknowledgement:
/// `$JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.DELIVERED.SEQUENCE.…`, with four or five more.
fn offset_in(reply: &[u8]) -> Option<u64> {
    let reply = std::str::from_utf8(reply).ok()?;
    let tokens: Vec<&str> = reply.split('.').collect();
    let place = match tokens.len() {
        9 => 5,
        11.. => 7,
        _ => return None,
    };
    (tokens[..2] == ["$JS", "ACK"]).then(|| tokens[place].parse().ok())?
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
