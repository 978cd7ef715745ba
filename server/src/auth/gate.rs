//! Where tokens are asked for: what a client that wants to connect brings, and what that makes of
//! it. One for a server, on all shards.
//!
//! Invariant: whoever brings a token is who the token says, or is refused, never somebody else and
//! never nobody. Each check is counted once, and each refusal is audited. Asked by the service.

use crate::audit::event::AuditEvent;
use crate::auth::claims::{Claims, Issue, Purpose, Verified};
use crate::auth::counts::TokenCounts;
use crate::auth::fault::TokenFault;
use crate::auth::key::TokenKey;
use crate::auth::key_set::KeySet;
use crate::auth::keys::KeyRing;
use crate::auth::options::{Auth, TokenMode, TokenSource};
use crate::auth::revocations::Revocations;
use crate::auth::rules::unix_now;
use crate::auth::sources;
use crate::auth::verifier::{Checking, LaterCheck, Verifier};
use crate::session::identity::Identity;
use shardcast_engine::{Peer, Refusal};
use shardcast_protocol::http::HttpRequest;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle as Runtime;

/// The tokens of a server.
#[derive(Debug)]
pub(crate) struct TokenGate {
    mode: TokenMode,
    sources: Vec<TokenSource>,
    verifier: Arc<Verifier>,
    counts: TokenCounts,
    message_timeout: Duration,
    expiring: Duration,
}

/// What is known of a client by its request.
#[derive(Debug)]
pub(crate) enum Passage {
    /// It is this.
    Known(Identity),
    /// It is what comes of this check.
    Later(LaterPassage),
    Refused(Refusal),
}

/// A client whose token is checked off the shard.
#[derive(Debug)]
pub(crate) struct LaterPassage {
    check: LaterCheck,
    source: TokenSource,
    peer: Peer,
    counts: TokenCounts,
}

impl TokenGate {
    /// `None`: no tokens are looked for.
    pub(crate) fn new(auth: Auth) -> Option<TokenGate> {
        (auth.mode != TokenMode::Off).then(|| TokenGate {
            mode: auth.mode,
            sources: auth.sources,
            verifier: Arc::new(Verifier::new(
                KeyRing::new(
                    auth.keys,
                    auth.sets
                        .into_iter()
                        .map(KeySet::new)
                        .map(Arc::new)
                        .collect(),
                ),
                auth.rules,
            )),
            counts: TokenCounts::default(),
            message_timeout: auth.message_timeout,
            expiring: auth.expiring,
        })
    }

    /// Who asks to connect.
    pub(crate) fn enter(&self, peer: Peer, request: &HttpRequest<'_>) -> Passage {
        let found = match sources::find(&self.sources, request) {
            Ok(Some(found)) => found,
            Ok(None) if self.mode == TokenMode::Required && !self.takes_messages() => {
                return refused(&self.counts, peer, "none", TokenFault::Missing);
            }
            Ok(None) => return Passage::Known(Identity::nobody()),
            Err(fault) => return refused(&self.counts, peer, "request", fault),
        };
        let source = found.source;
        match self.verifier.begin(found.token, Purpose::Connection) {
            Checking::Done(outcome) => concluded(&self.counts, peer, source, outcome)
                .map_or_else(Passage::Refused, Passage::Known),
            Checking::Later(check) => Passage::Later(LaterPassage {
                check,
                source,
                peer,
                counts: self.counts.clone(),
            }),
        }
    }

    /// Begins to check a token that comes over an open connection.
    pub(crate) fn begin(&self, token: &str, purpose: Purpose) -> Checking {
        self.verifier.begin(token, purpose)
    }

    /// Whether connections must prove who they are.
    pub(crate) fn mode(&self) -> TokenMode {
        self.mode
    }

    /// How long a connection may wait with it.
    pub(crate) fn message_timeout(&self) -> Duration {
        self.message_timeout
    }

    /// How long before the end of a token its bearer is told.
    pub(crate) fn expiring(&self) -> Duration {
        self.expiring
    }

    /// Whether a request bears a token that its page has put there: a cookie is sent by the
    /// browser, whichever page asks.
    pub(crate) fn is_brought(&self, request: &HttpRequest<'_>) -> bool {
        let found = sources::find(&self.sources, request);
        matches!(found, Ok(Some(found)) if !matches!(found.source, TokenSource::Cookie))
    }

    /// Which tokens are not taken any more.
    pub(crate) fn revocations(&self) -> &Arc<Revocations> {
        self.verifier.revocations()
    }

    /// Whether the token that claimed this has been revoked.
    pub(crate) fn is_revoked(&self, claims: &Claims) -> bool {
        let revocations = self.revocations();
        revocations.cover(claims.issue(), claims.user(), unix_now())
    }

    /// How long what a token says of its bearer is still true, beginning now. `None`: without end.
    pub(crate) fn remaining(&self, claims: &Claims) -> Option<Duration> {
        if self.is_revoked(claims) {
            return Some(Duration::ZERO);
        }
        self.left(claims.issue())
    }

    /// How long a token permits what it does, beginning now. `None`: without end.
    pub(crate) fn left(&self, issue: &Issue) -> Option<Duration> {
        let end = issue.permits_until(self.verifier.rules())?;
        Some(Duration::from_secs(end.saturating_sub(unix_now())))
    }

    /// Whether a token may come over an open connection.
    pub(crate) fn takes_messages(&self) -> bool {
        self.sources.contains(&TokenSource::Message)
    }

    /// Other keys from now on, beside the same sets.
    pub(crate) fn replace_keys(&self, keys: Vec<TokenKey>) {
        let keys = self.verifier.keys().with_fixed(keys);
        self.verifier.replace_keys(keys);
    }

    /// Keeps the copies of the sets of keys fresh.
    pub(crate) fn keep_sets_fresh(&self, runtime: &Runtime) {
        self.verifier.keep_sets_fresh(runtime);
    }

    pub(crate) fn counts(&self) -> &TokenCounts {
        &self.counts
    }
}

impl LaterPassage {
    /// Who asks to connect. Not on a shard.
    ///
    /// # Errors
    /// The token is refused.
    pub(crate) async fn finish(self) -> Result<Identity, Refusal> {
        let outcome = self.check.finish().await;
        concluded(&self.counts, self.peer, self.source, outcome)
    }
}

fn concluded(
    counts: &TokenCounts,
    peer: Peer,
    source: TokenSource,
    outcome: Result<Verified, TokenFault>,
) -> Result<Identity, Refusal> {
    match outcome {
        Ok(Verified::Connection(claims)) => {
            counts.count(Ok(()));
            Ok(Identity::verified(claims))
        }
        Ok(Verified::Room(_)) => Err(refusal(counts, peer, source.name(), TokenFault::Purpose)),
        Err(fault) => Err(refusal(counts, peer, source.name(), fault)),
    }
}

fn refused(counts: &TokenCounts, peer: Peer, source: &'static str, fault: TokenFault) -> Passage {
    Passage::Refused(refusal(counts, peer, source, fault))
}

fn refusal(counts: &TokenCounts, peer: Peer, source: &'static str, fault: TokenFault) -> Refusal {
    counts.count(Err(fault));
    AuditEvent::TokenRefused {
        peer,
        source,
        fault: fault.code(),
        user: None,
    }
    .emit();
    fault.refusal()
}
