//! Where a session of an earlier process comes from, and who may go on with it. Carried by the
//! session until it goes on.

use crate::session::token::SecretDigest;
use shardcast_engine::Address;

/// Of an earlier process.
#[derive(Clone, Debug)]
pub(crate) struct SessionOrigin {
    /// The connection that it was there.
    pub(crate) connection: Address,
    pub(crate) digest: SecretDigest,
    pub(crate) proof: NeededProof,
    /// When it ends.
    pub(crate) due_ms: u64,
}

/// Who may go on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NeededProof {
    /// Whoever knows its secret.
    Secret,
    /// A connection that is its user already knows its secret: a token had proved who it was.
    User,
}
