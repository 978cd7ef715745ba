//! What a node of a cluster is told: which broker, as whom, and how much may wait.

use std::fmt;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// A node of a cluster. See `docs/scale-out.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Which broker.
    pub broker: BrokerKind,
    /// Its servers, 1 to [`Cluster::URLS_MAX`]: `redis://HOST:PORT` or `rediss://HOST:PORT`,
    /// `nats://HOST:PORT` or `tls://HOST:PORT`. Further ones are tried when the first is away. A
    /// password does not stand here.
    pub urls: Vec<String>,
    /// Redis: what Sentinel calls the primary, where the servers above are sentinels. `None`: they
    /// are Redis itself.
    pub sentinel: Option<String>,
    /// Into how many subjects fast rooms are put, where rooms are very many: a node hears all that
    /// is published to the partitions of its rooms. All nodes have the same. `None`: each room has
    /// its own.
    pub room_partitions: Option<NonZeroU16>,
    /// What the node is called: 1 to 64 of `A-Z a-z 0-9 _ -`, unlike all others.
    pub node: String,
    /// What its addresses at the broker begin with: 1 to 64 of `A-Z a-z 0-9 _ -`. Clusters with
    /// other prefixes share a broker and nothing else.
    pub prefix: String,
    /// As whom it comes.
    pub credentials: Credentials,
    /// What it checks and shows, where the URL says TLS.
    pub tls: BrokerTls,
    /// How long the members of a node that says nothing more are believed to be there, within
    /// [`Cluster::LEASE`].
    pub presence_lease: Duration,
    /// How long a node goes on hearing a room that its last member has left, within
    /// [`Cluster::LINGER`].
    pub linger: Duration,
    /// Messages that wait in each direction, within [`Cluster::QUEUE`].
    pub queue_messages: usize,
    /// What they hold in each direction, within [`Cluster::QUEUE_BYTES`].
    pub queue_bytes: usize,
    /// NATS: streams that ordered rooms that keep the same are spread over, within
    /// [`Cluster::STREAMS`]. All nodes must have the same.
    pub streams: usize,
    /// Where sessions are that outlive their connections ([`crate::App::sessions`]).
    pub sessions: ClusterSessions,
}

/// Where sessions are that outlive their connections. All nodes must have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClusterSessions {
    /// At the node of the connection, for clients that come back to it.
    #[default]
    Node,
    /// The broker has copies: a client goes on at any node, when its own has died, too. Takes
    /// Redis, or NATS with JetStream.
    Broker,
}

/// The brokers that there are adapters for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// Redis 6.2 or newer, or Valkey.
    Redis,
    /// NATS 2.9 or newer, with JetStream for ordered rooms.
    Nats,
}

/// As whom a node comes to its broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Redis: default is `default`.
    pub user: Option<String>,
    /// With a user, that one's; NATS without a user: a token.
    pub password: Option<BrokerPassword>,
    /// NATS: a file with a user's JWT and seed.
    pub file: Option<PathBuf>,
}

/// A password, which no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerPassword(pub String);

impl fmt::Debug for BrokerPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerPassword")
    }
}

/// TLS to a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerTls {
    /// Who may have issued the broker's certificate, in PEM. `None`: whom the host trusts.
    pub ca: Option<PathBuf>,
    /// What the node shows: a chain and its key, in PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Why a node cannot be started with what it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cluster.{key}: {why}")]
pub struct BadCluster {
    /// The key of the configuration.
    pub key: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Cluster {
    /// Most servers that may be named.
    pub const URLS_MAX: usize = 16;
    /// Longest name that a node's rooms may have (`Config::room_name_bytes_max`): escaped,
    /// a NATS subject has room for it, and so has a word between nodes.
    pub const ROOM_NAME_BYTES_MAX: usize = 512;
    /// What [`Cluster::presence_lease`] may be.
    pub const LEASE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
    /// What [`Cluster::linger`] may be.
    pub const LINGER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);
    /// Most that [`Cluster::room_partitions`] may be.
    pub const ROOM_PARTITIONS_MAX: u16 = 4_096;
    /// What [`Cluster::queue_messages`] may be.
    pub const QUEUE: RangeInclusive<usize> = 64..=1 << 20;
    /// What [`Cluster::queue_bytes`] may be.
    pub const QUEUE_BYTES: RangeInclusive<usize> = 1 << 20..=4 << 30;

    /// What [`Cluster::streams`] may be.
    pub const STREAMS: RangeInclusive<usize> = 1..=256;

    /// With this broker at this URL, and the defaults.
    pub fn new(broker: BrokerKind, url: impl Into<String>, node: impl Into<String>) -> Cluster {
        Cluster {
            broker,
            urls: vec![url.into()],
            sentinel: None,
            room_partitions: None,
            node: node.into(),
            prefix: "shardcast".to_owned(),
            credentials: Credentials::default(),
            tls: BrokerTls::default(),
            presence_lease: Duration::from_secs(10),
            linger: Duration::from_secs(5),
            queue_messages: 65_536,
            queue_bytes: 64 << 20,
            streams: 8,
            sessions: ClusterSessions::Node,
        }
    }

    /// The same, if every value obeys its rule.
    ///
    /// # Errors
    /// The first that does not.
    pub(crate) fn checked(self) -> Result<Cluster, BadCluster> {
        let rules = [
            (
                "url",
                (1..=Self::URLS_MAX).contains(&self.urls.len()),
                "1 to 16 servers",
            ),
            ("node", Self::is_name(&self.node), Self::NAME_RULE),
            ("prefix", Self::is_name(&self.prefix), Self::NAME_RULE),
            (
                "presence_lease",
                Self::LEASE.contains(&self.presence_lease),
                "1s to 5m",
            ),
            (
                "room_partitions",
                self.room_partitions
                    .is_none_or(|count| count.get() <= Self::ROOM_PARTITIONS_MAX),
                "1 to 4096",
            ),
            ("linger", Self::LINGER.contains(&self.linger), "0s to 5m"),
            (
                "queue_messages",
                Self::QUEUE.contains(&self.queue_messages),
                "64 to 1048576",
            ),
            (
                "queue_bytes",
                Self::QUEUE_BYTES.contains(&self.queue_bytes),
                "1MiB to 4GiB",
            ),
            ("streams", Self::STREAMS.contains(&self.streams), "1 to 256"),
        ];
        match rules.into_iter().find(|(_, obeys, _)| !obeys) {
            Some((key, _, rule)) => Err(BadCluster {
                key,
                why: format!("it must be {rule}"),
            }),
            None => Ok(self),
        }
    }

    /// What [`Cluster::is_name`] asks for.
    pub(crate) const NAME_RULE: &str = "1 to 64 characters of A-Z, a-z, 0-9, _ and -";

    /// Whether a node or a prefix may be called so.
    pub fn is_name(name: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        (1..=64).contains(&name.len()) && name.bytes().all(fits)
    }
}
