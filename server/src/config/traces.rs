//! The values of section `[tracing]`: what is recorded, and who gets it. Nothing is opened here.

use super::value::{ConfigValue, is_shown_plainly};
use super::word::{FilePath, Word};
use crate::traces::options::{Callers, Sampling};
use std::time::Duration;

/// Section `[tracing]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TracingSettings {
    pub(crate) endpoint: Word,
    pub(crate) sample: Ratio,
    pub(crate) callers: Callers,
    pub(crate) service_name: ServiceName,
    pub(crate) headers_file: FilePath,
    pub(crate) authorities: FilePath,
    pub(crate) timeout: Duration,
    pub(crate) queue: usize,
}

impl Default for TracingSettings {
    fn default() -> TracingSettings {
        TracingSettings {
            endpoint: Word::default(),
            sample: Ratio("0.01".to_owned(), 0.01),
            callers: Callers::Followed,
            service_name: ServiceName("shardcast".to_owned()),
            headers_file: FilePath::default(),
            authorities: FilePath::default(),
            timeout: Duration::from_secs(10),
            queue: 8_192,
        }
    }
}

impl TracingSettings {
    /// Which requests are recorded.
    pub(crate) fn sampling(&self) -> Sampling {
        Sampling {
            ratio: self.sample.1,
            callers: self.callers,
        }
    }

    /// What does not fit together, as key and rule.
    pub(super) fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let rule = "must be none without tracing.endpoint: nothing is sent";
        let mut problems = Vec::new();
        if self.endpoint.0.is_none() {
            for (key, file) in [
                ("tracing.headers_file", &self.headers_file),
                ("tracing.authorities", &self.authorities),
            ] {
                problems.extend(file.0.is_some().then_some((key, rule)));
            }
        }
        problems
    }

    /// The same with what can be exchanged while a server runs.
    pub(super) fn with_what_is_exchanged(&self, others: &TracingSettings) -> TracingSettings {
        TracingSettings {
            sample: others.sample.clone(),
            callers: others.callers,
            ..self.clone()
        }
    }
}

/// A part of a whole, from 0 to 1, and how it was written.
#[derive(Clone, Debug)]
pub(crate) struct Ratio(String, f64);

impl PartialEq for Ratio {
    fn eq(&self, other: &Ratio) -> bool {
        self.1.to_bits() == other.1.to_bits()
    }
}

impl Eq for Ratio {}

impl ConfigValue for Ratio {
    fn read(&mut self, text: &str) -> Option<()> {
        let is_plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.'));
        let ratio: f64 = text.parse().ok().filter(|_| is_plain)?;
        *self = Ratio(
            text.to_owned(),
            (0.0..=1.0).contains(&ratio).then_some(ratio)?,
        );
        Some(())
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// What people call this server where its traces are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceName(pub(crate) String);

impl ConfigValue for ServiceName {
    fn read(&mut self, text: &str) -> Option<()> {
        let fits = (1..=255).contains(&text.len()) && is_shown_plainly(text);
        *self = ServiceName(fits.then(|| text.to_owned())?);
        Some(())
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl ConfigValue for Callers {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "follow" => Callers::Followed,
            "ignore" => Callers::Ignored,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            Callers::Followed => "follow".to_owned(),
            Callers::Ignored => "ignore".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_read_and_shown_alike() {
        for (text, ratio) in [
            ("0", Some(0.0)),
            ("1", Some(1.0)),
            ("1.0", Some(1.0)),
            ("0.01", Some(0.01)),
            (".5", Some(0.5)),
            ("1.01", None),
            ("-0.1", None),
            ("1e-2", None),
            ("nan", None),
            ("", None),
            (".", None),
            ("1%", None),
        ] {
            let mut read = Ratio("0".to_owned(), 0.0);
            let fits = read.read(text).is_some();
            assert_eq!(fits.then_some(read.1), ratio, "{text}");
            assert!(!fits || read.show() == text);
        }
    }
}
