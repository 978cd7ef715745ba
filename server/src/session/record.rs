//! A session without its connection: what the next connection takes over.

use crate::session::age::SessionAge;
use crate::session::identity::Identity;
use crate::session::metadata::Metadata;
use crate::session::origin::SessionOrigin;
use shardcast_engine::OwnedData;
use std::sync::Arc;

/// All that outlives a connection.
#[derive(Debug, Default)]
pub(crate) struct SessionRecord {
    pub(crate) identity: Identity,
    pub(crate) metadata: Metadata,
    pub(crate) rooms: Vec<KeptRoom>,
    /// When it began.
    pub(crate) began: SessionAge,
    /// `None`: it is of this process.
    pub(crate) origin: Option<Box<SessionOrigin>>,
}

/// A room that the connection was in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeptRoom {
    pub(crate) room: Arc<str>,
    /// What it showed there.
    pub(crate) shown: Option<OwnedData>,
}

impl SessionRecord {
    /// What an entry takes beside what is counted here: places in tables, allocations' headers.
    const OVERHEAD_BYTES: usize = 192;

    /// About what it holds, in bytes. Names of rooms and users are shared, and counted all the
    /// same: whoever is there may go. What metadata refers to is not seen.
    pub(crate) fn bytes(&self) -> usize {
        let rooms = self.rooms.iter();
        let rooms: usize = rooms.map(KeptRoom::bytes).sum();
        let roles = self.identity.roles().iter();
        let roles: usize = roles.map(|role| role.len() + 32).sum();
        let user = self.identity.name().map_or(0, |name| name.len() + 16);
        Self::OVERHEAD_BYTES
            + size_of::<SessionRecord>()
            + rooms
            + roles
            + user
            + self.metadata.bytes()
    }
}

impl KeptRoom {
    fn bytes(&self) -> usize {
        let shown = self.shown.as_ref();
        let shown = shown.map_or(0, |shown| shown.data().bytes().len() + 16);
        size_of::<KeptRoom>() + self.room.len() + 16 + shown
    }
}
