//! One key of the configuration: its name, its meaning, its rule, and its place in the settings.

use super::rooms;
use super::settings::Settings;
use super::value::{
    ConfigValue, OwnSize, VARIABLE_PREFIX, duration, show_duration, show_size, size, whole_number,
};
use crate::namespace::Who;
use std::ops::RangeInclusive;
use std::time::Duration;

/// One thing that can be configured.
pub(super) struct Key {
    /// `section.key`.
    pub(super) name: &'static str,
    /// Its own flag, if it has one (`--set` reaches every key).
    pub(super) flag: Option<&'static str>,
    /// What it does; one or two sentences.
    pub(super) what: &'static str,
    pub(super) kind: ValueKind,
}

/// How a key's value is written, what it may be, and where it goes.
pub(super) enum ValueKind {
    /// A whole number.
    Count(RangeInclusive<usize>, fn(&mut Settings) -> &mut usize),
    /// Bytes.
    Size(RangeInclusive<usize>, fn(&mut Settings) -> &mut usize),
    /// Bytes of its own, or the size that holds elsewhere.
    OwnSize(RangeInclusive<usize>, fn(&mut Settings) -> &mut OwnSize),
    /// A duration.
    Time(RangeInclusive<Duration>, fn(&mut Settings) -> &mut Duration),
    /// A whole number, or `none`.
    SomeCount(
        RangeInclusive<usize>,
        fn(&mut Settings) -> &mut Option<usize>,
    ),
    /// Bytes, or `none`.
    SomeSize(
        RangeInclusive<usize>,
        fn(&mut Settings) -> &mut Option<usize>,
    ),
    /// A duration, or `none`.
    SomeTime(
        RangeInclusive<Duration>,
        fn(&mut Settings) -> &mut Option<Duration>,
    ),
    /// A word, or a list of roles; the list is in brackets as text, and an array in a file.
    Who(fn(&mut Settings) -> &mut Who),
    /// Anything else: its rule in words, after "must be".
    Other(&'static str, fn(&mut Settings) -> &mut dyn ConfigValue),
}

impl Key {
    /// Section and key.
    pub(super) fn parts(&self) -> (&'static str, &'static str) {
        self.name
            .split_once('.')
            .expect("a key's name has a section")
    }

    /// Whether an array of the file is a list of roles.
    pub(super) fn takes_roles(&self) -> bool {
        matches!(self.kind, ValueKind::Who(_))
    }

    /// Its environment variable.
    pub(super) fn variable(&self) -> String {
        format!(
            "{VARIABLE_PREFIX}{}",
            self.name.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// What a value must be, to stand after "must be".
    pub(super) fn rule(&self) -> String {
        match &self.kind {
            ValueKind::Count(range, _) => count_rule(range),
            ValueKind::SomeCount(range, _) => format!("{NONE}, or {}", count_rule(range)),
            ValueKind::Size(range, _) => size_rule(range),
            ValueKind::OwnSize(range, _) => format!("same, or {}", size_rule(range)),
            ValueKind::Time(range, _) => time_rule(range),
            ValueKind::SomeSize(range, _) => format!("{NONE}, or {}", size_rule(range)),
            ValueKind::SomeTime(range, _) => format!("{NONE}, or {}", time_rule(range)),
            ValueKind::Who(_) => rooms::WHO_RULE.to_owned(),
            ValueKind::Other(rule, _) => (*rule).to_owned(),
        }
    }

    /// Takes the value from text. `None`: the text breaks the rule, and `settings` is as before.
    pub(super) fn read(&self, settings: &mut Settings, text: &str) -> Option<()> {
        match &self.kind {
            ValueKind::Count(range, place) => put(place(settings), range, whole_number(text)),
            ValueKind::Size(range, place) => put(place(settings), range, size(text)),
            ValueKind::OwnSize(range, place) => {
                *place(settings) = OwnSize::read(text, range)?;
                Some(())
            }
            ValueKind::Time(range, place) => put(place(settings), range, duration(text)),
            ValueKind::SomeCount(range, place) => {
                put_some(place(settings), range, text, whole_number)
            }
            ValueKind::SomeSize(range, place) => put_some(place(settings), range, text, size),
            ValueKind::SomeTime(range, place) => put_some(place(settings), range, text, duration),
            ValueKind::Who(place) => place(settings).read(text),
            ValueKind::Other(_, place) => place(settings).read(text),
        }
    }

    /// The value without quotes.
    pub(super) fn show(&self, settings: &Settings) -> String {
        let mut settings = settings.clone();
        match &self.kind {
            ValueKind::Count(_, place) => place(&mut settings).to_string(),
            ValueKind::Size(_, place) => show_size(*place(&mut settings)),
            ValueKind::OwnSize(_, place) => place(&mut settings).show(),
            ValueKind::Time(_, place) => show_duration(*place(&mut settings)),
            ValueKind::SomeCount(_, place) => {
                place(&mut settings).map_or(NONE.to_owned(), |count| count.to_string())
            }
            ValueKind::SomeSize(_, place) => {
                place(&mut settings).map_or(NONE.to_owned(), show_size)
            }
            ValueKind::SomeTime(_, place) => {
                place(&mut settings).map_or(NONE.to_owned(), show_duration)
            }
            ValueKind::Who(place) => place(&mut settings).show(),
            ValueKind::Other(_, place) => place(&mut settings).show(),
        }
    }

    /// The value as TOML: numbers and booleans bare, everything else quoted. No value holds a
    /// character that needs an escape.
    pub(super) fn show_toml(&self, settings: &Settings) -> String {
        let text = self.show(settings);
        if self.takes_roles() && text.starts_with('[') {
            let roles = text.trim_matches(['[', ']']).replace(',', "\", \"");
            return format!("[\"{roles}\"]");
        }
        if whole_number(&text).is_some() || text.parse::<bool>().is_ok() {
            text
        } else {
            format!("\"{text}\"")
        }
    }
}

fn count_rule(range: &RangeInclusive<usize>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

fn time_rule(range: &RangeInclusive<Duration>) -> String {
    format!(
        "a number with ms, s, m, h or d, from {} to {}",
        show_duration(*range.start()),
        show_duration(*range.end())
    )
}

fn size_rule(range: &RangeInclusive<usize>) -> String {
    format!(
        "bytes, or a number with KiB, MiB or GiB, from {} to {}",
        show_size(*range.start()),
        show_size(*range.end())
    )
}

fn put<T: PartialOrd>(place: &mut T, range: &RangeInclusive<T>, value: Option<T>) -> Option<()> {
    *place = value.filter(|value| range.contains(value))?;
    Some(())
}

/// `none`, or a value in the range.
fn put_some<T: PartialOrd>(
    place: &mut Option<T>,
    range: &RangeInclusive<T>,
    text: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<()> {
    *place = match text {
        NONE => None,
        text => Some(read(text).filter(|value| range.contains(value))?),
    };
    Some(())
}

/// A value that may be absent, where it is.
const NONE: &str = "none";
