//! What operators want to know afterwards: who was refused what.

pub(crate) mod event;
pub(crate) mod journal;
pub(crate) mod layer;
pub(crate) mod limited;
