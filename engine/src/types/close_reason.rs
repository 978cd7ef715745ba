//! Why a connection ended, as the application and subscribers of events are told.

use crate::types::deadline::Deadline;
use crate::types::encoding::EncodingId;
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

impl CloseReason {
    /// Whether the client may be expected to come back and to go on where it was. Not if it said
    /// goodbye: it closed with 1000, or without a code. Nor if the application ended it for good:
    /// with any code but 1001, 1011, 1012, 1013, 3000 to 3499 (which mean that where they mean
    /// anything), 4100 to 4199, [`CloseCode::REPLACED`] and [`CloseCode::RESUMED`].
    pub fn may_return(self) -> bool {
        match self {
            CloseReason::Peer(code) => code.is_some_and(|code| code != CloseCode::NORMAL),
            CloseReason::Application(CloseCode::REPLACED | CloseCode::RESUMED) => true,
            CloseReason::Application(code) => {
                matches!(code.get(), 1001 | 1011..=1013 | 3000..=3499 | 4100..=4199)
            }
            CloseReason::Lost
            | CloseReason::Protocol(_)
            | CloseReason::SlowReader
            | CloseReason::TimedOut(_)
            | CloseReason::OverBudget
            | CloseReason::Draining => true,
        }
    }
}

/// What a close frame says to connections of an encoding: [`crate::Application::closing`].
pub(crate) type CloseWords = fn(EncodingId, CloseReason, CloseCode, &str) -> (CloseCode, &str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_said_goodbye_does_not_return() {
        let code = |code| CloseCode::new(code).expect("it may be sent");
        for (reason, returns) in [
            (CloseReason::Lost, true),
            (CloseReason::SlowReader, true),
            (CloseReason::TimedOut(Deadline::Pong), true),
            (CloseReason::Draining, true),
            (CloseReason::Peer(None), false),
            (CloseReason::Peer(Some(code(1000))), false),
            (CloseReason::Peer(Some(code(1001))), true),
            (CloseReason::Peer(Some(code(4000))), true),
            (CloseReason::Application(code(1000)), false),
            (CloseReason::Application(code(1008)), false),
            (CloseReason::Application(code(1011)), true),
            (CloseReason::Application(code(1013)), true),
            (CloseReason::Application(code(3000)), true),
            (CloseReason::Application(code(3499)), true),
            (CloseReason::Application(code(3500)), false),
            (CloseReason::Application(code(4000)), false),
            (CloseReason::Application(code(4099)), false),
            (CloseReason::Application(code(4100)), true),
            (CloseReason::Application(code(4199)), true),
            (CloseReason::Application(code(4200)), false),
            (CloseReason::Application(CloseCode::REPLACED), true),
            (CloseReason::Application(CloseCode::RESUMED), true),
        ] {
            assert_eq!(reason.may_return(), returns, "{reason:?}");
        }
    }
}
