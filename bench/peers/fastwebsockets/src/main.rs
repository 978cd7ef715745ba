//! The raw protocol the way a careful user of fastwebsockets would write it: one thread, a task per
//! connection, the plain socket once hyper has done the upgrade, a writing task and a bounded queue
//! per subscriber. `shardcast-bench compare` starts it beside our own server.
#![forbid(unsafe_code)]

mod connection;
mod topic;

use clap::Parser;
use connection::Connection;
use fastwebsockets::WebSocketError;
use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request, upgrade};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, upgrade::Parts};
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::LocalSet;
use topic::Topic;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// A request's head; hyper wants at least 8 KiB.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

#[derive(Parser)]
#[command(about = "The raw protocol on fastwebsockets")]
struct Arguments {
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The core that the thread runs on; unpinned without it.
    #[arg(long, value_name = "CPU")]
    pin: Option<usize>,
    /// When a subscriber's messages are written.
    #[arg(long, value_enum, default_value = "batch")]
    flush: Flush,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Flush {
    /// Everything that is ready leaves in one write.
    Batch,
    /// Each message leaves by itself: what most programs do.
    Each,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    if let Some(id) = arguments.pin
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        return Err(io::Error::other(format!("cannot run on CPU {id}")));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    LocalSet::new().block_on(&runtime, accept(arguments.listen, arguments.flush))
}

async fn accept(address: SocketAddr, flush: Flush) -> io::Result<()> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    println!(
        "fastwebsockets peer listens on {}, one thread",
        listener.local_addr()?
    );
    let topic = Topic::default();
    loop {
        // An accept fails for the connection at hand or for want of descriptors; either way the
        // next one may succeed.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::task::spawn_local(serve(stream, topic.clone(), flush));
    }
}

async fn serve(stream: TcpStream, topic: Topic, flush: Flush) {
    // Only fails on a socket that is already gone; the handshake then says so.
    let _ = stream.set_nodelay(true);
    if let Some(stream) = shake_hands(stream).await {
        // A peer that breaks the protocol or vanishes ends its own task only.
        let _ = Connection::new(stream, topic, flush).run().await;
    }
}

/// The socket itself, out of the boxes that hyper puts around it.
async fn shake_hands(stream: TcpStream) -> Option<TcpStream> {
    let upgraded: Cell<Option<UpgradeFut>> = Cell::new(None);
    let answer = service_fn(|mut request: Request<Incoming>| {
        let answer = match is_upgrade_request(&request) {
            true => upgrade(&mut request),
            false => Err(WebSocketError::InvalidUpgradeHeader),
        };
        std::future::ready(answer.map(|(response, upgrading)| {
            upgraded.set(Some(upgrading));
            response
        }))
    });
    http1::Builder::new()
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades()
        .await
        .ok()?;
    let upgraded = upgraded.take()?.await.ok()?.into_inner().into_inner();
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    // A client may not speak before it has the answer (RFC 6455 §4.1), and none that is measured
    // does.
    read_buf.is_empty().then(|| io.into_inner())
}
