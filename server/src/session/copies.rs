//! What the shards of a node and the bridge of its cluster say to each other of sessions of which
//! the broker keeps copies, so that they outlive their node.
//!
//! Invariant: no shard ever waits for the bridge: each queue has an end, and what finds no room in
//! it is refused. A shard says only that a session is not what it was; the bridge asks what it is,
//! when it likes. Written by `rooms/resume.rs` and the context, read by the bridge.

use crate::session::shelf::ShelvedSession;
use crate::session::take::Take;
use crate::session::token::SecretDigest;
use serde::{Deserialize, Serialize};
use shardcast_engine::{Address, Ticket};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The ways from the shards to the bridge, and what tokens are to say of the node.
#[derive(Clone, Debug)]
pub(crate) struct SessionCopies {
    /// What the node is called.
    pub(crate) node: Arc<str>,
    changes: mpsc::Sender<SessionChange>,
    wishes: mpsc::Sender<SessionWish>,
    moved: mpsc::Sender<MovedSession>,
}

/// The other ends.
#[derive(Debug)]
pub(crate) struct SessionCopiesReader {
    pub(crate) changes: mpsc::Receiver<SessionChange>,
    pub(crate) wishes: mpsc::Receiver<SessionWish>,
    pub(crate) moved: mpsc::Receiver<MovedSession>,
}

/// What a shard says of sessions of its own.
#[derive(Debug)]
pub(crate) enum SessionChange {
    /// The session of this connection is not what it was, or its connection has gone.
    Changed(Address),
    /// What it is, as it was asked.
    Is(Address, SessionNow),
    /// Nobody is there to have what the broker has given: it waits on.
    Back(CopiedSession),
}

/// The session of a connection, as another process would have it.
#[derive(Debug, PartialEq)]
pub(crate) enum SessionNow {
    /// Its connection is there.
    Open(Box<ShelvedSession>),
    /// Its connection is gone.
    Waiting(Box<ShelvedSession>),
    /// It is on its way to another connection, or back.
    Lent,
    /// There is none.
    Over,
}

/// What a connection wants of the bridge, which answers with a [`SessionVerdict`].
#[derive(Debug)]
pub(crate) enum SessionWish {
    /// It has shown the token of a session that is not at this node.
    Take(Take),
    /// It has the session from its shard, and goes on with it unless another node does.
    Claim {
        by: Address,
        session: Box<ShelvedSession>,
    },
}

/// A session of which the broker had a copy, and how often it has waited there again since its
/// connection had gone: by that it is given once, each time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CopiedSession {
    pub(crate) session: Box<ShelvedSession>,
    pub(crate) generation: u32,
}

/// What the bridge says to connections of the node.
#[derive(Debug)]
pub(crate) enum BridgeNotice {
    /// It is to say what its session is.
    Show,
    /// Its session went on at another node.
    Moved(SecretDigest),
    Verdict(SessionVerdict),
}

/// What came of a wish.
#[derive(Debug, PartialEq)]
pub(crate) enum SessionVerdict {
    /// It has the session. `None`: it asked for one that it had from its shard already, and the
    /// broker is away, or keeps no copies.
    Granted(Option<CopiedSession>),
    /// Another one has it, or nobody: it is over.
    Denied,
    /// The broker is away: it may be there.
    Unavailable,
}

/// A session of a node that went on at another one, as nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MovedSession {
    /// The node that it was at.
    pub(crate) node: String,
    pub(crate) shard: u16,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    /// Of its secret, in hexadecimal.
    pub(crate) digest: String,
}

/// As many wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopiesBusy;

impl SessionCopies {
    /// Changes that wait. Of more, the bridge hears when the session changes again, or when it
    /// looks at all.
    const CHANGES_MAX: usize = 65_536;
    /// Connections that wait for the bridge; one more is answered `unavailable`.
    const WISHES_MAX: usize = 16_384;
    /// Sessions that went on elsewhere; of one more its node hears when it is asked for it.
    const MOVED_MAX: usize = 4_096;

    /// All ends, for the node of this name.
    pub(crate) fn new(node: &str) -> (SessionCopies, SessionCopiesReader) {
        let (changes, to_copy) = mpsc::channel(Self::CHANGES_MAX);
        let (wishes, to_answer) = mpsc::channel(Self::WISHES_MAX);
        let (moved, to_end) = mpsc::channel(Self::MOVED_MAX);
        let copies = SessionCopies {
            node: node.into(),
            changes,
            wishes,
            moved,
        };
        let reader = SessionCopiesReader {
            changes: to_copy,
            wishes: to_answer,
            moved: to_end,
        };
        (copies, reader)
    }

    /// Says something of a session of this node.
    ///
    /// # Errors
    /// The bridge does not hear it.
    pub(crate) fn tell(&self, change: SessionChange) -> Result<(), CopiesBusy> {
        self.changes.try_send(change).map_err(|_| CopiesBusy)
    }

    /// Wants something of the bridge.
    ///
    /// # Errors
    /// There will be no verdict.
    pub(crate) fn wish(&self, wish: SessionWish) -> Result<(), CopiesBusy> {
        self.wishes.try_send(wish).map_err(|_| CopiesBusy)
    }

    /// Another node says that a session went on there.
    ///
    /// # Errors
    /// The session stays as it is.
    pub(crate) fn has_moved(&self, moved: MovedSession) -> Result<(), CopiesBusy> {
        match *moved.node == *self.node {
            true => self.moved.try_send(moved).map_err(|_| CopiesBusy),
            false => Ok(()),
        }
    }
}

impl MovedSession {
    pub(crate) fn new(node: &str, session: &ShelvedSession) -> MovedSession {
        let Address { shard, ticket } = session.connection;
        MovedSession {
            node: node.to_owned(),
            shard,
            slot: ticket.slot,
            generation: ticket.generation,
            digest: session.digest.to_string(),
        }
    }

    /// The connection that it had.
    pub(crate) fn connection(&self) -> Address {
        let ticket = Ticket {
            slot: self.slot,
            generation: self.generation,
        };
        let shard = self.shard;
        Address { shard, ticket }
    }
}
