//! What an application asks of its clients' tokens: whether they must come, where they are looked
//! for, and which keys check them.

use crate::auth::key::TokenKey;
use crate::auth::rules::TokenRules;

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
    pub(crate) rules: TokenRules,
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
}

/// More than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server has up to {} keys of tokens", Auth::KEYS_MAX)]
pub struct TooManyKeys;

impl TokenSource {
    /// Every source, in the order in which they are looked at by default.
    pub const ALL: [TokenSource; 4] = [
        TokenSource::Header,
        TokenSource::Query,
        TokenSource::Subprotocol,
        TokenSource::Cookie,
    ];

    /// Its name in the configuration, in logs and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            TokenSource::Header => "header",
            TokenSource::Query => "query",
            TokenSource::Subprotocol => "subprotocol",
            TokenSource::Cookie => "cookie",
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
            rules: TokenRules::default(),
        })
    }

    /// What tokens must be like beside their signatures.
    #[must_use]
    pub fn rules(self, rules: TokenRules) -> Auth {
        Auth { rules, ..self }
    }

    /// Where tokens are looked for, in this order; the first that is found counts. Default:
    /// [`TokenSource::ALL`].
    #[must_use]
    pub fn sources(self, sources: impl IntoIterator<Item = TokenSource>) -> Auth {
        let sources = sources.into_iter().collect();
        Auth { sources, ..self }
    }
}
