//! Why a connection ended, as the application and subscribers of events are told.

use crate::types::deadline::Deadline;
use shardcast_protocol::close::CloseCode;

/// Why a connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent a close frame (`None`: without a code, status 1005).
    Peer(Option<CloseCode>),
    /// The connection ended without a close frame (status 1006).
    Lost,
    /// The peer broke the protocol.
    Protocol(shardcast_protocol::reader::ProtocolError),
    /// The application closed it.
    Application(CloseCode),
    /// Its outbox was full.
    SlowReader,
    /// It did not keep this deadline.
    TimedOut(Deadline),
    /// Its unfinished message asked for more memory than the shard had left
    /// ([`crate::Config::reassembly_bytes_max`]).
    OverBudget,
    /// The server drained.
    Draining,
}
