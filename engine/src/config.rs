//! How an engine is set up: few knobs, each with a unit and a default; the rest are constants.

use crate::driver::choice::DriverChoice;
use crate::driver::listen::ListenSource;
use crate::egress::compression::Compression;
use crate::listener::Listener;
use crate::run::host_memory;
use crate::topic::log::journal::Journal;
use crate::topic::log::options::{LogClass, LogOptions, LogOrder};
use crate::topic::presence::options::{PresenceClass, PresenceOptions};
use crate::topic::relay::Relay;
use crate::topic::sequencer::Sequencer;
use crate::topic::trace_sink::TraceSink;
use crate::types::config_error::{ConfigError, within};
use crate::types::same_user::SameUser;
use crate::types::stream_path::StreamPath;
use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Engine configuration. [`Config::check`] turns it into something that cannot be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect, 1..=8. Default: 127.0.0.1:8000, plain.
    pub listeners: Vec<Listener>,
    /// Number of shards, 1..=256. Default: one per available core.
    pub shards: usize,
    /// Which core each shard's thread is pinned to.
    pub pinning: Pinning,
    /// What carries the shards' operations out. Default: io_uring where the host has it.
    pub driver: DriverChoice,
    /// Connections in the process; one more is answered 503. Default 100,000, range
    /// 1..=10,000,000.
    pub connections_max: usize,
    /// permessage-deflate for clients that offer it. Default: none.
    pub compression: Option<Compression>,
    /// Connections that each user may have at a time. Default: any number.
    pub same_user: SameUser,
    /// Rooms that one connection may be in. Default 128, range 1..=16,384: who closes leaves all of
    /// them in one step.
    pub rooms_per_connection_max: usize,
    /// Longest room name in bytes. Default 255, range 1..=4,096.
    pub room_name_bytes_max: usize,
    /// Bytes that may wait for one slow reader; more closes it with 1008. Default 1 MiB; at least
    /// the largest `message_bytes_max` of a listener + 1 KiB.
    pub outbox_bytes_max: usize,
    /// Sends that may wait for one slow reader. Default 4,096, range 16..=1,048,576.
    pub outbox_frames_max: usize,
    /// Classes of logs that topics may keep, by [`LogClass`]. Default: none; at most
    /// [`LogClass::COUNT_MAX`].
    pub logs: Vec<LogOptions>,
    /// Logs of topics without members and without publications that a shard keeps for their epochs.
    /// One more takes the place of the one that has been of no use for longest. Default 16,384,
    /// range 16..=10,000,000; each takes some 300 bytes.
    pub logs_max: usize,
    /// What all logs of the process may hold, in bytes; each shard has an even share. What is kept
    /// beyond it pushes the oldest out of the largest logs of those that are looked at
    /// ([`crate::Loss::TrimmedBySize`]). Default 256 MiB; 1 MiB for each shard to 1 TiB.
    pub logs_bytes_max: usize,
    /// What users keep while they have no connection ([`crate::KeptFor::Absent`]), if anything:
    /// what is published to them with this class ([`crate::Publish::keep`]) waits for the next that
    /// becomes the user's ([`crate::Context::identify`]). Default: nothing.
    pub user_log: Option<LogClass>,
    /// Users of each shard for whom something may wait. What is published to one more is dropped,
    /// which its report says. Default 16,384, range [`Config::LOGS`]; each takes some 400 bytes
    /// besides what waits.
    pub user_logs_max: usize,
    /// The way to a store of the logs that are to outlive the process ([`crate::Durability`]), and
    /// what it had kept. Default: there is none.
    pub journal: Option<Journal>,
    /// The way out of the process for what is published. Default: there is none.
    pub relay: Option<Relay>,
    /// Where steps of publications are told that are recorded ([`crate::Content::traced`]).
    /// Default: nowhere.
    pub traces: Option<TraceSink>,
    /// Who orders the topics of [`crate::LogOrder::Sequencer`]. Default: nobody, and there are no
    /// such topics.
    pub sequencer: Option<Sequencer>,
    /// Classes of presence that topics may keep, by [`PresenceClass`]. Default: none; at most
    /// [`PresenceClass::COUNT_MAX`].
    pub presence: Vec<PresenceOptions>,
    /// Path of event streams, for clients that cannot have a WebSocket: GET opens one, POST sends a
    /// message to it. Begins with `/`, in normal spelling. Default `None`: there are none.
    pub event_streams: Option<String>,
    /// Further paths of streams, whose clients say their first message in the request, and whose
    /// form and messages the application knows ([`crate::Application::first_message`],
    /// [`crate::Application::posted`]).
    pub stream_paths: Vec<StreamPath>,
    /// Largest request head in bytes; more is answered 431, and a request line that is too long for
    /// it 414. Default 16 KiB, range 8 KiB (RFC 9112 §3 wants lines of 8,000 bytes taken) to 256
    /// KiB.
    pub head_bytes_max: usize,
    /// Most headers of a request; more is answered 431. Default 100, range 16..=1,000.
    pub headers_max: usize,
    /// Memory for unfinished messages (heads, frames, fragments) of the process, in bytes;
    /// each shard has an even share. A connection that asks for more than is left ends with 1013;
    /// the last eighth is left for those that hold 64 KiB or less. Default 256 MiB, up to 1 TiB; at
    /// least 1 MiB and twice the largest message for each shard, so that one message always fits.
    pub reassembly_bytes_max: usize,
    /// Memory of the process that the engine may take for what grows with its use, in bytes:
    /// connections, outboxes, logs, unfinished messages, windows, presence, and what the
    /// application says that it keeps ([`crate::Application::held_bytes`]). Above three quarters of
    /// it memory is short, until less than five eighths are taken: whoever connects is answered 503
    /// with `Retry-After`, publishes to the topics that take most of it are refused, and while an
    /// eighth waits in outboxes, or is in logs, the readers for whom most waits are closed, and the
    /// largest logs lose their oldest. Default three quarters of what the process's cgroup allows
    /// or the host has; 64 MiB to 64 TiB.
    pub memory_bytes_max: usize,
    /// From accept to the end of the request head, TLS included. Default 5 s.
    pub handshake_timeout: Duration,
    /// From the first byte of a request head to its end. Default 3 s; for the first request never
    /// more than what is left of `handshake_timeout`.
    pub header_timeout: Duration,
    /// From an answer to the first byte of the next request on a connection that both sides keep.
    /// Default 75 s: proxies that keep connections to a server for 60 s, as most do, give them up
    /// first, so none sends a request into a connection that just ends.
    pub keep_alive_timeout: Duration,
    /// From a complete request to the decision that the application has deferred
    /// ([`crate::Admission::Defer`]): the client is answered 504 then. Default 10 s.
    pub admission_timeout: Duration,
    /// Connections of the process that may wait for a deferred admission; each shard has an
    /// even share. Whoever would be one more is answered 503. Who sends more than `head_bytes_max`
    /// early is not read on until the decision; what is kept counts towards `reassembly_bytes_max`.
    /// Default 4,096; one for each shard to a million.
    pub deferred_max: usize,
    /// From the first byte of a frame to its last: a peer that trickles ends with 1008. Default 30
    /// s.
    pub frame_timeout: Duration,
    /// From the first fragment of a message to its last, whatever comes between: a peer that takes
    /// longer ends with 1008. Default 60 s.
    pub message_timeout: Duration,
    /// Silence after which a ping is sent. Default 25 s.
    pub heartbeat: Duration,
    /// From a ping to any sign of life. Default 10 s.
    pub pong_timeout: Duration,
    /// How long bytes that wait in a connection's outbox may not move, whatever the peer sends
    /// meanwhile: a peer that reads nothing for longer ends with 1008. They move when
    /// [`Config::OUTBOX_STEP_BYTES`] of them, or all, have gone to the kernel. Default 60 s.
    pub progress_timeout: Duration,
    /// Silence (no byte from the peer) that ends a connection whatever the heartbeat says. Default
    /// 120 s.
    pub idle_timeout: Duration,
    /// From our close frame to the peer's. Default 5 s. Whoever cannot be read any more gets 2 s of
    /// it at most.
    pub close_timeout: Duration,
}

/// Which core each shard's thread runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// Wherever the scheduler puts it.
    None,
    /// Shard n on the n-th core that this process may use (unpinned when there are more shards than
    /// cores).
    Auto,
    /// Shard n on the n-th core of this list.
    Cores(Vec<usize>),
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listeners: vec![Listener::plain(SocketAddr::from(([127, 0, 0, 1], 8000)))],
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            pinning: Pinning::Auto,
            driver: DriverChoice::Auto,
            connections_max: 100_000,
            compression: None,
            same_user: SameUser::Allow,
            rooms_per_connection_max: 128,
            room_name_bytes_max: 255,
            outbox_bytes_max: 1 << 20,
            outbox_frames_max: 4096,
            reassembly_bytes_max: 256 << 20,
            memory_bytes_max: Config::memory_share(),
            logs: Vec::new(),
            logs_max: 16_384,
            logs_bytes_max: 256 << 20,
            user_log: None,
            user_logs_max: 16_384,
            journal: None,
            relay: None,
            traces: None,
            sequencer: None,
            presence: Vec::new(),
            event_streams: None,
            stream_paths: Vec::new(),
            head_bytes_max: 16 << 10,
            headers_max: 100,
            handshake_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(3),
            keep_alive_timeout: Duration::from_secs(75),
            admission_timeout: Duration::from_secs(10),
            deferred_max: 4096,
            frame_timeout: Duration::from_secs(30),
            message_timeout: Duration::from_secs(60),
            heartbeat: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(10),
            progress_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(120),
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// What of an outbox leaves in one send, whose end is seen: 128 KiB. So a slow reader needs 2.2
    /// KB/s to be seen reading within the default [`Config::progress_timeout`], what the kernel
    /// buffers aside.
    pub const OUTBOX_STEP_BYTES: usize = 128 << 10;

    /// What [`Config::memory_bytes_max`] may be.
    pub const MEMORY_BYTES: RangeInclusive<usize> = 64 << 20..=64 << 40;

    /// The default of [`Config::memory_bytes_max`]: three quarters of what the process's cgroup
    /// allows or the host has.
    pub fn memory_share() -> usize {
        let share = host_memory::bytes() / 4 * 3;
        usize::try_from(share).map_or(usize::MAX, |share| {
            share.clamp(*Self::MEMORY_BYTES.start(), *Self::MEMORY_BYTES.end())
        })
    }

    /// What [`Config::logs_max`] may be.
    pub const LOGS: RangeInclusive<usize> = 16..=10_000_000;

    /// The least that a shard's share of [`Config::logs_bytes_max`] may be.
    pub const SHARD_LOGS_BYTES_MIN: usize = 1 << 20;

    /// Members of a shard that may read logs at a time. Whoever would be one more does not go on
    /// from an earlier position ([`crate::Loss::Limit`]), and what is published waits in its
    /// outbox.
    pub const CURSORS_MAX: usize = 262_144;

    /// Most shards of an engine.
    pub const SHARDS_MAX: usize = 256;

    /// Checks ranges and relations.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_listeners()?;
        self.check_counts()?;
        self.check_paths()?;
        self.check_head()?;
        self.check_outbox()?;
        self.check_reassembly()?;
        let (bytes, rule) = (self.memory_bytes_max, "64 MiB to 64 TiB");
        within("memory_bytes_max", bytes, Self::MEMORY_BYTES, rule)?;
        self.check_topics()?;
        self.compression
            .as_ref()
            .map_or(Ok(()), Compression::check)?;
        self.check_times()
    }

    /// What [`Config::head_bytes_max`] may be.
    pub const HEAD_BYTES: RangeInclusive<usize> = 8 << 10..=256 << 10;
    /// What [`Config::headers_max`] may be.
    pub const HEADERS: RangeInclusive<usize> = 16..=1_000;

    /// The largest message that any listener takes, in bytes.
    pub fn message_bytes_max(&self) -> usize {
        let limits = self
            .listeners
            .iter()
            .map(|listener| listener.message_bytes_max);
        limits.max().unwrap_or(Listener::MESSAGE_BYTES_DEFAULT)
    }

    /// Connections that each shard is to take. The kernel spreads connects by hash, so with several
    /// shards each gets a quarter more than its even share.
    pub(crate) fn share_per_shard(&self) -> usize {
        let even = self.connections_max.div_ceil(self.shards);
        let share = if self.shards == 1 {
            even
        } else {
            even + even / 4
        };
        share.min(self.connections_max)
    }

    /// Connections that each shard has room for: a few more may be on their way in to hear 503, or
    /// on their way out.
    pub(crate) fn slots_per_shard(&self) -> usize {
        const MARGIN: usize = 256;
        self.share_per_shard() + MARGIN
    }

    fn check_listeners(&self) -> Result<(), ConfigError> {
        let count = self.listeners.len();
        within("listeners", count, 1..=Listener::COUNT_MAX, "1 to 8")?;
        if let Some(source) = Listener::duplicate(&self.listeners) {
            return Err(ConfigError {
                field: "listeners",
                value: source.to_string(),
                rule: "one listener for each address, path and descriptor",
            });
        }
        for listener in &self.listeners {
            if let ListenSource::Unix(path) = &listener.source {
                let (bytes, rule) = (path.as_os_str().len(), "1 to 107 bytes of path");
                within("listeners", bytes, 1..=ListenSource::PATH_BYTES_MAX, rule)?;
            }
            within(
                "message_bytes_max",
                listener.message_bytes_max,
                Listener::MESSAGE_BYTES,
                "125 B to 64 MiB",
            )?;
        }
        Ok(())
    }

    fn check_paths(&self) -> Result<(), ConfigError> {
        let others = self.stream_paths.iter().map(|other| &other.path);
        for path in self.event_streams.iter().chain(others) {
            let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#%".contains(&byte);
            if !path.starts_with('/') || !path.bytes().all(plain) {
                return Err(ConfigError {
                    field: "event_streams",
                    value: path.clone(),
                    rule: "a path of visible ASCII that begins with / and has none of ?, # and %",
                });
            }
        }
        Ok(())
    }

    fn check_head(&self) -> Result<(), ConfigError> {
        let (bytes, rule) = (self.head_bytes_max, "8 KiB to 256 KiB");
        within("head_bytes_max", bytes, Self::HEAD_BYTES, rule)?;
        let rule = "16 to 1,000";
        within("headers_max", self.headers_max, Self::HEADERS, rule)
    }

    fn check_counts(&self) -> Result<(), ConfigError> {
        within("shards", self.shards, 1..=Self::SHARDS_MAX, "1 to 256")?;
        let rule = "1 to 10,000,000";
        within(
            "connections_max",
            self.connections_max,
            1..=10_000_000,
            rule,
        )?;
        let rule = "one for each shard to 1,000,000";
        let deferred = self.deferred_max;
        within("deferred_max", deferred, self.shards..=1_000_000, rule)?;
        if self.same_user != SameUser::Allow {
            let (connections, rule) = (self.same_user.connections_max(), "1 to 65,536");
            within(
                "same_user",
                connections,
                1..=SameUser::CONNECTIONS_MAX,
                rule,
            )?;
        }
        let (rooms, rule) = (self.rooms_per_connection_max, "1 to 16,384");
        within("rooms_per_connection_max", rooms, 1..=16_384, rule)?;
        let rule = "1 to 4,096";
        within(
            "room_name_bytes_max",
            self.room_name_bytes_max,
            1..=4_096,
            rule,
        )?;
        if let Pinning::Cores(cores) = &self.pinning {
            let rule = "at least one core for each shard, and none twice";
            let different = cores.iter().collect::<HashSet<_>>().len();
            let least = self.shards.max(cores.len());
            within("pinning", different, least..=usize::MAX, rule)?;
        }
        Ok(())
    }

    fn check_outbox(&self) -> Result<(), ConfigError> {
        let rule = "16 to 1,048,576";
        within(
            "outbox_frames_max",
            self.outbox_frames_max,
            16..=1 << 20,
            rule,
        )?;
        let least = self.message_bytes_max() + 1024;
        let rule =
            "the largest message_bytes_max + 1 KiB to 1 GiB, so that one message always fits";
        within(
            "outbox_bytes_max",
            self.outbox_bytes_max,
            least..=1 << 30,
            rule,
        )
    }

    fn check_topics(&self) -> Result<(), ConfigError> {
        within(
            "logs",
            self.logs.len(),
            0..=LogClass::COUNT_MAX,
            "up to 1,024",
        )?;
        let rule = "16 to 10,000,000";
        within("logs_max", self.logs_max, Self::LOGS, rule)?;
        let (bytes, rule) = (self.logs_bytes_max, "1 MiB for each shard to 1 TiB");
        let least = self.shards * Self::SHARD_LOGS_BYTES_MIN;
        within("logs_bytes_max", bytes, least..=1 << 40, rule)?;
        self.logs.iter().try_for_each(LogOptions::check)?;
        let is_sequenced = |log: &LogOptions| log.order == LogOrder::Sequencer;
        if self.sequencer.is_none() && self.logs.iter().any(is_sequenced) {
            return Err(ConfigError {
                field: "sequencer",
                value: "none".to_owned(),
                rule: "one, where a log is ordered by it",
            });
        }
        let rule = "16 to 10,000,000";
        within("user_logs_max", self.user_logs_max, Self::LOGS, rule)?;
        if let Some(class) = self.user_log {
            let rule = "an index of logs";
            within("user_log", class.index() + 1, 1..=self.logs.len(), rule)?;
        }
        let (classes, rule) = (self.presence.len(), "up to 1,024");
        within("presence", classes, 0..=PresenceClass::COUNT_MAX, rule)?;
        self.presence.iter().try_for_each(PresenceOptions::check)
    }

    /// A fragmented message takes up to its size, and the fragment that is on its way up to as much
    /// again.
    fn check_reassembly(&self) -> Result<(), ConfigError> {
        let least = self.shards * Self::shard_reassembly_bytes_min(self.message_bytes_max());
        let rule = "1 MiB and twice the largest message_bytes_max for each shard, to 1 TiB";
        within(
            "reassembly_bytes_max",
            self.reassembly_bytes_max,
            least..=1 << 40,
            rule,
        )
    }

    /// The least that a shard needs for unfinished messages, in bytes: a request head fits, whose
    /// buffer doubles as it grows, when the largest has `message_bytes_max`.
    pub fn shard_reassembly_bytes_min(message_bytes_max: usize) -> usize {
        const LEAST: usize = 1 << 20;
        const _: () = assert!(2 * *Config::HEAD_BYTES.end() <= LEAST);
        (2 * message_bytes_max).max(LEAST)
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        const DAY: Shown = Shown(Duration::from_secs(86_400));
        for (field, value) in [
            ("handshake_timeout", self.handshake_timeout),
            ("header_timeout", self.header_timeout),
            ("keep_alive_timeout", self.keep_alive_timeout),
            ("admission_timeout", self.admission_timeout),
            ("frame_timeout", self.frame_timeout),
            ("message_timeout", self.message_timeout),
            ("heartbeat", self.heartbeat),
            ("pong_timeout", self.pong_timeout),
            ("progress_timeout", self.progress_timeout),
            ("close_timeout", self.close_timeout),
        ] {
            let least = Shown(Duration::from_millis(100));
            within(field, Shown(value), least..=DAY, "100 ms to 1 day")?;
        }
        let least = Shown(Duration::from_secs(1));
        within(
            "idle_timeout",
            Shown(self.idle_timeout),
            least..=DAY,
            "1 s to 1 day",
        )
    }
}

/// A duration that is shown with its unit in an error.
#[derive(PartialEq, PartialOrd)]
struct Shown(Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_one_connection_at_least() {
        let check = |same_user| {
            let config = Config {
                same_user,
                ..Config::default()
            };
            config.check().map_err(|error| error.field)
        };
        let most = SameUser::CONNECTIONS_MAX;
        for (connections_max, outcome) in [
            (0, Err("same_user")),
            (1, Ok(())),
            (most, Ok(())),
            (most + 1, Err("same_user")),
        ] {
            assert_eq!(check(SameUser::Refuse { connections_max }), outcome);
            assert_eq!(check(SameUser::Replace { connections_max }), outcome);
        }
        assert_eq!(check(SameUser::Allow), Ok(()));
    }

    #[test]
    fn names_the_field_that_is_out_of_range() {
        type Spoil = fn(&mut Config);
        let table: [(&str, Spoil); 20] = [
            ("keep_alive_timeout", |config| {
                config.keep_alive_timeout = Duration::from_millis(99);
            }),
            ("head_bytes_max", |config| {
                config.head_bytes_max = (8 << 10) - 1;
            }),
            ("headers_max", |config| config.headers_max = 1_001),
            ("event_streams", |config| {
                config.event_streams = Some("sse".into())
            }),
            ("shards", |config| config.shards = 0),
            ("connections_max", |config| config.connections_max = 0),
            ("listeners", |config| config.listeners.clear()),
            ("listeners", |config| {
                config.listeners.extend(config.listeners.clone());
            }),
            ("message_bytes_max", |config| {
                config.listeners[0].message_bytes_max = 124;
            }),
            ("outbox_bytes_max", |config| {
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                config.listeners = vec![Listener::plain(any); 8];
                config.listeners[7].message_bytes_max = config.outbox_bytes_max;
            }),
            ("rooms_per_connection_max", |config| {
                config.rooms_per_connection_max = 0
            }),
            ("room_name_bytes_max", |config| {
                config.room_name_bytes_max = 4097
            }),
            ("outbox_bytes_max", |config| {
                config.outbox_bytes_max = config.message_bytes_max()
            }),
            ("reassembly_bytes_max", |config| {
                (config.shards, config.reassembly_bytes_max) = (1, (1 << 20) - 1);
            }),
            ("reassembly_bytes_max", |config| {
                (config.shards, config.reassembly_bytes_max) = (4, 15 << 20);
                config.listeners[0].message_bytes_max = 2 << 20;
                config.outbox_bytes_max = 3 << 20;
            }),
            ("header_timeout", |config| {
                config.header_timeout = Duration::from_millis(99);
            }),
            ("message_timeout", |config| {
                config.message_timeout = Duration::from_secs(86_401);
            }),
            ("heartbeat", |config| {
                config.heartbeat = Duration::from_millis(99)
            }),
            ("pinning", |config| {
                (config.shards, config.pinning) = (2, Pinning::Cores(vec![0]))
            }),
            ("pinning", |config| {
                (config.shards, config.pinning) = (2, Pinning::Cores(vec![0, 0]))
            }),
        ];
        assert_eq!(Config::default().check(), Ok(()));
        for (field, spoil) in table {
            let mut config = Config::default();
            spoil(&mut config);
            assert_eq!(config.check().unwrap_err().field, field);
        }
    }
}
