//! What receives have brought: whether a connection that found no buffer had its share.

use crate::driver::boundary::Completion;
use crate::driver::sim::lease::SimLease;
use crate::driver::sim::network::Network;
use crate::driver::waiting::Taken;
use crate::types::ticket::Ticket;

/// Bytes that a completion brought.
pub(super) fn bytes_of(completion: Option<&Completion<SimLease>>) -> Option<usize> {
    match completion {
        Some(Completion::Received { lease, .. }) => Some(lease.bytes.len()),
        _ => None,
    }
}

/// What those that found no buffer have taken of `received`.
pub(super) fn judge<'r>(
    starved: Vec<Ticket>,
    received: impl Iterator<Item = &'r Completion<SimLease>> + Clone,
    network: &Network,
) -> Vec<(Ticket, Taken)> {
    let full = network.faults.receive_buffer_bytes;
    let taken = |who: Ticket| {
        let its = received.clone().filter_map(|completion| match completion {
            Completion::Received { ticket, lease } if *ticket == who => Some(lease),
            _ => None,
        });
        // Buffers are few: one with little in it counts, too.
        let bytes: usize = its.map(|lease| lease.bytes.len().max(full / 4)).sum();
        match bytes < 2 * full {
            true => Taken::Less,
            false => Taken::Share,
        }
    };
    starved.into_iter().map(|who| (who, taken(who))).collect()
}
