//! The admin port: health, readiness and metrics over HTTP, for operators and probes.
//!
//! Bounded against slow and greedy clients: one request a connection, so many connections at once, each with a deadline
//! and a small buffer. The control plane calls it.

use crate::board::Board;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Accepts and answers for ever.
pub(crate) async fn accept(listener: TcpListener, board: Arc<Board>) {
    let routes = routes(board);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Without a free place nothing is accepted: further clients wait in the kernel's backlog.
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((socket, _)) => {
                let answered = answer(TokioIo::new(socket), routes.clone());
                tokio::spawn(async move {
                    answered.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers one request. What goes wrong on the way is the client's affair.
async fn answer(socket: impl Read + Write + Unpin, routes: Router) {
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(BUFFER_BYTES_MAX);
    let _client_gone = tokio::time::timeout(
        CONNECTION_TIMEOUT,
        http.serve_connection(socket, TowerToHyperService::new(routes)),
    )
    .await;
}

fn routes(board: Arc<Board>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(board)
}

/// The process lives and its control plane turns.
async fn health() -> Response {
    json(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// Whether a load balancer should send new clients here.
async fn ready(State(board): State<Arc<Board>>) -> Response {
    if board.is_ready() {
        json(StatusCode::OK, r#"{"status":"ready"}"#)
    } else {
        json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"draining"}"#)
    }
}

async fn metrics(State(board): State<Arc<Board>>) -> Response {
    (
        [(CONTENT_TYPE, Metrics::CONTENT_TYPE)],
        board.metrics().text(),
    )
        .into_response()
}

async fn not_found() -> Response {
    json(StatusCode::NOT_FOUND, r#"{"error":"not_found"}"#)
}

async fn not_allowed() -> Response {
    json(
        StatusCode::METHOD_NOT_ALLOWED,
        r#"{"error":"method_not_allowed"}"#,
    )
}

fn json(status: StatusCode, body: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Connections that are answered at once; probes and scrapers need a handful.
const CONNECTIONS_MAX: usize = 64;
/// From accept to the last byte of the answer, however slow the client.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest request head in bytes; a longer one is answered 431.
const BUFFER_BYTES_MAX: usize = 16 << 10;
/// Pause after a failed accept: it fails because something ran out, such as open files, and to try at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use shardcast_engine::ShardCounters;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// The status line's code, the content type and the body that `request` is answered with; `None` for a connection that ends without an answer.
    /// Time stands still but for waits: when nothing else can happen, it jumps to the next deadline.
    fn ask(board: &Arc<Board>, request: &str) -> Option<(u16, String, String)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let answer = runtime.block_on(async {
            let (mut client, server) = duplex(1 << 20);
            let answered = tokio::spawn(answer(TokioIo::new(server), routes(Arc::clone(board))));
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
        format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
    }

    fn board() -> Arc<Board> {
        Arc::new(Board::new(vec![Arc::new(ShardCounters::default())]))
    }

    #[test]
    fn answers() {
        let board = board();
        for (request, status, body) in [
            (get("/health"), 200, r#"{"status":"ok"}"#),
            (get("/ready"), 200, r#"{"status":"ready"}"#),
            (get("/"), 404, r#"{"error":"not_found"}"#),
            (get("/metrics/"), 404, r#"{"error":"not_found"}"#),
            (
                "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
                405,
                r#"{"error":"method_not_allowed"}"#,
            ),
        ] {
            assert_eq!(
                ask(&board, &request),
                Some((status, "application/json".to_owned(), body.to_owned())),
                "{request}"
            );
        }
        let (status, media, body) = ask(&board, &get("/metrics")).unwrap();
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
    fn a_draining_server_lives_but_is_not_ready() {
        let board = board();
        board.drain();
        assert_eq!(
            ask(&board, &get("/ready")),
            Some((
                503,
                "application/json".to_owned(),
                r#"{"status":"draining"}"#.to_owned()
            ))
        );
        assert_eq!(ask(&board, &get("/health")).unwrap().0, 200);
    }

    #[test]
    fn one_request_a_connection() {
        let twice = format!("{}{}", get("/health"), get("/ready"));
        assert_eq!(ask(&board(), &twice).unwrap().2, r#"{"status":"ok"}"#);
    }

    #[test]
    fn slow_and_greedy_clients_are_let_go() {
        let board = board();
        assert_eq!(ask(&board, ""), None);
        assert_eq!(ask(&board, "GET /health HTTP/1.1\r\nHost:"), None);
        assert_eq!(
            ask(
                &board,
                &format!(
                    "GET /health HTTP/1.1\r\nHost: {}\r\n\r\n",
                    "a".repeat(BUFFER_BYTES_MAX)
                )
            )
            .unwrap()
            .0,
            431
        );
        assert_eq!(ask(&board, "nonsense\r\n\r\n").unwrap().0, 400);
    }
}
