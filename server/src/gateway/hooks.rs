//! What a gateway decides of an application: hooks and handlers that ask the backend and do what it
//! says. Installed before the application starts.

use crate::admission::arrival::Arrival;
use crate::api::app::App;
use crate::dispatch::guard::Attempt;
use crate::dispatch::handler::{Handler, HandlerKind};
use crate::dispatch::options::Options;
use crate::gateway::answers::{self, Unusable};
use crate::gateway::calls::{Gateway, GatewayDecision};
use crate::gateway::counts::GatewayCounts;
use crate::gateway::live::GatewayRules;
use crate::gateway::notices::Notices;
use crate::gateway::options::{EventKind, GatewayOptions};
use crate::gateway::orders::Orders;
use crate::gateway::watch::{self, RoomWatch};
use crate::gateway::wire::{Answer, GatewayEvent, Header, HttpRequest};
use crate::session::admitted::Admitted;
use crate::session::background::Background;
use crate::session::guarded::Verdict;
use crate::session::handle::Handle;
use crate::session::identity::Identity;
use crate::traces::tracer::{RequestTrace, TraceContext, Tracer};
use crate::wire::failure::{Failure, unavailable};
use shardcast_engine::{Refusal, SpanKind};
use shardcast_protocol::dialect::{Code, Dialect, Problem, Value};
use shardcast_protocol::trace_parent::TraceParent;
use std::sync::Arc;
use std::time::Duration;

/// The server answers for a gateway that does not answer in its own time.
const SLACK: Duration = Duration::from_secs(2);

/// What the hooks share.
#[derive(Clone, Debug)]
pub(crate) struct GatewayHooks {
    pub(super) gateway: Arc<Gateway>,
    orders: Arc<Orders>,
    notices: Notices,
    /// Where the server is a node of a cluster.
    rooms: Arc<std::sync::Mutex<Option<RoomWatch>>>,
}

impl GatewayHooks {
    /// Begins to connect to the backend, on this runtime.
    pub(crate) fn start(
        options: GatewayOptions,
        runtime: &tokio::runtime::Handle,
        tracer: Option<Tracer>,
    ) -> GatewayHooks {
        let orders = Arc::new(Orders::new());
        let gateway = Gateway::start(options, orders.clone(), runtime, tracer);
        let gateway = Arc::new(gateway);
        GatewayHooks {
            notices: Notices::start(gateway.clone(), runtime),
            rooms: Arc::default(),
            gateway,
            orders,
        }
    }

    /// The server has started: what the backend orders is done, and it is told of rooms. Returns
    /// what is counted.
    pub(crate) fn attach(&self, handle: Handle) -> &GatewayCounts {
        let of_cluster = self
            .rooms
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        watch::rooms(&self.gateway, &self.notices, &handle, of_cluster);
        self.orders.attach(handle, self.gateway.counts.clone());
        &self.gateway.counts
    }

    /// The server has stopped: what the backend is to hear of that goes out, for so long.
    pub(crate) fn finish(&self, within: Duration) {
        self.notices.finish(within);
    }

    /// Other rules from here on; where they say nothing of the URL, it stays.
    pub(crate) fn exchange(&self, rules: GatewayRules) {
        let live = &self.gateway.live;
        let url = rules.url.or_else(|| live.get().url.clone());
        live.replace(GatewayRules { url, ..rules });
    }

    /// Has the backend decide what the configuration leaves to it.
    pub(crate) fn install(&self, app: App) -> App {
        let options = &self.gateway.options;
        let handlers = app.handlers().with(
            Options::new()
                .timeout(options.timeout + SLACK)
                .at_once(u16::try_from(options.in_flight).unwrap_or(u16::MAX)),
        );
        if options.has(EventKind::Rpc) {
            let registered = handlers.otherwise(self.rpc());
            registered.expect("nothing else is registered");
        }
        if options.has(EventKind::Join) {
            let hooks = self.clone();
            handlers.guard_joins(move |attempt| {
                let hooks = hooks.clone();
                async move { hooks.join(attempt).await }
            });
        }
        if options.has(EventKind::Publish) {
            let hooks = self.clone();
            handlers.guard_publishes(move |attempt| {
                let hooks = hooks.clone();
                async move { hooks.decide_publish(attempt).await }
            });
        }
        let app = match options.has(EventKind::Disconnect) {
            true => {
                let notices = self.notices.clone();
                app.on_disconnect(move |cx, reason| {
                    notices.push(watch::disconnected(cx, reason));
                })
            }
            false => app,
        };
        let app = match options.has(EventKind::Refresh) {
            true => app.on_refresh(self.refresh_hook()),
            false => app,
        };
        if let Some(view) = app.cluster_view() {
            let turns = options.has(EventKind::Occupied) || options.has(EventKind::Vacated);
            let watch = RoomWatch {
                turned: turns.then(|| view.watch_rooms()),
                view,
            };
            *self
                .rooms
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(watch);
        }
        if !options.has(EventKind::Connect) {
            return app;
        }
        let hooks = self.clone();
        app.on_connect_async(move |arrival: Arrival| {
            let hooks = hooks.clone();
            async move { hooks.connect(arrival).await }
        })
    }

    async fn connect(&self, arrival: Arrival) -> Result<Admitted, Refusal> {
        let identity = arrival.identity();
        let event = GatewayEvent {
            connection: arrival.connection().to_string(),
            address: arrival.remote_address().to_string(),
            dialect: name_of(arrival.dialect()).to_owned(),
            request: Some(request_of(&arrival)),
            ..self.event(EventKind::Connect, &identity)
        };
        let trace = arrival.header("traceparent").and_then(|text| {
            let text = str::from_utf8(text).ok()?;
            TraceParent::parse(text.trim())
        });
        let trace = self.decide_trace(trace, "gateway connect");
        let context = trace.context;
        let answer = match self.gateway.decide(EventKind::Connect, event, trace).await {
            GatewayDecision::LetThrough => return Ok(identity.into()),
            GatewayDecision::Rejected(problem) | GatewayDecision::Undecided(problem) => {
                return Err(answers::refusal_of(&problem));
            }
            GatewayDecision::Accepted(answer) => answer,
        };
        let admitted = admitted_of(&answer, identity);
        let unusable = |why| answers::refusal_of(&self.unusable(EventKind::Connect, why));
        let admitted = admitted.map_err(unusable)?;
        self.publish_all(&answer, context).await;
        Ok(admitted)
    }

    async fn join(&self, attempt: Attempt) -> Result<(), Failure> {
        let event = GatewayEvent {
            rooms: rooms_of(&attempt),
            ..self.event_of(EventKind::Join, attempt.connection())
        };
        let trace = self.child(attempt.connection(), "gateway join");
        let context = trace.context;
        match self.gateway.decide(EventKind::Join, event, trace).await {
            GatewayDecision::LetThrough => Ok(()),
            GatewayDecision::Rejected(problem) | GatewayDecision::Undecided(problem) => {
                Err(problem.into())
            }
            GatewayDecision::Accepted(answer) => {
                self.publish_all(&answer, context).await;
                Ok(())
            }
        }
    }

    async fn decide_publish(&self, attempt: Attempt) -> Result<Verdict, Failure> {
        let event = GatewayEvent {
            rooms: rooms_of(&attempt),
            to_user: attempt.to_user().map(str::to_owned),
            everyone: attempt.is_to_everyone(),
            key: attempt.key().map(str::to_owned),
            removed: attempt.is_removal(),
            data: attempt.data().map(json_of),
            ..self.event_of(EventKind::Publish, attempt.connection())
        };
        let trace = self.child(attempt.connection(), "gateway publish");
        let context = trace.context;
        let answer = match self.gateway.decide(EventKind::Publish, event, trace).await {
            GatewayDecision::LetThrough => return Ok(Verdict::Accept),
            GatewayDecision::Rejected(problem) | GatewayDecision::Undecided(problem) => {
                return Err(problem.into());
            }
            GatewayDecision::Accepted(answer) => answer,
        };
        self.publish_all(&answer, context).await;
        match (answer.instead, &answer.data) {
            (true, _) => Ok(Verdict::Swallow),
            (false, None) => Ok(Verdict::Accept),
            (false, Some(data)) => Ok(Verdict::AcceptAs(serde_json::from_slice(data)?)),
        }
    }

    /// Answers what no handler does.
    fn rpc(&self) -> Handler {
        let hooks = self.clone();
        Handler(HandlerKind::Background(Arc::new(move |cx, data| {
            let hooks = hooks.clone();
            let data = data.value().map(json_of);
            Ok(Box::pin(async move { hooks.call(cx, data).await }))
        })))
    }

    async fn call(&self, cx: Background, data: Option<Vec<u8>>) -> Result<Vec<u8>, Failure> {
        let event = GatewayEvent {
            method: Some(cx.kind().to_owned()),
            data,
            ..self.event_of(EventKind::Rpc, &cx)
        };
        let trace = cx.trace.map(TraceContext::parent);
        let trace = self.decide_trace(trace, "gateway rpc");
        let context = trace.context;
        match self.gateway.decide(EventKind::Rpc, event, trace).await {
            GatewayDecision::Accepted(answer) => {
                self.publish_all(&answer, context).await;
                Ok(answers::encoded(&answer, cx.dialect().encoding()))
            }
            GatewayDecision::Rejected(problem) | GatewayDecision::Undecided(problem) => {
                Err(problem.into())
            }
            // Only the backend has an answer to a call.
            GatewayDecision::LetThrough => Err(unavailable("the backend cannot be reached").into()),
        }
    }

    /// A call about which it is decided here whether it is recorded.
    pub(super) fn decide_trace(
        &self,
        asked: Option<TraceParent>,
        name: &'static str,
    ) -> RequestTrace {
        match &self.gateway.tracer {
            None => RequestTrace::passed_on(asked.as_ref()),
            Some(tracer) => {
                let step = (name, SpanKind::Client);
                tracer.decide(asked.as_ref(), step, || fastrand::u64(..))
            }
        }
    }

    /// A call that is a part of a request.
    fn child(&self, request: &Background, name: &'static str) -> RequestTrace {
        match &self.gateway.tracer {
            None => RequestTrace {
                step: None,
                context: request.trace,
            },
            Some(tracer) => tracer.child_of(request.trace, (name, SpanKind::Client)),
        }
    }

    /// An event of a connection.
    fn event_of(&self, kind: EventKind, cx: &Background) -> GatewayEvent {
        GatewayEvent {
            connection: cx.connection().to_string(),
            address: cx.remote_address().to_string(),
            dialect: name_of(cx.dialect()).to_owned(),
            ..self.event(kind, cx.identity())
        }
    }

    pub(super) fn event(&self, kind: EventKind, identity: &Identity) -> GatewayEvent {
        GatewayEvent {
            user: identity.name().map(str::to_owned),
            roles: identity
                .roles()
                .iter()
                .map(|role| role.to_string())
                .collect(),
            ..self.gateway.event(kind.as_str())
        }
    }

    /// What the backend publishes besides, as a part of the call. That fails for itself: the
    /// decision stands.
    pub(super) async fn publish_all(&self, answer: &Answer, trace: Option<TraceContext>) {
        for publish in &answer.publish {
            if let Err(failure) = self.orders.publish(publish, trace).await {
                tracing::warn!(%failure, "what the backend publishes with an answer is not published");
            }
        }
    }

    pub(super) fn unusable(&self, kind: EventKind, why: Unusable) -> Problem {
        tracing::warn!(event = kind.as_str(), %why, "the backend's answer cannot be used");
        Problem::new(Code::HandlerFailed, "the backend's answer cannot be used")
    }
}

/// Whom the backend lets in, and with what.
fn admitted_of(answer: &Answer, proved: Identity) -> Result<Admitted, Unusable> {
    let identity = answers::identity_of(answer)?.unwrap_or(proved);
    let identity = match answer.expires_ms {
        Some(expires_ms) => identity.lasting(Duration::from_millis(expires_ms)),
        None => identity,
    };
    let data = answer.data.as_deref().map(serde_json::from_slice);
    let data = data.transpose().map_err(|_| Unusable("data is no JSON"))?;
    Ok(Admitted {
        identity,
        rooms: answer
            .rooms
            .iter()
            .map(|room| room.as_str().into())
            .collect(),
        data,
    })
}

fn rooms_of(attempt: &Attempt) -> Vec<String> {
    attempt
        .rooms()
        .iter()
        .map(|room| room.to_string())
        .collect()
}

/// What a client has sent, as JSON.
fn json_of(data: Value<'_>) -> Vec<u8> {
    let mut json = Vec::new();
    data.write_json(&mut json);
    json
}

/// The request of a client that connects, without what only the WebSocket needs.
fn request_of(arrival: &Arrival) -> HttpRequest {
    const LEFT_OUT: [&str; 5] = [
        "connection",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-extensions",
    ];
    let headers = arrival.headers().map(|(name, value)| Header {
        name: name.to_ascii_lowercase(),
        value: String::from_utf8_lossy(value).into_owned(),
    });
    HttpRequest {
        path: arrival.path().to_owned(),
        query: arrival.query().map(str::to_owned),
        headers: headers
            .filter(|header| !LEFT_OUT.contains(&&*header.name))
            .collect(),
    }
}

pub(super) fn name_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::NativeJson => "json",
        Dialect::JsonRpc => "jsonrpc",
        Dialect::MessagePack => "msgpack",
        Dialect::CentrifugeJson => "centrifuge-json",
        Dialect::CentrifugeProtobuf => "centrifuge-protobuf",
    }
}
