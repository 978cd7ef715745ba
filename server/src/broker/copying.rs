//! Sessions that outlive their node: the broker has a copy of each, and says which of the nodes
//! that want one goes on with it.
//!
//! Invariant: no shard waits. A copy is what its session was a moment ago; whoever goes on with a
//! session, at its own node or at another one, has been granted it by the broker, once. While there
//! is no connection to the broker a node decides by itself about the sessions that it has, and
//! copies are made when there is one again.

mod asking;
mod copy;
mod granting;
mod table;

use crate::broker::adapter::{Append, Appended, Broker, BrokerError};
use crate::broker::copying::asking::notify;
use crate::broker::copying::copy::{CopyAuthor, CopyTerms, here, over};
use crate::broker::copying::granting::Granting;
use crate::broker::copying::table::{CopyStep, SharedCopyTable};
use crate::broker::counts::BridgeCount;
use crate::broker::node::ClusterNode;
use crate::broker::ordering::steps::ServerStopped;
use crate::broker::strand::{PlacingStrand, StrandAnswers, StrandWork};
use crate::session::copies::{
    BridgeNotice, CopiedSession, MovedSession, SessionChange, SessionCopiesReader,
};
use crate::session::token::SecretDigest;
use shardcast_engine::{Address, Refused};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Starts the tasks, where sessions outlive their connections.
pub(super) fn copy_sessions<B: Broker>(
    node: &ClusterNode,
    broker: &Arc<B>,
    ends: SessionCopiesReader,
) {
    let Some(resume_ms) = node.shared.sessions.resume_ms else {
        return;
    };
    let SessionCopiesReader {
        changes,
        wishes,
        moved,
    } = ends;
    let terms = CopyTerms::new(Duration::from_millis(resume_ms));
    let table = SharedCopyTable::new(terms.refresh_ms);
    let granting = Granting {
        node: node.clone(),
        broker: broker.clone(),
        terms,
        table: table.clone(),
    };
    tokio::spawn(granting.run(wishes));
    let (way, strand) = PlacingStrand::new(broker.clone());
    let copied = Copied {
        node: node.clone(),
        table: table.clone(),
    };
    tokio::spawn(strand.run(copied));
    let copying = Copying {
        node: node.clone(),
        broker: broker.clone(),
        terms,
        table,
        changes,
        moved,
        way,
    };
    tokio::spawn(copying.run());
}

/// The task that asks sessions what they are, and brings the broker copies.
struct Copying<B> {
    node: ClusterNode,
    broker: Arc<B>,
    terms: CopyTerms,
    table: SharedCopyTable,
    changes: mpsc::Receiver<SessionChange>,
    moved: mpsc::Receiver<MovedSession>,
    /// The session that a copy is of; `None`: nobody would make it anew.
    way: mpsc::Sender<StrandWork<Option<Address>>>,
}

impl<B: Broker> Copying<B> {
    /// How long a change waits for others of the same session.
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    /// Sessions that are asked at one look; more at the next.
    const LOOKS_MAX: usize = 4_096;
    /// Changes that are taken at once.
    const CHANGES_MAX: usize = 1_024;

    /// Runs until the server has stopped.
    async fn run(mut self) {
        let mut looks = interval(Self::LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = Vec::new();
        loop {
            tokio::select! {
                count = self.changes.recv_many(&mut changes, Self::CHANGES_MAX) => {
                    if count == 0 {
                        return;
                    }
                    changes.drain(..).for_each(|change| self.take(change));
                }
                Some(moved) = self.moved.recv() => {
                    if self.move_away(&moved).await.is_err() {
                        return;
                    }
                }
                _ = looks.tick() => {
                    if self.look().is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn take(&self, change: SessionChange) {
        let now_ms = self.node.view.now_ms();
        match change {
            SessionChange::Changed(who) => {
                if self.table.lock().changed(who, now_ms).is_err() {
                    self.node.counts.add(BridgeCount::SessionsUnsaved, 1);
                }
            }
            SessionChange::Is(who, now) => {
                let step = self.table.lock().is(who, now, now_ms);
                match step {
                    CopyStep::Save(session, generation) => {
                        let append = here(self.author(), &self.terms, &session, generation);
                        self.bring(append, Some(who));
                    }
                    CopyStep::End(digest) => {
                        self.bring(over(self.author(), &self.terms, &digest), None);
                    }
                    CopyStep::Nothing => {}
                }
            }
            SessionChange::Back(CopiedSession {
                session,
                generation,
            }) => {
                let generation = generation.saturating_add(1);
                let append = here(self.author(), &self.terms, &session, generation);
                self.bring(append, None);
            }
        }
    }

    fn author(&self) -> CopyAuthor<'_> {
        CopyAuthor {
            node: &self.node.name,
            run: self.node.run,
        }
    }

    /// The broker is to have this, of the session of a connection.
    fn bring(&self, append: Option<Append>, who: Option<Address>) {
        let bytes_max = self.broker.payload_bytes_max();
        let append = append.filter(|append| append.payload.len() <= bytes_max);
        let Some(append) = append else {
            // It stays too large until it changes.
            return self.node.counts.add(BridgeCount::SessionsUnsaved, 1);
        };
        if self.way.try_send((append, who)).is_err() {
            self.node.counts.add(BridgeCount::SessionsUnsaved, 1);
            if let Some(who) = who {
                self.table.lock().failed(who, self.node.view.now_ms());
            }
        }
    }

    /// Asks those that are to be asked. Without a connection nothing could be copied.
    fn look(&self) -> Result<(), ServerStopped> {
        let count = self.table.lock().len() as u64;
        self.node.counts.set(BridgeCount::SessionsKnown, count);
        if !self.broker.link().borrow().connected {
            return Ok(());
        }
        let now_ms = self.node.view.now_ms();
        let due = self.table.lock().due(now_ms, Self::LOOKS_MAX);
        for who in due {
            match self.node.engine.reach(who, Box::new(BridgeNotice::Show)) {
                Ok(()) => {}
                Err((Refused::Stopped, _)) => return Err(ServerStopped),
                Err((Refused::Busy | Refused::Memory, _)) => {
                    self.table.lock().failed(who, now_ms);
                }
            }
        }
        Ok(())
    }

    /// A session of this node went on at another one.
    async fn move_away(&self, moved: &MovedSession) -> Result<(), ServerStopped> {
        let Some(digest) = SecretDigest::parse(&moved.digest) else {
            return Ok(());
        };
        let who = moved.connection();
        self.table.lock().moved(who, digest);
        notify(&self.node, who, BridgeNotice::Moved(digest)).await
    }
}

/// What became of copies.
struct Copied {
    node: ClusterNode,
    table: SharedCopyTable,
}

impl StrandAnswers for Copied {
    type Who = Option<Address>;

    async fn answer(&self, who: Option<Address>, placed: Result<Appended, BrokerError>) {
        let counts = &self.node.counts;
        let Err(error) = placed else {
            return counts.add(BridgeCount::SessionsSaved, 1);
        };
        counts.add(BridgeCount::SessionsUnsaved, 1);
        if error != BrokerError::Lost {
            tracing::warn!(%error, "the broker keeps no copy of a session");
        }
        if let Some(who) = who {
            self.table.lock().failed(who, self.node.view.now_ms());
        }
    }
}
