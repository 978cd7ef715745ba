//! Every branch of every check, over trees of files that a host could have.

mod hosts;

use super::driver::Tried;
use super::examination::Examination;
use super::finding::{Finding, HostState};
use super::needs::HostNeeds;
use super::tree::{HostTree, list};
use HostState::{Ok as Good, Unknown, Warning};
use hosts::{CARDS, Change, FILES, GOOD, GROUPS, KERNEL, LIMITS, NETWORK, PROCESSORS, Row, STATUS};
use serde_json::Value;
use shardcast_engine::DriverChoice;
use shardcast_engine::driver::{TrialOutcome, TriedFeature, Unsupported};
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

fn needs() -> HostNeeds {
    HostNeeds {
        asked: DriverChoice::Auto,
        shards: 2,
        connections_max: 100_000,
        memory_bytes_max: 1 << 30,
        cores: None,
        ports: vec![8000, 8001],
        start: None,
    }
}

fn tried(native: Result<(), Unsupported>, portable: Result<(), Unsupported>) -> Tried {
    Tried {
        native,
        portable,
        features: Vec::new(),
    }
}

fn lack() -> Unsupported {
    Unsupported::new("io_uring_setup: no", "permit it")
}

/// Examines the good host with these changes.
fn examined(changes: &[Change], needs: &HostNeeds, tried: &Tried) -> Examination {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("shardcast-doctor-{}-{number}", std::process::id());
    let root = std::env::temp_dir().join(name);
    let unchanged = GOOD.iter().filter(|(path, _)| {
        let mut changed = changes.iter().map(|(changed, _)| changed);
        changed.all(|changed| changed != path)
    });
    let unchanged = unchanged.map(|(path, text)| (*path, Some(*text)));
    for (path, text) in unchanged.chain(changes.iter().copied()) {
        let Some(text) = text else { continue };
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let examination = Examination::new(&HostTree::at(&root), needs, tried);
    fs::remove_dir_all(&root).expect("the folder goes");
    examination
}

fn finding<'a>(examination: &'a Examination, name: &str) -> &'a Finding {
    let mut findings = examination.findings.iter();
    let found = findings.find(|finding| finding.name == name);
    found.unwrap_or_else(|| panic!("{name} in {:?}", examination.findings))
}

fn check(rows: &[Row]) {
    for (changes, name, state, found, mend) in rows {
        let examination = examined(changes, &needs(), &tried(Ok(()), Ok(())));
        let finding = finding(&examination, name);
        assert_eq!(finding.state, *state, "{changes:?}: {finding:?}");
        assert!(finding.found.contains(found), "{changes:?}: {finding:?}");
        let mends = finding.mend.as_deref().unwrap_or_default();
        assert!(mends.contains(mend), "{changes:?}: {finding:?}");
        // Whoever is to mend is told how, and nobody else.
        assert_eq!(mends.is_empty(), *state != Warning, "{finding:?}");
    }
}

#[test]
fn a_good_host_has_nothing_to_mend() {
    let examination = examined(&[], &needs(), &tried(Ok(()), Ok(())));
    for finding in &examination.findings {
        assert_eq!(finding.state, Good, "{finding:?}");
    }
    assert_eq!(examination.exit_code(), 0);
}

#[test]
fn a_host_that_shows_nothing_is_not_blamed() {
    let changes: Vec<Change> = GOOD.iter().map(|(path, _)| (*path, None)).collect();
    let changes = [changes, vec![("proc/empty", Some(""))]].concat();
    let examination = examined(&changes, &needs(), &tried(Ok(()), Ok(())));
    for finding in &examination.findings {
        let expected = match finding.name.as_ref() {
            "server.driver" => Good,
            _ => Unknown,
        };
        assert_eq!(finding.state, expected, "{finding:?}");
    }
    assert_eq!(examination.exit_code(), 0);
}

#[test]
fn each_check_is_told_from_the_others() {
    for rows in [KERNEL, FILES, NETWORK, CARDS, PROCESSORS, GROUPS] {
        check(rows);
    }
}

/// The driver that runs follows from what was asked for and what works.
#[test]
fn the_driver_that_would_run() {
    use DriverChoice::{Auto, Portable, Uring};
    for (asked, native, portable, name, state, code) in [
        (Auto, Ok(()), Ok(()), Some("uring"), Good, 0),
        (Auto, Err(lack()), Ok(()), Some("portable"), Warning, 1),
        (Auto, Err(lack()), Err(lack()), None, HostState::Stops, 2),
        (Uring, Ok(()), Ok(()), Some("uring"), Good, 0),
        (Uring, Err(lack()), Ok(()), None, HostState::Stops, 2),
        (Portable, Ok(()), Ok(()), Some("portable"), Good, 0),
        (Portable, Ok(()), Err(lack()), None, HostState::Stops, 2),
    ] {
        let needs = HostNeeds { asked, ..needs() };
        let examination = examined(&[], &needs, &tried(native, portable));
        assert_eq!(examination.driver.name, name, "{asked}");
        let choice = finding(&examination, "server.driver");
        assert_eq!(choice.state, state, "{choice:?}");
        assert_eq!(examination.exit_code(), code, "{asked}");
    }
}

#[test]
fn a_filter_is_blamed_where_io_uring_is_refused() {
    let changes = [(STATUS, Some("Seccomp:\t2\n"))];
    let examination = examined(&changes, &needs(), &tried(Err(lack()), Ok(())));
    let seccomp = finding(&examination, "seccomp");
    assert_eq!(seccomp.state, Warning);
    assert!(seccomp.found.contains("io_uring_setup"), "{seccomp:?}");
}

/// A feature that is missing stops a server only if nothing else may run.
#[test]
fn features_are_judged_by_what_runs() {
    let feature = |outcome| TriedFeature {
        name: "a feature",
        purpose: "for this",
        outcome,
    };
    let replaced = TrialOutcome::Replaced("it costs; do that");
    for (asked, outcome, state, mend) in [
        (DriverChoice::Auto, TrialOutcome::Works, Good, None),
        (DriverChoice::Auto, replaced, Warning, Some("do that")),
        (DriverChoice::Auto, TrialOutcome::NotTried, Unknown, None),
        (
            DriverChoice::Auto,
            TrialOutcome::Missing(lack()),
            Warning,
            Some("permit it"),
        ),
        (
            DriverChoice::Uring,
            TrialOutcome::Missing(lack()),
            HostState::Stops,
            Some("permit it"),
        ),
    ] {
        let needs = HostNeeds { asked, ..needs() };
        let tried = Tried {
            features: vec![feature(outcome)],
            ..tried(Err(lack()), Ok(()))
        };
        let examination = examined(&[], &needs, &tried);
        let found = finding(&examination, "a feature");
        assert_eq!((found.state, found.mend.as_deref()), (state, mend));
    }
}

/// Under epoll every connection is an open file.
#[test]
fn open_files_follow_the_driver() {
    let changes = [(LIMITS, Some("Max open files  1024  60000  files"))];
    let on_uring = examined(&changes, &needs(), &tried(Ok(()), Ok(())));
    assert_eq!(finding(&on_uring, "ulimit -Hn").state, Good);
    let on_epoll = examined(&changes, &needs(), &tried(Err(lack()), Ok(())));
    let files = finding(&on_epoll, "ulimit -Hn");
    assert_eq!((files.state, files.wanted.as_str()), (Warning, "101000"));
}

#[test]
fn pinned_cores_decide_about_nodes() {
    let changes = [
        ("sys/devices/system/node/online", Some("0-1")),
        ("sys/devices/system/node/node0/cpulist", Some("0-1")),
        ("sys/devices/system/node/node1/cpulist", Some("2-3")),
    ];
    let needs = HostNeeds {
        cores: Some(vec![2, 3]),
        ..needs()
    };
    let examination = examined(&changes, &needs, &tried(Ok(()), Ok(())));
    assert_eq!(finding(&examination, "NUMA nodes").state, Good);
}

#[test]
fn what_cannot_start_stops() {
    let needs = HostNeeds {
        start: Some("no more threads".to_owned()),
        ..needs()
    };
    let examination = examined(&[], &needs, &tried(Ok(()), Ok(())));
    assert_eq!(examination.exit_code(), 2);
    assert_eq!(finding(&examination, "start").found, "no more threads");
}

#[test]
fn both_pages_say_the_same() {
    let changes = [("proc/sys/net/core/somaxconn", Some("128"))];
    let examination = examined(&changes, &needs(), &tried(Ok(()), Ok(())));
    let text = super::text(&examination);
    let count = examination.findings.len();
    let end = format!(
        "{} ok, 0 unknown, 1 to mend, 0 that stop the server\n",
        count - 1
    );
    assert!(text.ends_with(&end), "{text}");
    let begin = "warning: network net.core.somaxconn\n  found:  128\n  wanted: 65535 or more\n";
    assert!(text.starts_with(begin), "{text}");
    let page: Value = serde_json::from_str(&super::json(&examination)).expect("JSON");
    assert_eq!(
        (&page["version"], &page["state"]),
        (&1.into(), &"warning".into())
    );
    assert_eq!(page["driver"]["chosen"], "uring");
    let findings = page["findings"].as_array().expect("a list");
    assert_eq!(findings.len(), count);
    let mends = findings.iter().filter(|row| !row["mend"].is_null());
    let names: Vec<&Value> = mends.map(|row| &row["name"]).collect();
    assert_eq!(names, ["net.core.somaxconn"]);
}

#[test]
fn lists_of_numbers_are_read() {
    for (text, expected) in [
        ("", Some(vec![])),
        ("0-2,7", Some(vec![0, 1, 2, 7])),
        ("3-1", Some(vec![])),
        ("0-99999999", None),
        ("x", None),
    ] {
        assert_eq!(list(text), expected, "{text}");
    }
}
