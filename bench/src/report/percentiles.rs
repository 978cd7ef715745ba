//! The percentile plot of a section: latency by how few messages were slower, of every server its
//! round in the middle and the band of all. Invariant: beyond what so many messages can tell, no
//! line is drawn. Called by `page`.

use crate::report::chart::{Axis, Chart, Curve};
use crate::report::number::Unit;
use crate::report::reading::Run;
use crate::report::scale::{AxisScale, QUANTILE_TICKS};
use crate::report::section::{Entrant, Section};

/// Adds the plot, once on a logarithmic and once on a linear scale; `false`, and nothing is added:
/// no run has latencies.
pub(crate) fn write(out: &mut String, section: &Section) -> bool {
    let curves: Vec<Curve> = section.entrants.iter().filter_map(curve).collect();
    let values = || curves.iter().flat_map(values);
    let largest = values().fold(0.0, f64::max);
    let smallest = values().filter(|&us| us > 0.0).fold(largest, f64::min);
    if curves.is_empty() {
        return false;
    }
    let scales = [
        ("wide log", AxisScale::logarithmic(smallest, largest)),
        ("wide linear", AxisScale::linear(largest, 5, 1.0)),
    ];
    for (class, scale) in scales {
        let chart = Chart {
            class,
            caption: "Latency by percentile".to_owned(),
            description: description(section),
            x: Axis {
                scale: AxisScale::Quantile,
                marks: QUANTILE_TICKS
                    .map(|(quantile, label)| (quantile, label.to_owned()))
                    .to_vec(),
                caption: "percentile: each step to the right, ten times fewer messages are slower",
            },
            y: Axis {
                scale,
                marks: scale
                    .marks()
                    .into_iter()
                    .map(|us| (us, Unit::Microseconds.tick(us)))
                    .collect(),
                caption: "",
            },
            unit: Unit::Microseconds,
            curves: curves.clone(),
            note: note(section),
        };
        chart.write(out);
    }
    true
}

fn values(curve: &Curve) -> impl Iterator<Item = f64> {
    let line = curve.points.iter().flatten().chain(&curve.link);
    let band = curve.band.iter().chain(&curve.whisker);
    line.map(|&(_, us)| us)
        .chain(band.flat_map(|&(_, low, high)| [low, high]))
}

/// Quantiles that are so close make one point of the line.
const PLACES_APART: f64 = 0.001;

fn curve(entrant: &Entrant) -> Option<Curve> {
    let run = entrant.median_run();
    let all = run.measured.percentiles();
    let reported = reported(run, &all);
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (index, &(quantile, us)) in reported.iter().enumerate() {
        let place = AxisScale::Quantile.place(quantile);
        let far =
            |&(before, _): &(f64, f64)| place - AxisScale::Quantile.place(before) >= PLACES_APART;
        if index + 1 == reported.len() || is_tick(quantile) || points.last().is_none_or(far) {
            points.push((quantile, us));
        }
    }
    let largest = all.last().copied().filter(|&(quantile, _)| quantile >= 1.0);
    let symbols = points.iter().copied().chain(largest);
    let symbols = symbols.filter(|&(quantile, _)| is_tick(quantile)).collect();
    let link = match (points.last(), largest) {
        (Some(&last), Some(largest)) => vec![last, largest],
        (None, Some(largest)) => vec![largest],
        (_, None) => Vec::new(),
    };
    if points.is_empty() && link.is_empty() {
        return None;
    }
    let whisker = (entrant.runs.len() > 1)
        .then(|| range_at(entrant, 1.0))
        .flatten();
    Some(Curve {
        number: entrant.number,
        name: entrant.name.clone(),
        points: points.into_iter().map(Some).collect(),
        symbols,
        link,
        band: band(entrant),
        whisker,
    })
}

/// Symbols stand at the axis' marks and at the median.
fn is_tick(quantile: f64) -> bool {
    let marked = QUANTILE_TICKS.iter().skip(1).map(|(mark, _)| *mark);
    marked
        .chain([0.5])
        .any(|mark| (mark - quantile).abs() < 1e-9)
}

/// The quantiles below the largest value, beyond which at least one of the run's messages lies, up
/// to the axis' end.
fn reported(run: &Run, all: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let messages = run.measured.messages().unwrap_or(f64::INFINITY);
    let tells =
        |quantile: f64| quantile <= 0.99999 + 1e-9 && (1.0 - quantile) * messages >= 1.0 - 1e-6;
    all.iter()
        .copied()
        .filter(|&(quantile, _)| tells(quantile))
        .collect()
}

/// The lowest and highest of all rounds, wherever all of them tell.
fn band(entrant: &Entrant) -> Vec<(f64, f64, f64)> {
    if entrant.runs.len() < 2 {
        return Vec::new();
    }
    let mut quantiles: Vec<f64> = entrant
        .runs
        .iter()
        .flat_map(|run| reported(run, &run.measured.percentiles()))
        .map(|(quantile, _)| quantile)
        .collect();
    quantiles.sort_by(f64::total_cmp);
    let place = |quantile: f64| AxisScale::Quantile.place(quantile);
    quantiles.dedup_by(|later, earlier| place(*later) - place(*earlier) < PLACES_APART);
    quantiles
        .into_iter()
        .filter_map(|quantile| range_at(entrant, quantile))
        .collect()
}

fn range_at(entrant: &Entrant, quantile: f64) -> Option<(f64, f64, f64)> {
    let mut range = (quantile, f64::INFINITY, f64::NEG_INFINITY);
    for run in &entrant.runs {
        let us = at(&run.measured.percentiles(), quantile)?;
        range = (quantile, range.1.min(us), range.2.max(us));
    }
    Some(range)
}

/// The latency at a quantile, on the line between those recorded around it.
fn at(percentiles: &[(f64, f64)], quantile: f64) -> Option<f64> {
    let after = percentiles
        .iter()
        .position(|&(recorded, _)| recorded >= quantile - 1e-12)?;
    let (high, high_us) = percentiles[after];
    if (high - quantile).abs() < 1e-12 {
        return Some(high_us);
    }
    let (low, low_us) = *percentiles.get(after.checked_sub(1)?)?;
    let place = |quantile| AxisScale::Quantile.place(quantile);
    let span = place(high) - place(low);
    let share = if span > 0.0 {
        (place(quantile) - place(low)) / span
    } else {
        1.0
    };
    Some(low_us + (high_us - low_us) * share)
}

fn description(section: &Section) -> String {
    let parts: Vec<String> = section
        .entrants
        .iter()
        .filter_map(|entrant| {
            let run = &entrant.median_run().measured;
            let named = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
            let values: Vec<String> = named
                .into_iter()
                .filter_map(|(name, quantile)| {
                    let us = run.latency_us(quantile)?;
                    Some(format!("{name} {}", Unit::Microseconds.show(us)))
                })
                .collect();
            (!values.is_empty()).then(|| format!("{}: {}", entrant.name, values.join(", ")))
        })
        .collect();
    format!("Latency by percentile. {}.", parts.join("; "))
}

fn note(section: &Section) -> String {
    let mut notes = Vec::new();
    if section.rounds() > 1 {
        notes.push(
            "Lines: the round with the median p99. Shades: smallest and largest of all rounds."
                .to_owned(),
        );
    }
    let names = |is: &dyn Fn(&Run) -> bool| {
        let found: Vec<&str> = section
            .entrants
            .iter()
            .filter(|entrant| is(entrant.median_run()))
            .map(|entrant| entrant.name.as_str())
            .collect();
        match found.len() == section.entrants.len() {
            true => "all".to_owned(),
            false => found.join(", "),
        }
    };
    let few =
        names(&|run| !run.measured.has_distribution() && !run.measured.percentiles().is_empty());
    if !few.is_empty() {
        notes.push(format!(
            "Only a few percentiles were recorded, between which lines are straight: {few}."
        ));
    }
    let none = names(&|run| run.measured.percentiles().is_empty());
    if !none.is_empty() {
        notes.push(format!("No latencies were measured: {none}."));
    }
    let short = names(&|run| run.measured.messages().is_some_and(|count| count < 1e5));
    if !short.is_empty() {
        notes.push("Dots lead to the largest value from the last percentile that the number of messages can tell.".to_owned());
    }
    notes.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::reading::read;
    use crate::report::reading::tests::source;
    use crate::report::section::sections;

    fn sorted(text: &str) -> Section {
        let runs = read(&[source("x", text)]).expect("runs").runs;
        sections(runs, None, &[]).expect("sections").remove(0)
    }

    fn line(received: u32, percentiles: &str) -> String {
        format!(r#"{{"scenario":"echo","received":{received},"percentiles":{percentiles}}}"#)
    }

    #[test]
    fn no_line_goes_beyond_what_the_messages_tell() {
        let percentiles = "[[0,1],[0.5,2],[0.9,3],[0.99,4],[0.999,5],[0.999999,6],[1,6]]";
        for (received, last, symbols) in [(100, 0.99, 4), (1000, 0.999, 5), (10_000_000, 0.999, 5)]
        {
            let section = sorted(&line(received, percentiles));
            let curve = curve(&section.entrants[0]).expect("latencies");
            assert_eq!(
                curve.points.last(),
                Some(&Some((last, if last > 0.99 { 5.0 } else { 4.0 })))
            );
            assert_eq!(curve.link.last(), Some(&(1.0, 6.0)));
            assert_eq!(curve.symbols.len(), symbols);
            assert!(curve.band.is_empty() && curve.whisker.is_none());
        }
    }

    #[test]
    fn the_band_holds_every_round() {
        let text = [
            line(1000, "[[0,1],[0.5,4],[0.9,10],[1,20]]"),
            line(1000, "[[0,2],[0.5,3],[0.9,30],[1,90]]"),
            line(1000, "[[0,2],[0.9,20],[1,30]]"),
        ];
        let section = sorted(&text.concat());
        let curve = curve(&section.entrants[0]).expect("latencies");
        let between = at(&[(0.0, 2.0), (0.9, 20.0)], 0.5).expect("between");
        assert!((between - 7.418_54).abs() < 1e-4, "{between}");
        assert_eq!(
            curve.band,
            [(0.0, 1.0, 2.0), (0.5, 3.0, between), (0.9, 10.0, 30.0)]
        );
        assert_eq!(curve.whisker, Some((1.0, 20.0, 90.0)));
    }

    #[test]
    fn a_quantile_outside_of_what_was_recorded_has_no_latency() {
        assert_eq!(at(&[(0.5, 1.0), (0.9, 2.0)], 0.1), None);
        assert_eq!(at(&[(0.5, 1.0), (0.9, 2.0)], 0.99), None);
        assert_eq!(at(&[], 0.5), None);
        assert_eq!(at(&[(0.5, 1.0), (0.9, 2.0)], 0.9), Some(2.0));
    }

    #[test]
    fn what_was_not_recorded_is_said() {
        let few = r#"{"scenario":"echo","received":10000000,"latency_us":{"p50":1,"max":2}}"#;
        let section = sorted(few);
        assert_eq!(
            note(&section),
            "Only a few percentiles were recorded, between which lines are straight: all."
        );
        assert_eq!(
            description(&section),
            "Latency by percentile. x: p50 1.00 µs, max 2.00 µs."
        );
        let mut out = String::new();
        assert!(!write(&mut out, &sorted(r#"{"scenario":"idle"}"#)));
        assert_eq!(out, "");
    }
}
