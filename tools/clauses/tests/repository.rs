//! The repository keeps every rule that is ours, and the page about it is true.

use shardcast_clauses::{Account, Sources, rules};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn account() -> Account {
    let clauses = rules().unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    Account::of(clauses, &Sources::read(&root()).expect("readable sources"))
}

#[test]
fn every_rule_that_is_ours_is_kept_and_shown() {
    let findings = account().findings();
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

#[test]
fn the_page_is_up_to_date() {
    let page = std::fs::read_to_string(root().join("docs/conformance.md")).expect("the page");
    assert!(
        page == account().markdown(),
        "docs/conformance.md is out of date: cargo run -p shardcast-clauses -- --markdown"
    );
}
