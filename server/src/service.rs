//! What the service manager that started the process is told (sd_notify(3)): that it serves, reads
//! its configuration again or stops, and, while every shard ticks, that it is well.
//!
//! Without a service manager all of this does nothing. Called by `serve`, and by `reload`.

mod notify;
mod watch;

pub(crate) use notify::NotifySocket;
pub(crate) use watch::Watchdog;
