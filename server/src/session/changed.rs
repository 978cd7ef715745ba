//! When the session of a connection changes, as the next node would have it.
//!
//! Invariant: a session that has changed is told of once, until the bridge has asked what it is.
//! Called where rooms, users and what is shown change.

use crate::session::context::{Context, Session};
use crate::session::copies::{CopiesBusy, SessionChange, SessionNow};
use crate::session::muting::dialect_of;
use crate::session::record::{KeptRoom, SessionRecord};
use crate::session::shared::Shared;
use crate::session::shelf::ShelvedSession;
use crate::session::state::IsTold;
use crate::session::token::Secret;
use shardcast_engine::Context as Engine;
use std::time::Duration;

impl Context<'_> {
    /// What the connection is in, or who it is, has changed.
    #[inline]
    pub(crate) fn session_changed(&mut self) {
        if self.shared.sessions.copies.is_some() {
            tell_changed(&self.engine, self.shared, self.session);
        }
    }
}

/// The bridge is to ask what the session of this connection is, where its client knows a token.
pub(crate) fn tell_changed(engine: &Engine<'_>, shared: &Shared, session: &mut Session) {
    let Some(copies) = &shared.sessions.copies else {
        return;
    };
    if session.outlives() && !session.is_told() && !dialect_of(engine, session).is_centrifuge() {
        let told = copies.tell(SessionChange::Changed(engine.address()));
        session.set_told(match told {
            Ok(()) => IsTold::Yes,
            // The next change tells of this one, too.
            Err(CopiesBusy) => IsTold::No,
        });
    }
}

/// The session of an open connection, which is told of again when it changes.
pub(crate) fn session_now(
    engine: &Engine<'_>,
    shared: &Shared,
    session: &mut Session,
    secret: Option<Secret>,
) -> SessionNow {
    session.set_told(IsTold::No);
    let Some(secret) = secret else {
        return SessionNow::Over;
    };
    let resumable = session.resumable();
    let rooms = engine.rooms().into_iter().map(|room| KeptRoom {
        shown: resumable.and_then(|resumable| resumable.shown_in(&room)),
        room,
    });
    let record = SessionRecord {
        identity: session.identity().clone(),
        rooms: rooms.collect(),
        ..SessionRecord::default()
    };
    let keep = Duration::from_millis(shared.sessions.limits.keep_ms);
    let shelved = ShelvedSession::of(engine.address(), secret.digest(), &record, keep);
    shelved.map_or(SessionNow::Over, |shelved| {
        SessionNow::Open(Box::new(shelved))
    })
}
