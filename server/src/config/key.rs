//! The table of keys: each one's name, meaning, rule and place in `Settings`, once. File, environment, `default-config`,
//! `check-config` and `docs/configuration.md` all follow it.

use super::value::{Word, duration, show_duration, show_size, size, whole};
use super::{Settings, rooms};
use crate::namespace::Who;
use shardcast_engine::{Compression, Config};
use shardcast_protocol::dialect::DEPTH_MAX;
use std::ops::RangeInclusive;
use std::time::Duration;

/// One thing that can be configured.
pub(super) struct Key {
    /// `section.key`.
    pub(super) name: &'static str,
    /// Its own flag, if it has one (`--set` reaches every key).
    pub(super) flag: Option<&'static str>,
    /// What it does; one or two sentences.
    pub(super) what: &'static str,
    pub(super) kind: Kind,
}

/// How a key's value is written, what it may be, and where it goes.
pub(super) enum Kind {
    /// A whole number.
    Count(RangeInclusive<usize>, fn(&mut Settings) -> &mut usize),
    /// Bytes.
    Size(RangeInclusive<usize>, fn(&mut Settings) -> &mut usize),
    /// A duration.
    Time(RangeInclusive<Duration>, fn(&mut Settings) -> &mut Duration),
    /// A word, or a list of roles; the list is in brackets as text, and an array in a file.
    Who(fn(&mut Settings) -> &mut Who),
    /// Anything else: its rule in words, after "must be".
    Word(&'static str, fn(&mut Settings) -> &mut dyn Word),
}

impl Key {
    /// The key of this name.
    pub(super) fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The known key nearest to a name that is none, by edit distance to the whole name or to its last part.
    pub(super) fn nearest(name: &str) -> &'static Key {
        Key::nearest_of(name, KEYS.iter())
    }

    /// The keys of section `[rooms]`: the options of a namespace.
    pub(super) fn options() -> impl DoubleEndedIterator<Item = &'static Key> {
        KEYS.iter().filter(|key| key.parts().0 == "rooms")
    }

    /// Of the keys, the one nearest to a name.
    pub(super) fn nearest_of(
        name: &str,
        keys: impl DoubleEndedIterator<Item = &'static Key>,
    ) -> &'static Key {
        let last = name.rsplit('.').next().unwrap_or(name);
        let likeness = |key: &Key| {
            let whole = strsim::normalized_damerau_levenshtein(name, key.name);
            whole.max(strsim::normalized_damerau_levenshtein(last, key.parts().1))
        };
        // Of several that are as near, the first.
        keys.rev()
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .expect("there are keys")
    }

    /// Section and key.
    pub(super) fn parts(&self) -> (&'static str, &'static str) {
        self.name
            .split_once('.')
            .expect("a key's name has a section")
    }

    /// A key of section `[rooms]` as the option of a namespace.
    pub(super) fn option_of(&self, namespace: &str) -> String {
        format!("namespaces.{namespace}.{}", self.parts().1)
    }

    /// Whether an array of the file is a list of roles.
    pub(super) fn takes_roles(&self) -> bool {
        matches!(self.kind, Kind::Who(_))
    }

    /// Its environment variable.
    pub(super) fn variable(&self) -> String {
        format!(
            "{VARIABLE_PREFIX}{}",
            self.name.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// What a value must be, to stand after "must be".
    pub(super) fn rule(&self) -> String {
        match &self.kind {
            Kind::Count(range, _) => {
                format!("a whole number from {} to {}", range.start(), range.end())
            }
            Kind::Size(range, _) => {
                format!(
                    "bytes, or a number with KiB, MiB or GiB, from {} to {}",
                    show_size(*range.start()),
                    show_size(*range.end())
                )
            }
            Kind::Time(range, _) => {
                format!(
                    "a number with ms, s, m or h, from {} to {}",
                    show_duration(*range.start()),
                    show_duration(*range.end())
                )
            }
            Kind::Who(_) => rooms::WHO_RULE.to_owned(),
            Kind::Word(rule, _) => (*rule).to_owned(),
        }
    }

    /// Takes the value from text. `None`: the text breaks the rule, and `settings` is as before.
    pub(super) fn read(&self, settings: &mut Settings, text: &str) -> Option<()> {
        match &self.kind {
            Kind::Count(range, place) => put(place(settings), range, whole(text)),
            Kind::Size(range, place) => put(place(settings), range, size(text)),
            Kind::Time(range, place) => put(place(settings), range, duration(text)),
            Kind::Who(place) => place(settings).read(text),
            Kind::Word(_, place) => place(settings).read(text),
        }
    }

    /// The value without quotes.
    pub(super) fn show(&self, settings: &Settings) -> String {
        let mut settings = settings.clone();
        match &self.kind {
            Kind::Count(_, place) => place(&mut settings).to_string(),
            Kind::Size(_, place) => show_size(*place(&mut settings)),
            Kind::Time(_, place) => show_duration(*place(&mut settings)),
            Kind::Who(place) => place(&mut settings).show(),
            Kind::Word(_, place) => place(&mut settings).show(),
        }
    }

    /// The value as TOML: numbers and booleans bare, everything else quoted. No value holds a character that needs an escape.
    pub(super) fn show_toml(&self, settings: &Settings) -> String {
        let text = self.show(settings);
        if self.takes_roles() && text.starts_with('[') {
            let roles = text.trim_matches(['[', ']']).replace(',', "\", \"");
            return format!("[\"{roles}\"]");
        }
        if whole(&text).is_some() || text.parse::<bool>().is_ok() {
            text
        } else {
            format!("\"{text}\"")
        }
    }
}

fn put<T: PartialOrd>(place: &mut T, range: &RangeInclusive<T>, value: Option<T>) -> Option<()> {
    *place = value.filter(|value| range.contains(value))?;
    Some(())
}

/// What every environment variable of the server begins with.
pub(super) const VARIABLE_PREFIX: &str = "SHARDCAST_";

/// Every key, section by section.
pub(super) static KEYS: &[Key] = &[
    Key {
        name: "server.listen",
        flag: Some("--listen"),
        what: "Where clients connect without TLS; none where all must use TLS. Port 0 picks a free port, which the ready line tells.",
        kind: Kind::Word(
            "none, an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000, unix:PATH with up to 107 bytes of path, or inherited:NAME",
            |settings| &mut settings.listen,
        ),
    },
    Key {
        name: "server.admin",
        flag: Some("--admin"),
        what: "Where operators connect: health, readiness and metrics. Port 0 picks a free port.",
        kind: Kind::Word(
            "an IP address and a port, such as 127.0.0.1:8001 or [::1]:8001",
            |settings| &mut settings.admin,
        ),
    },
    Key {
        name: "server.shards",
        flag: Some("--shards"),
        what: "Threads that serve clients; auto is one per core that the server may use. Fewer leave cores to other programs.",
        kind: Kind::Word("auto or a whole number from 1 to 256", |settings| {
            &mut settings.shards
        }),
    },
    Key {
        name: "server.pin",
        flag: Some("--pin"),
        what: "Cores that the shards are pinned to: none leaves them to the scheduler, auto takes one core after the other, a list names them.",
        kind: Kind::Word(
            "none, auto or a list of different core numbers such as 0,2 or 4-7, each below 1024",
            |settings| &mut settings.engine.pinning,
        ),
    },
    Key {
        name: "server.drain_timeout",
        flag: None,
        what: "How long a stopping server waits for its clients to take what it owes them and to leave.",
        kind: Kind::Time(
            Duration::from_millis(100)..=Duration::from_secs(3_600),
            |settings| &mut settings.drain_timeout,
        ),
    },
    Key {
        name: "server.insecure",
        flag: Some("--insecure"),
        what: "Permits addresses that other hosts reach although nothing authenticates clients or operators.",
        kind: Kind::Word("true or false", |settings| &mut settings.insecure),
    },
    Key {
        name: "limits.max_connections",
        flag: None,
        what: "Connections in the whole process; one more is answered 503.",
        kind: Kind::Count(1..=10_000_000, |settings| {
            &mut settings.engine.connections_max
        }),
    },
    Key {
        name: "limits.max_message_bytes",
        flag: None,
        what: "Largest message that a client may send; a larger one closes its connection with 1009.",
        kind: Kind::Size(125..=64 << 20, |settings| &mut settings.message_bytes_max),
    },
    Key {
        name: "limits.max_head_bytes",
        flag: None,
        what: "Largest request head: cookies, tokens and what proxies add. A larger one is answered 431, or 414 if its request line alone is larger.",
        kind: Kind::Size(Config::HEAD_BYTES, |settings| {
            &mut settings.engine.head_bytes_max
        }),
    },
    Key {
        name: "limits.max_headers",
        flag: None,
        what: "Headers of a request; more are answered 431.",
        kind: Kind::Count(Config::HEADERS, |settings| &mut settings.engine.headers_max),
    },
    Key {
        name: "limits.max_depth",
        flag: None,
        what: "Arrays, objects and maps that a message may nest, its own included (in the native dialects at most 126); a deeper one is answered bad_json, in MessagePack bad_request.",
        kind: Kind::Count(1..=DEPTH_MAX as usize, |settings| &mut settings.depth_max),
    },
    Key {
        name: "limits.max_rooms_per_connection",
        flag: None,
        what: "Rooms that one connection may be in; joining one more is answered room_limit.",
        kind: Kind::Count(1..=4_096, |settings| {
            &mut settings.engine.rooms_per_connection_max
        }),
    },
    Key {
        name: "limits.max_room_name_bytes",
        flag: None,
        what: "Longest room name; a longer one is answered bad_request.",
        kind: Kind::Size(1..=4_096, |settings| {
            &mut settings.engine.room_name_bytes_max
        }),
    },
    Key {
        name: "limits.outbox_bytes",
        flag: None,
        what: "Bytes that may wait for one slow reader; more closes its connection with 1008. At least max_message_bytes and 1KiB more.",
        kind: Kind::Size(1_149..=1 << 30, |settings| {
            &mut settings.engine.outbox_bytes_max
        }),
    },
    Key {
        name: "limits.outbox_frames",
        flag: None,
        what: "Sends that may wait for one slow reader; more closes its connection with 1008.",
        kind: Kind::Count(16..=1_048_576, |settings| {
            &mut settings.engine.outbox_frames_max
        }),
    },
    Key {
        name: "limits.reassembly_bytes",
        flag: None,
        what: "Memory for unfinished messages of all clients, shared out evenly to the shards; asking for more closes a connection with 1013. At least 1MiB and twice max_message_bytes for each shard.",
        kind: Kind::Size(1 << 20..=1 << 40, |settings| {
            &mut settings.engine.reassembly_bytes_max
        }),
    },
    rooms::JOIN,
    rooms::PUBLISH,
    rooms::PRESENCE,
    rooms::ECHO,
    rooms::MAX_MEMBERS,
    rooms::MAX_NAME_BYTES,
    rooms::NAME_CHARACTERS,
    rooms::CONTROL_CHARACTERS,
    rooms::SECRET,
    Key {
        name: "compression.enabled",
        flag: None,
        what: "Compresses messages (permessage-deflate) for clients that offer it, as browsers do.",
        kind: Kind::Word("true or false", |settings| {
            &mut settings.compression.enabled
        }),
    },
    Key {
        name: "compression.threshold",
        flag: None,
        what: "Shorter messages are sent as they are.",
        kind: Kind::Size(Compression::THRESHOLD_BYTES, |settings| {
            &mut settings.compression.threshold_bytes
        }),
    },
    Key {
        name: "compression.context_takeover",
        flag: None,
        what: "Lets messages refer to earlier ones. Smaller for small messages that are alike, but each connection then takes up to 430 KB, and a broadcast is compressed once for each of them.",
        kind: Kind::Word("true or false", |settings| {
            &mut settings.compression.context_takeover
        }),
    },
    Key {
        name: "compression.windows",
        flag: None,
        what: "Memory for clients that refer to earlier messages though they were told client_no_context_takeover (Tornado does, browsers do not), shared out evenly to the shards: up to 48 KB each. When it is used up, such a client is closed with 1007.",
        kind: Kind::Size(Compression::WINDOWS_BYTES, |settings| {
            &mut settings.compression.windows_bytes_max
        }),
    },
    Key {
        name: "compression.max_ratio",
        flag: None,
        what: "Bytes that each byte of a client's compressed message may become beyond the first 64KiB; more closes its connection with 1009.",
        kind: Kind::Count(
            *Compression::RATIO.start() as usize..=*Compression::RATIO.end() as usize,
            |settings| &mut settings.compression.ratio_max,
        ),
    },
    Key {
        name: "timeouts.handshake",
        flag: None,
        what: "From the accepted socket to the end of the first request head.",
        kind: Kind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.engine.handshake_timeout
        }),
    },
    Key {
        name: "timeouts.header",
        flag: None,
        what: "From the first byte of a request head to its last; of the first request never more than what is left of handshake.",
        kind: Kind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.engine.header_timeout
        }),
    },
    Key {
        name: "timeouts.keep_alive",
        flag: None,
        what: "From an answer to the next request on a connection that is kept; Keep-Alive tells it to clients. Longer than proxies keep connections to a server, most often 60s.",
        kind: Kind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.engine.keep_alive_timeout
        }),
    },
    Key {
        name: "timeouts.frame",
        flag: None,
        what: "From the first byte of a frame to its last; after it the connection ends.",
        kind: Kind::Time(TIMEOUT_RANGE, |settings| &mut settings.engine.frame_timeout),
    },
    Key {
        name: "timeouts.message",
        flag: None,
        what: "From the first fragment of a message to its last, whatever comes between; after it the connection ends.",
        kind: Kind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.engine.message_timeout
        }),
    },
    Key {
        name: "timeouts.heartbeat",
        flag: None,
        what: "Silence of a client after which it is sent a ping.",
        kind: Kind::Time(TIMEOUT_RANGE, |settings| &mut settings.engine.heartbeat),
    },
    Key {
        name: "timeouts.pong",
        flag: None,
        what: "From the ping to any sign of life; after it the connection ends.",
        kind: Kind::Time(TIMEOUT_RANGE, |settings| &mut settings.engine.pong_timeout),
    },
    Key {
        name: "timeouts.progress",
        flag: None,
        what: "How long bytes that the server holds for a client may make no progress, whatever the client says meanwhile: after it the connection is closed with 1008. Progress is 128KiB of them, or all, taken by the kernel.",
        kind: Kind::Time(TIMEOUT_RANGE, |settings| {
            &mut settings.engine.progress_timeout
        }),
    },
    Key {
        name: "timeouts.idle",
        flag: None,
        what: "Silence that ends a connection whatever the heartbeat says. Longer than heartbeat.",
        kind: Kind::Time(IDLE_RANGE, |settings| &mut settings.engine.idle_timeout),
    },
    Key {
        name: "timeouts.close",
        flag: None,
        what: "From the server's close frame to the client's; after it the connection ends. A client that cannot be read any more (a broken or a late frame) gets 2s at most.",
        kind: Kind::Time(TIMEOUT_RANGE, |settings| &mut settings.engine.close_timeout),
    },
    Key {
        name: "tls.listen",
        flag: None,
        what: "Where clients connect with TLS (wss). Port 0 picks a free port, which the ready line tells.",
        kind: Kind::Word(
            "none, an IP address and a port, such as 127.0.0.1:8443 or [::1]:8443, unix:PATH with up to 107 bytes of path, or inherited:NAME",
            |settings| &mut settings.secure.listen,
        ),
    },
    Key {
        name: "tls.certificates",
        flag: None,
        what: "Certificate chains in PEM, the server's own certificate first in each. A client that names a server gets the first that bears the name, others the first of all. SIGHUP reads them again.",
        kind: Kind::Word(FILES_RULE, |settings| &mut settings.secure.certificates),
    },
    Key {
        name: "tls.keys",
        flag: None,
        what: "Private keys in PEM, one for each of certificates, in the same order. Only the server's user should be able to read them.",
        kind: Kind::Word(FILES_RULE, |settings| &mut settings.secure.keys),
    },
    Key {
        name: "tls.minimum",
        flag: None,
        what: "Oldest version of TLS that is spoken.",
        kind: Kind::Word("1.2 or 1.3", |settings| &mut settings.secure.minimum),
    },
    Key {
        name: "tls.client_certificates",
        flag: None,
        what: "Whether clients show certificates (mutual TLS): one that is shown must be valid, and with required nobody connects without.",
        kind: Kind::Word("none, optional or required", |settings| {
            &mut settings.secure.client_certificates
        }),
    },
    Key {
        name: "tls.client_ca",
        flag: None,
        what: "Certificates in PEM that client certificates must be issued by. SIGHUP reads them again.",
        kind: Kind::Word("none or the path of a file", |settings| {
            &mut settings.secure.client_ca
        }),
    },
    Key {
        name: "tls.max_message_bytes",
        flag: None,
        what: "Largest message of a client that connected with TLS; same is limits.max_message_bytes.",
        kind: Kind::Word(
            "same, or bytes, or a number with KiB, MiB or GiB, from 125 to 64MiB",
            |settings| &mut settings.secure.message_bytes_max,
        ),
    },
    Key {
        name: "fallback.enabled",
        flag: None,
        what: "Serves clients whose network lets no WebSocket through: event streams by GET and messages by POST, both on /sse.",
        kind: Kind::Word("true or false", |settings| &mut settings.fallback),
    },
    Key {
        name: "log.level",
        flag: None,
        what: "Least severe event that is logged. Logs go to standard error.",
        kind: Kind::Word("error, warn, info, debug or trace", |settings| {
            &mut settings.log_level
        }),
    },
    Key {
        name: "log.format",
        flag: None,
        what: "How a log line is written: text for people, json for collectors.",
        kind: Kind::Word("text or json", |settings| &mut settings.log_format),
    },
];

const FILES_RULE: &str = "none or the paths of up to 64 files, separated by commas, without quotes, backslashes and control characters";

/// Deadlines of a connection: the engine's timer wheel is coarse, and a day of silence is no connection.
const TIMEOUT_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(86_400);
/// The idle timeout is looked at about every second.
const IDLE_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_in_the_file_and_in_the_environment() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        let mut variables: Vec<_> = KEYS.iter().map(Key::variable).collect();
        names.sort_unstable();
        names.dedup();
        variables.sort_unstable();
        variables.dedup();
        assert_eq!((names.len(), variables.len()), (KEYS.len(), KEYS.len()));
    }

    #[test]
    fn every_default_obeys_its_rule_and_reads_back() {
        for key in KEYS {
            let (defaults, mut read) = (Settings::default(), Settings::default());
            assert_eq!(
                key.read(&mut read, &key.show(&defaults)),
                Some(()),
                "{}",
                key.name
            );
            assert_eq!(read, defaults, "{}", key.name);
        }
    }

    #[test]
    fn nearest() {
        for (name, want) in [
            ("limits.max_conections", "limits.max_connections"),
            ("listen", "server.listen"),
            ("server.max_message_bytes", "limits.max_message_bytes"),
            ("timeout.heartbeats", "timeouts.heartbeat"),
            ("log.levle", "log.level"),
            ("serverlisten", "server.listen"),
        ] {
            assert_eq!(Key::nearest(name).name, want, "{name:?}");
        }
    }
}
