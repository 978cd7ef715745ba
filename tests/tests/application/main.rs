//! The application layer over real sockets, in every dialect: what the server answers itself, what
//! applications register, users, namespaces, and the ways in from other threads. One file a
//! subject; [`speaker`] is the client of all.

#![forbid(unsafe_code)]

mod acks;
mod admission;
mod builtins;
mod centrifuge;
mod centrifuge_streams;
mod context;
mod delivery_page;
mod ends;
mod entrances;
mod failures;
mod handlers;
mod history;
mod input;
mod json_rpc;
mod meaning;
mod measured;
mod mixed;
mod namespaces;
mod offline;
mod outside;
mod presence;
mod presence_by_code;
mod recovery;
mod replacement;
mod runtimes;
mod same_user;
mod sessions;
mod shards;
mod speaker;
mod stored;
mod stuck;
mod users;

use shardcast::{App, Connect, Handle, Identity};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_engine::{Config, Refusal};
use shardcast_tests::{PATIENCE, Server, config};
use std::sync::LazyLock;
use std::sync::mpsc::Receiver;

/// Alone, and one shard to one.
const SHARDS: [usize; 2] = [1, 2];

/// Runs on a server of its own for every dialect and number of shards. Afterwards everybody leaves,
/// and nothing may be left.
#[track_caller]
fn each(app: impl Fn() -> App, run: impl Fn(&Server, &Handle, Dialect)) {
    each_with(app, |_| {}, run);
}

/// The same with another configuration.
#[track_caller]
fn each_with(
    app: impl Fn() -> App,
    change: impl Fn(&mut Config),
    run: impl Fn(&Server, &Handle, Dialect),
) {
    for shards in SHARDS {
        for dialect in Dialect::OWN {
            let mut config = config(shards);
            change(&mut config);
            let (server, handle) = Server::of(app(), config);
            run(&server, &handle, dialect);
            server.wait_until_empty();
        }
    }
}

/// An application in which clients say who they are: `?user=ann&roles=a,b`.
fn guests() -> App {
    App::new().on_connect(identity_of)
}

fn identity_of(connect: &Connect<'_>) -> Result<Identity, Refusal> {
    let Some(user) = connect.parameter("user") else {
        return Ok(Identity::nobody());
    };
    let roles = connect.parameter("roles").unwrap_or_default();
    let roles = roles.split(',').filter(|role| !role.is_empty());
    Ok(Identity::user(user)?.in_roles(roles))
}

/// Waits for a future, as a thread of the host application would.
fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread")
    });
    let bounded = async { tokio::time::timeout(PATIENCE, future).await };
    RUNTIME.block_on(bounded).expect("it ends")
}

/// Waits until so many connections are this user. Who was welcomed is one when the user's home has
/// heard of it, some microseconds later.
#[track_caller]
fn settle(server: &Server, handle: &Handle, user: &str, connections: usize) {
    server.wait_until("the user's connections", |_| {
        let listing = wait(handle.connections(user)).expect("it runs");
        listing.total as usize == connections
    });
}

/// The next thing that a hook or a handler has told.
#[track_caller]
fn told<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).expect("it is told")
}
