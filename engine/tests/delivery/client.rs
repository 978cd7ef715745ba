//! A client: joins, publishes, reads at its own pace, breaks off, and goes on from where it was.

use crate::application::{
    Words, acks_of, deltas_of, filter_of, passes, room_number, user_number, user_of,
};
use crate::truth::{Ending, MessageId, Reader, Truth};
use shardcast_engine::driver::Millis;
use shardcast_engine::driver::sim::{Line, Random, Read, SocketId, World};
use shardcast_engine::protocol::frame::{Kind, OpCode, write_client_frame};
use shardcast_engine::protocol::reader::{self, Assembly, FrameEvent, ReadLimits, Role, Step};
use shardcast_engine::{JoinAcks, JoinDeltas};
use std::collections::BTreeMap;

/// What one client does in a run.
#[derive(Clone, Debug)]
pub(crate) struct Temper {
    pub(crate) publishes: usize,
    pub(crate) reconnects: usize,
    pub(crate) stall_permille: usize,
    pub(crate) stall_ms_max: usize,
    pub(crate) padding_bytes_max: usize,
    pub(crate) keys: usize,
    /// When it connects first.
    pub(crate) late_ms: Millis,
    /// How often it acknowledges what it hears.
    pub(crate) acks_permille: usize,
}

/// What surrounds a client when it acts.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) random: &'a mut Random,
    pub(crate) truth: &'a mut Truth,
    pub(crate) rooms: usize,
    pub(crate) users: usize,
    pub(crate) shards: usize,
    /// From now on nobody stalls, publishes or breaks off.
    pub(crate) settling: bool,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: usize,
    encoding: usize,
    temper: Temper,
    socket: Option<SocketId>,
    open: bool,
    pub(crate) over: bool,
    unsent: Vec<u8>,
    input: Vec<u8>,
    assembly: Option<Box<Assembly>>,
    stalled_until: Millis,
    /// Publications so far, and what each said of itself: its room and its key.
    published: Vec<(usize, Option<usize>)>,
    unanswered: usize,
    /// Memberships of this connection, by room.
    readers: BTreeMap<usize, Reader>,
    /// What it heard last in each room that it is in: what the next can build on.
    heard: BTreeMap<usize, MessageId>,
    /// Up to where it knows each room.
    known: BTreeMap<usize, (u64, u64)>,
    asked: BTreeMap<usize, Option<(Option<u64>, u64)>>,
    receipts: BTreeMap<(usize, usize), (u64, u64)>,
    /// What was whispered to users, by user.
    whispered: BTreeMap<usize, usize>,
    /// Of this connection: by who whispers, and on which of its connections, the last that was
    /// heard.
    overheard: BTreeMap<(usize, usize), usize>,
    /// Connections that it has lost.
    lives: usize,
    /// A connection of it has ended before the run.
    pub(crate) is_cut: bool,
}

impl Client {
    pub(crate) fn new(id: usize, encoding: usize, temper: Temper) -> Client {
        Client {
            id,
            encoding,
            temper,
            socket: None,
            open: false,
            over: false,
            unsent: Vec::new(),
            input: Vec::new(),
            assembly: None,
            stalled_until: 0,
            published: Vec::new(),
            unanswered: 0,
            readers: BTreeMap::new(),
            heard: BTreeMap::new(),
            known: BTreeMap::new(),
            asked: BTreeMap::new(),
            receipts: BTreeMap::new(),
            whispered: BTreeMap::new(),
            overheard: BTreeMap::new(),
            lives: 0,
            is_cut: false,
        }
    }

    pub(crate) fn is_ready(&self, world: &World, settling: bool) -> bool {
        let Some(socket) = self.socket else {
            let is_late = world.now() < self.temper.late_ms && !settling;
            return !self.over && !is_late;
        };
        let awake = self.stalled_until <= world.now() || settling;
        let reads = awake && world.is_readable(socket);
        let writes = !self.unsent.is_empty() && world.is_writable(socket);
        reads || writes || self.may_publish(settling)
    }

    pub(crate) fn ready_at(&self, now: Millis) -> Option<Millis> {
        match self.socket {
            Some(_) => (self.stalled_until > now).then_some(self.stalled_until),
            None => (self.temper.late_ms > now && !self.over).then_some(self.temper.late_ms),
        }
    }

    fn may_publish(&self, settling: bool) -> bool {
        let left = self.published.len() < self.temper.publishes;
        self.open && left && self.unanswered < 8 && !settling
    }

    /// Everything was said and answered.
    pub(crate) fn is_done(&self) -> bool {
        self.open && self.published.len() >= self.temper.publishes
    }

    pub(crate) fn is_in(&self, room: usize) -> bool {
        self.readers.contains_key(&room)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open && self.asked.is_empty()
    }

    pub(crate) fn act(&mut self, scene: &mut Scene<'_>) {
        let Some(socket) = self.socket else {
            self.connect(scene);
            return;
        };
        let breaks = self.temper.reconnects > 0 && !scene.settling;
        if self.open && breaks && scene.random.chance(20) {
            self.temper.reconnects -= 1;
            match scene.random.chance(500) {
                true => scene.world.reset(socket),
                false => scene.world.close(socket),
            }
            scene.truth.count("reconnects", 1);
            return self.lose(scene);
        }
        if self.may_publish(scene.settling) && scene.random.chance(500) {
            self.ask(scene);
        }
        if !self.unsent.is_empty() {
            let count = scene.random.between(1, self.unsent.len());
            match scene.world.write(socket, &self.unsent[..count]) {
                Some(taken) => drop(self.unsent.drain(..taken)),
                None => self.unsent.clear(),
            }
        }
        if scene.settling || self.stalled_until <= scene.world.now() {
            self.read(scene, socket);
        }
    }

    fn connect(&mut self, scene: &mut Scene<'_>) {
        let shard = scene.random.below(scene.shards);
        let Some(socket) = scene.world.connect(shard, 0, Line::Faulty) else {
            panic!("nobody drains before the end");
        };
        self.socket = Some(socket);
        self.unsent = format!(
            "GET /client/{}/{} HTTP/1.1\r\nHost: simulation\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n",
            self.id, self.encoding
        )
        .into_bytes();
    }

    /// The connection is gone: whatever it was sent is known.
    fn lose(&mut self, scene: &mut Scene<'_>) {
        for (room, reader) in std::mem::take(&mut self.readers) {
            self.known.insert(room, (reader.epoch, reader.end));
            scene.truth.ended.push((reader, Ending::Early));
        }
        if let Some(user) = user_number(self.id) {
            scene.truth.users.entry(user).or_default().is_cut = true;
        }
        self.is_cut = true;
        self.overheard.clear();
        self.lives += 1;
        (self.socket, self.open) = (None, false);
        (self.unanswered, self.stalled_until) = (0, 0);
        self.asked.clear();
        self.unsent.clear();
        self.input.clear();
        self.assembly = None;
    }

    fn say(&mut self, scene: &mut Scene<'_>, text: &str) {
        scene
            .world
            .trace(|| format!("client {} says {text:.60}", self.id));
        let mask = (scene.random.draw() as u32).to_be_bytes();
        write_client_frame(&mut self.unsent, Kind::Text.into(), text.as_bytes(), mask);
    }

    fn join(&mut self, scene: &mut Scene<'_>, room: usize) {
        let known = self.known.get(&room).copied();
        let since = match known {
            Some((epoch, offset)) if scene.random.chance(900) => {
                // Now and then it knows no epoch, or one of another server.
                let epoch = match scene.random.below(20) {
                    0 => None,
                    1 => Some(epoch ^ 1),
                    _ => Some(epoch),
                };
                Some((epoch, offset))
            }
            Some(_) | None => None,
        };
        let words = match since {
            None => "-".to_owned(),
            Some((None, offset)) => format!("any {offset}"),
            Some((Some(epoch), offset)) => format!("{epoch} {offset}"),
        };
        self.asked.insert(room, since);
        self.say(scene, &format!("join {room} {words}"));
    }

    fn ask(&mut self, scene: &mut Scene<'_>) {
        let room = scene.random.below(scene.rooms);
        match scene.random.below(12) {
            0 => {
                let reader = self.readers.get(&room);
                let since = match reader {
                    Some(reader) if scene.random.chance(500) => {
                        format!("{} {}", reader.epoch, reader.end)
                    }
                    Some(_) | None => "-".to_owned(),
                };
                let order = scene.random.pick(&["forward", "reverse"]);
                let limit = scene.random.pick(&[0, 3, 1000]);
                self.unanswered += 1;
                self.say(scene, &format!("history {room} {since} {limit} {order}"));
            }
            1 if self.readers.contains_key(&room) && !self.asked.contains_key(&room) => {
                self.asked.insert(room, None);
                self.say(scene, &format!("leave {room}"));
            }
            2 | 3 => self.whisper(scene),
            _ => self.publish(scene, room),
        }
    }

    /// Says something to a user, who may not be there.
    fn whisper(&mut self, scene: &mut Scene<'_>) {
        let user = scene.random.below(scene.users);
        let number = self.whispered.entry(user).or_default();
        *number += 1;
        let (number, padding) = (
            *number,
            scene.random.below(self.temper.padding_bytes_max + 1),
        );
        let whispers = scene.truth.users.entry(user).or_default();
        whispers.said.insert(self.id, number);
        let padding = "x".repeat(padding);
        self.say(
            scene,
            &format!("whisper {user} {number} {} {padding}", self.lives),
        );
    }

    fn overhear(&mut self, scene: &mut Scene<'_>, words: &mut Words<'_>) {
        let user = user_of(self.id).expect("nobody whispers to nobody");
        assert_eq!(words.next(), user, "client {}", self.id);
        let message_id = MessageId {
            from: words.number(),
            number: words.number(),
        };
        // What a lost connection has said may be read after what the next one says.
        let place = (message_id.from, words.number());
        let last = self.overheard.insert(place, message_id.number);
        assert!(
            last < Some(message_id.number),
            "{message_id:?} after {last:?}"
        );
        let user = user_number(self.id).expect("as above");
        let whispers = scene.truth.users.entry(user).or_default();
        whispers.heard.insert(message_id);
        scene.truth.count("waited", 1);
    }

    fn publish(&mut self, scene: &mut Scene<'_>, room: usize) {
        let number = self.published.len();
        // Now and then what was published before is published again, by its key.
        let key = match scene.random.below(6) {
            0 => Some(scene.random.below(number + 1)),
            1 => Some(number),
            _ => None,
        };
        let room = match key {
            Some(key) if key < number => self.published[key].0,
            Some(_) | None => room,
        };
        let conflate = scene.random.below(self.temper.keys + 1);
        let echo = !scene.random.chance(200);
        let message_id = MessageId {
            from: self.id,
            number,
        };
        if !echo {
            scene.truth.without_echo.insert(message_id);
        }
        self.published.push((room, key));
        self.unanswered += 1;
        let padding = scene.random.below(self.temper.padding_bytes_max + 1);
        let key = key.map_or("-".to_owned(), |key| format!("{}-{key}", self.id));
        let conflate = match conflate {
            0 => "-".to_owned(),
            conflate => format!("k{conflate}"),
        };
        let echo = if echo { "yes" } else { "no" };
        let padding = "x".repeat(padding);
        self.say(
            scene,
            &format!("publish {room} {number} {key} {conflate} {echo} {padding}"),
        );
    }

    fn read(&mut self, scene: &mut Scene<'_>, socket: SocketId) {
        let bytes_max = scene.random.pick(&[20, 500, 4_000, 64 << 10]);
        match scene.world.read(socket, bytes_max) {
            Read::Nothing => {}
            Read::Bytes(bytes) => {
                self.input.extend_from_slice(&bytes);
                self.decode(scene);
                let stalls = self.open && !scene.settling;
                if stalls && scene.random.chance(self.temper.stall_permille) {
                    let stall = scene.random.between(1, self.temper.stall_ms_max);
                    self.stalled_until = scene.world.now() + stall as Millis;
                }
            }
            Read::Finished | Read::Broken => {
                scene.world.close(socket);
                self.lose(scene);
            }
        }
    }

    fn decode(&mut self, scene: &mut Scene<'_>) {
        if !self.open {
            let end = self.input.windows(4).position(|end| end == b"\r\n\r\n");
            let Some(end) = end else { return };
            assert!(self.input.starts_with(b"HTTP/1.1 101"));
            self.input.drain(..end + 4);
            self.open = true;
            for room in 0..scene.rooms {
                self.join(scene, room);
            }
        }
        let mut input = std::mem::take(&mut self.input);
        let mut at = 0;
        let limits = ReadLimits {
            message_bytes_max: 1 << 20,
        };
        while let Step::Event { event, used } =
            reader::next(&mut input[at..], &mut self.assembly, Role::Client, &limits)
                .expect("the server keeps to the protocol")
        {
            match event {
                FrameEvent::Text(text) => {
                    let text = text.to_owned();
                    self.hear(scene, &text);
                }
                FrameEvent::Ping(payload) => {
                    let payload = payload.to_vec();
                    write_client_frame(&mut self.unsent, OpCode::Pong, &payload, [0; 4]);
                }
                FrameEvent::Close(_) => {
                    write_client_frame(&mut self.unsent, OpCode::Close, &[], [0; 4]);
                }
                other => panic!("the server does not send {other:?}"),
            }
            at += used;
        }
        input.drain(..at);
        self.input = input;
    }

    fn hear(&mut self, scene: &mut Scene<'_>, text: &str) {
        let id = self.id;
        scene
            .world
            .trace(|| format!("client {id} hears {text:.60}"));
        let mut words = Words::of(text);
        match words.next() {
            "joined" => self.joined(scene, &mut words),
            "left" => {
                let room = words.number();
                let reader = self.readers.remove(&room).expect("it was in");
                self.known.insert(room, (reader.epoch, reader.end));
                scene.truth.ended.push((reader, Ending::Early));
                self.asked.remove(&room);
                self.join(scene, room);
            }
            "receipt" => {
                self.unanswered -= 1;
                let number: usize = words.number();
                let place = (words.number(), words.number());
                self.receive(scene, number, place, words.next());
            }
            "history" => self.page(scene, &mut words),
            "presence" => {
                let name = match words.next() {
                    "Join" => "presence_join",
                    "Leave" => "presence_leave",
                    "Away" => "presence_away",
                    "Back" => "presence_back",
                    other => panic!("no event is {other}"),
                };
                scene.truth.count(name, 1);
            }
            "members" => scene.truth.count("presence_counts", 1),
            "missed" => {
                let (room, count) = (words.number::<usize>(), words.number::<u64>());
                self.readers.get_mut(&room).expect("it is in").missed += count;
            }
            "given_up" => scene.truth.count("given_up", 1),
            "lost" => {
                let user = user_number(self.id).expect("it is somebody");
                let count = words.number();
                scene.truth.count("lost", count);
                scene.truth.users.entry(user).or_default().lost += count;
            }
            "w" => self.overhear(scene, &mut words),
            "again" => self.hear_again(scene, &mut words),
            "delta" => self.hear_delta(scene, text, words),
            word @ ("m" | "M") => {
                assert_eq!(word == "m", self.encoding == 0);
                self.hear_message(scene, &mut words);
            }
            other => panic!("the application does not say {other}"),
        }
    }

    fn hear_message(&mut self, scene: &mut Scene<'_>, words: &mut Words<'_>) {
        let room = room_number(words.next());
        let (epoch, offset): (u64, u64) = (words.number(), words.number());
        let message_id = MessageId {
            from: words.number(),
            number: words.number(),
        };
        scene.truth.learn((room, epoch, offset), message_id);
        let filter = filter_of(self.id);
        assert!(filter.is_none_or(|filter| passes(&filter, message_id)));
        let id = self.id;
        let reader = self.readers.get_mut(&room);
        let reader = reader.unwrap_or_else(|| panic!("client {id} is not in {room}"));
        assert_eq!(reader.epoch, epoch);
        reader.hear(offset);
        self.heard.insert(room, message_id);
        self.acknowledge(scene, room, offset);
    }

    /// What it changes of what the client has heard last of the room, and then the message.
    fn hear_delta(&mut self, scene: &mut Scene<'_>, text: &str, mut words: Words<'_>) {
        let base = MessageId {
            from: words.number(),
            number: words.number(),
        };
        let mut name = Words::of(text);
        let room = (0..5).map(|_| name.next()).last();
        let room = room_number(room.expect("five words"));
        let deltas = deltas_of(self.id);
        assert_eq!(deltas, JoinDeltas::Wanted, "it did not ask for it");
        let heard = self.heard.get(&room);
        assert_eq!(heard, Some(&base), "it cannot build on that");
        scene.truth.count("deltas", 1);
        self.hear(scene, words.rest());
    }

    /// Now and then, and only if the room asks for it and the client is one that does.
    fn acknowledge(&mut self, scene: &mut Scene<'_>, room: usize, offset: u64) {
        let acks = acks_of(self.id) == JoinAcks::Always;
        if acks && (scene.settling || scene.random.chance(self.temper.acks_permille)) {
            if let Some(reader) = self.readers.get_mut(&room) {
                reader.acked = reader.acked.max(offset);
            }
            self.say(scene, &format!("ack {room} {offset}"));
        }
    }

    /// What it has heard, and not acknowledged.
    fn hear_again(&mut self, scene: &mut Scene<'_>, words: &mut Words<'_>) {
        assert_eq!(
            acks_of(self.id),
            JoinAcks::Always,
            "it acknowledges nothing"
        );
        assert_eq!(words.next() == "m", self.encoding == 0);
        let room = room_number(words.next());
        let (epoch, offset): (u64, u64) = (words.number(), words.number());
        let message_id = MessageId {
            from: words.number(),
            number: words.number(),
        };
        scene.truth.learn((room, epoch, offset), message_id);
        scene.truth.count("heard_again", 1);
        self.heard.insert(room, message_id);
        let reader = self.readers.get(&room).expect("it is in");
        assert_eq!(reader.epoch, epoch);
        assert!(
            reader.sent.contains(&offset),
            "{offset} was new: {reader:?}"
        );
        self.acknowledge(scene, room, offset);
    }

    fn joined(&mut self, scene: &mut Scene<'_>, words: &mut Words<'_>) {
        let room: usize = words.number();
        let (epoch, offset): (u64, u64) = (words.number(), words.number());
        let recovery = words.next();
        let asked = self.asked.remove(&room).expect("it asked");
        let start = match (asked, recovery) {
            (Some((of, since)), "recovered") => {
                assert!(of.is_none_or(|of| of == epoch) && since <= offset);
                scene.truth.count("recovered", 1);
                let something = u64::from(since < offset);
                scene.truth.count("recovered_something", something);
                let skips = scene.truth.given.contains_key(&(room, epoch));
                let with_skips = something * u64::from(skips);
                scene.truth.count("recovered_with_skips", with_skips);
                since
            }
            (Some((of, since)), "epoch_changed") => {
                let known = of.is_some_and(|of| of != epoch) || since > offset;
                assert!(known, "the epoch is the same");
                scene.truth.count("lost_epoch_changed", 1);
                offset
            }
            (Some((_, since)), "trimmed_by_size") => {
                assert!(since < offset);
                scene.truth.count("lost_trimmed_by_size", 1);
                offset
            }
            (Some((_, since)), "trimmed_by_age") => {
                assert!(since < offset);
                scene.truth.count("lost_trimmed_by_age", 1);
                offset
            }
            (None, "-") => offset,
            other => panic!("{other:?}"),
        };
        let reader = Reader {
            client: self.id,
            encoding: self.encoding,
            room,
            epoch,
            start,
            end: start,
            sent: Default::default(),
            missed: 0,
            acked: 0,
            newcomer: asked.is_none(),
        };
        self.heard.remove(&room);
        let before = self.readers.insert(room, reader);
        assert!(before.is_none(), "it was in already");
    }

    fn receive(&mut self, scene: &mut Scene<'_>, number: usize, place: (u64, u64), repeat: &str) {
        let (room, key) = self.published[number];
        let (epoch, offset) = place;
        let first = key.map(|key| *self.receipts.entry((room, key)).or_insert(place));
        if repeat == "duplicate" {
            scene.truth.count("duplicates", 1);
            assert!(key.is_some());
            // The first receipt may have been lost with a connection.
            assert!(first.is_none_or(|(of, _)| of != epoch) || first == Some(place));
        } else {
            let from = self.id;
            let message_id = MessageId { from, number };
            scene.truth.learn((room, epoch, offset), message_id);
        }
    }

    fn page(&mut self, scene: &mut Scene<'_>, words: &mut Words<'_>) {
        self.unanswered -= 1;
        let room: usize = words.number();
        let (epoch, _end): (u64, u64) = (words.number(), words.number());
        let mut offsets: Vec<u64> = Vec::new();
        loop {
            let word = words.next();
            if word.is_empty() {
                break;
            }
            let mut parts = word
                .split(':')
                .map(|part| part.parse::<u64>().expect("a number"));
            let mut next = || parts.next().expect("three numbers");
            let (offset, from, number) = (next(), next() as usize, next() as usize);
            scene
                .truth
                .learn((room, epoch, offset), MessageId { from, number });
            offsets.push(offset);
        }
        let forward = scene.truth.follow(room, epoch, &offsets);
        offsets.reverse();
        let reverse = scene.truth.follow(room, epoch, &offsets);
        assert!(forward || reverse, "a page with a hole: {offsets:?}");
        scene.truth.count("histories", 1);
    }

    /// All has been sent to everybody.
    pub(crate) fn check_end(&mut self, truth: &mut Truth) {
        for reader in std::mem::take(&mut self.readers).into_values() {
            truth.ended.push((reader, Ending::Complete));
        }
    }

    /// Closes at the end of a run.
    pub(crate) fn leave(&mut self, world: &mut World) {
        self.over = true;
        if let Some(socket) = self.socket.take() {
            world.close(socket);
        }
    }
}
