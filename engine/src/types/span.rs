//! Steps of traces, as a tracer keeps them: plain values that the engine and its embedders make,
//! and that whoever exports traces reads.

use std::time::Instant;

/// One step of a trace, which has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSpan {
    /// The trace.
    pub trace: u128,
    /// Its own id, unique in the trace; not zero.
    pub id: u64,
    /// The step that it is a part of. `None`: the trace begins with it.
    pub parent: Option<u64>,
    /// What is done.
    pub name: &'static str,
    /// On which side of a call it is.
    pub kind: SpanKind,
    /// When it began.
    pub begin: Instant,
    /// When it ended.
    pub end: Instant,
    /// Why it has failed, if it has.
    pub failure: Option<Box<str>>,
    /// What is known of it.
    pub attributes: Vec<(&'static str, SpanValue)>,
}

/// On which side of a call a step is (OpenTelemetry's span kinds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Neither.
    Internal,
    /// It answers a request.
    Server,
    /// It asks another process.
    Client,
    /// It hands something over that others work on later.
    Producer,
    /// It works on what another step has handed over.
    Consumer,
}

/// What is known of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanValue {
    /// A word.
    Text(Box<str>),
    /// A count, or a size.
    Number(u64),
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> SpanValue {
        SpanValue::Text(text.into())
    }
}

impl From<u64> for SpanValue {
    fn from(number: u64) -> SpanValue {
        SpanValue::Number(number)
    }
}
