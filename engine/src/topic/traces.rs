//! Traces: what is told of publications that are recorded, from their home to their last member.
//! Which are, the embedder decides where they are published.
//!
//! Invariant: a shard never waits here. What finds no room is dropped and counted. A publication
//! that is not recorded costs the look at its content, once as home and once for each batch, and no
//! clock is read for it. Written by the home that orders a publication and by the shards that
//! deliver it.

use crate::message::request::PublishRequest;
use crate::topic::batch::Recipients;
use crate::topic::key::{Topic, TopicKey};
use crate::topic::publication::RecordedTrace;
use crate::topic::tally::Tally;
use crate::topic::trace_sink::TraceSink;
use crate::types::span::{SpanKind, SpanValue, TraceSpan};
use std::time::Instant;

/// The traces of one shard.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    sink: Option<TraceSink>,
    /// Deliveries that have not reached all members; at most [`Traces::OPEN_MAX`].
    open: Vec<OpenDelivery>,
}

/// A home's step that has begun.
#[derive(Debug)]
pub(crate) struct HomeStep {
    from: RecordedTrace,
    id: u64,
    begin: Instant,
}

#[derive(Debug)]
struct OpenDelivery {
    recipients: Recipients,
    topic: Option<TopicKey>,
    from: RecordedTrace,
    begin: Instant,
}

impl Traces {
    /// Deliveries of one shard that are awaited; of one more nothing is told.
    const OPEN_MAX: usize = 1024;

    pub(crate) fn new(sink: Option<TraceSink>) -> Traces {
        Traces {
            sink,
            open: Vec::new(),
        }
    }

    /// As home: the step that orders a publication begins, if it is recorded.
    #[inline]
    pub(crate) fn begin_home(&self, publish: &mut PublishRequest) -> Option<HomeStep> {
        let from = publish.content.recorded_mut()?;
        self.begin_recorded(from)
    }

    #[cold]
    fn begin_recorded(&self, from: &mut RecordedTrace) -> Option<HomeStep> {
        let id = self.sink.as_ref()?.next_id();
        let step = HomeStep {
            from: *from,
            id,
            begin: Instant::now(),
        };
        from.span = id;
        Some(step)
    }

    /// The publication has gone to the shards with members.
    #[cold]
    pub(crate) fn end_home(&self, step: HomeStep, shard: u16, topic: Option<Topic<'_>>) {
        let mut attributes = vec![(SHARD, u64::from(shard).into())];
        attributes.extend(topic.map(destination_of));
        self.tell(TraceSpan {
            trace: step.from.trace,
            id: step.id,
            parent: Some(step.from.span),
            name: "home",
            kind: SpanKind::Internal,
            begin: step.begin,
            end: Instant::now(),
            failure: None,
            attributes,
        });
    }

    /// As member: a delivery was taken up.
    #[cold]
    pub(crate) fn begin_delivery(
        &mut self,
        recipients: Recipients,
        topic: Option<TopicKey>,
        from: RecordedTrace,
    ) {
        let Some(sink) = &self.sink else { return };
        if self.open.len() >= Traces::OPEN_MAX {
            sink.count_dropped();
            return;
        }
        self.open.push(OpenDelivery {
            recipients,
            topic,
            from,
            begin: Instant::now(),
        });
    }

    /// All members have what was under way to them.
    #[inline]
    pub(crate) fn end_deliveries(&mut self, recipients: Recipients, tally: Tally, shard: u16) {
        if !self.open.is_empty() {
            self.end_open(recipients, tally, shard);
        }
    }

    #[cold]
    fn end_open(&mut self, recipients: Recipients, tally: Tally, shard: u16) {
        let end = Instant::now();
        let is_over = |open: &mut OpenDelivery| open.recipients == recipients;
        let over: Vec<OpenDelivery> = self.open.extract_if(.., is_over).collect();
        for open in over {
            let topic = open.topic.as_ref();
            self.tell_delivery(open.from, (open.begin, end), topic, (tally, shard));
        }
    }

    /// A delivery had nobody to go to.
    #[cold]
    pub(crate) fn tell_vain(&self, from: RecordedTrace, topic: Option<&TopicKey>, shard: u16) {
        let now = Instant::now();
        self.tell_delivery(from, (now, now), topic, (Tally::default(), shard));
    }

    fn tell_delivery(
        &self,
        from: RecordedTrace,
        (begin, end): (Instant, Instant),
        topic: Option<&TopicKey>,
        (tally, shard): (Tally, u16),
    ) {
        let Some(sink) = &self.sink else { return };
        let counts = [
            (SHARD, u64::from(shard)),
            ("shardcast.delivered", tally.delivered.into()),
            ("shardcast.queued", tally.queued.into()),
            ("shardcast.dropped", tally.dropped.into()),
        ];
        let counts = counts.into_iter().map(|(name, count)| (name, count.into()));
        let topic = topic.map(|topic| destination_of(topic.topic()));
        sink.tell(TraceSpan {
            trace: from.trace,
            id: sink.next_id(),
            parent: Some(from.span),
            name: "deliver",
            kind: SpanKind::Consumer,
            begin,
            end,
            failure: None,
            attributes: counts.chain(topic).collect(),
        });
    }

    fn tell(&self, span: TraceSpan) {
        if let Some(sink) = &self.sink {
            sink.tell(span);
        }
    }
}

/// Attribute: the shard that has done it.
const SHARD: &str = "shardcast.shard";

/// Where something is published, by OpenTelemetry's conventions for messaging.
fn destination_of(topic: Topic<'_>) -> (&'static str, SpanValue) {
    let name = match topic {
        Topic::Room(_) => "messaging.destination.name",
        Topic::User(_) => "shardcast.user",
    };
    (name, topic.name().into())
}
