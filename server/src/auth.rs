//! Who a client is, proved by a token, and what that lets it do.

pub(crate) mod algorithm;
pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod claims;
pub(crate) mod compact;
pub(crate) mod counts;
pub(crate) mod expiry;
pub(crate) mod fault;
pub(crate) mod fetch;
pub(crate) mod files;
pub(crate) mod gate;
pub(crate) mod grants;
pub(crate) mod jwk;
pub(crate) mod key;
pub(crate) mod key_set;
pub(crate) mod keys;
pub(crate) mod options;
pub(crate) mod refreshing;
pub(crate) mod revocations;
pub(crate) mod revoking;
pub(crate) mod rules;
pub(crate) mod sources;
pub(crate) mod verifier;

#[cfg(test)]
mod tests;
