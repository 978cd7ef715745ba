//! One run: shards, clients and the world they share, one step after the other as the seed says.

use crate::application::{Scripted, USER_CLASS, room_name, user_of};
use crate::client::{Client, Scene, Temper};
use crate::sequencer::SkippingSequencer;
use crate::truth::Truth;
use shardcast_engine::driver::Millis;
use shardcast_engine::driver::sim::{Faults, Random, SimDriver, Trace, World};
use shardcast_engine::lane::{self, LaneCapacity};
use shardcast_engine::shard::{ProcessCounts, Setup, Shard};
use shardcast_engine::{
    AckOptions, Answer, Config, Handle, KeptFor, LogOptions, LogOrder, Newcomers, PresenceOf,
    PresenceOptions, PresenceQuery, PresenceState, PresentMember, Sequencer, ShardCounters,
    SlowReader,
};
use shardcast_seeds::Tally;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

pub(crate) const ROOMS: usize = 2;
/// Each is two of the first four clients.
const USERS_MAX: usize = 2;
/// Longer than the longest time in which somebody may come back.
const GRACE_MS_MAX: Millis = 40_000;
const STEPS_MAX: u64 = 2_000_000;
/// A deadline as close as this belongs to a shard that found a lane full.
const RETRY_MS: Millis = 2;

fn faults(random: &mut Random) -> Faults {
    let mut faults = Faults::draw(random);
    faults.broken_permille = faults.broken_permille.min(1);
    faults.socket_buffer_bytes = random.pick(&[600, 3_000, 64 << 10]);
    faults.slots = 64;
    faults
}

/// Who gives the rooms their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Home,
    Outside,
}

struct Simulation {
    world: Rc<RefCell<World>>,
    shards: Vec<Shard<Scripted, SimDriver>>,
    clients: Vec<Client>,
    truth: Rc<RefCell<Truth>>,
    counters: Vec<Arc<ShardCounters>>,
    random: Random,
    handle: Handle,
    presence: Vec<PresenceOptions>,
    /// Where the rooms are ordered from outside.
    sequencer: Option<SkippingSequencer>,
    settling: bool,
}

/// What is not acknowledged comes again, where nothing is left out.
fn with_acks(random: &mut Random, options: LogOptions) -> LogOptions {
    let acks = AckOptions {
        timeout: Duration::from_millis(random.pick(&[100, 500, 3_000])),
        attempts_max: random.pick(&[1, 3, 100]),
    };
    let with_acks = LogOptions {
        acks: Some(acks),
        ..options
    };
    let config = Config {
        logs: vec![with_acks],
        ..Config::default()
    };
    match random.chance(500) && config.check().is_ok() {
        true => with_acks,
        false => options,
    }
}

/// What waits for users without connections.
fn user_log(random: &mut Random) -> LogOptions {
    LogOptions {
        publications_max: random.pick(&[2, 1_000]),
        ttl: Duration::from_secs(random.pick(&[1, 10_000])),
        epoch_ttl: Duration::from_secs(10_000),
        kept_for: KeptFor::Absent,
        ..LogOptions::default()
    }
}

fn log_options(random: &mut Random) -> LogOptions {
    let options = LogOptions {
        publications_max: random.pick(&[3, 20, 200, 10_000]),
        bytes_max: random.pick(&[4 << 10, 64 << 10, 4 << 20]),
        ttl: Duration::from_secs(random.pick(&[1, 10, 1_000])),
        epoch_ttl: Duration::from_secs(random.pick(&[0, 0, 10_000])),
        idempotency: Duration::from_secs(3_600),
        newcomers: random.pick(&[
            Newcomers::Nothing,
            Newcomers::Newest,
            Newcomers::NewestByKey,
        ]),
        slow_reader: random.pick(&[
            SlowReader::Disconnect,
            SlowReader::DropOldest,
            SlowReader::DropNewest,
            SlowReader::Conflate,
            SlowReader::CatchUp,
        ]),
        ..LogOptions::default()
    };
    with_acks(random, options)
}

/// The rooms' places come from outside, and skip.
fn order_from_outside(config: &mut Config, random: &mut Random) -> SkippingSequencer {
    /// More than there are publications.
    const WAITING_MAX: usize = 100_000;
    let (way, reader) = Sequencer::new(WAITING_MAX, usize::MAX);
    config.sequencer = Some(way);
    for log in &mut config.logs[..ROOMS] {
        log.order = LogOrder::Sequencer;
        // One that ends while somebody waits for it has them refused.
        log.epoch_ttl = Duration::from_secs(10_000);
    }
    SkippingSequencer::new(reader, random)
}

fn presence_options(random: &mut Random) -> PresenceOptions {
    PresenceOptions {
        of: random.pick(&[PresenceOf::Connections, PresenceOf::Users]),
        grace: Duration::from_millis(random.pick(&[0, 100, 30_000])),
        events_members_max: random.pick(&[0, 2, 200]),
    }
}

fn temper(random: &mut Random) -> Temper {
    Temper {
        publishes: random.pick(&[0, 10, 60]),
        reconnects: random.pick(&[0, 1, 4]),
        stall_permille: random.pick(&[0, 50, 400]),
        stall_ms_max: random.pick(&[5, 300, 3_000]),
        padding_bytes_max: random.pick(&[10, 10, 2_000]),
        keys: random.pick(&[0, 2, 10]),
        late_ms: random.pick(&[0, 0, 200, 3_000]),
        acks_permille: random.pick(&[0, 300, 1_000]),
    }
}

impl Simulation {
    fn new(seed: u64, order: Order, traced: bool) -> Simulation {
        let mut random = Random::new(seed ^ 0x10f);
        let shards = random.pick(&[1, 2, 3, 5]);
        let trace = match traced {
            true => Trace::Printed,
            false => Trace::Silent,
        };
        let faults = faults(&mut random);
        let world = World::new(shards, faults, random.fork(), trace);
        let mut logs: Vec<LogOptions> = (0..ROOMS).map(|_| log_options(&mut random)).collect();
        logs.push(user_log(&mut random));
        let mut config = Config {
            shards,
            logs,
            user_log: Some(USER_CLASS),
            logs_max: 16,
            presence: (0..ROOMS).map(|_| presence_options(&mut random)).collect(),
            outbox_bytes_max: random.pick(&[Config::default().outbox_bytes_max, 5 << 10]),
            outbox_frames_max: random.pick(&[16, 4_096]),
            progress_timeout: Duration::from_secs(20),
            listeners: vec![shardcast_engine::Listener {
                message_bytes_max: 4 << 10,
                ..Config::default().listeners[0].clone()
            }],
            ..Config::default()
        };
        let sequencer = match order {
            Order::Home => None,
            Order::Outside => Some(order_from_outside(&mut config, &mut random)),
        };
        config.check().expect("a configuration within its limits");
        if random.chance(200) {
            // Less than a server may have, so that two rooms use it up.
            config.logs_bytes_max = shards * (8 << 10);
        }
        world.borrow().trace(|| format!("{config:?}"));
        let lanes = LaneCapacity(random.pick(&[2, 4, 64, 2_000]));
        let truth: Rc<RefCell<Truth>> = Rc::default();
        let counters: Vec<Arc<ShardCounters>> = (0..shards).map(|_| Arc::default()).collect();
        let admission = ProcessCounts::new(config.connections_max);
        let mailboxes = lane::mesh(shards, lanes, seed);
        let handle = Handle::to(&mailboxes);
        let shard = |(index, mailbox)| {
            let setup = Setup {
                config: &config,
                mailbox,
                token_key: None,
                admission: admission.clone(),
                counters: Arc::clone(&counters[index]),
            };
            let application = Scripted::new(Rc::clone(&truth));
            Shard::new(setup, application, World::driver(&world, index))
        };
        let shards = mailboxes.into_iter().enumerate().map(shard).collect();
        let count = random.pick(&[2, 4, 10]);
        let client = |id| Client::new(id, random.pick(&[0, 0, 1]), temper(&mut random));
        let clients = (0..count).map(client).collect();
        Simulation {
            world,
            shards,
            clients,
            truth,
            counters,
            random,
            handle,
            presence: config.presence,
            sequencer,
            settling: false,
        }
    }

    fn run(mut self) -> Tally {
        self.go_on(Simulation::is_done);
        self.settling = true;
        if let Some(sequencer) = &mut self.sequencer {
            sequencer.look_again();
        }
        self.go_on(|simulation| simulation.clients.iter().all(Client::is_open));
        self.check_presence();
        for client in &mut self.clients {
            client.check_end(&mut self.truth.borrow_mut());
        }
        for client in &mut self.clients {
            client.leave(&mut self.world.borrow_mut());
        }
        self.go_on(|_| true);
        self.pass(GRACE_MS_MAX);
        for shard in &self.shards {
            shard.check_quiescent();
        }
        let is_cut = |client: usize| self.clients[client].is_cut;
        self.truth.borrow_mut().check_users(is_cut);
        self.truth.borrow_mut().check_all();
        let mut tally = self.truth.borrow().tally.clone();
        for counters in &self.counters {
            for (name, count) in [
                ("fell_behind", counters.fell_behind.get()),
                ("caught_up", counters.caught_up.get()),
                ("closed_slow", counters.closed_slow.get()),
                ("acknowledged", counters.acknowledged.get()),
                ("redelivered", counters.redelivered.get()),
                ("offline_queued", counters.offline_queued.get()),
            ] {
                *tally.entry(name).or_default() += count;
            }
        }
        tally
    }

    /// So much time passes.
    fn pass(&mut self, ms: Millis) {
        let end = self.world.borrow().now() + ms;
        while self.world.borrow().now() < end {
            let world = self.world.borrow();
            let deadlines = (0..self.shards.len()).filter_map(|shard| world.sleeps_until(shard));
            let next = deadlines.min().unwrap_or(end).clamp(world.now() + 1, end);
            drop(world);
            self.world.borrow_mut().advance_to(next);
            self.go_on(|_| true);
        }
    }

    /// Who is there, page by page, is who is in each room, and nobody else.
    fn check_presence(&mut self) {
        self.pass(GRACE_MS_MAX);
        for room in 0..ROOMS {
            let mut named = Vec::new();
            let mut after = None;
            loop {
                let limit = 3;
                let (sender, answer) = mpsc::sync_channel(1);
                let reply = Box::new(move |answer| sender.send(answer).expect("it is awaited"));
                let asked =
                    self.handle
                        .presence(&room_name(room), PresenceQuery { after, limit }, reply);
                asked.expect("nobody else asks");
                for shard in &mut self.shards {
                    shard.tick();
                }
                self.go_on(|_| true);
                let Ok(Answer::Present(page)) = answer.recv() else {
                    panic!("no answer");
                };
                named.extend(page.page);
                match page.next {
                    None => break,
                    next => after = next,
                }
            }
            self.check_members(room, &named);
        }
    }

    fn check_members(&self, room: usize, named: &[PresentMember]) {
        assert!(
            named
                .iter()
                .all(|member| member.state == PresenceState::Here),
            "who was away has gone: {named:?}"
        );
        let inside = self.clients.iter().filter(|client| client.is_in(room));
        let mut expected: Vec<Option<String>> = inside.map(|client| user_of(client.id)).collect();
        if self.presence[room].of == PresenceOf::Users {
            let mut seen = BTreeSet::new();
            expected.retain(|user| user.is_none() || seen.insert(user.clone()));
        }
        let users = named.iter();
        let users = users.map(|member| member.user.as_deref().map(str::to_owned));
        let mut users: Vec<Option<String>> = users.collect();
        users.sort();
        expected.sort();
        assert_eq!(users, expected, "room {room}");
    }

    fn is_done(&self) -> bool {
        self.clients.iter().all(Client::is_done)
    }

    /// Steps until `done`, which is asked whenever nothing can happen without time passing.
    fn go_on(&mut self, done: impl Fn(&Simulation) -> bool) {
        for _ in 0..STEPS_MAX {
            if self.random.chance(10) {
                let now = self.world.borrow().now();
                self.world.borrow_mut().advance_to(now + 1);
            }
            if self.step() {
                continue;
            }
            if self.is_quiet() {
                self.shards
                    .iter()
                    .for_each(|shard| shard.check_invariants());
                Shard::check_together(&self.shards);
                if done(self) {
                    return;
                }
            }
            let world = self.world.borrow();
            let now = world.now();
            let deadlines = (0..self.shards.len()).filter_map(|shard| world.sleeps_until(shard));
            let clients = self
                .clients
                .iter()
                .filter_map(|client| client.ready_at(now));
            let next = clients.chain(world.ripe_at()).chain(deadlines).min();
            drop(world);
            let next = next.expect("a deadlock: nothing will ever happen again");
            self.world.borrow_mut().advance_to(next.max(now + 1));
        }
        panic!("the run does not come to an end");
    }

    /// Whether who orders the rooms from outside acted.
    fn sequence(&mut self) -> bool {
        let Some(sequencer) = &mut self.sequencer else {
            return false;
        };
        let mut truth = self.truth.borrow_mut();
        let acts = sequencer.act(&self.handle, &mut self.random, &mut truth);
        drop(truth);
        if acts {
            // Nothing else wakes them for what another thread asks.
            self.shards.iter_mut().for_each(Shard::tick);
        }
        acts
    }

    /// Whether somebody acted.
    fn step(&mut self) -> bool {
        if self.sequencer.is_some() && self.random.chance(100) && self.sequence() {
            return true;
        }
        let actors = self.shards.len() + self.clients.len();
        let start = self.random.below(actors);
        for actor in (start..actors).chain(0..start) {
            if actor < self.shards.len() {
                if self.world.borrow().is_runnable(actor) {
                    self.shards[actor].tick();
                    if self.random.chance(30) {
                        self.shards[actor].check_invariants();
                    }
                    return true;
                }
            } else {
                let users = USERS_MAX.min(self.clients.len() / 2);
                let client = &mut self.clients[actor - self.shards.len()];
                if client.is_ready(&self.world.borrow(), self.settling) {
                    let mut world = self.world.borrow_mut();
                    let mut truth = self.truth.borrow_mut();
                    client.act(&mut Scene {
                        world: &mut world,
                        random: &mut self.random,
                        truth: &mut truth,
                        rooms: ROOMS,
                        users,
                        shards: self.shards.len(),
                        settling: self.settling,
                    });
                    return true;
                }
            }
        }
        self.sequence()
    }

    /// Nothing is under way, and no shard looks again at once.
    fn is_quiet(&self) -> bool {
        let world = self.world.borrow();
        let shards = 0..self.shards.len();
        let soon = world.now() + RETRY_MS;
        let deadlines = shards.filter_map(|shard| world.sleeps_until(shard));
        world.ripe_at().is_none() && deadlines.min().is_none_or(|at| at > soon)
    }
}

/// Runs one seed to its end and checks it.
pub(crate) fn run(seed: u64, order: Order, traced: bool) -> Tally {
    Simulation::new(seed, order, traced).run()
}
