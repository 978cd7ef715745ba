//! How members leave: one topic's subscribers, or, as their connection ends, all topics at once.
//! Called where memberships change and where connections end.

use crate::connection::membership::{MemberPlace, Membership};
use crate::connection::slot::Slots;
use crate::message::lane::Mailbox;
use crate::message::request::ShardRequest;
use crate::topic::key::{TopicKey, TopicKind};
use crate::topic::topics::Topics;
use crate::types::close_reason::CloseReason;
use crate::types::encoding::EncodingId;
use crate::types::ticket::Ticket;
use std::sync::Arc;

impl Topics {
    /// Leaves every room in one step: no delivery reaches the connection afterwards, and each home
    /// hears of it in one message. The rooms.
    pub(crate) fn leave_all(
        &mut self,
        slots: &mut Slots,
        mail: &mut Mailbox,
        ticket: Ticket,
        reason: CloseReason,
    ) -> Vec<Arc<str>> {
        let memberships = slots.take_memberships(ticket.slot);
        let mut left = Vec::new();
        let mut topics_by_home: Vec<((u16, EncodingId), Vec<TopicKey>)> = Vec::new();
        for membership in memberships.iter() {
            if membership.is_wanted() {
                let key = self.local.key(membership.subscribers).clone();
                let encoding = self.local.subscribers_ref(membership.subscribers).encoding;
                let home = (mail.home(Some(key.topic())), encoding);
                if membership.kind == TopicKind::Room {
                    left.push(key.name().clone());
                }
                match topics_by_home.iter_mut().find(|(other, _)| *other == home) {
                    Some((_, topics)) => topics.push(key),
                    None => topics_by_home.push((home, vec![key])),
                }
            }
            self.cursors.remove(ticket.slot, membership.subscribers);
            self.forget_acks(mail, ticket, membership.subscribers);
            self.remove_member(slots, *membership);
            self.filters.forget(membership.subscribers, ticket);
            self.local.release(membership.subscribers);
        }
        let who = mail.address(ticket);
        for ((home, encoding), topics) in topics_by_home {
            mail.request(
                home,
                ShardRequest::LeaveAll {
                    topics,
                    who,
                    encoding,
                    may_return: reason.may_return(),
                },
            );
        }
        left
    }

    /// Room for members below which unused room is not worth a copy: 8 KiB.
    const MEMBERS_SLACK_MAX: usize = 1024;

    /// Takes a member out of its topic's subscribers; the member that takes its place learns its
    /// new position.
    pub(crate) fn remove_member(&mut self, slots: &mut Slots, membership: Membership) {
        let subscribers = self.local.subscribers(membership.subscribers);
        let (members, index) = match (membership.place(), &mut subscribers.log) {
            (MemberPlace::Outside, _) => return,
            (MemberPlace::Member(index), _) => (&mut subscribers.members, index),
            (MemberPlace::Behind(index), Some(log)) => (&mut log.behind, index),
            (MemberPlace::Behind(_), None) => unreachable!("only who reads a log is behind"),
        };
        let who = members[index];
        members.swap_remove(index);
        // What a crowd needed goes as it leaves; each member is moved at most once for every time
        // that as many left.
        members.shrink(Self::MEMBERS_SLACK_MAX);
        if let Some(moved) = members.get(index) {
            let slot = moved.slot;
            let moved = slots.memberships(slot).find(membership.subscribers);
            let moved = moved.expect("a member has a membership");
            moved.set_place(membership.place());
        }
        self.baseless.remove(membership.subscribers, who);
    }
}
