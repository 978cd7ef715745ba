//! Whether a token is to be believed: its key, its signature, its claims, in this order of cost.
//!
//! What takes a microsecond is done where it is asked for, on the shard: HMAC, and tokens that were
//! checked before. Signatures with public keys take up to 200 µs and are checked elsewhere, one
//! after the other, so that they take one core at most, and of [`Verifier::WAITING_MAX`] at a time;
//! one more is refused with [`TokenFault::Busy`]. Asked by admissions, by requests, and by the
//! command line.

use crate::auth::cache::{CheckedTokens, TokenDigest};
use crate::auth::claims::{Purpose, Verified};
use crate::auth::compact::CompactToken;
use crate::auth::fault::TokenFault;
use crate::auth::key_set::SetChange;
use crate::auth::keys::KeyRing;
use crate::auth::revocations::Revocations;
use crate::auth::rules::{TokenRules, unix_now};
use jsonwebtoken::crypto::aws_lc;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::runtime::Handle as Runtime;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Checks tokens.
#[derive(Debug)]
pub(crate) struct Verifier {
    rules: TokenRules,
    keys: RwLock<Arc<KeyRing>>,
    checked: CheckedTokens,
    revocations: Arc<Revocations>,
    /// One for each token that may wait for its check.
    waiting: Semaphore,
    /// Taken while a signature is checked.
    working: Semaphore,
}

/// A check that has begun.
#[derive(Debug)]
pub(crate) enum Checking {
    Done(Result<Verified, TokenFault>),
    /// To be finished anywhere but on a shard.
    Later(LaterCheck),
}

/// The part of a check that does not belong on a shard.
#[derive(Debug)]
pub(crate) struct LaterCheck {
    verifier: Arc<Verifier>,
    token: Box<str>,
    digest: TokenDigest,
    purpose: Purpose,
}

/// How far a check got at once.
enum Step {
    Verified(Verified),
    Expensive(TokenDigest),
}

impl Verifier {
    /// Tokens that wait for the check of their signatures, on all shards together.
    pub(crate) const WAITING_MAX: usize = 10_000;

    pub(crate) fn new(keys: KeyRing, rules: TokenRules) -> Verifier {
        // An embedder's dependencies may add another backend, and two of them are none. A second
        // call changes nothing.
        let _installed = aws_lc::DEFAULT_PROVIDER.install_default();
        Verifier {
            rules,
            keys: RwLock::new(Arc::new(keys)),
            checked: CheckedTokens::default(),
            revocations: Arc::default(),
            waiting: Semaphore::new(Verifier::WAITING_MAX),
            working: Semaphore::new(1),
        }
    }

    /// Begins to check a token, and ends it if that takes no longer than a microsecond or two.
    pub(crate) fn begin(self: &Arc<Verifier>, token: &str, purpose: Purpose) -> Checking {
        match self.first_step(token, purpose) {
            Ok(Step::Verified(verified)) => Checking::Done(Ok(verified)),
            Err(fault) => Checking::Done(Err(fault)),
            Ok(Step::Expensive(digest)) => Checking::Later(LaterCheck {
                verifier: Arc::clone(self),
                token: token.into(),
                digest,
                purpose,
            }),
        }
    }

    /// Checks a token to its end, on the thread that asks.
    pub(crate) fn verify(&self, token: &str, purpose: Purpose) -> Result<Verified, TokenFault> {
        match self.first_step(token, purpose)? {
            Step::Verified(verified) => Ok(verified),
            Step::Expensive(digest) => self.check_signature(token, digest, purpose),
        }
    }

    fn first_step(&self, token: &str, purpose: Purpose) -> Result<Step, TokenFault> {
        if token.len() > self.rules.token_bytes_max {
            return Err(TokenFault::TooLong);
        }
        let compact = CompactToken::parse(token)?;
        let keys = self.keys();
        match keys.candidates(&compact.header) {
            Ok(candidates) if candidates.algorithm.is_symmetric() => {
                let now = unix_now();
                candidates.signer(&compact, now)?;
                let verified = Verified::read(compact.claims()?, purpose)?;
                self.check_claims(&verified, now)?;
                return Ok(Step::Verified(verified));
            }
            Ok(_) => {}
            // A set may have the key by now.
            Err(_) if keys.may_learn(&compact.header) => {}
            Err(fault) => return Err(fault),
        }
        let digest = TokenDigest::of(token);
        if let Some(verified) = self.known(digest, purpose)? {
            return Ok(Step::Verified(verified));
        }
        // What is over, malformed or for somebody else costs no signature.
        let claimed = Verified::read(compact.claims()?, purpose)?;
        self.check_claims(&claimed, unix_now())?;
        Ok(Step::Expensive(digest))
    }

    /// A token whose signature was checked before.
    fn known(&self, digest: TokenDigest, purpose: Purpose) -> Result<Option<Verified>, TokenFault> {
        let Some(verified) = self.checked.find(digest) else {
            return Ok(None);
        };
        match (&verified, purpose) {
            (Verified::Connection(_), Purpose::Connection) | (Verified::Room(_), Purpose::Room) => {
            }
            (Verified::Connection(_) | Verified::Room(_), _) => return Err(TokenFault::Purpose),
        }
        match self.check_claims(&verified, unix_now()) {
            Ok(()) => Ok(Some(verified)),
            Err(fault) => {
                self.checked.forget(digest);
                Err(fault)
            }
        }
    }

    fn check_signature(
        &self,
        token: &str,
        digest: TokenDigest,
        purpose: Purpose,
    ) -> Result<Verified, TokenFault> {
        let generation = self.checked.generation();
        let compact = CompactToken::parse(token)?;
        let (keys, now) = (self.keys(), unix_now());
        keys.candidates(&compact.header)?.signer(&compact, now)?;
        let verified = Verified::read(compact.claims()?, purpose)?;
        self.check_claims(&verified, now)?;
        self.checked.keep(digest, verified.clone(), generation);
        Ok(verified)
    }

    /// Checks a signature when it is its turn.
    async fn take_turn(
        &self,
        token: &str,
        digest: TokenDigest,
        purpose: Purpose,
    ) -> Result<Verified, TokenFault> {
        let working = self.working.acquire().await;
        let _working: SemaphorePermit<'_> = working.map_err(|_| TokenFault::Busy)?;
        // The same token may have come in the meantime.
        if let Some(verified) = self.known(digest, purpose)? {
            return Ok(verified);
        }
        let outcome = self.check_signature(token, digest, purpose);
        // Others of this runtime have their turn between two signatures.
        tokio::task::yield_now().await;
        outcome
    }

    fn check_claims(&self, verified: &Verified, now: u64) -> Result<(), TokenFault> {
        let (issue, user) = (verified.issue(), verified.user());
        self.rules.check(issue, now)?;
        match self.revocations.cover(issue, user, now) {
            false => Ok(()),
            true => Err(TokenFault::Revoked),
        }
    }

    /// Has sets read again that may have the key of a token by now. True if one has changed.
    async fn look_again(&self, token: &str) -> bool {
        let keys = self.keys();
        let Ok(compact) = CompactToken::parse(token) else {
            return false;
        };
        if !keys.may_learn(&compact.header) {
            return false;
        }
        let generations = || keys.sets().iter().map(|set| set.generation()).sum::<u64>();
        let before = generations();
        for set in keys.sets() {
            if !set.has(compact.header.key_id.as_deref()) {
                set.look_again().await;
            }
        }
        let has_changed = generations() != before;
        if has_changed {
            self.checked.clear();
        }
        has_changed
    }

    /// Keeps the copies of the sets fresh, as long as somebody has the verifier.
    pub(crate) fn keep_sets_fresh(self: &Arc<Verifier>, runtime: &Runtime) {
        for set in self.keys().sets() {
            let (set, verifier) = (Arc::clone(set), Arc::downgrade(self));
            runtime.spawn(async move {
                loop {
                    let (change, wait) = set.refresh().await;
                    let Some(verifier) = verifier.upgrade() else {
                        return;
                    };
                    if change == SetChange::Other {
                        verifier.checked.clear();
                    }
                    drop(verifier);
                    tokio::time::sleep(wait).await;
                }
            });
        }
    }

    pub(crate) fn keys(&self) -> Arc<KeyRing> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&keys)
    }

    /// Other keys from now on. Tokens that were checked before are checked again.
    pub(crate) fn replace_keys(&self, keys: KeyRing) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        self.checked.clear();
    }

    /// Which tokens are not taken any more.
    pub(crate) fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// What tokens must be like.
    pub(crate) fn rules(&self) -> &TokenRules {
        &self.rules
    }
}

impl LaterCheck {
    /// Ends the check. Not on a shard.
    ///
    /// # Errors
    /// The rule that the token breaks.
    pub(crate) async fn finish(self) -> Result<Verified, TokenFault> {
        let LaterCheck {
            verifier,
            token,
            digest,
            purpose,
        } = self;
        let _waiting = verifier
            .waiting
            .try_acquire()
            .map_err(|_| TokenFault::Busy)?;
        let outcome = verifier.take_turn(&token, digest, purpose).await;
        let may_be_of_a_new_key = matches!(
            outcome,
            Err(TokenFault::UnknownKey | TokenFault::KeysUnavailable | TokenFault::Signature)
        );
        if may_be_of_a_new_key && verifier.look_again(&token).await {
            return verifier.take_turn(&token, digest, purpose).await;
        }
        outcome
    }
}
