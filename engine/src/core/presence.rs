//! A home's part in the presence of its topics: what members are told of each other is published in
//! the topic's order, and pages are read.

use super::Core;
use crate::message::request::{PublishRequest, ShardRequest};
use crate::query::gather::{Outcome, Part, QueryKey, Requester};
use crate::topic::key::{Topic, TopicKey};
use crate::topic::presence::presences::{Told, What};
use crate::topic::presence::roster::Change;
use crate::topic::publication::{Content, Data, DataEncoding, Publication, PublicationKind};
use crate::topic::target::PublishError;
use crate::types::answer::Tag;
use crate::types::presence::{OwnedData, PresenceKey, PresenceQuery};
use crate::types::ticket::Ticket;

impl Core {
    /// Publishes all that members are still to be told. False: a lane is full, and the rest goes
    /// before the next request.
    #[cold]
    pub(crate) fn publish_presence(&mut self) -> bool {
        while self.topics.presences.has_events() {
            if !self.mail.can_deliver() {
                return false;
            }
            if let Some(told) = self.topics.presences.next_event() {
                self.publish_told(&told);
            }
        }
        true
    }

    fn publish_told(&mut self, told: &Told) {
        self.counters.presence_events.add(1);
        let (kind, data) = match &told.what {
            What::Change(change) => kind_of(change),
            What::Members(members) => (PublicationKind::Members { members: *members }, None),
        };
        let publication = Publication {
            topic: None,
            kind,
            data: data.map_or(Data::Text(""), OwnedData::data),
            data_encoding: data.map_or(DataEncoding::default(), OwnedData::data_encoding),
        };
        let publish = PublishRequest {
            topic: Some(told.topic.clone()),
            content: Content::data(&publication, None),
            except: told.except,
            report: None,
        };
        self.order_in_topic(&publish, told.topic.topic(), None, |_, _| {});
    }

    /// Answers with some members of a topic.
    pub(crate) fn read_presence(&mut self, topic: &TopicKey, key: QueryKey, query: &PresenceQuery) {
        let page = self.topics.presences.page(topic.topic(), query);
        let part = Part::Presence(Box::new(page));
        let parcels = 1;
        self.mail.enqueue_outcome(Outcome { key, parcels, part });
    }

    /// Asks for some members of a topic.
    pub(crate) fn presence(
        &mut self,
        ticket: Ticket,
        topic: Topic<'_>,
        query: PresenceQuery,
        tag: Tag,
    ) -> Result<(), PublishError> {
        let topic = self.ask_about(ticket, topic)?;
        self.post_presence(topic, query, Requester::Connection(ticket, tag));
        Ok(())
    }

    /// Posts a question for some members of a topic. There is a place for the answer.
    pub(crate) fn post_presence(
        &mut self,
        topic: TopicKey,
        query: PresenceQuery,
        requester: Requester,
    ) {
        let nobody = Part::Presence(Box::default());
        let key = self.queries.open(self.mail.shard(), requester, nobody);
        let home = self.mail.home(Some(topic.topic()));
        let query = Box::new(query);
        let request = ShardRequest::Presence { topic, key, query };
        self.mail.request(home, request);
    }
}

fn kind_of(change: &Change) -> (PublicationKind<'_>, Option<&OwnedData>) {
    let kind = PublicationKind::Presence {
        event: change.event,
        connection: match &change.key {
            PresenceKey::Connection(who) => Some(*who),
            PresenceKey::User(_) => None,
        },
        user: change.user.as_deref(),
        was: change.was,
    };
    (kind, change.data.as_deref())
}
