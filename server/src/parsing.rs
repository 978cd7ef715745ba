//! The parsers that strangers, operators and damaged disks reach first, as functions of their bytes
//! alone: what they promise for any input is tried by `tools/trials`.

use crate::auth::claims::{Purpose, Verified};
use crate::auth::compact::CompactToken;
use crate::auth::fault::TokenFault;
use crate::config::{self, Given, Settings};
use crate::session::token::SecretDigest;
use crate::store::record::{self, LogRow};
use crate::store::session;

/// What a token says before anybody believes it: as one of a connection, and as one of a room.
pub fn token(text: &str) -> [Result<(), TokenFault>; 2] {
    [Purpose::Connection, Purpose::Room].map(|purpose| {
        let compact = CompactToken::parse(text)?;
        Verified::read(compact.claims()?, purpose).map(drop)
    })
}

/// What an entry of the store's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredEntry {
    /// What is known of a log.
    Log,
    /// A publication in one.
    Publication,
    /// A session that waits for its client.
    Session,
}

/// Reads an entry of the store's file, and writes it again. `None`: this version cannot read it, or
/// its time is over.
pub fn stored(entry: StoredEntry, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match entry {
        StoredEntry::Log => LogRow::read(bytes).ok()?.write(&mut out),
        StoredEntry::Publication => {
            // At the end of time ages tell exactly when something was published.
            let publication = record::read(1, bytes, u64::MAX).ok()?;
            let at_ms = u64::MAX - publication.age_ms;
            record::write(&publication, at_ms, &mut out).then_some(())?;
        }
        StoredEntry::Session => {
            let digest = SecretDigest([0; SecretDigest::BYTES]);
            let read = session::read(digest, bytes, 0).ok()?;
            out = session::write(&read?, 0);
        }
    }
    Some(out)
}

/// A configuration that was checked, but for the files that it names.
#[derive(Debug)]
pub struct CheckedText {
    settings: Settings,
    page: String,
}

impl CheckedText {
    /// The effective configuration, written out.
    pub fn page(&self) -> &str {
        &self.page
    }
}

impl PartialEq for CheckedText {
    fn eq(&self, other: &CheckedText) -> bool {
        self.settings == other.settings
    }
}

/// Checks the text of a configuration file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn configuration(text: &str) -> Result<CheckedText, Vec<String>> {
    let mut given = Given::default();
    given.toml("a file", text);
    match config::check(&given) {
        Ok(settings) => Ok(CheckedText {
            page: config::effective_page(&settings, &given),
            settings,
        }),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}
