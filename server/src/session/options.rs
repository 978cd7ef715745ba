//! Whether clients that lost their connection may go on with their sessions, and what may be kept
//! for them.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How long sessions outlive their connections. Default: they do not.
///
/// A client is welcomed with a token, shows it on its next connection (`resume`), and goes on with
/// its rooms, its identity and what the application keeps with it
/// ([`crate::Context::set_metadata`]). See `docs/delivery.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// How long a session waits for its client, from the end of its connection on. `None`: there
    /// are no sessions, no tokens, and `resume` is answered `no_session`.
    pub resume: Option<Duration>,
    /// Sessions of each shard that may wait. Of more, the one that has waited for longest ends.
    pub waiting_max: usize,
    /// What those of the process may hold, in bytes; each shard has an even share. Beyond it, those
    /// that have waited for longest end. What metadata refers to is not seen, and not counted.
    pub bytes_max: usize,
}

impl Default for SessionOptions {
    fn default() -> SessionOptions {
        SessionOptions {
            resume: None,
            waiting_max: 65_536,
            bytes_max: 64 << 20,
        }
    }
}

impl SessionOptions {
    /// What [`SessionOptions::resume`] may be.
    pub const RESUME: RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_secs(86_400);
    /// What [`SessionOptions::waiting_max`] may be.
    pub const WAITING: RangeInclusive<usize> = 1..=10_000_000;
    /// What [`SessionOptions::bytes_max`] may be.
    pub const BYTES: RangeInclusive<usize> = 1 << 20..=1 << 40;

    /// Each value in its range.
    pub(crate) fn clamped(self) -> SessionOptions {
        let within =
            |value: usize, range: RangeInclusive<usize>| value.clamp(*range.start(), *range.end());
        let resume = self.resume;
        SessionOptions {
            resume: resume.map(|time| time.clamp(*Self::RESUME.start(), *Self::RESUME.end())),
            waiting_max: within(self.waiting_max, Self::WAITING),
            bytes_max: within(self.bytes_max, Self::BYTES),
        }
    }
}
