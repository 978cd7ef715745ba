//! The backend on a stream: one connection, made again whenever it ends, with many events under way
//! that are told apart by their ids.
//!
//! Invariant: each event that waits has one place, and gets its answer or hears that the connection
//! is gone; an answer that nobody waits for is counted and forgotten. No frame is allocated before
//! its length was checked, and no more of the backend's commands are taken at a time than
//! [`COMMANDS_MAX`].

use crate::gateway::counts::GatewayCounts;
use crate::gateway::frames::{self, BadFrame, FRAME_BYTES_MAX};
use crate::gateway::live::LiveGateway;
use crate::gateway::not_answered::NotAnswered;
use crate::gateway::options::BackendPlace;
use crate::gateway::orders::Orders;
use crate::gateway::secret::GatewaySecret;
use crate::gateway::wire::{
    Answer, BackendCommand, ForBackend, ForServer, GatewayEvent, Hello, ToBackend,
};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

/// See above.
#[derive(Debug)]
pub(crate) struct Socket {
    shared: Arc<Mutex<BackendLink>>,
    /// Whether the first attempt to connect is over.
    tried: watch::Receiver<bool>,
}

/// The connection of the moment, and who waits for answers on it.
#[derive(Debug, Default)]
struct BackendLink {
    /// `None`: there is no connection.
    sender: Option<mpsc::Sender<Vec<u8>>>,
    /// The backend has said something on the last connection.
    has_spoken: bool,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
}

/// What a connection's task needs.
#[derive(Debug)]
pub(crate) struct SocketTask {
    pub(crate) place: BackendPlace,
    /// A connection is signed by the secret that is in force when it begins.
    pub(crate) live: LiveGateway,
    pub(crate) instance: String,
    pub(crate) server: String,
    /// For a connect, and for what is written to make progress.
    pub(crate) patience: Duration,
    pub(crate) counts: GatewayCounts,
    pub(crate) orders: Arc<Orders>,
}

/// Commands of the backend that are under way at a time; the next one is not read before one is
/// done.
pub(crate) const COMMANDS_MAX: usize = 64;
/// Frames that wait to be written; whoever has one more waits.
const FRAMES_WAITING_MAX: usize = 1_024;
/// Between two attempts to connect, at first and at most.
const AGAIN_MIN: Duration = Duration::from_millis(10);
const AGAIN_MAX: Duration = Duration::from_secs(1);

/// The pause before the next attempt: longer each time, until a connection was of some use. One
/// that is accepted and ends at once is of none: so does a balancer that has nobody behind it.
fn next_pause(pause: Duration, last: LastConnection) -> Duration {
    match last {
        LastConnection::OfUse => AGAIN_MIN,
        LastConnection::InVain => (pause * 2).min(AGAIN_MAX),
    }
}

/// What an attempt has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastConnection {
    /// The backend has said something, or the connection stood for [`AGAIN_MAX`].
    OfUse,
    InVain,
}

impl Socket {
    /// Connects, and connects again, until the socket is dropped.
    pub(crate) fn start(task: SocketTask, runtime: &tokio::runtime::Handle) -> Socket {
        let shared = Arc::new(Mutex::new(BackendLink::default()));
        let (told, tried) = watch::channel(false);
        let link = Arc::downgrade(&shared);
        runtime.spawn(async move {
            let mut pause = AGAIN_MIN / 2;
            loop {
                let connected = timeout(task.patience, task.connect()).await;
                let stream = match connected {
                    Ok(Ok(stream)) => Ok(stream),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("connecting took too long".to_owned()),
                };
                let Some(link) = link.upgrade() else { return };
                let last = match stream {
                    Ok(stream) => task.serve(stream, link, &told).await,
                    Err(error) => {
                        drop(link);
                        tracing::debug!(%error, "the gateway's backend cannot be reached");
                        told.send_replace(true);
                        LastConnection::InVain
                    }
                };
                pause = next_pause(pause, last);
                // Not all servers come back to a backend at the same moment.
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            }
        });
        Socket { shared, tried }
    }

    /// Sends an event, and waits for its answer as long as there is a connection.
    pub(crate) async fn ask(&self, event: GatewayEvent) -> Result<Answer, NotAnswered> {
        let mut tried = self.tried.clone();
        // The task lives as long as the runtime, and tells before it connects a second time.
        drop(tried.wait_for(|tried| *tried).await);
        let id = event.id;
        let frame = frames::encode(&ToBackend {
            what: Some(ForBackend::Event(Box::new(event))),
        });
        let frame = frame.map_err(|error| NotAnswered::Unreadable(error.to_string()))?;
        let (sender, answer) = oneshot::channel();
        let writer = {
            let mut link = lock(&self.shared);
            let Some(writer) = link.sender.clone() else {
                return Err(NotAnswered::NotSent("there is no connection".to_owned()));
            };
            link.waiting.insert(id, sender);
            writer
        };
        let _place = WaitingPlace {
            shared: &self.shared,
            id,
        };
        if writer.send(frame).await.is_err() {
            return Err(NotAnswered::NotSent("the connection has ended".to_owned()));
        }
        let lost = || NotAnswered::Lost("the connection has ended".to_owned());
        answer.await.map_err(|_| lost())
    }
}

/// Gives a place up that was not answered.
struct WaitingPlace<'s> {
    shared: &'s Mutex<BackendLink>,
    id: u64,
}

impl Drop for WaitingPlace<'_> {
    fn drop(&mut self) {
        lock(self.shared).waiting.remove(&self.id);
    }
}

/// Nothing that is done under the lock leaves the link half-changed.
fn lock(link: &Mutex<BackendLink>) -> MutexGuard<'_, BackendLink> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream in either direction.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl SocketTask {
    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.place {
            BackendPlace::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            BackendPlace::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            BackendPlace::Url => Err(io::Error::other("webhooks have no socket")),
        }
    }

    /// Serves a connection until it ends, and tells everybody who waits on it.
    async fn serve(
        &self,
        stream: Box<dyn Stream>,
        shared: Arc<Mutex<BackendLink>>,
        told: &watch::Sender<bool>,
    ) -> LastConnection {
        let begun = Instant::now();
        let (sender, frames) = mpsc::channel(FRAMES_WAITING_MAX);
        let hello = frames::encode(&ToBackend {
            what: Some(ForBackend::Hello(self.hello())),
        });
        if let Ok(hello) = hello {
            // The queue is empty.
            let _ = sender.try_send(hello);
        }
        {
            let mut link = lock(&shared);
            (link.sender, link.has_spoken) = (Some(sender.clone()), false);
        }
        self.counts.connects.inc();
        self.counts.connected.set(1);
        told.send_replace(true);
        tracing::info!("connected to the gateway's backend");
        let weak = Arc::downgrade(&shared);
        drop(shared);
        let (reader, writer) = tokio::io::split(stream);
        let ended = tokio::select! {
            ended = write(writer, frames, self.patience) => ended,
            ended = self.read(reader, &weak, &sender) => ended,
        };
        let mut is_of_use = begun.elapsed() >= AGAIN_MAX;
        if let Some(shared) = weak.upgrade() {
            let mut link = lock(&shared);
            link.sender = None;
            // Whoever waits hears that nobody answers.
            link.waiting.clear();
            is_of_use |= link.has_spoken;
        }
        self.counts.connected.set(0);
        if let Err(error) = ended {
            tracing::warn!(%error, "the connection to the gateway's backend has ended");
        }
        match is_of_use {
            true => LastConnection::OfUse,
            false => LastConnection::InVain,
        }
    }

    fn hello(&self) -> Hello {
        let time_s = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let sign = |secret: &GatewaySecret| secret.sign(time_s, self.instance.as_bytes());
        let rules = self.live.get();
        let secret = rules.secret.as_ref();
        Hello {
            server: self.server.clone(),
            version: 1,
            instance: self.instance.clone(),
            frame_bytes_max: FRAME_BYTES_MAX as u32,
            time_s,
            signature: secret.map(sign).unwrap_or_default(),
        }
    }

    /// Takes what the backend sends, until it ends or makes no sense.
    async fn read(
        &self,
        reader: impl AsyncRead + Unpin,
        shared: &std::sync::Weak<Mutex<BackendLink>>,
        sender: &mpsc::Sender<Vec<u8>>,
    ) -> Result<(), BadFrame> {
        let mut reader = BufReader::with_capacity(64 << 10, reader);
        let commands = Arc::new(Semaphore::new(COMMANDS_MAX));
        while let Some(frame) = frames::read(&mut reader, 2 * self.patience).await? {
            let Some(shared) = shared.upgrade() else {
                return Ok(());
            };
            match frame.what {
                Some(ForServer::Answer(answer)) => {
                    let waiting = {
                        let mut link = lock(&shared);
                        link.has_spoken = true;
                        link.waiting.remove(&answer.id)
                    };
                    let is_awaited = match waiting {
                        Some(waiting) => waiting.send(answer).is_ok(),
                        None => false,
                    };
                    if !is_awaited {
                        self.counts.unmatched.inc();
                    }
                }
                Some(ForServer::Command(command)) => {
                    lock(&shared).has_spoken = true;
                    drop(shared);
                    let place = Arc::clone(&commands).acquire_owned().await;
                    self.obey(command, place.ok(), sender.clone());
                }
                None => return Err(BadFrame::Empty),
            }
        }
        Ok(())
    }

    /// Does what the backend wants, beside what else it says.
    fn obey(
        &self,
        command: BackendCommand,
        place: Option<tokio::sync::OwnedSemaphorePermit>,
        sender: mpsc::Sender<Vec<u8>>,
    ) {
        let orders = Arc::clone(&self.orders);
        tokio::spawn(async move {
            let done = orders.obey(command).await;
            let done = frames::encode(&ToBackend {
                what: Some(ForBackend::Done(done)),
            });
            if let Ok(done) = done {
                // The connection may have ended: then nobody wants to know.
                let _ = sender.send(done).await;
            }
            drop(place);
        });
    }
}

/// Writes what waits, as much at a time as there is.
async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut frames: mpsc::Receiver<Vec<u8>>,
    patience: Duration,
) -> Result<(), BadFrame> {
    const FRAMES_AT_ONCE: usize = 64;
    let mut some = Vec::with_capacity(FRAMES_AT_ONCE);
    loop {
        some.clear();
        if frames.recv_many(&mut some, FRAMES_AT_ONCE).await == 0 {
            return Ok(());
        }
        let bytes = some.concat();
        match timeout(patience, writer.write_all(&bytes)).await {
            Ok(written) => written?,
            Err(_) => return Err(BadFrame::NotTaken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LastConnection::{InVain, OfUse};

    #[test]
    fn pauses_grow_until_a_connection_is_of_use() {
        let mut pause = AGAIN_MIN / 2;
        let mut after = |last| {
            pause = next_pause(pause, last);
            pause.as_millis()
        };
        let pauses = [InVain; 9].map(&mut after);
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        assert_eq!([OfUse, OfUse, InVain].map(after), [10, 10, 20]);
    }
}
