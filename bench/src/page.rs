//! The whole of a comparison as Markdown, work by work: every figure of every server with its
//! spread, and every goal. Called by the binary, which keeps it in `bench/results/`.

use crate::format::{microseconds, number, range};
use crate::goal::Marks;
use crate::load::Load;
use crate::results::{Found, Results};
use crate::server::Server;
use crate::statistics::Spread;
use crate::table::{GOAL_HEAD, circumstances, heading, outcomes, write_goal, write_notes};
use crate::work::{Figure, Group, Setting, Work};
use std::fmt::Write as _;

/// The page.
pub fn page(results: &Results) -> String {
    let mut out = format!(
        "# The latest comparison\n\nWritten by `shardcast-bench`; `bench/README.md` says how it measures. {}",
        circumstances(results)
    );
    write_notes(&mut out, results);
    for setting in Setting::ALL {
        let found = results.in_setting(setting);
        for group in Group::ALL {
            let name = group.title();
            let works = found.works(group);
            if !works.is_empty() {
                // Writing to a String does not fail.
                _ = writeln!(out, "\n## {name}\n\n{}.", heading(setting));
            }
            for work in works {
                write_work(&mut out, &found, work);
            }
        }
    }
    out
}

/// A column.
struct Measure {
    title: &'static str,
    /// The one that it shows, if it is one that works can be about.
    figure: Option<Figure>,
    digits: Digits,
    of: fn(&Load) -> Option<f64>,
}

enum Digits {
    Fixed(usize),
    /// As many as a time wants.
    Time,
}

const MEASURES: [Measure; 9] = [
    Measure {
        title: "CPU a message, µs",
        figure: Some(Figure::CpuPerMessage),
        digits: Digits::Fixed(2),
        of: |load| load.figure(Figure::CpuPerMessage),
    },
    Measure {
        title: "messages a segment",
        figure: None,
        digits: Digits::Fixed(2),
        of: Load::messages_per_segment,
    },
    Measure {
        title: "messages/s",
        figure: None,
        digits: Digits::Fixed(0),
        of: |load| Some(load.rate_per_s).filter(|rate| *rate > 0.0),
    },
    Measure {
        title: "memory a connection, B",
        figure: Some(Figure::BytesPerConnection),
        digits: Digits::Fixed(0),
        of: |load| load.figure(Figure::BytesPerConnection),
    },
    Measure {
        title: "CPU a connect, µs",
        figure: Some(Figure::CpuPerConnect),
        digits: Digits::Fixed(1),
        of: |load| load.figure(Figure::CpuPerConnect),
    },
    Measure {
        title: "p50, µs",
        figure: None,
        digits: Digits::Time,
        of: |load| load.latency_us.map(|latency| latency.p50),
    },
    Measure {
        title: "p99, µs",
        figure: Some(Figure::P99),
        digits: Digits::Time,
        of: |load| load.figure(Figure::P99),
    },
    Measure {
        title: "p99.9, µs",
        figure: None,
        digits: Digits::Time,
        of: |load| load.latency_us.map(|latency| latency.p99_9),
    },
    Measure {
        title: "load's core, %",
        figure: None,
        digits: Digits::Fixed(0),
        // Of an idle run it says nothing.
        of: |load| {
            load.client
                .cpu_share
                .filter(|_| load.rate_per_s > 0.0)
                .map(|share| share * 100.0)
        },
    },
];

fn write_work(out: &mut String, found: &Found<'_>, work: &Work) {
    _ = writeln!(
        out,
        "\n### {}\n\n`{}`: `{}`\n",
        work.title, work.name, work.load
    );
    let servers = found.servers(&[work]);
    let columns: Vec<&Measure> = MEASURES
        .iter()
        .filter(|measure| {
            servers
                .iter()
                .any(|server| spread(found, work, *server, measure).is_some())
        })
        .collect();
    let titles: Vec<&str> = columns.iter().map(|measure| measure.title).collect();
    _ = writeln!(out, "| | {} |", titles.join(" | "));
    _ = writeln!(out, "|---|{}", "---|".repeat(columns.len()));
    for server in servers {
        let cells: Vec<String> = columns
            .iter()
            .map(|measure| cell(found, work, server, measure))
            .collect();
        let marks = Marks::of(found.runs(work, server)).text();
        _ = writeln!(out, "| {}{marks} | {} |", server.name, cells.join(" | "));
    }
    let outcomes = outcomes(found, work);
    if !outcomes.is_empty() {
        _ = write!(out, "\n{GOAL_HEAD}");
    }
    for (goal, outcome) in outcomes {
        write_goal(out, found, work, goal, &outcome);
    }
}

fn spread(found: &Found<'_>, work: &Work, server: Server, measure: &Measure) -> Option<Spread> {
    let runs = found.runs(work, server);
    Spread::of(runs.filter_map(|record| (measure.of)(&record.load)))
}

/// What a work is about comes with its spread, the rest as a median.
fn cell(found: &Found<'_>, work: &Work, server: Server, measure: &Measure) -> String {
    let Some(spread) = spread(found, work, server, measure) else {
        return "–".to_owned();
    };
    let is_figure = measure
        .figure
        .is_some_and(|figure| work.figures.contains(&figure));
    match (is_figure, &measure.digits) {
        (true, Digits::Fixed(digits)) => range(spread, *digits),
        (true, Digits::Time) => range(spread, 0),
        (false, Digits::Fixed(digits)) => number(spread.median, *digits),
        (false, Digits::Time) => microseconds(spread.median),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::results;

    #[test]
    fn a_comparison_becomes_a_page() {
        let expected = "\
### echo 64 B × 1,000

`echo-1000`: `echo --connections 1000 --payload 64`

| | CPU a message, µs | messages a segment | messages/s | memory a connection, B | CPU a connect, µs | p50, µs | p99, µs | p99.9, µs | load's core, % |
|---|---|---|---|---|---|---|---|---|---|
| raw-server | 4.00 (3.00 – 5.00) | 1.25 | 500 | 65 | 16.0 | 100 | 200 | 300 | 50 |
| Bun † | 5.00 (4.00 – 8.00) | 1.25 | 500 | 65 | 16.0 | 100 | 200 | 300 | 50 |
| floor | 2.40 (2.00 – 4.00) | 1.25 | 500 | 65 | 16.0 | 100 | 200 | 300 | 50 |

| compared | median (smallest – largest) | rounds | must be | hoped for |
|---|---|---|---|---|
| echo 64 B × 1,000: raw-server ÷ Bun | 0.75 (0.50 – 1.00) × † | 3 | ≤ 0.92 ×: met | ≤ 0.85 ×: met |
| echo 64 B × 1,000: raw-server ÷ floor | 1.25 (1.00 – 2.50) × | 3 | ≤ 1.10 ×: **missed** by 14 % | ≤ 1.03 ×: missed by 21 % |

## Engines
";
        let page = page(&results());
        assert!(page.contains(expected), "{page}");
        assert!(page.starts_with("# The latest comparison\n"), "{page}");
        assert_eq!(page.matches("\n### ").count(), 2, "once in each setting");
        assert!(
            page.contains("- Go gorilla took no part: go is missing\n"),
            "{page}"
        );
    }
}
