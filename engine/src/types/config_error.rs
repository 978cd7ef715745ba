//! A value of the configuration that is out of its range. Used by every part that checks its own
//! values.

use std::fmt;
use std::ops::RangeInclusive;

/// What is wrong with a configuration. Its `Debug` is its `Display`, as `main` prints it.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {rule}")]
pub struct ConfigError {
    /// The field's name.
    pub field: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it must be.
    pub rule: &'static str,
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(crate) fn within<T: PartialOrd + fmt::Display>(
    field: &'static str,
    value: T,
    range: RangeInclusive<T>,
    rule: &'static str,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(ConfigError {
            field,
            value: value.to_string(),
            rule,
        })
    }
}
