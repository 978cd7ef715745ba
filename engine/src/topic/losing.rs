//! A shard has begun anew: what this one knew of its members, as home, and who of this one's
//! members has lost a home by it. Called when that shard says so.

use crate::connection::phase::Phase;
use crate::connection::slot::Slots;
use crate::events::{Event, EventKind};
use crate::message::lane::Mailbox;
use crate::topic::key::TopicName;
use crate::topic::outlet::Outlet;
use crate::topic::topics::Topics;
use crate::types::ticket::Ticket;

impl Topics {
    /// As home: the shard has no members any more. Nobody hears of them one by one but where their
    /// presence is kept: there they are away, for they may return.
    pub(crate) fn lose_shard(&mut self, outlet: &mut Outlet<'_>, shard: u16) {
        let now = outlet.now;
        for (topic, members) in self.homes.lose_shard(shard) {
            self.logs.get(topic.topic(), now, |log, _| {
                log.retain_takers(|taker| taker.shard != shard);
            });
            self.logs.count_members(topic.topic(), members, now);
            if !self.homes.has_deltas(topic.topic()) {
                self.bases.remove(topic.name());
            }
            if members == 0 {
                outlet.events.emit(EventKind::TopicIdle, || {
                    let topic = TopicName::of(&topic);
                    Event::TopicIdle { topic }
                });
            }
        }
        self.sequencing.held.lose_shard(shard);
        self.seats.lose_shard(shard);
        self.presences.lose_shard(shard, now);
    }

    /// Connections of this shard that are members, or asked to be, of a topic that the shard is
    /// home to.
    pub(crate) fn members_at_home(&self, slots: &Slots, mail: &Mailbox, home: u16) -> Vec<Ticket> {
        let open = slots.in_phase(Phase::Open);
        let is_there = |ticket: &Ticket| {
            let mut memberships = slots.memberships_ref(ticket.slot).iter();
            memberships.any(|membership| {
                let topic = self.local.key(membership.subscribers).topic();
                mail.home(Some(topic)) == home
            })
        };
        open.filter(is_there).collect()
    }
}
