//! The server of the simulation: plainly right, and without a clock.

use crate::encoding::Encoding;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use shardcast_protocol::close::CloseCode;
use shardcast_protocol::frame::{OpCode, write_close, write_frame};
use shardcast_protocol::reader::{FrameEvent, ReadLimits, Role, Step, next};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What every life of the server has published: by epoch and room, in order.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    epochs: Vec<String>,
    logs: BTreeMap<(String, usize), Vec<u64>>,
    /// Of publishes, with their offsets.
    keys: BTreeMap<String, u64>,
}

impl Logs {
    /// A new life of the server: logs and keys are gone.
    pub(crate) fn restart(&mut self) {
        let epoch = format!("e{}", self.epochs.len());
        self.epochs.push(epoch);
        self.keys.clear();
    }

    /// Somebody publishes.
    pub(crate) fn append(&mut self, room: usize, number: u64, key: Option<&str>) {
        let epoch = self.newest().to_owned();
        let of_room = self.logs.entry((epoch, room)).or_default();
        of_room.push(number);
        let offset = of_room.len() as u64;
        self.keys.extend(key.map(|key| (key.to_owned(), offset)));
    }

    pub(crate) fn newest(&self) -> &str {
        self.epochs.last().expect("it has begun")
    }

    pub(crate) fn get(&self, epoch: &str, room: usize, offset: u64) -> Option<u64> {
        let log = self.logs.get(&(epoch.to_owned(), room))?;
        log.get(usize::try_from(offset).ok()?.checked_sub(1)?)
            .copied()
    }

    pub(crate) fn last(&self, room: usize) -> u64 {
        self.logs
            .get(&(self.newest().to_owned(), room))
            .map_or(0, |log| log.len() as u64)
    }

    /// No publish of the client is twice in one life of the server.
    pub(crate) fn assert_once(&self) {
        for epoch in &self.epochs {
            let mut seen = BTreeSet::new();
            let logs = self.logs.iter().filter(|((of, _), _)| of == epoch);
            for number in logs.flat_map(|(_, log)| log).filter(|number| **number > 0) {
                assert!(seen.insert(number), "{number} was published twice");
            }
        }
    }
}

/// What the server says to its client.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) bytes: Vec<u8>,
    /// It cuts the connection soon.
    pub(crate) closes: bool,
}

pub(crate) struct Server {
    encoding: Encoding,
    log: Arc<Mutex<Logs>>,
    /// The rooms that its client is in, and what it was told of each.
    joined: BTreeMap<usize, u64>,
    is_connected: bool,
    received: Vec<u8>,
    refusals: u32,
    connections: u64,
}

impl Server {
    pub(crate) fn new(log: Arc<Mutex<Logs>>, encoding: Encoding) -> Server {
        let server = Server {
            encoding,
            log,
            joined: BTreeMap::new(),
            is_connected: false,
            received: Vec::new(),
            refusals: 0,
            connections: 0,
        };
        let mut log = server.log.lock().expect("not poisoned");
        if log.epochs.is_empty() {
            log.restart();
        }
        drop(log);
        server
    }

    pub(crate) fn refuse_joins(&mut self, count: u32) {
        self.refusals = count;
    }

    pub(crate) fn connected(&mut self) -> Answered {
        self.is_connected = true;
        self.connections += 1;
        self.say(
            &json!({"type": "welcome", "connection": format!("c{}", self.connections),
            "server": "model", "heartbeat_ms": 25_000, "max_message_bytes": 4_096}),
        )
    }

    pub(crate) fn disconnected(&mut self) {
        self.is_connected = false;
        self.joined.clear();
        self.received.clear();
    }

    pub(crate) fn close(&mut self, code: u16) -> Answered {
        let mut bytes = Vec::new();
        write_close(&mut bytes, CloseCode::new(code), "the simulation");
        Answered {
            bytes,
            closes: true,
        }
    }

    pub(crate) fn drain(&mut self, reconnect: Duration) -> Answered {
        let reconnect_ms = reconnect.as_millis() as u64;
        let closing =
            json!({"type": "closing", "reason": "draining", "reconnect_ms": reconnect_ms});
        let mut said = self.say(&closing);
        said.bytes.extend(self.close(1001).bytes);
        said.closes = true;
        said
    }

    fn say(&self, message: &Value) -> Answered {
        let mut bytes = Vec::new();
        if self.is_connected {
            match self.encoding {
                Encoding::Json => {
                    write_frame(&mut bytes, OpCode::Text, message.to_string().as_bytes());
                }
                Encoding::MessagePack => {
                    let packed = rmp_serde::to_vec_named(message).expect("a message");
                    write_frame(&mut bytes, OpCode::Binary, &packed);
                }
            }
        }
        Answered {
            bytes,
            closes: false,
        }
    }

    fn position(&self, room: usize) -> (String, u64) {
        let log = self.log.lock().expect("not poisoned");
        (log.newest().to_owned(), log.last(room))
    }

    /// Says what has been published since in the rooms that its client is in.
    pub(crate) fn tell(&mut self) -> Answered {
        let mut said = Answered::default();
        for (room, told) in self.joined.clone() {
            let (_, last) = self.position(room);
            self.joined.insert(room, last);
            said.bytes.extend(self.messages(room, told, last));
        }
        said
    }

    /// Of a room, behind one offset up to another.
    fn messages(&self, room: usize, since: u64, last: u64) -> Vec<u8> {
        let log = self.log.lock().expect("not poisoned");
        let numbered = (since + 1..=last).map(|offset| {
            let number = log.get(log.newest(), room, offset);
            message(room, offset, number.expect("it is kept"))
        });
        numbered
            .flat_map(|message| self.say(&message).bytes)
            .collect()
    }

    /// Takes what the client sent.
    pub(crate) fn hear(&mut self, bytes: Vec<u8>, rng: &mut StdRng) -> Answered {
        self.received.extend(bytes);
        let mut received = std::mem::take(&mut self.received);
        let limits = ReadLimits {
            message_bytes_max: 4_096,
        };
        let (mut at, mut answered) = (0, Answered::default());
        while at < received.len() {
            let step = next(&mut received[at..], &mut None, Role::Server, &limits);
            let Step::Event { event, used } = step.expect("the client keeps the rules") else {
                break;
            };
            at += used;
            let said = match event {
                FrameEvent::Text(text) => {
                    self.answer(&serde_json::from_str(text).expect("JSON"), rng)
                }
                FrameEvent::Binary(bytes) => {
                    self.answer(&rmp_serde::from_slice(bytes).expect("MessagePack"), rng)
                }
                FrameEvent::Ping(payload) => {
                    let mut bytes = Vec::new();
                    write_frame(&mut bytes, OpCode::Pong, payload);
                    Answered {
                        bytes,
                        closes: false,
                    }
                }
                FrameEvent::Pong(_) | FrameEvent::Close(_) => Answered::default(),
                FrameEvent::Fragment | FrameEvent::Assembled => {
                    panic!("the client fragments nothing")
                }
            };
            answered.bytes.extend(said.bytes);
        }
        received.drain(..at);
        self.received = received;
        answered
    }

    fn answer(&mut self, asked: &Value, rng: &mut StdRng) -> Answered {
        let id = &asked["id"];
        match asked["type"].as_str().expect("a type") {
            "join_room" => self.join(asked),
            "publish" => {
                let room = room_of(&asked["room"]);
                let key = asked["key"].as_str().expect("a key");
                let (epoch, _) = self.position(room);
                let known = self
                    .log
                    .lock()
                    .expect("not poisoned")
                    .keys
                    .get(key)
                    .copied();
                if let Some(offset) = known {
                    let duplicate = json!({"type": "ack", "id": id, "epoch": epoch,
                        "offset": offset, "duplicate": true});
                    return self.say(&duplicate);
                }
                if rng.random_ratio(1, 500) {
                    return self.say(&refusal(id));
                }
                let number = asked["data"].as_u64().expect("a number");
                let mut log = self.log.lock().expect("not poisoned");
                log.append(room, number, Some(key));
                drop(log);
                let mut said = self.tell();
                let (epoch, offset) = self.position(room);
                let ack = json!({"type": "ack", "id": id, "epoch": epoch, "offset": offset});
                said.bytes.extend(self.say(&ack).bytes);
                said
            }
            "leave_room" => {
                for name in names(asked) {
                    let left = self.joined.remove(&room_of(name));
                    left.expect("a room is left once");
                }
                self.say(&json!({"type": "left", "id": id}))
            }
            other => panic!("{other}"),
        }
    }

    fn join(&mut self, asked: &Value) -> Answered {
        let id = &asked["id"];
        if self.refusals > 0 {
            self.refusals -= 1;
            return self.say(&refusal(id));
        }
        let one = asked["room"].is_string();
        let (mut entries, mut missed) = (Vec::new(), Vec::new());
        for name in names(asked) {
            let room = room_of(name);
            let (epoch, last) = self.position(room);
            let joined = self.joined.insert(room, last);
            assert_eq!(joined, None, "a room is joined once");
            let mut entry = json!({"room": name, "members": 1, "epoch": epoch, "offset": last});
            let since = match one {
                true => &asked["since"],
                false => &asked["since"][name.as_str().expect("a name")],
            };
            if let Some(offset) = since["offset"].as_u64() {
                let goes_on = since["epoch"] == epoch && offset <= last;
                entry["recovered"] = json!(goes_on);
                if goes_on {
                    missed.extend(self.messages(room, offset, last));
                } else {
                    entry["reason"] = json!("epoch_changed");
                }
            }
            entries.push(entry);
        }
        let mut answer = match one {
            true => entries.remove(0),
            false => json!({"rooms": entries}),
        };
        answer["type"] = json!("joined");
        answer["id"] = id.clone();
        let mut said = Answered::default();
        // With several rooms, messages may come before the answer.
        let answer = self.say(&answer).bytes;
        match one {
            true => said.bytes.extend(answer.into_iter().chain(missed)),
            false => said.bytes.extend(missed.into_iter().chain(answer)),
        }
        said
    }
}

/// The rooms that a request names.
fn names(asked: &Value) -> Vec<&Value> {
    match &asked["room"] {
        Value::Null => asked["rooms"].as_array().expect("rooms").iter().collect(),
        one => vec![one],
    }
}

fn room_of(name: &Value) -> usize {
    let name = name.as_str().expect("a name");
    name.strip_prefix("room-")
        .and_then(|number| number.parse().ok())
        .expect("a room")
}

fn message(room: usize, offset: u64, number: u64) -> Value {
    json!({"type": "message", "room": format!("room-{room}"), "from": "m",
        "offset": offset, "data": number})
}

fn refusal(id: &Value) -> Value {
    json!({"type": "error", "id": id, "code": "rate_limited", "message": "too much",
        "retryable": true, "retry_after_ms": 50})
}
