//! axum and Shardcast in one process: HTTP routes on one port that publish to, look into and close
//! WebSocket connections on another.
//!
//! `cargo run -p shardcast --example axum`, connect to `ws://127.0.0.1:8000/ws?user=ann`, join a
//! room, and
//!
//! ```sh
//! curl -d '{"text":"hello"}' -H 'content-type: application/json' \
//!     http://127.0.0.1:8080/publish/lobby
//! ```

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use serde::Serialize;
use serde_json::Value;
use shardcast::{App, CloseCode, Code, Config, ConnectionId, Failure, Handle, Identity, Listener};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

#[derive(Parser)]
struct Arguments {
    /// Where WebSocket clients connect; port 0 picks one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Where HTTP clients connect; port 0 picks one. They may do everything: keep it on this
    /// machine.
    #[arg(long, default_value = "127.0.0.1:8080")]
    http: SocketAddr,
}

/// How long clients have to take what waits for them when the process is told to end.
const DRAIN: Duration = Duration::from_secs(5);

/// The `Handle` is the state: cloning it is cheap, and its methods are asynchronous where a queue
/// may be full.
fn routes(handle: Handle) -> Router {
    Router::new()
        .route("/publish/{room}", post(publish))
        .route("/members/{room}", get(members))
        .route("/kick/{user}", post(kick))
        .with_state(handle)
}

async fn publish(
    State(handle): State<Handle>,
    Path(room): Path<String>,
    Json(data): Json<Value>,
) -> Result<StatusCode, Refused> {
    handle.to(&room).emit("published", &data).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Serialize)]
struct Members {
    /// All of them, whereas at most 1,000 are named.
    total: u32,
    members: Vec<Member>,
}

#[derive(Serialize)]
struct Member {
    connection: String,
    user: Option<String>,
}

async fn members(
    State(handle): State<Handle>,
    Path(room): Path<String>,
) -> Result<Json<Members>, Refused> {
    let listing = handle.members(&room).await?;
    let members = listing.members.into_iter().map(|member| Member {
        connection: ConnectionId::from(member.address).to_string(),
        user: member.user.map(|user| user.to_string()),
    });
    Ok(Json(Members {
        total: listing.total,
        members: members.collect(),
    }))
}

/// Closes all connections of a user, on whichever shard they are; says how many.
async fn kick(
    State(handle): State<Handle>,
    Path(user): Path<String>,
) -> Result<Json<usize>, Refused> {
    let closed = handle.disconnect_user(&user, CloseCode::POLICY, "kicked");
    Ok(Json(closed.await?))
}

/// What Shardcast refuses, as an HTTP response.
struct Refused(Failure);

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        Refused(failure)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self.0.problem() {
            Some(problem) => {
                let status = match problem.code {
                    Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::BAD_REQUEST,
                };
                (status, problem.message).into_response()
            }
            // Not for others to hear.
            None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    // A DEMONSTRATION, NOT AUTHENTICATION: whoever says `?user=ann` is ann. A real hook checks a
    // signed token here.
    let app = App::new().on_connect(|client| match client.parameter("user") {
        Some(user) => Ok(Identity::user(user)?),
        None => Ok(Identity::nobody()),
    });
    // The shards have threads of their own; background handlers would run on this runtime, like
    // axum.
    let server = app.start(Config {
        listeners: vec![Listener::plain(arguments.listen)],
        ..Config::default()
    })?;
    let http = TcpListener::bind(arguments.http).await?;
    let http_address = http.local_addr()?;

    let (stop, stopped) = oneshot::channel::<()>();
    let routes = routes(server.handle());
    let web = axum::serve(http, routes).with_graceful_shutdown(async {
        // Told, or `stop` is gone: the end in either case.
        let _ = stopped.await;
    });
    let web = tokio::spawn(async move { web.await });

    let address = server.addresses()[0].clone();
    let served = server.until_signal(DRAIN)?;
    println!("axum ready: ws://{address}/ws http://{http_address}");
    served.await;
    let _ = stop.send(());
    // Requests under way have as long again; a client that dawdles does not hold the process.
    match tokio::time::timeout(DRAIN, web).await {
        Ok(ended) => Ok(ended??),
        Err(_) => Ok(()),
    }
}
