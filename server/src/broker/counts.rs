//! What a bridge counts, for operators. Written by its tasks, read by anybody.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of one bridge.
#[derive(Debug)]
pub(crate) struct BridgeCounts {
    values: [AtomicU64; BridgeCount::ALL.len()],
}

impl Default for BridgeCounts {
    fn default() -> BridgeCounts {
        BridgeCounts {
            values: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BridgeCount {
    /// 1 while there is a connection to the broker.
    Connected,
    /// Addresses that the node wants to hear.
    Subjects,
    Losses,
    Subscribes,
    Unsubscribes,
    Resyncs,
    Sent,
    SentLost,
    SentDropped,
    SentTooLarge,
    Received,
    ReceivedDropped,
    ReceivedRefused,
    Malformed,
    Echoes,
    ReceivedElsewhere,
    Gaps,
    /// Waiting for the broker, and for the shards, when that was last looked at.
    SentWaiting,
    ReceivedWaiting,
    /// From a word of this node until it came back, the last time.
    RoundTripMicros,
    /// Those that are known, this one included.
    Nodes,
    NodesExpired,
    /// Rooms and users of other nodes that are known.
    SharesItems,
    SharesBytes,
    SharesRefused,
    SharesMissed,
    SharesAsked,
    /// Followed at this moment.
    OrderedRooms,
    OrderedPlaced,
    OrderedRefused,
    OrderedReceived,
    OrderedReads,
    OrderedRepaired,
    OrderedRestarts,
    /// Of this node, which are copied or to be copied.
    SessionsKnown,
    SessionsSaved,
    SessionsUnsaved,
    SessionsTaken,
}

impl BridgeCount {
    pub(crate) const ALL: [BridgeCount; 38] = [
        BridgeCount::Connected,
        BridgeCount::Subjects,
        BridgeCount::Losses,
        BridgeCount::Subscribes,
        BridgeCount::Unsubscribes,
        BridgeCount::Resyncs,
        BridgeCount::Sent,
        BridgeCount::SentLost,
        BridgeCount::SentDropped,
        BridgeCount::SentTooLarge,
        BridgeCount::Received,
        BridgeCount::ReceivedDropped,
        BridgeCount::ReceivedRefused,
        BridgeCount::Malformed,
        BridgeCount::Echoes,
        BridgeCount::ReceivedElsewhere,
        BridgeCount::Gaps,
        BridgeCount::SentWaiting,
        BridgeCount::ReceivedWaiting,
        BridgeCount::RoundTripMicros,
        BridgeCount::Nodes,
        BridgeCount::NodesExpired,
        BridgeCount::SharesItems,
        BridgeCount::SharesBytes,
        BridgeCount::SharesRefused,
        BridgeCount::SharesMissed,
        BridgeCount::SharesAsked,
        BridgeCount::OrderedRooms,
        BridgeCount::OrderedPlaced,
        BridgeCount::OrderedRefused,
        BridgeCount::OrderedReceived,
        BridgeCount::OrderedReads,
        BridgeCount::OrderedRepaired,
        BridgeCount::OrderedRestarts,
        BridgeCount::SessionsKnown,
        BridgeCount::SessionsSaved,
        BridgeCount::SessionsUnsaved,
        BridgeCount::SessionsTaken,
    ];

    /// Its name and its meaning, as a metric.
    pub(crate) const fn described(self) -> (&'static str, &'static str) {
        match self {
            BridgeCount::Connected => (
                "cluster_connected",
                "1 while there is a connection to the broker.",
            ),
            BridgeCount::Subjects => (
                "cluster_subjects",
                "Rooms and users whose messages this node hears from other nodes.",
            ),
            BridgeCount::Losses => (
                "cluster_connections_lost",
                "Times that the connection to the broker broke.",
            ),
            BridgeCount::Subscribes => (
                "cluster_subscribes",
                "Subscriptions begun at the broker, those after a lost connection included.",
            ),
            BridgeCount::Unsubscribes => {
                ("cluster_unsubscribes", "Subscriptions ended at the broker.")
            }
            BridgeCount::Resyncs => (
                "cluster_interest_resyncs",
                "Times that all rooms and users were looked through, because more came and went than could be told.",
            ),
            BridgeCount::Sent => ("cluster_sent", "Messages given to the broker."),
            BridgeCount::SentLost => (
                "cluster_sent_lost",
                "Messages that other nodes do not hear, because there was no connection to the broker.",
            ),
            BridgeCount::SentDropped => (
                "cluster_sent_dropped",
                "Messages that other nodes do not hear, because as many waited for the broker as may.",
            ),
            BridgeCount::SentTooLarge => (
                "cluster_sent_too_large",
                "Messages that other nodes do not hear, because the broker takes none of their size.",
            ),
            BridgeCount::Received => (
                "cluster_received",
                "Messages of other nodes that were given to the shards.",
            ),
            BridgeCount::ReceivedDropped => (
                "cluster_received_dropped",
                "Messages of other nodes that were lost here, because as many waited for the shards as may.",
            ),
            BridgeCount::ReceivedRefused => (
                "cluster_received_refused",
                "Messages of other nodes that this node does not publish: no room or user may be called so here, memory is short, or they are larger than max_message_bytes.",
            ),
            BridgeCount::Malformed => (
                "cluster_malformed",
                "Messages of the broker that no server of this version has written.",
            ),
            BridgeCount::Echoes => (
                "cluster_echoes",
                "Own messages that came back from the broker and were dropped.",
            ),
            BridgeCount::Gaps => GAPS,
            BridgeCount::ReceivedElsewhere => RECEIVED_ELSEWHERE,
            BridgeCount::SentWaiting => SENT_WAITING,
            BridgeCount::ReceivedWaiting => RECEIVED_WAITING,
            BridgeCount::RoundTripMicros => ROUND_TRIP,
            BridgeCount::Nodes => NODES,
            BridgeCount::NodesExpired => NODES_EXPIRED,
            other => other.described_ordered(),
        }
    }

    /// Those of ordered rooms.
    const fn described_ordered(self) -> (&'static str, &'static str) {
        match self {
            BridgeCount::OrderedRooms => (
                "cluster_ordered_rooms",
                "Rooms whose order the broker gives that this node follows.",
            ),
            BridgeCount::OrderedPlaced => (
                "cluster_ordered_placed",
                "Messages of this node to which the broker gave their places.",
            ),
            BridgeCount::OrderedRefused => (
                "cluster_ordered_refused",
                "Messages to ordered rooms that the broker did not take, and times that the log of one could not be had for those who waited for it.",
            ),
            BridgeCount::OrderedReceived => (
                "cluster_ordered_received",
                "Messages of ordered rooms that were given to the shards in the broker's order.",
            ),
            BridgeCount::OrderedReads => (
                "cluster_ordered_reads",
                "Looks at the broker's logs of ordered rooms.",
            ),
            BridgeCount::OrderedRepaired => (
                "cluster_ordered_repaired",
                "Messages of ordered rooms that were missed and found in the broker's log.",
            ),
            BridgeCount::OrderedRestarts => (
                "cluster_ordered_restarts",
                "Times that the log of an ordered room began anew, because the broker had lost what it had, or kept it no more; the room's members are sent away then.",
            ),
            of_shares => of_shares.described_of_shares(),
        }
    }

    const fn described_of_shares(self) -> (&'static str, &'static str) {
        match self {
            BridgeCount::SharesItems => (
                "cluster_shares_items",
                "Rooms and users that other nodes have members of, as this node knows it.",
            ),
            BridgeCount::SharesBytes => ("cluster_shares_bytes", "Bytes that these take."),
            BridgeCount::SharesRefused => (
                "cluster_shares_refused",
                "Times that a room or a user of another node was not taken into the numbers here, because all of them take as many bytes as they may.",
            ),
            BridgeCount::SharesMissed => (
                "cluster_shares_missed",
                "Times that another node had said more of its rooms and users than this one has heard.",
            ),
            BridgeCount::SharesAsked => (
                "cluster_shares_asked",
                "Times that another node was asked for all its rooms and users, because something was missed.",
            ),
            of_sessions => of_sessions.described_of_sessions(),
        }
    }

    const fn described_of_sessions(self) -> (&'static str, &'static str) {
        match self {
            BridgeCount::SessionsKnown => (
                "cluster_sessions",
                "Sessions of this node, with a connection or waiting for one, of which the broker has copies or is to have some (cluster.sessions).",
            ),
            BridgeCount::SessionsSaved => (
                "cluster_sessions_saved",
                "Copies of sessions that the broker took, and words that one is over.",
            ),
            BridgeCount::SessionsUnsaved => (
                "cluster_sessions_unsaved",
                "Copies of sessions that the broker did not take; one that is still wanted is tried again.",
            ),
            _ => (
                "cluster_sessions_taken",
                "Sessions of other nodes that went on at this one.",
            ),
        }
    }

    /// Whether it goes up and down.
    pub(crate) const fn is_gauge(self) -> bool {
        matches!(
            self,
            BridgeCount::Connected
                | BridgeCount::Subjects
                | BridgeCount::SentWaiting
                | BridgeCount::ReceivedWaiting
                | BridgeCount::RoundTripMicros
                | BridgeCount::Nodes
                | BridgeCount::SharesItems
                | BridgeCount::SharesBytes
                | BridgeCount::OrderedRooms
                | BridgeCount::SessionsKnown
        )
    }
}

const GAPS: (&str, &str) = (
    "cluster_gaps",
    "Times that messages of other nodes may have been missed: a lost connection, or what was dropped.",
);
const RECEIVED_ELSEWHERE: (&str, &str) = (
    "cluster_received_elsewhere",
    "Messages of other nodes to rooms without a member here, which share their partition with one that has some (cluster.room_partitions).",
);
const SENT_WAITING: (&str, &str) = (
    "cluster_sent_waiting",
    "Messages that waited for the broker when that was last looked at.",
);
const RECEIVED_WAITING: (&str, &str) = (
    "cluster_received_waiting",
    "Messages of other nodes that waited for the shards when that was last looked at.",
);
const ROUND_TRIP: (&str, &str) = (
    "cluster_round_trip_micros",
    "From a word of this node to the broker until it came back, in microseconds, the last time.",
);
const NODES: (&str, &str) = (
    "cluster_nodes",
    "Nodes of the cluster that this one knows of, itself included.",
);
const NODES_EXPIRED: (&str, &str) = (
    "cluster_nodes_expired",
    "Nodes that were silent for longer than cluster.presence_lease.",
);

impl BridgeCounts {
    pub(crate) fn add(&self, count: BridgeCount, more: u64) {
        self.values[count as usize].fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, count: BridgeCount, value: u64) {
        self.values[count as usize].store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, count: BridgeCount) -> u64 {
        self.values[count as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_own_place() {
        let counts = BridgeCounts::default();
        for (index, count) in BridgeCount::ALL.into_iter().enumerate() {
            assert_eq!(count as usize, index);
            counts.add(count, index as u64 + 1);
            assert_eq!(counts.get(count), index as u64 + 1);
            let same = BridgeCount::ALL
                .into_iter()
                .filter(|other| other.described().0 == count.described().0);
            assert_eq!(same.count(), 1);
        }
    }
}
