//! Which claims must hold for a token to be taken now: times, issuer, audience. What is not
//! configured is not asked for, but for `exp`, which is.

use crate::auth::claims::{Issue, PermitEnd};
use crate::auth::fault::TokenFault;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

/// What a token must be like, whatever its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// Longest token in bytes, within [`TokenRules::TOKEN_BYTES`].
    pub token_bytes_max: usize,
    /// Accepted issuers (`iss`); empty: whoever has the key.
    pub issuers: Vec<String>,
    /// Audiences that this server is (`aud`), of which a token must name one. Empty: a token that
    /// names any is for somebody else and refused (RFC 7519 §4.1.3).
    pub audiences: Vec<String>,
    /// How far the issuer's clock may be from this host's, up to [`TokenRules::LEEWAY_MAX`]: times
    /// are taken so much more generously.
    pub leeway: Duration,
    /// Whether a token must expire.
    pub expiry: Expiry,
}

/// Whether a token must have `exp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// One without is refused.
    #[default]
    Required,
    /// One without is valid until it is revoked or its key goes.
    Optional,
}

impl Default for TokenRules {
    fn default() -> TokenRules {
        TokenRules {
            token_bytes_max: 4 << 10,
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::from_secs(30),
            expiry: Expiry::Required,
        }
    }
}

impl TokenRules {
    /// Bytes that the longest token may have.
    pub const TOKEN_BYTES: RangeInclusive<usize> = 64..=64 << 10;
    /// The largest leeway.
    pub const LEEWAY_MAX: Duration = Duration::from_secs(600);

    /// Whether a token of this issue is valid at this time, in seconds since 1970.
    pub(crate) fn check(&self, issue: &Issue, now: u64) -> Result<(), TokenFault> {
        self.check_times(issue, now)?;
        self.check_parties(issue)
    }

    fn check_times(&self, issue: &Issue, now: u64) -> Result<(), TokenFault> {
        match (self.end(issue), self.expiry) {
            (None, Expiry::Required) => return Err(TokenFault::MissingClaim("exp")),
            (Some(end), _) if now >= end => return Err(TokenFault::Expired),
            (Some(_) | None, _) => {}
        }
        let latest = now.saturating_add(self.leeway.as_secs());
        for (name, moment) in [("nbf", issue.not_before), ("iat", issue.issued_at)] {
            if moment.is_some_and(|moment| moment > latest) {
                return Err(TokenFault::NotYetValid(name));
            }
        }
        Ok(())
    }

    fn check_parties(&self, issue: &Issue) -> Result<(), TokenFault> {
        match &issue.issuer {
            _ if self.issuers.is_empty() => {}
            None => return Err(TokenFault::MissingClaim("iss")),
            Some(issuer) if self.issuers.iter().any(|known| **known == **issuer) => {}
            Some(_) => return Err(TokenFault::Issuer),
        }
        let is_ours = |name: &str| self.audiences.iter().any(|own| own == name);
        match &*issue.audience {
            [] if self.audiences.is_empty() => Ok(()),
            [] => Err(TokenFault::MissingClaim("aud")),
            audience if audience.iter().any(|name| is_ours(name)) => Ok(()),
            _ => Err(TokenFault::Audience),
        }
    }

    /// When a token ends, leeway included; `None`: never by itself.
    pub(crate) fn end(&self, issue: &Issue) -> Option<u64> {
        let expires_at = issue.expires_at?;
        Some(expires_at.saturating_add(self.leeway.as_secs()))
    }
}

impl Issue {
    /// When what the token permits ends, which may be before the token does, or after; with so much
    /// leeway. `None`: never by itself.
    pub(crate) fn permits_until(&self, rules: &TokenRules) -> Option<u64> {
        match self.permits_until {
            None => rules.end(self),
            Some(PermitEnd::Never) => None,
            Some(PermitEnd::At(moment)) => Some(moment.saturating_add(rules.leeway.as_secs())),
        }
    }
}

/// Seconds since 1970, by the host's clock. A clock before that is at its beginning.
pub(crate) fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The same in milliseconds.
pub(crate) fn unix_now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
