//! What a shard knows and has pending, apart from its driver and its application: the part that a
//! `Context` may touch.
//!
//! Nothing here talks to the kernel. What the driver must do is written into the agenda and the
//! transmits, and the shard carries it out when its tick gets there.

pub(crate) mod asking;
pub(crate) mod at_hand;
pub(crate) mod catching_up;
pub(crate) mod encode;
pub(crate) mod ending;
pub(crate) mod history;
pub(crate) mod meaning;
pub(crate) mod presence;
pub(crate) mod publishing;
pub(crate) mod querying;
pub(crate) mod reassembly;
pub(crate) mod releasing;
pub(crate) mod rooms;
pub(crate) mod tls;
pub(crate) mod writing;

use crate::config::Config;
use crate::connection::admission::ProcessCounts;
use crate::connection::admissions::Admissions;
use crate::connection::budget::MemoryBudget;
use crate::connection::input::SpareBuffers;
use crate::connection::outbox::{Encryption, OutboxLimits};
use crate::connection::pauses::Pauses;
use crate::connection::phase::{Phase, Step};
use crate::connection::slot::{ACTIVITY_MS, Connections, Flags};
use crate::connection::timers::Timers;
use crate::connection::token::TokenKey;
use crate::core::at_hand::AtHand;
use crate::core::meaning::Meaning;
use crate::counters::ShardCounters;
use crate::driver::boundary::{Millis, ShortSend};
use crate::egress::deflate::Compressing;
use crate::egress::outgoing;
use crate::egress::outgoing::{Outgoing, Shared};
use crate::egress::tls::sessions::TlsSessions;
use crate::events::EventSink;
use crate::listener::{Listener, ProxyProtocol};
use crate::message::lane::Mailbox;
use crate::query::gather::Queries;
use crate::topic::log::logs::Logs;
use crate::topic::presence::presences::Presences;
use crate::topic::topics::Topics;
use crate::types::close_reason::CloseReason;
use crate::types::same_user::SameUser;
use crate::types::ticket::{Address, Ticket};
use bytes::Bytes;
use shardcast_protocol::deflate::Agreement;
use shardcast_protocol::events::{self, Framing};
use shardcast_protocol::http::{self, Answer, HeadLimits, Headers, Persistence};
use shardcast_protocol::upgrade;
use std::sync::Arc;

/// The shard's own state.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) limits: Limits,
    pub(crate) now: Millis,
    pub(crate) connections: Connections,
    pub(crate) timers: Timers,
    pub(crate) pauses: Pauses,
    pub(crate) topics: Topics,
    pub(crate) queries: Queries,
    pub(crate) mail: Mailbox,
    pub(crate) outgoing: Outgoing,
    pub(crate) pending_work: PendingWork,
    /// The rooms of the connection of whose end the application is being called; empty at all other
    /// times.
    pub(crate) left: Vec<Arc<str>>,
    pub(crate) spare: SpareBuffers,
    /// The large message that the application is being given.
    pub(crate) message: AtHand,
    /// Of unfinished input.
    pub(crate) budget: MemoryBudget,
    pub(crate) tls: TlsSessions,
    pub(crate) compressing: Option<Box<Compressing>>,
    pub(crate) admissions: Admissions,
    /// `None`: there are no event streams.
    pub(crate) streams: Option<Streams>,
    pub(crate) events: EventSink,
    pub(crate) counters: Arc<ShardCounters>,
    meaning: Meaning,
}

/// A call of the application on this shard panicked.
fn count_panic(counters: &ShardCounters, shard: u16, ticket: Option<Ticket>) {
    counters.panics.add(1);
    let slot = ticket.map(|ticket| ticket.slot);
    tracing::error!(shard, slot, "a handler panicked");
}

/// The checked configuration, in the units that the shard uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// By listener.
    pub(crate) message_bytes_max: [usize; Listener::COUNT_MAX],
    /// One bit for each listener on which proxies say who their clients are.
    proxied: u8,
    pub(crate) outbox: OutboxLimits,
    pub(crate) same_user: SameUser,
    pub(crate) rooms_per_connection_max: usize,
    pub(crate) room_name_bytes_max: usize,
    pub(crate) head: HeadLimits,
    pub(crate) handshake_ms: Millis,
    pub(crate) header_ms: Millis,
    pub(crate) keep_alive_ms: Millis,
    /// Connections of this shard with which one more may wait for its next request.
    pub(crate) live_kept_max: usize,
    pub(crate) admission_ms: Millis,
    pub(crate) frame_ms: Millis,
    pub(crate) message_ms: Millis,
    pub(crate) heartbeat_ms: Millis,
    pub(crate) pong_ms: Millis,
    pub(crate) progress_ms: Millis,
    pub(crate) idle_ms: Millis,
    pub(crate) close_ms: Millis,
}

/// The shard's share of the memory for unfinished input. An eighth is left to those who hold
/// little, less where the largest message needs it.
fn budget(config: &Config) -> MemoryBudget {
    let bytes_max = config.reassembly_bytes_max / config.shards;
    let least = Config::shard_reassembly_bytes_min(config.message_bytes_max());
    let reserve_bytes = (bytes_max / 8).min(bytes_max.saturating_sub(least));
    MemoryBudget::new(bytes_max as u64, (bytes_max - reserve_bytes) as u64)
}

/// The listeners with PROXY headers.
fn proxied(config: &Config) -> u8 {
    const _: () = assert!(Listener::COUNT_MAX <= u8::BITS as usize);
    let listeners = config.listeners.iter().enumerate();
    let proxied = listeners.filter(|(_, it)| it.proxy_protocol == ProxyProtocol::On);
    proxied.fold(0, |bits, (index, _)| bits | 1 << index)
}

impl Limits {
    /// Whether what connects to a listener begins with a PROXY header.
    pub(crate) fn expects_proxies(&self, listener: u8) -> bool {
        self.proxied & 1 << listener != 0
    }

    fn of(config: &Config) -> Limits {
        Limits {
            message_bytes_max: std::array::from_fn(|listener| {
                let listener = config.listeners.get(listener);
                listener.map_or(0, |listener| listener.message_bytes_max)
            }),
            proxied: proxied(config),
            outbox: OutboxLimits {
                bytes_max: config.outbox_bytes_max,
                sends_max: config.outbox_frames_max,
            },
            same_user: config.same_user,
            rooms_per_connection_max: config.rooms_per_connection_max,
            room_name_bytes_max: config.room_name_bytes_max,
            head: HeadLimits {
                head_bytes_max: config.head_bytes_max,
                headers_max: config.headers_max,
            },
            handshake_ms: config.handshake_timeout.as_millis() as Millis,
            header_ms: config.header_timeout.as_millis() as Millis,
            keep_alive_ms: config.keep_alive_timeout.as_millis() as Millis,
            live_kept_max: config.share_per_shard(),
            admission_ms: config.admission_timeout.as_millis() as Millis,
            frame_ms: config.frame_timeout.as_millis() as Millis,
            message_ms: config.message_timeout.as_millis() as Millis,
            heartbeat_ms: config.heartbeat.as_millis() as Millis,
            pong_ms: config.pong_timeout.as_millis() as Millis,
            progress_ms: config.progress_timeout.as_millis() as Millis,
            idle_ms: config.idle_timeout.as_millis() as Millis,
            close_ms: config.close_timeout.as_millis() as Millis,
        }
    }
}

/// What the driver and the application are still to hear of. Emptied every tick.
#[derive(Debug, Default)]
pub(crate) struct PendingWork {
    /// The outbox may have a send to start.
    pub(crate) kick: Vec<Ticket>,
    /// Flushing or lingering: look again once this turn's sends are settled.
    pub(crate) finish: Vec<Ticket>,
    /// To be closed by the driver.
    pub(crate) retire: Vec<Ticket>,
    /// To be received for.
    pub(crate) arm: Vec<Ticket>,
    /// Not to be received for until a lane has room.
    pub(crate) park: Vec<Ticket>,
    /// Left the open state: the application is called once.
    pub(crate) ended: Vec<Ended>,
    /// Ended before their deferred admission was decided: the application is called once.
    pub(crate) abandoned: Vec<Ticket>,
}

impl PendingWork {
    /// Whether the driver has anything to hear. Asked twice a tick.
    #[inline]
    pub(crate) fn has_operations(&self) -> bool {
        let lists = [&self.arm, &self.park, &self.kick, &self.retire];
        lists.iter().any(|list| !list.is_empty())
    }

    /// Whether the application has to hear of an end. Asked once a message.
    #[inline]
    pub(crate) fn has_ends(&self) -> bool {
        !self.ended.is_empty() || !self.abandoned.is_empty()
    }
}

/// A connection that left the open state.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) ticket: Ticket,
    pub(crate) reason: CloseReason,
    /// Those that it was in or on its way into.
    pub(crate) rooms: Vec<Arc<str>>,
}

/// Where event streams are, and who may post to them.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) path: String,
    pub(crate) key: TokenKey,
}

impl Core {
    pub(crate) fn new(
        config: &Config,
        mail: Mailbox,
        admission: ProcessCounts,
        token_key: Option<TokenKey>,
        counters: Arc<ShardCounters>,
        meaning: Meaning,
    ) -> Core {
        let congestion = admission.congestion.seeded(mail.seed());
        let logs = Logs::new(config, mail.seed(), mail.shard());
        Core {
            limits: Limits::of(config),
            now: 0,
            connections: Connections::default(),
            timers: Timers::new(),
            pauses: Pauses::default(),
            topics: Topics::new(congestion, logs, Presences::new(config)),
            queries: Queries::default(),
            events: EventSink::default(),
            mail,
            outgoing: Outgoing::default(),
            pending_work: PendingWork::default(),
            left: Vec::new(),
            spare: SpareBuffers::default(),
            message: AtHand::None,
            budget: budget(config),
            tls: TlsSessions::new(config),
            compressing: config
                .compression
                .clone()
                .map(|options| Box::new(Compressing::new(options, config.shards))),
            admissions: Admissions::new(admission, config.deferred_max / config.shards),
            streams: (config.event_streams.clone())
                .zip(token_key)
                .map(|(path, key)| Streams { path, key }),
            counters,
            meaning,
        }
    }

    /// A call of the application panicked: about this connection, if it was about one.
    pub(crate) fn count_panic(&self, ticket: Option<Ticket>) {
        count_panic(&self.counters, self.mail.shard(), ticket);
    }

    /// Whether the application does not want the connection to be read yet.
    #[inline]
    pub(crate) fn is_paused(&self, ticket: Ticket) -> bool {
        !self.pauses.is_empty() && self.pauses.holds(ticket, self.now)
    }

    pub(crate) fn address(&self, ticket: Ticket) -> Address {
        Address {
            shard: self.mail.shard(),
            ticket,
        }
    }

    /// The time in the unit of [`crate::connection::slot::Connection::last_activity`].
    pub(crate) fn activity_now(&self) -> u32 {
        (self.now / ACTIVITY_MS) as u32
    }

    /// Answers a request; the next one has its own time to come.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: &Answer<'_>) {
        let answer = Answer {
            keep_alive_seconds: self.limits.keep_alive_ms / 1_000,
            ..*answer
        };
        self.write(ticket, |out| http::write_answer(out, &answer));
        // The answer may have found the outbox full and ended it all.
        if self.connections.phase(ticket) == Phase::Upgrading {
            self.connections.at(ticket.slot).last_activity = self.activity_now();
            let first = self.limits.keep_alive_ms.min(self.limits.handshake_ms);
            self.timers.wheel.schedule(ticket.slot, self.now + first);
        }
    }

    /// What becomes of a connection that the client would keep: none waits for a next request where
    /// a shard's share of all connections is taken, or the `room` that its driver has, so that
    /// those who come have a place.
    pub(crate) fn persistence(&self, wanted: Persistence, room: usize) -> Persistence {
        if self.connections.live() > self.limits.live_kept_max.min(room) {
            return Persistence::Close;
        }
        wanted
    }

    /// Answers with the beginning of an event stream: the connection is open.
    pub(crate) fn open_stream(&mut self, ticket: Ticket, framing: Framing, headers: &Headers) {
        let streams = self.streams.as_ref().expect("a request met their path");
        let token = streams.key.token(self.address(ticket));
        let flags = &mut self.connections.at(ticket.slot).flags;
        flags.set(Flags::STREAM);
        if framing == Framing::Chunked {
            flags.set(Flags::CHUNKED);
        }
        self.counters.event_streams.add(1);
        self.open_with(ticket, |out| {
            events::write_opening(out, &token, framing, headers);
        });
    }

    /// Answers 101: the connection is open.
    pub(crate) fn open(
        &mut self,
        ticket: Ticket,
        key: &str,
        subprotocol: Option<&str>,
        agreement: Option<Agreement>,
        headers: &Headers,
    ) {
        self.counters.upgrades.add(1);
        self.open_with(ticket, |out| {
            upgrade::write_accept(out, key, subprotocol, agreement.as_ref(), headers);
        });
        if let Some((agreement, compressing)) = agreement.zip(self.compressing.as_mut()) {
            let flags = &mut self.connections.at(ticket.slot).flags;
            compressing.agree(ticket.slot, flags, agreement, &self.admissions.process);
        }
    }

    fn open_with(&mut self, ticket: Ticket, fill: impl FnOnce(&mut Vec<u8>)) {
        let last_activity = self.activity_now();
        let connection = self.connections.at(ticket.slot);
        self.admissions.leave_phase(connection.phase);
        connection.phase = connection
            .phase
            .after(Step::Upgrade)
            .expect("only a connection that has asked for it opens");
        connection.last_activity = last_activity;
        let encodings = &self.admissions.process.encodings;
        encodings.add(connection.flags.encoding());
        tracing::trace!(connection = %self.address(ticket), "opened");
        self.write(ticket, fill);
        let silence = self.limits.heartbeat_ms.min(self.limits.idle_ms);
        self.timers.wheel.schedule(ticket.slot, self.now + silence);
    }

    /// The driver closed the socket: the slot is free again.
    pub(crate) fn release(&mut self, ticket: Ticket) {
        let flags = self.connections.at(ticket.slot).flags;
        self.admissions.leave(flags);
        if let Some(compressing) = &mut self.compressing {
            let process = &self.admissions.process;
            compressing.forget(ticket.slot, flags, process, &self.counters);
        }
        self.connections.release(ticket.slot);
        self.counters.connections.sub(1);
    }

    /// Appends bytes that others are sent, too: `frames` complete frames. False when that
    /// closed the connection.
    pub(crate) fn append_shared(
        &mut self,
        ticket: Ticket,
        shared: Shared,
        bytes: &Bytes,
        start: usize,
        end: usize,
    ) -> bool {
        let connection = self.connections.at(ticket.slot);
        if !connection.flags.has(Flags::BACKLOG)
            && self
                .outgoing
                .attach_shared(ticket, &mut connection.transmit, shared, start, end)
        {
            if connection.flags.has(Flags::TLS) {
                self.outgoing.expect_encryption(end - start);
            }
            return true;
        }
        self.queue(ticket, outgoing::piece(bytes, start, end))
    }

    /// Puts bytes behind what already waits. False when the outbox was full: the connection is
    /// being closed for it.
    fn queue(&mut self, ticket: Ticket, bytes: Bytes) -> bool {
        let encryption = self.connections.at(ticket.slot).flags.encryption();
        self.begin_backlog(ticket, 0, encryption);
        let outbox = &mut self.connections.at(ticket.slot).cold().outbox;
        let len = bytes.len() as u64;
        if outbox.push(bytes, encryption, self.limits.outbox).is_err() {
            self.evict_slow(ticket);
            return false;
        }
        self.counters.outbox_bytes.add(len);
        true
    }

    /// From here everything for this connection goes through its outbox. It begins with what is
    /// pending for the connection in this turn, behind the first `skip` bytes, whatever the
    /// outbox's limits are: that was accepted already.
    fn begin_backlog(&mut self, ticket: Ticket, skip: usize, encryption: Encryption) {
        let connection = self.connections.at(ticket.slot);
        if connection.flags.has(Flags::BACKLOG) {
            return;
        }
        connection.flags.set(Flags::BACKLOG);
        self.counters.outboxes.add(1);
        let at = connection.transmit;
        let mut rest = Vec::new();
        self.outgoing.remainder(ticket, at, skip, &mut rest);
        let cold = connection.cold();
        cold.moved_at = self.now;
        for bytes in rest {
            self.counters.outbox_bytes.add(bytes.len() as u64);
            cold.outbox.force(bytes, encryption);
        }
        if connection.phase == Phase::Open {
            let at = self.now + self.limits.progress_ms;
            self.timers.wheel.advance(ticket.slot, at);
        }
        self.pending_work.kick.push(ticket);
    }

    /// A transmit did not leave completely: its rest waits in the outbox.
    pub(crate) fn queue_rest(&mut self, short_send: ShortSend) {
        if short_send.failed {
            self.retire(short_send.ticket);
            return;
        }
        let Some(connection) = self.connections.get(short_send.ticket) else {
            return;
        };
        if connection.phase == Phase::Retiring {
            return;
        }
        self.counters.sends_short.add(1);
        // What a turn has handed over is encrypted.
        self.begin_backlog(short_send.ticket, short_send.count, Encryption::Done);
    }

    /// A tracked send ended.
    pub(crate) fn sent(&mut self, ticket: Ticket, count: usize, failed: bool) {
        let Some(connection) = self.connections.get(ticket) else {
            return;
        };
        if connection.phase == Phase::Retiring {
            return;
        }
        let cold = connection.cold();
        cold.outbox.finish_send(count);
        self.counters.outbox_bytes.sub(count as u64);
        if !cold.outbox.is_empty() {
            if count > 0 {
                cold.moved_at = self.now;
            }
            self.pending_work.kick.push(ticket);
        } else {
            connection.flags.clear(Flags::BACKLOG);
            self.counters.outboxes.sub(1);
            connection.release_cold(&mut self.spare);
            if !self.topics.cursors.is_empty() {
                self.topics.cursors.outbox_emptied(ticket);
            }
            if matches!(connection.phase, Phase::Flushing | Phase::Lingering) {
                self.pending_work.finish.push(ticket);
            }
        }
        if failed {
            self.retire(ticket);
        }
    }
}
