//! Being a member: what joining, leaving and identifying ask of a topic's home, and what comes
//! back.

use crate::connection::membership::{MemberPlace, Membership, Memberships, Wish};
use crate::connection::phase::Phase;
use crate::connection::slot::Slots;
use crate::message::delivery::Joined;
use crate::message::lane::Mailbox;
use crate::message::request::{Join, ShardRequest, ShownMember};
use crate::topic::filter::filters::TooManyFilters;
use crate::topic::key::{Topic, TopicKey, TopicKind, USER_BYTES_MAX};
use crate::topic::log::options::LogClass;
use crate::topic::topics::Topics;
use crate::types::answer::{Answer, Tag};
use crate::types::encoding::EncodingId;
use crate::types::filter::Filter;
use crate::types::history::{JoinAcks, JoinDeltas, Since};
use crate::types::presence::{JoinPresence, OwnedData};
use crate::types::room_error::RoomError;
use crate::types::ticket::Ticket;
use std::sync::Arc;

/// The answer that the application gets for a connection, if it asked for one.
pub(crate) type Answered = Option<(Ticket, Tag, Answer)>;

/// User identities of one connection, counting those whose leave is not acknowledged yet. A further
/// identity is refused until a home has answered.
const USERS_PER_CONNECTION_MAX: usize = 8;

/// What follows from a join that was refused.
#[derive(Debug)]
pub(crate) enum JoinRefused {
    Answered(Answered),
    /// The user that the connection wanted to be has as many connections as it may have.
    TooMany,
}

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
    /// Whether the connection acknowledges what it is sent.
    pub acks: JoinAcks,
    /// Whether it is sent deltas. A member stays what it is.
    pub deltas: JoinDeltas,
    /// Of what is published, it is sent what passes this ([`crate::Application::sift`]); offsets
    /// skip the rest. `None`: it is sent everything. A member stays what it is. With it there are
    /// no deltas: they build on what may have been left out; and it acknowledges nothing.
    pub filter: Option<Filter>,
}

impl Default for JoinOptions {
    fn default() -> JoinOptions {
        JoinOptions {
            members_max: u32::MAX,
            log: None,
            since: None,
            presence: None,
            acks: JoinAcks::Never,
            deltas: JoinDeltas::Never,
            filter: None,
        }
    }
}

impl Topics {
    /// Asks the home of a room for membership.
    pub(crate) fn join(
        &mut self,
        slots: &mut Slots,
        mail: &mut Mailbox,
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
        if slots.phase(ticket) != Phase::Open {
            return Ok(());
        }
        let request = JoinRequest {
            topic: Topic::Room(room),
            tag: Some(tag),
            options,
        };
        self.join_topic(slots, mail, ticket, request)?;
        self.check_congestion(slots, ticket, Some(Topic::Room(room)));
        Ok(())
    }

    /// Asks the home of a room to end a membership.
    pub(crate) fn leave(
        &mut self,
        slots: &mut Slots,
        mail: &mut Mailbox,
        ticket: Ticket,
        room: &str,
        tag: Tag,
    ) -> Result<(), RoomError> {
        self.check_name(room).map_err(|()| RoomError::BadName)?;
        if slots.phase(ticket) != Phase::Open {
            return Ok(());
        }
        self.leave_topic(slots, mail, ticket, Topic::Room(room), Some(tag))?;
        self.check_congestion(slots, ticket, Some(Topic::Room(room)));
        Ok(())
    }

    /// The connection is this user from here on; `None`: nobody.
    pub(crate) fn identify(
        &mut self,
        slots: &mut Slots,
        mail: &mut Mailbox,
        ticket: Ticket,
        user: Option<&str>,
    ) -> Result<(), RoomError> {
        if user.is_some_and(|name| !(1..=USER_BYTES_MAX).contains(&name.len())) {
            return Err(RoomError::BadName);
        }
        if slots.phase(ticket) != Phase::Open {
            return Ok(());
        }
        let user = user.map(Topic::User);
        let old = self
            .identity(slots, ticket)
            .map(|subscribers| self.local.key(subscribers));
        if old.map(TopicKey::topic) == user {
            return Ok(());
        }
        let old = old.cloned();
        self.check_identities(slots, ticket, user)?;
        if let Some(old) = &old {
            self.leave_topic(slots, mail, ticket, old.topic(), None)?;
        }
        if let Some(topic) = user {
            let request = JoinRequest {
                topic,
                tag: None,
                options: JoinOptions {
                    log: self.limits.user_log,
                    ..JoinOptions::default()
                },
            };
            self.join_topic(slots, mail, ticket, request)?;
        }
        Ok(())
    }

    /// Whether there is room to become another user, so that the old one is not left for nothing.
    fn check_identities(
        &self,
        slots: &mut Slots,
        ticket: Ticket,
        user: Option<Topic<'_>>,
    ) -> Result<(), RoomError> {
        let Some(user) = user else { return Ok(()) };
        let subscribers = self.local.find(slots.encoding(ticket.slot), user);
        let memberships = slots.memberships(ticket.slot);
        let (total, _) = memberships.counts(TopicKind::User);
        let known = subscribers.and_then(|subscribers| memberships.find(subscribers));
        let has_room = match known {
            Some(known) => known.in_flight < u8::MAX,
            None => total < USERS_PER_CONNECTION_MAX,
        };
        has_room.then_some(()).ok_or(RoomError::Busy)
    }

    /// The subscribers of the user that a connection is.
    fn identity(&self, slots: &Slots, ticket: Ticket) -> Option<u32> {
        let memberships = slots.memberships_ref(ticket.slot);
        let mut users = memberships.wanted(TopicKind::User);
        users.next().map(|membership| membership.subscribers)
    }

    /// The user that a connection is.
    pub(crate) fn user(&self, slots: &Slots, ticket: Ticket) -> Option<Arc<str>> {
        Some(self.local.key(self.identity(slots, ticket)?).name().clone())
    }

    /// The subscribers of a topic among which a connection is, or asked to be.
    pub(super) fn wanted(
        &self,
        slots: &mut Slots,
        ticket: Ticket,
        topic: Topic<'_>,
    ) -> Option<u32> {
        let encoding = slots.encoding(ticket.slot);
        let found = self.found(&ways(encoding), topic);
        wanted_of(slots.memberships(ticket.slot), &found)
    }

    /// The subscribers of a topic with each of these encodings.
    fn found(&self, encodings: &[EncodingId; WAYS], topic: Topic<'_>) -> [Option<u32>; WAYS] {
        encodings.map(|encoding| self.local.find(encoding, topic))
    }

    fn join_topic(
        &mut self,
        slots: &mut Slots,
        mail: &mut Mailbox,
        ticket: Ticket,
        request: JoinRequest<'_>,
    ) -> Result<(), RoomError> {
        let ways = ways(slots.encoding(ticket.slot));
        let asked = match (&request.options.filter, request.options.deltas) {
            (Some(_), _) => FILTERED,
            (None, JoinDeltas::Wanted) => WITH_DELTAS,
            (None, JoinDeltas::Never) => AS_IT_COMES,
        };
        // Each table is looked into once.
        let found = self.found(&ways, request.topic);
        let memberships = slots.memberships(ticket.slot);
        let wanted = wanted_of(memberships, &found);
        let known = wanted.or_else(|| {
            let left = found[asked];
            left.filter(|left| memberships.find(*left).is_some())
        });
        let counted = wanted.is_none();
        // What was not sent is not acknowledged.
        let acks = match &request.options.filter {
            Some(_) => JoinAcks::Never,
            None => request.options.acks,
        };
        let filter = request.options.filter.filter(|_| counted);
        let subscribers = match known {
            Some(subscribers) => self.ask_again(slots, ticket, subscribers, filter)?,
            None => {
                let first = (ways[asked], request.topic, found[asked]);
                self.ask_first(slots, ticket, first, filter)?
            }
        };
        let topic = self.local.key(subscribers).clone();
        let encoding = self.local.subscribers_ref(subscribers).encoding;
        let home = mail.home(Some(topic.topic()));
        let presence = request.options.presence.map(|presence| {
            let user = self.user(slots, ticket);
            Box::new(ShownMember { user, presence })
        });
        let join = Join {
            topic,
            who: mail.address(ticket),
            encoding,
            tag: request.tag,
            counted,
            members_max: request.options.members_max,
            log: request.options.log,
            since: request.options.since.map(Box::new),
            presence,
            acks,
        };
        mail.request(home, ShardRequest::Join(join));
        Ok(())
    }

    /// Asks to be among subscribers that a membership refers to.
    fn ask_again(
        &mut self,
        slots: &mut Slots,
        ticket: Ticket,
        subscribers: u32,
        filter: Option<Filter>,
    ) -> Result<u32, RoomError> {
        let memberships = slots.memberships(ticket.slot);
        let membership = memberships.find(subscribers);
        membership
            .filter(|membership| membership.in_flight < u8::MAX)
            .ok_or(RoomError::Busy)?;
        if let Some(filter) = filter {
            let asked = self.filters.ask(subscribers, ticket, &filter);
            asked.map_err(|TooManyFilters| RoomError::Full)?;
        }
        let asked = memberships.ask(subscribers, Wish::In);
        asked.ok_or(RoomError::Busy)?;
        Ok(subscribers)
    }

    /// Asks to be among subscribers that no membership of the connection refers to. `found`: where
    /// they are, if there are any.
    fn ask_first(
        &mut self,
        slots: &mut Slots,
        ticket: Ticket,
        (encoding, topic, found): (EncodingId, Topic<'_>, Option<u32>),
        filter: Option<Filter>,
    ) -> Result<u32, RoomError> {
        let memberships = slots.memberships(ticket.slot);
        if topic.kind() == TopicKind::Room {
            let (total, wanted) = memberships.counts(TopicKind::Room);
            if wanted >= self.limits.rooms_per_connection_max {
                return Err(RoomError::TooMany);
            }
            // It may still be leaving as many rooms again.
            if total >= 2 * self.limits.rooms_per_connection_max {
                return Err(RoomError::Busy);
            }
        }
        let subscribers = match found {
            Some(subscribers) => subscribers,
            None => self.local.create(encoding, topic),
        };
        self.local.retain(subscribers);
        if let Some(filter) = filter
            && let Err(TooManyFilters) = self.filters.ask(subscribers, ticket, &filter)
        {
            self.local.release(subscribers);
            return Err(RoomError::Full);
        }
        memberships.insert(Membership::asked(subscribers, topic.kind()));
        Ok(subscribers)
    }

    fn leave_topic(
        &mut self,
        slots: &mut Slots,
        mail: &mut Mailbox,
        ticket: Ticket,
        topic: Topic<'_>,
        tag: Option<Tag>,
    ) -> Result<(), RoomError> {
        let wanted = self.wanted(slots, ticket, topic);
        let subscribers = wanted.ok_or(RoomError::NotJoined)?;
        let asked = slots.memberships(ticket.slot).ask(subscribers, Wish::Out);
        asked.ok_or(RoomError::Busy)?;
        let topic = self.local.key(subscribers).clone();
        let encoding = self.local.subscribers_ref(subscribers).encoding;
        let home = mail.home(Some(topic.topic()));
        let leave = ShardRequest::Leave {
            topic,
            who: mail.address(ticket),
            encoding,
            tag,
        };
        mail.request(home, leave);
        Ok(())
    }

    /// The home counted the join (or was only asked): from here the connection is a member.
    /// `subscribers` are those that it is about, if there are any left. The answer for the
    /// application.
    pub(crate) fn joined(
        &mut self,
        slots: &mut Slots,
        joined: Joined,
        subscribers: Option<u32>,
    ) -> Answered {
        let Joined {
            topic,
            encoding,
            who,
            tag,
            members,
            counted,
            log,
        } = joined;
        let (subscribers, membership) = answered(slots, who, subscribers)?;
        membership.in_flight -= 1;
        let becomes_member = counted && membership.place() == MemberPlace::Outside;
        if becomes_member {
            let list = &mut self.local.subscribers(subscribers).members;
            membership.set_place(MemberPlace::Member(list.len()));
            list.push(who);
            if encoding.has_deltas() {
                self.baseless.insert(subscribers, who);
            }
        }
        let log = log.map(|log| self.joined_log(slots, who, subscribers, becomes_member, *log));
        let room = topic.name().clone();
        Some((who, tag?, Answer::Joined { room, members, log }))
    }

    /// The home counted the leave: no message of the room follows. `subscribers` are those that it
    /// is about, if there are any left.
    pub(crate) fn left(
        &mut self,
        slots: &mut Slots,
        mail: &mut Mailbox,
        topic: TopicKey,
        subscribers: Option<u32>,
        who: Ticket,
        tag: Option<Tag>,
    ) -> Answered {
        let (subscribers, membership) = answered(slots, who, subscribers)?;
        let was = *membership;
        membership.in_flight -= 1;
        membership.set_place(MemberPlace::Outside);
        let over = !membership.is_wanted() && membership.in_flight == 0;
        self.cursors.remove(who.slot, subscribers);
        self.forget_acks(mail, who, subscribers);
        self.remove_member(slots, was);
        if over {
            self.forget_membership(slots, who, subscribers);
        }
        let room = topic.name().clone();
        Some((who, tag?, Answer::Left { room }))
    }

    /// The home refused the join: the connection did not become a member by it, and was none. What
    /// it asked for later decides, if there is something. The home hears that this is known,
    /// whatever became of the connection.
    pub(crate) fn refused(
        &mut self,
        slots: &mut Slots,
        mail: &mut Mailbox,
        topic: TopicKey,
        encoding: EncodingId,
        who: Ticket,
        answer: Option<(Tag, RoomError)>,
    ) -> JoinRefused {
        let refusal_acked = ShardRequest::RefusalAcked {
            topic: topic.clone(),
            who: mail.address(who),
        };
        let home = mail.home(Some(topic.topic()));
        mail.enqueue(home, refusal_acked);
        let subscribers = self.local.find(encoding, topic.topic());
        let Some((subscribers, membership)) = answered(slots, who, subscribers) else {
            return JoinRefused::Answered(None);
        };
        membership.in_flight -= 1;
        debug_assert_eq!(membership.place(), MemberPlace::Outside);
        let refused = *membership;
        if refused.in_flight == 0 {
            self.forget_membership(slots, who, subscribers);
            if refused.is_wanted() && refused.kind == TopicKind::User {
                return JoinRefused::TooMany;
            }
        }
        let room = topic.name().clone();
        let answer = answer.map(|(tag, error)| (who, tag, Answer::Refused { room, error }));
        JoinRefused::Answered(answer)
    }

    fn forget_membership(&mut self, slots: &mut Slots, who: Ticket, subscribers: u32) {
        slots.memberships(who.slot).remove(subscribers);
        self.filters.forget(subscribers, who);
        self.local.release(subscribers);
    }
}

/// How a member may be sent what is published: each way has an encoding of its own.
const WAYS: usize = 3;
const AS_IT_COMES: usize = 0;
const WITH_DELTAS: usize = 1;
const FILTERED: usize = 2;

fn ways(encoding: EncodingId) -> [EncodingId; WAYS] {
    [encoding, encoding.with_deltas(), encoding.with_filter()]
}

/// Of these subscribers those among which a connection is, or asked to be.
fn wanted_of(memberships: &mut Memberships, found: &[Option<u32>; WAYS]) -> Option<u32> {
    found.iter().copied().flatten().find(|subscribers| {
        let membership = memberships.find(*subscribers);
        membership.is_some_and(|membership| membership.is_wanted())
    })
}

/// The membership that an answer is about, while its connection is open.
fn answered(
    slots: &mut Slots,
    who: Ticket,
    subscribers: Option<u32>,
) -> Option<(u32, &mut Membership)> {
    if slots.phase(who) != Phase::Open {
        return None;
    }
    let subscribers = subscribers?;
    let membership = slots.memberships(who.slot).find(subscribers)?;
    Some((subscribers, membership))
}
