//! The rooms that a request of a client names: each looked up and checked once. Used by what the
//! server answers itself.

use crate::namespace::Denied;
use crate::namespace::resolved::ResolvedRoom;
use crate::session::pending::Shape;
use crate::session::shared::Shared;
use shardcast_protocol::dialect::{Code, Problem, Rooms};
use std::collections::HashSet;

/// Calls with the rooms that a request names, each once, in the order asked.
pub(crate) fn with_rooms(
    shared: &Shared,
    asked: &Rooms<'_>,
    act: impl FnOnce(Shape, &[ResolvedRoom<'_>]) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let rooms = match asked {
        Rooms::One(room) => return act(Shape::Room, &[shared.resolve(room)?]),
        Rooms::Many(rooms) => rooms,
    };
    // Bounds the work that one message can ask for, repetitions included.
    if rooms.count() > shared.rooms_per_connection_max {
        return Err(Problem::new(
            Code::RoomLimit,
            "rooms names more rooms than a connection may be in",
        ));
    }
    let mut seen = HashSet::with_capacity(rooms.count());
    let distinct = rooms.names().filter(|room| seen.insert(room.clone()));
    let names: Vec<_> = distinct.collect();
    let resolved = names.iter().map(|room| shared.resolve(room));
    let resolved = resolved.collect::<Result<Vec<_>, Denied>>()?;
    act(Shape::Rooms, &resolved)
}

pub(crate) fn bad_request(message: &'static str) -> Problem {
    Problem::new(Code::BadRequest, message)
}
