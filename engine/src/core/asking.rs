//! What connections and other threads ask homes for: publishes, lists, pages of logs and of
//! presence. Each goes to the topic's home, with a place for its answer if it has one.
//!
//! While too much waits for lanes, the application is told that it may ask for nothing more. Leaves
//! are not refused: there is at most one for each membership, and whoever begins several things of
//! which one is refused takes the others back with them. Called by the context and for commands.

use super::Core;
use crate::message::request::{PublishRequest, ShardRequest};
use crate::query::gather::{Outcome, Part, QueryKey, Requester};
use crate::topic::joining::JoinOptions;
use crate::topic::key::{Topic, TopicKey};
use crate::topic::log::options::LogClass;
use crate::topic::log::step::LogStep;
use crate::topic::order::enqueue_report;
use crate::topic::target::{Publish, PublishError, Target, Wants};
use crate::types::answer::{Listing, Reply, Report, Tag};
use crate::types::history::{History, HistoryQuery};
use crate::types::presence::PresenceQuery;
use crate::types::room_error::RoomError;
use crate::types::ticket::Ticket;

/// As many requests wait as may ([`crate::message::lane::REQUESTS_WAITING_MAX`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyWait;

impl Core {
    /// Whether the application may ask for one thing more.
    #[inline]
    pub(crate) fn may_ask(&self) -> Result<(), TooManyWait> {
        if self.mail.is_full() {
            self.counters.asks_refused.add(1);
            return Err(TooManyWait);
        }
        Ok(())
    }

    pub(crate) fn join(
        &mut self,
        ticket: Ticket,
        room: &str,
        options: JoinOptions,
        tag: Tag,
    ) -> Result<(), RoomError> {
        self.may_ask()?;
        let slots = &mut self.connections.slots;
        (self.topics).join(slots, &mut self.mail, ticket, room, options, tag)
    }

    /// A member has what was published up to an offset.
    pub(crate) fn acknowledge(
        &mut self,
        ticket: Ticket,
        room: &str,
        offset: u64,
    ) -> Result<(), RoomError> {
        let (slots, mail) = (&mut self.connections.slots, &mut self.mail);
        self.topics.acknowledge(slots, mail, ticket, room, offset)
    }

    pub(crate) fn leave(&mut self, ticket: Ticket, room: &str, tag: Tag) -> Result<(), RoomError> {
        let slots = &mut self.connections.slots;
        (self.topics).leave(slots, &mut self.mail, ticket, room, tag)
    }

    /// The connection is this user from here on; `None`: nobody.
    pub(crate) fn identify(&mut self, ticket: Ticket, user: Option<&str>) -> Result<(), RoomError> {
        if user.is_some() {
            self.may_ask()?;
        }
        let slots = &mut self.connections.slots;
        (self.topics).identify(slots, &mut self.mail, ticket, user)
    }

    /// The key of a topic that a connection may ask its home about: for its members, or for a page
    /// of what is kept of it. Whoever asks about a congested topic waits for it.
    fn ask_about(&mut self, ticket: Ticket, topic: Topic<'_>) -> Result<TopicKey, PublishError> {
        self.may_ask()?;
        let topic = self.topics.key(topic)?;
        if self.queries.is_full() {
            return Err(PublishError::TooManyReports);
        }
        self.topics
            .check_congestion(&mut self.connections.slots, ticket, Some(topic.topic()));
        Ok(topic)
    }

    pub(crate) fn publish(
        &mut self,
        ticket: Ticket,
        to: Target<'_>,
        publish: Publish,
    ) -> Result<(), PublishError> {
        let topic = to.topic().map(|topic| self.topics.key(topic)).transpose()?;
        publish.check()?;
        let is_full = match publish.wants {
            None => false,
            Some((_, Wants::Counts)) => self.queries.is_full(),
            Some((_, Wants::Receipt)) => self.queries.receipts_are_full(),
        };
        if is_full {
            return Err(PublishError::TooManyReports);
        }
        if self.topics.is_greedy(topic.as_ref().map(TopicKey::topic)) {
            self.counters.publishes_refused.add(1);
            return Err(PublishError::Memory);
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
            .check_congestion(&mut self.connections.slots, ticket, topic);
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
        let may_wait = self.queries.may_wait_outside();
        publish.report = reply.map(|reply| self.open_report(Requester::Outside(reply), wants));
        if let Some(key) = publish.report
            && !may_wait
            && self.topics.has_sequencer()
            && self.topics.is_unsequenced(&publish)
        {
            return enqueue_report(&mut self.mail, key, 1, Report::unavailable());
        }
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
        let waits = self.topics.has_sequencer() && self.topics.logs.is_sequenced(class);
        let is_refused = waits && requester.is_outside() && !self.queries.may_wait_outside();
        let key = self.queries.open(self.mail.shard(), requester, nothing);
        if is_refused {
            let part = Part::History(Some(Box::new(History::unavailable())));
            let parcels = 1;
            return self.mail.enqueue_outcome(Outcome { key, parcels, part });
        }
        let home = self.mail.home(Some(topic.topic()));
        let request = ShardRequest::History {
            topic,
            class,
            key,
            query: Box::new(query),
        };
        self.mail.request(home, request);
    }

    /// Another thread wants a topic's log emptied. There is a place for the reply.
    pub(crate) fn clear_history_from_outside(&mut self, topic: TopicKey, reply: Reply) {
        let (requester, nothing) = (Requester::Outside(reply), Part::History(None));
        let key = self.queries.open(self.mail.shard(), requester, nothing);
        let home = self.mail.home(Some(topic.topic()));
        (self.mail).request(home, ShardRequest::ClearHistory { topic, key });
    }

    /// Posts a step that another thread has done with a topic's log.
    pub(crate) fn post_step(&mut self, topic: TopicKey, step: LogStep) {
        let home = self.mail.home(Some(topic.topic()));
        (self.mail).request(home, ShardRequest::StepLog { topic, step });
    }

    /// As home of the topic.
    pub(crate) fn step_log(&mut self, topic: &TopicKey, step: LogStep) {
        let (topics, mut outlet) = self.home();
        topics.step_log(&mut outlet, topic, step);
    }

    /// As home of the topic.
    pub(crate) fn clear_history(&mut self, topic: &TopicKey, key: QueryKey) {
        let (topics, mut outlet) = self.home();
        topics.clear_history(&mut outlet, topic, key);
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

impl From<TooManyWait> for PublishError {
    fn from(_: TooManyWait) -> PublishError {
        PublishError::Busy
    }
}

impl From<TooManyWait> for RoomError {
    fn from(_: TooManyWait) -> RoomError {
        RoomError::Busy
    }
}
