//! Whom an answer goes to: the id of a request, and the batch if it came in one.

use shardcast_engine::{Context, EncodingId};
use shardcast_protocol::dialect::{Dialect, Id, IdBox, ReplyMode};

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

/// The dialect of the connection at hand, which is the encoding that the service chose for it, or
/// the muted one of that.
#[inline]
pub(crate) fn dialect_of(cx: &Context<'_>) -> Dialect {
    let index = cx.encoding().index() as u8;
    let dialect = Dialect::from_index(index);
    let dialect = dialect.or_else(|| Dialect::from_index(MUTED_FROM - index));
    dialect.expect("the service chose the encoding")
}

/// The encoding of a connection of this dialect that is sent nothing that others publish: none can
/// be made for it. `None`: the dialect has no such connections.
pub(crate) fn muted(dialect: Dialect) -> Option<EncodingId> {
    let is_native = match dialect {
        Dialect::NativeJson | Dialect::JsonRpc | Dialect::MessagePack => true,
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => false,
    };
    is_native.then(|| EncodingId::new(MUTED_FROM - dialect.index()))
}

/// The muted encodings are the last ones, from behind.
const MUTED_FROM: u8 = EncodingId::COUNT_MAX as u8 - 1;
/// Dialects that have one, which are the first ones.
const MUTED_COUNT: usize = 3;
const _: () = assert!(Dialect::ALL.len() + MUTED_COUNT <= EncodingId::COUNT_MAX);
