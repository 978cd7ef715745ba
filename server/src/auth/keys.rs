//! All keys that check tokens, and which of them a token may be of.
//!
//! Invariant: a token meets only keys of the algorithm that it names, and each checks it with its
//! own; a token that names none of them is refused before any is tried.

use crate::auth::algorithm::TokenAlgorithm;
use crate::auth::compact::{CompactToken, TokenHeader};
use crate::auth::fault::TokenFault;
use crate::auth::key::TokenKey;
use crate::auth::key_set::KeySet;
use std::borrow::Cow;
use std::sync::Arc;

/// The keys in force.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    fixed: Vec<TokenKey>,
    sets: Vec<Arc<KeySet>>,
}

/// Keys that a token may be of: one at least.
#[derive(Debug)]
pub(crate) struct Candidates<'k> {
    keys: Vec<Cow<'k, TokenKey>>,
    /// That of the token and of each of them.
    pub(crate) algorithm: TokenAlgorithm,
}

impl KeyRing {
    /// Keys of sets that one token is tried with: one that does not say which key is its own may be
    /// of many, and each costs a signature.
    const OF_SETS_MAX: usize = 8;

    pub(crate) fn new(fixed: Vec<TokenKey>, sets: Vec<Arc<KeySet>>) -> KeyRing {
        KeyRing { fixed, sets }
    }

    /// The same sets beside these keys.
    pub(crate) fn with_fixed(&self, fixed: Vec<TokenKey>) -> KeyRing {
        KeyRing::new(fixed, self.sets.clone())
    }

    pub(crate) fn sets(&self) -> &[Arc<KeySet>] {
        &self.sets
    }

    /// Whether a set that is read again may have the key of a token with this header.
    pub(crate) fn may_learn(&self, header: &TokenHeader) -> bool {
        let algorithm = TokenAlgorithm::from_name(&header.algorithm);
        let key_id = header.key_id.as_deref();
        let is_public = algorithm.is_some_and(|algorithm| !algorithm.is_symmetric());
        is_public && self.sets.iter().any(|set| !set.has(key_id))
    }

    /// The keys that a token with this header may be of.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn candidates(&self, header: &TokenHeader) -> Result<Candidates<'_>, TokenFault> {
        let algorithm = TokenAlgorithm::from_name(&header.algorithm);
        let algorithm = algorithm.ok_or(TokenFault::Algorithm)?;
        let key_id = header.key_id.as_deref();
        let fits = |key: &TokenKey| key.answers_to(key_id) && key.algorithm() == algorithm;
        let fixed = self.fixed.iter().filter(|key| fits(key));
        let mut keys: Vec<Cow<'_, TokenKey>> = fixed.map(Cow::Borrowed).collect();
        let mut is_lacking = false;
        if !algorithm.is_symmetric() {
            let copies: Vec<_> = self.sets.iter().map(|set| set.keys()).collect();
            is_lacking = copies.iter().any(Option::is_none);
            let of_sets = copies.iter().flatten().flat_map(|copy| copy.iter());
            let of_sets = of_sets.filter(|key| fits(key)).take(KeyRing::OF_SETS_MAX);
            keys.extend(of_sets.cloned().map(Cow::Owned));
        }
        let mut named = self.fixed.iter().filter(|key| key.answers_to(key_id));
        match (keys.is_empty(), named.next()) {
            (false, _) => Ok(Candidates { keys, algorithm }),
            (true, _) if is_lacking => Err(TokenFault::KeysUnavailable),
            (true, Some(_)) => Err(TokenFault::Algorithm),
            (true, None) => Err(TokenFault::UnknownKey),
        }
    }
}

impl Candidates<'_> {
    /// The key that has signed the token, at this time in seconds since 1970.
    ///
    /// # Errors
    /// None has.
    pub(crate) fn signer(
        &self,
        token: &CompactToken<'_>,
        now: u64,
    ) -> Result<&TokenKey, TokenFault> {
        let mut keys = self.keys.iter().map(|key| &**key);
        let signer = keys.find(|key| key.has_signed(token.signed, token.signature, now));
        signer.ok_or(TokenFault::Signature)
    }
}
