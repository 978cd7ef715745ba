//! How a shard that has begun anew comes together with the others again. It says so to each of
//! them, and drops what they sent until they answer: that was for what it had been.
//!
//! Invariant: what is read from a lane after its reunion was sent by a shard that knows of it. Two
//! shards that begin anew at the same time take what the other says for its answer. Called between
//! two lives of a shard (`run/supervision.rs`), whose ticks know nothing of it.

use super::{Lanes, Mailbox, PeerLanes};
use crate::message::delivery::{Delivery, PostOutcome};
use crate::message::request::ShardRequest;
use crate::query::gather::{Outcome, Part, QueryKey};
use crate::types::answer::{Listing, Report};
use std::collections::VecDeque;

/// How far it is with each of the others.
#[derive(Debug)]
pub(crate) struct Reunion {
    peers: Vec<PeerReunion>,
}

/// How far it is with one other shard.
#[derive(Debug, Default)]
struct PeerReunion {
    /// It has been told, in both lanes.
    told_in_requests: bool,
    told_in_deliveries: bool,
    /// What it sends from here on is for what this shard is now.
    requests_settled: bool,
    deliveries_settled: bool,
    /// It has begun anew, too, and waits for an answer.
    answers_due: bool,
}

impl PeerReunion {
    fn is_over(&self) -> bool {
        let told = self.told_in_requests && self.told_in_deliveries && !self.answers_due;
        told && self.requests_settled && self.deliveries_settled
    }
}

impl Mailbox {
    /// A mailbox of as many shards, whose lanes lead nowhere: for a shard that says its last words.
    pub(crate) fn leading_nowhere(&self) -> Mailbox {
        let capacity = super::LaneCapacity(2);
        let mut mailboxes = super::mesh(self.shards(), capacity, self.seed);
        mailboxes.swap_remove(usize::from(self.shard))
    }

    /// Drops what the shard had not sent yet, and what it had sent to itself: it begins anew.
    pub(crate) fn begin_anew(&mut self) -> Reunion {
        self.own_requests = VecDeque::new();
        self.own_deliveries = VecDeque::new();
        self.pending = VecDeque::new();
        (self.spilled, self.places, self.turn) = (0, 0, 0);
        for peer in &mut self.peers {
            peer.spill = VecDeque::new();
        }
        // Nobody rings for who is awake, and it looks by itself.
        self.awake();
        let peers = self.peers.iter().map(|_| PeerReunion::default());
        Reunion {
            peers: peers.collect(),
        }
    }

    /// Says what there is room for, and reads what the others have answered. True once all have;
    /// until then it is to be called again soon.
    pub(crate) fn reunite(&mut self, reunion: &mut Reunion) -> bool {
        let shard = self.shard;
        let mut outcomes = Vec::new();
        let peers = self.peers.iter_mut().zip(&mut reunion.peers);
        let mut are_over = true;
        for (peer, reunion) in peers {
            let PeerLanes { lanes, posted, .. } = peer;
            let Some(lanes) = lanes else { continue };
            lanes.drop_requests(reunion);
            lanes.drop_deliveries(reunion, &mut outcomes);
            *posted |= lanes.tell(shard, reunion);
            are_over &= reunion.is_over();
        }
        for outcome in outcomes {
            // What this shard had asked for is given up.
            if outcome.key.shard != shard {
                self.enqueue_outcome(outcome);
            }
        }
        are_over
    }
}

impl Lanes {
    /// Whether something was said.
    fn tell(&mut self, shard: u16, reunion: &mut PeerReunion) -> bool {
        let before = (self.requests_out.slots(), self.deliveries_out.slots());
        if !reunion.told_in_requests {
            let restarted = ShardRequest::Restarted { shard };
            reunion.told_in_requests = self.requests_out.push(restarted).is_ok();
        }
        if !reunion.told_in_deliveries {
            reunion.told_in_deliveries = self.deliveries_out.push(Delivery::Settled).is_ok();
        }
        let has_room = !self.requests_out.is_full() && !self.deliveries_out.is_full();
        let was_told = reunion.told_in_requests && reunion.told_in_deliveries;
        if reunion.answers_due && was_told && has_room {
            let settled = self.requests_out.push(ShardRequest::Settled).is_ok()
                && self.deliveries_out.push(Delivery::Settled).is_ok();
            reunion.answers_due = !settled;
        }
        before != (self.requests_out.slots(), self.deliveries_out.slots())
    }

    fn drop_requests(&mut self, reunion: &mut PeerReunion) {
        while !reunion.requests_settled
            && let Ok(request) = self.requests_in.pop()
        {
            match request {
                ShardRequest::Settled => reunion.requests_settled = true,
                ShardRequest::Restarted { .. } => {
                    (reunion.requests_settled, reunion.answers_due) = (true, true);
                }
                ShardRequest::Post { from, .. } if !self.deliveries_out.is_full() => {
                    let (who, outcome) = (from.ticket, PostOutcome::Gone);
                    let posted = Delivery::Posted { who, outcome };
                    let _there_is_room = self.deliveries_out.push(posted);
                }
                // Who asked gives it up, or has closed.
                _ => {}
            }
        }
    }

    /// What is asked with a delivery is answered: this shard has nothing to add.
    fn drop_deliveries(&mut self, reunion: &mut PeerReunion, outcomes: &mut Vec<Outcome>) {
        while !reunion.deliveries_settled
            && let Ok(delivery) = self.deliveries_in.pop()
        {
            reunion.deliveries_settled = matches!(delivery, Delivery::Settled);
            outcomes.extend(nothing_to_add(delivery));
        }
    }
}

/// This shard's part of an answer, where it has nobody any more.
fn nothing_to_add(delivery: Delivery) -> Option<Outcome> {
    let report = |key: Option<QueryKey>, parcels| {
        key.map(|key| Outcome {
            key,
            parcels,
            part: Part::Report(Report::default()),
        })
    };
    match delivery {
        Delivery::Message(parcel) => report(parcel.report, parcel.parcels),
        Delivery::Next(next) => report(next.parcel.report, next.parcel.parcels),
        Delivery::Sifted(sifted) => report(sifted.parcel.report, sifted.parcel.parcels),
        Delivery::Traced(traced) => nothing_to_add(traced.delivery),
        Delivery::Unencodable { key, parcels, .. } => report(Some(key), parcels),
        Delivery::List {
            key,
            parcels,
            total,
            ..
        } => {
            let members = Vec::new();
            let part = Part::Listing(Listing { total, members });
            Some(Outcome { key, parcels, part })
        }
        Delivery::Joined(_)
        | Delivery::Jumped(_)
        | Delivery::Left { .. }
        | Delivery::Refused { .. }
        | Delivery::CaughtUp(_)
        | Delivery::Posted { .. }
        | Delivery::Settled => None,
    }
}
