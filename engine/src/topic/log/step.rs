//! What whoever orders a topic from outside ([`LogOrder::Sequencer`]) has the topic's home do with
//! its log. The steps of one topic, and the publications between them, keep their order.
//!
//! [`LogOrder::Sequencer`]: crate::topic::log::options::LogOrder

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStep {
    /// The log may not be what it should be: who joins from here on, or asks for history, waits.
    Halt,
    /// The log begins anew, and is not ready: publications from this offset on follow, and go into
    /// the log without being delivered.
    Begin {
        /// What epoch it has, 1 to 2^60 - 1.
        epoch: u64,
        /// The offset of the next publication: what was before is not there any more.
        next: u64,
    },
    /// The log is as it should be: who waited goes on, and what is published from here on is
    /// delivered.
    Ready,
    /// Nobody can say what the log is: who waited is refused.
    Refuse,
    /// Nobody follows the topic any more: its log goes, unless it has members, or somebody waits.
    End,
}
