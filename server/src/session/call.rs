//! Whom an answer goes to: the id of a request, and the batch if it came in one.

use shardcast_protocol::dialect::{Id, IdBox, ReplyMode};

/// A request that is being handled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'c> {
    pub(crate) id: Option<Id<'c>>,
    pub(crate) mode: ReplyMode,
    /// Its batch's key.
    pub(crate) batch: Option<u32>,
}

/// A request that is answered later.
#[derive(Clone, Debug)]
pub(crate) struct OwnedCall {
    id: Option<IdBox>,
    mode: ReplyMode,
    batch: Option<u32>,
}

impl Call<'_> {
    pub(crate) fn to_owned(self) -> OwnedCall {
        OwnedCall {
            id: self.id.map(Id::to_boxed),
            mode: self.mode,
            batch: self.batch,
        }
    }
}

impl OwnedCall {
    pub(crate) fn as_call(&self) -> Call<'_> {
        Call {
            id: self.id.as_ref().map(IdBox::as_id),
            mode: self.mode,
            batch: self.batch,
        }
    }
}
