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
pub(super) struct Logs {
    epochs: Vec<String>,
    logs: BTreeMap<(String, usize), Vec<u64>>,
}

impl Logs {
    pub(super) fn newest(&self) -> &str {
        self.epochs.last().expect("it has begun")
    }

    pub(super) fn get(&self, epoch: &str, room: usize, offset: u64) -> Option<u64> {
        let log = self.logs.get(&(epoch.to_owned(), room))?;
        log.get(usize::try_from(offset).ok()?.checked_sub(1)?)
            .copied()
    }

    pub(super) fn last(&self, room: usize) -> u64 {
        self.logs
            .get(&(self.newest().to_owned(), room))
            .map_or(0, |log| log.len() as u64)
    }

    /// No publish of the client is twice in one life of the server.
    pub(super) fn assert_once(&self) {
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
pub(super) struct Answered {
    pub(super) bytes: Vec<u8>,
    /// It cuts the connection soon.
    pub(super) closes: bool,
}

pub(super) struct Server {
    encoding: Encoding,
    log: Arc<Mutex<Logs>>,
    keys: BTreeMap<String, u64>,
    joined: BTreeSet<usize>,
    is_connected: bool,
    received: Vec<u8>,
    refusals: u32,
    connections: u64,
}

impl Server {
    pub(super) fn new(log: Arc<Mutex<Logs>>, encoding: Encoding) -> Server {
        let mut server = Server {
            encoding,
            log,
            keys: BTreeMap::new(),
            joined: BTreeSet::new(),
            is_connected: false,
            received: Vec::new(),
            refusals: 0,
            connections: 0,
        };
        server.restart();
        server
    }

    /// A new life: logs and keys are gone.
    pub(super) fn restart(&mut self) {
        let mut log = self.log.lock().expect("not poisoned");
        let epoch = format!("e{}", log.epochs.len());
        log.epochs.push(epoch);
        self.keys.clear();
    }

    pub(super) fn refuse_joins(&mut self, count: u32) {
        self.refusals = count;
    }

    pub(super) fn connected(&mut self) -> Answered {
        self.is_connected = true;
        self.connections += 1;
        self.say(
            &json!({"type": "welcome", "connection": format!("c{}", self.connections),
            "server": "model", "heartbeat_ms": 25_000, "max_message_bytes": 4_096}),
        )
    }

    pub(super) fn disconnected(&mut self) {
        self.is_connected = false;
        self.joined.clear();
        self.received.clear();
    }

    pub(super) fn close(&mut self, code: u16) -> Answered {
        let mut bytes = Vec::new();
        write_close(&mut bytes, CloseCode::new(code), "the simulation");
        Answered {
            bytes,
            closes: true,
        }
    }

    pub(super) fn drain(&mut self, reconnect: Duration) -> Answered {
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

    /// Somebody publishes.
    pub(super) fn publish(&mut self, room: usize, number: u64, key: Option<&str>) -> Answered {
        let (epoch, offset) = {
            let mut log = self.log.lock().expect("not poisoned");
            let epoch = log.newest().to_owned();
            let of_room = log.logs.entry((epoch.clone(), room)).or_default();
            of_room.push(number);
            (epoch, of_room.len() as u64)
        };
        if let Some(key) = key {
            self.keys.insert(format!("{epoch}/{key}"), offset);
        }
        match self.joined.contains(&room) {
            true => self.say(&message(room, offset, number)),
            false => Answered::default(),
        }
    }

    /// Takes what the client sent.
    pub(super) fn hear(&mut self, bytes: Vec<u8>, rng: &mut StdRng) -> Answered {
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
                if let Some(offset) = self.keys.get(&format!("{epoch}/{key}")) {
                    let duplicate = json!({"type": "ack", "id": id, "epoch": epoch,
                        "offset": offset, "duplicate": true});
                    return self.say(&duplicate);
                }
                if rng.random_ratio(1, 500) {
                    return self.say(&refusal(id));
                }
                let number = asked["data"].as_u64().expect("a number");
                let mut said = self.publish(room, number, Some(key));
                let (epoch, offset) = self.position(room);
                let ack = json!({"type": "ack", "id": id, "epoch": epoch, "offset": offset});
                said.bytes.extend(self.say(&ack).bytes);
                said
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
        let names: Vec<&Value> = match one {
            true => vec![&asked["room"]],
            false => asked["rooms"].as_array().expect("rooms").iter().collect(),
        };
        let (mut entries, mut missed) = (Vec::new(), Vec::new());
        for name in names {
            let room = room_of(name);
            assert!(self.joined.insert(room), "a room is joined once");
            let (epoch, last) = self.position(room);
            let mut entry = json!({"room": name, "members": 1, "epoch": epoch, "offset": last});
            let since = match one {
                true => &asked["since"],
                false => &asked["since"][name.as_str().expect("a name")],
            };
            if let Some(offset) = since["offset"].as_u64() {
                let goes_on = since["epoch"] == epoch && offset <= last;
                entry["recovered"] = json!(goes_on);
                if goes_on {
                    let log = self.log.lock().expect("not poisoned");
                    missed.extend((offset + 1..=last).map(|offset| {
                        let number = log.get(&epoch, room, offset).expect("it is kept");
                        message(room, offset, number)
                    }));
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
        let messages = missed.iter().flat_map(|message| self.say(message).bytes);
        match one {
            true => said.bytes.extend(answer.into_iter().chain(messages)),
            false => said.bytes.extend(messages.chain(answer)),
        }
        said
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
