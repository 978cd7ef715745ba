//! Several connections, to one endpoint or to several, as if they were one.
//!
//! Invariant: a room is subscribed to by one member at a time; when its member fails, the room and
//! what waits to be sent go to another with what was heard so far, so that it recovers what it
//! missed. One task besides those of the members. Made by users.

use crate::client::Client;
use crate::counts::Snapshot;
use crate::entry::{Resend, Wants};
use crate::error::{Error, ErrorKind};
use crate::message::{History, Item, Position, Presence};
use crate::options::Options;
use crate::pending::Pending;
use crate::policy::{Chooser, Load, PoolPolicy, owner};
use crate::publish::{Ask, Publish, Target};
use crate::room::Handler;
use crate::shared::Shared;
use crate::state::{NextStatus, State, next_status};
use crate::subscription::{Keeper, SubscribeOptions, Subscription};
use foldhash::fast::RandomState;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;

/// Members of one pool.
const MEMBERS_MAX: usize = 64;

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
    /// often.
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

#[derive(Debug)]
struct PoolShared {
    members: Vec<Client>,
    connections: usize,
    placing: Mutex<Placing>,
    ids: AtomicU64,
    ended: Notify,
}

/// Who is usable, and who has which room.
#[derive(Debug)]
struct Placing {
    chooser: Chooser,
    health: Vec<Health>,
    /// The member of each room.
    rooms: HashMap<Arc<str>, usize, RandomState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// It has failed, or was never up.
    Out,
    In,
}

/// Ids of subscriptions of pools, which those of members do not meet.
const FIRST_ID: u64 = 1 << 48;

impl Pool {
    /// A pool that connects at once.
    ///
    /// # Errors
    /// An address is none, or the options do not fit together.
    ///
    /// # Panics
    /// There is no tokio runtime.
    pub fn connect(addresses: &[String], options: PoolOptions) -> Result<Pool, Error> {
        let count = options.connections + options.spares;
        if options.connections == 0 || count > MEMBERS_MAX {
            let message = "a pool has 1 to 64 connections";
            return Err(Error::new(ErrorKind::BadOption, message));
        }
        let settled = Arc::new(options.client.settle(addresses)?);
        let members: Vec<Client> = (0..count)
            .map(|first| Client::start(Arc::new(Shared::new(Arc::clone(&settled), first))))
            .collect();
        let shared = Arc::new(PoolShared {
            connections: options.connections,
            placing: Mutex::new(Placing {
                chooser: Chooser::new(options.policy, rand::make_rng()),
                health: vec![Health::Out; count],
                rooms: HashMap::default(),
            }),
            members,
            ids: AtomicU64::new(FIRST_ID),
            ended: Notify::new(),
        });
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
        &self.shared().members
    }

    /// Members that are used now.
    pub fn healthy(&self) -> usize {
        let placing = self.shared().lock();
        placing.candidates(self.shared().connections).len()
    }

    /// Waits until a member is used.
    ///
    /// # Errors
    /// All members have ended: the reason of the last.
    pub async fn ready(&self) -> Result<(), Error> {
        for member in self.members() {
            let ended = member.ready().await.err();
            match ended {
                None => return Ok(()),
                Some(error) if self.members().iter().all(|m| m.state() == State::Closed) => {
                    return Err(error);
                }
                Some(_) => {}
            }
        }
        Err(Error::closed())
    }

    /// What each member has counted.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.members().iter().map(Client::snapshot).collect()
    }

    fn choose(&self, room: Option<&str>) -> &Arc<Shared> {
        let shared = self.shared();
        let at = shared.lock().choose(shared, room);
        shared.members[at].shared()
    }

    /// Hears a room as a stream.
    ///
    /// # Errors
    /// The pool has ended.
    pub fn subscribe(&self, room: &str, options: SubscribeOptions) -> Result<Subscription, Error> {
        self.hear(room, options, None)
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
        self.hear(room, options, Some(Arc::new(handler)))
    }

    fn hear(
        &self,
        room: &str,
        options: SubscribeOptions,
        handler: Option<Handler>,
    ) -> Result<Subscription, Error> {
        let shared = self.shared();
        let id = shared.ids.fetch_add(1, Ordering::Relaxed);
        let (ear, sink) = options.into_ear(id, handler);
        let mut placing = shared.lock();
        let chosen = placing.choose(shared, Some(room));
        let at = *placing.rooms.entry(Arc::from(room)).or_insert(chosen);
        let member = shared.members[at].shared();
        let taken = member.change(|core| core.subscribe(room, ear));
        drop(placing);
        taken?;
        let keeper: Arc<dyn Keeper> = Arc::clone(shared) as Arc<dyn Keeper>;
        Ok(Subscription::new(keeper, id, Some(room), sink))
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
        Publish::new(self.choose(room), target, data)
    }

    /// Calls a handler of the server's application.
    pub fn request<T: DeserializeOwned>(
        &self,
        kind: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Ask<T> {
        Ask::new(self.choose(None), kind, Wants::Data, Resend::No).with("data", data)
    }

    /// What a room keeps. [`Ask::with`] adds `since`, `limit` and `reverse`.
    pub fn history<T: DeserializeOwned>(&self, room: &str) -> Ask<History<T>> {
        Ask::new(
            self.choose(Some(room)),
            "history",
            Wants::Message,
            Resend::Yes,
        )
        .with("room", room)
    }

    /// Who is in a room. [`Ask::with`] adds `limit` and `cursor`.
    pub fn presence(&self, room: &str) -> Ask<Presence> {
        Ask::new(
            self.choose(Some(room)),
            "presence",
            Wants::Message,
            Resend::Yes,
        )
        .with("room", room)
    }

    /// Ends all members; returns when nothing of them is left.
    pub async fn close(&self) {
        self.shared().ended.notify_one();
        for member in self.members() {
            member.close().await;
        }
    }
}

impl PoolShared {
    fn lock(&self) -> MutexGuard<'_, Placing> {
        self.placing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member is up and has answered: it is used, and takes what is with those that are not.
    fn came(&self, member: usize) {
        let mut placing = self.lock();
        placing.health[member] = Health::In;
        for other in 0..self.members.len() {
            if placing.health[other] == Health::Out {
                self.evacuate(&mut placing, other);
            }
        }
        if placing.chooser.policy() == PoolPolicy::ConsistentHash {
            self.settle(&mut placing);
        }
    }

    /// A member has failed: others take what it has.
    fn went(&self, member: usize) {
        let mut placing = self.lock();
        placing.health[member] = Health::Out;
        self.evacuate(&mut placing, member);
    }

    fn evacuate(&self, placing: &mut Placing, from: usize) {
        if placing.candidates(self.connections).is_empty() {
            // It keeps what it has, and goes on when it is back.
            return;
        }
        let (rooms, entries) = self.members[from].shared().change(|core| core.hand_over());
        for room in rooms {
            let to = placing.choose(self, Some(&room.name));
            placing.rooms.insert(Arc::clone(&room.name), to);
            let member = self.members[to].shared();
            member.change(|core| core.take_over(vec![room], Vec::new()));
        }
        for entry in entries {
            let to = placing.choose(self, entry.room());
            let member = self.members[to].shared();
            member.change(|core| core.take_over(Vec::new(), vec![entry]));
        }
    }

    /// Brings rooms to the members that they belong to by name, where nothing is lost by that.
    fn settle(&self, placing: &mut Placing) {
        let candidates = placing.candidates(self.connections);
        for (name, at) in &mut placing.rooms {
            let Some(to) = owner(&candidates, name).filter(|to| to != at) else {
                continue;
            };
            let from = self.members[*at].shared();
            if let Some(room) = from.change(|core| core.rooms.take_recoverable(name)) {
                *at = to;
                self.members[to]
                    .shared()
                    .change(|core| core.take_over(vec![room], Vec::new()));
            }
        }
    }
}

impl Placing {
    /// Members that are used: the first so many that are healthy.
    fn candidates(&self, connections: usize) -> Vec<usize> {
        let healthy = self
            .health
            .iter()
            .enumerate()
            .filter(|(_, health)| **health == Health::In);
        healthy
            .map(|(member, _)| member)
            .take(connections)
            .collect()
    }

    /// A member that is used; one of all where none is, for it will be.
    fn choose(&mut self, shared: &PoolShared, room: Option<&str>) -> usize {
        let mut candidates = self.candidates(shared.connections);
        if candidates.is_empty() {
            candidates.extend(0..shared.connections);
        }
        let load = |member: usize| {
            let core = shared.members[member].shared().lock();
            Load {
                pending: core.requests.pending(),
                rooms: core.rooms.len(),
            }
        };
        self.chooser.choose(&candidates, room, load).unwrap_or(0)
    }
}

impl Keeper for PoolShared {
    fn unsubscribe(&self, room: Option<&str>, id: u64) {
        let Some(name) = room else { return };
        let mut placing = self.lock();
        let Some(at) = placing.rooms.get(name) else {
            return;
        };
        let is_heard = self.members[*at].shared().change(|core| {
            core.unsubscribe(room, id);
            core.rooms.is_heard(name)
        });
        if !is_heard {
            placing.rooms.remove(name);
        }
    }

    fn position(&self, room: &str) -> Option<Position> {
        let placing = self.lock();
        let at = placing.rooms.get(room)?;
        self.members[*at].shared().lock().position(room)
    }
}

/// What the supervisor knows of a member.
struct Watched {
    changed: NextStatus,
    /// Asked for a sign of life, and not answered.
    check: Option<Pending<IgnoredAny>>,
    is_up: bool,
}

/// Looks after the members until the pool ends.
async fn supervise(shared: Arc<PoolShared>, health_check: Duration) {
    let members = shared.members.iter();
    let mut watched: Vec<Watched> = members
        .map(|member| {
            let mut status = member.status();
            status.mark_changed();
            Watched {
                changed: next_status(status),
                check: None,
                is_up: false,
            }
        })
        .collect();
    let mut ticks = tokio::time::interval(health_check.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut turn = pin!(poll_fn(|cx| {
            let members = watched.iter_mut().enumerate();
            let changed: Vec<usize> = members
                .filter_map(|(at, member)| member.poll(cx, &shared, at).then_some(at))
                .collect();
            match changed.is_empty() {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        }));
        tokio::select! {
            () = &mut turn => {}
            () = shared.ended.notified() => break,
            _ = ticks.tick() => {
                for (at, member) in watched.iter_mut().enumerate() {
                    if member.is_up && member.check.is_none() {
                        member.check = Some(check(&shared, at, health_check));
                    }
                }
            }
        }
    }
    for member in &shared.members {
        member.shared().change(|core| core.close(None));
    }
}

fn check(shared: &PoolShared, at: usize, patience: Duration) -> Pending<IgnoredAny> {
    let member = shared.members[at].shared();
    Ask::new(member, "ping", Wants::Message, Resend::No)
        .timeout(patience)
        .send()
}

impl Watched {
    /// Whether something has changed.
    fn poll(&mut self, cx: &mut Context<'_>, shared: &PoolShared, at: usize) -> bool {
        if let Some(checking) = &mut self.check
            && let Poll::Ready(answer) = Pin::new(checking).poll(cx)
        {
            self.check = None;
            match answer {
                Ok(_) if self.is_up => shared.came(at),
                _ => shared.went(at),
            }
            return true;
        }
        let Poll::Ready(mut status) = self.changed.as_mut().poll(cx) else {
            return false;
        };
        let state = status.borrow_and_update().state;
        self.changed = next_status(status);
        let is_up = matches!(
            state,
            State::Connected | State::Authenticated | State::Recovering
        );
        if is_up != self.is_up {
            self.is_up = is_up;
            match is_up {
                // Used once it has answered.
                true => self.check = Some(check(shared, at, Duration::from_secs(5))),
                false => {
                    self.check = None;
                    shared.went(at);
                }
            }
        }
        true
    }
}
