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
//! | | changes and pages: for each item its key and 4 bytes, how many members |
//! | | question: 8 bytes for each node that is asked, its run |
//!
//! A key is a byte (0 none, 1 room, 2 user), and but for none 2 bytes of length and the name.

use shardcast_engine::TopicName;

/// Part of a node's share.
pub(crate) type ShareItem = (TopicName, u32);

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
    /// These have so many members now. 0: none.
    Changes(Vec<ShareItem>),
    /// These are all behind one key up to another.
    Page {
        /// `None`: from the first on.
        after: Option<TopicName>,
        /// `None`: up to the last.
        upto: Option<TopicName>,
        items: Vec<ShareItem>,
    },
    /// The nodes with these runs are to tell all of their shares.
    Question(Vec<u64>),
}

impl ShareWord {
    const VERSION: u8 = 1;
    /// Longest word that is read.
    pub(crate) const BYTES_MAX: usize = 256 << 10;
    /// Longest name in one: above what a room or a user may be called.
    const NAME_BYTES_MAX: usize = 1_024;

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

    /// What an item adds to a word.
    pub(crate) fn item_bytes((topic, _): &ShareItem) -> usize {
        7 + name_of(topic).len()
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

fn name_of(topic: &TopicName) -> &str {
    match topic {
        TopicName::Room(name) | TopicName::User(name) => name,
    }
}

fn write_items(out: &mut Vec<u8>, items: &[ShareItem]) {
    for (topic, members) in items {
        write_key(out, Some(topic));
        out.extend(members.to_be_bytes());
    }
}

fn write_key(out: &mut Vec<u8>, topic: Option<&TopicName>) {
    let Some(topic) = topic else {
        return out.push(0);
    };
    out.push(match topic {
        TopicName::Room(_) => 1,
        TopicName::User(_) => 2,
    });
    let name = name_of(topic);
    // No name of this server is longer.
    let len = u16::try_from(name.len()).unwrap_or(u16::MAX);
    out.extend(len.to_be_bytes());
    out.extend(&name.as_bytes()[..len.into()]);
}

/// What of the bytes was not read.
struct Unread<'w>(&'w [u8]);

impl Unread<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    /// `Some(None)`: none stands there.
    #[expect(
        clippy::option_option,
        reason = "no key is not the same as a broken one"
    )]
    fn key(&mut self) -> Option<Option<TopicName>> {
        let [kind] = self.array()?;
        if kind == 0 {
            return Some(None);
        }
        let len = usize::from(u16::from_be_bytes(self.array()?));
        let (name, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        let name = str::from_utf8(name).ok()?;
        if name.is_empty() || len > ShareWord::NAME_BYTES_MAX {
            return None;
        }
        match kind {
            1 => Some(Some(TopicName::Room(name.into()))),
            2 => Some(Some(TopicName::User(name.into()))),
            _ => None,
        }
    }

    fn items(&mut self) -> Option<Vec<ShareItem>> {
        let mut items = Vec::new();
        while !self.0.is_empty() {
            let topic = self.key()??;
            items.push((topic, u32::from_be_bytes(self.array()?)));
        }
        Some(items)
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
        let (room, user) = (
            TopicName::Room("größe".into()),
            TopicName::User("ann".into()),
        );
        let items = vec![(room.clone(), 3), (user.clone(), u32::MAX)];
        let says = [
            ShareSays::Alive,
            ShareSays::Changes(items.clone()),
            ShareSays::Page {
                after: None,
                upto: Some(user),
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
    fn an_item_takes_as_much_as_is_said() {
        let item = (TopicName::Room("lobby".into()), 1);
        let word = |items| ShareWord {
            number: 1,
            says: ShareSays::Changes(items),
        };
        let more = word(vec![item.clone()]).write().len() - word(Vec::new()).write().len();
        assert_eq!(more, ShareWord::item_bytes(&item));
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
