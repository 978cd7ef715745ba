//! Why a join, a leave or a change of user was refused.

/// Why a join, a leave or a change of user was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// `rooms_per_connection_max` reached.
    #[error("the connection is in as many rooms as it may be")]
    TooMany,
    /// Leaving a room that was not joined.
    #[error("the connection is not in this room")]
    NotJoined,
    /// A room's name that is empty or longer than `room_name_bytes_max`; a user's that is empty or
    /// longer than 255 bytes.
    #[error("the name is empty or too long")]
    BadName,
    /// Too many joins and leaves of this room, or changes of user, under way; or as many requests
    /// of this shard wait for others as may ([`crate::PublishError::Busy`]).
    #[error("too many requests for this room under way")]
    Busy,
    /// The room has as many members as it may have ([`crate::Context::join_limited`]), or its
    /// members on this shard as many filters as they may ([`crate::JoinOptions::filter`]).
    #[error("the room has as many members as it may have")]
    Full,
    /// Whoever orders the room ([`crate::LogOrder::Sequencer`]) cannot be reached, so nobody knows
    /// where its log is.
    #[error("the room's log cannot be reached")]
    Unavailable,
    /// What a member shows is longer than [`crate::OwnedData::BYTES_MAX`].
    #[error("the data that a member shows has at most 1,024 bytes")]
    DataTooLong,
}
