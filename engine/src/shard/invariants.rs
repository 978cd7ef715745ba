//! The shard's books, checked: for the simulation, after every tick if it likes.

use super::Shard;
use crate::application::Application;
use crate::connection::membership::MemberPlace;
use crate::connection::phase::Phase;
use crate::connection::slot::{Connection, Flags};
use crate::core::Core;
use crate::driver::boundary::Driver;
use crate::egress::outgoing::Outgoing;
use crate::shard::pace::Pace;
use crate::topic::batch::{Batch, Recipients, Turn};
use crate::topic::cursor::CursorState;
use crate::topic::key::{Topic, TopicKind, TopicName};
use crate::types::encoding::EncodingId;
use shardcast_protocol::frame;
use std::collections::{BTreeMap, HashMap};

impl<A: Application, D: Driver> Shard<A, D> {
    /// Panics unless every account of the shard is consistent: slot lists, room members and
    /// memberships, outbox sums, timers, sessions.
    pub fn check_invariants(&self) {
        let (mut outbox_bytes, mut unfinished_bytes) = (0, 0);
        let (mut live, mut admitted, mut deferred) = (0, 0, 0);
        for (slot, connection) in self.core.connections.slots.iter() {
            let is_live = connection.phase != Phase::Free;
            let is_admitted = is_live && connection.flags.has(Flags::ADMITTED);
            live += usize::from(is_live);
            admitted += usize::from(is_admitted);
            deferred += usize::from(connection.phase == Phase::Authenticating);
            outbox_bytes += check_connection(slot, connection);
            unfinished_bytes += check_account(slot, connection);
            if let Some(session) = self.core.egress.tls.session(slot) {
                let kept = session.buffered_bytes();
                assert_eq!(session.counted_bytes, kept, "slot {slot}: not counted");
                unfinished_bytes += kept;
            }
            check_memory(slot, connection, &self.core);
            let session = self.sessions.get(slot).is_some_and(Option::is_some);
            assert_eq!(
                session,
                connection.phase == Phase::Open,
                "slot {slot}: a session is there while it is open"
            );
            let ended = matches!(connection.phase, Phase::Free | Phase::Retiring);
            assert!(
                !ended || !self.core.connections.timers.heartbeats.has(slot),
                "slot {slot}: a heartbeat after the end"
            );
            let waits = !matches!(connection.phase, Phase::Free | Phase::Retiring);
            // The due may have gone in the meantime.
            let due = waits && self.due.contains(&self.core.connections.slots.ticket(slot));
            assert_eq!(
                self.core.connections.timers.wheel.is_scheduled(slot) || due,
                waits,
                "slot {slot}: a deadline while it lives"
            );
        }
        assert_eq!(live, self.core.connections.slots.live());
        self.core.connections.admissions.check(admitted, deferred);
        assert_eq!(outbox_bytes as u64, self.core.counters.outbox_bytes.get());
        let reassembly_bytes = self.core.counters.reassembly_bytes.get();
        assert_eq!(reassembly_bytes, self.core.connections.budget.used());
        assert_eq!(unfinished_bytes as u64, reassembly_bytes);
        assert!(self.core.connections.budget.is_kept());
        self.check_held();
        if let Some(compressing) = &self.core.egress.compressing {
            let counted = self.core.counters.windows_bytes.get();
            let connections = &self.core.connections.slots;
            compressing.check(counted, |slot| {
                connections.ref_at(slot).flags.has(Flags::MAY_REFER)
            });
        }
        check_rooms(&self.core);
    }

    /// Where nothing waits for anybody, and nobody's last send is still under way, outboxes hold no
    /// memory.
    fn check_held(&self) {
        let core = &self.core;
        let is_going = core.connections.slots.in_phase(Phase::Retiring).next();
        let is_quiet = core.counters.outboxes.get() == 0 && is_going.is_none();
        if is_quiet && core.topics.fan_outs.is_empty() && core.egress.outgoing.is_empty() {
            assert_eq!(core.egress.held.bytes(), 0, "memory of outboxes");
        }
    }

    /// Panics unless the accounts are consistent and nothing is left over: no connection, room,
    /// home, message, report or outbox byte.
    pub fn check_quiescent(&self) {
        self.check_invariants();
        self.check_nothing_left();
    }

    /// Serves fan-outs a few transmits at a time, and encrypts a few bytes a tick of what waits, so
    /// that a small crowd shows what a large one does.
    pub fn slow_down(&mut self, transmits_per_chunk: usize, chunks_per_tick: usize) {
        self.pace = Pace {
            transmits_per_chunk,
            chunks_per_tick,
        };
        self.core.egress.tls.slow_down();
    }

    /// Panics unless the shards agree on who is a member of what. Nothing may be under way between
    /// them.
    pub fn check_together(shards: &[Shard<A, D>]) {
        let mut subscriber_lists: BTreeMap<(TopicName, EncodingId, u16), u32> = BTreeMap::new();
        let mut interest: BTreeMap<(TopicName, EncodingId, u16), u32> = BTreeMap::new();
        for Shard { core, .. } in shards {
            let shard = core.mail.shard();
            assert_eq!(core.mail.depth(), 0, "messages under way");
            for (_, subscribers) in core.topics.local.iter() {
                let members = subscribers.all().count();
                if members > 0 {
                    let key = (TopicName::of(&subscribers.key), subscribers.encoding, shard);
                    subscriber_lists.insert(key, members as u32);
                }
            }
            for (topic, pairs, members) in core.topics.homes.iter() {
                let home = core.mail.home(Some(topic.topic()));
                assert_eq!(home, shard, "{topic:?}: another's");
                let sum: u32 = pairs.iter().map(|pair| pair.members).sum();
                assert_eq!(sum, members, "{topic:?}");
                assert!(pairs.is_sorted_by_key(|pair| (pair.encoding, pair.shard)));
                for pair in pairs {
                    let members =
                        interest.insert((topic.clone(), pair.encoding, pair.shard), pair.members);
                    assert_eq!(members, None, "{topic:?}: two homes, or a pair twice");
                }
            }
            assert!(
                !core.topics.homes.has_refusals(),
                "refusals that nobody notes"
            );
        }
        assert_eq!(
            subscriber_lists, interest,
            "members, and what their homes know"
        );
    }

    /// The topics that this shard orders, with their members on all shards.
    pub fn topics(&self) -> Vec<(TopicName, u32)> {
        let topics = self.core.topics.homes.iter();
        let named = topics.map(|(topic, _, members)| (topic, members));
        named.collect()
    }

    fn check_nothing_left(&self) {
        let core = &self.core;
        assert_eq!(core.connections.slots.live(), 0, "connections left");
        assert_eq!(
            (core.topics.local.rooms(), core.topics.local.users()),
            (0, 0),
            "subscriber_lists left"
        );
        assert!(core.topics.homes.is_empty(), "home topics left");
        assert!(core.topics.cursors.is_empty(), "cursors left");
        assert!(core.topics.presences.is_empty(), "members left");
        assert!(core.topics.seats.is_empty(), "connections of users left");
        assert!(core.topics.filters.is_empty(), "filters left");
        assert_eq!(core.mail.depth(), 0, "messages left");
        assert!(!core.mail.is_waiting(), "messages wait for room");
        assert!(core.queries.is_empty(), "reports pending");
        assert!(
            core.topics.fan_outs.is_empty()
                && core.topics.delayed.is_empty()
                && !core.topics.delayed.has_ready(),
            "deliveries left"
        );
        assert!(core.egress.outgoing.is_empty(), "transmits left");
        assert_eq!(core.egress.held.bytes(), 0, "memory of outboxes left");
        assert_eq!(core.topics.presences.bytes(), 0, "memory of members left");
        assert_eq!(
            (
                core.counters.outboxes.get(),
                core.counters.outbox_bytes.get()
            ),
            (0, 0)
        );
        assert!(
            core.connections.pending_work.ended.is_empty()
                && core.connections.pending_work.abandoned.is_empty()
                && core.connections.pending_work.retire.is_empty(),
            "endings left"
        );
    }
}

fn check_connection(slot: u32, connection: &Connection) -> usize {
    let Some(cold) = &connection.cold else {
        assert!(
            !connection.flags.has(Flags::BACKLOG),
            "slot {slot}: backlog without an outbox"
        );
        return 0;
    };
    assert!(
        !matches!(connection.phase, Phase::Free | Phase::Retiring),
        "slot {slot}: a cold part after the end"
    );
    cold.outbox.check_invariants();
    assert_eq!(
        connection.flags.has(Flags::BACKLOG),
        !cold.outbox.is_empty(),
        "slot {slot}: backlog and outbox"
    );
    cold.outbox.bytes()
}

/// What a connection holds stands in the account, and nothing is held for those who are not read
/// any more.
fn check_account(slot: u32, connection: &Connection) -> usize {
    let Some(cold) = &connection.cold else {
        return 0;
    };
    let held = cold.buffered_bytes();
    assert_eq!(cold.counted_bytes, held, "slot {slot}: not counted");
    let reads = matches!(
        connection.phase,
        Phase::Upgrading | Phase::Authenticating | Phase::Open | Phase::Closing
    );
    assert!(reads || held == 0, "slot {slot}: {held} bytes for nobody");
    held
}

/// What one peer makes the shard keep is within its limits: a head or a frame, and an outbox with
/// the rest of one transmit.
fn check_memory(slot: u32, connection: &Connection, core: &Core) {
    let Some(cold) = &connection.cold else { return };
    let message_bytes_max = core.connections.limits.message_bytes_max;
    let frame_bytes_max = message_bytes_max[connection.listener as usize] + frame::HEADER_BYTES_MAX;
    let input = cold.input.len();
    let input_max = frame_bytes_max.max(core.connections.limits.head.head_bytes_max);
    // A parked connection keeps what had arrived before its receive stopped, which the receive
    // buffers bound.
    assert!(
        connection.flags.has(Flags::PARKED) || input <= input_max,
        "slot {slot}: {input} bytes of an unfinished frame"
    );
    // What it is sent may have come by any listener.
    let largest = message_bytes_max.into_iter().max().unwrap_or_default();
    let transmit_bytes_max =
        Outgoing::SEGMENTS_MAX * (Batch::BYTES_MAX + largest + frame::HEADER_BYTES_MAX);
    let waiting = cold.outbox.bytes();
    assert!(
        waiting <= core.egress.outbox.bytes_max + transmit_bytes_max,
        "slot {slot}: {waiting} bytes in its outbox"
    );
}

/// Members and memberships mirror each other, and subscribers are referred to as often as they
/// count.
fn check_rooms(core: &Core) {
    let mut references: HashMap<u32, u32> = HashMap::new();
    let encodings = core.connections.admissions.process.encodings.get();
    for (slot, connection) in core.connections.slots.iter() {
        let memberships = core.connections.slots.memberships_ref(slot);
        assert!(
            memberships.is_empty() || connection.phase == Phase::Open,
            "slot {slot}: in a room while not open"
        );
        let encoding = connection.flags.encoding();
        assert!(
            connection.phase != Phase::Open || encodings.has(encoding),
            "slot {slot}: an encoding not seen"
        );
        let users = memberships
            .iter()
            .filter(|membership| membership.is_wanted() && membership.kind == TopicKind::User);
        assert!(users.count() <= 1, "slot {slot}: two users");
        for membership in memberships.iter() {
            let subscribers = core.topics.local.subscribers_ref(membership.subscribers);
            assert_eq!(
                subscribers.encoding.of_connections(),
                encoding,
                "slot {slot}: subscribed in another encoding"
            );
            assert_eq!(subscribers.key.kind(), membership.kind);
            let decided = membership.in_flight == 0;
            let inside = membership.place() != MemberPlace::Outside;
            assert!(
                !decided || membership.is_wanted() && inside,
                "slot {slot}: {membership:?}"
            );
            *references.entry(membership.subscribers).or_default() += 1;
            let ticket = core.connections.slots.ticket(slot);
            match membership.place() {
                MemberPlace::Outside => {}
                MemberPlace::Member(index) => assert_eq!(subscribers.members[index], ticket),
                MemberPlace::Behind(index) => assert_eq!(subscribers.behind()[index], ticket),
            }
        }
    }
    check_batches(core, &references);
    check_cursors(core);
    check_deltas(core);
    check_filters(core);
    for (_, subscribers) in core.topics.local.iter() {
        let acks = subscribers.log.as_ref().and_then(|log| log.acks.as_ref());
        if let Some(acks) = acks {
            acks.check(|who| subscribers.all().any(|member| member == who));
        }
    }
}

/// Whoever is behind has a cursor, which waits for something that comes, and nobody else has one.
fn check_cursors(core: &Core) {
    let cursors = &core.topics.cursors;
    let behind = core.topics.local.iter();
    let behind = behind.map(|(_, subscribers)| subscribers.behind().len());
    assert_eq!(cursors.count(), behind.sum::<usize>());
    assert_eq!(cursors.count(), cursors.iter().count());
    for (slot, cursor) in cursors.iter() {
        let subscribers = core.topics.local.subscribers_ref(cursor.subscribers);
        let ticket = core.connections.slots.ticket(slot);
        assert!(subscribers.behind().contains(&ticket), "slot {slot}");
        match cursor.state {
            CursorState::Outbox => {
                let flags = core.connections.slots.ref_at(slot).flags;
                assert!(flags.has(Flags::BACKLOG), "slot {slot}: waits for nothing");
            }
            CursorState::Turn => assert!(cursors.is_ready(slot, cursor.subscribers)),
            CursorState::Answer => {}
        }
    }
    let homes = &core.topics.homes;
    core.topics.logs.check(|topic| homes.members(topic) > 0);
    core.topics.presences.check(|topic| homes.members(topic));
    let seats = &core.topics.seats;
    seats.check(|user| homes.members(Topic::User(user)));
}

/// Who has nothing to build on is a member that is sent deltas, and a base is there for some.
fn check_deltas(core: &Core) {
    let topics = &core.topics;
    for (subscribers, who) in topics.baseless.iter() {
        let subscribers = topics.local.subscribers_ref(subscribers);
        assert!(subscribers.encoding.has_deltas());
        assert!(subscribers.all().any(|member| member == who), "a stranger");
    }
    let homes = &topics.homes;
    topics
        .bases
        .check(|room| homes.has_deltas(Topic::Room(room)));
}

/// Whoever is a member with a filter has one, and nobody else whose membership is over.
fn check_filters(core: &Core) {
    let (topics, slots) = (&core.topics, &core.connections.slots);
    for (index, members) in topics.filters.check() {
        let subscribers = topics.local.subscribers_ref(index);
        assert!(subscribers.encoding.has_filter());
        for who in members.keys() {
            let mut memberships = slots.memberships_ref(who.slot).iter();
            let is_one = memberships.any(|membership| membership.subscribers == index);
            assert!(is_one && slots.ticket(who.slot) == *who, "a stranger");
        }
    }
    for (index, subscribers) in topics.local.iter() {
        let has_filter = subscribers.encoding.has_filter();
        let places = topics.filters.places(index);
        let mut members = subscribers.all();
        assert!(!has_filter || members.all(|member| places.contains_key(&member)));
    }
}

/// A batch keeps its subscribers as long as something of it is under way.
fn check_batches(core: &Core, references: &HashMap<u32, u32>) {
    core.topics.delayed.check(|recipients| {
        let turn = match recipients {
            Recipients::Topic(index) => core.topics.local.subscribers_ref(index).turn,
            Recipients::Everyone(encoding) => core.topics.everyone[encoding.index()].turn,
        };
        turn != Turn::Free
    });
    for (index, subscribers) in core.topics.local.iter() {
        let busy = u32::from(subscribers.turn != Turn::Free);
        assert!(
            busy == 0 || !subscribers.has_batch(),
            "{:?}: a batch that overtakes",
            subscribers.key
        );
        assert_eq!(
            subscribers.references(),
            references.get(&index).copied().unwrap_or(0) + busy,
            "references of {:?}",
            subscribers.key
        );
        for member in subscribers.all() {
            let memberships = core.connections.slots.memberships_ref(member.slot);
            assert!(
                memberships
                    .iter()
                    .any(|membership| membership.subscribers == index),
                "{:?}: a stranger",
                subscribers.key
            );
        }
    }
}
