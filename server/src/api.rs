//! What an application is built with: the server before and after it starts, its handlers, its
//! hooks, and the service that the engine calls.

mod admitting;
pub(crate) mod app;
mod commands;
pub(crate) mod hooks;
pub(crate) mod registration;
pub(crate) mod server;
pub(crate) mod service;
mod watching;
