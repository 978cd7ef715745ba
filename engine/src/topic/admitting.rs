//! Joins and leaves, as home: who becomes a member, whose place that takes, and who ceases to be
//! one. Called for the requests that this shard orders.

use crate::message::delivery::Delivery;
use crate::message::request::{Join, ShardRequest};
use crate::topic::key::{TopicKey, TopicKind};
use crate::topic::outlet::Outlet;
use crate::topic::presence::presences::Goodbye;
use crate::topic::topics::Topics;
use crate::types::answer::Tag;
use crate::types::encoding::EncodingId;
use crate::types::same_user::SameUser;
use crate::types::ticket::Address;
use shardcast_protocol::close::CloseCode;

impl Topics {
    /// As home: a connection becomes a member, if the room is not full.
    pub(crate) fn order_join(&mut self, outlet: &mut Outlet<'_>, mut join: Join) {
        if join.topic.kind() == TopicKind::User {
            self.seat(outlet, &mut join);
        }
        let Topics {
            homes,
            logs,
            presences,
            ..
        } = self;
        let (mail, events, now) = (&mut *outlet.mail, &mut *outlet.events, outlet.now);
        homes.order_join(logs, presences, mail, events, now, join);
    }

    /// As home of a user: a connection becomes the user's, if the rule for that has a place for it
    /// or makes one.
    fn seat(&mut self, outlet: &mut Outlet<'_>, join: &mut Join) {
        match self.limits.same_user {
            SameUser::Allow => {}
            SameUser::Refuse { connections_max } => join.members_max = connections_max,
            SameUser::Replace { connections_max } if join.counted => {
                let seats = &mut self.seats;
                let oldest = seats.take(join.topic.name(), join.who, connections_max);
                let Some(oldest) = oldest else { return };
                outlet.counters.closed_replaced.add(1);
                let disconnect = ShardRequest::Disconnect {
                    who: oldest.ticket,
                    code: CloseCode::REPLACED,
                    reason: "another connection of this user took its place".into(),
                };
                outlet.mail.request(oldest.shard, disconnect);
            }
            SameUser::Replace { .. } => {}
        }
    }

    /// As home: a connection leaves, and hears that no message of the topic follows.
    pub(crate) fn order_leave(
        &mut self,
        outlet: &mut Outlet<'_>,
        topic: TopicKey,
        encoding: EncodingId,
        who: Address,
        tag: Option<Tag>,
    ) {
        self.end_membership(outlet, &topic, encoding, who);
        self.presences.leave(topic.topic(), who, outlet.now);
        let left = Delivery::Left {
            topic,
            encoding,
            who: who.ticket,
            tag,
        };
        outlet.mail.deliver(who.shard, left);
    }

    /// As home: a connection that has ended leaves these.
    pub(crate) fn order_leave_all(
        &mut self,
        outlet: &mut Outlet<'_>,
        topics: &[TopicKey],
        encoding: EncodingId,
        who: Address,
        may_return: bool,
    ) {
        let goodbye = match may_return {
            true => Goodbye::Unsaid,
            false => Goodbye::Said,
        };
        for topic in topics {
            self.end_membership(outlet, topic, encoding, who);
            self.presences.lose(topic.topic(), who, goodbye, outlet.now);
        }
    }

    /// A connection is no member any more, if it was one.
    fn end_membership(
        &mut self,
        outlet: &mut Outlet<'_>,
        topic: &TopicKey,
        encoding: EncodingId,
        who: Address,
    ) {
        if topic.kind() == TopicKind::User && !self.seats.is_empty() {
            self.seats.leave(topic.name(), who);
        }
        let Topics { homes, logs, .. } = self;
        homes.order_leave(logs, outlet.events, outlet.now, topic, encoding, who);
        if encoding.has_deltas() && !homes.has_deltas(topic.topic()) {
            self.bases.remove(topic.name());
        }
    }
}
