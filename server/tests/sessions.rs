//! Sessions in whole clusters of simulated shards, from a seed: clients are cut off at every point,
//! come back on any shard, also while the server still thinks that they are there, and go on.
//! What each keeps with the server is never lost, never forked, and what they hear of rooms is the
//! rooms' log from where they were, without a gap or a repeat.
//! `shardcast-seeds` says which seeds are run.

use serde_json::{Value, json};
use shardcast::namespace::{History, Namespace, Namespaces, PresenceOptions};
use shardcast::{App, Failure, Handle, Service, SessionOptions};
use shardcast_engine::driver::sim::{
    Faults, Line, Random, Read, SimDriver, SocketId, Trace, World,
};
use shardcast_engine::lane::{self, LaneCapacity};
use shardcast_engine::protocol::frame::{Header, OpCode};
use shardcast_engine::protocol::reader::{self, FrameEvent, ReadLimits, Role, Step};
use shardcast_engine::shard::{ProcessCounts, Setup, Shard, TokenKey};
use shardcast_engine::{Config, Handle as Engine, Listener};
use shardcast_seeds::{Printing, Seeds, Tally};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

const SEEDS: Seeds = Seeds {
    again: "cargo test -p shardcast --test sessions seeds",
    count: 200,
    happenings: &[
        "connects",
        "cuts",
        "ended",
        "confirmed",
        "resumed",
        "refused",
    ],
    least: 100,
};
const ROOMS: usize = 3;
const CLIENTS: usize = 4;
const STEPS: usize = 3_000;
/// Far less than sessions wait, in milliseconds.
const ROUNDS_MAX: usize = 20_000;

/// What the application keeps with a session.
struct Marks(Vec<u64>);

fn application() -> App {
    let kept = Namespace {
        history: Some(History {
            publications_max: 10_000,
            ttl: Duration::from_secs(86_400),
            ..History::default()
        }),
        presence_events: Some(PresenceOptions::default()),
        ..Namespace::default()
    };
    let namespaces = Namespaces::new(Namespace::default(), [("log", kept)]).expect("one");
    let sessions = SessionOptions {
        resume: Some(Duration::from_secs(3_600)),
        ..SessionOptions::default()
    };
    let app = App::new()
        .namespaces(namespaces)
        .sessions(sessions)
        .with_guessable_sessions()
        .on_opened(|cx| {
            cx.set_metadata(Marks(Vec::new()));
            Ok(())
        });
    let mark = |cx: &mut shardcast::Context<'_>, (number,): (u64,)| {
        let marks = cx.metadata_mut::<Marks>().expect("each has some");
        marks.0.push(number);
        Ok::<_, Failure>(marks.0.clone())
    };
    app.handlers().on("mark", mark).expect("a new type");
    app
}

/// A connection of a client.
struct Connection {
    socket: SocketId,
    /// `None` until it is welcomed.
    token: Option<String>,
    is_upgraded: bool,
    out: Vec<u8>,
    inbox: Vec<u8>,
    /// Tokens that it is still to show, and the one whose answer it waits for.
    to_show: Vec<String>,
    shown: Option<String>,
    /// All tokens were shown, and what it has is the client's session.
    is_confirmed: bool,
    /// The mark whose answer it waits for.
    mark: Option<u64>,
    joining: Option<String>,
    /// Where it is in rooms: the last offset that it heard.
    at: BTreeMap<String, u64>,
}

/// One client, over all its connections.
struct Client {
    random: Random,
    shards: usize,
    /// Tokens of connections whose sessions it has not seen go on.
    tokens: Vec<String>,
    /// Its marks, as far as they were answered.
    marks: Vec<u64>,
    /// Those that it does not know the outcome of.
    unknown: BTreeSet<u64>,
    /// Rooms that it knows that it is in, and up to where it has heard them.
    heard: BTreeMap<String, u64>,
    /// Rooms that it has asked for and may be in.
    maybe: BTreeSet<String>,
    connection: Option<Connection>,
    /// Connections that it has given up, which the server may not know.
    ghosts: Vec<SocketId>,
    settles: bool,
    tally: Tally,
}

impl Client {
    fn new(random: Random, shards: usize) -> Client {
        Client {
            random,
            shards,
            tokens: Vec::new(),
            marks: Vec::new(),
            unknown: BTreeSet::new(),
            heard: BTreeMap::new(),
            maybe: BTreeSet::new(),
            connection: None,
            ghosts: Vec::new(),
            settles: false,
            tally: Tally::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// One step.
    fn act(&mut self, world: &mut World, next_mark: &mut u64) {
        if self.connection.is_none() {
            self.connect(world);
            return;
        }
        self.read(world);
        if self.connection.is_none() {
            return;
        }
        if !self.settles && self.random.chance(12) {
            self.cut(world);
            return;
        }
        self.ask(next_mark);
        self.write(world);
    }

    fn connect(&mut self, world: &mut World) {
        let shard = self.random.below(self.shards);
        let line = match self.settles {
            true => Line::Perfect,
            false => self.random.pick(&[Line::Faulty, Line::Lasting]),
        };
        let Some(socket) = world.connect(shard, 0, line) else {
            return;
        };
        let request = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        self.connection = Some(Connection {
            socket,
            token: None,
            is_upgraded: false,
            out: request.as_bytes().to_vec(),
            inbox: Vec::new(),
            to_show: Vec::new(),
            shown: None,
            is_confirmed: false,
            mark: None,
            joining: None,
            at: BTreeMap::new(),
        });
        self.count("connects");
    }

    /// Its line ends, in one of several ways; the server may hear of it, or not.
    fn cut(&mut self, world: &mut World) {
        let connection = self.connection.take().expect("it is there");
        match self.random.below(3) {
            0 => world.close(connection.socket),
            1 => world.reset(connection.socket),
            _ => self.ghosts.push(connection.socket),
        }
        self.count("cuts");
        self.lose(connection);
    }

    /// What a connection that is gone leaves unknown.
    fn lose(&mut self, connection: Connection) {
        self.unknown.extend(connection.mark);
        self.maybe.extend(connection.joining);
        if let Some(token) = connection.token {
            self.tokens.push(token);
        }
    }

    fn write(&mut self, world: &mut World) {
        let connection = self.connection.as_mut().expect("it is there");
        if connection.out.is_empty() {
            return;
        }
        let bytes = match self.settles || self.random.chance(500) {
            true => connection.out.len(),
            false => self.random.between(1, connection.out.len()),
        };
        match world.write(connection.socket, &connection.out[..bytes]) {
            Some(written) => drop(connection.out.drain(..written)),
            None => connection.out.clear(),
        }
    }

    fn say(&mut self, value: &Value) {
        let text = value.to_string();
        let header = Header::client(OpCode::Text, text.len(), [0; 4]);
        let connection = self.connection.as_mut().expect("it is there");
        connection.out.extend(header.as_bytes());
        connection.out.extend(text.as_bytes());
    }

    fn ask(&mut self, next_mark: &mut u64) {
        let connection = self.connection.as_mut().expect("it is there");
        if connection.token.is_none() || connection.shown.is_some() {
            return;
        }
        if !connection.is_confirmed {
            match connection.to_show.pop() {
                Some(token) => self.show(token),
                None => self.confirm(),
            }
            return;
        }
        if self.settles || self.random.chance(700) {
            return;
        }
        if connection.mark.is_none() && self.random.chance(500) {
            *next_mark += 1;
            let number = *next_mark;
            connection.mark = Some(number);
            self.say(&json!({"type": "mark", "id": number, "data": [number]}));
        } else if connection.joining.is_none() && self.random.chance(300) {
            let room = format!("log:r{}", self.random.below(ROOMS));
            if connection.at.contains_key(&room) {
                let data = *next_mark;
                self.say(&json!({"type": "publish", "room": room, "data": data}));
                return;
            }
            connection.joining = Some(room.clone());
            self.say(&json!({"type": "join_room", "id": "join", "room": room}));
        }
    }

    fn show(&mut self, token: String) {
        let mut since = serde_json::Map::new();
        for (room, offset) in &self.heard {
            since.insert(room.clone(), json!({"offset": offset}));
        }
        let request = json!({"type": "resume", "id": "resume", "token": token, "since": since});
        self.connection.as_mut().expect("it is there").shown = Some(token);
        self.say(&request);
    }

    /// What the connection has is all that there is: it has to be all that the client knows of.
    fn confirm(&mut self) {
        let connection = self.connection.as_mut().expect("it is there");
        for room in self.heard.keys() {
            assert!(connection.at.contains_key(room), "a room was lost: {room}");
        }
        connection.is_confirmed = true;
        for (room, at) in &connection.at {
            self.heard.entry(room.clone()).or_insert(*at);
        }
        self.tokens.clear();
        self.maybe.clear();
        self.count("confirmed");
    }

    fn read(&mut self, world: &mut World) {
        let connection = self.connection.as_mut().expect("it is there");
        let ended = loop {
            match world.read(connection.socket, 4096) {
                Read::Nothing => break false,
                Read::Bytes(bytes) => connection.inbox.extend(bytes),
                Read::Finished | Read::Broken => break true,
            }
        };
        let closed = self.take();
        if (ended || closed)
            && let Some(connection) = self.connection.take()
        {
            world.close(connection.socket);
            self.lose(connection);
            self.count("ended");
        }
    }

    /// Whatever whole messages have come. Whether the last one was a close.
    fn take(&mut self) -> bool {
        let connection = self.connection.as_mut().expect("it is there");
        if !connection.is_upgraded {
            let head = connection
                .inbox
                .windows(4)
                .position(|end| end == b"\r\n\r\n");
            let Some(head) = head else { return false };
            assert!(connection.inbox.starts_with(b"HTTP/1.1 101"));
            connection.inbox.drain(..head + 4);
            connection.is_upgraded = true;
        }
        let limits = ReadLimits {
            message_bytes_max: 1 << 20,
        };
        let mut inbox = std::mem::take(&mut connection.inbox);
        let (mut at, mut closed) = (0, false);
        while at < inbox.len() && !closed {
            let step = reader::next(&mut inbox[at..], &mut None, Role::Client, &limits);
            let Step::Event { event, used } = step.expect("the server keeps the protocol") else {
                break;
            };
            match event {
                FrameEvent::Text(text) => {
                    let heard = serde_json::from_str(text).expect("JSON");
                    self.hear(&heard);
                }
                FrameEvent::Ping(_) => {}
                FrameEvent::Close(_) => closed = true,
                other => panic!("{other:?}"),
            }
            at += used;
        }
        inbox.drain(..at);
        if let Some(connection) = &mut self.connection {
            connection.inbox = inbox;
        }
        closed
    }

    fn hear(&mut self, heard: &Value) {
        let connection = self.connection.as_mut().expect("it is there");
        match heard["type"].as_str().expect("a type") {
            "welcome" => {
                let token = heard["resume"].as_str().expect("a token");
                connection.token = Some(token.to_owned());
                // In any order.
                connection.to_show = self.tokens.clone();
                if self.random.chance(500) {
                    connection.to_show.reverse();
                }
            }
            "message" => {
                let room = heard["room"].as_str().expect("of a room");
                let offset = heard["offset"].as_u64().expect("an offset");
                // What is recovered may come before the answer that says so.
                let before = connection.at.get(room).or_else(|| self.heard.get(room));
                if let Some(before) = before
                    .copied()
                    .filter(|_| connection.joining.as_deref() != Some(room))
                {
                    assert_eq!(offset, before + 1, "{room}: a gap or a repeat");
                }
                connection.at.insert(room.to_owned(), offset);
                if self.heard.contains_key(room) || connection.is_confirmed {
                    self.heard.insert(room.to_owned(), offset);
                }
            }
            "joined" => {
                let room = connection.joining.take().expect("it was asked for");
                let offset = heard["offset"].as_u64().expect("an offset");
                connection.at.insert(room.clone(), offset);
                self.heard.insert(room, offset);
            }
            "result" => {
                let number = heard["id"].as_u64().expect("a number");
                assert_eq!(connection.mark.take(), Some(number));
                let marks: Vec<u64> =
                    serde_json::from_value(heard["data"].clone()).expect("numbers");
                self.check_marks(marks, number);
            }
            "resumed" => self.resumed(heard),
            "error" => {
                assert_eq!(heard["code"], "no_session", "{heard}");
                assert!(connection.shown.take().is_some());
                self.count("refused");
            }
            "presence" => {}
            other => panic!("{other}: {heard}"),
        }
    }

    /// Everything that was answered is there, in order, and nothing that was never said.
    fn check_marks(&mut self, marks: Vec<u64>, last: u64) {
        assert_eq!(marks.last(), Some(&last), "another session's");
        let known: Vec<u64> = marks
            .iter()
            .copied()
            .filter(|mark| self.marks.contains(mark))
            .collect();
        assert_eq!(known, self.marks, "marks were lost");
        for mark in &marks {
            let is_known = self.marks.contains(mark) || self.unknown.contains(mark);
            assert!(
                is_known || *mark == last,
                "{mark} was said by somebody else"
            );
        }
        self.unknown.retain(|mark| !marks.contains(mark));
        self.marks = marks;
    }

    fn resumed(&mut self, heard: &Value) {
        self.count("resumed");
        let connection = self.connection.as_mut().expect("it is there");
        assert!(connection.shown.take().is_some());
        for entry in heard["rooms"].as_array().expect("rooms") {
            let room = entry["room"].as_str().expect("a room").to_owned();
            let offset = entry["offset"].as_u64().expect("it keeps history");
            if connection.at.contains_key(&room) && !self.heard.contains_key(&room) {
                continue;
            }
            match self.heard.get(&room) {
                Some(before) => {
                    // Some of it may have been heard before this answer.
                    let recovered = entry["recovered"] == true;
                    // One that an attempt before has brought is there already.
                    let again = entry["reason"] == "joined_before";
                    assert!(recovered || again, "{heard}");
                    connection.at.entry(room).or_insert(*before);
                }
                None => {
                    assert!(self.maybe.contains(&room), "{room} was never asked for");
                    assert_eq!(entry["reason"], "no_position", "{heard}");
                    connection.at.entry(room.clone()).or_insert(offset);
                    self.heard.insert(room, offset);
                }
            }
        }
    }

    fn is_settled(&self) -> bool {
        let is_quiet = |connection: &Connection| {
            let is_served = connection.mark.is_none() && connection.joining.is_none();
            connection.is_confirmed && is_served && connection.out.is_empty()
        };
        self.connection.as_ref().is_some_and(is_quiet)
    }
}

struct Simulation {
    world: Rc<RefCell<World>>,
    shards: Vec<Shard<Service, SimDriver>>,
    clients: Vec<Client>,
    /// Keeps the way in open, as an embedding program does.
    _handle: Handle,
    runtime: Runtime,
    random: Random,
    next_mark: u64,
}

impl Simulation {
    fn new(seed: u64, traced: bool) -> Simulation {
        let mut random = Random::new(seed ^ 0x5e55_1045);
        let count = random.between(1, 3);
        let mut faults = Faults::draw(&mut random);
        faults.slots = 200;
        let trace = match traced {
            true => Trace::Printed,
            false => Trace::Silent,
        };
        let world = World::new(count, faults, random.fork(), trace);
        let mut config = Config {
            shards: count,
            connections_max: 1000,
            listeners: vec![Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)))],
            ..Config::default()
        };
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        let runtime = runtime.expect("a runtime");
        let app = application().shards(&mut config, runtime.handle().clone());
        let lane_messages = random.pick(&[2, 3, 64, 2000]);
        let mailboxes = lane::mesh(count, LaneCapacity(lane_messages), seed);
        let handle = app.attach(Engine::to(&mailboxes));
        let admission = ProcessCounts::new(config.connections_max);
        let shard = |(index, mailbox)| {
            let setup = Setup {
                config: &config,
                mailbox,
                token_key: Some(TokenKey::fixed()),
                admission: admission.clone(),
                counters: Arc::default(),
            };
            Shard::new(setup, app.shard(index as u16), World::driver(&world, index))
        };
        let shards = mailboxes.into_iter().enumerate().map(shard).collect();
        let clients = (0..CLIENTS)
            .map(|_| Client::new(random.fork(), count))
            .collect();
        Simulation {
            world,
            shards,
            clients,
            _handle: handle,
            runtime,
            random,
            next_mark: 0,
        }
    }

    fn act(&mut self, client: usize) {
        let world = &mut self.world.borrow_mut();
        self.clients[client].act(world, &mut self.next_mark);
    }

    fn tick(&mut self, shard: usize) {
        self.shards[shard].tick();
        if self.random.chance(20) {
            self.shards[shard].check_invariants();
        }
    }

    fn pass(&mut self, millis: u64) {
        let now = self.world.borrow().now();
        self.world.borrow_mut().advance_to(now + millis);
        self.runtime
            .block_on(tokio::time::advance(Duration::from_millis(millis)));
        (0..self.shards.len()).for_each(|shard| self.tick(shard));
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
                35..90 => {
                    let client = self.random.below(self.clients.len());
                    self.act(client);
                }
                _ => {
                    let millis = self.random.pick(&[0, 1, 3]);
                    self.pass(millis);
                }
            }
        }
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&Simulation) -> bool) {
        for _ in 0..ROUNDS_MAX {
            if is_so(self) {
                return;
            }
            (0..self.clients.len()).for_each(|client| self.act(client));
            (0..self.shards.len()).for_each(|shard| self.tick(shard));
            self.pass(1);
        }
        panic!("{what}: never");
    }

    /// Everybody comes back for good, and has everything.
    fn settle(&mut self) {
        for client in &mut self.clients {
            client.settles = true;
            // Its next line is one that nothing happens to.
            if client.connection.is_some() {
                client.cut(&mut self.world.borrow_mut());
            }
        }
        self.until("everybody is back", |simulation| {
            simulation.clients.iter().all(Client::is_settled)
        });
        // And hears the rest of its rooms.
        let world = &self.world;
        for client in &mut self.clients {
            for ghost in client.ghosts.drain(..) {
                world.borrow_mut().close(ghost);
            }
        }
        self.until("everybody has heard all", |simulation| {
            let mut ends: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
            for client in &simulation.clients {
                let connection = client.connection.as_ref().expect("it stays");
                for (room, at) in &connection.at {
                    ends.entry(room).or_default().insert(*at);
                }
            }
            ends.values().all(|ends| ends.len() == 1)
        });
    }

    /// A fork would show: each session is asked what it has.
    fn compare(&mut self) {
        for client in 0..self.clients.len() {
            self.next_mark += 1;
            let number = self.next_mark;
            let asker = &mut self.clients[client];
            asker.connection.as_mut().expect("it stays").mark = Some(number);
            asker.say(&json!({"type": "mark", "id": number, "data": [number]}));
        }
        self.until("everybody has heard of its marks", |simulation| {
            simulation.clients.iter().all(Client::is_settled)
        });
    }

    fn tally(&self) -> Tally {
        let mut sum = Tally::new();
        for client in &self.clients {
            for (what, count) in &client.tally {
                *sum.entry(*what).or_default() += count;
            }
        }
        sum
    }
}

fn run(seed: u64, printing: Printing) -> Tally {
    let mut simulation = Simulation::new(seed, printing == Printing::On);
    simulation.go_on();
    simulation.settle();
    simulation.compare();
    for shard in &simulation.shards {
        shard.check_invariants();
    }
    simulation.tally()
}

#[test]
fn seeds() {
    SEEDS.run(run);
}
