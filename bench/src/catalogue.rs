//! Works by their names. Called by whoever has a name from a user or from a result.

use crate::work::Work;
use crate::works::WORKS;

/// The work of that name.
pub fn find(name: &str) -> Option<&'static Work> {
    WORKS.iter().find(|work| work.name == name)
}

/// The names of all works, for messages.
pub fn names() -> String {
    let names: Vec<&str> = WORKS.iter().map(|work| work.name).collect();
    names.join(", ")
}
