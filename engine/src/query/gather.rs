//! What this shard asked other shards for (reported publishes, lists), until every part of the
//! answer is there.

use crate::query::page::{Found, FoundConnection, FoundTopic, TopicDetail};
use crate::topic::publication::Position;
use crate::topic::target::Wants;
use crate::types::answer::{Answer, Listing, Reply, Report, Tag};
use crate::types::history::History;
use crate::types::presence::PresencePage;
use crate::types::ticket::Ticket;
use std::fmt;
use std::num::NonZeroU32;

/// Names a pending answer across shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueryKey {
    /// The shard that asked.
    pub(crate) shard: u16,
    /// What it wants to know of a publish.
    pub(crate) wants: Wants,
    /// One more than its place: so no key costs a message no room.
    number: NonZeroU32,
}

impl QueryKey {
    /// Its place, where numbers begin behind this one. A key of another time has none.
    fn index(self, numbers_from: u32) -> u32 {
        self.number.get().wrapping_sub(numbers_from).wrapping_sub(1)
    }
}

#[cfg(test)]
impl QueryKey {
    pub(crate) fn of_nobody() -> QueryKey {
        QueryKey {
            shard: 0,
            wants: Wants::Counts,
            number: NonZeroU32::MIN,
        }
    }
}

const _: () = assert!(size_of::<Option<QueryKey>>() == 8);

/// Who waits for an answer.
pub(crate) enum Requester {
    /// A connection of this shard.
    Connection(Ticket, Tag),
    /// Another thread.
    Outside(Reply),
}

/// One shard's part of an answer, or their sum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Report(Report),
    Listing(Listing),
    Connections(Found<FoundConnection>),
    Topics(Found<FoundTopic>),
    /// `None`: the topic's home has not answered, or there is no such log.
    History(Option<Box<History>>),
    Presence(Box<PresencePage>),
    /// The only part.
    Topic(Box<TopicDetail>),
}

/// One part of what was asked for.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) key: QueryKey,
    /// Parcels that were sent; each has one outcome. 0: there were none, and this is the only
    /// outcome.
    pub(crate) parcels: u16,
    pub(crate) part: Part,
}

/// Pending answers. Full: what is asked for by connections is refused before anything is sent; what
/// is asked for from outside waits in the queue of commands. Receipts, and each kind of requesters
/// of everything else, have their own places, so that none takes them from another.
#[derive(Debug, Default)]
pub(crate) struct Queries {
    pending: Vec<Option<Pending>>,
    free: Vec<u32>,
    /// Of the pending, those that were asked for from outside.
    outside: usize,
    /// Of the pending, receipts that connections asked for.
    receipts: usize,
    /// Keys are numbered from here on: a multiple of [`Queries::NUMBERS_EACH`], another one each
    /// time that pending answers are given up, so that their late parts meet no other.
    numbers_from: u32,
}

#[derive(Debug)]
struct Pending {
    requester: Requester,
    wants: Wants,
    outcomes: u16,
    sum: Part,
}

impl Queries {
    /// Reported publishes and lists under way per shard and kind of requesters.
    pub(crate) const PENDING_MAX: usize = 1024;
    /// Receipts under way per shard, for connections. A receipt comes back with the next tick of
    /// the topic's home, so a client may have many.
    pub(crate) const RECEIPTS_MAX: usize = 16_384;

    /// Numbers of keys between two times that pending answers are given up.
    const NUMBERS_EACH: u32 = 1 << 16;

    /// Gives up what is pending: those who wait for it. Parts that are under way mean nothing from
    /// here on.
    pub(crate) fn give_up(&mut self) -> Vec<Requester> {
        let pending = std::mem::take(&mut self.pending);
        *self = Queries {
            numbers_from: self.numbers_from.wrapping_add(Self::NUMBERS_EACH),
            ..Queries::default()
        };
        let pending = pending.into_iter().flatten();
        pending.map(|pending| pending.requester).collect()
    }

    /// Keeps nothing while nothing is pending.
    pub(crate) fn release_memory(&mut self) {
        if self.pending.len() == self.free.len() {
            (self.pending, self.free) = (Vec::new(), Vec::new());
        }
    }

    /// Connections may ask for nothing more.
    pub(crate) fn is_full(&self) -> bool {
        let others = self.outside + self.receipts;
        self.pending.len() - self.free.len() - others >= Self::PENDING_MAX
    }

    /// Connections may ask for no further receipt.
    pub(crate) fn receipts_are_full(&self) -> bool {
        self.receipts >= Self::RECEIPTS_MAX
    }

    /// Other threads may ask for nothing more.
    pub(crate) fn is_full_outside(&self) -> bool {
        self.outside >= Self::PENDING_MAX
    }

    /// Whether another thread's question may wait for a sequencer, whose answers are commands: as
    /// long as these places are not all taken, commands are.
    pub(crate) fn may_wait_outside(&self) -> bool {
        self.outside < Self::PENDING_MAX / 2
    }

    /// `sum`: what it is if nobody has anything to add.
    pub(crate) fn open(&mut self, shard: u16, requester: Requester, sum: Part) -> QueryKey {
        self.open_wanting(shard, requester, Wants::Counts, sum)
    }

    /// The same, where `wants` says what the requester wants to know of a publish.
    pub(crate) fn open_wanting(
        &mut self,
        shard: u16,
        requester: Requester,
        wants: Wants,
        sum: Part,
    ) -> QueryKey {
        let is_receipt = wants == Wants::Receipt && !requester.is_outside();
        self.outside += usize::from(requester.is_outside());
        self.receipts += usize::from(is_receipt);
        let pending = Some(Pending {
            requester,
            wants,
            outcomes: 0,
            sum,
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
        QueryKey {
            shard,
            wants,
            number: NonZeroU32::new(self.numbers_from + index + 1).unwrap_or(NonZeroU32::MIN),
        }
    }

    /// Adds one part; the complete answer after the last one.
    pub(crate) fn add(&mut self, outcome: Outcome) -> Option<(Requester, Answer)> {
        let index = outcome.key.index(self.numbers_from);
        // What was asked for is given up where the key is of an earlier time.
        let slot = self.pending.get_mut(index as usize)?;
        let pending = slot.as_mut().expect("one outcome for each parcel");
        pending.sum.add(outcome.part);
        pending.outcomes += 1;
        if pending.outcomes < outcome.parcels {
            return None;
        }
        let done = slot.take()?;
        self.free.push(index);
        let is_receipt = done.wants == Wants::Receipt && !done.requester.is_outside();
        self.outside -= usize::from(done.requester.is_outside());
        self.receipts -= usize::from(is_receipt);
        let answer = match done.sum {
            Part::Report(report) => Answer::Reported(report),
            Part::Listing(listing) => Answer::Listed(listing),
            Part::Connections(found) => Answer::Connections(found),
            Part::Topics(found) => Answer::Topics(found),
            Part::Presence(page) => Answer::Present(*page),
            Part::History(history) => {
                Answer::History(history.map_or_else(no_history, |history| *history))
            }
            Part::Topic(found) => Answer::Topic(found),
        };
        Some((done.requester, answer))
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.len() == self.free.len() && self.outside == 0 && self.receipts == 0
    }
}

const _: () =
    assert!(2 * Queries::PENDING_MAX + Queries::RECEIPTS_MAX < Queries::NUMBERS_EACH as usize);

/// There is no such log, and there can be none.
fn no_history() -> History {
    History {
        position: Position {
            epoch: 0,
            offset: 0,
        },
        publications: Vec::new(),
        loss: None,
        more: false,
        keys: 0,
    }
}

impl Requester {
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self, Requester::Outside(_))
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Requester::Connection(who, tag) => write!(f, "{who:?} {tag:?}"),
            Requester::Outside(_) => f.write_str("outside"),
        }
    }
}

impl Part {
    fn add(&mut self, other: Part) {
        match (self, other) {
            (Part::Report(sum), Part::Report(part)) => {
                *sum += part;
            }
            (Part::Listing(sum), Part::Listing(part)) => {
                // All parts say the same.
                sum.total = part.total;
                sum.members.extend(part.members);
            }
            (Part::Connections(sum), Part::Connections(part)) => sum.add(part),
            (Part::Topics(sum), Part::Topics(part)) => sum.add(part),
            (Part::History(answer), Part::History(part)) => *answer = part,
            (Part::Presence(answer), Part::Presence(part)) => *answer = part,
            (Part::Topic(sum), Part::Topic(part)) => *sum = part,
            (
                Part::Report(_)
                | Part::Listing(_)
                | Part::Connections(_)
                | Part::Topics(_)
                | Part::History(_)
                | Part::Presence(_)
                | Part::Topic(_),
                other,
            ) => unreachable!("a part of another answer: {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::answer::Member;
    use crate::types::ticket::Address;
    use std::sync::mpsc;

    const WHO: Ticket = Ticket {
        slot: 3,
        generation: 9,
    };

    fn report(delivered: u32, queued: u32, dropped: u32) -> Part {
        Part::Report(Report {
            delivered,
            queued,
            dropped,
            ..Report::default()
        })
    }

    fn outcome(key: QueryKey, parcels: u16, part: Part) -> Outcome {
        Outcome { key, parcels, part }
    }

    fn listing(slots: &[u32]) -> Listing {
        let member = |slot: &u32| Member {
            address: Address {
                shard: 1,
                ticket: Ticket {
                    slot: *slot,
                    generation: 1,
                },
            },
            user: None,
        };
        Listing {
            total: 5,
            members: slots.iter().map(member).collect(),
        }
    }

    #[test]
    fn sums_the_parts_and_reuses_the_place() {
        let mut queries = Queries::default();
        for round in 0..3 {
            let requester = Requester::Connection(WHO, Tag(round));
            let key = queries.open(1, requester, report(0, 0, 0));
            assert!(queries.add(outcome(key, 2, report(10, 1, 0))).is_none());
            let sum = Answer::Reported(Report {
                delivered: 15,
                queued: 1,
                dropped: 2,
                ..Report::default()
            });
            match queries.add(outcome(key, 2, report(5, 0, 2))) {
                Some((Requester::Connection(WHO, tag), answer)) => {
                    assert_eq!((tag, answer), (Tag(round), sum));
                }
                other => panic!("{other:?}"),
            }
            assert!(queries.is_empty());
        }
        assert_eq!(queries.pending.len(), 1);
    }

    #[test]
    fn nobody_there_is_a_complete_answer() {
        let mut queries = Queries::default();
        let requester = Requester::Connection(WHO, Tag(0));
        let key = queries.open(0, requester, report(0, 0, 0));
        assert!(queries.add(outcome(key, 0, report(0, 0, 0))).is_some());
    }

    #[test]
    fn lists_are_put_together_for_another_thread() {
        let (mut queries, (sender, receiver)) = (Queries::default(), mpsc::sync_channel(1));
        let requester = Requester::Outside(Box::new(move |answer| sender.send(answer).unwrap()));
        let key = queries.open(0, requester, Part::Listing(Listing::default()));
        let part = |slots| outcome(key, 2, Part::Listing(listing(slots)));
        assert!(queries.add(part(&[1, 2])).is_none());
        match queries.add(part(&[3])) {
            Some((Requester::Outside(reply), answer)) => reply(answer),
            other => panic!("{other:?}"),
        }
        assert_eq!(receiver.recv(), Ok(Answer::Listed(listing(&[1, 2, 3]))));
        assert!(queries.is_empty());
    }

    /// Peers cannot keep other threads from asking, nor these the peers.
    #[test]
    fn requesters_of_a_kind_have_their_own_places() {
        let mut queries = Queries::default();
        for _ in 0..Queries::PENDING_MAX {
            assert!(!queries.is_full());
            queries.open(0, Requester::Connection(WHO, Tag(0)), report(0, 0, 0));
        }
        assert!(queries.is_full() && !queries.is_full_outside());
        for _ in 0..Queries::PENDING_MAX {
            assert!(!queries.is_full_outside());
            queries.open(0, Requester::Outside(Box::new(drop)), report(0, 0, 0));
        }
        assert!(queries.is_full_outside());
        let receipt = |queries: &mut Queries| {
            let requester = Requester::Connection(WHO, Tag(0));
            queries.open_wanting(0, requester, Wants::Receipt, report(0, 0, 0))
        };
        for _ in 0..Queries::RECEIPTS_MAX {
            assert!(!queries.receipts_are_full());
            receipt(&mut queries);
        }
        assert!(queries.receipts_are_full());
        let (index, _) = queries
            .pending
            .iter()
            .enumerate()
            .find(|(_, pending)| pending.as_ref().unwrap().wants == Wants::Receipt)
            .unwrap();
        let key = QueryKey {
            shard: 0,
            wants: Wants::Receipt,
            number: NonZeroU32::new(index as u32 + 1).unwrap(),
        };
        assert!(queries.add(outcome(key, 1, report(0, 0, 0))).is_some());
        assert!(!queries.receipts_are_full() && queries.is_full());
    }
}
