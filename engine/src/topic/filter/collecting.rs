//! Filters, as member: a publish is collected for those of the members whose filters it passes.
//! Called for what homes deliver.

use crate::connection::slot::Slots;
use crate::driver::boundary::Millis;
use crate::message::delivery::SiftedParcel;
use crate::message::lane::Mailbox;
use crate::topic::batch::Recipients;
use crate::topic::filter::sifter::{Sifter, Verdict};
use crate::topic::key::TopicKey;
use crate::topic::order::enqueue_report;
use crate::topic::topics::Topics;
use crate::types::answer::Report;

impl Topics {
    /// As [`Topics::collect`], for members with filters.
    pub(crate) fn collect_sifted(
        &mut self,
        slots: &Slots,
        mailbox: &mut Mailbox,
        recipients: Option<Recipients>,
        sifted: SiftedParcel,
        now: Millis,
        sifter: &Sifter<'_>,
    ) -> Option<SiftedParcel> {
        let SiftedParcel { parcel, content } = sifted;
        let Some(Recipients::Topic(subscribers)) = recipients else {
            self.collect(slots, mailbox, recipients, parcel, now);
            return None;
        };
        let recipients = Recipients::Topic(subscribers);
        if parcel.report.is_some() && self.close_batch(slots, recipients, None) {
            return Some(SiftedParcel { parcel, content });
        }
        let topic = parcel.topic.as_ref().map(TopicKey::topic);
        let filters = self.filters.of_topic(subscribers);
        let verdict = sifter.verdict(&content, topic, filters);
        let kept_from = verdict.kept_from(self.filters.uses(subscribers));
        sifter.counters.filtered.add(kept_from);
        if verdict == Verdict::None {
            if let Some(key) = parcel.report {
                enqueue_report(mailbox, key, parcel.parcels, Report::default());
            }
            return None;
        }
        let recipients = Some(recipients);
        self.collect_as(
            slots,
            mailbox,
            recipients,
            parcel,
            now,
            |batch, parcel| match verdict {
                Verdict::Some(passes) => batch.push_sifted(&parcel.frame, passes, parcel.except),
                Verdict::All | Verdict::None => batch.push(&parcel.frame, parcel.except),
            },
        );
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::topic::batch::{Batch, FanOut, Recipients};
    use crate::topic::member_list::MemberLists;
    use crate::topic::skips::Layout;
    use crate::types::frame::Frame;
    use crate::types::ticket::Ticket;
    use shardcast_protocol::frame::{Kind, OpCode};
    use std::sync::Arc;

    fn who(slot: u32) -> Ticket {
        let generation = 1;
        Ticket { slot, generation }
    }

    fn received(fan_out: &FanOut, who: Ticket, layout: Layout) -> Vec<u8> {
        let laid_out = match layout {
            Layout::Plain => &fan_out.plain,
            Layout::Deflated => fan_out.deflated.as_ref().expect("one is compressed"),
        };
        let mut bytes = Vec::new();
        fan_out.spans(who, layout, |start, end| {
            bytes.extend_from_slice(&laid_out[start..end]);
        });
        bytes
    }

    /// Every member is sent what passes its filter and was not published by itself, in both
    /// layouts, whichever of three frames pass for whom and whoever published the second.
    #[test]
    fn a_member_is_sent_what_passes_its_filter() {
        for case in 0..1_u32 << 9 {
            let passes = |frame: usize, place: usize| case >> (3 * frame + place) & 1 != 0;
            let frame = |index: usize| {
                let frame = Frame::new(Kind::Text, &vec![b'a'; index + 1]);
                match index {
                    1 => frame.with_deflated(OpCode::Text, b"b"),
                    _ => frame,
                }
            };
            let own = (case % 3) as usize;
            let mut batch = Batch::default();
            for index in 0..3 {
                let except = (index == 1).then(|| who(own as u32));
                match [0, 1, 2].map(|place| passes(index, place)) {
                    [true, true, true] => batch.push(&frame(index), except),
                    some => batch.push_sifted(&frame(index), some.into(), except),
                }
            }
            let members = MemberLists::default().gather((0..3).map(who));
            let mut fan_out = batch.close(Recipients::Topic(0), members, None);
            if let Some(sieve) = &mut fan_out.sieve {
                let places = (0..3_u16).map(|place| (who(place.into()), place));
                sieve.places = Arc::new(places.collect());
            }
            for place in 0..3 {
                let sent: Vec<usize> = (0..3)
                    .filter(|index| passes(*index, place) && (*index != 1 || place != own))
                    .collect();
                let member = who(place as u32);
                assert_eq!(fan_out.skipped(member) as usize, 3 - sent.len(), "{case}");
                let plain: Vec<u8> = sent
                    .iter()
                    .flat_map(|n| frame(*n).bytes().to_vec())
                    .collect();
                assert_eq!(received(&fan_out, member, Layout::Plain), plain, "{case}");
                let short = |index: usize| {
                    let frame = frame(index);
                    frame.deflated().unwrap_or(frame.bytes()).to_vec()
                };
                let short: Vec<u8> = sent.iter().flat_map(|n| short(*n)).collect();
                assert_eq!(
                    received(&fan_out, member, Layout::Deflated),
                    short,
                    "{case}"
                );
            }
        }
    }
}
