//! Steps of traces as OTLP says them in Protobuf (opentelemetry-proto 1.x,
//! `collector/trace/v1/trace_service.proto`), and what a collector answers.
//!
//! Declared here as the gateway's messages are: the crate with these types brings a tonic and a
//! runtime of OpenTelemetry along, of which nothing else would be used.

use prost::{Message, Oneof};
use shardcast_engine::{SpanKind, SpanValue, TraceSpan};
use std::time::{Instant, SystemTime};

/// One request to a collector.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

/// Who has done all that.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<OtlpSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct OtlpSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<SpanStatus>,
    /// The flags of W3C Trace Context: what is here is sampled.
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct SpanStatus {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "PlainValue", tags = "1, 3")]
    value: Option<PlainValue>,
}

#[derive(Clone, PartialEq, Oneof)]
enum PlainValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

/// What a collector answers.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) partial_success: Option<PartialSuccess>,
}

/// Not all of it can be used.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(crate) rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub(crate) error_message: String,
}

/// `STATUS_CODE_ERROR`
const ERROR: i32 = 2;

/// One moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockPair {
    instant: Instant,
    unix_nanoseconds: u64,
}

impl ClockPair {
    pub(crate) fn now() -> ClockPair {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let nanoseconds = since.map_or(0, |since| since.as_nanos());
        ClockPair {
            instant: Instant::now(),
            unix_nanoseconds: u64::try_from(nanoseconds).unwrap_or(u64::MAX),
        }
    }

    fn unix(self, at: Instant) -> u64 {
        let nanoseconds = |time: std::time::Duration| time.as_nanos() as u64;
        match at.checked_duration_since(self.instant) {
            Some(later) => self.unix_nanoseconds.saturating_add(nanoseconds(later)),
            None => {
                let earlier = self.instant.saturating_duration_since(at);
                self.unix_nanoseconds.saturating_sub(nanoseconds(earlier))
            }
        }
    }
}

impl Resource {
    /// This run of the server, as people call it.
    pub(crate) fn new(service_name: &str, instance: &str) -> Resource {
        let attributes = [
            ("service.name", service_name),
            ("service.version", VERSION),
            ("service.instance.id", instance),
            ("telemetry.sdk.name", "shardcast"),
            ("telemetry.sdk.language", "rust"),
        ];
        let attribute = |(key, value): (&str, &str)| attribute(key, value.into());
        Resource {
            attributes: attributes.map(attribute).into(),
        }
    }
}

/// What a collector is sent of these steps.
pub(crate) fn request(resource: &Resource, spans: Vec<TraceSpan>, clocks: ClockPair) -> Vec<u8> {
    let spans = spans.into_iter().map(|span| span_of(span, clocks));
    let scope = Scope {
        name: "shardcast".to_owned(),
        version: VERSION.to_owned(),
    };
    let request = ExportRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans: spans.collect(),
            }],
        }],
    };
    request.encode_to_vec()
}

fn span_of(span: TraceSpan, clocks: ClockPair) -> OtlpSpan {
    let attributes = span.attributes.into_iter();
    OtlpSpan {
        trace_id: span.trace.to_be_bytes().into(),
        span_id: span.id.to_be_bytes().into(),
        parent_span_id: match span.parent {
            Some(parent) => parent.to_be_bytes().into(),
            None => Vec::new(),
        },
        name: span.name.to_owned(),
        kind: match span.kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
        },
        start_time_unix_nano: clocks.unix(span.begin),
        end_time_unix_nano: clocks.unix(span.end),
        attributes: attributes
            .map(|(key, value)| attribute(key, value))
            .collect(),
        status: span.failure.map(|message| SpanStatus {
            message: message.into(),
            code: ERROR,
        }),
        flags: 1,
    }
}

fn attribute(key: &str, value: SpanValue) -> KeyValue {
    let value = match value {
        SpanValue::Text(text) => PlainValue::Text(text.into()),
        SpanValue::Number(number) => PlainValue::Number(i64::try_from(number).unwrap_or(i64::MAX)),
    };
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
