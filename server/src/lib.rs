//! The Shardcast server: handlers, rooms and dialects over the engine, the control plane, and the
//! configuration of the binary.

#![forbid(unsafe_code)]

mod access;
mod admin;
mod admission;
mod api;
mod audit;
mod auth;
mod bounded;
pub mod broker;
mod centrifuge;
mod cli;
mod config;
mod control;
mod dispatch;
mod doctor;
mod gateway;
mod import;
mod limits;
mod log;
mod moment;
pub mod namespace;
#[doc(hidden)] // For fuzzing.
pub mod parsing;
mod passed;
mod reload;
mod remedy;
mod rooms;
mod serve;
mod service;
mod session;
mod store;
mod tls;
mod tokens;
mod traces;
mod versions;
mod wire;

pub use access::networks::{BadNetwork, Networks};
pub use access::origin::{BadOrigin, Origins};
pub use access::proxies::Proxies;
pub use admin::embedded::ServerMetrics;
pub use admission::arrival::Arrival;
pub use admission::connect::Connect;
pub use api::app::App;
pub use api::registration::Handlers;
pub use api::server::{Server, Shards};
pub use api::service::Service;
pub use auth::algorithm::TokenAlgorithm;
pub use auth::claims::Claims;
pub use auth::fault::TokenFault;
pub use auth::grants::{Grants, RoomAction};
pub use auth::key::{BadKey, KeyMaterial, TokenKey};
pub use auth::key_set::{BadKeySet, KeySetOptions};
pub use auth::options::{Auth, TokenMode, TokenSource, TooManyKeys};
pub use auth::revocations::{NotRevoked, Revocation};
pub use auth::rules::{Expiry, TokenRules};
pub use centrifuge::options::Centrifuge;
pub use cli::run;
pub use dispatch::guard::Attempt;
pub use dispatch::handler::Handler;
pub use dispatch::middleware::{Flow, Request};
pub use dispatch::options::Options;
pub use dispatch::registry::RegisterError;
pub use limits::gcra::Rate;
pub use limits::rules::{ClientLimits, Enforcement, OnExceed, RateLimits};
pub use rooms::emit::Emit;
pub use rooms::history::{HistoryMessage, RoomHistory};
pub use rooms::presence::{RoomMember, RoomPresence};
pub use rooms::published::Published;
pub use session::admitted::Admitted;
pub use session::background::Background;
pub use session::context::{Context, NothingToAnswer, Session};
pub use session::counts::{SessionCount, SessionCounts};
pub use session::guarded::Verdict;
pub use session::handle::Handle;
pub use session::identity::{BadUser, Identity};
pub use session::limits::Limits;
pub use session::offline::OfflineOptions;
pub use session::options::SessionOptions;
pub use session::pending::JoinedRoom;
pub use session::resuming::{Resumed, ResumedOutcome, ResumedRoom};
pub use session::reverse::{CallError, Rejected};
pub use session::task::RegistrationId;
pub use store::options::Persistence;
pub use wire::connection_id::{BadConnectionId, ConnectionId};
pub use wire::failure::{Failure, Gone};
pub use wire::from_data::{Data, FromData, Valid};
// What an application names of the crates below, so that it need not depend on them.
pub use shardcast_engine as engine;
pub use shardcast_engine::protocol::close::CloseCode;
pub use shardcast_engine::{
    Address, CloseReason, Config, HistoryQuery, JoinedLog, ListenAddress, ListenSource, Listener,
    Listing, Loss, Member, Missed, MissedReason, Peer, Position, PresenceKey, PresenceQuery,
    PresenceState, ReadOrder, Recovery, Refusal, Repeat, Since, StartError, Topic,
};
pub use shardcast_protocol::dialect::{Code, Dialect, LossReason, Problem, Rules, Value};
pub use shardcast_protocol::http::{HeaderError, Headers};

// The code on these pages compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
mod embedding {}
