//! What was found, as people and as programs read it.

use super::examination::Examination;
use super::finding::{Finding, HostState};
use serde_json::{Value, json};

/// Of the JSON: grows when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// What is to be mended in full, a line for what cannot be seen, and a count of the rest.
pub(super) fn text(examination: &Examination) -> String {
    let of = |state| {
        let findings = examination.findings.iter();
        findings.filter(move |finding: &&Finding| finding.state == state)
    };
    let mut page = String::new();
    for state in [HostState::Stops, HostState::Warning] {
        for finding in of(state) {
            let Finding {
                area,
                name,
                found,
                wanted,
                why,
                mend,
                ..
            } = finding;
            page += &format!("{}: {} {name}\n", state.name(), area.name());
            page += &format!("  found:  {found}\n  wanted: {wanted}\n  why:    {why}\n");
            if let Some(mend) = mend {
                page += &format!("  mend:   {mend}\n");
            }
        }
    }
    for finding in of(HostState::Unknown) {
        let (area, name, found) = (finding.area.name(), &finding.name, &finding.found);
        page += &format!("unknown: {area} {name}: {found}\n");
    }
    let driver = examination.driver.name.unwrap_or("none");
    page += &format!("driver: {driver}: {}\n", examination.driver.why);
    let count = |state| of(state).count();
    page += &format!(
        "{} ok, {} unknown, {} to mend, {} that stop the server\n",
        count(HostState::Ok),
        count(HostState::Unknown),
        count(HostState::Warning),
        count(HostState::Stops),
    );
    page
}

pub(super) fn json(examination: &Examination) -> String {
    let findings: Vec<Value> = examination.findings.iter().map(row).collect();
    let page = json!({
        "version": VERSION,
        "state": examination.worst().name(),
        "driver": {
            "chosen": examination.driver.name,
            "why": examination.driver.why,
        },
        "findings": findings,
    });
    format!("{page:#}\n")
}

fn row(finding: &Finding) -> Value {
    json!({
        "area": finding.area.name(),
        "name": finding.name,
        "state": finding.state.name(),
        "found": finding.found,
        "wanted": finding.wanted,
        "why": finding.why,
        "mend": finding.mend,
    })
}
