//! Asking a backend: one event from the moment that it is to be decided to the decision, with
//! everything in between that may go wrong.
//!
//! Invariant: each event gets one [`GatewayDecision`], within `timeout`, and is counted once. No
//! more than `in_flight` are under way and `queue` wait to be; only what is idempotent, or what the
//! backend cannot have seen, is sent a second time. Used by the hooks.

use crate::gateway::answers::{self, Unusable};
use crate::gateway::breaker::{Breaker, BreakerState, CallEnd, Pass};
use crate::gateway::counts::{CallOutcome, GatewayCounts};
use crate::gateway::live::{LiveGateway, WhenDown};
use crate::gateway::not_answered::NotAnswered;
use crate::gateway::options::{BackendPlace, EventKind, GatewayOptions};
use crate::gateway::orders::Orders;
use crate::gateway::socket::{Socket, SocketTask};
use crate::gateway::webhook::Webhook;
use crate::gateway::wire::{Answer, GatewayEvent};
use crate::traces::tracer::{RequestTrace, Tracer};
use shardcast_protocol::dialect::{Code, Problem};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Semaphore;

/// A gateway to a backend.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) options: GatewayOptions,
    pub(crate) live: LiveGateway,
    pub(crate) counts: GatewayCounts,
    /// This run of the server.
    instance: String,
    next_id: AtomicU64,
    transport: Transport,
    breaker: Mutex<Breaker>,
    under_way: Semaphore,
    waiting: AtomicUsize,
    /// `None`: nothing is recorded.
    pub(crate) tracer: Option<Tracer>,
}

#[derive(Debug)]
enum Transport {
    Webhook(Box<Webhook>),
    Socket(Socket),
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GatewayDecision {
    /// The answer was checked.
    Accepted(Box<Answer>),
    Rejected(Problem),
    /// Nobody has decided, and so it is refused.
    Undecided(Problem),
    /// Nobody has decided, and so nothing stands against it.
    LetThrough,
}

/// Why nobody has decided.
enum Undecided {
    Unavailable,
    Timeout,
    Failed(String),
}

impl Gateway {
    /// Nothing is asked before a runtime runs.
    pub(crate) fn start(
        options: GatewayOptions,
        orders: Arc<Orders>,
        runtime: &tokio::runtime::Handle,
        tracer: Option<Tracer>,
    ) -> Gateway {
        let counts = GatewayCounts::new(options.events.kinds());
        let instance = format!("{:016x}", fastrand::u64(..));
        let live = LiveGateway::new(options.rules.clone());
        let transport = match &options.place {
            BackendPlace::Url => Transport::Webhook(Box::new(Webhook::new(live.clone()))),
            place @ (BackendPlace::Unix(_) | BackendPlace::Tcp(_)) => {
                let task = SocketTask {
                    place: place.clone(),
                    live: live.clone(),
                    instance: instance.clone(),
                    server: SERVER.to_owned(),
                    patience: options.timeout,
                    counts: counts.clone(),
                    orders,
                };
                Transport::Socket(Socket::start(task, runtime))
            }
        };
        Gateway {
            under_way: Semaphore::new(options.in_flight),
            options,
            live,
            counts,
            instance,
            next_id: AtomicU64::new(1),
            transport,
            breaker: Mutex::new(Breaker::new()),
            waiting: AtomicUsize::new(0),
            tracer,
        }
    }

    /// An event of this kind, which says nothing yet.
    pub(crate) fn event(&self, name: &str) -> GatewayEvent {
        GatewayEvent {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            instance: self.instance.clone(),
            event: name.to_owned(),
            time_ms: Gateway::now_ms(),
            ..GatewayEvent::default()
        }
    }

    /// In milliseconds since 1970.
    pub(crate) fn now_ms() -> u64 {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = time.map_or(0, |since| since.as_millis());
        u64::try_from(millis).unwrap_or(u64::MAX)
    }

    /// Has the backend decide, as a part of a trace.
    pub(crate) async fn decide(
        &self,
        kind: EventKind,
        mut event: GatewayEvent,
        mut trace: RequestTrace,
    ) -> GatewayDecision {
        event.traceparent = trace.context.map(|context| context.parent().to_string());
        if let Some(step) = &mut trace.step {
            // Until something better is known: who asks may be gone before there is an answer.
            step.fail(CallOutcome::Abandoned.as_str());
            step.note("shardcast.connection", &*event.connection);
            if let [room] = &event.rooms[..] {
                step.note("messaging.destination.name", &**room);
            }
            step.note("shardcast.event", event.id);
        }
        let mut counted = Counted {
            counts: &self.counts,
            kind,
            outcome: CallOutcome::Abandoned,
        };
        let asked = self.ask(kind, event);
        let asked = tokio::time::timeout(self.options.timeout, asked).await;
        let decided = match asked {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(NotAnswered::NotSent(_) | NotAnswered::Lost(_))) => Err(Undecided::Unavailable),
            Ok(Err(NotAnswered::Unreadable(why))) => Err(Undecided::Failed(why)),
            Err(_) => Err(Undecided::Timeout),
        };
        let (decision, outcome) = self.settle(kind, decided);
        counted.outcome = outcome;
        if let Some(step) = &mut trace.step {
            step.note("shardcast.outcome", outcome.as_str());
            match outcome {
                CallOutcome::Accepted | CallOutcome::Rejected => step.succeed(),
                failed => step.fail(failed.as_str()),
            }
        }
        decision
    }

    /// What an outcome means for the client.
    fn settle(
        &self,
        kind: EventKind,
        decided: Result<Answer, Undecided>,
    ) -> (GatewayDecision, CallOutcome) {
        let undecided = match decided {
            Ok(answer) => match &answer.reject {
                Some(reject) => {
                    let problem = answers::problem_of(reject);
                    return (GatewayDecision::Rejected(problem), CallOutcome::Rejected);
                }
                None => match answers::check(&answer) {
                    Ok(()) => {
                        let answer = Box::new(answer);
                        return (GatewayDecision::Accepted(answer), CallOutcome::Accepted);
                    }
                    Err(Unusable(why)) => Undecided::Failed(why.to_owned()),
                },
            },
            Err(undecided) => undecided,
        };
        let is_open = self.live.get().when_down == WhenDown::Open && kind != EventKind::Rpc;
        let (code, text, outcome) = match undecided {
            Undecided::Unavailable | Undecided::Timeout if is_open => {
                return (GatewayDecision::LetThrough, CallOutcome::LetThrough);
            }
            Undecided::Unavailable => (
                Code::Unavailable,
                "the backend cannot be reached",
                CallOutcome::Unavailable,
            ),
            Undecided::Timeout => (
                Code::Timeout,
                "the backend took too long",
                CallOutcome::Timeout,
            ),
            Undecided::Failed(why) => {
                tracing::warn!(event = kind.as_str(), %why, "the backend's answer cannot be used");
                let text = "the backend's answer cannot be used";
                (Code::HandlerFailed, text, CallOutcome::Failed)
            }
        };
        (
            GatewayDecision::Undecided(Problem::new(code, text)),
            outcome,
        )
    }

    /// Sends an event, as often as that is useful.
    pub(crate) async fn ask(
        &self,
        kind: EventKind,
        mut event: GatewayEvent,
    ) -> Result<Answer, NotAnswered> {
        let mut again = Backoff::new();
        loop {
            let asked = self.attempt(&event).await;
            let may_try_again = match &asked {
                Err(NotAnswered::NotSent(_)) => true,
                Err(NotAnswered::Lost(_)) => kind.is_idempotent(),
                Err(NotAnswered::Unreadable(_)) | Ok(_) => false,
            };
            if !may_try_again || event.attempt >= self.live.get().retries {
                return asked;
            }
            event.attempt += 1;
            self.counts.retries.inc();
            tokio::time::sleep(again.next()).await;
        }
    }

    async fn attempt(&self, event: &GatewayEvent) -> Result<Answer, NotAnswered> {
        let _place = self.place().await?;
        let pass = self.with_breaker(|breaker| breaker.lets_through(Instant::now()));
        let Some(pass) = pass else {
            return Err(NotAnswered::NotSent(
                "it has failed too often lately".to_owned(),
            ));
        };
        let mut told = TellsBreaker {
            gateway: self,
            pass,
            end: CallEnd::Abandoned,
            began: Instant::now(),
        };
        self.counts.under_way.inc();
        let asked = match &self.transport {
            Transport::Webhook(webhook) => webhook.ask(event).await,
            Transport::Socket(socket) => socket.ask(event.clone()).await,
        };
        told.end = match &asked {
            Ok(_) | Err(NotAnswered::Unreadable(_)) => CallEnd::Answered,
            Err(NotAnswered::NotSent(_) | NotAnswered::Lost(_)) => CallEnd::Failed,
        };
        asked
    }

    /// A place among those that are under way.
    async fn place(&self) -> Result<tokio::sync::SemaphorePermit<'_>, NotAnswered> {
        let closed = || NotAnswered::NotSent("the server stops".to_owned());
        if let Ok(place) = self.under_way.try_acquire() {
            return Ok(place);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.options.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(NotAnswered::NotSent("too many events wait".to_owned()));
        }
        let _waits = Waits(self);
        self.counts.waiting.inc();
        self.under_way.acquire().await.map_err(|_| closed())
    }

    fn with_breaker<R>(&self, act: impl FnOnce(&mut Breaker) -> R) -> R {
        // Nothing that is done under the lock leaves the breaker half-changed.
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut breaker);
        self.counts.breaker.set(match breaker.state() {
            BreakerState::Closed { .. } => 0,
            BreakerState::Probed => 1,
            BreakerState::Open { .. } => 2,
        });
        done
    }
}

/// Counts a call when it ends, however it does.
struct Counted<'g> {
    counts: &'g GatewayCounts,
    kind: EventKind,
    outcome: CallOutcome,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counts.called(self.kind, self.outcome);
    }
}

/// An event waits for a place.
struct Waits<'g>(&'g Gateway);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.counts.waiting.dec();
    }
}

/// Tells the breaker how an attempt has ended, however it did: one that was given up because time
/// was over has failed.
struct TellsBreaker<'g> {
    gateway: &'g Gateway,
    pass: Pass,
    end: CallEnd,
    began: Instant,
}

impl Drop for TellsBreaker<'_> {
    fn drop(&mut self) {
        let counts = &self.gateway.counts;
        counts.under_way.dec();
        let took = self.began.elapsed();
        let end = match self.end {
            CallEnd::Abandoned if took >= self.gateway.options.timeout.mul_f64(0.9) => {
                CallEnd::Failed
            }
            end => end,
        };
        if end == CallEnd::Answered {
            counts.answered_after(took);
        }
        self.gateway
            .with_breaker(|breaker| breaker.ended(self.pass, end, Instant::now()));
    }
}

/// How long to wait before each further attempt: longer each time, and never the same for all.
pub(crate) struct Backoff(Duration);

impl Backoff {
    const MIN: Duration = Duration::from_millis(50);
    const MAX: Duration = Duration::from_secs(10);

    pub(crate) fn new() -> Backoff {
        Backoff(Backoff::MIN)
    }

    pub(crate) fn next(&mut self) -> Duration {
        let next = self.0.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.0 = (self.0 * 2).min(Backoff::MAX);
        next
    }
}

/// As the backend knows this program.
const SERVER: &str = concat!("shardcast/", env!("CARGO_PKG_VERSION"));
