//! `shardcast doctor`: what of this host stops the server or slows it, each with the command that
//! mends it. It reads `/proc` and `/sys`, and tries what the drivers need; it changes nothing.
//!
//! Every check says `unknown` where it cannot see, and that is no fault of the host. Called by
//! `cli`.

mod cgroup;
mod driver;
mod examination;
mod files;
mod finding;
mod interfaces;
mod kernel;
mod needs;
mod network;
mod page;
mod processors;
#[cfg(test)]
mod tests;
mod tree;

use crate::config::Settings;
pub(crate) use examination::Examination;
use needs::HostNeeds;
use std::path::Path;
use tree::HostTree;

/// Examines the host whose `/proc` and `/sys` are below `root` for a server with these settings.
/// What the drivers need is tried on the host that this runs on.
pub(crate) fn examine(settings: &Settings, root: &Path) -> Examination {
    let needs = HostNeeds::of(settings);
    let tried = driver::try_drivers(&needs);
    Examination::new(&HostTree::at(root), &needs, &tried)
}

/// For people: what could be better first, and how many are as they should be.
pub(crate) fn text(examination: &Examination) -> String {
    page::text(examination)
}

/// For programs: `docs/operations.md` says what the fields mean.
pub(crate) fn json(examination: &Examination) -> String {
    page::json(examination)
}
