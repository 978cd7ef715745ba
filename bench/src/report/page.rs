//! The whole page as one string: head, circumstances, overview, one section per work. Style and
//! script stand beside this file. Invariant: it asks for nothing, whatever its input: the policy in
//! its head forbids every request. Called by `report`.

use crate::report::html::Text;
use crate::report::number::grouped;
use crate::report::reading::{Circumstances, Run};
use crate::report::section::Section;
use crate::report::tables::{write_bars, write_name, write_overview, write_ratios, write_summary};
use crate::report::verdict::{self, ShownMarks};
use crate::report::{percentiles, timeline};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Where styles and scripts stand in the page, and that nothing else is loaded.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// The page.
pub(crate) fn page(title: &str, sections: &[Section], absences: &[String]) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    _ = write!(
        out,
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta http-equiv=Content-Security-Policy content=\"{POLICY}\">\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n<meta name=color-scheme content=\"light dark\">\n\
         <title>{title}</title>\n<link rel=icon href=\"data:,\">\n<style>\n{STYLE}",
        title = Text(title)
    );
    for number in numbers(sections) {
        _ = writeln!(
            out,
            "section:has(.pick-{number}:not(:checked)) .chart .n{number} {{ display: none; }}"
        );
    }
    out.push_str("</style>\n</head>\n<body>\n");
    write_header(&mut out, title, sections);
    out.push_str("<main>\n");
    if sections.len() > 1 {
        write_overview(&mut out, sections);
    }
    write_absences(&mut out, absences);
    for (index, section) in sections.iter().enumerate() {
        write_section(&mut out, index + 1, section);
    }
    _ = write!(
        out,
        "</main>\n<footer>Latencies are counted from the intended time of sending. Made by shardcast-bench {}.</footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    out
}

fn numbers(sections: &[Section]) -> BTreeSet<usize> {
    let entrants = sections.iter().flat_map(|section| &section.entrants);
    entrants.map(|entrant| entrant.number).collect()
}

fn write_header(out: &mut String, title: &str, sections: &[Section]) {
    let runs: Vec<&Run> = sections
        .iter()
        .flat_map(|section| &section.entrants)
        .flat_map(|entrant| &entrant.runs)
        .collect();
    let distinct = |of: &dyn Fn(&Circumstances) -> Option<String>| {
        let mut values: Vec<String> = Vec::new();
        for value in runs.iter().map(|run| of(&run.circumstances)) {
            let value = value.unwrap_or_else(|| "not recorded".to_owned());
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    };
    let mut dates = distinct(&|from| from.date.clone());
    dates.sort();
    let dates = match (dates.first(), dates.last()) {
        (Some(first), Some(last)) if first != last => {
            format!("{} to {}", clock(first), clock(last))
        }
        (first, _) => first.map_or(String::new(), |date| clock(date)),
    };
    let facts = [
        ("Machine", listed(&distinct(&machine))),
        (
            "Kernel",
            listed(&distinct(&|from| from.machine.kernel.clone())),
        ),
        ("Commit", listed(&distinct(&|from| from.commit.clone()))),
        ("Date", dates),
        ("Measured", measured(sections, runs.len())),
    ];
    _ = write!(
        out,
        "<header>\n<p class=kind>Shardcast benchmark report</p>\n<h1>{}</h1>\n<dl class=facts>",
        Text(title)
    );
    for (name, value) in facts {
        _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", Text(&value));
    }
    out.push_str("</dl>\n</header>\n");
}

/// RFC 3339 as it is read aloud; anything else as it is.
fn clock(date: &str) -> String {
    match date.split_once('T') {
        Some((day, time)) if time.ends_with('Z') => {
            format!("{day} {} UTC", time.trim_end_matches('Z'))
        }
        _ => date.to_owned(),
    }
}

/// Of many, the first few.
fn listed(values: &[String]) -> String {
    const SHOWN: usize = 4;
    match values.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", values[..SHOWN].join(", ")),
        _ => values.join(", "),
    }
}

fn machine(from: &Circumstances) -> Option<String> {
    let processor = from.machine.processor.clone();
    match from.machine.cores {
        Some(cores) => Some(format!(
            "{}{cores} cores",
            processor.map_or(String::new(), |name| format!("{name}, "))
        )),
        None => processor,
    }
}

/// What is missing from the page, and why.
fn write_absences(out: &mut String, absences: &[String]) {
    if absences.is_empty() {
        return;
    }
    out.push_str("<details class=absences open><summary>Not measured</summary><ul>");
    for absence in absences {
        _ = write!(out, "<li>{}</li>", Text(absence));
    }
    out.push_str("</ul></details>\n");
}

fn measured(sections: &[Section], runs: usize) -> String {
    let count = |count: usize, what: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{} {what}{plural}", grouped(count as f64, 0))
    };
    let rounds = sections.iter().map(Section::rounds).max().unwrap_or(0);
    let mut parts = vec![
        count(numbers(sections).len(), "server"),
        count(sections.len(), "work"),
        count(rounds, "round"),
        count(runs, "run"),
    ];
    if sections.iter().any(|section| section.is_mixed) {
        parts = vec![count(runs, "run")];
    }
    parts.join(", ")
}

fn write_section(out: &mut String, number: usize, section: &Section) {
    _ = writeln!(
        out,
        "<section id=work-{number} aria-labelledby=title-{number}>\n<h2 id=title-{number}>{}</h2>",
        Text(&section.title)
    );
    write_controls(out, number, section);
    out.push_str("<div class=lead><div>\n");
    if !percentiles::write(out, section) {
        out.push_str("<p class=missing>No latencies were measured.</p>\n");
    }
    out.push_str("</div>\n");
    write_bars(out, section);
    out.push_str("</div>\n<h3>Over time</h3>\n");
    timeline::write(out, section);
    write_summary(out, section);
    write_ratios(out, section);
    write_runs(out, section);
    out.push_str("</section>\n");
}

/// The legend, which hides and shows servers, and the choice of the scale. Style sheets do the
/// rest.
fn write_controls(out: &mut String, number: usize, section: &Section) {
    _ = write!(
        out,
        "<div class=controls><fieldset><legend>{}s</legend>",
        section.kind()
    );
    for entrant in &section.entrants {
        _ = write!(
            out,
            "<label><input type=checkbox class=pick-{} checked autocomplete=off>",
            entrant.number
        );
        write_name(out, entrant);
        verdict::write(out, entrant, ShownMarks::Doubts);
        out.push_str("</label>");
    }
    _ = writeln!(
        out,
        "</fieldset><fieldset class=pick-scale><legend>Latency scale</legend>\
         <label><input type=radio name=scale-{number} autocomplete=off checked>logarithmic</label>\
         <label><input type=radio name=scale-{number} autocomplete=off class=pick-linear>linear</label></fieldset></div>"
    );
}

/// Below so many runs of a section, their command lines are seen at once.
const RUNS_OPEN_MAX: usize = 4;

/// Where, when and how each run was made.
fn write_runs(out: &mut String, section: &Section) {
    let count: usize = section
        .entrants
        .iter()
        .map(|entrant| entrant.runs.len())
        .sum();
    let open = if count <= RUNS_OPEN_MAX { " open" } else { "" };
    _ = write!(
        out,
        "<details{open}><summary>Runs and their command lines</summary><div class=box tabindex=0 role=region aria-label=\"Runs of {}\"><table><thead><tr>\
         <th scope=col>Server</th><th scope=col>Round</th><th scope=col class=left>Date</th><th scope=col class=left>Commit</th><th scope=col class=left>Kernel</th>\
         <th scope=col class=left>Machine</th><th scope=col class=left>Load generator</th></tr></thead>\n<tbody>",
        Text(&section.title)
    );
    for entrant in &section.entrants {
        for run in &entrant.runs {
            let from = &run.circumstances;
            out.push_str("<tr><th scope=row>");
            write_name(out, entrant);
            _ = write!(out, "</th><td>{}</td>", run.round);
            for value in [
                from.date.clone(),
                from.commit.clone(),
                from.machine.kernel.clone(),
                machine(from),
            ] {
                match value {
                    Some(value) => _ = write!(out, "<td class=left>{}</td>", Text(&value)),
                    None => out.push_str("<td class=\"left missing\">not recorded</td>"),
                }
            }
            match run.command.as_str() {
                "" => out.push_str("<td class=\"left command missing\">not recorded</td>"),
                command => {
                    _ = write!(
                        out,
                        "<td class=\"left command\"><code>{}</code></td>",
                        Text(command)
                    );
                }
            }
            out.push_str("</tr>\n");
        }
    }
    out.push_str("</tbody></table></div></details>\n");
}
