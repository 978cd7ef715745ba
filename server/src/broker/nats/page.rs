//! A page of a room's log in JetStream, and what is known of what is not on it.
//!
//! Invariant: what a page says of what is behind it is true or errs towards a loss, and nothing is
//! missing between its entries. Used by the log.

use crate::broker::adapter::{BrokerError, LogEntry, LogPage, LogPlace, ReadLog};
use crate::broker::nats::client::NatsClient;
use crate::broker::nats::jetstream::{
    NatsApiFailure, NatsPick, create_consumer, delete_consumer, message_of, stream_info,
    stream_state,
};
use crate::broker::nats::subjects::epoch_of;
use crate::broker::nats::wire::NatsHeader;
use crate::broker::pages::{chain, leave_whole};
use bytes::Bytes;
use std::time::Duration;

/// Bytes of a page, besides its last entry.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// A page of the log of the room with this subject.
pub(super) async fn page(
    client: &NatsClient,
    stream: &str,
    subject: &str,
    read: &ReadLog,
) -> Result<LogPage, NatsApiFailure> {
    let epoch = epoch_of(stream).ok_or_else(|| {
        let text = format!("the stream {stream} is none of ours and takes our subjects");
        NatsApiFailure::from(BrokerError::Refused(text.into()))
    })?;
    // Before the room is looked at, which then has all that was given up to here.
    let newest = stream_state(client, stream).await?.last_seq;
    let empty = |behind| LogPage {
        epoch,
        newest,
        behind,
        ..LogPage::default()
    };
    let after = read.after;
    let (last, mut entries) = match message_of(client, stream, subject, NatsPick::Last).await? {
        None => {
            let state = stream_state(client, stream).await?;
            return Ok(empty(after.max(state.first_seq.saturating_sub(1))));
        }
        // Entries go oldest first, so none that is newer has gone.
        Some((last, _)) if last <= after => return Ok(empty(after)),
        // The next look at a room that little or nothing was published to: what is there is known,
        // or new.
        Some((last, payload)) if after > 0 && last == after + 1 => {
            (last, vec![entry(epoch, last, payload, Duration::ZERO)])
        }
        Some((last, _)) => {
            let entries = entries(client, (stream, epoch), subject, read, last);
            (last, entries.await?)
        }
    };
    if entries.is_empty() {
        let text = "JetStream delivers nothing of what it has".into();
        return Err(BrokerError::Refused(text).into());
    }
    let behind = behind(client, stream, subject, after, &mut entries).await?;
    chain(&mut entries, behind);
    Ok(LogPage {
        epoch,
        newest: newest.max(last),
        behind,
        has_more: entries
            .last()
            .is_some_and(|entry| entry.place.offset < last),
        entries,
    })
}

/// Behind which offset nothing is missing before the first of the entries that were read behind
/// `after`; leaves those between which nothing is. Asked once they were read, so that what was
/// trimmed meanwhile counts as well.
async fn behind(
    client: &NatsClient,
    stream: &str,
    subject: &str,
    after: u64,
    entries: &mut Vec<LogEntry>,
) -> Result<u64, NatsApiFailure> {
    if entries.len() == 1 && first_of(entries, after) == after + 1 {
        return Ok(after);
    }
    let oldest = message_of(client, stream, subject, NatsPick::First).await?;
    let oldest = oldest.map(|(oldest, _)| oldest);
    let left_out = leave_whole(entries, oldest);
    let first = first_of(entries, after);
    if left_out > 0 {
        return Ok(first - 1);
    }
    if first == after + 1 || oldest.is_some_and(|oldest| oldest <= after) {
        return Ok(after);
    }
    let info = stream_info(client, stream, subject).await?;
    let counts = info.state.subjects.as_ref();
    let count = counts.and_then(|counts| counts.get(subject)).copied();
    let entries_max = u64::try_from(info.config.max_msgs_per_subject).unwrap_or(u64::MAX);
    // A room that has as many as may be has lost its oldest to that, or is about to. (A server that
    // has forgotten the newest has fewer, and is found out by whoever knew those.)
    let behind = match count.unwrap_or(0) < entries_max {
        true => after.max(info.state.first_seq.saturating_sub(1)),
        false => first - 1,
    };
    Ok(behind.min(first - 1))
}

/// The offset of the first of some entries behind `after`.
fn first_of(entries: &[LogEntry], after: u64) -> u64 {
    entries
        .first()
        .map_or(after + 1, |first| first.place.offset)
}

/// Entries of a room behind a place, up to the newest that was seen; they do not name the ones
/// before them yet.
async fn entries(
    client: &NatsClient,
    (stream, epoch): (&str, u64),
    subject: &str,
    read: &ReadLog,
    newest: u64,
) -> Result<Vec<LogEntry>, NatsApiFailure> {
    /// How long the server waits for a replica that lags.
    const EXPIRES: Duration = Duration::from_secs(2);
    let consumer = create_consumer(client, stream, subject, read.after.saturating_add(1)).await?;
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{}", consumer.name);
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
        let Some(stored) = stored_of(&answer.reply) else {
            let text = "JetStream delivers without a place".into();
            return Err(BrokerError::Refused(text).into());
        };
        if stored.offset <= last {
            return Err(BrokerError::Refused("JetStream's sequence does not rise".into()).into());
        }
        last = stored.offset;
        bytes += answer.payload.len();
        // Both by the server's clock.
        let age = consumer.made().saturating_sub(stored.at);
        entries.push(entry(epoch, last, answer.payload, age));
        if last >= newest {
            break;
        }
    }
    drop(answers);
    // It would go by itself in a while.
    _ = delete_consumer(client, stream, &consumer.name).await;
    Ok(entries)
}

fn entry(epoch: u64, offset: u64, payload: Bytes, age: Duration) -> LogEntry {
    let place = LogPlace {
        epoch,
        offset,
        previous: LogPlace::UNKNOWN,
    };
    LogEntry {
        place,
        payload,
        age,
    }
}

/// Where and when a message was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NatsStoredAt {
    /// Its sequence.
    offset: u64,
    /// Since 1970.
    at: Duration,
}

/// What the subject of an acknowledgement says:
/// `$JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.DELIVERED.SEQUENCE.CONSUMED.NANOSECONDS.…`, with one
/// or two more.
fn stored_of(reply: &[u8]) -> Option<NatsStoredAt> {
    let reply = std::str::from_utf8(reply).ok()?;
    let tokens: Vec<&str> = reply.split('.').collect();
    let place = match tokens.len() {
        9 => 5,
        11.. => 7,
        _ => return None,
    };
    if tokens[..2] != ["$JS", "ACK"] {
        return None;
    }
    Some(NatsStoredAt {
        offset: tokens[place].parse().ok()?,
        at: Duration::from_nanos(tokens[place + 2].parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_say_what_is_acknowledged() {
        let stored = |offset, at| {
            let at = Duration::from_nanos(at);
            Some(NatsStoredAt { offset, at })
        };
        for (reply, expected) in [
            ("$JS.ACK.s.c.1.42.7.1000000000000000123.3", {
                stored(42, 1_000_000_000_000_000_123)
            }),
            ("$JS.ACK.d.a.s.c.1.42.7.5.3.token", stored(42, 5)),
            ("$JS.ACK.d.a.s.c.1.42.7.5.3", stored(42, 5)),
            ("$JS.ACK.s.c.1.42.7.5", None),
            ("$JS.NAK.s.c.1.42.7.5.3", None),
            ("$JS.ACK.s.c.1.x.7.5.3", None),
            ("$JS.ACK.s.c.1.42.7.x.3", None),
            ("", None),
        ] {
            assert_eq!(stored_of(reply.as_bytes()), expected, "{reply}");
        }
    }
}
