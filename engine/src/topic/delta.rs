//! Members that are sent deltas: what each publication changes of the one before it.

pub(crate) mod baseless;
pub(crate) mod bases;
pub(crate) mod collecting;
