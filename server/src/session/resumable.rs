//! What only some connections have of their sessions while they are there: what they show in rooms,
//! the session of an earlier connection that they want to go on with, and since when they have it.
//!
//! Invariant: what one shows is bounded by the rooms that it may be in. Whoever has nothing of that
//! keeps nothing: a secret is made when it is needed. Kept by the session, used by
//! `rooms/resume.rs`.

use crate::session::age::SessionAge;
use crate::session::call::OwnedCall;
use crate::session::record::{KeptRoom, SessionRecord};
use crate::session::take::Take;
use shardcast_engine::{Address, OwnedData, Since};
use std::collections::HashMap;
use std::sync::Arc;

/// The part of a connection that outlives it.
#[derive(Debug, Default)]
pub(crate) struct Resumable {
    /// What it shows in rooms; some of them it may have left, or was refused.
    shown: Vec<KeptRoom>,
    /// What it wants to go on with, until it hears of it.
    pub(crate) taking: Option<Box<Taking>>,
    /// When the oldest connection opened that the session had. `None`: it is this one.
    pub(crate) began: Option<SessionAge>,
}

/// A request to go on with a session, under way.
#[derive(Debug)]
pub(crate) struct Taking {
    pub(crate) call: OwnedCall,
    /// What the client has had of rooms, by their names.
    pub(crate) since: HashMap<String, Since>,
    pub(crate) take: Take,
    pub(crate) stage: TakingStage,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum TakingStage {
    /// A shard of this process was asked for the session.
    OfShard,
    /// The broker was asked for its copy.
    OfBroker,
    /// A shard has given the session, and the broker is to say that no other node has it.
    Claiming {
        from: Address,
        record: Box<SessionRecord>,
    },
}

impl Resumable {
    /// The connection shows this in a room from now on.
    pub(crate) fn show(&mut self, room: &str, shown: Option<&OwnedData>) {
        self.shown.retain(|kept| *kept.room != *room);
        if let Some(shown) = shown {
            let (room, shown) = (room.into(), Some(shown.clone()));
            self.shown.push(KeptRoom { room, shown });
        }
    }

    /// What it shows in a room.
    pub(crate) fn shown_in(&self, room: &str) -> Option<OwnedData> {
        let kept = self.shown.iter().find(|kept| *kept.room == *room);
        kept.and_then(|kept| kept.shown.clone())
    }

    /// Whether it shows something in more rooms than this: some of them it is not in.
    pub(crate) fn shows_more_than(&self, rooms_max: usize) -> bool {
        self.shown.len() > rooms_max
    }

    /// There is nothing to keep.
    pub(crate) fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.taking.is_none() && self.began.is_none()
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
