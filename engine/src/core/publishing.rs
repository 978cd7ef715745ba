//! Publishing: what goes to a topic's home, how the home gives it its place in the order, in every form that is present, and how it
//! gets into the batches of the shards with members. Lists take the same way, so that they have a place in the same order.

use super::Core;
use crate::batch::{Batch, Whose};
use crate::confine::confine;
use crate::form::{self, Forms};
use crate::lane::Mailbox;
use crate::letter::{Delivery, Outcome, Parcel, Publication, Request, RoomName};
use crate::report::{Asker, Part, ReportKey};
use crate::topic::{self, Topic, USER_BYTES_MAX};
use crate::{
    Form, Frame, Listing, Member, Publish, PublishError, Reply, Report, Tag, Target, Ticket,
};

/// Members that a list names, over all shards.
pub(crate) const LIST_MEMBERS_MAX: u32 = 1000;

/// What each form is sent of a publish, by index; `None`: nothing.
type Frames = [Option<Frame>; Form::COUNT_MAX];

impl Core {
    pub(crate) fn publish(
        &mut self,
        ticket: Ticket,
        to: Target<'_>,
        publish: Publish,
    ) -> Result<(), PublishError> {
        let room = match to {
            Target::Room(name) => Some(self.key(Topic::Room(name))?),
            Target::User(name) => Some(self.key(Topic::User(name))?),
            Target::Everyone => None,
        };
        if publish.report.is_some() && self.reports.is_full() {
            return Err(PublishError::TooManyReports);
        }
        let asker = publish.report.map(|tag| Asker::Connection(ticket, tag));
        let publication = Publication {
            room,
            form: publish.form,
            frame: publish.frame,
            except: publish.except,
            report: asker.map(|asker| self.open_report(asker)),
        };
        self.post_publication(publication);
        Ok(())
    }

    /// Another thread publishes. There is a place for the reply.
    pub(crate) fn publish_from_outside(
        &mut self,
        mut publication: Publication,
        reply: Option<Reply>,
    ) {
        publication.report = reply.map(|reply| self.open_report(Asker::Outside(reply)));
        self.post_publication(publication);
    }

    fn post_publication(&mut self, mut publication: Publication) {
        publication.frame = self.seal_for_sharers(publication.frame);
        let home = self.mail.home(publication.room.as_deref());
        self.mail.request(home, Request::Publish(publication));
    }

    fn open_report(&mut self, asker: Asker) -> ReportKey {
        let nobody = Part::Report(Report::default());
        self.reports.open(self.mail.shard(), asker, nobody)
    }

    pub(crate) fn list(
        &mut self,
        ticket: Ticket,
        topic: Topic<'_>,
        tag: Tag,
    ) -> Result<(), PublishError> {
        let room = self.key(topic)?;
        if self.reports.is_full() {
            return Err(PublishError::TooManyReports);
        }
        self.post_list(room, Asker::Connection(ticket, tag));
        Ok(())
    }

    /// Another thread asks for a list. There is a place for the reply.
    pub(crate) fn list_from_outside(&mut self, room: RoomName, reply: Reply) {
        self.post_list(room, Asker::Outside(reply));
    }

    fn post_list(&mut self, room: RoomName, asker: Asker) {
        let nobody = Part::Listing(Listing::default());
        let key = self.reports.open(self.mail.shard(), asker, nobody);
        let home = self.mail.home(Some(&room));
        self.mail.request(home, Request::List { room, key });
    }

    /// The key of a topic. A room that is known here costs no allocation.
    fn key(&self, topic: Topic<'_>) -> Result<RoomName, PublishError> {
        match topic {
            Topic::Room(name) => {
                self.check_name(name).map_err(|()| PublishError::BadName)?;
                let known = self.rooms.known(name).cloned();
                Ok(known.unwrap_or_else(|| name.into()))
            }
            Topic::User(name) if (1..=USER_BYTES_MAX).contains(&name.len()) => {
                Ok(topic::user_key(name))
            }
            Topic::User(_) => Err(PublishError::BadName),
        }
    }

    /// As home: gives a publish its place in the order and sends it to every shard with members, in their forms.
    pub(crate) fn order(&mut self, publication: Publication) {
        self.counters.publishes.add(1);
        let own = publication.form;
        match &publication.room {
            Some(name) => {
                let interest = self.homes.interest(name);
                // Ordered by form: if the first and the last are of one, all are.
                let mut ends = interest.first().into_iter().chain(interest.last());
                if ends.all(|pair| pair.form == own) {
                    let frame = &publication.frame;
                    let to = interest.iter().map(|pair| (pair.shard, own, frame));
                    send_out(&mut self.mail, &publication, 0, to);
                    return;
                }
                let present = interest.iter().map(|pair| pair.form).collect();
                let frames = self.frames(&publication, present);
                let interest = self.homes.interest(name);
                let to = interest.iter().filter_map(|pair| {
                    let frame = frames[pair.form.index()].as_ref()?;
                    Some((pair.shard, pair.form, frame))
                });
                let unsaid = interest
                    .iter()
                    .filter(|pair| frames[pair.form.index()].is_none());
                let dropped = unsaid.map(|pair| pair.members).sum();
                send_out(&mut self.mail, &publication, dropped, to);
            }
            None => {
                // Not only the forms of this moment: whoever opens a connection while messages are on their way misses none between two
                // that it gets.
                let frames = self.frames(&publication, self.admission.forms.get());
                let shards = 0..self.mail.shards() as u16;
                let to = Form::all().flat_map(|form| {
                    let frame = frames[form.index()].as_ref();
                    let shards = shards.clone();
                    let send = move |frame| shards.map(move |shard| (shard, form, frame));
                    frame.map(send).into_iter().flatten()
                });
                // Nobody counts the connections of a form on all shards.
                send_out(&mut self.mail, &publication, 0, to);
            }
        }
    }

    /// A publish in each form that has members: made once, whatever their number.
    #[cold]
    fn frames(&mut self, publication: &Publication, present: Forms) -> Frames {
        let mut frames = Frames::default();
        for form in present.iter() {
            frames[form.index()] = if form == publication.form {
                Some(publication.frame.clone())
            } else {
                let said = self.say_in(publication.form, form, &publication.frame);
                let dropped = u64::from(said.is_none());
                self.counters.dropped_untranslatable.add(dropped);
                said.map(|frame| self.seal_for_sharers(frame))
            };
        }
        frames
    }

    /// A message of one form in another. `None`: the application cannot say it so, or panicked.
    pub(crate) fn say_in(&mut self, from: Form, to: Form, frame: &Frame) -> Option<Frame> {
        if from == to {
            return Some(frame.clone());
        }
        let message = form::message_of(frame)?;
        let translate = self.translate;
        let said = confine(|| translate(from, to, message));
        said.unwrap_or_else(|_| {
            self.note_panic(None);
            None
        })
    }

    /// As home: a list has its place in the order, and each shard is asked for its share of those who are named.
    pub(crate) fn order_list(&mut self, room: RoomName, key: ReportKey) {
        let total = self.homes.members(&room);
        let interest = self.homes.interest(&room).iter();
        let shares = interest.scan(LIST_MEMBERS_MAX, |left, pair| {
            let members = pair.members.min(*left);
            *left -= members;
            (members > 0).then_some((pair, members as u16))
        });
        let parcels = shares.clone().count() as u16;
        if parcels == 0 {
            let part = Part::Listing(Listing::default());
            self.mail.owe(Outcome { key, parcels, part });
        }
        for (pair, members) in shares {
            let list = Delivery::List {
                room: room.clone(),
                form: pair.form,
                key,
                parcels,
                total,
                members,
            };
            self.mail.deliver(pair.shard, list);
        }
    }

    /// As member: names those who are members at this place in the order.
    pub(crate) fn name_members(&mut self, room: &str, form: Form, members_max: u16) -> Vec<Member> {
        let Some(index) = self.rooms.find(form, room) else {
            // The last member left while this was on its way.
            return Vec::new();
        };
        let slice = self.rooms.slice(index);
        let tickets = slice.members.iter().take(usize::from(members_max));
        let (user, tickets) = (slice.user.clone(), tickets.copied().collect::<Vec<_>>());
        let named = tickets.into_iter().map(|ticket| Member {
            address: self.address(ticket),
            user: user.clone().or_else(|| self.user(ticket)),
        });
        named.collect()
    }

    /// As member: puts a publish into its audience's batch of this tick.
    pub(crate) fn collect(&mut self, parcel: Parcel) {
        let form = parcel.form;
        let name = parcel.room.as_deref();
        let whose = match name.map(|name| self.rooms.find(form, name)) {
            Some(Some(slice)) => Whose::Slice(slice),
            None => Whose::Everyone(form),
            Some(None) => {
                // The last member left while this was on its way.
                if let Some(key) = parcel.report {
                    self.mail.owe(Outcome {
                        key,
                        parcels: parcel.parcels,
                        part: Part::Report(Report::default()),
                    });
                }
                return;
            }
        };
        if parcel.report.is_some() {
            // A reported publish goes out by itself, so that its counts are its own.
            self.seal(whose, None);
        }
        let batch = match whose {
            Whose::Slice(slice) => &mut self.rooms.slice(slice).batch,
            Whose::Everyone(form) => self.everyone(form),
        };
        let was_empty = batch.is_empty();
        batch.push(&parcel.frame, parcel.except);
        let full = batch.is_full();
        if let (Whose::Slice(slice), true) = (whose, was_empty) {
            self.rooms.owing.push(slice);
        }
        if full || parcel.report.is_some() {
            self.seal(whose, Some(&parcel));
        }
    }

    /// The batch for all connections of a form.
    fn everyone(&mut self, form: Form) -> &mut Batch {
        if self.everyone.len() <= form.index() {
            self.everyone.resize_with(form.index() + 1, Batch::default);
        }
        &mut self.everyone[form.index()]
    }

    /// Ends an audience's batch: it goes out to the members of this moment.
    fn seal(&mut self, whose: Whose, last: Option<&Parcel>) {
        let reported = last.filter(|parcel| parcel.report.is_some());
        let fan_out = match whose {
            Whose::Slice(index) => {
                let slice = self.rooms.slice(index);
                if slice.batch.is_empty() {
                    return;
                }
                let audience = self.audiences.gather(slice.members.iter().copied());
                let fan_out = slice.batch.seal(whose, audience, reported);
                self.rooms.owing.retain(|owing| *owing != index);
                fan_out
            }
            Whose::Everyone(form) => {
                let batch = self.everyone.get_mut(form.index());
                let Some(batch) = batch.filter(|batch| !batch.is_empty()) else {
                    return;
                };
                let open = self.connections.open(form);
                batch.seal(whose, self.audiences.gather(open), reported)
            }
        };
        self.fan_outs.push_back(fan_out);
    }

    /// Ends a slice's batch of this tick. True: there is something to go out before the room's members may change.
    pub(crate) fn seal_room(&mut self, form: Form, room: &str) -> bool {
        if let Some(slice) = self.rooms.find(form, room) {
            self.seal(Whose::Slice(slice), None);
        }
        !self.fan_outs.is_empty()
    }

    /// Ends all batches of this tick.
    pub(crate) fn seal_all(&mut self) {
        let mut owing = std::mem::take(&mut self.rooms.owing);
        for index in owing.drain(..) {
            let slice = self.rooms.slice(index);
            let audience = self.audiences.gather(slice.members.iter().copied());
            let fan_out = slice.batch.seal(Whose::Slice(index), audience, None);
            self.fan_outs.push_back(fan_out);
        }
        self.rooms.owing = owing;
        for form in Form::all().take(self.everyone.len()) {
            self.seal(Whose::Everyone(form), None);
        }
    }
}

/// One parcel for each of these, a shard and a form with what it is sent. A report hears from each, and from here of the members whose form
/// it cannot be said in.
fn send_out<'a>(
    mail: &mut Mailbox,
    publication: &Publication,
    dropped: u32,
    to: impl Iterator<Item = (u16, Form, &'a Frame)> + Clone,
) {
    let mut parcels = to.clone().count() as u16;
    if let Some(key) = publication.report.filter(|_| parcels == 0 || dropped > 0) {
        // One part more than there are parcels; without any, the report is complete.
        parcels += 1;
        let part = Part::Report(Report {
            dropped,
            ..Report::default()
        });
        mail.owe(Outcome { key, parcels, part });
    }
    for (shard, form, frame) in to {
        let except = publication.except.filter(|address| address.shard == shard);
        let parcel = Parcel {
            room: publication.room.clone(),
            form,
            frame: frame.clone(),
            except: except.map(|address| address.ticket),
            report: publication.report,
            parcels,
        };
        mail.deliver(shard, Delivery::Message(parcel));
    }
}
