//! How a request meets its handler: registrations, middleware, options, the table, and what the
//! server answers itself.

pub(crate) mod authenticate;
pub(crate) mod builtin;
pub(crate) mod debug;
pub(crate) mod guard;
pub(crate) mod handler;
pub(crate) mod late;
pub(crate) mod middleware;
pub(crate) mod naming;
pub(crate) mod options;
pub(crate) mod page;
pub(crate) mod pattern;
pub(crate) mod present;
pub(crate) mod publishing;
pub(crate) mod recorded;
pub(crate) mod registry;
pub(crate) mod resuming;
pub(crate) mod room_token;
pub(crate) mod run;
pub(crate) mod table;
pub(crate) mod task;
