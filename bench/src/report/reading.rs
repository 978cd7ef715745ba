//! Files as runs: lines of `shardcast-load --json` and records of `compare`, in any mixture.
//! Invariant: every run has a work, a name and a round; runs of one round did the same work. Called
//! by `report`, read by `section`.

use crate::catalogue::find;
use crate::report::measured::{Machine, Measured};
use crate::report::number::grouped;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// A file's text, and what to call what it holds.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name of load lines' server; shown beside a record's server when several files have that
    /// server.
    pub name: String,
    /// JSON objects, one after another.
    pub text: String,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// What was to be done: equal for runs that can be compared.
    pub(crate) work: String,
    /// How `compare` set the network; empty: as it is.
    pub(crate) setting: String,
    /// Work and setting for people.
    pub(crate) title: String,
    /// Who did it.
    pub(crate) server: String,
    /// From 1.
    pub(crate) round: u32,
    /// Index of its source.
    pub(crate) source: usize,
    /// Whether `compare` wrote it.
    pub(crate) is_record: bool,
    pub(crate) circumstances: Circumstances,
    /// The load generator's command line; empty: not recorded.
    pub(crate) command: String,
    pub(crate) measured: Measured,
}

/// What must be known of a measurement for it to mean anything; nothing: not recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Circumstances {
    pub(crate) date: Option<String>,
    pub(crate) commit: Option<String>,
    pub(crate) machine: Machine,
    /// The load generator's.
    pub(crate) version: Option<String>,
}

/// What the sources hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    /// At least one.
    pub(crate) runs: Vec<Run>,
    /// Servers that took no part and runs that failed, each with its reason.
    pub(crate) absences: Vec<String>,
}

/// What `compare` writes around the load generator's line.
#[derive(Deserialize)]
struct ReadRecord {
    work: String,
    server: String,
    #[serde(default)]
    setting: Option<String>,
    #[serde(default)]
    round: Option<u32>,
    #[serde(default)]
    date: Option<String>,
    #[serde(default)]
    commit: Option<String>,
    #[serde(flatten)]
    machine: Machine,
    load: Measured,
}

/// What `compare` writes where there is no run.
#[derive(Deserialize)]
struct ReadAbsence {
    server: String,
    #[serde(default)]
    setting: Option<String>,
    /// Work and round.
    #[serde(default)]
    run: Option<(String, u32)>,
    absent: String,
}

/// How `compare` names the network as it is, and the one that hands packets to the load generator's
/// core; how the page names that.
const PLAIN: &str = "plain";
const RPS: (&str, &str) = ("rps", "received on the client's core");

/// More would not fit on a page that a browser opens.
const RUNS_MAX: usize = 20_000;

/// Every run of every source, in their order.
///
/// # Errors
/// In words: what is no run, and where; or that there is none, or more than [`RUNS_MAX`].
pub(crate) fn read(sources: &[Source]) -> Result<Reading, String> {
    let mut reading = Reading::default();
    for (index, source) in sources.iter().enumerate() {
        read_source(index, source, &mut reading)?;
    }
    if reading.runs.is_empty() {
        return Err("there is no run in what was given".to_owned());
    }
    name_sources(&mut reading.runs, sources);
    Ok(reading)
}

fn read_source(index: usize, source: &Source, reading: &mut Reading) -> Result<(), String> {
    // How often the source has done each work: its next round.
    let mut rounds: BTreeMap<String, u32> = BTreeMap::new();
    let objects = serde_json::Deserializer::from_str(&source.text).into_iter::<Value>();
    for (number, object) in objects.enumerate() {
        let problem = |problem: String| format!("{}: run {}: {problem}", source.name, number + 1);
        let object = object.map_err(|error| problem(error.to_string()))?;
        if object.get("absent").is_some() {
            let absence: ReadAbsence =
                serde_json::from_value(object).map_err(|error| problem(error.to_string()))?;
            reading.absences.push(absence.to_string());
            continue;
        }
        let mut run = read_run(object).map_err(problem)?;
        run.source = index;
        if run.server.is_empty() {
            let round = rounds.entry(run.work.clone()).or_default();
            *round += 1;
            run.round = *round;
            run.server.clone_from(&source.name);
        }
        reading.runs.push(run);
        if reading.runs.len() > RUNS_MAX {
            return Err(problem(format!("more than {RUNS_MAX} runs")));
        }
    }
    Ok(())
}

/// A run without a server's name if the object is a load generator's line.
fn read_run(object: Value) -> Result<Run, String> {
    if object.get("load").is_some() {
        let record: ReadRecord =
            serde_json::from_value(object).map_err(|error| error.to_string())?;
        let setting = record.setting.unwrap_or_default();
        let setting = if setting == PLAIN {
            String::new()
        } else {
            setting
        };
        let inner = record.load.host.clone().unwrap_or_default();
        let machine = Machine {
            kernel: record.machine.kernel.or(inner.kernel),
            processor: record.machine.processor.or(inner.processor),
            cores: record.machine.cores.or(inner.cores),
        };
        return Ok(Run {
            title: title(&record.work, &setting),
            setting,
            server: record.server,
            round: record.round.unwrap_or(1),
            source: 0,
            is_record: true,
            circumstances: Circumstances {
                date: record.date.or(record.load.date.clone()),
                commit: record.commit.or(record.load.commit.clone()),
                machine,
                version: record.load.version.clone(),
            },
            command: command(&record.load.arguments),
            work: record.work,
            measured: record.load,
        });
    }
    if object.get("scenario").is_none() {
        return Err("neither a line of shardcast-load nor a record of compare".to_owned());
    }
    let measured: Measured = serde_json::from_value(object).map_err(|error| error.to_string())?;
    let work = shape(&measured);
    Ok(Run {
        title: work.clone(),
        work,
        setting: String::new(),
        server: String::new(),
        round: 1,
        source: 0,
        is_record: false,
        circumstances: Circumstances {
            date: measured.date.clone(),
            commit: measured.commit.clone(),
            machine: measured.host.clone().unwrap_or_default(),
            version: measured.version.clone(),
        },
        command: command(&measured.arguments),
        measured,
    })
}

/// A work of `compare`, and how the network was set.
fn title(work: &str, setting: &str) -> String {
    let title = find(work).map_or(work, |work| work.title);
    match setting {
        "" => title.to_owned(),
        setting if setting == RPS.0 => format!("{title}, {}", RPS.1),
        other => format!("{title}, {other}"),
    }
}

impl Display for ReadAbsence {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.server)?;
        let setting = self.setting.as_deref().filter(|name| *name != PLAIN);
        match (&self.run, setting) {
            (Some((work, round)), setting) => {
                let title = title(work, setting.unwrap_or_default());
                write!(out, ", {title}, round {round}")?;
            }
            (None, Some(setting)) if setting == RPS.0 => write!(out, ", {}", RPS.1)?,
            (None, Some(setting)) => write!(out, ", {setting}")?,
            (None, None) => {}
        }
        write!(out, ": {}", self.absent)
    }
}

/// Servers that several sources hold get their source's name, too.
fn name_sources(runs: &mut [Run], sources: &[Source]) {
    let mut holders: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for run in runs.iter() {
        let holders = holders.entry(run.server.clone()).or_default();
        if !holders.contains(&run.source) {
            holders.push(run.source);
        }
    }
    for run in runs {
        let place = holders[&run.server]
            .iter()
            .position(|source| *source == run.source);
        if holders[&run.server].len() > 1 {
            let name = &sources[run.source].name;
            run.server = match (run.server == *name, place) {
                (true, Some(place)) => format!("{name} #{}", place + 1),
                _ => format!("{} · {name}", run.server),
            };
        }
    }
}

/// What a run was to do, from what it says about itself.
fn shape(measured: &Measured) -> String {
    let mut parts = vec![measured.scenario.clone().unwrap_or_default()];
    let mut count = |value: Option<f64>, from: f64, what: &str| {
        if let Some(value) = value.filter(|&value| value >= from) {
            let what = if value == 1.0 {
                what.trim_end_matches('s')
            } else {
                what
            };
            parts.push(format!("{} {what}", grouped(value, 0)));
        }
    };
    count(measured.connections, 0.0, "connections");
    count(measured.publishers, 1.0, "publishers");
    count(measured.rooms, 2.0, "rooms");
    count(measured.payload_bytes.as_f64(), 0.0, "B");
    if !measured.payload_bytes.is_number() && !measured.payload_bytes.is_null() {
        parts.push(words(&measured.payload_bytes));
    }
    parts.push(pace(&measured.pace));
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// When messages left.
fn pace(pace: &Value) -> String {
    if let Some(in_flight) = pace["closed"].as_f64() {
        return format!("{} in flight each", grouped(in_flight, 0));
    }
    let rate = &pace["rate"];
    match (rate["per_s"].as_f64(), rate["burst"].as_f64()) {
        (Some(per_s), Some(burst)) if burst > 1.0 => format!(
            "{} sent a second in bursts of {}",
            grouped(per_s, 0),
            grouped(burst, 0)
        ),
        (Some(per_s), _) => format!("{} sent a second", grouped(per_s, 0)),
        (None, _) if pace == "silent" => String::new(),
        (None, _) => words(pace),
    }
}

/// JSON as words: `{"open":{"rate":25,"burst":1}}` is `open rate 25 burst 1`.
fn words(value: &Value) -> String {
    let list: Vec<String> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", words(value)))
            .collect(),
        Value::Array(items) => items.iter().map(words).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Null => Vec::new(),
        Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
    };
    list.join(" ").trim().to_owned()
}

/// A command line, recorded as one string or as its words.
fn command(arguments: &Value) -> String {
    words(arguments)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn source(name: &str, text: &str) -> Source {
        Source {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    fn check(sources: &[(&str, &str)], expected: Result<&[(&str, &str, u32)], &str>) {
        let sources: Vec<Source> = sources
            .iter()
            .map(|(name, text)| source(name, text))
            .collect();
        let runs = read(&sources);
        let found = runs.as_ref().map_err(String::as_str).map(|reading| {
            let runs = reading.runs.iter();
            runs.map(|run| (run.title.as_str(), run.server.as_str(), run.round))
                .collect::<Vec<_>>()
        });
        assert_eq!(found, expected.map(<[_]>::to_vec));
    }

    const ECHO: &str = r#"{"scenario":"echo","connections":1000,"payload_bytes":64,"publishers":0,"rooms":1,"pace":{"closed":1}}"#;

    #[test]
    fn load_lines_are_named_after_their_file_and_counted_by_work() {
        let shape = "echo, 1,000 connections, 64 B, 1 in flight each";
        let idle = r#"{"scenario":"idle","connections":5}"#;
        check(
            &[("a", &format!("{ECHO}\n{idle}\n{ECHO}")), ("b", ECHO)],
            Ok(&[
                (shape, "a", 1),
                ("idle, 5 connections", "a", 1),
                (shape, "a", 2),
                (shape, "b", 1),
            ]),
        );
    }

    #[test]
    fn records_keep_their_names() {
        let record = |work: &str, round: u32| {
            format!(r#"{{"work":"{work}","server":"raw","round":{round},"cores":2,"load":{ECHO}}}"#)
        };
        let work_title = find("echo-100").expect("a work of compare").title;
        check(
            &[("x", &(record("echo-100", 3) + &record("mine", 1)))],
            Ok(&[(work_title, "raw", 3), ("mine", "raw", 1)]),
        );
        check(
            &[("x", &record("mine", 1)), ("y", &record("mine", 1))],
            Ok(&[("mine", "raw · x", 1), ("mine", "raw · y", 1)]),
        );
        check(
            &[("x", ECHO), ("x", ECHO)],
            Ok(&[
                ("echo, 1,000 connections, 64 B, 1 in flight each", "x #1", 1),
                ("echo, 1,000 connections, 64 B, 1 in flight each", "x #2", 1),
            ]),
        );
    }

    #[test]
    fn settings_are_told_apart_and_absences_kept() {
        let record = |setting: &str| {
            format!(r#"{{"work":"mine","server":"raw","setting":"{setting}","load":{ECHO}}}"#)
        };
        let absences = r#"{"server":"bun","setting":"plain","absent":"npm is missing"}
            {"server":"raw","setting":"rps","run":["mine",2],"absent":"it died"}
            {"server":"raw","setting":"rps","absent":"no namespace"}"#;
        let text = record("plain") + &record("rps") + absences;
        let reading = read(&[source("x", &text)]).expect("runs");
        let titles: Vec<&str> = reading.runs.iter().map(|run| run.title.as_str()).collect();
        assert_eq!(titles, ["mine", "mine, received on the client's core"]);
        assert_eq!(
            reading.absences,
            [
                "bun: npm is missing",
                "raw, mine, received on the client's core, round 2: it died",
                "raw, received on the client's core: no namespace",
            ]
        );
    }

    #[test]
    fn what_is_no_run_is_named() {
        check(&[], Err("there is no run in what was given"));
        check(&[("x", "\n")], Err("there is no run in what was given"));
        check(
            &[("x", &format!("{ECHO}\n{{\"a\":1}}"))],
            Err("x: run 2: neither a line of shardcast-load nor a record of compare"),
        );
        check(
            &[("x", "{\"scen")],
            Err("x: run 1: EOF while parsing a string at line 1 column 6"),
        );
        check(
            &[("x", r#"{"scenario":"echo","received":"many"}"#)],
            Err("x: run 1: invalid type: string \"many\", expected f64"),
        );
    }

    #[test]
    fn a_pace_is_said_in_words() {
        for (value, expected) in [
            (r#"{"closed":8}"#, "8 in flight each"),
            (r#"{"rate":{"per_s":25.0,"burst":1}}"#, "25 sent a second"),
            (
                r#"{"rate":{"per_s":1e4,"burst":10}}"#,
                "10,000 sent a second in bursts of 10",
            ),
            (r#""once""#, "once"),
            (r#""silent""#, ""),
            (r#"{"new":{"kind":true}}"#, "new kind true"),
            ("null", ""),
        ] {
            let value: Value = serde_json::from_str(value).expect("JSON");
            assert_eq!(pace(&value), expected);
        }
    }

    #[test]
    fn a_command_line_is_a_string_or_words() {
        for (arguments, expected) in [
            (r#""echo --rate 5""#, "echo --rate 5"),
            (r#"["echo","--rate","5"]"#, "echo --rate 5"),
            ("null", ""),
        ] {
            let value: Value = serde_json::from_str(arguments).expect("JSON");
            assert_eq!(command(&value), expected);
        }
    }
}
