//! Lanes: one SPSC ring per direction, kind and pair of shards; a shard's ends of them are its
//! mailbox.
//!
//! Nothing blocks and nothing grows without bound: when a delivery lane is full its home takes no
//! more requests; when a request lane is full the message waits in the sender's spill, and the
//! connection that caused it is not read until the spill is gone. What the application asks for
//! meanwhile is refused beyond [`REQUESTS_WAITING_MAX`].

mod reunion;

pub(crate) use reunion::Reunion;

use crate::message::command::Command;
use crate::message::delivery::Delivery;
use crate::message::doorbell::Doorbell;
use crate::message::queue::{CommandQueue, Remote, command_queue};
use crate::message::request::{DELIVERIES_PER_REQUEST_MAX, ShardRequest};
use crate::query::gather::Outcome;
use crate::topic::key::Topic;
use crate::types::ticket::{Address, Ticket};
use foldhash::quality::FixedState;
use rtrb::{Consumer, Producer, RingBuffer};
use std::collections::VecDeque;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Messages that may wait in one lane. A delivery lane has a little more room: what one more
/// request may post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneCapacity(pub usize);

impl LaneCapacity {
    /// Messages per shard over all its lanes of one kind; each pair gets its share, at least
    /// [`Self::SMALLEST`].
    const PER_SHARD: usize = 8192;
    const SMALLEST: usize = 64;
    const LARGEST: usize = 2048;

    /// The production capacity for a number of shards: [`LaneCapacity::messages`] × 80 bytes for
    /// each ordered pair.
    pub fn for_shards(shards: usize) -> LaneCapacity {
        LaneCapacity((Self::PER_SHARD / shards).clamp(Self::SMALLEST, Self::LARGEST))
    }

    /// Places in a request lane and a delivery lane together.
    pub(crate) fn messages(self) -> usize {
        self.0 + self.deliveries()
    }

    /// Places in a delivery lane: as long as fewer than the capacity are taken, a request may be
    /// handled.
    fn deliveries(self) -> usize {
        self.0 + DELIVERIES_PER_REQUEST_MAX - 1
    }
}

/// Requests of a shard that may wait for lanes or for the shard itself before the application may
/// ask for nothing more. Besides them there may be one for each membership that ends, one for each
/// join that was refused, and this shard's parts of the answers under way.
pub(crate) const REQUESTS_WAITING_MAX: usize = 65_536;

/// A shard's ends of all lanes, and the doorbells.
pub struct Mailbox {
    shard: u16,
    capacity: usize,
    seed: u64,
    bells: Arc<[Doorbell]>,
    peers: Vec<PeerLanes>,
    own_requests: VecDeque<ShardRequest>,
    own_deliveries: VecDeque<Delivery>,
    /// Requests that handling deliveries has made, until their lanes have room.
    pending: VecDeque<(u16, ShardRequest)>,
    commands: CommandQueue,
    remote: Remote,
    /// Requests in all spills.
    spilled: usize,
    /// Every delivery lane has at least so many places.
    places: usize,
    /// Requests that were ever posted.
    requested: u64,
    turn: usize,
}

/// The lanes from and to one other shard. The own entry stays unconnected (`None` lanes): a shard
/// writes to itself in its queues.
struct PeerLanes {
    lanes: Option<Lanes>,
    spill: VecDeque<ShardRequest>,
    /// Something was posted since the last `rings`.
    posted: bool,
}

struct Lanes {
    requests_out: Producer<ShardRequest>,
    deliveries_out: Producer<Delivery>,
    requests_in: Consumer<ShardRequest>,
    deliveries_in: Consumer<Delivery>,
}

/// Connects `shards` mailboxes with each other. `seed` decides which shard is home to which room.
pub fn mesh(shards: usize, capacity: LaneCapacity, seed: u64) -> Vec<Mailbox> {
    assert!((1..=usize::from(u16::MAX)).contains(&shards) && capacity.0 >= 2);
    let bells: Arc<[Doorbell]> = (0..shards).map(|_| Doorbell::new()).collect();
    let mut mailboxes: Vec<Mailbox> = (0..shards)
        .map(|shard| Mailbox::unconnected(shard as u16, shards, capacity.0, seed, bells.clone()))
        .collect();
    for low in 0..shards {
        for high in low + 1..shards {
            let (requests_up, requests_up_in) = RingBuffer::new(capacity.0);
            let (requests_down, requests_down_in) = RingBuffer::new(capacity.0);
            let (deliveries_up, deliveries_up_in) = RingBuffer::new(capacity.deliveries());
            let (deliveries_down, deliveries_down_in) = RingBuffer::new(capacity.deliveries());
            mailboxes[low].peers[high].lanes = Some(Lanes {
                requests_out: requests_up,
                deliveries_out: deliveries_up,
                requests_in: requests_down_in,
                deliveries_in: deliveries_down_in,
            });
            mailboxes[high].peers[low].lanes = Some(Lanes {
                requests_out: requests_down,
                deliveries_out: deliveries_down,
                requests_in: requests_up_in,
                deliveries_in: deliveries_up_in,
            });
        }
    }
    mailboxes
}

impl Mailbox {
    fn unconnected(
        shard: u16,
        shards: usize,
        capacity: usize,
        seed: u64,
        bells: Arc<[Doorbell]>,
    ) -> Mailbox {
        let (remote, commands) = command_queue(&bells, shard);
        Mailbox {
            shard,
            capacity,
            seed,
            peers: (0..shards)
                .map(|_| PeerLanes {
                    lanes: None,
                    spill: VecDeque::new(),
                    posted: false,
                })
                .collect(),
            own_requests: VecDeque::new(),
            own_deliveries: VecDeque::new(),
            pending: VecDeque::new(),
            commands,
            remote,
            bells,
            spilled: 0,
            places: 0,
            requested: 0,
            turn: 0,
        }
    }

    /// Keeps no more than what waits. The lanes themselves are of one size, for ever.
    pub(crate) fn release_memory(&mut self) {
        self.own_requests.shrink_to_fit();
        self.own_deliveries.shrink_to_fit();
        self.pending.shrink_to_fit();
        for peer in &mut self.peers {
            peer.spill.shrink_to_fit();
        }
    }

    pub(crate) fn shard(&self) -> u16 {
        self.shard
    }

    /// The address of a connection of this shard.
    pub(crate) fn address(&self, ticket: Ticket) -> Address {
        Address {
            shard: self.shard,
            ticket,
        }
    }

    /// The process's seed.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn shards(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// The shard that orders a topic. Everyone's is shard 0.
    pub(crate) fn home(&self, topic: Option<Topic<'_>>) -> u16 {
        home_of(self.seed, self.peers.len(), topic)
    }

    /// Posts a request, to the spill if its lane is full. Requests to one shard keep their order.
    pub(crate) fn request(&mut self, to: u16, request: ShardRequest) {
        self.requested += 1;
        if to == self.shard {
            self.own_requests.push_back(request);
            return;
        }
        let peer = &mut self.peers[to as usize];
        peer.posted = true;
        let lanes = peer.lanes.as_mut().expect("every other shard is connected");
        let refused = if peer.spill.is_empty() {
            lanes
                .requests_out
                .push(request)
                .err()
                .map(|rtrb::PushError::Full(request)| request)
        } else {
            Some(request)
        };
        if let Some(request) = refused {
            peer.spill.push_back(request);
            self.spilled += 1;
        }
    }

    /// Requests that were ever posted.
    pub(crate) fn requested(&self) -> u64 {
        self.requested
    }

    /// Requests that wait for a lane or for this shard.
    #[inline]
    fn requests_waiting(&self) -> usize {
        self.spilled + self.own_requests.len() + self.pending.len()
    }

    /// The application may ask for nothing more.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.requests_waiting() >= REQUESTS_WAITING_MAX
    }

    /// While this holds, the shard takes no message of a connection and no command. So the spill
    /// holds what one message asked for, and what answers and endings of open connections add
    /// meanwhile: one request per home for each connection that closes, and what the application's
    /// calls post, until [`Mailbox::is_full`].
    pub(crate) fn is_congested(&self) -> bool {
        self.spilled > 0
            || self.own_requests.len() >= self.capacity
            || self.pending.len() >= self.capacity
    }

    /// Enqueues this shard's part of an answer for the shard that asked.
    pub(crate) fn enqueue_outcome(&mut self, outcome: Outcome) {
        self.enqueue(outcome.key.shard, ShardRequest::Outcome(outcome));
    }

    /// Posts a request as soon as its lane has room: handling a delivery never waits for a lane.
    /// The queue holds at most one request for each delivery that was handled while a lane was
    /// full, and nothing new is begun while it is as long as a lane.
    pub(crate) fn enqueue(&mut self, to: u16, request: ShardRequest) {
        self.pending.push_back((to, request));
    }

    /// Moves what waited into lanes that have room again.
    #[inline]
    pub(crate) fn unspill(&mut self) {
        if self.is_waiting() {
            self.unspill_all();
        }
    }

    #[inline(never)]
    fn unspill_all(&mut self) {
        for peer in &mut self.peers {
            let Some(lanes) = &mut peer.lanes else {
                continue;
            };
            while let Some(request) = peer.spill.pop_front() {
                if let Err(rtrb::PushError::Full(request)) = lanes.requests_out.push(request) {
                    peer.spill.push_front(request);
                    break;
                }
                self.spilled -= 1;
                peer.posted = true;
            }
        }
        while let Some((to, request)) = self.pending.pop_front() {
            let room = to == self.shard || {
                let peer = &self.peers[to as usize];
                peer.spill.is_empty()
                    && peer
                        .lanes
                        .as_ref()
                        .is_some_and(|lanes| !lanes.requests_out.is_full())
            };
            if !room {
                self.pending.push_front((to, request));
                return;
            }
            self.request(to, request);
        }
    }

    /// Something waits for room in another shard's lane.
    pub(crate) fn is_waiting(&self) -> bool {
        self.spilled > 0 || !self.pending.is_empty()
    }

    /// Every delivery lane can take what one request may post. Without that, no request may be
    /// taken.
    #[inline]
    pub(crate) fn can_deliver(&mut self) -> bool {
        self.own_deliveries.len() < self.capacity
            && (self.places >= DELIVERIES_PER_REQUEST_MAX || self.finds_places())
    }

    /// Looks at the readers' ends of all delivery lanes, which is seldom needed: not before those
    /// places are taken that were found the last time.
    #[inline(never)]
    fn finds_places(&mut self) -> bool {
        let lanes = self.peers.iter().filter_map(|peer| peer.lanes.as_ref());
        let places = lanes.map(|lanes| lanes.deliveries_out.slots());
        self.places = places.min().unwrap_or(usize::MAX);
        self.places >= DELIVERIES_PER_REQUEST_MAX
    }

    /// Posts a delivery; the caller has asked `can_deliver` since it took the request.
    pub(crate) fn deliver(&mut self, to: u16, delivery: Delivery) {
        if to == self.shard {
            self.own_deliveries.push_back(delivery);
            return;
        }
        let peer = &mut self.peers[to as usize];
        peer.posted = true;
        let lanes = peer.lanes.as_mut().expect("every other shard is connected");
        self.places = self.places.saturating_sub(1);
        lanes
            .deliveries_out
            .push(delivery)
            .expect("can_deliver was asked");
    }

    /// The next request from any shard, in turns; `None` also while a delivery lane is full.
    pub(crate) fn next_request(&mut self) -> Option<ShardRequest> {
        if !self.can_deliver() {
            return None;
        }
        self.next_in_turn(
            |own, _| own.pop_front(),
            |lanes| lanes.requests_in.pop().ok(),
        )
    }

    /// The next delivery from any home, in turns.
    pub(crate) fn next_delivery(&mut self) -> Option<Delivery> {
        self.next_in_turn(
            |_, own| own.pop_front(),
            |lanes| lanes.deliveries_in.pop().ok(),
        )
    }

    fn next_in_turn<L>(
        &mut self,
        own: impl Fn(&mut VecDeque<ShardRequest>, &mut VecDeque<Delivery>) -> Option<L>,
        lane: impl Fn(&mut Lanes) -> Option<L>,
    ) -> Option<L> {
        for _ in 0..self.peers.len() {
            // A lane with messages is read on until its batch is done: neighbours in a lane share
            // cache lines and rooms. Each way returns by itself, so that no message is moved twice.
            match &mut self.peers[self.turn].lanes {
                Some(lanes) => {
                    if let Some(message) = lane(lanes) {
                        return Some(message);
                    }
                }
                None => {
                    if let Some(message) = own(&mut self.own_requests, &mut self.own_deliveries) {
                        return Some(message);
                    }
                }
            }
            self.turn = (self.turn + 1) % self.peers.len();
        }
        None
    }

    /// Lets the next shard have its turn.
    pub(crate) fn rotate(&mut self) {
        self.turn = (self.turn + 1) % self.peers.len();
    }

    pub(crate) fn next_command(&mut self) -> Option<Command> {
        self.commands.next()
    }

    /// Commands were taken: wakes those who wait for a place in their queue.
    pub(crate) fn wake_waiting(&mut self) {
        self.commands.wake_waiting();
    }

    /// Messages and commands that wait to be taken.
    pub(crate) fn depth(&self) -> usize {
        self.messages() + self.commands.len()
    }

    /// Messages that wait to be taken.
    pub(crate) fn messages(&self) -> usize {
        let lanes = self.peers.iter().filter_map(|peer| peer.lanes.as_ref());
        lanes
            .map(|lanes| lanes.requests_in.slots() + lanes.deliveries_in.slots())
            .sum::<usize>()
            + self.own_requests.len()
            + self.own_deliveries.len()
    }

    /// Shards that sleep and were written to since the last call: each must be woken.
    pub(crate) fn rings(&mut self, mut wake: impl FnMut(u16)) {
        for (shard, peer) in self.peers.iter_mut().enumerate() {
            if std::mem::take(&mut peer.posted) && self.bells[shard].knock() {
                wake(shard as u16);
            }
        }
    }

    /// Announces sleep. Look at `depth` after this, and stay awake if it is not 0.
    pub(crate) fn announce_sleep(&self) {
        self.bells[self.shard as usize].announce();
    }

    pub(crate) fn awake(&self) {
        self.bells[self.shard as usize].awake();
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("shard", &self.shard)
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}
/// The shard that orders a topic, of so many with this seed.
pub(crate) fn home_of(seed: u64, shards: usize, topic: Option<Topic<'_>>) -> u16 {
    let hash = |seed: u64, name: &str| FixedState::with_seed(seed).hash_one(name);
    let hash = match topic {
        Some(_) if shards == 1 => return 0,
        Some(Topic::Room(name)) => hash(seed, name),
        // So that a user's home is not the one of a room with this name.
        Some(Topic::User(name)) => hash(!seed, name),
        None => return 0,
    };
    (hash % shards as u64) as u16
}
