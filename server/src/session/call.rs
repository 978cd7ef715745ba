//! Whom an answer goes to: the id of a request, and the batch if it came in one.

use crate::session::state::SessionState;
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
pub(crate) fn dialect_of<C>(cx: &Context<'_>, session: &SessionState<C>) -> Dialect {
    match dialect_of_encoding(cx.encoding()) {
        Some(dialect) => dialect,
        None => muted_dialect(session),
    }
}

#[cold]
fn muted_dialect<C>(session: &SessionState<C>) -> Dialect {
    let muted = session.some().and_then(|more| more.muted);
    muted.expect("who is muted remembers its dialect")
}

/// The dialect of an encoding. `None`: a native one that is muted.
#[inline]
pub(crate) fn dialect_of_encoding(encoding: EncodingId) -> Option<Dialect> {
    match Dialect::from_index(encoding.index() as u8) {
        Some(dialect) => Some(dialect),
        None if encoding == MUTED_JSON => Some(Dialect::CentrifugeJson),
        None if encoding == MUTED_PROTOBUF => Some(Dialect::CentrifugeProtobuf),
        None => None,
    }
}

/// The encoding of a connection of this dialect that is sent nothing that others publish: no frame
/// is made for it. Native dialects share one, so such a connection remembers its own.
pub(crate) fn muted(dialect: Dialect) -> EncodingId {
    match dialect {
        Dialect::NativeJson | Dialect::JsonRpc | Dialect::MessagePack => MUTED_NATIVE,
        Dialect::CentrifugeJson => MUTED_JSON,
        Dialect::CentrifugeProtobuf => MUTED_PROTOBUF,
    }
}

/// Whether it is one of those.
pub(crate) fn is_muted(encoding: EncodingId) -> bool {
    encoding.index() >= Dialect::ALL.len()
}

const MUTED_NATIVE: EncodingId = EncodingId::new(7);
const MUTED_JSON: EncodingId = EncodingId::new(6);
const MUTED_PROTOBUF: EncodingId = EncodingId::new(5);
const _: () = assert!(Dialect::ALL.len() <= MUTED_PROTOBUF.index());
