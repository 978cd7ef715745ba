//! Clauses and citations brought together: what is missing, and the tables. Called by the binary
//! and the tests.

use crate::citation::{Citation, Origin, Sources, cited};
use crate::clause::{Clause, Proof};
use crate::{RFCS, Strength};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The rules, and who names them.
#[derive(Clone, Debug)]
pub struct Account {
    clauses: Vec<Clause>,
    citations: Vec<Citation>,
}

impl Account {
    /// Looks through the sources.
    pub fn of(clauses: Vec<Clause>, sources: &Sources) -> Account {
        let citations = sources
            .files
            .iter()
            .flat_map(|(file, text)| cited(file, text));
        Account {
            clauses,
            citations: citations.collect(),
        }
    }

    /// What must not be: a rule without its proof, an unknown id, a rule of others that is cited.
    /// Empty when all is well.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for citation in &self.citations {
            if !self.clauses.iter().any(|clause| clause.id == citation.id) {
                findings.push(format!(
                    "{}:{}: {}: no such clause",
                    citation.file, citation.line, citation.id
                ));
            }
        }
        for clause in &self.clauses {
            let missing = match &clause.proof {
                Proof::Test if self.places(clause, Origin::Test).is_empty() => "no test cites it",
                Proof::Code(_) if self.places(clause, Origin::Code).is_empty() => {
                    "no code cites it"
                }
                Proof::NotOurs(_) | Proof::Declined(_) if self.is_cited(clause) => {
                    "cited, though it is not kept here"
                }
                Proof::Test | Proof::Code(_) | Proof::NotOurs(_) | Proof::Declined(_) => continue,
            };
            findings.push(format!(
                "{} ({} {}): {missing}: {}",
                clause.id, clause.strength, clause.binds, clause.text
            ));
        }
        findings
    }

    fn is_cited(&self, clause: &Clause) -> bool {
        self.citations
            .iter()
            .any(|citation| citation.id == clause.id)
    }

    /// Where the clause is named: file and line.
    fn places(&self, clause: &Clause, origin: Origin) -> Vec<(&str, usize)> {
        let fits = |citation: &&Citation| citation.id == clause.id && citation.origin == origin;
        let cited = self.citations.iter().filter(fits);
        cited
            .map(|citation| (citation.file.as_str(), citation.line))
            .collect()
    }

    /// One line a clause, with file and line of every place.
    pub fn table(&self) -> String {
        let mut table = String::new();
        for clause in &self.clauses {
            let list = |origin| {
                let places = self.places(clause, origin);
                let places = places.iter().map(|(file, line)| format!("{file}:{line}"));
                places.collect::<Vec<_>>().join(", ")
            };
            let proof = match &clause.proof {
                Proof::Test => format!(
                    "tests: {}; code: {}",
                    list(Origin::Test),
                    list(Origin::Code)
                ),
                Proof::Code(_) => format!("code: {}", list(Origin::Code)),
                Proof::NotOurs(why) => format!("not ours: {why}"),
                Proof::Declined(why) => format!("declined: {why}"),
            };
            let _ = writeln!(
                table,
                "{:<14} {:<10} {:<7} {proof}",
                clause.id,
                clause.strength.to_string(),
                clause.binds.to_string()
            );
        }
        table + &self.count() + "\n"
    }

    fn count(&self) -> String {
        let kind = |fits: fn(&Proof) -> bool| {
            self.clauses
                .iter()
                .filter(|clause| fits(&clause.proof))
                .count()
        };
        format!(
            "{} clauses: {} shown by tests, {} by code, {} not ours, {} declined",
            self.clauses.len(),
            kind(|proof| matches!(proof, Proof::Test)),
            kind(|proof| matches!(proof, Proof::Code(_))),
            kind(|proof| matches!(proof, Proof::NotOurs(_))),
            kind(|proof| matches!(proof, Proof::Declined(_))),
        )
    }

    /// The same as a page for readers. It names files, not lines, so that moving code does not
    /// change it.
    pub fn markdown(&self) -> String {
        let mut page = format!(
            "# Conformance\n\nMade by `cargo run -p shardcast-clauses -- --markdown`; the test suite fails when it is out of date. The rules are in our own words, \
             and stand in `tools/clauses/`.\nA rule that is ours and can be seen from outside has a test that names it; one that only code can show has its place \
             in the code, with the reason.\n\n{}.\n",
            self.count()
        );
        for rfc in RFCS {
            let _ = write!(
                page,
                "\n## RFC {}: {}\n\n| clause | | binds | rule | shown by |\n|---|---|---|---|---|\n",
                rfc.number, rfc.title
            );
            for clause in self
                .clauses
                .iter()
                .filter(|clause| clause.rfc() == rfc.number)
            {
                let strength = match clause.strength {
                    Strength::Must | Strength::MustNot => format!("**{}**", clause.strength),
                    Strength::Should | Strength::ShouldNot => clause.strength.to_string(),
                };
                let _ = writeln!(
                    page,
                    "| {} | {} | {} | {} | {} |",
                    clause.id,
                    strength.replace('-', " "),
                    clause.binds,
                    clause.text.replace('|', "\\|"),
                    self.shown_by(clause).replace('|', "\\|")
                );
            }
        }
        page
    }

    fn shown_by(&self, clause: &Clause) -> String {
        let files = |origin| {
            let places = self.places(clause, origin);
            let files: BTreeSet<String> =
                places.iter().map(|(file, _)| format!("`{file}`")).collect();
            files.into_iter().collect::<Vec<_>>().join(", ")
        };
        match &clause.proof {
            Proof::Test => files(Origin::Test),
            Proof::Code(why) => format!("{} ({why})", files(Origin::Code)),
            Proof::NotOurs(why) => format!("not ours: {why}"),
            Proof::Declined(why) => format!("not followed: {why}"),
        }
    }
}
