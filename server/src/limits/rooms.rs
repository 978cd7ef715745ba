//! What all publishers of a room may do together: rates that the shards charge to one entry.
//!
//! Invariant: a room that is not there has used nothing. When the table is full of rooms that have,
//! those without a place share one entry by a few bits of their names: together they have what one
//! room may.

use crate::limits::gcra::{Rate, Wait};
use crate::limits::table::StripedTable;
use foldhash::quality::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

/// The rooms that have used something of late.
#[derive(Debug)]
pub(super) struct RoomTable {
    rooms: StripedTable<Box<str>, RoomUse>,
    shared: Box<[Mutex<RoomUse>]>,
    seed: RandomState,
}

#[derive(Debug, Default)]
struct RoomUse {
    messages: u64,
    bytes: u64,
}

/// What a room may take of its publishers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RoomRates {
    pub(super) messages: Option<Rate>,
    pub(super) bytes: Option<Rate>,
}

/// How much there is not enough of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoomLack {
    Messages(Wait),
    Bytes(Wait),
}

impl RoomTable {
    /// Rooms that have entries of their own.
    pub(super) const ROOMS_MAX: usize = 65_536;
    /// Entries for all others.
    const SHARED: usize = 64;

    pub(super) fn new(rooms_max: usize) -> RoomTable {
        RoomTable {
            rooms: StripedTable::new(rooms_max),
            shared: (0..Self::SHARED).map(|_| Mutex::default()).collect(),
            seed: RandomState::default(),
        }
    }

    /// Takes a message of so many bytes, or owes it.
    ///
    /// # Errors
    /// There is not enough; with [`Charge::Take`] nothing was taken.
    pub(super) fn charge(
        &self,
        room: &str,
        rates: RoomRates,
        bytes: u64,
        now: u64,
        charge: Charge,
    ) -> Result<(), RoomLack> {
        let is_idle = |used: &RoomUse| used.messages <= now && used.bytes <= now;
        let run = |used: &mut RoomUse| used.charge(rates, bytes, now, charge);
        let own = self
            .rooms
            .enter(room.into(), RoomUse::default, is_idle, run);
        own.unwrap_or_else(|| {
            let shared = &self.shared[self.seed.hash_one(room) as usize % Self::SHARED];
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.charge(rates, bytes, now, charge)
        })
    }
}

/// What is charged is taken if it is there, or taken anyway and waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charge {
    Take,
    Owe,
}

impl RoomUse {
    fn charge(
        &mut self,
        rates: RoomRates,
        bytes: u64,
        now: u64,
        charge: Charge,
    ) -> Result<(), RoomLack> {
        match charge {
            Charge::Take => {
                let messages = rates.messages.map(|rate| rate.take(self.messages, now, 1));
                let messages = messages.transpose().map_err(RoomLack::Messages)?;
                let taken = rates.bytes.map(|rate| rate.take(self.bytes, now, bytes));
                let taken = taken.transpose().map_err(RoomLack::Bytes)?;
                self.messages = messages.unwrap_or(self.messages);
                self.bytes = taken.unwrap_or(self.bytes);
                Ok(())
            }
            Charge::Owe => {
                let mut lack = Ok(());
                if let Some(rate) = rates.bytes {
                    let (full_at, pause) = rate.owe(self.bytes, now, bytes);
                    self.bytes = full_at;
                    lack = pause.map_or(lack, |wait| Err(RoomLack::Bytes(wait)));
                }
                if let Some(rate) = rates.messages {
                    let (full_at, pause) = rate.owe(self.messages, now, 1);
                    self.messages = full_at;
                    lack = pause.map_or(lack, |wait| Err(RoomLack::Messages(wait)));
                }
                lack
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> RoomRates {
        RoomRates {
            messages: Rate::new(2, 2),
            bytes: Rate::new(100, 100),
        }
    }

    #[test]
    fn a_room_has_its_own_and_what_is_refused_takes_nothing() {
        let table = RoomTable::new(1 << 10);
        let take = |room, bytes, now| table.charge(room, rates(), bytes, now, Charge::Take);
        assert_eq!(take("a", 40, 0), Ok(()));
        assert!(matches!(take("a", 61, 0), Err(RoomLack::Bytes(_))));
        assert_eq!(take("a", 60, 0), Ok(()));
        assert!(matches!(take("a", 1, 0), Err(RoomLack::Messages(_))));
        assert_eq!(take("b", 100, 0), Ok(()));
        assert_eq!(take("a", 50, 500_000_000), Ok(()));
    }

    #[test]
    fn rooms_without_a_place_share() {
        let table = RoomTable::new(0);
        let mut passed = 0;
        for number in 0..1_000 {
            let room = format!("room-{number}");
            let charged = table.charge(&room, rates(), 1, 0, Charge::Take);
            passed += usize::from(charged.is_ok());
        }
        // Two for each shared entry.
        assert_eq!(passed, 2 * RoomTable::SHARED);
    }

    #[test]
    fn what_is_owed_is_waited_for() {
        let table = RoomTable::new(1 << 10);
        let owe = |now| table.charge("a", rates(), 1, now, Charge::Owe);
        assert_eq!((owe(0), owe(0)), (Ok(()), Ok(())));
        let Err(RoomLack::Messages(wait)) = owe(0) else {
            panic!("three of two");
        };
        assert_eq!(wait.milliseconds(), 500);
    }
}
