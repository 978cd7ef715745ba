//! A comparison from plan to page: our own server, started for real, and a load generator whose
//! report is made up, so that every figure is known.
#![forbid(unsafe_code)]

use shardcast_bench::catalogue::find;
use shardcast_bench::compare::compare;
use shardcast_bench::host::Host;
use shardcast_bench::journal::Journal;
use shardcast_bench::page::page;
use shardcast_bench::plan::{Plan, Set};
use shardcast_bench::prepare::Places;
use shardcast_bench::results::Results;
use shardcast_bench::run::Runner;
use shardcast_bench::server::{FLOOR, RAW};
use shardcast_bench::table::section;
use shardcast_bench::work::Setting;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Says that the server whose process it was given costs 4 µs, and notes how it was called.
const LOAD: &str = r#"#!/bin/sh
set -eu
echo "$@" >> "$(dirname "$0")/calls"
while [ $# -gt 0 ]; do
    case $1 in
        --json) report=$2 ;;
        --server-pid) kill -0 "$2" && name=$(cat "/proc/$2/comm") ;;
    esac
    shift
done
[ "$name" = raw-server ]
echo '{"scenario":"echo","limited_by":"none","server":{"cpu_us_per_message":4.0}}' > "$report"
"#;

#[test]
fn a_comparison_goes_from_plan_to_page() {
    let folder = std::env::temp_dir().join(format!("shardcast-compare-{}", std::process::id()));
    let release = folder.join("release");
    fs::create_dir_all(&release).expect("a folder");
    symlink(env!("CARGO_BIN_EXE_raw-server"), release.join("raw-server")).expect("a link");
    let load = release.join("shardcast-load");
    fs::write(&load, LOAD).expect("a script");
    fs::set_permissions(&load, fs::Permissions::from_mode(0o755)).expect("a mode");
    let places = Places {
        repository: folder.clone(),
        target: folder.clone(),
        // It ends at once.
        floor: Some("/bin/true".into()),
        against: None,
    };

    let work = find("echo-100").expect("a work");
    let mut plan = Plan::new(Set::All, &[work], &[RAW, FLOOR], Setting::Plain);
    plan.rounds = 2;
    let host = Host::observe(Path::new(env!("CARGO_MANIFEST_DIR")));
    let mut journal = Journal::create(&folder.join("results"), &host).expect("a journal");
    let mut runner = Runner::new(places, None);
    compare(&plan, &mut runner, &host, &mut journal).expect("written");
    // Everything has a line: nothing is run again.
    let mut again = Journal::open(journal.path(), &plan).expect("the same journal");
    compare(&plan, &mut runner, &host, &mut again).expect("nothing to do");

    let results = Results::read(&[journal.path()]).expect("what was written");
    let calls = fs::read_to_string(release.join("calls")).expect("calls");
    fs::remove_dir_all(&folder).expect("the folder goes");
    let expected = "echo --connections 100 --payload 64 --protocol raw --pin 0 --warmup 1s --duration 1s --url ws://127.0.0.1:";
    assert_eq!(calls.lines().count(), 2, "{calls}");
    assert!(
        calls.lines().all(|call| call.starts_with(expected)),
        "{calls}"
    );
    let section = section(&results);
    assert!(
        section.contains("| echo 64 B × 100: CPU a message, µs | 4.00 |\n"),
        "{section}"
    );
    let failed = "- floor failed at echo-100, round 2: the server ended with exit status: 0\n";
    assert!(section.contains(failed), "{section}");
    let page = page(&results);
    assert!(
        page.contains("| raw-server | 4.00 (4.00 – 4.00) |"),
        "{page}"
    );
}
