//! What is wrong with a configuration, and where: one line for the person who has to put it right.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No such key, section or variable.
    Unknown {
        /// What it was taken for: `key`, `section`, `variable`.
        what: &'static str,
        /// As it was written.
        name: String,
        /// Where.
        source: Source,
        /// The nearest that exists.
        nearest: String,
    },
    /// A value that its key cannot take, alone or beside another.
    Value {
        /// The key, with the namespace where it is an option of one.
        key: String,
        /// The value as it was written.
        text: String,
        /// Where.
        source: Source,
        /// A clause whose subject is the value.
        rule: String,
    },
    /// A table that the user names and that cannot be.
    Table {
        /// What it is: `namespace`, `key`.
        what: &'static str,
        /// Its name as it was written.
        name: String,
        /// Where.
        source: Source,
        /// A clause whose subject is the table.
        rule: String,
    },
    /// A source that could not be read.
    Unreadable {
        /// Which.
        source: Source,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unknown {
                what,
                name,
                source,
                nearest,
            } => write!(
                f,
                "unknown {what} {name} ({source}); the nearest known one is {nearest}"
            ),
            Problem::Value {
                key,
                text,
                source,
                rule,
            } => write!(f, "{key} = {text:?} ({source}) {rule}"),
            Problem::Table {
                what,
                name,
                source,
                rule,
            } => write!(f, "{what} {name:?} ({source}) {rule}"),
            Problem::Unreadable { source, why } => write!(f, "{source}: {why}"),
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A command-line flag.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A line of the configuration file, counted from 1; `None` when the whole file is meant.
    File(String, Option<usize>),
    /// Nobody gave one.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(flag) => write!(f, "from {flag}"),
            Source::Variable(name) => write!(f, "from {name}"),
            Source::File(path, Some(line)) => write!(f, "from {path}, line {line}"),
            Source::File(path, None) => f.write_str(path),
            Source::Default => f.write_str("the default"),
        }
    }
}
