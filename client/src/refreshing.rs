//! What is asked for while a connection stands: its own token anew, and tokens of rooms.
//!
//! Used by the core, which decides, and by the driver, which asks.

use crate::token::TokenFuture;
use std::sync::Arc;
use std::time::Instant;

/// Whether the token is to be asked for anew while the connection stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Refreshing {
    No,
    /// From this time on, until the token ends.
    Wanted {
        at: Instant,
        until: Instant,
    },
    UnderWay {
        until: Instant,
    },
}

/// A token that the driver asks for while it serves a connection.
pub(crate) enum TokenJob {
    Refresh,
    Room(Arc<str>, TokenFuture),
}
