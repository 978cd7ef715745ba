//! Figures that a work takes by itself, by rounds, and the table that they come to. Made by
//! `recovery`, `stalled`, `joins`, `deltas` and `uploads`.

use crate::statistics::{Spread, paired_ratios};
use std::fmt;

/// Figures, each with what it is and one value a round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    rows: Vec<(String, Vec<(u32, f64)>)>,
    ratios: Vec<(String, String)>,
}

impl Figures {
    /// The value of a round.
    pub(crate) fn add(&mut self, name: impl Into<String>, round: u32, value: f64) {
        let name = name.into();
        match self.rows.iter_mut().find(|(other, _)| *other == name) {
            Some((_, values)) => values.push((round, value)),
            None => self.rows.push((name, vec![(round, value)])),
        }
    }

    /// Shows this figure ÷ that one, too.
    pub(crate) fn compare(&mut self, name: impl Into<String>, baseline: impl Into<String>) {
        let pair = (name.into(), baseline.into());
        if !self.ratios.contains(&pair) {
            self.ratios.push(pair);
        }
    }

    fn of(&self, name: &str) -> Vec<(u32, f64)> {
        let row = self.rows.iter().find(|(other, _)| other == name);
        row.map(|(_, values)| values.clone()).unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | median | smallest | largest |\n|---|--:|--:|--:|")?;
        let mut row = |name: &str, values: Vec<f64>, digits: usize| match Spread::of(values) {
            Some(Spread { median, min, max }) => {
                writeln!(
                    f,
                    "| {name} | {median:.digits$} | {min:.digits$} | {max:.digits$} |"
                )
            }
            None => writeln!(f, "| {name} | not measured | | |"),
        };
        for (name, values) in &self.rows {
            row(name, values.iter().map(|(_, value)| *value).collect(), 3)?;
        }
        for (name, baseline) in &self.ratios {
            let ratios = paired_ratios(&self.of(name), &self.of(baseline));
            row(&format!("{name} ÷ {baseline}"), ratios, 2)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_every_figure_and_ratios_within_rounds() {
        let mut figures = Figures::default();
        for (round, new, old) in [(1, 2.0, 1.0), (2, 9.0, 3.0), (3, 5.0, 1.0)] {
            figures.add("new", round, new);
            figures.add("old", round, old);
        }
        figures.compare("new", "old");
        figures.compare("new", "nobody");
        assert_eq!(
            figures.to_string(),
            "| | median | smallest | largest |\n|---|--:|--:|--:|\n\
             | new | 5.000 | 2.000 | 9.000 |\n| old | 1.000 | 1.000 | 3.000 |\n\
             | new ÷ old | 3.00 | 2.00 | 5.00 |\n| new ÷ nobody | not measured | | |\n"
        );
    }
}
