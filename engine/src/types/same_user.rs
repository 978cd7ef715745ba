//! How many connections one user may have, and what becomes of one more.

/// What holds for the connections of each user at a time, over all shards: the home of the user
/// counts them in one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameUser {
    /// Any number of them.
    #[default]
    Allow,
    /// So many. One more does not become the user's: it is closed with 4120
    /// (`CloseCode::TOO_MANY_CONNECTIONS`).
    Refuse {
        /// 1..=[`SameUser::CONNECTIONS_MAX`].
        connections_max: u32,
    },
    /// So many. For one more, the one that has been the user's for longest is closed with
    /// 4020 (`CloseCode::REPLACED`).
    Replace {
        /// 1..=[`SameUser::CONNECTIONS_MAX`].
        connections_max: u32,
    },
}

impl SameUser {
    /// Most connections that a rule may let a user have.
    pub const CONNECTIONS_MAX: u32 = 65_536;

    /// How many a user may have. [`u32::MAX`]: any number.
    pub fn connections_max(self) -> u32 {
        match self {
            SameUser::Allow => u32::MAX,
            SameUser::Refuse { connections_max } | SameUser::Replace { connections_max } => {
                connections_max
            }
        }
    }
}
