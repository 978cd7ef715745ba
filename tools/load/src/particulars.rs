//! What only one scenario has to tell: an object of its name in the JSON line, and rows in the table. Called by `line` and `summary`.

use crate::movement::Movement;
use crate::plan::Scenario;
use crate::report::Report;
use serde_json::{Value, json};

/// A scenario's own findings.
#[derive(Debug)]
pub(crate) struct Particulars {
    /// Of the object.
    pub(crate) name: &'static str,
    pub(crate) line: Value,
    pub(crate) rows: Vec<(&'static str, String)>,
}

impl Report<'_> {
    /// `None`: the common findings are all.
    pub(crate) fn particulars(&self) -> Option<Particulars> {
        match self.plan.scenario {
            Scenario::Echo | Scenario::Broadcast | Scenario::Idle => None,
            Scenario::FanIn => Some(self.fan_in()),
            Scenario::Churn | Scenario::Storm => {
                Movement::new(self.plan.motion, self.findings).particulars()
            }
        }
    }

    fn fan_in(&self) -> Particulars {
        let (publishers, listeners) = (self.plan.publishers, self.plan.connections);
        Particulars {
            name: "fan_in",
            line: json!({"publishers": publishers, "listeners": listeners}),
            rows: vec![(
                "fan-in",
                format!("{publishers} publishers, each heard by {listeners} listeners"),
            )],
        }
    }
}
