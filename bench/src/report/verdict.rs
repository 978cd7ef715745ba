//! What stands next to a server's name: whether its figures count, who was the limit, what went
//! wrong. Called by the tables and the legend.

use crate::report::html::Text;
use crate::report::number::grouped;
use crate::report::section::Entrant;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A remark on all rounds of a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// What a remark means for the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They count.
    Good,
    /// They are not the server's alone.
    Doubtful,
    /// They do not count.
    Bad,
}

/// At least one.
pub(crate) fn marks(entrant: &Entrant) -> Vec<Mark> {
    let rounds = entrant.runs.len();
    let of_rounds = |count: usize| match count == rounds {
        true => String::new(),
        false => format!(" in {count} of {rounds} rounds"),
    };
    let mut marks = Vec::new();
    let mut faults: BTreeMap<String, f64> = BTreeMap::new();
    let mut limits: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut cut, mut unseen) = (0, 0);
    for run in &entrant.runs {
        match run.measured.faults() {
            Some(found) => found
                .into_iter()
                .for_each(|(what, count)| *faults.entry(what).or_default() += count),
            None => unseen += 1,
        }
        if let Some(who) = run.measured.limited_by() {
            *limits.entry(who).or_default() += 1;
        }
        cut += usize::from(run.measured.is_partial());
    }
    let mut add = |kind, text| marks.push(Mark { kind, text });
    if cut > 0 {
        add(Kind::Bad, format!("cut short{}", of_rounds(cut)));
    }
    for (what, count) in &faults {
        add(Kind::Bad, format!("{} {what}", grouped(*count, 0)));
    }
    for (who, count) in limits {
        add(
            Kind::Doubtful,
            format!("limited by the {who}{}", of_rounds(count)),
        );
    }
    if unseen > 0 {
        add(
            Kind::Doubtful,
            format!("losses not counted{}", of_rounds(unseen)),
        );
    } else if faults.is_empty() && cut == 0 {
        add(Kind::Good, "nothing lost or damaged".to_owned());
    }
    marks
}

/// Why someone else was the limit or a run was cut short, each reason once.
pub(crate) fn reasons(entrant: &Entrant) -> Vec<&str> {
    let mut reasons: Vec<&str> = Vec::new();
    for run in &entrant.runs {
        let named = [&run.measured.limit_reason, &run.measured.partial_reason];
        for reason in named.into_iter().filter_map(Option::as_deref) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    reasons
}

/// Adds the marks.
pub(crate) fn write(out: &mut String, entrant: &Entrant, shown: ShownMarks) {
    for mark in marks(entrant) {
        let class = match (mark.kind, shown) {
            (Kind::Good, ShownMarks::Doubts) => continue,
            (Kind::Good, ShownMarks::All) => "good",
            (Kind::Doubtful, _) => "doubtful",
            (Kind::Bad, _) => "bad",
        };
        // Writing to a String does not fail.
        _ = write!(
            out,
            " <span class=\"mark {class}\">{}</span>",
            Text(&mark.text)
        );
    }
}

/// Which marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShownMarks {
    All,
    /// Without the good ones.
    Doubts,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::reading::read;
    use crate::report::reading::tests::source;
    use crate::report::section::sections;

    fn check(lines: &[&str], expected: &[(Kind, &str)]) {
        let text: String = lines
            .iter()
            .map(|fields| format!(r#"{{"scenario":"echo"{fields}}}"#))
            .collect();
        let runs = read(&[source("x", &text)]).expect("runs").runs;
        let sections = sections(runs, None, &[]).expect("sections");
        let found = marks(&sections[0].entrants[0]);
        let found: Vec<(Kind, &str)> = found
            .iter()
            .map(|mark| (mark.kind, mark.text.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn doubts_stand_next_to_the_name() {
        let clean = r#","lost":0,"limited_by":"none""#;
        check(&[clean], &[(Kind::Good, "nothing lost or damaged")]);
        check(&[""], &[(Kind::Doubtful, "losses not counted")]);
        check(
            &[
                clean,
                r#","lost":1200,"errors":{"reset":3}"#,
                r#","lost":34,"partial":true"#,
            ],
            &[
                (Kind::Bad, "cut short in 1 of 3 rounds"),
                (Kind::Bad, "3 errors (reset)"),
                (Kind::Bad, "1,234 lost"),
            ],
        );
        check(
            &[
                r#","lost":0,"limited_by":"generator""#,
                r#","lost":0,"limited_by":"host""#,
            ],
            &[
                (Kind::Doubtful, "limited by the generator in 1 of 2 rounds"),
                (Kind::Doubtful, "limited by the host in 1 of 2 rounds"),
                (Kind::Good, "nothing lost or damaged"),
            ],
        );
        check(
            &[r#","lost":0,"limited_by":"generator""#],
            &[
                (Kind::Doubtful, "limited by the generator"),
                (Kind::Good, "nothing lost or damaged"),
            ],
        );
    }
}
