//! What a run leaves behind: series and HdrHistogram files that agree with each other, and the
//! report of a run that was cut short.

#[expect(dead_code, reason = "the faults are for the verdicts")]
mod server;
#[expect(dead_code, reason = "runs that end early print no report")]
mod tool;

use base64::Engine;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use server::{Dialect, Fault, serve};
use shardcast_patience::{Program, wait_until};
use std::path::{Path, PathBuf};
use std::process::Command;
use tool::{Outcome, run, tool};

/// A folder of one test, and the tool at work in it.
struct Bench {
    folder: PathBuf,
    tool: Program,
}

struct Ending {
    code: Option<i32>,
    complaint: String,
    report: Value,
    hgrm: String,
    hlog: Vec<u8>,
}

impl Bench {
    fn start(name: &str, arguments: &str) -> Bench {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let address = serve(Dialect::Raw, Fault::None);
        let tool = Program::start(
            tool()
                .args(arguments.split(' '))
                .args(["--url", &format!("ws://{address}/ws")])
                .args(["--json", "run.jsonl", "--hgrm", "run.hgrm"])
                .args(["--hlog", "run.hlog", "--progress", "plain"])
                .current_dir(&folder),
        );
        Bench { folder, tool }
    }

    /// Until messages were shown to arrive.
    fn until_measured(&self) {
        let shows = |line: &str| line.contains("running") && line.contains("p50");
        wait_until("the tool shows latencies", || {
            self.tool.errors().lines().any(shows)
        });
    }

    fn end(self) -> Ending {
        let ended = self.tool.end();
        let text = |name: &str| std::fs::read_to_string(self.folder.join(name)).unwrap();
        Ending {
            code: ended.code,
            report: serde_json::from_str(&text("run.jsonl")).unwrap_or(Value::Null),
            hgrm: text("run.hgrm"),
            hlog: std::fs::read(self.folder.join("run.hlog")).unwrap(),
            complaint: ended.errors,
        }
    }
}

impl Ending {
    /// All figures that count the measured latencies agree. Returns how many there are.
    fn check_counts(&self) -> u64 {
        let context = format!("{} {} {}", self.report, self.hgrm, self.complaint);
        let total = self.hgrm.split("Total count    =").nth(1).expect("a total");
        let total: u64 = total.split(']').next().unwrap().trim().parse().unwrap();
        let mut rows = self.hgrm.lines().filter(|line| line.starts_with(' '));
        let last = rows.next_back().unwrap().split_whitespace().nth(2);
        assert_eq!(last, Some(&*total.to_string()), "{context}");
        let intervals = intervals(&self.hlog);
        let sum: u64 = intervals.iter().map(Histogram::len).sum();
        assert_eq!(sum, total, "{context}");
        let max = intervals.iter().map(Histogram::max).max().unwrap();
        let shown = self.report["latency_us"]["max"].as_f64().unwrap();
        assert_eq!(max as f64, (shown * 1e3).round(), "{context}");
        let percentiles = self.report["percentiles"].as_array().unwrap();
        assert_eq!(percentiles.last(), Some(&json!([1.0, shown])), "{context}");
        let points = self.report["series"]["points"].as_array().unwrap();
        let received = points
            .iter()
            .map(|point| point["received"].as_u64().unwrap());
        assert_eq!(
            Some(received.sum()),
            self.report["received"].as_u64(),
            "{context}"
        );
        assert!(points.is_sorted_by(|one, next| one["t_s"].as_f64() < next["t_s"].as_f64()));
        total
    }
}

/// Of a log, as the public parser reads it.
fn intervals(log: &[u8]) -> Vec<Histogram<u64>> {
    let mut begun = 0;
    let mut last_start = None;
    let mut histograms = Vec::new();
    for entry in IntervalLogIterator::new(log) {
        match entry.unwrap() {
            LogEntry::StartTime(_) | LogEntry::BaseTime(_) => begun += 1,
            LogEntry::Interval(interval) => {
                assert!(interval.tag().is_none());
                assert!(last_start.is_none_or(|last| last < interval.start_timestamp()));
                last_start = Some(interval.start_timestamp());
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(interval.encoded_histogram())
                    .unwrap();
                let histogram = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
                histograms.push(histogram);
            }
        }
    }
    assert_eq!(begun, 2, "a start and a base time");
    assert!(log.starts_with(b"#[Histogram log format version 1.3]\n"));
    histograms
}

#[test]
fn series_and_files_agree() {
    for (name, arguments, workers) in [
        (
            "echo",
            "echo --connections 4 --in-flight 2 --warmup 0s --duration 450ms --interval 100ms --workers 2",
            2,
        ),
        (
            "broadcast",
            "broadcast --connections 3 --rate 200 --warmup 0s --duration 450ms --interval 100ms",
            1,
        ),
    ] {
        let pid = std::process::id();
        let bench = Bench::start(name, &format!("{arguments} --server-pid {pid}"));
        let ending = bench.end();
        let report = &ending.report;
        let context = format!("{} {report}", ending.complaint);
        assert_eq!(ending.code, Some(0), "{context}");
        // Without a warm-up every arrival is measured.
        assert_eq!(
            Some(ending.check_counts()),
            report["received"].as_u64(),
            "{context}"
        );
        let points = report["series"]["points"].as_array().unwrap();
        // A worker that is held up leaves some out.
        let boundaries = [0.1, 0.2, 0.3, 0.4, 0.45].map(|t_s| json!(t_s));
        for point in points
            .iter()
            .filter(|point| point["t_s"].as_f64() <= Some(0.45))
        {
            assert!(boundaries.contains(&point["t_s"]), "{context}");
        }
        assert_eq!(report["client"]["workers"], workers, "{context}");
        for field in [
            "server_cpu_share",
            "server_rss_kib",
            "kernel_kib",
            "client_cpu_share",
        ] {
            assert!(points[0][field].is_number(), "{field}: {context}");
        }
        let connections =
            report["connections"].as_u64().unwrap() + report["publishers"].as_u64().unwrap();
        assert_eq!(points[0]["open"], connections, "{context}");
        let sent: u64 = points
            .iter()
            .map(|point| point["sent"].as_u64().unwrap())
            .sum();
        assert_eq!(report["sent"], sent, "{context}");
        assert_eq!(
            (&report["partial"], &report["partial_reason"]),
            (&json!(false), &Value::Null)
        );
        assert!(report["host"]["cores"].as_u64() > Some(0), "{context}");
        assert!(
            report["date"]
                .as_str()
                .is_some_and(|date| date.ends_with('Z')),
            "{context}"
        );
        assert_eq!(report["arguments"][1], name, "{context}");
    }
}

#[test]
fn connections_that_only_stay_have_a_series_too() {
    let bench = Bench::start("idle", "idle --connections 5 --hold 300ms --interval 100ms");
    let ending = bench.end();
    let points = ending.report["series"]["points"].as_array().unwrap();
    // A worker that is held up leaves some out.
    for point in points
        .iter()
        .filter(|point| point["t_s"].as_f64() <= Some(0.3))
    {
        assert!(
            [json!(0.1), json!(0.2), json!(0.3)].contains(&point["t_s"]),
            "{point}"
        );
        assert_eq!(point["open"], 5, "{point}");
    }
    assert!(!points.is_empty(), "{}", ending.report);
    assert!(intervals(&ending.hlog).is_empty() && ending.hgrm.contains("Total count"));
}

#[test]
fn a_run_that_is_cut_short_leaves_its_report() {
    let long = "echo --connections 4 --in-flight 1 --warmup 0s --duration 60s --interval 200ms --workers 2";
    let server = || Program::start(Command::new("sleep").arg("60"));
    for (name, cause, word) in [
        ("interrupt", Cause::Signal(Signal::INT), "interrupted"),
        ("terminate", Cause::Signal(Signal::TERM), "interrupted"),
        ("server", Cause::Server(server()), "is gone"),
        ("worker", Cause::Worker, "a worker died"),
    ] {
        let pid = match &cause {
            Cause::Server(server) => server.id(),
            Cause::Signal(_) | Cause::Worker => std::process::id(),
        };
        let bench = Bench::start(name, &format!("{long} --server-pid {pid}"));
        bench.until_measured();
        cause.strike(&bench.tool);
        let ending = bench.end();
        let context = format!("{name}: {} {}", ending.complaint, ending.report);
        assert_eq!(ending.code, Some(4), "{context}");
        assert!(ending.complaint.contains(word), "{context}");
        assert_eq!(ending.report["partial"], true, "{context}");
        assert!(ending.check_counts() > 0, "{context}");
        let seconds = ending.report["duration_s"].as_f64().unwrap();
        assert!(seconds > 0.0 && seconds < 60.0, "{context}");
        assert_eq!(ending.report["lost"], 0, "{context}");
    }
}

enum Cause {
    /// To the tool.
    Signal(Signal),
    /// What the tool takes for the server's process dies.
    Server(Program),
    /// One of the tool's workers dies.
    Worker,
}

impl Cause {
    fn strike(self, tool: &Program) {
        let pid = |pid: u32| Pid::from_raw(pid.cast_signed()).unwrap();
        match self {
            Cause::Signal(signal) => kill_process(pid(tool.id()), signal).unwrap(),
            Cause::Server(server) => drop(server),
            Cause::Worker => {
                let children = format!("/proc/{0}/task/{0}/children", tool.id());
                let children = std::fs::read_to_string(children).unwrap();
                let last = children.split_whitespace().last().unwrap();
                kill_process(pid(last.parse().unwrap()), Signal::KILL).unwrap();
            }
        }
    }
}

#[test]
fn files_that_cannot_be_written_are_refused_before_the_run() {
    for option in ["--json", "--hgrm", "--hlog"] {
        let echo = ["echo", "--connections", "1", "--url", "ws://127.0.0.1:1"];
        let Outcome {
            code, complaint, ..
        } = run(tool().args(echo).args([option, "/nowhere/file"]));
        assert_eq!(code, Some(2), "{complaint}");
        assert!(
            complaint.contains(option) && complaint.contains("/nowhere/file"),
            "{complaint}"
        );
    }
}
