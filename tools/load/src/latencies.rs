//! Latencies as a histogram, which travels from workers to the parent. Recorded by the meters, read
//! by whoever reports.

use crate::clock::NS_PER_S;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};

/// Nanoseconds, three significant digits, up to a minute (longer counts as a minute).
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

const LATENCY_NS_MAX: u64 = 60 * NS_PER_S;

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies(Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("constant bounds"))
    }

    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(crate) fn merge(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("equal bounds");
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At a quantile in 0..=1, in microseconds.
    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    pub(crate) fn max_us(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    pub(crate) fn mean_us(&self) -> f64 {
        self.0.mean() / 1e3
    }

    /// Values recorded.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// In nanoseconds, for who writes files.
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// The histogram's own V2 form.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&self.0, &mut bytes)
            .expect("a Vec takes everything, and counts fit");
        bytes
    }

    /// From `to_bytes`.
    pub(crate) fn from_bytes(mut bytes: &[u8]) -> Result<Latencies, String> {
        Deserializer::new()
            .deserialize(&mut bytes)
            .map(Latencies)
            .map_err(|error| error.to_string())
    }
}

/// As hexadecimal digits of the histogram's own V2 form.
impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // By table: formatting each byte would hold up a worker's loop at every interval.
        let digits: String = self
            .to_bytes()
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
            .collect();
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Latencies, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let bytes: Option<Vec<u8>> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
            .collect();
        let bytes = bytes.ok_or_else(|| serde::de::Error::custom("not hexadecimal"))?;
        Latencies::from_bytes(&bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_histograms_hold_what_both_held() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        (1..=50).for_each(|ms| one.record(ms * 1_000_000));
        (51..=100).for_each(|ms| other.record(ms * 1_000_000));
        other.record(u64::MAX);
        let travelled: Latencies =
            serde_json::from_str(&serde_json::to_string(&other).unwrap()).unwrap();
        one.merge(&travelled);
        assert_eq!(one.0.len(), 101);
        assert_eq!(one.0.count_between(1, 50_020_000), 50);
        assert!(
            (one.quantile_us(0.5) / 51_000.0 - 1.0).abs() < 0.001,
            "{}",
            one.quantile_us(0.5)
        );
        assert!(
            (one.max_us() / 60e6 - 1.0).abs() < 0.001,
            "{}",
            one.max_us()
        );
        assert!(serde_json::from_str::<Latencies>("\"zz\"").is_err());
        assert!(serde_json::from_str::<Latencies>("\"00\"").is_err());
    }
}
