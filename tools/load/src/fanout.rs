//! The load of rooms: members listen, talkers publish, and what each member gets is verified.
//! Invariant: talkers and audience go by one layout. Called by `worker`.

use crate::audience::{Audience, Delivery};
use crate::chat::drawn;
use crate::control::Outcome;
use crate::dialect::{Dialect, EVERYONE, Incoming, Role};
use crate::errors::{Agreed, Errors};
use crate::layout::Layout;
use crate::message::{Kind, Stamp};
use crate::meter::Meter;
use crate::plan::Share;
use crate::sockets::{Phase, Sockets};
use crate::stall::Stalls;
use crate::talkers::Talkers;

/// The rooms of a worker.
#[derive(Debug)]
pub(crate) struct Fanout {
    layout: Layout,
    /// Number of the first member in the whole run.
    first: u32,
    audience: Audience,
    talkers: Talkers,
    /// By talker of the whole run, once draining.
    published: Vec<u64>,
    pub(crate) meter: Meter,
    stalls: Option<Stalls>,
}

impl Fanout {
    /// For a worker's share.
    pub(crate) fn new(share: &Share) -> Fanout {
        let layout = Layout::new(share);
        // Workers draw different numbers.
        let chat = share.plan.chat;
        let seed = chat.map(|chat| drawn(chat.seed, u64::from(share.first)));
        Fanout {
            first: share.first,
            audience: Audience::new(&layout, share.plan.subscribes),
            talkers: Talkers::new(&layout, share.plan.pace, seed),
            published: Vec::new(),
            meter: Meter::new(),
            stalls: share
                .plan
                .stall
                .map(|stall| Stalls::new(stall, share.first, layout.members())),
            layout,
        }
    }

    /// What a connection is there for.
    pub(crate) fn role(&self, index: usize) -> Role {
        if index >= self.layout.members() {
            return Role::Publisher;
        }
        let room = self.layout.subscriptions(index).next();
        Role::Subscriber {
            room: room.expect("a member is in a room"),
        }
    }

    /// Before anything is connected.
    pub(crate) fn prepare(&self, sockets: &mut Sockets) {
        if let Some(stalls) = &self.stalls {
            stalls.prepare(sockets);
        }
    }

    /// Subscribes everyone.
    pub(crate) fn subscribe(&mut self, dialect: &Dialect, sockets: &mut Sockets) {
        if self.audience.is_subscribed() {
            return;
        }
        let mut out = Vec::new();
        for member in 0..self.layout.members() {
            out.clear();
            for room in self.layout.subscriptions(member) {
                let number = self.first + member as u32;
                dialect.append_subscribe(&mut out, member, number, room);
            }
            sockets.send(member, &out);
        }
    }

    /// Whether every member's subscriptions were taken in.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.audience.is_subscribed()
    }

    /// Sends a probe of every talker to each of its rooms.
    pub(crate) fn probe(&mut self, dialect: &Dialect, sockets: &mut Sockets) {
        self.talkers.probe(&self.layout, dialect, sockets);
    }

    /// Whether every member got a probe of every voice of its rooms.
    pub(crate) fn is_probed(&self) -> bool {
        self.audience.is_probed()
    }

    /// Sends from `start_ns` to the end of the window.
    pub(crate) fn run(&mut self, start_ns: u64, window_start_ns: u64, window_end_ns: u64) {
        self.meter.open(window_start_ns, window_end_ns);
        self.talkers.run(&self.layout, start_ns, window_end_ns);
        if let Some(stalls) = &mut self.stalls {
            stalls.run(window_start_ns);
        }
    }

    /// Publishes what is due. Returns when it wants to be called again.
    pub(crate) fn tick(&mut self, now_ns: u64, dialect: &Dialect, sockets: &mut Sockets) -> u64 {
        let mut deadline_ns = self.meter.tick(now_ns);
        if let Some(stalls) = &mut self.stalls {
            let window_end_ns = self.meter.window_end_ns();
            deadline_ns = deadline_ns.min(stalls.tick(now_ns, window_end_ns, sockets));
        }
        let sent = self.talkers.sent();
        let next_ns = self
            .talkers
            .tick(now_ns, &self.layout, &mut self.meter, dialect, sockets);
        self.meter.sent(self.talkers.sent() - sent);
        deadline_ns.min(next_ns)
    }

    /// Something came on a connection.
    pub(crate) fn receive(&mut self, index: usize, incoming: &Incoming, now_ns: u64) {
        match incoming {
            Incoming::Delivery(stamp) => self.deliver(index, stamp, now_ns),
            Incoming::Echo(Stamp {
                kind: Kind::Barrier,
                ..
            })
            | Incoming::Joined => self.audience.joined(index),
            Incoming::Echo(_) | Incoming::Corrupted => self.audience.corrupted(),
            Incoming::Welcome | Incoming::Other | Incoming::Refused(_) => {}
        }
    }

    fn deliver(&mut self, index: usize, stamp: &Stamp, now_ns: u64) {
        // Everyone is all connections of the server, those that only talk among them.
        if index >= self.layout.members() && stamp.room == EVERYONE {
            return;
        }
        match self.audience.deliver(&self.layout, index, stamp) {
            Delivery::Measured(voice, sequences) => {
                self.time(index, stamp.intended_ns, now_ns);
                self.talkers.delivered(&self.layout, voice, sequences);
            }
            Delivery::Unmeasured => {}
        }
    }

    /// What stallers felt is told apart: their latency is mostly their own.
    fn time(&mut self, member: usize, intended_ns: u64, now_ns: u64) {
        let Some(stalls) = &mut self.stalls else {
            return self.meter.arrived(now_ns, intended_ns);
        };
        if self.meter.contains(intended_ns) {
            stalls.felt(member, now_ns, intended_ns);
        }
        if stalls.received(member) {
            self.meter.received(now_ns);
        } else {
            self.meter.arrived(now_ns, intended_ns);
        }
    }

    /// The server said that it closes a connection, with this code.
    pub(crate) fn closing(&mut self, index: usize, code: u16) {
        if let Some(stalls) = &mut self.stalls {
            stalls.closing(index, code);
        }
    }

    /// A connection ended. Returns what to count, in words.
    pub(crate) fn ended(&mut self, index: usize, reason: Option<String>) -> Option<String> {
        let stalls = self.stalls.as_mut();
        let explained = stalls.is_some_and(|stalls| stalls.ended(index));
        reason.filter(|_| !explained)
    }

    /// Sends nothing more. Returns the messages by each talker of this worker.
    pub(crate) fn stop(&mut self) -> Vec<u64> {
        self.meter.close();
        self.talkers.stop();
        self.talkers.published().to_vec()
    }

    /// From here on it is known how much everyone is to get: messages by each talker of the whole
    /// run.
    pub(crate) fn drain(&mut self, published: Vec<u64>) {
        self.published = published;
    }

    /// Whether every member that lives has everything.
    pub(crate) fn is_settled(&self, sockets: &Sockets) -> bool {
        (0..self.layout.members())
            .filter(|&member| sockets.phase(member) != Phase::Closed)
            .all(|member| self.audience.has_all(&self.layout, member, &self.published))
    }

    /// The account.
    pub(crate) fn finish(self) -> Outcome {
        let (layout, published) = (&self.layout, &self.published);
        let excused = |member| {
            let stalls = self.stalls.as_ref();
            stalls.is_some_and(|stalls| stalls.is_closed(member))
        };
        let account = self.audience.settle(layout, published, excused);
        let stall = self
            .stalls
            .map(|stalls| stalls.settle(|member| layout.expected(member, published)));
        Outcome {
            meter: self.meter,
            sent: self.talkers.published().iter().sum(),
            received: account.received,
            expected: account.expected,
            faults: account.faults,
            orders: account.orders,
            agreed: Agreed::default(),
            traffic: None,
            errors: Errors::default(),
            stall,
            turnover: None,
        }
    }
}
