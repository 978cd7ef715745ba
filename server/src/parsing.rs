//! The parsers that strangers and operators reach first, as functions of their text alone: what
//! they promise for any input is tried by `tools/trials`.

use crate::auth::claims::{Purpose, Verified};
use crate::auth::compact::CompactToken;
use crate::auth::fault::TokenFault;
use crate::config::{self, Given, Settings};

/// What a token says before anybody believes it: as one of a connection, and as one of a room.
pub fn token(text: &str) -> [Result<(), TokenFault>; 2] {
    [Purpose::Connection, Purpose::Room].map(|purpose| {
        let compact = CompactToken::parse(text)?;
        Verified::read(compact.claims()?, purpose).map(drop)
    })
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
