//! The client: what its user calls.
//!
//! Invariant: a client has one connection at a time and one task; both end with `close`, with the
//! server's word, or with the last handle.

use crate::breaker::BreakerState;
use crate::counts::Snapshot;
use crate::driver;
use crate::entry::{Resend, Wants};
use crate::error::Error;
use crate::message::{ConnectionStatus, History, Item, Position, Presence};
use crate::options::{Options, TIMEOUT_MAX};
use crate::publish::{Ask, Publish, Target};
use crate::room::Handler;
use crate::shared::{Shared, now};
use crate::state::{State, Status};
use crate::subscription::{Keeper, SubscribeOptions, Subscription};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A connection to a server that comes back. Cheap to clone; the last clone that is dropped closes
/// it.
#[derive(Clone, Debug)]
pub struct Client {
    owner: Arc<Owner>,
}

/// What the handles of a client share.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.change(|core| core.close(None));
    }
}

impl Keeper for Shared {
    fn unsubscribe(&self, room: Option<&str>, id: u64) {
        self.change(|core| core.unsubscribe(room, id));
    }

    fn position(&self, room: &str) -> Option<Position> {
        self.lock().position(room)
    }
}

impl Client {
    /// A client that connects at once, and again whenever the connection goes.
    ///
    /// # Errors
    /// The address is none, or the options do not fit together. Whatever else fails is tried again.
    ///
    /// # Panics
    /// There is no tokio runtime.
    pub fn connect(address: &str, options: Options) -> Result<Client, Error> {
        Client::connect_any(&[address.to_owned()], options)
    }

    /// The same with several endpoints, of which one is connected to at a time: the first whose
    /// breaker lets it, from the last good one on.
    ///
    /// # Errors
    /// As of [`Client::connect`].
    ///
    /// # Panics
    /// There is no tokio runtime.
    pub fn connect_any(addresses: &[String], options: Options) -> Result<Client, Error> {
        let settled = Arc::new(options.settle(addresses)?);
        Ok(Client::start(Arc::new(Shared::new(settled, 0))))
    }

    pub(crate) fn start(shared: Arc<Shared>) -> Client {
        shared.lock().link.start(now());
        tokio::spawn(driver::run(Arc::clone(&shared)));
        Client::undriven(shared)
    }

    pub(crate) fn undriven(shared: Arc<Shared>) -> Client {
        Client {
            owner: Arc::new(Owner { shared }),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// Where the client stands.
    pub fn state(&self) -> State {
        self.shared().lock().state()
    }

    /// Sees every change of where the client stands.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared().status.subscribe()
    }

    /// Waits until the server has said welcome, and who the client is is settled.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut status = self.status();
        let is_over = |status: &Status| status.is_settled || status.state == State::Closed;
        let reached = status.wait_for(is_over);
        match reached.await {
            Ok(status) if status.state != State::Closed => Ok(()),
            Ok(status) => Err(status.error.clone().unwrap_or_else(Error::closed)),
            Err(_) => Err(Error::closed()),
        }
    }

    /// What others see as the sender, while connected.
    pub fn connection(&self) -> Option<String> {
        self.shared().lock().connection().map(str::to_owned)
    }

    /// Who the server takes this client for.
    pub fn user(&self) -> Option<String> {
        self.shared().lock().user().map(str::to_owned)
    }

    /// What was counted, and what waits.
    pub fn snapshot(&self) -> Snapshot {
        self.shared().lock().snapshot(now())
    }

    /// What the breaker of each endpoint lets through.
    pub fn breakers(&self) -> Vec<BreakerState> {
        let core = self.shared().lock();
        let states = core
            .link
            .breakers()
            .iter()
            .map(|breaker| breaker.state(now()));
        states.collect()
    }

    /// Hears a room as a stream.
    ///
    /// # Errors
    /// The client has ended.
    pub fn subscribe(&self, room: &str, options: SubscribeOptions) -> Result<Subscription, Error> {
        self.hear(Some(room), options, None)
    }

    /// Hears a room by a function, which is called by the client's own task: it must not block.
    ///
    /// # Errors
    /// The client has ended.
    pub fn subscribe_with(
        &self,
        room: &str,
        options: SubscribeOptions,
        handler: impl Fn(&Item) + Send + Sync + 'static,
    ) -> Result<Subscription, Error> {
        self.hear(Some(room), options, Some(Arc::new(handler)))
    }

    /// Hears what is published to this client's user and to everyone.
    ///
    /// # Errors
    /// The client has ended.
    pub fn subscribe_direct(&self, options: SubscribeOptions) -> Result<Subscription, Error> {
        self.hear(None, options, None)
    }

    fn hear(
        &self,
        room: Option<&str>,
        options: SubscribeOptions,
        handler: Option<Handler>,
    ) -> Result<Subscription, Error> {
        let id = self.shared().lock().new_id();
        let (ear, sink) = options.into_ear(id, handler);
        self.shared().change(|core| match room {
            Some(room) => core.subscribe(room, ear),
            None => core.subscribe_direct(ear),
        })?;
        let keeper: Arc<dyn Keeper> = Arc::clone(self.shared()) as Arc<dyn Keeper>;
        Ok(Subscription::new(keeper, id, room, sink))
    }

    /// Ends the subscription with this id, whoever holds it: what waits can still be read. False:
    /// there is none.
    pub fn unsubscribe(&self, id: u64) -> bool {
        self.shared().change(|core| core.unsubscribe_by_id(id))
    }

    /// Publishes to a room, to several, to a user or to everyone.
    pub fn publish<'a, T: Serialize + ?Sized>(
        &self,
        target: impl Into<Target<'a>>,
        data: &T,
    ) -> Publish {
        Publish::new(self.shared(), target.into(), data)
    }

    /// Calls a handler of the server's application.
    pub fn request<T: DeserializeOwned>(
        &self,
        kind: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Ask<T> {
        Ask::new(self.shared(), kind, Wants::Data, Resend::No).with("data", data)
    }

    /// Any request of the protocol, whose keys are added by [`Ask::with`]: the answer as it comes.
    pub fn ask<T: DeserializeOwned>(&self, kind: &str) -> Ask<T> {
        Ask::new(self.shared(), kind, Wants::Message, Resend::No)
    }

    /// What a room keeps. [`Ask::with`] adds `since`, `limit` and `reverse`.
    pub fn history<T: DeserializeOwned>(&self, room: &str) -> Ask<History<T>> {
        self.read("history").with("room", room)
    }

    /// Who is in a room. [`Ask::with`] adds `limit` and `cursor`.
    pub fn presence(&self, room: &str) -> Ask<Presence> {
        self.read("presence").with("room", room)
    }

    /// What the server knows of this connection.
    pub fn connection_status(&self) -> Ask<ConnectionStatus> {
        self.read("status")
    }

    fn read<T: DeserializeOwned>(&self, kind: &str) -> Ask<T> {
        Ask::new(self.shared(), kind, Wants::Message, Resend::Yes)
    }

    /// The way there and back.
    ///
    /// # Errors
    /// As of every request.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let start: Instant = now();
        let _pong: serde::de::IgnoredAny = self.read("ping").await?;
        Ok(now().saturating_duration_since(start))
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
        self.shared().change(|core| core.close(until));
        self.shared().gone().await;
    }
}
