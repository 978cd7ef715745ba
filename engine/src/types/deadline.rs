//! The deadlines that a peer may miss, each with what it is told and where it is counted. Public:
//! an application hears of them in [`crate::CloseReason::TimedOut`]. When one has come is decided
//! in `shard/deadlines.rs`.

use crate::counter::Counter;
use crate::counters::ShardCounters;

/// Something that a peer did not do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deadline {
    /// From accept to a complete request, TLS included ([`crate::Config::handshake_timeout`]).
    Handshake,
    /// From the first byte of a request head to its end ([`crate::Config::header_timeout`]).
    Header,
    /// From a complete request to the decision that the application has deferred
    /// ([`crate::Config::admission_timeout`]); it is the application that is late.
    Admission,
    /// From the first byte of a frame to its last ([`crate::Config::frame_timeout`]).
    Frame,
    /// From the first fragment of a message to its last ([`crate::Config::message_timeout`]).
    Message,
    /// From a ping to any sign of life ([`crate::Config::pong_timeout`]).
    Pong,
    /// What waits in the outbox did not move, for as long as [`crate::Config::progress_timeout`].
    Progress,
    /// No byte for as long as [`crate::Config::idle_timeout`].
    Idle,
    /// From our close frame, or our last answer, to the end of the connection
    /// ([`crate::Config::close_timeout`]).
    Close,
}

impl Deadline {
    /// Every deadline.
    pub const ALL: [Deadline; 9] = [
        Deadline::Handshake,
        Deadline::Header,
        Deadline::Admission,
        Deadline::Frame,
        Deadline::Message,
        Deadline::Pong,
        Deadline::Progress,
        Deadline::Idle,
        Deadline::Close,
    ];

    /// What the peer is told: the reason of a close frame (with 1008), or the body of a 408 or 504.
    pub fn text(self) -> &'static str {
        match self {
            Deadline::Handshake => "no complete request in time",
            Deadline::Header => "the request head took too long",
            Deadline::Admission => "no decision in time, try again later",
            Deadline::Frame => "a frame took too long",
            Deadline::Message => "a message took too long",
            Deadline::Pong => "no answer to a ping",
            Deadline::Progress => "nothing was read in time",
            Deadline::Idle => "no sign of life",
            Deadline::Close => "no end in time",
        }
    }

    /// Where it is counted.
    pub fn counter(self, counters: &ShardCounters) -> &Counter {
        match self {
            Deadline::Handshake => &counters.closed_deadline_handshake,
            Deadline::Header => &counters.closed_deadline_header,
            Deadline::Admission => &counters.closed_deadline_admission,
            Deadline::Frame => &counters.closed_deadline_frame,
            Deadline::Message => &counters.closed_deadline_message,
            Deadline::Pong => &counters.closed_deadline_pong,
            Deadline::Progress => &counters.closed_deadline_progress,
            Deadline::Idle => &counters.closed_deadline_idle,
            Deadline::Close => &counters.closed_deadline_close,
        }
    }
}
