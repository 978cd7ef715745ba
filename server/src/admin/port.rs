//! The admin port: health, readiness, metrics and calls over HTTP, for operators and probes.
//!
//! No peer can block the port: every connection is accepted at once, and when there are too many,
//! the oldest connection is closed (`visitors.rs`). A connection has one request, with a deadline
//! for the head and one for the complete exchange. The control plane calls this file.

use crate::admin::api::document::document;
use crate::admin::api::operations::{Audited, OPERATIONS, Operation, Verb};
use crate::admin::api::{Asked, Called, status_of};
use crate::admin::auditing::{audit, body_of_call};
use crate::admin::centrifugo::ApiMethod;
use crate::admin::lifecycle::Stage;
use crate::admin::metrics::{Metrics, exposition};
use crate::admin::problem::AdminProblem;
use crate::admin::state::AdminState;
use crate::admin::tls::Proof;
use crate::admin::visitors::{HeadRead, Visitors};
use crate::audit::event::AuditEvent;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, RawPathParamsRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, RawPathParams, Request, State};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use shardcast_protocol::trace_parent::TraceParent;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

/// Accepts and answers for ever.
pub(crate) async fn accept(listener: TcpListener, state: Arc<AdminState>) {
    let routes = routes(state.clone());
    let (mut answering, mut visitors) = (JoinSet::new(), Visitors::default());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    visitors.make_room();
                    let (asked, routes) = (HeadRead::default(), routes.clone());
                    let answered = attend(state.clone(), socket, routes, asked.clone());
                    visitors.enter(answering.spawn(answered), asked);
                    // A request that is there already is answered before others make its place
                    // theirs.
                    tokio::task::yield_now().await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin port cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            // A connection that ended, or was closed for a new one.
            Some(ended) = answering.join_next_with_id() => {
                visitors.leave(ended.map_or_else(|error| error.id(), |(id, ())| id));
            }
        }
    }
}

/// Answers a connection's request, over TLS if the port speaks it.
async fn attend(state: Arc<AdminState>, socket: TcpStream, routes: Router, asked: HeadRead) {
    let Some(tls) = &state.tls else {
        return answer(TokioIo::new(socket), Proof::None, routes, asked).await;
    };
    let shaken = tokio::time::timeout(HEAD_TIMEOUT, tls.accept(socket)).await;
    if let Ok(Ok(stream)) = shaken {
        let proof = Proof::of(&stream);
        answer(TokioIo::new(stream), proof, routes, asked).await;
    }
}

/// Answers one request. An error of the connection concerns the client alone.
async fn answer(socket: impl Read + Write + Unpin, proof: Proof, routes: Router, asked: HeadRead) {
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        asked.set();
        request.extensions_mut().insert(proof);
        routes.call(request)
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false)
        .max_buf_size(BUFFER_BYTES_MAX)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let _client_gone =
        tokio::time::timeout(CONNECTION_TIMEOUT, http.serve_connection(socket, service)).await;
}

fn routes(state: Arc<AdminState>) -> Router {
    let mut calls = Router::new();
    for operation in OPERATIONS {
        let bytes_max = match operation.id {
            BATCH => BATCH_BYTES_MAX,
            PUBLISH => PUBLISH_BYTES_MAX,
            _ => BODY_BYTES_MAX,
        };
        let run = move |state, parameters, asked| call(operation, state, parameters, asked);
        let route = match operation.verb {
            Verb::Get => get(run),
            Verb::Post => post(run),
        };
        calls = calls.route(
            operation.path,
            route.layer(DefaultBodyLimit::max(bytes_max)),
        );
    }
    let guarded = calls
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .route("/centrifugo/api", post(centrifugo_lines))
        .route("/centrifugo/api/", post(centrifugo_lines))
        .route("/centrifugo/api/{method}", post(centrifugo))
        .layer(DefaultBodyLimit::max(PUBLISH_BYTES_MAX))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(state.clone(), guard));
    let pages = Router::new()
        .route("/", get(page))
        .route("/console", get(page))
        .route("/pages/{file}", get(page))
        .layer(from_fn_with_state(state.clone(), guard_visit));
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .merge(pages)
        .merge(guarded)
        .method_not_allowed_fallback(not_allowed)
        .with_state(state)
}

/// Whether what is no probe is served.
async fn guard(State(state): State<Arc<AdminState>>, request: Request, next: Next) -> Response {
    let proof = request.extensions().get::<Proof>();
    let proof = proof.copied().unwrap_or(Proof::None);
    match state.guard.check(request.headers(), proof) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            AuditEvent::AdminRefused {
                path: request.uri().path(),
                status: problem.status().as_u16(),
            }
            .emit();
            match request.uri().path().starts_with("/centrifugo/") {
                true => problem.into_api_response(),
                false => problem.into_response(),
            }
        }
    }
}

/// Whether a file of the pages is served.
async fn guard_visit(
    State(state): State<Arc<AdminState>>,
    request: Request,
    next: Next,
) -> Response {
    match state.guard.check_visit(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// A page, or a file of one.
async fn page(State(state): State<Arc<AdminState>>, uri: Uri, headers: HeaderMap) -> Response {
    match state.pages.file(uri.path()) {
        Some(file) => file.answer(&headers),
        None => not_found().await,
    }
}

/// A call of the table of operations.
async fn call(
    operation: &'static Operation,
    State(state): State<Arc<AdminState>>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response {
    let Some(api) = &state.api else {
        return not_found().await;
    };
    let named = parameters.map(|named| named.iter().next().map(|(_, name)| name.to_owned()));
    let Ok(named) = named else {
        return AdminProblem::bad_request("the path is no UTF-8").into_response();
    };
    let place = match operation.id {
        BATCH => api.batches.clone().acquire_owned().await.ok(),
        _ => None,
    };
    let uri = request.uri().clone();
    let trace = trace_in(request.headers());
    let body = match body_of(request).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let asked = Asked {
        name: named.unwrap_or_default(),
        uri,
        body,
        trace,
    };
    let outcome = match operation.audited {
        Audited::No => (operation.run)(api, asked).await,
        Audited::Parts | Audited::Yes => act(operation, state.clone(), asked, place).await,
    };
    match outcome {
        Ok(answer) => json_of(answer.get().to_owned()),
        Err(problem) => problem.into_response(),
    }
}

/// The trace that a caller has its call belong to.
fn trace_in(headers: &HeaderMap) -> Option<TraceParent> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    TraceParent::parse(text.trim())
}

async fn body_of(request: Request) -> Result<Bytes, AdminProblem> {
    let body = Bytes::from_request(request, &()).await;
    body.map_err(|rejected| {
        AdminProblem::new(rejected.status(), "the body is too large, or did not come")
    })
}

/// A call that acts is audited. The place of a batch is free when it is done.
async fn act(
    operation: &'static Operation,
    state: Arc<AdminState>,
    asked: Asked,
    place: Option<OwnedSemaphorePermit>,
) -> Called {
    let acting = async move {
        let _place = place;
        let api = state.api.as_ref().ok_or_else(AdminProblem::stopping)?;
        let body = asked.body.clone();
        let outcome = (operation.run)(api, asked).await;
        if operation.audited == Audited::Yes {
            let status = status_of(&outcome).as_u16();
            audit(operation.id, &body_of_call(&body), status);
        }
        outcome
    };
    to_its_end(acting).await?
}

/// What is begun is done to its end, even if whoever called goes.
///
/// # Errors
/// The server stops.
async fn to_its_end<R: Send + 'static>(
    work: impl Future<Output = R> + Send + 'static,
) -> Result<R, AdminProblem> {
    let done = tokio::spawn(work).await;
    done.map_err(|_| AdminProblem::stopping())
}

/// A method of the server API of Centrifugo, or several.
async fn centrifugo(
    State(state): State<Arc<AdminState>>,
    method: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let Ok(Path(method)) = method else {
        return not_found().await;
    };
    if method == BATCH {
        return several(state, request, Several::Batch).await;
    }
    let body = match body_of(request).await {
        Ok(body) => body,
        Err(problem) => return problem.into_api_response(),
    };
    let acts = ApiMethod::acts(&method);
    let run = async move {
        match &state.centrifugo {
            Some(api) => api.call(&method, &body).await,
            None => None,
        }
    };
    let answer = match acts {
        true => to_its_end(run).await,
        false => Ok(run.await),
    };
    answer_with(answer).await
}

/// Several of them, on a line each.
async fn centrifugo_lines(State(state): State<Arc<AdminState>>, request: Request) -> Response {
    several(state, request, Several::Lines).await
}

/// How several commands of the server API of Centrifugo are written.
enum Several {
    Batch,
    Lines,
}

/// Several commands, in one of the places that there are for them.
async fn several(state: Arc<AdminState>, request: Request, form: Several) -> Response {
    let Some(api) = &state.centrifugo else {
        return not_found().await;
    };
    let Ok(place) = api.batches.clone().acquire_owned().await else {
        return AdminProblem::stopping().into_api_response();
    };
    let body = match body_of(request).await {
        Ok(body) => body,
        Err(problem) => return problem.into_api_response(),
    };
    let answer = to_its_end(async move {
        // It is free when they are done.
        let _place = place;
        let api = state.centrifugo.as_ref()?;
        Some(match form {
            Several::Batch => api.batch(&body).await,
            Several::Lines => api.lines(&body).await,
        })
    });
    answer_with(answer.await).await
}

/// `None`: there is no such method.
async fn answer_with(answer: Result<Option<String>, AdminProblem>) -> Response {
    match answer {
        Ok(Some(answer)) => json_of(answer),
        Ok(None) => not_found().await,
        Err(problem) => problem.into_api_response(),
    }
}

fn json_of(body: String) -> Response {
    let media = [(CONTENT_TYPE, "application/json")];
    (StatusCode::OK, media, body).into_response()
}

/// The document of the calls.
async fn openapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());
    json_of(DOCUMENT.clone())
}

/// The process lives and its control plane runs.
async fn health() -> Response {
    json(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// Whether a load balancer should send new clients here.
async fn ready(State(state): State<Arc<AdminState>>) -> Response {
    match state.lifecycle().stage() {
        Stage::Serving => match state.metrics().stuck_shards().as_slice() {
            [] => json(StatusCode::OK, r#"{"status":"ready"}"#),
            stuck => {
                let body = serde_json::json!({ "status": "stuck", "shards": stuck });
                let media = [(CONTENT_TYPE, "application/json")];
                (StatusCode::SERVICE_UNAVAILABLE, media, body.to_string()).into_response()
            }
        },
        Stage::LameDuck | Stage::Draining => {
            json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"draining"}"#)
        }
    }
}

async fn metrics(State(state): State<Arc<AdminState>>, headers: HeaderMap) -> Response {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    if accepts.is_some_and(exposition::is_asked_for) {
        let media = [(CONTENT_TYPE, exposition::CONTENT_TYPE)];
        return (media, state.metrics().protobuf()).into_response();
    }
    let media = [(CONTENT_TYPE, Metrics::CONTENT_TYPE)];
    (media, state.metrics().text()).into_response()
}

async fn not_found() -> Response {
    AdminProblem::not_found("there is nothing here: /openapi.json lists what there is")
        .into_response()
}

async fn not_allowed() -> Response {
    let detail = "this path takes another method: see the header Allow";
    AdminProblem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response()
}

fn json(status: StatusCode, body: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// From accept to the end of the request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// From accept to the last byte of the answer, however slow the client.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest body of a call in bytes; a longer one is answered 413.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Several calls, in the largest body: few are taken at a time. The server API of Centrifugo calls
/// several of its own so, too.
const BATCH: &str = "batch";
/// A call with data of messages.
const PUBLISH: &str = "publish";
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Longest body of a call that publishes, and of a request for the server API of Centrifugo.
const PUBLISH_BYTES_MAX: usize = 1 << 20;
/// Longest request head in bytes; a longer one is answered 431.
const BUFFER_BYTES_MAX: usize = 16 << 10;
/// Pause after a failed accept: it fails because something ran out, such as open files, and to try
/// at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::guard::{Guard, OperatorCertificates};
    use shardcast_engine::ShardCounters;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// The status line's code, the content type and the body that `request` is answered with;
    /// `None` for a connection that ends without an answer. Time stands still but for waits: when
    /// nothing else can happen, it jumps to the next deadline.
    fn ask(state: &Arc<AdminState>, request: &str) -> Option<(u16, String, String)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let answer = runtime.block_on(async {
            let (mut client, server) = duplex(1 << 20);
            let routes = routes(Arc::clone(state));
            let answered = tokio::spawn(answer(
                TokioIo::new(server),
                Proof::None,
                routes,
                HeadRead::default(),
            ));
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answered.await.unwrap();
            answer
        });
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let media = head
            .lines()
            .find_map(|line| line.strip_prefix("content-type: "))
            .unwrap_or_default();
        Some((status, media.to_owned(), body.to_owned()))
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    }

    fn state() -> Arc<AdminState> {
        state_of(vec![Arc::new(ShardCounters::default())])
    }

    fn state_of(counters: Vec<Arc<ShardCounters>>) -> Arc<AdminState> {
        {
            let metrics = Metrics::new(counters, Arc::default(), Arc::default(), Arc::default());
            let guard = Guard::new(
                "127.0.0.1".parse().unwrap(),
                None,
                OperatorCertificates::NotAsked,
            );
            let lifecycle = Arc::default();
            Arc::new(AdminState::new(metrics, lifecycle, guard, None, None, None))
        }
    }

    #[test]
    fn answers() {
        let state = state();
        for (request, body) in [
            (get("/health"), r#"{"status":"ok"}"#),
            (get("/ready"), r#"{"status":"ready"}"#),
        ] {
            assert_eq!(
                ask(&state, &request),
                Some((200, "application/json".to_owned(), body.to_owned())),
                "{request}"
            );
        }
        let post = |path: &str| {
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}")
        };
        let nothing = [
            (get("/pages/"), 404),
            (get("/metrics/"), 404),
            (post("/health"), 405),
        ];
        let of_calls = OPERATIONS.iter().flat_map(|operation| {
            // There is no server to act on.
            let (get, post) = (get(operation.path), post(operation.path));
            match operation.verb {
                Verb::Get => [(get, 404), (post, 405)],
                Verb::Post => [(get, 405), (post, 404)],
            }
        });
        for (request, status) in nothing.into_iter().chain(of_calls) {
            let (answered, media, body) = ask(&state, &request).unwrap();
            assert_eq!(
                (answered, media.as_str()),
                (status, "application/problem+json"),
                "{request}"
            );
            let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["status"], status);
        }
        let (status, media, body) = ask(&state, &get("/metrics")).unwrap();
        assert_eq!(
            (status, media.as_str()),
            (
                200,
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            )
        );
        assert!(
            body.contains("\nshardcast_connections{shard=\"0\"} 0\n"),
            "{body}"
        );
    }

    #[test]
    fn a_server_with_a_stuck_shard_lives_but_is_not_ready() {
        let shards: Vec<Arc<ShardCounters>> = (0..3).map(|_| Arc::default()).collect();
        let state = state_of(shards.clone());
        shards[1].stuck_ms.set(5_000);
        let (status, media, body) = ask(&state, &get("/ready")).unwrap();
        assert_eq!((status, media.as_str()), (503, "application/json"));
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({ "status": "stuck", "shards": [1] })
        );
        assert_eq!(ask(&state, &get("/health")).unwrap().0, 200);
        shards[1].stuck_ms.set(0);
        assert_eq!(ask(&state, &get("/ready")).unwrap().0, 200);
    }

    #[test]
    fn a_draining_server_lives_but_is_not_ready() {
        let state = state();
        state.lifecycle().reach(Stage::LameDuck);
        assert_eq!(
            ask(&state, &get("/ready")),
            Some((
                503,
                "application/json".to_owned(),
                r#"{"status":"draining"}"#.to_owned()
            ))
        );
        assert_eq!(ask(&state, &get("/health")).unwrap().0, 200);
    }

    #[test]
    fn one_request_a_connection() {
        let twice = format!("{}{}", get("/health"), get("/ready"));
        assert_eq!(ask(&state(), &twice).unwrap().2, r#"{"status":"ok"}"#);
    }

    #[test]
    fn a_head_has_its_time_and_an_answer_has_more() {
        for (request, after) in [
            ("", HEAD_TIMEOUT),
            ("GET /health HTTP/1.1\r\nHost:", HEAD_TIMEOUT),
            (&get("/metrics"), CONNECTION_TIMEOUT),
        ] {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let took = runtime.block_on(async {
                let started = tokio::time::Instant::now();
                // Nothing of the answer is read, and little fits.
                let (mut client, server) = duplex(64);
                let routes = routes(state());
                let answered = tokio::spawn(answer(
                    TokioIo::new(server),
                    Proof::None,
                    routes,
                    HeadRead::default(),
                ));
                client.write_all(request.as_bytes()).await.unwrap();
                answered.await.unwrap();
                started.elapsed()
            });
            // The timer's own resolution.
            assert_eq!(took.as_secs(), after.as_secs(), "{request:?}");
        }
    }

    #[test]
    fn slow_and_greedy_clients_are_let_go() {
        let state = state();
        assert_eq!(ask(&state, ""), None);
        assert_eq!(ask(&state, "GET /health HTTP/1.1\r\nHost:"), None);
        assert_eq!(
            ask(
                &state,
                &format!(
                    "GET /health HTTP/1.1\r\nHost: {}\r\n\r\n",
                    "a".repeat(BUFFER_BYTES_MAX)
                )
            )
            .unwrap()
            .0,
            431
        );
        assert_eq!(ask(&state, "nonsense\r\n\r\n").unwrap().0, 400);
    }
}
