//! The members of rooms in one worker and what reached them. Invariant: a stream is a membership
//! and a voice of its room, numbered membership by membership. Called by `fanout`.

use crate::layout::{Layout, Membership, Voice};
use crate::message::{Kind, Stamp};
use crate::tally::{Arrival, Faults, Tally, chain};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Who listens.
#[derive(Debug)]
pub(crate) struct Audience {
    /// By member: answers to subscriptions that are awaited.
    unjoined: Vec<u32>,
    /// Members that await some.
    outside: usize,
    /// By stream.
    probed: Vec<bool>,
    unprobed: usize,
    tally: Tally,
    /// By membership: its first stream.
    streams: Vec<usize>,
    /// By membership: hash of the order of what came.
    orders: Vec<u64>,
}

/// What a delivery was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// New: these numbers of the voice in the room need not be awaited any longer here.
    Measured(Voice, RangeInclusive<u64>),
    /// A probe, or nothing new.
    Unmeasured,
}

impl Audience {
    /// `subscribes`: whether members must subscribe before they are reached.
    pub(crate) fn new(layout: &Layout, subscribes: bool) -> Audience {
        let mut count = 0;
        let streams = layout.all_memberships().map(|membership| {
            let first = count;
            count += layout.voices(membership.room).len();
            first
        });
        let streams: Vec<usize> = streams.collect();
        let probes = layout.all_memberships();
        let probes = probes.map(|membership| layout.probers(membership.room));
        let unjoined: Vec<u32> = (0..layout.members())
            .filter(|_| subscribes)
            .map(|member| layout.subscriptions(member).count() as u32)
            .collect();
        Audience {
            outside: unjoined.len(),
            unjoined,
            probed: vec![false; count],
            unprobed: probes.sum(),
            tally: Tally::new(count),
            orders: vec![0; streams.len()],
            streams,
        }
    }

    /// A member's subscription was taken in.
    pub(crate) fn joined(&mut self, member: usize) {
        if let Some(awaited) = self.unjoined.get_mut(member)
            && *awaited > 0
        {
            *awaited -= 1;
            self.outside -= usize::from(*awaited == 0);
        }
    }

    /// Whether every subscription was taken in.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.outside == 0
    }

    /// Whether every member got a probe of every voice that probes its rooms.
    pub(crate) fn is_probed(&self) -> bool {
        self.unprobed == 0
    }

    /// A message came that is none, or where it does not belong.
    pub(crate) fn corrupted(&mut self) {
        self.tally.corrupted();
    }

    /// A message came to a connection.
    pub(crate) fn deliver(&mut self, layout: &Layout, index: usize, stamp: &Stamp) -> Delivery {
        let Some((membership, place, voice)) = addressed(layout, index, stamp) else {
            self.corrupted();
            return Delivery::Unmeasured;
        };
        let stream = self.streams[membership.number] + place;
        if stamp.kind == Kind::Probe {
            self.unprobed -= usize::from(!std::mem::replace(&mut self.probed[stream], true));
            return Delivery::Unmeasured;
        }
        let order = &mut self.orders[membership.number];
        *order = chain(*order, stamp.sender, stamp.sequence);
        match self.tally.arrive(stream, stamp.sequence) {
            // What was skipped is lost: it must not hold up its talker. If it comes late, it was
            // counted already.
            Arrival::New { skipped } => {
                Delivery::Measured(voice, stamp.sequence - skipped..=stamp.sequence)
            }
            Arrival::Late => Delivery::Measured(voice, stamp.sequence + 1..=stamp.sequence),
            Arrival::Repeated => Delivery::Unmeasured,
        }
    }

    /// Whether a member has everything, `published` by each talker of the whole run.
    pub(crate) fn has_all(&self, layout: &Layout, member: usize, published: &[u64]) -> bool {
        layout.memberships(member).all(|membership| {
            let voices = layout.voices(membership.room).iter();
            let streams = self.streams[membership.number]..;
            streams
                .zip(voices)
                .all(|(stream, voice)| self.tally.next(stream) >= voice.expected(published))
        })
    }

    /// The account, `published` by each talker of the whole run. An excused member should have got
    /// what it got: nothing after its end.
    pub(crate) fn settle(
        self,
        layout: &Layout,
        published: &[u64],
        excused: impl Fn(usize) -> bool,
    ) -> AudienceAccount {
        let mut orders = BTreeMap::new();
        let mut expected = Vec::with_capacity(self.probed.len());
        for member in 0..layout.members() {
            let excused = excused(member);
            for membership in layout.memberships(member) {
                let first = self.streams[membership.number];
                for (place, voice) in layout.voices(membership.room).iter().enumerate() {
                    expected.push(if excused {
                        self.tally.next(first + place)
                    } else {
                        voice.expected(published)
                    });
                }
                if !excused {
                    let room = layout.room_name(membership.room);
                    let hash = self.orders[membership.number];
                    *orders.entry((room, hash)).or_default() += 1;
                }
            }
        }
        AudienceAccount {
            received: self.tally.arrived(),
            expected: expected.iter().sum(),
            faults: self.tally.settle(|stream| expected[stream]),
            orders: orders
                .into_iter()
                .map(|((room, hash), count)| (room, hash, count))
                .collect(),
        }
    }
}

/// What an audience got in all.
#[derive(Debug)]
pub(crate) struct AudienceAccount {
    pub(crate) received: u64,
    pub(crate) expected: u64,
    pub(crate) faults: Faults,
    /// (room, hash of the order in which messages came, members that saw this order)
    pub(crate) orders: Vec<(u32, u64, u64)>,
}

/// Where a message belongs, if it does.
fn addressed(layout: &Layout, index: usize, stamp: &Stamp) -> Option<(Membership, usize, Voice)> {
    if index >= layout.members() {
        return None;
    }
    let membership = layout
        .memberships(index)
        .find(|membership| layout.room_name(membership.room) == stamp.room)?;
    let (place, voice) = layout.voice(membership.room, stamp.sender)?;
    Some((membership, place, voice))
}
