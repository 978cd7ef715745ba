//! The adapter for Redis and Valkey: one connection in RESP3, which publishes and listens.
//!
//! Invariant: a node uses a primary. The first server that says it is one is taken, among those
//! that are named, or that sentinels name; it is asked again every second, and left when it answers
//! something else, or nothing within [`ANSWER_WITHIN`]: so a failover is followed whoever makes it,
//! and a silent server is noticed
//! though nobody publishes. What comes in goes straight from the socket into the inbox, which has
//! an end; the crate's own queue, which has none, is not used.
//!
//! A message that is published while the connection breaks is delivered at most once. An ordered
//! entry is numbered, kept and published by one script, which the server runs as one step.

mod log;
mod servers;

use crate::broker::adapter::{
    Append, Appended, Broker, BrokerError, Link, LogPage, Outbound, ReadLog,
};
use crate::broker::envelope::Envelope;
use crate::broker::inbox::{InboxSender, Incoming};
use crate::broker::options::{BadCluster, Cluster};
use crate::broker::redis::log::RedisLog;
use crate::broker::redis::servers::{CONNECT_WITHIN, RedisServers};
use crate::broker::subject::Subject;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, PushInfo, PushKind, RedisError, RedisWrite,
    ToRedisArgs, ToSingleRedisArg, Value,
};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A connection that is to be made.
#[derive(Debug)]
pub(crate) struct RedisConnect {
    servers: RedisServers,
    prefix: Box<str>,
}

/// A way to Redis. It ends with this.
#[derive(Debug)]
pub struct RedisBroker {
    prefix: Box<str>,
    state: Arc<RedisState>,
    link: watch::Receiver<Link>,
    log: RedisLog,
}

/// What the task that connects and the calls share.
#[derive(Debug, Default)]
struct RedisState {
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Somebody has found the connection broken.
    broken: Notify,
}

/// How long a server may take to answer, or to take what it is sent.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// From one look at the server to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two attempts to connect: a random time up to this.
const RETRY_MS: std::ops::Range<u64> = 50..500;

impl RedisConnect {
    /// Checks the URLs, and reads the files for TLS.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(crate) fn new(cluster: &Cluster) -> Result<RedisConnect, BadCluster> {
        Ok(RedisConnect {
            servers: RedisServers::new(cluster)?,
            prefix: cluster.prefix.as_str().into(),
        })
    }

    /// Begins to connect; on a tokio runtime.
    pub(crate) fn start(self, inbox: InboxSender) -> RedisBroker {
        let (link, receiver) = watch::channel(Link::default());
        let state = Arc::new(RedisState::default());
        let connecting = Connecting {
            servers: self.servers,
            inbox,
            state: Arc::clone(&state),
            link,
        };
        tokio::spawn(connecting.run());
        RedisBroker {
            log: RedisLog::new(&self.prefix),
            prefix: self.prefix,
            state,
            link: receiver,
        }
    }
}

/// The task that connects, and looks after the connection.
struct Connecting {
    servers: RedisServers,
    inbox: InboxSender,
    state: Arc<RedisState>,
    link: watch::Sender<Link>,
}

impl Connecting {
    /// Runs until nobody looks at the link any more.
    async fn run(self) {
        let mut which = 0;
        loop {
            let server = self.servers.name(which);
            match self.connect(which).await {
                Ok((connection, at)) => {
                    tracing::info!(server = %at, "connected to the broker");
                    self.serve(connection).await;
                    tracing::warn!(server = %at, "the connection to the broker is lost");
                }
                Err(why) => {
                    tracing::debug!(%server, %why, "no connection to the broker");
                    which += 1;
                }
            }
            if self.link.is_closed() {
                return;
            }
            let retry = Duration::from_millis(fastrand::u64(RETRY_MS));
            tokio::time::sleep(retry).await;
        }
    }

    /// By way of one of the servers that are named; and where to.
    async fn connect(&self, which: usize) -> Result<(MultiplexedConnection, String), String> {
        let client = self.servers.primary(which).await?;
        let (inbox, state) = (self.inbox.clone(), Arc::clone(&self.state));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN))
            .set_push_sender(move |push: PushInfo| take(&inbox, &state, push));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(|error| error.to_string())?;
        match is_primary(&mut connection).await {
            Ok(true) => Ok((connection, address(&client))),
            Ok(false) => Err("it is no primary".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Until the connection is lost.
    async fn serve(&self, mut connection: MultiplexedConnection) {
        self.set(Some(connection.clone()));
        self.link.send_modify(|link| link.connected = true);
        loop {
            tokio::select! {
                () = self.state.broken.notified() => break,
                () = self.link.closed() => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            // A server that became a replica hears publishes that no other node hears.
            match is_primary(&mut connection).await {
                Ok(true) => {}
                Ok(false) | Err(_) => break,
            }
        }
        self.set(None);
        self.link.send_modify(|link| {
            link.losses += 1;
            link.connected = false;
        });
    }

    fn set(&self, connection: Option<MultiplexedConnection>) {
        let mut place = self.state.lock();
        *place = connection;
    }
}

fn address(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

/// Asks a server what it is; every server of either kind answers.
async fn is_primary(connection: &mut MultiplexedConnection) -> Result<bool, RedisError> {
    let role: Value = redis::cmd("ROLE").query_async(connection).await?;
    let Value::Array(role) = role else {
        return Ok(false);
    };
    Ok(match role.first() {
        Some(Value::BulkString(name)) => name == b"master",
        Some(Value::SimpleString(name)) => name == "master",
        _ => false,
    })
}

/// What the server sends unasked. Called on the connection's task; never waits.
fn take(inbox: &InboxSender, state: &RedisState, push: PushInfo) -> Result<(), RedisGone> {
    match push.kind {
        PushKind::Message => {
            if let Some(Value::BulkString(payload)) = push.data.into_iter().nth(1) {
                let payload = payload.into();
                let place = None;
                if !inbox.offer(Incoming { payload, place }) {
                    return Err(RedisGone);
                }
            }
        }
        PushKind::Disconnection => state.broken.notify_one(),
        _ => {}
    }
    Ok(())
}

/// Nobody reads what comes.
#[derive(Debug)]
struct RedisGone;

impl RedisState {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self) -> Result<MultiplexedConnection, BrokerError> {
        self.lock().clone().ok_or(BrokerError::Lost)
    }

    /// What the bridge is told of an error; one of the connection ends it.
    fn told(&self, error: &RedisError) -> BrokerError {
        if error.is_timeout()
            || error.is_io_error()
            || error.is_connection_dropped()
            || error.is_unrecoverable_error()
        {
            self.broken.notify_one();
            return BrokerError::Lost;
        }
        BrokerError::Refused(error.to_string().into())
    }
}

impl RedisBroker {
    /// Begins to connect, on the runtime that this is called on. What comes in goes to the inbox.
    ///
    /// # Errors
    /// For the operator: what of the configuration cannot be used.
    pub fn start(cluster: &Cluster, inbox: InboxSender) -> Result<RedisBroker, String> {
        let connect = RedisConnect::new(cluster).map_err(|error| error.to_string())?;
        Ok(connect.start(inbox))
    }

    fn channel(&self, subject: &Subject) -> String {
        let prefix = &self.prefix;
        RedisChannel { prefix, subject }.to_string()
    }

    fn channels(&self, subjects: &[Subject]) -> Vec<String> {
        let channels = subjects.iter().map(|subject| self.channel(subject));
        channels.collect()
    }
}

/// Bytes that a command has besides its payload, as a rule.
const CHANNEL_BYTES: usize = 64;

/// The channel of a subject.
struct RedisChannel<'c> {
    prefix: &'c str,
    subject: &'c Subject,
}

impl fmt::Display for RedisChannel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.prefix)?;
        let (kind, name) = match self.subject {
            Subject::Room(name) => (":r:", &**name),
            Subject::User(name) => (":u:", &**name),
            Subject::Everyone => (":all", ""),
            Subject::Nodes => (":nodes", ""),
            Subject::Node(run) => return write!(f, ":node:{run:x}"),
            Subject::Partition(number) => return write!(f, ":part:{number}"),
        };
        f.write_str(kind)?;
        f.write_str(name)
    }
}

/// Written into a command without a text of its own.
impl ToRedisArgs for RedisChannel<'_> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        out.write_arg_fmt(self);
    }
}

impl ToSingleRedisArg for RedisChannel<'_> {}

impl Broker for RedisBroker {
    async fn subscribe(&self, subjects: &[Subject]) -> Result<(), BrokerError> {
        let mut connection = self.state.connection()?;
        let done = connection.subscribe(self.channels(subjects)).await;
        done.map_err(|error| self.state.told(&error))
    }

    async fn unsubscribe(&self, subjects: &[Subject]) -> Result<(), BrokerError> {
        let mut connection = self.state.connection()?;
        let done = connection.unsubscribe(self.channels(subjects)).await;
        done.map_err(|error| self.state.told(&error))
    }

    async fn publish(&self, batch: &[Outbound]) -> Result<(), BrokerError> {
        let mut connection = self.state.connection()?;
        let mut pipeline = Pipeline::with_capacity(batch.len());
        for Outbound { subject, payload } in batch {
            let channel = RedisChannel {
                prefix: &self.prefix,
                subject,
            };
            let mut command = Cmd::with_capacity(3, payload.len() + CHANNEL_BYTES);
            command.arg("PUBLISH").arg(channel).arg(&payload[..]);
            pipeline.add_command(command);
        }
        // How many have heard each is of no use.
        let done: Result<(), RedisError> = pipeline.query_async(&mut connection).await;
        done.map_err(|error| self.state.told(&error))
    }

    async fn append(&self, append: Append) -> Result<Appended, BrokerError> {
        let mut all = self.append_all(std::slice::from_ref(&append)).await;
        all.pop().unwrap_or(Err(BrokerError::Lost))
    }

    async fn append_all(&self, batch: &[Append]) -> Vec<Result<Appended, BrokerError>> {
        let nothing = |error: &BrokerError| vec![Err(error.clone()); batch.len()];
        let mut connection = match self.state.connection() {
            Ok(connection) => connection,
            Err(error) => return nothing(&error),
        };
        let channel = |room: &Arc<str>| self.channel(&Subject::Room(room.clone()));
        let pipeline = match self.log.append_all(batch, channel) {
            Ok(pipeline) => pipeline,
            Err(error) => return nothing(&error),
        };
        match pipeline.query_async(&mut connection).await {
            Ok(answers) => RedisLog::appended(batch.len(), answers),
            Err(error) => nothing(&self.state.told(&error)),
        }
    }

    async fn open(&self, read: ReadLog, over: Option<u64>) -> Result<LogPage, BrokerError> {
        let mut connection = self.state.connection()?;
        let page = self.log.open(&mut connection, &read, over).await;
        page.map_err(|error| self.state.told(&error))
    }

    async fn read(&self, read: ReadLog) -> Result<LogPage, BrokerError> {
        let mut connection = self.state.connection()?;
        let page = self.log.read(&mut connection, &read).await;
        page.map_err(|error| self.state.told(&error))
    }

    fn payload_bytes_max(&self) -> usize {
        // The server's own bound (proto-max-bulk-len) is 512 MiB unless it is lowered.
        Envelope::BYTES_MAX
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }
}
