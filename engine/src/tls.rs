//! TLS 1.2 and 1.3 in process (rustls): what an embedder gives, the configuration that shards share, and one session per connection.
//!
//! Sessions are pure: bytes in, bytes out. The shard decides when a handshake has its turn and when what is owed becomes records.

mod identity;
mod options;
mod server;
mod session;
#[cfg(test)]
pub(crate) mod tests;

pub use identity::Identity;
pub use options::{ClientCertificates, TlsError, TlsOptions, TlsVersion};
pub use server::Tls;
pub(crate) use session::{Fault, Session};
