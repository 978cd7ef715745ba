//! Logs of ordered rooms in JetStream: an entry's offset is its sequence in its stream, which
//! republishes what it has stored to the room's subscribers, with that sequence and the one before
//! it of the same room.
//!
//! Invariant: a room's entries are under one subject of one stream, whose name tells the epoch;
//! what a page says of what is behind it is true or errs towards a loss. Several nodes publish at
//! once, and none of them has to know what the others do: the server itself says of each entry
//! which one of the room was before it, as it stores it. Used by the adapter.

use crate::broker::adapter::{
    Append, Appended, BrokerError, KeptInLog, LogPage, LogPlace, ReadLog,
};
use crate::broker::nats::client::NatsClient;
use crate::broker::nats::jetstream::{
    NatsApiFailure, NatsStored, NatsStreamConfig, NatsStreamInfo, create_stream, delete_stream,
    read_answer, stream_info, stream_of, streams_of, update_stream,
};
use crate::broker::nats::page::page;
use crate::broker::nats::state::{CALL_MAX, NatsAnswers, in_time};
use crate::broker::nats::subjects::{NatsStreamPlace, epoch_of, escaped};
use crate::broker::nats::wire::{NatsHeader, NatsMessage, header};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Streams that are remembered: classes of rooms times partitions, with room for changed ones.
const STREAMS_MAX: usize = 1024;

/// Tries to find or make a stream while other nodes do the same.
const TRIES: usize = 3;

/// An entry stays at least so long, whatever its room keeps: a room that nothing is published to
/// for a while is told apart from one that has lost something by what its stream still has.
const KEPT_MIN: Duration = Duration::from_secs(300);

/// Where the logs are, for one node.
pub(super) struct NatsLog {
    prefix: String,
    /// Streams of each class.
    partitions: usize,
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
    let offset = header.number("Nats-Sequence")?;
    Some(LogPlace {
        epoch: epoch_of(header.get("Nats-Stream")?)?,
        offset,
        previous: match header.number("Nats-Last-Sequence")? {
            // What was before it may have been trimmed.
            0 if offset > 1 => LogPlace::UNKNOWN,
            previous => previous,
        },
    })
}

/// One entry on its way: where it goes, and what becomes of it.
struct NatsAppend {
    place: NatsStreamPlace,
    found: FoundNatsStream,
    answers: NatsAnswers,
}

impl NatsLog {
    pub(super) fn new(prefix: &str, partitions: usize) -> NatsLog {
        NatsLog {
            prefix: prefix.to_owned(),
            partitions,
            streams: Mutex::default(),
        }
    }

    /// Appends all of these, in order and without waiting for one before the next is sent.
    pub(super) async fn append_all(
        &self,
        client: &NatsClient,
        batch: &[Append],
    ) -> Vec<Result<Appended, BrokerError>> {
        let deadline = Instant::now() + CALL_MAX;
        let mut done = Vec::with_capacity(batch.len());
        for _ in 0..TRIES {
            let tried = self.try_all(client, &batch[done.len()..], deadline).await;
            // Where a stream was deleted since it was found, those at the end are tried again:
            // others would change places.
            let is_left = |tried: &Result<_, NatsApiFailure>| {
                tried.as_ref().is_err_and(NatsApiFailure::is_no_stream)
            };
            let left = tried.iter().rev().take_while(|tried| is_left(tried));
            let count = tried.len() - left.count();
            let tried = tried.into_iter().take(count);
            done.extend(tried.map(|tried| tried.map_err(NatsApiFailure::into_broker_error)));
            if done.len() == batch.len() {
                break;
            }
        }
        let nobody = NatsApiFailure::Nobody.into_broker_error();
        done.resize(batch.len(), Err(nobody));
        done
    }

    async fn try_all(
        &self,
        client: &NatsClient,
        batch: &[Append],
        deadline: Instant,
    ) -> Vec<Result<Appended, NatsApiFailure>> {
        let mut under_way = Vec::with_capacity(batch.len());
        for append in batch {
            let sent = timeout_at(deadline, self.send(client, append)).await;
            under_way.push(sent.unwrap_or_else(|_| Err(BrokerError::Lost.into())));
        }
        let mut done = Vec::with_capacity(batch.len());
        for sent in under_way {
            done.push(match sent {
                Ok(sent) => self.answered(sent, deadline).await,
                Err(failure) => Err(failure),
            });
        }
        done
    }

    async fn send(
        &self,
        client: &NatsClient,
        append: &Append,
    ) -> Result<NatsAppend, NatsApiFailure> {
        let (place, subject) = self.place(&append.room, &append.keep)?;
        let window = append.key.as_ref().map(|(_, window)| *window);
        let found = self.stream(client, &place, &append.keep, window.unwrap_or_default());
        let found = found.await?;
        let header = match &append.key {
            Some((key, _)) => {
                let id = format!("{}.{}", escaped(&append.room), escaped(key));
                header("Nats-Msg-Id", &id)
            }
            None => Vec::new(),
        };
        let answers = client.question(&subject, &header, &append.payload).await?;
        Ok(NatsAppend {
            place,
            found,
            answers,
        })
    }

    async fn answered(
        &self,
        sent: NatsAppend,
        deadline: Instant,
    ) -> Result<Appended, NatsApiFailure> {
        let NatsAppend {
            place,
            found,
            mut answers,
        } = sent;
        let answer = timeout_at(deadline, answers.next()).await;
        let answer = answer.unwrap_or(Err(BrokerError::Lost))?;
        match read_answer::<NatsStored>(&answer) {
            Ok(stored) => Ok(self.appended(&place, found, &stored)?),
            Err(failure) => {
                if failure.is_no_stream() {
                    self.forget(&place);
                }
                Err(failure)
            }
        }
    }

    /// Where the log of a room is, and the subject of its entries.
    fn place(
        &self,
        room: &str,
        keep: &KeptInLog,
    ) -> Result<(NatsStreamPlace, String), BrokerError> {
        let place = NatsStreamPlace::of(room, keep, self.partitions);
        let subject = place.subject(&self.prefix, room);
        match subject {
            Some(subject) => Ok((place, subject)),
            None => Err(BrokerError::Refused("the room's name is too long".into())),
        }
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
        self.check_partitions(client, place).await?;
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

    /// Rooms of nodes that count streams in another way would be in two places.
    async fn check_partitions(
        &self,
        client: &NatsClient,
        place: &NatsStreamPlace,
    ) -> Result<(), NatsApiFailure> {
        let names = streams_of(client, &place.of_class(&self.prefix)).await?;
        let spread = |name: &String| place.partitions_of(&self.prefix, name);
        match names
            .iter()
            .filter_map(spread)
            .find(|it| *it != self.partitions)
        {
            None => Ok(()),
            Some(others) => {
                let text = format!(
                    "rooms like this are spread over {others} streams, and by this node over {}: give all nodes the same cluster.streams, or delete the streams that nobody uses any more",
                    self.partitions
                );
                Err(BrokerError::Refused(text.into()).into())
            }
        }
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
            max_age: nanoseconds(keep.ttl.max(KEPT_MIN)).max(window),
            duplicate_window: window,
            rest: rest.as_object().cloned().unwrap_or_default(),
        }
    }

    /// A page of a log whose stream is there afterwards, and is not of an epoch that is over.
    pub(super) async fn open(
        &self,
        client: &NatsClient,
        read: &ReadLog,
        over: Option<u64>,
    ) -> Result<LogPage, BrokerError> {
        in_time(async {
            let (place, subject) = self.place(&read.room, &read.keep)?;
            for _ in 0..TRIES {
                let stream = self
                    .stream(client, &place, &read.keep, Duration::ZERO)
                    .await;
                let stream = stream.map_err(NatsApiFailure::into_broker_error)?.name;
                if over.is_some() && epoch_of(&stream) == over {
                    // What was lost of one room may have been lost of any.
                    let deleted = delete_stream(client, &stream).await;
                    deleted.map_err(NatsApiFailure::into_broker_error)?;
                    self.forget(&place);
                    continue;
                }
                match page(client, &stream, &subject, read).await {
                    // Another one has taken its place meanwhile.
                    Err(failure) if failure.is_no_stream() => self.forget(&place),
                    page => return page.map_err(NatsApiFailure::into_broker_error),
                }
            }
            Err(NatsApiFailure::Nobody.into_broker_error())
        })
        .await
    }

    pub(super) async fn read(
        &self,
        client: &NatsClient,
        read: &ReadLog,
    ) -> Result<LogPage, BrokerError> {
        let (_, subject) = self.place(&read.room, &read.keep)?;
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

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
