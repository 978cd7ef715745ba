//! The runbooks of `docs/operations.md`: what they name exists, and their commands are run as they
//! stand there.

use crate::Folder;
use std::collections::BTreeSet;
use std::process::Command;

const PAGE: &str = include_str!("../../../docs/operations.md");
const RULES: &str = include_str!("../../../deploy/prometheus-rules.yml");
const METRICS: &str = include_str!("../../../docs/metrics.md");
const KEYS: &str = include_str!("../../../docs/configuration.md");

/// Each runbook: its title, and what stands below.
fn runbooks() -> Vec<(&'static str, &'static str)> {
    let (_, section) = PAGE.split_once("## Runbooks\n").expect("runbooks");
    let books = section.split("\n### ").skip(1);
    books.filter_map(|book| book.split_once('\n')).collect()
}

/// What stands between backticks outside of blocks.
fn named(book: &str) -> Vec<&str> {
    let prose = book.split("```").step_by(2);
    prose
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn what_runbooks_name_exists() {
    let books = runbooks();
    assert_eq!(books.len(), 10);
    let mut alerts = BTreeSet::new();
    for (title, book) in books {
        for part in ["Signs", "First look", "Cure", "Prevention"] {
            assert!(book.contains(&format!("- **{part}**: ")), "{title}: {part}");
        }
        for name in named(book) {
            let name = name.split(['{', ' ']).next().unwrap_or_default();
            if name.starts_with("Shardcast") {
                assert!(
                    RULES.contains(&format!("alert: {name}\n")),
                    "{title}: {name}"
                );
                alerts.insert(name);
            } else if name.starts_with("shardcast_") {
                let family = name.strip_suffix("_total").unwrap_or(name);
                assert!(
                    METRICS.contains(&format!("| `{family}` |")),
                    "{title}: {name}"
                );
            } else if [
                "server.", "limits.", "access.", "gateway.", "admin.", "audit.",
            ]
            .iter()
            .any(|section| name.starts_with(section))
            {
                assert!(KEYS.contains(&format!("`{name}`")), "{title}: {name}");
            }
        }
    }
    // Whoever is woken by an alert finds it here.
    let rules = RULES.lines().filter_map(|line| line.split_once("alert: "));
    let rules: BTreeSet<&str> = rules.map(|(_, name)| name).collect();
    assert_eq!(alerts, rules);
}

/// How the commands of the page reach the server of the test. An answer that is no success fails.
const AROUND: &str = r#"
set -euo pipefail
shardcast() { "$PROGRAM" "$@"; }
curl() { command curl --fail-with-body "$@"; }
"#;

#[test]
fn commands_of_runbooks_work() {
    let folder = Folder::new("runbooks");
    let rooms = "[namespaces.chat]\nhistory = 100\n";
    let served = folder.serve(rooms);
    let configuration = folder.write("runbooks.toml", &folder.configuration(rooms));
    let mut mallory = folder.user(&served, "mallory");
    mallory.join("chat:lobby");
    let mut count = 0;
    for (title, book) in runbooks() {
        let blocks = book.split("```sh\n").skip(1);
        for block in blocks.filter_map(|block| block.split("```").next()) {
            for line in block.lines() {
                let admin = format!("http://{}", served.address("http"));
                let here = line.replace("http://127.0.0.1:8001", &admin);
                let here = here.replace("/etc/shardcast/shardcast.toml", &configuration);
                let mut bash = Command::new("bash");
                bash.arg("-c").arg(format!("{AROUND}{here}\n"));
                let output = bash.env("PROGRAM", env!("CARGO_BIN_EXE_served")).output();
                let output = output.expect("bash");
                let (printed, errors) = (
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr),
                );
                assert!(
                    output.status.success(),
                    "{title}: {line}: {printed}{errors}"
                );
                assert!(!printed.trim().is_empty(), "{title}: {line} says nothing");
                count += 1;
            }
        }
    }
    assert!(count >= 30, "{count} commands");
}
