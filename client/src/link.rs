//! The connection's life: which endpoint, when to try again, whether the other side still lives,
//! and what its end means.
//!
//! Invariant: one connection at a time, and one try at most for each `turn`; what an earlier turn
//! still says is not heard. It ends for good only by `close` or by the server's word. No I/O, no
//! clock. Used by the core.

use crate::backoff::Backoff;
use crate::breaker::Breaker;
use crate::counts::RoundTrip;
use crate::end::End;
use crate::entry::Resend;
use crate::error::Error;
use crate::options::{Adaptive, Options};
use crate::token::TokenIn;
use std::time::{Duration, Instant};

/// A connection that stood for so long was a good one: the next backoff begins anew.
const STABLE: Duration = Duration::from_secs(5);

/// No server asks for a longer pause.
const SERVER_DELAY_MAX: Duration = Duration::from_secs(300);

/// While other things come, the answer to a ping may take so many times as long.
const BEHIND_FACTOR: u32 = 3;

/// What a server without a heartbeat is taken to have.
const HEARTBEAT: Duration = Duration::from_secs(25);

/// Adaptive pings wait for no less than this for their answer.
const PONG_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// What the driver is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing, until this time at most.
    Wait(Option<Instant>),
    /// Ask for a token, until this time.
    Token(Instant),
    /// Connect to the endpoint with this index, until this time.
    Connect(usize, Instant),
    /// Move bytes.
    Serve,
    Ended,
}

/// What a lost connection means.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is made anew; whether what was under way may be sent again at all.
    Again(Resend),
    Ended(Error),
    /// It was of an earlier turn.
    Stale,
}

/// What the time has brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Ask the server for a sign of life.
    Ping(u64),
    /// The connection is given up.
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Idle,
    Waiting { until: Instant },
    Token { deadline: Instant },
    Connecting { deadline: Instant, endpoint: usize },
    Welcoming { deadline: Instant, endpoint: usize },
    Up { endpoint: usize, since: Instant },
    Closed,
}

#[derive(Clone, Copy, Debug)]
struct Ping {
    number: u64,
    at: Instant,
}

#[derive(Debug)]
pub(crate) struct Link {
    phase: Phase,
    turn: u64,
    attempt: u32,
    backoff: Backoff,
    connect_timeout: Duration,
    heartbeat_max: Option<Duration>,
    pong_timeout: Duration,
    adaptive: Adaptive,
    token: Option<TokenIn>,
    breakers: Vec<Breaker>,
    /// Which endpoint is tried first.
    preferred: usize,
    heartbeat: Duration,
    last_heard: Instant,
    /// When the server last answered something: then both directions worked.
    last_answered: Instant,
    ping: Option<Ping>,
    pings: u64,
    pub(crate) trip: RoundTrip,
    /// The server said when to come back.
    come_back_at: Option<Instant>,
    /// A server that does not close is left.
    drain_until: Option<Instant>,
    /// Tokens that were refused in a row.
    token_refusals: u32,
    pub(crate) last_error: Option<Error>,
}

impl Link {
    pub(crate) fn new(options: &Options, endpoints: usize, first: usize, now: Instant) -> Link {
        Link {
            phase: Phase::Idle,
            turn: 0,
            attempt: 0,
            backoff: options.reconnect,
            connect_timeout: options.connect_timeout,
            heartbeat_max: options.heartbeat,
            pong_timeout: options.pong_timeout,
            adaptive: options.adaptive,
            token: options.token.as_ref().map(|_| options.token_in),
            breakers: vec![Breaker::new(options.breaker); endpoints],
            preferred: first % endpoints.max(1),
            heartbeat: HEARTBEAT,
            last_heard: now,
            last_answered: now,
            ping: None,
            pings: 0,
            trip: RoundTrip::default(),
            come_back_at: None,
            drain_until: None,
            token_refusals: 0,
            last_error: None,
        }
    }

    pub(crate) fn turn(&self) -> u64 {
        self.turn
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }

    pub(crate) fn token_in(&self) -> Option<TokenIn> {
        self.token
    }

    pub(crate) fn breakers(&self) -> &[Breaker] {
        &self.breakers
    }

    fn enter(&mut self, phase: Phase) {
        self.turn += 1;
        self.phase = phase;
    }

    pub(crate) fn start(&mut self, now: Instant) {
        if self.phase == Phase::Idle {
            self.enter(Phase::Waiting { until: now });
        }
    }

    /// What is to be done now.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        if let Phase::Waiting { until } = self.phase
            && until <= now
        {
            self.begin(now);
        }
        match self.phase {
            Phase::Idle => Step::Wait(None),
            Phase::Waiting { until } => Step::Wait(Some(until)),
            Phase::Token { deadline } => Step::Token(deadline),
            Phase::Connecting { deadline, endpoint } => Step::Connect(endpoint, deadline),
            Phase::Welcoming { .. } | Phase::Up { .. } => Step::Serve,
            Phase::Closed => Step::Ended,
        }
    }

    /// Asks for a token, if there is somebody to ask; connects otherwise.
    fn begin(&mut self, now: Instant) {
        let deadline = now + self.connect_timeout;
        match self.token {
            Some(_) => self.enter(Phase::Token { deadline }),
            None => self.connect(now),
        }
    }

    fn connect(&mut self, now: Instant) {
        let deadline = now + self.connect_timeout;
        match self.pick(now) {
            Ok(endpoint) => self.enter(Phase::Connecting { deadline, endpoint }),
            Err(until) => self.enter(Phase::Waiting { until }),
        }
    }

    /// The first endpoint, from the preferred one on, whose breaker lets a try through; or when one
    /// will.
    fn pick(&mut self, now: Instant) -> Result<usize, Instant> {
        let count = self.breakers.len();
        for step in 0..count {
            let endpoint = (self.preferred + step) % count;
            if self.breakers[endpoint].try_pass(now).is_ok() {
                self.preferred = endpoint;
                return Ok(endpoint);
            }
        }
        let opens = self
            .breakers
            .iter()
            .filter_map(|breaker| breaker.opens_at(now))
            .min();
        Err(opens
            .unwrap_or(now + self.backoff.max)
            .max(now + self.backoff.min))
    }

    /// The provider of tokens has answered.
    pub(crate) fn token_ready(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Token { .. }) {
            self.connect(now);
        }
    }

    /// The provider of tokens failed.
    pub(crate) fn token_failed(&mut self, now: Instant, error: Error, random: f64) {
        if matches!(self.phase, Phase::Token { .. }) {
            self.last_error = Some(error);
            self.retry(now, None, random);
        }
    }

    /// The transport stands, and the welcome is waited for.
    pub(crate) fn opened(&mut self, now: Instant) {
        if let Phase::Connecting { deadline, endpoint } = self.phase {
            (self.last_heard, self.last_answered) = (now, now);
            // The same turn: what the driver holds is this connection.
            self.phase = Phase::Welcoming { deadline, endpoint };
        }
    }

    pub(crate) fn welcomed(&mut self, now: Instant, heartbeat_ms: u64) {
        let Phase::Welcoming { endpoint, .. } = self.phase else {
            return;
        };
        self.phase = Phase::Up {
            endpoint,
            since: now,
        };
        (self.last_heard, self.last_answered) = (now, now);
        let said = match heartbeat_ms {
            0 => HEARTBEAT,
            ms => Duration::from_millis(ms).min(HEARTBEAT * 10),
        };
        self.heartbeat = self.heartbeat_max.map_or(said, |max| max.min(said));
        if self
            .token
            .is_some_and(|token_in| token_in != TokenIn::Message)
        {
            self.token_refusals = 0;
        }
    }

    /// The token was taken.
    pub(crate) fn accepted(&mut self) {
        self.token_refusals = 0;
    }

    /// A sign of life, which need not mean that the server hears, too.
    pub(crate) fn alive(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// The server has answered a request.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.last_answered = now;
    }

    /// The server has answered a ping: the round trip, if it is the one that is waited for.
    pub(crate) fn pong(&mut self, now: Instant, payload: &[u8]) -> Option<Duration> {
        let number = u64::from_be_bytes(payload.try_into().ok()?);
        let ping = self.ping.take_if(|ping| ping.number == number)?;
        self.last_answered = now;
        let trip = now.saturating_duration_since(ping.at);
        self.trip.record(trip);
        Some(trip)
    }

    /// The server closes soon.
    pub(crate) fn draining(&mut self, now: Instant, reconnect_ms: u64) {
        let delay = Duration::from_millis(reconnect_ms).min(SERVER_DELAY_MAX);
        self.come_back_at = Some(now + delay);
        self.drain_until = Some(now + delay.max(self.backoff.min));
    }

    /// How long an answer to a ping may take.
    fn patience(&self) -> Duration {
        let measured = self.trip.smoothed().zip(self.trip.variation());
        match (self.adaptive, measured) {
            (Adaptive::On, Some((smoothed, variation))) => {
                // Eight variations and a half: what TCP's own retransmission would take, twice.
                let wanted = (smoothed + variation * 4) * 4;
                wanted.clamp(PONG_TIMEOUT_MIN.min(self.pong_timeout), self.pong_timeout)
            }
            _ => self.pong_timeout,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle | Phase::Closed => None,
            Phase::Waiting { until } => Some(until),
            Phase::Token { deadline }
            | Phase::Connecting { deadline, .. }
            | Phase::Welcoming { deadline, .. } => Some(deadline),
            Phase::Up { .. } => {
                let alive = self.alive_until();
                Some(self.drain_until.map_or(alive, |drain| drain.min(alive)))
            }
        }
    }

    /// When a ping is sent, or its answer is late.
    fn alive_until(&self) -> Instant {
        match self.ping {
            None => self.last_answered + self.heartbeat,
            Some(ping) => {
                let patience = self.patience();
                // The answer may stand behind much that was on its way already.
                let heard = self.last_heard.max(ping.at) + patience;
                heard.min(ping.at + patience * BEHIND_FACTOR)
            }
        }
    }

    /// Looks at the time.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Due::Nothing;
        }
        match self.phase {
            Phase::Idle | Phase::Waiting { .. } | Phase::Closed => Due::Nothing,
            Phase::Token { .. } | Phase::Connecting { .. } | Phase::Welcoming { .. } => Due::Dead,
            Phase::Up { .. } if self.drain_until.is_some_and(|until| until <= now) => Due::Dead,
            Phase::Up { .. } => match self.ping {
                // Something else was answered behind it: both directions work.
                Some(ping) if self.last_answered > ping.at => {
                    self.ping = None;
                    Due::Nothing
                }
                Some(_) => Due::Dead,
                None => {
                    self.pings += 1;
                    self.ping = Some(Ping {
                        number: self.pings,
                        at: now,
                    });
                    Due::Ping(self.pings)
                }
            },
        }
    }

    /// The token was refused: a new one gets one try.
    pub(crate) fn token_refused(&mut self, now: Instant, error: Error, random: f64) -> Outcome {
        self.token_refusals += 1;
        match self.token_refusals {
            1 => self.lost(now, End::abnormal(Some(error)), random),
            _ => {
                self.close();
                Outcome::Ended(error)
            }
        }
    }

    /// The connection of this turn is gone, or could not be made.
    pub(crate) fn lost(&mut self, now: Instant, end: End, random: f64) -> Outcome {
        let (endpoint, stood) = match self.phase {
            Phase::Idle | Phase::Waiting { .. } | Phase::Closed => return Outcome::Stale,
            Phase::Token { .. } => (None, None),
            Phase::Connecting { endpoint, .. } | Phase::Welcoming { endpoint, .. } => {
                (Some(endpoint), None)
            }
            Phase::Up { endpoint, since } => {
                (Some(endpoint), Some(now.saturating_duration_since(since)))
            }
        };
        let told = self.come_back_at.is_some();
        if let Some(breaker) = endpoint.and_then(|endpoint| self.breakers.get_mut(endpoint)) {
            match stood {
                Some(stood) if stood >= STABLE || told => breaker.succeeded(),
                _ => breaker.failed(now, random),
            }
        }
        if let Some(final_error) = self.is_final(&end) {
            self.close();
            self.last_error = Some(final_error.clone());
            return Outcome::Ended(final_error);
        }
        if stood.is_some_and(|stood| stood >= STABLE) {
            self.attempt = 0;
        }
        // Another endpoint may stand where this one does not.
        if let Some(endpoint) = endpoint {
            self.preferred = (endpoint + 1) % self.breakers.len();
        }
        // What is under way may be what the server ended it for: it is not sent again.
        let blamed = matches!(end.code, 1002 | 1003 | 1007 | 1009);
        let retry_after = end.retry_after;
        self.last_error = Some(end.into_error());
        self.retry(now, retry_after, random);
        Outcome::Again(match blamed {
            true => Resend::No,
            false => Resend::Yes,
        })
    }

    /// Why connecting again does not help, if it does not.
    fn is_final(&mut self, end: &End) -> Option<Error> {
        // A token that was good when it was made gets a successor.
        let refused = end.code == 4003 || end.http_status == Some(401);
        if refused {
            self.token_refusals += 1;
            if self.token.is_some() && self.token_refusals == 1 {
                return None;
            }
            let error = match end.http_status {
                Some(_) => end.clone().into_error().with_code("unauthorized"),
                None => Error::closed_by(end.code, &end.reason),
            };
            return Some(error.with_retry(false, None));
        }
        matches!(end.code, 4000..=4099).then(|| Error::closed_by(end.code, &end.reason))
    }

    fn retry(&mut self, now: Instant, after: Option<Duration>, random: f64) {
        self.ping = None;
        self.drain_until = None;
        let told = self.come_back_at.take();
        let delay = self.backoff.delay(self.attempt, random);
        self.attempt = self.attempt.saturating_add(1);
        let until = match (told, after) {
            (Some(at), _) => at.max(now),
            (None, Some(after)) => now + after.min(SERVER_DELAY_MAX) + delay,
            (None, None) => now + delay,
        };
        self.enter(Phase::Waiting { until });
    }

    /// Ends it for good.
    pub(crate) fn close(&mut self) {
        self.enter(Phase::Closed);
    }
}
