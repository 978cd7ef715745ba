//! Publishing, as home: a publish gets its place in the topic's order, is encoded for every
//! encoding that is present, and goes to the shards with members. Called for the requests that this
//! shard orders.

use crate::egress::encoder::{Encoder, Frames};
use crate::message::delivery::Delivery;
use crate::message::request::PublishRequest;
use crate::query::gather::QueryKey;
use crate::topic::delta::bases::Bases;
use crate::topic::home::Interest;
use crate::topic::key::{Topic, TopicKey, TopicKind};
use crate::topic::order::{Sent, deliver_all, enqueue_report, send_out};
use crate::topic::outlet::Outlet;
use crate::topic::publication::{Content, KeptAt, Position};
use crate::topic::target::Wants;
use crate::topic::topics::Topics;
use crate::types::answer::Report;
use crate::types::encoding::{EncodingId, EncodingSet};
use crate::types::frame::Frame;

impl Topics {
    /// As home: gives a publish its place in the order, has it encoded, and sends it to every shard
    /// with members.
    pub(crate) fn order(&mut self, outlet: &mut Outlet<'_>, mut publish: PublishRequest) {
        if self.has_sequencer() && self.is_unsequenced(&publish) {
            return self.hand_to_sequencer(outlet, publish);
        }
        let step = self.traces.begin_home(&mut publish);
        outlet.counters.publishes.add(1);
        if let Some(key) = publish.topic.as_ref()
            && key.kind() == TopicKind::Room
        {
            self.busiest.count(key.name());
        }
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
        if let Some(step) = step {
            let topic = publish.topic.as_ref().map(TopicKey::topic);
            self.traces.end_home(step, outlet.mail.shard(), topic);
        }
    }

    /// `known` is what a report has to say whatever the members say; `deliver` is called with what
    /// those of each encoding are sent.
    pub(super) fn order_in_topic(
        &mut self,
        outlet: &mut Outlet<'_>,
        publish: &PublishRequest,
        topic: Topic<'_>,
        place: Option<KeptAt>,
        mut known: Report,
        mut deliver: impl FnMut(EncodingId, &Frame),
    ) {
        let Outlet {
            mail,
            events,
            encoder,
            ..
        } = outlet;
        let (position, ordinal) = place.map_or((None, 0), KeptAt::parts);
        events.published(publish.topic.as_ref(), &publish.content, position);
        let interest = self.homes.interest(topic);
        let count = |pairs: &[Interest]| pairs.iter().map(|pair| pair.members).sum::<u32>();
        // Ordered by encoding: if the first and the last are of one, all are.
        let ends = interest.first().zip(interest.last());
        let of_one = ends.filter(|(first, last)| first.encoding == last.encoding);
        if let Some((first, _)) = of_one.filter(|(first, _)| first.encoding.is_of_connections()) {
            let encoding = first.encoding;
            let frame = encoder.share(&publish.content, encoding, Some(topic), position);
            let Some(frame) = frame else {
                let nobody = std::iter::empty();
                known.dropped += count(interest);
                return send_out(mail, publish, ordinal, known, nobody);
            };
            deliver(encoding, &frame);
            let frame = Sent::Alone(&frame);
            let to = interest.iter().map(|pair| (pair.shard, encoding, frame));
            return send_out(mail, publish, ordinal, known, to);
        }
        let [alone, with_deltas, with_filters] = by_class(interest);
        let whole = alone.iter().chain(with_filters);
        let present: EncodingSet = whole.map(|pair| pair.encoding.of_connections()).collect();
        let frames = encoder.share_all(publish, present, Some(topic), position);
        for encoding in present.iter() {
            if let Some(frame) = &frames[encoding.index()] {
                deliver(encoding, frame);
            }
        }
        let next = match with_deltas {
            [] => NextFrames::default(),
            _ => {
                let of_key = self.logs.base_of_key(topic, &publish.content);
                let bases = match &of_key {
                    Some(base) => BasesOf::Key(base.as_ref()),
                    None => BasesOf::Topic(&mut self.bases),
                };
                next_frames(encoder, bases, publish, topic, position, with_deltas)
            }
        };
        let sent = |pair: &Interest| {
            let frame = frames[pair.encoding.of_connections().index()].as_ref();
            match (pair.encoding.has_deltas(), pair.encoding.has_filter()) {
                (true, _) => next.sent(pair.encoding),
                (false, true) => frame.map(Sent::Sifted),
                (false, false) => frame.map(Sent::Alone),
            }
        };
        let unencodable = interest.iter().filter(|pair| sent(pair).is_none());
        known.dropped += unencodable.map(|pair| pair.members).sum::<u32>();
        let to = interest
            .iter()
            .filter_map(|pair| Some((pair.shard, pair.encoding, sent(pair)?)));
        send_out(mail, publish, ordinal, known, to);
    }
}

/// Pairs of members that are sent everything as it is, of those that are sent deltas, and of those
/// with filters: they stand in that order.
fn by_class(pairs: &[Interest]) -> [&[Interest]; 3] {
    let alone = pairs.partition_point(|pair| pair.encoding.is_of_connections());
    let (alone, others) = pairs.split_at(alone);
    let with_deltas = others.partition_point(|pair| pair.encoding.has_deltas());
    let (with_deltas, with_filters) = others.split_at(with_deltas);
    [alone, with_deltas, with_filters]
}

/// What the next publication builds on.
enum BasesOf<'b> {
    /// The topic's newest publication.
    Topic(&'b mut Bases),
    /// That of its own key, if there is one: the topic is a map.
    Key(Option<&'b Content>),
}

/// What members that are sent deltas are sent of a publish, by the encoding of their connections.
#[derive(Default)]
struct NextFrames {
    whole: Frames,
    delta: Frames,
    /// Whether the next publication builds on it.
    is_base: bool,
}

impl NextFrames {
    fn sent(&self, encoding: EncodingId) -> Option<Sent<'_>> {
        let index = encoding.of_connections().index();
        let whole = self.whole[index].as_ref()?;
        Some(match self.is_base {
            true => Sent::Next(whole, self.delta[index].as_ref()),
            false => Sent::Alone(whole),
        })
    }
}

/// The frames for those pairs; what they build the next ones on changes with it.
#[cold]
fn next_frames(
    encoder: &mut Encoder<'_>,
    bases: BasesOf<'_>,
    publish: &PublishRequest,
    topic: Topic<'_>,
    position: Option<Position>,
    pairs: &[Interest],
) -> NextFrames {
    let content = &publish.content;
    let is_base = content.is_base() && matches!(topic, Topic::Room(_));
    let mut frames = NextFrames {
        is_base,
        ..NextFrames::default()
    };
    let base = match &bases {
        BasesOf::Key(base) => *base,
        BasesOf::Topic(bases) => bases.get(topic.name()),
    };
    let base = base.filter(|_| is_base);
    let (mut said, mut unsaid) = (false, false);
    for same in pairs.chunk_by(|pair, next| pair.encoding == next.encoding) {
        let encoding = same[0].encoding;
        let index = encoding.of_connections().index();
        let whole = encoder.share(content, encoding, Some(topic), position);
        (said, unsaid) = (said || whole.is_some(), unsaid || whole.is_none());
        if let (Some(_), Some(base)) = (&whole, base) {
            frames.delta[index] = encoder.share_delta(base, content, encoding, topic, position);
        }
        frames.whole[index] = whole;
    }
    // What a key has is in the topic's map.
    let BasesOf::Topic(bases) = bases else {
        return frames;
    };
    // What only some of them were sent is what none of them builds on.
    match (said && is_base, unsaid, publish.topic.as_ref()) {
        (true, false, Some(key)) => bases.set(key.name(), content.as_published()),
        (true, _, _) => bases.remove(topic.name()),
        (false, _, _) => {}
    }
    frames
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
        Some((shard, encoding, Sent::Alone(frame)))
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
    deliver_all(mail, publish, 0, parcels, to);
}
