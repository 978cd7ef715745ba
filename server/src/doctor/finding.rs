//! One thing that was looked at: what was found, what is wanted, why, and the command that mends
//! it. Made by the checks; shown by `page`.

use std::borrow::Cow;

/// How a finding is judged; the worst comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostState {
    /// As it should be.
    Ok,
    /// It cannot be seen from here.
    Unknown,
    /// The server runs, and would do better otherwise.
    Warning,
    /// The server cannot serve as it is configured.
    Stops,
}

impl HostState {
    pub(super) fn name(self) -> &'static str {
        match self {
            HostState::Ok => "ok",
            HostState::Unknown => "unknown",
            HostState::Warning => "warning",
            HostState::Stops => "stops",
        }
    }
}

/// What part of the host a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    Driver,
    Kernel,
    Files,
    Network,
    Cards,
    Processors,
    Cgroup,
    Start,
}

impl Area {
    pub(super) fn name(self) -> &'static str {
        match self {
            Area::Driver => "driver",
            Area::Kernel => "kernel",
            Area::Files => "files",
            Area::Network => "network",
            Area::Cards => "cards",
            Area::Processors => "processors",
            Area::Cgroup => "cgroup",
            Area::Start => "start",
        }
    }
}

/// A setting that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) area: Area,
    /// As sysctl(8), the shell or the kernel's documents call it.
    pub(super) name: Cow<'static, str>,
    pub(super) state: HostState,
    pub(super) found: String,
    pub(super) wanted: String,
    pub(super) why: Cow<'static, str>,
    /// The command, or what else to do. Only where something is to be mended.
    pub(super) mend: Option<String>,
}

/// A setting that is still to be judged.
pub(super) struct HostSetting {
    name: Cow<'static, str>,
    wanted: String,
    why: Cow<'static, str>,
}

impl HostSetting {
    pub(super) fn new(
        name: impl Into<Cow<'static, str>>,
        wanted: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
    ) -> HostSetting {
        HostSetting {
            name: name.into(),
            wanted: wanted.into(),
            why: why.into(),
        }
    }

    pub(super) fn ok(self, found: impl Into<String>) -> Finding {
        self.judged(HostState::Ok, found.into(), None)
    }

    /// `found` says why it cannot be seen.
    pub(super) fn unknown(self, found: impl Into<String>) -> Finding {
        self.judged(HostState::Unknown, found.into(), None)
    }

    pub(super) fn warns(self, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        self.judged(HostState::Warning, found.into(), Some(mend.into()))
    }

    pub(super) fn stops(self, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        self.judged(HostState::Stops, found.into(), Some(mend.into()))
    }

    fn judged(self, state: HostState, found: String, mend: Option<String>) -> Finding {
        Finding {
            // Whoever gathers the checks says which.
            area: Area::Start,
            name: self.name,
            state,
            found,
            wanted: self.wanted,
            why: self.why,
            mend,
        }
    }
}

impl Finding {
    pub(super) fn of(self, area: Area) -> Finding {
        Finding { area, ..self }
    }

    /// What the start was tried for, and refused.
    pub(super) fn of_start(refused: &str) -> Finding {
        let setting = HostSetting::new(
            "start",
            "descriptors and threads for all shards",
            "the server tries this before it opens a socket",
        );
        setting.stops(refused, "see what was found")
    }
}
