//! Where things are at a NATS server: subjects and the names of streams.
//!
//! Invariant: two addresses of the bridge never become one subject, whatever their names are, and
//! no name of a user means a wildcard. Used by the adapter and its log.

use crate::broker::adapter::KeptInLog;
use crate::broker::agreed::agreed_hash;
use crate::broker::nats::wire::SAID_BYTES_MAX;
use crate::broker::subject::Subject;
use std::fmt::Write;
use std::time::Duration;

/// Longest subject: half a line, for a reply and lengths stand in it, too.
pub(super) const SUBJECT_BYTES_MAX: usize = SAID_BYTES_MAX / 2;

/// The subject of an address. `None`: its name is too long for one.
pub(super) fn subject(prefix: &str, address: &Subject) -> Option<String> {
    let mut subject = String::new();
    put_subject(&mut subject, prefix, address).map(|()| subject)
}

/// The same behind what `out` has. `None`: its name is too long for one.
pub(super) fn put_subject(out: &mut String, prefix: &str, address: &Subject) -> Option<()> {
    let begin = out.len();
    out.push_str(prefix);
    match address {
        Subject::Room(name) => {
            out.push_str(".room.");
            put_escaped(out, name);
        }
        Subject::User(name) => {
            out.push_str(".user.");
            put_escaped(out, name);
        }
        Subject::Everyone => out.push_str(".everyone"),
        Subject::Nodes => out.push_str(".nodes"),
        Subject::Node(run) => _ = write!(out, ".node.{run:x}"),
        Subject::Partition(number) => _ = write!(out, ".partition.{number}"),
    }
    (out.len() - begin <= SUBJECT_BYTES_MAX).then_some(())
}

/// A name as one token of a subject: without what separates tokens, what is a wildcard, and white
/// space. Bytes that are none of ASCII stay.
pub(super) fn escaped(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    put_escaped(&mut token, name);
    token
}

fn put_escaped(out: &mut String, name: &str) {
    let is_special = |byte: u8| matches!(byte, b'\0'..=b' ' | b'\x7f' | b'.' | b'*' | b'>' | b'%');
    // A token cannot be empty.
    if name.is_empty() {
        return out.push('%');
    }
    let mut rest = name;
    while let Some(at) = rest.bytes().position(is_special) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        // What is special is of one byte.
        _ = write!(out, "%{:02X}", from.as_bytes()[0]);
        rest = &from[1..];
    }
    out.push_str(rest);
}

/// Where the log of a room is: the stream of its class and partition. JetStream's limits are a
/// stream's, so rooms that keep other things are in other streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct NatsStreamPlace {
    /// `e1000-t300000`: entries, and milliseconds.
    class: String,
    /// How many streams there are, and which of them it is. All nodes of a cluster must agree on
    /// the number.
    partitions: usize,
    partition: u64,
}

impl NatsStreamPlace {
    pub(super) fn of(room: &str, keep: &KeptInLog, partitions: usize) -> NatsStreamPlace {
        NatsStreamPlace {
            class: format!("e{}-t{}", keep.entries_max, milliseconds(keep.ttl)),
            partitions,
            partition: agreed_hash(room.bytes()) % partitions as u64,
        }
    }

    /// What the stream takes: one token, the room, behind this.
    pub(super) fn subjects(&self, prefix: &str) -> String {
        let NatsStreamPlace {
            class,
            partitions,
            partition,
        } = self;
        format!("{prefix}.log.{class}.p{partitions}.{partition}")
    }

    /// What all streams of its class take, however many they are.
    pub(super) fn of_class(&self, prefix: &str) -> String {
        format!("{prefix}.log.{}.>", self.class)
    }

    /// What the names of streams of its class begin with, up to how many they are.
    fn class_name(&self, prefix: &str) -> String {
        format!("{prefix}-log-{}-p", self.class)
    }

    /// Over how many streams the class is spread that a stream of this name is of. `None`: it is
    /// none of ours.
    pub(super) fn partitions_of(&self, prefix: &str, stream: &str) -> Option<usize> {
        let rest = stream.strip_prefix(&self.class_name(prefix))?;
        rest.split_once('-')?.0.parse().ok()
    }

    /// The subject that a room's entries are appended by.
    pub(super) fn subject(&self, prefix: &str, room: &str) -> Option<String> {
        let subject = format!("{}.{}", self.subjects(prefix), escaped(room));
        (subject.len() <= SUBJECT_BYTES_MAX).then_some(subject)
    }

    /// The name of its stream in this epoch: who sees the name knows the epoch.
    pub(super) fn stream(&self, prefix: &str, epoch: u64) -> String {
        let class = self.class_name(prefix);
        format!("{class}{}-{}-{epoch:x}", self.partitions, self.partition)
    }
}

/// The epoch in the name of a stream of ours.
pub(super) fn epoch_of(stream: &str) -> Option<u64> {
    let (_, epoch) = stream.rsplit_once('-')?;
    let epoch = u64::from_str_radix(epoch, 16).ok()?;
    (1..1 << 60).contains(&epoch).then_some(epoch)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_become_one_token_each_and_stay_apart() {
        let names = [
            "chat:a", "chat.a", "chat a", "chat*a", "chat>a", "chat%a", "chat%2Ea", "*", ">", "",
            "%", "%25", "ä", "\u{a0}", "a\tb", "..", ".",
        ];
        let mut seen = HashSet::new();
        for name in names {
            for address in [Subject::Room(name.into()), Subject::User(name.into())] {
                let subject = subject("p", &address).expect("short");
                assert_eq!(subject.split('.').count(), 3, "{subject}");
                assert!(!subject.contains([' ', '*', '>', '\t']), "{subject}");
                assert!(
                    subject.split('.').all(|token| !token.is_empty()),
                    "{subject}"
                );
                assert!(seen.insert(subject), "{name:?}");
            }
        }
        for address in [
            Subject::Everyone,
            Subject::Nodes,
            Subject::Node(1),
            Subject::Node(16),
            Subject::Partition(1),
            Subject::Partition(16),
        ] {
            assert!(seen.insert(subject("p", &address).expect("short")));
        }
        let longest = Subject::Room(" ".repeat(255).into());
        assert!(subject(&"p".repeat(64), &longest).is_some());
        assert_eq!(subject("p", &Subject::Room("x".repeat(4096).into())), None);
    }

    #[test]
    fn a_stream_s_name_tells_its_epoch() {
        let keep = KeptInLog {
            entries_max: 1000,
            ttl: Duration::from_secs(300),
            epoch_ttl: Duration::from_secs(3600),
        };
        // All nodes of all versions must find the same stream, so these are fixed.
        let place = NatsStreamPlace::of("chat:lobby", &keep, 8);
        let name = "sc-log-e1000-t300000-p8-1-1f";
        assert_eq!(place.stream("sc", 0x1f), name);
        assert_eq!(
            place.subject("sc", "chat:lobby").as_deref(),
            Some("sc.log.e1000-t300000.p8.1.chat:lobby")
        );
        assert_eq!(epoch_of(name), Some(0x1f));
        assert_eq!(place.partitions_of("sc", name), Some(8));
        let other = NatsStreamPlace::of("chat:lobby", &keep, 16);
        assert_eq!(place.partitions_of("sc", &other.stream("sc", 2)), Some(16));
        for none in [
            "",
            "sc",
            "sc-log-e1000-t300000-px-1-1f",
            "sd-log-e1000-t300000-p8-1-1f",
        ] {
            assert_eq!(place.partitions_of("sc", none), None, "{none}");
        }
        for none in ["", "x", "a-0", "a-", "a-1000000000000000", "a-xyz", "KV_a"] {
            assert_eq!(epoch_of(none), None, "{none}");
        }
    }
}
