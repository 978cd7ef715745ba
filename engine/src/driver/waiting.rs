//! Connections whose receive found no buffer, in the order in which they are received for again.
//! Pure; both drivers use it, one for each pool of buffers.
//!
//! Invariant: whoever took less than its share of the buffers comes before all that took more. A
//! connection with its share waits behind them, and gets one buffer in its turn, until it has
//! nothing left to be read: however many flood, and however fast.

use crate::driver::boundary::Millis;
use crate::types::ticket::Ticket;
use std::collections::VecDeque;

/// Connections with more than their share that get a buffer in one tick. A buffer full of the
/// smallest messages takes about 100 µs to serve, so those who flood delay the others by less than
/// a millisecond a tick, and bulk still amortizes what a tick costs.
pub(crate) const GREEDY_PER_TICK: usize = 8;

/// Buffers that a connection may take in one tick in which others want some, too; whoever takes so
/// many gets one at a time.
pub(crate) const BUFFERS_PER_TICK: usize = 16;

/// For how long after somebody with less than its share found no buffer nobody takes more than one
/// at a time, in milliseconds.
const CONTENDED_MS: Millis = 1_000;

/// What a connection took of the buffers since the tick began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Less than two full buffers, all in all.
    Less,
    /// Two full buffers or more.
    Share,
}

/// How a connection is to be received for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receive {
    /// Until it ends by itself.
    Multishot,
    /// One buffer.
    Once,
}

/// The order.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Took less than their share.
    modest: VecDeque<(Ticket, Receive)>,
    /// Took their share.
    greedy: VecDeque<Ticket>,
    contended_until: Millis,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.modest.is_empty() && self.greedy.is_empty()
    }

    /// Gives back what a crowd needed.
    pub(crate) fn release_memory(&mut self) {
        self.modest.shrink_to_fit();
        self.greedy.shrink_to_fit();
    }

    /// Receives that found no buffer in one tick, in the order in which they ended, each with what
    /// its connection took.
    pub(crate) fn starved(&mut self, starved: &[(Ticket, Taken)], now: Millis) {
        let of = |taken| starved.iter().filter(move |(_, took)| *took == taken);
        for (ticket, _) in of(Taken::Less) {
            self.contended_until = now + CONTENDED_MS;
            self.modest.push_back((*ticket, Receive::Multishot));
        }
        // Who is alone takes from nobody.
        let alone = starved.len() == 1 && self.is_empty() && now >= self.contended_until;
        for (ticket, _) in of(Taken::Share) {
            if alone {
                self.modest.push_back((*ticket, Receive::Multishot));
            } else {
                self.greedy.push_back(*ticket);
            }
        }
    }

    /// A receive was cancelled, since it took [`BUFFERS_PER_TICK`].
    pub(crate) fn curbed(&mut self, ticket: Ticket, now: Millis) {
        self.contended_until = now + CONTENDED_MS;
        self.greedy.push_back(ticket);
    }

    /// A receive ended with bytes, in a buffer that they `filled` or not.
    pub(crate) fn ended(&mut self, ticket: Ticket, filled: bool, now: Millis) {
        if filled {
            self.greedy.push_back(ticket);
        } else if now < self.contended_until {
            self.modest.push_back((ticket, Receive::Once));
        } else {
            self.modest.push_back((ticket, Receive::Multishot));
        }
    }

    /// The next of those that took less than their share.
    pub(crate) fn next_modest(&mut self) -> Option<(Ticket, Receive)> {
        self.modest.pop_front()
    }

    /// The next of the others, for one buffer.
    pub(crate) fn next_greedy(&mut self) -> Option<Ticket> {
        self.greedy.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(slot: u32) -> Ticket {
        Ticket {
            slot,
            generation: 1,
        }
    }

    /// Who is received for with `room` buffers, as slots: those with less than their share, then
    /// the others.
    fn next(waiting: &mut Waiting, room: usize) -> (Vec<(u32, Receive)>, Vec<u32>) {
        let modest = std::iter::from_fn(|| waiting.next_modest()).take(room);
        let modest: Vec<_> = modest.map(|(who, how)| (who.slot, how)).collect();
        let greedy = std::iter::from_fn(|| waiting.next_greedy()).take(room - modest.len());
        (modest, greedy.map(|who| who.slot).collect())
    }

    fn starve(waiting: &mut Waiting, starved: &[(u32, Taken)], now: Millis) {
        let starved = starved.iter().map(|(slot, took)| (ticket(*slot), *took));
        waiting.starved(&starved.collect::<Vec<_>>(), now);
    }

    #[test]
    fn those_with_less_than_their_share_come_first() {
        let mut waiting = Waiting::default();
        let starved = [
            (1, Taken::Share),
            (2, Taken::Less),
            (3, Taken::Share),
            (4, Taken::Less),
        ];
        starve(&mut waiting, &starved, 0);
        let multishot = |slot| (slot, Receive::Multishot);
        assert_eq!(next(&mut waiting, 1), (vec![multishot(2)], vec![]));
        starve(&mut waiting, &[(5, Taken::Less)], 0);
        let expected = (vec![multishot(4), multishot(5)], vec![1]);
        assert_eq!(next(&mut waiting, 3), expected);
        // Its buffer was full: it is the last of its kind.
        waiting.ended(ticket(1), true, 0);
        assert_eq!(next(&mut waiting, 3), (vec![], vec![3, 1]));
        assert!(waiting.is_empty());
    }

    #[test]
    fn one_alone_takes_what_there_is() {
        let mut waiting = Waiting::default();
        for now in 0..3 {
            starve(&mut waiting, &[(1, Taken::Share)], now);
            let expected = (vec![(1, Receive::Multishot)], vec![]);
            assert_eq!(next(&mut waiting, 9), expected, "at {now}");
        }
        // Until somebody else wants one, and for a while after.
        starve(&mut waiting, &[(2, Taken::Less)], 10);
        assert_eq!(next(&mut waiting, 9).0.len(), 1);
        starve(&mut waiting, &[(1, Taken::Share)], 10 + CONTENDED_MS - 1);
        assert_eq!(next(&mut waiting, 9), (vec![], vec![1]));
        starve(&mut waiting, &[(1, Taken::Share)], 10 + CONTENDED_MS);
        assert_eq!(next(&mut waiting, 9).0, [(1, Receive::Multishot)]);
        // Two that flood are not alone.
        let both = [(1, Taken::Share), (2, Taken::Share)];
        starve(&mut waiting, &both, 10 + CONTENDED_MS);
        assert_eq!(next(&mut waiting, 9), (vec![], vec![1, 2]));
    }

    #[test]
    fn who_has_nothing_left_is_received_for_as_before_once_nobody_goes_without() {
        let mut waiting = Waiting::default();
        starve(&mut waiting, &[(1, Taken::Share), (2, Taken::Less)], 0);
        next(&mut waiting, 9);
        for (now, how) in [
            (CONTENDED_MS - 1, Receive::Once),
            (CONTENDED_MS, Receive::Multishot),
        ] {
            waiting.ended(ticket(1), false, now);
            assert_eq!(next(&mut waiting, 9).0, [(1, how)], "at {now}");
        }
        waiting.curbed(ticket(1), CONTENDED_MS);
        assert_eq!(next(&mut waiting, 9), (vec![], vec![1]));
        waiting.ended(ticket(1), false, CONTENDED_MS);
        assert_eq!(next(&mut waiting, 9).0, [(1, Receive::Once)]);
    }
}
