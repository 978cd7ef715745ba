//! What a shard counts. Written by the shard and its driver, read by anybody.

use crate::activity::Activity;
use crate::driver::counters::DriverCounters;
use crate::endings::EndingCounters;
use crate::reading::counters;
use crate::topic::busiest::BusyRooms;

counters! {
    /// One shard's counters.
    ShardCounters {
        /// What its driver counts.
        driver: DriverCounters,
        /// Closes by code, refusals by status.
        endings: EndingCounters,
        /// What it is doing.
        activity: Activity,
        /// Rooms that much is published to.
        busiest: BusyRooms
    };
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
    /// Other requests answered 4xx or 5xx: pages that do not exist, refused event streams and
    /// posts, heads that are no HTTP.
    count requests_refused;
    /// Connections that the application did not want to hear from, by their address.
    count arrivals_refused;
    /// Connections closed where a PROXY header was expected: none came, it was malformed, or the
    /// proxy is not trusted.
    count proxies_refused;
    /// Requests for a WebSocket or an event stream answered 503: the connection limit, or what the
    /// shard's rings have room for.
    count refused_full;
    /// Requests answered 503: as many as may wait for a deferred admission, or for their tick, did.
    count refused_waiting;
    /// Admissions that the application deferred.
    count admissions_deferred;
    /// Connections that wait for a deferred admission.
    gauge admissions_waiting;
    /// From a socket's accept, or the answer to its request before, to its 101 or the beginning of
    /// its event stream; in whole milliseconds.
    times handshake_seconds;
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
    /// Frames given to connections: replies, deliveries, control frames; to event streams, events.
    /// Not what found an outbox full.
    count frames_out;
    /// HTTP answers given to connections: pages, refusals, 101s, the beginnings of event streams.
    count answers_out;
    /// Bytes of these frames and answers, before TLS.
    count bytes_out;
    /// Messages to rooms, users and everyone given to connections, once for each connection.
    count deliveries;
    /// Publications that a member was not sent because of its filter, once for each member.
    count filtered;
    /// Publishes ordered by this shard as home.
    count publishes;
    /// Publishes that were not ordered: another one with the same key was before.
    count publishes_repeated;
    /// Topics that this shard orders whose members it knows one by one.
    gauge presences;
    /// What members of topics were told of each other, once for each topic and change or count.
    count presence_events;
    /// Messages to users without connections that wait for one.
    count offline_queued;
    /// Messages to users without connections that were dropped: for as many users as may something
    /// waited.
    count offline_refused;
    /// Keys that maps held for as long as they may, and that were removed.
    count map_keys_expired;
    /// Publishes for which a map, or all maps of the shard together, had no room.
    count map_refused;
    /// Logs of topics that this shard orders.
    gauge logs;
    /// What these hold, in bytes: frames, 128 for each publication, and what was encoded of them
    /// for readers.
    gauge log_bytes;
    /// 1 while a log waits for the store of those that outlive the process: as much as may waits
    /// for it.
    gauge store_behind;
    /// Members of topics that read its log instead of what is published: they go on from an earlier
    /// position, or were too slow.
    gauge cursors;
    /// Joins that went on from the position that they gave.
    count recoveries;
    /// Joins that could not go on from the position that they gave, by reason.
    count recoveries_lost_epoch_changed of recoveries_lost { reason = "epoch_changed" };
    /// Joins that could not go on from the position that they gave, by reason.
    count recoveries_lost_trimmed_by_size of recoveries_lost { reason = "trimmed_by_size" };
    /// Joins that could not go on from the position that they gave, by reason.
    count recoveries_lost_trimmed_by_age of recoveries_lost { reason = "trimmed_by_age" };
    /// Joins that could not go on from the position that they gave, by reason.
    count recoveries_lost_limit of recoveries_lost { reason = "limit" };
    /// Publications that members were sent from a log.
    count caught_up;
    /// Publications that members were not sent because they read too slowly, by reason; with
    /// `unacknowledged` those that they were sent, and did not acknowledge.
    count missed_dropped of missed { reason = "dropped" };
    /// Publications that members were not sent because they read too slowly, by reason; with
    /// `unacknowledged` those that they were sent, and did not acknowledge.
    count missed_conflated of missed { reason = "conflated" };
    /// Publications that members were not sent because they read too slowly, by reason; with
    /// `unacknowledged` those that they were sent, and did not acknowledge.
    count missed_trimmed_by_size of missed { reason = "trimmed_by_size" };
    /// Publications that members were not sent because they read too slowly, by reason; with
    /// `unacknowledged` those that they were sent, and did not acknowledge.
    count missed_trimmed_by_age of missed { reason = "trimmed_by_age" };
    /// Publications that members were not sent because they read too slowly, by reason; with
    /// `unacknowledged` those that they were sent, and did not acknowledge.
    count missed_unacknowledged of missed { reason = "unacknowledged" };
    /// Publications that members have acknowledged, once for each member.
    count acknowledged;
    /// Publications that members were sent again, as they had not acknowledged them.
    count redelivered;
    /// Times a member was too slow and became a reader of the log.
    count fell_behind;
    /// Send operations, those from outboxes included (frames_out / sends is frames per send).
    count sends;
    /// Sends that fell short and moved to an outbox.
    count sends_short;
    /// How long a send from an outbox took, or each part of it: the time for which a client read
    /// too slowly for its socket; in whole milliseconds.
    times send_seconds;
    /// Bytes waiting in outboxes, as the limit of an outbox counts them: what several connections
    /// wait for counts once for each, and takes memory once.
    gauge outbox_bytes;
    /// Connections with something in their outbox.
    gauge outboxes;
    /// Deliveries dropped: the connection was closing, or was closed because they found its outbox
    /// full.
    count dropped_closing;
    /// Messages that cannot be encoded, once for each encoding whose connections were
    /// not sent them.
    count dropped_untranslatable;
    /// Connections closed with 1008: outbox full.
    count closed_slow;
    /// Connections closed without a word: memory was short, and most waited for them.
    count closed_memory;
    /// Requests for a WebSocket or an event stream answered 503: memory was short.
    count refused_memory;
    /// Publishes that were refused: memory was short, and their topic took most of it.
    count publishes_refused;
    /// Memory that connections and topics hold, in bytes, as the process's budget counts it.
    gauge held_bytes;
    /// Connections closed with 4020: another one of the same user took their place.
    count closed_replaced;
    /// Connections closed with 4120: their user had as many as it may have.
    count closed_too_many;
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
    /// Connections closed with 1013 (503 before the upgrade): no memory left for their unfinished
    /// message.
    count closed_budget;
    /// Memory of unfinished heads, frames and messages, in bytes.
    gauge reassembly_bytes;
    /// Compressed messages received.
    count inflated_messages;
    /// Bytes of compressed messages as they came.
    count inflated_bytes_in;
    /// Bytes that they became.
    count inflated_bytes_out;
    /// Connections closed with 1009: a compressed message became too big, or too much bigger than
    /// it was.
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
    /// Rooms with members on this shard, once for each encoding that these have.
    gauge rooms;
    /// Rooms that this shard orders.
    gauge rooms_home;
    /// Users with connections on this shard, once for each encoding that these have.
    gauge users;
    /// Users whose messages this shard orders.
    gauge users_home;
    /// Messages waiting in this shard's mailbox when it last looked.
    gauge lane_depth;
    /// Requests of the application's code that were refused or not sent: as many waited for other
    /// shards as may.
    count asks_refused;
    /// Times a connection was not read on: a lane was full, or its answers had filled its share of
    /// the tick.
    count parked;
    /// Times that the shard panicked and began anew.
    count restarts;
    /// For how long the shard has been in one tick, in milliseconds, where that is longer than it
    /// may be.
    gauge stuck_ms;
    /// 1 when draining and no connection is left.
    gauge drained;
}
