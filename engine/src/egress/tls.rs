//! TLS 1.2 and 1.3 in process (rustls): what an embedder gives, the configuration that shards
//! share, and one session per connection.
//!
//! Sessions are pure: bytes in, bytes out. The shard decides when a handshake has its turn and when
//! what is pending becomes records.

pub(crate) mod error;
pub(crate) mod fault;
pub(crate) mod identity;
mod keys;
pub(crate) mod options;
pub(crate) mod provider;
pub(crate) mod records;
mod secrets;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod sessions;
#[cfg(test)]
pub(crate) mod tests;
mod traffic;
