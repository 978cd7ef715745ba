//! What a shard counts: one writer (the shard), any reader, relaxed.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count with one writer: adding is a load and a store, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the owning shard calls this.
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }
    /// Subtracts (gauges).
    pub fn sub(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_sub(n),
            Ordering::Relaxed,
        );
    }
    /// Sets (gauges).
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
    /// Reads, from any thread.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One counter, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its name; members of a family share it.
    pub name: &'static str,
    /// What tells a member of a family from the others: key and value.
    pub label: Option<(&'static str, &'static str)>,
    /// What it counts; the same for a whole family.
    pub help: &'static str,
    /// It goes up and down.
    pub is_gauge: bool,
    /// Just now.
    pub value: u64,
}

/// `count name;`, or `count field of family { key = "value" };` for a member of a family. Members stand together.
macro_rules! counters {
    ($($(#[doc = $doc:literal])* $kind:ident $name:ident $(of $family:ident { $key:ident = $value:literal })?;)*) => {
        /// One shard's counters.
        #[derive(Debug, Default)]
        pub struct ShardCounters { $($(#[doc = $doc])* pub $name: Counter,)* }
        impl ShardCounters {
            /// Every counter, members of a family one after the other.
            pub fn each(&self, mut visit: impl FnMut(Reading)) {
                $(visit(Reading {
                    name: first!($(stringify!($family),)? stringify!($name)),
                    label: first!($(Some((stringify!($key), $value)),)? None),
                    help: concat!($($doc),*),
                    is_gauge: matches!(stringify!($kind).as_bytes(), b"gauge"),
                    value: self.$name.get(),
                });)*
            }
        }
    };
}

macro_rules! first {
    ($first:expr $(, $rest:expr)*) => {
        $first
    };
}

counters! {
    /// Open sockets, upgrading ones included.
    gauge connections;
    /// Sockets accepted.
    count accepts;
    /// Upgrades answered with 101.
    count upgrades;
    /// Event streams opened; no upgrades.
    count event_streams;
    /// Messages posted to event streams of this shard and taken.
    count posts;
    /// Messages posted to this shard and refused: no such stream, or too many waited.
    count posts_refused;
    /// Requests for a WebSocket that were refused, by HTTP rules or by the application.
    count upgrades_refused;
    /// Other requests answered 4xx or 5xx: pages that do not exist, refused event streams and posts, heads that are no HTTP.
    count requests_refused;
    /// Requests for a WebSocket or an event stream answered 503: the connection limit, or what the shard's rings have room for.
    count refused_full;
    /// Requests for a WebSocket or an event stream answered 503: as many as may wait for a deferred admission did.
    count refused_waiting;
    /// Admissions that the application deferred.
    count admissions_deferred;
    /// Connections that wait for a deferred admission.
    gauge admissions_waiting;
    /// TLS handshakes completed.
    count tls_handshakes;
    /// TLS handshakes that resumed a session.
    count tls_resumed;
    /// TLS handshakes that failed: garbage, nothing spoken by both, a certificate refused.
    count tls_handshakes_failed;
    /// Data messages received.
    count messages_in;
    /// Bytes received; over TLS, as they came.
    count bytes_in;
    /// Frames given to connections: replies, deliveries, control frames; to event streams, events. Not what found an outbox full.
    count frames_out;
    /// HTTP answers given to connections: pages, refusals, 101s, the beginnings of event streams.
    count answers_out;
    /// Bytes of these frames and answers, before TLS.
    count bytes_out;
    /// Messages to rooms, users and everyone given to connections, once for each connection.
    count deliveries;
    /// Publishes ordered by this shard as home.
    count publishes;
    /// Send operations, those from outboxes included (frames_out / sends is frames per send).
    count sends;
    /// Sends that fell short and moved to an outbox.
    count sends_short;
    /// Bytes waiting in outboxes, as the limit of an outbox counts them: what several connections wait for counts once for each, and takes memory once.
    gauge outbox_bytes;
    /// Connections with something in their outbox.
    gauge outboxes;
    /// Deliveries dropped: the connection was closing, or was closed because they found its outbox full.
    count dropped_closing;
    /// Messages that cannot be said in a form, once for each form whose connections were not sent them.
    count dropped_untranslatable;
    /// Connections closed with 1008: outbox full.
    count closed_slow;
    /// Connections closed for breaking the protocol: of WebSockets, or of TLS after its handshake.
    count closed_protocol;
    /// Connections that were too late, by the deadline that they missed.
    count closed_deadline_handshake of closed_deadline { deadline = "handshake" };
    /// Connections that were too late, by the deadline that they missed.
    count closed_deadline_header of closed_deadline { deadline = "header" };
    /// Connections that were too late, by the deadline that they missed.
    count closed_deadline_admission of closed_deadline { deadline = "admission" };
    /// Connections that were too late, by the deadline that they missed.
    count closed_deadline_frame of closed_deadline { deadline = "frame" };
    /// Connections that were too late, by the deadline that they missed.
    count closed_deadline_message of closed_deadline { deadline = "message" };
    /// Connections that were too late, by the deadline that they missed.
    count closed_deadline_pong of closed_deadline { deadline = "pong" };
    /// Connections that were too late, by the deadline that they missed.
    count closed_deadline_progress of closed_deadline { deadline = "progress" };
    /// Connections that were too late, by the deadline that they missed.
    count closed_deadline_idle of closed_deadline { deadline = "idle" };
    /// Connections that were too late, by the deadline that they missed.
    count closed_deadline_close of closed_deadline { deadline = "close" };
    /// Connections closed with 1013 (503 before the upgrade): no memory left for their unfinished message.
    count closed_budget;
    /// Memory of unfinished heads, frames and messages, in bytes.
    gauge reassembly_bytes;
    /// Compressed messages received.
    count inflated_messages;
    /// Bytes of compressed messages as they came.
    count inflated_bytes_in;
    /// Bytes that they became.
    count inflated_bytes_out;
    /// Connections closed with 1009: a compressed message became too big, or too much bigger than it was.
    count refused_bombs;
    /// Connections closed with 1007: a message referred to an earlier one, and no window was left
    /// for its client.
    count refused_windows;
    /// Memory for clients that may refer to earlier messages though they were told not to.
    gauge windows_bytes;
    /// Messages compressed; a broadcast counts once for all who share it.
    count deflated_messages;
    /// Bytes of these messages, without frame headers.
    count deflated_bytes_in;
    /// Bytes that they were compressed to, without frame headers.
    count deflated_bytes_out;
    /// Calls of the application that panicked.
    count panics;
    /// Rooms with members on this shard, once for each form that these have.
    gauge rooms;
    /// Rooms that this shard orders.
    gauge rooms_home;
    /// Users with connections on this shard, once for each form that these have.
    gauge users;
    /// Users whose messages this shard orders.
    gauge users_home;
    /// Letters waiting in this shard's mailbox when it last looked.
    gauge lane_depth;
    /// Times a connection was not read on: a lane was full, or its answers had filled its share of the tick.
    count parked;
    /// io_uring_enter calls.
    count enters;
    /// Completions reaped (completions / enters is completions per enter).
    count completions;
    /// Times the receive buffers ran out (ENOBUFS).
    count receive_starved;
    /// Completions that the kernel had to keep in its overflow list.
    count completion_overflows;
    /// Further rings that the host refused, for want of open files or locked memory.
    count rings_refused;
    /// Receives and sends that were cancelled and begun anew, so that the kernel releases closed sockets (Linux 6.12 and older).
    count rotated;
    /// Rings in use.
    gauge rings;
    /// 1 when draining and no connection is left.
    gauge drained;
}
