//! Why a connection's TLS ended.

use crate::egress::tls::keys::Unusable;
use shardcast_protocol::record::RecordError;

/// Why a session failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    /// The peer broke the protocol, or nothing is spoken by both sides. An alert is pending that
    /// says so.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The same, after the handshake of TLS 1.3.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// More handshake bytes than any handshake needs.
    #[error("the handshake is too long")]
    TooLong,
    /// The cipher's limit for one key is reached (RFC 8446 §5.5) and the version knows no new one.
    #[error("the keys are worn out")]
    WornOut,
}

impl From<Unusable> for Fault {
    fn from(_: Unusable) -> Fault {
        Fault::WornOut
    }
}
