//! A home's part in the presence of its topics: what members are told of each other is published in
//! the topic's order, and pages are read.

use crate::events::{Event, EventKind};
use crate::message::lane::Mailbox;
use crate::message::request::PublishRequest;
use crate::query::gather::{Outcome, Part, QueryKey};
use crate::topic::data::{Data, DataEncoding};
use crate::topic::key::TopicKey;
use crate::topic::outlet::Outlet;
use crate::topic::presence::presences::{Told, What};
use crate::topic::presence::roster::Change;
use crate::topic::publication::{Content, Publication, PublicationKind};
use crate::topic::topics::Topics;
use crate::types::answer::Report;
use crate::types::presence::{
    MemberConnection, OwnedData, PresenceKey, PresenceQuery, PresenceState, PresentThere,
};
use crate::types::presence_event::PresenceEvent;
use std::sync::Arc;

impl Topics {
    /// Publishes all that members are still to be told. False: a lane is full, and the rest goes
    /// before the next request.
    #[cold]
    pub(crate) fn publish_presence(&mut self, outlet: &mut Outlet<'_>) -> bool {
        while self.presences.has_events() {
            if !outlet.mail.can_deliver() {
                return false;
            }
            if let Some(told) = self.presences.next_event() {
                self.publish_told(outlet, &told);
            }
        }
        true
    }

    fn publish_told(&mut self, outlet: &mut Outlet<'_>, told: &Told) {
        let (kind, data) = match &told.what {
            What::Change(change) => kind_of(change),
            What::Members(members) => (PublicationKind::Members { members: *members }, None),
            What::OfThisProcess(change) => {
                let room = told.topic.name();
                let event = || event_of(room.clone(), change);
                return outlet.events.emit(EventKind::Presence, event);
            }
        };
        outlet.counters.presence_events.add(1);
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
        let known = Report::default();
        self.order_in_topic(outlet, &publish, told.topic.topic(), None, known, |_, _| {});
    }

    /// Answers with some members of a topic.
    pub(crate) fn read_presence(
        &mut self,
        mail: &mut Mailbox,
        topic: &TopicKey,
        key: QueryKey,
        query: &PresenceQuery,
    ) {
        let page = self.presences.page(topic.topic(), query);
        let part = Part::Presence(Box::new(page));
        let parcels = 1;
        mail.enqueue_outcome(Outcome { key, parcels, part });
    }
}

fn event_of(room: Arc<str>, change: &Change) -> Event {
    let there = |state| PresentThere {
        user: change.user.clone(),
        data: change.data.clone(),
        state,
    };
    Event::Presence {
        room,
        key: change.key.clone(),
        shown: match change.event {
            PresenceEvent::Join | PresenceEvent::Back => Some(there(PresenceState::Here)),
            PresenceEvent::Away => Some(there(PresenceState::Away)),
            PresenceEvent::Leave => None,
        },
        was: change.was,
    }
}

fn kind_of(change: &Change) -> (PublicationKind<'_>, Option<&OwnedData>) {
    let kind = PublicationKind::Presence {
        event: change.event,
        connection: match &change.key {
            PresenceKey::Connection(who) => Some(MemberConnection::Here(*who)),
            PresenceKey::Elsewhere(name) => Some(MemberConnection::Elsewhere(name)),
            PresenceKey::User(_) => None,
        },
        user: change.user.as_deref(),
        was: change.was,
    };
    (kind, change.data.as_deref())
}
