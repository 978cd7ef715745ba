//! Why an engine does not start.

use crate::driver::listen::ListenSource;
use crate::driver::platform::Unsupported;
use crate::types::config_error::ConfigError;

/// Why an engine did not start. Its `Debug` is its `Display`: that is what `main` prints when it
/// returns an error, and whoever starts the program reads it.
#[derive(thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The host cannot run the driver: what is missing and what to do.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The process may open too few files.
    #[error(
        "the limit on open files is {limit}, and starting takes {needed} besides those that are open: raise it (ulimit -n, LimitNOFILE=)"
    )]
    OpenFiles {
        /// `RLIMIT_NOFILE`.
        limit: usize,
        /// At the same time, at the most.
        needed: usize,
    },
    /// The user, or the container, may have no more threads.
    #[error(
        "no more threads: {source}; raise the limit (ulimit -u, LimitNPROC=, TasksMax=, a container's --pids-limit)"
    )]
    Threads {
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A listener cannot be opened.
    #[error("cannot listen on {listener}: {source}")]
    Listen {
        /// As it was configured.
        listener: ListenSource,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// Another resource is missing.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

impl std::fmt::Debug for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
