//! The life of a client's connection to NATS: it is made, read, written and watched until it
//! breaks, and made again, without end.
//!
//! Invariant: what comes in is read on whatever happens, and a server that says nothing is left
//! within 5 s. Run by the client, as one task.

use crate::broker::nats::dial::NatsDialled;
use crate::broker::nats::state::{ANSWERS_SID, NatsShared, PONGS_MAX, PULLS_SID};
use crate::broker::nats::wire::{NatsMessage, NatsOp, put_line, read_op};
use bytes::BytesMut;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Between two looks at whether the server says anything; it is asked to in between.
const LOOK: Duration = Duration::from_secs(1);

/// Looks without a word after which the server is taken for dead: within 5 s.
const SILENT_LOOKS_MAX: u32 = 4;

/// The longest time between two tries to connect, and the shortest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// A connection that breaks sooner counts as a failed try.
const STOOD: Duration = Duration::from_secs(1);

/// What is read at a time.
const READ_BYTES: usize = 64 << 10;

/// What hears messages of subscriptions.
pub(super) trait HearNats: Send + Sync + 'static {
    /// A message came. It must not wait.
    fn hear(&self, message: NatsMessage);
}

/// Connects, again and again.
pub(super) async fn connect(shared: Arc<NatsShared>, hears: impl HearNats) {
    let (mut number, mut failed) = (0, 0u32);
    loop {
        match shared.dial.dial(number).await {
            Ok(dialled) => {
                tracing::info!(server = dialled.server, "connected to NATS");
                let since = Instant::now();
                let ended = serve(&shared, dialled, &hears).await;
                shared.end();
                let error = ended.err().unwrap_or(io::ErrorKind::UnexpectedEof.into());
                tracing::warn!(%error, "the connection to NATS broke");
                // A server that lets in and ends at once is no better than one that is away.
                if since.elapsed() >= STOOD {
                    failed = 0;
                } else {
                    failed = failed.saturating_add(1);
                    number += 1;
                }
            }
            Err(error) => {
                // Once a round, and less often the longer it lasts.
                if failed.is_power_of_two() || failed == 0 {
                    tracing::warn!(%error, "NATS cannot be reached");
                }
                failed = failed.saturating_add(1);
                number += 1;
            }
        }
        // A round of all servers without a pause, then with one.
        if number.is_multiple_of(shared.dial.servers()) {
            let longest = AGAIN.0.saturating_mul(1 << failed.min(8)).min(AGAIN.1);
            tokio::time::sleep(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }
}

/// A connection, until it breaks.
async fn serve(shared: &NatsShared, dialled: NatsDialled, hears: &impl HearNats) -> io::Result<()> {
    let (from, to) = tokio::io::split(dialled.stream);
    shared.begin(dialled.payload_bytes_max);
    tokio::select! {
        ended = read(shared, from, dialled.came, hears) => ended,
        ended = write(shared, to) => ended,
        ended = look(shared) => ended,
    }
}

async fn read(
    shared: &NatsShared,
    mut from: impl AsyncRead + Unpin,
    mut came: BytesMut,
    hears: &impl HearNats,
) -> io::Result<()> {
    loop {
        while let Some(op) = read_op(&mut came).map_err(io::Error::other)? {
            take(shared, op, hears)?;
        }
        came.reserve(READ_BYTES);
        if from.read_buf(&mut came).await? == 0 {
            return Ok(());
        }
        shared.heard.store(true, Ordering::Relaxed);
        // A server that says much leaves the others of this thread their turn.
        tokio::task::consume_budget().await;
    }
}

fn take(shared: &NatsShared, op: NatsOp, hears: &impl HearNats) -> io::Result<()> {
    match op {
        NatsOp::Message(message) if message.sid == ANSWERS_SID => {
            let question = message.subject.strip_prefix(shared.answers.as_bytes());
            let question = question.and_then(|token| std::str::from_utf8(token).ok()?.parse().ok());
            if let Some(question) = question {
                shared.answer(question, message);
            }
        }
        NatsOp::Message(message) if message.sid > PULLS_SID => shared.answer(message.sid, message),
        NatsOp::Message(message) => hears.hear(message),
        NatsOp::Ping => {
            let mut state = shared.lock();
            state.pongs += 1;
            if state.pongs > PONGS_MAX {
                return Err(io::Error::other("the server asks and takes no answers"));
            }
            put_line(&mut state.out, &["PONG"]);
            drop(state);
            shared.said.notify_one();
        }
        NatsOp::Pong => {
            let mut state = shared.lock();
            if let Some(Some(waits)) = state.pings.pop_front() {
                _ = waits.send(state.refusals.clone());
            }
        }
        NatsOp::Error(text) => {
            let mut state = shared.lock();
            if state.refusals.count == 0 {
                tracing::warn!(error = &*text, "NATS refuses");
            }
            state.refusals.count += 1;
            state.refusals.last = text.clone();
            drop(state);
            // Behind all others the server closes.
            if !text
                .to_ascii_lowercase()
                .starts_with("permissions violation")
            {
                return Err(io::Error::other(text.into_string()));
            }
        }
        // A server that is about to stop closes by itself.
        NatsOp::Info(_) | NatsOp::Ok => {}
    }
    Ok(())
}

async fn write(shared: &NatsShared, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    loop {
        let out = {
            let mut state = shared.lock();
            state.pongs = 0;
            std::mem::take(&mut state.out)
        };
        if out.is_empty() {
            shared.said.notified().await;
            // What others of this thread are about to say leaves with it.
            tokio::task::yield_now().await;
            continue;
        }
        shared.room.notify_waiters();
        to.write_all(&out).await?;
        to.flush().await?;
    }
}

/// Ends when the server has been silent for too long.
async fn look(shared: &NatsShared) -> io::Result<()> {
    let mut silent_looks = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        if shared.heard.swap(false, Ordering::Relaxed) {
            silent_looks = 0;
            continue;
        }
        silent_looks += 1;
        if silent_looks >= SILENT_LOOKS_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut state = shared.lock();
        state.pings.push_back(None);
        put_line(&mut state.out, &["PING"]);
        drop(state);
        shared.said.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::nats::dial::NatsDial;
    use crate::broker::options::{BrokerKind, BrokerTls, Cluster, Credentials};

    struct Deaf;

    impl HearNats for Deaf {
        fn hear(&self, _: NatsMessage) {}
    }

    /// Its answers would wait without end.
    #[tokio::test]
    async fn a_server_that_asks_and_takes_no_answers_is_left() {
        let cluster = Cluster {
            broker: BrokerKind::Nats,
            urls: vec!["nats://127.0.0.1:4222".to_owned()],
            node: "a".to_owned(),
            prefix: "p".to_owned(),
            credentials: Credentials::default(),
            tls: BrokerTls::default(),
            presence_lease: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            queue_messages: 1,
            queue_bytes: 1,
            streams: 8,
            sessions: crate::broker::options::ClusterSessions::Node,
            room_partitions: None,
            sentinel: None,
        };
        let shared = NatsShared::new(NatsDial::new(&cluster).expect("a server"));
        let (near, mut far) = tokio::io::duplex(64);
        let dialled = NatsDialled {
            stream: Box::new(near),
            came: BytesMut::new(),
            payload_bytes_max: 1 << 20,
            server: "deaf".to_owned(),
        };
        let asks = async {
            loop {
                if far.write_all(b"PING\r\n").await.is_err() {
                    return;
                }
            }
        };
        let ended = tokio::select! {
            ended = serve(&shared, dialled, &Deaf) => ended,
            () = asks => panic!("nobody listens"),
        };
        let error = ended.expect_err("it is left");
        assert_eq!(error.kind(), io::ErrorKind::Other, "{error}");
        let out = shared.lock().out.len();
        assert!(out <= PONGS_MAX as usize * b"PONG\r\n".len(), "{out}");
    }
}
