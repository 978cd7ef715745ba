//! Rooms: joining and leaving, who is in them and what they show there, events to them, and what
//! they keep. Their classes stand in `namespace`.

mod arriving;
pub(crate) mod cursor;
pub(crate) mod emit;
pub(crate) mod entering;
pub(crate) mod entry;
pub(crate) mod event;
pub(crate) mod first;
mod handing;
pub(crate) mod history;
pub(crate) mod kept;
pub(crate) mod keys;
mod member_maps;
pub(crate) mod members;
pub(crate) mod membership;
pub(crate) mod presence;
pub(crate) mod published;
pub(crate) mod rejoin;
pub(crate) mod resume;
