//! A section's runs as they went on: small charts beside each other over the same time, of every
//! server its round in the middle. Invariant: what was not measured is named below the chart and
//! never drawn. Called by `page`.

use crate::report::chart::{Axis, Chart, Curve};
use crate::report::html::Text;
use crate::report::measured::{Point, Series};
use crate::report::number::Unit;
use crate::report::scale::AxisScale;
use crate::report::section::{Entrant, Section};
use std::fmt::Write as _;

/// Something that every interval has, or should have.
struct Panel {
    caption: &'static str,
    unit: Unit,
    of: fn(&Point) -> Option<f64>,
    joined: Joined,
    shown: ShownWhen,
}

/// How a point stands for several intervals.
#[derive(Clone, Copy)]
enum Joined {
    Worst,
    Mean,
}

#[derive(Clone, Copy, PartialEq)]
enum ShownWhen {
    /// Also to say that it was not measured.
    Always,
    /// When it changes.
    IfMoving,
    /// When it is not 0.
    IfAny,
}

const PANELS: &[Panel] = &[
    latency("p50 latency", |point| point.latency_us?.p50),
    latency("p99 latency", |point| point.latency_us?.p99),
    latency("Largest latency", |point| point.latency_us?.max),
    Panel {
        caption: "Messages received per second",
        unit: Unit::PerSecond,
        of: |point| point.rate_per_s,
        joined: Joined::Mean,
        shown: ShownWhen::Always,
    },
    cores("Server CPU, cores", |point| point.server_cpu_share),
    cores("Load generator CPU, cores", |point| point.client_cpu_share),
    memory("Server process memory, MiB", |point| point.server_rss_kib),
    memory("Kernel memory growth, MiB", |point| point.kernel_kib),
    Panel {
        caption: "Open connections",
        unit: Unit::Count,
        of: |point| point.open,
        joined: Joined::Mean,
        shown: ShownWhen::IfMoving,
    },
    Panel {
        caption: "Errors per interval",
        unit: Unit::Count,
        of: |point| point.errors,
        joined: Joined::Worst,
        shown: ShownWhen::IfAny,
    },
];

const fn latency(caption: &'static str, of: fn(&Point) -> Option<f64>) -> Panel {
    Panel {
        caption,
        unit: Unit::Microseconds,
        of,
        joined: Joined::Worst,
        shown: ShownWhen::Always,
    }
}

const fn cores(caption: &'static str, of: fn(&Point) -> Option<f64>) -> Panel {
    Panel {
        caption,
        unit: Unit::Cores,
        of,
        joined: Joined::Mean,
        shown: ShownWhen::Always,
    }
}

const fn memory(caption: &'static str, of: fn(&Point) -> Option<f64>) -> Panel {
    Panel {
        caption,
        unit: Unit::Kib,
        of,
        joined: Joined::Mean,
        shown: ShownWhen::Always,
    }
}

/// A line of more points is no clearer: intervals are joined.
const POINTS_MAX: usize = 500;

/// Adds the charts, or that nothing was recorded over time.
pub(crate) fn write(out: &mut String, section: &Section) {
    let series = |entrant: &Entrant| {
        let series = entrant.median_run().measured.series.as_ref()?;
        (!series.points.is_empty()).then(|| ordered(series))
    };
    let recorded: Vec<(&Entrant, Vec<Point>, f64)> = section
        .entrants
        .iter()
        .filter_map(|entrant| series(entrant).map(|(points, apart_s)| (entrant, points, apart_s)))
        .collect();
    if recorded.is_empty() {
        out.push_str(
            "<p class=missing>Not recorded over time: latency, rate, CPU and memory.</p>\n",
        );
        return;
    }
    let end_s = recorded
        .iter()
        .flat_map(|(_, points, _)| points.iter().filter_map(|point| point.t_s))
        .fold(0.0, f64::max);
    let unrecorded: Vec<&str> = section
        .entrants
        .iter()
        .filter(|entrant| {
            !recorded
                .iter()
                .any(|(known, ..)| known.number == entrant.number)
        })
        .map(|entrant| entrant.name.as_str())
        .collect();
    out.push_str("<div class=panels>\n");
    for panel in PANELS {
        let curves: Vec<Curve> = recorded
            .iter()
            .map(|(entrant, points, apart_s)| Curve {
                number: entrant.number,
                name: entrant.name.clone(),
                points: panel.line(points, *apart_s),
                symbols: Vec::new(),
                link: Vec::new(),
                band: Vec::new(),
                whisker: None,
            })
            .collect();
        panel.write(out, curves, end_s, &unrecorded);
    }
    out.push_str("</div>\n");
    let joined = recorded
        .iter()
        .map(|(_, points, _)| points.len().div_ceil(POINTS_MAX))
        .max();
    out.push_str("<p class=note>Seconds since the warm-up began; one interval is one point.");
    if let Some(count) = joined.filter(|count| *count > 1) {
        _ = write!(
            out,
            " Of long runs {count} intervals are joined: the worst of their latencies, the mean of the rest."
        );
    }
    if section.rounds() > 1 {
        out.push_str(" The round with the median p99.");
    }
    out.push_str("</p>\n");
}

fn moves(curve: &Curve) -> bool {
    let mut values = curve.points.iter().flatten().map(|&(_, value)| value);
    let first = values.next();
    values.any(|value| Some(value) != first)
}

/// The points by time, and how far apart they are.
fn ordered(series: &Series) -> (Vec<Point>, f64) {
    let mut points: Vec<Point> = series
        .points
        .iter()
        .copied()
        .filter(|point| point.t_s.is_some_and(|t_s| t_s >= 0.0))
        .collect();
    points.sort_by(|a, b| a.t_s.unwrap_or(0.0).total_cmp(&b.t_s.unwrap_or(0.0)));
    (points, series.interval_s.unwrap_or(f64::INFINITY))
}

impl Panel {
    /// The line of one run, with gaps where nothing was measured.
    fn line(&self, points: &[Point], apart_s: f64) -> Vec<Option<(f64, f64)>> {
        let count = points.len().div_ceil(POINTS_MAX).max(1);
        let mut line: Vec<Option<(f64, f64)>> = Vec::new();
        let mut last_s = None;
        for group in points.chunks(count) {
            let values = group.iter().filter_map(self.of);
            let number = values.clone().count() as f64;
            let value = match self.joined {
                Joined::Worst => values.reduce(f64::max),
                Joined::Mean => values.reduce(|a, b| a + b).map(|sum| sum / number),
            };
            let end_s = group.last().and_then(|point| point.t_s).unwrap_or(0.0);
            let absent =
                last_s.is_some_and(|last_s| end_s - last_s > apart_s * count as f64 * 1.75);
            if absent {
                line.push(None);
            }
            line.push(value.map(|value| (end_s, value)));
            last_s = Some(end_s);
        }
        line
    }

    fn write(&self, out: &mut String, curves: Vec<Curve>, end_s: f64, unrecorded: &[&str]) {
        let all = || {
            let points = curves
                .iter()
                .flat_map(|curve| curve.points.iter().flatten());
            points.map(|&(_, value)| value)
        };
        let smallest = all().fold(f64::INFINITY, f64::min);
        let largest = all().fold(f64::NEG_INFINITY, f64::max);
        let shown = match self.shown {
            ShownWhen::Always => true,
            ShownWhen::IfMoving => curves.iter().any(moves),
            ShownWhen::IfAny => largest > 0.0,
        };
        if !shown {
            return;
        }
        if largest < smallest {
            _ = writeln!(
                out,
                "<figure class=\"chart panel\"><figcaption>{}</figcaption><p class=missing>Not measured.</p></figure>",
                Text(self.caption)
            );
            return;
        }
        let base = if self.unit == Unit::Kib { 1024.0 } else { 1.0 };
        let y = AxisScale::between(smallest, largest, 3, base);
        let x = AxisScale::exact(end_s, 5);
        let (measured, missing): (Vec<Curve>, Vec<Curve>) = curves
            .into_iter()
            .partition(|curve| curve.points.iter().any(Option::is_some));
        let names = missing.iter().map(|curve| curve.name.as_str());
        let names: Vec<&str> = names.chain(unrecorded.iter().copied()).collect();
        let note = match names.is_empty() {
            true => String::new(),
            false => format!("Not measured: {}.", names.join(", ")),
        };
        let chart = Chart {
            class: "panel",
            caption: self.caption.to_owned(),
            description: self.description(&measured),
            x: Axis {
                scale: x,
                marks: x
                    .marks()
                    .into_iter()
                    .map(|t_s| (t_s, format!("{} s", Unit::Cores.tick(t_s))))
                    .collect(),
                caption: "",
            },
            y: Axis {
                scale: y,
                marks: y
                    .marks()
                    .into_iter()
                    .map(|value| (value, self.unit.tick(value)))
                    .collect(),
                caption: "",
            },
            unit: self.unit,
            curves: measured,
            note,
        };
        chart.write(out);
    }

    fn description(&self, curves: &[Curve]) -> String {
        let of = |curve: &Curve| {
            let values = || curve.points.iter().flatten().map(|&(_, value)| value);
            format!(
                "{}: {} to {}",
                curve.name,
                self.unit.show(values().fold(f64::INFINITY, f64::min)),
                self.unit.show(values().fold(f64::NEG_INFINITY, f64::max))
            )
        };
        let parts: Vec<String> = curves.iter().map(of).collect();
        format!("{} over time. {}.", self.caption, parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::reading::read;
    use crate::report::reading::tests::source;
    use crate::report::section::sections;

    const P99: &Panel = &PANELS[1];
    const CPU: &Panel = &PANELS[4];

    fn point(t_s: u32, p99: Option<f64>, cores: Option<f64>) -> Point {
        let mut point = Point {
            t_s: Some(f64::from(t_s)),
            server_cpu_share: cores,
            ..Point::default()
        };
        if p99.is_some() {
            let quantiles = crate::report::measured::Quantiles {
                p99,
                ..Default::default()
            };
            point.latency_us = Some(quantiles);
        }
        point
    }

    #[test]
    fn what_is_not_measured_is_a_gap() {
        let points = [
            point(1, Some(5.0), Some(0.5)),
            point(2, None, Some(0.6)),
            point(4, Some(7.0), None),
        ];
        assert_eq!(
            P99.line(&points, 1.0),
            [Some((1.0, 5.0)), None, None, Some((4.0, 7.0))]
        );
        assert_eq!(
            CPU.line(&points, 5.0),
            [Some((1.0, 0.5)), Some((2.0, 0.6)), None]
        );
    }

    #[test]
    fn long_runs_keep_their_worst_latency() {
        let count = u32::try_from(POINTS_MAX * 2).expect("small");
        let points: Vec<Point> = (0..count)
            .map(|t| {
                point(
                    t,
                    Some(if t == 7 { 900.0 } else { 5.0 }),
                    Some(f64::from(t % 2)),
                )
            })
            .collect();
        let line = P99.line(&points, 1.0);
        assert_eq!(line.len(), POINTS_MAX);
        assert_eq!(line[3], Some((7.0, 900.0)));
        assert_eq!(line[4], Some((9.0, 5.0)));
        assert_eq!(CPU.line(&points, 1.0)[0], Some((1.0, 0.5)));
    }

    #[test]
    fn missing_measurements_are_said_and_not_drawn() {
        let text = r#"{"scenario":"echo","series":{"interval_s":1,"points":[
            {"t_s":1,"rate_per_s":10,"open":5,"errors":0,"latency_us":null,"kernel_kib":null},
            {"t_s":2,"rate_per_s":20,"open":5,"errors":0,"latency_us":{"p50":1,"p99":2,"max":3}}]}}"#;
        let bare = r#"{"scenario":"echo"}"#;
        let runs = read(&[source("a", text), source("b", bare)])
            .expect("runs")
            .runs;
        let sections = sections(runs, None, &[]).expect("sections");
        let mut out = String::new();
        write(&mut out, &sections[0]);
        let figures: Vec<&str> = out.split("<figcaption>").skip(1).collect();
        assert_eq!(figures.len(), 8, "neither connections nor errors moved");
        for (figure, measured) in figures
            .iter()
            .zip([true, true, true, true, false, false, false, false])
        {
            assert_eq!(figure.contains("data-name=\"a\""), measured, "{figure}");
            assert_eq!(figure.contains("Not measured: b."), measured, "{figure}");
            assert_eq!(
                figure.contains("<p class=missing>Not measured.</p>"),
                !measured,
                "{figure}"
            );
        }
        assert!(
            figures[3].contains(
                "aria-label=\"Messages received per second over time. a: 10 /s to 20 /s.\""
            ),
            "{}",
            figures[3]
        );
    }
}
