//! The limit on open files of this process. Used by whoever counts descriptors: `host` before
//! anything starts, platforms for their tables.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // If it fails the limit stays as it is, and `max` tells.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Descriptors that this process may have open at a time.
pub(crate) fn max() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}
