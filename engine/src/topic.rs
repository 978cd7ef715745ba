//! Topics: their keys, what is published to them, the members that this shard has, and the order
//! that this shard gives as their home.

pub(crate) mod acknowledging;
pub(crate) mod acks;
pub(crate) mod admitting;
pub(crate) mod batch;
pub(crate) mod catching_up;
pub(crate) mod congestion;
pub(crate) mod cursor;
pub(crate) mod data;
pub(crate) mod delayed;
pub(crate) mod delta;
pub(crate) mod filter;
pub(crate) mod greed;
pub(crate) mod history;
pub(crate) mod home;
pub(crate) mod joining;
pub(crate) mod keep;
pub(crate) mod key;
pub(crate) mod leaving;
pub(crate) mod log;
pub(crate) mod losing;
pub(crate) mod member_list;
pub(crate) mod order;
pub(crate) mod outlet;
pub(crate) mod place;
pub(crate) mod presence;
pub(crate) mod publication;
pub(crate) mod publishing;
pub(crate) mod relay;
pub(crate) mod seats;
pub(crate) mod skips;
pub(crate) mod subscribers;
pub(crate) mod tally;
pub(crate) mod target;
pub(crate) mod topics;
