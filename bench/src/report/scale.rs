//! Where on an axis a value stands, and which values are marked there. Places go from 0 to 1; every
//! scale takes every value. Used by the charts.

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AxisScale {
    /// From one value to a larger one.
    Linear {
        /// At place 0.
        from: f64,
        /// At place 1.
        to: f64,
        /// Between marks.
        step: f64,
    },
    /// From one value above 0 to a larger one. What is not above 0 stands at place 0.
    Logarithmic {
        /// At place 0.
        from: f64,
        /// At place 1.
        to: f64,
    },
    /// Quantiles by how few lie beyond them, to 99.999 %; then a gap and the largest value, 1.
    Quantile,
}

/// Ten times fewer beyond: 90, 99, 99.9, 99.99, 99.999 %.
const QUANTILE_DECADES: f64 = 5.0;
/// The largest value's place, and the axis' end, in decades.
const LARGEST_DECADES: f64 = 5.6;
const END_DECADES: f64 = 5.75;
/// Above so many decades only powers of ten are marked.
const DENSE_DECADES_MAX: f64 = 2.7;

/// Quantiles that the axis marks, and how.
pub(crate) const QUANTILE_TICKS: [(f64, &str); 7] = [
    (0.0, "0"),
    (0.9, "90"),
    (0.99, "99"),
    (0.999, "99.9"),
    (0.9999, "99.99"),
    (0.99999, "99.999"),
    (1.0, "max"),
];

impl AxisScale {
    /// From 0 to somewhat more than the largest, in about `marks` even steps that are easy to read.
    /// Units of 1,024 want `base` 1024.
    pub(crate) fn linear(largest: f64, marks: u32, base: f64) -> AxisScale {
        AxisScale::between(0.0, largest, marks, base)
    }

    /// The same from below 0 if something is.
    pub(crate) fn between(smallest: f64, largest: f64, marks: u32, base: f64) -> AxisScale {
        let (low, high) = (smallest.min(0.0), largest.max(0.0));
        let span = if high > low { high - low } else { base };
        let step = easy(span / base / f64::from(marks)) * base;
        let from = (low / step - TOLERANCE).ceil().min(0.0);
        let from = if from * step > low { from - 1.0 } else { from };
        let to = (high / step - TOLERANCE).ceil().max(1.0);
        AxisScale::Linear {
            from: from * step,
            to: to * step,
            step,
        }
    }

    /// From 0 to the largest and not beyond, marked in about so many steps.
    pub(crate) fn exact(largest: f64, marks: u32) -> AxisScale {
        let to = if largest > 0.0 { largest } else { 1.0 };
        AxisScale::Linear {
            from: 0.0,
            to,
            step: easy(to / f64::from(marks)),
        }
    }

    /// From 1, 2 or 5 times a power of ten to another, so that both values are between.
    pub(crate) fn logarithmic(smallest: f64, largest: f64) -> AxisScale {
        let smallest = if smallest > 0.0 { smallest } else { 1.0 };
        let largest = largest.max(smallest);
        let from = marks_from(smallest)
            .take_while(|&mark| mark <= smallest * (1.0 + TOLERANCE))
            .last()
            .unwrap_or(smallest);
        let to = marks_from(largest)
            .find(|&mark| mark >= largest * (1.0 - TOLERANCE) && mark > from * 1.5)
            .unwrap_or(largest * 10.0);
        AxisScale::Logarithmic { from, to }
    }

    /// The value's place, from 0 to 1.
    pub(crate) fn place(self, value: f64) -> f64 {
        let place = match self {
            AxisScale::Linear { from, to, .. } => (value - from) / (to - from),
            AxisScale::Logarithmic { from, to } => {
                (value.max(from) / from).log10() / (to / from).log10()
            }
            AxisScale::Quantile if value >= 1.0 => LARGEST_DECADES / END_DECADES,
            AxisScale::Quantile => (-(1.0 - value).log10()).min(QUANTILE_DECADES) / END_DECADES,
        };
        place.clamp(0.0, 1.0)
    }

    /// Values to mark, rising.
    pub(crate) fn marks(self) -> Vec<f64> {
        match self {
            AxisScale::Linear { from, to, step } => {
                let count = ((to - from) / step + TOLERANCE).floor() as u32;
                (0..=count)
                    .map(|index| from + step * f64::from(index))
                    .collect()
            }
            AxisScale::Logarithmic { from, to } => {
                let dense = (to / from).log10() <= DENSE_DECADES_MAX;
                let is_power = |mark: f64| (mark.log10() - mark.log10().round()).abs() < TOLERANCE;
                marks_from(from)
                    .skip_while(|&mark| mark < from * (1.0 - TOLERANCE))
                    .take_while(|&mark| mark <= to * (1.0 + TOLERANCE))
                    .filter(|&mark| dense || is_power(mark))
                    .collect()
            }
            AxisScale::Quantile => QUANTILE_TICKS.map(|(quantile, _)| quantile).to_vec(),
        }
    }
}

/// Rounding errors of powers are far below, differences between marks far above.
const TOLERANCE: f64 = 1e-9;

/// 1, 2 and 5 times powers of ten, from the power at or below the value; a dozen decades.
fn marks_from(value: f64) -> impl Iterator<Item = f64> {
    let power = value.log10().floor() as i32;
    (power - 1..power + 12).flat_map(|power| [1.0, 2.0, 5.0].map(|mark| mark * 10_f64.powi(power)))
}

/// 1, 2, 2.5 or 5 times a power of ten, at least `step`.
fn easy(step: f64) -> f64 {
    let power = 10_f64.powi(step.log10().floor() as i32);
    let fits = |mark: &f64| mark * power >= step * (1.0 - TOLERANCE);
    [1.0, 2.0, 2.5, 5.0].into_iter().find(fits).unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scale: AxisScale, expected: &[f64]) {
        let marks = scale.marks();
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= b.abs() * 1e-9;
        assert!(
            marks.len() == expected.len() && marks.iter().zip(expected).all(near),
            "{scale:?}: {marks:?}, not {expected:?}"
        );
    }

    #[test]
    fn linear_marks_are_easy_to_read() {
        check(AxisScale::linear(4.0, 4, 1.0), &[0.0, 1.0, 2.0, 3.0, 4.0]);
        check(AxisScale::linear(9.1, 4, 1.0), &[0.0, 2.5, 5.0, 7.5, 10.0]);
        check(AxisScale::linear(0.0, 4, 1.0), &[0.0, 0.25]);
        check(AxisScale::linear(278_693.0, 4, 1.0), &[0.0, 1e5, 2e5, 3e5]);
        check(
            AxisScale::linear(3948.0, 4, 1024.0),
            &[0.0, 1024.0, 2048.0, 3072.0, 4096.0],
        );
        check(AxisScale::exact(7.3, 5), &[0.0, 2.0, 4.0, 6.0]);
        check(
            AxisScale::between(-3.0, 9.0, 4, 1.0),
            &[-5.0, 0.0, 5.0, 10.0],
        );
    }

    #[test]
    fn logarithmic_marks_enclose_the_values() {
        check(
            AxisScale::logarithmic(352.0, 4603.0),
            &[200.0, 500.0, 1e3, 2e3, 5e3],
        );
        check(AxisScale::logarithmic(100.0, 100.0), &[100.0, 200.0]);
        check(
            AxisScale::logarithmic(3.0, 90_000.0),
            &[10.0, 100.0, 1e3, 1e4, 1e5],
        );
        check(AxisScale::logarithmic(0.0, 0.0), &[1.0, 2.0]);
    }

    #[test]
    fn places_are_on_the_axis() {
        let log = AxisScale::Logarithmic {
            from: 10.0,
            to: 1000.0,
        };
        let linear = AxisScale::linear(4.0, 4, 1.0);
        let cases = [
            (linear, 1.0, 0.25),
            (linear, -1.0, 0.0),
            (linear, 9.0, 1.0),
            (log, 100.0, 0.5),
            (log, 0.0, 0.0),
            (log, 1e9, 1.0),
            (AxisScale::Quantile, 0.0, 0.0),
            (AxisScale::Quantile, 0.9, 1.0 / END_DECADES),
            (AxisScale::Quantile, 0.99999, 5.0 / END_DECADES),
            (AxisScale::Quantile, 0.999_999, 5.0 / END_DECADES),
            (AxisScale::Quantile, 1.0, LARGEST_DECADES / END_DECADES),
        ];
        for (scale, value, expected) in cases {
            let place = scale.place(value);
            assert!(
                (place - expected).abs() < 1e-9,
                "{scale:?} {value}: {place}"
            );
        }
    }
}
