//! The limit of open files, as high as a worker's connections need it. Called by `sockets`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides the connections.
const OTHER_FILES: u64 = 32;

/// Raises the soft limit for so many connections, if it must.
///
/// # Errors
/// The hard limit is too low, in words.
pub(crate) fn allow_files(connections: u64) -> Result<(), String> {
    let needed = connections + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let refusal = format!(
        "a worker needs {needed} open files and may have {:?}: use more --workers or raise `ulimit -n`",
        limit.maximum
    );
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(refusal);
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .map_err(|_| refusal)
}
