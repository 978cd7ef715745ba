//! A line of a comparison's file: a run with its circumstances and the load generator's whole
//! report, or why there is none. Written by `journal`, read by the tables and by reports.

use crate::host::Host;
use crate::load::Load;
use crate::work::Setting;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Circumstances.
    #[serde(flatten)]
    pub host: Host,
    /// [`crate::work::Work::name`].
    pub work: String,
    /// [`crate::server::Server::name`].
    pub server: String,
    /// How the network was set.
    #[serde(default)]
    pub setting: Setting,
    /// From 1; runs of one round stand next to each other in time.
    pub round: u32,
    /// Measured time, in seconds.
    pub seconds: u32,
    /// What `shardcast-load` wrote.
    pub load: Load,
}

/// Why a server has no figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Absence {
    /// [`crate::server::Server::name`].
    pub server: String,
    /// How the network was set.
    #[serde(default)]
    pub setting: Setting,
    /// The run that failed: work and round. None: the server could not be had at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<(String, u32)>,
    /// One line.
    pub absent: String,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// A run that has a report.
    Record(Box<Record>),
    /// One that has none.
    Absence(Absence),
}

impl Absence {
    /// Of a server that takes no part.
    pub fn of_server(server: &str, setting: Setting, reason: String) -> Absence {
        Absence {
            server: server.to_owned(),
            setting,
            run: None,
            absent: reason,
        }
    }
}

impl Line {
    /// Work, round and server; none for a server that takes no part.
    pub fn run(&self) -> Option<(&str, u32, &str)> {
        match self {
            Line::Record(record) => Some((&record.work, record.round, &record.server)),
            Line::Absence(absence) => {
                let (work, round) = absence.run.as_ref()?;
                Some((work, *round, &absence.server))
            }
        }
    }

    /// How the network was set.
    pub fn setting(&self) -> Setting {
        match self {
            Line::Record(record) => record.setting,
            Line::Absence(absence) => absence.setting,
        }
    }
}

/// Reads a file's lines.
///
/// # Errors
/// A line that is neither, with its number.
pub fn parse(text: &str) -> io::Result<Vec<Line>> {
    let numbered = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let parsed = numbered.map(|(index, line)| {
        parse_line(line).map_err(|error| {
            let error = format!("line {}: {error}", index + 1);
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    });
    parsed.collect()
}

fn parse_line(line: &str) -> serde_json::Result<Line> {
    let value: Value = serde_json::from_str(line)?;
    if value.get("absent").is_some() {
        serde_json::from_value(value).map(Line::Absence)
    } else {
        serde_json::from_value(value).map(|record| Line::Record(Box::new(record)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::load::tests::REPORT;
    use crate::server::{FLOOR, RAW, Server};

    pub(crate) fn record(work: &str, server: Server, round: u32, cpu_us: f64) -> Record {
        let mut load: Load = serde_json::from_str(REPORT).expect("a report");
        load.server.cpu_us_per_message = Some(cpu_us);
        let host = Host {
            date: "2026-01-02T03:04:05Z".into(),
            commit: "abc1234".into(),
            kernel: "6.18".into(),
            processor: "CPU".into(),
            cores: 2,
        };
        Record {
            host,
            work: work.into(),
            server: server.name.into(),
            setting: Setting::Plain,
            round,
            seconds: 5,
            load,
        }
    }

    #[test]
    fn lines_survive_a_file() {
        let failed = Absence {
            run: Some(("echo-100".into(), 2)),
            ..Absence::of_server("nats-server", Setting::Rps, "the server ended".into())
        };
        let lines = vec![
            Line::Record(Box::new(record("echo-100", RAW, 1, 4.0))),
            Line::Record(Box::new(record("echo-100", FLOOR, 1, 4.1))),
            Line::Absence(Absence::of_server(
                "Bun",
                Setting::Plain,
                "npm is missing".into(),
            )),
            Line::Absence(failed),
        ];
        let text: Vec<String> = lines
            .iter()
            .map(|line| serde_json::to_string(line).expect("JSON"))
            .collect();
        assert_eq!(parse(&text.join("\n")).expect("four lines"), lines);
        assert_eq!(lines[1].run(), Some(("echo-100", 1, "floor")));
        assert_eq!(
            (lines[2].run(), lines[3].run()),
            (None, Some(("echo-100", 2, "nats-server")))
        );
        let error = parse(&format!("{}\n\n{{}}\n", text[0])).expect_err("no record");
        assert!(
            error.to_string().starts_with("line 3: missing field"),
            "{error}"
        );
    }

    #[test]
    fn records_of_before_the_settings_are_plain() {
        let mut value = serde_json::to_value(record("echo-100", RAW, 1, 4.0)).expect("JSON");
        value.as_object_mut().expect("an object").remove("setting");
        let lines = parse(&value.to_string()).expect("a record");
        assert_eq!(lines[0].setting(), Setting::Plain);
    }
}
