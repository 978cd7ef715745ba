//! Does what [`crate::broker::share::seating`] says: connections of users with too many end, here
//! and at other nodes. Made by the task that shares, where users may have only so many.

use crate::broker::node::ClusterNode;
use crate::broker::share::own::OwnShare;
use crate::broker::share::seating::{Seating, SeatingStep};
use crate::broker::view::{NodeNews, NodeReplace};
use crate::session::handle::Handle;
use crate::session::identity::Identity;
use crate::wire::connection_id::ConnectionId;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::{Address, Event, TopicName};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The connections of users over all nodes.
#[derive(Debug)]
pub(crate) struct SeatsOfUsers {
    node: ClusterNode,
    seating: Seating,
    asked: mpsc::Receiver<NodeReplace>,
    /// What is to be done.
    steps: Vec<(Arc<str>, SeatingStep)>,
}

impl SeatsOfUsers {
    /// `None`: users may have any number.
    pub(crate) fn new(node: &ClusterNode) -> Option<SeatsOfUsers> {
        let seating = Seating::new(node.same_user, node.run)?;
        let asked = node.view.take_to_replace()?;
        node.view.shares().watch_users();
        Some(SeatsOfUsers {
            node: node.clone(),
            seating,
            asked,
            steps: Vec::new(),
        })
    }

    /// A connection has become a user's, or is none any more.
    pub(crate) fn take(&mut self, event: &Event, own: &OwnShare) {
        match event {
            Event::Joined {
                topic: TopicName::User(user),
                member,
                ..
            } => {
                let there = self.node.view.seated(user);
                let steps = self.seating.joined(user, *member, own.word(), &there);
                self.put(user, steps);
            }
            Event::Left {
                topic: TopicName::User(user),
                member,
                ..
            } => self.seating.left(user, *member),
            _ => {}
        }
    }

    /// Events were lost: who is whose is not known any more.
    pub(crate) fn forget(&mut self) {
        self.seating.forget();
    }

    /// What another node asks for, or nothing where it is time to look at somebody.
    pub(crate) async fn next_asked(&mut self) -> Option<NodeReplace> {
        let Some(due_ms) = self.seating.due_ms() else {
            return self.asked.recv().await;
        };
        let wait_ms = due_ms.saturating_sub(self.node.view.now_ms());
        let wait = Duration::from_millis(wait_ms);
        let asked = tokio::time::timeout(wait, self.asked.recv()).await;
        asked.ok().flatten()
    }

    /// Does what it asks for.
    pub(crate) async fn replace(&mut self, asked: &NodeReplace) {
        if Identity::is_name(&asked.user) {
            let ended = self.seating.asked(&asked.user, asked.keep, asked.word);
            self.close(
                ended,
                CloseCode::REPLACED,
                "another connection of this user took its place",
            )
            .await;
        }
    }

    /// Does what is to be done, by what other nodes have told, too.
    pub(crate) async fn look(&mut self) {
        let users = self.node.view.shares().take_users();
        let now_ms = self.node.view.now_ms();
        for user in users {
            self.seating.told(user, now_ms);
        }
        for user in self.seating.due(now_ms) {
            let there = self.node.view.seated(&user);
            let steps = self.seating.look(&user, &there);
            self.put(&user, steps);
        }
        for (user, step) in std::mem::take(&mut self.steps) {
            match step {
                SeatingStep::Refuse(who) => {
                    let code = CloseCode::TOO_MANY_CONNECTIONS;
                    self.close(
                        who,
                        code,
                        "this user has as many connections as it may have",
                    )
                    .await;
                }
                SeatingStep::Ask { run, keep, word } => {
                    let replace = NodeReplace {
                        to: run,
                        user: user.to_string(),
                        keep,
                        word,
                    };
                    // It is gone with the server.
                    let _gone = self
                        .node
                        .view
                        .tell_in_turn(NodeNews::Replace(replace))
                        .await;
                }
            }
        }
    }

    fn put(&mut self, user: &Arc<str>, steps: Vec<SeatingStep>) {
        let steps = steps.into_iter().map(|step| (user.clone(), step));
        self.steps.extend(steps);
    }

    async fn close(&self, who: Vec<Address>, code: CloseCode, reason: &str) {
        let handle = Handle::new(self.node.shared.clone());
        for who in who {
            // Who has gone meanwhile has gone.
            let _gone = handle.disconnect(ConnectionId(who), code, reason).await;
        }
    }
}
