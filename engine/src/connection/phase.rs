//! The life of a connection as one state machine; the shard asks it for every transition.

use crate::driver::boundary::Millis;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The slot is unused.
    Free,
    /// Accepted; the request head is not complete.
    Upgrading,
    /// A complete request for a WebSocket or an event stream is there; the application has deferred
    /// its decision. Nothing is read.
    Authenticating,
    /// Messages flow both ways.
    Open,
    /// Our close frame is queued or sent; the peer's is awaited, everything else that it sends is
    /// dropped.
    Closing,
    /// The close handshake is complete: what is queued leaves, then the socket is closed (RFC 6455
    /// §7.1.1, the server goes first). Clauses 6455-5.5.1-7, 6455-7.1.1-2.
    Flushing,
    /// We send nothing more, and the peer may still be sending (refused upgrade, broken
    /// protocol): what is queued leaves, then FIN, then its bytes are dropped until it closes,
    /// because closing with unread bytes resets and the last answer would be lost; but for no
    /// longer than [`Phase::LINGER_MS`], since nothing that it sends is read.
    Lingering,
    /// The driver was told to close; only its `Closed` is awaited.
    Retiring,
}

/// What moves a connection on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The driver accepted a socket.
    Accept,
    /// The application decides later.
    Defer,
    /// 101 is queued.
    Upgrade,
    /// An HTTP refusal, or a close frame after a protocol error, is queued.
    Refuse,
    /// We queued a close frame and expect the peer's.
    Close,
    /// The peer's close frame came (ours is queued by now).
    PeerClose,
    /// End of stream, failure, a deadline, or nothing left to flush.
    Retire,
    /// The driver closed the socket.
    Closed,
}

impl Phase {
    /// After the FIN behind the last answer, in milliseconds, at most the close deadline: enough
    /// for the answer to arrive before the reset that follows bytes which nobody read, too short to
    /// be worth holding.
    pub(crate) const LINGER_MS: Millis = 2_000;

    /// What is pending by now is the last that is sent to the peer.
    pub(crate) fn ends_output(self) -> bool {
        matches!(self, Phase::Flushing | Phase::Lingering)
    }

    /// The next phase, or `None` where the step does not apply (it is ignored then: the connection
    /// is further on already).
    pub(crate) fn after(self, step: Step) -> Option<Phase> {
        use Phase::{
            Authenticating, Closing, Flushing, Free, Lingering, Open, Retiring, Upgrading,
        };
        match (self, step) {
            (Free, Step::Accept) => Some(Upgrading),
            (Upgrading, Step::Defer) => Some(Authenticating),
            (Upgrading | Authenticating, Step::Upgrade) => Some(Open),
            (Upgrading | Authenticating | Open | Closing, Step::Refuse) => Some(Lingering),
            (Open, Step::Close) => Some(Closing),
            (Open | Closing, Step::PeerClose) => Some(Flushing),
            (Upgrading | Authenticating | Open | Closing | Flushing | Lingering, Step::Retire) => {
                Some(Retiring)
            }
            (Retiring, Step::Closed) => Some(Free),
            (
                Free,
                Step::Defer
                | Step::Upgrade
                | Step::Refuse
                | Step::Close
                | Step::PeerClose
                | Step::Retire
                | Step::Closed,
            )
            | (Upgrading, Step::Accept | Step::Close | Step::PeerClose | Step::Closed)
            | (
                Authenticating,
                Step::Accept | Step::Defer | Step::Close | Step::PeerClose | Step::Closed,
            )
            | (Open | Closing, Step::Accept | Step::Defer | Step::Upgrade | Step::Closed)
            | (Closing, Step::Close)
            | (
                Flushing | Lingering,
                Step::Accept
                | Step::Defer
                | Step::Upgrade
                | Step::Refuse
                | Step::Close
                | Step::PeerClose
                | Step::Closed,
            )
            | (
                Retiring,
                Step::Accept
                | Step::Defer
                | Step::Upgrade
                | Step::Refuse
                | Step::Close
                | Step::PeerClose
                | Step::Retire,
            ) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    const PHASES: [Phase; 8] = [
        Phase::Free,
        Phase::Upgrading,
        Phase::Authenticating,
        Phase::Open,
        Phase::Closing,
        Phase::Flushing,
        Phase::Lingering,
        Phase::Retiring,
    ];
    const STEPS: [Step; 8] = [
        Step::Accept,
        Step::Defer,
        Step::Upgrade,
        Step::Refuse,
        Step::Close,
        Step::PeerClose,
        Step::Retire,
        Step::Closed,
    ];

    #[test]
    fn the_whole_table() {
        let mut table = String::new();
        for phase in PHASES {
            for step in STEPS {
                if let Some(next) = phase.after(step) {
                    writeln!(table, "{phase:?} {step:?} {next:?}").unwrap();
                }
            }
        }
        assert_eq!(
            table,
            "Free Accept Upgrading\n\
             Upgrading Defer Authenticating\n\
             Upgrading Upgrade Open\n\
             Upgrading Refuse Lingering\n\
             Upgrading Retire Retiring\n\
             Authenticating Upgrade Open\n\
             Authenticating Refuse Lingering\n\
             Authenticating Retire Retiring\n\
             Open Refuse Lingering\n\
             Open Close Closing\n\
             Open PeerClose Flushing\n\
             Open Retire Retiring\n\
             Closing Refuse Lingering\n\
             Closing PeerClose Flushing\n\
             Closing Retire Retiring\n\
             Flushing Retire Retiring\n\
             Lingering Retire Retiring\n\
             Retiring Closed Free\n"
        );
    }
}
