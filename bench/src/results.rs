//! What was found in one or more comparisons. A round is one of one comparison, so figures are only
//! ever paired within one; of a run that was repeated the last counts. Made from files, read by
//! tables.

use crate::record::{Absence, Line, Record, parse};
use crate::server::Server;
use crate::servers::SERVERS;
use crate::work::{Figure, Group, Setting, Work};
use crate::works::WORKS;
use std::fs;
use std::io;
use std::path::Path;

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Results {
    lines: Vec<Line>,
}

impl Results {
    /// Of files.
    ///
    /// # Errors
    /// A file cannot be read, or has a line that is no record; with its name.
    pub fn read<P: AsRef<Path>>(paths: &[P]) -> io::Result<Results> {
        let mut results = Results::default();
        for path in paths.iter().map(AsRef::as_ref) {
            let lines = fs::read_to_string(path).and_then(|text| parse(&text));
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            };
            results.add(lines.map_err(named)?);
        }
        Ok(results)
    }

    /// With another comparison's lines; its rounds are counted on from ours.
    pub fn add(&mut self, lines: Vec<Line>) {
        let rounds = |line: &Line| line.run().map_or(0, |(_, round, _)| round);
        let before = self.lines.iter().map(rounds).max().unwrap_or(0);
        let first = self.lines.len();
        for mut line in lines {
            let repeated = self.lines[first..]
                .iter()
                .position(|other| is_same_run(other, &line, before));
            match &mut line {
                Line::Record(record) => record.round += before,
                Line::Absence(Absence { run, .. }) => {
                    if let Some((_, round)) = run {
                        *round += before;
                    }
                }
            }
            match repeated {
                Some(index) => self.lines[first + index] = line,
                None => self.lines.push(line),
            }
        }
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.lines.iter().filter_map(|line| match line {
            Line::Record(record) => Some(&**record),
            Line::Absence(_) => None,
        })
    }

    /// What was found in one setting.
    pub fn in_setting(&self, setting: Setting) -> Found<'_> {
        let records = self.records().filter(|record| record.setting == setting);
        Found {
            setting,
            records: records.collect(),
        }
    }

    /// Servers that took no part and runs that failed, in words.
    pub fn absences(&self) -> Vec<String> {
        let took_part = |name: &str, setting: Setting| {
            self.records()
                .any(|record| record.server == name && record.setting == setting)
        };
        let mut words = Vec::new();
        for line in &self.lines {
            let Line::Absence(Absence {
                server,
                setting,
                run,
                absent,
            }) = line
            else {
                continue;
            };
            let what = match run {
                Some((work, round)) => {
                    format!("{server} failed at {work}, round {round}: {absent}")
                }
                None if took_part(server, *setting) => continue,
                None => format!("{server} took no part: {absent}"),
            };
            if !words.contains(&what) {
                words.push(what);
            }
        }
        words
    }
}

/// Servers that took no part are the same whatever is said about them.
fn is_same_run(earlier: &Line, line: &Line, rounds_before: u32) -> bool {
    let run = line
        .run()
        .map(|(work, round, server)| (work, round + rounds_before, server));
    match (earlier, line) {
        (Line::Absence(one), Line::Absence(other)) if run.is_none() => {
            one.run.is_none() && one.server == other.server && one.setting == other.setting
        }
        _ => run.is_some() && earlier.run() == run && earlier.setting() == line.setting(),
    }
}

/// What was found in one setting.
#[derive(Clone, Debug)]
pub struct Found<'r> {
    /// Which.
    pub setting: Setting,
    records: Vec<&'r Record>,
}

impl<'r> Found<'r> {
    /// Nothing was run in it.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Works of a group that have a record.
    pub fn works(&self, group: Group) -> Vec<&'static Work> {
        let has_record = |work: &&Work| self.records.iter().any(|record| record.work == work.name);
        let works = WORKS.iter().filter(|work| work.group == group);
        works.filter(has_record).collect()
    }

    /// Servers that have a record of one of the works, in the order of columns.
    pub fn servers(&self, works: &[&Work]) -> Vec<Server> {
        let has_run = |server: &Server| {
            let mut works = works.iter();
            works.any(|work| self.runs(work, *server).next().is_some())
        };
        SERVERS.iter().copied().filter(has_run).collect()
    }

    /// The runs of one server at one work.
    pub fn runs(&self, work: &Work, server: Server) -> impl Iterator<Item = &'r Record> {
        let (work, server) = (work.name, server.name);
        let records = self.records.iter().copied();
        records.filter(move |record| record.work == work && record.server == server)
    }

    /// A figure of one server at one work, of every run that has it.
    pub fn figures(&self, work: &Work, server: Server, figure: Figure) -> Vec<f64> {
        let runs = self.runs(work, server);
        runs.filter_map(|record| record.load.figure(figure))
            .collect()
    }

    /// The most runs that a server has of a work.
    pub fn rounds(&self) -> usize {
        let counts = WORKS.iter().flat_map(|work| {
            let servers = work.servers.iter();
            servers.map(|server| self.runs(work, *server).count())
        });
        counts.max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::find;
    use crate::record::tests::record;
    use crate::server::{BUN, RAW};

    fn line(server: Server, round: u32, cpu_us: f64) -> Line {
        Line::Record(Box::new(record("echo-100", server, round, cpu_us)))
    }

    fn failed(server: Server, round: u32) -> Line {
        Line::Absence(Absence {
            run: Some(("echo-100".into(), round)),
            ..Absence::of_server(server.name, Setting::Plain, "it ended".into())
        })
    }

    fn cpu(results: &Results, server: Server) -> Vec<(u32, f64)> {
        let work = find("echo-100").expect("a work");
        let found = results.in_setting(Setting::Plain);
        found
            .runs(work, server)
            .map(|record| {
                (
                    record.round,
                    record.load.figure(Figure::CpuPerMessage).expect("a figure"),
                )
            })
            .collect()
    }

    #[test]
    fn rounds_of_several_comparisons_stay_apart() {
        let mut results = Results::default();
        results.add(vec![line(RAW, 1, 1.0), line(RAW, 2, 2.0)]);
        results.add(vec![line(RAW, 1, 3.0), line(BUN, 1, 4.0)]);
        assert_eq!(cpu(&results, RAW), [(1, 1.0), (2, 2.0), (3, 3.0)]);
        assert_eq!(cpu(&results, BUN), [(3, 4.0)]);
        assert_eq!(results.in_setting(Setting::Plain).rounds(), 3);
        assert!(results.in_setting(Setting::Rps).is_empty());
    }

    #[test]
    fn of_a_run_that_was_repeated_the_last_counts() {
        let mut results = Results::default();
        results.add(vec![line(RAW, 1, 9.0)]);
        results.add(vec![
            line(RAW, 1, 1.0),
            line(BUN, 1, 2.0),
            line(RAW, 1, 3.0),
            failed(BUN, 1),
        ]);
        assert_eq!(cpu(&results, RAW), [(1, 9.0), (2, 3.0)]);
        assert_eq!(cpu(&results, BUN), []);
        assert_eq!(
            results.absences(),
            ["Bun failed at echo-100, round 2: it ended"]
        );
    }

    #[test]
    fn who_took_no_part_is_named_once() {
        let absent =
            |reason: &str| Line::Absence(Absence::of_server("Bun", Setting::Plain, reason.into()));
        let mut results = Results::default();
        results.add(vec![
            absent("npm is missing"),
            absent("no bun"),
            line(RAW, 1, 1.0),
        ]);
        assert_eq!(results.absences(), ["Bun took no part: no bun"]);
        results.add(vec![line(BUN, 1, 1.0)]);
        assert_eq!(results.absences(), [""; 0], "it did, later");
    }
}
