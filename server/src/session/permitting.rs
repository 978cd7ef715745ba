//! What a connection may do in rooms, asked for each request of a client.
//!
//! Invariant: each refusal is counted and audited, once. The client is told no more than its
//! namespace tells. Asked by the dispatch.

use crate::audit::event::AuditEvent;
use crate::auth::grants::RoomAction;
use crate::namespace::resolved::ResolvedRoom;
use crate::namespace::{Denied, Standing};
use crate::session::context::Context;
use shardcast_protocol::dialect::Problem;

impl Context<'_> {
    /// Whether the connection may do this in the room.
    #[inline]
    pub(crate) fn may(&self, action: RoomAction, room: &ResolvedRoom<'_>) -> Result<(), Problem> {
        match room.may(action, self.identity()) {
            Ok(()) => Ok(()),
            Err(denied) => Err(self.denied(action, room.name(), denied)),
        }
    }

    /// Whether the connection, which stands so to the room, may read what it keeps: not where its
    /// token lets it hear only some of that.
    pub(crate) fn may_read(
        &self,
        room: &ResolvedRoom<'_>,
        standing: Standing,
    ) -> Result<(), Problem> {
        let of_protocol = self
            .session
            .some()
            .and_then(|more| more.centrifuge.as_ref());
        let may = match of_protocol {
            Some(state) if state.is_narrowed(room.name()) => Err(Denied::Forbidden),
            Some(_) | None => room.may_read(self.identity(), standing),
        };
        may.map_err(|denied| self.denied(RoomAction::History, room.name(), denied))
    }

    /// The answer to a client that may not do this; `room` is empty for what is about none.
    #[cold]
    pub(crate) fn denied(&self, action: RoomAction, room: &str, denied: Denied) -> Problem {
        self.shared.refusals.count(action, denied);
        AuditEvent::Refused {
            peer: self.remote_address(),
            user: self.user(),
            action: action.name(),
            room,
            code: denied.code(),
        }
        .emit();
        denied.into()
    }
}
