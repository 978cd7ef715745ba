//! The link between a node and its broker, whose weather the test makes while it runs.
//!
//! Invariant: bytes of one direction keep their order, and at most [`PIECES_MAX`] pieces of them
//! are under way; everything ends with the [`Link`]. Unlike `shardcast_tests::proxy`, whose faults
//! stand in a script, it follows what the test says. Used by clusters.

use socket2::SockRef;
use std::net::{IpAddr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Pieces of one direction under way.
const PIECES_MAX: usize = 64;
/// Most bytes of a piece.
const PIECE_BYTES_MAX: usize = 16 << 10;

/// What becomes of bytes and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// They pass.
    Fair,
    /// They pass so much later.
    Slow(Duration),
    /// Nothing passes, nobody is told, nothing is lost: a partition that TCP outlives.
    Silent,
    /// Connections are reset, and new ones, too.
    Cut,
    /// The test is over.
    Ended,
}

/// A proxy in front of one broker. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// Listens at a free port of this address.
    pub(crate) fn before(broker: SocketAddr, at: IpAddr) -> Link {
        let listener = std::net::TcpListener::bind((at, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("it listens");
        let (weather, watched) = watch::channel(Weather::Fair);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let mut ends = watched.clone();
                tokio::select! {
                    () = accept(&listener, broker, &watched) => {}
                    _ended = ends.wait_for(|weather| *weather == Weather::Ended) => {}
                }
            });
        });
        Link {
            address,
            weather,
            thread: Some(thread),
        }
    }

    /// Where the node connects.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.set(Weather::Ended);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

async fn accept(listener: &TcpListener, broker: SocketAddr, weather: &watch::Receiver<Weather>) {
    loop {
        let Ok((node, _)) = listener.accept().await else {
            return;
        };
        tokio::spawn(connection(node, broker, weather.clone()));
    }
}

/// One connection, until either end closes it or it is cut.
async fn connection(
    mut node: TcpStream,
    broker: SocketAddr,
    mut weather: watch::Receiver<Weather>,
) {
    let reset = |socket: &TcpStream| {
        _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    };
    _ = node.set_nodelay(true);
    reset(&node);
    let passable = weather
        .wait_for(|weather| *weather != Weather::Silent)
        .await;
    if passable.map_or(true, |weather| *weather == Weather::Cut) {
        return;
    }
    let Ok(mut broker) = TcpStream::connect(broker).await else {
        return;
    };
    _ = broker.set_nodelay(true);
    reset(&broker);
    let (up, down) = (weather.clone(), weather.clone());
    let ((from_node, to_node), (from_broker, to_broker)) = (node.split(), broker.split());
    tokio::select! {
        () = pass(from_node, to_broker, up) => {}
        () = pass(from_broker, to_node, down) => {}
        _cut = weather.wait_for(|weather| matches!(weather, Weather::Cut | Weather::Ended)) => {}
    }
}

/// One direction.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut weather: watch::Receiver<Weather>,
) {
    let (pieces, mut flying) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let current = weather.clone();
    let read = async move {
        loop {
            let mut piece = vec![0; PIECE_BYTES_MAX];
            let Ok(count @ 1..) = from.read(&mut piece).await else {
                return;
            };
            piece.truncate(count);
            let later = match *current.borrow() {
                Weather::Slow(later) => later,
                Weather::Fair | Weather::Silent | Weather::Cut | Weather::Ended => Duration::ZERO,
            };
            if pieces.send((Instant::now() + later, piece)).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = flying.recv().await {
            sleep_until(due).await;
            let passable = weather
                .wait_for(|weather| *weather != Weather::Silent)
                .await;
            if passable.map(drop).is_err() || to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}
