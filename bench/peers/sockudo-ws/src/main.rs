//! The raw protocol the way a careful user of sockudo-ws would write it: one thread, a task per
//! connection, a bounded queue per subscriber, payloads shared, one flush for everything that is
//! ready. `shardcast-bench compare` starts it beside our own server.
#![forbid(unsafe_code)]

mod topic;

use bytes::Bytes;
use clap::Parser;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::{FutureExt, SinkExt, StreamExt};
use sockudo_ws::handshake::server_handshake;
use sockudo_ws::{Config, Error, Message, Role, WebSocketStream};
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::LocalSet;
use topic::{Subscription, Topic};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The largest message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Messages taken from the inbox before a flush.
const BATCH_MESSAGES_MAX: usize = 64;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

#[derive(Parser)]
#[command(about = "The raw protocol on sockudo-ws")]
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
    /// Each message leaves by itself, as with `send`: what most programs do.
    Each,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    if let Some(id) = arguments.pin
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        return Err(io::Error::other(format!("cannot run on CPU {id}")));
    }
    // Takes up to 200 ms, once.
    sockudo_ws::init_clock();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
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
        "sockudo-ws peer listens on {}, one thread",
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
        let (eviction, registration) = AbortHandle::new_pair();
        let serving = serve(stream, topic.clone(), flush, eviction);
        tokio::task::spawn_local(Abortable::new(serving, registration));
    }
}

async fn serve(mut stream: TcpStream, topic: Topic, flush: Flush, eviction: AbortHandle) {
    // Only fails on a socket that is already gone; the handshake then says so.
    let _ = stream.set_nodelay(true);
    // No deadlines and no pings, as with the other peers: no timer is ever armed.
    let config = Config::builder()
        .max_payload_length(MESSAGE_BYTES_MAX)
        .validate_text_utf8(false)
        .idle_timeout(0)
        .auto_ping(false)
        .write_coalescing(true)
        .build();
    if let Ok(handshake) = server_handshake(&mut stream).await {
        let leftover = handshake.leftover;
        let mut connection = Connection {
            socket: WebSocketStream::from_raw_with_leftover(stream, Role::Server, config, leftover),
            topic,
            flush,
            eviction,
            subscription: None,
        };
        // A peer that breaks the protocol or vanishes ends its own task only.
        let _ = connection.run().await;
    }
}

struct Connection {
    socket: WebSocketStream<TcpStream>,
    topic: Topic,
    flush: Flush,
    /// Ends this task, should it be too slow as a subscriber.
    eviction: AbortHandle,
    /// A connection that never subscribes pays for no queue.
    subscription: Option<Subscription>,
}

impl Connection {
    async fn run(&mut self) -> Result<(), Error> {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                message = self.socket.next() => {
                    let Some(message) = message else { return Ok(()) };
                    self.handle(message?).await?;
                    // Everything that is already here is answered with one write.
                    while let Some(Some(message)) = self.socket.next().now_or_never() {
                        self.handle(message?).await?;
                    }
                }
                count = receive(&mut self.subscription, &mut batch) => {
                    if count == 0 {
                        return Ok(());
                    }
                    for payload in batch.drain(..) {
                        self.put(Message::Binary(payload)).await?;
                    }
                }
            }
            self.socket.flush().await?;
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Binary(payload) if payload.first() == Some(&b'S') => {
                let (topic, eviction) = (&self.topic, &self.eviction);
                self.subscription
                    .get_or_insert_with(|| topic.subscribe(eviction.clone()));
                Ok(())
            }
            Message::Binary(payload) if payload.first() == Some(&b'P') => {
                self.topic.publish(&payload.slice(1..));
                Ok(())
            }
            Message::Binary(_) | Message::Text(_) => self.put(message).await,
            // Answered by the library.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(()),
        }
    }

    async fn put(&mut self, message: Message) -> Result<(), Error> {
        match self.flush {
            Flush::Batch => self.socket.feed(message).await,
            Flush::Each => self.socket.send(message).await,
        }
    }
}

/// Waits for published payloads; 0 when there will be none.
async fn receive(subscription: &mut Option<Subscription>, batch: &mut Vec<Bytes>) -> usize {
    match subscription {
        Some(subscription) => {
            subscription
                .inbox
                .recv_many(batch, BATCH_MESSAGES_MAX)
                .await
        }
        None => std::future::pending().await,
    }
}
