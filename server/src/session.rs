//! One connection as the server knows it: its state, its context on the shard, and the ways to it
//! from elsewhere.

pub(crate) mod answering;
pub(crate) mod background;
pub(crate) mod batch;
pub(crate) mod call;
pub(crate) mod call_client;
pub(crate) mod context;
pub(crate) mod handle;
pub(crate) mod identity;
pub(crate) mod limits;
pub(crate) mod metadata;
pub(crate) mod pending;
pub(crate) mod permits;
pub(crate) mod permitting;
pub(crate) mod refusals;
pub(crate) mod retry;
pub(crate) mod reverse;
pub(crate) mod shard_state;
pub(crate) mod shared;
pub(crate) mod state;
pub(crate) mod task;
pub(crate) mod validity;
