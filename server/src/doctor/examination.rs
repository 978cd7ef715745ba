//! All that was found of a host, and the exit code that it makes. Shown by `page`.

use super::driver::{ChosenDriver, Tried};
use super::finding::{Area, Finding, HostState};
use super::needs::HostNeeds;
use super::tree::HostTree;
use super::{cgroup, files, interfaces, kernel, network, processors};

/// What was found of a host.
#[derive(Debug)]
pub(crate) struct Examination {
    pub(super) driver: ChosenDriver,
    pub(super) findings: Vec<Finding>,
}

impl Examination {
    pub(super) fn new(tree: &HostTree, needs: &HostNeeds, tried: &Tried) -> Examination {
        let chosen = tried.chosen(needs);
        let start = needs.start.iter().map(|why| Finding::of_start(why));
        let areas: [(Area, Vec<Finding>); 8] = [
            (Area::Driver, tried.findings(needs, &chosen)),
            (Area::Kernel, kernel::findings(tree, &chosen)),
            (Area::Files, files::findings(tree, needs, &chosen)),
            (Area::Network, network::findings(tree, needs)),
            (Area::Cards, interfaces::findings(tree, needs)),
            (Area::Processors, processors::findings(tree, needs)),
            (Area::Cgroup, cgroup::findings(tree, needs)),
            (Area::Start, start.collect()),
        ];
        let findings = areas.into_iter().flat_map(|(area, findings)| {
            let findings = findings.into_iter();
            findings.map(move |finding| finding.of(area))
        });
        Examination {
            findings: findings.collect(),
            driver: chosen,
        }
    }

    /// 0: nothing to mend; 1: it serves, but could do better; 2: it cannot serve.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.worst() {
            HostState::Ok | HostState::Unknown => 0,
            HostState::Warning => 1,
            HostState::Stops => 2,
        }
    }

    pub(super) fn worst(&self) -> HostState {
        let states = self.findings.iter().map(|finding| finding.state);
        states.max().unwrap_or(HostState::Ok)
    }
}
