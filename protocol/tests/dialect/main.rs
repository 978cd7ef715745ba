//! The dialects, at their boundary: what is read, what is written, what becomes of values, and that
//! each can say what another said.

mod centrifuge;
mod controls;
mod decoding;
mod delivery;
mod json_rpc;
mod messagepack;
mod native_json;
mod presence;
mod published;
mod specification;
mod survival;
mod table;
mod transcoding;
mod tree;
mod written;
