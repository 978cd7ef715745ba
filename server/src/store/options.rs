//! Where what rooms and users keep is stored, and how much of it a crash may lose.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// What rooms keep, and what waits for users, outlives the process. Default of a server: it does
/// not. See `docs/delivery.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// A directory, made if there is none. One process at a time uses it.
    pub path: PathBuf,
    /// What was published within so much time before a crash may be lost, within
    /// [`Persistence::SYNC`]. Half of it goes by between two writes.
    pub sync: Duration,
}

impl Persistence {
    /// What [`Persistence::sync`] may be.
    pub const SYNC: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
    /// What [`Persistence::sync`] is if nobody says anything else.
    pub const SYNC_DEFAULT: Duration = Duration::from_secs(1);

    /// In this directory, with the default window.
    pub fn at(path: impl Into<PathBuf>) -> Persistence {
        Persistence {
            path: path.into(),
            sync: Persistence::SYNC_DEFAULT,
        }
    }

    /// From the first publication that is not on the disk to the write that brings it there.
    pub(crate) fn write_after(&self) -> Duration {
        self.sync.clamp(*Self::SYNC.start(), *Self::SYNC.end()) / 2
    }
}
