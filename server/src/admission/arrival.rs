//! Clients whose admission is decided in the background: what the hook sees of a client, the
//! client's future, and the decision's way back to the shard.
//!
//! Invariant: a shard has at most as many futures as connections may wait for their admission
//! ([`Config::deferred_max`]), aborted futures that are not dropped yet included. Each future
//! brings one decision to its shard, however it ends; the engine drops the decision if the client
//! has gone.
//!
//! [`Config::deferred_max`]: shardcast_engine::Config::deferred_max

use crate::admission::connect::parameter_of;
use crate::admission::entrance::Chosen;
use crate::auth::gate::LaterPassage;
use crate::session::admitted::Admitted;
use crate::session::identity::Identity;
use crate::session::permits::{Permit, Permits};
use crate::session::retry;
use crate::session::shared::Shared;
use crate::wire::connection_id::ConnectionId;
use futures_util::FutureExt;
use shardcast_engine::{Address, Context as Engine, Panicked, Peer, Refusal, confine, discard};
use shardcast_protocol::dialect::Dialect;
use shardcast_protocol::http::{self, HeadLimits, HeaderError, Headers, HttpRequest, Progress};
use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::task::AbortHandle;

/// A client that asks to connect and waits for the answer, for a hook that runs in the background
/// ([`crate::App::on_connect_async`]). Clones are the same client.
#[derive(Clone)]
pub struct Arrival(Arc<OwnedRequest>);

/// A name and a value.
type OwnedHeader = (Box<str>, Box<[u8]>);

/// The client's request, copied.
struct OwnedRequest {
    connection: ConnectionId,
    remote_address: Peer,
    is_secure: bool,
    peer_certificate: Option<Box<[u8]>>,
    listener: usize,
    dialect: Dialect,
    authority: Option<Box<str>>,
    path: Box<str>,
    query: Option<Box<str>>,
    headers: Box<[OwnedHeader]>,
    /// Known from the start, or when the client's token is checked.
    identity: OnceLock<Identity>,
    /// Headers of the answer that lets the client in.
    answer: Mutex<Headers>,
}

impl Arrival {
    /// A client, and who it is if that is known already.
    pub(crate) fn new(
        engine: &Engine<'_>,
        request: &HttpRequest<'_>,
        dialect: Dialect,
        identity: Option<Identity>,
    ) -> Arrival {
        let headers = request.headers().iter();
        Arrival(Arc::new(OwnedRequest {
            connection: ConnectionId(engine.address()),
            remote_address: engine.peer(),
            is_secure: engine.is_secure(),
            peer_certificate: engine.peer_certificate().map(Into::into),
            listener: engine.listener(),
            dialect,
            authority: request.host().map(Into::into),
            path: request.path().into(),
            query: request.query().map(Into::into),
            headers: headers
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            identity: identity.map(OnceLock::from).unwrap_or_default(),
            answer: Mutex::default(),
        }))
    }

    /// Adds a header to the answer that lets this client in, as [`crate::Connect::add_header`]
    /// does.
    ///
    /// # Errors
    /// See there.
    pub fn add_header(&self, name: &str, value: &str) -> Result<(), HeaderError> {
        let answer = &self.0.answer;
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.add(name, value)
    }

    /// Who the client's token says it is: see [`crate::Connect::identity`].
    pub fn identity(&self) -> Identity {
        self.0.identity.get().cloned().unwrap_or_default()
    }

    /// The id that the client's connection has once it is let in.
    pub fn connection(&self) -> ConnectionId {
        self.0.connection
    }

    /// The client's address.
    pub fn remote_address(&self) -> Peer {
        self.0.remote_address
    }

    /// The connection is encrypted.
    pub fn is_secure(&self) -> bool {
        self.0.is_secure
    }

    /// The certificate that the client showed (DER), if it was asked for one and showed one.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.0.peer_certificate.as_deref()
    }

    /// The listener that the client connected to: index in the configuration.
    pub fn listener(&self) -> usize {
        self.0.listener
    }

    /// The dialect of the client.
    pub fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// The path of its request.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// A header of its request, by name without regard to case; the first, if there are several.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.0.headers.iter();
        let found = headers.find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    /// All headers of its request, in the order sent, names as they were written.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let headers = self.0.headers.iter();
        headers.map(|(name, value)| (&**name, &**value))
    }

    /// The query of its request, as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.0.query.as_deref()
    }

    /// A parameter of its request's query, as it was sent: see [`crate::Connect::parameter`].
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter_of(self.0.query.as_deref()?, name)
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and query may bear secrets.
        f.debug_struct("Arrival")
            .field("remote_address", &self.0.remote_address)
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}

impl OwnedRequest {
    /// The request's head, to be read once more.
    fn head(&self) -> Vec<u8> {
        let mut head = b"GET ".to_vec();
        if let Some(authority) = &self.authority {
            head.extend_from_slice(b"http://");
            head.extend_from_slice(authority.as_bytes());
        }
        head.extend_from_slice(self.path.as_bytes());
        if let Some(query) = &self.query {
            head.push(b'?');
            head.extend_from_slice(query.as_bytes());
        }
        head.extend_from_slice(b" HTTP/1.1\r\n");
        for (name, value) in &self.headers {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// Finds out who a client is.
pub(crate) type ConnectFn = dyn Fn(Arrival) -> AdmissionFuture + Send + Sync;

/// The future of a hook.
pub(crate) type AdmissionFuture = Pin<Box<dyn Future<Output = Result<Admitted, Refusal>> + Send>>;

/// Futures of one shard's clients that wait.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    waiting: HashMap<Address, AbortHandle>,
    permits: Permits,
}

/// What was found out about a client.
pub(crate) struct Decision {
    pub(crate) chosen: Chosen,
    pub(crate) outcome: AdmissionOutcome,
    arrival: Arrival,
    /// Taken until the shard has the decision.
    _permit: Permit,
}

/// How a client's future ended.
pub(crate) enum AdmissionOutcome {
    Known(Result<Admitted, Refusal>),
    Panic,
    /// The future was dropped before its end.
    Dropped,
}

impl Decision {
    /// Calls with the client's request, which is read once more. `None`: it cannot be read.
    pub(crate) fn with_request<R>(&self, act: impl FnOnce(&HttpRequest<'_>) -> R) -> Option<R> {
        let head = self.arrival.0.head();
        let limits = HeadLimits {
            head_bytes_max: head.len(),
            headers_max: usize::MAX,
        };
        let (request, _) = http::parse(&head, &mut Progress::default(), &limits).ok()??;
        Some(act(&request))
    }

    /// Headers of the answer that lets the client in.
    pub(crate) fn take_headers(&self) -> Headers {
        let answer = &self.arrival.0.answer;
        std::mem::take(&mut *answer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Goes with a client's future, and hands its shard a decision when it is dropped, however that
/// comes about.
struct AdmissionGuard {
    shared: Arc<Shared>,
    who: Address,
    decision: Option<Decision>,
}

impl AdmissionGuard {
    fn end(mut self, outcome: AdmissionOutcome) {
        if let Some(decision) = &mut self.decision {
            decision.outcome = outcome;
        }
    }
}

impl Drop for AdmissionGuard {
    fn drop(&mut self) {
        if let Some(mut decision) = self.decision.take() {
            if std::thread::panicking() && matches!(decision.outcome, AdmissionOutcome::Dropped) {
                decision.outcome = AdmissionOutcome::Panic;
            }
            retry::admit(&self.shared, self.who, Box::new(decision));
        }
    }
}

/// Begins to find out who a client is: `later` checks its token, if that is not done yet, and
/// `hook` decides then, if there is one. False if too many futures of the shard are there: nothing
/// was begun.
pub(crate) fn begin(
    arrivals: &mut Arrivals,
    shared: &Arc<Shared>,
    arrival: Arrival,
    (who, chosen): (Address, Chosen),
    later: Option<LaterPassage>,
    hook: Option<Arc<ConnectFn>>,
) -> bool {
    if arrivals.permits.taken() >= shared.deferred_per_shard_max {
        return false;
    }
    let work: AdmissionFuture = match (later, hook) {
        (None, Some(hook)) => bound(hook(arrival.clone()), arrival.identity()),
        (later, hook) => Box::pin(verified(arrival.clone(), later, hook)),
    };
    let guard = AdmissionGuard {
        shared: Arc::clone(shared),
        who,
        decision: Some(Decision {
            chosen,
            outcome: AdmissionOutcome::Dropped,
            arrival,
            _permit: arrivals.permits.take(),
        }),
    };
    // If the runtime has ended, it drops the future at once, and the shard gets the decision after
    // this call.
    let run = async move { guard.end(outcome_of(work).await) };
    let task = shared.runtime.spawn(run);
    arrivals.waiting.insert(who, task.abort_handle());
    true
}

/// Checks the client's token, and has the hook decide.
async fn verified(
    arrival: Arrival,
    later: Option<LaterPassage>,
    hook: Option<Arc<ConnectFn>>,
) -> Result<Admitted, Refusal> {
    if let Some(later) = later {
        let identity = later.finish().await?;
        // Nobody else sets it.
        let _ = arrival.0.identity.set(identity);
    }
    let identity = arrival.identity();
    match hook {
        Some(hook) => bound(hook(arrival), identity).await,
        None => Ok(identity.into()),
    }
}

/// What the hook decides, bound to the token that the client came with.
fn bound(work: AdmissionFuture, proved: Identity) -> AdmissionFuture {
    if proved.claims().is_none() {
        return work;
    }
    Box::pin(async move {
        let admitted = work.await?;
        Ok(Admitted {
            identity: admitted.identity.bound_to(&proved),
            ..admitted
        })
    })
}

async fn outcome_of(mut work: AdmissionFuture) -> AdmissionOutcome {
    let ended = AssertUnwindSafe(&mut work).catch_unwind().await;
    // The hook's values are dropped here; their destructors may panic.
    let dropped = discard(work);
    match (ended, dropped) {
        (Ok(known), Ok(())) => AdmissionOutcome::Known(known),
        (Err(payload), _) => {
            let _ignored = discard(payload);
            AdmissionOutcome::Panic
        }
        (_, Err(Panicked)) => AdmissionOutcome::Panic,
    }
}

impl Arrivals {
    /// The client's decision has come.
    pub(crate) fn decided(&mut self, who: Address) {
        self.waiting.remove(&who);
        self.shrink();
    }

    /// The client has gone, or its time is over: the future ends where it waits.
    pub(crate) fn abandoned(&mut self, who: Address) {
        if let Some(task) = self.waiting.remove(&who) {
            // The embedder's runtime may drop the future here, whose destructors may panic.
            let _panicked = confine(|| task.abort());
        }
        self.shrink();
    }

    /// Futures that are not dropped yet.
    pub(crate) fn count(&self) -> usize {
        self.permits.taken()
    }

    fn shrink(&mut self) {
        if self.waiting.is_empty() {
            self.waiting.shrink_to_fit();
        }
    }
}
