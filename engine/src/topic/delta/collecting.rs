//! Deltas, as member: a publish is collected as what it changes, and as a whole for those who have
//! nothing to build on. Called for what homes deliver.

use crate::connection::membership::MemberPlace;
use crate::connection::phase::Phase;
use crate::connection::slot::Slots;
use crate::driver::boundary::Millis;
use crate::message::delivery::NextParcel;
use crate::message::lane::Mailbox;
use crate::topic::batch::{Batch, Recipients};
use crate::topic::topics::Topics;
use crate::types::ticket::Ticket;

impl Topics {
    /// As [`Topics::collect`], for members that are sent deltas.
    pub(crate) fn collect_next(
        &mut self,
        slots: &mut Slots,
        mailbox: &mut Mailbox,
        recipients: Option<Recipients>,
        next: NextParcel,
        now: Millis,
    ) -> Option<NextParcel> {
        let NextParcel { parcel, delta } = next;
        let Some(Recipients::Topic(subscribers)) = recipients else {
            self.collect(slots, mailbox, recipients, parcel, now);
            return None;
        };
        let recipients = Recipients::Topic(subscribers);
        // A batch has one publication that stands in it twice.
        let splits = delta.is_some() && self.baseless.has(subscribers);
        let collected = self.local.collected(subscribers);
        let is_second = splits && collected.is_some_and(Batch::is_split);
        if (is_second || parcel.report.is_some()) && self.close_batch(slots, recipients, None) {
            return Some(NextParcel { parcel, delta });
        }
        let except = parcel.except;
        let baseless = self.baseless.take(subscribers);
        self.collect_as(
            slots,
            mailbox,
            Some(recipients),
            parcel,
            now,
            |batch, parcel| match (&delta, baseless) {
                (None, _) => batch.push(&parcel.frame, parcel.except),
                (Some(delta), None) => batch.push(delta, parcel.except),
                (Some(delta), Some(baseless)) => {
                    batch.push_split(&parcel.frame, delta, baseless, parcel.except);
                }
            },
        );
        // Whoever is left out of it cannot build on it.
        if let Some(who) = except.filter(|who| is_member(slots, *who, subscribers)) {
            self.baseless.insert(subscribers, who);
        }
        None
    }
}

fn is_member(slots: &mut Slots, who: Ticket, subscribers: u32) -> bool {
    if slots.phase(who) != Phase::Open {
        return false;
    }
    // It may have asked to be one, and not be one yet.
    let membership = slots.memberships(who.slot).find(subscribers);
    membership.is_some_and(|membership| membership.place() != MemberPlace::Outside)
}
