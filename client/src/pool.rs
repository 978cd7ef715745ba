//! Several connections, to one endpoint or to several, as if they were one.
//!
//! Invariant: a room is subscribed to by one member at a time; when its member fails or ends, the
//! room and what waits to be sent go to another with what was heard so far, so that it recovers
//! what it missed. One task besides those of the members. Made by users.

#[cfg(test)]
mod model;
mod placing;
#[cfg(test)]
mod simulation;
mod supervisor;

use crate::client::Client;
use crate::counts::Snapshot;
use crate::entry::{Resend, Wants};
use crate::error::{Error, ErrorKind};
use crate::message::{History, Item, Presence};
use crate::options::{Options, TIMEOUT_MAX};
use crate::policy::{Chooser, PoolPolicy};
use crate::publish::{Ask, Publish, Target};
use crate::shared::{Shared, now};
use crate::subscription::{SubscribeOptions, Subscription};
use placing::{MEMBERS_MAX, PoolShared};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, Instant};
use supervisor::supervise;

/// How a pool is made.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Connections that are used, 1 to 64 with the spares. Each begins with another endpoint.
    pub connections: usize,
    /// Further connections, which stand and are used when another fails.
    pub spares: usize,
    /// Who takes what.
    pub policy: PoolPolicy,
    /// A member that came back is used once it has answered within this time; all are asked as
    /// often. From 1 ms to 24 h.
    pub health_check: Duration,
    /// How each of them behaves.
    pub client: Options,
}

impl Default for PoolOptions {
    fn default() -> PoolOptions {
        PoolOptions {
            connections: 2,
            spares: 0,
            policy: PoolPolicy::RoundRobin,
            health_check: Duration::from_secs(5),
            client: Options::default(),
        }
    }
}

/// Several connections as if they were one. Cheap to clone; the last clone that is dropped closes
/// all.
#[derive(Clone, Debug)]
pub struct Pool {
    owner: Arc<PoolOwner>,
}

#[derive(Debug)]
struct PoolOwner {
    shared: Arc<PoolShared>,
}

impl Drop for PoolOwner {
    fn drop(&mut self) {
        self.shared.ended.notify_one();
    }
}

impl Pool {
    /// A pool that connects at once.
    ///
    /// # Errors
    /// An address is none, or the options do not fit together.
    ///
    /// # Panics
    /// There is no tokio runtime.
    pub fn connect(addresses: &[String], options: PoolOptions) -> Result<Pool, Error> {
        let count = options.connections.saturating_add(options.spares);
        if options.connections == 0 || count > MEMBERS_MAX {
            let message = "a pool has 1 to 64 connections";
            return Err(Error::new(ErrorKind::BadOption, message));
        }
        let is_long = options.health_check > TIMEOUT_MAX;
        if is_long || options.health_check < Duration::from_millis(1) {
            return Err(Error::new(
                ErrorKind::BadOption,
                "health_check: 1 ms to 24 h",
            ));
        }
        let settled = Arc::new(options.client.settle(addresses)?);
        let members: Vec<Client> = (0..count)
            .map(|first| Client::start(Arc::new(Shared::new(Arc::clone(&settled), first))))
            .collect();
        let chooser = Chooser::new(options.policy, rand::make_rng());
        let shared = Arc::new(PoolShared::new(members, options.connections, chooser));
        tokio::spawn(supervise(Arc::clone(&shared), options.health_check));
        Ok(Pool {
            owner: Arc::new(PoolOwner { shared }),
        })
    }

    fn shared(&self) -> &Arc<PoolShared> {
        &self.owner.shared
    }

    /// The members, used ones first.
    pub fn members(&self) -> &[Client] {
        self.shared().members()
    }

    /// Members that are used now.
    pub fn healthy(&self) -> usize {
        self.shared().healthy()
    }

    /// Waits until a member is used.
    ///
    /// # Errors
    /// All members have ended: the reason of the last.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut changes = self.shared().changes();
        loop {
            if self.healthy() > 0 {
                return Ok(());
            }
            if let Some(reason) = self.shared().reason() {
                return Err(reason);
            }
            if changes.changed().await.is_err() {
                return Err(Error::closed());
            }
        }
    }

    /// What each member has counted.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.members().iter().map(Client::snapshot).collect()
    }

    /// Hears a room as a stream.
    ///
    /// # Errors
    /// The pool has ended.
    pub fn subscribe(&self, room: &str, options: SubscribeOptions) -> Result<Subscription, Error> {
        self.shared().hear(room, options, None)
    }

    /// Hears a room by a function, which must not block.
    ///
    /// # Errors
    /// The pool has ended.
    pub fn subscribe_with(
        &self,
        room: &str,
        options: SubscribeOptions,
        handler: impl Fn(&Item) + Send + Sync + 'static,
    ) -> Result<Subscription, Error> {
        self.shared().hear(room, options, Some(Arc::new(handler)))
    }

    /// Ends the subscription with this id, whoever holds it: what waits can still be read. False:
    /// there is none.
    pub fn unsubscribe(&self, id: u64) -> bool {
        self.shared().unsubscribe_by_id(id)
    }

    /// Publishes to a room, to several, to a user or to everyone.
    pub fn publish<'a, T: Serialize + ?Sized>(
        &self,
        target: impl Into<Target<'a>>,
        data: &T,
    ) -> Publish {
        let target = target.into();
        let room = match target {
            Target::Room(room) => Some(room),
            Target::Rooms(_) | Target::User(_) | Target::Everyone => None,
        };
        Publish::new(self.shared().choose(room), target, data)
    }

    /// Calls a handler of the server's application.
    pub fn request<T: DeserializeOwned>(
        &self,
        kind: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Ask<T> {
        Ask::new(self.shared().choose(None), kind, Wants::Data, Resend::No).with("data", data)
    }

    /// What a room keeps. [`Ask::with`] adds `since`, `limit` and `reverse`.
    pub fn history<T: DeserializeOwned>(&self, room: &str) -> Ask<History<T>> {
        Ask::new(
            self.shared().choose(Some(room)),
            "history",
            Wants::Message,
            Resend::Yes,
        )
        .with("room", room)
    }

    /// Who is in a room. [`Ask::with`] adds `limit` and `cursor`.
    pub fn presence(&self, room: &str) -> Ask<Presence> {
        Ask::new(
            self.shared().choose(Some(room)),
            "presence",
            Wants::Message,
            Resend::Yes,
        )
        .with("room", room)
    }

    /// Ends it at once; returns when nothing of it is left. Everything that is not settled fails.
    pub async fn close(&self) {
        self.end(None).await;
    }

    /// The same, but requests that wait get so long to be sent and answered.
    pub async fn drain(&self, patience: Duration) {
        self.end(Some(now() + patience.min(TIMEOUT_MAX))).await;
    }

    async fn end(&self, until: Option<Instant>) {
        self.shared().close(until);
        for member in self.members() {
            member.shared().gone().await;
        }
        self.shared().ended.notify_one();
    }
}
