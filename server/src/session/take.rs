//! A connection that wants to go on with a session, and which sessions it may have. Made of its
//! client's token, looked at by whoever keeps sessions.

use crate::session::origin::NeededProof;
use crate::session::shelf::ShelvedSession;
use crate::session::token::{Secret, SecretDigest};
use shardcast_engine::Address;
use std::sync::Arc;

/// A connection that wants to go on with a session.
#[derive(Clone, Debug)]
pub(crate) struct Take {
    /// The connection whose session it is, of this process, an earlier one or another node.
    pub(crate) session: Address,
    /// Of the secret that its client knows.
    pub(crate) digest: SecretDigest,
    pub(crate) by: Address,
    /// Who it is, if it is a user: then it gets no other user's session.
    pub(crate) user: Option<Arc<str>>,
}

impl Take {
    /// Whether it may have a session of this secret and this user.
    pub(crate) fn may_have(&self, secret: Secret, user: Option<&str>) -> bool {
        self.knows(secret) && (self.user.is_none() || self.user.as_deref() == user)
    }

    /// Whether its client knows this secret.
    pub(crate) fn knows(&self, secret: Secret) -> bool {
        secret.digest() == self.digest
    }

    /// Whether it may have the session of a connection of another process, which somebody of this
    /// name had and that takes this proof. What tells its secret was looked up by that.
    pub(crate) fn may_have_of(
        &self,
        connection: Address,
        proof: NeededProof,
        user: Option<&str>,
    ) -> bool {
        connection == self.session
            && match (&self.user, proof) {
                (Some(name), _) => Some(&**name) == user,
                (None, NeededProof::Secret) => true,
                (None, NeededProof::User) => false,
            }
    }

    /// Whether it may have this one.
    pub(crate) fn may_have_shelved(&self, session: &ShelvedSession) -> bool {
        let user = session.identity.name();
        session.digest == self.digest && self.may_have_of(session.connection, session.proof, user)
    }
}
