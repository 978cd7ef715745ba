//! A set of keys that somebody else keeps, at a URL or in a file, and the copy of it that tokens
//! are checked with.
//!
//! Invariants: the set is read again every [`KeySetOptions::refresh`]; while that fails, the copy
//! is used for [`KeySetOptions::stale`] more. One read is under way at a time, and whoever wants
//! one meanwhile waits for its end. A token whose key is not in the copy has it read at most once
//! in [`KeySet::UNKNOWN_INTERVAL`], so nobody has a set fetched as often as tokens come. Asked by
//! the verifier.

use crate::auth::fetch::{FetchError, FetchUrl};
use crate::auth::jwk;
use crate::auth::key::TokenKey;
use crate::bounded::read_file;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as Turn;

/// Where a set of keys is, and for how long a copy is good.
#[derive(Clone)]
pub struct KeySetOptions {
    pub(crate) name: Box<str>,
    pub(crate) source: SetSource,
    /// How often the set is read again.
    pub(crate) refresh: Duration,
    /// How much longer the copy is used while the set cannot be read.
    pub(crate) stale: Duration,
}

impl KeySetOptions {
    /// How often a set may be read.
    pub const REFRESH: RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_secs(86_400);
    /// How often it is read by default.
    pub const REFRESH_DEFAULT: Duration = Duration::from_secs(600);
    /// For how much longer a copy is used by default.
    pub const STALE_DEFAULT: Duration = Duration::from_secs(86_400);
    /// The longest that a copy may be used.
    pub const STALE_MAX: Duration = Duration::from_secs(30 * 86_400);

    /// A set at an `https` URL (or `http` on a loopback address), which is fetched without
    /// redirects. `authorities`: a file of certificates in PEM that its server is trusted by,
    /// instead of those of the host.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub fn url(
        name: impl Into<Box<str>>,
        url: &str,
        authorities: Option<&Path>,
    ) -> Result<KeySetOptions, BadKeySet> {
        let url = FetchUrl::new(url, authorities).map_err(BadKeySet)?;
        Ok(KeySetOptions::of(name.into(), SetSource::Url(url)))
    }

    /// A set in a file.
    pub fn file(name: impl Into<Box<str>>, path: impl Into<PathBuf>) -> KeySetOptions {
        KeySetOptions::of(name.into(), SetSource::File(path.into()))
    }

    fn of(name: Box<str>, source: SetSource) -> KeySetOptions {
        KeySetOptions {
            name,
            source,
            refresh: KeySetOptions::REFRESH_DEFAULT,
            stale: KeySetOptions::STALE_DEFAULT,
        }
    }

    /// How often the set is read again, and how much longer the copy is used while that fails.
    /// What is out of range is brought into it.
    #[must_use]
    pub fn times(self, refresh: Duration, stale: Duration) -> KeySetOptions {
        let (least, most) = KeySetOptions::REFRESH.into_inner();
        KeySetOptions {
            refresh: refresh.clamp(least, most),
            stale: stale.min(KeySetOptions::STALE_MAX),
            ..self
        }
    }
}

/// Why a set cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadKeySet(String);

impl fmt::Debug for KeySetOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySetOptions")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Where a set is.
#[derive(Clone)]
pub(crate) enum SetSource {
    Url(FetchUrl),
    File(PathBuf),
}

/// A set and its copy.
pub(crate) struct KeySet {
    options: KeySetOptions,
    copy: Mutex<SetCopy>,
    turn: Turn<()>,
}

/// What is known of a set.
#[derive(Default)]
struct SetCopy {
    keys: Arc<[TokenKey]>,
    /// As it was read, to tell whether it has changed.
    text: Vec<u8>,
    /// Counts the changes.
    generation: u64,
    read_at: Option<Instant>,
    /// When the last read began, whatever came of it.
    tried_at: Option<Instant>,
}

/// What a read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetChange {
    Other,
    Same,
    Failed,
}

impl KeySet {
    /// How often tokens of keys that are not in the copy have the set read, at most.
    pub(crate) const UNKNOWN_INTERVAL: Duration = Duration::from_secs(10);
    /// How long after a read that failed the next one begins, if refresh is not shorter.
    const RETRY_AFTER: Duration = Duration::from_secs(5);

    pub(crate) fn new(options: KeySetOptions) -> KeySet {
        KeySet {
            options,
            copy: Mutex::default(),
            turn: Turn::new(()),
        }
    }

    /// The keys of the copy. `None`: there is none that is good.
    pub(crate) fn keys(&self) -> Option<Arc<[TokenKey]>> {
        let copy = self.copy();
        let age = copy.read_at?.elapsed();
        let is_good = age < self.options.refresh + self.options.stale;
        is_good.then(|| Arc::clone(&copy.keys))
    }

    /// Reads the set because a token's key is not in the copy, unless that was done a moment ago.
    pub(crate) async fn look_again(&self) {
        let asked_at = Instant::now();
        let _turn = self.turn.lock().await;
        let tried_at = self.copy().tried_at;
        let was_tried = tried_at.is_some_and(|tried_at| {
            tried_at >= asked_at || tried_at.elapsed() < KeySet::UNKNOWN_INTERVAL
        });
        if !was_tried {
            self.read().await;
        }
    }

    /// Whether a key of the copy is called so.
    pub(crate) fn has(&self, key_id: Option<&str>) -> bool {
        let keys = self.keys();
        keys.is_some_and(|keys| keys.iter().any(|key| key.key_id() == key_id))
    }

    /// Counts the changes of the copy.
    pub(crate) fn generation(&self) -> u64 {
        self.copy().generation
    }

    /// Reads the set because it is time. Also how long until the next time.
    pub(crate) async fn refresh(&self) -> (SetChange, Duration) {
        let _turn = self.turn.lock().await;
        let change = self.read().await;
        let wait = match change {
            SetChange::Other | SetChange::Same => self.options.refresh,
            SetChange::Failed => self.options.refresh.min(KeySet::RETRY_AFTER),
        };
        (change, wait)
    }

    async fn read(&self) -> SetChange {
        self.copy().tried_at = Some(Instant::now());
        let name = &*self.options.name;
        let text = match self.text().await {
            Ok(text) => text,
            Err(error) => {
                tracing::warn!(set = name, %error, "a set of keys cannot be read: the copy is used");
                return SetChange::Failed;
            }
        };
        let Some((keys, left_out)) = jwk::read(name, &text).filter(|(keys, _)| !keys.is_empty())
        else {
            tracing::warn!(
                set = name,
                "a set of keys has no key to use: the copy is used"
            );
            return SetChange::Failed;
        };
        let mut copy = self.copy();
        copy.read_at = Some(Instant::now());
        if copy.text == text {
            return SetChange::Same;
        }
        tracing::info!(
            set = name,
            keys = keys.len(),
            left_out,
            "a set of keys has changed"
        );
        copy.keys = keys.into();
        copy.text = text;
        copy.generation += 1;
        SetChange::Other
    }

    async fn text(&self) -> Result<Vec<u8>, FetchError> {
        match &self.options.source {
            SetSource::Url(url) => Ok(url.get().await?.to_vec()),
            SetSource::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || {
                    read_file(&path, FetchUrl::BYTES_MAX as u64)
                });
                let read = read.await.map_err(std::io::Error::other)?;
                Ok(read?)
            }
        }
    }

    /// Nothing that is done under the lock leaves the copy half-changed.
    fn copy(&self) -> MutexGuard<'_, SetCopy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("name", &self.options.name)
            .finish_non_exhaustive()
    }
}
