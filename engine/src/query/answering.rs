//! This shard's part of the answers to other threads: its open connections, and the topics that it
//! orders.

use crate::connection::phase::Phase;
use crate::connection::slot::Slots;
use crate::message::lane::Mailbox;
use crate::query::gather::Part;
use crate::query::page::{
    Found, FoundConnection, FoundTopic, Query, TopicDetail, TopicPart, place,
};
use crate::topic::home::Interest;
use crate::topic::key::{Topic, TopicKind, TopicName};
use crate::topic::topics::Topics;
use crate::types::answer::Member;
use crate::types::encoding::EncodingId;
use crate::types::ticket::Address;

impl Query {
    /// This shard's part of the answer, and how many parts there are in all.
    pub(crate) fn part(&self, topics: &Topics, slots: &Slots, mail: &Mailbox) -> (Part, u16) {
        let shards = mail.shards() as u16;
        match self {
            Query::Connections { after, limit } => {
                let found = find_connections(topics, slots, mail, *after, *limit);
                (Part::Connections(found), shards)
            }
            Query::Members {
                topic,
                after,
                limit,
            } => {
                let found = find_members(topics, slots, mail, (topic.topic(), *after), *limit);
                (Part::Connections(found), shards)
            }
            Query::Topics { after, limit } => {
                let found = find_topics(topics, after.as_ref(), *limit);
                (Part::Topics(found), shards)
            }
            Query::Topic { topic } => (Part::Topic(Box::new(find_topic(topics, topic))), 1),
        }
    }
}

fn find_connections(
    topics: &Topics,
    slots: &Slots,
    mail: &Mailbox,
    after: Option<Address>,
    limit: usize,
) -> Found<FoundConnection> {
    let behind = |address: &Address| after.is_none_or(|after| place(*address) > place(after));
    let open = slots.in_phase(Phase::Open);
    let open = open.map(|ticket| mail.address(ticket)).filter(behind);
    // They come in order: one more tells whether there are more.
    let found = open.take(limit + 1);
    Found::first(found.map(|address| found_at(topics, slots, address)), limit)
}

fn found_at(topics: &Topics, slots: &Slots, address: Address) -> FoundConnection {
    let cold = slots.ref_at(address.ticket.slot).cold.as_ref();
    FoundConnection {
        address,
        peer: slots.peer(address.ticket.slot),
        user: topics.user(slots, address.ticket),
        waiting_bytes: cold.map_or(0, |cold| cold.outbox.bytes()),
    }
}

fn find_members(
    topics: &Topics,
    slots: &Slots,
    mail: &Mailbox,
    (topic, after): (Topic<'_>, Option<Address>),
    limit: usize,
) -> Found<FoundConnection> {
    let behind = |address: &Address| after.is_none_or(|after| place(*address) > place(after));
    let members = topics
        .local
        .tickets(topic)
        .map(|ticket| mail.address(ticket));
    let is_open = |address: &Address| slots.phase(address.ticket) == Phase::Open;
    let members = members.filter(|address| behind(address) && is_open(address));
    let make = |address: Address| found_at(topics, slots, address);
    Found::select(members.collect(), limit, |address| place(*address), make)
}

fn find_topics(topics: &Topics, after: Option<&TopicName>, limit: usize) -> Found<FoundTopic> {
    let after = after.map(TopicName::topic);
    let found = topics.homes.by_name();
    let behind = found.filter(|(topic, _)| after.is_none_or(|after| *topic > after));
    let make = |(topic, members): (Topic<'_>, u32)| FoundTopic {
        topic: topic.to_name(),
        members,
    };
    Found::select(behind.collect(), limit, |(topic, _)| *topic, make)
}

fn find_topic(topics: &Topics, topic: &TopicName) -> TopicDetail {
    let homes = &topics.homes;
    TopicDetail {
        topic: topic.clone(),
        members: homes.members(topic.topic()),
        parts: parts_of(homes.interest(topic.topic())),
    }
}

/// By encoding of connections and shard: some may be sent deltas, and others not.
fn parts_of(interest: &[Interest]) -> Vec<TopicPart> {
    let mut parts: Vec<TopicPart> = Vec::new();
    for pair in interest {
        let (encoding, shard) = (pair.encoding.of_connections(), pair.shard);
        let found =
            parts.binary_search_by_key(&(encoding, shard), |part| (part.encoding, part.shard));
        match found {
            Ok(at) => parts[at].members += pair.members,
            Err(at) => {
                let members = pair.members;
                parts.insert(
                    at,
                    TopicPart {
                        shard,
                        encoding,
                        members,
                    },
                );
            }
        }
    }
    parts
}

impl Topics {
    /// As member: names those who are members at this place in the order.
    pub(crate) fn name_members(
        &self,
        slots: &Slots,
        mail: &Mailbox,
        topic: Topic<'_>,
        encoding: EncodingId,
        members_max: u16,
    ) -> Vec<Member> {
        let Some(index) = self.local.find(encoding, topic) else {
            // The last member left while this was on its way.
            return Vec::new();
        };
        let subscribers = self.local.subscribers_ref(index);
        let tickets = subscribers.all().take(usize::from(members_max));
        let user = match subscribers.key.kind() {
            TopicKind::User => Some(subscribers.key.name().clone()),
            TopicKind::Room => None,
        };
        let named = tickets.map(|ticket| Member {
            address: mail.address(ticket),
            user: user.clone().or_else(|| self.user(slots, ticket)),
        });
        named.collect()
    }
}
