//! A change of a map: what a publication does to a key of a room that is a map, and who has done
//! it. It travels behind the name of an event (`dialect/tagged`).
//!
//! Invariant: what is read back is what was written, whatever is in it: lengths stand in front.

/// What becomes of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyChange {
    /// It has what is published.
    #[default]
    Set,
    /// It has nothing any more.
    Remove,
}

/// What a publication changes of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapEntry<'a> {
    /// Of which key.
    pub key: &'a str,
    /// And what.
    pub change: KeyChange,
    /// The connection that has published it, of at most 255 bytes; empty: none has.
    pub client: &'a str,
    /// Its user, of at most 255 bytes; empty: it has none.
    pub user: &'a str,
    /// What its token says of it, as JSON of at most 4,095 bytes; empty: nothing.
    pub info: &'a str,
}

/// In front stand the lengths of client and user in two hexadecimal digits each, and that of what
/// is known in three.
const FRONT: usize = 7;
const LONGEST: usize = 0xff;
const LONGEST_INFO: usize = 0xfff;

impl<'a> MapEntry<'a> {
    /// A change that no connection has made.
    pub fn of_server(key: &'a str, change: KeyChange) -> MapEntry<'a> {
        MapEntry {
            key,
            change,
            client: "",
            user: "",
            info: "",
        }
    }

    /// The same key, removed by nobody.
    pub(super) fn removed(&self) -> MapEntry<'a> {
        MapEntry::of_server(self.key, KeyChange::Remove)
    }

    pub(super) fn push(&self, out: &mut String) {
        // What is longer than a length can say is left out.
        let fits = |text: &'a str, max: usize| if text.len() > max { "" } else { text };
        let (client, user) = (fits(self.client, LONGEST), fits(self.user, LONGEST));
        let info = fits(self.info, LONGEST_INFO);
        out.push(match self.change {
            KeyChange::Set => '+',
            KeyChange::Remove => '-',
        });
        let (clients, users, infos) = (client.len(), user.len(), info.len());
        *out += &format!("{clients:02x}{users:02x}{infos:03x}");
        for text in [client, user, info, self.key] {
            *out += text;
        }
    }

    pub(super) fn read(text: &'a str) -> Option<MapEntry<'a>> {
        let (change, text) = match text.split_at_checked(1)? {
            ("+", rest) => (KeyChange::Set, rest),
            ("-", rest) => (KeyChange::Remove, rest),
            _ => return None,
        };
        let (front, mut rest) = text.split_at_checked(FRONT)?;
        let mut take = |digits: std::ops::Range<usize>| {
            let len = usize::from_str_radix(front.get(digits)?, 16).ok()?;
            let (taken, left) = rest.split_at_checked(len)?;
            rest = left;
            Some(taken)
        };
        let (client, user, info) = (take(0..2)?, take(2..4)?, take(4..7)?);
        (!rest.is_empty()).then_some(MapEntry {
            key: rest,
            change,
            client,
            user,
            info,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_back() {
        let (long, longer) = ("x".repeat(LONGEST), "x".repeat(LONGEST + 1));
        for change in [KeyChange::Set, KeyChange::Remove] {
            for (client, user, info) in [
                ("", "", ""),
                ("0-1-2@b", "ann", r#"{"a":"ü"}"#),
                ("", &long, "1"),
                ("c", "\0", ""),
            ] {
                let entry = MapEntry {
                    key: "+00",
                    change,
                    client,
                    user,
                    info,
                };
                let mut text = String::new();
                entry.push(&mut text);
                assert_eq!(MapEntry::read(&text), Some(entry));
            }
        }
        let mut text = String::new();
        let user = &*longer;
        let entry = MapEntry {
            user,
            ..MapEntry::of_server("k", KeyChange::Set)
        };
        entry.push(&mut text);
        assert_eq!(MapEntry::read(&text).map(|entry| entry.user), Some(""));
    }

    #[test]
    fn what_is_no_change_is_none() {
        for text in [
            "",
            "+",
            "k",
            "+0000000",
            "*0000000k",
            "+0100000",
            "+000000zk",
            "+00000k",
            "+01é00000",
            "-0102001abc",
            "-0000fffk",
        ] {
            assert_eq!(MapEntry::read(text), None, "{text:?}");
        }
    }
}
