//! What a run is like, apart from its network and its clients: rooms, lanes, limits, timeouts.

use super::application::ROOM_NAME_BYTES_MAX;
use super::client::{LISTENERS, message_bytes_max, tls};
use shardcast_engine::driver::sim::Random;
use shardcast_engine::protocol::deflate::Takeover;
use shardcast_engine::{Compression, Config, Listener};
use std::net::SocketAddr;
use std::time::Duration;

/// Drawn once per seed.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) rooms: usize,
    pub(crate) lane_messages: usize,
    /// A slow reader may be closed for it, the outbox is that small.
    pub(crate) tight: bool,
    /// The process takes fewer connections than there are clients.
    pub(crate) crowded: bool,
    pub(crate) spurious_permille: usize,
    /// The server drains before the clients are done.
    pub(crate) drains_early: bool,
    /// The server drains when they are; otherwise they end by themselves.
    pub(crate) drains_late: bool,
    pub(crate) hasty: bool,
    /// The last listener speaks TLS.
    pub(crate) secure: bool,
    /// The shards have too little memory for unfinished messages.
    pub(crate) cramped: bool,
    /// The server compresses, and clients offer it.
    pub(crate) compressed: bool,
    /// Few may wait for a deferred admission.
    pub(crate) impatient: bool,
    /// How many encodings the clients have.
    pub(crate) encodings: usize,
}

impl Setting {
    pub(crate) fn draw(random: &mut Random) -> Setting {
        Setting {
            rooms: random.between(1, 4),
            lane_messages: random.pick(&[2, 2, 3, 4, 64, 2000]),
            tight: random.chance(200),
            crowded: random.chance(100),
            spurious_permille: random.pick(&[0, 0, 10]),
            drains_early: random.chance(100),
            drains_late: random.chance(400),
            hasty: random.chance(300),
            secure: random.chance(250),
            cramped: random.chance(100),
            compressed: false,
            impatient: false,
            encodings: 1,
        }
    }

    pub(crate) fn config(&self, shards: usize, clients: usize) -> Config {
        let milliseconds =
            |calm, hasty| Duration::from_millis(if self.hasty { hasty } else { calm });
        let mut config = Config {
            shards,
            connections_max: if self.crowded {
                clients.div_ceil(2).max(shards)
            } else {
                10_000
            },
            listeners: (0..LISTENERS)
                .map(|listener| Listener {
                    tls: (self.secure && listener == LISTENERS - 1).then(tls::server),
                    message_bytes_max: message_bytes_max(listener),
                    ..Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)))
                })
                .collect(),
            compression: self.compressed.then(|| Compression {
                threshold_bytes: 64,
                takeover: if self.hasty {
                    Takeover::Never
                } else {
                    Takeover::Allowed
                },
                ..Compression::default()
            }),
            rooms_per_connection_max: self.rooms,
            room_name_bytes_max: ROOM_NAME_BYTES_MAX,
            outbox_bytes_max: if self.tight {
                message_bytes_max(LISTENERS - 1) + 1024
            } else {
                64 << 20
            },
            outbox_frames_max: if self.tight { 16 } else { 1 << 20 },
            handshake_timeout: Duration::from_secs(5),
            admission_timeout: Duration::from_secs(4),
            deferred_max: if self.impatient { shards } else { 4096 },
            message_timeout: milliseconds(60_000, 3_000),
            heartbeat: milliseconds(25_000, 2_000),
            pong_timeout: milliseconds(100_000, 4_000),
            progress_timeout: milliseconds(100_000, 3_000),
            idle_timeout: milliseconds(200_000, 10_000),
            close_timeout: Duration::from_secs(5),
            ..Config::default()
        };
        config.check().expect("a configuration within its limits");
        if self.cramped {
            // Less than a server may have, so that a few clients use it up.
            config.reassembly_bytes_max = shards * CRAMPED_BYTES;
        }
        config
    }
}

/// Memory for unfinished messages of a shard that has too little: one large message, or a few small
/// ones.
const CRAMPED_BYTES: usize = 8 << 10;
