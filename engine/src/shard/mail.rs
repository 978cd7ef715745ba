//! Letters: requests that this shard orders, deliveries for its members, commands from outside.

use super::Shard;
use crate::core::JoinedLetter;
use crate::driver::Driver;
use crate::letter::{Command, Delivery, Request};
use crate::phase::Phase;
use crate::{Answer, Application, CloseReason};

/// Requests, and deliveries, taken per tick.
const LETTERS_PER_TICK: usize = 4096;
/// Letters taken from one lane before the next has its turn.
const LETTERS_PER_LANE: usize = 64;

impl<A: Application, D: Driver> Shard<A, D> {
    /// Commands wait in their bounded queue while a lane is full, like everything else that would post requests.
    pub(super) fn obey(&mut self) {
        while !self.core.mail.is_congested()
            && let Some(command) = self.core.mail.next_command()
        {
            match command {
                Command::Publish(mut publication) => {
                    publication.frame = self.core.seal_for_sharers(publication.frame);
                    let home = self.core.mail.home(publication.room.as_deref());
                    self.core.mail.request(home, Request::Publish(publication));
                }
                Command::ReplaceTls { listener, tls } => self.core.secure.replace(listener, tls),
                Command::Drain => self.start_drain(),
            }
        }
    }

    pub(super) fn take_requests(&mut self) {
        for count in 1..=LETTERS_PER_TICK {
            let Some(request) = self.core.mail.next_request() else {
                break;
            };
            self.handle(request);
            if count % LETTERS_PER_LANE == 0 {
                self.core.mail.rotate();
            }
        }
    }

    fn handle(&mut self, request: Request) {
        let core = &mut self.core;
        match request {
            Request::Join {
                room,
                who,
                tag,
                counted,
            } => {
                let members = core.homes.join(&room, who.shard, counted);
                core.mail.deliver(
                    who.shard,
                    Delivery::Joined {
                        room,
                        who: who.ticket,
                        tag,
                        members,
                        counted,
                    },
                );
            }
            Request::Leave { room, who, tag } => {
                core.homes.leave(&room, who.shard);
                core.mail.deliver(
                    who.shard,
                    Delivery::Left {
                        room,
                        who: who.ticket,
                        tag,
                    },
                );
            }
            Request::Depart { rooms, shard } => {
                rooms.iter().for_each(|room| core.homes.leave(room, shard))
            }
            Request::Publish(publication) => core.order(publication),
            Request::Outcome(outcome) => {
                let report = core.reports.add(outcome);
                self.answer(report.map(|(who, tag, report)| (who, tag, Answer::Reported(report))));
            }
            Request::Post { to, from, frame } => self.take_post(to, from, &frame),
            Request::Send { to, frame } => {
                if core.connections.phase(to) == Phase::Open {
                    core.write_frame(to, |out| out.extend_from_slice(frame.bytes()));
                } else {
                    core.counters.dropped_closing.add(1);
                }
            }
            Request::Disconnect { who, code, reason } => {
                core.close(who, code, &reason, CloseReason::Application(code));
            }
        }
    }

    /// Deliveries wait while an earlier message is still going out: what a membership change follows must have left before it.
    pub(super) fn take_deliveries(&mut self) {
        for count in 1..=LETTERS_PER_TICK {
            if !self.core.fan_outs.is_empty() {
                return;
            }
            let Some(delivery) = self.held.take().or_else(|| self.core.mail.next_delivery()) else {
                break;
            };
            match delivery {
                Delivery::Message(parcel) => self.core.collect(parcel),
                Delivery::Posted { who, outcome } => self.posted(who, outcome),
                change => self.change_membership(change),
            }
            if count % LETTERS_PER_LANE == 0 {
                self.core.mail.rotate();
            }
        }
        self.core.seal_all();
    }

    fn change_membership(&mut self, change: Delivery) {
        let room = match &change {
            Delivery::Joined { room, .. } | Delivery::Left { room, .. } => room,
            Delivery::Message(_) | Delivery::Posted { .. } => return,
        };
        if self.core.seal_room(room) {
            self.held = Some(change);
            return;
        }
        let answer = match change {
            Delivery::Joined {
                room,
                who,
                tag,
                members,
                counted,
            } => self.core.joined(JoinedLetter {
                room,
                who,
                tag,
                members,
                counted,
            }),
            Delivery::Left { room, who, tag } => self.core.left(room, who, tag),
            Delivery::Message(_) | Delivery::Posted { .. } => None,
        };
        self.answer(answer);
    }
}
