//! The raw protocol the way a careful user of tokio-tungstenite would write it: one thread, a task
//! per connection, a bounded queue per subscriber, payloads shared, one flush for everything that
//! is ready. `shardcast-bench compare` starts it beside our own server.
#![forbid(unsafe_code)]

mod tls;
mod topic;

use bytes::Bytes;
use clap::Parser;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::{FutureExt, SinkExt, StreamExt};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use topic::{Subscription, Topic};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The largest message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Messages taken from the inbox before a flush.
const BATCH_MESSAGES_MAX: usize = 64;
/// Bytes per connection for receiving; the library's default of 128 KiB is its advice for few, busy
/// connections.
const READ_BUFFER_BYTES: usize = 4096;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

#[derive(Parser)]
#[command(about = "The raw protocol on tokio-tungstenite")]
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
    /// Clients come by TLS; PEM files with the certificate chain and with its key.
    #[arg(long, num_args = 2, value_names = ["CERTIFICATE", "KEY"])]
    tls: Vec<PathBuf>,
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let tls = match &arguments.tls[..] {
        [certificate, key] => Some(tls::acceptor(certificate, key)?),
        _ => None,
    };
    LocalSet::new().block_on(&runtime, accept(arguments.listen, arguments.flush, tls))
}

async fn accept(address: SocketAddr, flush: Flush, tls: Option<TlsAcceptor>) -> io::Result<()> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    println!(
        "tokio-tungstenite peer listens on {}, one thread",
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
        let serving = admit(stream, tls.clone(), topic.clone(), flush, eviction);
        tokio::task::spawn_local(Abortable::new(serving, registration));
    }
}

async fn admit(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    topic: Topic,
    flush: Flush,
    eviction: AbortHandle,
) {
    // Only fails on a socket that is already gone; the handshake then says so.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, topic, flush, eviction).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, topic, flush, eviction).await;
            }
        }
    }
}

async fn serve<S>(stream: S, topic: Topic, flush: Flush, eviction: AbortHandle)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    if let Ok(socket) = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await {
        let mut connection = Connection {
            socket,
            topic,
            flush,
            eviction,
            subscription: None,
        };
        // A peer that breaks the protocol or vanishes ends its own task only.
        let _ = connection.run().await;
    }
}

struct Connection<S> {
    socket: WebSocketStream<S>,
    topic: Topic,
    flush: Flush,
    /// Ends this task, should it be too slow as a subscriber.
    eviction: AbortHandle,
    /// A connection that never subscribes pays for no queue.
    subscription: Option<Subscription>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
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
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => Ok(()),
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
