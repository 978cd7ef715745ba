//! The raw protocol the way a careful user of tokio-tungstenite would write it: one thread, a task per connection, a bounded queue per
//! subscriber, payloads shared, one flush for everything that is ready. `shardcast-bench compare` starts it beside our own server.
#![forbid(unsafe_code)]

use bytes::Bytes;
use clap::Parser;
use futures_util::{FutureExt, SinkExt, StreamExt};
use slab::Slab;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Messages that may wait for one subscriber; a subscriber that is further behind is closed.
const INBOX_MESSAGES_MAX: usize = 4096;
/// Messages taken from the inbox before a flush.
const BATCH_MESSAGES_MAX: usize = 64;
/// Bytes per connection for receiving; the library's default of 128 KiB is its advice for few, busy connections.
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
        "tokio-tungstenite peer listens on {}, one thread",
        listener.local_addr()?
    );
    let topic = Topic::default();
    loop {
        // An accept fails for the connection at hand or for want of descriptors; either way the next one may succeed.
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
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    if let Ok(socket) = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await {
        let mut connection = Connection {
            socket,
            topic,
            flush,
            subscription: None,
        };
        // A peer that breaks the protocol or vanishes ends its own task only.
        let _ = connection.run().await;
        connection.topic.unsubscribe(connection.subscription.take());
    }
}

struct Connection {
    socket: WebSocketStream<TcpStream>,
    topic: Topic,
    flush: Flush,
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
                let topic = &self.topic;
                self.subscription.get_or_insert_with(|| topic.subscribe());
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

/// Waits for published payloads; 0 when the subscriber was dropped for being too slow.
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

struct Subscription {
    key: usize,
    inbox: mpsc::Receiver<Bytes>,
}

/// The one topic: the subscribers' queues. A slow subscriber's place stays, without its queue, until its task ends.
#[derive(Clone, Default)]
struct Topic(Rc<RefCell<Slab<Option<mpsc::Sender<Bytes>>>>>);

impl Topic {
    fn subscribe(&self) -> Subscription {
        let (sender, inbox) = mpsc::channel(INBOX_MESSAGES_MAX);
        let key = self.0.borrow_mut().insert(Some(sender));
        Subscription { key, inbox }
    }

    fn publish(&self, payload: &Bytes) {
        for (_, sender) in self.0.borrow_mut().iter_mut() {
            if sender
                .as_ref()
                .is_some_and(|sender| sender.try_send(payload.clone()).is_err())
            {
                *sender = None;
            }
        }
    }

    fn unsubscribe(&self, subscription: Option<Subscription>) {
        if let Some(subscription) = subscription {
            self.0.borrow_mut().remove(subscription.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_gets_what_is_published_and_a_full_one_is_dropped() {
        let topic = Topic::default();
        let mut fast = topic.subscribe();
        let mut slow = topic.subscribe();
        let payload = Bytes::from_static(b"x");
        for _ in 0..INBOX_MESSAGES_MAX {
            topic.publish(&payload);
            assert_eq!(fast.inbox.try_recv().as_deref(), Ok(&b"x"[..]));
        }
        topic.publish(&payload);
        assert_eq!(fast.inbox.try_recv().as_deref(), Ok(&b"x"[..]));
        let mut received = 0;
        while slow.inbox.try_recv().is_ok() {
            received += 1;
        }
        assert_eq!(received, INBOX_MESSAGES_MAX);
        assert_eq!(
            slow.inbox.try_recv(),
            Err(mpsc::error::TryRecvError::Disconnected)
        );
        topic.unsubscribe(Some(slow));
        topic.unsubscribe(Some(fast));
        topic.unsubscribe(None);
        assert!(topic.0.borrow().is_empty());
    }
}
