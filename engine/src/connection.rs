//! Parts of a connection. Each owns one thing, by slot or in one connection, and knows neither the
//! shard nor the topics.

pub(crate) mod admission;
pub(crate) mod admissions;
pub(crate) mod budget;
pub(crate) mod exchange;
pub(crate) mod heartbeat;
pub(crate) mod input;
pub(crate) mod membership;
pub(crate) mod outbox;
pub(crate) mod paged;
pub(crate) mod pauses;
pub(crate) mod peer;
pub(crate) mod phase;
pub(crate) mod slot;
pub(crate) mod timers;
pub(crate) mod token;
pub(crate) mod wheel;
