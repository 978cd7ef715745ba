//! A room that a connection is about to join, and what it asks the room's home for.
//!
//! Invariant: the room was looked up and checked. Made by whoever joins rooms.

use crate::namespace::Denied;
use crate::namespace::resolved::ResolvedRoom;
use crate::session::context::Context;
use crate::session::shared::Shared;
use crate::wire::publication::acks_of;
use shardcast_engine::{
    Address, Continuity, Filter, JoinDeltas, JoinOptions, JoinPresence, OwnedData, RoomError,
    Since, Tag,
};

/// A room that is joined, what the connection has had of it, and what it shows there.
#[derive(Clone, Debug)]
pub(crate) struct RoomToJoin<'r> {
    pub(crate) room: ResolvedRoom<'r>,
    pub(crate) since: Option<Since>,
    /// Only in a room that knows its members one by one.
    pub(crate) shown: Option<OwnedData>,
    /// The connection whose session goes on by this.
    pub(crate) before: Option<Address>,
    /// Whether it is sent deltas.
    pub(crate) deltas: JoinDeltas,
    /// Of what is published, it is sent what passes.
    pub(crate) filter: Option<Filter>,
}

impl<'r> RoomToJoin<'r> {
    /// As new, with nothing to show.
    pub(crate) fn new(shared: &'r Shared, room: &'r str) -> Result<RoomToJoin<'r>, Denied> {
        Ok(RoomToJoin {
            room: shared.resolve(room)?,
            since: None,
            shown: None,
            before: None,
            deltas: JoinDeltas::Never,
            filter: None,
        })
    }

    /// Asks the room's home for the membership.
    pub(crate) fn ask(&self, cx: &mut Context<'_>, tag: Tag) -> Result<(), RoomError> {
        let presence = self.room.presence();
        let options = JoinOptions {
            members_max: self.room.namespace().members_max,
            log: self.room.log(),
            since: self.since,
            presence: presence.map(|class| JoinPresence {
                class,
                data: self.shown.clone(),
                continuity: self.continuity(cx),
            }),
            acks: acks_of(cx.dialect()),
            deltas: self.deltas,
            filter: self.filter.clone(),
        };
        cx.engine.join_with(self.room.name(), options, tag)?;
        if presence.is_some() {
            self.remember_shown(cx);
        }
        Ok(())
    }

    /// What presence knows of the connection's session.
    fn continuity(&self, cx: &Context<'_>) -> Continuity {
        match (self.before, cx.session.outlives()) {
            (Some(before), _) => Continuity::Resumed(before),
            (None, true) => Continuity::Session,
            (None, false) => Continuity::None,
        }
    }

    /// The session's next connection shows the same.
    fn remember_shown(&self, cx: &mut Context<'_>) {
        if self.shown.is_none() && cx.session.resumable().is_none() {
            return;
        }
        let rooms_max = cx.shared.rooms_per_connection_max;
        if let Some(resumable) = cx.session.resumable_mut() {
            resumable.show(self.room.name(), self.shown.as_ref());
            if resumable.shows_more_than(rooms_max) {
                resumable.forget_all_but(&cx.engine.rooms());
            }
        }
    }
}
