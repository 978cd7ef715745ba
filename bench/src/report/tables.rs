//! Figures side by side: the summary of a section, ratios to its baseline, the figure it is about
//! as bars, and the overview of all sections. Invariant: medians and ranges are those of
//! `statistics`; what nobody measured is named, not shown as 0. Called by `page`.

use crate::report::chart::{look, symbol};
use crate::report::html::Text;
use crate::report::quantity::{Better, QUANTITIES, Quantity};
use crate::report::section::{Entrant, Section};
use crate::report::verdict::{self, ShownMarks};
use crate::statistics::Spread;
use std::fmt::Write as _;

/// A server's symbol and name.
pub(crate) fn write_name(out: &mut String, entrant: &Entrant) {
    // Writing to a String does not fail.
    _ = write!(
        out,
        "<span class=name><svg class=key viewBox=\"-13 -6 26 12\" aria-hidden=true><path class=\"curve {look}\" d=\"M-12 0H12\"/><path class=\"symbol {look}\" d=\"{}\"/></svg>{}</span>",
        symbol(entrant.number),
        Text(&entrant.name),
        look = look(entrant.number),
    );
}

/// The figure that the section is about, the best first.
pub(crate) fn write_bars(out: &mut String, section: &Section) {
    let quantity = section.main_quantity();
    let mut bars: Vec<(&Entrant, Spread)> = section
        .entrants
        .iter()
        .filter_map(|entrant| Some((entrant, entrant.spread(&quantity)?)))
        .collect();
    bars.sort_by(|a, b| a.1.median.total_cmp(&b.1.median));
    let largest = bars
        .iter()
        .map(|(_, spread)| spread.max)
        .fold(0.0, f64::max);
    if largest <= 0.0 {
        return;
    }
    _ = writeln!(
        out,
        "<figure class=bars><figcaption>{} <span class=hint>shorter is better</span></figcaption><ul>",
        title(&quantity)
    );
    for (entrant, spread) in bars {
        let percent = |value: f64| (value / largest * 100.0).max(0.0);
        out.push_str("<li>");
        write_name(out, entrant);
        verdict::write(out, entrant, ShownMarks::Doubts);
        _ = write!(
            out,
            "<span class=track><span class=\"fill {}\" style=\"width:{:.2}%\"></span>",
            look(entrant.number),
            percent(spread.median)
        );
        if spread.max > spread.min {
            _ = write!(
                out,
                "<span class=range style=\"left:{:.2}%;width:{:.2}%\"></span>",
                percent(spread.min),
                percent(spread.max) - percent(spread.min)
            );
        }
        _ = writeln!(
            out,
            "</span><span class=value>{}{}</span></li>",
            Text(&quantity.unit.show(spread.median)),
            range(spread, |value| quantity.unit.show(value))
        );
    }
    out.push_str("</ul>");
    let missing: Vec<&str> = section
        .entrants
        .iter()
        .filter(|entrant| entrant.spread(&quantity).is_none())
        .map(|entrant| entrant.name.as_str())
        .collect();
    if !missing.is_empty() {
        _ = write!(
            out,
            "<p class=note>Not measured: {}.</p>",
            Text(&missing.join(", "))
        );
    }
    out.push_str("</figure>\n");
}

/// Runs side by side.
pub(crate) fn write_summary(out: &mut String, section: &Section) {
    let has = |quantity: &&Quantity| {
        section
            .entrants
            .iter()
            .any(|entrant| entrant.spread(quantity).is_some())
    };
    let (shown, missing): (Vec<&Quantity>, Vec<&Quantity>) = QUANTITIES.iter().partition(has);
    let rounds = match section.rounds() {
        1 => "",
        _ => {
            " <span class=hint>median over the rounds, below it the smallest and the largest</span>"
        }
    };
    _ = write!(
        out,
        "<h3>Summary{rounds}</h3>\n<div class=box tabindex=0 role=region aria-label=\"Summary of {}\"><table><thead><tr><th scope=col>{}</th>",
        Text(&section.title),
        section.kind()
    );
    for quantity in &shown {
        _ = write!(out, "<th scope=col>{}</th>", quantity.name);
    }
    out.push_str("<th scope=col class=verdict>Verdict</th></tr></thead>\n<tbody>");
    for entrant in &section.entrants {
        _ = write!(out, "<tr class=n{}><th scope=row>", entrant.number);
        write_name(out, entrant);
        verdict::write(out, entrant, ShownMarks::Doubts);
        write_work(out, section, entrant);
        out.push_str("</th>");
        for quantity in &shown {
            match entrant.spread(quantity) {
                Some(spread) => {
                    let show = |value| quantity.unit.show(value);
                    _ = write!(
                        out,
                        "<td>{}{}</td>",
                        Text(&show(spread.median)),
                        range(spread, show)
                    );
                }
                None => out.push_str("<td class=missing>–</td>"),
            }
        }
        out.push_str("<td class=verdict>");
        verdict::write(out, entrant, ShownMarks::All);
        for reason in verdict::reasons(entrant) {
            _ = write!(out, "<small>{}</small>", Text(reason));
        }
        out.push_str("</td></tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|quantity| quantity.name).collect();
        _ = writeln!(out, "<p class=note>Not measured: {}.</p>", names.join(", "));
    }
}

/// Of runs that did different works, which.
fn write_work(out: &mut String, section: &Section, entrant: &Entrant) {
    if section.is_mixed {
        _ = write!(out, "<small>{}</small>", Text(&entrant.runs[0].title));
    }
}

/// Every server by the baseline; nothing for a single one.
pub(crate) fn write_ratios(out: &mut String, section: &Section) {
    let baseline = section.baseline();
    let others = || {
        section
            .entrants
            .iter()
            .filter(|entrant| entrant.number != baseline.number)
    };
    let has = |quantity: &&Quantity| {
        quantity.better != Better::Neither
            && others().any(|entrant| section.ratio(entrant, quantity).is_some())
    };
    let shown: Vec<&Quantity> = QUANTITIES.iter().filter(has).collect();
    if shown.is_empty() {
        return;
    }
    _ = write!(
        out,
        "<h3>Ratios <span class=hint>each ÷ {name}</span></h3>\n<div class=box tabindex=0 role=region aria-label=\"Ratios to {name}\"><table class=ratios><thead><tr><th scope=col>{kind}</th>",
        name = Text(&baseline.name),
        kind = section.kind()
    );
    for quantity in &shown {
        let better = match quantity.better {
            Better::Lower => "lower is better",
            Better::Higher => "higher is better",
            Better::Neither => "",
        };
        _ = write!(
            out,
            "<th scope=col>{}<small>{better}</small></th>",
            quantity.name
        );
    }
    out.push_str("</tr></thead>\n<tbody>");
    for entrant in others() {
        _ = write!(out, "<tr class=n{}><th scope=row>", entrant.number);
        write_name(out, entrant);
        out.push_str("</th>");
        for quantity in &shown {
            write_ratio(out, section.ratio(entrant, quantity), quantity.better);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n<p class=note>");
    if section.rounds() > 1 {
        out.push_str("Median of the ratios of each round, below it the smallest and the largest. ");
    }
    out.push_str("Coloured where every round is on the same side of 1: <span class=better>better</span> or <span class=worse>worse</span> than the baseline.");
    if section.is_faulty() {
        out.push_str(" Rounds in which something was lost or damaged do not count.");
    }
    if section.has_several_sources() && section.rounds() > 1 {
        out.push_str(" The runs come from several files, so they did not run in turns: the machine's drift is in the ratios.");
    }
    if section.is_mixed {
        out.push_str(" The runs did different works.");
    }
    out.push_str("</p>\n");
}

fn write_ratio(out: &mut String, ratio: Option<Spread>, better: Better) {
    let Some(spread) = ratio else {
        out.push_str("<td class=missing>–</td>");
        return;
    };
    _ = write!(
        out,
        "<td class=\"{}\">{} ×{}</td>",
        side(spread, better),
        times(spread.median),
        range(spread, times)
    );
}

/// Which side of 1 all rounds are on.
fn side(spread: Spread, better: Better) -> &'static str {
    match better {
        Better::Lower if spread.max < 1.0 => "better",
        Better::Lower if spread.min > 1.0 => "worse",
        Better::Higher if spread.min > 1.0 => "better",
        Better::Higher if spread.max < 1.0 => "worse",
        Better::Lower | Better::Higher | Better::Neither => "same",
    }
}

/// Two digits behind the point, as far as they tell anything.
fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 99.5 => crate::report::number::grouped(ratio, 0),
        ratio if ratio >= 9.95 => format!("{ratio:.1}"),
        ratio if ratio >= 0.1 || ratio == 0.0 => format!("{ratio:.2}"),
        _ => format!("{ratio:.3}"),
    }
}

/// Smallest and largest, if they differ when shown.
fn range(spread: Spread, show: impl Fn(f64) -> String) -> String {
    let (min, max) = (show(spread.min), show(spread.max));
    if spread.min == spread.max {
        return String::new();
    }
    // The unit once, when it is the same.
    let unit = |text: &str| text.split_once(' ').map(|(_, unit)| unit.to_owned());
    let min = match (unit(&min), unit(&max)) {
        (Some(a), Some(b)) if a == b => min.split(' ').next().unwrap_or("").to_owned(),
        _ => min,
    };
    format!("<small>{} – {}</small>", Text(&min), Text(&max))
}

/// All sections, each a row that leads to it.
pub(crate) fn write_overview(out: &mut String, sections: &[Section]) {
    let mut columns: Vec<&Entrant> = Vec::new();
    for entrant in sections.iter().flat_map(|section| &section.entrants) {
        if !columns.iter().any(|known| known.number == entrant.number) {
            columns.push(entrant);
        }
    }
    out.push_str("<nav aria-label=\"Works\"><h2>Overview</h2>\n<div class=box tabindex=0 role=region aria-label=Overview><table class=\"ratios overview\"><thead><tr><th scope=col>Work</th>");
    for entrant in &columns {
        out.push_str("<th scope=col>");
        write_name(out, entrant);
        out.push_str("</th>");
    }
    out.push_str("</tr></thead>\n<tbody>");
    for (index, section) in sections.iter().enumerate() {
        let quantity = section.main_quantity();
        _ = write!(
            out,
            "<tr><th scope=row><a href=\"#work-{}\">{}</a><small>{}</small></th>",
            index + 1,
            Text(&section.title),
            title(&quantity)
        );
        for column in &columns {
            let entrant = section
                .entrants
                .iter()
                .find(|entrant| entrant.number == column.number);
            write_overview_cell(out, section, entrant, &quantity);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n<p class=note>The figure that each work is about. One server of each work is the baseline; below the others' figures is their ratio to it, the median of the ratios of each round.</p></nav>\n");
}

fn write_overview_cell(
    out: &mut String,
    section: &Section,
    entrant: Option<&Entrant>,
    quantity: &Quantity,
) {
    let figure = entrant.and_then(|entrant| Some((entrant, entrant.spread(quantity)?)));
    let Some((entrant, figure)) = figure else {
        out.push_str("<td class=missing>–</td>");
        return;
    };
    let value = quantity.unit.show(figure.median);
    let is_baseline = section.baseline().number == entrant.number;
    match section.ratio(entrant, quantity).filter(|_| !is_baseline) {
        Some(ratio) => {
            _ = write!(
                out,
                "<td class=\"{}\">{}<small>{} ×</small></td>",
                side(ratio, quantity.better),
                Text(&value),
                times(ratio.median)
            );
        }
        None => {
            let what = if is_baseline { "baseline" } else { "" };
            _ = write!(out, "<td>{}<small>{what}</small></td>", Text(&value));
        }
    }
}

/// The figure as a heading.
fn title(quantity: &Quantity) -> String {
    match quantity.name {
        name if name.starts_with('p') => format!("{name} latency"),
        name if name.starts_with("CPU") => format!("Server {name}"),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::quantity::CPU;
    use crate::report::reading::read;
    use crate::report::reading::tests::source;
    use crate::report::section::sections;
    use crate::report::section::tests::{record, records};

    fn sorted(text: &str) -> Vec<Section> {
        sections(read(&[source("x", text)]).expect("runs").runs, None, &[]).expect("sections")
    }

    fn check(write: fn(&mut String, &Section), text: &str, expected: &[&str]) {
        let mut out = String::new();
        write(&mut out, &sorted(text)[0]);
        for part in expected {
            assert!(out.contains(part), "no {part} in {out}");
        }
    }

    #[test]
    fn the_summary_has_medians_and_ranges_and_names_what_is_missing() {
        check(
            write_summary,
            &records(),
            &[
                "<td>40.0 µs<small>30.0 – 50.0 µs</small></td>",
                "<td>4.00 µs<small>3.00 – 5.00 µs</small></td>",
                "<td>8.00 µs<small>5.00 – 9.00 µs</small></td>",
                "<p class=note>Not measured: p50, p90, p99.9, p99.99, max, Rate, Messages, CPU per connect, Memory per connection, Kernel memory per connection.</p>",
            ],
        );
        check(
            write_summary,
            &(record("a", "raw", 1, 1.5, 2000.0) + &record("a", "<b>", 1, 2.0, 1.0)),
            &["<td>1.50 µs</td>", "&lt;b&gt;", "<td>2.00 ms</td>"],
        );
    }

    #[test]
    fn ratios_are_of_rounds_and_coloured_when_sure() {
        check(
            write_ratios,
            &records(),
            &[
                "each ÷ raw",
                "<td class=\"same\">2.00 ×<small>1.00 – 3.00</small></td>",
                "Median of the ratios of each round",
            ],
        );
        check(
            write_ratios,
            &(record("a", "raw", 1, 2.0, 10.0) + &record("a", "bun", 1, 1.0, 200.0)),
            &[
                "<td class=\"better\">0.50 ×</td>",
                "<td class=\"worse\">20.0 ×</td>",
            ],
        );
        let mut out = String::new();
        write_ratios(&mut out, &sorted(&record("a", "raw", 1, 1.0, 1.0))[0]);
        assert_eq!(out, "", "a single server has no ratio");
    }

    #[test]
    fn more_is_better_only_of_rates() {
        let spread = |min, max| Spread {
            median: f64::midpoint(min, max),
            min,
            max,
        };
        let cases = [
            (spread(0.5, 0.9), Better::Lower, "better"),
            (spread(0.5, 0.9), Better::Higher, "worse"),
            (spread(1.1, 2.0), Better::Lower, "worse"),
            (spread(1.1, 2.0), Better::Higher, "better"),
            (spread(0.9, 1.1), Better::Lower, "same"),
            (spread(1.0, 1.0), Better::Higher, "same"),
        ];
        for (spread, better, expected) in cases {
            assert_eq!(side(spread, better), expected, "{spread:?} {better:?}");
        }
        for (ratio, expected) in [
            (0.0123, "0.012"),
            (0.745, "0.74"),
            (12.34, "12.3"),
            (1234.0, "1,234"),
        ] {
            assert_eq!(times(ratio), expected);
        }
    }

    #[test]
    fn the_overview_leads_to_every_work() {
        let mut out = String::new();
        write_overview(&mut out, &sorted(&records()));
        for part in [
            "<a href=\"#work-1\">a</a><small>Server CPU per message</small>",
            "<a href=\"#work-2\">b</a>",
            "<td>4.00 µs<small>baseline</small></td><td class=\"same\">8.00 µs<small>2.00 ×</small></td>",
            "<td class=missing>–</td><td>8.00 µs<small>baseline</small></td>",
        ] {
            assert!(out.contains(part), "no {part} in {out}");
        }
    }

    #[test]
    fn bars_begin_with_the_best() {
        check(
            write_bars,
            &records(),
            &["width:44.44%\"></span><span class=range style=\"left:33.33%;width:22.22%\">"],
        );
        let bare = r#"{"work":"a","server":"<i>","load":{"scenario":"echo"}}"#;
        check(
            write_bars,
            &(records() + bare),
            &["<p class=note>Not measured: &lt;i&gt;.</p>"],
        );
        let mut out = String::new();
        write_bars(&mut out, &sorted(&records())[0]);
        assert!(out.find("raw").expect("raw") < out.find("bun").expect("bun"));
        assert_eq!(title(&CPU), "Server CPU per message");
    }
}
