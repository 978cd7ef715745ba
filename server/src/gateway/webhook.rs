//! The backend behind HTTP: each event a POST of JSON, signed, over connections that are kept.
//!
//! Invariant: there are as many connections as events are under way, at most, and no more than
//! [`IDLE_MAX`] are kept besides; of an answer no more than [`ANSWER_BYTES_MAX`] bytes are read. A
//! request that a kept connection did not take goes on another one; whatever else fails is told.

use crate::auth::fetch::FetchUrl;
use crate::gateway::live::{GatewayRules, LiveGateway};
use crate::gateway::not_answered::NotAnswered;
use crate::gateway::status;
use crate::gateway::wire::{Answer, GatewayEvent};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// See above.
#[derive(Debug)]
pub(crate) struct Webhook {
    /// Where it is, and what is signed with.
    live: LiveGateway,
    /// The one that was used last is used next, so that those too many grow old.
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// Connections that are kept while nothing is under way.
const IDLE_MAX: usize = 64;
/// Longest answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 1 << 20;

impl Webhook {
    pub(crate) fn new(live: LiveGateway) -> Webhook {
        Webhook {
            live,
            idle: Mutex::default(),
        }
    }

    /// Posts an event, and waits for the answer.
    pub(crate) async fn ask(&self, event: &GatewayEvent) -> Result<Answer, NotAnswered> {
        let body = serde_json::to_vec(event);
        let body = body.map_err(|error| NotAnswered::Unreadable(error.to_string()))?;
        let body = Bytes::from(body);
        let rules = self.live.get();
        while let Some(sender) = self.kept() {
            if let Some(answered) = self.post(sender, &rules, event, &body).await? {
                return Ok(answered);
            }
        }
        let sender = connect(&rules).await?;
        let answered = self.post(sender, &rules, event, &body).await?;
        answered.ok_or_else(|| NotAnswered::NotSent("it took no request".to_owned()))
    }

    /// A connection that is open, as far as is known.
    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let sender = idle.pop()?;
            if sender.is_ready() {
                return Some(sender);
            }
        }
    }

    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(sender);
        }
    }

    /// `None`: the connection had ended before it took anything of the request.
    async fn post(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        rules: &GatewayRules,
        event: &GatewayEvent,
        body: &Bytes,
    ) -> Result<Option<Answer>, NotAnswered> {
        let request = request(rules, event, body)?;
        let answer = match sender.try_send_request(request).await {
            Ok(answer) => answer,
            Err(mut error) => match error.take_message() {
                Some(_) => return Ok(None),
                None => return Err(NotAnswered::Lost(error.into_error().to_string())),
            },
        };
        let (status, retry_after_ms) = (answer.status(), retry_after_ms(&answer));
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(|error| {
            NotAnswered::Lost(format!("its answer was cut, or is too long: {error}"))
        })?;
        // It can be used again once the answer was read whole.
        if sender.ready().await.is_ok() {
            self.keep(sender);
        }
        read(status, retry_after_ms, &body.to_bytes()).map(Some)
    }
}

async fn connect(rules: &GatewayRules) -> Result<SendRequest<Full<Bytes>>, NotAnswered> {
    let stream = url_of(rules)?.connect().await;
    let stream = stream.map_err(|error| NotAnswered::NotSent(error.to_string()))?;
    let made = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(|error| NotAnswered::NotSent(error.to_string()))?;
    // It ends with its sender, or when the backend ends it.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the gateway's backend has ended");
        }
    });
    Ok(sender)
}

fn url_of(rules: &GatewayRules) -> Result<&FetchUrl, NotAnswered> {
    let url = rules.url.as_ref();
    url.ok_or_else(|| NotAnswered::NotSent("there is no URL".to_owned()))
}

fn request(
    rules: &GatewayRules,
    event: &GatewayEvent,
    body: &Bytes,
) -> Result<Request<Full<Bytes>>, NotAnswered> {
    let time_s = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let url = url_of(rules)?;
    let mut request = Request::post(url.path())
        .header(header::HOST, url.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, USER_AGENT)
        .header("shardcast-event", &event.event)
        .header("shardcast-timestamp", time_s);
    if let Some(trace) = &event.traceparent {
        request = request.header("traceparent", trace);
    }
    if let Some(secret) = &rules.secret {
        let signature = format!("v1={}", secret.sign(time_s, body));
        request = request.header("shardcast-signature", signature);
    }
    Ok(request
        .body(Full::new(body.clone()))
        .expect("parts of a URL that was read, and words of ours"))
}

/// What the backend has answered.
fn read(
    status: StatusCode,
    retry_after_ms: Option<u32>,
    body: &[u8],
) -> Result<Answer, NotAnswered> {
    if let Some(reject) = status::reject_of(status, retry_after_ms, body)? {
        return Ok(Answer {
            reject: Some(reject),
            ..Answer::default()
        });
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Answer::default());
    }
    Answer::from_json(body).map_err(|error| NotAnswered::Unreadable(error.to_string()))
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3); a date is not understood.
fn retry_after_ms(answer: &Response<Incoming>) -> Option<u32> {
    let value = answer.headers().get(header::RETRY_AFTER)?;
    let seconds: u32 = value.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1_000))
}

const USER_AGENT: &str = concat!("shardcast/", env!("CARGO_PKG_VERSION"));
