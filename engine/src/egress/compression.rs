//! permessage-deflate as it is configured (RFC 7692). Part of [`crate::Config`]; without it no
//! offer is answered.

use crate::types::config_error::{ConfigError, within};
use shardcast_protocol::deflate::{InflateLimits, Takeover};
use std::ops::RangeInclusive;

/// When messages are compressed, and what received ones may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Shorter payloads are sent as they are, in bytes. Default 1 KiB, range 64 B..=64 MiB: below a
    /// network packet there is little to win, and every message costs the receiver an inflate.
    pub threshold_bytes: usize,
    /// Whether messages may refer to earlier ones. Default `Never`: then a broadcast is compressed
    /// once for all, and a connection costs no memory. `Allowed` takes up to
    /// [`Compression::TAKEOVER_BYTES`] for each connection that asks for it.
    pub takeover: Takeover,
    /// Bytes that each compressed byte of a received message may become once it is longer than 64
    /// KiB; more ends the connection with
    /// 1009. Default 200, range 10..=1,032 (DEFLATE reaches no more).
    pub ratio_max: u32,
    /// Memory of all windows of clients that refer to earlier messages though they were told
    /// `client_no_context_takeover`, in bytes; each shard has an even share. Tornado does, browsers
    /// do not. Whoever was told and had not offered it may be one: up to 32 KiB of what it said
    /// compressed are kept until a message shows that it obeys (as a rule the second), and 48 KB
    /// once one refers back. When it is used up, a client that refers back is closed with 1007.
    /// Default 64 MiB, range 0..=1 TiB.
    pub windows_bytes_max: usize,
}

impl Compression {
    /// What [`Compression::threshold_bytes`] may be.
    pub const THRESHOLD_BYTES: RangeInclusive<usize> = 64..=64 << 20;
    /// What [`Compression::windows_bytes_max`] may be.
    pub const WINDOWS_BYTES: RangeInclusive<usize> = 0..=1 << 40;
    /// What [`Compression::ratio_max`] may be.
    pub const RATIO: RangeInclusive<u32> = 10..=1032;
    /// Memory of a connection with context takeover, once it has sent and received a compressed
    /// message: 381 KB to deflate and 48 KB to inflate, measured.
    pub const TAKEOVER_BYTES: usize = 381_000 + 48_000;
    /// Memory of a shard that deflates and inflates: 205 KB and 48 KB, measured, the buffers of
    /// both, and seven compressors of 265 KB if peers ask for small windows.
    pub(crate) const SHARD_BYTES: usize = 205_000 + 48_000 + 3 * (64 << 10) + 7 * 265_000;

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        within(
            "threshold_bytes",
            self.threshold_bytes,
            Self::THRESHOLD_BYTES,
            "64 B to 64 MiB",
        )?;
        within(
            "windows_bytes_max",
            self.windows_bytes_max,
            Self::WINDOWS_BYTES,
            "0 B to 1 TiB",
        )?;
        within("ratio_max", self.ratio_max, Self::RATIO, "10 to 1,032")
    }
}

impl Default for Compression {
    fn default() -> Compression {
        Compression {
            threshold_bytes: 1 << 10,
            takeover: Takeover::Never,
            ratio_max: InflateLimits::RATIO_MAX_DEFAULT,
            windows_bytes_max: 64 << 20,
        }
    }
}
