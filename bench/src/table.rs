//! Records as Markdown: figures, ratios beside what was promised, latencies; and the README's section between its markers.

use crate::record::{Record, figures, runs};
use crate::statistics::{Spread, paired_ratios};
use crate::work::{Figure, Goal, Server, WORKS, Work};
use std::fmt::Write as _;

/// The README's section begins after this line.
pub const BEGIN: &str = "<!-- table:begin -->";
/// The README's section ends before this line.
pub const END: &str = "<!-- table:end -->";

/// The tables of one comparison, with the circumstances above them.
pub fn section(records: &[Record]) -> String {
    let mut out = String::new();
    if let Some(record) = records.first() {
        let host = &record.host;
        let rounds = records.iter().map(|record| record.round).max().unwrap_or(0);
        // Writing to a String does not fail.
        _ = writeln!(
            out,
            "Commit {}, {}, Linux {}, {} cores ({}); {rounds} rounds, {} s each, servers in turns on one core, the load on the other. \
             Median (smallest – largest).\n",
            host.commit, host.date, host.kernel, host.cores, host.processor, record.seconds
        );
    }
    write_figures(&mut out, records);
    write_goals(&mut out, records);
    write_latencies(&mut out, records);
    out
}

/// `text` with what stands between the markers replaced.
///
/// # Errors
/// The markers are missing or the wrong way round.
pub fn replace_section(text: &str, section: &str) -> Result<String, String> {
    let missing = || format!("needs a line {BEGIN} and, below it, a line {END}");
    let begin = text.find(BEGIN).ok_or_else(missing)? + BEGIN.len();
    let end = begin + text[begin..].find(END).ok_or_else(missing)?;
    Ok(format!(
        "{}\n\n{}\n\n{}",
        &text[..begin],
        section.trim(),
        &text[end..]
    ))
}

fn write_figures(out: &mut String, records: &[Record]) {
    let servers: Vec<Server> = Server::ALL
        .into_iter()
        .filter(|server| records.iter().any(|record| record.server == server.name()))
        .collect();
    let names: Vec<&str> = servers.iter().map(|server| server.name()).collect();
    _ = writeln!(
        out,
        "| server CPU per message, or memory | {} |",
        names.join(" | ")
    );
    _ = writeln!(out, "|---|{}", "---|".repeat(servers.len()));
    let mut notes = Notes::default();
    for work in present(records) {
        let cells: Vec<String> = servers
            .iter()
            .map(|&server| figure_cell(records, work, server, &mut notes))
            .collect();
        _ = writeln!(out, "| {} | {} |", work.title, cells.join(" | "));
    }
    out.push('\n');
    notes.write(out);
}

fn figure_cell(records: &[Record], work: &Work, server: Server, notes: &mut Notes) -> String {
    let Some(spread) = Spread::of(
        figures(records, work, server)
            .into_iter()
            .map(|(_, value)| value),
    ) else {
        return "–".to_owned();
    };
    let limited = runs(records, work, server).any(|record| record.load.is_limited_by_load());
    let lossy = runs(records, work, server).any(|record| record.load.faults() > 0);
    notes.limited |= limited;
    notes.lossy |= lossy;
    let marks = format!(
        "{}{}",
        if limited { " †" } else { "" },
        if lossy { " ‡" } else { "" }
    );
    format!(
        "{} {}{marks}",
        range(spread, figure_digits(work.figure)),
        work.figure.unit()
    )
}

/// Which footnotes the table needs.
#[derive(Default)]
struct Notes {
    limited: bool,
    lossy: bool,
}

impl Notes {
    fn write(&self, out: &mut String) {
        if self.limited {
            out.push_str("† In some round the load generator, not the server, set the pace.\n\n");
        }
        if self.lossy {
            out.push_str("‡ In some round messages were lost, repeated, reordered or damaged: the figure does not count.\n\n");
        }
    }
}

fn write_goals(out: &mut String, records: &[Record]) {
    out.push_str("| compared | result | must be |\n|---|---|---|\n");
    for work in present(records) {
        for goal in work.goals {
            if let Some(spread) = goal_spread(records, work, goal) {
                let digits = if goal.baseline.is_some() {
                    2
                } else {
                    figure_digits(work.figure)
                };
                let unit = if goal.baseline.is_some() { " ×" } else { " B" };
                let against = goal
                    .baseline
                    .map_or(String::new(), |baseline| format!(" ÷ {}", baseline.name()));
                let must = goal.at_most.map_or("–".to_owned(), |at_most| {
                    verdict(spread.median, at_most, digits, unit)
                });
                _ = writeln!(
                    out,
                    "| {}: {}{against} | {}{unit} | {must} |",
                    work.title,
                    goal.subject.name(),
                    range(spread, digits)
                );
            }
        }
    }
    out.push('\n');
}

fn goal_spread(records: &[Record], work: &Work, goal: &Goal) -> Option<Spread> {
    let subject = figures(records, work, goal.subject);
    match goal.baseline {
        Some(baseline) => Spread::of(paired_ratios(&subject, &figures(records, work, baseline))),
        None => Spread::of(subject.into_iter().map(|(_, value)| value)),
    }
}

fn verdict(median: f64, at_most: f64, digits: usize, unit: &str) -> String {
    let mark = if median <= at_most {
        "met"
    } else {
        "**missed**"
    };
    format!("≤ {at_most:.digits$}{unit}: {mark}")
}

fn write_latencies(out: &mut String, records: &[Record]) {
    out.push_str(
        "| latency in µs | server | p50 | p99 | p99.9 | max |\n|---|---|---|---|---|---|\n",
    );
    for work in present(records) {
        for server in Server::ALL {
            let latencies: Vec<_> = runs(records, work, server)
                .filter_map(|record| record.load.latency_us)
                .collect();
            let median = |of: fn(&crate::record::Latency) -> f64| {
                Spread::of(latencies.iter().map(of)).map_or(0.0, |spread| spread.median)
            };
            if !latencies.is_empty() {
                let (p50, p99) = (number(median(|l| l.p50), 0), number(median(|l| l.p99), 0));
                let (p99_9, max) = (number(median(|l| l.p99_9), 0), number(median(|l| l.max), 0));
                _ = writeln!(
                    out,
                    "| {} | {} | {p50} | {p99} | {p99_9} | {max} |",
                    work.title,
                    server.name()
                );
            }
        }
    }
}

/// Works of which there is a record.
fn present(records: &[Record]) -> impl Iterator<Item = &'static Work> {
    WORKS
        .iter()
        .filter(|work| records.iter().any(|record| record.work == work.name))
}

fn figure_digits(figure: Figure) -> usize {
    match figure {
        Figure::CpuPerMessage => 2,
        Figure::BytesPerConnection => 0,
    }
}

fn range(spread: Spread, digits: usize) -> String {
    format!(
        "{} ({} – {})",
        number(spread.median, digits),
        number(spread.min, digits),
        number(spread.max, digits)
    )
}

/// With a fixed number of digits and thousands set apart.
fn number(value: f64, digits: usize) -> String {
    let plain = format!("{value:.digits$}");
    let (whole, fraction) = plain
        .split_once('.')
        .map_or((plain.as_str(), None), |(whole, fraction)| {
            (whole, Some(fraction))
        });
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let rest = whole.len() - index;
        if index > 0 && rest.is_multiple_of(3) && digit.is_ascii_digit() && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn numbers_are_set_in_thousands() {
        let cases = [
            (0.0, 2, "0.00"),
            (999.4, 0, "999"),
            (999.5, 0, "1,000"),
            (6553.25, 1, "6,553.2"),
            (1_234_567.0, 0, "1,234,567"),
            (-100.0, 0, "-100"),
        ];
        for (value, digits, expected) in cases {
            assert_eq!(number(value, digits), expected);
        }
    }

    #[test]
    fn a_comparison_becomes_three_tables() {
        let mut records = Vec::new();
        for (round, raw, peer, floor) in
            [(1, 4.0, 8.0, 4.0), (2, 3.0, 4.0, 3.0), (3, 5.0, 5.0, 2.0)]
        {
            records.push(record("echo-1000", Server::Raw, round, raw));
            records.push(record("echo-1000", Server::Tungstenite, round, peer));
            records.push(record("echo-1000", Server::Floor, round, floor));
        }
        records[1].load.limited_by = Some("generator".into());
        let expected = "\
Commit abc1234, 2026-01-02T03:04:05Z, Linux 6.18, 2 cores (CPU); 3 rounds, 5 s each, servers in turns on one core, the load on the other. Median (smallest – largest).

| server CPU per message, or memory | raw-server | tokio-tungstenite | floor |
|---|---|---|---|
| echo 64 B × 1,000 | 4.00 (3.00 – 5.00) µs | 5.00 (4.00 – 8.00) µs † | 3.00 (2.00 – 4.00) µs |

† In some round the load generator, not the server, set the pace.

| compared | result | must be |
|---|---|---|
| echo 64 B × 1,000: raw-server ÷ tokio-tungstenite | 0.75 (0.50 – 1.00) × | ≤ 0.75 ×: met |
| echo 64 B × 1,000: raw-server ÷ floor | 1.00 (1.00 – 2.50) × | ≤ 1.15 ×: met |

| latency in µs | server | p50 | p99 | p99.9 | max |
|---|---|---|---|---|---|
| echo 64 B × 1,000 | raw-server | 100 | 200 | 300 | 400 |
| echo 64 B × 1,000 | tokio-tungstenite | 100 | 200 | 300 | 400 |
| echo 64 B × 1,000 | floor | 100 | 200 | 300 | 400 |
";
        assert_eq!(section(&records), expected);
    }

    #[test]
    fn a_promise_that_is_missed_says_so() {
        let mut records = vec![record("idle-15000", Server::Raw, 1, 0.0)];
        records[0].load.server.bytes_per_connection = Some(1651.0);
        records[0].load.lost = 1;
        let section = section(&records);
        assert!(
            section.contains("| 1,651 (1,651 – 1,651) B ‡ |"),
            "{section}"
        );
        assert!(
            section.contains("‡ In some round messages were lost"),
            "{section}"
        );
        assert!(
            section.contains(": raw-server | 1,651 (1,651 – 1,651) B | ≤ 150 B: **missed** |"),
            "{section}"
        );
    }

    #[test]
    fn the_section_is_replaced_between_its_markers() {
        let text = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let expected = format!("above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n");
        let once = replace_section(&text, "new\n").expect("both markers");
        assert_eq!(once, expected);
        assert_eq!(replace_section(&once, "new\n"), Ok(expected));
        for text in ["", BEGIN, END, "x"] {
            assert!(replace_section(text, "new").is_err());
        }
        assert!(replace_section(&format!("{END}\n{BEGIN}\n"), "new").is_err());
    }
}
