//! What one node knows of an ordered room's log at the broker, and what its own log is to become.
//!
//! Invariant: the entries that it hands out follow each other without a gap, from where the node's
//! log begins; where the broker has lost something, or keeps it no more, the log begins anew and
//! the members are sent away, so nobody takes two logs for one. The newest entry is looked at again
//! with every question, so that a broker that has forgotten what it acknowledged is found out. No
//! clock and no broker here: `following` brings both, and does the steps in order.

use crate::broker::adapter::{LogPage, LogPlace};
use crate::broker::envelope::MessageId;
use crate::broker::ordering::entry::OrderedEntry;
use shardcast_engine::{LogStep, Position};
use std::collections::BTreeMap;

/// One room at one node.
#[derive(Debug, Default)]
pub(crate) struct OrderedRoom {
    /// What the home's log is, once everything that was handed out is done. `None`: nothing that
    /// counts.
    log: Option<KnownLog>,
    /// Whether the home's log is ready.
    is_ready: bool,
    /// Whether what is published to the room is heard.
    is_heard: bool,
    /// Whether the newest entry was looked at since the room is heard: until then what is heard
    /// may follow something else.
    is_verified: bool,
    asking: Asking,
    /// Something has to be asked.
    is_due: bool,
    /// Members are being sent away; nothing is asked meanwhile.
    is_clearing: bool,
    /// The home waits for an answer.
    waits: bool,
    /// This epoch is over: the broker has lost a part of it.
    over: Option<u64>,
    /// What was heard and cannot be handed out yet, by offset.
    held: BTreeMap<u64, OrderedEntry>,
    held_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KnownLog {
    epoch: u64,
    /// The offset of the newest entry; without one, the offset behind which the log began.
    newest: u64,
    /// The newest entry. `None`: there is none, or it is not known here.
    tip: Option<MessageId>,
    /// Up to this offset, the newest entry's at least, it is known what the room has: where offsets
    /// skip, nothing between the two.
    known: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asking {
    #[default]
    No,
    /// With the log as it was then.
    Yes(Option<KnownLog>),
    /// The answer is of no use.
    InVain,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OrderedStep {
    /// With the home's log.
    Log(LogStep),
    /// Published at the home.
    Publish(OrderedEntry),
    /// The members are sent away, and [`OrderedRoom::cleared`] is called then.
    SendAway,
}

/// A question about the log at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderedAsk {
    /// Entries behind this offset.
    pub(crate) after: u64,
    /// An epoch that is over.
    pub(crate) over: Option<u64>,
}

/// What came of it, for those who count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OrderedOutcome {
    pub(crate) steps: Vec<OrderedStep>,
    /// Entries that were missed and are handed out now.
    pub(crate) repaired: u64,
    /// The log begins anew, and the members are sent away.
    pub(crate) restarts: u64,
}

impl OrderedRoom {
    /// Entries that wait while the log is read; what comes then is read from there.
    const HELD_MAX: usize = 1_024;
    /// And their bytes.
    const HELD_BYTES_MAX: usize = 4 << 20;

    /// The home needs the log. `has`: up to where its own is ready; `None`: it has none.
    pub(crate) fn want(&mut self, has: Option<Position>) {
        self.waits = true;
        self.is_due = true;
        match (has, self.log) {
            (None, _) => self.forget(),
            (Some(has), Some(log)) if log.epoch == has.epoch && log.newest == has.offset => {}
            (Some(has), _) => {
                self.forget();
                self.is_ready = true;
                self.log = Some(KnownLog::behind(has.epoch, has.offset));
            }
        }
    }

    /// Whether the home waits for an answer.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waits
    }

    /// The home is told that there is no answer.
    pub(crate) fn refuse(&mut self) -> Option<OrderedStep> {
        let waits = std::mem::take(&mut self.waits);
        waits.then_some(OrderedStep::Log(LogStep::Refuse))
    }

    /// What is published to the room is heard from now on: what was published before is asked for.
    pub(crate) fn subscribed(&mut self) {
        (self.is_heard, self.is_verified, self.is_due) = (true, false, true);
        self.ask_in_vain();
    }

    /// Nothing is heard any more, until it is subscribed again.
    pub(crate) fn unheard(&mut self) {
        (self.is_heard, self.is_verified) = (false, false);
        // What was heard before is in the log, if it is anywhere.
        self.held.clear();
        self.held_bytes = 0;
    }

    /// The broker was away for so long that it may have lost what it had given, and given the same
    /// again, and trimmed that: only the newest entry counts as known.
    pub(crate) fn was_away(&mut self) {
        if let Some(log) = &mut self.log {
            log.known = log.newest;
        }
        self.ask_in_vain();
    }

    /// The log is looked at once more, when there is time.
    pub(crate) fn check(&mut self) {
        self.is_due = true;
    }

    /// Whether there is something to ask.
    pub(crate) fn has_question(&self) -> bool {
        self.is_due && self.is_heard && !self.is_clearing && self.asking == Asking::No
    }

    /// What is to be asked now; [`OrderedRoom::answered`] or [`OrderedRoom::unanswered`] follows.
    pub(crate) fn ask(&mut self) -> Option<OrderedAsk> {
        if !self.has_question() {
            return None;
        }
        (self.is_due, self.asking) = (false, Asking::Yes(self.log));
        Some(OrderedAsk {
            after: self.log.map_or(0, |log| match log.tip {
                // With the newest that is known.
                Some(_) => log.newest.saturating_sub(1),
                None => log.newest,
            }),
            over: self.over,
        })
    }

    /// The home could not take the entry with this place, nor what was to be done behind it: its
    /// log ends before that, and goes on there when it can.
    pub(crate) fn untaken(&mut self, place: LogPlace) {
        self.ask_in_vain();
        self.log = Some(KnownLog::behind(place.epoch, place.previous));
        // Nobody was sent away, and who joins is told once there is more.
        (self.is_clearing, self.over) = (false, None);
        (self.is_ready, self.waits, self.is_due) = (true, true, true);
    }

    /// There was no answer.
    pub(crate) fn unanswered(&mut self) {
        (self.asking, self.is_due) = (Asking::No, true);
    }

    /// All members have been sent away.
    pub(crate) fn cleared(&mut self) {
        (self.is_clearing, self.is_due) = (false, true);
    }

    /// Something was published.
    pub(crate) fn heard(&mut self, entry: OrderedEntry) -> OrderedOutcome {
        let mut outcome = OrderedOutcome::default();
        self.take(entry, &mut outcome);
        self.take_held(&mut outcome);
        outcome
    }

    fn take(&mut self, entry: OrderedEntry, outcome: &mut OrderedOutcome) {
        let log = self.log.as_mut();
        let log = log.filter(|_| self.is_ready && self.is_verified);
        let Some(log) = log.filter(|log| log.epoch == entry.place.epoch) else {
            self.is_due = true;
            return self.hold(entry);
        };
        if entry.place.offset <= log.newest {
            // It was read before it was heard; or the broker has begun to say something else.
            let is_known = entry.place.offset < log.newest || log.tip == Some(entry.id);
            self.is_due |= !is_known;
            return;
        }
        if entry.place.previous != log.newest {
            self.is_due = true;
            return self.hold(entry);
        }
        log.reach(&entry);
        outcome.steps.push(OrderedStep::Publish(entry));
    }

    fn hold(&mut self, entry: OrderedEntry) {
        let bytes = self.held_bytes + entry.payload.len();
        if self.held.len() >= Self::HELD_MAX || bytes > Self::HELD_BYTES_MAX {
            // It is in the log.
            return;
        }
        self.held_bytes = bytes;
        if let Some(before) = self.held.insert(entry.place.offset, entry) {
            self.held_bytes -= before.payload.len();
        }
    }

    /// Hands out what was held and follows now, and lets go of what is known.
    fn take_held(&mut self, outcome: &mut OrderedOutcome) {
        while let Some(log) = self.log.filter(|_| self.is_ready && self.is_verified)
            && let Some(first) = self.held.first_entry()
        {
            let place = first.get().place;
            let is_over = place.epoch != log.epoch || place.offset <= log.newest;
            if !is_over && place.previous != log.newest {
                return;
            }
            let entry = first.remove();
            self.held_bytes -= entry.payload.len();
            if !is_over {
                self.take(entry, outcome);
            }
        }
    }

    /// The broker has answered what was asked.
    pub(crate) fn answered(&mut self, mut page: LogPage) -> OrderedOutcome {
        // Whoever writes to the broker may have put there what no server would.
        page.entries.retain(|entry| entry.place.is_possible());
        page.newest = page.newest.min(LogPlace::OFFSET_MAX);
        let previous = page.entries.first().map_or(0, |first| first.place.previous);
        page.behind = page.behind.max(previous).min(LogPlace::OFFSET_MAX);
        let mut outcome = OrderedOutcome::default();
        let Asking::Yes(asked) = std::mem::take(&mut self.asking) else {
            self.is_due = true;
            return outcome;
        };
        (self.over, self.is_verified) = (None, true);
        match asked {
            None => self.begin(page, &mut outcome),
            Some(log) => self.go_on(log, page, &mut outcome),
        }
        self.take_held(&mut outcome);
        outcome
    }

    /// The home's log begins with what the broker's has.
    fn begin(&mut self, page: LogPage, outcome: &mut OrderedOutcome) {
        outcome.steps.push(begin_at(page.epoch, page.behind + 1));
        self.log = Some(KnownLog::behind(page.epoch, page.behind));
        self.append(page, outcome);
    }

    /// The home's log goes on with what the broker's has, if it is the same as when that was asked
    /// for.
    fn go_on(&mut self, log: KnownLog, page: LogPage, outcome: &mut OrderedOutcome) {
        if page.epoch != log.epoch {
            return self.restart(None, outcome);
        }
        let first = page.entries.first();
        let tip = first.filter(|entry| entry.place.offset == log.newest);
        let has_tip = tip.is_some();
        let tip = tip.cloned().and_then(OrderedEntry::of_log);
        let is_other = tip.is_some_and(|tip| log.tip.is_some_and(|known| known != tip.id));
        // It is not there, and nothing of its time was trimmed.
        let is_gone = log.tip.is_some() && !has_tip && page.behind < log.newest;
        if page.newest < log.known || is_other || is_gone {
            // It was said here, and is not there any more.
            return self.restart(Some(log.epoch), outcome);
        }
        if !has_tip && page.behind > log.known {
            return self.restart(None, outcome);
        }
        self.append(page, outcome);
    }

    fn append(&mut self, page: LogPage, outcome: &mut OrderedOutcome) {
        let Some(mut log) = self.log else { return };
        let mut is_first = true;
        for mut entry in page.entries.into_iter().filter_map(OrderedEntry::of_log) {
            let place = entry.place;
            if place.offset <= log.newest {
                log.tip = (place.offset == log.newest).then_some(entry.id).or(log.tip);
                continue;
            }
            // What is behind a hole that the log has goes where a new log begins.
            if !is_first && place.previous != log.newest {
                match self.is_ready {
                    true => return self.restart(None, outcome),
                    false => {
                        outcome.steps.push(begin_at(log.epoch, place.previous + 1));
                        log.newest = place.previous;
                    }
                }
            }
            is_first = false;
            // What was trimmed between them is known to have been nothing.
            entry.place.previous = log.newest;
            log.reach(&entry);
            outcome.repaired += u64::from(self.is_ready);
            outcome.steps.push(OrderedStep::Publish(entry));
        }
        if !page.has_more {
            log.known = log.known.max(page.newest);
        }
        self.log = Some(log);
        if page.has_more {
            self.is_due = true;
            return;
        }
        if !self.is_ready || self.waits {
            (self.is_ready, self.waits) = (true, false);
            outcome.steps.push(OrderedStep::Log(LogStep::Ready));
        }
    }

    /// The log is not what the members have heard.
    fn restart(&mut self, over: Option<u64>, outcome: &mut OrderedOutcome) {
        let was_ready = self.is_ready;
        self.forget();
        (self.over, self.is_due) = (over, true);
        if was_ready {
            outcome.restarts += 1;
            self.is_clearing = true;
            let halt = OrderedStep::Log(LogStep::Halt);
            outcome.steps.extend([halt, OrderedStep::SendAway]);
        }
    }

    /// Nothing that was known counts any more.
    fn forget(&mut self) {
        (self.log, self.is_ready) = (None, false);
        self.ask_in_vain();
    }

    fn ask_in_vain(&mut self) {
        if self.asking != Asking::No {
            self.asking = Asking::InVain;
        }
    }
}

impl KnownLog {
    /// One that begins behind an offset.
    fn behind(epoch: u64, newest: u64) -> KnownLog {
        KnownLog {
            epoch,
            newest,
            tip: None,
            known: newest,
        }
    }

    /// An entry follows.
    fn reach(&mut self, entry: &OrderedEntry) {
        (self.newest, self.tip) = (entry.place.offset, Some(entry.id));
        self.known = self.known.max(self.newest);
    }
}

fn begin_at(epoch: u64, next: u64) -> OrderedStep {
    OrderedStep::Log(LogStep::Begin { epoch, next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::adapter::LogEntry;
    use crate::broker::envelope::{Body, Envelope, Recipient};
    use bytes::Bytes;
    use shardcast_engine::{Data, DataEncoding};
    use std::time::Duration;

    fn payload() -> Bytes {
        let envelope = Envelope {
            place: None,
            id: MessageId { run: 1, number: 1 },
            recipient: Recipient::Room("r"),
            body: Body::Event { name: "e" },
            key: "",
            conflate: "",
            data: Data::Text("x"),
            encoding: DataEncoding::default(),
        };
        envelope.write().expect("it is short").into()
    }

    /// Offsets that no server gives are not believed, whether they are read or heard.
    #[test]
    fn entries_that_can_stand_nowhere_are_left_out() {
        let entry = |offset, previous| LogEntry {
            place: LogPlace {
                epoch: 7,
                offset,
                previous,
            },
            payload: payload(),
            age: Duration::from_secs(9),
        };
        let steps = |newest, entries: Vec<LogEntry>| {
            let mut room = OrderedRoom::default();
            room.want(None);
            room.subscribed();
            room.ask().expect("it has a question");
            let epoch = 7;
            let steps = room.answered(LogPage {
                epoch,
                newest,
                behind: entries.first().map_or(newest, |first| first.place.previous),
                entries,
                has_more: false,
            });
            steps.steps
        };
        let begin = |next| OrderedStep::Log(LogStep::Begin { epoch: 7, next });
        let published = |offset, previous| {
            OrderedStep::Publish(OrderedEntry::of_log(entry(offset, previous)).expect("it is one"))
        };
        let ready = OrderedStep::Log(LogStep::Ready);
        for (newest, entries, expected) in [
            (0, vec![entry(0, 0)], vec![begin(1), ready.clone()]),
            (
                3,
                vec![entry(0, 0), entry(3, 2), entry(u64::MAX, 3)],
                vec![begin(3), published(3, 2), ready.clone()],
            ),
            (3, vec![entry(3, 3)], vec![begin(4), ready.clone()]),
            (
                u64::MAX,
                vec![],
                vec![begin(LogPlace::OFFSET_MAX + 1), ready],
            ),
        ] {
            assert_eq!(steps(newest, entries), expected);
        }
        let nowhere = [0, LogPlace::OFFSET_MAX + 1, u64::MAX];
        for offset in nowhere {
            assert_eq!(OrderedEntry::of_log(entry(offset, offset / 2)), None);
        }
    }
}
