//! Shards that panic anywhere in their ticks, by seed, while clients join, leave, publish and list:
//! whoever was there is told to return or finds the socket closed, the others go on, and the books
//! of all shards agree afterwards.

use super::*;
use crate::confine::confine;
use crate::driver::boundary::{Completion, ShortSend};
use crate::driver::sim::lease::SimLease;
use crate::driver::sim::world::Read;
use crate::egress::outgoing::Outgoing;
use crate::message::lane::{Mailbox, Reunion};
use crate::run::handle::Handle;
use crate::shard::last_words::{Inheritance, Legacy};
use crate::topic::data::{Data, DataEncoding};
use crate::topic::joining::JoinOptions;
use crate::topic::keep::GivenPlace;
use crate::topic::key::{Topic, TopicName};
use crate::topic::log::options::{LogClass, LogOptions, LogOrder};
use crate::topic::log::step::LogStep;
use crate::topic::presence::options::{PresenceClass, PresenceOptions};
use crate::topic::publication::{Content, Position, Publication, PublicationKind};
use crate::topic::sequencer::{Publisher, Sequencer, SequencerReader, ToSequence};
use crate::topic::target::{Publish, Target};
use crate::types::answer::{Answer, Report, Tag};
use crate::types::filter::Filter;
use crate::types::frame::Frame;
use crate::types::history::Missed;
use crate::types::presence::{Continuity, JoinPresence};
use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};

/// A driver that panics at one of its calls: the n-th from when it is lit.
struct Fused {
    driver: SimDriver,
    fuse: Rc<Cell<Option<u32>>>,
}

impl Fused {
    fn burn(&self) {
        match self.fuse.get() {
            None => {}
            Some(0) => {
                self.fuse.set(None);
                // Nobody wants to read about it.
                std::panic::resume_unwind(Box::new("as the test wished"));
            }
            Some(left) => self.fuse.set(Some(left - 1)),
        }
    }
}

impl Driver for Fused {
    type Lease = SimLease;

    fn now(&self) -> Millis {
        self.driver.now()
    }

    fn reap(&mut self, into: &mut Vec<Completion<SimLease>>) {
        self.driver.reap(into);
        self.burn();
    }

    fn turn(&mut self, outgoing: &Outgoing, wait: Wait, short_sends: &mut Vec<ShortSend>) {
        self.burn();
        self.driver.turn(outgoing, wait, short_sends);
        self.burn();
    }

    fn arm_receive(&mut self, ticket: Ticket) {
        self.burn();
        self.driver.arm_receive(ticket);
    }

    fn stop_receive(&mut self, ticket: Ticket) {
        self.burn();
        self.driver.stop_receive(ticket);
    }

    fn awaits_buffer(&self, ticket: Ticket) -> bool {
        self.burn();
        self.driver.awaits_buffer(ticket)
    }

    fn give_back(&mut self, lease: SimLease) {
        self.driver.give_back(lease);
        self.burn();
    }

    fn send_tracked(&mut self, ticket: Ticket, segments: &[Bytes]) {
        self.driver.send_tracked(ticket, segments);
        self.burn();
    }

    fn shut_down(&mut self, ticket: Ticket) {
        self.burn();
        self.driver.shut_down(ticket);
    }

    fn close(&mut self, ticket: Ticket) {
        self.burn();
        self.driver.close(ticket);
    }

    fn wake(&mut self, shard: u16) {
        self.burn();
        self.driver.wake(shard);
    }

    /// Clients in the backlog wait for the next driver.
    fn stop_accepting(&mut self, how: StopAccept) {
        if how == StopAccept::Release {
            self.driver.stop_accepting(how);
        }
    }

    fn may_accept(&self) -> bool {
        self.driver.may_accept()
    }

    fn connections_max(&self) -> usize {
        self.driver.connections_max()
    }
}

/// `+r` joins a room, `-r` leaves it, `!r` publishes to it, `?r` lists it, `=u` is a user.
struct Hall {
    fuse: Rc<Cell<Option<u32>>>,
}

impl Hall {
    /// Where the shard's own code panics, not the driver.
    fn burn(&self) {
        if self.fuse.get() == Some(0) {
            self.fuse.set(None);
            std::panic::resume_unwind(Box::new("as the test wished"));
        }
    }
}

impl Application for Hall {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        let said = std::str::from_utf8(message.bytes()).unwrap().to_owned();
        let (act, name) = said.split_at(1);
        let publication = |data| Publication {
            topic: Some(Topic::Room(name)),
            kind: PublicationKind::Message {
                publisher: cx.address(),
            },
            data: Data::Text(data),
            data_encoding: DataEncoding::default(),
        };
        // Whatever is refused is refused: the client goes on.
        let _outcome = match act {
            "+" => cx.join_with(name, options(name), Tag(0)).is_ok(),
            "-" => cx.leave(name, Tag(0)).is_ok(),
            "!" => {
                let content = Content::data(&publication(&said), None);
                let publish = Publish::new(content).report(Tag(1));
                let publish = match log_of(name) {
                    Some(log) => publish.keep(log),
                    None => publish,
                };
                cx.publish(Target::Room(name), publish).is_ok()
            }
            "?" => cx.list(Topic::Room(name), Tag(2)).is_ok(),
            "=" => cx.identify(Some(name)).is_ok(),
            other => panic!("{other}"),
        };
    }

    fn answered(&mut self, cx: &mut Context<'_>, _: &mut (), _: Tag, answer: Answer) {
        let said = match answer {
            Answer::Joined { room, .. } => format!("joined {room}"),
            Answer::Left { room } => format!("left {room}"),
            _ => "answer".to_owned(),
        };
        cx.send(Kind::Text, said.as_bytes());
    }

    fn missed(&mut self, _: &mut Context<'_>, _: &mut (), _: &TopicName, _: Missed) {}

    fn encode(
        _: crate::types::encoding::EncodingId,
        publication: &Publication<'_>,
        _: Option<Position>,
    ) -> Option<Frame> {
        match publication.data {
            Data::Text(text) => Some(Frame::new(Kind::Text, text.as_bytes())),
            _ => Some(Frame::new(Kind::Text, b"presence")),
        }
    }

    fn sift(_: &Publication<'_>, filters: &[Filter], passes: &mut [bool]) {
        for (filter, passes) in filters.iter().zip(passes) {
            *passes = filter.bytes() != SIFTED_OUT.as_bytes();
        }
    }

    fn held_bytes(&self) -> u64 {
        self.burn();
        0
    }
}

fn options(room: &str) -> JoinOptions {
    JoinOptions {
        log: log_of(room),
        filter: room
            .starts_with("sift")
            .then(|| Filter::new(room.as_bytes())),
        presence: room.starts_with("seen").then(|| JoinPresence {
            class: PresenceClass::new(0),
            data: None,
            continuity: Continuity::None,
        }),
        ..JoinOptions::default()
    }
}

/// Where another one gives the order, or what is published has to pass a filter: it does, or not.
const ORDERED: &str = "ordered";
const SIFTED_OUT: &str = "sift out";
const ROOMS: [&str; 9] = [
    "a", "b", "log", "logs", "seen", "seen too", ORDERED, "sift", SIFTED_OUT,
];

fn log_of(room: &str) -> Option<LogClass> {
    match room {
        ORDERED => Some(LogClass::new(1)),
        room => room.starts_with("log").then(|| LogClass::new(0)),
    }
}

enum Member {
    Serves(Box<Shard<Hall, Fused>>),
    Restarts(Box<(Mailbox, Reunion, Inheritance)>),
}

struct Client {
    socket: SocketId,
    shard: usize,
    heard: Vec<u8>,
    rooms: BTreeSet<String>,
    /// How it ended: the close code, or none.
    ended: Option<Option<u16>>,
    opened: bool,
    got: Vec<String>,
}

struct Town {
    world: Rc<RefCell<World>>,
    config: Config,
    process: ProcessCounts,
    counters: Vec<Arc<ShardCounters>>,
    fuses: Vec<Rc<Cell<Option<u32>>>>,
    members: Vec<Member>,
    clients: Vec<Client>,
    random: Random,
    restarts: u64,
    desk: OrderDesk,
}

/// Who gives the order of one room, and has all that was said there.
struct OrderDesk {
    handle: Handle,
    reader: SequencerReader,
    said: Vec<String>,
    /// What shards are to be told, one after the other.
    orders: VecDeque<DeskOrder>,
}

enum DeskOrder {
    Step(LogStep),
    /// The publication of this offset.
    Place(u64),
    Answer(Publisher, u64),
}

impl OrderDesk {
    const EPOCH: u64 = 7;

    /// Hears what is wanted, and tells what there is room for. Whether it has told something.
    fn work(&mut self) -> bool {
        while let Some(wanted) = self.reader.try_recv() {
            match wanted {
                ToSequence::Publication(said) => {
                    let Some(Data::Text(text)) = said.publication().map(|said| said.data) else {
                        panic!("it is a text");
                    };
                    self.said.push(text.to_owned());
                    let offset = self.said.len() as u64;
                    self.orders.push_back(DeskOrder::Place(offset));
                    let answer = said.publisher.map(|who| DeskOrder::Answer(who, offset));
                    self.orders.extend(answer);
                }
                ToSequence::Log { has, .. } => self.tell_log(has),
            }
        }
        let mut is_told = false;
        while let Some(order) = self.orders.pop_front() {
            match self.tell(order) {
                Ok(()) => is_told = true,
                Err(order) => {
                    self.orders.push_front(order);
                    break;
                }
            }
        }
        is_told
    }

    fn tell_log(&mut self, has: Option<Position>) {
        let next = has.map_or(1, |has| has.offset + 1);
        if has.is_none() {
            let epoch = OrderDesk::EPOCH;
            self.orders
                .push_back(DeskOrder::Step(LogStep::Begin { epoch, next }));
        }
        let missing = next..=self.said.len() as u64;
        self.orders.extend(missing.map(DeskOrder::Place));
        self.orders.push_back(DeskOrder::Step(LogStep::Ready));
    }

    fn tell(&self, order: DeskOrder) -> Result<(), DeskOrder> {
        let room = Topic::Room(ORDERED);
        match order {
            DeskOrder::Step(step) => {
                let told = self.handle.step_log(room, step);
                told.map_err(|_| DeskOrder::Step(step))
            }
            DeskOrder::Place(offset) => {
                let publication = Publication {
                    topic: Some(room),
                    kind: PublicationKind::Elsewhere { from: "b" },
                    data: Data::Text(&self.said[offset as usize - 1]),
                    data_encoding: DataEncoding::default(),
                };
                let publish = Publish::new(Content::data(&publication, None));
                let place = GivenPlace {
                    epoch: OrderDesk::EPOCH,
                    offset,
                    previous: offset - 1,
                    age: std::time::Duration::ZERO,
                };
                let publish = publish.keep(LogClass::new(1));
                let told = (self.handle).publish_sequenced(Target::Room(ORDERED), publish, place);
                told.map_err(|_| DeskOrder::Place(offset))
            }
            DeskOrder::Answer(publisher, offset) => {
                let position = Some(Position {
                    epoch: OrderDesk::EPOCH,
                    offset,
                });
                let report = Report {
                    position,
                    ..Report::default()
                };
                let told = self.handle.answer_publisher(publisher, report);
                told.map_err(|(_, publisher)| DeskOrder::Answer(publisher, offset))
            }
        }
    }
}

impl Town {
    fn new(seed: u64) -> Town {
        let mut random = Random::new(seed);
        let shards = random.pick(&[2, 3, 4]);
        let (way, reader) = Sequencer::new(1_000, 1 << 20);
        let config = Config {
            shards,
            logs: vec![
                LogOptions::default(),
                LogOptions {
                    order: LogOrder::Sequencer,
                    ..LogOptions::default()
                },
            ],
            sequencer: Some(way),
            presence: vec![PresenceOptions {
                grace: std::time::Duration::ZERO,
                ..PresenceOptions::default()
            }],
            ..Config::default()
        };
        let world = World::new(shards, Faults::none(), random.fork(), Trace::Silent);
        let lanes = LaneCapacity(random.pick(&[2, 4, 64]));
        let mailboxes = lane::mesh(shards, lanes, seed);
        let desk = OrderDesk {
            handle: Handle::to(&mailboxes),
            reader,
            said: Vec::new(),
            orders: VecDeque::new(),
        };
        let mut town = Town {
            world,
            process: ProcessCounts::new(config.connections_max),
            counters: (0..shards).map(|_| Arc::default()).collect(),
            fuses: (0..shards).map(|_| Rc::default()).collect(),
            members: Vec::new(),
            clients: Vec::new(),
            random,
            restarts: 0,
            desk,
            config,
        };
        for mailbox in mailboxes {
            let shard = town.shard(mailbox);
            town.members.push(Member::Serves(Box::new(shard)));
        }
        town
    }

    fn shard(&self, mailbox: Mailbox) -> Shard<Hall, Fused> {
        let index = usize::from(mailbox.shard());
        let setup = Setup {
            config: &self.config,
            mailbox,
            token_key: None,
            admission: self.process.clone(),
            counters: self.counters[index].clone(),
        };
        let fuse = self.fuses[index].clone();
        let driver = World::driver(&self.world, index);
        let driver = Fused {
            driver,
            fuse: fuse.clone(),
        };
        Shard::new(setup, Hall { fuse }, driver)
    }

    /// A tick of a shard, or a step of its restart. Whether it may have done something.
    fn act(&mut self, index: usize) {
        let member = self.members.remove(index);
        let member = match member {
            Member::Serves(mut shard) => match confine(|| shard.tick()) {
                Ok(()) => {
                    shard.check_invariants();
                    Member::Serves(shard)
                }
                Err(_) => {
                    self.world.borrow_mut().forget_leases(index);
                    let Legacy {
                        mailbox,
                        reunion,
                        inheritance,
                        ..
                    } = shard.end().expect("the driver still works");
                    self.world.borrow_mut().end_driver(index);
                    self.restarts += 1;
                    Member::Restarts(Box::new((mailbox, reunion, inheritance)))
                }
            },
            Member::Restarts(left) => {
                let (mut mailbox, mut reunion, inheritance) = *left;
                if mailbox.reunite(&mut reunion) {
                    let mut shard = self.shard(mailbox);
                    shard.inherit(inheritance);
                    Member::Serves(Box::new(shard))
                } else {
                    Member::Restarts(Box::new((mailbox, reunion, inheritance)))
                }
            }
        };
        self.members.insert(index, member);
    }

    /// Until nobody has anything to do, and nothing is left to be told, in any order.
    fn settle(&mut self) {
        loop {
            self.settle_shards();
            if !self.desk.work() {
                return;
            }
            // Nobody is woken by that.
            for index in 0..self.members.len() {
                self.act(index);
            }
        }
    }

    fn settle_shards(&mut self) {
        let mut quiet = 0;
        let mut rounds = 0;
        while quiet < 20 {
            rounds += 1;
            assert!(rounds < 100_000, "it does not come to an end");
            let index = self.random.below(self.members.len());
            self.act(index);
            let restarts = |member: &Member| matches!(member, Member::Restarts(..));
            let busy = self.members.iter().any(restarts) || {
                let world = self.world.borrow();
                (0..self.members.len()).any(|shard| world.is_runnable(shard))
            };
            quiet = if busy { 0 } else { quiet + 1 };
            for client in 0..self.clients.len() {
                self.read(client);
            }
        }
        // What a lane has no bell for is looked at a little later.
        let now = self.world.borrow().now();
        self.world.borrow_mut().advance_to(now + 2);
        for index in 0..self.members.len() {
            self.act(index);
        }
    }

    fn connect(&mut self) -> usize {
        let shard = self.random.below(self.members.len());
        let socket = self.world.borrow_mut().connect(shard, 0, Line::Perfect);
        let socket = socket.expect("it accepts");
        let mut request = Vec::new();
        let key = upgrade::encode_key([0; 16]);
        upgrade::write_request(&mut request, "localhost", "/", &key, &[]);
        self.world.borrow_mut().write(socket, &request).unwrap();
        self.clients.push(Client {
            socket,
            shard,
            heard: Vec::new(),
            rooms: BTreeSet::new(),
            ended: None,
            opened: false,
            got: Vec::new(),
        });
        self.clients.len() - 1
    }

    fn say(&mut self, client: usize, text: &str) {
        let client = &self.clients[client];
        if client.opened && client.ended.is_none() {
            let frame = client_frame(OpCode::Text, text.as_bytes());
            self.world.borrow_mut().write(client.socket, &frame);
        }
    }

    fn read(&mut self, index: usize) {
        let client = &mut self.clients[index];
        loop {
            match self.world.borrow_mut().read(client.socket, 1 << 16) {
                Read::Nothing => break,
                Read::Bytes(bytes) => client.heard.extend(bytes),
                Read::Finished | Read::Broken => {
                    client.take();
                    client.ended.get_or_insert(None);
                    client.rooms.clear();
                    break;
                }
            }
        }
        client.take();
        if client.ended.is_some_and(|code| code.is_some()) {
            // It answers as a client does, and goes.
            let socket = client.socket;
            self.world.borrow_mut().close(socket);
        }
    }
}

impl Client {
    fn take(&mut self) {
        if !self.opened {
            let Some(end) = self.heard.windows(4).position(|four| four == b"\r\n\r\n") else {
                return;
            };
            assert!(self.heard.starts_with(b"HTTP/1.1 101"));
            self.heard.drain(..end + 4);
            self.opened = true;
        }
        while self.heard.len() >= 2 && self.heard.len() >= 2 + usize::from(self.heard[1]) {
            let payload: Vec<u8> = self.heard.drain(..2 + usize::from(self.heard[1])).collect();
            match payload[0] & 15 {
                1 => {
                    let text = String::from_utf8(payload[2..].to_vec()).unwrap();
                    if let Some(room) = text.strip_prefix("joined ") {
                        self.rooms.insert(room.to_owned());
                    } else if let Some(room) = text.strip_prefix("left ") {
                        self.rooms.remove(room);
                    } else {
                        self.got.push(text);
                    }
                }
                8 => {
                    let code = u16::from_be_bytes([payload[2], payload[3]]);
                    self.ended = Some(Some(code));
                    self.rooms.clear();
                }
                9 => {}
                other => panic!("opcode {other}"),
            }
        }
    }
}

impl Town {
    fn live(&mut self) {
        for step in 0..400 {
            if self.random.chance(60) && self.clients.len() < 40 {
                self.connect();
            }
            if !self.clients.is_empty() && self.random.chance(500) {
                let client = self.random.below(self.clients.len());
                let room = self.random.pick(&ROOMS);
                let act = self.random.pick(&["+", "+", "+", "-", "!", "!", "?", "="]);
                self.say(client, &format!("{act}{room}"));
            }
            if step > 100 && self.random.chance(8) {
                let shard = self.random.below(self.members.len());
                let after = self.random.below(12) as u32;
                self.fuses[shard].set(Some(after));
            }
            let index = self.random.below(self.members.len());
            self.act(index);
            if self.random.chance(300) {
                self.desk.work();
            }
            if self.random.chance(300) && !self.clients.is_empty() {
                let client = self.random.below(self.clients.len());
                self.read(client);
            }
        }
        self.fuses.iter().for_each(|fuse| fuse.set(None));
        self.settle();
    }

    fn serving(&mut self) -> Vec<Shard<Hall, Fused>> {
        let members = std::mem::take(&mut self.members).into_iter();
        members
            .map(|member| match member {
                Member::Serves(shard) => *shard,
                Member::Restarts(..) => panic!("it has settled"),
            })
            .collect()
    }

    fn check_together(&mut self) {
        let shards = self.serving();
        Shard::check_together(&shards);
        self.members = shards
            .into_iter()
            .map(|shard| Member::Serves(Box::new(shard)))
            .collect();
    }

    /// Whoever is left is reached by a publish to its rooms, once, and so is a newcomer.
    fn check_reached(&mut self) {
        let publisher = self.connect();
        self.settle();
        assert!(self.clients[publisher].opened);
        for room in ROOMS {
            self.clients
                .iter_mut()
                .for_each(|client| client.got.clear());
            self.say(publisher, &format!("!{room}"));
            self.settle();
            for client in &self.clients {
                let said = format!("!{room}");
                let got = client.got.iter().filter(|got| **got == said).count();
                let is_member = client.rooms.contains(room) && client.ended.is_none();
                let is_member = is_member && room != SIFTED_OUT;
                assert_eq!(got, usize::from(is_member), "{room}, {:?}", client.socket);
            }
        }
    }

    fn finish(&mut self) {
        let counted = self
            .counters
            .iter()
            .map(|counters| counters.connections.get());
        let open = self.clients.iter().filter(|client| client.ended.is_none());
        assert_eq!(counted.sum::<u64>(), open.clone().count() as u64);
        assert_eq!(self.process.admitted(), open.count());
        for client in 0..self.clients.len() {
            let socket = self.clients[client].socket;
            self.world.borrow_mut().close(socket);
        }
        self.settle();
        for shard in self.serving() {
            shard.check_quiescent();
        }
        assert_eq!(self.process.admitted(), 0);
        let encodings = self.process.encodings.get();
        assert_eq!(encodings, std::iter::empty().collect(), "nobody is there");
    }
}

/// What became of clients over all seeds.
#[derive(Debug, Default)]
struct Ends {
    failed: u32,
    restarted: u32,
    cut: u32,
    stayed: u32,
    restarts: u64,
}

#[test]
fn shards_that_panic_anywhere_are_restarted_and_the_books_agree() {
    let mut ends = Ends::default();
    for seed in 0..150 {
        let mut town = Town::new(seed);
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            town.live();
            town.check_together();
            town.check_reached();
            town.check_together();
            for client in &town.clients {
                match client.ended {
                    Some(Some(1011)) => ends.failed += 1,
                    Some(Some(1012)) => ends.restarted += 1,
                    Some(None) => ends.cut += 1,
                    None => ends.stayed += 1,
                    Some(Some(other)) => panic!("closed with {other}"),
                }
                assert!(client.shard < town.counters.len());
            }
            ends.restarts += town.restarts;
            town.finish();
        }));
        if let Err(panic) = lived {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
    // All of it has happened. Where the turn itself panics, which here it does most of the time,
    // nobody can be told.
    let Ends {
        failed,
        restarted,
        cut,
        stayed,
        restarts,
    } = ends;
    assert!(restarts > 100 && restarted > 50 && stayed > 500, "{ends:?}");
    assert!(failed > 100 && cut > 100, "{ends:?}");
}
