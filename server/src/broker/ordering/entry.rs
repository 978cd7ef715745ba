//! One entry of an ordered room's log, as it came from the broker.

use crate::broker::adapter::{LogEntry, LogPlace};
use crate::broker::envelope::{Envelope, MessageId, Recipient};
use crate::broker::inbox::Incoming;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// An entry with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderedEntry {
    pub(crate) place: LogPlace,
    /// Tells it from another one with the same place.
    pub(crate) id: MessageId,
    /// An [`Envelope`].
    pub(crate) payload: Bytes,
    /// As [`LogEntry::age`]; of one that was heard, zero.
    pub(crate) age: Duration,
}

impl OrderedEntry {
    /// One that was read from the log. `None`: it is none, or stands where none can.
    pub(crate) fn of_log(entry: LogEntry) -> Option<OrderedEntry> {
        let LogEntry {
            place,
            payload,
            age,
        } = entry;
        if !place.is_possible() {
            return None;
        }
        let id = Envelope::read(&payload).ok()?.id;
        Some(OrderedEntry {
            place,
            id,
            payload,
            age,
        })
    }

    /// One that was heard, and its room. `None`: it has no place in a room's log.
    pub(crate) fn heard(message: &Incoming, envelope: &Envelope<'_>) -> Option<(Arc<str>, Self)> {
        let place = message.place.or(envelope.place);
        let place = place.filter(LogPlace::is_possible)?;
        let Recipient::Room(room) = envelope.recipient else {
            return None;
        };
        let entry = OrderedEntry {
            place,
            id: envelope.id,
            payload: message.payload.clone(),
            age: Duration::ZERO,
        };
        Some((room.into(), entry))
    }
}
