//! Between the dialects and Rust: ids, values, failures and publications. Knows no connection.

pub(crate) mod connection_id;
pub(crate) mod encoding;
pub(crate) mod failure;
pub(crate) mod filtering;
pub(crate) mod from_data;
pub(crate) mod position;
pub(crate) mod publication;
pub(crate) mod traced;
