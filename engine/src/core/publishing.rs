//! Publishing: what goes to a topic's home, how the home gives it its place in the order and has it
//! encoded for every encoding that is present, and how it gets into the batches of the shards with
//! members. Lists take the same way, so that they have a place in the same order.

use super::Core;
use crate::message::delivery::Delivery;
use crate::message::request::{PublishRequest, ShardRequest};
use crate::query::gather::{Part, QueryKey, Requester};
use crate::topic::home::Interest;
use crate::topic::key::{Topic, TopicKey, TopicKind, USER_BYTES_MAX};
use crate::topic::log::options::LogClass;
use crate::topic::order::{deliver_all, enqueue_report, send_out};
use crate::topic::publication::Position;
use crate::topic::target::{Publish, PublishError, Target, Wants};
use crate::types::answer::{Listing, Member, Reply, Report, Tag};
use crate::types::encoding::{EncodingId, EncodingSet};
use crate::types::frame::Frame;
use crate::types::history::HistoryQuery;
use crate::types::ticket::Ticket;

impl Core {
    pub(crate) fn publish(
        &mut self,
        ticket: Ticket,
        to: Target<'_>,
        publish: Publish,
    ) -> Result<(), PublishError> {
        let topic = to.topic().map(|topic| self.key(topic)).transpose()?;
        publish.check()?;
        let is_full = match publish.wants {
            None => false,
            Some((_, Wants::Counts)) => self.queries.is_full(),
            Some((_, Wants::Receipt)) => self.queries.receipts_are_full(),
        };
        if is_full {
            return Err(PublishError::TooManyReports);
        }
        let report = publish
            .wants
            .map(|(tag, wants)| self.open_report(Requester::Connection(ticket, tag), wants));
        let request = PublishRequest {
            topic,
            except: publish.except,
            content: publish.into_content(to),
            report,
        };
        let topic = request.topic.as_ref().map(TopicKey::topic);
        self.topics
            .check_congestion(&mut self.connections, ticket, topic);
        self.post_publish(request);
        Ok(())
    }

    /// Another thread publishes. There is a place for the reply.
    pub(crate) fn publish_from_outside(
        &mut self,
        mut publish: PublishRequest,
        wants: Wants,
        reply: Option<Reply>,
    ) {
        publish.report = reply.map(|reply| self.open_report(Requester::Outside(reply), wants));
        self.post_publish(publish);
    }

    fn post_publish(&mut self, publish: PublishRequest) {
        let home = self.mail.home(publish.topic.as_ref().map(TopicKey::topic));
        self.mail.request(home, ShardRequest::Publish(publish));
    }

    fn open_report(&mut self, requester: Requester, wants: Wants) -> QueryKey {
        let nobody = Part::Report(Report::default());
        let shard = self.mail.shard();
        self.queries.open_wanting(shard, requester, wants, nobody)
    }

    pub(crate) fn list(
        &mut self,
        ticket: Ticket,
        topic: Topic<'_>,
        tag: Tag,
    ) -> Result<(), PublishError> {
        let topic = self.ask_about(ticket, topic)?;
        self.post_list(topic, Requester::Connection(ticket, tag));
        Ok(())
    }

    /// Another thread asks for a list. There is a place for the reply.
    pub(crate) fn list_from_outside(&mut self, topic: TopicKey, reply: Reply) {
        self.post_list(topic, Requester::Outside(reply));
    }

    fn post_list(&mut self, topic: TopicKey, requester: Requester) {
        let nobody = Part::Listing(Listing::default());
        let key = self.queries.open(self.mail.shard(), requester, nobody);
        let home = self.mail.home(Some(topic.topic()));
        self.mail.request(home, ShardRequest::List { topic, key });
    }

    /// Asks for a page of a topic's log.
    pub(crate) fn history(
        &mut self,
        ticket: Ticket,
        topic: Topic<'_>,
        class: LogClass,
        query: HistoryQuery,
        tag: Tag,
    ) -> Result<(), PublishError> {
        let topic = self.ask_about(ticket, topic)?;
        self.post_history(topic, class, query, Requester::Connection(ticket, tag));
        Ok(())
    }

    /// Posts a question for a page of a topic's log. There is a place for the answer.
    pub(crate) fn post_history(
        &mut self,
        topic: TopicKey,
        class: LogClass,
        query: HistoryQuery,
        requester: Requester,
    ) {
        let nothing = Part::History(None);
        let key = self.queries.open(self.mail.shard(), requester, nothing);
        let home = self.mail.home(Some(topic.topic()));
        let request = ShardRequest::History {
            topic,
            class,
            key,
            query: Box::new(query),
        };
        self.mail.request(home, request);
    }

    /// The key of a topic, whose name is checked. One that is known here costs no allocation.
    pub(super) fn key(&self, topic: Topic<'_>) -> Result<TopicKey, PublishError> {
        let is_name = match topic {
            Topic::Room(name) => self.check_name(name).is_ok(),
            Topic::User(name) => (1..=USER_BYTES_MAX).contains(&name.len()),
        };
        if !is_name {
            return Err(PublishError::BadName);
        }
        let known = self.topics.local.known(topic).cloned();
        Ok(known.unwrap_or_else(|| TopicKey::new(topic)))
    }

    /// As home: gives a publish its place in the order, has it encoded, and sends it to every shard
    /// with members.
    pub(crate) fn order(&mut self, mut publish: PublishRequest) {
        self.counters.publishes.add(1);
        let receipt = |key: &mut QueryKey| key.wants == Wants::Receipt;
        let receipt = publish.report.take_if(receipt);
        let report = match (&publish.topic, publish.content.kept()) {
            (Some(key), Some((keep, content))) => self.order_kept(&publish, key, keep, content),
            (Some(key), None) => {
                self.order_in_topic(&publish, key.topic(), None, |_, _| {});
                Report::default()
            }
            (None, _) => {
                self.order_for_everyone(&publish);
                Report::default()
            }
        };
        if let Some(key) = receipt {
            enqueue_report(&mut self.mail, key, 1, report);
        }
    }

    /// `deliver` is called with what those of each encoding are sent.
    pub(super) fn order_in_topic(
        &mut self,
        publish: &PublishRequest,
        topic: Topic<'_>,
        position: Option<Position>,
        mut deliver: impl FnMut(EncodingId, &Frame),
    ) {
        self.events.published(publish.topic.as_ref(), position);
        let (topics, mail, mut encoder) = self.home_parts();
        let interest = topics.homes.interest(topic);
        let topic = Some(topic);
        let count = |pairs: &[Interest]| pairs.iter().map(|pair| pair.members).sum();
        // Ordered by encoding: if the first and the last are of one, all are.
        let ends = interest.first().zip(interest.last());
        if let Some((first, _)) = ends.filter(|(first, last)| first.encoding == last.encoding) {
            let encoding = first.encoding;
            let Some(frame) = encoder.share(&publish.content, encoding, topic, position) else {
                let nobody = std::iter::empty();
                return send_out(mail, publish, position, count(interest), nobody);
            };
            deliver(encoding, &frame);
            let to = interest.iter().map(|pair| (pair.shard, encoding, &frame));
            return send_out(mail, publish, position, 0, to);
        }
        let present: EncodingSet = interest.iter().map(|pair| pair.encoding).collect();
        let frames = encoder.share_all(publish, present, topic, position);
        for encoding in present.iter() {
            if let Some(frame) = &frames[encoding.index()] {
                deliver(encoding, frame);
            }
        }
        let said = |pair: &&Interest| frames[pair.encoding.index()].is_some();
        let unencodable = interest.iter().filter(|pair| !said(pair));
        let dropped = unencodable.map(|pair| pair.members).sum();
        let to = interest.iter().filter_map(|pair| {
            let frame = frames[pair.encoding.index()].as_ref()?;
            Some((pair.shard, pair.encoding, frame))
        });
        send_out(mail, publish, position, dropped, to);
    }

    /// Every shard is sent to, for each encoding that the process has connections of: whoever opens
    /// one later misses nothing between two messages that it gets.
    fn order_for_everyone(&mut self, publish: &PublishRequest) {
        self.events.published(None, None);
        let present = self.admissions.process.encodings.get();
        let (_, mail, mut encoder) = self.home_parts();
        let frames = &encoder.share_all(publish, present, None, None);
        let shards = mail.shards() as u16;
        let pairs = present
            .iter()
            .flat_map(|encoding| (0..shards).map(move |shard| (shard, encoding)));
        let to = pairs.clone().filter_map(|(shard, encoding)| {
            let frame = frames[encoding.index()].as_ref()?;
            Some((shard, encoding, frame))
        });
        let mut parcels = to.clone().count() as u16;
        if let Some(key) = publish.report {
            // Each shard counts its connections that cannot be told, as it counts the others.
            let unencodable = pairs.filter(|(_, encoding)| frames[encoding.index()].is_none());
            parcels += unencodable.clone().count() as u16;
            for (shard, encoding) in unencodable {
                let unencodable = Delivery::Unencodable {
                    encoding,
                    except: publish.except_on(shard),
                    key,
                    parcels,
                };
                mail.deliver(shard, unencodable);
            }
            if parcels == 0 {
                enqueue_report(mail, key, 1, Report::default());
            }
        }
        deliver_all(mail, publish, None, parcels, to);
    }

    /// As member: nobody of an encoding is sent a publish to everyone. The shard's part of its
    /// report.
    pub(crate) fn count_unencodable(&self, encoding: EncodingId, except: Option<Ticket>) -> Report {
        let open = self.connections.open(encoding);
        Report {
            dropped: open.filter(|ticket| Some(*ticket) != except).count() as u32,
            ..Report::default()
        }
    }

    /// As member: names those who are members at this place in the order.
    pub(crate) fn name_members(
        &mut self,
        topic: Topic<'_>,
        encoding: EncodingId,
        members_max: u16,
    ) -> Vec<Member> {
        let Some(index) = self.topics.local.find(encoding, topic) else {
            // The last member left while this was on its way.
            return Vec::new();
        };
        let subscribers = self.topics.local.subscribers(index);
        let tickets = subscribers.all().take(usize::from(members_max));
        let user = match subscribers.key.kind() {
            TopicKind::User => Some(subscribers.key.name().clone()),
            TopicKind::Room => None,
        };
        let tickets = tickets.collect::<Vec<_>>();
        let named = tickets.into_iter().map(|ticket| Member {
            address: self.address(ticket),
            user: user.clone().or_else(|| self.user(ticket)),
        });
        named.collect()
    }
}
