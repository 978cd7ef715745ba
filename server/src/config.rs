//! The configuration: what was given (flags, environment, file) is checked once, at start, into
//! `Settings`, which cannot be wrong.

mod access;
mod access_keys;
mod admin;
mod admin_keys;
mod auth;
mod auth_check;
mod auth_keys;
mod centrifuge_keys;
mod check;
mod cluster;
mod cluster_keys;
mod compression_keys;
mod exchanged;
mod gateway;
mod gateway_keys;
mod given;
mod group;
mod key;
mod keys;
mod limit_keys;
mod limit_settings;
mod map_check;
mod offline;
mod offline_keys;
mod page;
mod persistence_keys;
mod place;
mod problem;
mod room_keys;
mod rooms;
mod server_keys;
mod session_keys;
mod sessions;
mod settings;
mod shown;
mod tls;
mod trace_keys;
mod traces;
mod value;
mod word;

pub(crate) use admin::AdminTlsFiles;
pub(crate) use auth::{AuthSettings, KeySetSettings, MaterialSettings, TokenKeySettings};
pub(crate) use check::check;
pub(crate) use cluster::PasswordFault;
pub(crate) use exchanged::{ExchangedRooms, ExchangedRules};
pub(crate) use gateway::SocketPlace;
pub(crate) use given::Given;
pub(crate) use map_check::warnings;
pub(crate) use page::{default_page, effective_page};
pub(crate) use settings::Settings;
pub(crate) use shown::{differences, shown};
pub(crate) use tls::{ClientAuth, TlsSettings};
pub(crate) use value::{LogFormat, duration as read_duration};

#[cfg(test)]
mod tests;
