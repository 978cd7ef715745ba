//! A rule of an RFC in our own words, and how a file of them is written.
//!
//! A [`Clause`] that exists has an id of its RFC, a text, and a reason wherever it asks for less
//! than a test. Called by [`crate::rules`].

use std::fmt;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// RFC, section and running number: `6455-5.1-2`. Never given to another rule.
    pub id: String,
    /// How much the RFC wants it.
    pub strength: Strength,
    /// Whom it binds.
    pub binds: Party,
    /// What shows that we keep it.
    pub proof: Proof,
    /// What it says.
    pub text: String,
}

impl Clause {
    /// The RFC's section: `5.1`.
    pub fn section(&self) -> &str {
        let mut parts = self.id.split('-');
        parts.nth(1).unwrap_or_default()
    }

    /// The RFC's number.
    pub fn rfc(&self) -> &str {
        self.id.split('-').next().unwrap_or_default()
    }
}

/// How much the RFC wants it (RFC 2119; REQUIRED and SHALL are MUST).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// MUST
    Must,
    /// MUST NOT
    MustNot,
    /// SHOULD
    Should,
    /// SHOULD NOT
    ShouldNot,
}

impl Strength {
    const ALL: [(Strength, &str); 4] = [
        (Strength::Must, "MUST"),
        (Strength::MustNot, "MUST-NOT"),
        (Strength::Should, "SHOULD"),
        (Strength::ShouldNot, "SHOULD-NOT"),
    ];

    fn is_must(self) -> bool {
        matches!(self, Strength::Must | Strength::MustNot)
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(&Strength::ALL, *self))
    }
}

/// Whom a rule binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Servers.
    Server,
    /// Clients.
    Client,
    /// Servers and clients.
    Both,
    /// Proxies, authors of extensions, and the like.
    Others,
}

impl Party {
    const ALL: [(Party, &str); 4] = [
        (Party::Server, "server"),
        (Party::Client, "client"),
        (Party::Both, "both"),
        (Party::Others, "others"),
    ];
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(&Party::ALL, *self))
    }
}

/// What shows that we keep a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A test cites it: a peer can see whether we keep it.
    Test,
    /// Code cites it, and why no test can: what is not kept would not be seen from outside.
    Code(String),
    /// Nothing: it binds others, or what it is about does not exist here; the reason.
    NotOurs(String),
    /// Nothing: a SHOULD that we do not follow; the reason.
    Declined(String),
}

/// A line that breaks the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// File and line, counted from 1.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Reads a file of clauses of RFC `number`: `#` begins a comment, a line at the margin a clause
/// (`ID STRENGTH PARTY PROOF[: reason]`), and indented lines are its text.
///
/// # Errors
/// Every line that is not so, and every id that stands there twice.
pub fn clauses(file: &str, number: &str, text: &str) -> Result<Vec<Clause>, Vec<Mistake>> {
    let (mut found, mut mistakes): (Vec<Clause>, Vec<Mistake>) = (Vec::new(), Vec::new());
    let mut tell = |line: usize, what: String| {
        mistakes.push(Mistake {
            place: format!("tools/clauses/{file}:{}", line + 1),
            what,
        });
    };
    let mut begun = 0;
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with(' ') {
            match found.last_mut() {
                Some(clause) if clause.text.is_empty() => clause.text = line.trim().to_owned(),
                Some(clause) => clause.text += &format!(" {}", line.trim()),
                None => tell(index, "text without a clause".to_owned()),
            }
            continue;
        }
        if found.last().is_some_and(|clause| clause.text.is_empty()) {
            tell(begun, "a clause without a text".to_owned());
        }
        begun = index;
        match clause(number, line) {
            Ok(clause) if found.iter().any(|other| other.id == clause.id) => {
                tell(index, format!("{} stands there twice", clause.id));
            }
            Ok(clause) => found.push(clause),
            Err(what) => tell(index, what),
        }
    }
    if found.last().is_some_and(|clause| clause.text.is_empty()) {
        tell(begun, "a clause without a text".to_owned());
    }
    if mistakes.is_empty() {
        Ok(found)
    } else {
        Err(mistakes)
    }
}

fn clause(number: &str, line: &str) -> Result<Clause, String> {
    let (line, reason) = match line.split_once(": ") {
        Some((line, reason)) => (line, Some(reason.trim().to_owned())),
        None => (line, None),
    };
    let words: Vec<&str> = line.split(' ').collect();
    let &[id, strength, binds, proof] = words.as_slice() else {
        return Err("not ID STRENGTH PARTY PROOF[: reason]".to_owned());
    };
    if !is_id(id, number) {
        return Err(format!("{id} is no id of RFC {number}"));
    }
    let strength = value(&Strength::ALL, strength)?;
    let proof = match (proof, reason) {
        ("test", None) => Proof::Test,
        ("code", Some(why)) => Proof::Code(why),
        ("not-ours", Some(why)) => Proof::NotOurs(why),
        ("declined", Some(_)) if strength.is_must() => {
            return Err("a MUST is not declined".to_owned());
        }
        ("declined", Some(why)) => Proof::Declined(why),
        ("test", Some(_)) => return Err("a test needs no reason".to_owned()),
        ("code" | "not-ours" | "declined", None) => return Err(format!("{proof} needs a reason")),
        _ => return Err(format!("{proof} is no proof")),
    };
    Ok(Clause {
        id: id.to_owned(),
        strength,
        binds: value(&Party::ALL, binds)?,
        proof,
        text: String::new(),
    })
}

/// `6455-5.1-2`: the RFC, a section, a number from 1.
pub(crate) fn is_id(text: &str, number: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [rfc, section, running] => {
            *rfc == number
                && section.split('.').all(digits)
                && digits(running)
                && !running.starts_with('0')
        }
        _ => false,
    }
}

fn name<T: Copy + PartialEq>(all: &[(T, &'static str)], value: T) -> &'static str {
    let found = all.iter().find(|(other, _)| *other == value);
    found.map_or("", |(_, name)| name)
}

fn value<T: Copy>(all: &[(T, &'static str)], name: &str) -> Result<T, String> {
    let found = all.iter().find(|(_, other)| *other == name);
    found
        .map(|(value, _)| *value)
        .ok_or_else(|| format!("{name}: unknown"))
}
