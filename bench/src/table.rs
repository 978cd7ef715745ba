//! The README's section: medians of every server at every work, and what became of the promises;
//! between its markers. What else there is to see stands on the page of `page`. Called by the
//! binary.

use crate::format::number;
use crate::goal::{GoalOutcome, Marks, evaluate, title, value, verdict};
use crate::record::Record;
use crate::results::{Found, Results};
use crate::server::Server;
use crate::statistics::Spread;
use crate::work::{Figure, Goal, Group, Setting, Work};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The README's section begins after this line.
pub const BEGIN: &str = "<!-- table:begin -->";
/// The README's section ends before this line.
pub const END: &str = "<!-- table:end -->";

/// The tables that matter most, with the circumstances above them.
pub fn section(results: &Results) -> String {
    let mut out = circumstances(results);
    for setting in Setting::ALL {
        let found = results.in_setting(setting);
        if found.is_empty() {
            continue;
        }
        // Writing to a String does not fail.
        _ = writeln!(out, "{}\n", heading(setting));
        for group in Group::ALL {
            write_medians(&mut out, &found, group);
        }
        write_promises(&mut out, &found);
    }
    write_notes(&mut out, results);
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

/// Where, when and what was measured; empty without results.
pub(crate) fn circumstances(results: &Results) -> String {
    let Some(record) = results.records().next() else {
        return String::new();
    };
    let distinct = |of: fn(&Record) -> String| {
        let values: BTreeSet<String> = results.records().map(of).collect();
        values.into_iter().collect::<Vec<_>>().join(", ")
    };
    let rounds = Setting::ALL.map(|setting| results.in_setting(setting).rounds());
    let host = &record.host;
    format!(
        "Commit {}; {}; Linux {}, {} cores ({}). Up to {} rounds of {} s each, servers in turns on one core, the load on the other. \
         Bun has uWebSockets inside.\n\n",
        distinct(|record| record.host.commit.clone()),
        distinct(|record| record.host.date.clone()),
        host.kernel,
        host.cores,
        host.processor,
        rounds.iter().max().unwrap_or(&0),
        distinct(|record| record.seconds.to_string()),
    )
}

/// What a setting means.
pub(crate) fn heading(setting: Setting) -> &'static str {
    match setting {
        Setting::Plain => "**Loopback as it is** (a sender's core also receives for its peer)",
        Setting::Rps => {
            "**Receiving on the load generator's core** (a network namespace with `rps_cpus` set, closer to a network card)"
        }
    }
}

/// Marks that were used, and who is missing.
pub(crate) fn write_notes(out: &mut String, results: &Results) {
    let marks = Marks::of(results.records());
    if marks.limited {
        out.push_str("† In some round the load generator or another process, not the server, set the pace.\n\n");
    }
    if marks.faulty {
        out.push_str("‡ In some round messages were lost, repeated, reordered or damaged: such a round does not count.\n\n");
    }
    for absence in results.absences() {
        _ = writeln!(out, "- {absence}");
    }
}

fn write_medians(out: &mut String, found: &Found<'_>, group: Group) {
    let works = found.works(group);
    if works.is_empty() {
        return;
    }
    let servers = found.servers(&works);
    let names: Vec<&str> = servers.iter().map(|server| server.name).collect();
    let corner = match group {
        Group::Engines => "engines, medians",
        Group::Secure => "TLS and compression, medians",
        Group::WholeServers => "whole servers, medians",
    };
    _ = writeln!(out, "| {corner} | {} |", names.join(" | "));
    _ = writeln!(out, "|---|{}", "---|".repeat(servers.len()));
    for work in works {
        for &figure in work.figures {
            let cells: Vec<String> = servers
                .iter()
                .map(|&server| median_cell(found, work, server, figure))
                .collect();
            _ = writeln!(
                out,
                "| {} | {} |",
                row_title(work, figure),
                cells.join(" | ")
            );
        }
    }
    out.push('\n');
}

/// What was done, and what the table says of it.
pub(crate) fn row_title(work: &Work, figure: Figure) -> String {
    format!("{}: {}, {}", work.title, figure.title(), figure.unit())
}

fn median_cell(found: &Found<'_>, work: &Work, server: Server, figure: Figure) -> String {
    match Spread::of(found.figures(work, server, figure)) {
        Some(spread) => {
            let marks = Marks::of(found.runs(work, server)).text();
            format!("{}{marks}", number(spread.median, figure.digits()))
        }
        None => "–".to_owned(),
    }
}

/// Goals that something was promised of.
fn write_promises(out: &mut String, found: &Found<'_>) {
    let works = Group::ALL.map(|group| found.works(group));
    let mut rows = String::new();
    let (mut met, mut all) = (0, 0);
    for work in works.into_iter().flatten() {
        for (goal, outcome) in outcomes(found, work) {
            let limits = goal.limits(found.setting);
            if let Some(must) = limits.must {
                all += 1;
                let is_met = outcome.spread.is_some_and(|spread| spread.median <= must);
                met += u32::from(is_met && outcome.wrong == 0);
                write_goal(&mut rows, found, work, goal, &outcome);
            }
        }
    }
    if all > 0 {
        _ = writeln!(out, "{met} of {all} promises are met.\n\n{GOAL_HEAD}{rows}");
    }
}

/// What became of a work's goals, of those for which there are figures.
pub(crate) fn outcomes<'w>(found: &Found<'_>, work: &'w Work) -> Vec<(&'w Goal, GoalOutcome)> {
    let goals = work.goals.iter();
    goals
        .filter_map(|goal| Some((goal, evaluate(found, work, goal)?)))
        .collect()
}

/// Above rows of [`write_goal`].
pub(crate) const GOAL_HEAD: &str = "| compared | median (smallest – largest) | rounds | must be | hoped for |\n|---|---|---|---|---|\n";

/// A row.
pub(crate) fn write_goal(
    out: &mut String,
    found: &Found<'_>,
    work: &Work,
    goal: &Goal,
    outcome: &GoalOutcome,
) {
    let limits = goal.limits(found.setting);
    let figure = if work.figures[0] == goal.figure {
        String::new()
    } else {
        format!(", {}", goal.figure.title())
    };
    // A hope that is missed needs no emphasis.
    let hoped = verdict(goal, outcome, limits.stretch).replace("**", "");
    _ = writeln!(
        out,
        "| {}{figure}: {} | {} | {} | {} | {hoped} |",
        work.title,
        title(goal),
        value(goal, outcome),
        outcome.rounds,
        verdict(goal, outcome, limits.must),
    );
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::tests::record;
    use crate::record::{Absence, Line};
    use crate::server::{BUN, FLOOR, RAW};

    pub(crate) fn results() -> Results {
        let mut results = Results::default();
        let absent = Absence::of_server("Go gorilla", Setting::Plain, "go is missing".into());
        let mut lines = vec![Line::Absence(absent)];
        for (round, raw, bun, floor) in [(1, 4.0, 8.0, 4.0), (2, 3.0, 4.0, 2.4), (3, 5.0, 5.0, 2.0)]
        {
            for (server, cpu_us) in [(RAW, raw), (BUN, bun), (FLOOR, floor)] {
                let mut record = record("echo-1000", server, round, cpu_us);
                if server == BUN && round == 1 {
                    record.load.limited_by = Some("generator".into());
                }
                lines.push(Line::Record(Box::new(record)));
            }
        }
        let mut rps = record("echo-1000", RAW, 1, 3.0);
        rps.setting = Setting::Rps;
        lines.push(Line::Record(Box::new(rps.clone())));
        rps.server = BUN.name.into();
        rps.load.server.cpu_us_per_message = Some(6.0);
        lines.push(Line::Record(Box::new(rps)));
        results.add(lines);
        results
    }

    #[test]
    fn a_comparison_becomes_medians_and_promises() {
        let expected = "\
Commit abc1234; 2026-01-02T03:04:05Z; Linux 6.18, 2 cores (CPU). Up to 3 rounds of 5 s each, servers in turns on one core, the load on the other. Bun has uWebSockets inside.

**Loopback as it is** (a sender's core also receives for its peer)

| engines, medians | raw-server | Bun | floor |
|---|---|---|---|
| echo 64 B × 1,000: CPU a message, µs | 4.00 | 5.00 † | 2.40 |

1 of 2 promises are met.

| compared | median (smallest – largest) | rounds | must be | hoped for |
|---|---|---|---|---|
| echo 64 B × 1,000: raw-server ÷ Bun | 0.75 (0.50 – 1.00) × † | 3 | ≤ 0.92 ×: met | ≤ 0.85 ×: met |
| echo 64 B × 1,000: raw-server ÷ floor | 1.25 (1.00 – 2.50) × | 3 | ≤ 1.10 ×: **missed** by 14 % | ≤ 1.03 ×: missed by 21 % |

**Receiving on the load generator's core** (a network namespace with `rps_cpus` set, closer to a network card)

| engines, medians | raw-server | Bun |
|---|---|---|
| echo 64 B × 1,000: CPU a message, µs | 3.00 | 6.00 |

1 of 1 promises are met.

| compared | median (smallest – largest) | rounds | must be | hoped for |
|---|---|---|---|---|
| echo 64 B × 1,000: raw-server ÷ Bun | 0.50 (0.50 – 0.50) × | 1 | ≤ 0.65 ×: met | ≤ 0.55 ×: met |

† In some round the load generator or another process, not the server, set the pace.

- Go gorilla took no part: go is missing
";
        assert_eq!(section(&results()), expected);
        assert_eq!(section(&Results::default()), "");
    }

    #[test]
    fn a_promise_that_is_missed_says_so() {
        let mut idle = record("idle-15000", RAW, 1, 0.0);
        idle.load.server.bytes_per_connection = Some(1651.0);
        let mut results = Results::default();
        results.add(vec![Line::Record(Box::new(idle.clone()))]);
        let text = section(&results);
        let row = "| 15,000 idle: memory a connection, B | 1,651 |";
        assert!(text.contains(row), "{text}");
        let row = "| 15,000 idle: raw-server | 1,651 (1,651 – 1,651) B | 1 | ≤ 100 B: **missed** by 1,551 % | ≤ 72 B: missed by 2,193 % |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("0 of 1 promises are met."), "{text}");
        idle.load.lost = 1;
        let mut results = Results::default();
        results.add(vec![Line::Record(Box::new(idle))]);
        let text = section(&results);
        assert!(
            text.contains("| no round counts ‡ | 0 | ≤ 100 B: **missed**: messages went wrong |"),
            "{text}"
        );
        assert!(
            text.contains("‡ In some round messages were lost"),
            "{text}"
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
