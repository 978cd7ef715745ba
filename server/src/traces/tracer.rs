//! Which requests are recorded, and the steps of those that are.
//!
//! Invariant: it is decided once, where a request arrives: by the trace that its caller has it
//! belong to, or by chance. A step that has begun is told exactly once, however it ends. Used on
//! shards and in the background; what is not recorded costs a look.

use crate::traces::options::{Callers, Sampling};
use shardcast_engine::{SpanKind, SpanValue, TraceSink, TraceSpan};
use shardcast_protocol::trace_parent::TraceParent;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// See above. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Tracer {
    sink: TraceSink,
    rules: Arc<TraceRules>,
}

/// Which requests are recorded: exchanged while the server runs.
#[derive(Debug)]
struct TraceRules {
    /// Of 2^64 requests that belong to no trace, so many are recorded, and one more.
    chance: AtomicU64,
    /// Whether any of them is.
    is_some: AtomicBool,
    follows: AtomicBool,
}

/// A request's trace, where it was decided that it is recorded or not.
#[derive(Debug, Default)]
pub(crate) struct RequestTrace {
    /// The step that has begun.
    pub(crate) step: Option<Box<BegunStep>>,
    /// For those who do parts of the request. `None`: it belongs to no trace.
    pub(crate) context: Option<TraceContext>,
}

/// The trace that a request belongs to, for those who do parts of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraceContext {
    /// Nothing of it is recorded here, whatever its flag says, which is its caller's: whoever comes
    /// next is told of it.
    PassedOn(TraceParent),
    /// Each part of it is recorded.
    Recorded(TraceParent),
}

impl TraceContext {
    /// What a caller says whose word counts: its flag says whether it is recorded.
    pub(crate) fn of_trusted(parent: TraceParent) -> TraceContext {
        match parent.is_sampled() {
            true => TraceContext::Recorded(parent),
            false => TraceContext::PassedOn(parent),
        }
    }

    /// What whoever comes next is told.
    pub(crate) fn parent(self) -> TraceParent {
        match self {
            TraceContext::PassedOn(parent) | TraceContext::Recorded(parent) => parent,
        }
    }

    /// Of what the next step is a part, if it is recorded.
    pub(crate) fn recorded(self) -> Option<TraceParent> {
        match self {
            TraceContext::PassedOn(_) => None,
            TraceContext::Recorded(parent) => Some(parent),
        }
    }
}

/// A step that is recorded and has begun. Who drops it has abandoned it.
#[derive(Debug)]
pub(crate) struct BegunStep {
    sink: TraceSink,
    trace: u128,
    id: u64,
    parent: Option<u64>,
    name: &'static str,
    kind: SpanKind,
    begin: Instant,
    failure: Option<Box<str>>,
    attributes: Vec<(&'static str, SpanValue)>,
}

impl Tracer {
    pub(crate) fn new(sink: TraceSink, sampling: Sampling) -> Tracer {
        let rules = TraceRules {
            chance: AtomicU64::new(0),
            is_some: AtomicBool::new(false),
            follows: AtomicBool::new(false),
        };
        let rules = Arc::new(rules);
        let tracer = Tracer { sink, rules };
        tracer.set(sampling);
        tracer
    }

    /// Records so from here on.
    pub(crate) fn set(&self, sampling: Sampling) {
        // The product is rounded to 2^64 at most, which is the highest number then.
        let chance = (sampling.ratio * (u64::MAX as f64)) as u64;
        let rules = &self.rules;
        rules.chance.store(chance, Ordering::Relaxed);
        rules.is_some.store(sampling.ratio > 0.0, Ordering::Relaxed);
        let follows = sampling.callers == Callers::Followed;
        rules.follows.store(follows, Ordering::Relaxed);
    }

    /// Whether what others say of a request decides whether it is recorded.
    pub(crate) fn follows(&self) -> bool {
        self.rules.follows.load(Ordering::Relaxed)
    }

    pub(crate) fn sink(&self) -> &TraceSink {
        &self.sink
    }

    /// Decides about a request, which its caller has belong to a trace or not.
    #[inline]
    pub(crate) fn decide(
        &self,
        asked: Option<&TraceParent>,
        (name, kind): (&'static str, SpanKind),
        random: impl FnOnce() -> u64,
    ) -> RequestTrace {
        let followed = asked.filter(|_| self.follows());
        let is_recorded = match followed {
            Some(parent) => parent.is_sampled(),
            None => {
                self.rules.is_some.load(Ordering::Relaxed)
                    && random() <= self.rules.chance.load(Ordering::Relaxed)
            }
        };
        if is_recorded {
            return self.record(followed, name, kind);
        }
        RequestTrace::passed_on(asked)
    }

    #[cold]
    fn record(
        &self,
        parent: Option<&TraceParent>,
        name: &'static str,
        kind: SpanKind,
    ) -> RequestTrace {
        let trace = match parent {
            Some(parent) => parent.trace(),
            None => u128::from(self.sink.next_id()) << 64 | u128::from(fastrand::u64(..)),
        };
        let step = self.begin(trace, parent.map(TraceParent::span), name, kind);
        RequestTrace {
            context: step.context().map(TraceContext::Recorded),
            step: Some(Box::new(step)),
        }
    }

    /// A step of a request about which it was decided where it arrived.
    pub(crate) fn child_of(
        &self,
        context: Option<TraceContext>,
        (name, kind): (&'static str, SpanKind),
    ) -> RequestTrace {
        match context.and_then(TraceContext::recorded) {
            Some(parent) => self.record(Some(&parent), name, kind),
            None => RequestTrace {
                step: None,
                context,
            },
        }
    }

    fn begin(
        &self,
        trace: u128,
        parent: Option<u64>,
        name: &'static str,
        kind: SpanKind,
    ) -> BegunStep {
        BegunStep {
            sink: self.sink.clone(),
            trace,
            id: self.sink.next_id(),
            parent,
            name,
            kind,
            begin: Instant::now(),
            failure: None,
            attributes: Vec::new(),
        }
    }
}

impl RequestTrace {
    /// Of a caller whose word counts whatever clients may say: an operator, the backend, or this
    /// server where it has decided before.
    pub(crate) fn of_trusted(
        tracer: Option<&Tracer>,
        asked: Option<TraceContext>,
        step: (&'static str, SpanKind),
    ) -> RequestTrace {
        match (tracer, asked) {
            (None, asked) => RequestTrace::passed_on(asked.map(TraceContext::parent).as_ref()),
            (Some(tracer), Some(_)) => tracer.child_of(asked, step),
            (Some(tracer), None) => tracer.decide(None, step, || fastrand::u64(..)),
        }
    }

    /// It was done, or not, for this reason.
    pub(crate) fn end(self, failure: Option<&str>) {
        if let (Some(mut step), Some(why)) = (self.step, failure) {
            step.fail(why);
        }
    }

    /// Of a request that is not recorded: what its caller said goes on.
    pub(crate) fn passed_on(asked: Option<&TraceParent>) -> RequestTrace {
        RequestTrace {
            step: None,
            context: asked.copied().map(TraceContext::PassedOn),
        }
    }
}

impl BegunStep {
    /// What comes after it belongs to.
    pub(crate) fn context(&self) -> Option<TraceParent> {
        TraceParent::recorded(self.trace, self.id)
    }

    /// What is known of it.
    pub(crate) fn note(&mut self, name: &'static str, value: impl Into<SpanValue>) {
        self.attributes.push((name, value.into()));
    }

    /// It has not failed.
    pub(crate) fn succeed(&mut self) {
        self.failure = None;
    }

    /// It has failed.
    pub(crate) fn fail(&mut self, why: &str) {
        self.failure = Some(why.into());
    }
}

impl Drop for BegunStep {
    fn drop(&mut self) {
        self.sink.tell(TraceSpan {
            trace: self.trace,
            id: self.id,
            parent: self.parent,
            name: self.name,
            kind: self.kind,
            begin: self.begin,
            end: Instant::now(),
            failure: self.failure.take(),
            attributes: std::mem::take(&mut self.attributes),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: (&str, SpanKind) = ("publish", SpanKind::Server);

    fn tracer(ratio: f64, callers: Callers) -> Tracer {
        let (sink, _) = TraceSink::new(1);
        Tracer::new(sink, Sampling { ratio, callers })
    }

    fn caller(is_sampled: bool) -> TraceParent {
        let flags = if is_sampled { "01" } else { "00" };
        let text = format!("00-{:032x}-{:016x}-{flags}", 7, 9);
        TraceParent::parse(&text).expect("it is one")
    }

    /// By the caller's trace, the ratio and what chance says.
    #[test]
    fn a_request_is_recorded_as_its_trace_is_or_by_chance() {
        use Callers::{Followed, Ignored};
        for (asked, ratio, callers, chance, is_recorded) in [
            (None, 0.0, Followed, 0, false),
            (None, 1.0, Followed, u64::MAX, true),
            (None, 0.5, Followed, 1 << 62, true),
            (None, 0.5, Followed, 3 << 62, false),
            (Some(true), 0.0, Followed, u64::MAX, true),
            (Some(false), 1.0, Followed, 0, false),
            (Some(true), 0.0, Ignored, 0, false),
            (Some(false), 1.0, Ignored, u64::MAX, true),
        ] {
            let what = format!("{asked:?} {ratio} {callers:?} {chance}");
            let asked = asked.map(caller);
            let decided = tracer(ratio, callers).decide(asked.as_ref(), STEP, || chance);
            assert_eq!(decided.step.is_some(), is_recorded, "{what}");
            let parent = decided.context.map(TraceContext::parent);
            assert_eq!(parent.is_some_and(|it| it.is_sampled()), {
                // What is not recorded here goes on as it came.
                is_recorded || asked.is_some_and(|asked| asked.is_sampled())
            });
            // And no part of it is recorded, whatever its flag says.
            let part = tracer(1.0, Followed).child_of(decided.context, STEP);
            assert_eq!(part.step.is_some(), is_recorded, "{what}");
            let recorded = decided.context.and_then(TraceContext::recorded);
            assert_eq!(recorded.is_some(), is_recorded, "{what}");
            let same_trace = parent.map(|it| it.trace()) == asked.map(|it| it.trace());
            assert_eq!(
                same_trace,
                !is_recorded || callers == Followed && asked.is_some(),
                "{what}"
            );
        }
    }

    #[test]
    fn a_step_is_told_when_it_ends() {
        let (sink, reader) = TraceSink::new(8);
        let sampling = Sampling {
            ratio: 1.0,
            callers: Callers::Followed,
        };
        let tracer = Tracer::new(sink, sampling);
        let asked = caller(true);
        let mut decided = tracer.decide(Some(&asked), STEP, || 0);
        let step = decided.step.as_mut().expect("it is recorded");
        step.note("messaging.destination.name", "r");
        let child = tracer.child_of(decided.context, ("gateway", SpanKind::Client));
        assert!(reader.is_empty());
        let mut child = child.step.expect("its parent is recorded");
        child.fail("timeout");
        drop(child);
        drop(decided);
        let (child, step) = (reader.try_recv(), reader.try_recv());
        let (child, step) = (child.expect("it was told"), step.expect("it was told"));
        assert_eq!((step.trace, step.parent), (7, Some(9)));
        assert_eq!((child.trace, child.parent), (7, Some(step.id)));
        assert_eq!(child.failure.as_deref(), Some("timeout"));
        assert_eq!(step.failure, None);
        assert_eq!(step.attributes.len(), 1);
    }
}
