//! The task that asks the broker for sessions on behalf of connections of this node, and whether
//! they may go on with those that they have from it.
//!
//! Invariant: every wish is answered, unless the server stops. Used by the tasks of copies.

use crate::broker::adapter::{Broker, BrokerError};
use crate::broker::copying::asking::notify;
use crate::broker::copying::copy::{CopyAuthor, CopyClaim, CopyFound, CopyTerms, claim, find};
use crate::broker::copying::table::SharedCopyTable;
use crate::broker::counts::BridgeCount;
use crate::broker::node::ClusterNode;
use crate::broker::telling::tell;
use crate::broker::view::NodeNews;
use crate::session::copies::{
    BridgeNotice, CopiedSession, MovedSession, SessionVerdict, SessionWish,
};
use crate::session::shelf::ShelvedSession;
use crate::session::take::Take;
use shardcast_engine::Address;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// What it needs.
pub(super) struct Granting<B> {
    pub(super) node: ClusterNode,
    pub(super) broker: Arc<B>,
    pub(super) terms: CopyTerms,
    pub(super) table: SharedCopyTable,
}

impl<B: Broker> Granting<B> {
    /// Wishes that are asked for at the same time; more wait.
    const UNDER_WAY_MAX: usize = 256;

    /// Runs until the server has stopped.
    pub(super) async fn run(self, mut wishes: mpsc::Receiver<SessionWish>) {
        let granting = Arc::new(self);
        let under_way = Arc::new(Semaphore::new(Self::UNDER_WAY_MAX));
        while let Some(wish) = wishes.recv().await {
            // Nobody closes it.
            let Ok(permit) = under_way.clone().acquire_owned().await else {
                return;
            };
            let granting = granting.clone();
            tokio::spawn(async move {
                granting.answer(wish).await;
                drop(permit);
            });
        }
    }

    async fn answer(&self, wish: SessionWish) {
        let (by, verdict): (Address, SessionVerdict) = match wish {
            SessionWish::Take(take) => (take.by, self.take(&take).await),
            SessionWish::Claim { by, session } => (by, self.claim(session).await),
        };
        let _stopped = notify(&self.node, by, BridgeNotice::Verdict(verdict)).await;
    }

    fn author(&self) -> CopyAuthor<'_> {
        CopyAuthor {
            node: &self.node.name,
            run: self.node.run,
        }
    }

    /// A connection wants the session of another node, or of an earlier process.
    async fn take(&self, take: &Take) -> SessionVerdict {
        let found = find(&*self.broker, &self.terms, &take.digest).await;
        let (copied, holder) = match found {
            Ok(CopyFound::Here(copied, holder)) => (copied, holder),
            Ok(CopyFound::Over | CopyFound::Nothing) => return SessionVerdict::Denied,
            Err(error) => return self.unknown(&error),
        };
        if !take.may_have_shelved(&copied.session) {
            return SessionVerdict::Denied;
        }
        let generation = copied.generation;
        let claim = claim(
            &*self.broker,
            self.author(),
            &self.terms,
            &take.digest,
            generation,
        );
        match claim.await {
            Ok(CopyClaim::Granted) => {
                self.node.counts.add(BridgeCount::SessionsTaken, 1);
                let moved = MovedSession::new(&holder, &copied.session);
                tell(&self.node, &*self.broker, &NodeNews::Moved(moved)).await;
                SessionVerdict::Granted(Some(copied))
            }
            Ok(CopyClaim::Denied) => SessionVerdict::Denied,
            Err(error) => self.unknown(&error),
        }
    }

    /// A connection has the session of this node. Without a broker nobody else gets it by that.
    async fn claim(&self, session: Box<ShelvedSession>) -> SessionVerdict {
        if !self.broker.link().borrow().connected {
            return self.unasked(&session);
        }
        let known = self.table.lock().generation(&session);
        let generation = match known {
            Some(generation) => generation,
            None => match find(&*self.broker, &self.terms, &session.digest).await {
                Ok(CopyFound::Nothing) => 0,
                Ok(CopyFound::Here(copied, _)) => copied.generation,
                Ok(CopyFound::Over) => return SessionVerdict::Denied,
                Err(_) => return self.unasked(&session),
            },
        };
        let claim = claim(
            &*self.broker,
            self.author(),
            &self.terms,
            &session.digest,
            generation,
        );
        match claim.await {
            Ok(CopyClaim::Granted) => {
                let now_ms = self.node.view.now_ms();
                self.table.lock().granted(&session, generation, now_ms);
                SessionVerdict::Granted(Some(CopiedSession {
                    session,
                    generation,
                }))
            }
            Ok(CopyClaim::Denied) => SessionVerdict::Denied,
            Err(_) => self.unasked(&session),
        }
    }

    /// The node decides by itself. The broker is to hear what became of the session when it can.
    fn unasked(&self, session: &ShelvedSession) -> SessionVerdict {
        let now_ms = self.node.view.now_ms();
        // It is one more only where it was never copied.
        _ = self.table.lock().changed(session.connection, now_ms);
        SessionVerdict::Granted(None)
    }

    /// Whether there is such a session nobody can say now.
    fn unknown(&self, error: &BrokerError) -> SessionVerdict {
        if *error != BrokerError::Lost {
            tracing::warn!(%error, "the broker cannot be asked for a session");
        }
        SessionVerdict::Unavailable
    }
}
