//! Being a member: what joining, leaving and identifying ask of a topic's home, and what comes back.

use super::Core;
use crate::connection::Connections;
use crate::letter::{Join, Joined, Request};
use crate::membership::Membership;
use crate::phase::Phase;
use crate::topic::{Topic, TopicKey, TopicKind, USER_BYTES_MAX};
use crate::{Answer, Form, RoomError, Tag, Ticket};
use std::sync::Arc;

/// What a connection is told of what it asked for.
pub(crate) type Answered = Option<(Ticket, Tag, Answer)>;

/// Users that a connection is, or is not yet known to be no more: more at once are refused until the homes have answered.
const USERS_PER_CONNECTION_MAX: usize = 8;

/// One wish to be a member.
struct Wish<'a> {
    topic: Topic<'a>,
    tag: Option<Tag>,
    members_max: u32,
}

impl Core {
    /// `members_max`: the room is full with so many.
    pub(crate) fn join(
        &mut self,
        ticket: Ticket,
        room: &str,
        members_max: u32,
        tag: Tag,
    ) -> Result<(), RoomError> {
        self.check_name(room).map_err(|()| RoomError::BadName)?;
        if self.connections.phase(ticket) != Phase::Open {
            return Ok(());
        }
        let wish = Wish {
            topic: Topic::Room(room),
            tag: Some(tag),
            members_max,
        };
        self.join_topic(ticket, wish)?;
        self.mind(ticket, Some(Topic::Room(room)));
        Ok(())
    }

    pub(crate) fn leave(&mut self, ticket: Ticket, room: &str, tag: Tag) -> Result<(), RoomError> {
        self.check_name(room).map_err(|()| RoomError::BadName)?;
        if self.connections.phase(ticket) != Phase::Open {
            return Ok(());
        }
        self.leave_topic(ticket, Topic::Room(room), Some(tag))?;
        self.mind(ticket, Some(Topic::Room(room)));
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
        let old = self.identity(ticket).map(|slice| self.rooms.key(slice));
        if old.map(TopicKey::topic) == user {
            return Ok(());
        }
        let old = old.cloned();
        self.check_identities(ticket, user)?;
        if let Some(old) = &old {
            self.leave_topic(ticket, old.topic(), None)?;
        }
        if let Some(topic) = user {
            let wish = Wish {
                topic,
                tag: None,
                members_max: u32::MAX,
            };
            self.join_topic(ticket, wish)?;
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
        let slice = self.rooms.find(self.form(ticket), user);
        let memberships = self.connections.memberships(ticket.slot);
        let (total, _) = memberships.counts(TopicKind::User);
        let known = slice.and_then(|slice| memberships.find(slice));
        let has_room = match known {
            Some(known) => known.in_flight < u8::MAX,
            None => total < USERS_PER_CONNECTION_MAX,
        };
        has_room.then_some(()).ok_or(RoomError::Busy)
    }

    /// The slice of the user that a connection is.
    fn identity(&self, ticket: Ticket) -> Option<u32> {
        let memberships = self.connections.memberships_ref(ticket.slot);
        let mut users = memberships.wanted(TopicKind::User);
        users.next().map(|membership| membership.slice)
    }

    /// The user that a connection is.
    pub(crate) fn user(&self, ticket: Ticket) -> Option<Arc<str>> {
        Some(self.rooms.key(self.identity(ticket)?).name().clone())
    }

    /// The form of a connection's messages.
    pub(crate) fn form(&self, ticket: Ticket) -> Form {
        self.connections.ref_at(ticket.slot).flags.form()
    }

    fn join_topic(&mut self, ticket: Ticket, wish: Wish<'_>) -> Result<(), RoomError> {
        let form = self.form(ticket);
        let known = self.rooms.find(form, wish.topic);
        let memberships = self.connections.memberships(ticket.slot);
        let known = known.and_then(|slice| memberships.find(slice));
        let counted = known.as_ref().is_none_or(|membership| !membership.wanted);
        let slice = match known {
            Some(membership) => {
                membership.in_flight =
                    membership.in_flight.checked_add(1).ok_or(RoomError::Busy)?;
                membership.wanted = true;
                membership.slice
            }
            None => {
                if wish.topic.kind() == TopicKind::Room {
                    let (total, wanted) = memberships.counts(TopicKind::Room);
                    if wanted >= self.limits.rooms_per_connection_max {
                        return Err(RoomError::TooMany);
                    }
                    // Rooms that it is still leaving: as many again.
                    if total >= 2 * self.limits.rooms_per_connection_max {
                        return Err(RoomError::Busy);
                    }
                }
                let slice = self.rooms.claim(form, wish.topic);
                memberships.insert(Membership {
                    slice,
                    position: Membership::OUTSIDE,
                    wanted: true,
                    in_flight: 1,
                    kind: wish.topic.kind(),
                });
                slice
            }
        };
        let topic = self.rooms.key(slice).clone();
        let home = self.mail.home(Some(topic.topic()));
        let join = Join {
            topic,
            who: self.address(ticket),
            form,
            tag: wish.tag,
            counted,
            members_max: wish.members_max,
        };
        self.mail.request(home, Request::Join(join));
        Ok(())
    }

    fn leave_topic(
        &mut self,
        ticket: Ticket,
        topic: Topic<'_>,
        tag: Option<Tag>,
    ) -> Result<(), RoomError> {
        let form = self.form(ticket);
        let known = self.rooms.find(form, topic);
        let memberships = self.connections.memberships(ticket.slot);
        let known = known.and_then(|slice| memberships.find(slice));
        let Some(membership) = known.filter(|membership| membership.wanted) else {
            return Err(RoomError::NotJoined);
        };
        membership.in_flight = membership.in_flight.checked_add(1).ok_or(RoomError::Busy)?;
        membership.wanted = false;
        let topic = self.rooms.key(membership.slice).clone();
        let home = self.mail.home(Some(topic.topic()));
        let leave = Request::Leave {
            topic,
            who: self.address(ticket),
            form,
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

    /// The home counted the join (or was only asked): from here the connection is a member. The answer for the application.
    pub(crate) fn joined(&mut self, joined: Joined) -> Answered {
        let Joined {
            topic,
            form,
            who,
            tag,
            members,
            counted,
        } = joined;
        let slice = self.rooms.find(form, topic.topic());
        let (slice, membership) = answered(&mut self.connections, who, slice)?;
        membership.in_flight -= 1;
        if counted && membership.position == Membership::OUTSIDE {
            let list = &mut self.rooms.slice(slice).members;
            membership.position = list.len() as u32;
            list.push(who);
        }
        let room = topic.name().clone();
        Some((who, tag?, Answer::Joined { room, members }))
    }

    /// The home counted the leave: no message of the room follows.
    pub(crate) fn left(
        &mut self,
        topic: TopicKey,
        form: Form,
        who: Ticket,
        tag: Option<Tag>,
    ) -> Answered {
        let slice = self.rooms.find(form, topic.topic());
        let (slice, membership) = answered(&mut self.connections, who, slice)?;
        let was = *membership;
        membership.in_flight -= 1;
        membership.position = Membership::OUTSIDE;
        let over = !membership.wanted && membership.in_flight == 0;
        self.remove_member(was);
        if over {
            self.forget_membership(who, slice);
        }
        let room = topic.name().clone();
        Some((who, tag?, Answer::Left { room }))
    }

    /// The home refused the join: the connection did not become a member by it, and was none. What it asked for later decides, if
    /// there is something. The home hears that this is known, whatever became of the connection.
    pub(crate) fn refused(
        &mut self,
        topic: TopicKey,
        form: Form,
        who: Ticket,
        answer: Option<(Tag, RoomError)>,
    ) -> Answered {
        let noted = Request::Noted {
            topic: topic.clone(),
            who: self.address(who),
        };
        let home = self.mail.home(Some(topic.topic()));
        self.mail.owe_request(home, noted);
        let slice = self.rooms.find(form, topic.topic());
        let (slice, membership) = answered(&mut self.connections, who, slice)?;
        membership.in_flight -= 1;
        debug_assert_eq!(membership.position, Membership::OUTSIDE);
        if membership.in_flight == 0 {
            self.forget_membership(who, slice);
        }
        let (tag, error) = answer?;
        let room = topic.name().clone();
        Some((who, tag, Answer::Refused { room, error }))
    }

    fn forget_membership(&mut self, who: Ticket, slice: u32) {
        self.connections.memberships(who.slot).remove(slice);
        self.rooms.release(slice);
    }
}

/// The membership that an answer is about, while its connection is open.
fn answered(
    connections: &mut Connections,
    who: Ticket,
    slice: Option<u32>,
) -> Option<(u32, &mut Membership)> {
    if connections.phase(who) != Phase::Open {
        return None;
    }
    let slice = slice?;
    let membership = connections.memberships(who.slot).find(slice)?;
    Some((slice, membership))
}
