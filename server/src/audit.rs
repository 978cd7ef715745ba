//! What operators want to know afterwards: who was refused what.

pub(crate) mod event;
