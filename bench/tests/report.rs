//! `shardcast-bench report` as users call it: files in, one page out, and clear words when that
//! cannot be.

use shardcast_patience::Program;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A temporary folder with these files.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Folder {
        let folder = std::env::temp_dir().join(format!("shardcast-{name}-{}", std::process::id()));
        fs::create_dir(&folder).expect("a new folder");
        for (file, text) in files {
            fs::write(folder.join(file), text).expect("a new file");
        }
        Folder(folder)
    }

    /// Exit code, standard output and standard error.
    fn report(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let ended = Program::start(
            Command::new(env!("CARGO_BIN_EXE_shardcast-bench"))
                .arg("report")
                .args(arguments)
                .current_dir(&self.0),
        )
        .end();
        (ended.code, ended.printed, ended.errors)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const OURS: &str =
    r#"{"scenario":"echo","connections":10,"lost":0,"server":{"cpu_us_per_message":2}}"#;
const THEIRS: &str =
    r#"{"scenario":"echo","connections":10,"lost":0,"server":{"cpu_us_per_message":5}}"#;

#[test]
fn files_become_a_page() {
    let folder = Folder::new("page", &[("a.json", OURS), ("b.jsonl", THEIRS)]);
    let (code, out, err) = folder.report(&[
        "a.json",
        "other=b.jsonl",
        "--out",
        "x.html",
        "--title",
        "A <title>",
        "--baseline",
        "other",
    ]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("x.html: "), "{out}");
    let page = fs::read_to_string(folder.0.join("x.html")).expect("a page");
    for part in [
        "<title>A &lt;title&gt;</title>",
        "echo, 10 connections",
        "each ÷ other",
        "<td class=\"better\">0.40 ×</td>",
    ] {
        assert!(page.contains(part), "no {part}");
    }
}

#[test]
fn what_cannot_be_shown_is_said() {
    let folder = Folder::new(
        "problem",
        &[("a.json", OURS), ("b.json", "[1]"), ("c.json", "")],
    );
    let cases: [(&[&str], &str); 6] = [
        (&["a.json", "missing.json"], "missing.json: No such file"),
        (
            &["b.json"],
            "b: run 1: neither a line of shardcast-load nor a record of compare",
        ),
        (&["c.json"], "there is no run in what was given"),
        (
            &["a.json", "--baseline", "x"],
            "there is no run of the baseline x; there are a",
        ),
        (&["a.json", "--works", "x"], "there is no run of the work x"),
        (&["a.json", "--out", "no/x.html"], "no/x.html: No such file"),
    ];
    for (arguments, expected) in cases {
        let (code, out, err) = folder.report(arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(
            err.starts_with(&format!("shardcast-bench: {expected}")),
            "{arguments:?}: {err}"
        );
    }
}
