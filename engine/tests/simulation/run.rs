//! One run: shards, clients and the world they share, one step after the other as the seed says.

use super::application::{Journal, ROOM_NAME_BYTES_MAX, Scripted, Step};
use super::client::{Client, Scene, Stage};
use super::order::{self, Outcome};
use super::temper::{Ending, Opening, Temper};
use super::words::Ask;
use shardcast_engine::driver::Millis;
use shardcast_engine::driver::sim::{Faults, Line, Random, SimDriver, World};
use shardcast_engine::lane::{self, LaneCapacity};
use shardcast_engine::shard::{Admission, Setup, Shard};
use shardcast_engine::{CloseReason, Config, ShardCounters};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Everything that one seed decided.
struct Simulation {
    world: Rc<RefCell<World>>,
    shards: Vec<Shard<Scripted, SimDriver>>,
    clients: Vec<Client>,
    journal: Rc<RefCell<Journal>>,
    random: Random,
    setting: Setting,
    step: Step,
    settled: bool,
    draining: bool,
}

/// What a run is like, apart from its network.
#[derive(Clone, Debug)]
struct Setting {
    rooms: usize,
    lane_letters: usize,
    /// A slow reader may be closed for it, the outbox is that small.
    tight: bool,
    /// The process takes fewer connections than there are clients.
    crowded: bool,
    spurious_permille: usize,
    /// The server drains before the clients are done.
    drains_early: bool,
    /// The server drains when they are; otherwise they end by themselves.
    drains_late: bool,
    hasty: bool,
}

#[derive(Clone, Copy, Debug)]
enum Actor {
    Shard(usize),
    Client(usize),
}

/// How many shards a seed's run has.
pub(crate) fn shards_of(seed: u64) -> usize {
    1 + Random::new(seed).below(8)
}

/// Runs one seed to its end, checks it, and returns what it did, step by step counted.
pub(crate) fn run(seed: u64, traced: bool) -> (Step, Millis) {
    let mut simulation = Simulation::new(seed, traced);
    simulation.begin();
    simulation.go_on(Simulation::is_settled);
    let settled = simulation.open_clients();
    simulation.finish();
    simulation.go_on(Simulation::is_over);
    simulation.rest();
    simulation.check(settled);
    let now = simulation.world.borrow().now();
    (simulation.step, now)
}

impl Simulation {
    fn new(seed: u64, traced: bool) -> Simulation {
        let shards = shards_of(seed);
        let mut random = Random::new(seed ^ 0x5eed);
        let setting = Setting::draw(&mut random);
        let mut faults = Faults::draw(&mut random);
        let count = random.pick(&[2, 4, 12, 30]);
        let tempers: Vec<Temper> = (1..count).map(|_| Temper::draw(&mut random)).collect();
        // Those who stay must not keep the others in the backlog for ever.
        faults.slots = faults
            .slots
            .max(2 + tempers.iter().filter(|temper| temper.stays).count());
        let config = setting.config(shards, count);
        let line = if setting.tight {
            Line::Perfect
        } else {
            Line::Lasting
        };
        let mut clients = vec![Client::new(
            0,
            Temper::witness(),
            random.below(shards),
            0,
            line,
        )];
        for (index, temper) in tempers.into_iter().enumerate() {
            let (shard, starts_at) = (random.below(shards), random.below(200) as Millis);
            clients.push(Client::new(
                index + 1,
                temper,
                shard,
                starts_at,
                Line::Faulty,
            ));
        }
        let journal = Rc::new(RefCell::new(Journal::default()));
        journal
            .borrow_mut()
            .clients
            .resize_with(count, Default::default);
        let world = World::new(shards, faults.clone(), random.fork(), traced);
        world
            .borrow()
            .trace(|| format!("{shards} shards, {count} clients, {setting:?}, {faults:?}"));
        let admission = Admission::new(config.connections_max);
        let shards = lane::mesh(shards, LaneCapacity(setting.lane_letters), seed)
            .into_iter()
            .enumerate()
            .map(|(index, mailbox)| {
                let setup = Setup {
                    config: &config,
                    mailbox,
                    admission: admission.clone(),
                    slots: faults.slots,
                    counters: Arc::new(ShardCounters::default()),
                };
                let application = Scripted::new(Rc::clone(&journal));
                Shard::new(setup, application, World::driver(&world, index))
            })
            .collect();
        Simulation {
            world,
            shards,
            clients,
            journal,
            random,
            setting,
            step: 0,
            settled: false,
            draining: false,
        }
    }

    /// The witness joins every room before anybody else is there.
    fn begin(&mut self) {
        let rooms = self.setting.rooms;
        let mut others = self.clients.split_off(1);
        self.go_on(|simulation| simulation.clients[0].stage == Stage::Open);
        self.step += 1;
        for room in 0..rooms {
            self.with_client(0, |client, scene| client.say(scene, Ask::Join(room)));
        }
        self.go_on(|simulation| simulation.clients[0].log.joins.len() == rooms);
        self.clients.append(&mut others);
    }

    /// Steps until `done`, which is asked whenever nothing can happen without time passing.
    fn go_on(&mut self, done: impl Fn(&Simulation) -> bool) {
        loop {
            self.step += 1;
            assert!(self.step < STEPS_MAX, "the run does not come to an end");
            self.journal.borrow_mut().now = self.step;
            let actors = self.actors();
            if actors.is_empty() {
                if !self.pass_time(&done) {
                    return;
                }
                continue;
            }
            if self.random.chance(self.setting.spurious_permille) {
                let shard = self.random.below(self.shards.len());
                self.tick(shard);
            }
            if self.setting.drains_early && self.step > DRAIN_STEP && self.random.chance(20) {
                self.drain();
            }
            if self.random.chance(10) {
                let now = self.world.borrow().now();
                self.world.borrow_mut().advance_to(now + 1);
            }
            match self.random.pick(&actors) {
                Actor::Shard(shard) => self.tick(shard),
                Actor::Client(client) => self.with_client(client, Client::act),
            }
        }
    }

    fn actors(&self) -> Vec<Actor> {
        let world = self.world.borrow();
        let shards = (0..self.shards.len())
            .filter(|shard| world.is_runnable(*shard))
            .map(Actor::Shard);
        let clients = self.clients.iter().enumerate();
        let clients = clients.filter(|(_, client)| client.is_ready(&world, self.settled));
        shards
            .chain(clients.map(|(index, _)| Actor::Client(index)))
            .collect()
    }

    /// Nothing can happen before time passes: lets it pass until something can; false when that need not be.
    fn pass_time(&mut self, done: &impl Fn(&Simulation) -> bool) -> bool {
        let world = self.world.borrow();
        let now = world.now();
        let network = world.ripe_at();
        let deadlines = (0..self.shards.len())
            .filter_map(|shard| world.sleeps_until(shard))
            .min();
        // A shard that could not post looks again very soon; nobody is owed anything once that is over, unless it was lost or nobody was
        // woken for it.
        let quiet = network.is_none() && deadlines.is_none_or(|at| at > now + RETRY_MS);
        if quiet {
            self.clients
                .iter()
                .for_each(|client| client.assert_served(&world));
            self.shards
                .iter()
                .for_each(|shard| shard.check_invariants(false));
            if done(self) {
                return false;
            }
        }
        let clients = self
            .clients
            .iter()
            .filter_map(|client| client.ready_at(&world));
        let next = clients.chain(network).chain(deadlines).min();
        drop(world);
        let next = next
            .filter(|at| *at < now + FOREVER_MS)
            .expect("a deadlock: nothing will ever happen again");
        self.world.borrow_mut().advance_to(next);
        true
    }

    fn tick(&mut self, shard: usize) {
        self.shards[shard].tick();
        if self.random.chance(50) {
            self.shards[shard].check_invariants(false);
        }
    }

    fn with_client(&mut self, client: usize, with: impl FnOnce(&mut Client, &mut Scene<'_>)) {
        let mut world = self.world.borrow_mut();
        let mut scene = Scene {
            world: &mut world,
            random: &mut self.random,
            now: self.step,
            clients: self.journal.borrow().clients.len(),
            rooms: self.setting.rooms,
            settled: self.settled,
        };
        with(&mut self.clients[client], &mut scene);
    }

    fn is_settled(&self) -> bool {
        let now = self.world.borrow().now();
        self.clients.iter().all(|client| client.is_settled(now))
    }

    fn is_over(&self) -> bool {
        let world = self.world.borrow();
        let empty = (0..self.shards.len()).all(|shard| world.occupied(shard) == 0);
        empty
            && self
                .clients
                .iter()
                .all(|client| client.stage == Stage::Over)
    }

    fn open_clients(&self) -> BTreeSet<usize> {
        self.clients
            .iter()
            .filter(|client| client.stage == Stage::Open)
            .map(|client| client.id)
            .collect()
    }

    fn finish(&mut self) {
        if self.setting.drains_late {
            self.drain();
        } else {
            self.settled = true;
        }
    }

    /// Shards are told at once, and hear of it when they tick next.
    fn drain(&mut self) {
        if !std::mem::replace(&mut self.draining, true) {
            self.shards.iter_mut().for_each(Shard::start_drain);
            (0..self.shards.len()).for_each(|shard| self.tick(shard));
        }
    }

    /// Every deadline passes.
    fn rest(&mut self) {
        let end = self.world.borrow().now() + REST_MS;
        while self.world.borrow().now() < end {
            let now = self.world.borrow().now();
            let deadlines =
                (0..self.shards.len()).filter_map(|shard| self.world.borrow().sleeps_until(shard));
            let next = deadlines.min().unwrap_or(end).clamp(now + 1, end);
            self.world.borrow_mut().advance_to(next);
            for shard in 0..self.shards.len() {
                self.step += 1;
                if self.world.borrow().is_runnable(shard) || next == end {
                    self.tick(shard);
                }
            }
        }
    }

    fn check(&self, settled: BTreeSet<usize>) {
        for shard in &self.shards {
            shard.check_invariants(true);
            assert!(!self.draining || shard.is_drained());
        }
        self.world.borrow().assert_quiescent();
        let journal = self.journal.borrow();
        for (client, entry) in self.clients.iter().zip(&journal.clients) {
            assert_eq!(
                entry.connected.is_some(),
                entry.closed.is_some(),
                "client {}: accepted and never closed",
                client.id
            );
            assert!(entry.opened.is_some() || client.log.opened.is_none());
            let crowded = self.setting.crowded && client.refusal == Some(503);
            let expected = match client.temper.opening {
                Opening::Proper => client.refusal.is_none(),
                Opening::Refused => client.refusal.is_none_or(|status| status == 403),
                Opening::Garbage => client.refusal.is_none_or(|status| status == 400),
                Opening::Partial => client.refusal.is_none_or(|status| status == 408),
            };
            assert!(
                expected || crowded,
                "client {} was refused: {:?}",
                client.id,
                client.refusal
            );
            if let Some((_, reason)) = entry.closed {
                self.check_reason(client, reason);
            }
        }
        order::check(&Outcome {
            clients: &self.clients,
            entries: &journal.clients,
            rooms: self.setting.rooms,
            complete: settled.contains(&0),
            settled,
        });
    }

    /// A connection is closed only for what somebody did.
    fn check_reason(&self, client: &Client, reason: CloseReason) {
        let plausible = match reason {
            CloseReason::SlowReader => self.setting.tight,
            CloseReason::Protocol(_) => client.temper.ending == Ending::Garbage,
            CloseReason::Draining => self.draining,
            CloseReason::TimedOut => self.setting.hasty || client.temper.ending == Ending::Vanish,
            CloseReason::Peer(_) | CloseReason::Lost | CloseReason::Application(_) => {
                client.id != 0 || self.is_excused()
            }
        };
        assert!(plausible, "client {} was closed: {reason:?}", client.id);
    }

    /// The witness ends by itself, too.
    fn is_excused(&self) -> bool {
        self.settled || self.draining
    }
}

impl Setting {
    fn draw(random: &mut Random) -> Setting {
        Setting {
            rooms: random.between(1, 4),
            lane_letters: random.pick(&[2, 2, 3, 4, 64]),
            tight: random.chance(200),
            crowded: random.chance(100),
            spurious_permille: random.pick(&[0, 0, 10]),
            drains_early: random.chance(100),
            drains_late: random.chance(400),
            hasty: random.chance(300),
        }
    }

    fn config(&self, shards: usize, clients: usize) -> Config {
        let milliseconds =
            |calm, hasty| Duration::from_millis(if self.hasty { hasty } else { calm });
        let config = Config {
            shards,
            connections_max: if self.crowded {
                clients.div_ceil(2).max(shards)
            } else {
                10_000
            },
            message_bytes_max: 4096,
            rooms_per_connection_max: self.rooms,
            room_name_bytes_max: ROOM_NAME_BYTES_MAX,
            outbox_bytes_max: if self.tight { 4096 + 1024 } else { 64 << 20 },
            outbox_frames_max: if self.tight { 16 } else { 1 << 20 },
            handshake_timeout: Duration::from_secs(5),
            heartbeat: milliseconds(25_000, 2_000),
            pong_timeout: milliseconds(100_000, 4_000),
            idle_timeout: milliseconds(200_000, 10_000),
            close_timeout: Duration::from_secs(5),
            ..Config::default()
        };
        config.check().expect("a configuration within its limits");
        config
    }
}

/// Steps that no run comes near.
const STEPS_MAX: Step = 3_000_000;
/// From here on a run may drain early.
const DRAIN_STEP: Step = 300;
/// A deadline as close as this belongs to a shard that found a lane full.
const RETRY_MS: Millis = 2;
/// No deadline of the engine is so far away.
const FOREVER_MS: Millis = 24 * 3600 * 1000;
/// Longer than every timeout of a run together.
const REST_MS: Millis = 600_000;
