//! Being a member: what joining, leaving and identifying ask of a topic's home, and what comes
//! back.

use super::Core;
use crate::connection::membership::{MemberPlace, Membership};
use crate::connection::phase::Phase;
use crate::connection::slot::Connections;
use crate::message::delivery::Joined;
use crate::message::request::{Join, ShardRequest, ShownMember};
use crate::topic::key::{Topic, TopicKey, TopicKind, USER_BYTES_MAX};
use crate::topic::log::options::LogClass;
use crate::topic::topics::Topics;
use crate::types::answer::{Answer, Tag};
use crate::types::close_reason::CloseReason;
use crate::types::encoding::EncodingId;
use crate::types::history::Since;
use crate::types::presence::{JoinPresence, OwnedData};
use crate::types::room_error::RoomError;
use crate::types::same_user::SameUser;
use crate::types::ticket::{Address, Ticket};
use shardcast_protocol::close::CloseCode;
use std::sync::Arc;

/// The answer that the application gets for a connection, if it asked for one.
pub(crate) type Answered = Option<(Ticket, Tag, Answer)>;

/// User identities of one connection, counting those whose leave is not acknowledged yet. A further
/// identity is refused until a home has answered.
const USERS_PER_CONNECTION_MAX: usize = 8;

/// One request to join.
struct JoinRequest<'a> {
    topic: Topic<'a>,
    tag: Option<Tag>,
    options: JoinOptions,
}

/// What a join asks for besides the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinOptions {
    /// The room is full with so many members: one more is answered [`crate::Answer::Refused`].
    /// [`u32::MAX`]: no number fills it.
    pub members_max: u32,
    /// The class of the room's log, an index of [`crate::Config::logs`], if it is to keep one. A
    /// log that exists stays what it is.
    pub log: Option<LogClass>,
    /// Up to where the connection knows the room: it is sent what it has missed first, if the log
    /// has it. Needs [`JoinOptions::log`].
    pub since: Option<Since>,
    /// What the others see of the connection, if the room is to keep presence. It is who it is when
    /// it joins ([`crate::Context::identify`]).
    pub presence: Option<JoinPresence>,
}

impl Default for JoinOptions {
    fn default() -> JoinOptions {
        JoinOptions {
            members_max: u32::MAX,
            log: None,
            since: None,
            presence: None,
        }
    }
}

impl Core {
    pub(crate) fn join(
        &mut self,
        ticket: Ticket,
        room: &str,
        options: JoinOptions,
        tag: Tag,
    ) -> Result<(), RoomError> {
        self.check_name(room).map_err(|()| RoomError::BadName)?;
        let data = options
            .presence
            .as_ref()
            .and_then(|presence| presence.data.as_ref());
        if data.is_some_and(|data| data.data().bytes().len() > OwnedData::BYTES_MAX) {
            return Err(RoomError::DataTooLong);
        }
        if self.connections.phase(ticket) != Phase::Open {
            return Ok(());
        }
        let request = JoinRequest {
            topic: Topic::Room(room),
            tag: Some(tag),
            options,
        };
        self.join_topic(ticket, request)?;
        self.topics
            .check_congestion(&mut self.connections, ticket, Some(Topic::Room(room)));
        Ok(())
    }

    pub(crate) fn leave(&mut self, ticket: Ticket, room: &str, tag: Tag) -> Result<(), RoomError> {
        self.check_name(room).map_err(|()| RoomError::BadName)?;
        if self.connections.phase(ticket) != Phase::Open {
            return Ok(());
        }
        self.leave_topic(ticket, Topic::Room(room), Some(tag))?;
        self.topics
            .check_congestion(&mut self.connections, ticket, Some(Topic::Room(room)));
        Ok(())
    }

    /// The connection is this user from here on; `None`: nobody.
    pub(crate) fn identify(&mut self, ticket: Ticket, user: Option<&str>) -> Result<(), RoomError> {
        if user.is_some_and(|name| !(1..=USER_BYTES_MAX).contains(&name.len())) {
            return Err(RoomError::BadName);
        }
        if self.connections.phase(ticket) != Phase::Open {
            return Ok(());
        }
        let user = user.map(Topic::User);
        let old = self
            .identity(ticket)
            .map(|subscribers| self.topics.local.key(subscribers));
        if old.map(TopicKey::topic) == user {
            return Ok(());
        }
        let old = old.cloned();
        self.check_identities(ticket, user)?;
        if let Some(old) = &old {
            self.leave_topic(ticket, old.topic(), None)?;
        }
        if let Some(topic) = user {
            let request = JoinRequest {
                topic,
                tag: None,
                options: JoinOptions::default(),
            };
            self.join_topic(ticket, request)?;
        }
        Ok(())
    }

    /// Whether there is room to become another user, so that the old one is not left for nothing.
    fn check_identities(
        &mut self,
        ticket: Ticket,
        user: Option<Topic<'_>>,
    ) -> Result<(), RoomError> {
        let Some(user) = user else { return Ok(()) };
        let subscribers = self.topics.local.find(self.encoding(ticket), user);
        let memberships = self.connections.memberships(ticket.slot);
        let (total, _) = memberships.counts(TopicKind::User);
        let known = subscribers.and_then(|subscribers| memberships.find(subscribers));
        let has_room = match known {
            Some(known) => known.in_flight < u8::MAX,
            None => total < USERS_PER_CONNECTION_MAX,
        };
        has_room.then_some(()).ok_or(RoomError::Busy)
    }

    /// The subscribers of the user that a connection is.
    fn identity(&self, ticket: Ticket) -> Option<u32> {
        let memberships = self.connections.memberships_ref(ticket.slot);
        let mut users = memberships.wanted(TopicKind::User);
        users.next().map(|membership| membership.subscribers)
    }

    /// The user that a connection is.
    pub(crate) fn user(&self, ticket: Ticket) -> Option<Arc<str>> {
        Some(self.topics.local.key(self.identity(ticket)?).name().clone())
    }

    /// The encoding of a connection's messages.
    pub(crate) fn encoding(&self, ticket: Ticket) -> EncodingId {
        self.connections.ref_at(ticket.slot).flags.encoding()
    }

    /// Gives an open connection another encoding, unless it is a member somewhere.
    pub(crate) fn set_encoding(&mut self, ticket: Ticket, encoding: EncodingId) -> bool {
        let is_open = self.connections.phase(ticket) == Phase::Open;
        let is_member = !self
            .connections
            .memberships_ref(ticket.slot)
            .as_slice()
            .is_empty();
        if !is_open || is_member {
            return false;
        }
        let encodings = &self.admissions.process.encodings;
        encodings.add(encoding);
        encodings.remove(self.encoding(ticket));
        self.connections
            .at(ticket.slot)
            .flags
            .set_encoding(encoding);
        true
    }

    fn join_topic(&mut self, ticket: Ticket, request: JoinRequest<'_>) -> Result<(), RoomError> {
        let encoding = self.encoding(ticket);
        let known = self.topics.local.find(encoding, request.topic);
        let memberships = self.connections.memberships(ticket.slot);
        let known = known.and_then(|subscribers| memberships.find(subscribers));
        let counted = known.as_ref().is_none_or(|membership| !membership.wanted);
        let subscribers = match known {
            Some(membership) => {
                membership.in_flight =
                    membership.in_flight.checked_add(1).ok_or(RoomError::Busy)?;
                membership.wanted = true;
                membership.subscribers
            }
            None => {
                if request.topic.kind() == TopicKind::Room {
                    let (total, wanted) = memberships.counts(TopicKind::Room);
                    if wanted >= self.limits.rooms_per_connection_max {
                        return Err(RoomError::TooMany);
                    }
                    // It may still be leaving as many rooms again.
                    if total >= 2 * self.limits.rooms_per_connection_max {
                        return Err(RoomError::Busy);
                    }
                }
                let subscribers = self.topics.local.claim(encoding, request.topic);
                memberships.insert(Membership::asked(subscribers, request.topic.kind()));
                subscribers
            }
        };
        let topic = self.topics.local.key(subscribers).clone();
        let home = self.mail.home(Some(topic.topic()));
        let presence = request.options.presence.map(|presence| {
            let user = self.user(ticket);
            Box::new(ShownMember { user, presence })
        });
        let join = Join {
            topic,
            who: self.address(ticket),
            encoding,
            tag: request.tag,
            counted,
            members_max: request.options.members_max,
            log: request.options.log,
            since: request.options.since.map(Box::new),
            presence,
        };
        self.mail.request(home, ShardRequest::Join(join));
        Ok(())
    }

    fn leave_topic(
        &mut self,
        ticket: Ticket,
        topic: Topic<'_>,
        tag: Option<Tag>,
    ) -> Result<(), RoomError> {
        let encoding = self.encoding(ticket);
        let known = self.topics.local.find(encoding, topic);
        let memberships = self.connections.memberships(ticket.slot);
        let known = known.and_then(|subscribers| memberships.find(subscribers));
        let Some(membership) = known.filter(|membership| membership.wanted) else {
            return Err(RoomError::NotJoined);
        };
        membership.in_flight = membership.in_flight.checked_add(1).ok_or(RoomError::Busy)?;
        membership.wanted = false;
        let topic = self.topics.local.key(membership.subscribers).clone();
        let home = self.mail.home(Some(topic.topic()));
        let leave = ShardRequest::Leave {
            topic,
            who: self.address(ticket),
            encoding,
            tag,
        };
        self.mail.request(home, leave);
        Ok(())
    }

    /// A name that a room may have.
    pub(super) fn check_name(&self, room: &str) -> Result<(), ()> {
        let fits = (1..=self.limits.room_name_bytes_max).contains(&room.len());
        fits.then_some(()).ok_or(())
    }

    /// As home: a connection becomes a member, if the room is not full.
    pub(crate) fn order_join(&mut self, mut join: Join) {
        if join.topic.kind() == TopicKind::User {
            self.seat(&mut join);
        }
        let Topics {
            homes,
            logs,
            presences,
            ..
        } = &mut self.topics;
        let (mail, events) = (&mut self.mail, &mut self.events);
        homes.order_join(logs, presences, mail, events, self.now, join);
    }

    /// As home of a user: a connection becomes the user's, if the rule for that has a place for it
    /// or makes one.
    fn seat(&mut self, join: &mut Join) {
        match self.limits.same_user {
            SameUser::Allow => {}
            SameUser::Refuse { connections_max } => join.members_max = connections_max,
            SameUser::Replace { connections_max } if join.counted => {
                let seats = &mut self.topics.seats;
                let oldest = seats.take(join.topic.name(), join.who, connections_max);
                let Some(oldest) = oldest else { return };
                self.counters.closed_replaced.add(1);
                let disconnect = ShardRequest::Disconnect {
                    who: oldest.ticket,
                    code: CloseCode::REPLACED,
                    reason: "another connection of this user took its place".into(),
                };
                self.mail.request(oldest.shard, disconnect);
            }
            SameUser::Replace { .. } => {}
        }
    }

    /// As home: a connection is no member any more, if it was one.
    pub(crate) fn order_leave(&mut self, topic: &TopicKey, encoding: EncodingId, who: Address) {
        if topic.kind() == TopicKind::User && !self.topics.seats.is_empty() {
            self.topics.seats.leave(topic.name(), who);
        }
        let Topics { homes, logs, .. } = &mut self.topics;
        homes.order_leave(logs, &mut self.events, self.now, topic, encoding, who);
    }

    /// The home counted the join (or was only asked): from here the connection is a member. The
    /// answer for the application.
    pub(crate) fn joined(&mut self, joined: Joined) -> Answered {
        let Joined {
            topic,
            encoding,
            who,
            tag,
            members,
            counted,
            log,
        } = joined;
        let subscribers = self.topics.local.find(encoding, topic.topic());
        let (subscribers, membership) = answered(&mut self.connections, who, subscribers)?;
        membership.in_flight -= 1;
        let becomes_member = counted && membership.place() == MemberPlace::Outside;
        if becomes_member {
            let list = &mut self.topics.local.subscribers(subscribers).members;
            membership.set_place(MemberPlace::Member(list.len()));
            list.push(who);
        }
        let log = log.map(|log| self.joined_log(who, subscribers, becomes_member, *log));
        let room = topic.name().clone();
        Some((who, tag?, Answer::Joined { room, members, log }))
    }

    /// The home counted the leave: no message of the room follows.
    pub(crate) fn left(
        &mut self,
        topic: TopicKey,
        encoding: EncodingId,
        who: Ticket,
        tag: Option<Tag>,
    ) -> Answered {
        let subscribers = self.topics.local.find(encoding, topic.topic());
        let (subscribers, membership) = answered(&mut self.connections, who, subscribers)?;
        let was = *membership;
        membership.in_flight -= 1;
        membership.set_place(MemberPlace::Outside);
        let over = !membership.wanted && membership.in_flight == 0;
        self.topics.cursors.remove(who.slot, subscribers);
        self.remove_member(was);
        if over {
            self.forget_membership(who, subscribers);
        }
        let room = topic.name().clone();
        Some((who, tag?, Answer::Left { room }))
    }

    /// The home refused the join: the connection did not become a member by it, and was none. What
    /// it asked for later decides, if there is something. The home hears that this is known,
    /// whatever became of the connection.
    pub(crate) fn refused(
        &mut self,
        topic: TopicKey,
        encoding: EncodingId,
        who: Ticket,
        answer: Option<(Tag, RoomError)>,
    ) -> Answered {
        let refusal_acked = ShardRequest::RefusalAcked {
            topic: topic.clone(),
            who: self.address(who),
        };
        let home = self.mail.home(Some(topic.topic()));
        self.mail.enqueue(home, refusal_acked);
        let subscribers = self.topics.local.find(encoding, topic.topic());
        let (subscribers, membership) = answered(&mut self.connections, who, subscribers)?;
        membership.in_flight -= 1;
        debug_assert_eq!(membership.place(), MemberPlace::Outside);
        let refused = *membership;
        if refused.in_flight == 0 {
            self.forget_membership(who, subscribers);
            if refused.wanted && refused.kind == TopicKind::User {
                self.close_for_too_many(who);
                return None;
            }
        }
        let (tag, error) = answer?;
        let room = topic.name().clone();
        Some((who, tag, Answer::Refused { room, error }))
    }

    /// The user that a connection wanted to be has as many as it may have.
    fn close_for_too_many(&mut self, who: Ticket) {
        const TEXT: &str = "this user has as many connections as it may have";
        self.counters.closed_too_many.add(1);
        let code = CloseCode::TOO_MANY_CONNECTIONS;
        self.close(who, code, TEXT, CloseReason::Application(code));
    }

    fn forget_membership(&mut self, who: Ticket, subscribers: u32) {
        self.connections.memberships(who.slot).remove(subscribers);
        self.topics.local.release(subscribers);
    }
}

/// The membership that an answer is about, while its connection is open.
fn answered(
    connections: &mut Connections,
    who: Ticket,
    subscribers: Option<u32>,
) -> Option<(u32, &mut Membership)> {
    if connections.phase(who) != Phase::Open {
        return None;
    }
    let subscribers = subscribers?;
    let membership = connections.memberships(who.slot).find(subscribers)?;
    Some((subscribers, membership))
}
