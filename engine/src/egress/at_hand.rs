//! The large message that the application is being given: where it stands while it may be answered
//! with parts of itself. Always: nothing outside the call for that message. Set by the shard, read
//! where one connection is written to.

use crate::egress::outgoing::LeasedBytes;
use bytes::Bytes;
use shardcast_protocol::frame::Kind;
use std::ops::Range;
use std::rc::Rc;

/// The message that the application is being given, where what it sends of it may leave from where
/// it stands.
#[derive(Debug, Default)]
pub(crate) enum AtHand {
    /// None, or a small one.
    #[default]
    None,
    /// In memory of its own.
    Own(Bytes),
    /// In a receive buffer, behind the header that a server's frame of it has.
    Leased {
        lease: Rc<dyn LeasedBytes>,
        kind: Kind,
        payload: Range<usize>,
    },
}
