//! Who may connect: which dialect a client speaks, what the hooks see of it, and admissions that
//! are decided later.

pub(crate) mod arrival;
pub(crate) mod connect;
pub(crate) mod entrance;
pub(crate) mod streams;
