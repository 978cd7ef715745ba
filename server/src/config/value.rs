//! How single values are written: sizes, durations, addresses and words, read from text and shown
//! as text that reads back the same.

use shardcast_engine::{DriverChoice, Pinning};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A value with a grammar of its own. `read` leaves the value alone and returns `None` when the
/// text is none of it.
pub(super) trait ConfigValue {
    /// Takes the value from text.
    fn read(&mut self, text: &str) -> Option<()>;
    /// As it stands in a file, without quotes.
    fn show(&self) -> String;
}

const NONE: &str = "none";

impl ConfigValue for SocketAddr {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = text.parse().ok()?;
        Some(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// What a name begins with, if there is such a name.
impl ConfigValue for Option<String> {
    fn read(&mut self, text: &str) -> Option<()> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
        *self = match text {
            NONE => None,
            start if (1..=64).contains(&start.len()) && start.bytes().all(fits) => {
                Some(start.to_owned())
            }
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        self.as_deref().unwrap_or(NONE).to_owned()
    }
}

impl ConfigValue for bool {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = text.parse().ok()?;
        Some(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl ConfigValue for DriverChoice {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = text.parse().ok()?;
        Some(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl ConfigValue for Pinning {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "none" => Pinning::None,
            "auto" => Pinning::Auto,
            list => Pinning::Cores(cores(list)?),
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            Pinning::None => "none".to_owned(),
            Pinning::Auto => "auto".to_owned(),
            Pinning::Cores(cores) => cores
                .iter()
                .map(usize::to_string)
                .collect::<Vec<_>>()
                .join(","),
        }
    }
}

/// How many shards run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardCount {
    /// One per core that this process may use.
    Auto,
    /// This many.
    Exactly(usize),
}

impl ConfigValue for ShardCount {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "auto" => ShardCount::Auto,
            count => ShardCount::Exactly(
                whole_number(count).filter(|count| (1..=SHARDS_MAX).contains(count))?,
            ),
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            ShardCount::Auto => "auto".to_owned(),
            ShardCount::Exactly(count) => count.to_string(),
        }
    }
}

/// How much memory what grows with use may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryShare {
    /// Three quarters of what the process may have.
    Auto,
    /// So many bytes.
    Exactly(usize),
}

impl ConfigValue for MemoryShare {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "auto" => MemoryShare::Auto,
            bytes => MemoryShare::Exactly(
                size(bytes)
                    .filter(|bytes| shardcast_engine::Config::MEMORY_BYTES.contains(bytes))?,
            ),
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            MemoryShare::Auto => "auto".to_owned(),
            MemoryShare::Exactly(bytes) => show_size(*bytes),
        }
    }
}

impl ConfigValue for tracing::Level {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "error" => tracing::Level::ERROR,
            "warn" => tracing::Level::WARN,
            "info" => tracing::Level::INFO,
            "debug" => tracing::Level::DEBUG,
            "trace" => tracing::Level::TRACE,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        self.as_str().to_ascii_lowercase()
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl ConfigValue for LogFormat {
    fn read(&mut self, text: &str) -> Option<()> {
        *self = match text {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => return None,
        };
        Some(())
    }

    fn show(&self) -> String {
        match self {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        }
    }
}

/// A size that one listener or one namespace may have of its own, where another holds for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnSize {
    /// The one for all.
    Same,
    /// In bytes.
    Bytes(usize),
}

impl OwnSize {
    pub(super) fn or(self, other: usize) -> usize {
        match self {
            OwnSize::Same => other,
            OwnSize::Bytes(bytes) => bytes,
        }
    }

    /// `same`, or a size in the range.
    pub(super) fn read(text: &str, range: &RangeInclusive<usize>) -> Option<OwnSize> {
        match text {
            "same" => Some(OwnSize::Same),
            bytes => size(bytes)
                .filter(|bytes| range.contains(bytes))
                .map(OwnSize::Bytes),
        }
    }

    pub(super) fn show(self) -> String {
        match self {
            OwnSize::Same => "same".to_owned(),
            OwnSize::Bytes(bytes) => show_size(bytes),
        }
    }
}

/// A text that a page of the configuration shows as it is: values stand there without escapes.
pub(super) fn is_shown_plainly(text: &str) -> bool {
    let fits = |c: char| !c.is_control() && !matches!(c, '"' | '\\');
    !text.is_empty() && text.chars().all(fits)
}

/// A whole number: decimal digits and nothing else.
pub(super) fn whole_number(text: &str) -> Option<usize> {
    // `parse` alone would take a leading plus sign.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// A size in bytes: `65536`, `64KiB`, `1MiB`, `1GiB`.
pub(super) fn size(text: &str) -> Option<usize> {
    measured(text, &SIZE_UNITS)
}

/// The shortest text that [`size`] reads as `bytes`.
pub(super) fn show_size(bytes: usize) -> String {
    show_measured(bytes, &SIZE_UNITS)
}

/// A duration: a whole number with its unit, `500ms`, `25s`, `2m`, `1h` or `30d`. A bare number has
/// no unit and is refused.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let milliseconds = measured(text, &DURATION_UNITS)?;
    Some(Duration::from_millis(u64::try_from(milliseconds).ok()?))
}

/// The shortest text that [`duration`] reads as `duration`, which has whole milliseconds.
pub(super) fn show_duration(duration: Duration) -> String {
    let milliseconds = usize::try_from(duration.as_millis())
        .expect("durations are read as milliseconds in a usize");
    show_measured(milliseconds, &DURATION_UNITS)
}

/// `0,2-3` as core numbers; ranges run upwards, and no core stands twice.
fn cores(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for item in list.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (core(first)?, core(last)?);
        if first > last || cores.len() + (last - first) >= CORES_MAX {
            return None;
        }
        if cores.iter().any(|core| (first..=last).contains(core)) {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

fn core(text: &str) -> Option<usize> {
    whole_number(text.trim()).filter(|core| *core < CORES_MAX)
}

/// Units with their factors, the largest first. The last one is the base unit, factor 1.
type Units = [(&'static str, usize)];

fn measured(text: &str, units: &Units) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (_, factor) = units
        .iter()
        .find(|(unit, _)| *unit == &text[digits.len()..])?;
    whole_number(digits)?.checked_mul(*factor)
}

fn show_measured(amount: usize, units: &Units) -> String {
    let (unit, factor) = units
        .iter()
        .find(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor))
        .unwrap_or(&units[units.len() - 1]);
    format!("{}{unit}", amount / factor)
}

const SIZE_UNITS: [(&str, usize); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("", 1),
];
const DURATION_UNITS: [(&str, usize); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
/// What every environment variable of the server begins with.
pub(super) const VARIABLE_PREFIX: &str = "SHARDCAST_";

/// Shards that an engine takes (`shardcast_engine::Config::shards`).
const SHARDS_MAX: usize = 256;
/// Cores in a kernel CPU set (`CPU_SETSIZE`, `sched_setaffinity(2)`).
const CORES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("0", Some(0)),
            ("125", Some(125)),
            ("125B", None),
            ("64KiB", Some(65_536)),
            ("1MiB", Some(1_048_576)),
            ("2GiB", Some(2_147_483_648)),
            ("", None),
            ("KiB", None),
            ("64KB", None),
            ("64kib", None),
            ("64 KiB", None),
            ("1.5MiB", None),
            ("-1", None),
            ("+1", None),
            ("0x10", None),
            ("18446744073709551615", Some(usize::MAX)),
            ("18446744073709551616", None),
            ("17179869184GiB", None),
            ("１", None),
        ] {
            assert_eq!(size(text), want, "{text:?}");
        }
    }

    #[test]
    fn durations() {
        for (text, want) in [
            ("0ms", Some(0)),
            ("500ms", Some(500)),
            ("25s", Some(25_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("30d", Some(2_592_000_000)),
            ("", None),
            ("s", None),
            ("25", None),
            ("1.5s", None),
            ("-1s", None),
            ("1w", None),
            ("1m30s", None),
            ("18446744073709551615s", None),
        ] {
            assert_eq!(duration(text), want.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn amounts_are_shown_with_the_largest_unit_that_divides_them() {
        for (bytes, want) in [
            (0, "0"),
            (125, "125"),
            (1_024, "1KiB"),
            (65_536, "64KiB"),
            (1_536, "1536"),
            (1 << 20, "1MiB"),
            (3 << 30, "3GiB"),
        ] {
            assert_eq!(show_size(bytes), want);
            assert_eq!(size(want), Some(bytes));
        }
        for (milliseconds, want) in [
            (0, "0ms"),
            (1, "1ms"),
            (1_500, "1500ms"),
            (25_000, "25s"),
            (90_000, "90s"),
            (120_000, "2m"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(show_duration(Duration::from_millis(milliseconds)), want);
            assert_eq!(duration(want), Some(Duration::from_millis(milliseconds)));
        }
    }

    #[test]
    fn pinnings() {
        for (text, want) in [
            ("none", Some(Pinning::None)),
            ("auto", Some(Pinning::Auto)),
            ("0", Some(Pinning::Cores(vec![0]))),
            ("0,2", Some(Pinning::Cores(vec![0, 2]))),
            ("1, 4-6", Some(Pinning::Cores(vec![1, 4, 5, 6]))),
            ("1023", Some(Pinning::Cores(vec![1023]))),
            ("1024", None),
            ("0-1023,0", None),
            ("0,0", None),
            ("2,0-4", None),
            ("3-1", None),
            ("", None),
            ("0,", None),
            ("all", None),
        ] {
            let mut pinning = Pinning::Auto;
            let read = pinning.read(text).map(|()| pinning.clone());
            assert_eq!(read, want, "{text:?}");
            if let Some(pinning) = read {
                let mut again = Pinning::Auto;
                assert_eq!(again.read(&pinning.show()), Some(()));
                assert_eq!(again, pinning);
            }
        }
    }

    #[test]
    fn shard_counts() {
        for (text, want) in [
            ("auto", Some(ShardCount::Auto)),
            ("1", Some(ShardCount::Exactly(1))),
            ("256", Some(ShardCount::Exactly(256))),
            ("0", None),
            ("257", None),
            ("two", None),
        ] {
            let mut shards = ShardCount::Auto;
            assert_eq!(shards.read(text).map(|()| shards), want, "{text:?}");
        }
    }
}
