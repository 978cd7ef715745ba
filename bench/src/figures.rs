//! Figures that a work takes by itself, by rounds, and the table that they come to. Made by
//! `recovery`, `stalled`, `joins`, `deltas` and `uploads`.

use crate::statistics::{Spread, paired_ratios};
use std::fmt;

/// Figures, each with what it is and one value a round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    rows: Vec<(String, Vec<(u32, f64)>)>,
    ratios: Vec<(String, String)>,
    /// What the median of a figure may come to at most; where that is 0, its largest.
    goals: Vec<(String, f64)>,
    /// The same of its ratios.
    goals_of_ratios: Vec<(String, f64)>,
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

    /// Holds the median of this figure to its goal. A goal of 0 is about what must not happen in
    /// any round: the largest is held to it.
    pub(crate) fn must(&mut self, name: &str, at_most: f64) {
        put_goal(&mut self.goals, name, at_most);
    }

    /// Holds the median of this figure's ratios to their goal.
    pub(crate) fn must_compared(&mut self, name: &str, at_most: f64) {
        put_goal(&mut self.goals_of_ratios, name, at_most);
    }

    /// What a round has come to, if it has.
    pub(crate) fn value(&self, name: &str, round: u32) -> Option<f64> {
        let of_round = self.of(name).into_iter().find(|(other, _)| *other == round);
        of_round.map(|(_, value)| value)
    }

    fn of(&self, name: &str) -> Vec<(u32, f64)> {
        let row = self.rows.iter().find(|(other, _)| other == name);
        row.map(|(_, values)| values.clone()).unwrap_or_default()
    }
}

fn put_goal(goals: &mut Vec<(String, f64)>, name: &str, at_most: f64) {
    if !goals.iter().any(|(other, _)| other == name) {
        goals.push((name.to_owned(), at_most));
    }
}

fn goal_of(goals: &[(String, f64)], name: &str) -> Option<f64> {
    let goal = goals.iter().find(|(other, _)| other == name);
    goal.map(|(_, at_most)| *at_most)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| | median | smallest | largest | goal |\n|---|--:|--:|--:|---|"
        )?;
        let mut row = |name: &str, values: Vec<f64>, digits: usize, goal: Option<f64>| {
            let Some(Spread { median, min, max }) = Spread::of(values) else {
                return writeln!(f, "| {name} | not measured | | | |");
            };
            let judged = if goal == Some(0.0) { max } else { median };
            let goal = match goal {
                None => "–".to_owned(),
                Some(at_most) if judged <= at_most => format!("≤ {at_most}: met"),
                Some(at_most) => format!("≤ {at_most}: **missed**"),
            };
            writeln!(
                f,
                "| {name} | {median:.digits$} | {min:.digits$} | {max:.digits$} | {goal} |"
            )
        };
        for (name, values) in &self.rows {
            let values = values.iter().map(|(_, value)| *value).collect();
            row(name, values, 3, goal_of(&self.goals, name))?;
        }
        for (name, baseline) in &self.ratios {
            let ratios = paired_ratios(&self.of(name), &self.of(baseline));
            let goal = goal_of(&self.goals_of_ratios, name);
            row(&format!("{name} ÷ {baseline}"), ratios, 2, goal)?;
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
        figures.must("new", 5.0);
        figures.must_compared("new", 2.5);
        for (round, lost) in [(1, 0.0), (2, 0.0), (3, 500.0)] {
            figures.add("lost", round, lost);
        }
        figures.must("lost", 0.0);
        assert_eq!(
            (figures.value("new", 2), figures.value("new", 4)),
            (Some(9.0), None)
        );
        assert_eq!(
            figures.to_string(),
            "| | median | smallest | largest | goal |\n|---|--:|--:|--:|---|\n\
             | new | 5.000 | 2.000 | 9.000 | ≤ 5: met |\n| old | 1.000 | 1.000 | 3.000 | – |\n\
             | lost | 0.000 | 0.000 | 500.000 | ≤ 0: **missed** |\n\
             | new ÷ old | 3.00 | 2.00 | 5.00 | ≤ 2.5: **missed** |\n\
             | new ÷ nobody | not measured | | | |\n"
        );
    }
}
