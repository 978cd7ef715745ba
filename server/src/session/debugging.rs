//! Connections and rooms whose steps are logged for a time, because an operator wants to see what
//! they do.
//!
//! Invariants: there are at most [`Debugging::TARGETS_MAX`] of them, each ends by itself, and
//! together they log at most [`Debugging::LINES_PER_SECOND_MAX`] lines a second; further ones are
//! counted. Sizes are logged, never what clients say. While nothing is debugged, that costs a look
//! at one byte. Begun by the admin API, asked on shards.

use crate::wire::connection_id::ConnectionId;
use shardcast_engine::{SpanValue, TraceReader, TraceSink, TraceSpan};
use shardcast_protocol::trace_parent::TraceParent;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// See above.
#[derive(Debug)]
pub(crate) struct Debugging {
    on: AtomicBool,
    targets: RwLock<Vec<DebugTarget>>,
    started: Instant,
    /// The second that lines are counted of, and how many there were in it.
    lines: Mutex<(u64, u64)>,
    left_out: AtomicU64,
    /// Traces whose number begins with this are told of here alone.
    mark: u64,
    sink: TraceSink,
    /// Where nobody else reads it.
    reader: Mutex<Option<TraceReader>>,
}

/// What is debugged, and until when.
#[derive(Clone, Debug)]
pub(crate) struct DebugTarget {
    pub(crate) whom: Debugged,
    /// Steps that began before are not logged: they have waited where nobody read them.
    since: Instant,
    pub(crate) until: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Debugged {
    Connection(ConnectionId),
    Room(Box<str>),
}

impl Debugged {
    fn is_room(&self, room: &str) -> bool {
        matches!(self, Debugged::Room(name) if **name == *room)
    }
}

impl fmt::Display for Debugged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Debugged::Connection(connection) => write!(f, "connection {connection}"),
            Debugged::Room(room) => write!(f, "room {room}"),
        }
    }
}

/// As much is debugged as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyDebugged;

/// What its lines are called apart by from others: they are logged whatever the level is.
pub(crate) const TARGET: &str = "debugged";

impl Debugging {
    pub(crate) const TARGETS_MAX: usize = 16;
    /// The longest that one may be.
    pub(crate) const TIME_MAX: Duration = Duration::from_secs(3600);
    const LINES_PER_SECOND_MAX: u64 = 1_000;
    /// Steps of homes and of deliveries that wait to be logged.
    const STEPS_MAX: usize = 4_096;

    pub(crate) fn new() -> Debugging {
        let (sink, reader) = TraceSink::new(Debugging::STEPS_MAX);
        Debugging {
            on: AtomicBool::new(false),
            targets: RwLock::default(),
            started: Instant::now(),
            lines: Mutex::default(),
            left_out: AtomicU64::new(0),
            mark: fastrand::u64(1..),
            sink,
            reader: Mutex::new(Some(reader)),
        }
    }

    /// Where the engine tells of what homes and shards with members do, if nobody else wants it.
    pub(crate) fn sink(&self) -> &TraceSink {
        &self.sink
    }

    /// Whether anything is debugged.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Logs what this does, for so long from now; no time ends it.
    ///
    /// # Errors
    /// As much is debugged as may be.
    pub(crate) fn begin(&self, whom: Debugged, time: Duration) -> Result<(), TooManyDebugged> {
        self.end_those_over();
        let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|target| target.whom != whom);
        let outcome = match (time.is_zero(), targets.len()) {
            (true, _) => {
                tracing::info!(target: TARGET, %whom, "nothing more is logged of this");
                Ok(())
            }
            (false, Debugging::TARGETS_MAX..) => Err(TooManyDebugged),
            (false, _) => {
                tracing::info!(target: TARGET, %whom, for_ = ?time, "each step is logged");
                let since = Instant::now();
                let until = since + time;
                targets.push(DebugTarget { whom, since, until });
                Ok(())
            }
        };
        self.on.store(!targets.is_empty(), Ordering::Relaxed);
        outcome
    }

    /// What is debugged now.
    pub(crate) fn targets(&self) -> Vec<DebugTarget> {
        self.end_those_over();
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        targets.clone()
    }

    fn end_those_over(&self) {
        let now = Instant::now();
        let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        for over in targets.extract_if(.., |target| target.until <= now) {
            tracing::info!(target: TARGET, whom = %over.whom, "the time is over: nothing more is logged of this");
        }
        self.on.store(!targets.is_empty(), Ordering::Relaxed);
    }

    /// Whether a connection is debugged.
    #[cold]
    pub(crate) fn has_connection(&self, connection: ConnectionId) -> bool {
        self.has(|target| target.whom == Debugged::Connection(connection))
    }

    /// Whether a room is.
    #[cold]
    pub(crate) fn has_room(&self, room: &str) -> bool {
        self.has(|target| target.whom.is_room(room))
    }

    fn has(&self, is_it: impl Fn(&DebugTarget) -> bool) -> bool {
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if targets.iter().any(|target| target.until <= now) {
            drop(targets);
            self.end_those_over();
            return self.has(is_it);
        }
        targets.iter().any(is_it)
    }

    /// The trace of a publish to a debugged room, of which homes and shards with members tell. It
    /// goes to nobody else.
    #[cold]
    pub(crate) fn trace(&self) -> Option<TraceParent> {
        let number = self.sink.next_id();
        TraceParent::recorded(u128::from(self.mark) << 64 | u128::from(number), number)
    }

    /// Whether one more line may be logged in this second.
    pub(crate) fn may_log(&self) -> bool {
        let second = self.started.elapsed().as_secs();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.0 != second {
            *lines = (second, 0);
            let left_out = self.left_out.swap(0, Ordering::Relaxed);
            if left_out > 0 {
                tracing::info!(target: TARGET, lines = left_out, "too much was debugged: lines were left out");
            }
        }
        lines.1 += 1;
        let may = lines.1 <= Debugging::LINES_PER_SECOND_MAX;
        if !may {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// Logs a step of a trace, if it is one of a debugged room. Whether nobody else is to have it.
    pub(crate) fn take_step(&self, span: &TraceSpan) -> bool {
        if self.is_on() {
            self.log_step(span);
        }
        (span.trace >> 64) as u64 == self.mark
    }

    /// The room of a step, if it is debugged and was when the step began.
    fn room_of<'s>(&self, span: &'s TraceSpan) -> Option<&'s str> {
        const ROOM: &str = "messaging.destination.name";
        let mut attributes = span.attributes.iter();
        let room = attributes.find_map(|(name, value)| match value {
            SpanValue::Text(room) if *name == ROOM => Some(&**room),
            _ => None,
        })?;
        self.has(|target| target.whom.is_room(room) && target.since <= span.begin)
            .then_some(room)
    }

    #[cold]
    fn log_step(&self, span: &TraceSpan) {
        let Some(room) = self.room_of(span).filter(|_| self.may_log()) else {
            return;
        };
        let number = |wanted: &str| {
            span.attributes
                .iter()
                .find_map(|(name, value)| match value {
                    SpanValue::Number(number) if *name == wanted => Some(*number),
                    _ => None,
                })
        };
        tracing::info!(target: TARGET,
            %room,
            step = span.name,
            shard = number("shardcast.shard"),
            delivered = number("shardcast.delivered"),
            queued = number("shardcast.queued"),
            dropped = number("shardcast.dropped"),
            took = ?span.end.saturating_duration_since(span.begin),
            failure = span.failure.as_deref(),
            "debugged"
        );
    }

    /// Reads what homes and shards tell, for as long as something is debugged, where nobody else
    /// does; at once where that is done already.
    pub(crate) async fn read_steps(&self) {
        const LOOK: Duration = Duration::from_millis(100);
        while self.is_on() {
            let Some(reader) = self.take_reader() else {
                return;
            };
            while self.is_on() {
                tokio::time::sleep(LOOK).await;
                while let Some(span) = reader.try_recv() {
                    self.take_step(&span);
                }
                self.end_those_over();
            }
            let mut place = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            *place = Some(reader);
        }
    }

    fn take_reader(&self) -> Option<TraceReader> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> Debugged {
        Debugged::Room(name.into())
    }

    #[test]
    fn so_many_are_debugged_and_each_for_its_time() {
        let debugging = Debugging::new();
        assert!(!debugging.is_on());
        let minute = Duration::from_secs(60);
        for number in 0..Debugging::TARGETS_MAX {
            let begun = debugging.begin(room(&format!("r{number}")), minute);
            assert_eq!(begun, Ok(()));
        }
        assert_eq!(debugging.begin(room("more"), minute), Err(TooManyDebugged));
        // The same one again is not one more, and one that is over makes room.
        assert_eq!(debugging.begin(room("r0"), Duration::from_nanos(1)), Ok(()));
        assert!(!debugging.has_room("r0") && debugging.has_room("r1"));
        assert_eq!(debugging.begin(room("more"), minute), Ok(()));
        for target in debugging.targets() {
            assert_eq!(debugging.begin(target.whom, Duration::ZERO), Ok(()));
        }
        assert!(!debugging.is_on() && !debugging.has_room("more"));
    }

    #[test]
    fn lines_of_a_second_are_bounded_and_traces_are_its_own() {
        let debugging = Debugging::new();
        let many = 3 * Debugging::LINES_PER_SECOND_MAX;
        let logged = (0..many).filter(|_| debugging.may_log()).count() as u64;
        // The second may have ended meanwhile.
        assert!(logged < many && logged >= Debugging::LINES_PER_SECOND_MAX);
        let own = debugging.trace().expect("no id is zero");
        assert!(own.is_sampled());
        let now = Instant::now();
        assert!(debugging.take_step(&span(own.trace(), now)));
        assert!(!debugging.take_step(&span(1, now)));
    }

    /// A step of the room `r`, which took no time.
    fn span(trace: u128, at: Instant) -> TraceSpan {
        TraceSpan {
            trace,
            id: 1,
            parent: None,
            name: "home",
            kind: shardcast_engine::SpanKind::Internal,
            begin: at,
            end: at,
            failure: None,
            attributes: vec![("messaging.destination.name", "r".into())],
        }
    }

    #[test]
    fn steps_from_before_are_not_logged() {
        let debugging = Debugging::new();
        let before = span(1, Instant::now() - Duration::from_nanos(1));
        assert_eq!(debugging.begin(room("r"), Duration::from_secs(60)), Ok(()));
        let after = span(1, Instant::now());
        assert_eq!(debugging.room_of(&before), None);
        assert_eq!(debugging.room_of(&after), Some("r"));
        assert_eq!(debugging.begin(room("r"), Duration::ZERO), Ok(()));
        assert_eq!(debugging.room_of(&after), None);
    }
}
