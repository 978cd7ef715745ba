//! Which driver would run, and why: each feature that io_uring is used for is tried, by itself and
//! on this host.

use super::finding::{Finding, HostSetting};
use super::needs::HostNeeds;
use shardcast_engine::DriverChoice;
use shardcast_engine::driver::{
    NativePlatform, Platform, PortablePlatform, TrialOutcome, TriedFeature, Unsupported,
};

/// What the trials of both drivers gave.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub(super) native: Result<(), Unsupported>,
    pub(super) portable: Result<(), Unsupported>,
    pub(super) features: Vec<TriedFeature>,
}

/// The driver that would run; `None`: neither can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChosenDriver {
    pub(super) name: Option<&'static str>,
    pub(super) why: String,
    /// What refuses io_uring, where it was asked for or would have been taken.
    pub(super) native_refused: Option<Unsupported>,
}

/// Tries what may be chosen, as the start does.
pub(super) fn try_drivers(needs: &HostNeeds) -> Tried {
    let portable = PortablePlatform::default();
    if needs.asked == DriverChoice::Portable {
        return Tried {
            native: Ok(()),
            portable: portable.probe(),
            features: portable.features(),
        };
    }
    let native = NativePlatform::default();
    let features = native.features();
    Tried {
        native: native.probe(),
        portable: portable.probe(),
        features: features.into_iter().chain(portable.features()).collect(),
    }
}

impl Tried {
    pub(super) fn chosen(&self, needs: &HostNeeds) -> ChosenDriver {
        const URING: &str = NativePlatform::NAME;
        const PORTABLE: &str = PortablePlatform::NAME;
        let because = |lack: &Unsupported| lack.lack().to_owned();
        let (name, why) = match (needs.asked, &self.native, &self.portable) {
            (DriverChoice::Portable, _, Ok(())) => {
                (Some(PORTABLE), "server.driver asks for it".to_owned())
            }
            (DriverChoice::Portable, _, Err(lack)) => (None, because(lack)),
            (DriverChoice::Uring, Ok(()), _) => {
                (Some(URING), "server.driver asks for it".to_owned())
            }
            (DriverChoice::Auto, Ok(()), _) => (
                Some(URING),
                "everything that it takes works here".to_owned(),
            ),
            (DriverChoice::Uring, Err(lack), _) => (None, because(lack)),
            (DriverChoice::Auto, Err(lack), Ok(())) => {
                (Some(PORTABLE), format!("io_uring: {}", lack.lack()))
            }
            (DriverChoice::Auto, Err(lack), Err(other)) => {
                (None, format!("{}; {}", lack.lack(), other.lack()))
            }
        };
        ChosenDriver {
            name,
            why,
            native_refused: self.native.clone().err(),
        }
    }

    pub(super) fn findings(&self, needs: &HostNeeds, chosen: &ChosenDriver) -> Vec<Finding> {
        let mut findings = vec![choice(needs, chosen)];
        findings.extend(self.features.iter().map(|tried| feature(tried, chosen)));
        findings
    }
}

fn choice(needs: &HostNeeds, chosen: &ChosenDriver) -> Finding {
    let asked = needs.asked;
    let setting = HostSetting::new(
        "server.driver",
        match asked {
            DriverChoice::Portable => "portable",
            DriverChoice::Auto | DriverChoice::Uring => "uring",
        },
        "epoll takes a system call for each receive and send, and each connection an open file",
    );
    let remedy = chosen.native_refused.as_ref().map(|lack| lack.remedy());
    match (chosen.name, remedy) {
        (Some(name), None) => setting.ok(format!("{name} (asked: {asked}): {}", chosen.why)),
        (Some(name), Some(remedy)) => {
            setting.warns(format!("{name} (asked: {asked}): {}", chosen.why), remedy)
        }
        (None, remedy) => {
            let found = format!("none (asked: {asked}): {}", chosen.why);
            let otherwise = "permit epoll in the sandbox that this runs in";
            setting.stops(found, remedy.unwrap_or(otherwise))
        }
    }
}

fn feature(tried: &TriedFeature, chosen: &ChosenDriver) -> Finding {
    let setting = HostSetting::new(tried.name, "works", tried.purpose);
    match &tried.outcome {
        TrialOutcome::Works => setting.ok("works"),
        TrialOutcome::Replaced(instead) => match instead.rsplit_once("; ") {
            Some((cost, mend)) => setting.warns(format!("missing: {cost}"), mend),
            None => setting.warns("missing", *instead),
        },
        TrialOutcome::Missing(lack) if chosen.name.is_some() => {
            setting.warns(lack.lack(), lack.remedy())
        }
        TrialOutcome::Missing(lack) => setting.stops(lack.lack(), lack.remedy()),
        TrialOutcome::NotTried => setting.unknown("what it takes to try it is missing"),
    }
}
