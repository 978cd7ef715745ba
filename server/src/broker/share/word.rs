//! One word of a node about its share, as bytes.
//!
//! Invariant: a word that was read is complete, its names are UTF-8 and no longer than any may be.
//! Written by [`crate::broker::share::own`] and by who asks, read by
//! [`crate::broker::share::others`]. Carried as the binary data of an envelope for all nodes.
//!
//! Numbers are big-endian. Version 1:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version |
//! | 1 | 0 alive, 1 changes, 2 page, 3 question |
//! | 8 | the number of the node's last changes or page, this word included |
//! | | page: the key before its first, or none, and its last, or none where it ends the share |
//! | | changes and pages: for each item its key and its value |
//! | | question: 8 bytes for each node that is asked, its run |
//!
//! A key is a byte (0 none, 1 room, 2 user, 3 a room's member that is a connection, 4 one that is a
//! user), and for each name of it 2 bytes of length and the name. A room and a user have 4 bytes,
//! how many members; 0: none. A member has a byte (0 gone, 1 here, 2 away) and, unless it is gone,
//! its user as a name, a byte for the data that it shows (0 none, 1 text, 2 binary), and for these
//! a byte how they are written, 2 bytes of length and the data.

use shardcast_engine::{
    Data, DataEncoding, OwnedData, PresenceKey, PresenceState, PresentThere, TopicName,
};
use std::sync::Arc;

/// Part of a node's share. `None`: it is no part any more.
pub(crate) type ShareItem = (ShareKey, Option<ShareValue>);

/// What a node has something of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShareKey {
    /// A room or a user.
    Topic(TopicName),
    /// A member of a room that keeps presence: a user, or a connection as others are told of it.
    Member(Arc<str>, PresenceKey),
}

/// What it has of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShareValue {
    /// So many members, at least one.
    Members(u32),
    /// A member.
    Shown(PresentThere),
}

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShareWord {
    /// Counts its changes and pages.
    pub(crate) number: u64,
    pub(crate) says: ShareSays,
}

/// What a word is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShareSays {
    /// There was nothing else to say.
    Alive,
    /// These are so now.
    Changes(Vec<ShareItem>),
    /// These are all behind one key up to another.
    Page {
        /// `None`: from the first on.
        after: Option<ShareKey>,
        /// `None`: up to the last.
        upto: Option<ShareKey>,
        items: Vec<ShareItem>,
    },
    /// The nodes with these runs are to tell all of their shares.
    Question(Vec<u64>),
}

impl ShareKey {
    /// Bytes of its names.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            ShareKey::Topic(TopicName::Room(name) | TopicName::User(name)) => name.len(),
            ShareKey::Member(room, PresenceKey::Elsewhere(name) | PresenceKey::User(name)) => {
                room.len() + name.len()
            }
            ShareKey::Member(room, PresenceKey::Connection(_)) => room.len(),
        }
    }
}

impl ShareValue {
    /// Bytes of what it holds.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            ShareValue::Members(_) => 0,
            ShareValue::Shown(shown) => {
                let user = shown.user.as_ref().map_or(0, |user| user.len());
                let data = shown.data.as_ref();
                user + data.map_or(0, |data| data.data().bytes().len())
            }
        }
    }
}

impl ShareWord {
    const VERSION: u8 = 1;
    /// Longest word that is read.
    pub(crate) const BYTES_MAX: usize = 256 << 10;
    /// Longest name in one: above what a room or a user may be called.
    const NAME_BYTES_MAX: usize = 1_024;
    /// Most that an item takes beside its names and what it shows.
    const ITEM_BYTES: usize = 16;

    /// As bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![Self::VERSION];
        let kind = match &self.says {
            ShareSays::Alive => 0,
            ShareSays::Changes(_) => 1,
            ShareSays::Page { .. } => 2,
            ShareSays::Question(_) => 3,
        };
        out.push(kind);
        out.extend(self.number.to_be_bytes());
        match &self.says {
            ShareSays::Alive => {}
            ShareSays::Changes(items) => write_items(&mut out, items),
            ShareSays::Page { after, upto, items } => {
                write_key(&mut out, after.as_ref());
                write_key(&mut out, upto.as_ref());
                write_items(&mut out, items);
            }
            ShareSays::Question(runs) => {
                out.extend(runs.iter().flat_map(|run| run.to_be_bytes()));
            }
        }
        out
    }

    /// About what an item adds to a word, and no less.
    pub(crate) fn item_bytes((key, value): &ShareItem) -> usize {
        Self::ITEM_BYTES + key.bytes() + value.as_ref().map_or(0, ShareValue::bytes)
    }

    /// What the bytes say. `None`: no server of this version has written them.
    pub(crate) fn read(bytes: &[u8]) -> Option<ShareWord> {
        if bytes.len() > Self::BYTES_MAX {
            return None;
        }
        let mut rest = Unread(bytes);
        let [version, kind] = rest.array()?;
        if version != Self::VERSION {
            return None;
        }
        let number = u64::from_be_bytes(rest.array()?);
        let says = match kind {
            0 if rest.0.is_empty() => ShareSays::Alive,
            1 => ShareSays::Changes(rest.items()?),
            2 => ShareSays::Page {
                after: rest.key()?,
                upto: rest.key()?,
                items: rest.items()?,
            },
            3 => ShareSays::Question(rest.runs()?),
            _ => return None,
        };
        Some(ShareWord { number, says })
    }
}

fn write_items(out: &mut Vec<u8>, items: &[ShareItem]) {
    for (key, value) in items {
        write_key(out, Some(key));
        match (key, value) {
            (ShareKey::Topic(_), Some(ShareValue::Members(members))) => {
                out.extend(members.to_be_bytes());
            }
            (ShareKey::Topic(_), _) => out.extend([0; 4]),
            (ShareKey::Member(..), Some(ShareValue::Shown(shown))) => write_shown(out, shown),
            (ShareKey::Member(..), _) => out.push(0),
        }
    }
}

fn write_shown(out: &mut Vec<u8>, shown: &PresentThere) {
    out.push(match shown.state {
        PresenceState::Here => 1,
        PresenceState::Away => 2,
    });
    write_name(out, shown.user.as_deref().unwrap_or_default());
    let Some(data) = &shown.data else {
        return out.push(0);
    };
    let (kind, bytes) = match data.data() {
        Data::Text(text) => (1, text.as_bytes()),
        Data::Binary(bytes) => (2, bytes),
    };
    out.extend([kind, data.data_encoding().0]);
    write_bytes(out, bytes);
}

fn write_key(out: &mut Vec<u8>, key: Option<&ShareKey>) {
    match key {
        None | Some(ShareKey::Member(_, PresenceKey::Connection(_))) => out.push(0),
        Some(ShareKey::Topic(TopicName::Room(name))) => {
            out.push(1);
            write_name(out, name);
        }
        Some(ShareKey::Topic(TopicName::User(name))) => {
            out.push(2);
            write_name(out, name);
        }
        Some(ShareKey::Member(room, PresenceKey::Elsewhere(name))) => {
            out.push(3);
            write_name(out, room);
            write_name(out, name);
        }
        Some(ShareKey::Member(room, PresenceKey::User(name))) => {
            out.push(4);
            write_name(out, room);
            write_name(out, name);
        }
    }
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    write_bytes(out, name.as_bytes());
}

/// No name of this server, and nothing that a member shows, is longer than its length can say.
fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend(len.to_be_bytes());
    out.extend(&bytes[..len.into()]);
}

/// What of the bytes was not read.
struct Unread<'w>(&'w [u8]);

impl<'w> Unread<'w> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn bytes(&mut self, max: usize) -> Option<&'w [u8]> {
        let len = usize::from(u16::from_be_bytes(self.array()?));
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        (len <= max).then_some(bytes)
    }

    fn name(&mut self) -> Option<&'w str> {
        let name = str::from_utf8(self.bytes(ShareWord::NAME_BYTES_MAX)?).ok()?;
        (!name.is_empty()).then_some(name)
    }

    /// `Some(None)`: none stands there.
    #[expect(
        clippy::option_option,
        reason = "no key is not the same as a broken one"
    )]
    fn key(&mut self) -> Option<Option<ShareKey>> {
        let [kind] = self.array()?;
        Some(Some(match kind {
            0 => return Some(None),
            1 => ShareKey::Topic(TopicName::Room(self.name()?.into())),
            2 => ShareKey::Topic(TopicName::User(self.name()?.into())),
            3 => {
                let room = self.name()?.into();
                ShareKey::Member(room, PresenceKey::Elsewhere(self.name()?.into()))
            }
            4 => {
                let room = self.name()?.into();
                ShareKey::Member(room, PresenceKey::User(self.name()?.into()))
            }
            _ => return None,
        }))
    }

    fn items(&mut self) -> Option<Vec<ShareItem>> {
        let mut items = Vec::new();
        while !self.0.is_empty() {
            let key = self.key()??;
            let value = match key {
                ShareKey::Topic(_) => match u32::from_be_bytes(self.array()?) {
                    0 => None,
                    members => Some(ShareValue::Members(members)),
                },
                ShareKey::Member(..) => self.shown()?,
            };
            items.push((key, value));
        }
        Some(items)
    }

    /// `Some(None)`: the member is gone.
    #[expect(
        clippy::option_option,
        reason = "no member is not the same as a broken one"
    )]
    fn shown(&mut self) -> Option<Option<ShareValue>> {
        let [state] = self.array()?;
        let state = match state {
            0 => return Some(None),
            1 => PresenceState::Here,
            2 => PresenceState::Away,
            _ => return None,
        };
        let user = str::from_utf8(self.bytes(ShareWord::NAME_BYTES_MAX)?).ok()?;
        let user = (!user.is_empty()).then(|| Arc::from(user));
        let data = self.data()?.map(Arc::new);
        Some(Some(ShareValue::Shown(PresentThere { user, data, state })))
    }

    /// `Some(None)`: none stands there.
    #[expect(
        clippy::option_option,
        reason = "no data is not the same as broken ones"
    )]
    fn data(&mut self) -> Option<Option<OwnedData>> {
        let [kind] = self.array()?;
        if kind == 0 {
            return Some(None);
        }
        let [encoding] = self.array()?;
        let bytes = self.bytes(OwnedData::BYTES_MAX)?;
        let data = match kind {
            1 => Data::Text(str::from_utf8(bytes).ok()?),
            2 => Data::Binary(bytes),
            _ => return None,
        };
        Some(Some(OwnedData::new(data, DataEncoding(encoding))))
    }

    fn runs(&mut self) -> Option<Vec<u64>> {
        let (runs, rest) = self.0.as_chunks();
        let runs = runs.iter().map(|run| u64::from_be_bytes(*run));
        rest.is_empty().then(|| runs.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every() -> Vec<ShareWord> {
        let topic = |name: TopicName| ShareKey::Topic(name);
        let (room, user) = (
            topic(TopicName::Room("größe".into())),
            topic(TopicName::User("ann".into())),
        );
        let there = |user: Option<&str>, data: Option<Data<'_>>, state| {
            Some(ShareValue::Shown(PresentThere {
                user: user.map(Arc::from),
                data: data.map(|data| Arc::new(OwnedData::new(data, DataEncoding(2)))),
                state,
            }))
        };
        let member = |key| ShareKey::Member("chat:a".into(), key);
        let (ann, one) = (
            member(PresenceKey::User("ann".into())),
            member(PresenceKey::Elsewhere("0-1-2@b".into())),
        );
        let items = vec![
            (room.clone(), Some(ShareValue::Members(3))),
            (user, None),
            (ann.clone(), there(Some("ann"), None, PresenceState::Away)),
            (one.clone(), None),
            (
                one,
                there(None, Some(Data::Binary(&[0, 255])), PresenceState::Here),
            ),
            (
                ann.clone(),
                there(Some("ann"), Some(Data::Text("1")), PresenceState::Here),
            ),
        ];
        let says = [
            ShareSays::Alive,
            ShareSays::Changes(items.clone()),
            ShareSays::Page {
                after: None,
                upto: Some(ann),
                items,
            },
            ShareSays::Page {
                after: Some(room),
                upto: None,
                items: Vec::new(),
            },
            ShareSays::Question(vec![1, u64::MAX]),
        ];
        let word = |(number, says)| ShareWord { number, says };
        (7..).zip(says).map(word).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        for word in every() {
            assert_eq!(ShareWord::read(&word.write()), Some(word));
        }
    }

    #[test]
    fn an_item_takes_no_more_than_is_said() {
        let word = |items| ShareWord {
            number: 1,
            says: ShareSays::Changes(items),
        };
        let nothing = word(Vec::new()).write().len();
        for said in every() {
            let (ShareSays::Changes(items) | ShareSays::Page { items, .. }) = said.says else {
                continue;
            };
            for item in items {
                let most = ShareWord::item_bytes(&item);
                assert!(word(vec![item]).write().len() - nothing <= most);
            }
        }
    }

    /// Every cut of a word is refused, or is a shorter word of the same kind.
    #[test]
    fn nothing_that_is_cut_or_turned_is_a_danger() {
        for word in every() {
            let bytes = word.write();
            for len in 0..bytes.len() {
                if let Some(read) = ShareWord::read(&bytes[..len]) {
                    assert_eq!(read.number, word.number);
                    assert!(read.write().len() == len, "{word:?} at {len}");
                }
            }
            let mut random = fastrand::Rng::with_seed(bytes.len() as u64);
            for _ in 0..2_000 {
                let mut bytes = bytes.clone();
                let at = random.usize(0..bytes.len());
                bytes[at] = random.u8(..);
                if let Some(read) = ShareWord::read(&bytes) {
                    assert_eq!(ShareWord::read(&read.write()), Some(read));
                }
            }
        }
        assert_eq!(ShareWord::read(&vec![1; ShareWord::BYTES_MAX + 1]), None);
        assert_eq!(ShareWord::read(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
