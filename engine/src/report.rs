//! Reported publishes of this shard's connections, until every shard has told its part.

use crate::letter::Outcome;
use crate::{Report, Tag, Ticket};

/// Names a pending report across shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReportKey {
    /// The shard that asked.
    pub(crate) shard: u16,
    index: u32,
}

/// Pending reports. Full: the publish is refused before anything is sent.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    pending: Vec<Option<Pending>>,
    free: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    who: Ticket,
    tag: Tag,
    outcomes: u16,
    sum: Report,
}

impl Reports {
    /// Reported publishes under way per shard.
    pub(crate) const PENDING_MAX: usize = 1024;

    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() - self.free.len() >= Self::PENDING_MAX
    }

    pub(crate) fn open(&mut self, shard: u16, who: Ticket, tag: Tag) -> ReportKey {
        let pending = Some(Pending {
            who,
            tag,
            outcomes: 0,
            sum: Report::default(),
        });
        let index = match self.free.pop() {
            Some(index) => {
                self.pending[index as usize] = pending;
                index
            }
            None => {
                self.pending.push(pending);
                (self.pending.len() - 1) as u32
            }
        };
        ReportKey { shard, index }
    }

    /// Adds one shard's part; the whole report when it was the last.
    pub(crate) fn add(&mut self, outcome: Outcome) -> Option<(Ticket, Tag, Report)> {
        let slot = &mut self.pending[outcome.key.index as usize];
        let pending = slot.as_mut().expect("one outcome per shard");
        pending.sum.delivered += outcome.report.delivered;
        pending.sum.queued += outcome.report.queued;
        pending.sum.dropped += outcome.report.dropped;
        pending.outcomes += 1;
        if pending.outcomes < outcome.shards {
            return None;
        }
        let done = *pending;
        *slot = None;
        self.free.push(outcome.key.index);
        Some((done.who, done.tag, done.sum))
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.len() == self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_shards_and_reuses_the_place() {
        let mut reports = Reports::default();
        let who = Ticket {
            slot: 3,
            generation: 9,
        };
        for round in 0..3 {
            let key = reports.open(1, who, Tag(round));
            let part = |delivered, queued, dropped| Outcome {
                key,
                shards: 2,
                report: Report {
                    delivered,
                    queued,
                    dropped,
                },
            };
            assert_eq!(reports.add(part(10, 1, 0)), None);
            let sum = Report {
                delivered: 15,
                queued: 1,
                dropped: 2,
            };
            assert_eq!(reports.add(part(5, 0, 2)), Some((who, Tag(round), sum)));
            assert!(reports.is_empty());
        }
        assert_eq!(reports.pending.len(), 1);
    }

    #[test]
    fn nobody_there_is_a_whole_report() {
        let mut reports = Reports::default();
        let key = reports.open(
            0,
            Ticket {
                slot: 0,
                generation: 1,
            },
            Tag(0),
        );
        let outcome = Outcome {
            key,
            shards: 0,
            report: Report::default(),
        };
        assert!(reports.add(outcome).is_some());
    }
}
