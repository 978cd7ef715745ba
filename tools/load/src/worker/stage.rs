//! The stages of a worker, from one command of the parent to the answer. Invariant: every stage has
//! a deadline. Entered and left by `advance`.

/// What the worker is at; times are CLOCK_MONOTONIC nanoseconds.
#[derive(Debug)]
pub(super) enum Stage {
    /// Awaits a command.
    Waiting {
        is_prelude: bool,
    },
    Connecting {
        until_ns: u64,
    },
    Subscribing {
        until_ns: u64,
    },
    /// All probes have come: reports that, and goes on until the command to run.
    Probing {
        until_ns: u64,
        next_ns: u64,
        reported: bool,
    },
    /// Connected, and silent until the command to run.
    Holding,
    /// Silent until `start_ns`, which is the same for all workers.
    Running {
        start_ns: u64,
        until_ns: u64,
    },
    /// `settled_ns`: when everything had arrived.
    Draining {
        until_ns: u64,
        check_ns: u64,
        settled_ns: Option<u64>,
    },
}

impl Stage {
    /// Whether what breaks is a reason not to measure at all. Later it is part of what is measured.
    pub(super) fn is_prelude(&self) -> bool {
        match self {
            Stage::Connecting { .. } | Stage::Subscribing { .. } | Stage::Probing { .. } => true,
            Stage::Waiting { is_prelude } => *is_prelude,
            Stage::Holding | Stage::Running { .. } | Stage::Draining { .. } => false,
        }
    }
}
