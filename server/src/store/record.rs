//! Values of the store, as bytes: a publication of a log, and what is known of a log itself.
//!
//! Invariant: what was written is read as it was; anything else is [`Damaged`], and never read
//! beyond its end. The store's file has checksums of its own, so damage is what they miss, or a
//! file of another version.

use shardcast_engine::{
    Address, Content, Data, DataEncoding, LogLeft, Position, Publication, PublicationKind,
    StoredPublication, Ticket,
};
use std::sync::Arc;

/// The bytes are no value of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entry that this version cannot read")]
pub(crate) struct Damaged;

/// What is known of a log, besides its publications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogRow {
    /// Names its publications.
    pub(crate) id: u64,
    pub(crate) epoch: u64,
    /// The offset of the next publication.
    pub(crate) next: u64,
    pub(crate) left: LogLeft,
    /// Up to where earlier epochs were the same, the newest last.
    pub(crate) former: Vec<Position>,
}

/// The first byte of every value.
pub(super) const VERSION: u8 = 1;
const MESSAGE: u8 = 0;
const EVENT: u8 = 1;
/// A message of another node's connection.
const ELSEWHERE: u8 = 2;
pub(super) const TEXT: u8 = 0;
pub(super) const BINARY: u8 = 1;

impl LogRow {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let LogLeft { first, taken } = self.left;
        for number in [self.id, self.epoch, self.next, first, taken] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for position in &self.former {
            out.extend_from_slice(&position.epoch.to_le_bytes());
            out.extend_from_slice(&position.offset.to_le_bytes());
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<LogRow, Damaged> {
        let mut reader = RecordReader::new(bytes)?;
        let mut row = LogRow {
            id: reader.u64()?,
            epoch: reader.u64()?,
            next: reader.u64()?,
            left: LogLeft {
                first: reader.u64()?,
                taken: reader.u64()?,
            },
            former: Vec::new(),
        };
        while !reader.0.is_empty() {
            let (epoch, offset) = (reader.u64()?, reader.u64()?);
            row.former.push(Position { epoch, offset });
        }
        let is_possible = (1..=row.next).contains(&row.left.first) && row.left.taken < row.next;
        is_possible.then_some(row).ok_or(Damaged)
    }
}

/// Appends a publication, which was published at this time, in milliseconds since 1970. False: it
/// was published as a frame, which means nothing elsewhere.
pub(crate) fn write(publication: &StoredPublication, at_ms: u64, out: &mut Vec<u8>) -> bool {
    let Some(said) = publication.kept.publication(None) else {
        return false;
    };
    out.push(VERSION);
    out.extend_from_slice(&at_ms.to_le_bytes());
    for text in [publication.key.as_deref(), publication.conflate.as_deref()] {
        // Keys are short; without one there is none.
        push_bytes(out, text.unwrap_or_default().as_bytes());
    }
    match said.kind {
        PublicationKind::Message { publisher } => {
            out.push(MESSAGE);
            let Ticket { slot, generation } = publisher.ticket;
            out.extend_from_slice(&publisher.shard.to_le_bytes());
            out.extend_from_slice(&slot.to_le_bytes());
            out.extend_from_slice(&generation.to_le_bytes());
        }
        PublicationKind::Elsewhere { from } => {
            out.push(ELSEWHERE);
            push_bytes(out, from.as_bytes());
        }
        PublicationKind::Event { name } => {
            out.push(EVENT);
            push_bytes(out, name.as_bytes());
        }
        // What members do is not kept.
        PublicationKind::Presence { .. } | PublicationKind::Members { .. } => return false,
    }
    out.push(said.data_encoding.0);
    let (form, data) = match said.data {
        Data::Text(text) => (TEXT, text.as_bytes()),
        Data::Binary(bytes) => (BINARY, bytes),
    };
    out.push(form);
    out.extend_from_slice(data);
    true
}

/// A publication with this offset, as it is at a time.
pub(crate) fn read(offset: u64, bytes: &[u8], now_ms: u64) -> Result<StoredPublication, Damaged> {
    let mut reader = RecordReader::new(bytes)?;
    let at_ms = reader.u64()?;
    let mut key = || -> Result<Option<Arc<str>>, Damaged> {
        let text = reader.text()?;
        Ok((!text.is_empty()).then(|| text.into()))
    };
    let (key, conflate) = (key()?, key()?);
    let kind = match reader.u8()? {
        MESSAGE => PublicationKind::Message {
            publisher: Address {
                shard: u16::from_le_bytes(reader.array()?),
                ticket: Ticket {
                    slot: u32::from_le_bytes(reader.array()?),
                    generation: u32::from_le_bytes(reader.array()?),
                },
            },
        },
        ELSEWHERE => PublicationKind::Elsewhere {
            from: reader.text()?,
        },
        EVENT => PublicationKind::Event {
            name: reader.text()?,
        },
        _ => return Err(Damaged),
    };
    let data_encoding = DataEncoding(reader.u8()?);
    let data = match reader.u8()? {
        TEXT => Data::Text(str::from_utf8(reader.0).map_err(|_| Damaged)?),
        BINARY => Data::Binary(reader.0),
        _ => return Err(Damaged),
    };
    let publication = Publication {
        topic: None,
        kind,
        data,
        data_encoding,
    };
    let content = Content::data(&publication, None);
    let age_ms = now_ms.saturating_sub(at_ms);
    Ok(StoredPublication::new(
        offset, content, age_ms, key, conflate,
    ))
}

pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("names and keys are short");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// What is left of a value.
pub(super) struct RecordReader<'b>(&'b [u8]);

impl<'b> RecordReader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Result<RecordReader<'b>, Damaged> {
        let mut reader = RecordReader(bytes);
        match reader.u8()? {
            VERSION => Ok(reader),
            _ => Err(Damaged),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], Damaged> {
        let taken = self.take(LEN)?;
        Ok(taken.try_into().expect("as long as was asked for"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Damaged> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_le_bytes)
    }

    /// With their count before them.
    pub(super) fn bytes(&mut self) -> Result<&'b [u8], Damaged> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    pub(super) fn text(&mut self) -> Result<&'b str, Damaged> {
        str::from_utf8(self.bytes()?).map_err(|_| Damaged)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(kind: PublicationKind<'_>, data: Data<'_>, key: Option<&str>) -> Vec<u8> {
        let publication = Publication {
            topic: None,
            kind,
            data,
            data_encoding: DataEncoding(2),
        };
        let content = Content::data(&publication, None);
        let conflate = key.map(|key| Arc::from(key.to_uppercase()));
        let stored = StoredPublication::new(7, content, 0, key.map(Arc::from), conflate);
        let mut out = Vec::new();
        assert!(write(&stored, 5_000, &mut out));
        out
    }

    fn samples() -> Vec<Vec<u8>> {
        let publisher = Address {
            shard: 3,
            ticket: Ticket {
                slot: 70_000,
                generation: 9,
            },
        };
        vec![
            publication(
                PublicationKind::Message { publisher },
                Data::Text("{}"),
                None,
            ),
            publication(
                PublicationKind::Message { publisher },
                Data::Binary(&[0xff, 0]),
                Some("order-17"),
            ),
            publication(
                PublicationKind::Elsewhere { from: "0-1-2@b" },
                Data::Text("{}"),
                None,
            ),
            publication(
                PublicationKind::Event { name: "prïce" },
                Data::Text(""),
                Some("k"),
            ),
        ]
    }

    #[test]
    fn what_was_written_is_read() {
        for bytes in samples() {
            let read = read(7, &bytes, 6_500).expect("it is whole");
            assert_eq!((read.kept.offset, read.age_ms), (7, 1_500));
            let mut again = Vec::new();
            assert!(write(&read, 5_000, &mut again));
            assert_eq!(again, bytes);
        }
        let row = LogRow {
            id: 1,
            epoch: u64::MAX,
            next: 10,
            left: LogLeft { first: 4, taken: 3 },
            former: vec![Position {
                epoch: 8,
                offset: 2,
            }],
        };
        let mut bytes = Vec::new();
        row.write(&mut bytes);
        assert_eq!(LogRow::read(&bytes), Ok(row));
    }

    /// Every beginning of a value, and values with any bytes changed: nothing panics, and what is
    /// read is a value that can be written.
    #[test]
    fn damage_is_noticed_or_harmless() {
        let mut random = fastrand::Rng::with_seed(5);
        for bytes in samples() {
            for len in 0..bytes.len() {
                let _ = read(1, &bytes[..len], 0);
                assert!(LogRow::read(&bytes[..len.min(40)]).is_err());
            }
            for _ in 0..5_000 {
                let mut bytes = bytes.clone();
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(0..bytes.len());
                    bytes[at] = random.u8(..);
                }
                if let Ok(read) = read(1, &bytes, 0) {
                    assert!(write(&read, 0, &mut Vec::new()));
                }
            }
        }
    }
}
