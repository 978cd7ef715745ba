//! All keys that check tokens, and which of them a token may be of.
//!
//! Invariant: a token meets only keys of the algorithm that it names, and each checks it with its
//! own; a token that names none of them is refused before any is tried.

use crate::auth::algorithm::TokenAlgorithm;
use crate::auth::compact::{CompactToken, TokenHeader};
use crate::auth::fault::TokenFault;
use crate::auth::key::TokenKey;

/// The keys in force.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    fixed: Vec<TokenKey>,
}

/// Keys that a token may be of: one at least.
#[derive(Debug)]
pub(crate) struct Candidates<'k> {
    keys: Vec<&'k TokenKey>,
    /// That of the token and of each of them.
    pub(crate) algorithm: TokenAlgorithm,
}

impl KeyRing {
    pub(crate) fn new(fixed: Vec<TokenKey>) -> KeyRing {
        KeyRing { fixed }
    }

    /// The keys that a token with this header may be of.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn candidates(&self, header: &TokenHeader) -> Result<Candidates<'_>, TokenFault> {
        let algorithm = TokenAlgorithm::from_name(&header.algorithm);
        let algorithm = algorithm.ok_or(TokenFault::Algorithm)?;
        let key_id = header.key_id.as_deref();
        let mut named = self.fixed.iter().filter(|key| key.answers_to(key_id));
        let keys = named.clone().filter(|key| key.algorithm() == algorithm);
        let keys: Vec<&TokenKey> = keys.collect();
        match (keys.is_empty(), named.next()) {
            (false, _) => Ok(Candidates { keys, algorithm }),
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
        let mut keys = self.keys.iter().copied();
        let signer = keys.find(|key| key.has_signed(token.signed, token.signature, now));
        signer.ok_or(TokenFault::Signature)
    }
}
