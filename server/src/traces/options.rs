//! Where traces go, and of how much. Made from the configuration; nothing is opened here.

use crate::auth::fetch::FetchUrl;
use hyper::header::{HeaderName, HeaderValue};
use std::time::Duration;

/// Section `[tracing]`, read to the end.
#[derive(Clone, Debug)]
pub(crate) struct TracingOptions {
    /// Of a collector that takes OTLP over HTTP in Protobuf.
    pub(crate) endpoint: FetchUrl,
    pub(crate) sampling: Sampling,
    pub(crate) service_name: String,
    /// Such as the collector knows this server by. They are secrets.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// For one request to the collector.
    pub(crate) timeout: Duration,
    /// Steps that wait to be sent.
    pub(crate) queue: usize,
}

/// Which requests are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sampling {
    /// Of those that belong to no trace: from 0, none, to 1, all.
    pub(crate) ratio: f64,
    pub(crate) callers: Callers,
}

/// Whether callers say what is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callers {
    /// What belongs to a trace is recorded as that trace is.
    Followed,
    /// Their traces are not looked at.
    Ignored,
}
