//! One run: shards, clients, handlers and the clock of those in the background, one step after the
//! other as the seed says.

use crate::application::{Admits, Books, Swap, application};
use crate::client::{Client, Scene, Stage, count};
use crate::kinds::ROOMS;
use shardcast::{Handle, Service};
use shardcast_engine::driver::Millis;
use shardcast_engine::driver::sim::{Faults, Random, SimDriver, Trace, World};
use shardcast_engine::lane::{self, LaneCapacity};
use shardcast_engine::shard::{ProcessCounts, Setup, Shard, TokenKey};
use shardcast_engine::{Config, Handle as Engine, Listener, ShardCounters};
use shardcast_protocol::dialect::Dialect;
use shardcast_seeds::Tally;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
/// Everything that one seed decided.
struct Simulation {
    world: Rc<RefCell<World>>,
    shards: Vec<Shard<Service, SimDriver>>,
    clients: Vec<Client>,
    books: Arc<Books>,
    swap: Swap,
    runtime: Runtime,
    /// Keeps the way in open, as an embedding program does.
    handle: Handle,
    counters: Vec<Arc<ShardCounters>>,
    random: Random,
    tally: Tally,
    last_n: u64,
    hash: u64,
}

/// Runs one seed to its end and checks it: what happened, and a hash of all that clients heard.
pub(crate) fn run(seed: u64, traced: bool) -> (Tally, u64) {
    let mut simulation = Simulation::new(seed, traced);
    simulation.begin();
    simulation.go_on();
    simulation.settle();
    simulation.end();
    simulation.check();
    (simulation.tally, simulation.hash)
}

fn config(shards: usize) -> Config {
    Config {
        shards,
        connections_max: 1000,
        listeners: vec![Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)))],
        rooms_per_connection_max: ROOMS,
        ..Config::default()
    }
}

impl Simulation {
    fn new(seed: u64, traced: bool) -> Simulation {
        let mut random = Random::new(seed ^ 0x000a_9911);
        let shards = random.between(1, 3);
        let mut faults = Faults::draw(&mut random);
        let count = random.pick(&[2, 4, 8, 16]);
        // Nobody waits in the backlog.
        faults.slots = count + 1;
        let lane_messages = random.pick(&[2, 3, 4, 64, 2000]);
        let note = format!(
            "{shards} shards, {count} clients, {lane_messages} messages a lane, {faults:?}"
        );
        let trace = match traced {
            true => Trace::Printed,
            false => Trace::Silent,
        };
        let world = World::new(shards, faults, random.fork(), trace);
        world.borrow().trace(|| note);
        let mut config = config(shards);
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let books = Arc::new(Books::default());
        // Not drawn, so that seeds keep their runs.
        let admits = match seed % 3 {
            2 => Admits::InBackground,
            _ => Admits::OnShard,
        };
        let app = application(&books, admits);
        let swap = Swap::new(&app, &books);
        let app = app.shards(&mut config, runtime.handle().clone());
        let mailboxes = lane::mesh(shards, LaneCapacity(lane_messages), seed);
        let handle = app.attach(Engine::to(&mailboxes));
        let admission = ProcessCounts::new(config.connections_max);
        let counters: Vec<Arc<ShardCounters>> = (0..shards).map(|_| Arc::default()).collect();
        let shard = |(index, mailbox)| {
            let setup = Setup {
                config: &config,
                mailbox,
                token_key: Some(TokenKey::fixed()),
                admission: admission.clone(),
                counters: Arc::clone(&counters[index]),
            };
            Shard::new(setup, app.shard(index as u16), World::driver(&world, index))
        };
        let made = mailboxes.into_iter().enumerate().map(shard).collect();
        let witness = Client::witness(random.pick(&Dialect::OWN), random.below(shards));
        let others = (1..=count).map(|id| Client::draw(id, &mut random, shards));
        let clients = std::iter::once(witness).chain(others).collect();
        Simulation {
            world,
            shards: made,
            clients,
            books,
            swap,
            runtime,
            handle,
            counters,
            random,
            tally: Tally::new(),
            last_n: 0,
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// The witness is in all rooms before anybody else is there.
    fn begin(&mut self) {
        let others = self.clients.split_off(1);
        self.until("the witness is there", |simulation| {
            simulation.clients[0].stage == Stage::Open
        });
        self.with(0, |client, scene| client.join_all(scene));
        self.until("the witness is in all rooms", |simulation| {
            simulation.clients[0].is_served()
        });
        self.clients.extend(others);
    }

    fn go_on(&mut self) {
        for _ in 0..STEPS {
            match self.random.below(100) {
                0..35 => {
                    let shard = self.random.below(self.shards.len());
                    let runs = self.world.borrow().is_runnable(shard);
                    if runs || self.random.chance(50) {
                        self.tick(shard);
                    }
                }
                35..85 => {
                    let client = self.random.below(self.clients.len());
                    self.with(client, |client, scene| client.act(scene, false));
                }
                85..97 => {
                    let millis = self.random.pick(&[0, 0, 1, 3]);
                    self.pass(millis);
                }
                97..99 => {
                    let (removes, on_shard) = (self.random.chance(300), self.random.chance(500));
                    self.swap.change(removes, on_shard);
                }
                _ => self.speak(),
            }
        }
    }

    /// Somebody outside of all connections says something.
    fn speak(&mut self) {
        let data = serde_json::json!({ "n": null });
        let room = format!("r{}", self.random.below(3));
        // A full queue is an answer, too.
        let _ = self.handle.to(&room).try_emit("outside", &data);
        self.pass(0);
    }

    /// Nobody asks any more: whoever waits for an answer gets it.
    fn settle(&mut self) {
        self.until("everybody is served", |simulation| {
            simulation.clients.iter().all(Client::is_served)
        });
        assert_eq!(
            self.clients[0].stage,
            Stage::Open,
            "nobody closes the witness"
        );
        // Whatever would be said twice has time for it, and what was said has time to arrive.
        for _ in 0..100 {
            self.round();
        }
        self.until("the network is empty", |simulation| {
            simulation.world.borrow().ripe_at().is_none()
        });
        self.round();
        self.shards
            .iter()
            .for_each(|shard| shard.check_invariants());
    }

    /// Everybody goes, and every deadline passes.
    fn end(&mut self) {
        for client in 0..self.clients.len() {
            self.with(client, |client, scene| client.drop_line(scene));
        }
        self.until("everybody is gone", |simulation| {
            let world = simulation.world.borrow();
            (0..simulation.shards.len()).all(|shard| world.occupied(shard) == 0)
        });
        for _ in 0..100 {
            self.round();
        }
    }

    /// Rounds until it is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Simulation) -> bool) {
        for _ in 0..ROUNDS_MAX {
            if is_so(self) {
                return;
            }
            self.round();
        }
        let awaited: Vec<String> = self.clients.iter().map(Client::awaited).collect();
        panic!("{what}: never. {awaited:#?}");
    }

    /// Everybody acts once, and a millisecond passes.
    fn round(&mut self) {
        for client in 0..self.clients.len() {
            self.with(client, |client, scene| client.act(scene, true));
        }
        (0..self.shards.len()).for_each(|shard| self.tick(shard));
        self.pass(1);
    }

    fn tick(&mut self, shard: usize) {
        self.shards[shard].tick();
        if self.random.chance(20) {
            self.shards[shard].check_invariants();
        }
    }

    /// Time passes for shards and for handlers in the background, who run as far as they can.
    /// Nobody rings at the shards for what they say, so all are ticked.
    fn pass(&mut self, millis: Millis) {
        let now = self.world.borrow().now();
        self.world.borrow_mut().advance_to(now + millis);
        self.runtime.block_on(async {
            tokio::time::advance(Duration::from_millis(millis)).await;
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
        (0..self.shards.len()).for_each(|shard| self.tick(shard));
    }

    fn with(&mut self, client: usize, with: impl FnOnce(&mut Client, &mut Scene<'_>)) {
        let mut scene = Scene {
            world: &mut self.world.borrow_mut(),
            random: &mut self.random,
            tally: &mut self.tally,
            last_n: &mut self.last_n,
            version: self.swap.version,
            hash: &mut self.hash,
        };
        with(&mut self.clients[client], &mut scene);
    }

    /// As the shards have counted.
    fn panics(&self) -> u64 {
        self.counters
            .iter()
            .map(|counters| counters.panics.get())
            .sum()
    }

    fn check(&mut self) {
        let Books {
            panics,
            background_panics,
            befores,
            afters,
            opened,
            disconnected,
            alive,
        } = &*self.books;
        self.shards.iter().for_each(|shard| shard.check_quiescent());
        self.world.borrow().assert_quiescent();
        for shard in &mut self.shards {
            let tasks = shard.application().background_calls();
            assert_eq!(tasks, 0, "background handlers of clients who are gone");
            let arrivals = shard.application().background_admissions();
            assert_eq!(arrivals, 0, "admissions of clients who are gone");
        }
        assert_eq!(alive.load(Relaxed), 0, "futures of handlers are alive");
        assert_eq!(befores.load(Relaxed), afters.load(Relaxed), "middleware");
        assert_eq!(opened.load(Relaxed), disconnected.load(Relaxed), "hooks");
        // Those of background handlers are not heard of by the shard when the client has left in
        // the moment between.
        let counted = self.panics();
        let (on_shards, behind) = (panics.load(Relaxed), background_panics.load(Relaxed));
        assert!(
            (on_shards..=on_shards + behind).contains(&counted),
            "{counted} panics are counted, {on_shards} on shards and {behind} behind them"
        );
        count(&mut self.tally, "panics", counted);
        let counters = self.counters.iter();
        let deferred = counters.map(|counters| counters.admissions_deferred.get());
        count(&mut self.tally, "admissions_deferred", deferred.sum());
        count(&mut self.tally, "panics_behind", behind);
        count(&mut self.tally, "panics_lost", on_shards + behind - counted);
        self.check_order();
    }

    /// Everybody has heard of each room what the witness has heard, in its order, each once.
    fn check_order(&self) {
        let (witness, others) = self.clients.split_first().expect("the witness");
        assert_eq!(witness.stage, Stage::Over);
        for room in (0..ROOMS).map(|room| format!("r{room}")) {
            let order = witness.news.get(&room).map_or(&[][..], Vec::as_slice);
            let places = order.iter().enumerate().map(|(place, n)| (*n, place));
            let places: BTreeMap<u64, usize> = places.collect();
            assert_eq!(places.len(), order.len(), "{room}: something came twice");
            for client in others {
                let news = client.news.get(&room).map_or(&[][..], Vec::as_slice);
                let heard: Vec<usize> = news.iter().map(|n| places[n]).collect();
                assert!(
                    heard.is_sorted_by(|before, after| before < after),
                    "{room} in another order: {heard:?}, {}",
                    client.awaited()
                );
            }
        }
    }
}

const STEPS: usize = 5000;
/// Milliseconds, more than every delay of a run together.
const ROUNDS_MAX: usize = 20_000;
