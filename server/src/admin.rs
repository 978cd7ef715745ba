//! What operators see: the admin port, the metrics, and the state behind both.

pub(crate) mod metrics;
pub(crate) mod port;
pub(crate) mod state;
pub(crate) mod visitors;
