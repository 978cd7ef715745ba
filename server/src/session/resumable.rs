//! What a connection has of its session while it is there: the secret of its token, what it shows
//! in rooms, and the session of an earlier connection that it wants to go on with.
//!
//! Invariant: what it shows is bounded by the rooms that it may be in. Kept by the session, used by
//! `rooms/resume.rs`.

use crate::session::call::OwnedCall;
use crate::session::record::KeptRoom;
use crate::session::token::{Secret, SessionToken};
use shardcast_engine::{Address, OwnedData, Since};
use std::collections::HashMap;
use std::sync::Arc;

/// The part of a connection that outlives it.
#[derive(Debug)]
pub(crate) struct Resumable {
    pub(crate) secret: Secret,
    /// What it shows in rooms; some of them it may have left, or was refused.
    shown: Vec<KeptRoom>,
    /// What it wants to go on with, until it hears of it.
    pub(crate) taking: Option<Box<Taking>>,
    /// Which session of the process it is, in the order in which they began: that of the oldest
    /// connection that it had.
    pub(crate) number: u64,
}

/// A request to go on with a session, under way.
#[derive(Debug)]
pub(crate) struct Taking {
    pub(crate) call: OwnedCall,
    /// What the client has had of rooms, by their names.
    pub(crate) since: HashMap<String, Since>,
}

impl Resumable {
    pub(crate) fn new(secret: Secret, number: u64) -> Resumable {
        Resumable {
            secret,
            shown: Vec::new(),
            taking: None,
            number,
        }
    }

    /// What the client goes on with after this connection.
    pub(crate) fn token(&self, connection: Address) -> SessionToken {
        let secret = self.secret;
        SessionToken { connection, secret }
    }

    /// The connection shows this in a room from now on.
    pub(crate) fn show(&mut self, room: &str, shown: Option<&OwnedData>) {
        self.shown.retain(|kept| *kept.room != *room);
        if let Some(shown) = shown {
            let (room, shown) = (room.into(), Some(shown.clone()));
            self.shown.push(KeptRoom { room, shown });
        }
    }

    /// Whether it shows something in more rooms than this: some of them it is not in.
    pub(crate) fn shows_more_than(&self, rooms_max: usize) -> bool {
        self.shown.len() > rooms_max
    }

    /// What it shows in other rooms than these is of no use.
    pub(crate) fn forget_all_but(&mut self, rooms: &[Arc<str>]) {
        self.shown.retain(|kept| rooms.contains(&kept.room));
    }

    /// These rooms, with what it shows there.
    pub(crate) fn into_rooms(mut self, rooms: Vec<Arc<str>>) -> Vec<KeptRoom> {
        let rooms = rooms.into_iter().map(|room| {
            let at = self.shown.iter().position(|kept| kept.room == room);
            let shown = at.and_then(|at| self.shown.swap_remove(at).shown);
            KeptRoom { room, shown }
        });
        rooms.collect()
    }
}
