//! Members that are sent only what passes their filters.

pub(crate) mod collecting;
pub(crate) mod filters;
pub(crate) mod sifter;
