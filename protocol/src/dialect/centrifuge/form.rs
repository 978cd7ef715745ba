//! How the data of a publication is written: as it is, or for a subscription with deltas. There
//! it is in JSON always a string, which holds the data's own JSON or what changed of it; in
//! Protobuf it is bytes anyway, and only a delta is marked.
//!
//! Invariant: what is whole is what clients have from then on, byte for byte. Used by `push` and
//! `reply`, written by `body`.

/// Whether a subscription has deltas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deltas {
    /// It has not.
    #[default]
    Off,
    /// In Fossil's format.
    Fossil,
}

/// How the data of one publication is written.
pub(super) enum DataForm {
    /// As it is, for a subscription without deltas.
    Plain,
    /// All of it: the next delta builds on it.
    Whole,
    /// What changed.
    Delta(Vec<u8>),
}
