//! What becomes of a member of a topic that keeps presence. Used by publications and by rosters.

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceEvent {
    /// It is a member now.
    Join,
    /// It is none any more.
    Leave,
    /// Its connection was lost, and its user may come back within the grace.
    Away,
    /// It came back.
    Back,
}
