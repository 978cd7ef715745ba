//! Publishing: what goes to a topic's home, how the home gives it its place in the order and has it encoded for every form that is present,
//! and how it gets into the batches of the shards with members. Lists take the same way, so that they have a place in the same order.

use super::Core;
use crate::batch::{Batch, Turn, Whose};
use crate::home::Interest;
use crate::lane::Mailbox;
use crate::letter::{Delivery, Outcome, Parcel, PublishRequest, Request};
use crate::report::{Asker, Part, ReportKey};
use crate::topic::{Topic, TopicKey, TopicKind, USER_BYTES_MAX};
use crate::{
    Form, Frame, Listing, Member, Position, Publish, PublishError, Reply, Report, Tag, Target,
    Ticket,
};

/// Members that a list names, over all shards.
pub(crate) const LIST_MEMBERS_MAX: u32 = 1000;

impl Core {
    pub(crate) fn publish(
        &mut self,
        ticket: Ticket,
        to: Target<'_>,
        publish: Publish,
    ) -> Result<(), PublishError> {
        let topic = to.topic().map(|topic| self.key(topic)).transpose()?;
        if publish.report.is_some() && self.reports.is_full() {
            return Err(PublishError::TooManyReports);
        }
        let asker = publish.report.map(|tag| Asker::Connection(ticket, tag));
        let request = PublishRequest {
            topic,
            content: publish.content,
            except: publish.except,
            report: asker.map(|asker| self.open_report(asker)),
        };
        self.mind(ticket, request.topic.as_ref().map(TopicKey::topic));
        self.post_publish(request);
        Ok(())
    }

    /// Another thread publishes. There is a place for the reply.
    pub(crate) fn publish_from_outside(
        &mut self,
        mut publish: PublishRequest,
        reply: Option<Reply>,
    ) {
        publish.report = reply.map(|reply| self.open_report(Asker::Outside(reply)));
        self.post_publish(publish);
    }

    fn post_publish(&mut self, publish: PublishRequest) {
        let home = self.mail.home(publish.topic.as_ref().map(TopicKey::topic));
        self.mail.request(home, Request::Publish(publish));
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
        let topic = self.key(topic)?;
        if self.reports.is_full() {
            return Err(PublishError::TooManyReports);
        }
        self.mind(ticket, Some(topic.topic()));
        self.post_list(topic, Asker::Connection(ticket, tag));
        Ok(())
    }

    /// Another thread asks for a list. There is a place for the reply.
    pub(crate) fn list_from_outside(&mut self, topic: TopicKey, reply: Reply) {
        self.post_list(topic, Asker::Outside(reply));
    }

    fn post_list(&mut self, topic: TopicKey, asker: Asker) {
        let nobody = Part::Listing(Listing::default());
        let key = self.reports.open(self.mail.shard(), asker, nobody);
        let home = self.mail.home(Some(topic.topic()));
        self.mail.request(home, Request::List { topic, key });
    }

    /// The key of a topic, whose name is checked. One that is known here costs no allocation.
    fn key(&self, topic: Topic<'_>) -> Result<TopicKey, PublishError> {
        let is_name = match topic {
            Topic::Room(name) => self.check_name(name).is_ok(),
            Topic::User(name) => (1..=USER_BYTES_MAX).contains(&name.len()),
        };
        if !is_name {
            return Err(PublishError::BadName);
        }
        let known = self.rooms.known(topic).cloned();
        Ok(known.unwrap_or_else(|| TopicKey::new(topic)))
    }

    /// As home: gives a publish its place in the order, has it encoded, and sends it to every shard with members.
    pub(crate) fn order(&mut self, publish: &PublishRequest) {
        self.counters.publishes.add(1);
        // No topic keeps history yet: one that does gives its next position here, and nowhere else.
        let position = None;
        match &publish.topic {
            Some(key) => self.order_in_topic(publish, key.topic(), position),
            None => self.order_for_everyone(publish, position),
        }
    }

    fn order_in_topic(
        &mut self,
        publish: &PublishRequest,
        topic: Topic<'_>,
        position: Option<Position>,
    ) {
        let (homes, mail, mut encoder) = self.home_parts();
        let interest = homes.interest(topic);
        let topic = Some(topic);
        let count = |pairs: &[Interest]| pairs.iter().map(|pair| pair.members).sum();
        // Ordered by form: if the first and the last are of one, all are.
        let ends = interest.first().zip(interest.last());
        if let Some((first, _)) = ends.filter(|(first, last)| first.form == last.form) {
            let form = first.form;
            let Some(frame) = encoder.share(&publish.content, form, topic, position) else {
                return send_out(mail, publish, count(interest), std::iter::empty());
            };
            let to = interest.iter().map(|pair| (pair.shard, form, &frame));
            return send_out(mail, publish, 0, to);
        }
        let present = interest.iter().map(|pair| pair.form).collect();
        let frames = encoder.share_all(publish, present, topic, position);
        let said = |pair: &&Interest| frames[pair.form.index()].is_some();
        let unsaid = interest.iter().filter(|pair| !said(pair));
        let dropped = unsaid.map(|pair| pair.members).sum();
        let to = interest.iter().filter_map(|pair| {
            let frame = frames[pair.form.index()].as_ref()?;
            Some((pair.shard, pair.form, frame))
        });
        send_out(mail, publish, dropped, to);
    }

    /// Every shard is sent to, for each form that the process has connections of: whoever opens one later misses nothing between two
    /// messages that it gets.
    fn order_for_everyone(&mut self, publish: &PublishRequest, position: Option<Position>) {
        let present = self.admission.forms.get();
        let (_, mail, mut encoder) = self.home_parts();
        let frames = &encoder.share_all(publish, present, None, position);
        let shards = mail.shards() as u16;
        let pairs = present
            .iter()
            .flat_map(|form| (0..shards).map(move |shard| (shard, form)));
        let to = pairs.clone().filter_map(|(shard, form)| {
            let frame = frames[form.index()].as_ref()?;
            Some((shard, form, frame))
        });
        let mut parcels = to.clone().count() as u16;
        if let Some(key) = publish.report {
            // Each shard counts its connections that cannot be told, as it counts the others.
            let unsaid = pairs.filter(|(_, form)| frames[form.index()].is_none());
            parcels += unsaid.clone().count() as u16;
            for (shard, form) in unsaid {
                let unsaid = Delivery::Unsaid {
                    form,
                    except: publish.except_on(shard),
                    key,
                    parcels,
                };
                mail.deliver(shard, unsaid);
            }
            if parcels == 0 {
                owe_report(mail, key, 1, Report::default());
            }
        }
        deliver_all(mail, publish, parcels, to);
    }

    /// As member: nobody of a form is sent a publish to everyone. The shard's part of its report.
    pub(crate) fn count_unsaid(&self, form: Form, except: Option<Ticket>) -> Report {
        let open = self.connections.open(form);
        Report {
            dropped: open.filter(|ticket| Some(*ticket) != except).count() as u32,
            ..Report::default()
        }
    }

    /// As home: a list has its place in the order, and each shard is asked for its share of those who are named.
    pub(crate) fn order_list(&mut self, topic: TopicKey, key: ReportKey) {
        let total = self.homes.members(topic.topic());
        let interest = self.homes.interest(topic.topic()).iter();
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
                topic: topic.clone(),
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
    pub(crate) fn name_members(
        &mut self,
        topic: Topic<'_>,
        form: Form,
        members_max: u16,
    ) -> Vec<Member> {
        let Some(index) = self.rooms.find(form, topic) else {
            // The last member left while this was on its way.
            return Vec::new();
        };
        let slice = self.rooms.slice(index);
        let tickets = slice.members.iter().take(usize::from(members_max));
        let user = match slice.key.kind() {
            TopicKind::User => Some(slice.key.name().clone()),
            TopicKind::Room => None,
        };
        let tickets = tickets.copied().collect::<Vec<_>>();
        let named = tickets.into_iter().map(|ticket| Member {
            address: self.address(ticket),
            user: user.clone().or_else(|| self.user(ticket)),
        });
        named.collect()
    }

    /// Whom a delivery concerns here. `None`: nobody, or nobody any more.
    #[inline]
    pub(crate) fn whose(&self, delivery: &Delivery) -> Option<Whose> {
        match delivery.audience()? {
            (Some(topic), form) => self.rooms.find(form, topic).map(Whose::Slice),
            (None, form) => Some(Whose::Everyone(form)),
        }
    }

    /// The batch of an audience.
    #[inline]
    pub(crate) fn batch(&mut self, whose: Whose) -> &mut Batch {
        match whose {
            Whose::Slice(slice) => &mut self.rooms.slice(slice).batch,
            Whose::Everyone(form) => self.everyone(form),
        }
    }

    /// As member: puts a publish into its audience's batch of this tick; `None`: the last member left while it was on its way.
    /// Returns it if what came before it has to go out first.
    pub(crate) fn collect(&mut self, whose: Option<Whose>, parcel: Parcel) -> Option<Parcel> {
        let Some(whose) = whose else {
            if let Some(key) = parcel.report {
                owe_report(&mut self.mail, key, parcel.parcels, Report::default());
            }
            return None;
        };
        // A reported publish goes out by itself, so that its counts are its own.
        if parcel.report.is_some() && self.seal(whose, None) {
            return Some(parcel);
        }
        let batch = self.batch(whose);
        let was_empty = batch.is_empty();
        batch.push(&parcel.frame, parcel.except);
        let full = batch.is_full();
        if let (Whose::Slice(slice), true) = (whose, was_empty) {
            self.rooms.owing.push(slice);
        }
        if full || parcel.report.is_some() {
            self.seal(whose, Some(&parcel));
        }
        None
    }

    /// The batch for all connections of a form.
    fn everyone(&mut self, form: Form) -> &mut Batch {
        if self.everyone.len() <= form.index() {
            self.everyone.resize_with(form.index() + 1, Batch::default);
        }
        &mut self.everyone[form.index()]
    }

    /// Ends an audience's batch: it goes out to the members of this moment. False: there was nothing in it.
    pub(crate) fn seal(&mut self, whose: Whose, last: Option<&Parcel>) -> bool {
        let reported = last.filter(|parcel| parcel.report.is_some());
        if self.batch(whose).is_empty() {
            return false;
        }
        if let Whose::Slice(index) = whose {
            self.rooms.owing.retain(|owing| *owing != index);
        }
        self.send_off(whose, reported);
        true
    }

    /// A batch that is not empty goes out. Until everybody has it, what else comes for the audience waits.
    fn send_off(&mut self, whose: Whose, reported: Option<&Parcel>) {
        let fan_out = match whose {
            Whose::Slice(index) => {
                let slice = self.rooms.slice(index);
                let was = slice.batch.turn;
                let audience = self.audiences.gather(slice.members.iter().copied());
                let fan_out = slice.batch.seal(whose, audience, reported);
                if was == Turn::Free {
                    self.rooms.keep(index);
                }
                fan_out
            }
            Whose::Everyone(form) => {
                let audience = self.audiences.gather(self.connections.open(form));
                self.everyone(form).seal(whose, audience, reported)
            }
        };
        self.fan_outs.push(fan_out);
    }

    /// Ends all batches of this tick.
    pub(crate) fn seal_all(&mut self) {
        let mut owing = std::mem::take(&mut self.rooms.owing);
        for index in owing.drain(..) {
            self.send_off(Whose::Slice(index), None);
        }
        self.rooms.owing = owing;
        for form in Form::all().take(self.everyone.len()) {
            self.seal(Whose::Everyone(form), None);
        }
    }

    /// Everybody has what was on its way to an audience.
    pub(crate) fn served(&mut self, whose: Whose) {
        if self.delayed.served(whose) {
            self.batch(whose).turn = Turn::Next;
        } else {
            self.be_free(whose);
        }
    }

    /// Nothing is on its way to an audience, and nothing waits for it.
    pub(crate) fn be_free(&mut self, whose: Whose) {
        self.batch(whose).turn = Turn::Free;
        if let Whose::Slice(index) = whose {
            self.rooms.release(index);
        }
    }
}

/// One parcel for each of these, a shard and a form with what it is sent. A report hears from each, and from here of the members whose form
/// it cannot be said in.
fn send_out<'a>(
    mail: &mut Mailbox,
    publish: &PublishRequest,
    dropped: u32,
    to: impl Iterator<Item = (u16, Form, &'a Frame)> + Clone,
) {
    let mut parcels = to.clone().count() as u16;
    if let Some(key) = publish.report.filter(|_| parcels == 0 || dropped > 0) {
        // One part more than there are parcels; without any, the report is complete.
        parcels += 1;
        let report = Report {
            dropped,
            ..Report::default()
        };
        owe_report(mail, key, parcels, report);
    }
    deliver_all(mail, publish, parcels, to);
}

/// `parcels`: parts that the report is made of, if there is one.
fn deliver_all<'a>(
    mail: &mut Mailbox,
    publish: &PublishRequest,
    parcels: u16,
    to: impl Iterator<Item = (u16, Form, &'a Frame)>,
) {
    for (shard, form, frame) in to {
        let parcel = Parcel {
            topic: publish.topic.clone(),
            form,
            frame: frame.clone(),
            except: publish.except_on(shard),
            report: publish.report,
            parcels,
        };
        mail.deliver(shard, Delivery::Message(parcel));
    }
}

fn owe_report(mail: &mut Mailbox, key: ReportKey, parcels: u16, report: Report) {
    let part = Part::Report(report);
    mail.owe(Outcome { key, parcels, part });
}
