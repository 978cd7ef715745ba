//! What shards say to each other of a session that goes from one connection to another, and who has
//! it meanwhile.
//!
//! Invariant: what was given and finds nobody goes back to where it came from. Used by whoever asks
//! for sessions and whoever has them.

use crate::session::context::{Context, Session};
use crate::session::copies::{CopiedSession, SessionChange};
use crate::session::counts::SessionEnd;
use crate::session::record::SessionRecord;
use crate::session::resumable::{Taking, TakingStage};
use crate::session::shared::Shared;
use crate::session::take::Take;
use shardcast_engine::{Address, Context as Engine};

/// From one shard to another, or to itself.
pub(super) enum SessionNotice {
    /// To the connection whose session it is or was.
    Take(Take),
    /// To the connection that wants it: the session of this connection; `None`: there is none.
    Given(Address, Option<Box<SessionRecord>>),
    /// To the connection whose session it was: it has arrived.
    Settled,
    /// To the same: nobody is there to have it.
    Back(Box<SessionRecord>),
}

pub(super) fn send(engine: &mut Engine<'_>, to: Address, notice: SessionNotice) {
    engine.answer_notice(to, Box::new(notice));
}

/// A session that has come to a connection.
pub(super) struct SessionArrival {
    pub(super) record: Box<SessionRecord>,
    /// The shard that lends it, by the connection that it had. `None`: the broker's copy.
    pub(super) from: Option<Address>,
    /// What the broker has granted.
    pub(super) copied: Option<CopiedSession>,
}

impl SessionArrival {
    /// Nobody has it: it waits where it did.
    pub(super) fn give_back(self, engine: &mut Engine<'_>, shared: &Shared) {
        if let Some(from) = self.from {
            send(engine, from, SessionNotice::Back(self.record));
        }
        if let Some(copied) = self.copied {
            wait_again(shared, copied);
        }
    }
}

/// What the broker has granted waits there again.
pub(super) fn wait_again(shared: &Shared, copied: CopiedSession) {
    let Some(copies) = &shared.sessions.copies else {
        return;
    };
    if copies.tell(SessionChange::Back(copied)).is_err() {
        // As many changes wait as may.
        shared.sessions.counts.ended(SessionEnd::Evicted);
    }
}

/// The connection does not go on with the session that it has asked for: what it has of it by now
/// goes back.
pub(super) fn let_go(engine: &mut Engine<'_>, session: &mut Session) {
    let more = session.some_mut();
    let resumable = more.and_then(|more| more.resumable.as_mut());
    let Some(taking) = resumable.and_then(|resumable| resumable.taking.take()) else {
        return;
    };
    if let TakingStage::Claiming { from, record } = taking.stage {
        send(engine, from, SessionNotice::Back(record));
    }
}

/// The request of the connection to go on with a session, which is not under way any more.
pub(super) fn take_request(cx: &mut Context<'_>) -> Option<Box<Taking>> {
    let resumable = cx.session.some_mut()?.resumable.as_mut()?;
    resumable.taking.take()
}
