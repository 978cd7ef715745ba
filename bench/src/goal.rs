//! What became of a goal: its value in each round that has all it needs, and the verdict. Rounds in
//! which a message was lost, repeated, reordered or damaged do not count; if it was the subject's,
//! the goal is missed whatever the figures say. Called by the tables.

use crate::format::{number, range};
use crate::record::Record;
use crate::results::Found;
use crate::server::Server;
use crate::statistics::Spread;
use crate::work::{Baseline, Figure, Goal, Work};

/// Of one goal.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalOutcome {
    /// Of the rounds; none: there was none with all that is needed.
    pub spread: Option<Spread>,
    /// Rounds that count.
    pub rounds: usize,
    /// Rounds in which the subject did something wrong.
    pub wrong: usize,
    /// What is to be said about the runs.
    pub marks: Marks,
}

/// What is to be said about runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The load generator, not the server, set the pace of one.
    pub limited: bool,
    /// One had faults.
    pub faulty: bool,
}

impl Marks {
    /// Of runs.
    pub fn of<'r>(runs: impl IntoIterator<Item = &'r Record>) -> Marks {
        let mut marks = Marks::default();
        for record in runs {
            marks.limited |= record.load.is_limited_by_load();
            marks.faulty |= record.load.faults() > 0;
        }
        marks
    }

    /// Behind a figure.
    pub fn text(self) -> &'static str {
        match (self.limited, self.faulty) {
            (false, false) => "",
            (true, false) => " †",
            (false, true) => " ‡",
            (true, true) => " † ‡",
        }
    }

    /// With another's.
    pub fn and(self, other: Marks) -> Marks {
        Marks {
            limited: self.limited || other.limited,
            faulty: self.faulty || other.faulty,
        }
    }
}

/// What became of the goal; none when its subject, or all whom it is held against, did not take
/// part.
pub fn evaluate(found: &Found<'_>, work: &Work, goal: &Goal) -> Option<GoalOutcome> {
    found.runs(work, goal.subject).next()?;
    let present: Vec<Server> = goal
        .baseline
        .servers()
        .iter()
        .copied()
        .filter(|server| found.runs(work, *server).next().is_some())
        .collect();
    if present.is_empty() && !matches!(goal.baseline, Baseline::Alone) {
        return None;
    }
    let sound = |server: Server| sound_figures(found, work, server, goal.figure);
    // Those that did everything wrong are no baseline; the others have to be in a round, or it is
    // not of the best.
    let baselines: Vec<Vec<(u32, f64)>> = present
        .iter()
        .map(|server| sound(*server))
        .filter(|rounds| !rounds.is_empty())
        .collect();
    let values: Vec<f64> = sound(goal.subject)
        .into_iter()
        .filter_map(|(round, value)| held_against(goal, value, &best(&baselines, round)))
        .collect();
    let takes_part = present.iter().copied().chain([goal.subject]);
    let wrong = found
        .runs(work, goal.subject)
        .filter(|record| record.load.faults() > 0);
    Some(GoalOutcome {
        spread: Spread::of(values.iter().copied()),
        rounds: values.len(),
        wrong: wrong.count(),
        marks: takes_part
            .map(|server| Marks::of(found.runs(work, server)))
            .fold(Marks::default(), Marks::and),
    })
}

fn sound_figures(
    found: &Found<'_>,
    work: &Work,
    server: Server,
    figure: Figure,
) -> Vec<(u32, f64)> {
    found
        .runs(work, server)
        .filter(|record| record.load.faults() == 0)
        .filter_map(|record| Some((record.round, record.load.figure(figure)?)))
        .collect()
}

/// The smallest of a round that has all.
fn best(baselines: &[Vec<(u32, f64)>], round: u32) -> Option<f64> {
    let of_round = |rounds: &Vec<(u32, f64)>| {
        let run = rounds.iter().find(|(other, _)| *other == round)?;
        Some(run.1)
    };
    let all: Option<Vec<f64>> = baselines.iter().map(of_round).collect();
    all?.into_iter().min_by(f64::total_cmp)
}

fn held_against(goal: &Goal, value: f64, baseline: &Option<f64>) -> Option<f64> {
    match goal.baseline {
        Baseline::Alone => Some(value),
        Baseline::Ratio(_) | Baseline::Best(..) => {
            let baseline = baseline.filter(|baseline| *baseline > 0.0)?;
            Some(value / baseline)
        }
        Baseline::Difference(_) => Some(value - (*baseline)?),
    }
}

/// Whose figure, and beside whose.
pub fn title(goal: &Goal) -> String {
    let subject = goal.subject.name;
    match goal.baseline {
        Baseline::Alone => subject.to_owned(),
        Baseline::Ratio(server) => format!("{subject} ÷ {}", server.name),
        Baseline::Best(name, _) => format!("{subject} ÷ {name}"),
        Baseline::Difference(server) => format!("{subject} − {}", server.name),
    }
}

/// The middle, the ends, and how many rounds.
pub fn value(goal: &Goal, outcome: &GoalOutcome) -> String {
    let (digits, unit) = scale(goal);
    let marks = outcome.marks.text();
    match outcome.spread {
        Some(spread) => format!("{}{unit}{marks}", range(spread, digits)),
        None => format!("no round counts{marks}"),
    }
}

/// Whether it is met, and by how much it is missed.
pub fn verdict(goal: &Goal, outcome: &GoalOutcome, at_most: Option<f64>) -> String {
    let Some(at_most) = at_most else {
        return "–".to_owned();
    };
    let (digits, unit) = scale(goal);
    let promise = format!("≤ {}{unit}", number(at_most, digits));
    let result = match outcome.spread {
        _ if outcome.wrong > 0 => "**missed**: messages went wrong".to_owned(),
        None => "not measured".to_owned(),
        Some(spread) if spread.median <= at_most => "met".to_owned(),
        Some(spread) => format!("**missed** by {}", excess(spread.median / at_most - 1.0)),
    };
    format!("{promise}: {result}")
}

/// As per cent, never as nothing.
fn excess(share: f64) -> String {
    match share * 100.0 {
        percent if percent < 0.1 => "less than 0.1 %".to_owned(),
        percent if percent < 10.0 => format!("{percent:.1} %"),
        percent => format!("{} %", number(percent, 0)),
    }
}

fn scale(goal: &Goal) -> (usize, &'static str) {
    match goal.baseline {
        Baseline::Ratio(_) | Baseline::Best(..) => (2, " ×"),
        Baseline::Alone | Baseline::Difference(_) => match goal.figure {
            Figure::BytesPerConnection => (0, " B"),
            figure => (figure.digits(), " µs"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::find;
    use crate::record::Line;
    use crate::record::tests::record;
    use crate::results::Results;
    use crate::server::{BUN, FLOOR, MONOIO, RAW, TUNGSTENITE};
    use crate::work::Setting;

    const PEERS: &[Server] = &[BUN, MONOIO, TUNGSTENITE];

    /// A run: server, round, CPU per message, lost messages.
    type Run = (Server, u32, f64, u64);

    fn check(runs: &[Run], goal: Goal, expected: Option<(&str, usize, &str)>) {
        let mut results = Results::default();
        let lines = runs.iter().map(|&(server, round, cpu_us, lost)| {
            let mut record = record("echo-100", server, round, cpu_us);
            record.load.lost = lost;
            Line::Record(Box::new(record))
        });
        results.add(lines.collect());
        let work = find("echo-100").expect("a work");
        let outcome = evaluate(&results.in_setting(Setting::Plain), work, &goal);
        let got = outcome.map(|outcome| {
            let verdict = verdict(&goal, &outcome, goal.plain.must);
            (value(&goal, &outcome), outcome.rounds, verdict)
        });
        let got = got
            .as_ref()
            .map(|(value, rounds, verdict)| (value.as_str(), *rounds, verdict.as_str()));
        assert_eq!(got, expected, "{runs:?}");
    }

    #[test]
    fn ratios_pair_rounds_and_skip_what_is_missing() {
        let goal = Goal::cpu(RAW, BUN).must(0.6);
        let raw = [
            (RAW, 1, 2.0, 0),
            (RAW, 2, 3.0, 0),
            (RAW, 3, 8.0, 0),
            (RAW, 5, 1.0, 0),
        ];
        let bun = [
            (BUN, 2, 6.0, 0),
            (BUN, 1, 2.0, 0),
            (BUN, 4, 1.0, 0),
            (BUN, 5, 0.0, 0),
        ];
        let expected = ("0.75 (0.50 – 1.00) ×", 2, "≤ 0.60 ×: **missed** by 25 %");
        check(&[&raw[..], &bun].concat(), goal, Some(expected));
        check(&raw, goal, None);
        check(&bun, goal, None);
    }

    #[test]
    fn the_median_of_ratios_is_not_the_ratio_of_medians() {
        let raw = [(RAW, 1, 1.0, 0), (RAW, 2, 20.0, 0), (RAW, 3, 3.0, 0)];
        let bun = [(BUN, 1, 2.0, 0), (BUN, 2, 40.0, 0), (BUN, 3, 30.0, 0)];
        let expected = ("0.50 (0.10 – 0.50) ×", 3, "≤ 0.50 ×: met");
        check(
            &[raw, bun].concat(),
            Goal::cpu(RAW, BUN).must(0.5),
            Some(expected),
        );
    }

    #[test]
    fn the_best_is_the_best_of_the_round() {
        let goal = Goal::new(
            Figure::CpuPerMessage,
            RAW,
            Baseline::Best("best peer", PEERS),
        )
        .must(1.0);
        let mut runs = vec![(RAW, 1, 3.0, 0), (BUN, 1, 2.0, 0), (MONOIO, 1, 6.0, 0)];
        runs.extend([(RAW, 2, 3.0, 0), (BUN, 2, 9.0, 0), (MONOIO, 2, 6.0, 0)]);
        check(
            &runs,
            goal,
            Some(("1.00 (0.50 – 1.50) ×", 2, "≤ 1.00 ×: met")),
        );
        // A round in which one of them did not count is not of the best.
        runs[1].3 = 1;
        check(
            &runs,
            goal,
            Some(("0.50 (0.50 – 0.50) × ‡", 1, "≤ 1.00 ×: met")),
        );
        // One that never counts is left out.
        runs[4].3 = 1;
        check(
            &runs,
            goal,
            Some(("0.50 (0.50 – 0.50) × ‡", 2, "≤ 1.00 ×: met")),
        );
    }

    #[test]
    fn differences_and_figures_by_themselves_have_units() {
        let runs = [(RAW, 1, 105.0, 0), (FLOOR, 1, 65.0, 0)];
        let difference = Goal::new(Figure::CpuPerMessage, RAW, Baseline::Difference(FLOOR));
        let expected = ("40.00 (40.00 – 40.00) µs", 1, "≤ 40.00 µs: met");
        check(&runs, difference.must(40.0), Some(expected));
        let alone = Goal::alone(Figure::BytesPerConnection, RAW);
        check(
            &runs,
            alone.must(64.99),
            Some(("65 (65 – 65) B", 1, "≤ 65 B: **missed** by less than 0.1 %")),
        );
        check(
            &runs,
            alone.must(64.0),
            Some(("65 (65 – 65) B", 1, "≤ 64 B: **missed** by 1.6 %")),
        );
        check(&runs, alone, Some(("65 (65 – 65) B", 1, "–")));
    }

    #[test]
    fn a_subject_that_loses_messages_meets_nothing() {
        let runs = [
            (RAW, 1, 1.0, 0),
            (BUN, 1, 2.0, 0),
            (RAW, 2, 1.0, 1),
            (BUN, 2, 2.0, 0),
        ];
        let expected = (
            "0.50 (0.50 – 0.50) × ‡",
            1,
            "≤ 0.60 ×: **missed**: messages went wrong",
        );
        check(&runs, Goal::cpu(RAW, BUN).must(0.6), Some(expected));
        let expected = ("no round counts ‡", 0, "≤ 0.60 ×: not measured");
        check(
            &[(RAW, 1, 1.0, 0), (BUN, 1, 2.0, 5)],
            Goal::cpu(RAW, BUN).must(0.6),
            Some(expected),
        );
    }

    #[test]
    fn goals_are_named_by_whom_they_compare() {
        let best = Goal::new(Figure::P99, RAW, Baseline::Best("best peer", PEERS));
        let difference = Goal::new(Figure::P99, RAW, Baseline::Difference(FLOOR));
        let titles = [
            Goal::alone(Figure::P99, RAW),
            Goal::cpu(RAW, BUN),
            best,
            difference,
        ]
        .map(|goal| title(&goal));
        assert_eq!(
            titles,
            [
                "raw-server",
                "raw-server ÷ Bun",
                "raw-server ÷ best peer",
                "raw-server − floor"
            ]
        );
    }
}
