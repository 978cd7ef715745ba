//! The table of what epoll costs beside io_uring: every work that a server of ours did on both.
//! Called by the binary; `docs/hosts.md` has what it said last.

use crate::format::number;
use crate::goal::{GoalOutcome, evaluate, value};
use crate::portable::pairs_of;
use crate::results::{Found, Results};
use crate::server::Server;
use crate::statistics::Spread;
use crate::work::{Figure, Goal, Group, Setting, Work};
use std::fmt::Write as _;

/// What epoll costs beside io_uring, work by work; empty where nothing was done on both.
pub fn drivers(results: &Results) -> String {
    let found = results.in_setting(Setting::Plain);
    let mut rows = String::new();
    for work in Group::ALL.into_iter().flat_map(|group| found.works(group)) {
        for (uring, portable) in pairs_of(work) {
            for &figure in work.figures {
                let goal = Goal::ratio(figure, portable, uring);
                if let Some(outcome) = evaluate(&found, work, &goal) {
                    write_row(&mut rows, &found, work, &goal, &outcome, uring);
                }
            }
        }
    }
    if rows.is_empty() {
        return rows;
    }
    format!("{HEAD}{rows}")
}

const HEAD: &str = "\
| work | server | figure | io_uring | epoll | epoll ÷ io_uring (smallest – largest) | rounds |
|---|---|---|--:|--:|--:|--:|
";

fn write_row(
    out: &mut String,
    found: &Found<'_>,
    work: &Work,
    goal: &Goal,
    outcome: &GoalOutcome,
    uring: Server,
) {
    let median = |server: Server| {
        let spread = Spread::of(found.figures(work, server, goal.figure));
        spread.map_or("–".to_owned(), |spread| {
            number(spread.median, goal.figure.digits())
        })
    };
    // Writing to a String does not fail.
    _ = writeln!(
        out,
        "| {} | {} | {} | {} | {} | {} | {} |",
        work.title,
        uring.name,
        name(goal.figure),
        median(uring),
        median(goal.subject),
        value(goal, outcome).replace(" ×", ""),
        outcome.rounds,
    );
}

fn name(figure: Figure) -> String {
    format!("{}, {}", figure.title(), figure.unit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portable::RAW_PORTABLE;
    use crate::product::NATIVE;
    use crate::record::Line;
    use crate::record::tests::record;
    use crate::server::{RAW, RAW_TLS};
    use crate::works::WORKS;

    /// No work of ours goes without its figure on epoll.
    #[test]
    fn every_work_that_we_do_plainly_is_done_on_both() {
        let plain = [RAW, RAW_TLS, NATIVE];
        for work in WORKS {
            if work.servers.iter().any(|server| plain.contains(server)) {
                assert!(pairs_of(work).next().is_some(), "{}", work.name);
            }
        }
    }

    #[test]
    fn what_was_done_on_both_makes_a_row() {
        let mut results = Results::default();
        let runs = [
            ("echo-100", RAW, 1, 4.0),
            ("echo-100", RAW_PORTABLE, 1, 5.0),
            ("echo-100", RAW, 2, 4.0),
            ("echo-100", RAW_PORTABLE, 2, 3.0),
            ("echo-100", RAW, 3, 4.0),
            ("echo-1000", RAW, 1, 4.0),
        ];
        let lines = runs.map(|(work, server, round, cpu_us)| {
            Line::Record(Box::new(record(work, server, round, cpu_us)))
        });
        results.add(lines.into());
        let row = "| echo 64 B × 100 | raw-server | CPU a message, µs | 4.00 | 4.00 | 1.00 (0.75 – 1.25) | 2 |\n";
        assert_eq!(drivers(&results), format!("{HEAD}{row}"));
        assert_eq!(drivers(&Results::default()), "");
    }
}
