//! The values of section `[auth]` and of every `[auth.keys.NAME]`: which tokens are asked for, and
//! which files and variables have what checks them. Nothing is opened here.

use super::value::ConfigValue;
use super::word::{FilePath, VariableName, Word, is_short_and_plain};
use crate::auth::algorithm::TokenAlgorithm;
use crate::auth::key::TokenKey;
use crate::auth::key_set::KeySetOptions;
use crate::auth::options::{Auth, TokenMode, TokenSource};
use crate::auth::rules::{Expiry, TokenRules};
use crate::moment::since_1970;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use toml::value::Datetime;

/// Section `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthSettings {
    pub(crate) tokens: TokenMode,
    pub(crate) sources: TokenSources,
    pub(crate) issuers: Names,
    pub(crate) audiences: Names,
    pub(crate) leeway: Duration,
    pub(crate) require_exp: bool,
    pub(crate) token_bytes_max: usize,
    pub(crate) message_timeout: Duration,
    pub(crate) expiring: Duration,
    /// By name.
    pub(crate) keys: BTreeMap<String, TokenKeySettings>,
    /// By name.
    pub(crate) sets: BTreeMap<String, KeySetSettings>,
    /// Where the keys of a table are found while it is read or shown.
    pub(super) key: TokenKeySettings,
    pub(super) set: KeySetSettings,
}

/// A table `[auth.keys.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenKeySettings {
    pub(crate) algorithm: TokenAlgorithm,
    pub(crate) key_id: Word,
    pub(crate) current: MaterialSettings,
    pub(crate) previous: MaterialSettings,
    pub(crate) previous_until: Until,
}

/// Where what tokens are checked with stands: in one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MaterialSettings {
    pub(crate) secret_file: FilePath,
    pub(crate) secret_variable: VariableName,
    pub(crate) public_key: FilePath,
}

/// A table `[auth.jwks.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySetSettings {
    pub(crate) url: Word,
    pub(crate) file: FilePath,
    pub(crate) authorities: FilePath,
    pub(crate) refresh: Duration,
    pub(crate) stale: Duration,
}

impl Default for KeySetSettings {
    fn default() -> KeySetSettings {
        KeySetSettings {
            url: Word::default(),
            file: FilePath::default(),
            authorities: FilePath::default(),
            refresh: KeySetOptions::REFRESH_DEFAULT,
            stale: KeySetOptions::STALE_DEFAULT,
        }
    }
}

impl Default for AuthSettings {
    fn default() -> AuthSettings {
        let rules = TokenRules::default();
        AuthSettings {
            tokens: TokenMode::Off,
            sources: TokenSources(TokenSource::ALL.to_vec()),
            issuers: Names(rules.issuers),
            audiences: Names(rules.audiences),
            leeway: rules.leeway,
            require_exp: rules.expiry == Expiry::Required,
            token_bytes_max: rules.token_bytes_max,
            message_timeout: Duration::from_secs(5),
            expiring: Duration::from_secs(30),
            keys: BTreeMap::new(),
            sets: BTreeMap::new(),
            key: TokenKeySettings::default(),
            set: KeySetSettings::default(),
        }
    }
}

impl Default for TokenKeySettings {
    fn default() -> TokenKeySettings {
        TokenKeySettings {
            algorithm: TokenAlgorithm::Hs256,
            key_id: Word::default(),
            current: MaterialSettings::default(),
            previous: MaterialSettings::default(),
            previous_until: Until::default(),
        }
    }
}

impl AuthSettings {
    /// What is asked of clients, with the keys that the tables name.
    pub(crate) fn with_keys(&self, keys: Vec<TokenKey>, sets: Vec<KeySetOptions>) -> Auth {
        let auth = Auth::new(self.tokens, keys);
        let auth = auth.expect("a file has no more tables than a server has keys");
        auth.key_sets(sets)
            .rules(self.rules())
            .sources(self.sources.0.iter().copied())
            .message_timeout(self.message_timeout)
            .expiring(self.expiring)
    }

    /// What every token must be like.
    pub(crate) fn rules(&self) -> TokenRules {
        TokenRules {
            token_bytes_max: self.token_bytes_max,
            issuers: self.issuers.0.clone(),
            audiences: self.audiences.0.clone(),
            leeway: self.leeway,
            expiry: match self.require_exp {
                true => Expiry::Required,
                false => Expiry::Optional,
            },
        }
    }
}

impl ConfigValue for TokenMode {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "off" => TokenMode::Off,
            "optional" => TokenMode::Optional,
            "required" => TokenMode::Required,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            TokenMode::Off => "off".to_owned(),
            TokenMode::Optional => "optional".to_owned(),
            TokenMode::Required => "required".to_owned(),
        }
    }
}

impl ConfigValue for TokenAlgorithm {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = TokenAlgorithm::from_name(text)?;
        Some(())
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

/// Where tokens are looked for: one place at least, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenSources(pub(crate) Vec<TokenSource>);

impl ConfigValue for TokenSources {
    fn read(&mut self, text: &str) -> Option<()> {
        let mut sources = Vec::new();
        for name in text.split(',') {
            let source = TokenSource::from_name(name.trim())?;
            if sources.contains(&source) {
                return None;
            }
            sources.push(source);
        }
        self.0 = sources;
        Some(())
    }

    fn show(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|source| source.name()).collect();
        names.join(",")
    }
}

/// Up to 16 texts, separated by commas, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(pub(crate) Vec<String>);

impl ConfigValue for Names {
    fn read(&mut self, text: &str) -> Option<()> {
        const COUNT_MAX: usize = 16;
        if text == NONE {
            self.0.clear();
            return Some(());
        }
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        if names.len() > COUNT_MAX || !names.iter().all(|name| is_short_and_plain(name)) {
            return None;
        }
        self.0 = names.into_iter().map(str::to_owned).collect();
        Some(())
    }

    fn show(&self) -> String {
        match &*self.0 {
            [] => NONE.to_owned(),
            names => names.join(","),
        }
    }
}

/// A moment: RFC 3339 with an offset, or a date, whose first moment in UTC it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Until(pub(crate) Option<Datetime>);

impl ConfigValue for Until {
    fn read(&mut self, text: &str) -> Option<()> {
        if text == NONE {
            self.0 = None;
            return Some(());
        }
        let moment: Datetime = text.parse().ok()?;
        moment.date?;
        // A time of day means nothing without the place where it is.
        if moment.time.is_some() != moment.offset.is_some() {
            return None;
        }
        self.0 = Some(moment);
        Some(())
    }

    fn show(&self) -> String {
        self.0.map_or(NONE.to_owned(), |moment| moment.to_string())
    }
}

impl Until {
    /// The moment; a date before 1970 is its beginning.
    pub(crate) fn moment(&self) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + since_1970(&self.0?)?)
    }
}

const NONE: &str = "none";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let seconds = |text: &str| {
            let mut until = Until::default();
            until.read(text)?;
            assert_eq!(Until::default().read(&until.show()), Some(()), "{text}");
            let since = until.moment()?.duration_since(SystemTime::UNIX_EPOCH);
            Some(since.unwrap().as_secs())
        };
        for (text, want) in [
            ("1970-01-01", Some(0)),
            ("2000-03-01", Some(951_868_800)),
            ("2027-01-31T12:00:00Z", Some(1_801_396_800)),
            ("2027-01-31T12:00:00+02:00", Some(1_801_389_600)),
            ("2024-02-29", Some(1_709_164_800)),
            ("1969-12-31", Some(0)),
            ("none", None),
            ("2027-01-31T12:00:00", None),
            ("12:00:00", None),
            ("2027-13-01", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), want, "{text}");
        }
    }
}
