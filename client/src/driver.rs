//! The one task of a connection: it connects, moves bytes between socket and core, keeps the time,
//! asks for tokens and calls handlers.
//!
//! Invariant: one task for each client, however many subscriptions it has; it ends with the core.
//! Spawned by the client.

use crate::connect::{Opened, Transport};
use crate::core::Core;
use crate::end::End;
use crate::error::{BoxError, Error, ErrorKind};
use crate::link::Step;
use crate::refreshing::TokenJob;
use crate::room::Call;
use crate::shared::{Shared, now};
use crate::token::TokenFuture;
use rand::RngExt;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

/// Bytes that one read takes at most.
const READ_BYTES: usize = 32 << 10;

/// Reads between two looks at everything else.
const READS_MAX: usize = 16;

/// For the server's answer to a close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// A sleeper that waits for nothing.
const FAR: Duration = Duration::from_secs(24 * 3_600);

thread_local! {
    /// What is received into: bytes are read at once, so all connections of a thread share it, and
    /// one that is idle has none.
    static RECEIVED: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Runs a client until its end.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut token = None;
    loop {
        let (step, turn) = {
            let mut core = shared.lock();
            core.turn(now());
            let step = core.step(now());
            (step, core.link.turn())
        };
        settle(&shared);
        match step {
            Step::Ended => break,
            Step::Wait(until) => {
                // Nothing but what wakes it.
                let nothing = std::future::pending::<()>();
                guarded(
                    &shared,
                    turn,
                    nothing,
                    until.map(tokio::time::Instant::from_std),
                )
                .await;
            }
            Step::Token(_) => {
                let Some(provider) = &shared.settled.options.token else {
                    continue;
                };
                let asked = guarded(&shared, turn, provider.ask(), None).await;
                let Some(answer) = asked else { continue };
                let result = answer.map(|new| token = Some(new)).map_err(no_token);
                shared.lock().token(now(), result);
            }
            Step::Connect(endpoint, _) => {
                let nonce: [u8; 16] = rand::make_rng::<rand::rngs::StdRng>().random();
                let connecting = shared.connector.connect(endpoint, token.clone(), nonce);
                match guarded(&shared, turn, connecting, None).await {
                    None => {}
                    Some(Err(end)) => shared.lock().lost(now(), end),
                    Some(Ok(opened)) => serve(&shared, turn, opened, token.as_deref()).await,
                }
            }
            // It is served where it was made; what is left of it is not.
            Step::Serve => {
                let error = Error::new(ErrorKind::ConnectionLost, "the connection broke");
                shared.lock().lost(now(), End::abnormal(Some(error)));
            }
        }
    }
    settle(&shared);
    shared.set_gone();
}

fn no_token(error: BoxError) -> Error {
    Error::caused(ErrorKind::NoToken, error)
}

/// Lets a future go on until it has ended, or the core has left this turn.
async fn guarded<T>(
    shared: &Shared,
    turn: u64,
    future: impl Future<Output = T>,
    until: Option<tokio::time::Instant>,
) -> Option<T> {
    let mut future = pin!(future);
    loop {
        let deadline = {
            let mut core = shared.lock();
            core.turn(now());
            if core.link.turn() != turn {
                return None;
            }
            core.deadline().map(tokio::time::Instant::from_std)
        };
        settle(shared);
        let far = tokio::time::Instant::now() + FAR;
        let wakes = deadline.into_iter().chain(until).min().unwrap_or(far);
        tokio::select! {
            result = &mut future => return Some(result),
            () = shared.changed.notified() => {}
            () = sleep_until(wakes) => {
                if until.is_some_and(|until| until <= tokio::time::Instant::now()) {
                    return None;
                }
            }
        }
    }
}

/// Calls handlers, and shows what has changed. The pool does so for a client whose driver is gone.
pub(crate) fn settle(shared: &Shared) {
    let mut core = shared.lock();
    let calls = core.take_calls();
    let status = changed_status(shared, &core);
    #[cfg(feature = "metrics")]
    let news = core.news();
    drop(core);
    #[cfg(feature = "metrics")]
    news.tell();
    if let Some(status) = status {
        shared.status.send_replace(status);
    }
    if calls.is_empty() {
        return;
    }
    let (calls, panics) = call(calls);
    let mut core = shared.lock();
    core.counts.handler_panics += panics;
    core.give_back(calls);
}

fn changed_status(shared: &Shared, core: &Core) -> Option<crate::state::Status> {
    let status = core.status();
    let shown = shared.status.borrow();
    let differs = shown.state != status.state
        || shown.is_settled != status.is_settled
        || shown.attempt != status.attempt
        || shown.error.is_some() != status.error.is_some();
    differs.then_some(status)
}

/// Handlers of the user: one that panics harms nobody else.
fn call(mut calls: Vec<Call>) -> (Vec<Call>, u64) {
    let mut panics = 0;
    for call in calls.drain(..) {
        let called = catch_unwind(AssertUnwindSafe(|| match call {
            Call::Handler(handler, item) => handler(&item),
            Call::Drop(ear) => drop(ear),
        }));
        panics += u64::from(called.is_err());
    }
    (calls, panics)
}

/// What a turn of a connection waited for.
enum Woken {
    Read,
    Again,
    Gone(End),
}

/// Moves bytes until the connection is over.
async fn serve(shared: &Shared, turn: u64, opened: Opened, token: Option<&str>) {
    let Opened {
        transport,
        agreed,
        mut early,
    } = opened;
    {
        let mut core = shared.lock();
        if core.link.turn() != turn {
            return;
        }
        core.opened(now(), agreed);
        if !early.is_empty() {
            core.receive(now(), &mut early, token);
        }
    }
    let mut connection = Connection {
        transport,
        jobs: Vec::new(),
        sending: Vec::new(),
        written: 0,
        unflushed: false,
    };
    let mut timer = pin!(sleep_until(tokio::time::Instant::now() + FAR));
    loop {
        settle(shared);
        {
            let mut core = shared.lock();
            core.turn(now());
            if core.link.turn() != turn {
                break;
            }
            while let Some(job) = core.next_token_job(now()) {
                connection.jobs.push(start(shared, job));
            }
            if let Some(deadline) = core.deadline() {
                timer
                    .as_mut()
                    .reset(tokio::time::Instant::from_std(deadline));
            }
        }
        let mut changed = pin!(shared.changed.notified());
        let woken =
            poll_fn(|cx| connection.poll(cx, shared, token, timer.as_mut(), changed.as_mut()));
        match woken.await {
            Woken::Read | Woken::Again => {}
            Woken::Gone(end) => {
                let mut core = shared.lock();
                if core.link.turn() == turn {
                    core.lost(now(), end);
                }
                drop(core);
                break;
            }
        }
    }
    settle(shared);
    connection.finish(shared).await;
}

/// A token that is asked for while the connection is served.
struct Job {
    /// None: the connection's own.
    room: Option<Arc<str>>,
    asked: TokenFuture,
}

fn start(shared: &Shared, job: TokenJob) -> Job {
    match job {
        TokenJob::Room(room, asked) => Job {
            room: Some(room),
            asked,
        },
        TokenJob::Refresh => Job {
            room: None,
            asked: match &shared.settled.options.token {
                Some(provider) => provider.ask(),
                None => Box::pin(async { Err("there is no provider of tokens".into()) }),
            },
        },
    }
}

struct Connection {
    transport: Transport,
    jobs: Vec<Job>,
    /// What the socket is to take, and how much of it it took.
    sending: Vec<u8>,
    written: usize,
    /// TLS holds back what was written.
    unflushed: bool,
}

impl Connection {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        shared: &Shared,
        token: Option<&str>,
        timer: Pin<&mut Sleep>,
        changed: Pin<&mut tokio::sync::futures::Notified<'_>>,
    ) -> Poll<Woken> {
        if let Err(error) = self.poll_write(cx, shared) {
            return Poll::Ready(gone(error));
        }
        match self.poll_read(cx, shared, token) {
            Poll::Ready(Ok(())) => return Poll::Ready(Woken::Read),
            Poll::Ready(Err(error)) => return Poll::Ready(gone(error)),
            Poll::Pending => {}
        }
        if self.poll_jobs(cx, shared) || changed.poll(cx).is_ready() || timer.poll(cx).is_ready() {
            return Poll::Ready(Woken::Again);
        }
        Poll::Pending
    }

    /// Gives the socket what it takes. The core is not locked meanwhile.
    fn poll_write(&mut self, cx: &mut Context<'_>, shared: &Shared) -> io::Result<()> {
        loop {
            if self.written == self.sending.len() {
                self.written = 0;
                self.sending.clear();
                let mut core = shared.lock();
                core.outbox.take(&mut self.sending);
                // What waited for room in the outbox.
                core.refill(now());
                if self.sending.is_empty() {
                    break;
                }
            }
            let waiting = &self.sending[self.written..];
            match Pin::new(&mut self.transport).poll_write(cx, waiting) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.transport).poll_flush(cx) {
                Poll::Ready(flushed) => {
                    flushed?;
                    self.unflushed = false;
                }
                Poll::Pending => {}
            }
        }
        Ok(())
    }

    /// Takes what the socket has, and hands it to the core at once. Ready: something came.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        shared: &Shared,
        token: Option<&str>,
    ) -> Poll<io::Result<()>> {
        RECEIVED.with_borrow_mut(|received| {
            for reads in 0..READS_MAX {
                let mut buffer = ReadBuf::new(received);
                match Pin::new(&mut self.transport).poll_read(cx, &mut buffer) {
                    Poll::Pending if reads == 0 => return Poll::Pending,
                    Poll::Pending => break,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) => {}
                }
                let bytes = buffer.filled_mut();
                if bytes.is_empty() {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                let is_all = bytes.len() < READ_BYTES;
                shared.lock().receive(now(), bytes, token);
                if is_all {
                    break;
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Whether a token has come.
    fn poll_jobs(&mut self, cx: &mut Context<'_>, shared: &Shared) -> bool {
        let mut came = false;
        self.jobs
            .retain_mut(|job| match job.asked.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(answer) => {
                    let answer = answer.map_err(no_token);
                    let mut core = shared.lock();
                    match &job.room {
                        Some(room) => core.room_token(now(), Arc::clone(room), answer),
                        None => core.refresh_token(now(), answer),
                    }
                    came = true;
                    false
                }
            });
        came
    }

    /// Says the last words, and waits for the server's for a while.
    async fn finish(mut self, shared: &Shared) {
        let mut last = Vec::new();
        shared.lock().outbox.take(&mut last);
        if last.is_empty() {
            return;
        }
        // A frame that was begun comes first.
        last.splice(..0, self.sending.drain(self.written..));
        let said = async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            self.transport.write_all(&last).await?;
            self.transport.flush().await?;
            let mut ignored = [0; 1_024];
            while self.transport.read(&mut ignored).await? > 0 {}
            self.transport.shutdown().await
        };
        _ = tokio::time::timeout(CLOSE_PATIENCE, said).await;
    }
}

fn gone(error: io::Error) -> Woken {
    let error = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::ConnectionLost, "the server ended the connection")
        }
        _ => Error::caused(ErrorKind::ConnectionLost, error),
    };
    Woken::Gone(End::abnormal(Some(error)))
}
