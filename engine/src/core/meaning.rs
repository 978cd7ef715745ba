//! What the application says without its state, as a shard's core asks it: functions, so that the
//! core does not know the application's type. Made by the shard.

use crate::topic::publication::Encode;
use crate::types::close_reason::CloseWords;
use crate::types::history::EncodeAgain;

/// How publications, and the ends of connections, are put into words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meaning {
    pub(crate) encode: Encode,
    pub(crate) encode_again: EncodeAgain,
    pub(crate) closing: CloseWords,
}
