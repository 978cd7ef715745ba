//! The limits of a server while it runs: what all shards share, and one shard's clients.
//!
//! Invariant: there is a [`ShardLimiter`] only where something is limited, so a server without
//! limits looks at one pointer for each message and keeps nothing. With limits a slot that was ever
//! used takes 32 bytes, and as many more where a client of its page has said something. A client's
//! address and user are counted from the moment it is let in, or waits to be, until its connection
//! has ended, and once each.

use crate::limits::addresses::{AddressPlace, AddressTable};
use crate::limits::by_slot::BySlot;
use crate::limits::gcra::{Rate, Wait};
use crate::limits::rooms::{Charge, RoomLack, RoomRates, RoomTable};
use crate::limits::rules::{ClientLimits, Enforcement, OnExceed, RateLimits};
use crate::limits::tally::{LimitName, LimitOutcome, Tally};
use crate::limits::users::{UserTable, UserUse};
use crate::session::identity::Identity;
use crate::versions::Versions;
use shardcast_engine::{Context as Engine, Peer};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// What all shards share.
#[derive(Debug)]
pub(crate) struct Limiter {
    rules: Versions<RateLimits>,
    addresses: AddressTable,
    users: UserTable,
    rooms: RoomTable,
    pub(crate) tally: Arc<Tally>,
    shards: u64,
    /// The clock that shared rates are charged by.
    started: Instant,
}

impl Limiter {
    /// `None`: nothing is limited.
    pub(crate) fn new(
        rules: RateLimits,
        tally: Arc<Tally>,
        connections_max: usize,
        shards: usize,
    ) -> Option<Arc<Limiter>> {
        rules.limits_something().then(|| {
            let limiter = Limiter {
                rules: Versions::new(rules),
                addresses: AddressTable::new(
                    AddressTable::ADDRESSES_MAX,
                    AddressTable::NETWORKS_MAX,
                ),
                users: UserTable::new(connections_max),
                rooms: RoomTable::new(RoomTable::ROOMS_MAX),
                tally,
                shards: shards as u64,
                started: Instant::now(),
            };
            Arc::new(limiter)
        })
    }

    fn rules(&self) -> &RateLimits {
        self.rules.get()
    }

    /// These rules from here on, for connections that are there and those that come. What clients
    /// have used so far counts. False: they limit nothing, or there is no place for them.
    pub(crate) fn exchange(&self, rules: RateLimits) -> bool {
        let limits_something = rules.limits_something();
        let rules = rules.with_classes_of(self.rules());
        limits_something && rules.is_some_and(|rules| self.rules.replace(rules))
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.rules().enforcement == Enforcement::DryRun
    }
}

/// One shard's clients.
#[derive(Debug)]
pub(crate) struct ShardLimiter {
    shared: Arc<Limiter>,
    clients: BySlot<ClientUse>,
    /// Of those who have said something.
    spent: BySlot<ClientRates>,
    /// From the shard's clock, which stands still within a tick, to the shared one.
    offset: Option<u64>,
}

/// Who counts a connection.
#[derive(Debug, Default)]
struct ClientUse {
    user: Option<Arc<UserUse>>,
    address: Option<AddressPlace>,
    class: u16,
}

/// What a connection has used, in the times of [`Rate`].
#[derive(Debug, Default)]
struct ClientRates {
    messages: u64,
    bytes: u64,
    joins: u64,
    fanout: u64,
}

const _: () = assert!(size_of::<ClientUse>() <= 32 && size_of::<ClientRates>() <= 32);

/// More than a limit allows, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) limit: LimitName,
    wait: Wait,
}

impl Excess {
    pub(crate) fn retry_after_ms(self) -> u64 {
        self.wait.milliseconds()
    }
}

impl ShardLimiter {
    pub(crate) fn new(shared: Arc<Limiter>) -> ShardLimiter {
        ShardLimiter {
            shared,
            clients: BySlot::default(),
            spent: BySlot::default(),
            offset: None,
        }
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.shared.is_dry_run()
    }

    /// What becomes of what this client does too much of.
    pub(crate) fn on_exceed(&mut self, slot: u32) -> OnExceed {
        let class = self.client(slot).class;
        self.shared.rules().class(class).on_exceed
    }

    /// The shared clock in nanoseconds: for what begins and ends.
    fn clock(&self) -> u64 {
        let elapsed = u64::try_from(self.shared.started.elapsed().as_nanos());
        elapsed.unwrap_or(u64::MAX)
    }

    /// The same by the shard's, which stands still within a tick and counts milliseconds: for what
    /// is asked for every message. The two are compared once, so shards differ by a tick and a
    /// millisecond at most.
    fn now(&mut self, now_ms: u64) -> u64 {
        let shared = &self.shared;
        let offset = *self.offset.get_or_insert_with(|| {
            let elapsed = u64::try_from(shared.started.elapsed().as_nanos());
            elapsed
                .unwrap_or(u64::MAX)
                .saturating_sub(now_ms * NANOSECONDS)
        });
        offset.saturating_add(now_ms * NANOSECONDS)
    }

    fn client(&mut self, slot: u32) -> &mut ClientUse {
        self.clients.reach(slot)
    }

    /// A client asks to connect.
    ///
    /// # Errors
    /// Its address has too many connections, or connects too often: nothing is counted.
    pub(crate) fn connects(&mut self, slot: u32, client: Peer) -> Result<(), Excess> {
        let Some(ip) = client.address().map(|address| address.ip()) else {
            return Ok(());
        };
        let now = self.clock();
        // Whoever had the slot before, and did not leave by the front door.
        self.forget_address(slot, now);
        let shared = self.shared.clone();
        if let Some(rate) = shared.rules().connects_per_second {
            let taken = shared.addresses.connects(ip, rate, now);
            self.pass(taken, LimitName::ConnectsPerSecond)?;
        }
        if let Some(max) = shared.rules().connections_per_address {
            let place = self.enter_address(ip, max, now)?;
            self.client(slot).address = Some(place);
        }
        Ok(())
    }

    fn enter_address(&mut self, ip: IpAddr, max: u32, now: u64) -> Result<AddressPlace, Excess> {
        if let Some(place) = self.shared.addresses.enter(ip, max, now) {
            return Ok(place);
        }
        self.pass(Err(Wait::SECOND), LimitName::ConnectionsPerAddress)?;
        let anyway = self.shared.addresses.enter(ip, u32::MAX, now);
        Ok(anyway.expect("less than there are numbers"))
    }

    /// Counts what is too much: it passes where limits are only tried.
    fn pass(&self, taken: Result<(), Wait>, limit: LimitName) -> Result<(), Excess> {
        let Err(wait) = taken else { return Ok(()) };
        let (tally, dry) = (&self.shared.tally, self.is_dry_run());
        let outcome = if dry {
            LimitOutcome::DryRun
        } else {
            LimitOutcome::Refused
        };
        tally.count(limit, outcome);
        if dry {
            Ok(())
        } else {
            Err(Excess { limit, wait })
        }
    }

    /// Its connect came to nothing.
    pub(crate) fn abandons(&mut self, slot: u32) {
        let now = self.clock();
        self.forget_address(slot, now);
    }

    fn forget_address(&mut self, slot: u32, now: u64) {
        if let Some(place) = self.client(slot).address.take() {
            self.shared.addresses.leave(place, now);
        }
    }

    /// A client is let in as who it is.
    ///
    /// # Errors
    /// Its user has too many connections.
    pub(crate) fn accepts(&mut self, slot: u32, identity: &Identity) -> Result<(), Excess> {
        self.spent.reset(slot);
        self.client(slot).user = None;
        self.becomes(slot, &Identity::nobody(), identity)
    }

    /// A client is somebody else from here on.
    ///
    /// # Errors
    /// The new user has too many connections: the client stays who it was.
    pub(crate) fn becomes(
        &mut self,
        slot: u32,
        before: &Identity,
        identity: &Identity,
    ) -> Result<(), Excess> {
        let now = self.clock();
        let shared = self.shared.clone();
        // The role that a token names for limits goes before those of its bearer.
        let claimed = identity.claims().and_then(|claims| claims.limits());
        let roles = identity.roles().iter().map(|role| &**role);
        let class = shared.rules().class_of(claimed.into_iter().chain(roles));
        let same = before.name().is_some() && before.name() == identity.name();
        if shared.rules().limits_users() && !same {
            let entered = match identity.name() {
                Some(user) => Some(self.enter_user(user, class, now)?),
                None => None,
            };
            let left = std::mem::replace(&mut self.client(slot).user, entered);
            if let (Some(user), Some(left)) = (before.name(), left) {
                shared.users.leave(user, &left, now);
            }
        }
        self.client(slot).class = class;
        Ok(())
    }

    fn enter_user(&mut self, user: &str, class: u16, now: u64) -> Result<Arc<UserUse>, Excess> {
        let max = self.shared.rules().class(class).connections_per_user;
        if let Some(entered) = self.shared.users.enter(user, max.unwrap_or(u32::MAX), now) {
            return Ok(entered);
        }
        self.pass(Err(Wait::SECOND), LimitName::ConnectionsPerUser)?;
        let anyway = self.shared.users.enter(user, u32::MAX, now);
        Ok(anyway.expect("less than there are numbers"))
    }

    /// Its connection has ended.
    pub(crate) fn leaves(&mut self, slot: u32, identity: &Identity) {
        let now = self.clock();
        self.forget_address(slot, now);
        let left = self.client(slot).user.take();
        if let (Some(user), Some(left)) = (identity.name(), left) {
            self.shared.users.leave(user, &left, now);
        }
    }

    /// A client sends a message with so many requests and bytes: what of it is too much.
    pub(crate) fn says(
        &mut self,
        slot: u32,
        now_ms: u64,
        requests: u64,
        bytes: u64,
    ) -> Option<Excess> {
        let now = self.now(now_ms);
        let shared = self.shared.clone();
        let client = self.clients.reach(slot);
        let rules = shared.rules().class(client.class);
        let how = charge_of(rules, shared.rules());
        let own = [
            (
                LimitName::MessagesPerSecond,
                rules.messages_per_second,
                requests,
            ),
            (LimitName::BytesPerSecond, rules.bytes_per_second, bytes),
        ];
        let mut excess = Worst(None);
        for (limit, rate, amount) in own {
            let Some(rate) = rate.filter(|_| amount > 0) else {
                continue;
            };
            let spent = self.spent.reach(slot);
            let full_at = match limit {
                LimitName::BytesPerSecond => &mut spent.bytes,
                _ => &mut spent.messages,
            };
            excess.add(limit, charge(how, rate, full_at, now, amount));
        }
        if let Some(user) = &client.user {
            let rates = [
                (
                    LimitName::MessagesPerSecondPerUser,
                    rules.messages_per_second_per_user,
                    &user.messages,
                    requests,
                ),
                (
                    LimitName::BytesPerSecondPerUser,
                    rules.bytes_per_second_per_user,
                    &user.bytes,
                    bytes,
                ),
            ];
            for (limit, rate, full_at, amount) in rates {
                if let Some(rate) = rate.filter(|_| amount > 0) {
                    let wait = match how {
                        Charge::Take => rate.take_shared(full_at, now, amount).err(),
                        Charge::Owe => rate.owe_shared(full_at, now, amount),
                    };
                    excess.add(limit, wait);
                }
            }
        }
        excess.0
    }

    /// A client joins so many rooms.
    pub(crate) fn joins(&mut self, slot: u32, now_ms: u64, rooms: u64) -> Option<Excess> {
        let now = self.now(now_ms);
        let shared = self.shared.clone();
        let class = self.client(slot).class;
        let rules = shared.rules().class(class);
        let how = charge_of(rules, shared.rules());
        let rate = rules.joins_per_second?;
        let joins = &mut self.spent.reach(slot).joins;
        let wait = charge(how, rate, joins, now, rooms)?;
        let limit = LimitName::JoinsPerSecond;
        Some(Excess { limit, wait })
    }

    /// Whether publishes are limited for this client, so that what they take has to be found out.
    pub(crate) fn limits_publishes(&mut self, slot: u32) -> bool {
        let class = self.client(slot).class;
        let rules = self.shared.rules();
        rules.limits_rooms() || rules.class(class).fanout_per_second.is_some()
    }

    /// A client publishes to so many members of its own shard, all rooms together.
    pub(crate) fn fans_out(&mut self, slot: u32, now_ms: u64, here: u64) -> Option<Excess> {
        let now = self.now(now_ms);
        let shared = self.shared.clone();
        let client = self.clients.reach(slot);
        let rules = shared.rules().class(client.class);
        let (rate, how) = (rules.fanout_per_second?, charge_of(rules, shared.rules()));
        let deliveries = here.saturating_mul(shared.shards).max(1);
        let wait = match (&client.user, how) {
            (None, how) => {
                let fanout = &mut self.spent.reach(slot).fanout;
                charge(how, rate, fanout, now, deliveries)
            }
            (Some(user), Charge::Take) => rate.take_shared(&user.fanout, now, deliveries).err(),
            (Some(user), Charge::Owe) => rate.owe_shared(&user.fanout, now, deliveries),
        };
        let limit = LimitName::FanoutPerSecond;
        wait.map(|wait| Excess { limit, wait })
    }

    /// A client publishes so many bytes to a room.
    pub(crate) fn publishes(
        &mut self,
        slot: u32,
        now_ms: u64,
        room: &str,
        bytes: u64,
    ) -> Option<Excess> {
        let now = self.now(now_ms);
        let rules = self.shared.rules();
        if !rules.limits_rooms() {
            return None;
        }
        let rates = RoomRates {
            messages: rules.messages_per_second_per_room,
            bytes: rules.bytes_per_second_per_room,
        };
        let shared = self.shared.clone();
        let class = self.client(slot).class;
        let how = charge_of(shared.rules().class(class), shared.rules());
        let charged = shared.rooms.charge(room, rates, bytes, now, how);
        let (limit, wait) = match charged {
            Ok(()) => return None,
            Err(RoomLack::Messages(wait)) => (LimitName::MessagesPerSecondPerRoom, wait),
            Err(RoomLack::Bytes(wait)) => (LimitName::BytesPerSecondPerRoom, wait),
        };
        Some(Excess { limit, wait })
    }

    /// Whether so many requests under way are as many as the client may have.
    pub(crate) fn is_busy(&mut self, slot: u32, in_flight: usize) -> Option<Excess> {
        let class = self.client(slot).class;
        let max = self.shared.rules().class(class).requests_in_flight?;
        let limit = LimitName::RequestsInFlight;
        let wait = Wait::SECOND;
        (in_flight >= max as usize).then_some(Excess { limit, wait })
    }
}

/// Where a connection is counted.
pub(crate) fn slot_of(engine: &Engine<'_>) -> u32 {
    engine.address().ticket.slot
}

/// Who is delayed has done what it waits for.
fn charge_of(class: &ClientLimits, rules: &RateLimits) -> Charge {
    match (class.on_exceed, rules.enforcement) {
        (OnExceed::Delay, Enforcement::Enforced) => Charge::Owe,
        (OnExceed::Delay, Enforcement::DryRun) | (OnExceed::Refuse | OnExceed::Disconnect, _) => {
            Charge::Take
        }
    }
}

/// Charges a bucket of one connection's: how long there is not enough.
fn charge(how: Charge, rate: Rate, full_at: &mut u64, now: u64, amount: u64) -> Option<Wait> {
    match how {
        Charge::Take => match rate.take(*full_at, now, amount) {
            Ok(then) => {
                *full_at = then;
                None
            }
            Err(wait) => Some(wait),
        },
        Charge::Owe => {
            let (then, pause) = rate.owe(*full_at, now, amount);
            *full_at = then;
            pause
        }
    }
}

/// Of several limits, the one that takes longest.
struct Worst(Option<Excess>);

impl Worst {
    fn add(&mut self, limit: LimitName, wait: Option<Wait>) {
        let Some(wait) = wait else { return };
        if self.0.is_none_or(|worst| worst.wait < wait) {
            self.0 = Some(Excess { limit, wait });
        }
    }
}

const NANOSECONDS: u64 = 1_000_000;
