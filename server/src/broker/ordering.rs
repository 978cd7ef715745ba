//! Ordered rooms: the broker gives what is published its place, and every node delivers it in that
//! order.
//!
//! Invariant: a publisher is answered once the broker has its publication, and what was answered is
//! delivered at every node that has members, once and in order, whatever was lost on the way, as
//! long as the broker keeps it; where it does not, the members are told. What each room's log is to
//! become is decided by [`room`], which knows no broker and no clock; the tasks do it.

pub(crate) mod entry;
pub(crate) mod following;
pub(crate) mod news;
pub(crate) mod placing;
pub(crate) mod room;
#[cfg(test)]
mod simulation;
pub(crate) mod steps;
