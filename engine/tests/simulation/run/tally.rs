//! How often each thing happened in a run.

use super::{Simulation, Tally};
use crate::log::Log;
use shardcast_engine::Measured;

impl Simulation {
    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::new();
        for counters in &self.counters {
            counters.each(|reading| {
                if let Measured::Count(count) = reading.value {
                    let name = reading.label.map_or(reading.name, |(_, value)| value);
                    *tally.entry(name).or_default() += count;
                }
            });
        }
        let logs = || self.clients.iter().map(|client| &client.log);
        let joins: usize = logs().map(|log| log.joins.len()).sum();
        let leaves = logs()
            .flat_map(|log| &log.memberships)
            .filter(|m| m.left.is_some());
        let reports = || logs().flat_map(|log| &log.reports);
        let queued = reports().filter(|(_, _, report)| report.queued > 0);
        let refused: usize = logs().map(|log| log.refused.len()).sum();
        tally.insert("steps", self.step);
        tally.insert("joins", joins as u64);
        tally.insert("leaves", leaves.count() as u64);
        tally.insert("reports", reports().count() as u64);
        tally.insert("reports_with_queued", queued.count() as u64);
        tally.insert("refused_asks", refused as u64);
        self.tally_topics(&mut tally);
        tally
    }

    fn tally_topics(&self, tally: &mut Tally) {
        let logs = || self.clients.iter().map(|client| &client.log);
        let mut sum = |name, of: fn(&Log) -> usize| {
            tally.insert(name, logs().map(of).sum::<usize>() as u64);
        };
        sum("full", |log| log.full.len());
        sum("void_leaves", |log| log.void_leaves);
        sum("identities", |log| log.identities.len());
        sum("user_messages", |log| {
            log.as_user.values().map(Vec::len).sum()
        });
        sum("lists", |log| log.lists.len());
        sum("tolds", |log| log.tolds.len());
        tally.insert("outside_answers", self.outside.answers());
        tally.insert("abandoned", self.journal.borrow().abandoned);
    }
}
