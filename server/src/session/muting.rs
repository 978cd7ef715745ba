//! Which dialect a connection speaks, by its encoding, and which encodings are such that a
//! connection is sent nothing that others publish.
//!
//! Invariant: an encoding tells its dialect, muted or not, but for native dialects that are muted:
//! those share one, and the session knows which it is. Used by whoever reads or writes messages.

use crate::session::state::SessionState;
use shardcast_engine::{Context, EncodingId};
use shardcast_protocol::dialect::Dialect;

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
