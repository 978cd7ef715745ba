//! Joining, leaving and publishing: what goes to a room's home, and what comes back.

use super::Core;
use crate::lane::Mailbox;
use crate::letter::{Delivery, Outcome, Parcel, Publication, Request};
use crate::membership::Membership;
use crate::phase::Phase;
use crate::{Answer, Publish, PublishError, Report, RoomError, Tag, Target, Ticket};

impl Core {
    pub(crate) fn join(&mut self, ticket: Ticket, room: &str, tag: Tag) -> Result<(), RoomError> {
        self.check_name(room).map_err(|()| RoomError::BadName)?;
        if self.connections.phase(ticket) != Phase::Open {
            return Ok(());
        }
        let memberships = self.connections.memberships(ticket.slot);
        let (total, wanted) = memberships.counts();
        let known = self
            .rooms
            .find(room)
            .and_then(|slice| memberships.find(slice));
        let counted = known.as_ref().is_none_or(|membership| !membership.wanted);
        let slice = match known {
            Some(membership) => {
                membership.in_flight =
                    membership.in_flight.checked_add(1).ok_or(RoomError::Busy)?;
                membership.wanted = true;
                membership.slice
            }
            None if wanted >= self.limits.rooms_per_connection_max => {
                return Err(RoomError::TooMany);
            }
            // Rooms that it is still leaving: as many again.
            None if total >= 2 * self.limits.rooms_per_connection_max => {
                return Err(RoomError::Busy);
            }
            None => {
                let slice = self.rooms.claim(room);
                memberships.insert(Membership {
                    slice,
                    position: Membership::OUTSIDE,
                    wanted: true,
                    in_flight: 1,
                });
                slice
            }
        };
        let room = self.rooms.name(slice).clone();
        let who = self.address(ticket);
        self.mail.request(
            self.mail.home(Some(&room)),
            Request::Join {
                room,
                who,
                tag,
                counted,
            },
        );
        Ok(())
    }

    pub(crate) fn leave(&mut self, ticket: Ticket, room: &str, tag: Tag) -> Result<(), RoomError> {
        self.check_name(room).map_err(|()| RoomError::BadName)?;
        if self.connections.phase(ticket) != Phase::Open {
            return Ok(());
        }
        let memberships = self.connections.memberships(ticket.slot);
        let known = self
            .rooms
            .find(room)
            .and_then(|slice| memberships.find(slice));
        let Some(membership) = known.filter(|membership| membership.wanted) else {
            return Err(RoomError::NotJoined);
        };
        membership.in_flight = membership.in_flight.checked_add(1).ok_or(RoomError::Busy)?;
        membership.wanted = false;
        let room = self.rooms.name(membership.slice).clone();
        let who = self.address(ticket);
        self.mail.request(
            self.mail.home(Some(&room)),
            Request::Leave { room, who, tag },
        );
        Ok(())
    }

    pub(crate) fn publish(
        &mut self,
        ticket: Ticket,
        to: Target<'_>,
        publish: Publish,
    ) -> Result<(), PublishError> {
        let room = match to {
            Target::Room(name) => {
                self.check_name(name).map_err(|()| PublishError::BadName)?;
                Some(match self.rooms.find(name) {
                    Some(slice) => self.rooms.name(slice).clone(),
                    None => name.into(),
                })
            }
            Target::Everyone => None,
        };
        if publish.report.is_some() && self.reports.is_full() {
            return Err(PublishError::TooManyReports);
        }
        let report = publish
            .report
            .map(|tag| self.reports.open(self.mail.shard(), ticket, tag));
        let home = self.mail.home(room.as_deref());
        let publication = Publication {
            room,
            frame: self.seal_for_sharers(publish.frame),
            except: publish.except,
            report,
        };
        self.mail.request(home, Request::Publish(publication));
        Ok(())
    }

    fn check_name(&self, room: &str) -> Result<(), ()> {
        if (1..=self.limits.room_name_bytes_max).contains(&room.len()) {
            Ok(())
        } else {
            Err(())
        }
    }

    /// As home: gives a publish its place in the order and sends it to every shard with members.
    pub(crate) fn order(&mut self, publication: Publication) {
        self.counters.publishes.add(1);
        match &publication.room {
            Some(name) => send_out(&mut self.mail, &publication, self.homes.interested(name)),
            None => {
                let all = 0..self.mail.shards() as u16;
                send_out(&mut self.mail, &publication, all);
            }
        }
    }

    /// As member: puts a publish into its audience's batch of this tick.
    pub(crate) fn collect(&mut self, parcel: Parcel) {
        let slice = match parcel.room.as_deref().map(|name| self.rooms.find(name)) {
            Some(Some(slice)) => Some(slice),
            None => None,
            Some(None) => {
                // The last member left while this was on its way.
                if let Some(key) = parcel.report {
                    self.mail.owe(Outcome {
                        key,
                        shards: parcel.shards,
                        report: Report::default(),
                    });
                }
                return;
            }
        };
        if parcel.report.is_some() {
            // A reported publish goes out by itself, so that its counts are its own.
            self.seal(slice, None);
        }
        let batch = match slice {
            Some(slice) => &mut self.rooms.slice(slice).batch,
            None => &mut self.everyone,
        };
        let was_empty = batch.is_empty();
        batch.push(&parcel.frame, parcel.except);
        let full = batch.is_full();
        if let Some(slice) = slice.filter(|_| was_empty) {
            self.rooms.owing.push(slice);
        }
        if full || parcel.report.is_some() {
            self.seal(slice, Some(&parcel));
        }
    }

    /// Ends an audience's batch: it goes out to the members of this moment.
    fn seal(&mut self, slice: Option<u32>, last: Option<&Parcel>) {
        let reported = last.filter(|parcel| parcel.report.is_some());
        let fan_out = match slice {
            Some(index) => {
                let slice = self.rooms.slice(index);
                if slice.batch.is_empty() {
                    return;
                }
                let audience = self.audiences.gather(slice.members.iter().copied());
                let fan_out = slice.batch.seal(audience, reported);
                self.rooms.owing.retain(|owing| *owing != index);
                fan_out
            }
            None if self.everyone.is_empty() => return,
            None => {
                let open = self.connections.in_phase(Phase::Open);
                self.everyone.seal(self.audiences.gather(open), reported)
            }
        };
        self.fan_outs.push_back(fan_out);
    }

    /// Ends a room's batch of this tick. True: there is something to go out before the room's members may change.
    pub(crate) fn seal_room(&mut self, room: &str) -> bool {
        if let Some(slice) = self.rooms.find(room) {
            self.seal(Some(slice), None);
        }
        !self.fan_outs.is_empty()
    }

    /// Ends all batches of this tick.
    pub(crate) fn seal_all(&mut self) {
        let mut owing = std::mem::take(&mut self.rooms.owing);
        for index in owing.drain(..) {
            let slice = self.rooms.slice(index);
            let audience = self.audiences.gather(slice.members.iter().copied());
            self.fan_outs.push_back(slice.batch.seal(audience, None));
        }
        self.rooms.owing = owing;
        self.seal(None, None);
    }

    /// The home counted the join (or was only asked): from here the connection is a member. The answer for the application.
    pub(crate) fn joined(&mut self, delivery: JoinedLetter) -> Option<(Ticket, Tag, Answer)> {
        let JoinedLetter {
            room,
            who,
            tag,
            members,
            counted,
        } = delivery;
        if self.connections.phase(who) != Phase::Open {
            return None;
        }
        let slice = self.rooms.find(&room)?;
        let membership = self.connections.memberships(who.slot).find(slice)?;
        membership.in_flight -= 1;
        if counted && membership.position == Membership::OUTSIDE {
            let list = &mut self.rooms.slice(slice).members;
            let membership = self
                .connections
                .memberships(who.slot)
                .find(slice)
                .expect("just found");
            membership.position = list.len() as u32;
            list.push(who);
        }
        Some((who, tag, Answer::Joined { room, members }))
    }

    /// The home counted the leave: no message of the room follows.
    pub(crate) fn left(
        &mut self,
        room: crate::letter::RoomName,
        who: Ticket,
        tag: Tag,
    ) -> Option<(Ticket, Tag, Answer)> {
        if self.connections.phase(who) != Phase::Open {
            return None;
        }
        let slice = self.rooms.find(&room)?;
        let memberships = self.connections.memberships(who.slot);
        let membership = memberships.find(slice)?;
        let was = *membership;
        membership.in_flight -= 1;
        membership.position = Membership::OUTSIDE;
        let over = !membership.wanted && membership.in_flight == 0;
        self.remove_member(was);
        if over {
            self.connections.memberships(who.slot).remove(slice);
            self.rooms.release(slice);
        }
        Some((who, tag, Answer::Left { room }))
    }
}

/// One parcel for each of these shards; with a report and without shards, the report is complete.
fn send_out(mail: &mut Mailbox, publication: &Publication, to: impl Iterator<Item = u16> + Clone) {
    let Publication {
        room,
        frame,
        except,
        report,
    } = publication;
    let shards = to.clone().count() as u16;
    if let Some(key) = report.filter(|_| shards == 0) {
        mail.owe(Outcome {
            key,
            shards: 0,
            report: Report::default(),
        });
    }
    for shard in to {
        let parcel = Parcel {
            room: room.clone(),
            frame: frame.clone(),
            except: except
                .filter(|address| address.shard == shard)
                .map(|address| address.ticket),
            report: *report,
            shards,
        };
        mail.deliver(shard, Delivery::Message(parcel));
    }
}

/// The content of [`Delivery::Joined`].
#[derive(Debug)]
pub(crate) struct JoinedLetter {
    pub(crate) room: crate::letter::RoomName,
    pub(crate) who: Ticket,
    pub(crate) tag: Tag,
    pub(crate) members: u32,
    pub(crate) counted: bool,
}
