//! What operators see: the admin port, the metrics, and the state behind both.

pub(crate) mod answers;
pub(crate) mod api;
pub(crate) mod auditing;
pub(crate) mod centrifugo;
pub(crate) mod embedded;
pub(crate) mod facts;
pub(crate) mod guard;
pub(crate) mod kept;
pub(crate) mod lifecycle;
pub(crate) mod metrics;
pub(crate) mod pages;
pub(crate) mod port;
pub(crate) mod problem;
pub(crate) mod rules;
pub(crate) mod sources;
pub(crate) mod state;
pub(crate) mod tls;
pub(crate) mod token;
pub(crate) mod visitors;
