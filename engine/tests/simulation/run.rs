//! One run: shards, clients and the world they share, one step after the other as the seed says.

mod outside;
mod tally;
mod watch;

use super::application::{Fate, Journal, Scripted, Step};
use super::client::{Client, Scene, Stage};
use super::order::{self, Outcome};
use super::setting::Setting;
use super::temper::{Ending, HABITS, Habit, Opening, Temper};
use super::words::Ask;
use outside::Outside;
use shardcast_engine::driver::Millis;
use shardcast_engine::driver::sim::{Faults, Line, Random, SimDriver, Trace, World};
use shardcast_engine::lane::{self, LaneCapacity};
use shardcast_engine::shard::{ProcessCounts, Setup, Shard, TokenKey};
use shardcast_engine::{CloseReason, Deadline, Handle, ShardCounters, StopAccept};
use shardcast_seeds::Tally;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use watch::Watch;

/// Everything that one seed decided.
struct Simulation {
    world: Rc<RefCell<World>>,
    shards: Vec<Shard<Scripted, SimDriver>>,
    clients: Vec<Client>,
    journal: Rc<RefCell<Journal>>,
    random: Random,
    setting: Setting,
    counters: Vec<Arc<ShardCounters>>,
    outside: Outside,
    watch: Watch,
    /// The network delays bytes: a client may not even hear a ping in time.
    slow: bool,
    step: Step,
    settled: bool,
    draining: bool,
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
/// Runs one seed to its end and checks it.
pub(crate) fn run(seed: u64, traced: bool) -> Tally {
    Simulation::new(seed, 0, traced).run()
}

/// The same with more members of one room on a shard than it serves in one chunk.
pub(crate) fn run_crowd(seed: u64) -> Tally {
    Simulation::new(seed, CROWD_CLIENTS, false).run()
}

/// The witness and the others, who come in the first moments.
fn clients(random: &mut Random, shards: usize, tight: bool, fashion: Option<Habit>) -> Vec<Client> {
    let line = if tight { Line::Perfect } else { Line::Lasting };
    let witness = Client::new(0, Temper::witness(), random.below(shards), 0, line);
    let count = random.pick(&[2, 4, 12, 30]);
    let others = (1..count).map(|id| {
        let (shard, starts_at) = (random.below(shards), random.below(200) as Millis);
        let temper = Temper::draw(random, fashion);
        Client::new(id, temper, shard, starts_at, Line::Faulty)
    });
    std::iter::once(witness).chain(others).collect()
}

/// Adds clients who join the first room and stay.
fn listen(clients: &mut Vec<Client>, random: &mut Random, shards: usize, count: usize) {
    let start = clients.len();
    clients.extend((start..start + count).map(|id| {
        let (shard, starts_at) = (random.below(shards), random.below(200) as Millis);
        Client::new(id, Temper::listener(), shard, starts_at, Line::Lasting)
    }));
}

/// Adds the one who is no client, and returns its number.
fn join_outside(clients: &mut Vec<Client>) -> usize {
    let id = clients.len();
    let mut outside = Client::new(id, Temper::outside(), 0, 0, Line::Lasting);
    outside.stage = Stage::Over;
    clients.push(outside);
    id
}

fn setting_of(seed: u64, random: &mut Random) -> Setting {
    let mut setting = Setting::draw(random);
    // Not drawn, so that seeds keep their runs.
    setting.compressed = seed.is_multiple_of(3);
    setting.impatient = seed % 5 == 4;
    setting.encodings = 1 + (seed / 3 % 4) as usize;
    setting
}

fn trace(traced: bool) -> Trace {
    match traced {
        true => Trace::Printed,
        false => Trace::Silent,
    }
}

impl Simulation {
    fn new(seed: u64, listeners: usize, traced: bool) -> Simulation {
        let shards = shards_of(seed);
        let mut random = Random::new(seed ^ 0x5eed);
        let mut setting = setting_of(seed, &mut random);
        let mut faults = Faults::draw(&mut random);
        // Now and then all want the same, and much of it; then with room for it in one tick as
        // often as not.
        let fashion = random.chance(150).then(|| random.pick(&HABITS));
        if fashion.is_some() && random.chance(500) {
            setting.lane_messages = 2000;
            faults = Faults::none();
        }
        if listeners > 0 {
            // A chunk ends at a number of transmits; who is slow has none.
            faults.short_permille = 0;
            faults.socket_buffer_bytes = 64 << 10;
            setting.secure = false;
        }
        let mut clients = clients(&mut random, shards, setting.tight, fashion);
        listen(&mut clients, &mut random, shards, listeners);
        let outside = join_outside(&mut clients);
        for client in &mut clients {
            client.encoding = client.id % setting.encodings;
        }
        // Those who stay must not keep the others in the backlog for ever.
        let stay = clients.iter().filter(|client| client.temper.stays);
        faults.slots = faults.slots.max(2 + stay.count());
        // One more for the straggler.
        let journal = Journal::of(clients.len() + 1);
        let journal = Rc::new(RefCell::new(journal));
        let world = World::new(shards, faults.clone(), random.fork(), trace(traced));
        let count = clients.len();
        let notice = || format!("{shards} shards, {count} clients, {setting:?}, {faults:?}");
        world.borrow().trace(notice);
        let config = setting.config(shards, clients.len());
        let counters: Vec<Arc<ShardCounters>> = (0..shards).map(|_| Arc::default()).collect();
        let admission = ProcessCounts::new(config.connections_max);
        let mailboxes = lane::mesh(shards, LaneCapacity(setting.lane_messages), seed);
        let handle = Handle::to(&mailboxes);
        let shard = |(index, mailbox)| {
            let setup = Setup {
                config: &config,
                mailbox,
                token_key: Some(TokenKey::fixed()),
                admission: admission.clone(),
                counters: Arc::clone(&counters[index]),
            };
            let application = Scripted::new(Rc::clone(&journal));
            let mut shard = Shard::new(setup, application, World::driver(&world, index));
            slow_down(&mut shard, seed, listeners);
            shard
        };
        let mut shards: Vec<_> = mailboxes.into_iter().enumerate().map(shard).collect();
        Simulation {
            watch: Watch::new(&mut shards),
            world,
            shards,
            clients,
            journal,
            random,
            setting,
            counters,
            outside: Outside::new(handle, outside),
            slow: faults.delay_permille > 0,
            step: 0,
            settled: false,
            draining: false,
        }
    }

    fn run(mut self) -> Tally {
        self.begin();
        self.go_on(Simulation::is_settled);
        let settled = self.open_clients();
        self.finish();
        self.go_on(Simulation::is_over);
        self.rest();
        self.check_nothing_left();
        self.serve_straggler();
        self.check(settled);
        self.check_watch();
        self.tally()
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
            let Some(actor) = self.next_actor() else {
                if !self.pass_time(&done) {
                    return;
                }
                continue;
            };
            if self.random.chance(self.setting.spurious_permille) {
                let shard = self.random.below(self.shards.len());
                self.tick(shard);
            }
            let may_drain = self.setting.drains_early && !self.settled && self.step > DRAIN_STEP;
            if may_drain && self.random.chance(20) {
                self.drain();
            }
            if self.random.chance(15) {
                self.speak_outside();
            }
            if self.has_waiting() && self.random.chance(50) {
                self.admit_one();
            }
            if self.random.chance(10) {
                let now = self.world.borrow().now();
                self.world.borrow_mut().advance_to(now + 1);
            }
            match actor {
                Actor::Shard(shard) => self.tick(shard),
                Actor::Client(client) => self.with_client(client, Client::act),
            }
        }
    }

    /// Who acts now; `None` when nobody can. A few guesses first: looking at everybody takes long
    /// in a crowd.
    fn next_actor(&mut self) -> Option<Actor> {
        for _ in 0..8 {
            let actor = match self.random.chance(300) {
                true => Actor::Shard(self.random.below(self.shards.len())),
                false => Actor::Client(self.random.below(self.clients.len())),
            };
            if self.can_act(actor) {
                return Some(actor);
            }
        }
        let shards = (0..self.shards.len()).map(Actor::Shard);
        let everybody = shards.chain((0..self.clients.len()).map(Actor::Client));
        let actors: Vec<Actor> = everybody.filter(|actor| self.can_act(*actor)).collect();
        (!actors.is_empty()).then(|| self.random.pick(&actors))
    }

    fn can_act(&self, actor: Actor) -> bool {
        let world = self.world.borrow();
        match actor {
            Actor::Shard(shard) => world.is_runnable(shard),
            Actor::Client(client) => self.clients[client].is_ready(&world, self.settled),
        }
    }

    /// Nothing can happen before time passes: lets it pass until something can; false when that
    /// need not be.
    fn pass_time(&mut self, done: &impl Fn(&Simulation) -> bool) -> bool {
        // Of those who wait, most are decided on before their time passes.
        if self.has_waiting() && self.random.chance(700) {
            self.admit_one();
            return true;
        }
        let world = self.world.borrow();
        let now = world.now();
        let network = world.ripe_at();
        let deadlines = (0..self.shards.len())
            .filter_map(|shard| world.sleeps_until(shard))
            .min();
        // A shard that could not post looks again very soon; nothing is pending once that is
        // over, unless it was lost or nobody was woken for it.
        let quiet = network.is_none() && deadlines.is_none_or(|at| at > now + RETRY_MS);
        if quiet {
            self.clients
                .iter()
                .for_each(|client| client.assert_served(&world));
            self.shards
                .iter()
                .for_each(|shard| shard.check_invariants());
            Shard::check_together(&self.shards);
            self.watch.check(&self.shards);
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
        self.watch.hear(shard);
        self.hear_outside();
        if self.random.chance(50) {
            self.shards[shard].check_invariants();
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
            secure: self.setting.secure,
            compressed: self.setting.compressed,
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
            for shard in &mut self.shards {
                shard.start_drain(StopAccept::Release);
            }
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

    fn check_nothing_left(&self) {
        for shard in &self.shards {
            shard.check_quiescent();
            assert!(!self.draining || shard.is_drained());
        }
        self.world.borrow().assert_quiescent();
    }

    /// After all that, one more is served as if nothing had been; unless the server drained.
    fn serve_straggler(&mut self) {
        let id = self.clients.len();
        let shard = self.random.below(self.shards.len());
        let straggler = Client::new(id, Temper::straggler(), shard, 0, Line::Lasting);
        self.clients.push(straggler);
        self.settled = true;
        self.go_on(Simulation::is_over);
        let opened = self.clients[id].log.opened.is_some();
        // A read buffer that was used before may alone be more than a cramped shard has.
        let cramped = self.setting.cramped && self.clients[id].refusal == Some(503);
        assert_eq!(
            opened,
            !self.draining && !cramped,
            "the straggler, {:?}",
            self.clients[id].refusal
        );
        self.rest();
        self.check_nothing_left();
    }

    fn check(&self, mut settled: BTreeSet<usize>) {
        self.check_outside(&settled);
        // What it said is not lost, either.
        settled.insert(self.outside.id);

        let journal = self.journal.borrow();
        for (client, entry) in self.clients.iter().zip(&journal.clients) {
            assert_eq!(
                entry.connected.is_some(),
                entry.closed.is_some(),
                "client {}: accepted and never closed",
                client.id
            );
            assert!(entry.opened.is_some() || client.log.opened.is_none());
            let full = self.setting.crowded || self.setting.cramped;
            let crowded = full && client.refusal == Some(503);
            let expected = match client.temper.opening {
                Opening::Proper => match (client.refusal, Fate::of(client.id)) {
                    (None, _) => true,
                    (Some(403), Fate::Refused) | (Some(500), Fate::Panic) => true,
                    // Too late, too many, or the server drained.
                    (Some(503 | 504), fate) => fate != Fate::Prompt,
                    (Some(_), _) => false,
                },
                Opening::Refused => client.refusal.is_none_or(|status| status == 403),
                Opening::Panic => client.refusal.is_none_or(|status| status == 500),
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
        // The straggler came after the witness.
        let clients = &self.clients[..self.clients.len() - 1];
        order::check(&Outcome {
            clients,
            entries: &journal.clients,
            rooms: self.setting.rooms,
            complete: settled.contains(&0),
            settled,
        });
    }

    /// A connection is closed only for what somebody did.
    fn check_reason(&self, client: &Client, reason: CloseReason) {
        if let (CloseReason::Protocol(error), Some(code)) = (reason, client.close_code) {
            assert_eq!(error.close_code(), code, "client {}", client.id);
            assert_eq!(
                Some(code.get()),
                client.expected_code,
                "client {}: {error:?}",
                client.id
            );
        }
        let plausible = match reason {
            CloseReason::SlowReader => self.setting.tight,
            CloseReason::Protocol(_) => client.temper.ending == Ending::Garbage,
            CloseReason::Draining => self.draining,
            CloseReason::TimedOut(deadline) => {
                let silent = matches!(
                    client.temper.ending,
                    Ending::Vanish | Ending::Unfinished | Ending::Fragment
                );
                let open = matches!(
                    deadline,
                    Deadline::Frame
                        | Deadline::Message
                        | Deadline::Pong
                        | Deadline::Progress
                        | Deadline::Idle
                );
                open && (self.setting.hasty || self.slow || silent)
            }
            CloseReason::OverBudget => self.setting.cramped,
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

/// Of so many seeds one has slow shards: fan-outs that last, and messages that wait for them,
/// without a crowd.
const SLOW_SEEDS: u64 = 5;

fn slow_down(shard: &mut Shard<Scripted, SimDriver>, seed: u64, listeners: usize) {
    if seed % SLOW_SEEDS == 1 && listeners < CROWD_CLIENTS {
        shard.slow_down(4 + 4 * (seed / SLOW_SEEDS % 4) as usize, 1);
    }
}

/// On one shard more than its 1,024 transmits a turn.
const CROWD_CLIENTS: usize = 1300;
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
