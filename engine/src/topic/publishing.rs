//! Publishing, as home: a publish gets its place in the topic's order, is encoded for every
//! encoding that is present, and goes to the shards with members. Called for the requests that this
//! shard orders.

use crate::message::delivery::Delivery;
use crate::message::request::PublishRequest;
use crate::query::gather::QueryKey;
use crate::topic::home::Interest;
use crate::topic::key::Topic;
use crate::topic::order::{deliver_all, enqueue_report, send_out};
use crate::topic::outlet::Outlet;
use crate::topic::publication::Position;
use crate::topic::target::Wants;
use crate::topic::topics::Topics;
use crate::types::answer::Report;
use crate::types::encoding::{EncodingId, EncodingSet};
use crate::types::frame::Frame;

impl Topics {
    /// As home: gives a publish its place in the order, has it encoded, and sends it to every shard
    /// with members.
    pub(crate) fn order(&mut self, outlet: &mut Outlet<'_>, mut publish: PublishRequest) {
        outlet.counters.publishes.add(1);
        let receipt = |key: &mut QueryKey| key.wants == Wants::Receipt;
        let receipt = publish.report.take_if(receipt);
        let report = match (&publish.topic, publish.content.kept()) {
            (Some(key), Some((keep, content))) => {
                self.order_kept(outlet, &publish, key, keep, content)
            }
            (Some(key), None) => {
                let known = Report::default();
                self.order_in_topic(outlet, &publish, key.topic(), None, known, |_, _| {});
                known
            }
            (None, _) => {
                order_for_everyone(outlet, &publish);
                Report::default()
            }
        };
        if let Some(key) = receipt {
            enqueue_report(outlet.mail, key, 1, report);
        }
    }

    /// `known` is what a report has to say whatever the members say; `deliver` is called with what
    /// those of each encoding are sent.
    pub(super) fn order_in_topic(
        &self,
        outlet: &mut Outlet<'_>,
        publish: &PublishRequest,
        topic: Topic<'_>,
        position: Option<Position>,
        mut known: Report,
        mut deliver: impl FnMut(EncodingId, &Frame),
    ) {
        let Outlet {
            mail,
            events,
            encoder,
            ..
        } = outlet;
        events.published(publish.topic.as_ref(), &publish.content, position);
        let interest = self.homes.interest(topic);
        let topic = Some(topic);
        let count = |pairs: &[Interest]| pairs.iter().map(|pair| pair.members).sum::<u32>();
        // Ordered by encoding: if the first and the last are of one, all are.
        let ends = interest.first().zip(interest.last());
        if let Some((first, _)) = ends.filter(|(first, last)| first.encoding == last.encoding) {
            let encoding = first.encoding;
            let Some(frame) = encoder.share(&publish.content, encoding, topic, position) else {
                let nobody = std::iter::empty();
                known.dropped += count(interest);
                return send_out(mail, publish, position, known, nobody);
            };
            deliver(encoding, &frame);
            let to = interest.iter().map(|pair| (pair.shard, encoding, &frame));
            return send_out(mail, publish, position, known, to);
        }
        let present: EncodingSet = interest.iter().map(|pair| pair.encoding).collect();
        let frames = encoder.share_all(publish, present, topic, position);
        for encoding in present.iter() {
            if let Some(frame) = &frames[encoding.index()] {
                deliver(encoding, frame);
            }
        }
        let said = |pair: &&Interest| frames[pair.encoding.index()].is_some();
        let unencodable = interest.iter().filter(|pair| !said(pair));
        known.dropped += unencodable.map(|pair| pair.members).sum::<u32>();
        let to = interest.iter().filter_map(|pair| {
            let frame = frames[pair.encoding.index()].as_ref()?;
            Some((pair.shard, pair.encoding, frame))
        });
        send_out(mail, publish, position, known, to);
    }
}

/// Every shard is sent to, for each encoding that the process has connections of: whoever opens
/// one later misses nothing between two messages that it gets.
fn order_for_everyone(outlet: &mut Outlet<'_>, publish: &PublishRequest) {
    let Outlet {
        mail,
        events,
        encoder,
        ..
    } = outlet;
    events.published(None, &publish.content, None);
    let present = encoder.present();
    let frames = &encoder.share_all(publish, present, None, None);
    let shards = mail.shards() as u16;
    let pairs = present
        .iter()
        .flat_map(|encoding| (0..shards).map(move |shard| (shard, encoding)));
    let to = pairs.clone().filter_map(|(shard, encoding)| {
        let frame = frames[encoding.index()].as_ref()?;
        Some((shard, encoding, frame))
    });
    let mut parcels = to.clone().count() as u16;
    if let Some(key) = publish.report {
        // Each shard counts its connections that cannot be told, as it counts the others.
        let unencodable = pairs.filter(|(_, encoding)| frames[encoding.index()].is_none());
        parcels += unencodable.clone().count() as u16;
        for (shard, encoding) in unencodable {
            let unencodable = Delivery::Unencodable {
                encoding,
                except: publish.except_on(shard),
                key,
                parcels,
            };
            mail.deliver(shard, unencodable);
        }
        if parcels == 0 {
            enqueue_report(mail, key, 1, Report::default());
        }
    }
    deliver_all(mail, publish, None, parcels, to);
}
