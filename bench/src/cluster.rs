//! What several nodes cost: three of them on this machine's loopback with a broker, beside one
//! alone. Only what the nodes pay counts; what the broker pays is told where it is the limit.
//! Called by the binary.

mod broker;
mod delivering;
mod failing;
mod flood;
mod nodes;
mod ordering;
mod publishing;
mod resp;
mod turnover;
mod work;

pub use crate::cluster::broker::BrokerName;
use crate::cluster::delivering::delivering;
use crate::cluster::failing::failing;
use crate::cluster::ordering::ordering;
use crate::cluster::publishing::publishing;
use crate::cluster::turnover::turnover;
pub use crate::cluster::work::{ClusterPart, ClusterWork};
use crate::figures::Figures;
use crate::prepare::Places;
use std::io;

/// Does it.
///
/// # Errors
/// A node or a broker does not start, ends, refuses or is stuck.
pub(crate) fn cluster(work: &ClusterWork, places: &Places) -> io::Result<Figures> {
    let mut figures = Figures::default();
    for part in &work.parts {
        for round in 1..=work.rounds {
            for broker in work.brokers.iter().filter(|broker| part.is_with(**broker)) {
                let into = (&mut figures, round);
                match part {
                    ClusterPart::Delivery => delivering(work, *broker, places, into)?,
                    ClusterPart::Publish => publishing(work, *broker, places, into)?,
                    ClusterPart::Ordered => ordering(work, *broker, places, into)?,
                    ClusterPart::Rooms => turnover(work, *broker, places, into)?,
                    ClusterPart::Recovery => failing(work, *broker, places, into)?,
                }
            }
        }
    }
    Ok(figures)
}
