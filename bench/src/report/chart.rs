//! A chart as HTML and SVG that needs no script: lines stretch with the page, letters and points do
//! not. Invariant: whatever is drawn was measured; a gap stays a gap. Called by `percentiles` and
//! `timeline`; `page.js` adds readouts from its attributes.

use crate::report::html::Text;
use crate::report::number::Unit;
use crate::report::scale::AxisScale;
use std::fmt::Write as _;

/// Curves over axes.
#[derive(Debug)]
pub(crate) struct Chart {
    /// Classes of the figure.
    pub(crate) class: &'static str,
    pub(crate) caption: String,
    /// What is to be seen, for those who do not see it.
    pub(crate) description: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// Of the values up the chart.
    pub(crate) unit: Unit,
    pub(crate) curves: Vec<Curve>,
    /// Below the chart; empty: nothing.
    pub(crate) note: String,
}

/// A scale, and its marks in words.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) scale: AxisScale,
    pub(crate) marks: Vec<(f64, String)>,
    /// Empty: the chart's caption says it.
    pub(crate) caption: &'static str,
}

/// One server's.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    /// [`crate::report::section::Entrant::number`].
    pub(crate) number: usize,
    pub(crate) name: String,
    /// Rising x; `None` interrupts the line.
    pub(crate) points: Vec<Option<(f64, f64)>>,
    /// Points to draw a symbol at.
    pub(crate) symbols: Vec<(f64, f64)>,
    /// Where the line goes on without measurements between: two points.
    pub(crate) link: Vec<(f64, f64)>,
    /// x, the lowest and the highest of all rounds.
    pub(crate) band: Vec<(f64, f64, f64)>,
    /// The same, for an x that stands alone.
    pub(crate) whisker: Option<(f64, f64, f64)>,
}

/// Colours, of which each has a symbol and a dash, then all again with other symbols and dashes.
const COLOURS: usize = 8;
/// Half of them with a whole line.
const COLOURS_WHOLE: usize = 4;
/// Symbols around their middle, 9 pixels wide: disc, square, diamond, triangle.
const SYMBOLS: [&str; 4] = [
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    "M-3.5-3.5h7v7h-7z",
    "M0-5l5 5l-5 5l-5-5z",
    "M-4.5 3.5l4.5-8l4.5 8z",
];

/// The classes that make a server look like itself, on lines, symbols and names.
pub(crate) fn look(number: usize) -> String {
    let dash = number / COLOURS_WHOLE % 4;
    format!("n{number} c{} d{dash}", number % COLOURS)
}

/// A symbol's path.
pub(crate) fn symbol(number: usize) -> &'static str {
    SYMBOLS[number / COLOURS_WHOLE % SYMBOLS.len()]
}

impl Chart {
    /// Adds the chart's HTML.
    pub(crate) fn write(&self, out: &mut String) {
        let key = match self.x.scale {
            AxisScale::Quantile => "quantile".to_owned(),
            AxisScale::Linear { to, .. } | AxisScale::Logarithmic { to, .. } => format!("{to}"),
        };
        // Writing to a String does not fail.
        _ = write!(
            out,
            "<figure class=\"chart {}\" data-x=\"{key}\" data-unit=\"{}\"><figcaption>{}</figcaption>\n<div class=frame><div class=y aria-hidden=true>",
            self.class,
            self.unit.key(),
            Text(&self.caption)
        );
        for (value, label) in &self.y.marks {
            let place = self.y.scale.place(*value) * 100.0;
            _ = write!(
                out,
                "<span style=\"bottom:{place:.2}%\">{}</span>",
                Text(label)
            );
        }
        _ = write!(
            out,
            "</div>\n<div class=plot role=img aria-label=\"{}\"><svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=none aria-hidden=true>",
            Text(&self.description)
        );
        self.write_grid(out);
        self.curves
            .iter()
            .for_each(|curve| self.write_band(out, curve));
        self.curves
            .iter()
            .for_each(|curve| self.write_curve(out, curve));
        out.push_str("</svg><svg class=symbols aria-hidden=true>");
        self.curves
            .iter()
            .for_each(|curve| self.write_symbols(out, curve));
        out.push_str("</svg></div>\n<div class=x aria-hidden=true>");
        for (value, label) in &self.x.marks {
            let place = self.x.scale.place(*value) * 100.0;
            _ = write!(
                out,
                "<span style=\"left:{place:.2}%\">{}</span>",
                Text(label)
            );
        }
        out.push_str("</div></div>");
        for (class, text) in [("axis", self.x.caption), ("note", self.note.as_str())] {
            if !text.is_empty() {
                _ = write!(out, "<p class={class}>{}</p>", Text(text));
            }
        }
        out.push_str("</figure>\n");
    }

    fn write_grid(&self, out: &mut String) {
        out.push_str("<path class=grid d=\"");
        for (value, _) in &self.y.marks {
            _ = write!(out, "M0 {:.1}H1000", self.down(*value));
        }
        for (value, _) in &self.x.marks {
            _ = write!(out, "M{:.1} 0V1000", self.across(*value));
        }
        out.push_str("\"/>");
        if let AxisScale::Linear { from, .. } = self.y.scale
            && from < 0.0
        {
            _ = write!(
                out,
                "<path class=zero d=\"M0 {:.1}H1000\"/>",
                self.down(0.0)
            );
        }
    }

    fn write_band(&self, out: &mut String, curve: &Curve) {
        let look = look(curve.number);
        if curve.band.len() > 1 {
            _ = write!(out, "<path class=\"band {look}\" d=\"");
            let upper = curve.band.iter().map(|&(x, _, high)| (x, high));
            let lower = curve.band.iter().rev().map(|&(x, low, _)| (x, low));
            self.write_line(out, upper.chain(lower).map(Some));
            out.push_str("Z\"/>");
        }
        if let Some((x, low, high)) = curve.whisker {
            _ = write!(
                out,
                "<path class=\"whisker {look}\" d=\"M{:.1} {:.1}V{:.1}\"/>",
                self.across(x),
                self.down(low),
                self.down(high)
            );
        }
    }

    fn write_curve(&self, out: &mut String, curve: &Curve) {
        let look = look(curve.number);
        if !curve.link.is_empty() {
            _ = write!(out, "<path class=\"link {look}\" d=\"");
            self.write_line(out, curve.link.iter().copied().map(Some));
            out.push_str("\"/>");
        }
        _ = write!(
            out,
            "<path class=\"curve {look}\" data-name=\"{}\" data-points=\"",
            Text(&curve.name)
        );
        let read = curve.points.iter().flatten().chain(curve.link.last());
        for &(x, y) in read {
            _ = write!(out, "{:.2},{} ", self.across(x), rounded(y));
        }
        out.push_str("\" d=\"");
        self.write_line(out, curve.points.iter().copied());
        out.push_str("\"/>");
    }

    fn write_line(&self, out: &mut String, points: impl Iterator<Item = Option<(f64, f64)>>) {
        let mut command = 'M';
        let mut previous = None;
        for point in points {
            match point {
                Some((x, y)) => {
                    let (x, y) = (self.across(x), self.down(y));
                    _ = write!(out, "{command}{x:.1} {y:.1}");
                    (command, previous) = ('L', Some((x, y)));
                }
                None => {
                    // A point between two gaps is a line of no length, which round ends make
                    // visible.
                    if let Some((x, y)) = previous {
                        _ = write!(out, "L{x:.1} {y:.1}");
                    }
                    (command, previous) = ('M', None);
                }
            }
        }
        if let Some((x, y)) = previous {
            _ = write!(out, "L{x:.1} {y:.1}");
        }
    }

    fn write_symbols(&self, out: &mut String, curve: &Curve) {
        for &(x, y) in &curve.symbols {
            _ = write!(
                out,
                "<svg x=\"{:.2}%\" y=\"{:.2}%\"><path class=\"symbol {}\" d=\"{}\"/></svg>",
                self.across(x) / 10.0,
                self.down(y) / 10.0,
                look(curve.number),
                symbol(curve.number)
            );
        }
    }

    fn across(&self, value: f64) -> f64 {
        self.x.scale.place(value) * 1000.0
    }

    fn down(&self, value: f64) -> f64 {
        1000.0 - self.y.scale.place(value) * 1000.0
    }
}

/// More digits than anyone reads, fewer than the page's size would notice.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(curve: Curve) -> String {
        let axis = |largest| Axis {
            scale: AxisScale::linear(largest, 2, 1.0),
            marks: vec![(0.0, "0".to_owned()), (largest, "<top>".to_owned())],
            caption: "",
        };
        let chart = Chart {
            class: "panel",
            caption: "a & b".to_owned(),
            description: "\"quoted\"".to_owned(),
            x: axis(10.0),
            y: axis(4.0),
            unit: Unit::Cores,
            curves: vec![curve],
            note: String::new(),
        };
        let mut out = String::new();
        chart.write(&mut out);
        out
    }

    fn curve(points: &[Option<(f64, f64)>]) -> Curve {
        Curve {
            number: 9,
            name: "<x>".to_owned(),
            points: points.to_vec(),
            symbols: Vec::new(),
            link: Vec::new(),
            band: Vec::new(),
            whisker: None,
        }
    }

    fn check(curve: Curve, expected: &[&str]) {
        let html = chart(curve);
        for part in expected {
            assert!(html.contains(part), "no {part} in {html}");
        }
    }

    #[test]
    fn a_gap_stays_a_gap() {
        check(
            curve(&[Some((0.0, 0.0)), Some((5.0, 4.0)), None, Some((10.0, 2.0))]),
            &[
                "d=\"M0.0 1000.0L500.0 0.0L500.0 0.0M1000.0 500.0L1000.0 500.0\"/>",
                "data-points=\"0.00,0 500.00,4 1000.00,2 \"",
                "class=\"curve n9 c1 d2\" data-name=\"&lt;x&gt;\"",
            ],
        );
    }

    #[test]
    fn bands_links_and_symbols_stand_where_they_were_measured() {
        let mut curve = curve(&[Some((0.0, 1.0))]);
        curve.band = vec![(0.0, 0.0, 2.0), (10.0, 1.0, 4.0)];
        curve.whisker = Some((10.0, 1.0, 3.0));
        curve.link = vec![(0.0, 1.0), (10.0, 2.0)];
        curve.symbols = vec![(5.0, 1.0)];
        check(
            curve,
            &[
                "<path class=\"band n9 c1 d2\" d=\"M0.0 500.0L1000.0 0.0L1000.0 750.0L0.0 1000.0L0.0 1000.0Z\"/>",
                "<path class=\"whisker n9 c1 d2\" d=\"M1000.0 750.0V250.0\"/>",
                "<path class=\"link n9 c1 d2\" d=\"M0.0 750.0L1000.0 500.0L1000.0 500.0\"/>",
                "data-points=\"0.00,1 1000.00,2 \"",
                "<svg x=\"50.00%\" y=\"75.00%\"><path class=\"symbol n9 c1 d2\" d=\"M0-5l5 5l-5 5l-5-5z\"/></svg>",
            ],
        );
    }

    #[test]
    fn names_are_escaped() {
        check(
            curve(&[]),
            &[
                "a &amp; b",
                "aria-label=\"&quot;quoted&quot;\"",
                "&lt;top&gt;",
                "<path class=grid d=\"M0 1000.0H1000M0 0.0H1000M0.0 0V1000M1000.0 0V1000\"/>",
            ],
        );
    }
}
