//! What the application says without its state, as a shard's core asks it: functions, so that the
//! core does not know the application's type. Made by the shard.

use crate::egress::encoder::EncodeCalls;
use crate::types::close_reason::CloseWords;

/// How publications, and the ends of connections, are put into words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meaning {
    pub(crate) calls: EncodeCalls,
    pub(crate) closing: CloseWords,
}
