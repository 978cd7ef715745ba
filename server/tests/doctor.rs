//! `shardcast doctor`: exit codes, and that its JSON is what `docs/operations.md` says.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

const PAGE: &str = include_str!("../../docs/operations.md");

/// A host below a folder of its own, which goes when the value is dropped.
struct Host(PathBuf);

/// Where nothing is to be mended, of what a server on epoll with 1,000 connections looks at.
const GOOD: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.12.43"),
    ("proc/sys/kernel/io_uring_disabled", "0"),
    ("proc/sys/net/core/somaxconn", "65535"),
    ("proc/self/status", "Seccomp:\t0\nCpus_allowed_list:\t0-1\n"),
];

impl Host {
    fn with(name: &str, files: &[(&str, &str)]) -> Host {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        Host(folder)
    }

    fn doctor(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shardcast"));
        command.args([
            "doctor",
            "--shards",
            "2",
            "--set",
            "limits.max_connections=1000",
        ]);
        command.arg("--root").arg(&self.0).args(arguments);
        command.output().expect("it runs")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn the_exit_code_says_whether_something_is_to_be_mended() {
    let portable = ["--driver", "portable"];
    let good = Host::with("doctor-good", GOOD);
    let output = good.doctor(&portable);
    let page = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{page}");
    assert!(
        page.contains("driver: portable: server.driver asks for it\n"),
        "{page}"
    );
    let backlog = ("proc/sys/net/core/somaxconn", "128");
    let worse = Host::with("doctor-worse", &[GOOD, &[backlog]].concat());
    let output = worse.doctor(&portable);
    let page = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{page}");
    let mends = "  mend:   sysctl -w net.core.somaxconn=65535\n";
    assert!(page.contains(mends), "{page}");
    let output = good.doctor(&["--driver", "steam"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
}

/// Names below a value, as `docs/operations.md` writes them.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields_of) => {
            for (name, value) in fields_of {
                let dot = if path.is_empty() { "" } else { "." };
                fields(value, &format!("{path}{dot}{name}"), found);
            }
        }
        Value::Array(values) => {
            for value in values {
                fields(value, &format!("{path}[]"), found);
            }
        }
        _ => _ = found.insert(path.to_owned()),
    }
}

#[test]
fn the_json_is_what_the_page_says() {
    let host = Host::with("doctor-json", GOOD);
    let output = host.doctor(&["--json"]);
    let page: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut given = BTreeSet::new();
    fields(&page, "", &mut given);
    let (_, section) = PAGE.split_once("`--json` prints").expect("a table");
    let rows = section.lines().take_while(|line| !line.starts_with("## "));
    let rows: Vec<&str> = rows.filter(|line| line.starts_with("| `")).collect();
    let cell = |row: &str| row.split('`').nth(1).map(str::to_owned);
    let documented: BTreeSet<String> = rows.iter().filter_map(|row| cell(row)).collect();
    assert_eq!(given, documented);
    let says = |field: &str, value: &Value| {
        let row = rows
            .iter()
            .find(|row| row.starts_with(&format!("| `{field}`")));
        let words = row.is_some_and(|row| row.contains(&format!("`{value}`")));
        assert!(words, "{field} {value}");
    };
    says("state", &page["state"]);
    for finding in page["findings"].as_array().expect("a list") {
        says("findings[].area", &finding["area"]);
        says("state", &finding["state"]);
    }
}
