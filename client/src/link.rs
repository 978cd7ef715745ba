//! The connection's life: which endpoint, when to try again, whether the other side still lives,
//! and what its end means.
//!
//! Invariant: one connection at a time, and one try at most for each `turn`; what an earlier turn
//! still says is not heard. It ends for good only by `close` or by the server's word. No I/O, no
//! clock. Used by the core.

mod liveness;

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

/// What a server without a heartbeat is taken to have.
const HEARTBEAT: Duration = Duration::from_secs(25);

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
    Waiting {
        until: Instant,
    },
    Token {
        deadline: Instant,
    },
    Connecting {
        deadline: Instant,
        endpoint: usize,
    },
    Welcoming {
        deadline: Instant,
        endpoint: usize,
    },
    Up {
        endpoint: usize,
        since: Instant,
        /// It has stood for long enough, and its endpoint has been credited with that.
        is_stable: bool,
    },
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
            is_stable: false,
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

    /// The server closes soon.
    pub(crate) fn draining(&mut self, now: Instant, reconnect_ms: u64) {
        let delay = Duration::from_millis(reconnect_ms).min(SERVER_DELAY_MAX);
        self.come_back_at = Some(now + delay);
        self.drain_until = Some(now + delay.max(self.backoff.min));
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle | Phase::Closed => None,
            Phase::Waiting { until } => Some(until),
            Phase::Token { deadline }
            | Phase::Connecting { deadline, .. }
            | Phase::Welcoming { deadline, .. } => Some(deadline),
            Phase::Up {
                since, is_stable, ..
            } => {
                let stable = (!is_stable).then(|| since + STABLE);
                let others = stable.into_iter().chain(self.drain_until);
                Some(others.fold(self.alive_until(), Instant::min))
            }
        }
    }

    /// A connection that has stood for long enough was a good one.
    fn credit(&mut self, now: Instant) {
        if let Phase::Up {
            endpoint,
            since,
            is_stable,
        } = &mut self.phase
            && !*is_stable
            && *since + STABLE <= now
        {
            *is_stable = true;
            self.attempt = 0;
            self.breakers[*endpoint].succeeded();
        }
    }

    /// Looks at the time.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        self.credit(now);
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
        self.credit(now);
        let (endpoint, was_stable) = match self.phase {
            Phase::Idle | Phase::Waiting { .. } | Phase::Closed => return Outcome::Stale,
            Phase::Token { .. } => (None, false),
            Phase::Connecting { endpoint, .. } | Phase::Welcoming { endpoint, .. } => {
                (Some(endpoint), false)
            }
            Phase::Up {
                endpoint,
                is_stable,
                ..
            } => (Some(endpoint), is_stable),
        };
        let told = self.come_back_at.is_some();
        if let Some(breaker) = endpoint.and_then(|endpoint| self.breakers.get_mut(endpoint)) {
            match (was_stable, told) {
                // It has been credited with that.
                (true, _) => {}
                (false, true) => breaker.succeeded(),
                (false, false) => breaker.failed(now, random),
            }
        }
        if let Some(final_error) = self.is_final(&end) {
            self.close();
            self.last_error = Some(final_error.clone());
            return Outcome::Ended(final_error);
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

#[cfg(test)]
mod tests {
    use super::{Due, Link, Outcome, STABLE, Step};
    use crate::breaker::BreakerState;
    use crate::end::End;
    use crate::error::ErrorKind;
    use crate::options::{Adaptive, Options};
    use std::time::{Duration, Instant};

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A link that is up from the returned time on, with a server whose heartbeat is 25 s.
    fn up(options: &Options) -> (Link, Instant) {
        let start = Instant::now();
        let mut link = Link::new(options, 1, 0, start);
        link.start(start);
        assert!(matches!(link.step(start), Step::Connect(0, _)));
        link.opened(start);
        link.welcomed(start, 25_000);
        (link, start)
    }

    /// After what time a server is given up that answers nothing any more, and says something else
    /// as often as `chatter` has it.
    fn check(options: &Options, trip: Duration, chatter: Option<Duration>, expected: Duration) {
        let (mut link, start) = up(options);
        link.trip.record(trip);
        let mut now = start;
        loop {
            let deadline = link.deadline().expect("it is up");
            let heard = chatter.map(|every| now + every).filter(|at| *at < deadline);
            now = heard.unwrap_or(deadline);
            if heard.is_some() {
                link.alive(now);
            } else if link.due(now) == Due::Dead {
                break;
            }
        }
        assert_eq!(now - start, expected, "{options:?} {trip:?} {chatter:?}");
        assert_eq!(link.overdue(now).kind(), ErrorKind::ConnectionLost);
    }

    #[test]
    fn a_half_open_connection_is_found_in_time() {
        let trip = Duration::from_millis(10);
        let off = Options::default();
        check(&off, trip, None, seconds(25 + 10));
        check(&off, trip, Some(seconds(1)), seconds(25 + 3 * 10));
        let quick = Options {
            heartbeat: Some(seconds(5)),
            pong_timeout: seconds(2),
            ..Options::default()
        };
        check(&quick, trip, None, seconds(5 + 2));
        check(&quick, trip, Some(seconds(1)), seconds(5 + 3 * 2));
        // What is measured shortens it, and never prolongs it.
        let on = Options {
            adaptive: Adaptive::On,
            ..Options::default()
        };
        check(&on, trip, None, seconds(25 + 1));
        // Four times RFC 6298's timeout, which is three times the first round trip.
        check(&on, Duration::from_millis(500), None, seconds(25 + 6));
        check(&on, seconds(9), None, seconds(25 + 10));
        check(&on, seconds(9), Some(seconds(1)), seconds(25 + 3 * 10));
    }

    #[test]
    fn an_endpoint_is_good_again_once_its_connection_stands() {
        let mut now = Instant::now();
        let options = Options::default();
        let mut link = Link::new(&options, 1, 0, now);
        link.start(now);
        for attempt in 1..=options.breaker.failures {
            while !matches!(link.step(now), Step::Connect(..)) {
                now = link.deadline().expect("it tries again");
            }
            _ = link.lost(now, End::abnormal(None), 0.5);
            assert_eq!(link.attempt(), attempt);
        }
        let state = |link: &Link, now| link.breakers()[0].state(now);
        assert_eq!(state(&link, now), BreakerState::Open);
        while !matches!(link.step(now), Step::Connect(..)) {
            now = link.deadline().expect("a probe decides");
        }
        link.opened(now);
        link.welcomed(now, 25_000);
        assert_eq!(state(&link, now), BreakerState::HalfOpen);
        assert_eq!(link.deadline(), Some(now + STABLE));
        assert_eq!(link.due(now + STABLE), Due::Nothing);
        assert_eq!(state(&link, now + STABLE), BreakerState::Closed);
        assert_eq!(link.attempt(), 0);
        // The end of it is no failure of the endpoint.
        _ = link.lost(now + seconds(60), End::abnormal(None), 0.5);
        assert_eq!(state(&link, now + seconds(60)), BreakerState::Closed);
    }

    #[test]
    fn a_connection_that_answers_is_kept() {
        let (mut link, start) = up(&Options::default());
        for minute in 1..=60 {
            let now = start + seconds(60 * minute);
            let Due::Ping(number) = link.due(now) else {
                panic!("a ping is due");
            };
            assert_eq!(link.due(now + seconds(9)), Due::Nothing);
            assert!(link.pong(now + seconds(9), &number.to_be_bytes()).is_some());
            assert_eq!(link.due(now + seconds(33)), Due::Nothing);
        }
    }

    #[test]
    fn a_server_says_when_to_come_back() {
        let (mut link, start) = up(&Options::default());
        link.draining(start, 7_000);
        let closed = End::closed(1001, "the server stops");
        let outcome = link.lost(start + seconds(2), closed, 0.5);
        assert!(matches!(outcome, Outcome::Again(_)));
        assert_eq!(link.deadline(), Some(start + seconds(7)));
        // It need not close by itself.
        let (mut link, start) = up(&Options::default());
        link.draining(start, 7_000);
        assert_eq!(link.due(start + seconds(7)), Due::Dead);
        // Nobody waits longer than five minutes for that.
        let (mut link, start) = up(&Options::default());
        link.draining(start, u64::MAX);
        _ = link.lost(start, End::closed(1001, ""), 0.5);
        assert_eq!(link.deadline(), Some(start + seconds(300)));
    }

    #[test]
    fn what_takes_too_long_is_named() {
        let start = Instant::now();
        let options = Options {
            token: Some(crate::token::TokenProvider::fixed("t")),
            ..Options::default()
        };
        let mut link = Link::new(&options, 1, 0, start);
        link.start(start);
        let late = start + options.connect_timeout;
        assert_eq!(link.step(start), Step::Token(late));
        assert_eq!(link.due(late), Due::Dead);
        assert_eq!(link.overdue(late).kind(), ErrorKind::NoToken);
        link.token_ready(start);
        assert!(matches!(link.step(start), Step::Connect(..)));
        assert_eq!(link.overdue(late).kind(), ErrorKind::Connect);
        link.opened(start);
        assert_eq!(link.overdue(late).message(), "no welcome in time");
    }
}
