//! Which rooms the client wants to be in, and the joins and leaves that bring the server to it: in
//! as few messages as may be, since all rooms of a client are joined again after each reconnect.
//!
//! Invariant: a room is joined once, however many subscriptions it has, and left with the last. The
//! server joins all rooms of a request or none, so a request that it refuses is asked again in
//! halves until only the refused rooms are left. Used by the core.

mod answers;
mod moving;

use crate::backoff::Backoff;
use crate::encoding::{Body, Encoding};
use crate::error::Error;
use crate::message::{Item, Position, SinceRooms};
use crate::room::{Call, Ear, Membership, Room};
use crate::token::{TokenFuture, TokenProvider};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Joins and leaves that wait for their answers.
const UNDER_WAY_MAX: usize = 8;

/// Items of all rooms that came before the join of theirs was answered, and bytes of their data.
/// More: the room is left and joined by itself.
const EARLY_MAX: usize = 4_096;
const EARLY_BYTES_MAX: usize = 4 << 20;

/// What surrounds the rooms of a request: type, id, keys, and what presence shows.
const ENVELOPE_BYTES: usize = 160 + 1_024;

/// What a position takes beside its epoch and the digits of its offset, behind the room's name.
const POSITION_BYTES: usize = r#":{"epoch":"","offset":},"#.len();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Join,
    Leave,
}

/// Rooms that one request names.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    asked: Asked,
    rooms: Vec<Arc<str>>,
    presence: Option<Arc<serde_json::Value>>,
    token: Option<String>,
}

/// What the rooms of a group show, and their names.
type Group = (Option<Arc<serde_json::Value>>, Vec<Arc<str>>);

/// What the core is to do about an answer.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum After {
    Nothing,
    /// It is not known any more what the server has: the connection is to be made anew.
    Confused,
}

/// Whether rooms keep history, as their joins told: the requests learn whether they take keys.
pub(crate) type Learned = Vec<(Arc<str>, TakesKeys)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakesKeys {
    No,
    Maybe,
    Yes,
}

#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: HashMap<Arc<str>, Room, RandomState>,
    /// Those whose membership may have to change.
    dirty: Vec<Arc<str>>,
    batches: VecDeque<Batch>,
    under_way: usize,
    /// Rooms whose own tokens are being asked for, and those that nobody has asked for yet.
    tokens_under_way: usize,
    tokens_wanted: Vec<(Arc<str>, TokenProvider)>,
    is_up: bool,
    early: Early,
    backoff: Backoff,
    encoding: Encoding,
    /// When a room that was refused for now is asked for again.
    retry_at: Option<Instant>,
}

/// What rooms hold of items that came before their joins.
#[derive(Debug, Default)]
struct Early {
    items: usize,
    bytes: usize,
}

impl Early {
    /// What a room holds does not count any more.
    fn release(&mut self, room: &Room) {
        self.items -= room.early.len();
        self.bytes -= room.early.iter().map(Item::held_bytes).sum::<usize>();
    }
}

impl Rooms {
    pub(crate) fn new(backoff: Backoff, encoding: Encoding) -> Rooms {
        Rooms {
            rooms: HashMap::default(),
            dirty: Vec::new(),
            batches: VecDeque::new(),
            under_way: 0,
            tokens_under_way: 0,
            tokens_wanted: Vec::new(),
            is_up: false,
            early: Early::default(),
            backoff,
            encoding,
            retry_at: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    pub(crate) fn subscribe(&mut self, name: &str, ear: Ear, calls: &mut Vec<Call>) {
        let room = match self.rooms.get_mut(name) {
            Some(room) => room,
            None => {
                let name: Arc<str> = Arc::from(name);
                let room = Room::new(Arc::clone(&name));
                self.rooms.entry(name).or_insert(room)
            }
        };
        room.add(ear, calls);
        self.dirty.push(Arc::clone(&room.name));
    }

    pub(crate) fn unsubscribe(&mut self, name: &str, id: u64, calls: &mut Vec<Call>) {
        let Some(room) = self.rooms.get_mut(name) else {
            return;
        };
        room.remove(id, calls);
        self.changed(name);
    }

    /// The room of the subscription with this id.
    pub(crate) fn room_of(&self, id: u64) -> Option<Arc<str>> {
        let mut rooms = self.rooms.values();
        let room = rooms.find(|room| room.ears.iter().any(|ear| ear.id == id));
        room.map(|room| Arc::clone(&room.name))
    }

    pub(crate) fn position(&self, name: &str) -> Option<Position> {
        self.rooms.get(name)?.position()
    }

    /// A subscription has ended: a room without any is left.
    fn changed(&mut self, name: &str) {
        let Some(room) = self.rooms.get(name).filter(|room| room.ears.is_empty()) else {
            return;
        };
        if !self.is_up || room.membership == Membership::Out {
            self.rooms.remove(name);
        } else {
            self.dirty.push(Arc::clone(&room.name));
        }
    }

    /// The session stands. Whether rooms of an earlier one are being joined again.
    pub(crate) fn connected(&mut self, now: Instant, bytes_max: usize) -> bool {
        self.is_up = true;
        self.dirty = self.rooms.keys().cloned().collect();
        self.reconcile(now, bytes_max);
        self.is_busy() && self.rooms.values().any(|room| room.known)
    }

    pub(crate) fn disconnected(&mut self) {
        self.is_up = false;
        self.batches.clear();
        self.tokens_wanted.clear();
        (self.under_way, self.tokens_under_way) = (0, 0);
        self.early = Early::default();
        self.retry_at = None;
        self.dirty = Vec::new();
        self.rooms.retain(|_, room| {
            room.disconnected();
            !room.ears.is_empty()
        });
    }

    pub(crate) fn close(&mut self, error: Option<&Error>, calls: &mut Vec<Call>) {
        self.disconnected();
        for (_, mut room) in self.rooms.drain() {
            room.end(error, calls);
        }
    }

    /// Whether anybody subscribes to a room.
    pub(crate) fn is_heard(&self, name: &str) -> bool {
        self.rooms
            .get(name)
            .is_some_and(|room| !room.ears.is_empty())
    }

    /// Whether joins are being asked for or wait to be.
    pub(crate) fn is_busy(&self) -> bool {
        let tokens = self.tokens_under_way + self.tokens_wanted.len();
        self.under_way + self.batches.len() + tokens > 0
    }

    /// Hands an item to its room: the one that `item` makes, if the room is one of ours.
    pub(crate) fn heard(
        &mut self,
        name: &str,
        item: impl FnOnce(&Arc<str>) -> Item,
        calls: &mut Vec<Call>,
    ) {
        let Some(room) = self.rooms.get_mut(name) else {
            return;
        };
        match room.membership {
            Membership::In if !room.overflowed => {
                let item = item(&room.name);
                room.hear(item, calls);
                if room.ears.is_empty() {
                    self.changed(name);
                }
            }
            Membership::Joining if !room.overflowed => {
                let item = item(&room.name);
                let bytes = item.held_bytes();
                if self.early.items < EARLY_MAX && self.early.bytes + bytes <= EARLY_BYTES_MAX {
                    self.early.items += 1;
                    self.early.bytes += bytes;
                    room.early.push(item);
                } else {
                    self.early.release(room);
                    room.early = Vec::new();
                    room.overflowed = true;
                }
            }
            Membership::In | Membership::Joining | Membership::Out | Membership::Leaving => {}
        }
    }

    /// When it is to be looked at again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Brings the wishes and what the server has together, as far as may be asked now.
    pub(crate) fn reconcile(&mut self, now: Instant, bytes_max: usize) {
        if !self.is_up {
            return;
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.dirty.extend(self.rooms.keys().cloned());
        }
        if self.dirty.is_empty() {
            return;
        }
        let (mut leave, mut join) = (Vec::new(), Vec::new());
        for name in std::mem::take(&mut self.dirty) {
            let Some(room) = self.rooms.get_mut(&name) else {
                continue;
            };
            let wanted = !room.ears.is_empty();
            // What is asked comes back when it is answered.
            let list = match room.membership {
                Membership::In if !wanted || room.overflowed => &mut leave,
                Membership::Out if wanted => &mut join,
                _ => continue,
            };
            match room.not_before {
                Some(at) if at > now => {
                    self.retry_at = Some(self.retry_at.map_or(at, |other| other.min(at)));
                }
                _ => {
                    room.membership = match room.membership {
                        Membership::In => Membership::Leaving,
                        _ => Membership::Joining,
                    };
                    list.push(name);
                }
            }
        }
        for rooms in self.chunks(leave, bytes_max) {
            self.batches.push_back(Batch {
                asked: Asked::Leave,
                rooms,
                presence: None,
                token: None,
            });
        }
        self.join(join, bytes_max);
    }

    fn join(&mut self, names: Vec<Arc<str>>, bytes_max: usize) {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for name in names {
            let wishes = self.rooms[&name].wishes();
            if let Some(token) = wishes.token {
                self.tokens_wanted.push((name, token));
                continue;
            }
            let key = wishes
                .presence
                .as_ref()
                .map_or_else(String::new, |value| value.to_string());
            let group = groups
                .entry(key)
                .or_insert_with(|| (wishes.presence, Vec::new()));
            group.1.push(name);
        }
        for (presence, names) in groups.into_values() {
            for rooms in self.chunks(names, bytes_max) {
                self.batches.push_back(Batch {
                    asked: Asked::Join,
                    rooms,
                    presence: presence.clone(),
                    token: None,
                });
            }
        }
    }

    /// A room whose token is to be asked for now.
    pub(crate) fn next_token(&mut self) -> Option<(Arc<str>, TokenFuture)> {
        if self.tokens_under_way >= UNDER_WAY_MAX {
            return None;
        }
        let (name, provider) = self.tokens_wanted.pop()?;
        self.tokens_under_way += 1;
        Some((name, provider.ask()))
    }

    /// The provider of a room's token has answered.
    pub(crate) fn token(
        &mut self,
        now: Instant,
        name: Arc<str>,
        token: Result<String, Error>,
        random: f64,
    ) {
        self.tokens_under_way = self.tokens_under_way.saturating_sub(1);
        let Some(room) = self.rooms.get(&name) else {
            return;
        };
        match token {
            Ok(token) => self.batches.push_back(Batch {
                asked: Asked::Join,
                presence: room.wishes().presence,
                rooms: vec![name],
                token: Some(token),
            }),
            Err(error) => self.later(now, Asked::Join, &[name], &error, random),
        }
    }

    /// Rooms in as few requests as fit into messages.
    fn chunks(&self, names: Vec<Arc<str>>, bytes_max: usize) -> Vec<Vec<Arc<str>>> {
        let max = bytes_max.saturating_sub(ENVELOPE_BYTES);
        let mut chunks: Vec<Vec<Arc<str>>> = Vec::new();
        let mut bytes = usize::MAX;
        for name in names {
            let room = &self.rooms[&name];
            let written = name_bytes(&name);
            let cost = match room.position() {
                Some(Position { epoch, offset }) => {
                    let digits = offset.checked_ilog10().unwrap_or(0) as usize + 1;
                    2 * written + name_bytes(&epoch) + digits + POSITION_BYTES
                }
                None => written,
            };
            match chunks.last_mut() {
                Some(chunk) if bytes + cost <= max && chunk.len() < room.together => {
                    chunk.push(name);
                    bytes += cost;
                }
                _ => {
                    chunks.push(vec![name]);
                    bytes = cost;
                }
            }
        }
        chunks
    }

    /// The next request, if one may be asked now.
    pub(crate) fn next_request(&mut self) -> Option<(Body, Batch)> {
        if self.under_way >= UNDER_WAY_MAX {
            return None;
        }
        let batch = self.batches.pop_front()?;
        self.under_way += 1;
        let body = self.request(&batch);
        Some((body, batch))
    }

    fn request(&mut self, batch: &Batch) -> Body {
        let kind = match batch.asked {
            Asked::Join => "join_room",
            Asked::Leave => "leave_room",
        };
        let mut body = Body::new(self.encoding, kind);
        match &batch.rooms[..] {
            [one] => body.text("room", one),
            several => put(&mut body, "rooms", several),
        }
        if batch.asked == Asked::Leave {
            return body;
        }
        for name in &batch.rooms {
            if let Some(room) = self.rooms.get_mut(name) {
                room.asked = (!room.anew).then(|| room.position()).flatten();
            }
        }
        let asked = |name: &Arc<str>| self.rooms.get(name).and_then(|room| room.asked.as_ref());
        match &batch.rooms[..] {
            [one] => {
                if let Some(since) = asked(one) {
                    put(&mut body, "since", since);
                }
            }
            several => {
                let since: SinceRooms<'_> = several
                    .iter()
                    .filter_map(|name| Some((&**name, asked(name)?)))
                    .collect();
                if !since.is_empty() {
                    put(&mut body, "since", &since);
                }
            }
        }
        if let Some(presence) = &batch.presence {
            put(&mut body, "presence", &**presence);
        }
        if let Some(token) = &batch.token {
            body.text("token", token);
        }
        body
    }
}

fn put<T: serde::Serialize + ?Sized>(body: &mut Body, key: &str, value: &T) {
    let written = body.put(key, value);
    debug_assert!(written.is_ok(), "names and positions can be written");
}

/// A name as it is written in JSON, with its comma.
fn name_bytes(name: &str) -> usize {
    let escapes = name
        .bytes()
        .filter(|byte| matches!(byte, b'"' | b'\\'))
        .count();
    name.len() + escapes + 3
}
