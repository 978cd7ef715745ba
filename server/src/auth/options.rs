//! What an application asks of its clients' tokens: whether they must come, where they are looked
//! for, and which keys check them.

use crate::auth::key::TokenKey;
use crate::auth::key_set::KeySetOptions;
use crate::auth::rules::TokenRules;
use std::time::Duration;

/// How clients prove who they are: with tokens (JWT) that these keys have signed.
///
/// ```
/// use shardcast::{App, Auth, KeyMaterial, TokenAlgorithm, TokenKey};
///
/// let secret = b"a secret that nobody else knows!";
/// let key = TokenKey::new("main", TokenAlgorithm::Hs256, KeyMaterial::Secret(secret))?;
/// let app = App::new().auth(Auth::required([key])?);
/// # drop(app);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Auth {
    pub(crate) mode: TokenMode,
    pub(crate) sources: Vec<TokenSource>,
    pub(crate) keys: Vec<TokenKey>,
    pub(crate) sets: Vec<KeySetOptions>,
    pub(crate) rules: TokenRules,
    pub(crate) message_timeout: Duration,
    pub(crate) expiring: Duration,
}

/// Whether clients come with tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMode {
    /// None is looked for.
    Off,
    /// Who brings none is nobody. One that breaks a rule is refused.
    Optional,
    /// Who brings none is refused.
    Required,
}

/// Where a token may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer TOKEN`.
    Header,
    /// `?token=TOKEN`. Proxies write queries into their logs.
    Query,
    /// `Sec-WebSocket-Protocol: shardcast.token.TOKEN`, offered beside the dialect's and never
    /// selected: what browsers can send.
    Subprotocol,
    /// The cookie `shardcast_token`.
    Cookie,
    /// The request `auth`, which must be the first of a client that came without a token.
    Message,
}

/// More than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server has up to {} keys of tokens", Auth::KEYS_MAX)]
pub struct TooManyKeys;

impl TokenSource {
    /// Every source, in the order in which they are looked at by default.
    pub const ALL: [TokenSource; 5] = [
        TokenSource::Header,
        TokenSource::Query,
        TokenSource::Subprotocol,
        TokenSource::Cookie,
        TokenSource::Message,
    ];

    /// Its name in the configuration, in logs and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            TokenSource::Header => "header",
            TokenSource::Query => "query",
            TokenSource::Subprotocol => "subprotocol",
            TokenSource::Cookie => "cookie",
            TokenSource::Message => "message",
        }
    }

    /// The source of this name.
    pub fn from_name(name: &str) -> Option<TokenSource> {
        let mut all = TokenSource::ALL.into_iter();
        all.find(|source| source.name() == name)
    }
}

impl Auth {
    /// Keys of a server. A token that does not say which key is its own is checked with each that
    /// has its algorithm.
    pub const KEYS_MAX: usize = 16;
    /// Sets of keys that the configuration of the server may have.
    pub(crate) const SETS_MAX: usize = 8;

    /// Clients must bring a token that one of these keys has signed.
    ///
    /// # Errors
    /// There are more than [`Auth::KEYS_MAX`].
    pub fn required(keys: impl IntoIterator<Item = TokenKey>) -> Result<Auth, TooManyKeys> {
        Auth::new(TokenMode::Required, keys)
    }

    /// Clients may bring such a token; others are nobody.
    ///
    /// # Errors
    /// There are more than [`Auth::KEYS_MAX`].
    pub fn optional(keys: impl IntoIterator<Item = TokenKey>) -> Result<Auth, TooManyKeys> {
        Auth::new(TokenMode::Optional, keys)
    }

    /// The same in either mode.
    ///
    /// # Errors
    /// There are more than [`Auth::KEYS_MAX`].
    pub fn new(
        mode: TokenMode,
        keys: impl IntoIterator<Item = TokenKey>,
    ) -> Result<Auth, TooManyKeys> {
        let keys: Vec<TokenKey> = keys.into_iter().collect();
        if keys.len() > Auth::KEYS_MAX {
            return Err(TooManyKeys);
        }
        Ok(Auth {
            mode,
            sources: TokenSource::ALL.to_vec(),
            keys,
            sets: Vec::new(),
            rules: TokenRules::default(),
            message_timeout: Duration::from_secs(5),
            expiring: Duration::from_secs(30),
        })
    }

    /// Sets of public keys (JWK sets) beside the keys, which are read when the server starts and
    /// kept fresh from then on.
    #[must_use]
    pub fn key_sets(self, sets: impl IntoIterator<Item = KeySetOptions>) -> Auth {
        let sets = sets.into_iter().collect();
        Auth { sets, ..self }
    }

    /// What tokens must be like beside their signatures.
    #[must_use]
    pub fn rules(self, rules: TokenRules) -> Auth {
        Auth { rules, ..self }
    }

    /// How long a client that came without a token has for its first message, `auth`, where a token
    /// is required. Default: 5 s.
    #[must_use]
    pub fn message_timeout(self, message_timeout: Duration) -> Auth {
        Auth {
            message_timeout,
            ..self
        }
    }

    /// How long before its token ends a client is told (`expiring`); zero: never. Default: 30 s.
    #[must_use]
    pub fn expiring(self, expiring: Duration) -> Auth {
        Auth { expiring, ..self }
    }

    /// Where tokens are looked for, in this order; the first that is found counts. Default:
    /// [`TokenSource::ALL`].
    #[must_use]
    pub fn sources(self, sources: impl IntoIterator<Item = TokenSource>) -> Auth {
        let sources = sources.into_iter().collect();
        Auth { sources, ..self }
    }
}
