//! Who holds a key of a map: the key is there as long as somebody does.
//!
//! Invariant: a holder stands here once. Most keys have none or one, which takes no memory of its
//! own. Kept with each entry of a map.

use crate::types::ticket::Address;
use std::collections::BTreeSet;

/// Holders of one key.
#[derive(Debug, Default)]
pub(crate) enum Holders {
    #[default]
    Nobody,
    One(Address),
    /// Two or more, or some that there were.
    Many(BTreeSet<Address>),
}

impl Holders {
    /// What one takes of a map's bytes, besides the first.
    pub(crate) const HOLDER_BYTES: usize = 32;

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Holders::Nobody => true,
            Holders::One(_) => false,
            Holders::Many(holders) => holders.is_empty(),
        }
    }

    /// Whether it takes memory: it was none, and is not the first.
    pub(crate) fn insert(&mut self, holder: Address) -> bool {
        match self {
            Holders::Nobody => {
                *self = Holders::One(holder);
                false
            }
            Holders::One(one) if *one == holder => false,
            Holders::One(one) => {
                *self = Holders::Many(BTreeSet::from([*one, holder]));
                true
            }
            Holders::Many(holders) => {
                let is_first = holders.is_empty();
                holders.insert(holder) && !is_first
            }
        }
    }

    /// False: it was none.
    pub(crate) fn remove(&mut self, holder: Address) -> bool {
        match self {
            Holders::One(one) if *one == holder => {
                *self = Holders::Nobody;
                true
            }
            Holders::Nobody | Holders::One(_) => false,
            Holders::Many(holders) => holders.remove(&holder),
        }
    }
}
