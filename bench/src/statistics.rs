//! Medians, spreads and paired ratios. No figure is a mean: one disturbed round must not move it.
//! Called by the tables.

/// A middle and the range around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle value, or the mean of the two middle ones.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Spread {
    /// Of any values; none when there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Spread {
            median: f64::midpoint(below, above),
            min,
            max,
        })
    }
}

/// A figure and the round it was measured in.
pub type Rounds = Vec<(u32, f64)>;

/// The ratio of each round that has both figures. What disturbs a round disturbs both of its runs,
/// so ratios hold where figures drift.
pub fn paired_ratios(subject: &Rounds, baseline: &Rounds) -> Vec<f64> {
    let of_round = |round: u32| baseline.iter().find(|(other, _)| *other == round);
    let pairs = subject
        .iter()
        .filter_map(|&(round, value)| Some((value, of_round(round)?.1)));
    pairs
        .filter(|&(_, baseline)| baseline > 0.0)
        .map(|(value, baseline)| value / baseline)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], expected: Option<(f64, f64, f64)>) {
        let expected = expected.map(|(median, min, max)| Spread { median, min, max });
        assert_eq!(Spread::of(values.iter().copied()), expected, "{values:?}");
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        check(&[], None);
        check(&[3.0], Some((3.0, 3.0, 3.0)));
        check(&[4.0, 1.0], Some((2.5, 1.0, 4.0)));
        check(&[9.0, 1.0, 2.0], Some((2.0, 1.0, 9.0)));
        check(&[1.0, 100.0, 2.0, 3.0], Some((2.5, 1.0, 100.0)));
        check(&[5.0, 4.0, 3.0, 2.0, 1.0], Some((3.0, 1.0, 5.0)));
    }

    #[test]
    fn ratios_pair_rounds_and_skip_what_is_missing() {
        let subject = vec![(1, 2.0), (2, 3.0), (3, 8.0), (5, 1.0)];
        let baseline = vec![(2, 6.0), (1, 2.0), (4, 1.0), (5, 0.0)];
        assert_eq!(paired_ratios(&subject, &baseline), [1.0, 0.5]);
    }

    #[test]
    fn the_median_of_ratios_is_not_the_ratio_of_medians() {
        let subject = vec![(1, 1.0), (2, 20.0), (3, 3.0)];
        let baseline = vec![(1, 2.0), (2, 40.0), (3, 30.0)];
        let spread = Spread::of(paired_ratios(&subject, &baseline)).expect("three rounds");
        assert_eq!(
            spread,
            Spread {
                median: 0.5,
                min: 0.1,
                max: 0.5
            }
        );
    }
}
