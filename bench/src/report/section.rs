//! Runs sorted into sections of the page: one per work, in it the servers that did it, of each its
//! rounds. Invariant: a section has at least one entrant, an entrant at least one run; a server
//! keeps its number on the whole page. Called by `report`.

use crate::catalogue::find;
use crate::report::quantity::{self, CPU, MEMORY, P99, Quantity};
use crate::report::reading::Run;
use crate::statistics::{Rounds, Spread, paired_ratios};

/// One work and those who did it.
#[derive(Debug)]
pub(crate) struct Section {
    /// [`Run::work`].
    work: String,
    /// [`Run::setting`].
    setting: String,
    pub(crate) title: String,
    /// In order of appearance.
    pub(crate) entrants: Vec<Entrant>,
    /// Index of the entrant that the others are divided by.
    baseline: usize,
    /// Its runs did not do the same work.
    pub(crate) is_mixed: bool,
}

/// One server's rounds of a work.
#[derive(Debug)]
pub(crate) struct Entrant {
    pub(crate) name: String,
    /// The same on the whole page: colour and dashes follow from it.
    pub(crate) number: usize,
    /// Rising rounds.
    pub(crate) runs: Vec<Run>,
}

/// Sorts runs; `baseline` names who others are divided by, `works` limits them.
///
/// # Errors
/// In words: a baseline or a work of which there is no run.
pub(crate) fn sections(
    runs: Vec<Run>,
    baseline: Option<&str>,
    works: &[String],
) -> Result<Vec<Section>, String> {
    for work in works {
        if !runs.iter().any(|run| run.work == *work) {
            return Err(format!("there is no run of the work {work}"));
        }
    }
    let mut names: Vec<String> = Vec::new();
    let mut sections: Vec<Section> = Vec::new();
    for run in merged(runs) {
        if !works.is_empty() && !works.contains(&run.work) {
            continue;
        }
        let number = position_or_push(
            &mut names,
            |name| *name == run.server,
            || run.server.clone(),
        );
        let section = position_or_push(
            &mut sections,
            |section| section.work == run.work && section.setting == run.setting,
            || Section::new(&run),
        );
        sections[section].add(number, run);
    }
    for section in &mut sections {
        section.settle(baseline);
    }
    match baseline {
        Some(name) if !names.iter().any(|known| known == name) => Err(format!(
            "there is no run of the baseline {name}; there are {}",
            names.join(", ")
        )),
        _ => Ok(sections),
    }
}

fn position_or_push<T>(
    list: &mut Vec<T>,
    is: impl FnMut(&T) -> bool,
    new: impl FnOnce() -> T,
) -> usize {
    list.iter().position(is).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    })
}

/// Load lines of which no two did the same work would each stand alone: they are put beside each
/// other instead.
fn merged(mut runs: Vec<Run>) -> Vec<Run> {
    let mut pairs: Vec<(&str, &str)> = runs
        .iter()
        .map(|run| (run.work.as_str(), run.server.as_str()))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let alone = pairs.windows(2).all(|pair| pair[0].0 != pair[1].0);
    if pairs.len() < 2 || !alone || runs.iter().any(|run| run.is_record) {
        return runs;
    }
    let mut servers: Vec<&str> = pairs.iter().map(|(_, server)| *server).collect();
    servers.sort_unstable();
    servers.dedup();
    // One file: its name tells nothing. As many files as runs: theirs tell all.
    let (files, runs_apart) = (servers.len(), pairs.len());
    for run in &mut runs {
        match files {
            1 => run.server.clone_from(&run.title),
            _ if files == runs_apart => {}
            _ => run.server = format!("{}: {}", run.server, run.title),
        }
        run.work = String::new();
    }
    runs
}

impl Section {
    fn new(run: &Run) -> Section {
        Section {
            work: run.work.clone(),
            setting: run.setting.clone(),
            title: if run.work.is_empty() {
                "Runs".to_owned()
            } else {
                run.title.clone()
            },
            entrants: Vec::new(),
            baseline: 0,
            is_mixed: run.work.is_empty(),
        }
    }

    fn add(&mut self, number: usize, run: Run) {
        let index = position_or_push(
            &mut self.entrants,
            |entrant| entrant.number == number,
            || Entrant {
                name: run.server.clone(),
                number,
                runs: Vec::new(),
            },
        );
        // Of a run that was repeated the last counts.
        let runs = &mut self.entrants[index].runs;
        runs.retain(|known| (known.source, known.round) != (run.source, run.round));
        runs.push(run);
    }

    fn settle(&mut self, baseline: Option<&str>) {
        for entrant in &mut self.entrants {
            entrant.runs.sort_by_key(|run| run.round);
        }
        let named = |name| {
            self.entrants
                .iter()
                .position(|entrant| entrant.name == name)
        };
        self.baseline = baseline.and_then(named).unwrap_or(0);
    }

    /// What an entrant is.
    pub(crate) fn kind(&self) -> &'static str {
        if self.is_mixed { "Run" } else { "Server" }
    }

    /// Who the others are divided by.
    pub(crate) fn baseline(&self) -> &Entrant {
        &self.entrants[self.baseline]
    }

    /// The figure that the work is about: what `compare` says; else CPU by message; memory where no
    /// messages flow; or, without a look at the server, p99.
    pub(crate) fn main_quantity(&self) -> Quantity {
        let has = |quantity: &Quantity| {
            self.entrants
                .iter()
                .any(|entrant| entrant.spread(quantity).is_some())
        };
        let of_work = find(&self.work).and_then(|work| work.figures.first().copied());
        let usual = [CPU, MEMORY].into_iter();
        of_work
            .map(quantity::of_work)
            .into_iter()
            .chain(usual)
            .find(has)
            .unwrap_or(P99)
    }

    /// The entrant's figure by the baseline's, round by round, of those in which neither did
    /// something wrong.
    pub(crate) fn ratio(&self, entrant: &Entrant, quantity: &Quantity) -> Option<Spread> {
        Spread::of(paired_ratios(
            &entrant.sound_rounds(quantity),
            &self.baseline().sound_rounds(quantity),
        ))
    }

    /// Whether someone did something wrong in some round.
    pub(crate) fn is_faulty(&self) -> bool {
        let mut runs = self.entrants.iter().flat_map(|entrant| &entrant.runs);
        runs.any(|run| !run.measured.is_sound())
    }

    /// The most rounds that an entrant has.
    pub(crate) fn rounds(&self) -> usize {
        let rounds = self.entrants.iter().map(|entrant| entrant.runs.len());
        rounds.max().unwrap_or(0)
    }

    /// Whether rounds come from several files, so that they did not run in turns.
    pub(crate) fn has_several_sources(&self) -> bool {
        let mut sources = self.entrants.iter().flat_map(|entrant| &entrant.runs);
        let first = sources.next().map(|run| run.source);
        sources.any(|run| Some(run.source) != first)
    }
}

impl Entrant {
    /// The figure of each round that has it.
    pub(crate) fn rounds(&self, quantity: &Quantity) -> Rounds {
        let figure = |run: &Run| Some((run.round, (quantity.of)(&run.measured)?));
        self.runs.iter().filter_map(figure).collect()
    }

    /// The same without the rounds in which something went wrong.
    fn sound_rounds(&self, quantity: &Quantity) -> Rounds {
        let sound = self.runs.iter().filter(|run| run.measured.is_sound());
        let figure = |run: &Run| Some((run.round, (quantity.of)(&run.measured)?));
        sound.filter_map(figure).collect()
    }

    /// Over the rounds that have the figure.
    pub(crate) fn spread(&self, quantity: &Quantity) -> Option<Spread> {
        Spread::of(self.rounds(quantity).into_iter().map(|(_, figure)| figure))
    }

    /// The round in the middle by its p99 (of two, the better one): it stands for the others where
    /// only one can be drawn.
    pub(crate) fn median_run(&self) -> &Run {
        let mut runs: Vec<&Run> = self.runs.iter().collect();
        let p99_us = |run: &Run| (P99.of)(&run.measured).unwrap_or(f64::INFINITY);
        runs.sort_by(|a, b| p99_us(a).total_cmp(&p99_us(b)));
        let measured = runs
            .iter()
            .filter(|run| p99_us(run).is_finite())
            .count()
            .max(1);
        runs[(measured - 1) / 2]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::reading::read;
    use crate::report::reading::tests::source;

    pub(crate) fn record(work: &str, server: &str, round: u32, cpu_us: f64, p99_us: f64) -> String {
        format!(
            r#"{{"work":"{work}","server":"{server}","round":{round},"load":{{"scenario":"echo","lost":0,"latency_us":{{"p99":{p99_us}}},"server":{{"cpu_us_per_message":{cpu_us}}}}}}}"#
        )
    }

    /// Two works; raw, bun in three rounds.
    pub(crate) fn records() -> String {
        let mut text = String::new();
        for (round, raw, bun) in [(1, 4.0, 8.0), (2, 3.0, 9.0), (3, 5.0, 5.0)] {
            text += &record("a", "raw", round, raw, raw * 10.0);
            text += &record("a", "bun", round, bun, bun * 10.0);
            text += &record("b", "bun", round, bun, 1.0);
        }
        text
    }

    fn sorted(text: &str, baseline: Option<&str>, works: &[&str]) -> Result<Vec<Section>, String> {
        let works: Vec<String> = works.iter().map(|work| (*work).to_owned()).collect();
        sections(
            read(&[source("x", text)]).expect("runs").runs,
            baseline,
            &works,
        )
    }

    #[test]
    fn a_work_is_a_section_and_a_server_keeps_its_number() {
        let sections = sorted(&records(), None, &[]).expect("two works");
        let names: Vec<Vec<(&str, usize, usize)>> = sections
            .iter()
            .map(|section| {
                let of = |entrant: &'_ Entrant| (entrant.number, entrant.runs.len());
                section
                    .entrants
                    .iter()
                    .map(|entrant| (entrant.name.as_str(), of(entrant).0, of(entrant).1))
                    .collect()
            })
            .collect();
        assert_eq!(
            names,
            [vec![("raw", 0, 3), ("bun", 1, 3)], vec![("bun", 1, 3)]]
        );
        assert_eq!(sections[0].entrants[0].median_run().round, 1);
        assert_eq!(sections[0].rounds(), 3);
        assert!(!sections[0].has_several_sources());
    }

    #[test]
    fn ratios_are_medians_over_paired_rounds() {
        for (baseline, expected) in [
            (None, (2.0, 1.0, 3.0)),
            (Some("bun"), (0.5, 1.0 / 3.0, 1.0)),
        ] {
            let sections = sorted(&records(), baseline, &["a"]).expect("one work");
            assert_eq!(sections.len(), 1);
            let subject = &sections[0].entrants[usize::from(baseline.is_none())];
            let ratio = sections[0].ratio(subject, &CPU).expect("three rounds");
            assert_eq!((ratio.median, ratio.min, ratio.max), expected);
        }
    }

    #[test]
    fn a_round_with_losses_is_in_no_ratio_and_a_repeated_run_counts_once() {
        let lossy = record("a", "bun", 2, 9.0, 90.0).replace("\"lost\":0", "\"lost\":1");
        let again = record("a", "bun", 3, 20.0, 200.0);
        let sections = sorted(&(records() + &lossy + &again), None, &["a"]).expect("one work");
        let bun = &sections[0].entrants[1];
        assert_eq!(bun.rounds(&CPU), [(1, 8.0), (2, 9.0), (3, 20.0)]);
        let ratio = sections[0].ratio(bun, &CPU).expect("two rounds");
        assert_eq!((ratio.median, ratio.min, ratio.max), (3.0, 2.0, 4.0));
        assert!(sections[0].is_faulty());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let problem = |baseline, works: &[&str]| sorted(&records(), baseline, works).err();
        assert_eq!(
            problem(Some("node"), &[]).as_deref(),
            Some("there is no run of the baseline node; there are raw, bun")
        );
        assert_eq!(
            problem(None, &["c"]).as_deref(),
            Some("there is no run of the work c")
        );
        assert_eq!(problem(Some("raw"), &["a", "b"]), None);
    }

    #[test]
    fn load_lines_of_different_works_stand_beside_each_other() {
        let (one, two) = (
            r#"{"scenario":"echo","connections":1}"#,
            r#"{"scenario":"echo","connections":2}"#,
        );
        type Case<'c> = (&'c [(&'c str, &'c str)], &'c [&'c str]);
        let cases: [Case<'_>; 3] = [
            (&[("a", one), ("b", two)], &["Runs: a b"]),
            (
                &[("a", &format!("{one}{two}"))],
                &["Runs: echo, 1 connection echo, 2 connections"],
            ),
            (
                &[("a", one), ("b", &format!("{one}{two}"))],
                &["echo, 1 connection: a b", "echo, 2 connections: b"],
            ),
        ];
        for (sources, expected) in cases {
            let sources: Vec<_> = sources
                .iter()
                .map(|(name, text)| source(name, text))
                .collect();
            let sections =
                sections(read(&sources).expect("runs").runs, None, &[]).expect("sections");
            let found: Vec<String> = sections
                .iter()
                .map(|section| {
                    let names: Vec<&str> = section
                        .entrants
                        .iter()
                        .map(|entrant| entrant.name.as_str())
                        .collect();
                    format!("{}: {}", section.title, names.join(" "))
                })
                .collect();
            assert_eq!(found, expected);
        }
    }
}
