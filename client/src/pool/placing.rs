//! Who of a pool is usable, who has which room, and what moves when that changes.
//!
//! Invariant: a room is subscribed to by one member at a time, which is usable wherever one is;
//! what a member had when it failed or ended is with another, and ends with the last one, for its
//! reason. The places are locked before a core, and nothing of the user runs under either lock.
//! Used by the pool and by its supervisor.

use crate::client::Client;
use crate::core::{Core, ID_BITS, Unheard};
use crate::driver;
use crate::error::Error;
use crate::message::Position;
use crate::policy::{Chooser, Load, PoolPolicy, owner};
use crate::room::{Ear, Handler};
use crate::shared::Shared;
use crate::state::State;
use crate::subscription::{Keeper, SubscribeOptions, Subscription};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, watch};

/// Members of one pool.
pub(super) const MEMBERS_MAX: usize = 64;

/// Ids of subscriptions of pools, which those of members do not meet.
const FIRST_ID: u64 = 1 << 48;
const _: () = assert!((MEMBERS_MAX as u64) << ID_BITS <= FIRST_ID);

#[derive(Debug)]
pub(super) struct PoolShared {
    members: Vec<Client>,
    connections: usize,
    placing: Mutex<Placing>,
    ids: AtomicU64,
    /// The pool is to end.
    pub(super) ended: Notify,
    /// Sent when a member came, went or ended.
    changes: watch::Sender<()>,
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
    /// It has failed, or was never up, and may come.
    Out,
    In,
    /// It has ended for good.
    Ended,
}

impl PoolShared {
    pub(super) fn new(members: Vec<Client>, connections: usize, chooser: Chooser) -> PoolShared {
        for member in &members {
            member.shared().lock().belongs_to_pool();
        }
        PoolShared {
            connections,
            placing: Mutex::new(Placing {
                chooser,
                health: vec![Health::Out; members.len()],
                rooms: HashMap::default(),
            }),
            members,
            ids: AtomicU64::new(FIRST_ID),
            ended: Notify::new(),
            changes: watch::Sender::new(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Placing> {
        self.placing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn members(&self) -> &[Client] {
        &self.members
    }

    /// Members that are used now.
    pub(super) fn healthy(&self) -> usize {
        self.lock().used(self.connections).len()
    }

    /// Sees that a member came, went or ended.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Why the pool has ended, once all members have.
    pub(super) fn reason(&self) -> Option<Error> {
        let mut reason = None;
        for member in &self.members {
            let status = member.shared().lock().status();
            if status.state != State::Closed {
                return None;
            }
            reason = status.error.or(reason);
        }
        Some(reason.unwrap_or_else(Error::closed))
    }

    /// The member for a request, which goes to a room or to none.
    pub(super) fn choose(&self, room: Option<&str>) -> &Arc<Shared> {
        let at = self.lock().choose(self, room);
        self.members[at].shared()
    }

    /// Hears a room at its member.
    pub(super) fn hear(
        self: &Arc<PoolShared>,
        room: &str,
        options: SubscribeOptions,
        handler: Option<Handler>,
    ) -> Result<Subscription, Error> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let (ear, sink) = options.into_ear(id, handler);
        let mut unheard = Unheard(ear);
        // Each round but the last finds a member that has ended and was not known to have.
        for _ in 0..=self.members.len() {
            let Err((at, refused)) = self.place(room, unheard.0) else {
                let keeper: Arc<dyn Keeper> = Arc::clone(self) as Arc<dyn Keeper>;
                return Ok(Subscription::new(keeper, id, Some(room), sink));
            };
            self.ended(at);
            unheard = refused;
        }
        Err(unheard.into())
    }

    /// Subscribes where the room is, or is to be. An error names the member, which has ended.
    fn place(&self, room: &str, ear: Ear) -> Result<(), (usize, Unheard)> {
        let mut placing = self.lock();
        let known = placing.rooms.get(room).copied();
        let at = match known {
            Some(at) if placing.health[at] != Health::Ended => at,
            Some(_) | None => placing.choose(self, Some(room)),
        };
        let member = self.members[at].shared();
        let taken = member.change(|core| core.subscribe(room, ear));
        taken.map_err(|unheard| (at, unheard))?;
        if known != Some(at) {
            placing.rooms.insert(Arc::from(room), at);
        }
        Ok(())
    }

    /// Ends the subscription with this id. False: there is none.
    pub(super) fn unsubscribe_by_id(&self, id: u64) -> bool {
        let room = {
            // Nothing moves meanwhile.
            let _placing = self.lock();
            let mut members = self.members.iter();
            members.find_map(|member| member.shared().lock().rooms.room_of(id))
        };
        if room.is_some() {
            self.unsubscribe(room.as_deref(), id);
        }
        room.is_some()
    }

    /// A member is up and has answered: it is used, and takes what is with those that are not.
    pub(super) fn came(&self, member: usize) {
        let mut placing = self.lock();
        if placing.health[member] == Health::Ended {
            return;
        }
        placing.health[member] = Health::In;
        for other in 0..self.members.len() {
            if placing.health[other] == Health::Out {
                self.evacuate(&mut placing, other);
            }
        }
        if placing.chooser.policy() == PoolPolicy::ConsistentHash {
            self.bring_home(&mut placing);
        }
        drop(placing);
        self.changes.send_replace(());
    }

    /// A member has failed: others take what it has. Where none is used, it goes on with it when it
    /// is back.
    pub(super) fn went(&self, member: usize) {
        let mut placing = self.lock();
        if placing.health[member] == Health::Ended {
            return;
        }
        placing.health[member] = Health::Out;
        if !placing.used(self.connections).is_empty() {
            self.evacuate(&mut placing, member);
        }
        drop(placing);
        self.changes.send_replace(());
    }

    /// A member has ended for good: others take what it has, those that are still to come back,
    /// too. Where all have ended, so does what it has.
    pub(super) fn ended(&self, member: usize) {
        let mut placing = self.lock();
        placing.health[member] = Health::Ended;
        if !placing.candidates(self.connections).is_empty() {
            self.evacuate(&mut placing, member);
        }
        drop(placing);
        self.wind_up(member);
        self.changes.send_replace(());
    }

    /// Whether it is known of a member that it has ended.
    #[cfg(test)]
    pub(super) fn knows_the_end_of(&self, member: usize) -> bool {
        self.lock().health[member] == Health::Ended
    }

    /// Ends what is left of a member that has ended: its driver is gone, or does not look any more.
    fn wind_up(&self, member: usize) {
        let member = self.members[member].shared();
        member.change(Core::wind_up);
        driver::settle(member);
    }

    /// Ends all members with what they have, once it is answered or this time has come.
    pub(super) fn close(&self, until: Option<Instant>) {
        self.lock().health.fill(Health::Ended);
        for (at, member) in self.members.iter().enumerate() {
            let had_ended = member.state() == State::Closed;
            let shared = member.shared();
            shared.change(|core| core.close_with_pool(until));
            if had_ended {
                self.wind_up(at);
            }
        }
        self.changes.send_replace(());
    }

    /// Hands everything that a member has to those that are candidates.
    fn evacuate(&self, placing: &mut Placing, from: usize) {
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
    fn bring_home(&self, placing: &mut Placing) {
        let used = placing.used(self.connections);
        for (name, at) in &mut placing.rooms {
            let Some(to) = owner(&used, name).filter(|to| to != at) else {
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
    fn used(&self, connections: usize) -> Vec<usize> {
        self.first(connections, Health::In)
    }

    /// The same; where there are none, those that may come back. Empty: all have ended.
    fn candidates(&self, connections: usize) -> Vec<usize> {
        let used = self.used(connections);
        match used.is_empty() {
            true => self.first(connections, Health::Out),
            false => used,
        }
    }

    fn first(&self, connections: usize, wanted: Health) -> Vec<usize> {
        let members = self.health.iter().enumerate();
        let found = members.filter(|(_, health)| **health == wanted);
        found.map(|(member, _)| member).take(connections).collect()
    }

    /// One of the candidates; where all members have ended one that says so.
    fn choose(&mut self, shared: &PoolShared, room: Option<&str>) -> usize {
        let candidates = self.candidates(shared.connections);
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
